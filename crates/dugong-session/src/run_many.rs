//! Many requests to many origins, and their outcomes one after another.

use std::collections::VecDeque;
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
    /// Requests without outcome, in order.
    waiting: VecDeque<Waiting>,
    taken: usize,
    is_ordered: bool,
    is_streamed: bool,
    /// Made when it has to wait for the first time.
    wait: Option<Wait>,
}

struct Waiting {
    index: usize,
    request: Request,
    journey: Result<Journey, Failed>,
}

/// How many requests are under way at most, in all sessions together.
pub(crate) const AHEAD: usize = 1024;

impl<I> RunMany<I> {
    pub(crate) fn new(origins: Arc<Origins>, requests: I) -> Self {
        let requests = Some(requests);
        RunMany { origins, requests, waiting: VecDeque::new(), taken: 0, is_ordered: true, is_streamed: false, wait: None }
    }

    /// Gives outcomes as they come, not in the order of their requests.
    pub fn unordered(mut self) -> Self {
        self.is_ordered = false;
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
        self.taken
    }
}

impl<I> RunMany<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    /// Submits requests, unless enough are under way.
    fn fill(&mut self, wait: &mut Wait) {
        if self.waiting.len() > AHEAD / 2 {
            return;
        }
        while self.waiting.len() < AHEAD
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                return;
            };
            let request = request.into();
            let request = if self.is_streamed { request.streamed() } else { request };
            let plan = &self.origins.plan;
            let journey = Journey::begin(&request, plan.redirects, plan.total_timeout(), &mut wait.submit(&self.origins));
            self.waiting.push_back(Waiting { index: self.taken, request, journey });
            self.taken += 1;
        }
    }

    /// Advances all requests, and finds one whose outcome can be given.
    fn look(&mut self, wait: &mut Wait) -> Option<usize> {
        let waker = wait.waker.clone();
        let mut found = None;
        for (position, waiting) in self.waiting.iter_mut().enumerate() {
            let is_ready = waiting
                .journey
                .as_mut()
                .map_or(true, |journey| journey.advance(&waker, &mut Ticket::serve, &mut wait.submit(&self.origins)));
            if is_ready && (position == 0 || !self.is_ordered) {
                found = found.or(Some(position));
                // The others are looked at when there is nothing to give.
                break;
            }
        }
        found
    }

    fn try_next(&mut self, wait: &mut Wait) -> io::Result<Option<Outcome>> {
        loop {
            self.fill(wait);
            if self.waiting.is_empty() {
                return Ok(None);
            }
            if let Some(position) = self.look(wait)
                && let Some(Waiting { index, request, journey }) = self.waiting.remove(position)
            {
                return Ok(Some(Outcome::new(index, request, journey.and_then(Journey::into_result))));
            }
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
            let failed = Failed::unsure(Cause::System(Arc::new(error)));
            if let Some(Waiting { index, request, .. }) = self.waiting.pop_front() {
                return Some(Outcome::new(index, request, Err(failed)));
            }
            let request = self.requests.as_mut()?.next()?.into();
            self.taken += 1;
            Some(Outcome::new(self.taken - 1, request, Err(failed)))
        })
    }
}

impl<I> fmt::Debug for RunMany<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunMany").field("taken", &self.taken).field("waiting", &self.waiting.len()).finish_non_exhaustive()
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

/// Tells the thread that there are news.
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

    /// Submits requests so that this wakes for their news.
    fn submit(&mut self, origins: &Origins) -> impl FnMut(&Origin, Request) -> Result<Ticket, Failed> {
        |origin, request| {
            let session = origins.session(origin)?;
            let ticket = session.submit(request, &self.waker)?;
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
