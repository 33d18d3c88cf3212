//! The stream of a connection that stands: a base stream, TLS and the trace.

use std::fmt;
use std::io::IoSlice;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "rustls")]
use dugong_net::tls::Session;
use dugong_net::{BaseStream, Progress, Stream, StreamError};

#[cfg(not(feature = "rustls"))]
use super::without_tls::Session;
use crate::trace::WireTrace;

/// A connection that is ready for HTTP: a socket or a stream of the caller's, with TLS if the origin needs it.
///
/// Two threads may use it, each for its own direction.
pub struct Transport {
    base: BaseStream,
    /// The layers between the base stream and HTTP.
    layers: Option<Box<WireLayers>>,
}

/// The layers between a stream of bytes and HTTP.
#[derive(Debug)]
pub(crate) struct WireLayers {
    session: Option<Mutex<Session>>,
    trace: Option<WireTrace>,
}

/// The negotiated parameters of TLS.
#[cfg(feature = "rustls")]
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version of the protocol, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher_suite: &'static str,
    /// The certificates of the server in DER, its own first, as it sent them.
    pub certificates: Vec<Box<[u8]>>,
}

/// Without the bytes of the certificates, which only programs can read.
#[cfg(feature = "rustls")]
impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.certificates.iter().map(|certificate| format!("{} bytes", certificate.len()));
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher_suite", &self.cipher_suite)
            .field("certificates", &format_args!("[{}]", sizes.collect::<Vec<_>>().join(", ")))
            .finish()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Transport");
        shown.field("stream", &self.base);
        #[cfg(feature = "rustls")]
        if let Some(tls) = self.tls() {
            shown.field("tls", &tls);
        }
        shown.finish()
    }
}

impl Transport {
    pub(super) fn new(base: BaseStream, session: Option<Session>, trace: Option<WireTrace>) -> Self {
        Transport { base, layers: WireLayers::of(session, trace) }
    }

    /// The layers between the socket and HTTP, if it has any.
    #[cfg(feature = "async")]
    pub(crate) fn layers(&self) -> Option<&WireLayers> {
        self.layers.as_deref()
    }

    /// The socket, if it is one.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn socket(&self) -> Option<&dugong_net::Socket> {
        self.base.socket()
    }

    /// The socket, if it carries the bytes of HTTP as they are.
    #[inline]
    pub(crate) fn bare_socket(&self) -> Option<&dugong_net::Socket> {
        if self.layers.is_none() { self.base.socket() } else { None }
    }

    fn session(&self) -> Option<MutexGuard<'_, Session>> {
        self.layers.as_ref()?.session()
    }

    /// Whether a socket carries the bytes of HTTP as they are, without TLS, a trace or a stream of yours.
    #[must_use]
    pub fn is_bare_socket(&self) -> bool {
        self.bare_socket().is_some()
    }

    /// The parameters of TLS, if the connection uses it.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        self.layers.as_ref()?.tls()
    }

    /// The address of the peer. Unix sockets and streams of yours have none.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.base.peer_address()
    }

    /// The address of this end. Unix sockets and streams of yours have none.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.base.local_address()
    }

    /// Reads without consuming. Streams that cannot do that say that no bytes have arrived.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if let Some(mut session) = self.session() {
            return session.peek(&mut &self.base, buffer);
        }
        Ok(self.base.peek(buffer)?)
    }

    /// Closes one direction or both, and wakes the threads that wait for them. TLS announces the end of sending, as far as that
    /// is possible without waiting (RFC 9112 §9.8).
    pub(crate) fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Read
            && let Some(mut session) = self.session()
        {
            session.close_notify(&mut &self.base);
        }
        self.base.shutdown(how);
    }
}

/// Announces the end of TLS, too.
impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(mut session) = self.session() {
            session.close_notify(&mut &self.base);
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.base.as_fd()
    }
}

/// The usual case, a socket without layers, takes no detour.
impl Stream for &Transport {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match &self.layers {
            None => (&self.base).read(buffer),
            Some(layers) => layers.read(&mut &self.base, buffer),
        }
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        match &self.layers {
            None => (&self.base).write(pieces),
            Some(layers) => layers.write(&mut &self.base, pieces),
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        match (&self.layers, &self.base) {
            (None, BaseStream::Socket(_)) => Ok(Progress::Done(())),
            (None, _) => (&self.base).flush(),
            (Some(layers), _) => layers.flush(&mut &self.base),
        }
    }
}

/// A base stream with a trace of its bytes.
pub(super) struct Traced<'a> {
    pub(super) base: &'a BaseStream,
    pub(super) trace: Option<&'a WireTrace>,
}

impl Stream for Traced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        let read = self.base.read(buffer);
        note_read(self.trace, buffer, &read);
        read
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        let written = self.base.write(pieces);
        note_written(self.trace, pieces, &written);
        written
    }

    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        self.base.flush()
    }
}

impl WireLayers {
    /// Returns `None` without any layer.
    pub(super) fn of(session: Option<Session>, trace: Option<WireTrace>) -> Option<Box<Self>> {
        let layers = WireLayers { session: session.map(Mutex::new), trace };
        let is_plain = layers.session.is_none() && layers.trace.is_none();
        (!is_plain).then(|| Box::new(layers))
    }

    /// The TLS session, if there is one. Its lock is never held while waiting.
    pub(crate) fn session(&self) -> Option<MutexGuard<'_, Session>> {
        Some(lock(self.session.as_ref()?))
    }

    /// The parameters of TLS, if the connection uses it.
    #[cfg(feature = "rustls")]
    pub(crate) fn tls(&self) -> Option<TlsInfo> {
        let session = self.session()?;
        Some(TlsInfo {
            version: session.version().unwrap_or_default(),
            cipher_suite: session.cipher_suite().unwrap_or_default(),
            certificates: session.peer_certificates().map(Into::into).collect(),
        })
    }

    pub(crate) fn read(&self, stream: &mut impl Stream, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        let read = match &self.session {
            None => stream.read(buffer),
            Some(session) => lock(session).read(stream, buffer),
        };
        note_read(self.trace.as_ref(), buffer, &read);
        read
    }

    pub(crate) fn write(&self, stream: &mut impl Stream, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        let written = match &self.session {
            None => stream.write(pieces),
            Some(session) => lock(session).write(stream, pieces),
        };
        note_written(self.trace.as_ref(), pieces, &written);
        written
    }

    pub(crate) fn flush(&self, stream: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        match &self.session {
            None => stream.flush(),
            Some(session) => lock(session).flush(stream),
        }
    }
}

/// Locks the session. rustls checks everything, so it reports a state that a panic left.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_read(trace: Option<&WireTrace>, buffer: &[u8], read: &Result<Progress<usize>, StreamError>) {
    if let (Some(trace), Ok(Progress::Done(count))) = (trace, read) {
        trace.received(&buffer[..*count]);
    }
}

fn note_written(trace: Option<&WireTrace>, pieces: &[IoSlice<'_>], written: &Result<Progress<usize>, StreamError>) {
    if let (Some(trace), Ok(Progress::Done(count))) = (trace, written) {
        trace.sent(pieces, *count);
    }
}

#[cfg(all(test, feature = "rustls"))]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_shown_by_their_size() {
        let certificates = vec![[7; 900].into(), [8; 1200].into()];
        let info = TlsInfo { version: "TLSv1.3", cipher_suite: "TLS_AES_128_GCM_SHA256", certificates };
        assert_eq!(
            format!("{info:?}"),
            "TlsInfo { version: \"TLSv1.3\", cipher_suite: \"TLS_AES_128_GCM_SHA256\", certificates: [900 bytes, 1200 bytes] }"
        );
    }

    #[test]
    fn a_transport_is_shown_by_its_addresses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = dugong_net::Socket::new(std::net::TcpStream::connect(address).unwrap()).unwrap();
        let shown = format!("{:?}", Transport::new(socket.into(), None, None));
        assert!(shown.starts_with("Transport { stream: Socket { descriptor: "), "{shown}");
        assert!(shown.ends_with(&format!("peer: {address} }} }}")), "{shown}");
    }
}
