//! The files of an unfinished download.
//!
//! Two processes must not write to one path. The lock is on the record, because the record is the first file to come and the last to go:
//! a run that opens the part file has the lock already.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::record::Record;
use crate::ranges::error::RangeError;
use crate::ranges::field::Span;
use crate::ranges::spans::Spans;

/// `.NAME.part` and `.NAME.part.meta` beside the file that they become.
#[derive(Debug)]
pub(super) struct PartFile {
    /// The name of the finished file.
    path: PathBuf,
    part_path: PathBuf,
    part: File,
    record_path: PathBuf,
    record: File,
    /// Whether the record has a head, so that a later run can continue.
    recorded: bool,
    /// Whether the record has some content.
    kept: bool,
    /// Bytes that were written, and that the record does not have yet.
    fresh: Spans,
    fresh_bytes: u64,
    /// When the record was written last.
    written: Instant,
    /// After how many bytes the record is written.
    checkpoint: u64,
    /// The files have another name now, or none.
    gone: bool,
}

/// The name, or a part of it and its digest, so that dot and ending fit into the 255 bytes that file systems allow.
fn short(name: &OsStr) -> Cow<'_, OsStr> {
    const MOST: usize = 255 - ".".len() - ".part.meta".len();
    if name.len() <= MOST {
        return Cow::Borrowed(name);
    }
    let digest = Sha256::digest(name.as_encoded_bytes());
    let mut short: String = name.to_string_lossy().chars().take(50).collect();
    digest[..8].iter().for_each(|byte| short.push_str(&format!("{byte:02x}")));
    Cow::Owned(short.into())
}

/// The record is written at least this often while content comes.
const CHECKPOINT_TIME: Duration = Duration::from_secs(5);

impl PartFile {
    /// Opens or creates the files beside `path`, and reads the record.
    ///
    /// # Errors
    /// `path` cannot be a file's name, another download writes to it, or the system refuses.
    pub(super) fn open(path: &Path, checkpoint: u64) -> Result<(PartFile, Option<Record>), RangeError> {
        let bad = |why| RangeError::BadPath { path: path.to_owned(), why };
        let mut path = path.to_owned();
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(bad("it does not name a file"));
        }
        // The file that a symbolic link names is replaced, not the link.
        if path.is_symlink() {
            path = fs::canonicalize(&path).map_err(|cause| io_error("follow the symbolic link", &path, cause))?;
        }
        let name = path.file_name().ok_or_else(|| bad("it does not name a file"))?;
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Err(bad("it is a directory")),
            Ok(found) if !found.is_file() => return Err(bad("it is not a regular file")),
            Err(cause) if cause.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => {
                return Err(io_error("create", &path, cause));
            }
            _ => {}
        }
        let beside = |ending: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(short(name));
            hidden.push(ending);
            path.with_file_name(hidden)
        };
        let (part_path, record_path) = (beside(".part"), beside(".part.meta"));
        let mut record = lock(&record_path, &path)?;
        let mut text = Vec::new();
        record.read_to_end(&mut text).map_err(|cause| io_error("read", &record_path, cause))?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part_path);
        let part = opened.map_err(|cause| {
            if text.is_empty() {
                let _ = fs::remove_file(&record_path);
            }
            io_error("create", &part_path, cause)
        })?;
        let length = part.metadata().map_err(|cause| io_error("read", &part_path, cause))?.len();
        // A part file that is too short is not the one that the record is about.
        let found = Record::parse(&text).filter(|found| found.have.end() <= length);
        let (fresh, written) = (Spans::default(), Instant::now());
        let file = PartFile {
            path,
            part_path,
            part,
            record_path,
            record,
            recorded: found.is_some(),
            kept: found.as_ref().is_some_and(|found| !found.have.is_empty()),
            fresh,
            fresh_bytes: 0,
            written,
            checkpoint,
            gone: false,
        };
        Ok((file, found))
    }

    /// Forgets what the files have. The record says what they are about, if a later run can continue them.
    pub(super) fn begin(&mut self, head: Option<&str>) -> Result<(), RangeError> {
        (self.recorded, self.kept) = (false, false);
        self.fresh.clear();
        self.fresh_bytes = 0;
        let failed = |cause| io_error("write", &self.record_path, cause);
        self.record.set_len(0).map_err(failed)?;
        if let Some(head) = head {
            self.record.write_all(head.as_bytes()).map_err(failed)?;
        }
        // Otherwise, after a power failure, the old record could stand beside new content.
        self.record.sync_data().map_err(failed)?;
        self.part.set_len(0).map_err(|cause| io_error("write", &self.part_path, cause))?;
        self.recorded = head.is_some();
        self.written = Instant::now();
        Ok(())
    }

    /// Writes some of `content` at position `at`. Returns how many bytes.
    pub(super) fn write_at(&mut self, content: &[u8], at: u64) -> Result<usize, RangeError> {
        let written = loop {
            match self.part.write_at(content, at) {
                Ok(0) if !content.is_empty() => break Err(io::ErrorKind::WriteZero.into()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let written = written.map_err(|cause| io_error("write", &self.part_path, cause))?;
        self.fresh.insert(Span::new(at, at + written as u64));
        self.fresh_bytes += written as u64;
        if self.fresh_bytes >= self.checkpoint || self.written.elapsed() >= CHECKPOINT_TIME {
            self.save()?;
        }
        Ok(written)
    }

    /// Brings the content to the disk, and then the record up to date.
    pub(super) fn save(&mut self) -> Result<(), RangeError> {
        self.fresh_bytes = 0;
        self.written = Instant::now();
        // If this fails, a second attempt may succeed without the bytes: the system reports the error once.
        let fresh = mem::take(&mut self.fresh);
        if self.recorded && !fresh.is_empty() {
            self.part.sync_data().map_err(|cause| io_error("write", &self.part_path, cause))?;
            let lines = Record::lines(&fresh);
            self.record.write_all(lines.as_bytes()).map_err(|cause| io_error("write", &self.record_path, cause))?;
            self.kept = true;
        }
        Ok(())
    }

    /// Passes all content to `check`.
    pub(super) fn read_all(&mut self, mut check: impl FnMut(&[u8])) -> Result<(), RangeError> {
        let mut buffer = vec![0; 256 << 10];
        let mut read = || {
            self.part.seek(SeekFrom::Start(0))?;
            loop {
                match self.part.read(&mut buffer) {
                    Ok(0) => return Ok(()),
                    Ok(read) => check(&buffer[..read]),
                    Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                    Err(cause) => return Err(cause),
                }
            }
        };
        read().map_err(|cause| io_error("read", &self.part_path, cause))
    }

    /// Cuts the file to `total` bytes, behind which an earlier version may have left more.
    pub(super) fn cut(&mut self, total: u64) -> Result<(), RangeError> {
        self.part.set_len(total).map_err(|cause| io_error("write", &self.part_path, cause))
    }

    /// Gives the file its final name, once its content is on the disk.
    pub(super) fn finish(mut self) -> Result<(), RangeError> {
        self.part.sync_all().map_err(|cause| io_error("write", &self.part_path, cause))?;
        fs::rename(&self.part_path, &self.path).map_err(|cause| io_error("rename", &self.part_path, cause))?;
        self.gone = true;
        // A record without a part file counts for nothing.
        let _ = fs::remove_file(&self.record_path);
        Ok(())
    }

    /// Removes the files.
    pub(super) fn discard(mut self) {
        self.recorded = false;
        self.leave();
    }

    fn leave(&mut self) {
        if self.gone {
            return;
        }
        self.gone = true;
        // The record has what it could get; the caller's error says more than one of these.
        let _ = self.save();
        if !(self.recorded && self.kept) {
            let _ = fs::remove_file(&self.part_path);
            let _ = fs::remove_file(&self.record_path);
        }
    }
}

/// Leaves the files for a later run, or removes them if no run can continue them.
impl Drop for PartFile {
    fn drop(&mut self) {
        self.leave();
        // A child that another thread forks at this moment has a copy of the descriptor, and with it the lock, until it runs its program.
        let _ = flock(&self.record, FlockOperation::Unlock);
    }
}

/// Opens the record and locks it.
fn lock(record_path: &Path, path: &Path) -> Result<File, RangeError> {
    let failed = |cause| io_error("create", record_path, cause);
    loop {
        // Some URLs contain credentials.
        let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(record_path);
        let record = opened.map_err(failed)?;
        match flock(&record, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(RangeError::Busy { path: path.to_owned() }),
            Err(errno) => return Err(io_error("lock", record_path, errno.into())),
        }
        // The run that had the lock may have removed the file after we opened it. A lock on that keeps no other run away.
        let ours = record.metadata().map_err(failed)?;
        match fs::metadata(record_path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => return Ok(record),
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
}

fn io_error(doing: &'static str, path: &Path, cause: io::Error) -> RangeError {
    RangeError::Io { doing, path: path.to_owned(), cause }
}
