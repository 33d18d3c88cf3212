//! The driver executes the plan: it owns the connections and one poller.
//!
//! It works in rounds: it takes the callers' commands, does what the plan says, and runs the connections that are ready, until nothing
//! is left to do. Then its thread sleeps until the poller has events, or its task comes back when the poller's descriptor is readable.
//!
//! The poller reports edges. So each link remembers what it has not drained yet.

mod connecting;
pub(crate) mod core;
pub(crate) mod inbox;
mod link;
pub(crate) mod parker;
mod receiving;
mod sending;
pub(crate) mod settings;
pub(crate) mod slot;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dugong_http::{Config, Error, Fields, Origin, ResponseHead};

use self::inbox::{Command, Inbox};
use self::link::Link;
pub use self::parker::thread_waker;
use self::settings::Settings;
use self::slot::{Ended, Slot};
use crate::effort::Effort;
use crate::failed::{Cause, Failed};
use crate::plan::{self, Action, ConnectionId, End, Event, JobId, Plan, Stats};
pub use crate::redirect::{Asked, Next, NotFollowed, follow};
use crate::request::Request;

/// How many events the poller gives at once.
const EVENTS: usize = 64;

#[derive(Debug)]
pub(crate) struct Driver {
    plan: Plan,
    poll: mio::Poll,
    events: mio::Events,
    /// By [`JobId::index`].
    works: Vec<Option<Work>>,
    /// By [`ConnectionId::index`].
    links: Vec<Option<Link>>,
    /// Links to run, by their index.
    ready: Vec<usize>,
    commands: Vec<Command>,
    /// Memory for the content of streamed replies.
    spare: BytesMut,
    origin: Origin,
    config: Config,
    expect_timeout: Duration,
    expect_above: Option<u64>,
    /// The error of the last connection that could not be opened, or ended.
    unreachable: Option<Arc<Error>>,
    begun: Instant,
    /// The moment of this round.
    now: Duration,
    /// When it took events last.
    polled: Duration,
}

/// A job on its way.
#[derive(Debug)]
struct Work {
    id: JobId,
    slot: Arc<Slot>,
    request: Request,
    /// The request with an expectation, or without the caller's.
    message: Option<Box<dugong_http::Request>>,
    /// The error of its last connection.
    error: Option<Arc<Error>>,
    /// Why the driver gave it up.
    cause: Option<Box<Cause>>,
    is_streamed: bool,
    /// It may wait for 100 (Continue).
    expects: bool,
    /// How often it was given to a connection.
    sends: u32,
    /// The plan has given it the response that is being read.
    is_delivered: bool,
    /// Of that response.
    received: Option<Box<Received>>,
}

/// The received part of a response.
#[derive(Debug, Default)]
struct Received {
    /// Of a response that is collected.
    head: Option<ResponseHead>,
    /// Content so far; its first `filled` bytes count.
    content: Vec<u8>,
    filled: usize,
    trailers: Option<Fields>,
}

impl Work {
    fn received(&mut self) -> &mut Received {
        self.received.get_or_insert_default()
    }

    fn message(&self) -> &dugong_http::Request {
        self.message.as_deref().unwrap_or_else(|| self.request.message())
    }

    /// Forgets what an earlier attempt received.
    fn start_over(&mut self) {
        self.is_delivered = false;
        self.received = None;
    }
}

impl Driver {
    fn new(settings: &Settings) -> io::Result<(Self, mio::Waker)> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), link::WAKER)?;
        // Sessions that were created together need other random numbers.
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let driver = Driver {
            plan: Plan::new(settings.plan.clone(), seed),
            poll,
            events: mio::Events::with_capacity(EVENTS),
            works: Vec::new(),
            links: Vec::new(),
            ready: Vec::new(),
            commands: Vec::new(),
            spare: BytesMut::new(),
            origin: settings.origin.clone(),
            config: settings.connection.clone(),
            expect_timeout: settings.expect_timeout,
            expect_above: settings.expect_above,
            unreachable: None,
            begun: Instant::now(),
            now: Duration::ZERO,
            polled: Duration::ZERO,
        };
        Ok((driver, waker))
    }

    fn descriptor(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    fn stats(&self) -> Stats {
        self.plan.stats()
    }

    fn tick(&mut self) {
        self.now = self.begun.elapsed();
    }

    /// Works until nothing is left to do without waiting.
    pub(super) fn go_on(&mut self, inbox: &Inbox) {
        loop {
            self.tick();
            self.plan.advance(self.now);
            let mut commands = std::mem::take(&mut self.commands);
            let freed = inbox.take(&mut commands);
            if freed > 0 {
                self.plan.note_freed(freed);
            }
            if commands.iter().any(|command| matches!(command, Command::Submit { .. })) {
                self.look_before_use();
            }
            let is_idle = commands.is_empty();
            for command in commands.drain(..) {
                self.obey(command);
            }
            self.commands = commands;
            self.act();
            if is_idle && self.ready.is_empty() {
                return;
            }
            self.run_ready();
        }
    }

    /// Looks at idle connections before new jobs can get one: a server may have closed them since the last turn.
    fn look_before_use(&mut self) {
        if self.links.iter().flatten().any(Link::is_idle) {
            self.look();
            self.run_ready();
        }
    }

    fn run_ready(&mut self) {
        while let Some(index) = self.ready.pop() {
            if let Some(link) = self.link(index) {
                link.is_ready = false;
                self.run(index);
            }
        }
    }

    /// Takes the events that have come, unless it has just done so. A caller that never lets it sleep, since it always has more content
    /// to give, would not hear that the server has answered.
    pub(super) fn look_at_times(&mut self, inbox: &Inbox) {
        const PAUSE: Duration = Duration::from_millis(1);
        if self.now.saturating_sub(self.polled) >= PAUSE {
            self.look();
            self.go_on(inbox);
        }
    }

    /// Takes the events that have come, without waiting.
    pub(super) fn look(&mut self) {
        // An error of the poller comes again when a thread sleeps.
        let _ = self.sleep_for(Some(Duration::ZERO));
    }

    /// Waits for events, until `wake_at` at the latest.
    pub(super) fn sleep(&mut self, wake_at: Option<Instant>) -> io::Result<()> {
        self.sleep_for(wake_at.map(|at| at.saturating_duration_since(Instant::now())))
    }

    fn sleep_for(&mut self, time: Option<Duration>) -> io::Result<()> {
        self.poll.poll(&mut self.events, time)?;
        loop {
            let mut count = 0;
            for event in &self.events {
                count += 1;
                let index = event.token().0;
                if let Some(link) = self.links.get_mut(index).and_then(Option::as_mut) {
                    link.note(event);
                    if !std::mem::replace(&mut link.is_ready, true) {
                        self.ready.push(index);
                    }
                }
            }
            if count < EVENTS {
                break;
            }
            // A task that watches the poller from outside sees each edge once, so none may stay inside.
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        }
        self.tick();
        self.polled = self.now;
        for (index, link) in self.links.iter_mut().enumerate() {
            if let Some(link) = link
                && link.until.is_some_and(|until| until <= self.begun + self.now)
                && !std::mem::replace(&mut link.is_ready, true)
            {
                self.ready.push(index);
            }
        }
        Ok(())
    }

    /// Until when to sleep if nothing happens.
    pub(super) fn wait_until(&self) -> Option<Instant> {
        let plan = self.plan.wait_until().and_then(|until| self.begun.checked_add(until));
        self.links.iter().flatten().filter_map(|link| link.until).chain(plan).min()
    }

    fn obey(&mut self, command: Command) {
        let now = self.now;
        match command {
            Command::Submit { slot, request } => self.submit(slot, request),
            Command::Ready { slot, request } => self.owner_is_ready(&slot, request),
            Command::Content { slot } => self.owner_gave_content(&slot),
            Command::Fail { slot, cause } => {
                if let Some(work) = self.work_of(&slot) {
                    let id = work.id;
                    self.give_up(id, cause);
                }
            }
            Command::Awaited { slot, awaited } => {
                if let Some(job) = slot.lock().job {
                    self.plan.set_awaited(now, job, awaited);
                }
            }
            Command::Taken { slot, bytes } => {
                if let Some(job) = slot.lock().job {
                    self.plan.note_taken(now, job, bytes);
                }
            }
            Command::Release { slot } => self.release(&slot),
            Command::Close => self.close(),
        }
    }

    fn release(&mut self, slot: &Slot) {
        let mut state = slot.lock();
        let (job, held) = (state.job, state.held.take());
        drop(state);
        if let Some(held) = held {
            // The plan has forgotten it.
            self.plan.note_freed(held);
        } else if let Some(job) = job {
            // No caller takes this outcome.
            self.works[job.index()].take_if(|work| work.id == job);
            self.plan.release(self.now, job);
        }
    }

    fn submit(&mut self, slot: Arc<Slot>, request: Request) {
        let mut job = request.job();
        job.expects = request.wants_expect(self.expect_above);
        let (is_streamed, expects) = (job.streamed, job.expects);
        let id = self.plan.submit(self.now, job);
        slot.lock().job = Some(id);
        if self.works.len() <= id.index() {
            self.works.resize_with(id.index() + 1, || None);
        }
        self.works[id.index()] = Some(Work {
            id,
            slot,
            request,
            message: None,
            error: None,
            cause: None,
            is_streamed,
            expects,
            sends: 0,
            is_delivered: false,
            received: None,
        });
    }

    /// Ends all jobs and connections.
    fn close(&mut self) {
        let jobs: Vec<_> = self.works.iter().flatten().map(|work| work.id).collect();
        for job in jobs {
            self.plan.cancel(self.now, job);
        }
        self.act();
        // Requests that come later end as cancelled.
        self.plan.close_idle(self.now);
        self.act();
        // No caller wants what these have left.
        for link in self.links.iter_mut().filter_map(Option::take) {
            self.plan.handle(self.now, link.id, Event::Lost(plan::Loss::GivenUp));
        }
        self.act();
    }

    /// Ends a job for a reason that the plan does not know.
    fn give_up(&mut self, job: JobId, cause: Cause) {
        if let Some(work) = self.work(job) {
            work.cause = Some(Box::new(cause));
            self.plan.cancel(self.now, job);
        }
    }

    /// Does all that the plan says.
    fn act(&mut self) {
        while let Some(action) = self.plan.next_action(self.now) {
            self.execute(action);
        }
    }

    /// Does what the plan says now, of events that come together: places that become free wait for [`act`](Driver::act).
    fn act_at_once(&mut self) {
        while let Some(action) = self.plan.next_decided(self.now) {
            self.execute(action);
        }
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Ask(job) => self.ask_owner(job),
            Action::Open(on) => self.open(on),
            Action::Send { job, on } => self.queue_job(job, on),
            Action::Deliver { job, on } => self.deliver(job, on),
            Action::Skip { job, on } => self.skip(job, on),
            Action::Recall { job, on } => self.recall(job, on),
            Action::Pause(on) => self.pause(on, true),
            Action::Resume(on) => self.pause(on, false),
            Action::Close(on) => drop(self.take_link(on)),
            Action::Over { job, outcome } => self.over(job, &outcome),
        }
    }

    /// Tells the caller of a job how it ended.
    fn over(&mut self, job: JobId, outcome: &plan::Outcome) {
        let Some(mut work) = self.works[job.index()].take_if(|work| work.id == job) else { return };
        let mut received = work.received.take().map_or_else(Received::default, |received| *received);
        let ended = match outcome.end {
            End::Reply => {
                received.content.truncate(received.filled);
                let effort = Effort { sent: outcome.sent, attempts: outcome.attempts };
                Ended::reply(received.head, Bytes::from(received.content), effort)
            }
            End::Failed(failure) => Ended::Failed(match work.cause.take() {
                Some(cause) => Failed::with(outcome, *cause),
                None if failure == plan::Failure::Unreachable => Failed::of(outcome, failure, self.unreachable.clone()),
                None => Failed::of(outcome, failure, work.error.take()),
            }),
        };
        work.slot.end(|state| {
            if let Some(trailers) = received.trailers {
                state.flow().trailers = Some(trailers);
            }
            state.ended = Some(ended);
        });
    }

    fn skip(&mut self, job: JobId, on: ConnectionId) {
        let Some(link) = self.link_of(on) else { return };
        if let Some(flight) = link.open().and_then(|open| open.flight_of(job)) {
            flight.is_skipped = true;
        }
        self.recall(job, on);
    }

    /// Takes a job back, or tells the plan that it leaves: the engine does not give back what it has taken.
    fn recall(&mut self, job: JobId, on: ConnectionId) {
        let Some(link) = self.link_of(on) else { return };
        let event = if link.take_back(job) {
            Some(Event::Recalled(job))
        } else {
            let unsent =
                link.open().and_then(|open| open.flight_of(job)).filter(|flight| flight.sent == dugong_http::Sent::Nothing);
            unsent.map(|_| Event::SentSome(job))
        };
        if let Some(event) = event {
            self.plan.handle(self.now, on, event);
        }
    }

    fn pause(&mut self, on: ConnectionId, paused: bool) {
        if let Some(link) = self.link_of(on) {
            link.is_paused = paused;
            self.make_ready(on.index());
        }
    }

    fn make_ready(&mut self, index: usize) {
        if let Some(link) = self.link(index)
            && !std::mem::replace(&mut link.is_ready, true)
        {
            self.ready.push(index);
        }
    }

    /// Runs a link as far as possible without waiting.
    fn run(&mut self, index: usize) {
        let Some(link) = self.link(index) else { return };
        if link.is_connecting() {
            return self.connect(index);
        }
        self.receive(index);
        self.act();
        self.send(index);
    }

    fn link(&mut self, index: usize) -> Option<&mut Link> {
        self.links.get_mut(index)?.as_mut()
    }

    fn link_of(&mut self, on: ConnectionId) -> Option<&mut Link> {
        self.link(on.index()).filter(|link| link.id == on)
    }

    fn take_link(&mut self, on: ConnectionId) -> Option<Link> {
        self.links.get_mut(on.index())?.take_if(|link| link.id == on)
    }

    fn work(&mut self, job: JobId) -> Option<&mut Work> {
        self.works.get_mut(job.index())?.as_mut().filter(|work| work.id == job)
    }

    fn work_of(&mut self, slot: &Slot) -> Option<&mut Work> {
        let job = slot.lock().job?;
        self.work(job)
    }
}
