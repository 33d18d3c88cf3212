//! Carries out a plan of `dugong get`, `dugong head` or `dugong request`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dugong_http::{Method, RequestHead, Status};
use dugong_session::{Failed, Reply};

use crate::asking::{Asking, Journey, TICK, failure_of, is_lost, system};
use crate::downloading::fetch_parts;
use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::list::{Entry, List, Next};
use crate::outcome::{Exit, Outcome, OutputError, Record, Stop};
use crate::partial::wrong_part;
use crate::parts;
use crate::plan::HiArgs;
use crate::progress::{Progress, Show};
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
    if let Err(error) = unfinished.remove_on_signal(plan.has_last_words(), || ()) {
        say(&format_args!("cannot handle signals, so no request is sent: {error}"));
        return Ok(Exit::Output);
    }
    let mut lanes = Lanes::new(plan);
    let total = check(plan, &mut lanes, &unfinished)?;
    plan.open_trace()?;
    let start = Instant::now();
    let asking = Asking {
        plan,
        lanes,
        progress: Progress::new(total, Show::of(plan)),
        deadline: plan.max_time.and_then(|time| start.checked_add(time)),
        unfinished: unfinished.clone(),
        has_failed: false,
    };
    let mut fetch = Fetch {
        plan,
        asking,
        list: List::new(&plan.urls, &plan.lists),
        next: None,
        pending: VecDeque::new(),
        report: Report::new(plan),
        has_bad_lines: false,
        has_output_error: false,
    };
    let opened = Sink::open(plan, unfinished).map_err(Stop::from).and_then(|mut sink| {
        let gone = fetch.check_names(&mut sink).and_then(|()| fetch.go(&mut sink));
        let written = sink.write_index().map_err(Stop::from);
        gone.and(written)
    });
    fetch.asking.progress.end();
    let stop = opened.err();
    fetch.asking.unfinished.begin_last_words();
    if stop.is_none() && fetch.report.is_empty() && !fetch.has_bad_lines {
        return Err(UsageError::NoUrls);
    }
    fetch.give_up(stop.as_ref());
    fetch.note_pipelining();
    Ok(fetch.end(stop.as_ref(), start.elapsed()))
}

/// Checks the part of the list that can be read twice. The result is the number of URLs, if no pipe may have more.
fn check(plan: &HiArgs, lanes: &mut Lanes<'_>, unfinished: &Unfinished) -> Result<Option<usize>, UsageError> {
    let mut list = List::of_files(&plan.urls, &plan.lists);
    let mut count = 0;
    // After a signal, the summary has the rest of the list, checked or not.
    while !unfinished.is_interrupted() {
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
        true if count == 0 && !unfinished.is_interrupted() => Err(UsageError::NoUrls),
        true => Ok(Some(count)),
        false => Ok(None),
    }
}

/// A run of a plan.
struct Fetch<'a> {
    plan: &'a HiArgs,
    asking: Asking<'a>,
    list: List,
    /// Taken from the list, while its origin has enough requests.
    next: Option<Entry>,
    /// URLs without a result, in the order of the list.
    pending: VecDeque<Pending>,
    report: Report,
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
    /// Its content comes in parts, which are requested when it is its turn.
    Parts(Box<Journey>),
    /// It was not requested, and this is why.
    Over(Record),
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
impl<'a> Fetch<'a> {
    /// Finds files in the way before anything is requested, as far as the list can be read twice.
    fn check_names(&self, sink: &mut Sink) -> Result<(), Stop> {
        if !sink.has_names() {
            return Ok(());
        }
        let mut list = List::of_files(&self.plan.urls, &self.plan.lists);
        while let Next::Entry(entry) = list.next(Duration::ZERO) {
            sink.name(&entry.target)?;
            self.asking.check_on_the_way()?;
        }
        sink.forget_names();
        Ok(())
    }

    fn go(&mut self, sink: &mut Sink) -> Result<(), Stop> {
        loop {
            self.asking.check_on_the_way()?;
            let is_over = self.fill(sink)?;
            let Some(mut first) = self.pending.pop_front() else {
                if is_over {
                    return Ok(());
                }
                self.asking.check_end()?;
                continue;
            };
            let record = match &mut first.state {
                State::Over(_) => None,
                State::Parts(journey) => Some(fetch_parts(&mut self.asking, &first.url, &first.name, journey, None, sink)),
                State::Asked(journey) => match self.answer(journey) {
                    Ok(Some(answer)) => match self.receive(&first.url, &first.name, journey, answer, sink) {
                        Received::Over(record, stop) => Some((record, stop)),
                        Received::Again => {
                            self.asking.send_again(journey)?;
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
                    self.asking.lanes.lane(journey.lane).pending -= 1;
                    record
                }
                (Some(record), State::Parts(_)) => record,
                (_, State::Over(record)) => (record, None),
                (None, State::Asked(_) | State::Parts(_)) => unreachable!("it has a result"),
            };
            let (record, stop) = result;
            self.report.add(&first.url, &record);
            self.asking.progress.answered();
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
                        self.asking.complain(&error);
                        self.has_bad_lines = true;
                        continue;
                    }
                },
            };
            let lane = match self.asking.lanes.find(&entry.origin) {
                Ok(lane) => lane,
                Err(error) => {
                    self.asking.complain(&error);
                    self.has_bad_lines = true;
                    continue;
                }
            };
            if self.asking.lanes.lane(lane).gone.is_none() {
                let session = self.asking.lanes.session(lane).map_err(system)?;
                if self.asking.lanes.lane(lane).pending >= session.take_ahead() {
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
                self.asking.complain(&error);
                self.has_output_error = true;
                return Ok(());
            }
        };
        if let Some(gone) = self.asking.lanes.lane(lane).gone.clone() {
            over(name, Record::not_requested(Outcome::NotSent, Some(gone)));
            self.asking.has_failed = true;
            return Ok(());
        }
        let mut fields = self.asking.lanes.lane(lane).fields.clone();
        let (method, again, left) = (self.plan.method.clone(), self.plan.retries, self.plan.redirects);
        if self.plan.keeps_parts()
            && left == 0
            && let Name::File(file) = &name
            && let Some(path) = sink.path(file)
            && (self.plan.parts > 1 || parts::is_begun(&path))
        {
            let journey = Journey { lane, ticket: None, method, target, fields, again, left, attempts: 0 };
            self.pending.push_back(Pending { url, name, state: State::Parts(Box::new(journey)) });
            return Ok(());
        }
        sink.add_conditions(&name, &url, &mut fields);
        let mut head = RequestHead::new(method.clone(), &*target).expect("`urls::parse` has checked the target");
        head.fields = fields.clone();
        let ticket = self.asking.send(lane, self.asking.with_content(head))?;
        let journey = Journey { lane, ticket: Some(ticket), method, target, fields, again, left, attempts: 0 };
        self.pending.push_back(Pending { url, name, state: State::Asked(Box::new(journey)) });
        Ok(())
    }

    /// Waits for the answer to a request, through redirects; `None` if the list may have more to send first.
    fn answer(&mut self, journey: &mut Journey) -> Result<Option<Result<Reply, Failed>>, Stop> {
        loop {
            let ticket = journey.ticket.as_mut().expect("it has no answer yet");
            let is_filling = self.list.is_waiting() && self.pending.len() < AHEAD;
            let ticks = is_filling || self.plan.has_last_words();
            let until = ticks.then(|| Instant::now() + TICK);
            if !self.asking.lanes.wait_for_answer(ticket, until).map_err(Stop::System)? {
                self.asking.check_end()?;
                if is_filling {
                    return Ok(None);
                }
                continue;
            }
            let ticket = journey.ticket.take().expect("it was there before the wait");
            match ticket.take_reply() {
                Err(ticket) => journey.ticket = Some(ticket),
                Ok(Err(failed)) => return Ok(Some(Err(failed))),
                Ok(Ok(reply)) => match self.asking.next_hop(journey, &reply)? {
                    false => return Ok(Some(Ok(reply))),
                    true => drop(reply),
                },
            }
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
                let error = self.asking.failed(url, journey.lane, &failed);
                let stop = self.asking.is_out_of_time(&failed).then_some(Stop::MaxTime);
                let record = Record::failed(&failed, error).after(journey.attempts, &self.plan.method);
                return Received::Over(record, stop);
            }
        };
        self.asking.lanes.lane(journey.lane).failures = 0;
        if self.plan.keeps_parts() && reply.status() == Status::OK && matches!(name, Name::File(_)) {
            let (record, stop) = fetch_parts(&mut self.asking, url, name, journey, Some(reply), sink);
            return Received::Over(record, stop);
        }
        let mut record = Record::begun(reply.head(), journey.attempts + reply.attempts());
        match self.receive_content(url, name, journey, &mut reply, &mut record, sink) {
            Ok(true) => Received::Over(record, None),
            Ok(false) => {
                journey.attempts += reply.attempts();
                Received::Again
            }
            Err(stop) => Received::Over(record.stopped(&stop, &self.plan.method), Some(stop)),
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
            self.asking.complain(&format_args!("{url}: {}{to}", record.status_text()));
        }
        if journey.method == Method::GET
            && let Some(wrong) = wrong_part(&journey.fields, reply)
        {
            self.asking.complain(&format_args!("{url}: {wrong}"));
            self.asking.has_failed = true;
            (record.error, record.safe_to_retry) = (Some(wrong.into()), journey.method.is_idempotent());
            return Ok(true);
        }
        let writes_heads = sink.writes_heads();
        let mut target = match sink.target(name, reply.head(), record.location.is_some()) {
            Ok(target) => target,
            Err(error) => return self.not_written(record, error),
        };
        let is_discarded = matches!(target, Target::Discard);
        let mut sum = plan.checksum.as_ref().filter(|_| !is_error).map(|checksum| checksum.begin());
        if !(is_error && plan.fail_early && is_discarded) {
            self.asking.progress.expect(url, reply.content_length());
            loop {
                let until = plan.has_last_words().then(|| Instant::now() + TICK);
                match self.asking.lanes.wait_for_piece(reply, until) {
                    Ok(None) => self.asking.check_end()?,
                    Ok(Some(piece)) if piece.is_empty() => break,
                    Ok(Some(piece)) => {
                        // Not after it: it may be the last one.
                        self.asking.check_on_the_way()?;
                        record.bytes += piece.len() as u64;
                        if let Some(sum) = &mut sum {
                            sum.update(&piece);
                        }
                        if let Err(error) = target.write(&piece) {
                            return self.not_written(record, error);
                        }
                        self.asking.progress.received(piece.len());
                    }
                    Err(error) => {
                        let is_cut = matches!(target, Target::Stdout(_)) && (record.bytes > 0 || writes_heads);
                        let Some(failed) = failure_of(&error) else { return Err(Stop::System(error)) };
                        if !is_cut && journey.again > 0 && is_lost(failed) && journey.method.is_idempotent() {
                            return Ok(false);
                        }
                        let error = self.asking.failed(url, journey.lane, failed);
                        *record = record.clone().with_failure(failed, error).after(journey.attempts, &plan.method);
                        return match self.asking.is_out_of_time(failed) {
                            true => Err(Stop::MaxTime),
                            false if is_cut => Err(Stop::Cut),
                            false => Ok(true),
                        };
                    }
                }
            }
        }
        if let Some(wrong) = sum.and_then(|sum| sum.check().err()) {
            self.asking.complain(&format_args!("{url}: {wrong}"));
            (record.outcome, record.error) = (Outcome::WrongDigest, Some(wrong.into()));
            return Err(Stop::Checksum);
        }
        match target.finish() {
            None => {}
            Some(Ok(path)) => {
                record.file = Some(path);
                sink.note(name, url, reply.fields());
            }
            Some(Err(error)) => return self.not_written(record, error),
        }
        record.outcome = match record.location {
            _ if is_error => Outcome::ErrorStatus,
            _ if reply.status() == Status::NOT_MODIFIED => Outcome::Unchanged,
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

    /// Ends all requests without a result, and records them and the rest of the list.
    fn give_up(&mut self, stop: Option<&Stop>) {
        let Some(stop) = stop else { return };
        let text: Rc<str> = stop.to_string().into();
        self.asking.lanes.close();
        for Pending { url, state, .. } in std::mem::take(&mut self.pending) {
            let record = match state {
                State::Over(record) => record,
                State::Asked(journey) => self.unanswered(*journey, text.clone()),
                State::Parts(_) => Record::not_requested(Outcome::NotSent, Some(text.clone())),
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
        let _ = self.asking.lanes.wait_for_answer(&mut ticket, until);
        let record = match ticket.take_reply() {
            Ok(Err(failed)) => Record::failed(&failed, text),
            Ok(Ok(reply)) => {
                let safe_to_retry = journey.method.is_idempotent();
                Record { error: Some(text), safe_to_retry, ..Record::begun(reply.head(), reply.attempts()) }
            }
            Err(_) => Record::not_requested(Outcome::NotSent, Some(text)),
        };
        record.after(journey.attempts, &self.plan.method)
    }

    fn note_pipelining(&mut self) {
        let refusing: Vec<_> = self.asking.lanes.not_pipelining().map(ToString::to_string).collect();
        for origin in refusing {
            let server = if self.asking.lanes.len() > 1 { origin } else { "the server".to_owned() };
            let note = format!("{server} does not answer several requests at once, so they go one at a time");
            if self.report.note(&note) {
                self.asking.complain(&note);
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
                Some(stop @ Stop::MaxTime) if !self.asking.has_failed => {
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
            None if self.asking.has_failed => Exit::Connection,
            None if self.report.has_errors() => Exit::ErrorStatus,
            None => Exit::Success,
        };
        let connections = plan.connected.load(Ordering::Relaxed);
        if self.report.end(connections, time) { exit } else { Exit::Output }
    }
}
