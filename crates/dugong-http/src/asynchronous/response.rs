//! Reading responses.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::runtime::Runtime;
use super::waiting::Access;
use crate::error::Error;
use crate::response::response_head;
use crate::step::Receiving;
use crate::transport::WaitingFor;

/// A response: its head, and its content to be read.
///
/// Read its content with [`read_content`](Response::read_content), as a [stream or body](Response::into_content), or with
/// [`read_all`](Response::read_all), or drop it with [`discard`](Response::discard); with the feature `tokio` also as
/// `AsyncRead` and `AsyncBufRead`. Each of them fails if the content is not complete.
///
/// Read the content to its end before you read the next response. You can drop the `Response` before that and ask for it again:
/// see [`Connection::current_response`](super::Connection::current_response).
pub struct Response<'a, R: Runtime> {
    access: Access<'a, R>,
    number: u64,
}

impl<'a, R: Runtime> Access<'a, R> {
    /// The response whose head was read last.
    #[inline]
    pub(super) fn into_response(self) -> Response<'a, R> {
        // A response without content is complete as soon as its head is taken.
        let half = self.receiving().half();
        let number = half.completed() - u64::from(!half.is_in_content());
        Response { access: self, number }
    }
}

impl<'a, R: Runtime> Response<'a, R> {
    /// The response with this number, which may have been read to its end since.
    pub(super) fn of(access: Access<'a, R>, number: u64) -> Self {
        Response { access, number }
    }

    response_head!();

    fn receiving(&self) -> &Receiving {
        self.access.receiving()
    }

    /// Reads the rest of the content, if that is at most [`Config::max_content`](crate::Config::max_content) bytes.
    ///
    /// # Errors
    /// `ContentTooLong` and `TimedOut` lose the bytes read so far, but the rest can be read by
    /// [`current_response`](super::Connection::current_response). Any other error ends the connection.
    pub async fn read_all(self) -> Result<Vec<u8>, Error> {
        let limit = self.receiving().max_content;
        self.read_all_up_to(limit).await
    }

    /// Reads the rest of the content, if that is at most `limit` bytes.
    ///
    /// # Errors
    /// The same as for [`read_all`](Response::read_all).
    pub async fn read_all_up_to(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.read_limited(&mut content, limit).await?;
        Ok(content)
    }

    /// Appends the rest of the content to `content`, however long it is. Reuse `content` to save allocations.
    ///
    /// # Errors
    /// `TimedOut`: the bytes read so far are in `content`, and you can call this again. Any other error ends the connection.
    pub async fn read_to(&mut self, content: &mut Vec<u8>) -> Result<(), Error> {
        self.read_limited(content, usize::MAX).await
    }

    /// Appends the rest of the content to `content`, which may then have at most `limit` bytes.
    async fn read_limited(&mut self, content: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
        let number = self.number;
        if self.is_too_long(content.len(), limit) {
            return Err(Error::ContentTooLong { number, limit });
        }
        self.reserve_for_rest(content);
        self.access.waiting.begin();
        poll_fn(|cx| {
            while let Some(bytes) = ready!(self.poll_fill(cx))? {
                if bytes.len() > limit - content.len() {
                    return Poll::Ready(Err(Error::ContentTooLong { number, limit }));
                }
                content.extend_from_slice(bytes);
                let count = bytes.len();
                self.consume(count);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads content into `buffer`. Returns the number of bytes: at least one, and 0 only at the end or if `buffer` is empty.
    ///
    /// # Errors
    /// `TimedOut`: you can call again. Any other error ends the connection.
    pub async fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.is_at_end() || buffer.is_empty() {
            return Ok(0);
        }
        if let Some(read) = self.access.read_content_now(buffer) {
            return read;
        }
        self.access.waiting.begin();
        poll_fn(|cx| self.poll_read_content(cx, buffer)).await
    }

    /// Polls [`read_content`](Response::read_content).
    ///
    /// # Errors
    /// The same as for [`read_content`](Response::read_content).
    pub fn poll_read_content(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        if self.is_at_end() || buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.access.poll(cx, WaitingFor::Response, |duplex, stream| duplex.read_content(buffer, stream))
    }

    /// Returns the next content in the receive buffer; `None` at the end. It stays there until you [consume](Response::consume)
    /// it.
    ///
    /// # Errors
    /// The same as for [`read_content`](Response::read_content).
    pub async fn fill(&mut self) -> Result<Option<&[u8]>, Error> {
        self.access.waiting.begin();
        let is_there = poll_fn(|cx| self.poll_available(cx)).await?;
        Ok(is_there.then(|| self.access.duplex.buffered_content()))
    }

    /// Polls [`fill`](Response::fill).
    ///
    /// # Errors
    /// The same as for [`read_content`](Response::read_content).
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<&[u8]>, Error>> {
        let is_there = ready!(self.poll_available(cx))?;
        Poll::Ready(Ok(is_there.then(|| self.access.duplex.buffered_content())))
    }

    fn poll_available(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if self.is_at_end() {
            return Poll::Ready(Ok(false));
        }
        // Content that has arrived needs no step, unless a limit of time has to be checked.
        if !self.access.duplex.buffered_content().is_empty() && self.access.waiting.is_unlimited() {
            return Poll::Ready(Ok(true));
        }
        self.access.poll(cx, WaitingFor::Response, |duplex, stream| duplex.fill_content(stream))
    }

    /// Drops `count` bytes of the content that [`fill`](Response::fill) has returned.
    ///
    /// # Panics
    /// If `count` is larger than that content.
    pub fn consume(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.access.duplex.consume(count);
        if let Some(half) = &self.access.half {
            half.something_was_read::<()>(&Ok(()));
        }
    }

    /// Reads the content to its end and drops it.
    ///
    /// # Errors
    /// `TimedOut`: you can call again on the [current response](super::Connection::current_response). Any other error ends the
    /// connection.
    pub async fn discard(mut self) -> Result<(), Error> {
        self.access.waiting.begin();
        poll_fn(|cx| self.poll_discard(cx)).await
    }

    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Piece by piece: a deadline has to end even a response that never pauses.
        while !self.is_at_end()
            && ready!(self.access.poll(cx, WaitingFor::Response, |duplex, stream| duplex.discard_some(stream)))?
        {}
        Poll::Ready(Ok(()))
    }
}
