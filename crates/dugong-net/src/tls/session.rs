//! The TLS of one connection.

use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::{fmt, mem};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};

use super::config::Tls;
use super::error::{Cause, NoCloseNotify, TlsError, TlsFailure};
use super::verify::{Seen, watch};
use crate::names::host_name;
use crate::need::{Interest, Progress};
use crate::stream::{Stream, StreamError};

/// A TLS session of a client. You own the stream: each method takes it as an argument, never waits, and returns its need.
///
/// You cannot read or write before the [`handshake`](Session::handshake) is done. After that, one thread may read while another
/// writes: keep the session under a lock, and release it while you wait.
///
/// A session holds at most 64 KiB of received bytes that are not decrypted; the part that rustls takes of them at once (18 KiB)
/// before and after decryption, or the messages of a handshake (64 KiB); and 64 KiB of written bytes that are not sent.
pub struct Session {
    connection: ClientConnection,
    host: String,
    has_certificate: bool,
    state: State,
    /// Bytes read from the stream; rustls has all but the `unread` part.
    incoming: Box<[u8]>,
    unread: Range<usize>,
    /// The stream has ended.
    ended: bool,
    /// How TLS failed.
    failed: Option<rustls::Error>,
    seen: Seen,
    /// The first bytes received, in case they are not TLS.
    began: Vec<u8>,
    /// How writing to the stream failed.
    lost: Option<StreamError>,
    /// The stream has been written to since the last flush.
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Open,
    /// The session has sent `close_notify`.
    Closed,
}

/// The state of the reading side.
enum Ready {
    Bytes,
    /// The peer has sent `close_notify`.
    End,
}

impl Session {
    /// Makes a session with `host`: a name in ASCII, or an address (IPv6 without brackets). The certificate has to be for it.
    ///
    /// # Errors
    /// `HostName` or `NoRoots`.
    pub fn new(tls: &Tls, host: &str) -> Result<Self, TlsError> {
        let failed = |what| TlsError::new(host, what);
        // The zone of an IPv6 address has a meaning on this machine only (RFC 6874 §4).
        let name = ServerName::try_from(host_name::without_zone(host).to_owned()).map_err(|_| failed(TlsFailure::HostName))?;
        let config = tls.config().map_err(|error| failed(TlsFailure::NoRoots(Cause(error))))?;
        let mut connection = ClientConnection::new(config, name).map_err(|error| failed(TlsFailure::Protocol(Cause(error))))?;
        connection.set_buffer_limit(Some(WRITE_MAX));
        Ok(Session {
            connection,
            host: host.into(),
            has_certificate: tls.has_client_certificate(),
            state: State::Handshake,
            incoming: vec![0; INCOMING].into_boxed_slice(),
            unread: 0..0,
            ended: false,
            failed: None,
            seen: Seen::default(),
            began: Vec::new(),
            lost: None,
            unflushed: false,
        })
    }

    /// Goes on with the handshake. When it is done, all of it was sent and received. With TLS 1.3 the server may still refuse
    /// your certificate; reading or writing reports that.
    ///
    /// # Errors
    /// The session failed, and the stream is useless. If the stream had room for it, an alert told the server why.
    pub fn handshake(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, TlsError> {
        loop {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            match self.push(stream) {
                Ok(Progress::Done(())) => {}
                Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                Err(error) => return Err(self.as_tls_error(error)),
            }
            if !self.connection.is_handshaking() {
                self.state = State::Open;
                self.began = Vec::new();
                return Ok(Progress::Done(()));
            }
            if self.unread.is_empty() {
                match self.fill(stream) {
                    Ok(Progress::Done(0)) => return Err(TlsError::new(&self.host, TlsFailure::Ended)),
                    Ok(Progress::Done(_)) => {}
                    Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                    Err(error) => return Err(self.as_tls_error(error)),
                }
            }
            self.process(stream);
            if self.failed.is_some() {
                self.read_first_line(stream);
            }
        }
    }

    /// Reads into `buffer`, which is not empty. `Done(0)` is the end, announced by the peer's `close_notify`.
    ///
    /// It usually needs to read. It needs to write if the stream did not take bytes of TLS itself, or of a writer in another
    /// thread.
    ///
    /// # Errors
    /// `Tls` if TLS failed, otherwise the error of the stream; [`NoCloseNotify`] inside one of kind `UnexpectedEof` if the stream
    /// ended unannounced. Nothing more can be read.
    pub fn read(&mut self, stream: &mut impl Stream, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match self.receive(stream)? {
            Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
            Progress::Done(Ready::End) => return Ok(Progress::Done(0)),
            Progress::Done(Ready::Bytes) => {}
        }
        let mut count = self.take(buffer);
        // Take as many of the received bytes as fit, from any number of records.
        while count < buffer.len() && !self.unread.is_empty() && self.failed.is_none() {
            self.process(stream);
            count += self.take(&mut buffer[count..]);
        }
        Ok(Progress::Done(count))
    }

    /// Reads without consuming: the next read gives the same bytes, or more.
    ///
    /// # Errors
    /// As for [`read`](Session::read).
    pub fn peek(&mut self, stream: &mut impl Stream, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match self.receive(stream)? {
            Progress::Needs(interest) => Ok(Progress::Needs(interest)),
            Progress::Done(Ready::End) => Ok(Progress::Done(0)),
            Progress::Done(Ready::Bytes) => {
                let chunk = self.connection.reader().into_first_chunk()?;
                let count = chunk.len().min(buffer.len());
                buffer[..count].copy_from_slice(&chunk[..count]);
                Ok(Progress::Done(count))
            }
        }
    }

    /// Takes at most 64 KiB of `pieces`, in their order, and sends as much as the stream takes; [`flush`](Session::flush) sends
    /// the rest. Takes no bytes while earlier ones are unsent.
    ///
    /// # Errors
    /// `Tls` if TLS failed before, or if the stream is broken and an alert that arrived before says why; otherwise the error of the
    /// stream. Nothing more can be written.
    pub fn write(&mut self, stream: &mut impl Stream, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        if let Progress::Needs(interest) = self.flush(stream)? {
            return Ok(Progress::Needs(interest));
        }
        let count = self.connection.writer().write_vectored(pieces)?;
        self.push(stream)?;
        Ok(Progress::Done(count))
    }

    /// Sends the bytes that were taken and not sent.
    ///
    /// # Errors
    /// As for [`write`](Session::write).
    pub fn flush(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        match self.state {
            // The handshake comes first: no byte of yours may go out before it, not even into a buffer.
            State::Handshake => return Err(io::ErrorKind::NotConnected.into()),
            State::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
            State::Open => {}
        }
        if let Some(error) = self.failure() {
            return Err(error.into());
        }
        self.push(stream)
    }

    /// Announces the end of the bytes that you send, if the stream takes that now; otherwise the announcement is dropped. You
    /// cannot write afterwards.
    pub fn close_notify(&mut self, stream: &mut impl Stream) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.connection.send_close_notify();
            self.also_send(stream, Interest::WRITE);
        }
    }

    /// The certificates of the server in DER, its own first; none before the handshake is done.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.connection.peer_certificates().unwrap_or_default().iter().map(AsRef::as_ref)
    }

    /// The negotiated version: `TLSv1.3` or `TLSv1.2`.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        Some(match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            other => other.as_str()?,
        })
    }

    /// The negotiated cipher suite by its IANA name, such as `TLS_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<&'static str> {
        Some(match self.connection.negotiated_cipher_suite()?.suite().as_str()? {
            // The other names are those of IANA.
            "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
            name => name,
        })
    }

    /// The protocol that the server chose by ALPN: `http/1.1`, or `None`.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Whether this session resumes an earlier one. The certificates are those of the earlier one then.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Goes on until the reader has bytes, or the end.
    fn receive(&mut self, stream: &mut impl Stream) -> Result<Progress<Ready>, StreamError> {
        if self.state == State::Handshake {
            return Err(io::ErrorKind::NotConnected.into());
        }
        loop {
            match self.connection.reader().into_first_chunk() {
                Ok([]) => return Ok(Progress::Done(Ready::End)),
                Ok(_) => return Ok(Progress::Done(Ready::Bytes)),
                // rustls does not hear of the end of the stream, so this error means that no bytes are ready.
                Err(_) => {}
            }
            if let Some(error) = self.failure() {
                return Err(error.into());
            }
            if self.unread.is_empty() {
                match self.fill(stream)? {
                    Progress::Done(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, NoCloseNotify).into()),
                    Progress::Done(_) => {}
                    Progress::Needs(interest) => return Ok(Progress::Needs(self.also_send(stream, interest))),
                }
            }
            self.process(stream);
        }
    }

    /// Moves decrypted bytes to `buffer`.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        // This fails only if no bytes are ready.
        io::Read::read(&mut self.connection.reader(), buffer).unwrap_or(0)
    }

    /// Reads from the stream. Call it when rustls has all bytes read before.
    fn fill(&mut self, stream: &mut impl Stream) -> Result<Progress<usize>, StreamError> {
        debug_assert!(self.unread.is_empty(), "what was read would be lost");
        if self.ended {
            return Ok(Progress::Done(0));
        }
        let progress = stream.read(&mut self.incoming)?;
        if let Progress::Done(count) = progress {
            self.ended = count == 0;
            self.unread = 0..count;
            if self.state == State::Handshake {
                self.began.extend(self.incoming[..count].iter().take(FIRST_LINE - self.began.len()));
            }
        }
        Ok(progress)
    }

    /// Gives some of the received bytes to rustls. If that fails, tells the peer, if the stream has room for it.
    fn process(&mut self, stream: &mut impl Stream) {
        let mut bytes = &self.incoming[self.unread.clone()];
        let result = match self.connection.read_tls(&mut bytes) {
            // Ignore bytes behind close_notify (RFC 8446 §6.1).
            Ok(0) => {
                self.unread = 0..0;
                return;
            }
            Ok(_) => watch(&mut self.seen, || self.connection.process_new_packets()),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        };
        let left = bytes.len();
        self.unread.start = self.unread.end - left;
        if let Err(error) = result {
            self.failed = Some(error);
            self.also_send(stream, Interest::WRITE);
        }
    }

    /// Sends the bytes that TLS has ready.
    fn send(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        while self.connection.wants_write() {
            let mut outgoing = Outgoing { stream, needs: None, failed: None };
            match self.connection.write_tls(&mut outgoing) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => self.unflushed = true,
                Err(error) => {
                    return match (outgoing.needs, outgoing.failed) {
                        (Some(interest), _) => Ok(Progress::Needs(interest)),
                        (None, failed) => Err(failed.unwrap_or(error.into())),
                    };
                }
            }
        }
        if mem::take(&mut self.unflushed) {
            let progress = stream.flush()?;
            self.unflushed = progress != Progress::Done(());
            return Ok(progress);
        }
        Ok(Progress::Done(()))
    }

    /// Sends the bytes that TLS has ready, for a writer.
    fn push(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        let error = match self.lost.take() {
            Some(error) => error,
            None => match self.send(stream) {
                Ok(progress) => return Ok(progress),
                Err(error) => error,
            },
        };
        self.lost = Some(same(&error));
        self.look_for_alert(stream);
        Err(self.failure().map_or(error, Into::into))
    }

    /// Sends the bytes that TLS has ready, for a caller that needs `interest`. Returns the need of both.
    fn also_send(&mut self, stream: &mut impl Stream, interest: Interest) -> Interest {
        if self.lost.is_some() || !(self.connection.wants_write() || self.unflushed) {
            return interest;
        }
        match self.send(stream) {
            Ok(Progress::Done(())) => interest,
            Ok(Progress::Needs(more)) => interest | more,
            Err(error) => {
                // The next write reports it. Bytes may be left to read before.
                self.lost = Some(error);
                interest
            }
        }
    }

    /// Looks for the alert of a peer that broke the stream. Other bytes are left to the reader.
    fn look_for_alert(&mut self, stream: &mut impl Stream) {
        for _ in 0..ALERT_READS {
            let is_quiet = self.connection.reader().into_first_chunk().is_err();
            if !is_quiet || self.failed.is_some() {
                return;
            }
            if self.unread.is_empty() && !matches!(self.fill(stream), Ok(Progress::Done(1..))) {
                return;
            }
            self.process(stream);
        }
    }

    /// Reads the rest of the first line, as far as it has arrived.
    fn read_first_line(&mut self, stream: &mut impl Stream) {
        while !is_record(&self.began) && self.began.len() < FIRST_LINE && !self.began.contains(&b'\n') {
            self.unread = 0..0;
            if !matches!(self.fill(stream), Ok(Progress::Done(1..))) {
                return;
            }
        }
    }

    /// The failure of TLS, if it failed.
    fn failure(&self) -> Option<TlsError> {
        let error = self.failed.clone()?;
        let what = match error {
            rustls::Error::InvalidMessage(_) if self.state == State::Handshake && !is_record(&self.began) => {
                TlsFailure::NotTls { answer: first_line(&self.began) }
            }
            error => TlsFailure::of(error, self.seen, self.has_certificate),
        };
        Some(TlsError::new(&self.host, what))
    }

    fn as_tls_error(&self, error: StreamError) -> TlsError {
        match error {
            StreamError::Tls(error) => *error,
            StreamError::Io(error) => TlsError::new(&self.host, TlsFailure::Transport(error)),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Show no content, and no key material.
        f.debug_struct("Session")
            .field("host", &self.host)
            .field("state", &self.state)
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Lets rustls write to a stream.
struct Outgoing<'a, S> {
    stream: &'a mut S,
    /// The need of the stream, if it took no bytes.
    needs: Option<Interest>,
    /// The error of the stream, if it failed.
    failed: Option<StreamError>,
}

impl<S: Stream> Write for Outgoing<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.stream.write(pieces) {
            Ok(Progress::Done(count)) => Ok(count),
            Ok(Progress::Needs(interest)) => {
                self.needs = Some(interest);
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a second copy of an error.
fn same(error: &StreamError) -> StreamError {
    let number = if let StreamError::Io(error) = error { error.raw_os_error() } else { None };
    number.map_or_else(|| error.kind().into(), |number| io::Error::from_raw_os_error(number).into())
}

/// Whether these are the first bytes of a record (RFC 8446 §5.1).
fn is_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, ..])
}

fn first_line(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes[..end].escape_ascii().to_string()
}

/// Almost four of the largest records, or all bytes that a socket usually has. Less costs more calls than it saves copies.
const INCOMING: usize = 64 * 1024;

/// Four of the largest records, which one call sends.
const WRITE_MAX: usize = 64 * 1024;

/// Enough for the first line of another protocol.
const FIRST_LINE: usize = 64;

/// Few records precede an alert, and each takes a read at worst.
const ALERT_READS: usize = 8;
