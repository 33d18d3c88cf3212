//! The plan of a session: it decides, and does nothing.
//!
//! One rule for its driver: tell it one thing, then do all it says.
//!
//! ```
//! use dugong_session::plan::{Action, Config, End, Event, Head, Job, Plan};
//! use std::time::Duration;
//!
//! let mut plan = Plan::new(Config::default(), 17); // 17: where its random numbers begin
//! let mut now = Duration::ZERO; // any clock that never goes back
//! let get = plan.submit(now, Job::new(true));
//!
//! let Some(Action::Open(connection)) = plan.next_action(now) else { panic!() };
//! assert_eq!(plan.next_action(now), None); // nothing more to do until something happens
//! now += Duration::from_millis(3);
//! plan.handle(now, connection, Event::Opened);
//! assert_eq!(plan.next_action(now), Some(Action::Send { job: get, on: connection }));
//! plan.handle(now, connection, Event::SentAll(get));
//! plan.handle(now, connection, Event::Head(Head::new(200)));
//! assert_eq!(plan.next_action(now), Some(Action::Deliver { job: get, on: connection }));
//! plan.handle(now, connection, Event::Complete);
//! let Some(Action::Over { job, outcome }) = plan.next_action(now) else { panic!() };
//! assert_eq!((job, outcome.end, outcome.attempts), (get, End::Reply, 1));
//! plan.release(now, get);
//! assert!(plan.wait_until() > Some(now)); // the connection is idle, and will be closed one day
//! ```
//!
//! If nothing happens until [`Plan::wait_until`], call [`Plan::advance`]. Everything the plan is told about connections and jobs that it
//! has forgotten is ignored, so a driver may report events that crossed an action.
//!
//! # Duties of the driver
//!
//! - Report a write before all that happens after it: [`Event::SentSome`] when you have tried to write the first byte. Otherwise a job
//!   could end as "not sent" although bytes of it left.
//! - After a head that does not persist, send nothing of the requests behind it: the plan has put them elsewhere.
//! - A second [`Action::Send`] of a job starts it over: drop the content that you have collected for it.
//! - [`Action::Skip`] takes a response away from its job. The job may be sent elsewhere while you still read and drop that response. A
//!   job that is over as "not sent" never leaves afterwards: take it back, or report that it leaves, before the next action.
//! - A final response may come before the content was sent. Then [`Event::SentAll`] never comes, and the head says whether the
//!   connection persists.
//! - Ask [`Plan::may_expect`] before you send `Expect: 100-continue`.
//! - Answer each [`Action::Ask`] by [`Plan::ready`], or give the job up. Each [`Action::Send`] uses that answer up.
//! - An interim response (1xx) is [`Event::Moved`].
//! - Wait for events until [`Plan::wait_until`], even if no caller reads: idle connections close then.

mod answering;
mod arena;
mod attention;
mod backoff;
mod budget;
mod clock;
mod config;
mod connection;
mod elsewhere;
mod events;
mod flight;
mod ids;
mod job;
mod losing;
mod origin;
mod outcome;
mod placing;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use arena::Arena;
use backoff::Backoff;
use budget::Budget;
use clock::{NEVER, Nanos, nanos};
pub use config::Config;
use config::{SKIP_TIME, SLOW_AT_LEAST};
use connection::{Answer, Connection, State};
pub use events::{Action, Event, Head, Stats, Whole};
pub use ids::{ConnectionId, JobId};
pub use job::Job;
use job::{Place, Tracked};
use origin::Origin;
pub use outcome::{Answered, End, Failure, Loss, NoRepeat, Outcome, Sent};
use timers::{Timer, Timers};

/// The policy of one session, for one origin. See the [module](self).
///
/// All moments are durations since a moment that you choose; they must not go back.
#[derive(Debug)]
pub struct Plan {
    config: Config,
    jobs: Arena<Tracked>,
    connections: Arena<Connection>,
    /// Jobs to send. May hold jobs that ended meanwhile; `queued` counts the others.
    queue: VecDeque<JobId>,
    queued: usize,
    /// Jobs without outcome.
    unfinished: usize,
    actions: VecDeque<Action>,
    timers: Timers,
    origin: Origin,
    budget: Budget,
    backoff: Backoff,
    /// Bytes that count against the window.
    held: u64,
    opened: u64,
    repeated: u64,
    /// The latest moment that the plan was told.
    now: Nanos,
    /// Nothing becomes due before this moment; perhaps nothing does then.
    due_at: Nanos,
    /// Connections that are not read.
    paused: usize,
    /// No connection is opened any more.
    closing: bool,
    /// A connection may have requests to take back from behind a slow answer.
    has_slow: bool,
    /// No connection needs attention sooner than this after something has happened to it.
    soonest: Nanos,
    /// `Config::timeout`.
    timeout: Nanos,
    /// `Config::idle_timeout`.
    idle_timeout: Nanos,
    /// Nothing has happened since the last time that no job could be placed.
    settled: bool,
    /// While nothing happens: the only connection, and how many more plain jobs it takes.
    lane: Option<(ConnectionId, u32)>,
}

impl Plan {
    /// Creates a plan without jobs or connections. `seed` begins its random numbers; give each session another one.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Plan {
            jobs: Arena::new(),
            connections: Arena::new(),
            queue: VecDeque::new(),
            queued: 0,
            unfinished: 0,
            actions: VecDeque::new(),
            timers: Timers::default(),
            origin: Origin::new(config.depth, config.is_proven),
            budget: Budget::new(config.retry_budget),
            backoff: Backoff::new(config.backoff, seed),
            held: 0,
            opened: 0,
            repeated: 0,
            now: 0,
            due_at: NEVER,
            paused: 0,
            closing: false,
            has_slow: false,
            soonest: nanos(config.idle_timeout.min(config.timeout)).min(SKIP_TIME).min(SLOW_AT_LEAST),
            timeout: nanos(config.timeout),
            idle_timeout: nanos(config.idle_timeout),
            settled: false,
            lane: None,
            config,
        }
    }

    /// Takes a job into the queue. It ends with exactly one [`Action::Over`].
    pub fn submit(&mut self, now: Duration, job: Job) -> JobId {
        let now = self.advance_to(now);
        self.soonest = job.timeout.map_or(self.soonest, |timeout| self.soonest.min(nanos(timeout)));
        let tracked = Tracked::new(job, now, self.config.total_timeout.map_or(NEVER, nanos));
        let (deadline, asks) = (tracked.deadline, job.asks);
        let id = JobId(self.jobs.insert(tracked));
        if deadline != NEVER {
            self.set_timer(deadline, Timer::Deadline(id.0));
            self.tidy_timers();
        }
        self.unfinished += 1;
        if asks {
            self.enqueue(id, false);
        } else {
            // Its place says so already.
            self.settled = false;
            self.queued += 1;
            self.queue.push_back(id);
        }
        id
    }

    /// Queues a job whose owner has done what [`Action::Ask`] asked for.
    pub fn ready(&mut self, now: Duration, job: JobId) {
        self.advance(now);
        if let Some(Place::Asking { at_head }) = self.jobs.get(job.0).map(|tracked| tracked.place) {
            self.queue(job, at_head);
        }
    }

    /// Ends a job whose caller gave it up: it is over at once.
    pub fn cancel(&mut self, now: Duration, job: JobId) {
        let now = self.advance_to(now);
        self.abandon(now, job, Failure::Cancelled);
    }

    /// Forgets a job whose caller has taken all of it, or went away. A job that is not over is cancelled.
    pub fn release(&mut self, now: Duration, job: JobId) {
        self.cancel(now, job);
        let Some(held) = self.jobs.get(job.0).map(|tracked| tracked.held) else { return };
        self.jobs.discard(job.0);
        self.note_freed(held);
    }

    /// Notes that callers have taken so many bytes of responses that were [whole](Plan::answer).
    pub fn note_freed(&mut self, bytes: u64) {
        self.settled &= !self.is_window_full();
        self.held -= bytes;
    }

    /// Notes whether a caller waits for this job right now. Its reply, and those before it, are then read even if the window is full.
    pub fn set_awaited(&mut self, now: Duration, job: JobId, awaited: bool) {
        self.advance(now);
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        tracked.awaited = awaited;
        self.settled &= self.held < self.config.window;
        if awaited && !tracked.job.streamed {
            // From here on `max_content` bounds it.
            self.held -= std::mem::take(&mut tracked.held);
        }
    }

    /// Notes that the caller has taken so many bytes of a streamed reply.
    pub fn note_taken(&mut self, now: Duration, job: JobId, bytes: u64) {
        self.advance(now);
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        let taken = bytes.min(tracked.held);
        tracked.held -= taken;
        self.settled &= self.held < self.config.window;
        self.held -= taken;
    }

    /// Opens no connection from now on, closes the idle ones, and the others when no queued job needs them. Jobs that then have no
    /// connection end as cancelled.
    pub fn close_idle(&mut self, now: Duration) {
        self.advance(now);
        self.lane = None;
        self.closing = true;
        self.settled = false;
    }

    /// Notes an event of a connection. It counts as earlier than all timers: bytes that left have left, even if the job's time is over.
    pub fn handle(&mut self, now: Duration, on: ConnectionId, event: Event) {
        let now = nanos(now);
        self.now = self.now.max(now);
        self.note_event(now, on, event);
        // Other events only put off the moment at which the connection needs attention.
        if matches!(event, Event::Opened | Event::Complete | Event::Last(_)) {
            self.due_at = self.due_at.min(now.saturating_add(self.soonest));
        }
        if now >= self.due_at {
            self.advance_due(now);
        }
    }

    /// Does all that has become due by `now`. All other methods that take the time do this first.
    #[inline]
    pub fn advance(&mut self, now: Duration) {
        self.advance_to(now);
    }

    #[inline]
    fn advance_to(&mut self, now: Duration) -> Nanos {
        let now = nanos(now);
        self.now = self.now.max(now);
        if now >= self.due_at {
            self.advance_due(now);
        }
        now
    }

    /// The next thing to do now. Call it until it returns `None` after everything you tell the plan.
    #[inline]
    pub fn next_action(&mut self, now: Duration) -> Option<Action> {
        let now = self.advance_to(now);
        if self.settled && self.actions.is_empty() && self.paused == 0 && self.held < self.config.window {
            return None;
        }
        self.decide(now)
    }

    /// The next thing that is decided already. Between events that come together, it does for [`next_action`](Plan::next_action), and
    /// costs less: free places on connections wait. Call `next_action` until it returns `None` before you send or wait.
    #[inline]
    pub fn next_decided(&mut self, now: Duration) -> Option<Action> {
        if self.paused > 0 || self.is_window_full() {
            return self.next_action(now);
        }
        self.pop_action()
    }

    #[inline]
    fn pop_action(&mut self) -> Option<Action> {
        while let Some(action) = self.actions.pop_front() {
            if let Some(action) = self.with_latest_facts(action) {
                return Some(action);
            }
        }
        None
    }

    fn decide(&mut self, now: Nanos) -> Option<Action> {
        self.pop_action().or_else(|| self.place(now)).or_else(|| self.pause_or_resume(now))
    }

    /// Whether a request may carry `Expect: 100-continue`: this origin is not known to ignore it.
    #[must_use]
    pub fn expects(&self) -> bool {
        self.origin.expects()
    }

    /// Whether this job may carry `Expect: 100-continue` now: it wants to, and neither this origin ignores it nor has it been refused.
    #[must_use]
    pub fn may_expect(&self, job: JobId) -> bool {
        self.expects() && self.jobs.get(job.0).is_some_and(|tracked| tracked.job.expects && !tracked.expectation_failed)
    }

    /// The driver asks the owner of this job for content.
    pub fn note_reading(&mut self, job: JobId) {
        if let Some(tracked) = self.jobs.get_mut(job.0) {
            tracked.is_read = true;
        }
    }

    /// How much of this job's request has left: the most in any attempt. `None` after its outcome.
    #[must_use]
    pub fn sent_of(&self, job: JobId) -> Option<Sent> {
        self.jobs.get(job.0).map(|tracked| tracked.sent)
    }

    /// Until when to wait for events; `None` if only an event or a job can change anything.
    #[must_use]
    pub fn wait_until(&self) -> Option<Duration> {
        let reopening = if self.waits_to_reopen() { self.origin.reopen_at } else { NEVER };
        let until = self.next_attention().min(reopening);
        (until != NEVER).then(|| Duration::from_nanos(until))
    }

    /// The figures of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.len(),
            opened: self.opened,
            depth: self.origin.depth(),
            not_pipelining: self.origin.is_not_pipelining(),
            repeated: self.repeated,
            jobs: self.unfinished,
            queued: self.queued,
            in_flight: self.connections.iter().map(|(_, connection)| connection.flights.len()).sum(),
            budget: self.budget.left(),
            held: self.held,
        }
    }

    fn note_event(&mut self, now: Nanos, on: ConnectionId, event: Event) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        self.lane = None;
        match event {
            Event::Readable => {}
            _ => connection.last_progress = now,
        }
        match event {
            Event::Opened => {
                self.opened += u64::from(connection.state == State::Connecting);
                self.opened(now, on);
            }
            Event::CannotOpen if connection.state == State::Connecting || connection.is_unused() => self.cannot_open(now, on),
            Event::NotOpened | Event::Lost(_) if connection.state == State::Connecting => self.not_opened(now, on),
            Event::NotOpened | Event::CannotOpen => self.lost(now, on, Loss::Closed),
            Event::Recalled(job) => self.recalled(now, on, job),
            Event::SentSome(job) => self.sent(now, on, job, Sent::Partly),
            Event::SentAll(job) => self.sent(now, on, job, Sent::Yes),
            Event::SentThrough(job) => self.sent_through(now, on, job),
            Event::Moved => {}
            Event::ExpectAnswered => self.origin.note_expectation(true),
            Event::ExpectIgnored => self.origin.note_expectation(false),
            Event::Head(head) => self.head(now, on, head),
            Event::Content(bytes) => self.content(now, on, bytes),
            Event::Complete => self.complete(now, on),
            Event::Last(bytes) => {
                self.content(now, on, bytes);
                self.complete(now, on);
            }
            Event::Begun => connection.answer = Answer::Begun { length: None, content: 0 },
            Event::Unasked => self.origin.note_unasked(),
            Event::Lost(_) if connection.is_unused() => self.ended_unused(now, on),
            Event::Lost(why) => self.lost(now, on, why),
            Event::Readable if connection.is_unused() => {
                self.actions.push_back(Action::Close(on));
                self.ended_unused(now, on);
            }
            Event::Readable => self.close_if_idle(on),
        }
    }

    /// Ends a job that is not over. The caller of this has taken it from its place.
    fn over(&mut self, id: JobId, end: End) {
        let Some(tracked) = self.jobs.get_mut(id.0) else { return };
        if tracked.place == Place::Queued {
            self.queued -= 1;
        }
        tracked.place = Place::Over;
        self.unfinished -= 1;
        let outcome = tracked.outcome(end);
        self.actions.push_back(Action::Over { job: id, outcome });
    }

    /// Since an action was decided on, the driver may have reported that a byte of the job left, or the flight has gone.
    fn with_latest_facts(&self, action: Action) -> Option<Action> {
        match action {
            Action::Over { job, outcome } if outcome.end != End::Reply => {
                let latest = self.jobs.get(job.0);
                Some(Action::Over { job, outcome: latest.map_or(outcome, |tracked| tracked.outcome(outcome.end)) })
            }
            Action::Skip { job, on } | Action::Recall { job, on } => {
                let flights = &self.connections.get(on.0)?.flights;
                flights.iter().any(|flight| flight.job == job).then_some(action)
            }
            other => Some(other),
        }
    }

    /// Puts a job at the head of the queue.
    fn put_back(&mut self, id: JobId) {
        self.enqueue(id, true);
    }

    /// Puts a job into the queue, after a question to its owner if it asks.
    fn enqueue(&mut self, id: JobId, at_head: bool) {
        let Some(tracked) = self.jobs.get_mut(id.0) else { return };
        if tracked.job.asks {
            tracked.place = Place::Asking { at_head };
            self.actions.push_back(Action::Ask(id));
        } else {
            self.queue(id, at_head);
        }
    }

    fn queue(&mut self, id: JobId, at_head: bool) {
        let Some(tracked) = self.jobs.get_mut(id.0) else { return };
        tracked.place = Place::Queued;
        self.settled = false;
        self.queued += 1;
        if at_head {
            self.queue.push_front(id);
        } else {
            self.queue.push_back(id);
        }
    }
}
