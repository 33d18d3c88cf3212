//! Many requests in flight, in one task.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::connection::Connection;
use super::response::Response;
use super::runtime::Runtime;
use crate::collected::Collected;
use crate::error::Error;
use crate::pipeline::Feed;
use crate::request::Request;
use crate::transport::WaitingFor;

/// Sends requests in the order of an iterator, and reads their responses in the same order, with as many in flight as its two
/// bounds allow: see the [blocking one](crate::Pipeline).
#[derive(Debug)]
pub struct Pipeline<'a, R: Runtime, I: Iterator> {
    connection: &'a mut Connection<R>,
    feed: Feed<I>,
}

impl<R: Runtime> Connection<R> {
    /// Sends `requests` and reads their responses in order, with many in flight: see [`Pipeline`].
    pub fn pipeline<I>(&mut self, requests: I) -> Pipeline<'_, R, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<Request>,
    {
        Pipeline::new(self, requests.into_iter())
    }
}

impl<'a, R, I> Pipeline<'a, R, I>
where
    R: Runtime,
    I: Iterator,
    I::Item: Borrow<Request>,
{
    pub(super) fn new(connection: &'a mut Connection<R>, requests: I) -> Self {
        connection.waiting.begin();
        let feed = Feed::new(&mut connection.engine.duplex(), requests);
        Pipeline { connection, feed }
    }

    /// Sets how many requests may be in flight, at least 1: see [the blocking one](crate::Pipeline::max_requests). Default: 64.
    #[must_use]
    pub fn max_requests(mut self, count: usize) -> Self {
        self.feed.window.set_max_requests(count);
        self
    }

    /// Sets how many bytes of requests, content included, may be in flight. A single request may be larger. Default: 1 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.feed.window.set_max_bytes(bytes);
        self
    }

    /// How many requests were taken from the iterator.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.feed.taken
    }

    /// Returns the request that was taken from the iterator and not sent, if any, and the rest of the iterator.
    #[must_use]
    pub fn into_rest(self) -> (Option<I::Item>, I) {
        self.feed.into_rest()
    }

    /// Returns the next response; `None` when all requests are answered. Responses to requests that were outstanding before
    /// come first.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::Pipeline::next).
    pub async fn next(&mut self) -> Result<Option<Response<'_, R>>, Error> {
        self.connection.waiting.begin();
        let found = poll_fn(|cx| self.poll_head(cx)).await?;
        if !found {
            self.connection.engine.duplex().shared.queue().shrink();
        }
        Ok(found.then(|| self.connection.access().into_response()))
    }

    /// Reads the next head; false if no response is due.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if self.connection.engine.receiving.half().is_in_content() {
            ready!(self.connection.access().into_response().poll_discard(cx))?;
        }
        let mut access = self.connection.access();
        if access.duplex.shared.queue().is_empty() {
            access = access.looking();
        }
        let feed = &mut self.feed;
        access.poll(cx, WaitingFor::Response, |duplex, stream| feed.step(duplex, stream))
    }

    /// Returns the responses as a [`Stream`], each with its whole content of at most `limit` bytes.
    #[must_use]
    pub fn collected(self, limit: usize) -> Collecting<'a, R, I> {
        Collecting { pipeline: self, limit, current: None, is_over: false }
    }
}

/// The responses of a pipeline as a [`Stream`]: see [`Pipeline::collected`].
///
/// After [`Error::Local`], [`Error::TimedOut`] and [`Error::ContentTooLong`] it goes on, and skips content that is too long.
/// Any other error is the last item.
#[derive(Debug)]
pub struct Collecting<'a, R: Runtime, I: Iterator> {
    pipeline: Pipeline<'a, R, I>,
    limit: usize,
    /// The response that is being read.
    current: Option<Collected>,
    is_over: bool,
}

impl<'a, R, I> Collecting<'a, R, I>
where
    R: Runtime,
    I: Iterator,
    I::Item: Borrow<Request>,
{
    /// Returns the pipeline, to use it in another way or to get the unsent requests.
    #[must_use]
    pub fn into_pipeline(self) -> Pipeline<'a, R, I> {
        self.pipeline
    }

    fn poll_collected(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Collected>, Error>> {
        let mut collected = match self.current.take() {
            Some(collected) => collected,
            None => {
                if !ready!(self.pipeline.poll_head(cx))? {
                    return Poll::Ready(Ok(None));
                }
                let response = self.pipeline.connection.access().into_response();
                let (number, head) = (response.number(), response.head().clone());
                Collected::new(number, head)
            }
        };
        let mut response = Response::of(self.pipeline.connection.access(), collected.number);
        let limit = self.limit;
        let filled = loop {
            match response.poll_fill(cx) {
                Poll::Ready(Ok(Some(bytes))) if collected.content.len() + bytes.len() <= limit => {
                    collected.content.extend_from_slice(bytes);
                    let count = bytes.len();
                    response.consume(count);
                }
                // The next head skips the rest.
                Poll::Ready(Ok(Some(_))) => return Poll::Ready(Err(Error::ContentTooLong { number: collected.number, limit })),
                Poll::Ready(Ok(None)) => {
                    collected.trailers = response.trailers().clone();
                    return Poll::Ready(Ok(Some(collected)));
                }
                other => break other.map_ok(drop),
            }
        };
        // The bytes read so far stay for the next call.
        self.current = Some(collected);
        filled.map(|filled| filled.map(|()| None))
    }
}

impl<R, I> Stream for Collecting<'_, R, I>
where
    R: Runtime,
    I: Iterator + Unpin,
    I::Item: Borrow<Request> + Unpin,
{
    type Item = Result<Collected, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let collecting = self.get_mut();
        if collecting.is_over {
            return Poll::Ready(None);
        }
        let collected = ready!(collecting.poll_collected(cx));
        collecting.is_over = match &collected {
            Ok(collected) => collected.is_none(),
            Err(Error::Local(_) | Error::TimedOut { .. } | Error::ContentTooLong { .. }) => false,
            Err(_) => true,
        };
        Poll::Ready(collected.transpose())
    }
}
