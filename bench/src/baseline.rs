//! The counts that a change must not raise, with the versions that made them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{fmt, fs, io};

use serde_json::{Value, json};

use crate::python::Interpreters;

/// Counts by name, and the versions of the programs that the counts depend on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    versions: BTreeMap<String, String>,
    counts: BTreeMap<String, f64>,
}

impl Baseline {
    /// A baseline without counts, with the versions of compiler, Python and valgrind here. Without Python, the counts of Rust can
    /// still be made.
    pub(crate) fn versions_here(interpreters: &Interpreters) -> io::Result<Self> {
        let python = interpreters.version().unwrap_or_else(|error| format!("none ({error})"));
        let valgrind = Command::new("valgrind").arg("--version").output();
        let valgrind = valgrind.map_err(|error| io::Error::new(error.kind(), format!("cannot run valgrind: {error}")))?;
        let versions = [
            ("python", python),
            ("rustc", env!("DUGONG_BENCH_RUSTC").to_owned()),
            ("valgrind", String::from_utf8_lossy(&valgrind.stdout).trim_end().to_owned()),
        ];
        Ok(Baseline { versions: versions.map(|(name, version)| (name.to_owned(), version)).into(), ..Baseline::default() })
    }

    pub(crate) fn has_versions_of(&self, other: &Baseline) -> bool {
        self.versions == other.versions
    }

    pub(crate) fn insert(&mut self, name: &str, count: f64) {
        self.counts.insert(name.to_owned(), count.round());
    }

    pub(crate) fn get(&self, name: &str) -> io::Result<f64> {
        let count = self.counts.get(name).copied();
        count.ok_or_else(|| invalid(format!("the baseline has no count of {name:?}; run make baseline")))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()));
        fs::read_to_string(path).and_then(|text| Baseline::parse(&text)).map_err(named)
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
        fs::write(path, self.to_json()).map_err(named)
    }

    fn parse(text: &str) -> io::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let members = |name: &str| value[name].as_object().ok_or_else(|| invalid(format!("expected an object {name:?}")));
        let mut baseline = Baseline::default();
        for (name, version) in members("versions")? {
            let version = version.as_str().ok_or_else(|| invalid(format!("expected a text for {name:?}")))?;
            baseline.versions.insert(name.clone(), version.to_owned());
        }
        for (name, count) in members("counts")? {
            let count = count.as_f64().ok_or_else(|| invalid(format!("expected a number for {name:?}")))?;
            baseline.counts.insert(name.clone(), count);
        }
        Ok(baseline)
    }

    fn to_json(&self) -> String {
        // Whole numbers, without a decimal point.
        let counts: BTreeMap<_, _> = self.counts.iter().map(|(name, count)| (name, *count as u64)).collect();
        format!("{:#}\n", json!({ "versions": self.versions, "counts": counts }))
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Prints the versions as a sentence.
impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<_> = self.versions.iter().map(|(name, version)| format!("{name}: {version}")).collect();
        write!(f, "{}.", versions.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let mut baseline = Baseline::default();
        baseline.versions.insert("rustc".to_owned(), "rustc 1.95.0".to_owned());
        baseline.insert("Rust a", 4979.4);
        let read = Baseline::parse(&baseline.to_json()).unwrap();
        assert_eq!(read, baseline);
        assert!(read.has_versions_of(&baseline));
        assert_eq!(read.get("Rust a").unwrap(), 4979.0);
        assert_eq!(read.get("Rust b").unwrap_err().to_string(), "the baseline has no count of \"Rust b\"; run make baseline");
        let other = Baseline::parse(r#"{"versions": {"rustc": "rustc 1.96.0"}, "counts": {}}"#).unwrap();
        assert!(!read.has_versions_of(&other));
        assert!(Baseline::parse("{}").is_err());
    }
}
