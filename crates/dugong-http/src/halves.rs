//! The logic of the two halves of a connection that does not depend on how they wait.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use dugong_net::StreamError;
use dugong_proto::{CloseReason, Error as CoreError, Misuse};

use crate::error::{Closed, Error, Requests};
use crate::step::{Continue, Progress, Sending, Shared};

/// The operations of a transport that the halves need beside reading and writing.
pub(crate) trait Ending {
    /// Closes one direction or both, and wakes the threads or tasks that wait for them.
    fn shutdown(&self, how: Shutdown);

    /// Reads bytes and leaves them in the stream.
    fn peek(&self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError>;
}

/// The state that both halves share.
#[derive(Debug)]
pub(crate) struct SplitShared<T> {
    pub(crate) shared: Shared,
    pub(crate) transport: T,
    /// No more requests will be sent.
    no_more_requests: AtomicBool,
    /// The reader got the end of the connection as an error. From then on it gets the same each time.
    end_reported: AtomicBool,
}

impl<T: Ending> SplitShared<T> {
    pub(crate) fn new(shared: Shared, transport: T) -> Self {
        let (no_more_requests, end_reported) = Default::default();
        SplitShared { shared, transport, no_more_requests, end_reported }
    }

    /// Notifies the sender after a step that read. If the step ended the connection, closes the transport and returns true.
    pub(crate) fn something_was_read<U>(&self, result: &Result<U, Error>) -> bool {
        let failed = result.as_ref().is_err_and(|error| error.requests().is_some());
        let is_over = failed || self.shared.queue().is_over();
        if is_over {
            self.transport.shutdown(Shutdown::Both);
        }
        self.shared.notify();
        is_over
    }

    pub(crate) fn close(&self) {
        self.shared.cut(io::ErrorKind::ConnectionAborted, CloseReason::ClientSaidClose);
        self.transport.shutdown(Shutdown::Both);
        self.shared.notify();
    }

    /// Judges unasked bytes before the first request after a pause. No response is due, so the other half does not read now.
    pub(crate) fn refuse_unasked(&self) -> Result<(), Error> {
        let mut queue = self.shared.queue();
        if !queue.is_empty() || queue.close_reason().is_some() {
            return Ok(());
        }
        // Room for an empty line and for as much of a status line as the core needs.
        let mut seen = [0; 14];
        match self.transport.peek(&mut seen).map(|progress| progress.map(|count| &seen[..count])) {
            Ok(Progress::Needs(_)) => {}
            Ok(Progress::Done([])) => queue.close(CloseReason::PeerClosed),
            Ok(Progress::Done(bytes)) => queue.look_at_unasked(bytes),
            Err(error) => {
                queue.close(CloseReason::PeerClosed);
                return Error::of_looking(error, &queue).map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    /// The answer to the expectation of the last request, as the other half has read it, or as the passing of `until` implies;
    /// `None` to wait longer. The caller holds the lock of the queue.
    pub(crate) fn answer_to_expectation(
        &self,
        sending: &mut Sending,
        queue: &mut dugong_proto::Outstanding,
        until: Option<Instant>,
    ) -> Option<Result<Continue, Error>> {
        match sending.half.offer(0, queue) {
            Err(CoreError::Local(Misuse::AwaitContinue)) => {}
            Err(CoreError::Local(_)) => return Some(Ok(Continue::Refused)),
            Err(error) => return Some(Err(self.shared.ending(error, queue))),
            Ok(_) => return Some(Ok(Continue::Send)),
        }
        // Over, or cut at this end: both come with a reason.
        if let Some(reason) = queue.close_reason().filter(|_| queue.is_over() || self.shared.is_cut()) {
            return Some(Err(Error::Closed { cause: Closed::InOrder(reason), requests: Requests::of(queue) }));
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            sending.half.proceed_without_continue(queue);
            return Some(Ok(Continue::Send));
        }
        None
    }

    /// Whether a request is outstanding; false if none will be, `None` to wait longer. The caller holds the lock of the queue.
    pub(crate) fn is_request_due(&self, queue: &dugong_proto::Outstanding) -> Option<Result<bool, Error>> {
        if !queue.is_empty() {
            return Some(Ok(true));
        }
        if self.no_more_requests.load(Ordering::Acquire) && !self.end_reported.load(Ordering::Acquire) {
            return Some(Ok(false));
        }
        let error = queue.failure().or_else(|| queue.close_reason().map(CoreError::Closed))?;
        self.end_reported.store(true, Ordering::Release);
        Some(Err(Error::of_core(error, queue, None)))
    }

    /// Notes that the sending half was dropped.
    pub(crate) fn no_more_requests(&self, sending: &Sending) {
        self.no_more_requests.store(true, Ordering::Release);
        if sending.half().owes_content() || !sending.half().to_send().is_empty() {
            // The rest of the last request will never come: the server and the reader must not wait for it.
            self.shared.queue().close(CloseReason::ContentNotSent);
            self.transport.shutdown(Shutdown::Write);
        }
        // Once this had the lock, the other half either waits, and is notified, or has yet to look.
        drop(self.shared.queue());
        self.shared.notify();
    }

    /// The result of sending a request that was taken and not sent to its end.
    pub(crate) fn is_sent(&self, number: u64, flushed: Result<(), Error>) -> Result<u64, Error> {
        match flushed {
            Ok(()) | Err(Error::TimedOut { .. }) => Ok(number),
            // The response came before all content was sent, and says what became of the request.
            Err(_) if self.shared.queue().answered() > number => Ok(number),
            Err(error) => Err(error),
        }
    }
}
