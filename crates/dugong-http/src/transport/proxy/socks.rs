//! SOCKS version 5 (RFC 1928), with user name and password (RFC 1929).
//!
//! The protocol is the library's. It wants to read and write on its own, and wait by a runtime; here it talks to two buffers, which
//! each step empties into the stream and fills from it, and its future is polled by hand.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dugong_proto::Misuse;
use futures_io::{AsyncRead, AsyncWrite};
use tokio_socks::TargetAddr;
use tokio_socks::io::Compat;
use tokio_socks::tcp::Socks5Stream;

use super::{Credentials, Proxy, ProxyKind};
use crate::step::Progress;
use crate::transport::Stream;

/// A connection through a SOCKS5 proxy that is being opened. What the stream carries afterwards is between the two ends: not a
/// byte of it is read here. A proxy that is silent is waited for; how long is for the caller to say.
///
/// ```
/// use dugong_http::step::Progress;
/// use dugong_http::transport::scripted::{Cue, Scripted};
/// use dugong_http::transport::{Proxy, Socks};
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
    /// What `opening` reads and writes.
    buffers: Buffers,
    target: String,
    has_credentials: bool,
}

/// Why there is no connection through a SOCKS5 proxy. Nothing else may be sent over the stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocksError {
    /// The proxy did not connect: its reply.
    Refused(SocksReply),
    /// The proxy wants credentials, or a kind of them that is not user name and password.
    WantsCredentials {
        /// Whether user name and password were offered.
        had_credentials: bool,
    },
    /// The proxy did not accept user name and password (RFC 1929 §2).
    CredentialsRefused,
    /// The proxy answered with something that is not proper SOCKS5.
    NotSocks,
    /// The proxy closed the connection before it had answered.
    Closed,
    /// The stream failed.
    Io(io::Error),
}

/// What a SOCKS5 proxy says of a connection that it did not make (RFC 1928 §6).
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
    /// A reply that has no meaning.
    Unassigned,
}

impl SocksReply {
    /// Whether it may go well next time.
    pub(crate) fn is_temporary(self) -> bool {
        use SocksReply::{ConnectionRefused, GeneralFailure, HostUnreachable, NetworkUnreachable, TtlExpired};
        matches!(self, GeneralFailure | NetworkUnreachable | HostUnreachable | ConnectionRefused | TtlExpired)
    }
}

impl Socks {
    /// A connection to `host` (a name or an address, IPv6 without brackets) and `port`.
    ///
    /// # Errors
    /// [`Misuse::Host`] if the host is empty, longer than 255 bytes or not ASCII; or a name, and names are not for this proxy to
    /// resolve.
    ///
    /// # Panics
    /// If the proxy is of another kind.
    pub fn new(proxy: &Proxy, host: &str, port: u16) -> Result<Self, Misuse> {
        let ProxyKind::Socks5 { remote_names } = proxy.kind else { panic!("{proxy} does not speak SOCKS") };
        let target = match host.parse::<IpAddr>() {
            Ok(address) => TargetAddr::Ip((address, port).into()),
            Err(_) if remote_names && is_name(host) => TargetAddr::Domain(host.to_owned().into(), port),
            Err(_) => return Err(Misuse::Host),
        };
        let shown = target.to_string();
        let buffers = Buffers::default();
        let socket = Compat::new(buffers.clone());
        let credentials = proxy.credentials.clone();
        let has_credentials = credentials.is_some();
        let opening = Box::pin(async move {
            match &credentials {
                None => Socks5Stream::connect_with_socket(socket, target).await?,
                Some(Credentials { user, password }) => {
                    Socks5Stream::connect_with_password_and_socket(socket, target, user, password).await?
                }
            };
            Ok(())
        });
        Ok(Socks { opening, buffers, target: shown, has_credentials })
    }

    /// Goes on; when it is done, the stream leads to the host. It is not to be called again after that, or after an error.
    ///
    /// # Errors
    /// There is no connection, and the stream is of no use.
    pub fn step(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        loop {
            if let Progress::Needs(interest) = self.write(stream)? {
                return Ok(Progress::Needs(interest));
            }
            match self.opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => return Ok(Progress::Done(())),
                Poll::Ready(Err(error)) => return Err(self.error(error)),
                // It waits for something to be read, unless it has just written.
                Poll::Pending if !self.buffers.lock().outgoing.is_empty() => {}
                Poll::Pending => {
                    if let Progress::Needs(interest) = self.read(stream)? {
                        return Ok(Progress::Needs(interest));
                    }
                }
            }
        }
    }

    /// Sends what there is to send.
    fn write(&self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        let mut buffers = self.buffers.lock();
        while !buffers.outgoing.is_empty() {
            match stream.write(&[IoSlice::new(&buffers.outgoing)]).map_err(SocksError::Io)? {
                Progress::Done(count) => drop(buffers.outgoing.drain(..count)),
                Progress::Needs(interest) => return Ok(Progress::Needs(interest)),
            }
        }
        stream.flush().map_err(SocksError::Io)
    }

    /// Reads no more than what is waited for: what follows it is not SOCKS.
    fn read(&self, stream: &mut impl Stream) -> Result<Progress<()>, SocksError> {
        let mut buffers = self.buffers.lock();
        let mut buffer = [0; LONGEST_READ];
        let wanted = buffers.wanted.clamp(1, LONGEST_READ);
        match stream.read(&mut buffer[..wanted]).map_err(SocksError::Io)? {
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

/// The longest that the library reads at once: the rest of a reply with a domain name.
const LONGEST_READ: usize = 512;

/// Both directions between the library and the steps; both ends have them.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Both>>);

#[derive(Default)]
struct Both {
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// How many bytes the library waits for.
    wanted: usize,
    /// How many bytes were received in all.
    received: usize,
}

impl Buffers {
    /// Never waits: a step polls the library, and both run in its thread.
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

/// Without what is sent: there may be credentials in it.
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
