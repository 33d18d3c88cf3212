//! Many requests in flight, on one thread.

use std::borrow::Borrow;

use super::connection::Connection;
use super::response::Response;
use crate::error::Error;
use crate::pipeline::Feed;
use crate::request::Request;
use crate::transport::WaitingFor;

/// Sends requests in the order of an iterator, and reads their responses in the same order, with as many in flight as its two
/// bounds allow.
///
/// It cannot deadlock: it never waits to send without being ready to read. You get a response as soon
/// as its head has come, and read its content yourself. So memory is bounded by the connection's buffers (see
/// [`step`](crate::driver)), one request and the iterator, for any number of requests and any size of responses. Asking for the
/// next response drops the unread content of the last one.
///
/// A pipeline is mechanism, not policy. It sends all requests that you give it, even behind requests that are not idempotent.
/// When the connection ends it reports the [outcome](crate::Error::into_outcomes) of each request, and sends none again. If you
/// do, send the first of them alone, and the others once it has been answered (RFC 9112 §9.3.2): some servers close the
/// connection, or fall silent, when several requests arrive. The example `recover` does all that.
///
/// ```
/// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", origin.address());
/// use dugong_http::{Connection, Request};
///
/// let mut connection = Connection::connect(&url)?;
/// let requests = (0..1000).map(|i| Request::get(format!("/doc/{i}")));
/// let mut pipeline = connection.pipeline(requests).max_requests(32);
/// let mut bytes = 0;
/// while let Some(response) = pipeline.next()? {
///     bytes += response.read_all()?.len();
/// }
/// assert!(bytes > 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline<'a, I: Iterator> {
    pub(super) connection: &'a mut Connection,
    feed: Feed<I>,
}

impl Connection {
    /// Sends `requests` and reads their responses in order, with many in flight: see [`Pipeline`].
    pub fn pipeline<I>(&mut self, requests: I) -> Pipeline<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<Request>,
    {
        self.skip_first_read = false;
        Pipeline::new(self, requests.into_iter())
    }
}

impl<'a, I> Pipeline<'a, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    pub(super) fn new(connection: &'a mut Connection, requests: I) -> Self {
        let feed = Feed::new(&mut connection.engine.duplex(), requests);
        Pipeline { connection, feed }
    }

    /// Sets how many requests may be in flight, at least 1. Default: 64, which hides a round trip of 64 times the server's time
    /// for one request; few servers read further ahead.
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
    /// `Local` if a request is not valid: no byte of it was sent, and the next call goes on without it. `Local(ContentShort)`
    /// if its content is only announced: in a pipeline, give it with the request. `TimedOut`: the next call goes on. All other
    /// errors end the connection: the error says what became of the requests that were sent, and
    /// [`into_rest`](Pipeline::into_rest) has the others.
    #[expect(clippy::should_implement_trait, reason = "the response borrows the pipeline, which no Iterator can express")]
    pub fn next(&mut self) -> Result<Option<Response<'_>>, Error> {
        if let Some(rest) = self.connection.current_response() {
            rest.discard()?;
        }
        let feed = &mut self.feed;
        let found = self.connection.drive(WaitingFor::Response, |duplex, stream| feed.step(duplex, stream))?;
        Ok(found.then(|| self.connection.access().into_response()))
    }
}
