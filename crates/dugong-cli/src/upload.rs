//! Carries out `dugong put`.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Instant;

use dugong_http::{Request, RequestHead};
use dugong_session::{Cause, Outcome as Ended, Source};

use crate::asking::TICK;
use crate::flags::PutArgs;
use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::outcome::{Exit, Outcome, Record, Stop, reason};
use crate::plan::HiArgs;
use crate::progress::{Progress, Show};
use crate::report::Report;
use crate::stderr::say;
use crate::urls;
use crate::usage::{Source as Given, UsageError};

/// Uploads files.
///
/// # Errors
/// The command line is wrong. No request was sent.
pub(crate) fn run(low: PutArgs) -> Result<Exit, UsageError> {
    let expect = low.expect.then_some(true);
    let (url, files) = match low.files_and_url.split_last() {
        Some((url, files)) if !files.is_empty() => (url.clone(), files.iter().map(PathBuf::from).collect::<Vec<_>>()),
        _ => return Err(UsageError::NoUrls),
    };
    let uploads = uploads(&files, &url)?;
    let plan = HiArgs::of_put(low, url)?;
    let mut lanes = Lanes::new(&plan);
    let (origin, _) = urls::parse(&uploads[0].url, &Given::Argument)?;
    let lane = lanes.find(&origin)?;
    plan.open_trace()?;
    let session = match lanes.session(lane) {
        Ok(session) => session,
        Err(error) => {
            say(&format_args!("{error:#}"));
            return Ok(Exit::Output);
        }
    };
    let (unfinished, closing) = (Unfinished::default(), session.clone());
    if let Err(error) = unfinished.remove_on_signal(plan.json, move || closing.close()) {
        say(&format_args!("cannot handle signals, so no request is sent: {error}"));
        return Ok(Exit::Output);
    }
    let start = Instant::now();
    let fields = lanes.lane(lane).fields.clone();
    let requests = uploads.iter().map(|upload| {
        let mut head = RequestHead::new(plan.method.clone(), &*upload.target).expect("`urls::parse` has checked the target");
        head.fields = fields.clone();
        let left = plan.max_time.map(|time| time.saturating_sub(start.elapsed()));
        let request = dugong_session::Request::from(Request::from(head)).expect(expect).total_timeout(left);
        match upload.length {
            Some(length) => request.source(FileSource { path: upload.file.clone(), length }),
            None => {
                let (path, unfinished) = (upload.file.clone(), unfinished.clone());
                let deadline = plan.max_time.and_then(|time| start.checked_add(time));
                request.reader(OnDemand { path, pieces: None, rest: Cursor::default(), unfinished, deadline }, None)
            }
        }
    });
    let mut report = Report::new(&plan);
    let mut progress = Progress::new(Some(uploads.len()), Show::of(&plan));
    let (mut has_failed, mut is_unreadable, mut was_unreachable) = (false, false, false);
    for (number, (upload, ended)) in (0..).zip(uploads.iter().zip(session.run(requests))) {
        let record = record(upload, &ended);
        is_unreadable |= unreadable(&ended).is_some();
        has_failed |= ended.error().is_some();
        let complaint = match (&record.error, record.outcome) {
            (Some(error), _) => Some(error.to_string()),
            (None, Outcome::ErrorStatus | Outcome::Redirect) => Some(record.status_text()),
            _ => None,
        };
        let is_interrupted = unfinished.is_interrupted();
        if is_interrupted {
            unfinished.begin_last_words();
        }
        // All uploads fail alike if there is no server.
        let is_unreachable = ended.error().is_some_and(|failed| matches!(failed.cause, Cause::Unreachable(_)));
        let is_told = is_unreachable && was_unreachable;
        was_unreachable |= is_unreachable;
        if let Some(complaint) = complaint.filter(|_| !is_interrupted && !is_told) {
            progress.suspend(|| say(&format_args!("{}: {complaint}", upload.url)));
        }
        if ended.error().is_none() {
            progress.received(number, usize::try_from(upload.length.unwrap_or_default()).unwrap_or(usize::MAX));
        }
        progress.answered(number);
        report.add(&upload.url, &record);
    }
    progress.end();
    let is_interrupted = has_failed && unfinished.is_interrupted();
    if is_interrupted {
        say(&Stop::Interrupted);
    }
    report.explain();
    let exit = match () {
        () if is_interrupted => Exit::Interrupted,
        () if is_unreadable => Exit::Output,
        () if has_failed => Exit::Connection,
        () if report.has_errors() => Exit::ErrorStatus,
        () => Exit::Success,
    };
    let connections = plan.connected.load(std::sync::atomic::Ordering::Relaxed);
    Ok(if report.end(connections, start.elapsed()) { exit } else { Exit::Output })
}

/// A file and where it goes.
struct Upload {
    file: PathBuf,
    /// `None` if it is sent in chunks.
    length: Option<u64>,
    url: String,
    target: String,
}

/// Finds the URL of each file.
fn uploads(files: &[PathBuf], url: &str) -> Result<Vec<Upload>, UsageError> {
    let (_, target) = urls::parse(url, &Given::Argument)?;
    let is_directory = target.ends_with('/');
    if files.len() > 1 && !is_directory {
        let (option, with) = (format!("the URL {url:?}"), format!("{} files", files.len()));
        return Err(UsageError::Together { option, with, why: "only a URL that ends in / takes several" });
    }
    files.iter().map(|file| upload(file, url, is_directory)).collect()
}

fn upload(file: &Path, url: &str, is_directory: bool) -> Result<Upload, UsageError> {
    let is_stdin = file == Path::new("-");
    let unreadable = |error| UsageError::Content { option: "put", file: file.to_owned(), error };
    let length = if is_stdin {
        None
    } else {
        // It must be readable, too.
        let found = File::open(file).and_then(|file| file.metadata()).map_err(unreadable)?;
        if found.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        found.is_file().then_some(found.len())
    };
    let url = match is_directory {
        true if is_stdin => {
            let (option, with) = ("-".to_owned(), format!("the URL {url:?}"));
            return Err(UsageError::Together { option, with, why: "standard input has no name; add one to the URL" });
        }
        true => {
            let name = file.file_name().ok_or_else(|| unreadable(io::ErrorKind::InvalidInput.into()))?;
            format!("{}{}", url.trim(), encoded(name.as_encoded_bytes()))
        }
        false => url.trim().to_owned(),
    };
    let (_, target) = urls::parse(&url, &Given::Argument)?;
    Ok(Upload { file: file.to_owned(), length, url, target })
}

/// Percent-encodes a name for the path of a URL (RFC 3986 §3.3).
fn encoded(name: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    name.iter().map(|&byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn record(upload: &Upload, ended: &Ended) -> Record {
    match &ended.result {
        Ok(reply) => {
            let mut record = Record::begun(reply.head(), reply.sent(), reply.attempts());
            record.outcome = match record.location {
                _ if reply.status().is_error() => Outcome::ErrorStatus,
                Some(_) => Outcome::Redirect,
                None => Outcome::Ok,
            };
            if record.outcome == Outcome::Ok {
                record.bytes = upload.length.unwrap_or_default();
                record.file = Some(upload.file.clone());
            }
            record
        }
        Err(failed) => {
            let error = match (&failed.cause, unreadable(ended)) {
                (_, Some(error)) => format!("cannot read {}: {error}", upload.file.display()),
                (Cause::Source(error), None) => error.to_string(),
                _ => reason(failed),
            };
            Record::failed(failed, error.into())
        }
    }
}

/// Why the file could not be read. A pipe that is given up could be.
fn unreadable(ended: &Ended) -> Option<&io::Error> {
    match &ended.error()?.cause {
        Cause::Source(error) if error.get_ref().is_none_or(|source| !source.is::<GivenUp>()) => Some(error),
        _ => None,
    }
}

/// A file, opened for each attempt.
struct FileSource {
    path: PathBuf,
    length: u64,
}

impl Source for FileSource {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?))
    }
}

/// A pipe, opened when its turn comes. A thread reads it, so that a silent one holds up neither the end of the time nor a signal.
struct OnDemand {
    path: PathBuf,
    pieces: Option<Receiver<io::Result<Vec<u8>>>>,
    /// The rest of the last piece.
    rest: Cursor<Vec<u8>>,
    unfinished: Unfinished,
    deadline: Option<Instant>,
}

/// Why a pipe is not read to its end.
#[derive(Debug)]
struct GivenUp(Stop);

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for GivenUp {}

/// How much of a pipe is read at once.
const PIECE: usize = 64 * 1024;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

impl OnDemand {
    fn open(&self) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
        let is_stdin = self.path == Path::new("-");
        let mut reader: Box<dyn Read + Send> = if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(&self.path)?) };
        let (sender, pieces) = sync_channel(AHEAD);
        thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = match reader.read(&mut piece) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(0) => return,
                    read => read,
                };
                let is_over = read.is_err();
                let read = read.map(|count| {
                    piece.truncate(count);
                    piece
                });
                if sender.send(read).is_err() || is_over {
                    return;
                }
            }
        })?;
        Ok(pieces)
    }

    /// Waits for the next piece; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.pieces.is_none() {
            self.pieces = Some(self.open()?);
        }
        let pieces = self.pieces.as_ref().expect("it was just opened");
        loop {
            match pieces.recv_timeout(TICK) {
                Ok(piece) => return piece.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if self.unfinished.is_interrupted() => {
                    return Err(io::Error::other(GivenUp(Stop::Interrupted)));
                }
                Err(RecvTimeoutError::Timeout) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Err(io::Error::other(GivenUp(Stop::MaxTime)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Read for OnDemand {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.rest.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next()? {
                None => return Ok(0),
                Some(piece) => self.rest = Cursor::new(piece),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_segments_of_a_path() {
        for (name, segment) in [("a b.txt", "a%20b.txt"), ("50%?#", "50%25%3F%23"), ("\u{e4}", "%C3%A4"), ("a/b", "a%2Fb")] {
            assert_eq!(encoded(name.as_bytes()), segment);
        }
    }
}
