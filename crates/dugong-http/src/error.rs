//! The errors of this crate, and what became of each request.

use std::fmt::{self, Display};
use std::io;

#[cfg(feature = "rustls")]
use dugong_net::tls::{TlsError, TlsFailure};
use dugong_net::{ConnectError, InvalidProxy, InvalidUrl, ResolveError, StreamError, TimeLimit, WaitingFor};
use dugong_proto::{CloseReason, Excerpt, Incomplete, Malformed, Misuse, Outstanding, Unanswered, Unsupported};
use rustix::io::Errno;

use crate::connecting::refusal::Refusal;
#[cfg(feature = "socks")]
use crate::connecting::socks::SocksError;

/// An error of a connection, or of connecting.
///
/// A connection goes on after [`Local`](Error::Local), [`TimedOut`](Error::TimedOut) and [`Socket`](Error::Socket). After the
/// others nothing more can be sent, and [`requests`](Error::requests) says what became of each request; you can still read
/// responses that had arrived before. An error of connecting leaves nothing behind.
///
/// `{}` prints what went wrong, and [`source`](std::error::Error::source) leads to the cause; `{:#}` prints both in one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// You asked for something that is not allowed, or not now. No byte was sent, and the connection is as it was.
    Local(Misuse),
    /// The server sent something that HTTP/1.1 forbids.
    Remote {
        /// The rule that was broken.
        what: Malformed,
        /// The offset of the first bad byte in the received bytes of this connection.
        at: u64,
        /// The line with that byte, from its beginning.
        found: Excerpt,
        /// The requests of the connection.
        requests: Requests,
    },
    /// The server sent something that is not HTTP/1.0 or HTTP/1.1.
    Unsupported {
        /// The protocol or feature that it is instead.
        what: Unsupported,
        /// The offset of the first byte that is not HTTP/1.x.
        at: u64,
        /// The line with that byte, from its beginning. Empty if a response lacks something.
        found: Excerpt,
        /// The requests of the connection.
        requests: Requests,
    },
    /// The connection is gone.
    Closed {
        /// How it ended.
        cause: Closed,
        /// The requests of the connection.
        requests: Requests,
    },
    /// An operation took longer than it may. On a connection you can repeat the call, and nothing is lost.
    TimedOut {
        /// The phase that took too long.
        waiting_for: WaitingFor,
        /// The limit that has passed.
        limit: TimeLimit,
        /// While connecting: the target, and how far it got.
        to: Option<Box<str>>,
    },
    /// The content of a response is longer than you accept. The connection is as it was: read the rest, or skip it by reading
    /// the next response.
    ContentTooLong {
        /// The number of the request.
        number: u64,
        /// How many bytes you accept.
        limit: usize,
    },
    /// The URL cannot be connected to.
    Url(InvalidUrl),
    /// The proxy that you gave, or that the environment names, cannot be used.
    Proxy(InvalidProxy),
    /// The system refused to wait for the socket, or to use it. The connection is as it was.
    Socket(io::Error),
    /// The addresses of a host are unknown.
    Resolve(Box<ResolveError>),
    /// No address of a host accepted the connection.
    Connect {
        /// Host and port, or the path of a Unix socket.
        to: Box<str>,
        /// The error of each address.
        source: ConnectError,
    },
    /// The proxy opened no tunnel. Only the request for it was sent.
    Tunnel {
        /// The proxy.
        proxy: Box<str>,
        /// The target of the tunnel: host and port.
        to: Box<str>,
        /// Why not.
        source: Box<TunnelError>,
    },
    /// The SOCKS proxy made no connection. Only the request for it was sent.
    #[cfg(feature = "socks")]
    Socks {
        /// The proxy.
        proxy: Box<str>,
        /// The target: host and port.
        to: Box<str>,
        /// Why not.
        source: SocksError,
    },
    /// TLS failed: in the handshake, before any request was sent, or later.
    #[cfg(feature = "rustls")]
    Tls {
        /// The error of TLS.
        source: Box<TlsError>,
        /// The requests of the connection, if TLS failed after the handshake.
        requests: Option<Requests>,
    },
}

/// How a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Closed {
    /// The server stopped before or inside a response; with the system's error, if it had one.
    Incomplete(Incomplete, Option<io::Error>),
    /// It ended in order: as agreed in a message, or while it was idle.
    InOrder(CloseReason),
    /// Sending a request failed. You can read responses that arrived before.
    Sending(io::Error),
}

/// Why the proxy opened no tunnel. Nothing else may be sent over the stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunnelError {
    /// The proxy refused: it answered with another status than 2xx.
    Refused(Box<Refusal>),
    /// Bytes came behind the answer that should open the tunnel. They would belong to the tunnel, even if the answer announces
    /// content; but in TLS the client speaks first, so the tunnel does not lead to a TLS server.
    SpokeFirst,
    /// The proxy gave no proper answer: it closed the connection, or sent something that is not HTTP.
    Failed(Error),
}

/// The requests of a connection. Their numbers are those that sending returned, counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// The requests numbered below this got a complete response.
    pub answered: u64,
    /// The others, oldest first: how much of each was sent, and whether it is safe to send again.
    pub unanswered: Vec<Unanswered>,
}

impl Requests {
    pub(crate) fn of(queue: &Outstanding) -> Self {
        Requests { answered: queue.answered(), unanswered: queue.unanswered().collect() }
    }
}

impl Error {
    /// Finds this crate's error in another one: in an `io::Error` from [`Read`](io::Read) or [`Write`](io::Write), or anywhere in
    /// the chain of sources of another error.
    ///
    /// ```
    /// use dugong_http::Error;
    /// use std::io::Read;
    ///
    /// fn may_repeat(response: &mut impl Read) -> bool {
    ///     match std::io::copy(response, &mut std::io::sink()) {
    ///         Ok(_) => false,
    ///         Err(error) => Error::find_in(&error).is_some_and(Error::is_temporary),
    ///     }
    /// }
    /// # assert!(!may_repeat(&mut &b""[..]));
    /// ```
    #[must_use]
    pub fn find_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = match error.downcast_ref::<io::Error>() {
                // Its `source` is the source of the error inside, and skips that error itself.
                Some(error) => error.get_ref().map(|inside| inside as _),
                None => error.source(),
            };
        }
        None
    }

    /// The requests of the connection, if it has ended.
    #[must_use]
    pub fn requests(&self) -> Option<&Requests> {
        match self {
            Error::Remote { requests, .. } | Error::Unsupported { requests, .. } | Error::Closed { requests, .. } => {
                Some(requests)
            }
            #[cfg(feature = "rustls")]
            Error::Tls { requests, .. } => requests.as_ref(),
            _ => None,
        }
    }

    /// Whether the connection is gone: the peer, the network or an earlier agreement ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Closed { .. })
    }

    /// Whether a limit of time has passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut { .. })
    }

    /// Whether the error comes from the network and may go away: a lost connection, a timeout, an unavailable name service, an
    /// unreachable host, a busy proxy. Not: a name that does not exist, a bad certificate, a server that does not speak HTTP.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Closed { .. } | Error::TimedOut { .. } => true,
            // The system may have more of its resources later.
            Error::Resolve(source) => {
                matches!(**source, ResolveError::Unavailable { .. } | ResolveError::NotAsked { .. } | ResolveError::System { .. })
            }
            Error::Connect { source, .. } => source.errors().any(is_temporary),
            Error::Socket(error) => is_temporary(error),
            Error::Tunnel { source, .. } => match &**source {
                TunnelError::Refused(refusal) => {
                    let status = refusal.head().status().as_u16();
                    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
                }
                TunnelError::Failed(error) => error.is_temporary(),
                TunnelError::SpokeFirst => false,
            },
            #[cfg(feature = "socks")]
            Error::Socks { source, .. } => match source {
                SocksError::Refused(reply) => reply.is_temporary(),
                SocksError::Closed => true,
                SocksError::Io(error) => is_temporary(error),
                SocksError::WantsCredentials { .. } | SocksError::CredentialsRefused | SocksError::NotSocks => false,
            },
            #[cfg(feature = "rustls")]
            Error::Tls { source, .. } => match &source.what {
                TlsFailure::Ended => true,
                TlsFailure::Transport(error) => is_temporary(error),
                _ => false,
            },
            Error::Local(_) | Error::Remote { .. } | Error::Unsupported { .. } | Error::Url(_) | Error::Proxy(_) => false,
            Error::ContentTooLong { .. } => false,
        }
    }

    /// Converts an error of the core, with the requests and the pending error of the stream.
    #[cold]
    pub(crate) fn of_core(error: dugong_proto::Error, queue: &Outstanding, said: Option<StreamError>) -> Self {
        use dugong_proto::Error::{Closed as Ended, Incomplete};
        let said = match said.filter(|_| matches!(error, Ended(_) | Incomplete(_))).map(of_tls) {
            // It is the cause of the end.
            Some(Ok(error)) => return error.with_requests(queue),
            Some(Err(said)) => Some(said),
            None => None,
        };
        let closed = |cause| Error::Closed { cause, requests: Requests::of(queue) };
        match error {
            dugong_proto::Error::Remote { what, at, found } => Error::Remote { what, at, found, requests: Requests::of(queue) },
            dugong_proto::Error::Unsupported { what, at, found } => {
                Error::Unsupported { what, at, found, requests: Requests::of(queue) }
            }
            dugong_proto::Error::Incomplete(incomplete) => closed(Closed::Incomplete(incomplete, said)),
            dugong_proto::Error::Closed(reason) => closed(Closed::InOrder(reason)),
            dugong_proto::Error::Local(misuse) => Error::Local(misuse),
            _ => unreachable!("the core and this crate are of one version"),
        }
    }

    /// Converts an error of sending.
    pub(crate) fn of_sending(error: StreamError, queue: &Outstanding) -> Self {
        match of_tls(error) {
            Ok(error) => error.with_requests(queue),
            Err(error) => Error::Closed { cause: Closed::Sending(error), requests: Requests::of(queue) },
        }
    }

    /// Converts an error of looking at a stream before anything is sent, if it comes from TLS.
    pub(crate) fn of_looking(error: StreamError, queue: &Outstanding) -> Option<Self> {
        of_tls(error).ok().map(|error| error.with_requests(queue))
    }

    #[cfg_attr(not(feature = "rustls"), expect(unused_variables, reason = "only TLS has such"))]
    fn with_requests(self, queue: &Outstanding) -> Self {
        match self {
            #[cfg(feature = "rustls")]
            Error::Tls { source, .. } => Error::Tls { source, requests: Some(Requests::of(queue)) },
            other => other,
        }
    }
}

/// Separates an error of TLS from one of the stream below.
fn of_tls(error: StreamError) -> Result<Error, io::Error> {
    match error {
        #[cfg(feature = "rustls")]
        StreamError::Tls(source) => Ok(Error::Tls { source, requests: None }),
        other => Err(other.into()),
    }
}

/// Whether an error of the system comes from the network and may go away.
pub(crate) fn is_temporary(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    const TEMPORARY: [Errno; 10] = [
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETDOWN,
        Errno::NETRESET,
        Errno::NETUNREACH,
        Errno::NOTCONN,
        Errno::NXIO,
        Errno::PIPE,
        Errno::SHUTDOWN,
        Errno::TIMEDOUT,
    ];
    let by_kind = [BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock];
    by_kind.contains(&error.kind()) || Errno::from_io_error(error).is_some_and(|number| TEMPORARY.contains(&number))
}

impl Error {
    fn fmt_own(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Local(misuse) => misuse.fmt(f),
            Error::Remote { what, at, found, requests } => {
                dugong_proto::Error::Remote { what: *what, at: *at, found: *found }.fmt(f)?;
                match (what, requests.unanswered.first()) {
                    (Malformed::EarlyResponse, Some(Unanswered { number, .. })) if *number > 0 => {
                        let before = number - 1;
                        write!(f, ": it came behind the response to request {before}, before request {number} was sent")
                    }
                    _ => Ok(()),
                }
            }
            &Error::Unsupported { what, at, found, .. } => dugong_proto::Error::Unsupported { what, at, found }.fmt(f),
            Error::Closed { cause: Closed::Incomplete(incomplete, _), .. } => incomplete.fmt(f),
            Error::Closed { cause: Closed::InOrder(reason), .. } => dugong_proto::Error::Closed(*reason).fmt(f),
            Error::Closed { cause: Closed::Sending(_), .. } => f.write_str("the connection was closed while sending"),
            Error::TimedOut { waiting_for, limit, to } => {
                let to = to.as_deref().unwrap_or("the server");
                match waiting_for {
                    WaitingFor::Name => write!(f, "timed out looking up the name of {to}"),
                    WaitingFor::Connection => write!(f, "timed out connecting to {to}"),
                    WaitingFor::Tunnel => write!(f, "timed out waiting for the proxy to open a tunnel to {to}"),
                    WaitingFor::Handshake => write!(f, "timed out in the TLS handshake with {to}"),
                    WaitingFor::Sending => f.write_str("timed out waiting for the server to take what is sent"),
                    WaitingFor::Response => f.write_str("timed out waiting for the server to answer"),
                    WaitingFor::Content => f.write_str("timed out waiting for the server to send the rest of a response"),
                    WaitingFor::Request => f.write_str("timed out waiting for a request to be sent"),
                    _ => f.write_str("timed out"),
                }?;
                match (limit, waiting_for) {
                    // The limits of these phases apply to the whole phase, whatever progress it made.
                    (
                        TimeLimit::Phase(limit),
                        WaitingFor::Name | WaitingFor::Connection | WaitingFor::Tunnel | WaitingFor::Handshake,
                    ) => write!(f, ": not done after {limit:?}"),
                    _ => write!(f, ": {limit}"),
                }
            }
            Error::ContentTooLong { number, limit } => {
                write!(f, "the response to request {number} has more than {limit} bytes of content")
            }
            Error::Url(source) => source.fmt(f),
            Error::Proxy(_) => f.write_str("cannot connect"),
            Error::Socket(_) => f.write_str("the socket cannot be used"),
            Error::Resolve(source) => source.fmt(f),
            Error::Connect { to, .. } => write!(f, "cannot connect to {to}"),
            Error::Tunnel { proxy, to, .. } => write!(f, "no tunnel to {to} through {proxy}"),
            #[cfg(feature = "socks")]
            Error::Socks { proxy, to, .. } => write!(f, "no connection to {to} through {proxy}"),
            #[cfg(feature = "rustls")]
            Error::Tls { source, .. } => source.fmt(f),
        }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_own(f)?;
        if f.alternate() {
            let mut cause = std::error::Error::source(self);
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Closed { cause: Closed::Incomplete(_, Some(source)) | Closed::Sending(source), .. } => Some(source),
            Error::Socket(source) => Some(source),
            Error::Connect { source, .. } => Some(source),
            // It prints itself.
            Error::Url(_) => None,
            Error::Proxy(source) => Some(source),
            Error::Tunnel { source, .. } => Some(source.as_ref()),
            #[cfg(feature = "socks")]
            Error::Socks { source, .. } => Some(source),
            // These print themselves. Their sources belong to them.
            Error::Resolve(error) => error.source(),
            #[cfg(feature = "rustls")]
            Error::Tls { source, .. } => source.source(),
            _ => None,
        }
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Error::Local(misuse)
    }
}

impl From<InvalidUrl> for Error {
    fn from(error: InvalidUrl) -> Self {
        Error::Url(error)
    }
}

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        Error::Resolve(Box::new(error))
    }
}

impl From<InvalidProxy> for Error {
    fn from(error: InvalidProxy) -> Self {
        Error::Proxy(error)
    }
}

/// For `Read` and `Write`. The `io::Error` contains this one: [`Error::find_in`] borrows it, and [`std::io::Error::downcast`]
/// moves it out.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Local(_) | Error::Url(_) | Error::Proxy(_) => io::ErrorKind::InvalidInput,
            Error::Remote { .. } | Error::Unsupported { .. } | Error::ContentTooLong { .. } => io::ErrorKind::InvalidData,
            Error::Closed { cause: Closed::Incomplete(..), .. } => io::ErrorKind::UnexpectedEof,
            Error::Closed { .. } => io::ErrorKind::BrokenPipe,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::Socket(source) => source.kind(),
            Error::Connect { source, .. } => source.errors().last().map_or(io::ErrorKind::NotFound, io::Error::kind),
            Error::Resolve(_) => io::ErrorKind::NotFound,
            Error::Tunnel { .. } => io::ErrorKind::ConnectionRefused,
            #[cfg(feature = "socks")]
            Error::Socks { .. } => io::ErrorKind::ConnectionRefused,
            #[cfg(feature = "rustls")]
            Error::Tls { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

impl From<Error> for TunnelError {
    fn from(error: Error) -> Self {
        TunnelError::Failed(error)
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunnelError::Refused(refusal) => refusal.fmt(f),
            TunnelError::SpokeFirst => f.write_str("the proxy sent bytes through the tunnel before it was used"),
            TunnelError::Failed(Error::Closed { .. }) => f.write_str("the proxy closed the connection before it had answered"),
            TunnelError::Failed(Error::Remote { .. } | Error::Unsupported { .. }) => {
                f.write_str("the proxy answered with something that is not proper HTTP")
            }
            TunnelError::Failed(_) => f.write_str("the proxy could not be asked for a tunnel"),
        }
    }
}

impl std::error::Error for TunnelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TunnelError::Failed(error) => Some(error),
            TunnelError::Refused(_) | TunnelError::SpokeFirst => None,
        }
    }
}
