//! The tables of `docs/faces.md`, which list where a face may differ from the cases.

use std::fs;
use std::path::Path;

/// How each face reports one kind of event: a row of the table of differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The kind of event.
    pub name: String,
    /// The report of the core, as text. Codes of event lines are between backticks.
    pub core: String,
    /// How the Rust clients differ, if they do.
    pub rust: Option<String>,
    /// How the Python package differs, if it does.
    pub python: Option<String>,
    /// Why the faces differ; empty if they do not.
    pub reason: String,
    /// The cases of this kind: area and name.
    pub cases: Vec<(String, String)>,
}

/// The rows of the table of differences.
///
/// # Panics
///
/// If the table is missing, or a row is incomplete.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let rows = table("| what happens | core | Rust clients | Python | why they differ | transcripts |");
    let same = |cell: &str| (!cell.starts_with("the same")).then(|| cell.to_owned());
    let kind = |row: Vec<String>| {
        let [name, core, rust, python, reason, cases] = row.try_into().expect("each row has six cells");
        let cases = quoted(&cases).into_iter().map(|case| {
            let (area, name) = case.split_once(": ").unwrap_or_else(|| panic!("{case:?} is not `area: name`"));
            (area.to_owned(), name.to_owned())
        });
        let cases = cases.collect();
        Kind { name, core, rust: same(&rust), python: same(&python), reason, cases }
    };
    rows.into_iter().map(kind).collect()
}

/// The beginnings of event lines for which the table of outcomes has a name.
///
/// # Panics
///
/// If the table is missing.
#[must_use]
pub fn named_outcomes() -> Vec<String> {
    let rows = table("| what happened | transcript | core and Rust clients | Python | exit code of `dugong get` |");
    rows.iter().flat_map(|row| quoted(&row[1])).collect()
}

/// The texts between backticks.
#[must_use]
pub fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The cells of the table that begins with this line.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faces.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{}: there is no line {heading:?}", path.display());
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| row[1..row.len() - 1].split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_has_a_reason_and_a_case() {
        let cases = crate::cases();
        for kind in kinds() {
            let differs = kind.rust.is_some() || kind.python.is_some();
            assert_eq!(differs, !kind.reason.is_empty(), "{}", kind.name);
            assert!(!kind.cases.is_empty(), "{}", kind.name);
            for (area, name) in &kind.cases {
                let found = cases.iter().find(|case| case.area == *area && case.name == *name);
                let case = found.unwrap_or_else(|| panic!("{}: there is no case {area}: {name}", kind.name));
                let lines = case.steps.iter().flat_map(|step| match step {
                    crate::Step::Events { lines, .. } => &lines[..],
                    _ => &[],
                });
                let codes: Vec<_> = quoted(&kind.core).into_iter().filter(|code| code.starts_with("error ")).collect();
                let told = codes.is_empty() || lines.clone().any(|line| codes.iter().any(|code| line.starts_with(code)));
                assert!(told || kind.core.contains("; after "), "{}: {name}: {:?}", kind.name, lines.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn each_error_of_the_cases_has_a_name_in_each_face() {
        let named = named_outcomes();
        for case in crate::cases() {
            for step in &case.steps {
                let crate::Step::Events { lines, .. } = step else { continue };
                for line in lines.iter().filter(|line| line.starts_with("error ")) {
                    let names = named.iter().filter(|name| line == *name || line.starts_with(&format!("{name} "))).count();
                    assert_eq!(names, 1, "{line}");
                }
            }
        }
    }
}
