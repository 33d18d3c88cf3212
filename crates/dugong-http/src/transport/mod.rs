//! Streams: what carries the bytes of a connection.

use std::io::{self, IoSlice};

use crate::step::Progress;

mod address;
pub mod scripted;
mod tcp;

pub use address::{InvalidUrl, Origin};
pub use tcp::Socket;

/// A two-way stream of bytes that never waits.
///
/// It is an argument of every [step](crate::step), so that it can be made for one call: with the `Context` of a task, or
/// with the token of an interpreter.
pub trait Stream {
    /// Reads into `buffer`, which is not empty. `Done(0)` is the end of the stream, announced by the peer; a stream that was
    /// cut off is an error. `Needs` says what has to happen before it is worth trying again, which need not be reading.
    ///
    /// # Errors
    /// Whatever the system reports; the stream is not used again for reading.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>>;

    /// Writes some of the bytes of `pieces`, in their order; at least one, if there are any.
    ///
    /// # Errors
    /// Whatever the system reports; the stream is not used again for writing.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>>;
}
