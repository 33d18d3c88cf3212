//! Where the content of responses goes.

use std::path::{Path, PathBuf};

use dugong_http::{Fields, ResponseHead, Status};

use crate::index::Index;
use crate::interrupt::Unfinished;
use crate::names::Names;
use crate::outcome::OutputError;
use crate::output::{Directory, PartialFile, Stdout};
use crate::plan::{Destination, Existing, HiArgs};

/// The destination of all content.
pub(crate) enum Sink {
    Stdout { out: Stdout, include_heads: bool, keep_errors: bool },
    Files { directory: Directory, names: Naming, existing: Existing, index: Option<Index> },
}

/// How files get their names.
pub(crate) enum Naming {
    ByUrl(Names),
    Given(String),
}

/// The destination of the content of one response.
pub(crate) enum Target {
    Discard,
    Stdout(Stdout),
    File(PartialFile),
}

/// A file that content may go to.
#[derive(Debug)]
pub(crate) enum Name {
    /// Content goes elsewhere.
    None,
    File(String),
    /// The file exists, and the user wants it skipped.
    Skip(String),
}

impl Sink {
    pub(crate) fn open(plan: &HiArgs, unfinished: Unfinished) -> Result<Self, OutputError> {
        match &plan.destination {
            &Destination::Stdout { include_heads, keep_errors } => {
                Ok(Sink::Stdout { out: Stdout::new()?, include_heads, keep_errors })
            }
            Destination::Nowhere => unreachable!("uploads write no content"),
            Destination::Device(path) => {
                Ok(Sink::Stdout { out: Stdout::device(path)?, include_heads: false, keep_errors: false })
            }
            Destination::Directory { path, existing, option } => {
                let directory = Directory::make(path, option, replaces(*existing), unfinished)?;
                let index = index(path, *existing)?;
                Ok(Sink::Files { directory, names: Naming::ByUrl(Names::default()), existing: *existing, index })
            }
            Destination::File { path, existing } => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new("."));
                let directory = Directory::make(parent, "", replaces(*existing), unfinished)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let index = index(parent, *existing)?;
                Ok(Sink::Files { directory, names: Naming::Given(name), existing: *existing, index })
            }
        }
    }

    /// Names the file for the next URL, whose path and query are `target`.
    ///
    /// # Errors
    /// The file exists, and must not be replaced.
    pub(crate) fn name(&mut self, target: &str) -> Result<Name, OutputError> {
        let Sink::Files { directory, names, existing, .. } = self else { return Ok(Name::None) };
        let name = match names {
            Naming::ByUrl(names) => names.name(target),
            Naming::Given(name) => name.clone(),
        };
        match directory.has(&name)? {
            true if *existing == Existing::Skip => Ok(Name::Skip(name)),
            true => Err(directory.exists(&name)),
            false => Ok(Name::File(name)),
        }
    }

    /// Adds the conditions under which the server need not send a file again.
    pub(crate) fn add_conditions(&self, name: &Name, url: &str, fields: &mut Fields) {
        if let (Sink::Files { directory, index: Some(index), .. }, Name::File(name)) = (self, name)
            && directory.path_of(name).is_file()
        {
            index.add_conditions(name, url, fields);
        }
    }

    /// Notes the version of a file that is complete now.
    pub(crate) fn note(&mut self, name: &Name, url: &str, fields: &Fields) {
        if let (Sink::Files { index: Some(index), .. }, Name::File(name)) = (self, name) {
            index.note(name, url, fields);
        }
    }

    /// Writes the index of the versions.
    pub(crate) fn write_index(&self) -> Result<(), OutputError> {
        match self {
            Sink::Files { index: Some(index), .. } => {
                index.write().map_err(|error| OutputError::File(index.path().to_owned(), error))
            }
            _ => Ok(()),
        }
    }

    /// Forgets all names.
    pub(crate) fn forget_names(&mut self) {
        if let Sink::Files { names: Naming::ByUrl(names), .. } = self {
            *names = Names::default();
        }
    }

    /// The path of a file of this name.
    pub(crate) fn path(&self, name: &str) -> Option<std::path::PathBuf> {
        match self {
            Sink::Files { directory, .. } => Some(directory.path_of(name)),
            Sink::Stdout { .. } => None,
        }
    }

    /// Where the content of a response goes. `is_redirect` is a response that leads elsewhere.
    pub(crate) fn target(&self, name: &Name, head: &ResponseHead, is_redirect: bool) -> Result<Target, OutputError> {
        let is_error = head.status().is_error();
        let is_unchanged = head.status() == Status::NOT_MODIFIED;
        match (self, name) {
            (Sink::Files { .. }, _) if is_unchanged => Ok(Target::Discard),
            (Sink::Stdout { keep_errors: false, .. } | Sink::Files { .. }, _) if is_error || is_redirect => Ok(Target::Discard),
            (Sink::Stdout { out, include_heads, .. }, _) => {
                if *include_heads {
                    out.write_head(head)?;
                }
                Ok(Target::Stdout(out.clone()))
            }
            (Sink::Files { directory, .. }, Name::File(name)) => directory.create(name).map(Target::File),
            _ => Ok(Target::Discard),
        }
    }

    /// Tells if content goes to files that are named after URLs.
    pub(crate) fn has_names(&self) -> bool {
        matches!(self, Sink::Files { .. })
    }

    /// Tells if a head is written before each content.
    pub(crate) fn writes_heads(&self) -> bool {
        matches!(self, Sink::Stdout { include_heads: true, .. })
    }
}

fn replaces(existing: Existing) -> bool {
    matches!(existing, Existing::Replace | Existing::IfChanged)
}

/// The index of a directory, if the user wants one.
fn index(directory: &Path, existing: Existing) -> Result<Option<Index>, OutputError> {
    let read = (existing == Existing::IfChanged).then(|| Index::read(directory)).transpose();
    read.map_err(|error| OutputError::File(directory.to_owned(), error))
}

impl Target {
    /// Gives a file its name.
    pub(crate) fn finish(self) -> Option<Result<PathBuf, OutputError>> {
        match self {
            Target::File(file) => Some(file.finish()),
            Target::Discard | Target::Stdout(_) => None,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match self {
            Target::Discard => Ok(()),
            Target::Stdout(out) => out.write(bytes),
            Target::File(file) => file.write(bytes),
        }
    }
}
