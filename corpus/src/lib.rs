//! The wire transcripts of the project, and their reader.
//!
//! The transcripts are the Markdown files in the folders beside this crate's `Cargo.toml`, one folder per area of RFC 9112.
//! `README.md` there describes the format. Every face reads the same cases through [`cases`] and prints its events with
//! [`content_line`], [`raw_line`], [`field_line`] and [`escape`], so that your runner only has to compare lines.
//!
//! ```
//! use dugong_corpus::{Step, cases};
//!
//! for case in cases() {
//!     for step in &case.steps {
//!         match step {
//!             Step::Request(_) | Step::Write(_) | Step::Finish(_) => {} // make the client do this
//!             Step::Receive { .. } => {}                                // pass it these bytes
//!             Step::Sent(_) | Step::Events { .. } => {}                 // compare them with its output
//!         }
//!     }
//! }
//! ```

mod bytes;
mod events;
mod faces;
mod markdown;

use std::fs;
use std::path::{Path, PathBuf};

pub use bytes::{content_line, escape, field_line, raw_line};
pub use faces::{Kind, kinds, named_outcomes, quoted};

/// One case: the events on one connection, and the client's report of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The folder that the case is in, for example `chunked`.
    pub area: String,
    /// The file that the case is in, for example `sizes.md`.
    pub file: String,
    /// The line of the case's heading in that file; the first line is 1.
    pub line: usize,
    /// The heading: a statement of the expected behaviour.
    pub name: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One fenced block of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client makes a request.
    Request(RequestStep),
    /// The client writes these bytes of content.
    Write(Vec<u8>),
    /// The client ends its content, with these trailer fields (name, value).
    Finish(Vec<(String, Vec<u8>)>),
    /// The client has produced exactly these bytes since the last `Sent` step, or since the beginning.
    Sent(Vec<u8>),
    /// Bytes come from the server.
    Receive {
        /// The bytes; may be empty.
        bytes: Vec<u8>,
        /// What becomes of the connection after them.
        then: After,
    },
    /// The client has reported exactly this since the last `Events` step, or since the beginning.
    Events {
        /// The event lines, as the client prints them.
        lines: Vec<String>,
        /// Whether response lines are followed by version, reason and field lines.
        head: bool,
    },
}

/// What becomes of the connection after bytes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays open.
    Open,
    /// The server closes it cleanly.
    Eof,
    /// It breaks.
    Reset,
}

/// A request that the client makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestStep {
    /// The method. It may be one that the client must refuse.
    pub method: String,
    /// The request target. It may be one that the client must refuse.
    pub target: String,
    /// Field names and values in order, without the fields that the client generates.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The content that follows by [`Step::Write`].
    pub content: RequestContent,
    /// Whether the client asks for a 100 (Continue) before it sends content.
    pub expect: bool,
}

/// The content that a request announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestContent {
    /// No content.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunked content, ended by [`Step::Finish`].
    Chunked,
}

/// All cases of all areas, sorted by area, file and line.
///
/// # Panics
///
/// If a file cannot be read, or a case does not keep to the format; the message names file and line.
#[must_use]
pub fn cases() -> Vec<Case> {
    cases_in(Path::new(env!("CARGO_MANIFEST_DIR")))
}

fn cases_in(root: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for folder in sorted_entries(root) {
        if !folder.is_dir() {
            continue;
        }
        for file in sorted_entries(&folder) {
            if file.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let parsed = markdown::parse(&name_of(&folder), &name_of(&file), &text);
            cases.extend(parsed.unwrap_or_else(|(line, what)| panic!("{}:{line}: {what}", file.display())));
        }
    }
    cases
}

fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_file_of_the_corpus_can_be_read() {
        let cases = cases();
        assert!(cases.len() >= 150, "only {} cases", cases.len());
        assert!(cases.is_sorted_by_key(|case| (case.area.clone(), case.file.clone(), case.line)));
    }

    #[test]
    fn no_two_cases_of_an_area_have_the_same_name() {
        let mut seen = HashSet::new();
        for case in cases() {
            assert!(seen.insert((case.area.clone(), case.name.clone())), "{}/{}: {}", case.area, case.file, case.name);
        }
    }

    #[test]
    fn every_case_has_bytes_or_a_request_and_ends_with_something_to_check() {
        for case in cases() {
            let checked = matches!(case.steps.last(), Some(Step::Events { .. } | Step::Sent(_)));
            assert!(checked, "{}/{}:{}: nothing is checked at the end", case.area, case.file, case.line);
        }
    }

    #[test]
    fn an_error_offset_is_within_the_bytes_received() {
        for case in cases() {
            let mut received = 0;
            for step in &case.steps {
                match step {
                    Step::Receive { bytes, .. } => received += bytes.len(),
                    Step::Events { lines, .. } => {
                        for at in lines.iter().filter_map(|line| line.split_once(" at=")).map(|(_, at)| at) {
                            let at: usize = at.parse().expect("the reader has checked the digits");
                            assert!(at < received, "{}/{}:{}: at={at} of {received}", case.area, case.file, case.line);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
