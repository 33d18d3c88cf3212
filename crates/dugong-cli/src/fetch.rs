//! Carries out a plan of `dugong get`, `dugong head` or `dugong request`.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dugong_http::{Fields, Method, Origin, Request, RequestHead};
use dugong_session::driver::{Asked, follow};
use dugong_session::{Cause, Failed, Loss, NoRepeat, Reply, Ticket};

use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::list::{Entry, List, Next};
use crate::outcome::{Exit, Outcome, OutputError, Record, Stop, reason};
use crate::plan::{Destination, HiArgs};
use crate::progress::Progress;
use crate::report::Report;
use crate::sink::{Name, Sink, Target};
use crate::stderr::say;
use crate::usage::UsageError;

/// Fetches the URLs of a plan.
///
/// # Errors
/// The list is wrong. No request was sent.
pub(crate) fn run(plan: &HiArgs) -> Result<Exit, UsageError> {
    let unfinished = Unfinished::default();
    if let Err(error) = unfinished.remove_on_signal(plan.json) {
        say(&format_args!("cannot handle signals, so no request is sent: {error}"));
        return Ok(Exit::Output);
    }
    let mut lanes = Lanes::new(plan);
    let total = check(plan, &mut lanes)?;
    plan.open_trace()?;
    let start = Instant::now();
    let mut fetch = Fetch {
        plan,
        lanes,
        list: List::new(&plan.urls, &plan.lists),
        next: None,
        pending: VecDeque::new(),
        report: Report::new(plan),
        progress: Progress::new(total, shows_progress(plan)),
        deadline: plan.max_time.and_then(|time| start.checked_add(time)),
        unfinished: unfinished.clone(),
        has_failed: false,
        has_bad_lines: false,
        has_output_error: false,
    };
    let opened = Sink::open(plan, unfinished).map_err(Stop::from).and_then(|mut sink| {
        fetch.check_names(&mut sink)?;
        fetch.go(&mut sink)
    });
    fetch.progress.end();
    let stop = opened.err();
    if stop.is_none() && fetch.report.is_empty() && !fetch.has_bad_lines {
        return Err(UsageError::NoUrls);
    }
    fetch.give_up(stop.as_ref());
    fetch.note_pipelining();
    Ok(fetch.end(stop.as_ref(), start.elapsed()))
}

/// Checks the part of the list that can be read twice. The result is the number of URLs, if no pipe may have more.
fn check(plan: &HiArgs, lanes: &mut Lanes<'_>) -> Result<Option<usize>, UsageError> {
    let mut list = List::of_files(&plan.urls, &plan.lists);
    let mut count = 0;
    loop {
        match list.next(Duration::ZERO) {
            Next::Entry(entry) => {
                lanes.find(&entry.origin)?;
                count += 1;
            }
            Next::Bad(error) => return Err(error),
            Next::Later => {}
            Next::End => break,
        }
    }
    let is_file = |path: &std::path::PathBuf| path.as_os_str() != "-" && path.is_file();
    match plan.lists.iter().all(is_file) {
        true if count == 0 => Err(UsageError::NoUrls),
        true => Ok(Some(count)),
        false => Ok(None),
    }
}

/// Shows progress to people only: not in a pipe, not between lines of content, and not in the summary.
fn shows_progress(plan: &HiArgs) -> bool {
    let apart = !matches!(plan.destination, Destination::Stdout { .. }) || !io::stdout().is_terminal();
    plan.progress && apart && !plan.json_on_stderr() && io::stderr().is_terminal()
}

/// A run of a plan.
struct Fetch<'a> {
    plan: &'a HiArgs,
    lanes: Lanes<'a>,
    list: List,
    /// Taken from the list, while its origin has enough requests.
    next: Option<Entry>,
    /// URLs without a result, in the order of the list.
    pending: VecDeque<Pending>,
    report: Report,
    progress: Progress,
    deadline: Option<Instant>,
    unfinished: Unfinished,
    /// Some request has no answer.
    has_failed: bool,
    /// Some line of a pipe is wrong.
    has_bad_lines: bool,
    /// Some file cannot be written.
    has_output_error: bool,
}

/// A URL without a result.
struct Pending {
    url: String,
    name: Name,
    state: State,
}

enum State {
    Asked(Box<Journey>),
    /// It was not requested, and this is why.
    Over(Record),
}

/// A request on its way, perhaps through redirects.
struct Journey {
    lane: usize,
    ticket: Option<Ticket>,
    method: Method,
    target: String,
    fields: Fields,
    /// How often it may still be sent again after some of its answer came.
    again: u32,
    /// How many redirects may still be followed.
    left: u32,
    /// Attempts before the last redirect.
    attempts: u32,
}

/// What became of a request.
enum Received {
    /// It has this result. The run ends if there is a reason.
    Over(Record, Option<Stop>),
    /// Its answer was cut, and none of it went where it cannot be taken back.
    Again,
}

/// How many URLs may be without a result.
const AHEAD: usize = 4096;
/// How often a wait is interrupted to look for signals and new lines.
const TICK: Duration = Duration::from_millis(100);
/// After so many requests in a row that failed after all retries, an origin gets no more.
const HOPELESS: u32 = 3;

impl<'a> Fetch<'a> {
    /// Finds files in the way before anything is requested, as far as the list can be read twice.
    fn check_names(&self, sink: &mut Sink) -> Result<(), Stop> {
        let mut list = List::of_files(&self.plan.urls, &self.plan.lists);
        while let Next::Entry(entry) = list.next(Duration::ZERO) {
            sink.name(&entry.target)?;
        }
        sink.forget_names();
        Ok(())
    }

    fn go(&mut self, sink: &mut Sink) -> Result<(), Stop> {
        loop {
            let is_over = self.fill(sink)?;
            let Some(mut first) = self.pending.pop_front() else {
                if is_over {
                    return Ok(());
                }
                self.check_end()?;
                continue;
            };
            let record = match &mut first.state {
                State::Over(_) => None,
                State::Asked(journey) => match self.answer(journey) {
                    Ok(Some(answer)) => match self.receive(&first.url, &first.name, journey, answer, sink) {
                        Received::Over(record, stop) => Some((record, stop)),
                        Received::Again => {
                            self.send_again(journey)?;
                            self.pending.push_front(first);
                            continue;
                        }
                    },
                    // Lines of a pipe may have come.
                    Ok(None) => {
                        self.pending.push_front(first);
                        continue;
                    }
                    Err(stop) => {
                        self.pending.push_front(first);
                        return Err(stop);
                    }
                },
            };
            let result = match (record, first.state) {
                (Some(record), State::Asked(journey)) => {
                    self.lanes.lane(journey.lane).pending -= 1;
                    record
                }
                (_, State::Over(record)) => (record, None),
                (None, State::Asked(_)) => unreachable!("it has a result"),
            };
            let (record, stop) = result;
            self.report.add(&first.url, &record);
            self.progress.answered();
            if let Some(stop) = stop {
                return Err(stop);
            }
        }
    }

    /// Submits requests until enough are on their way; true at the end of the list.
    fn fill(&mut self, sink: &mut Sink) -> Result<bool, Stop> {
        while self.pending.len() < AHEAD {
            let entry = match self.next.take() {
                Some(entry) => entry,
                None => match self.list.next(if self.pending.is_empty() { TICK } else { Duration::ZERO }) {
                    Next::Entry(entry) => entry,
                    Next::Later => return Ok(false),
                    Next::End => return Ok(true),
                    Next::Bad(error) => {
                        self.complain(&error);
                        self.has_bad_lines = true;
                        continue;
                    }
                },
            };
            let lane = match self.lanes.find(&entry.origin) {
                Ok(lane) => lane,
                Err(error) => {
                    self.complain(&error);
                    self.has_bad_lines = true;
                    continue;
                }
            };
            if self.lanes.lane(lane).gone.is_none() {
                let session = self.lanes.session(lane).map_err(system)?;
                if self.lanes.lane(lane).pending >= session.take_ahead() {
                    self.next = Some(entry);
                    return Ok(false);
                }
            }
            self.submit(entry, lane, sink)?;
        }
        Ok(false)
    }

    /// Requests a URL, unless its file or its origin is in the way.
    fn submit(&mut self, entry: Entry, lane: usize, sink: &mut Sink) -> Result<(), Stop> {
        let Entry { url, target, .. } = entry;
        let mut over = |name, record| self.pending.push_back(Pending { url: url.clone(), name, state: State::Over(record) });
        let name = match sink.name(&target) {
            Ok(Name::Skip(name)) => {
                let file = sink.path(&name);
                over(Name::None, Record { file, ..Record::not_requested(Outcome::Skipped, None) });
                return Ok(());
            }
            Ok(name) => name,
            Err(error) => {
                let text: Rc<str> = error.to_string().into();
                over(Name::None, Record::not_requested(Outcome::NotSent, Some(text)));
                self.complain(&error);
                self.has_output_error = true;
                return Ok(());
            }
        };
        if let Some(gone) = self.lanes.lane(lane).gone.clone() {
            over(name, Record::not_requested(Outcome::NotSent, Some(gone)));
            self.has_failed = true;
            return Ok(());
        }
        let mut head = RequestHead::new(self.plan.method.clone(), &*target).expect("`urls::parse` has checked the target");
        head.fields = self.lanes.lane(lane).fields.clone();
        let ticket = self.send(lane, self.with_content(head))?;
        let (method, again, left) = (self.plan.method.clone(), self.plan.retries, self.plan.redirects);
        let fields = self.lanes.lane(lane).fields.clone();
        let journey = Journey { lane, ticket: Some(ticket), method, target, fields, again, left, attempts: 0 };
        self.pending.push_back(Pending { url, name, state: State::Asked(Box::new(journey)) });
        Ok(())
    }

    fn with_content(&self, head: RequestHead) -> Request {
        let request = Request::from(head);
        match &self.plan.content {
            Some(content) => request.body(content.clone()),
            None => request,
        }
    }

    /// Submits a request to the session of an origin.
    fn send(&mut self, lane: usize, request: Request) -> Result<Ticket, Stop> {
        let session = self.lanes.session(lane).map_err(system)?;
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let request = dugong_session::Request::from(request).streamed().total_timeout(left);
        let ticket = session.submit_blocking(request).map_err(|failed| Stop::System(failed.into()))?;
        self.lanes.lane(lane).pending += 1;
        Ok(ticket)
    }

    /// Waits for the answer to a request, through redirects; `None` if the list may have more to send first.
    fn answer(&mut self, journey: &mut Journey) -> Result<Option<Result<Reply, Failed>>, Stop> {
        loop {
            let ticket = journey.ticket.as_mut().expect("it has no answer yet");
            let is_filling = self.list.is_waiting() && self.pending.len() < AHEAD;
            let ticks = is_filling || self.plan.json;
            let until = ticks.then(|| Instant::now() + TICK);
            if !self.lanes.wait_for_answer(ticket, until).map_err(Stop::System)? {
                self.check_end()?;
                if is_filling {
                    return Ok(None);
                }
                continue;
            }
            let ticket = journey.ticket.take().expect("it was there before the wait");
            match ticket.take_reply() {
                Err(ticket) => journey.ticket = Some(ticket),
                Ok(Err(failed)) => return Ok(Some(Err(failed))),
                Ok(Ok(reply)) => match self.next_hop(journey, &reply)? {
                    false => return Ok(Some(Ok(reply))),
                    true => drop(reply),
                },
            }
        }
    }

    /// Follows a redirect; false if the reply is none, or is not followed.
    fn next_hop(&mut self, journey: &mut Journey, reply: &Reply) -> Result<bool, Stop> {
        if journey.left == 0 {
            return Ok(false);
        }
        let Journey { method, target, fields, .. } = &*journey;
        let asked = Asked { method, target, fields, is_repeatable: true };
        let origin: Origin = self.lanes.origin(journey.lane).clone();
        let Ok(next) = follow(asked, &origin, reply.status(), reply.fields()) else { return Ok(false) };
        // The options may not fit the other origin.
        let Ok(lane) = self.lanes.find(&next.origin) else { return Ok(false) };
        let Ok(mut head) = RequestHead::new(next.method.clone(), &*next.target) else { return Ok(false) };
        head.fields = next.fields.clone();
        self.lanes.lane(journey.lane).pending -= 1;
        let request = if next.keeps_content { self.with_content(head) } else { Request::from(head) };
        journey.ticket = Some(self.send(lane, request)?);
        journey.lane = lane;
        (journey.method, journey.target, journey.fields) = (next.method, next.target, next.fields);
        journey.left -= 1;
        journey.attempts += reply.attempts();
        Ok(true)
    }

    /// Sends a request again whose answer was cut.
    fn send_again(&mut self, journey: &mut Journey) -> Result<(), Stop> {
        let mut head = RequestHead::new(journey.method.clone(), &*journey.target).expect("it was sent before");
        head.fields = journey.fields.clone();
        self.lanes.lane(journey.lane).pending -= 1;
        journey.again -= 1;
        journey.ticket = Some(self.send(journey.lane, self.with_content(head))?);
        Ok(())
    }

    /// Whether the run has to end.
    fn check_end(&self) -> Result<(), Stop> {
        if self.unfinished.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        match self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => Err(Stop::MaxTime),
            false => Ok(()),
        }
    }

    /// Reads one answer to its end. The result is what became of it, and whether the run has to end.
    fn receive(
        &mut self,
        url: &str,
        name: &Name,
        journey: &mut Journey,
        answer: Result<Reply, Failed>,
        sink: &mut Sink,
    ) -> Received {
        let mut reply = match answer {
            Ok(reply) => reply,
            Err(failed) => {
                let error = self.failed(url, journey.lane, &failed);
                let stop = self.is_out_of_time(&failed).then_some(Stop::MaxTime);
                return Received::Over(Record::failed(&failed, error), stop);
            }
        };
        self.lanes.lane(journey.lane).failures = 0;
        let mut record = Record::begun(reply.head(), journey.attempts + reply.attempts());
        match self.receive_content(url, name, journey, &mut reply, &mut record, sink) {
            Ok(true) => Received::Over(record, None),
            Ok(false) => {
                journey.attempts += reply.attempts();
                Received::Again
            }
            Err(stop) => Received::Over(record, Some(stop)),
        }
    }

    /// Reads the content; false if the request is to be sent again.
    fn receive_content(
        &mut self,
        url: &str,
        name: &Name,
        journey: &Journey,
        reply: &mut Reply,
        record: &mut Record,
        sink: &mut Sink,
    ) -> Result<bool, Stop> {
        let plan = self.plan;
        let is_error = reply.status().is_error();
        let location = if plan.shows_heads() { None } else { record.location.clone() };
        if is_error || location.is_some() {
            let to = location.map(|to| format!(" to {to}, which is not followed")).unwrap_or_default();
            self.complain(&format_args!("{url}: {}{to}", record.status_text()));
        }
        let writes_heads = sink.writes_heads();
        let mut target = match sink.target(name, reply.head(), record.location.is_some()) {
            Ok(target) => target,
            Err(error) => return self.not_written(record, error),
        };
        let is_discarded = matches!(target, Target::Discard);
        let mut sum = plan.checksum.as_ref().filter(|_| !is_error).map(|checksum| checksum.begin());
        if !(is_error && plan.fail_early && is_discarded) {
            self.progress.expect(reply.content_length());
            loop {
                let until = plan.json.then(|| Instant::now() + TICK);
                match self.lanes.wait_for_piece(reply, until) {
                    Ok(None) => self.check_end()?,
                    Ok(Some(piece)) if piece.is_empty() => break,
                    Ok(Some(piece)) => {
                        record.bytes += piece.len() as u64;
                        if let Some(sum) = &mut sum {
                            sum.update(&piece);
                        }
                        if let Err(error) = target.write(&piece) {
                            return self.not_written(record, error);
                        }
                        self.progress.received(piece.len());
                    }
                    Err(error) => {
                        let is_cut = matches!(target, Target::Stdout(_)) && (record.bytes > 0 || writes_heads);
                        let Some(failed) = failure_of(&error) else { return Err(Stop::System(error)) };
                        if !is_cut && journey.again > 0 && is_lost(failed) && journey.method.is_idempotent() {
                            return Ok(false);
                        }
                        let error = self.failed(url, journey.lane, failed);
                        *record = record.clone().with_failure(failed, error);
                        return match self.is_out_of_time(failed) {
                            true => Err(Stop::MaxTime),
                            false if is_cut => Err(Stop::Cut),
                            false => Ok(true),
                        };
                    }
                }
            }
        }
        if let Some(wrong) = sum.and_then(|sum| sum.check().err()) {
            self.complain(&format_args!("{url}: {wrong}"));
            (record.outcome, record.error) = (Outcome::WrongDigest, Some(wrong.into()));
            return Err(Stop::Checksum);
        }
        if let Target::File(file) = target {
            match file.finish() {
                Ok(path) => record.file = Some(path),
                Err(error) => return self.not_written(record, error),
            }
        }
        record.outcome = match record.location {
            _ if is_error => Outcome::ErrorStatus,
            Some(_) => Outcome::Redirect,
            None => Outcome::Ok,
        };
        if is_error && plan.fail_early { Err(Stop::ErrorStatus) } else { Ok(true) }
    }

    /// Notes that content could not be written, which ends the run.
    fn not_written(&mut self, record: &mut Record, error: OutputError) -> Result<bool, Stop> {
        let stop = Stop::from(error);
        record.safe_to_retry = self.plan.method.is_idempotent();
        record.error = Some(stop.to_string().into());
        Err(stop)
    }

    /// Reports a failure, and decides if its origin gets more requests.
    fn failed(&mut self, url: &str, lane: usize, failed: &Failed) -> Rc<str> {
        self.has_failed = true;
        let text: Rc<str> = reason(failed).into();
        let place = self.lanes.lane(lane);
        let (is_unreachable, was_gone) = (matches!(failed.cause, Cause::Unreachable(_)), place.gone.is_some());
        if matches!(failed.cause, Cause::Lost { no_repeat: NoRepeat::Retries | NoRepeat::Budget, .. }) {
            place.failures += 1;
        }
        if is_unreachable || place.failures >= HOPELESS {
            place.gone = Some(text.clone());
        }
        match is_unreachable {
            true if was_gone => {}
            true => self.complain(&text),
            false => self.complain(&format_args!("{url}: {text}")),
        }
        text
    }

    fn is_out_of_time(&self, failed: &Failed) -> bool {
        matches!(failed.cause, Cause::TimedOut { .. })
    }

    /// Prints a line for people.
    fn complain(&self, text: &dyn fmt::Display) {
        if !self.plan.json_on_stderr() {
            self.progress.suspend(|| say(text));
        }
    }

    /// Ends all requests without a result, and records them and the rest of the list.
    fn give_up(&mut self, stop: Option<&Stop>) {
        let Some(stop) = stop else { return };
        let text: Rc<str> = stop.to_string().into();
        self.lanes.close();
        for Pending { url, state, .. } in std::mem::take(&mut self.pending) {
            let record = match state {
                State::Over(record) => record,
                State::Asked(journey) => self.unanswered(*journey, text.clone()),
            };
            self.report.add(&url, &record);
        }
        let mut rest = self.next.take();
        loop {
            let entry = match rest.take() {
                Some(entry) => entry,
                // A pipe may go on for ever.
                None if self.list.is_waiting() => return,
                None => match self.list.next(Duration::ZERO) {
                    Next::Entry(entry) => entry,
                    Next::Bad(_) => continue,
                    Next::Later | Next::End => return,
                },
            };
            self.report.add(&entry.url, &Record::not_requested(Outcome::NotSent, Some(text.clone())));
        }
    }

    /// What became of a request that was given up.
    fn unanswered(&mut self, mut journey: Journey, text: Rc<str>) -> Record {
        let Some(mut ticket) = journey.ticket.take() else { return Record::not_requested(Outcome::NotSent, Some(text)) };
        let until = Some(Instant::now() + TICK);
        let _ = self.lanes.wait_for_answer(&mut ticket, until);
        match ticket.take_reply() {
            Ok(Err(failed)) => Record::failed(&failed, text),
            Ok(Ok(reply)) => {
                let safe_to_retry = journey.method.is_idempotent();
                Record { error: Some(text), safe_to_retry, ..Record::begun(reply.head(), reply.attempts()) }
            }
            Err(_) => Record::not_requested(Outcome::NotSent, Some(text)),
        }
    }

    fn note_pipelining(&mut self) {
        let refusing: Vec<_> = self.lanes.not_pipelining().map(ToString::to_string).collect();
        for origin in refusing {
            let server = if self.lanes.len() > 1 { origin } else { "the server".to_owned() };
            let note = format!("{server} does not answer several requests at once, so they go one at a time");
            if self.report.note(&note) {
                self.complain(&note);
            }
        }
    }

    /// Prints the summary.
    fn end(self, stop: Option<&Stop>, time: Duration) -> Exit {
        let plan = self.plan;
        if !plan.json_on_stderr() {
            match stop {
                Some(Stop::Output(OutputError::ReaderLeft) | Stop::ErrorStatus | Stop::Checksum) => {}
                Some(stop @ (Stop::Output(_) | Stop::System(_) | Stop::Interrupted)) => {
                    say(stop);
                    self.report.explain();
                }
                Some(stop @ Stop::MaxTime) if !self.has_failed => {
                    say(stop);
                    self.report.explain();
                }
                Some(Stop::Cut | Stop::MaxTime) | None => self.report.explain(),
            }
        }
        let exit = match stop {
            Some(Stop::Output(OutputError::ReaderLeft)) => Exit::Success,
            Some(Stop::Output(_) | Stop::System(_)) => Exit::Output,
            Some(Stop::Interrupted) => Exit::Interrupted,
            Some(Stop::Checksum) => Exit::Checksum,
            Some(Stop::Cut | Stop::MaxTime) => Exit::Connection,
            Some(Stop::ErrorStatus) => Exit::ErrorStatus,
            None if self.has_bad_lines => Exit::Usage,
            None if self.has_output_error => Exit::Output,
            None if self.has_failed => Exit::Connection,
            None if self.report.has_errors() => Exit::ErrorStatus,
            None => Exit::Success,
        };
        let connections = plan.connected.load(Ordering::Relaxed);
        if self.report.end(connections, time) { exit } else { Exit::Output }
    }
}

fn system(error: dugong_http::Error) -> Stop {
    Stop::System(io::Error::other(error))
}

/// Tells if the connection ended, and the same request may get its answer on another one.
fn is_lost(failed: &Failed) -> bool {
    matches!(failed.cause, Cause::Lost { why: Loss::Closed | Loss::Reset | Loss::GivenUp | Loss::Stalled, .. })
}

/// The failure inside an error of reading content.
fn failure_of(error: &io::Error) -> Option<&Failed> {
    error.get_ref()?.downcast_ref()
}
