//! Writes content to standard output, or to files that get their names when they are complete.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dugong_http::ResponseHead;

use crate::head::{head_bytes, lines};
use crate::interrupt::Unfinished;
use crate::outcome::OutputError;
use crate::readable::Readable;

/// Standard output without a buffer. Content comes in large pieces, each of which is written at once.
#[derive(Clone, Debug)]
pub(crate) struct Stdout(Arc<File>);

impl Stdout {
    /// A device or a pipe in its place.
    pub(crate) fn device(path: &Path) -> Result<Self, OutputError> {
        let file = OpenOptions::new().write(true).open(path).map_err(|error| OutputError::File(path.to_owned(), error))?;
        Ok(Stdout(Arc::new(file)))
    }

    pub(crate) fn new() -> Result<Self, OutputError> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(OutputError::Stdout)?;
        Ok(Stdout(Arc::new(File::from(descriptor))))
    }

    /// Writes a head as the server sent it. For a terminal it is escaped, so that the terminal does not obey it.
    pub(crate) fn write_head(&self, head: &ResponseHead) -> Result<(), OutputError> {
        let bytes = head_bytes(head);
        if !self.0.is_terminal() {
            return self.write(&bytes);
        }
        let lines: String = lines(&bytes).map(|line| format!("{}\r\n", Readable(line))).collect();
        self.write(lines.as_bytes())
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), OutputError> {
        (&*self.0).write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => OutputError::ReaderLeft,
            _ => OutputError::Stdout(error),
        })
    }
}

/// A directory for files.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    replaces: bool,
    unfinished: Unfinished,
}

impl Directory {
    /// Makes the directory, named by `option`, if it does not exist.
    pub(crate) fn make(path: &Path, option: &'static str, replaces: bool, unfinished: Unfinished) -> Result<Self, OutputError> {
        fs::create_dir_all(path).map_err(|error| match path.metadata() {
            Ok(found) if !found.is_dir() => OutputError::NotADirectory(path.to_owned(), option),
            _ => OutputError::File(path.to_owned(), error),
        })?;
        Ok(Directory { path: path.to_owned(), replaces, unfinished })
    }

    /// Tells if there is a file of this name that may not be replaced.
    ///
    /// # Errors
    /// A directory has the name.
    pub(crate) fn has(&self, name: &str) -> Result<bool, OutputError> {
        let file = self.path.join(name);
        match file.symlink_metadata() {
            Ok(found) if found.is_dir() => Err(OutputError::File(file, io::ErrorKind::IsADirectory.into())),
            found => Ok(found.is_ok() && !self.replaces),
        }
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The error for a file that exists.
    pub(crate) fn exists(&self, name: &str) -> OutputError {
        OutputError::File(self.path.join(name), io::ErrorKind::AlreadyExists.into())
    }

    /// Opens a file under a temporary name.
    pub(crate) fn create(&self, name: &str) -> Result<PartialFile, OutputError> {
        let target = self.path.join(name);
        let mut unfinished = self.unfinished.lock();
        if unfinished.is_interrupted {
            return Err(OutputError::Interrupted);
        }
        loop {
            let temporary = self.path.join(format!(".{name}.part-{:08x}", random()));
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    unfinished.paths.insert(temporary.clone());
                    let (replaces, unfinished) = (self.replaces, self.unfinished.clone());
                    return Ok(PartialFile { file, temporary, target, replaces, unfinished });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(OutputError::File(target, error)),
            }
        }
    }
}

/// An incomplete file under a temporary name. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    replaces: bool,
    unfinished: Unfinished,
}

impl PartialFile {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|error| OutputError::File(self.target.clone(), error))
    }

    /// Gives the complete file its name.
    pub(crate) fn finish(self) -> Result<PathBuf, OutputError> {
        let mut unfinished = self.unfinished.lock();
        // Only a signal removes it before.
        if !unfinished.paths.contains(&self.temporary) {
            return Err(OutputError::Interrupted);
        }
        let PartialFile { temporary, target, replaces, .. } = &self;
        let renamed = if *replaces { fs::rename(temporary, target) } else { rename_new(temporary, target) };
        if renamed.is_ok() {
            unfinished.paths.remove(temporary);
        }
        drop(unfinished);
        match renamed {
            Ok(()) => Ok(target.clone()),
            Err(error) => Err(OutputError::File(target.clone(), error)),
        }
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.unfinished.lock().paths.remove(&self.temporary) {
            // The caller reports the error that made the file useless. A file that stays is no worse.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Renames a file unless the name is taken. It is one step, so that no file can be overwritten in between.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not support this, network ones among them.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        other => Ok(other?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

/// An unpredictable number, made from the standard library's hash keys.
fn random() -> u32 {
    let value = RandomState::new().build_hasher().finish();
    (value ^ (value >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
            .collect();
        found.sort();
        found
    }

    fn pair(name: &str, content: &str) -> (String, String) {
        (name.to_owned(), content.to_owned())
    }

    #[test]
    fn a_file_has_no_name_until_it_is_finished() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::make(scratch.path(), "--dir", false, Unfinished::default()).unwrap();
        let mut file = directory.create("a").unwrap();
        file.write(b"con").unwrap();
        let meanwhile = contents(scratch.path());
        assert!(meanwhile[0].0.starts_with(".a.part-") && meanwhile.len() == 1, "{meanwhile:?}");
        file.write(b"tent").unwrap();
        file.finish().unwrap();
        assert_eq!(contents(scratch.path()), [pair("a", "content")]);
        drop(directory.create("b").unwrap());
        assert_eq!(contents(scratch.path()), [pair("a", "content")]);
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_not_overwritten() {
        for (force, left) in [(false, "theirs"), (true, "ours")] {
            for rename in [rename_new as fn(&Path, &Path) -> _, link_new] {
                let scratch = tempfile::tempdir().unwrap();
                let directory = Directory::make(scratch.path(), "--dir", force, Unfinished::default()).unwrap();
                let mut file = directory.create("a").unwrap();
                file.write(b"ours").unwrap();
                fs::write(scratch.path().join("a"), "theirs").unwrap();
                let temporary = file.temporary.clone();
                let refused: io::Result<()> = rename(&temporary, &scratch.path().join("a"));
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
                assert_eq!(file.finish().is_ok(), force);
                assert_eq!(contents(scratch.path()), [pair("a", left)]);
            }
        }
    }
}
