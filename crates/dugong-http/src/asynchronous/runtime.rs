//! What a runtime has to offer, and what can be a stream without one.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// The adapter of a runtime: how its tasks wait for descriptors and for time.
///
/// It is all that a runtime has to be told of; `examples/smol/adapter.rs` is one of 80 lines. It is a type of which there need not be a
/// value.
pub trait Runtime: Sized + Send + Sync + 'static {
    /// A descriptor that the runtime watches. Dropping it ends that, and drops the descriptor after that.
    type Registered<T: AsFd + Send + Sync + 'static>: Send + Sync + 'static;

    /// A timer.
    type Timer: Future<Output = ()> + Send + 'static;

    /// Has the runtime watch a descriptor, which is in non-blocking mode.
    ///
    /// # Errors
    /// What the system reports.
    fn register<T: AsFd + Send + Sync + 'static>(descriptor: T) -> io::Result<Self::Registered<T>>;

    /// What was registered.
    fn registered<T: AsFd + Send + Sync + 'static>(registered: &Self::Registered<T>) -> &T;

    /// Waits until a descriptor that was just registered is ready. It may say so too often.
    ///
    /// # Errors
    /// What the system or the runtime reports.
    fn poll_ready<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;

    /// Makes an attempt until it is done. When the attempt says that the descriptor is not ready, the task is woken when it
    /// is: also if that happened since the attempt. One task waits for each direction.
    ///
    /// # Errors
    /// Those of the attempt; what the runtime reports, if it is being shut down, say.
    fn poll_io<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&T) -> io::Result<Attempt>,
    ) -> Poll<io::Result<usize>>;

    /// A timer that is ready from `at` on.
    fn timer(at: Instant) -> Self::Timer;

    /// The same timer, for another time, whether it was ready or not.
    fn set(timer: Pin<&mut Self::Timer>, at: Instant);
}

/// For what a descriptor has to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// What came of an attempt to read or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// So many bytes, and there may be more at once.
    Some(usize),
    /// So many bytes, and then there was no more: a runtime that is told of changes only can wait for the next one.
    All(usize),
    /// The descriptor was not ready.
    NotReady,
}

/// A stream of bytes that a task can wait for, with whatever is behind it: see
/// [`Connection::over_poll_stream`](super::Connection::over_poll_stream).
///
/// What a call that is pending waits for wakes the task of its context. If the connection is split, reading and writing wait each
/// for itself.
pub trait PollStream: Send + 'static {
    /// Reads into `buffer`, which is not empty; 0 is the end.
    ///
    /// # Errors
    /// Whatever the stream reports; it is not read again.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of the bytes of `pieces`, in their order; at least one, if there are any.
    ///
    /// # Errors
    /// Whatever the stream reports; it is not written to again.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Hands on what was written.
    ///
    /// # Errors
    /// As for [`poll_write`](PollStream::poll_write).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the direction to the peer.
    ///
    /// # Errors
    /// As for [`poll_write`](PollStream::poll_write).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
