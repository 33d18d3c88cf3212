//! Many requests, and their outcomes as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::host::{Flight, Host};
use super::reply::Reply;
use crate::failed::Failed;
use crate::queue::Queue;
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
    queue: Queue<Flight>,
    ahead: usize,
    is_streamed: bool,
}

impl<I> Run<I> {
    pub(super) fn new(host: Host, requests: I) -> Self {
        let ahead = host.ahead();
        Run { host, requests: Some(requests), queue: Queue::new(), ahead, is_streamed: false }
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
        self.fill();
        if self.queue.is_empty() {
            return Poll::Ready(None);
        }
        self.queue.advance(cx.waker(), |flight, waker| flight.advance(&mut Context::from_waker(waker)));
        if let Some((index, request, flight)) = self.queue.pop_ready() {
            return Poll::Ready(Some(Outcome { index, request, result: flight.and_then(Flight::into_result) }));
        }
        self.queue.newly_awaited().into_iter().for_each(Flight::set_awaited);
        Poll::Pending
    }

    /// Submits requests, unless enough are under way.
    fn fill(&mut self) {
        if self.queue.len() > self.ahead / 2 {
            return;
        }
        let is_awaited = !self.queue.is_ordered;
        while self.queue.len() < self.ahead
            && let Some(requests) = &mut self.requests
        {
            let Some(request) = requests.next() else {
                self.requests = None;
                return;
            };
            let request = request.into();
            let request = if self.is_streamed { request.streamed() } else { request };
            self.queue.add(request, |request, waker| {
                let flight = self.host.begin(request, None, waker)?;
                if is_awaited {
                    flight.set_awaited();
                }
                Ok(flight)
            });
        }
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
        f.debug_struct("Run").field("taken", &self.taken()).field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}
