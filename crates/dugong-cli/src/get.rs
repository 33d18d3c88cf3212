//! Carries out a plan, of `dugong get` or `dugong head`, over as many connections as an orderly server makes necessary.

use std::fmt;
use std::io::{self, IsTerminal};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dugong_http::transport::tls::TlsFailure;
use dugong_http::{
    CloseReason, Closed, Connection, Error, Incomplete, Pipeline, Request, Requests, Response, ResponseHead, Sent, TimeLimit,
    Unanswered, WaitingFor, Within,
};

use crate::Exit;
use crate::interrupt::Unfinished;
use crate::manners::{Manners, Refusal};
use crate::output::{Directory, OutputError, PartialFile, Stdout};
use crate::plan::{Destination, HiArgs, Job};
use crate::progress::Progress;
use crate::report::{self, Outcome, Record, Summary};

/// Content is read in pieces of at most this size, so this is all the memory that the size of content can cost.
const PIECE: usize = 256 * 1024;

pub(crate) fn run(plan: &HiArgs) -> Exit {
    let unfinished = Unfinished::default();
    if let Err(error) = unfinished.remove_on_signal() {
        report::say(&format_args!("signals cannot be handled, so nothing is begun: {error}"));
        return Exit::Output;
    }
    let start = Instant::now();
    let mut fetch = Fetch {
        plan,
        records: Vec::with_capacity(plan.jobs.len()),
        current: None,
        spilled: false,
        connections: 0,
        manners: Manners::new(plan.timeout),
        notes: Vec::new(),
        start,
        buffer: vec![0; PIECE],
        progress: Progress::new(plan.jobs.len(), shows_progress(plan)),
    };
    let stop = Sink::open(plan, unfinished).map_err(Stop::from).and_then(|mut sink| fetch.fetch(&mut sink)).err();
    fetch.progress.end();
    fetch.settle(0, &Requests::default(), stop.as_ref());
    let summary = Summary {
        plan,
        records: &fetch.records,
        notes: &fetch.notes,
        connections: fetch.connections,
        time: start.elapsed(),
        stop: stop.as_ref(),
    };
    if !plan.json_on_stderr() {
        summary.explain();
    }
    let exit = match &stop {
        Some(Stop::Output(OutputError::ReaderLeft)) => Exit::Success,
        Some(Stop::Output(_)) => Exit::Output,
        Some(Stop::Lost { .. }) => Exit::Connection,
        Some(Stop::ErrorStatus) => Exit::ErrorStatus,
        None if fetch.records.iter().any(|record| record.outcome == Outcome::ErrorStatus) => Exit::ErrorStatus,
        None => Exit::Success,
    };
    if plan.json && !summary.print_json() { Exit::Output } else { exit }
}

/// Only for people: not into a pipe, not between lines of content, and not into the summary.
fn shows_progress(plan: &HiArgs) -> bool {
    let apart = matches!(plan.destination, Destination::Directory { .. }) || !io::stdout().is_terminal();
    plan.progress && apart && !plan.json_on_stderr() && io::stderr().is_terminal()
}

/// Why not everything was fetched.
#[derive(Debug)]
pub(crate) enum Stop {
    /// There is no connection any more. With whether the server closed it in order, but without a single answer.
    Lost { error: Error, fruitless: bool },
    /// Content cannot be put where it belongs.
    Output(OutputError),
    /// `--fail-early`, and a response was an error.
    ErrorStatus,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Lost { error, fruitless: false }
    }
}

impl From<OutputError> for Stop {
    fn from(error: OutputError) -> Self {
        Stop::Output(error)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Lost { error, fruitless } => {
                if *fruitless {
                    f.write_str("the server closes connections without an answer: ")?;
                }
                write!(f, "{error:#}")?;
                // The options for what the library calls the deadline of a connection, and a root.
                match error {
                    Error::TimedOut { limit: TimeLimit::Deadline, .. } => f.write_str(" (--max-time)"),
                    Error::Tls { source, .. } if lacks_root(&source.what) => f.write_str(" (--cacert FILE)"),
                    _ => Ok(()),
                }
            }
            Stop::Output(error) => error.fmt(f),
            Stop::ErrorStatus => f.write_str("stopped at the first error status"),
        }
    }
}

/// Whether the certificate might be trusted if it, or that of its issuer, was given.
fn lacks_root(failure: &TlsFailure) -> bool {
    matches!(failure, TlsFailure::SelfSigned | TlsFailure::UnknownIssuer | TlsFailure::NoRoots(_))
}

/// A plan that is being carried out.
struct Fetch<'a> {
    plan: &'a HiArgs,
    /// What came of the first URLs; the others are still to do.
    records: Vec<Record>,
    /// The URL whose response has begun.
    current: Option<Record>,
    /// Some of it was written where it cannot be taken back.
    spilled: bool,
    connections: u64,
    /// How the origin treats pipelined requests.
    manners: Manners,
    /// Notes for the user about the origin.
    notes: Vec<String>,
    start: Instant,
    buffer: Vec<u8>,
    progress: Progress,
}

impl<'a> Fetch<'a> {
    fn fetch(&mut self, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        // Connecting again does not begin it anew.
        let deadline = plan.max_time.and_then(|time| self.start.checked_add(time));
        while self.records.len() < plan.jobs.len() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let mut connection = plan.config.clone().deadline(left).connect_to(&plan.origin)?;
            let mut flight = Flight { is_first: self.connections == 0, ..Flight::default() };
            self.connections += 1;
            let base = self.records.len();
            let fetched = self.fetch_over(&mut connection, &mut flight, sink);
            if connection.close_reason() == Some(CloseReason::UnaskedBytes) && self.records.len() == plan.jobs.len() {
                // Nothing is wrong with the answers, and whether more is seen depends on when it came: -v tells, and the summary.
                self.notes.push("the server sent bytes after the last response that no request asked for".to_owned());
            }
            let mut stop = match fetched {
                Ok(()) => break,
                // All are answered, whatever becomes of the connection.
                Err(Stop::Lost { .. }) if self.records.len() == plan.jobs.len() => break,
                Err(stop) => stop,
            };
            let requests = connection.close();
            if let Stop::Lost { error, fruitless } = &mut stop
                && plan.reconnect
                && let Some(loss) = Loss::of(error, &requests, &flight, self.spilled)
            {
                match loss {
                    Loss::Agreed => {}
                    _ if !flight.together => {}
                    Loss::Closed => self.manners.refused(Refusal::Closes, flight.answers),
                    Loss::Silent => self.manners.refused(Refusal::IsSilent, flight.answers),
                }
                if flight.together || self.records.len() > base {
                    self.current = None;
                    continue;
                }
                // Alone on a connection of its own, it would go on like this for ever.
                *fruitless = !requests.unanswered.iter().any(|request| request.answer_begun);
            }
            self.settle(base, &requests, Some(&stop));
            return Err(stop);
        }
        Ok(())
    }

    /// Fetches what is left over one connection. On any but the first one the first request goes alone: a server that closes
    /// might do so again at the sight of many (RFC 9112 §9.3.2).
    fn fetch_over(&mut self, connection: &mut Connection, flight: &mut Flight, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        if !flight.is_first {
            let alone = self.requests().take(1);
            self.drive(connection.pipeline(alone), flight, sink)?;
        }
        if let Some(refusal) = self.manners.one_at_a_time() {
            // A pause wants an explanation; that the last request went alone does not.
            if refusal == Refusal::IsSilent || self.records.len() < plan.jobs.len() {
                self.note(&refusal);
            }
            return self.drive(connection.pipeline(self.requests()).max_requests(1), flight, sink);
        }
        flight.together = plan.depth != Some(1) && plan.jobs.len() - self.records.len() > 1;
        let patience = self.manners.patience();
        if flight.together && plan.reconnect && plan.timeout.is_none_or(|timeout| timeout > patience) {
            connection.set_response_timeout(Some(patience));
            flight.patience = Some(patience);
        }
        let fetched = self.drive(self.in_flight(connection.pipeline(self.requests())), flight, sink);
        if let Err(Stop::Lost { error, .. }) = &fetched
            && flight.ended_patience(error)
        {
            let outstanding = connection.outstanding().unanswered;
            if outstanding.first().is_some_and(|request| request.answer_begun) {
                // After an interim response the server is known to work on it: only the user's patience counts.
                connection.set_response_timeout(plan.timeout);
                flight.patience = None;
                let left = self.requests().skip(outstanding.len());
                return self.drive(self.in_flight(connection.pipeline(left)), flight, sink);
            }
        }
        fetched
    }

    /// As many requests in flight as the plan has it.
    fn in_flight<'c, I: Iterator<Item = Request>>(&self, pipeline: Pipeline<'c, I>) -> Pipeline<'c, I> {
        match self.plan.depth {
            Some(depth) => pipeline.max_requests(depth),
            None => pipeline.max_requests(usize::MAX).max_bytes(usize::MAX),
        }
    }

    /// Requests for what is left.
    fn requests(&self) -> impl Iterator<Item = Request> + use<'a> {
        let plan = self.plan;
        plan.jobs[self.records.len()..].iter().map(|job| job.request(plan))
    }

    fn drive(
        &mut self,
        mut pipeline: Pipeline<'_, impl Iterator<Item = Request>>,
        flight: &mut Flight,
        sink: &mut Sink,
    ) -> Result<(), Stop> {
        for number in 0.. {
            let was_sent = pipeline.taken() > number;
            let asked = Instant::now();
            let Some(mut response) = pipeline.next()? else { break };
            if was_sent {
                flight.answers += 1;
                self.manners.pipelined_answer();
            } else if !flight.together {
                self.manners.lone_answer(asked.elapsed());
            }
            self.take(&mut response, sink)?;
        }
        Ok(())
    }

    /// Tells the user something about the server, once.
    fn note(&mut self, text: &dyn fmt::Display) {
        let text = text.to_string();
        if self.notes.contains(&text) {
            return;
        }
        if !self.plan.json_on_stderr() {
            self.progress.suspend(|| report::say(&text));
        }
        self.notes.push(text);
    }

    /// Takes one response to its end.
    fn take(&mut self, response: &mut Response<'_>, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        let job = &plan.jobs[self.records.len()];
        let is_error = response.status().is_error();
        let record = self.current.insert(Record::begun(response.head()));
        let leads_on = if plan.shows_heads() { None } else { record.location.as_deref() };
        if (is_error || leads_on.is_some()) && !plan.json_on_stderr() {
            let to = leads_on.map(|to| format!(" to {to}, which is not followed")).unwrap_or_default();
            self.progress.suspend(|| report::say(&format_args!("{}: {}{to}", job.url, record.status_text())));
        }
        let mut place = sink.place(job, response.head())?;
        self.spilled = plan.shows_heads() || matches!(plan.destination, Destination::Stdout { include_heads: true, .. });
        let skip = is_error && plan.fail_early && matches!(place, Place::Nowhere);
        if !skip {
            self.progress.expect(response.content_length());
            loop {
                let count = response.read_content(&mut self.buffer)?;
                if count == 0 {
                    break;
                }
                record.bytes += count as u64;
                self.spilled |= matches!(place, Place::Stdout(_));
                place.write(&self.buffer[..count])?;
                self.progress.received(count);
            }
        }
        if let Place::File(file) = place {
            record.file = Some(file.finish()?);
        }
        record.outcome = match record.location {
            _ if is_error => Outcome::ErrorStatus,
            Some(_) => Outcome::Redirect,
            None => Outcome::Ok,
        };
        self.records.extend(self.current.take());
        self.spilled = false;
        self.progress.answered();
        if is_error && plan.fail_early { Err(Stop::ErrorStatus) } else { Ok(()) }
    }

    /// Records what came of the URLs without an answer; `requests` were those of a connection whose first was number `base`.
    fn settle(&mut self, base: usize, requests: &Requests, stop: Option<&Stop>) {
        let error: Option<Rc<str>> = stop.map(|stop| stop.to_string().into());
        if let Some(current) = self.current.take() {
            self.records.push(Record { outcome: Outcome::Incomplete, safe_to_retry: true, error: error.clone(), ..current });
        }
        for unanswered in &requests.unanswered {
            let index = base + usize::try_from(unanswered.number).unwrap_or(usize::MAX);
            if index < self.records.len() {
                continue;
            }
            let outcome = match unanswered.sent {
                _ if unanswered.answer_begun => Outcome::Incomplete,
                Sent::Nothing => Outcome::NotSent,
                _ => Outcome::Unanswered,
            };
            self.records.push(Record::without_answer(outcome, unanswered.is_safe_to_retry(), error.clone()));
        }
        let total = self.plan.jobs.len();
        self.records.resize_with(total, || Record::without_answer(Outcome::NotSent, true, error.clone()));
    }
}

/// One connection in use.
#[derive(Debug, Default)]
struct Flight {
    is_first: bool,
    /// Several requests may be in flight; before, each went alone.
    together: bool,
    /// How long the server may be silent meanwhile, if that is not the user's limit.
    patience: Option<Duration>,
    /// Answers to requests that were sent before the one before was answered.
    answers: u64,
}

impl Flight {
    /// Whether patience with a server that may not pipeline has ended.
    fn ended_patience(&self, error: &Error) -> bool {
        let Error::TimedOut { waiting_for: WaitingFor::Response, limit: TimeLimit::Phase(limit), .. } = error else {
            return false;
        };
        self.patience == Some(*limit)
    }
}

/// How a connection was lost, if its unanswered requests can be sent again on another one: they are all safe, and not a byte of
/// an answer has come. A reset may overtake the end of an answer: then it is enough that the beginning can be taken back.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// A message announced the close, or the server closed the idle connection.
    Agreed,
    /// The server closed or reset it without a word.
    Closed,
    /// The server fell silent, and patience has ended.
    Silent,
}

impl Loss {
    fn of(error: &Error, requests: &Requests, flight: &Flight, spilled: bool) -> Option<Loss> {
        let mut may_have_begun = false;
        let loss = match error {
            Error::Closed {
                cause:
                    Closed::InOrder(
                        CloseReason::ServerSaidClose
                        | CloseReason::Http10
                        | CloseReason::CloseDelimited
                        | CloseReason::ClientSaidClose
                        | CloseReason::PeerClosed
                        | CloseReason::RequestTimeout
                        // So few bytes that they may have become a 408.
                        | CloseReason::UnaskedBytes
                        | CloseReason::ProxyNotPersistent,
                    ),
                ..
            } => Loss::Agreed,
            // The end of the stream before a response, whatever the system says: a server that closes with requests unread resets
            // the connection, and over TLS it may leave out the alert, which is harmless there (RFC 9112 §9.8).
            Error::Closed {
                cause: Closed::Incomplete(Incomplete { within: Within::Nothing, .. }, _) | Closed::Sending(_),
                ..
            } => Loss::Closed,
            Error::Closed { cause: Closed::Incomplete(_, Some(error)), .. }
                if error.kind() == io::ErrorKind::ConnectionReset && !spilled =>
            {
                may_have_begun = true;
                Loss::Closed
            }
            error if flight.ended_patience(error) => Loss::Silent,
            _ => return None,
        };
        let can_go_again = |request: &Unanswered| request.is_safe_to_retry() && (may_have_begun || !request.answer_begun);
        requests.unanswered.iter().all(can_go_again).then_some(loss)
    }
}

/// Where content goes.
enum Sink {
    Stdout { out: Stdout, include_heads: bool, keep_errors: bool },
    Directory(Directory),
}

/// Where the content of one response goes.
enum Place<'a> {
    Nowhere,
    Stdout(&'a mut Stdout),
    File(PartialFile<'a>),
}

impl Sink {
    fn open(plan: &HiArgs, unfinished: Unfinished) -> Result<Self, OutputError> {
        match &plan.destination {
            &Destination::Stdout { include_heads, keep_errors } => {
                Ok(Sink::Stdout { out: Stdout::new()?, include_heads, keep_errors })
            }
            Destination::Directory { path, force } => {
                let names = plan.jobs.iter().filter_map(|job| job.name.as_deref());
                Directory::prepare(path, *force, names, unfinished).map(Sink::Directory)
            }
        }
    }

    fn place(&mut self, job: &Job, head: &ResponseHead) -> Result<Place<'_>, OutputError> {
        let is_error = head.status().is_error();
        match self {
            Sink::Stdout { keep_errors: false, .. } | Sink::Directory(_) if is_error => Ok(Place::Nowhere),
            Sink::Stdout { out, include_heads, .. } => {
                if *include_heads {
                    out.write_head(head)?;
                }
                Ok(Place::Stdout(out))
            }
            Sink::Directory(directory) => {
                let name = job.name.as_deref().expect("with a directory every URL has a name");
                directory.create(name).map(Place::File)
            }
        }
    }
}

impl Place<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match self {
            Place::Nowhere => Ok(()),
            Place::Stdout(out) => out.write(bytes),
            Place::File(file) => file.write(bytes),
        }
    }
}
