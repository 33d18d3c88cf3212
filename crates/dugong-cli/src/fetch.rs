//! Carries out a plan of `dugong get`, `dugong head` or `dugong request`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dugong_http::{Fields, RequestHead, Status};
use dugong_session::{Failed, News, Reply};

use crate::asking::{Asking, Journey, TICK, system};
use crate::downloading::Downloading;
use crate::interrupt::Unfinished;
use crate::lanes::Lanes;
use crate::list::{Entry, List, Next, Text};
use crate::outcome::{Exit, Outcome, OutputError, Record, Stop};
use crate::parts;
use crate::plan::HiArgs;
use crate::progress::{Progress, Show};
use crate::ready::{Bell, Ready};
use crate::receiving::{Place, Receiving, Step};
use crate::report::Report;
use crate::sink::{Name, Sink};
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
    let mut fetch = Fetch::new(plan, asking);
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
    /// How many of the pending URLs wait for their origins.
    waiting: usize,
    /// The origins for which some wait.
    full: BTreeSet<usize>,
    /// URLs that are not in the report, by their numbers.
    pending: BTreeMap<u64, Pending>,
    /// The number of the next URL.
    number: u64,
    /// How many of the pending URLs have no result.
    active: usize,
    /// Which of them have news.
    ready: Ready,
    /// Content goes out in the order of the list. Files are finished as they come.
    is_ordered: bool,
    /// Downloads in parts that have not begun, oldest first.
    waiting_parts: VecDeque<u64>,
    report: Report,
    /// Some line of a pipe is wrong.
    has_bad_lines: bool,
    /// Some file cannot be written.
    has_output_error: bool,
}

/// A URL that is not in the report.
struct Pending {
    place: Place,
    bell: Arc<Bell>,
    state: State,
}

enum State {
    /// Its origin has enough requests. It goes on when that has room.
    Waiting(Box<Journey>),
    Asked(Box<Journey>),
    Receiving(Box<Journey>, Box<Receiving>),
    /// Its content comes in parts, which are requested when connections have room.
    Parts(Box<Journey>),
    Downloading(Box<Journey>, Box<Downloading>),
    Over(Box<Record>),
}

/// How many URLs may be without a result.
const AHEAD: usize = 4096;
/// How many may wait for their origins, beside those that others have room for.
const WAITING: usize = 1 << 14;
/// How many may have one while an earlier one has none, if the summary has their order.
const HELD: usize = 1 << 16;

impl<'a> Fetch<'a> {
    fn new(plan: &'a HiArgs, asking: Asking<'a>) -> Self {
        Fetch {
            plan,
            asking,
            list: List::new(&plan.urls, &plan.lists),
            next: None,
            waiting: 0,
            full: BTreeSet::new(),
            pending: BTreeMap::new(),
            number: 0,
            active: 0,
            ready: Ready::default(),
            is_ordered: !plan.has_files(),
            waiting_parts: VecDeque::new(),
            report: Report::new(plan),
            has_bad_lines: false,
            has_output_error: false,
        }
    }

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
            self.begin_parts();
            let has_news = !self.ready.is_empty();
            while let Some(number) = self.ready.take() {
                self.advance(number, sink)?;
            }
            if has_news {
                continue;
            }
            if self.active > 0 {
                self.wait()?;
            } else if is_over && self.waiting == 0 {
                return Ok(());
            } else {
                self.asking.check_end()?;
            }
        }
    }

    /// Waits for news, and looks at signals and new lines of a pipe now and then.
    fn wait(&mut self) -> Result<(), Stop> {
        let is_filling = self.list.is_waiting() && self.has_room();
        let until = (is_filling || self.plan.has_last_words()).then(|| Instant::now() + TICK);
        let ready = &self.ready;
        if !self.asking.lanes.wait(until, || !ready.is_empty()).map_err(Stop::System)? {
            self.asking.check_end()?;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.active < AHEAD && self.pending.len() < HELD
    }

    /// Submits requests until enough are on their way; true at the end of the list.
    fn fill(&mut self, sink: &mut Sink) -> Result<bool, Stop> {
        self.release(sink)?;
        while self.has_room() {
            let entry = match self.next.take() {
                Some(entry) => entry,
                None => match self.list.next(if self.active == 0 { TICK } else { Duration::ZERO }) {
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
            let mut is_full = false;
            if self.asking.lanes.lane(lane).gone.is_none() {
                let session = self.asking.lanes.session(lane).map_err(system)?;
                let place = self.asking.lanes.lane(lane);
                is_full = place.pending >= session.take_ahead() || !place.waiting.is_empty();
                // In order, content of others would wait in memory.
                if is_full && (self.is_ordered || self.waiting >= WAITING) {
                    self.next = Some(entry);
                    return Ok(false);
                }
            }
            self.take(entry, lane, is_full, sink)?;
        }
        Ok(false)
    }

    /// Requests URLs that waited for their origins, as far as those have room now.
    fn release(&mut self, sink: &mut Sink) -> Result<(), Stop> {
        for lane in self.full.clone() {
            while self.active < AHEAD && !self.asking.lanes.lane(lane).waiting.is_empty() {
                if self.asking.lanes.lane(lane).gone.is_none() {
                    let session = self.asking.lanes.session(lane).map_err(system)?;
                    if self.asking.lanes.lane(lane).pending >= session.take_ahead() {
                        break;
                    }
                }
                self.release_one(lane, sink)?;
            }
            if self.asking.lanes.lane(lane).waiting.is_empty() {
                self.full.remove(&lane);
            }
        }
        Ok(())
    }

    /// Requests the URL that has waited longest for its origin.
    fn release_one(&mut self, lane: usize, sink: &mut Sink) -> Result<(), Stop> {
        let Some(number) = self.asking.lanes.lane(lane).waiting.pop_front() else { return Ok(()) };
        let Some(Pending { place, bell, state: State::Waiting(mut journey) }) = self.pending.remove(&number) else {
            return Ok(());
        };
        self.waiting -= 1;
        self.active += 1;
        if let Some(gone) = self.asking.lanes.lane(lane).gone.clone() {
            let record = Record::not_requested(Outcome::NotSent, Some(gone));
            self.pending.insert(number, Pending { place, bell, state: State::Over(Box::new(record)) });
            self.end_one(number);
            return Ok(());
        }
        journey.fields = self.asking.lanes.lane(lane).fields.clone();
        let comes_in_parts = self.plan.keeps_parts()
            && !self.plan.follows
            && matches!(&place.name, Name::File(file) if self.plan.parts > 1 || sink.path(file).is_some_and(|path| parts::is_begun(&path)));
        if comes_in_parts {
            self.asking.lanes.lane(lane).pending += 1;
            self.pending.insert(number, Pending { place, bell, state: State::Parts(journey) });
            self.waiting_parts.push_back(number);
            return Ok(());
        }
        sink.add_conditions(&place.name, &place.url, &mut journey.fields);
        let mut head = RequestHead::new(journey.method.clone(), &*journey.target).expect("`urls::parse` has checked the target");
        head.fields = journey.fields.clone();
        let sent = self.asking.send(lane, self.asking.with_content(head)).map(|ticket| journey.ticket = Some(ticket));
        self.pending.insert(number, Pending { place, bell, state: State::Asked(journey) });
        sent?;
        if !self.is_ordered || self.is_first(number) {
            self.listen(number);
        }
        Ok(())
    }

    /// Takes a URL: requests it, or lets it wait, unless its file or its origin is in the way.
    fn take(&mut self, entry: Entry, lane: usize, is_full: bool, sink: &mut Sink) -> Result<(), Stop> {
        let Entry { url, target, .. } = entry;
        let name = match sink.name(&target) {
            Ok(Name::Skip(name)) => {
                let file = sink.path(&name);
                self.add_over(url, Record { file, ..Record::not_requested(Outcome::Skipped, None) });
                return Ok(());
            }
            Ok(name) => name,
            Err(error) => {
                let text: Rc<str> = error.to_string().into();
                self.add_over(url, Record::not_requested(Outcome::NotSent, Some(text)));
                self.asking.complain(&error);
                self.has_output_error = true;
                return Ok(());
            }
        };
        if let Some(gone) = self.asking.lanes.lane(lane).gone.clone() {
            self.add_over(url, Record::not_requested(Outcome::NotSent, Some(gone)));
            self.asking.has_failed = true;
            return Ok(());
        }
        let (method, again, left) = (self.plan.method.clone(), self.plan.retries, self.plan.redirects);
        let fields = Fields::new();
        let journey = Box::new(Journey { lane, ticket: None, method, target, fields, again, left, attempts: 0, refusal: None });
        let number = self.add(url, name, State::Waiting(journey));
        self.asking.lanes.lane(lane).waiting.push_back(number);
        if is_full {
            self.full.insert(lane);
            return Ok(());
        }
        self.release_one(lane, sink)
    }

    fn add(&mut self, url: String, name: Name, state: State) -> u64 {
        let number = self.number;
        self.number += 1;
        match state {
            State::Waiting(_) => self.waiting += 1,
            _ => self.active += 1,
        }
        let bell = self.ready.bell(number);
        self.pending.insert(number, Pending { place: Place { number, url, name }, bell, state });
        number
    }

    /// Adds a URL that has a result without a request.
    fn add_over(&mut self, url: String, record: Record) {
        let number = self.add(url, Name::None, State::Over(Box::new(record)));
        self.end_one(number);
    }

    fn is_first(&self, number: u64) -> bool {
        self.pending.first_key_value().is_some_and(|(&first, _)| first == number)
    }

    /// Begins downloads in parts, as long as the connections of their origins have room.
    fn begin_parts(&mut self) {
        while let Some(number) = self.waiting_parts.front() {
            if let Some(Pending { bell, state: State::Parts(journey), .. }) = self.pending.get(number) {
                let lane = self.asking.lanes.lane(journey.lane);
                if lane.parts > 0 && lane.parts >= self.plan.connections {
                    return;
                }
                // The first request shows how many there will be.
                lane.parts += 1;
                bell.ring();
            }
            self.waiting_parts.pop_front();
        }
    }

    /// Lets the session of a URL tell its news, and read its content even if much waits already.
    fn listen(&mut self, number: u64) {
        let Some(Pending { bell, state, .. }) = self.pending.get_mut(&number) else { return };
        match state {
            State::Asked(journey) => journey.listen(bell),
            State::Receiving(_, receiving) => receiving.listen(bell),
            State::Waiting(_) | State::Parts(_) | State::Downloading(..) | State::Over(_) => {}
        }
        bell.ring();
    }

    /// Goes on with the URL of this number.
    fn advance(&mut self, number: u64, sink: &mut Sink) -> Result<(), Stop> {
        let Some(Pending { state, .. }) = self.pending.get(&number) else { return Ok(()) };
        // A bell may have been rung before the end.
        if matches!(state, State::Over(_)) {
            return Ok(());
        }
        let Some(Pending { place, bell, state }) = self.pending.remove(&number) else { return Ok(()) };
        let (state, stop) = self.step(&place, &bell, state, sink);
        let is_over = matches!(state, State::Over(_));
        self.pending.insert(number, Pending { place, bell, state });
        if is_over {
            self.end_one(number);
        }
        stop.map_or(Ok(()), Err)
    }

    /// Takes the next steps with a URL. The result is its new state, and the reason to end the run, if there is one.
    fn step(&mut self, place: &Place, bell: &Arc<Bell>, state: State, sink: &mut Sink) -> (State, Option<Stop>) {
        match state {
            State::Waiting(_) | State::Over(_) => (state, None),
            State::Asked(mut journey) => match self.answer(&mut journey, bell) {
                Ok(None) => (State::Asked(journey), None),
                Ok(Some(Ok(reply))) => self.begin(place, bell, journey, reply, sink),
                Ok(Some(Err(failed))) => {
                    let error = self.asking.failed(&place.url, journey.lane, &failed);
                    let stop = self.asking.is_out_of_time(&failed).then_some(Stop::MaxTime);
                    let record = Record::failed(&failed, error).after(journey.attempts, &self.plan.method);
                    self.over(&journey, Box::new(record), stop)
                }
                Err(stop) => (State::Asked(journey), Some(stop)),
            },
            State::Receiving(journey, receiving) => self.receive(place, bell, journey, receiving, sink),
            State::Parts(journey) => match self.asking.lanes.lane(journey.lane).gone.clone() {
                None => self.download(place, bell, journey, None, sink),
                Some(gone) => {
                    self.asking.lanes.lane(journey.lane).parts -= 1;
                    self.over(&journey, Box::new(Record::not_requested(Outcome::NotSent, Some(gone))), None)
                }
            },
            State::Downloading(journey, downloading) => self.go_on_downloading(place, journey, downloading, sink),
        }
    }

    /// Takes the answer to a request, through redirects; `None` if it has not come.
    fn answer(&mut self, journey: &mut Journey, bell: &Arc<Bell>) -> Result<Option<Result<Reply, Failed>>, Stop> {
        while let Some(ticket) = journey.ticket.take() {
            match ticket.take_reply() {
                Err(ticket) => {
                    journey.ticket = Some(ticket);
                    break;
                }
                Ok(Err(failed)) => return Ok(Some(Err(failed))),
                Ok(Ok(reply)) => match self.asking.next_hop(journey, &reply)? {
                    false => return Ok(Some(Ok(reply))),
                    true => journey.listen(bell),
                },
            }
        }
        Ok(None)
    }

    /// Begins to receive an answer.
    fn begin(
        &mut self,
        place: &Place,
        bell: &Arc<Bell>,
        mut journey: Box<Journey>,
        reply: Reply,
        sink: &mut Sink,
    ) -> (State, Option<Stop>) {
        let lane = self.asking.lanes.lane(journey.lane);
        lane.failures = 0;
        if self.plan.keeps_parts() && reply.status() == Status::OK && matches!(place.name, Name::File(_)) {
            lane.parts += 1;
            return self.download(place, bell, journey, Some(reply), sink);
        }
        match Receiving::begin(&mut self.asking, place, &mut journey, reply, sink) {
            Ok(receiving) => self.receive(place, bell, journey, Box::new(receiving), sink),
            Err((record, stop)) => self.over(&journey, record, stop),
        }
    }

    fn receive(
        &mut self,
        place: &Place,
        bell: &Arc<Bell>,
        mut journey: Box<Journey>,
        mut receiving: Box<Receiving>,
        sink: &mut Sink,
    ) -> (State, Option<Stop>) {
        match receiving.advance(&mut self.asking, place, &mut journey, sink) {
            Step::Waits => (State::Receiving(journey, receiving), None),
            Step::Again => match self.asking.send_again(&mut journey) {
                Ok(()) => {
                    journey.listen(bell);
                    (State::Asked(journey), None)
                }
                Err(stop) => (State::Asked(journey), Some(stop)),
            },
            Step::Over(record, stop) => self.over(&journey, record, stop),
        }
    }

    /// Begins to download in parts. `first` is the reply to a request for all of the content, if there was one.
    fn download(
        &mut self,
        place: &Place,
        bell: &Arc<Bell>,
        journey: Box<Journey>,
        first: Option<Reply>,
        sink: &mut Sink,
    ) -> (State, Option<Stop>) {
        match Downloading::begin(&mut self.asking, place, &journey, first, sink, &bell.waker()) {
            Ok(downloading) => self.go_on_downloading(place, journey, Box::new(downloading), sink),
            Err((record, stop)) => {
                self.asking.lanes.lane(journey.lane).parts -= 1;
                self.over(&journey, record, stop)
            }
        }
    }

    fn go_on_downloading(
        &mut self,
        place: &Place,
        journey: Box<Journey>,
        mut downloading: Box<Downloading>,
        sink: &mut Sink,
    ) -> (State, Option<Stop>) {
        // At the begin, it has one or is about to.
        let before = downloading.in_flight().max(1);
        let step = downloading.advance(&mut self.asking, place, &journey, sink);
        let parts = &mut self.asking.lanes.lane(journey.lane).parts;
        *parts -= before;
        match step {
            Step::Over(record, stop) => self.over(&journey, record, stop),
            Step::Waits | Step::Again => {
                *parts += downloading.in_flight().max(1);
                (State::Downloading(journey, downloading), None)
            }
        }
    }

    /// The state of a URL that has a result.
    fn over(&mut self, journey: &Journey, record: Box<Record>, stop: Option<Stop>) -> (State, Option<Stop>) {
        self.asking.lanes.lane(journey.lane).pending -= 1;
        (State::Over(record), stop)
    }

    /// Reports a URL that has a result, and those behind it that waited for that.
    fn end_one(&mut self, number: u64) {
        self.active -= 1;
        self.asking.progress.answered(number);
        if !self.plan.json {
            self.report_one(number);
        } else {
            while let Some((&first, Pending { state: State::Over(_), .. })) = self.pending.first_key_value() {
                self.report_one(first);
            }
        }
        if self.is_ordered
            && let Some((&first, _)) = self.pending.first_key_value()
        {
            self.listen(first);
        }
    }

    fn report_one(&mut self, number: u64) {
        if let Some(Pending { place, state: State::Over(record), .. }) = self.pending.remove(&number) {
            self.report.add(&place.url, &record);
        }
    }

    /// Ends all requests without a result, and records them and the rest of the list.
    fn give_up(&mut self, stop: Option<&Stop>) {
        let Some(stop) = stop else { return };
        let text: Rc<str> = stop.to_string().into();
        self.asking.lanes.close();
        for Pending { place, state, .. } in std::mem::take(&mut self.pending).into_values() {
            let record = match state {
                State::Over(record) => *record,
                State::Asked(journey) => self.unanswered(*journey, text.clone()),
                State::Receiving(journey, receiving) => receiving.into_record().stopped(stop, &journey.method),
                State::Downloading(journey, downloading) => downloading.into_record().stopped(stop, &journey.method),
                State::Waiting(_) | State::Parts(_) => Record::not_requested(Outcome::NotSent, Some(text.clone())),
            };
            self.report.add(&place.url, &record);
        }
        let rest = Record::not_requested(Outcome::NotSent, Some(text));
        if let Some(Entry { url, .. }) = self.next.take() {
            self.report.add(&url, &rest);
        }
        // A pipe may go on for ever.
        while !self.list.is_waiting() {
            match self.list.next_text(Duration::ZERO) {
                Text::Url(url, _) => self.report.add(url.trim(), &rest),
                Text::Bad(_) => {}
                Text::Later | Text::End => return,
            }
        }
    }

    /// What became of a request that was given up.
    fn unanswered(&mut self, mut journey: Journey, text: Rc<str>) -> Record {
        let Some(mut ticket) = journey.ticket.take() else { return Record::not_requested(Outcome::NotSent, Some(text)) };
        let until = Some(Instant::now() + TICK);
        // A failure to wait leaves it unknown.
        let _ = self.asking.lanes.wait(until, || matches!(ticket.news(), News::Head | News::Over));
        let record = match ticket.take_reply() {
            Ok(Err(failed)) => Record::failed(&failed, text),
            Ok(Ok(reply)) => {
                let safe_to_retry = journey.method.is_idempotent();
                Record { error: Some(text), safe_to_retry, ..Record::begun(reply.head(), reply.sent(), reply.attempts()) }
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
