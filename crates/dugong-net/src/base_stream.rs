//! The stream at the bottom of a connection.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::need::{Interest, Progress};
use crate::socket::Socket;
use crate::stream::{Stream, StreamError};

/// The stream at the bottom of a connection, below TLS and HTTP: a socket, or a stream of the caller's.
///
/// Two threads may use it, each for its own direction.
#[non_exhaustive]
pub enum BaseStream {
    /// A socket.
    Socket(Arc<Socket>),
    /// A stream of the caller's.
    Caller(CallerStream),
}

/// A stream of bytes of the caller's: it is switched to non-blocking mode, reports `WouldBlock` when it would have to wait, and
/// can be polled for that with its descriptor.
pub trait PollableStream: Read + Write + AsFd + Send + 'static {}

impl<T: Read + Write + AsFd + Send + 'static> PollableStream for T {}

/// A stream of the caller's, with a descriptor to wait for.
pub struct CallerStream {
    /// The lock is held for a call that does not wait.
    stream: Mutex<Box<dyn PollableStream>>,
    /// Waited for while another thread is in the stream.
    descriptor: OwnedFd,
}

impl CallerStream {
    /// Takes over a stream and switches it to non-blocking mode.
    ///
    /// # Errors
    /// The system does not copy the descriptor, or has no such mode for it.
    pub fn new(stream: impl PollableStream) -> io::Result<Self> {
        let descriptor = stream.as_fd().try_clone_to_owned()?;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(CallerStream { stream: Mutex::new(Box::new(stream)), descriptor })
    }

    fn stream(&self) -> MutexGuard<'_, Box<dyn PollableStream>> {
        // After a panic in the caller's stream, the stream itself has to say whether it still works.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerStream").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl fmt::Debug for BaseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseStream::Socket(socket) => socket.fmt(f),
            BaseStream::Caller(caller) => caller.fmt(f),
        }
    }
}

impl From<Socket> for BaseStream {
    fn from(socket: Socket) -> Self {
        BaseStream::Socket(Arc::new(socket))
    }
}

impl From<CallerStream> for BaseStream {
    fn from(stream: CallerStream) -> Self {
        BaseStream::Caller(stream)
    }
}

impl AsFd for BaseStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            BaseStream::Socket(socket) => socket.as_fd(),
            BaseStream::Caller(caller) => caller.descriptor.as_fd(),
        }
    }
}

impl BaseStream {
    /// The socket, if it is one.
    #[must_use]
    #[inline]
    pub fn socket(&self) -> Option<&Socket> {
        match self {
            BaseStream::Socket(socket) => Some(socket),
            BaseStream::Caller(_) => None,
        }
    }

    /// The address of the peer; `None` for Unix sockets and streams of the caller's.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.socket()?.peer_address().ok()?
    }

    /// The address of this end, if it has one.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket()?.local_address().ok()?
    }

    /// Reads without taking the bytes. A stream of the caller's cannot do that, and always says that none have arrived.
    ///
    /// # Errors
    /// An error of the system.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        match self {
            BaseStream::Socket(socket) => socket.peek(buffer),
            BaseStream::Caller(_) => Ok(Progress::Needs(Interest::READ)),
        }
    }

    /// Closes one direction or both, and wakes the threads that wait for them.
    pub fn shutdown(&self, how: Shutdown) {
        match self {
            BaseStream::Socket(socket) => socket.shutdown(how),
            BaseStream::Caller(caller) => {
                let how = match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                };
                // A stream that is not a socket ends when it is dropped.
                let _ = rustix::net::shutdown(&caller.descriptor, how);
            }
        }
    }
}

impl Stream for &BaseStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match self {
            BaseStream::Socket(socket) => (&**socket).read(buffer),
            BaseStream::Caller(caller) => Ok(attempt(Interest::READ, || caller.stream().read(buffer))?),
        }
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        match self {
            BaseStream::Socket(socket) => (&**socket).write(pieces),
            BaseStream::Caller(caller) => {
                let written = attempt(Interest::WRITE, || caller.stream().write_vectored(pieces))?;
                // A zero-length write of a non-empty buffer would loop forever.
                let nothing = written == Progress::Done(0) && pieces.iter().any(|piece| !piece.is_empty());
                if nothing { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
            }
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        match self {
            BaseStream::Socket(_) => Ok(Progress::Done(())),
            BaseStream::Caller(caller) => Ok(attempt(Interest::WRITE, || caller.stream().flush().map(|()| 0))?.map(drop)),
        }
    }
}

/// Tries an operation of the caller's stream again until it succeeds, fails, or would have to wait.
fn attempt(needs: Interest, mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<Progress<usize>> {
    loop {
        match operation() {
            Ok(count) => return Ok(Progress::Done(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Needs(needs)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
