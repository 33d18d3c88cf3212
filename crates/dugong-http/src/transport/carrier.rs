//! What carries the bytes of a connection, once there is one.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Stream;
use super::socket::Socket;
use super::tls::Session;
use crate::step::{Interest, Progress};
use crate::trace::WireTrace;

/// A connection on which HTTP can be spoken: a socket or a stream of the caller's, and TLS over it if the server wants that.
///
/// Two threads may use it, each for its own direction.
#[derive(Debug)]
pub struct Transport {
    carrier: Carrier,
    /// What is between the carrier and the bytes of HTTP; `None` is nothing.
    layers: Option<Box<Layers>>,
}

/// What is between a stream of bytes and those of HTTP, whoever owns the stream.
#[derive(Debug)]
pub(crate) struct Layers {
    session: Option<Mutex<Session>>,
    trace: Option<WireTrace>,
}

/// What TLS has agreed on.
#[cfg(feature = "rustls")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version of the protocol, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher_suite: &'static str,
    /// The certificates of the server in DER, its own first, as it sent them.
    pub certificates: Vec<Box<[u8]>>,
}

/// What is at the bottom.
#[derive(Debug)]
pub(crate) enum Carrier {
    Socket(Arc<Socket>),
    Brought(Brought),
}

/// A stream of bytes that the caller brings: it is switched to non-blocking mode, reports `WouldBlock` when it would have to
/// wait, and can be polled for that with its descriptor.
pub trait Brings: Read + Write + AsFd + Send + 'static {}

impl<T: Read + Write + AsFd + Send + 'static> Brings for T {}

/// A stream that the caller has brought.
pub(crate) struct Brought {
    /// The lock is held for a call that does not wait.
    stream: Mutex<Box<dyn Brings>>,
    /// To be waited for while another thread is in the stream.
    descriptor: OwnedFd,
}

impl Brought {
    pub(crate) fn new(stream: impl Brings) -> io::Result<Self> {
        let descriptor = stream.as_fd().try_clone_to_owned()?;
        rustix::io::ioctl_fionbio(&descriptor, true)?;
        Ok(Brought { stream: Mutex::new(Box::new(stream)), descriptor })
    }

    fn stream(&self) -> MutexGuard<'_, Box<dyn Brings>> {
        // What a panic in the caller's stream has left is for the stream to say.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brought").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Carrier::Socket(socket) => socket.as_fd(),
            Carrier::Brought(brought) => brought.descriptor.as_fd(),
        }
    }
}

impl Stream for &Carrier {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        match self {
            Carrier::Socket(socket) => (&**socket).read(buffer),
            Carrier::Brought(brought) => progress(Interest::READ, || brought.stream().read(buffer)),
        }
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        match self {
            Carrier::Socket(socket) => (&**socket).write(pieces),
            Carrier::Brought(brought) => {
                let written = progress(Interest::WRITE, || brought.stream().write_vectored(pieces))?;
                // Nothing where there was something would be tried for ever.
                let nothing = written == Progress::Done(0) && pieces.iter().any(|piece| !piece.is_empty());
                if nothing { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
            }
        }
    }

    fn flush(&mut self) -> io::Result<Progress<()>> {
        match self {
            Carrier::Socket(_) => Ok(Progress::Done(())),
            Carrier::Brought(brought) => Ok(progress(Interest::WRITE, || brought.stream().flush().map(|()| 0))?.map(drop)),
        }
    }
}

/// An operation of the caller's stream, which is tried until it has come to something.
fn progress(needs: Interest, mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<Progress<usize>> {
    loop {
        match operation() {
            Ok(count) => return Ok(Progress::Done(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Needs(needs)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Transport {
    pub(super) fn new(carrier: Carrier, session: Option<Session>, trace: Option<WireTrace>) -> Self {
        Transport { carrier, layers: Layers::of(session, trace) }
    }

    /// What is between the socket and the bytes of HTTP, if anything is.
    #[cfg(feature = "async")]
    pub(crate) fn layers(&self) -> Option<&Layers> {
        self.layers.as_deref()
    }

    /// The socket, if it is one.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn socket(&self) -> Option<&Socket> {
        match &self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Brought(_) => None,
        }
    }

    fn session(&self) -> Option<MutexGuard<'_, Session>> {
        self.layers.as_ref()?.session()
    }

    /// What TLS has agreed on, if it is spoken.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        self.layers.as_ref()?.tls()
    }

    /// The address of the peer, if it has one: Unix sockets and streams of the caller's have none.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match &self.carrier {
            Carrier::Socket(socket) => socket.peer_address().ok()?,
            Carrier::Brought(_) => None,
        }
    }

    /// The address of this end, if it has one.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.carrier {
            Carrier::Socket(socket) => socket.local_address().ok()?,
            Carrier::Brought(_) => None,
        }
    }

    /// Reads without taking anything, if that is possible; otherwise it seems that nothing has come.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        if let Some(mut session) = self.session() {
            return session.peek(&mut &self.carrier, buffer);
        }
        match &self.carrier {
            Carrier::Socket(socket) => socket.peek(buffer),
            Carrier::Brought(_) => Ok(Progress::Needs(Interest::READ)),
        }
    }

    /// Closes one direction or both; whoever waits for them wakes up. With TLS, the end of what is sent is announced, as far
    /// as that is possible without waiting (RFC 9112 §9.8).
    pub(crate) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read
            && let Some(mut session) = self.session()
        {
            session.close_notify(&mut &self.carrier);
        }
        match &self.carrier {
            Carrier::Socket(socket) => socket.shutdown(how),
            Carrier::Brought(brought) => {
                let how = match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                };
                // It need not be a socket; then it ends when it is dropped.
                let _ = rustix::net::shutdown(&brought.descriptor, how);
            }
        }
    }
}

/// The end of TLS is announced by whoever drops the connection, too.
impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(mut session) = self.session() {
            session.close_notify(&mut &self.carrier);
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.carrier.as_fd()
    }
}

/// The usual case, a socket and nothing over it, takes no detour.
impl Stream for &Transport {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        match (&self.layers, &self.carrier) {
            (None, Carrier::Socket(socket)) => (&**socket).read(buffer),
            (None, Carrier::Brought(_)) => (&self.carrier).read(buffer),
            (Some(layers), _) => layers.read(&mut &self.carrier, buffer),
        }
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        match (&self.layers, &self.carrier) {
            (None, Carrier::Socket(socket)) => (&**socket).write(pieces),
            (None, Carrier::Brought(_)) => (&self.carrier).write(pieces),
            (Some(layers), _) => layers.write(&mut &self.carrier, pieces),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<Progress<()>> {
        match (&self.layers, &self.carrier) {
            (None, Carrier::Socket(_)) => Ok(Progress::Done(())),
            (None, Carrier::Brought(_)) => (&self.carrier).flush(),
            (Some(layers), _) => layers.flush(&mut &self.carrier),
        }
    }
}

/// A carrier whose bytes are written down.
pub(super) struct Traced<'a> {
    pub(super) carrier: &'a Carrier,
    pub(super) trace: Option<&'a WireTrace>,
}

impl Stream for Traced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        let read = self.carrier.read(buffer);
        note_read(self.trace, buffer, &read);
        read
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        let written = self.carrier.write(pieces);
        note_written(self.trace, pieces, &written);
        written
    }

    fn flush(&mut self) -> io::Result<Progress<()>> {
        self.carrier.flush()
    }
}

impl Layers {
    /// `None` if there is nothing.
    pub(super) fn of(session: Option<Session>, trace: Option<WireTrace>) -> Option<Box<Self>> {
        let layers = Layers { session: session.map(Mutex::new), trace };
        let is_plain = layers.session.is_none() && layers.trace.is_none();
        (!is_plain).then(|| Box::new(layers))
    }

    /// The TLS session, if there is one. Its lock is never held while waiting.
    pub(crate) fn session(&self) -> Option<MutexGuard<'_, Session>> {
        Some(lock(self.session.as_ref()?))
    }

    /// What TLS has agreed on, if it is spoken.
    #[cfg(feature = "rustls")]
    pub(crate) fn tls(&self) -> Option<TlsInfo> {
        let session = self.session()?;
        Some(TlsInfo {
            version: session.version().unwrap_or_default(),
            cipher_suite: session.cipher_suite().unwrap_or_default(),
            certificates: session.peer_certificates().map(Into::into).collect(),
        })
    }

    pub(crate) fn read(&self, stream: &mut impl Stream, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        let read = match &self.session {
            None => stream.read(buffer),
            Some(session) => lock(session).read(stream, buffer),
        };
        note_read(self.trace.as_ref(), buffer, &read);
        read
    }

    pub(crate) fn write(&self, stream: &mut impl Stream, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        let written = match &self.session {
            None => stream.write(pieces),
            Some(session) => lock(session).write(stream, pieces),
        };
        note_written(self.trace.as_ref(), pieces, &written);
        written
    }

    pub(crate) fn flush(&self, stream: &mut impl Stream) -> io::Result<Progress<()>> {
        match &self.session {
            None => stream.flush(),
            Some(session) => lock(session).flush(stream),
        }
    }
}

/// The session. What a panic has left of it is for TLS to say, which checks everything.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_read(trace: Option<&WireTrace>, buffer: &[u8], read: &io::Result<Progress<usize>>) {
    if let (Some(trace), Ok(Progress::Done(count))) = (trace, read) {
        trace.received(&buffer[..*count]);
    }
}

fn note_written(trace: Option<&WireTrace>, pieces: &[IoSlice<'_>], written: &io::Result<Progress<usize>>) {
    if let (Some(trace), Ok(Progress::Done(count))) = (trace, written) {
        trace.sent(pieces, *count);
    }
}
