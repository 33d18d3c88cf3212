//! The two halves of a connection, for two threads.

use std::borrow::Borrow;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use dugong_proto::{CloseReason, Fields, Misuse, ResponseHead};

use super::response::Reader;
use super::{Connection, Response, drive};
use crate::error::{Closed, Error, Requests};
use crate::patience::Patience;
use crate::request::Request;
use crate::step::{Continue, Duplex, Progress, Receiving, Sending, Shared};
use crate::transport::{Expiry, Transport, WaitingFor};

/// The half of a connection that sends requests. It never reads: somebody has to read the responses with the other half, or the
/// server will stop taking requests some time.
///
/// Dropping it says that no more requests will come; if some of the last one is not sent yet (see [`flush`](RequestHalf::flush)),
/// it ends the connection, as [`close`](RequestHalf::close) always does.
#[derive(Debug)]
pub struct RequestHalf {
    sending: Sending,
    ends: Arc<Ends>,
    patience: Patience,
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
    ends: Arc<Ends>,
    patience: Patience,
}

/// What both halves hold.
#[derive(Debug)]
pub(super) struct Ends {
    shared: Arc<Shared>,
    transport: Arc<Transport>,
    /// No more requests will be sent.
    no_more_requests: AtomicBool,
}

impl Ends {
    /// A step of reading has ended: the sender may go on, or has nothing to hope for.
    pub(super) fn something_was_read<T>(&self, result: &Result<T, Error>) {
        let failed = result.as_ref().is_err_and(|error| error.requests().is_some());
        if failed || self.shared.queue().is_over() {
            self.transport.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    fn close(&self) {
        self.shared.cut(std::io::ErrorKind::ConnectionAborted, CloseReason::ClientSaidClose);
        self.transport.shutdown(Shutdown::Both);
        self.shared.changed.notify_all();
    }
}

impl RequestHalf {
    pub(super) fn split(connection: Connection) -> (RequestHalf, ResponseHalf) {
        let Connection { sending, receiving, shared, transport, patience, .. } = connection;
        let ends = Arc::new(Ends { shared, transport, no_more_requests: AtomicBool::new(false) });
        (RequestHalf { sending, ends: ends.clone(), patience }, ResponseHalf { receiving, ends, patience })
    }

    /// Sends a request, and its content if it was given with it, waiting as long as the server does not take it. The result is
    /// its number.
    ///
    /// With an expectation it waits until the other half has read the answer to it, at most as long as configured. If a final
    /// response makes the content pointless, the rest of it is not sent: the response says what became of the request.
    ///
    /// # Errors
    /// Of `Local` and `TimedOut` nothing of the request was or will be sent. If the timeout passes after the request was taken,
    /// that is no error here: [`flush`](RequestHalf::flush), or the next call, goes on with it. Otherwise nothing more can be
    /// sent, but responses may have arrived.
    pub fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        if self.sending.upload_left() > 0 {
            self.flush()?;
        }
        self.refuse_unasked()?;
        let number = self.step(|duplex, stream| duplex.send_request(request, stream))?;
        self.ends.shared.changed.notify_all();
        match self.flush() {
            Ok(()) | Err(Error::TimedOut { .. }) => Ok(number),
            // Its response was read before all of its content was sent: that says what became of it.
            Err(_) if self.ends.shared.queue().answered() > number => Ok(number),
            Err(error) => Err(error),
        }
    }

    /// Sends all that is left of what was taken: a request, or content that was given with it.
    ///
    /// # Errors
    /// `TimedOut`: can be called again. Otherwise nothing more can be sent, but responses may have arrived.
    pub fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.step(|duplex, stream| duplex.flush(stream))?;
            if self.sending.upload_left() == 0 {
                return Ok(());
            }
            // A refusal is found by the next flush.
            self.wait_for_continue()?;
        }
    }

    /// Sends all of `content`, which the last request announced.
    ///
    /// With an expectation it waits until the other half has read the answer to it, at most as long as configured.
    ///
    /// # Errors
    /// As for [`ContentWriter::send`](crate::ContentWriter::send); some of it may have been sent then.
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
    /// As for [`ContentWriter::finish`](crate::ContentWriter::finish).
    pub fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        loop {
            match self.step(|duplex, stream| duplex.finish_content(trailers, stream).map(Progress::Done)) {
                Ok(()) => return self.flush(),
                Err(Error::Local(Misuse::AwaitContinue)) => self.may_send_content()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// What became of the requests that were sent so far.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.ends.shared.requests()
    }

    /// Closes the connection; whoever waits in the other half wakes up with `Closed`.
    pub fn close(self) {
        self.ends.close();
    }

    /// Before the first request after a pause. Nobody reads now, since nothing is due, so what can be read nobody asked for.
    fn refuse_unasked(&mut self) -> Result<(), Error> {
        let mut queue = self.ends.shared.queue();
        if !queue.is_empty() || queue.close_reason().is_some() {
            return Ok(());
        }
        let mut seen = [0; 12];
        match self.ends.transport.peek(&mut seen).map(|progress| progress.map(|count| &seen[..count])) {
            // A lone empty line is skipped by the reader.
            Ok(Progress::Needs(_) | Progress::Done(b"\r\n")) => {}
            Ok(Progress::Done([])) => queue.close(CloseReason::PeerClosed),
            Ok(Progress::Done(bytes)) if bytes.ends_with(b" 408") => queue.close(CloseReason::RequestTimeout),
            Ok(Progress::Done(_)) => queue.close(CloseReason::UnaskedBytes),
            Err(error) => {
                queue.close(CloseReason::PeerClosed);
                return Error::of_looking(error, &queue).map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    /// Waits for the answer to an expectation; an error if it is a refusal.
    fn may_send_content(&mut self) -> Result<(), Error> {
        match self.wait_for_continue()? {
            Continue::Send => Ok(()),
            Continue::Refused => Err(Error::Local(Misuse::ContentRefused)),
        }
    }

    /// Waits until the other half has read an answer to the expectation, or long enough.
    fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        let until = self.duplex().until().or_else(|| Instant::now().checked_add(self.sending.expect_timeout));
        let deadline = until.into_iter().chain(self.patience.deadline).min();
        let ends = &self.ends;
        let mut queue = ends.shared.queue();
        loop {
            match self.sending.half.offer(0, &mut queue) {
                Err(Misuse::AwaitContinue) => {}
                Err(_) => return Ok(Continue::Refused),
                Ok(_) => return Ok(Continue::Send),
            }
            // Over, or cut at this end: both come with a reason.
            if let Some(reason) = queue.close_reason().filter(|_| queue.is_over() || ends.shared.is_cut()) {
                return Err(Error::Closed { cause: Closed::InOrder(reason), requests: Requests::of(&queue) });
            }
            queue = match wait_changed(&ends.shared, queue, deadline) {
                Ok(queue) => queue,
                Err(mut queue) => {
                    self.patience.check(WaitingFor::Response)?;
                    self.sending.half.proceed_without_continue(&mut queue);
                    return Ok(Continue::Send);
                }
            }
        }
    }

    fn duplex(&mut self) -> Duplex<'_> {
        Duplex { sending: Some(&mut self.sending), receiving: None, shared: &self.ends.shared }
    }

    fn step<T>(&mut self, step: impl FnMut(&mut Duplex<'_>, &mut &Transport) -> Result<Progress<T>, Error>) -> Result<T, Error> {
        let mut duplex = Duplex { sending: Some(&mut self.sending), receiving: None, shared: &self.ends.shared };
        let result = drive(&mut duplex, &self.ends.transport, &self.patience, WaitingFor::Sending, step);
        if result.is_err() {
            // It may be that there is nothing to wait for any more.
            self.ends.shared.changed.notify_all();
        }
        result
    }
}

impl Drop for RequestHalf {
    fn drop(&mut self) {
        self.ends.no_more_requests.store(true, Ordering::Release);
        if self.sending.half().owes_content() || !self.sending.half().to_send().is_empty() {
            // The rest of the last request will never come: nobody must wait for it, or for its answer.
            self.ends.shared.queue().close(CloseReason::ContentNotSent);
            self.ends.transport.shutdown(Shutdown::Write);
        }
        // Taking the lock makes sure that nobody is between looking and waiting.
        drop(self.ends.shared.queue());
        self.ends.shared.changed.notify_all();
    }
}

impl ResponseHalf {
    /// Reads the head of the next response, waiting for a request to be sent if none is outstanding; `None` if there will be
    /// none, because the other half was dropped.
    ///
    /// # Errors
    /// As for [`Connection::read_response`]; `Closed` if the other half closed the connection.
    pub fn read_response(&mut self) -> Result<Option<Response<'_>>, Error> {
        loop {
            if !self.receiving.half().is_in_content() && !self.wait_for_request()? {
                return Ok(None);
            }
            match self.reader().read_head() {
                Ok(()) => return Ok(Some(self.reader().current_response())),
                // That was the end of the last response, and no other is due yet.
                Err(Error::Local(Misuse::NothingOutstanding)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The response whose content is being read, to go on with it.
    pub fn current_response(&mut self) -> Option<Response<'_>> {
        self.receiving.half().is_in_content().then(|| self.reader().current_response())
    }

    /// Have `callback` called with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, mut callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.receiving.on_interim(move |head| callback(head));
    }

    /// What became of the requests that were sent so far.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.ends.shared.requests()
    }

    /// Closes the connection; whoever waits in the other half wakes up with `Closed`.
    pub fn close(self) {
        self.ends.close();
    }

    /// Waits until a request is outstanding; false if none will be.
    fn wait_for_request(&mut self) -> Result<bool, Error> {
        let expiry = self.patience.expiry(WaitingFor::Request, Instant::now());
        let ends = &self.ends;
        let mut queue = ends.shared.queue();
        while queue.is_empty() {
            if ends.no_more_requests.load(Ordering::Acquire) {
                return Ok(false);
            }
            if let Some(reason) = queue.close_reason() {
                return Err(Error::Closed { cause: Closed::InOrder(reason), requests: Requests::of(&queue) });
            }
            queue = match (wait_changed(&ends.shared, queue, expiry.map(|expiry| expiry.at)), expiry) {
                (Err(_), Some(Expiry { limit, .. })) => {
                    return Err(Error::TimedOut { waiting_for: WaitingFor::Request, limit, to: None });
                }
                (Ok(queue) | Err(queue), _) => queue,
            };
        }
        Ok(true)
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader {
            sending: None,
            receiving: &mut self.receiving,
            shared: &self.ends.shared,
            transport: &self.ends.transport,
            patience: &self.patience,
            ends: Some(&self.ends),
        }
    }
}

impl Drop for ResponseHalf {
    fn drop(&mut self) {
        // Nobody reads any more, so whoever waits to send would wait for ever.
        self.ends.close();
    }
}

type QueueGuard<'a> = MutexGuard<'a, dugong_proto::Outstanding>;

/// Waits until something about the queue may have changed; an error if the deadline has passed.
fn wait_changed<'a>(
    shared: &'a Shared,
    queue: QueueGuard<'a>,
    deadline: Option<Instant>,
) -> Result<QueueGuard<'a>, QueueGuard<'a>> {
    let Some(deadline) = deadline else {
        return Ok(shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(queue);
    }
    Ok(shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0)
}
