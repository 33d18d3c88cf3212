//! Many requests to many origins, and their outcomes one after another.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Instant;

use dugong_http::Origin;

use crate::failed::{Cause, Failed};
use crate::journey::Journey;
use crate::origins::Origins;
use crate::outcome::Outcome;
use crate::queue::{Queue, SLOW_ITERATOR};
use crate::request::Request;
use crate::session::Session;
use crate::ticket::Ticket;

/// An iterator of outcomes: see [`Sessions::run`](crate::Sessions::run).
///
/// Each request that it takes gets exactly one outcome. A request that is not valid gets one as well, and the run goes on.
///
/// If you drop it, the sessions give up the requests without outcome.
#[must_use = "a run does nothing unless it is used"]
pub struct RunMany<I> {
    origins: Arc<Origins>,
    /// `None` after its end.
    requests: Option<I>,
    queue: Queue<Journey>,
    is_streamed: bool,
    /// Made when it is needed for the first time.
    wait: Option<Wait>,
}

/// How many requests are under way at most, in all sessions together.
pub(crate) const AHEAD: usize = 1024;

impl<I> RunMany<I> {
    pub(crate) fn new(origins: Arc<Origins>, requests: I) -> Self {
        RunMany { origins, requests: Some(requests), queue: Queue::new(), is_streamed: false, wait: None }
    }

    /// Gives outcomes as they come, not in the order of their requests.
    pub fn unordered(mut self) -> Self {
        self.queue.is_ordered = false;
        self
    }

    /// Gives each reply as soon as its head is there; its content is to be read.
    pub fn streamed(mut self) -> Self {
        self.is_streamed = true;
        self
    }

    /// How many requests were taken from the iterator.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.queue.taken()
    }
}

impl<I> RunMany<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    /// Submits requests, unless enough are under way.
    fn fill(&mut self, wait: &mut Wait) {
        if self.queue.len() > AHEAD / 2 {
            return;
        }
        let is_awaited = !self.queue.is_ordered;
        let mut moved = Instant::now();
        while self.queue.len() < AHEAD
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                return;
            };
            let request = request.into();
            let request = if self.is_streamed { request.streamed() } else { request };
            let plan = &self.origins.plan;
            self.queue.add(request, |request, waker| {
                let mut submit = wait.submit(&self.origins, waker);
                let journey = Journey::begin(request, plan.redirects, plan.total_timeout(), &mut submit)?;
                if is_awaited {
                    journey.set_awaited();
                }
                Ok(journey)
            });
            if moved.elapsed() >= SLOW_ITERATOR {
                wait.used.iter().for_each(|session| _ = session.turn());
                self.advance(wait);
                if self.queue.has_ready() {
                    return;
                }
                moved = Instant::now();
            }
        }
    }

    /// Looks at the requests with news.
    fn advance(&mut self, wait: &mut Wait) {
        let owner = wait.waker.clone();
        self.queue
            .advance(&owner, |journey, waker| journey.advance(waker, &mut Ticket::serve, &mut wait.submit(&self.origins, waker)));
    }

    fn try_next(&mut self, wait: &mut Wait) -> io::Result<Option<Outcome>> {
        loop {
            self.advance(wait);
            // The iterator may be slow, or want the outcomes that are there.
            if !self.queue.has_ready() {
                self.fill(wait);
                if self.queue.is_empty() {
                    return Ok(None);
                }
                self.advance(wait);
            }
            if let Some((index, request, journey)) = self.queue.pop_ready() {
                return Ok(Some(Outcome::new(index, request, journey.and_then(Journey::into_result))));
            }
            self.queue.newly_awaited().into_iter().for_each(Journey::set_awaited);
            wait.wait()?;
        }
    }
}

impl<I> Iterator for RunMany<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        let outcome = match self.wait.take().map_or_else(Wait::new, Ok) {
            Ok(mut wait) => {
                let outcome = self.try_next(&mut wait);
                self.wait = Some(wait);
                outcome
            }
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(|error| {
            let cause = Cause::System(Arc::new(error));
            let is_new = self.queue.is_empty();
            if is_new {
                let request = self.requests.as_mut()?.next()?.into();
                self.queue.add(request, |_, _| Err(Failed::unsent(Cause::Cancelled)));
            }
            let failed = if is_new { Failed::unsent(cause) } else { Failed::unsure(cause) };
            let (index, request) = self.queue.pop_first()?;
            Some(Outcome::new(index, request, Err(failed)))
        })
    }
}

impl<I> fmt::Debug for RunMany<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunMany").field("taken", &self.taken()).field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

/// How one thread waits for several sessions: a poller that watches the descriptors of all of them.
struct Wait {
    poll: mio::Poll,
    events: mio::Events,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
    /// The sessions that the poller watches.
    used: Vec<Session>,
}

/// Wakes the thread.
struct Bell {
    poller: mio::Waker,
    is_rung: AtomicBool,
    /// The thread is about to wait for the poller.
    is_asleep: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_rung.store(true, Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) {
            // It fails if the counter of an eventfd is full: then the poller wakes anyway.
            let _ = self.poller.wake();
        }
    }
}

const BELL: mio::Token = mio::Token(0);
const SESSION: mio::Token = mio::Token(1);

impl Wait {
    fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let poller = mio::Waker::new(poll.registry(), BELL)?;
        let bell = Arc::new(Bell { poller, is_rung: AtomicBool::new(false), is_asleep: AtomicBool::new(false) });
        let waker = bell.clone().into();
        Ok(Wait { poll, events: mio::Events::with_capacity(64), bell, waker, used: Vec::new() })
    }

    /// Submits requests, and watches their sessions.
    fn submit(&mut self, origins: &Origins, waker: &Waker) -> impl FnMut(&Origin, Request) -> Result<Ticket, Failed> {
        |origin, request| {
            let session = origins.session(origin)?;
            let ticket = session.submit(request, waker)?;
            if !self.used.iter().any(|other| other.is_same(&session)) {
                let descriptor = session.as_raw_fd();
                let watch =
                    self.poll.registry().register(&mut mio::unix::SourceFd(&descriptor), SESSION, mio::Interest::READABLE);
                watch.map_err(|error| Failed::unsent(Cause::System(Arc::new(error))))?;
                self.used.push(session);
            }
            Ok(ticket)
        }
    }

    /// Drives all sessions, and waits until one of them has news or work.
    fn wait(&mut self) -> io::Result<()> {
        let mut until: Option<Instant> = None;
        for session in &self.used {
            // If another thread drives it, that one wakes this one.
            if session.turn() {
                until = until.into_iter().chain(session.wait_until()).min();
            }
        }
        self.bell.is_asleep.store(true, Ordering::SeqCst);
        let slept = if self.bell.is_rung.load(Ordering::SeqCst) {
            Ok(())
        } else {
            self.forget_unused();
            let time = until.map(|until| until.saturating_duration_since(Instant::now()));
            self.poll.poll(&mut self.events, time)
        };
        self.bell.is_asleep.store(false, Ordering::SeqCst);
        // News that come from here on are seen, or ring again.
        self.bell.is_rung.store(false, Ordering::SeqCst);
        match slept {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Lets the sessions go that have no jobs: only this list and the directory know them.
    fn forget_unused(&mut self) {
        let registry = self.poll.registry();
        self.used.retain(|session| {
            let is_used = session.sharers() > 2;
            if !is_used {
                // It fails if the poller has forgotten the descriptor by itself.
                let _ = registry.deregister(&mut mio::unix::SourceFd(&session.as_raw_fd()));
            }
            is_used
        });
    }
}
