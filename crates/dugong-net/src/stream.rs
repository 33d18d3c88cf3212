//! The trait of everything that carries bytes.

use std::io::{self, IoSlice};

use crate::need::Progress;

/// A two-way stream of bytes that never waits.
///
/// It is an argument of every step, so you can make one for a single call: with the `Context` of a task, or with the token of an
/// interpreter.
pub trait Stream {
    /// Reads into `buffer`, which is not empty. `Done(0)` is the end of the stream, announced by the peer; a stream that was
    /// cut off is an error. `Needs` says what has to happen before it is worth trying again, which need not be reading.
    ///
    /// # Errors
    /// An error of the system; the stream is not used again for reading.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>>;

    /// Writes some of the bytes of `pieces`, in their order: at least one, if there are any.
    ///
    /// # Errors
    /// An error of the system; the stream is not used again for writing.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>>;

    /// Passes on the bytes that the stream has taken and holds back; most streams hold none back.
    ///
    /// # Errors
    /// As for [`write`](Stream::write).
    fn flush(&mut self) -> io::Result<Progress<()>> {
        Ok(Progress::Done(()))
    }
}
