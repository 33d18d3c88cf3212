//! Carries out a plan of `dugong get` or `dugong head`. When an orderly server closes the connection, it makes another.

use std::fmt;
use std::io::{self, IsTerminal};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dugong_http::{
    CloseReason, Closed, Connection, Error, Incomplete, Pipeline, Request, Requests, Response, ResponseHead, Sent, TimeLimit,
    Unanswered, WaitingFor, Within,
};

use crate::interrupt::Unfinished;
use crate::outcome::{Exit, Outcome, OutputError, Record, Stop};
use crate::output::{Directory, PartialFile, Stdout};
use crate::pipelining::{PipelineSupport, Refusal};
use crate::plan::{Destination, HiArgs, Job};
use crate::progress::Progress;
use crate::report::Summary;
use crate::stderr::say;

/// The size of the buffer for content. However large a response is, it needs no more memory than this.
const PIECE: usize = 256 * 1024;

pub(crate) fn run(plan: &HiArgs) -> Exit {
    let unfinished = Unfinished::default();
    if let Err(error) = unfinished.remove_on_signal() {
        say(&format_args!("cannot handle signals, so no request is sent: {error}"));
        return Exit::Output;
    }
    let start = Instant::now();
    let mut fetch = Fetch {
        plan,
        records: Vec::with_capacity(plan.jobs.len()),
        current: None,
        is_spilled: false,
        connections: 0,
        support: PipelineSupport::new(plan.timeout),
        notes: Vec::new(),
        start,
        buffer: vec![0; PIECE],
        progress: Progress::new(plan.jobs.len(), shows_progress(plan)),
    };
    let stop = Sink::open(plan, unfinished).map_err(Stop::from).and_then(|mut sink| fetch.fetch(&mut sink)).err();
    fetch.progress.end();
    fetch.record_unanswered(0, &Requests::default(), stop.as_ref());
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

/// Shows progress to people only: not in a pipe, not between lines of content, and not in the summary.
fn shows_progress(plan: &HiArgs) -> bool {
    let apart = matches!(plan.destination, Destination::Directory { .. }) || !io::stdout().is_terminal();
    plan.progress && apart && !plan.json_on_stderr() && io::stderr().is_terminal()
}

/// A run of a plan.
struct Fetch<'a> {
    plan: &'a HiArgs,
    /// The results of the first URLs; the others are still to be fetched.
    records: Vec<Record>,
    /// The result of the URL whose response has begun.
    current: Option<Record>,
    /// A part of that response was written to standard output, which cannot be undone.
    is_spilled: bool,
    connections: u64,
    support: PipelineSupport,
    /// Remarks about the server.
    notes: Vec<String>,
    start: Instant,
    buffer: Vec<u8>,
    progress: Progress,
}

impl<'a> Fetch<'a> {
    fn fetch(&mut self, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        // It does not start anew with another connection.
        let deadline = plan.max_time.and_then(|time| self.start.checked_add(time));
        while self.records.len() < plan.jobs.len() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let mut connection = plan.config.clone().deadline(left).connect_to(&plan.origin)?;
            let mut flight = Flight { is_first: self.connections == 0, ..Flight::default() };
            self.connections += 1;
            let base = self.records.len();
            let fetched = self.fetch_over(&mut connection, &mut flight, sink);
            if connection.close_reason() == Some(CloseReason::UnaskedBytes) && self.records.len() == plan.jobs.len() {
                // The responses are good, and whether such bytes are seen depends on timing. So only -v and the summary report them.
                self.notes.push("the server sent bytes after the last response that no request asked for".to_owned());
            }
            let mut stop = match fetched {
                Ok(()) => break,
                // All requests are answered, so the error does not matter.
                Err(Stop::Lost { .. }) if self.records.len() == plan.jobs.len() => break,
                Err(stop) => stop,
            };
            let requests = connection.close();
            if let Stop::Lost { error, fruitless } = &mut stop
                && plan.reconnect
                && let Some(loss) = Loss::of(error, &requests, &flight, self.is_spilled)
            {
                match loss {
                    Loss::Agreed => {}
                    _ if !flight.together => {}
                    Loss::Closed => self.support.refused(Refusal::Closes, flight.answers),
                    Loss::Silent => self.support.refused(Refusal::IsSilent, flight.answers),
                }
                if flight.together || self.records.len() > base {
                    self.current = None;
                    continue;
                }
                // A request that went alone got no answer. Trying again could go on forever.
                *fruitless = !requests.unanswered.iter().any(|request| request.answer_begun);
            }
            self.record_unanswered(base, &requests, Some(&stop));
            return Err(stop);
        }
        Ok(())
    }

    /// Fetches the remaining URLs over one connection. On every connection after the first, one request goes alone before others
    /// follow, because the server might close the connection again if many came at once (RFC 9112 §9.3.2).
    fn fetch_over(&mut self, connection: &mut Connection, flight: &mut Flight, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        if !flight.is_first {
            let alone = self.requests().take(1);
            self.drive(connection.pipeline(alone), flight, sink)?;
        }
        if let Some(refusal) = self.support.one_at_a_time() {
            // Explain a pause. If only the last request goes alone, the user need not know.
            if refusal == Refusal::IsSilent || self.records.len() < plan.jobs.len() {
                self.note(&refusal);
            }
            return self.drive(connection.pipeline(self.requests()).max_requests(1), flight, sink);
        }
        flight.together = plan.depth != Some(1) && plan.jobs.len() - self.records.len() > 1;
        let patience = self.support.patience();
        if flight.together && plan.reconnect && plan.timeout.is_none_or(|timeout| timeout > patience) {
            connection.set_response_timeout(Some(patience));
            flight.patience = Some(patience);
        }
        let fetched = self.drive(self.in_flight(connection.pipeline(self.requests())), flight, sink);
        if let Err(Stop::Lost { error, .. }) = &fetched
            && flight.exceeded_patience(error)
        {
            let outstanding = connection.outstanding().unanswered;
            if outstanding.first().is_some_and(|request| request.answer_begun) {
                // The interim response shows that the server works on the request, so only the user's limit counts.
                connection.set_response_timeout(plan.timeout);
                flight.patience = None;
                let left = self.requests().skip(outstanding.len());
                return self.drive(self.in_flight(connection.pipeline(left)), flight, sink);
            }
        }
        fetched
    }

    /// Sets how many requests may be in flight.
    fn in_flight<'c, I: Iterator<Item = Request>>(&self, pipeline: Pipeline<'c, I>) -> Pipeline<'c, I> {
        match self.plan.depth {
            Some(depth) => pipeline.max_requests(depth),
            None => pipeline.max_requests(usize::MAX).max_bytes(usize::MAX),
        }
    }

    /// Makes the requests for the remaining URLs.
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
                self.support.pipelined_answer();
            } else if !flight.together {
                self.support.lone_answer(asked.elapsed());
            }
            self.receive(&mut response, sink)?;
        }
        Ok(())
    }

    /// Prints a remark about the server, once.
    fn note(&mut self, text: &dyn fmt::Display) {
        let text = text.to_string();
        if self.notes.contains(&text) {
            return;
        }
        if !self.plan.json_on_stderr() {
            self.progress.suspend(|| say(&text));
        }
        self.notes.push(text);
    }

    /// Reads one response to its end.
    fn receive(&mut self, response: &mut Response<'_>, sink: &mut Sink) -> Result<(), Stop> {
        let plan = self.plan;
        let job = &plan.jobs[self.records.len()];
        let is_error = response.status().is_error();
        let record = self.current.insert(Record::begun(response.head()));
        let location = if plan.shows_heads() { None } else { record.location.as_deref() };
        if (is_error || location.is_some()) && !plan.json_on_stderr() {
            let to = location.map(|to| format!(" to {to}, which is not followed")).unwrap_or_default();
            self.progress.suspend(|| say(&format_args!("{}: {}{to}", job.url, record.status_text())));
        }
        let mut target = sink.target(job, response.head())?;
        self.is_spilled = plan.shows_heads() || matches!(plan.destination, Destination::Stdout { include_heads: true, .. });
        let skip = is_error && plan.fail_early && matches!(target, Target::Discard);
        if !skip {
            self.progress.expect(response.content_length());
            loop {
                let count = response.read_content(&mut self.buffer)?;
                if count == 0 {
                    break;
                }
                record.bytes += count as u64;
                self.is_spilled |= matches!(target, Target::Stdout(_));
                target.write(&self.buffer[..count])?;
                self.progress.received(count);
            }
        }
        if let Target::File(file) = target {
            record.file = Some(file.finish()?);
        }
        record.outcome = match record.location {
            _ if is_error => Outcome::ErrorStatus,
            Some(_) => Outcome::Redirect,
            None => Outcome::Ok,
        };
        self.records.extend(self.current.take());
        self.is_spilled = false;
        self.progress.answered();
        if is_error && plan.fail_early { Err(Stop::ErrorStatus) } else { Ok(()) }
    }

    /// Records the results of the URLs without an answer. `requests` are those of a connection whose first request was for URL `base`.
    fn record_unanswered(&mut self, base: usize, requests: &Requests, stop: Option<&Stop>) {
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

/// The use of one connection.
#[derive(Debug, Default)]
struct Flight {
    is_first: bool,
    /// Several requests may be in flight. Before that, each goes alone.
    together: bool,
    /// How long the server may be silent meanwhile; `None` if the user's limit applies.
    patience: Option<Duration>,
    /// Answers to requests that were sent before the previous request was answered.
    answers: u64,
}

impl Flight {
    /// Tells if the error is that the server was silent for longer than `patience`.
    fn exceeded_patience(&self, error: &Error) -> bool {
        let Error::TimedOut { waiting_for: WaitingFor::Response, limit: TimeLimit::Phase(limit), .. } = error else {
            return false;
        };
        self.patience == Some(*limit)
    }
}

/// A loss of a connection after which its unanswered requests can be sent again: all of them are safe, and no byte of an answer
/// has come. A reset may overtake the end of an answer, so after a reset the beginning of one is allowed if it can be discarded.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// A message announced it, or the server closed the idle connection.
    Agreed,
    /// The server closed or reset the connection unannounced.
    Closed,
    /// The server was silent for too long.
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
                        // They may be the beginning of a 408.
                        | CloseReason::UnaskedBytes
                        | CloseReason::ProxyNotPersistent,
                    ),
                ..
            } => Loss::Agreed,
            // The stream ended before a response. A server that closes with requests unread resets the connection, and over TLS it
            // may omit the alert, which is harmless there (RFC 9112 §9.8).
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
            error if flight.exceeded_patience(error) => Loss::Silent,
            _ => return None,
        };
        let can_go_again = |request: &Unanswered| request.is_safe_to_retry() && (may_have_begun || !request.answer_begun);
        requests.unanswered.iter().all(can_go_again).then_some(loss)
    }
}

/// The destination of all content.
enum Sink {
    Stdout { out: Stdout, include_heads: bool, keep_errors: bool },
    Directory(Directory),
}

/// The destination of the content of one response.
enum Target<'a> {
    Discard,
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

    fn target(&mut self, job: &Job, head: &ResponseHead) -> Result<Target<'_>, OutputError> {
        let is_error = head.status().is_error();
        match self {
            Sink::Stdout { keep_errors: false, .. } | Sink::Directory(_) if is_error => Ok(Target::Discard),
            Sink::Stdout { out, include_heads, .. } => {
                if *include_heads {
                    out.write_head(head)?;
                }
                Ok(Target::Stdout(out))
            }
            Sink::Directory(directory) => {
                let name = job.name.as_deref().expect("the plan names each URL's file if there is a directory");
                directory.create(name).map(Target::File)
            }
        }
    }
}

impl Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match self {
            Target::Discard => Ok(()),
            Target::Stdout(out) => out.write(bytes),
            Target::File(file) => file.write(bytes),
        }
    }
}
