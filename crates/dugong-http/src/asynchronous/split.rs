//! The two halves of a connection, for two tasks.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dugong_proto::{Fields, Misuse, ResponseHead};

use super::connection::{Connection, later};
use super::response::Response;
use super::runtime::Runtime;
use super::transport::{Asks, CrossWakers, Polled, Transport};
use super::waiting::{Access, Half, Waiting};
use crate::error::{Error, Requests};
use crate::halves::SplitShared;
use crate::request::Request;
use crate::step::{Continue, Duplex, Progress, Receiving, Sending, Side};
use crate::transport::WaitingFor;
use crate::wait_limits::WaitLimits;

/// The half of a connection that sends requests. It never reads: another task has to read the responses with the other half, or
/// the server stops taking requests at some point, and sending waits.
///
/// Dropping it announces that no more requests will come. If some bytes of the last request are not sent yet (see
/// [`flush`](RequestHalf::flush)), they are never sent: that request fails, and responses to earlier ones can still be read.
#[derive(Debug)]
pub struct RequestHalf<R: Runtime> {
    sending: Sending,
    waiting: Waiting<R>,
    joint: Arc<Joint<R>>,
}

/// The half of a connection that reads responses, in the order of the requests.
#[derive(Debug)]
pub struct ResponseHalf<R: Runtime> {
    receiving: Receiving,
    waiting: Waiting<R>,
    joint: Arc<Joint<R>>,
}

/// The state that both halves hold.
#[derive(Debug)]
struct Joint<R: Runtime> {
    split: SplitShared<Transport<R>>,
    cross_wakers: Option<CrossWakers>,
}

impl<R: Runtime> Connection<R> {
    /// Splits the connection into a half that sends requests and a half that reads responses, for two tasks.
    #[must_use]
    pub fn split(self) -> (RequestHalf<R>, ResponseHalf<R>) {
        RequestHalf::split(self)
    }
}

impl<R: Runtime> Joint<R> {
    fn half(&self, side: Side) -> Half<'_, R> {
        Half { side, split: &self.split, cross_wakers: self.cross_wakers.as_ref() }
    }

    fn close(&self) {
        self.split.close();
        // A stream of the caller's does not wake the tasks that wait for it.
        if let Some(cross_wakers) = &self.cross_wakers {
            cross_wakers.wake();
        }
    }
}

impl<R: Runtime> RequestHalf<R> {
    pub(super) fn split(connection: Connection<R>) -> (RequestHalf<R>, ResponseHalf<R>) {
        let Connection { engine, transport, waiting, .. } = connection;
        let (sending, receiving, shared) = engine.into_halves();
        let limits = waiting.limits();
        let cross_wakers = transport.needs_cross_wakers().then(CrossWakers::new);
        let joint = Arc::new(Joint { split: SplitShared::new(shared, transport), cross_wakers });
        let requests = RequestHalf { sending, waiting: Waiting::new(limits), joint: joint.clone() };
        (requests, ResponseHalf { receiving, waiting: Waiting::new(limits), joint })
    }

    /// Sends a request with its content, if you gave it with the request. Waits while the server does not take it. Returns its
    /// number.
    ///
    /// A request with an expectation waits until the other half has read the answer to it, at most as long as configured. If a
    /// final response makes the content pointless, the rest of it is not sent: the response says what became of the request.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::RequestHalf::send_request).
    pub async fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let number = self.queue_request(request).await?;
        let flushed = self.flush().await;
        self.joint.split.is_sent(number, flushed)
    }

    /// Takes a request like [`send_request`](RequestHalf::send_request), but leaves it in the send buffer if there is room. So
    /// many requests go out with one write: call [`flush`](RequestHalf::flush) after the last one. Until then a queued request
    /// may never leave, and the other half waits for its response.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::RequestHalf::queue_request).
    pub async fn queue_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        if self.sending.upload_left() > 0 {
            self.flush().await?;
        }
        self.joint.split.refuse_unasked()?;
        let number = self.drive(|duplex, stream| duplex.take_request(request, stream)).await?;
        self.waiting.forget_continue();
        self.joint.split.shared.notify();
        Ok(number)
    }

    /// Sends all pending bytes of requests and their content.
    ///
    /// # Errors
    /// `TimedOut`: you can call again. After any other error nothing more can be sent, but responses may have arrived.
    pub async fn flush(&mut self) -> Result<(), Error> {
        loop {
            self.drive(|duplex, stream| duplex.flush(stream)).await?;
            if self.sending.upload_left() == 0 {
                return Ok(());
            }
            // The next flush finds a refusal.
            self.wait_for_continue().await?;
        }
    }

    /// Sends all of `content`, which the last request announced.
    ///
    /// A request with an expectation waits until the other half has read the answer to it, at most as long as configured.
    ///
    /// # Errors
    /// The same as for [`ContentWriter::send`](crate::ContentWriter::send), but some bytes may have been sent.
    pub async fn send_content(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            match self.drive(|duplex, stream| duplex.write_content(content, stream)).await {
                Ok(count) => content = &content[count..],
                Err(Error::Local(Misuse::AwaitContinue)) => self.may_send_content().await?,
                Err(error) => return Err(error),
            }
        }
        self.flush().await
    }

    /// Ends the content of the last request, with a trailer section if it is chunked.
    ///
    /// # Errors
    /// The same as for [`ContentWriter::finish`](crate::ContentWriter::finish).
    pub async fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        loop {
            match self.drive(|duplex, stream| duplex.finish_content(trailers, stream).map(Progress::Done)).await {
                Ok(()) => return self.flush().await,
                Err(Error::Local(Misuse::AwaitContinue)) => self.may_send_content().await?,
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
        self.joint.split.shared.requests()
    }

    /// Closes the connection. A task that waits for a response in the other half wakes up with `Closed`; one that waits for the next
    /// request gets `None`.
    pub fn close(self) {
        self.joint.close();
    }

    /// Waits for the answer to an expectation; a refusal is an error.
    async fn may_send_content(&mut self) -> Result<(), Error> {
        match self.wait_for_continue().await? {
            Continue::Send => Ok(()),
            Continue::Refused => Err(Error::Local(Misuse::ContentRefused)),
        }
    }

    /// Waits until the other half has read the answer to the expectation, or the time is up.
    async fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        self.waiting.begin();
        let answer = poll_fn(|cx| self.poll_continue(cx)).await;
        self.waiting.has_continued();
        answer
    }

    fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<Result<Continue, Error>> {
        let split = &self.joint.split;
        let upload_until = Duplex::of_halves(Some(&mut self.sending), None, &split.shared).upload_until();
        let expect_timeout = self.sending.expect_timeout;
        let until = self.waiting.continue_until(|| upload_until.unwrap_or_else(|| later(expect_timeout)));
        loop {
            let mut queue = split.shared.queue();
            if let Some(answer) = split.answer_to_expectation(&mut self.sending, &mut queue, Some(until)) {
                return Poll::Ready(answer);
            }
            split.shared.changed().wake(Side::Requests, cx.waker());
            drop(queue);
            ready!(self.waiting.poll_limited(cx, WaitingFor::Sending, &WaitLimits::NONE, Some(until)))?;
        }
    }

    async fn drive<T>(
        &mut self,
        step: impl FnMut(&mut Duplex<'_>, &mut Polled<'_, '_, R>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        let mut access = Access {
            duplex: Duplex::of_halves(Some(&mut self.sending), None, &self.joint.split.shared),
            transport: &self.joint.split.transport,
            waiting: &mut self.waiting,
            half: Some(self.joint.half(Side::Requests)),
            asks: Asks::Runtime,
        };
        access.drive(WaitingFor::Sending, step).await
    }
}

impl<R: Runtime> Drop for RequestHalf<R> {
    fn drop(&mut self) {
        self.joint.split.no_more_requests(&self.sending);
    }
}

impl<R: Runtime> ResponseHalf<R> {
    /// Reads the head of the next response. Waits for a request if none is outstanding; `None` if the other half was dropped,
    /// so that none will come.
    ///
    /// # Errors
    /// The same as for [`Connection::read_response`]; `Closed` if the other half closed the connection
    /// before the response was complete.
    pub async fn read_response(&mut self) -> Result<Option<Response<'_, R>>, Error> {
        loop {
            if !self.receiving.half().is_in_content() && !self.wait_for_request().await? {
                return Ok(None);
            }
            match self.access().drive(WaitingFor::Response, |duplex, stream| duplex.read_head(stream)).await {
                Ok(()) => return Ok(Some(self.access().into_response())),
                // That was the end of the last response, and no other is due yet.
                Err(Error::Local(Misuse::NothingOutstanding)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The response whose content is being read, to go on with it.
    pub fn current_response(&mut self) -> Option<Response<'_, R>> {
        self.waiting.begin();
        self.receiving.half().is_in_content().then(|| self.access().into_response())
    }

    /// Calls `callback` with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.receiving.on_interim(callback);
    }

    /// The requests sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.joint.split.shared.requests()
    }

    /// Why the connection carries no further request; `None` while it does, as far as is known.
    #[cfg(feature = "tower")]
    pub(crate) fn close_reason(&self) -> Option<dugong_proto::CloseReason> {
        self.joint.split.shared.queue().close_reason()
    }

    /// Closes the connection. A task that waits in the other half wakes up with `Closed`.
    pub fn close(self) {
        self.joint.close();
    }

    /// Waits until a request is outstanding; false if none will be.
    async fn wait_for_request(&mut self) -> Result<bool, Error> {
        self.waiting.begin();
        poll_fn(|cx| self.poll_request(cx)).await
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let split = &self.joint.split;
        loop {
            let queue = split.shared.queue();
            if let Some(due) = split.is_request_due(&queue) {
                self.waiting.begin();
                return Poll::Ready(due);
            }
            split.shared.changed().wake(Side::Responses, cx.waker());
            drop(queue);
            if !self.waiting.limits().is_limited(WaitingFor::Request) {
                return Poll::Pending;
            }
            let limits = self.waiting.limits();
            ready!(self.waiting.poll_limited(cx, WaitingFor::Request, &limits, None))?;
        }
    }

    fn access(&mut self) -> Access<'_, R> {
        Access {
            duplex: Duplex::of_halves(None, Some(&mut self.receiving), &self.joint.split.shared),
            transport: &self.joint.split.transport,
            waiting: &mut self.waiting,
            half: Some(self.joint.half(Side::Responses)),
            asks: Asks::Runtime,
        }
    }
}

impl<R: Runtime> Drop for ResponseHalf<R> {
    fn drop(&mut self) {
        // Without a reader, a sender would wait for ever.
        self.joint.close();
    }
}
