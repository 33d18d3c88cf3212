//! Carries out `dugong put`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use dugong_http::{Fields, Request, RequestHead};
use dugong_session::{Cause, Failed, Reply, Session};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::fs::{Access, access};

use crate::flags::PutArgs;
use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::outcome::{Exit, Outcome, Record, Stop, reason};
use crate::pipe::Pipe;
use crate::plan::HiArgs;
use crate::progress::{Progress, Show};
use crate::ready::{Bell, Ready};
use crate::report::Report;
use crate::sending::{Announced, Content, Sending};
use crate::stderr::say;
use crate::urls;
use crate::usage::{Source as Given, UsageError};

/// Uploads files.
///
/// # Errors
/// The command line is wrong. No request was sent.
pub(crate) fn run(low: PutArgs) -> Result<Exit, UsageError> {
    let (url, files) = match low.files_and_url.split_last() {
        Some((url, files)) if !files.is_empty() => (url.clone(), files.iter().map(PathBuf::from).collect::<Vec<_>>()),
        _ => return Err(UsageError::NoUrls),
    };
    let uploads = uploads(&files, &url)?;
    let expect = low.expect.then_some(true);
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
    let (poll, alarm) = match poller(&session) {
        Ok(made) => made,
        Err(error) => {
            say(&format_args!("{error}"));
            return Ok(Exit::Output);
        }
    };
    let (unfinished, closing, waking) = (Unfinished::default(), session.clone(), alarm.clone());
    let end = move || {
        closing.close();
        let _ = waking.wake();
    };
    if let Err(error) = unfinished.remove_on_signal(plan.json, end) {
        say(&format_args!("cannot handle signals, so no request is sent: {error}"));
        return Ok(Exit::Output);
    }
    let start = Instant::now();
    let fields = lanes.lane(lane).fields.clone();
    let mut putting = Putting {
        plan: &plan,
        session,
        poll,
        events: Events::with_capacity(2),
        alarm,
        uploads: &uploads,
        fields,
        expect,
        deadline: plan.max_time.and_then(|time| start.checked_add(time)),
        ready: Ready::default(),
        under_way: BTreeMap::new(),
        silent: 0,
        results: BTreeMap::new(),
        progress: Progress::new(Some(uploads.len()), Show::of(&plan)),
        report: Report::new(&plan),
        unfinished: unfinished.clone(),
        next: 0,
        has_failed: false,
        is_unreadable: false,
        was_unreachable: false,
    };
    let stop = putting.go().err();
    let Putting { mut progress, report, has_failed, is_unreadable, .. } = putting;
    progress.end();
    let is_interrupted = has_failed && unfinished.is_interrupted();
    if is_interrupted {
        say(&Stop::Interrupted);
    }
    if let Some(stop) = &stop {
        say(stop);
    }
    report.explain();
    let exit = match () {
        () if stop.is_some() => Exit::Output,
        () if is_interrupted => Exit::Interrupted,
        () if is_unreadable => Exit::Output,
        () if has_failed => Exit::Connection,
        () if report.has_errors() => Exit::ErrorStatus,
        () => Exit::Success,
    };
    let connections = plan.connected.load(std::sync::atomic::Ordering::Relaxed);
    Ok(if report.end(connections, start.elapsed()) { exit } else { Exit::Output })
}

/// Makes a poller that waits for a session, and what wakes it.
fn poller(session: &Session) -> io::Result<(Poll, Arc<Waker>)> {
    let poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&session.as_raw_fd()), Token(0), Interest::READABLE)?;
    let alarm = Waker::new(poll.registry(), Token(1))?;
    Ok((poll, Arc::new(alarm)))
}

/// A run of uploads.
struct Putting<'a> {
    plan: &'a HiArgs,
    session: Session,
    poll: Poll,
    events: Events,
    /// Ends a wait for the session.
    alarm: Arc<Waker>,
    uploads: &'a [Upload],
    fields: Fields,
    expect: Option<bool>,
    deadline: Option<Instant>,
    ready: Ready,
    /// Uploads without result, by their numbers.
    under_way: BTreeMap<usize, (Arc<Bell>, Box<Sending>)>,
    /// How many of these are pipes that have given nothing so far.
    silent: usize,
    /// Results behind an upload without one.
    results: BTreeMap<usize, Record>,
    progress: Progress,
    report: Report,
    unfinished: Unfinished,
    /// The number of the next upload to begin.
    next: usize,
    has_failed: bool,
    is_unreadable: bool,
    was_unreachable: bool,
}

/// How many pipes that have given nothing are waited for beside the uploads that go on.
const SILENT: usize = 256;

impl Putting<'_> {
    fn go(&mut self) -> Result<(), Stop> {
        loop {
            self.fill();
            let has_news = !self.ready.is_empty();
            while let Some(number) = self.ready.take() {
                self.advance(usize::try_from(number).expect("it numbers a vector"));
            }
            if has_news {
                continue;
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.wait() {
                // The uploads end with an error each.
                self.session.close();
                self.session.turn();
                while let Some(number) = self.ready.take() {
                    self.advance(usize::try_from(number).expect("it numbers a vector"));
                }
                return Err(Stop::System(error));
            }
        }
    }

    /// Lets the session go on until an upload has news.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            self.session.turn();
            if !self.ready.is_empty() {
                return Ok(());
            }
            let until = self.session.wait_until().map(|until| until.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut self.events, until) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    /// Begins uploads until enough are under way.
    fn fill(&mut self) {
        let ahead = self.session.take_ahead();
        while self.under_way.len() - self.silent.min(SILENT) < ahead
            && let Some(upload) = self.uploads.get(self.next)
        {
            let number = self.next;
            self.next += 1;
            let bell = self.ready.bell(number as u64);
            match self.begin(upload, &bell) {
                Ok(sending) => {
                    self.silent += usize::from(sending.is_silent());
                    self.under_way.insert(number, (bell.clone(), Box::new(sending)));
                    bell.ring();
                }
                Err(failed) => self.end(number, Err(*failed)),
            }
        }
    }

    fn begin(&self, upload: &Upload, bell: &Arc<Bell>) -> Result<Sending, Box<Failed>> {
        let mut head = RequestHead::new(self.plan.method.clone(), &*upload.target).expect("`urls::parse` has checked the target");
        head.fields = self.fields.clone();
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let request = dugong_session::Request::from(Request::from(head)).expect(self.expect).total_timeout(left);
        let ticket = self.session.submit_blocking(request.source(Announced { length: upload.length })).map_err(Box::new)?;
        ticket.set_waker(&bell.waker());
        let content = match upload.length {
            Some(_) => Content::file(upload.file.clone()),
            None => {
                let (bell, alarm) = (bell.clone(), self.alarm.clone());
                let pipe = Pipe::open(&upload.file, move || {
                    bell.ring();
                    // It fails only if the program has closed the poller.
                    let _ = alarm.wake();
                });
                Content::pipe(pipe)
            }
        };
        Ok(Sending::new(ticket, content))
    }

    fn advance(&mut self, number: usize) {
        let Some((bell, sending)) = self.under_way.remove(&number) else { return };
        self.silent -= usize::from(sending.is_silent());
        match sending.advance() {
            Ok(result) => self.end(number, result),
            Err(sending) => {
                self.silent += usize::from(sending.is_silent());
                self.under_way.insert(number, (bell, sending));
            }
        }
    }

    /// Tells of an upload that has a result.
    fn end(&mut self, number: usize, result: Result<Reply, Failed>) {
        let upload = &self.uploads[number];
        let record = record(upload, &result);
        let failed = result.as_ref().err();
        self.is_unreadable |= failed.is_some_and(|failed| matches!(failed.cause, Cause::Source(_)));
        self.has_failed |= failed.is_some();
        let complaint = match (&record.error, record.outcome) {
            (Some(error), _) => Some(error.to_string()),
            (None, Outcome::ErrorStatus | Outcome::Redirect) => Some(record.status_text()),
            _ => None,
        };
        let is_interrupted = self.unfinished.is_interrupted();
        if is_interrupted {
            self.unfinished.begin_last_words();
        }
        // All uploads fail alike if there is no server.
        let is_unreachable = failed.is_some_and(|failed| matches!(failed.cause, Cause::Unreachable(_)));
        let is_told = is_unreachable && self.was_unreachable;
        self.was_unreachable |= is_unreachable;
        if let Some(complaint) = complaint.filter(|_| !is_interrupted && !is_told) {
            self.progress.suspend(|| say(&format_args!("{}: {complaint}", upload.url)));
        }
        if failed.is_none() {
            let count = usize::try_from(upload.length.unwrap_or_default()).unwrap_or(usize::MAX);
            self.progress.received(number as u64, count);
        }
        self.progress.answered(number as u64);
        self.results.insert(number, record);
        // The summary has the order of the files.
        while let Some((first, record)) = self.results.pop_first() {
            if self.under_way.first_key_value().is_some_and(|(&earlier, _)| earlier < first) {
                self.results.insert(first, record);
                break;
            }
            self.report.add(&self.uploads[first].url, &record);
        }
    }
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
        let found = file.metadata().map_err(unreadable)?;
        if found.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        // It must be readable, too. Opening a pipe would wait for its writer.
        let readable =
            if found.is_file() { File::open(file).map(drop) } else { access(file, Access::READ_OK).map_err(Into::into) };
        readable.map_err(unreadable)?;
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

fn record(upload: &Upload, result: &Result<Reply, Failed>) -> Record {
    match result {
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
            let error = match &failed.cause {
                Cause::Source(error) => format!("cannot read {}: {error}", upload.file.display()),
                _ => reason(failed),
            };
            Record::failed(failed, error.into())
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
