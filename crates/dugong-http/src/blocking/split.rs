//! The two halves of a connection, for two threads.

use std::borrow::Borrow;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use dugong_net::{Expiry, StreamError};
use dugong_proto::{Fields, Misuse, ResponseHead};

use super::access::{Access, Channel};
use super::connection::Connection;
use super::response::Response;
use crate::error::{Error, Requests};
use crate::halves::{Ending, SplitShared};
use crate::request::Request;
use crate::step::{Continue, Duplex, Progress, Receiving, Sending};
use crate::transport::{Transport, WaitingFor};
use crate::wait_limits::WaitLimits;

/// The half of a connection that sends requests. It never reads: another thread has to read the responses with the other half,
/// or the server stops taking requests at some point.
///
/// Dropping it announces that no more requests will come. If some bytes of the last request are not sent yet (see
/// [`flush`](RequestHalf::flush)), they are never sent: that request fails, and responses to earlier ones can still be read.
#[derive(Debug)]
pub struct RequestHalf {
    sending: Sending,
    split: Arc<SplitShared<Transport>>,
    limits: WaitLimits,
}

/// The half of a connection that reads responses, in the order of the requests.
///
/// ```
/// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", origin.address());
/// use dugong_http::{Connection, Request};
///
/// let (mut requests, mut responses) = Connection::connect(&url)?.split();
/// let sender = std::thread::spawn(move || {
///     for i in 0..100 {
///         requests.send_request(Request::get(format!("/doc/{i}")))?;
///     }
///     Ok::<(), dugong_http::Error>(())
/// });
/// let mut count = 0;
/// while let Some(response) = responses.read_response()? {
///     response.discard()?;
///     count += 1;
/// }
/// assert_eq!(count, 100);
/// sender.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ResponseHalf {
    receiving: Receiving,
    split: Arc<SplitShared<Transport>>,
    limits: WaitLimits,
}

impl Connection {
    /// Splits the connection into a half that sends requests and a half that reads responses, for two threads.
    #[must_use]
    pub fn split(self) -> (RequestHalf, ResponseHalf) {
        RequestHalf::split(self)
    }
}

impl Ending for Transport {
    fn shutdown(&self, how: Shutdown) {
        self.shutdown(how);
    }

    fn peek(&self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        self.peek(buffer)
    }
}

impl RequestHalf {
    pub(super) fn split(connection: Connection) -> (RequestHalf, ResponseHalf) {
        let Connection { engine, transport, limits, .. } = connection;
        let (sending, receiving, shared) = engine.into_halves();
        let split = Arc::new(SplitShared::new(shared, transport));
        (RequestHalf { sending, split: split.clone(), limits }, ResponseHalf { receiving, split, limits })
    }

    /// Sends a request with its content, if you gave it with the request. Waits while the server does not take it. Returns its
    /// number.
    ///
    /// A request with an expectation waits until the other half has read the answer to it, at most as long as configured. If a
    /// final response makes the content pointless, the rest of it is not sent: the response says what became of the request.
    ///
    /// # Errors
    /// `Local` and `TimedOut`: no byte of the request was or will be sent. If the timeout passes after the request was taken,
    /// that is no error: [`flush`](RequestHalf::flush) or the next call goes on with it. After all other errors nothing more
    /// can be sent, but responses may have arrived.
    pub fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let number = self.queue_request(request)?;
        let flushed = self.flush();
        self.split.is_sent(number, flushed)
    }

    /// Takes a request like [`send_request`](RequestHalf::send_request), but leaves it in the send buffer if there is room. So
    /// many requests go out with one write: call [`flush`](RequestHalf::flush) after the last one. Until then a queued request
    /// may never leave, and the other half waits for its response.
    ///
    /// # Errors
    /// `Local` or `TimedOut`: no byte of the request was or will be sent. After all other errors nothing more can be sent, but
    /// responses may have arrived.
    pub fn queue_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        if self.sending.upload_left() > 0 {
            self.flush()?;
        }
        self.split.refuse_unasked()?;
        let number = self.step(|duplex, stream| duplex.take_request(request, stream))?;
        self.split.shared.notify();
        Ok(number)
    }

    /// Sends all pending bytes of requests and their content.
    ///
    /// # Errors
    /// `TimedOut`: you can call again. After all other errors nothing more can be sent, but responses may have arrived.
    pub fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.step(|duplex, stream| duplex.flush(stream))?;
            if self.sending.upload_left() == 0 {
                return Ok(());
            }
            // The next flush finds a refusal.
            self.wait_for_continue()?;
        }
    }

    /// Sends all of `content`, which the last request announced.
    ///
    /// A request with an expectation waits until the other half has read the answer to it, at most as long as configured.
    ///
    /// # Errors
    /// The same as for [`ContentWriter::send`](crate::ContentWriter::send), but some bytes may have been sent.
    pub fn send_content(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            match self.step(|duplex, stream| duplex.write_content(content, stream)) {
                Ok(count) => content = &content[count..],
                Err(Error::Local(Misuse::AwaitContinue)) => self.may_send_content()?,
                Err(error) => return Err(error),
            }
        }
        self.flush()
    }

    /// Ends the content of the last request, with a trailer section if it is chunked.
    ///
    /// # Errors
    /// The same as for [`ContentWriter::finish`](crate::ContentWriter::finish).
    pub fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        loop {
            match self.step(|duplex, stream| duplex.finish_content(trailers, stream).map(Progress::Done)) {
                Ok(()) => return self.flush(),
                Err(Error::Local(Misuse::AwaitContinue)) => self.may_send_content()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// How much of the content that the last request announced is still to be sent; `None` if none is, or if that is unknown
    /// (chunked).
    #[must_use]
    pub fn content_left(&self) -> Option<u64> {
        self.sending.half().content_left()
    }

    /// The requests sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.split.shared.requests()
    }

    /// Closes the connection. A thread that waits for a response in the other half wakes up with `Closed`; one that waits for the next
    /// request gets `None`.
    pub fn close(self) {
        self.split.close();
    }

    /// Waits for the answer to an expectation; a refusal is an error.
    fn may_send_content(&mut self) -> Result<(), Error> {
        match self.wait_for_continue()? {
            Continue::Send => Ok(()),
            Continue::Refused => Err(Error::Local(Misuse::ContentRefused)),
        }
    }

    /// Waits until the other half has read the answer to the expectation, or the time is up.
    fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        let until = self.duplex().upload_until().or_else(|| Instant::now().checked_add(self.sending.expect_timeout));
        let wake_at = until.into_iter().chain(self.limits.deadline).min();
        let mut queue = self.split.shared.queue();
        loop {
            if let Some(answer) = self.split.answer_to_expectation(&mut self.sending, &mut queue, until) {
                return answer;
            }
            queue = match self.split.shared.changed().wait(queue, wake_at) {
                Ok(queue) => queue,
                Err(queue) => {
                    self.limits.check(WaitingFor::Response)?;
                    queue
                }
            }
        }
    }

    fn duplex(&mut self) -> Duplex<'_> {
        Duplex::of_halves(Some(&mut self.sending), None, &self.split.shared)
    }

    fn step<T>(&mut self, step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>) -> Result<T, Error> {
        let duplex = Duplex::of_halves(Some(&mut self.sending), None, &self.split.shared);
        let channel = Channel::new(&self.split.transport);
        let mut access = Access { duplex, channel, limits: &self.limits, split: Some(&self.split) };
        let result = access.drive(WaitingFor::Sending, step);
        if result.is_err() {
            // The reader may have nothing left to wait for.
            self.split.shared.notify();
        }
        result
    }
}

impl Drop for RequestHalf {
    fn drop(&mut self) {
        self.split.no_more_requests(&self.sending);
    }
}

impl ResponseHalf {
    /// Reads the head of the next response. Waits for a request if none is outstanding; `None` if the other half was dropped,
    /// so that none will come.
    ///
    /// # Errors
    /// The same as for [`Connection::read_response`]; `Closed` if the other half closed the connection
    /// before the response was complete.
    pub fn read_response(&mut self) -> Result<Option<Response<'_>>, Error> {
        loop {
            if !self.receiving.half().is_in_content() && !self.wait_for_request()? {
                return Ok(None);
            }
            match self.access().read(|duplex, stream| duplex.read_head(stream)) {
                Ok(()) => return Ok(Some(self.access().into_response())),
                // That was the end of the last response, and no other is due yet.
                Err(Error::Local(Misuse::NothingOutstanding)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The response whose content is being read, to go on with it.
    pub fn current_response(&mut self) -> Option<Response<'_>> {
        self.receiving.half().is_in_content().then(|| self.access().into_response())
    }

    /// Calls `callback` with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, mut callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.receiving.on_interim(move |head| callback(head));
    }

    /// The requests sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.split.shared.requests()
    }

    /// Closes the connection. A thread that waits in the other half wakes up with `Closed`.
    pub fn close(self) {
        self.split.close();
    }

    /// Waits until a request is outstanding; false if none will be.
    fn wait_for_request(&mut self) -> Result<bool, Error> {
        let expiry = self.limits.expiry(WaitingFor::Request, Instant::now());
        let mut queue = self.split.shared.queue();
        loop {
            if let Some(due) = self.split.is_request_due(&queue) {
                return due;
            }
            queue = match (self.split.shared.changed().wait(queue, expiry.map(|expiry| expiry.at)), expiry) {
                (Err(_), Some(Expiry { limit, .. })) => {
                    return Err(Error::TimedOut { waiting_for: WaitingFor::Request, limit, to: None });
                }
                (Ok(queue) | Err(queue), _) => queue,
            };
        }
    }

    fn access(&mut self) -> Access<'_> {
        Access {
            duplex: Duplex::of_halves(None, Some(&mut self.receiving), &self.split.shared),
            channel: Channel::new(&self.split.transport),
            limits: &self.limits,
            split: Some(&self.split),
        }
    }
}

impl Drop for ResponseHalf {
    fn drop(&mut self) {
        // Without a reader, a sender would wait for ever.
        self.split.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::Config;
    use crate::transport::Origin;

    #[test]
    fn queued_requests_go_out_with_one_write() {
        /// A stream that counts the writes.
        struct Counting(UnixStream, Arc<AtomicUsize>);

        impl Read for Counting {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(buffer)
            }
        }

        impl Write for Counting {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.1.fetch_add(1, Ordering::SeqCst);
                self.0.write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl AsFd for Counting {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        let (near, mut far) = UnixStream::pair().unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let connection = Config::new().over_stream(Counting(near, writes.clone()), &Origin::http("origin", 80)).unwrap();
        let (mut requests, mut responses) = connection.split();
        for number in 0..64 {
            assert_eq!(requests.queue_request(Request::get("/")).unwrap(), number);
        }
        assert_eq!(writes.load(Ordering::SeqCst), 0);
        requests.flush().unwrap();
        assert_eq!(writes.load(Ordering::SeqCst), 1);
        far.write_all(&b"HTTP/1.1 204 No Content\r\n\r\n".repeat(64)).unwrap();
        for number in 0..64 {
            assert_eq!(responses.read_response().unwrap().expect("a request").number(), number);
        }
    }
}
