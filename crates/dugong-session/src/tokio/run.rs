//! Many requests, and their outcomes as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::host::{Flight, Host};
use super::reply::Reply;
use crate::failed::Failed;
use crate::request::Request;

/// What became of one request of a [run](super::Session::run).
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The position of the request in the iterator, from 0.
    pub index: usize,
    /// The request.
    pub request: Request,
    /// Its reply, or why there is none.
    pub result: Result<Reply, Failed>,
}

/// A stream of outcomes: see [`Session::run`](super::Session::run).
///
/// It takes requests from the iterator when it is polled, some ahead of the outcomes that you take. Each request that it takes gets
/// exactly one outcome. A request that is not valid gets one as well, and the run goes on. If you drop the run, the session gives up the
/// requests without outcome.
#[must_use = "a run does nothing unless it is polled"]
pub struct Run<I> {
    host: Host,
    /// `None` after its end.
    requests: Option<I>,
    /// Requests without outcome, in order.
    waiting: VecDeque<Waiting>,
    taken: usize,
    ahead: usize,
    is_ordered: bool,
    is_streamed: bool,
}

struct Waiting {
    index: usize,
    request: Request,
    flight: Result<Flight, Failed>,
    is_awaited: bool,
}

impl Waiting {
    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.flight.as_mut().map_or(true, |flight| flight.advance(cx))
    }
}

impl<I> Run<I> {
    pub(super) fn new(host: Host, requests: I) -> Self {
        let ahead = host.ahead();
        let requests = Some(requests);
        Run { host, requests, waiting: VecDeque::new(), taken: 0, ahead, is_ordered: true, is_streamed: false }
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

impl<I> Run<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    /// Waits for the next outcome; `None` when all requests have theirs.
    pub async fn next(&mut self) -> Option<Outcome> {
        std::future::poll_fn(|cx| self.poll_outcome(cx)).await
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.fill(cx);
        if self.waiting.is_empty() {
            return Poll::Ready(None);
        }
        let is_first_ready = self.waiting.front_mut().is_some_and(|waiting| waiting.is_ready(cx));
        let ready = if is_first_ready { Some(0) } else { self.look(cx) };
        let Some(Waiting { index, request, flight, .. }) = ready.and_then(|position| self.waiting.remove(position)) else {
            return Poll::Pending;
        };
        Poll::Ready(Some(Outcome { index, request, result: flight.and_then(Flight::into_result) }))
    }

    /// Submits requests, unless enough are under way.
    fn fill(&mut self, cx: &Context<'_>) {
        if self.waiting.len() > self.ahead / 2 {
            return;
        }
        while self.waiting.len() < self.ahead
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                break;
            };
            let request = request.into();
            let request = if self.is_streamed { request.streamed() } else { request };
            let flight = self.host.begin(&request, None, cx.waker());
            self.waiting.push_back(Waiting { index: self.taken, request, flight, is_awaited: false });
            self.taken += 1;
        }
    }

    /// Serves all requests, and finds one whose outcome can be given.
    fn look(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        let mut found = None;
        for (position, waiting) in self.waiting.iter_mut().enumerate() {
            let can_be_given = position == 0 || !self.is_ordered;
            if let Ok(flight) = &waiting.flight {
                flight.set_waker(cx.waker());
                if can_be_given && !std::mem::replace(&mut waiting.is_awaited, true) {
                    flight.set_awaited();
                }
            }
            if waiting.is_ready(cx) && can_be_given && found.is_none() {
                found = Some(position);
            }
        }
        found
    }
}

impl<I> Unpin for Run<I> {}

impl<I> Stream for Run<I>
where
    I: Iterator,
    I::Item: Into<Request>,
{
    type Item = Outcome;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        self.get_mut().poll_outcome(cx)
    }
}

impl<I> fmt::Debug for Run<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("taken", &self.taken).field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
