//! SOCKS version 5 (RFC 1928), with user name and password (RFC 1929).
//!
//! The library tokio-socks speaks the protocol. It wants to read and write on its own, and wait by a runtime. Here it talks to
//! two buffers, which each step empties into the stream and fills from it, and each step polls its future.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dugong_net::{Progress, Proxy, ProxyKind, Stream, StreamError, host_name};
use dugong_proto::{Argument, Misuse};
use futures_io::{AsyncRead, AsyncWrite};
use tokio_socks::TargetAddr;
use tokio_socks::io::Compat;
use tokio_socks::tcp::Socks5Stream;

/// Opens a connection through a SOCKS5 proxy. Afterwards the stream leads to the host, and no byte of it has been read here. A
/// silent proxy is waited for; you decide how long.
///
/// ```
/// use dugong_http::driver::Progress;
/// use dugong_net::scripted::{Cue, Scripted};
/// use dugong_http::driver::Socks;
/// use dugong_http::transport::Proxy;
///
/// let mut socks = Socks::new(&Proxy::new("socks5h://proxy.example")?, "example.org", 443)?;
/// let mut stream = Scripted::default();
/// assert!(matches!(socks.step(&mut stream)?, Progress::Needs(_)));
/// stream.reads.push_back(Cue::Give(b"\x05\x00".into())); // no credentials needed
/// stream.reads.push_back(Cue::Give(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50".into())); // connected
/// assert_eq!(socks.step(&mut stream)?, Progress::Done(()));
/// assert!(stream.written.ends_with(b"\x0bexample.org\x01\xbb"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Socks {
    opening: Pin<Box<dyn Future<Output = tokio_socks::Result<()>> + Send>>,
    /// The bytes that `opening` reads and writes.
    buffers: Buffers,
    target: String,
    has_credentials: bool,
}

/// Why a SOCKS5 proxy made no connection. Send nothing else over the stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocksError {
    /// The proxy refused, with this reply.
    Refused(SocksReply),
    /// The proxy wants credentials, perhaps others than user name and password.
    WantsCredentials {
        /// Whether user name and password were offered.
        had_credentials: bool,
    },
    /// The proxy refused user name and password (RFC 1929 §2).
    CredentialsRefused,
    /// The proxy broke the rules of SOCKS5.
    NotSocks,
    /// The proxy closed the connection before it answered.
    Closed,
    /// The stream failed.
    Io(io::Error),
}

/// The reply of a SOCKS5 proxy that made no connection (RFC 1928 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocksReply {
    /// General SOCKS server failure.
    GeneralFailure,
    /// Connection not allowed by ruleset.
    NotAllowed,
    /// Network unreachable.
    NetworkUnreachable,
    /// Host unreachable; also for a name that the proxy cannot resolve.
    HostUnreachable,
    /// Connection refused.
    ConnectionRefused,
    /// TTL expired.
    TtlExpired,
    /// Command not supported.
    CommandNotSupported,
    /// Address type not supported.
    AddressTypeNotSupported,
    /// A reply without a meaning.
    Unassigned,
}

impl SocksReply {
    /// Whether another try may succeed.
    pub(crate) fn is_temporary(self) -> bool {
        use SocksReply::{ConnectionRefused, GeneralFailure, HostUnreachable, NetworkUnreachable, TtlExpired};
        matches!(self, GeneralFailure | NetworkUnreachable | HostUnreachable | ConnectionRefused | TtlExpired)
    }
}

impl Socks {
    /// Prepares a connection to `host` (a name or an address) and `port`. The proxy gets A-labels instead of letters beyond
    /// ASCII, and addresses without their zone.
    ///
    /// # Errors
    /// [`Misuse::Host`] if the host is empty, longer than 255 bytes, or neither a name nor an address; or if it is a name and
    /// the proxy is not to resolve names.
    ///
    /// # Panics
    /// If the proxy does not speak SOCKS.
    pub fn new(proxy: &Proxy, host: &str, port: u16) -> Result<Self, Misuse> {
        let ProxyKind::Socks5 { remote_names } = proxy.kind() else { panic!("{proxy} does not speak SOCKS") };
        let host = &*host_name::normal_if_valid(host);
        let target = match host_name::without_zone(host).parse::<IpAddr>() {
            Ok(address) => TargetAddr::Ip((address, port).into()),
            Err(_) if remote_names && is_name(host) => TargetAddr::Domain(host.to_owned().into(), port),
            Err(_) => return Err(Misuse::Host(Argument::new(host.as_bytes(), None))),
        };
        let shown = target.to_string();
        let buffers = Buffers::default();
        let socket = Compat::new(buffers.clone());
        let credentials = proxy.credentials().map(|(user, password)| (user.to_owned(), password.to_owned()));
        let has_credentials = credentials.is_some();
        let opening = Box::pin(async move {
            match &credentials {
                None => Socks5Stream::connect_with_socket(socket, target).await?,
                Some((user, password)) => Socks5Stream::connect_with_password_and_socket(socket, target, user, password).await?,
            };
            Ok(())
        });
        Ok(Socks { opening, buffers, target: shown, has_credentials })
    }

    /// Goes on. When it is done, the stream leads to the host. Do not call it again after that, or after an error.
    ///
    /// # Errors
    /// The proxy made no connection, and the stream is useless.
    pub fn step(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        loop {
            if let Progress::Needs(interest) = self.write(stream)? {
                return Ok(Progress::Needs(interest));
            }
            match self.opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => return Ok(Progress::Done(())),
                Poll::Ready(Err(error)) => return Err(self.error(error)),
                // The future waits to read, unless it has just written.
                Poll::Pending if !self.buffers.lock().outgoing.is_empty() => {}
                Poll::Pending => {
                    if let Progress::Needs(interest) = self.read(stream)? {
                        return Ok(Progress::Needs(interest));
                    }
                }
            }
        }
    }

    /// Sends the bytes that the library wrote.
    fn write(&self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        let mut buffers = self.buffers.lock();
        while !buffers.outgoing.is_empty() {
            match stream.write(&[IoSlice::new(&buffers.outgoing)]).map_err(io_error)? {
                Progress::Done(count) => drop(buffers.outgoing.drain(..count)),
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
            }
        }
        stream.flush().map_err(io_error)
    }

    /// Reads no more than the library waits for: the bytes behind it are not SOCKS.
    fn read(&self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        let mut buffers = self.buffers.lock();
        let mut buffer = [0; LONGEST_READ];
        let wanted = buffers.wanted.clamp(1, LONGEST_READ);
        match stream.read(&mut buffer[..wanted]).map_err(io_error)? {
            Progress::Done(0) => Err(SocksError::Closed),
            Progress::Done(count) => {
                buffers.incoming.extend_from_slice(&buffer[..count]);
                buffers.received += count;
                Ok(Progress::Done(()))
            }
            Progress::Needs(interest) => Ok(Progress::Needs(interest)),
        }
    }

    fn error(&self, error: tokio_socks::Error) -> SocksError {
        use tokio_socks::Error as Theirs;
        // The library has one error for an unknown method and for an unknown reply; the first is known after two bytes.
        let is_reply = self.buffers.lock().received > 2;
        SocksError::Refused(match error {
            Theirs::GeneralSocksServerFailure => SocksReply::GeneralFailure,
            Theirs::ConnectionNotAllowedByRuleset => SocksReply::NotAllowed,
            Theirs::NetworkUnreachable => SocksReply::NetworkUnreachable,
            Theirs::HostUnreachable => SocksReply::HostUnreachable,
            Theirs::ConnectionRefused => SocksReply::ConnectionRefused,
            Theirs::TtlExpired => SocksReply::TtlExpired,
            Theirs::CommandNotSupported => SocksReply::CommandNotSupported,
            Theirs::AddressTypeNotSupported => SocksReply::AddressTypeNotSupported,
            Theirs::UnknownAuthMethod if is_reply => SocksReply::Unassigned,
            Theirs::PasswordAuthFailure(_) => return SocksError::CredentialsRefused,
            Theirs::NoAcceptableAuthMethods | Theirs::AuthorizationRequired | Theirs::UnknownAuthMethod => {
                return SocksError::WantsCredentials { had_credentials: self.has_credentials };
            }
            Theirs::Io(error) => return SocksError::Io(error),
            _ => return SocksError::NotSocks,
        })
    }
}

/// Whether a host can be sent as a domain name: its length is one byte (RFC 1928 §5).
fn is_name(host: &str) -> bool {
    (1..=255).contains(&host.len()) && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// The longest read of the library: the rest of a reply with a domain name.
const LONGEST_READ: usize = 512;

/// Both directions between the library and the steps, shared by both.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Both>>);

#[derive(Default)]
struct Both {
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// The number of bytes that the library waits for.
    wanted: usize,
    /// The number of bytes received so far.
    received: usize,
}

impl Buffers {
    /// Never waits: a step polls the library, so both run in one thread.
    fn lock(&self) -> MutexGuard<'_, Both> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Buffers {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut both = self.lock();
        if both.incoming.is_empty() {
            both.wanted = buffer.len();
            return Poll::Pending;
        }
        let count = both.incoming.len().min(buffer.len());
        buffer[..count].copy_from_slice(&both.incoming[..count]);
        both.incoming.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Buffers {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().outgoing.extend_from_slice(buffer);
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Without the bytes that are sent: they may contain credentials.
impl fmt::Debug for Socks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Socks");
        shown.field("to", &self.target).field("has_credentials", &self.has_credentials).finish_non_exhaustive()
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocksReply::GeneralFailure => "general SOCKS server failure",
            SocksReply::NotAllowed => "connection not allowed by ruleset",
            SocksReply::NetworkUnreachable => "network unreachable",
            SocksReply::HostUnreachable => "host unreachable",
            SocksReply::ConnectionRefused => "connection refused",
            SocksReply::TtlExpired => "TTL expired",
            SocksReply::CommandNotSupported => "command not supported",
            SocksReply::AddressTypeNotSupported => "address type not supported",
            SocksReply::Unassigned => "a reply that has no meaning",
        })
    }
}

impl fmt::Display for SocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocksError::Refused(reply) => return write!(f, "the SOCKS proxy did not connect: {reply}"),
            SocksError::WantsCredentials { had_credentials: false } => "the SOCKS proxy wants credentials",
            SocksError::WantsCredentials { had_credentials: true } => {
                "the SOCKS proxy wants other credentials than user name and password"
            }
            SocksError::CredentialsRefused => "the SOCKS proxy refused the credentials",
            SocksError::NotSocks => "the SOCKS proxy answered with something that is not SOCKS5",
            SocksError::Closed => "the SOCKS proxy closed the connection before it had answered",
            SocksError::Io(_) => "the connection to the SOCKS proxy failed",
        })
    }
}

impl std::error::Error for SocksError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SocksError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Takes the error of the stream below SOCKS.
fn io_error(error: StreamError) -> SocksError {
    SocksError::Io(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dugong_net::Interest;
    use dugong_net::scripted::{Cue, Scripted};

    const NO_AUTH: &[u8] = b"\x05\x00";
    const PASSWORD: &[u8] = b"\x05\x02";
    const WELCOME: &[u8] = b"\x01\x00";
    const CONNECTED: &[u8] = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";

    fn socks(url: &str, host: &str) -> Result<Socks, Misuse> {
        Socks::new(&Proxy::new(url).unwrap(), host, 443)
    }

    /// Takes steps until nothing more happens, and returns the outcome.
    fn open(url: &str, stream: &mut Scripted) -> Result<Progress<()>, SocksError> {
        let mut socks = socks(url, "a.example").unwrap();
        let mut step = || socks.step(stream);
        for _ in 0..10_000 {
            match step()? {
                Progress::Done(()) => return Ok(Progress::Done(())),
                Progress::Needs(interest) => assert!(interest.reads() || interest.writes()),
            }
        }
        Ok(Progress::Needs(Interest::READ))
    }

    fn answered(url: &str, answer: &[&[u8]]) -> Result<Progress<()>, SocksError> {
        open(url, &mut Scripted::reading([Cue::Give(answer.concat()), Cue::Eof]))
    }

    #[test]
    fn the_request_has_an_address_or_a_name() {
        for (url, host, expected) in [
            ("socks5h://p", "a.example", &b"\x05\x01\x00\x03\x09a.example\x01\xbb"[..]),
            ("socks5h://p", "127.0.0.1", b"\x05\x01\x00\x01\x7f\x00\x00\x01\x01\xbb"),
            ("socks5://p", "127.0.0.1", b"\x05\x01\x00\x01\x7f\x00\x00\x01\x01\xbb"),
            ("socks5h://p", "b\u{fc}.de", b"\x05\x01\x00\x03\x0cxn--b-eha.de\x01\xbb"),
            ("socks5h://p", "::1%lo", b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"),
            ("socks5://p", "::1", b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb"),
        ] {
            let mut stream = Scripted::reading([Cue::Give([NO_AUTH, CONNECTED].concat())]);
            assert_eq!(socks(url, host).unwrap().step(&mut stream).unwrap(), Progress::Done(()));
            assert_eq!(stream.written, [b"\x05\x01\x00", expected].concat(), "{url} {host}");
        }
    }

    #[test]
    fn a_host_that_cannot_be_sent_is_refused_before_anything_is() {
        let longest = format!("{}.example", "x".repeat(247));
        assert!(socks("socks5h://p", &longest).is_ok());
        for (url, host) in [
            ("socks5h://p", &*format!("x{longest}")),
            ("socks5h://p", ""),
            ("socks5h://p", "a b"),
            ("socks5h://p", "a\0.example"),
            ("socks5h://p", "h\u{fffd}st"),
            ("socks5://p", "a.example"),
        ] {
            assert!(matches!(socks(url, host), Err(Misuse::Host(_))), "{url} {host:?}");
        }
    }

    #[test]
    fn every_cut_and_every_wait_comes_to_the_same() {
        let answer = [PASSWORD, WELCOME, b"\x05\x00\x00\x03\x04name\x00\x50"].concat();
        let expected: &[u8] = b"\x05\x02\x00\x02\x01\x04user\x04pass\x05\x01\x00\x03\x09a.example\x01\xbb";
        for size in 1..=answer.len() {
            let mut stream = Scripted::default();
            for piece in answer.chunks(size) {
                stream.reads.extend([Cue::Wait(Interest::READ), Cue::Give(piece.into())]);
            }
            // TLS may want to read in order to write.
            stream.writes.extend((0..expected.len()).flat_map(|_| [Cue::Wait(Interest::READ), Cue::Take(size)]));
            assert_eq!(open("socks5h://user:pass@p", &mut stream).unwrap(), Progress::Done(()), "{size}");
            assert_eq!(stream.written, expected, "{size}");
        }
    }

    #[test]
    fn what_follows_the_reply_is_left_in_the_stream() {
        let answer = [NO_AUTH, CONNECTED, b"220 hello"].concat();
        let mut stream = Scripted::reading([Cue::Give(answer)]);
        assert_eq!(open("socks5h://p", &mut stream).unwrap(), Progress::Done(()));
        assert!(matches!(&*stream.reads.make_contiguous(), [Cue::Give(rest)] if rest == b"220 hello"), "{:?}", stream.reads);
    }

    #[test]
    fn each_reply_has_its_name() {
        use SocksReply::*;
        let replies = [
            GeneralFailure,
            NotAllowed,
            NetworkUnreachable,
            HostUnreachable,
            ConnectionRefused,
            TtlExpired,
            CommandNotSupported,
            AddressTypeNotSupported,
            Unassigned,
        ];
        for (code, reply) in (1..).zip(replies) {
            let error = answered("socks5h://p", &[NO_AUTH, &[5, code, 0, 1], &[0; 6]]).unwrap_err();
            assert!(matches!(error, SocksError::Refused(found) if found == reply), "{code}: {error:?}");
            assert_eq!(error.to_string(), format!("the SOCKS proxy did not connect: {reply}"));
        }
    }

    #[test]
    fn other_answers_are_told_apart() {
        let credentials = "socks5h://user:pass@p";
        for (url, answer, expected) in [
            ("socks5h://p", &[&b"\x05\xff"[..]][..], "WantsCredentials { had_credentials: false }"),
            ("socks5h://p", &[PASSWORD], "WantsCredentials { had_credentials: false }"),
            ("socks5h://p", &[b"\x05\x01"], "WantsCredentials { had_credentials: false }"),
            (credentials, &[b"\x05\xff"], "WantsCredentials { had_credentials: true }"),
            (credentials, &[b"\x05\x01"], "WantsCredentials { had_credentials: true }"),
            (credentials, &[PASSWORD, b"\x01\x01"], "CredentialsRefused"),
            (credentials, &[PASSWORD, b"\x05\x00"], "NotSocks"),
            ("socks5h://p", &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "NotSocks"),
            ("socks5h://p", &[b"\x04\x00"], "NotSocks"),
            ("socks5h://p", &[NO_AUTH, b"\x04\x00\x00\x01"], "NotSocks"),
            ("socks5h://p", &[NO_AUTH, b"\x05\x00\x01\x01"], "NotSocks"),
            ("socks5h://p", &[NO_AUTH, b"\x05\x00\x00\x02"], "NotSocks"),
            ("socks5h://p", &[NO_AUTH, b"\x05\x00\x00\x03\x01\xff\0\0"], "NotSocks"),
            ("socks5h://p", &[], "Closed"),
            ("socks5h://p", &[b"\x05"], "Closed"),
            ("socks5h://p", &[NO_AUTH, &CONNECTED[..9]], "Closed"),
            (credentials, &[PASSWORD, b"\x01"], "Closed"),
        ] {
            let error = answered(url, answer).unwrap_err();
            assert_eq!(format!("{error:?}"), expected, "{url} {answer:?}");
            assert!(!error.to_string().contains('\n'));
        }
        let mut stream = Scripted::reading([Cue::Fail(io::ErrorKind::ConnectionReset)]);
        assert!(matches!(open("socks5h://p", &mut stream), Err(SocksError::Io(_))));
    }

    #[test]
    fn credentials_are_not_shown_and_not_sent_unasked() {
        let mut socks = socks("socks5h://alice:secret@p", "a.example").unwrap();
        let mut stream = Scripted::reading([Cue::Give([NO_AUTH, CONNECTED].concat())]);
        assert!(format!("{socks:?}").contains("a.example:443"));
        assert_eq!(socks.step(&mut stream).unwrap(), Progress::Done(()));
        let sent = String::from_utf8_lossy(&stream.written).into_owned();
        let shown = format!("{sent} {socks:?} {socks:#?}");
        assert!(!shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn it_may_be_moved_to_another_thread() {
        fn is_send(_: impl Send) {}
        is_send(socks("socks5h://p", "a.example").unwrap());
    }
}
