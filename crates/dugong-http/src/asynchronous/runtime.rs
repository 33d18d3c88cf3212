//! The interface of a runtime, and of streams that need none.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// The adapter of a runtime: how its tasks wait for descriptors and for time.
///
/// A runtime needs no more than this; `examples/smol/adapter.rs` is an adapter of 80 lines. The type needs no value.
pub trait Runtime: Sized + Send + Sync + 'static {
    /// A descriptor that the runtime watches. Dropping it stops that, and then drops the descriptor.
    type Registered<T: AsFd + Send + Sync + 'static>: Send + Sync + 'static;

    /// A timer.
    type Timer: Future<Output = ()> + Send + 'static;

    /// Registers a descriptor in non-blocking mode with the runtime.
    ///
    /// # Errors
    /// The system's error.
    fn register<T: AsFd + Send + Sync + 'static>(descriptor: T) -> io::Result<Self::Registered<T>>;

    /// The descriptor that was registered.
    fn registered<T: AsFd + Send + Sync + 'static>(registered: &Self::Registered<T>) -> &T;

    /// Waits until a descriptor that was just registered is ready. It may report that too often.
    ///
    /// # Errors
    /// An error of the system or the runtime.
    fn poll_ready<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;

    /// Makes attempts until one is done. After an attempt that found the descriptor not ready, the task is woken when it is,
    /// even if it became ready since the attempt. One task waits for each direction.
    ///
    /// # Errors
    /// Those of the attempt, and those of the runtime, if it is shutting down, say.
    fn poll_io<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&T) -> io::Result<Attempt>,
    ) -> Poll<io::Result<usize>>;

    /// Creates a timer that is ready from `at` on.
    fn timer(at: Instant) -> Self::Timer;

    /// Sets the timer to another time, whether it was ready or not.
    fn set(timer: Pin<&mut Self::Timer>, at: Instant);
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reading.
    Read,
    /// Writing.
    Write,
}

/// The result of an attempt to read or to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// This many bytes, and more may follow at once.
    Some(usize),
    /// This many bytes, and no more for now: a runtime that is notified of changes only can wait for the next one.
    All(usize),
    /// The descriptor was not ready.
    NotReady,
}

/// A stream of bytes that a task can wait for: see [`Connection::over_poll_stream`](super::Connection::over_poll_stream).
///
/// A pending call wakes the task of its context once it is worth trying again. If the connection is split, reads and writes
/// come from two tasks.
pub trait PollStream: Send + 'static {
    /// Reads into `buffer`, which is not empty; 0 is the end.
    ///
    /// # Errors
    /// The stream's error. No more reads follow.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of the bytes of `pieces` in order: at least one, if they are not empty.
    ///
    /// # Errors
    /// The stream's error. No more writes follow.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Flushes written bytes.
    ///
    /// # Errors
    /// The same as for [`poll_write`](PollStream::poll_write).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the direction to the peer.
    ///
    /// # Errors
    /// The same as for [`poll_write`](PollStream::poll_write).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
