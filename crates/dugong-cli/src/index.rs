//! `--if-changed`: the validators of the files in a directory, so that the next run gets only the changed ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dugong_http::Fields;
use serde_json::{Value, json};

/// The index of a directory.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    /// By the name of the file.
    entries: BTreeMap<String, Entry>,
    has_changed: bool,
}

/// A file's URL and validators.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// The name of the index in its directory. No URL leads to a name with a leading dot.
const NAME: &str = ".dugong-index";

impl Index {
    /// Reads the index of a directory. Lines that are none count as missing: their files are fetched again.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let entries = text.lines().filter_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            let text = |name: &str| value[name].as_str().map(str::to_owned);
            Some((text("file")?, Entry { url: text("url")?, etag: text("etag"), last_modified: text("last_modified") }))
        });
        Ok(Index { path, entries: entries.collect(), has_changed: false })
    }

    /// Adds the conditions for a file that came from this URL (RFC 9110 §13.1). The server prefers the `ETag`.
    pub(crate) fn add_conditions(&self, name: &str, url: &str, fields: &mut Fields) {
        let Some(entry) = self.entries.get(name).filter(|entry| entry.url == url) else { return };
        let conditions = [("If-None-Match", &entry.etag), ("If-Modified-Since", &entry.last_modified)];
        for (condition, value) in conditions {
            if let Some(value) = value
                && fields.get_bytes(condition).is_none()
            {
                // What a server sent may be no value for a request; then the file is fetched.
                let _ = fields.append(condition, value);
            }
        }
    }

    /// Notes the validators of a file that is complete now.
    pub(crate) fn note(&mut self, name: &str, url: &str, fields: &Fields) {
        let text = |name: &str| fields.get(name).map(str::to_owned);
        let entry = Entry { url: url.to_owned(), etag: text("ETag"), last_modified: text("Last-Modified") };
        self.has_changed |= self.entries.insert(name.to_owned(), entry.clone()) != Some(entry);
    }

    /// Writes the index, if it has changed.
    pub(crate) fn write(&self) -> io::Result<()> {
        if !self.has_changed {
            return Ok(());
        }
        let mut text = String::new();
        for (file, Entry { url, etag, last_modified }) in &self.entries {
            let line = json!({ "file": file, "url": url, "etag": etag, "last_modified": last_modified });
            text.push_str(&format!("{line}\n"));
        }
        let temporary = self.path.with_file_name(format!("{NAME}.new"));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        lines.iter().for_each(|(name, value)| fields.append(name, value).unwrap());
        fields
    }

    #[test]
    fn the_validators_of_a_file_become_conditions_in_the_next_run() {
        let scratch = tempfile::tempdir().unwrap();
        let mut index = Index::read(scratch.path()).unwrap();
        index.note("a", "http://h/a", &fields(&[("ETag", "\"x\""), ("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT")]));
        index.note("b", "http://h/b", &fields(&[("ETag", "W/\"y\"")]));
        index.write().unwrap();
        let index = Index::read(scratch.path()).unwrap();
        let conditions = |name, url| {
            let mut fields = Fields::new();
            index.add_conditions(name, url, &mut fields);
            fields.iter().map(|line| format!("{}: {}", line.name(), String::from_utf8_lossy(line.value()))).collect::<Vec<_>>()
        };
        let both = ["If-None-Match: \"x\"", "If-Modified-Since: Tue, 01 Jan 2030 00:00:00 GMT"];
        assert_eq!(conditions("a", "http://h/a"), both);
        assert_eq!(conditions("b", "http://h/b"), ["If-None-Match: W/\"y\""]);
        // Another URL may have this name today.
        assert!(conditions("b", "http://h/other/b").is_empty() && conditions("c", "http://h/c").is_empty());
    }
}
