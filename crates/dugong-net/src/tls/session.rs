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

/// A TLS session of a client, over a stream that somebody else owns: each method takes the stream as its argument, never waits, and
/// says what it needs.
///
/// Nothing can be read or written before the [`handshake`](Session::handshake) is done. Then one thread may read while another
/// writes, with the session under a lock that is not held while waiting.
///
/// It holds at most: 64 KiB of what was received and not decrypted; what rustls takes of that at once (18 KiB) before and after
/// decryption, or the messages of a handshake (64 KiB); and 64 KiB of what was written and not sent.
pub struct Session {
    connection: ClientConnection,
    host: String,
    has_certificate: bool,
    state: State,
    /// What was read from the stream; rustls was given all but the `unread` part.
    incoming: Box<[u8]>,
    unread: Range<usize>,
    /// The stream has ended.
    ended: bool,
    /// How TLS failed.
    failed: Option<rustls::Error>,
    seen: Seen,
    /// The first bytes that came, in case that they are not TLS.
    began: Vec<u8>,
    /// How writing to the stream failed.
    lost: Option<StreamError>,
    /// The stream was written to, and not flushed.
    unflushed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Open,
    /// `close_notify` was sent.
    Closed,
}

/// What is ready for the reader.
enum Ready {
    Bytes,
    /// `close_notify` came.
    End,
}

impl Session {
    /// A session with `host`: a name in ASCII, or an address (IPv6 without brackets), which the certificate has to be for.
    ///
    /// # Errors
    /// `HostName` or `NoRoots`.
    pub fn new(tls: &Tls, host: &str) -> Result<Self, TlsError> {
        let failed = |what| TlsError::new(host, what);
        // The zone of an IPv6 address is a matter of this machine (RFC 6874 §4).
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

    /// Goes on with the handshake. When it is done, all of it was sent and received; with TLS 1.3 the server may still refuse our
    /// certificate, which reading or writing will report.
    ///
    /// # Errors
    /// There is no session, and the stream is of no use; an alert that says why was sent if there was room for it.
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
    /// What it needs is to read, unless there is something of TLS's own that the stream did not take (or, of another thread's, what
    /// it has written).
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
        // As much as fits of what has come already, in however many records.
        while count < buffer.len() && !self.unread.is_empty() && self.failed.is_none() {
            self.process(stream);
            count += self.take(&mut buffer[count..]);
        }
        Ok(Progress::Done(count))
    }

    /// Reads without taking anything: the next read gives the same, or more.
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

    /// Takes some of the bytes of `pieces`, in their order, at most 64 KiB, and sends what the stream takes of them;
    /// [`flush`](Session::flush) sends the rest. Takes none before all that was taken earlier is sent.
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

    /// Sends what was taken and not sent.
    ///
    /// # Errors
    /// As for [`write`](Session::write).
    pub fn flush(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, StreamError> {
        match self.state {
            // No byte of the caller's goes out before the handshake is finished, not even into a buffer.
            State::Handshake => return Err(io::ErrorKind::NotConnected.into()),
            State::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
            State::Open => {}
        }
        if let Some(error) = self.failure() {
            return Err(error.into());
        }
        self.push(stream)
    }

    /// Says that nothing more will be sent, as far as the stream takes that now; what it does not take is dropped. Nothing can be
    /// written afterwards.
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

    /// The version that was agreed on: `TLSv1.3` or `TLSv1.2`.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        Some(match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            other => other.as_str()?,
        })
    }

    /// The cipher suite that was agreed on, as IANA calls it: `TLS_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<&'static str> {
        Some(match self.connection.negotiated_cipher_suite()?.suite().as_str()? {
            // The others have their names already.
            "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
            name => name,
        })
    }

    /// The protocol that the server chose by ALPN: `http/1.1`, or none if it chose none.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Whether an earlier session was resumed, so that the certificates are those of that one.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Goes on until there is something for the reader.
    fn receive(&mut self, stream: &mut impl Stream) -> Result<Progress<Ready>, StreamError> {
        if self.state == State::Handshake {
            return Err(io::ErrorKind::NotConnected.into());
        }
        loop {
            match self.connection.reader().into_first_chunk() {
                Ok([]) => return Ok(Progress::Done(Ready::End)),
                Ok(_) => return Ok(Progress::Done(Ready::Bytes)),
                // rustls is not told of the end of the stream, so this means that there is nothing.
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

    /// Moves what is decrypted to `buffer`.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        // The only error is that there is nothing.
        io::Read::read(&mut self.connection.reader(), buffer).unwrap_or(0)
    }

    /// Reads from the stream, when all that was read before is given to rustls.
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

    /// Gives some of what was read to rustls. If that fails, says so to the peer, if the stream has room for it.
    fn process(&mut self, stream: &mut impl Stream) {
        let mut bytes = &self.incoming[self.unread.clone()];
        let result = match self.connection.read_tls(&mut bytes) {
            // What comes behind close_notify is to be ignored (RFC 8446 §6.1).
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

    /// Sends what TLS has to send.
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

    /// Sends what TLS has to send, for somebody who wants to send.
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

    /// Sends what TLS has to send, for somebody who wants something else; the result is what is needed for both.
    fn also_send(&mut self, stream: &mut impl Stream, interest: Interest) -> Interest {
        if self.lost.is_some() || !(self.connection.wants_write() || self.unflushed) {
            return interest;
        }
        match self.send(stream) {
            Ok(Progress::Done(())) => interest,
            Ok(Progress::Needs(more)) => interest | more,
            Err(error) => {
                // Whoever writes next will get it; there may be something to read before.
                self.lost = Some(error);
                interest
            }
        }
    }

    /// The stream cannot be written to; the peer may have said why before it went. Anything but an alert is left to the reader.
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

    /// Reads the rest of the first line that came, as far as it is there.
    fn read_first_line(&mut self, stream: &mut impl Stream) {
        while !is_record(&self.began) && self.began.len() < FIRST_LINE && !self.began.contains(&b'\n') {
            self.unread = 0..0;
            if !matches!(self.fill(stream), Ok(Progress::Done(1..))) {
                return;
            }
        }
    }

    /// How TLS failed, if it did.
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
        // No content, and no key material.
        f.debug_struct("Session")
            .field("host", &self.host)
            .field("state", &self.state)
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// A stream as rustls writes to it.
struct Outgoing<'a, S> {
    stream: &'a mut S,
    /// What it needs, if it did not take anything.
    needs: Option<Interest>,
    /// How it failed, if it did.
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

/// The same error once more.
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

/// Almost four records of the largest size, or all that a socket usually has. Less costs more calls than it saves copies.
const INCOMING: usize = 64 * 1024;

/// Four records of the largest size, which one call sends.
const WRITE_MAX: usize = 64 * 1024;

/// Enough for the first line of whatever is not TLS.
const FIRST_LINE: usize = 64;

/// An alert is not behind more than a few other records, which take a read each at worst.
const ALERT_READS: usize = 8;
