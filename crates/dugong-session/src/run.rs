//! Many requests, and their outcomes one after another.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Request;
use crate::driver::core::Core;
use crate::driver::parker::Parker;
use crate::failed::{Cause, Failed};
use crate::outcome::Outcome;
use crate::ticket::{Owner, Ticket};

/// An iterator of outcomes: see [`Session::run`](crate::Session::run).
///
/// Each request that it takes gets exactly one outcome. A request that is not valid gets one as well, and the run goes on.
///
/// If you drop it, the session gives up the requests without outcome.
#[must_use]
pub struct Run<I> {
    core: Arc<Core>,
    /// `None` after its end.
    requests: Option<I>,
    /// Requests without outcome, in order.
    waiting: VecDeque<Waiting>,
    taken: usize,
    is_ordered: bool,
    is_streamed: bool,
    ahead: usize,
}

/// An iterator that takes longer does not hold up the requests that it has given.
const SLOW_ITERATOR: Duration = Duration::from_millis(1);

struct Waiting {
    index: usize,
    request: Request,
    ticket: Result<Ticket, Failed>,
}

impl<I> Run<I> {
    pub(crate) fn new(core: Arc<Core>, requests: I) -> Self {
        let ahead = core.settings.take_ahead();
        Run { core, requests: Some(requests), waiting: VecDeque::new(), taken: 0, is_ordered: true, is_streamed: false, ahead }
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

    /// The position of an outcome that can be given.
    fn ready(&self) -> Option<usize> {
        let is_ready = |waiting: &Waiting| waiting.ticket.as_ref().map_or(true, Ticket::is_answered);
        if self.is_ordered {
            self.waiting.front().filter(|waiting| is_ready(waiting)).map(|_| 0)
        } else {
            self.waiting.iter().position(is_ready)
        }
    }
}

impl<I> Run<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    /// Submits requests until enough are under way.
    fn fill(&mut self) {
        if self.waiting.len() > self.ahead / 2 {
            return;
        }
        let mut moved = Instant::now();
        while self.waiting.len() < self.ahead
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                return;
            };
            let mut request = request.into();
            if self.is_streamed {
                request = request.streamed();
            }
            let ticket = Ticket::submit(&self.core, request.clone(), Owner::Thread, Some(Parker::waker()));
            self.waiting.push_back(Waiting { index: self.taken, request, ticket });
            self.taken += 1;
            if moved.elapsed() >= SLOW_ITERATOR {
                self.core.turn();
                if self.ready().is_some() {
                    return;
                }
                moved = Instant::now();
            }
        }
    }

    /// Waits until an outcome may be there.
    fn wait(&mut self) -> Result<(), Failed> {
        let awaited: Vec<_> =
            if self.is_ordered { self.waiting.front().into_iter().collect() } else { self.waiting.iter().collect() };
        for ticket in awaited.iter().filter_map(|waiting| waiting.ticket.as_ref().ok()) {
            ticket.set_waker(&Parker::waker());
            ticket.set_awaited(true);
        }
        let waiting = &self.waiting;
        let ordered = self.is_ordered;
        let askers = waiting.iter().filter(|waiting| waiting.ticket.as_ref().is_ok_and(Ticket::may_ask)).count();
        let core = self.core.clone();
        let waited = core.wait(None, || {
            let has_outcome = |waiting: &Waiting| waiting.ticket.as_ref().is_ok_and(Ticket::is_answered);
            if ordered && waiting.front().is_some_and(has_outcome) || !ordered && waiting.iter().any(has_outcome) {
                return true;
            }
            askers > 0 && waiting.iter().any(|waiting| waiting.ticket.as_ref().is_ok_and(Ticket::asks))
        });
        waited.map_err(|error| Failed::unsure(Cause::System(Arc::new(error))))?;
        for waiting in &mut self.waiting {
            if let Ok(ticket) = &mut waiting.ticket
                && ticket.asks()
            {
                let news = ticket.news();
                ticket.serve(&news);
            }
        }
        Ok(())
    }
}

impl<I> Iterator for Run<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        loop {
            self.fill();
            if let Some(position) = self.ready() {
                let Waiting { index, request, ticket } = self.waiting.remove(position)?;
                let result = match ticket {
                    Err(failed) => Err(failed),
                    Ok(ticket) => ticket.take_reply().unwrap_or_else(|_| unreachable!("it is answered")),
                };
                return Some(Outcome::new(index, request, result));
            }
            if self.waiting.is_empty() {
                return None;
            }
            if let Err(failed) = self.wait() {
                let Waiting { index, request, .. } = self.waiting.pop_front()?;
                return Some(Outcome::new(index, request, Err(failed)));
            }
        }
    }
}

impl<I> fmt::Debug for Run<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("taken", &self.taken).field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
