//! Where content goes: standard output, or files that appear under their names only when they are complete.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dugong_http::ResponseHead;

use crate::interrupt::Unfinished;
use crate::readable::Readable;

/// Why content could not be written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// Whoever reads standard output has closed it, which is no failure.
    ReaderLeft,
    /// Standard output takes no more.
    Stdout(io::Error),
    /// A file, or the directory.
    File(PathBuf, io::Error),
    /// A file stands where a directory is wanted.
    NotADirectory(PathBuf),
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::ReaderLeft => f.write_str("standard output was closed"),
            OutputError::Stdout(error) => write!(f, "cannot write to standard output: {error}"),
            OutputError::File(path, error) if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{} exists; --force replaces it", path.display())
            }
            OutputError::NotADirectory(path) => {
                write!(f, "{} is not a directory, which -o wants; without -o content goes to standard output", path.display())
            }
            OutputError::File(path, error) => write!(f, "cannot write {}: {error}", path.display()),
        }
    }
}

/// Standard output without a buffer: content comes in large pieces, and is passed on as it comes.
#[derive(Debug)]
pub(crate) struct Stdout(File);

impl Stdout {
    pub(crate) fn new() -> Result<Self, OutputError> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(OutputError::Stdout)?;
        Ok(Stdout(File::from(descriptor)))
    }

    /// Writes a head as it is sent; on a terminal, so that it does not act on it.
    pub(crate) fn write_head(&mut self, head: &ResponseHead) -> Result<(), OutputError> {
        let bytes = head_bytes(head);
        if !self.0.is_terminal() {
            return self.write(&bytes);
        }
        let lines: String = lines(&bytes).map(|line| format!("{}\r\n", Readable(line))).collect();
        self.write(lines.as_bytes())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.0.write_all(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => OutputError::ReaderLeft,
            _ => OutputError::Stdout(error),
        })
    }
}

/// A head as it is sent.
pub(crate) fn head_bytes(head: &ResponseHead) -> Vec<u8> {
    let mut bytes = format!("HTTP/{} {} ", head.version(), head.status()).into_bytes();
    bytes.extend_from_slice(head.reason());
    for line in head.fields().iter() {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(line.name().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(line.value());
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

/// The lines of a head, without their ends; the last one is empty.
pub(crate) fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// A directory that takes files.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    force: bool,
    unfinished: Unfinished,
}

impl Directory {
    /// The directory, made if it is not there; and nothing stands in the way of `names`, unless it may be replaced.
    pub(crate) fn prepare<'a>(
        path: &Path,
        force: bool,
        names: impl Iterator<Item = &'a str>,
        unfinished: Unfinished,
    ) -> Result<Self, OutputError> {
        fs::create_dir_all(path).map_err(|error| match path.metadata() {
            Ok(found) if !found.is_dir() => OutputError::NotADirectory(path.to_owned()),
            _ => OutputError::File(path.to_owned(), error),
        })?;
        for name in names {
            let file = path.join(name);
            let found = file.symlink_metadata();
            match found {
                Ok(found) if found.is_dir() => return Err(OutputError::File(file, io::ErrorKind::IsADirectory.into())),
                Ok(_) if !force => return Err(OutputError::File(file, io::ErrorKind::AlreadyExists.into())),
                _ => {}
            }
        }
        Ok(Directory { path: path.to_owned(), force, unfinished })
    }

    /// Begins a file.
    pub(crate) fn create(&self, name: &str) -> Result<PartialFile<'_>, OutputError> {
        let target = self.path.join(name);
        let mut place = self.unfinished.lock();
        loop {
            let aside = self.path.join(format!(".{name}.part-{:08x}", random()));
            match OpenOptions::new().write(true).create_new(true).open(&aside) {
                Ok(file) => {
                    *place = Some(aside);
                    return Ok(PartialFile { file, target, directory: self });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(OutputError::File(target, error)),
            }
        }
    }
}

/// A file that is not complete yet, under a temporary name; dropping it removes it.
#[derive(Debug)]
pub(crate) struct PartialFile<'a> {
    file: File,
    target: PathBuf,
    directory: &'a Directory,
}

impl PartialFile<'_> {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|error| OutputError::File(self.target.clone(), error))
    }

    /// The file is complete, and gets its name.
    pub(crate) fn finish(self) -> Result<PathBuf, OutputError> {
        let mut place = self.directory.unfinished.lock();
        let aside = place.as_deref().expect("set when the file was made, and only one is written at a time");
        let renamed = if self.directory.force { fs::rename(aside, &self.target) } else { rename_new(aside, &self.target) };
        match renamed {
            Ok(()) => {
                *place = None;
                drop(place);
                Ok(self.target.clone())
            }
            Err(error) => {
                drop(place);
                Err(OutputError::File(self.target.clone(), error))
            }
        }
    }
}

impl Drop for PartialFile<'_> {
    fn drop(&mut self) {
        if let Some(aside) = self.directory.unfinished.lock().take() {
            // What made the file useless has been reported; that it stays is no worse.
            let _ = fs::remove_file(aside);
        }
    }
}

/// Renames unless something has the name already; both in one step, so that nothing is overwritten.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot, network ones among them.
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

/// A number that nobody guesses, from the standard library's hash keys.
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
        let directory = Directory::prepare(scratch.path(), false, ["a"].into_iter(), Unfinished::default()).unwrap();
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
    fn what_appears_meanwhile_is_not_overwritten() {
        for (force, left) in [(false, "theirs"), (true, "ours")] {
            for rename in [rename_new as fn(&Path, &Path) -> _, link_new] {
                let scratch = tempfile::tempdir().unwrap();
                let directory = Directory::prepare(scratch.path(), force, ["a"].into_iter(), Unfinished::default()).unwrap();
                let mut file = directory.create("a").unwrap();
                file.write(b"ours").unwrap();
                fs::write(scratch.path().join("a"), "theirs").unwrap();
                let aside = directory.unfinished.lock().clone().unwrap();
                let refused: io::Result<()> = rename(&aside, &scratch.path().join("a"));
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
                assert_eq!(file.finish().is_ok(), force);
                assert_eq!(contents(scratch.path()), [pair("a", left)]);
            }
        }
    }
}
