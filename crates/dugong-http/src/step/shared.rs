//! The queue between the two sides of a connection, which a whole connection uses without a lock.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, io};

use dugong_net::StreamError;
use dugong_proto::{CloseReason, Outstanding};

use super::changed::Changed;
use crate::error::{Error, Requests};
use crate::events::{Event, Observer};

/// The part of a connection that sender and receiver share: the queue of outstanding requests. No lock is held during a wait.
#[derive(Default)]
pub struct Shared {
    queue: Mutex<Outstanding>,
    /// Wakes the other half when the queue has changed. Made when a half first waits for the other.
    changed: OnceLock<Box<Changed>>,
    /// The error of the write that failed. Once it is set, the end of the stream does not count as an orderly end: the system
    /// reports a reset only once, and the writer may have got that report.
    pub(super) write_failed: OnceLock<io::ErrorKind>,
    pub(super) observer: Option<Observer>,
}

impl Shared {
    /// Creates the shared part of a connection whose events go to `observer`.
    pub(crate) fn observed(observer: Option<Observer>) -> Self {
        let mut shared = Self::default();
        shared.observer = observer;
        shared
    }

    /// Locks the queue.
    pub fn queue(&self) -> MutexGuard<'_, Outstanding> {
        // No code panics halfway through a change of the queue, so it is intact even after a panic elsewhere.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue, without a lock: the caller has all of the connection.
    pub fn queue_mut(&mut self) -> &mut Outstanding {
        self.queue.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies the other half, if it waits, that the queue has changed.
    pub(crate) fn notify(&self) {
        if let Some(changed) = self.changed.get() {
            changed.notify();
        }
    }

    /// Where a half waits for a change. The caller holds the lock of the queue, so it misses none.
    pub(crate) fn changed(&self) -> &Changed {
        self.changed.get_or_init(Box::default)
    }

    /// The requests as the connection knows them.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::of(&self.queue())
    }

    /// Notes that this end has cut the connection. From now on the end of the stream does not count as the server's.
    pub fn cut(&self, kind: io::ErrorKind, reason: CloseReason) {
        self.write_failed.get_or_init(|| kind);
        self.queue().stop_sending(reason);
    }

    /// Whether nothing more can be written: writing failed, or this end has cut the connection.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.write_failed.get().is_some()
    }

    /// The error that ended the connection, or that ended sending.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        let queue = self.queue();
        queue.failure().map(|error| self.ending(error, &queue))
    }

    #[cold]
    pub(super) fn sending_failed(&self, error: StreamError) -> Error {
        let queue = self.queue();
        if let Some(known) = queue.failure() {
            // The reader has found the cause, and may have closed the socket for it.
            return self.ending(known, &queue);
        }
        drop(queue);
        self.cut(error.kind(), CloseReason::Broken);
        Error::of_sending(error, &self.queue())
    }

    /// Converts a core error that ends sending. If a write failed, the result has that write's error.
    #[cold]
    pub(crate) fn ending(&self, error: dugong_proto::Error, queue: &Outstanding) -> Error {
        match self.write_failed.get() {
            Some(&kind) if error == dugong_proto::Error::Closed(CloseReason::Broken) => Error::of_sending(kind.into(), queue),
            _ => Error::of_core(error, queue, None),
        }
    }

    /// Converts the error if the caller does not hold the lock.
    #[cold]
    pub(super) fn end(&self, error: dugong_proto::Error) -> Error {
        self.ending(error, &self.queue())
    }

    /// Why pending bytes have to be dropped, if so. `Ok` if the response to the last request says why.
    #[cold]
    fn gives_up(&self) -> Option<Result<(), Error>> {
        let queue = self.queue();
        let error = queue.sending_is_over()?;
        let is_told = queue.failure().is_none() && queue.is_last_answered();
        Some(if is_told { Ok(()) } else { Err(self.ending(error, &queue)) })
    }

    /// Whether `result` is the error after which nothing can be sent or read any more.
    #[cold]
    pub(crate) fn is_final<T>(&self, result: &Result<T, Error>) -> bool {
        result.as_ref().is_err_and(|error| error.requests().is_some()) && self.queue().is_over()
    }

    #[inline]
    pub(super) fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.tell(event);
        }
    }
}

/// The counts of the queue, unless another thread changes it now.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        if let Ok(queue) = self.queue.try_lock() {
            shown.field("answered", &queue.answered()).field("outstanding", &queue.len());
            shown.field("close_reason", &queue.close_reason());
        }
        shown.finish_non_exhaustive()
    }
}

/// The connection ends when both sides are dropped.
impl Drop for Shared {
    fn drop(&mut self) {
        if self.observer.is_some() {
            let requests = self.requests();
            let reason = self.queue().close_reason();
            self.tell(&Event::Closed { reason, requests: &requests });
        }
    }
}

/// The way of a step to [`Shared`]: a whole connection owns it and needs no lock, a half locks it.
#[derive(Debug)]
pub enum SharedRef<'a> {
    /// The caller has both sides, and no one else has either.
    Whole(&'a mut Shared),
    /// Another thread or task may have the other side.
    Half(&'a Shared),
}

impl SharedRef<'_> {
    /// Returns the queue, locked if necessary.
    #[inline]
    pub fn queue(&mut self) -> Queue<'_> {
        Queue(match self {
            SharedRef::Whole(shared) => Held::Owned(shared.queue.get_mut().unwrap_or_else(PoisonError::into_inner)),
            SharedRef::Half(shared) => Held::Locked(shared.queue()),
        })
    }

    /// See [`Shared::gives_up`].
    #[inline]
    pub(super) fn gives_up(&mut self) -> Option<Result<(), Error>> {
        self.queue().close_reason()?;
        Shared::gives_up(self)
    }

    #[inline]
    pub(super) fn check_failure(&mut self) -> Result<(), Error> {
        if self.queue().close_reason().is_none() {
            // Each failure has a close reason.
            return Ok(());
        }
        self.failure().map_or(Ok(()), Err)
    }
}

impl Deref for SharedRef<'_> {
    type Target = Shared;

    #[inline]
    fn deref(&self) -> &Shared {
        match self {
            SharedRef::Whole(shared) => shared,
            SharedRef::Half(shared) => shared,
        }
    }
}

impl<'a> From<&'a Shared> for SharedRef<'a> {
    fn from(shared: &'a Shared) -> Self {
        SharedRef::Half(shared)
    }
}

impl<'a> From<&'a mut Shared> for SharedRef<'a> {
    fn from(shared: &'a mut Shared) -> Self {
        SharedRef::Whole(shared)
    }
}

/// The queue of outstanding requests, borrowed or locked.
#[derive(Debug)]
pub struct Queue<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Owned(&'a mut Outstanding),
    Locked(MutexGuard<'a, Outstanding>),
}

impl Deref for Queue<'_> {
    type Target = Outstanding;

    #[inline]
    fn deref(&self) -> &Outstanding {
        match &self.0 {
            Held::Owned(queue) => queue,
            Held::Locked(queue) => queue,
        }
    }
}

impl DerefMut for Queue<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Outstanding {
        match &mut self.0 {
            Held::Owned(queue) => queue,
            Held::Locked(queue) => queue,
        }
    }
}
