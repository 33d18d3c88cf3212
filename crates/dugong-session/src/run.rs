//! Many requests, and their outcomes one after another.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use crate::Request;
use crate::driver::core::Core;
use crate::driver::parker::Parker;
use crate::failed::{Cause, Failed};
use crate::outcome::Outcome;
use crate::queue::SLOW_ITERATOR;
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
    is_streamed: bool,
    ahead: usize,
    /// How many of those without outcome the session may ask for something.
    askers: usize,
    /// Rung at news of requests, if they are given as they come.
    bell: Option<Arc<Bell>>,
}

struct Waiting {
    index: usize,
    request: Request,
    ticket: Result<Ticket, Failed>,
}

impl Waiting {
    /// Whether the outcome can be given.
    fn is_ready(&self) -> bool {
        self.ticket.as_ref().map_or(true, Ticket::is_answered)
    }

    fn asks(&self) -> bool {
        self.ticket.as_ref().is_ok_and(Ticket::asks)
    }

    fn may_ask(&self) -> bool {
        self.ticket.as_ref().is_ok_and(Ticket::may_ask)
    }
}

/// Wakes the thread that waits, and tells it that it has a reason to look.
struct Bell {
    is_rung: AtomicBool,
    owner: Mutex<Arc<Parker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.owner().wake_by_ref();
        }
    }
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Bell { is_rung: AtomicBool::new(true), owner: Mutex::new(Parker::current()) })
    }

    fn owner(&self) -> MutexGuard<'_, Arc<Parker>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> Run<I> {
    pub(crate) fn new(core: Arc<Core>, requests: I) -> Self {
        let ahead = core.settings.take_ahead();
        Run {
            core,
            requests: Some(requests),
            waiting: VecDeque::new(),
            taken: 0,
            is_streamed: false,
            ahead,
            askers: 0,
            bell: None,
        }
    }

    /// Gives outcomes as they come, not in the order of their requests.
    pub fn unordered(mut self) -> Self {
        self.bell = Some(Bell::new());
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
        let looked_at = if self.bell.is_some() { self.waiting.len() } else { 1 };
        self.waiting.iter().take(looked_at).position(Waiting::is_ready)
    }

    /// Takes an outcome that can be given.
    #[inline]
    fn take(&mut self) -> Option<Outcome> {
        let position = if self.bell.is_some() { self.ready()? } else { 0 };
        let waiting = self.waiting.get_mut(position)?;
        let asker = usize::from(waiting.may_ask());
        // Most outcomes are replies that are complete.
        let ended = match &mut waiting.ticket {
            Ok(ticket) if !ticket.leads_on() => ticket.take_ended(),
            _ => None,
        };
        if ended.is_none() && !waiting.is_ready() {
            return None;
        }
        let Waiting { index, request, ticket } = self.waiting.remove(position)?;
        self.askers -= asker;
        let result = ended.unwrap_or_else(|| match ticket {
            Ok(ticket) => ticket.take_reply().unwrap_or_else(|_| unreachable!("it is answered")),
            Err(failed) => Err(failed),
        });
        Some(Outcome::new(index, request, result))
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
            // In order, only the first one is waited for, and gets its waker then.
            let waker = self.bell.clone().map(Waker::from);
            let ticket = Ticket::submit(&self.core, request.clone(), Owner::Thread, waker);
            let waiting = Waiting { index: self.taken, request, ticket };
            self.askers += usize::from(waiting.may_ask());
            self.waiting.push_back(waiting);
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
        let parker = Parker::current();
        match (&self.bell, self.waiting.front()) {
            (Some(bell), _) => {
                *bell.owner() = parker;
                // Those that came since the last wait.
                let tickets = self.waiting.iter().rev().filter_map(|waiting| waiting.ticket.as_ref().ok());
                tickets.take_while(|ticket| !ticket.is_awaited()).for_each(|ticket| ticket.set_awaited(true));
            }
            (None, Some(Waiting { ticket: Ok(first), .. })) => {
                first.set_waker(&parker.into());
                first.set_awaited(true);
            }
            _ => {}
        }
        if self.bell.is_none() && self.askers > 0 {
            let tickets = self.waiting.iter().filter_map(|waiting| waiting.ticket.as_ref().ok());
            tickets.filter(|ticket| ticket.may_ask()).for_each(|ticket| ticket.set_waker(&Parker::waker()));
        }
        let has_askers = self.askers > 0;
        let mut has_news = false;
        let waited = self.core.wait(None, || {
            // Without a ring there are no news.
            let looks = self.bell.as_ref().is_none_or(|bell| bell.is_rung.swap(false, Ordering::AcqRel));
            has_news |= looks && (self.ready().is_some() || has_askers && self.waiting.iter().any(Waiting::asks));
            has_news
        });
        waited.map_err(|error| Failed::unsure(Cause::System(Arc::new(error))))?;
        if has_askers {
            for waiting in &mut self.waiting {
                if let Ok(ticket) = &mut waiting.ticket
                    && ticket.asks()
                {
                    let news = ticket.news();
                    ticket.serve(&news);
                }
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
        // The iterator may be slow, or want the outcomes that are there.
        let mut may_fill = true;
        loop {
            if let Some(outcome) = self.take() {
                return Some(outcome);
            }
            if std::mem::take(&mut may_fill) {
                self.fill();
                continue;
            }
            may_fill = true;
            if self.waiting.is_empty() {
                return None;
            }
            if let Err(failed) = self.wait() {
                let first = self.waiting.pop_front()?;
                self.askers -= usize::from(first.may_ask());
                let Waiting { index, request, .. } = first;
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
