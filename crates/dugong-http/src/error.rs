//! What can go wrong, and what became of each request when it did.

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

/// An error of a connection, or of making one.
///
/// When a connection stands, it goes on after [`Local`](Error::Local), [`TimedOut`](Error::TimedOut) and
/// [`Socket`](Error::Socket). After the others nothing more can be sent, and [`requests`](Error::requests) says what became of
/// each request; responses that had arrived before can still be read. An error of connecting leaves nothing behind.
///
/// `{}` prints what went wrong, and [`source`](std::error::Error::source) leads to the cause; `{:#}` prints both in one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for what is not allowed, or not now. Nothing was sent, the connection is as it was.
    Local(Misuse),
    /// The server sent what HTTP/1.1 forbids.
    Remote {
        /// The rule that was broken.
        what: Malformed,
        /// The offset of the first bad byte in what was received on this connection.
        at: u64,
        /// The line with that byte, from its beginning.
        found: Excerpt,
        /// What became of the requests.
        requests: Requests,
    },
    /// The server sent something that is not HTTP/1.0 or HTTP/1.1.
    Unsupported {
        /// What it is instead.
        what: Unsupported,
        /// The offset of the first byte that is not HTTP/1.x.
        at: u64,
        /// The line with that byte, from its beginning. Empty if a response lacks something.
        found: Excerpt,
        /// What became of the requests.
        requests: Requests,
    },
    /// The connection is gone, whatever the system called it.
    Closed {
        /// How it went.
        cause: Closed,
        /// What became of the requests.
        requests: Requests,
    },
    /// Something took longer than it may. When a connection stands, the call can be repeated, and nothing was lost.
    TimedOut {
        /// What was waited for.
        waiting_for: WaitingFor,
        /// The limit that has passed.
        limit: TimeLimit,
        /// While connecting: to where, and what had come of it.
        to: Option<Box<str>>,
    },
    /// The content of a response is longer than the caller takes. The connection is as it was: the rest of it can be read, or is
    /// skipped by whoever asks for the next response.
    ContentTooLong {
        /// The number of the request.
        number: u64,
        /// How many bytes the caller takes.
        limit: usize,
    },
    /// The URL is not one that can be connected to.
    Url(InvalidUrl),
    /// The proxy that was given, or that the environment names, is not one that can be used.
    Proxy(InvalidProxy),
    /// The system refused to wait for the socket, or to use it. The connection is as it was.
    Socket(io::Error),
    /// The addresses of a host are not known.
    Resolve(Box<ResolveError>),
    /// No address of a host took the connection.
    Connect {
        /// Host and port, or the path of a Unix socket.
        to: Box<str>,
        /// What came of each address.
        source: ConnectError,
    },
    /// The proxy opened no tunnel. Nothing but the request for it was sent.
    Tunnel {
        /// The proxy.
        proxy: Box<str>,
        /// Where the tunnel was to lead: host and port.
        to: Box<str>,
        /// Why not.
        source: Box<TunnelError>,
    },
    /// The SOCKS proxy made no connection. Nothing but the request for it was sent.
    #[cfg(feature = "socks")]
    Socks {
        /// The proxy.
        proxy: Box<str>,
        /// Where it was to connect to: host and port.
        to: Box<str>,
        /// Why not.
        source: SocksError,
    },
    /// TLS failed: in the handshake, then nothing of a request was sent; or later.
    #[cfg(feature = "rustls")]
    Tls {
        /// How.
        source: Box<TlsError>,
        /// What became of the requests, if it failed after the handshake.
        requests: Option<Requests>,
    },
}

/// How a connection went.
#[derive(Debug)]
#[non_exhaustive]
pub enum Closed {
    /// The server stopped before or inside a response; with what the system said, if it said something.
    Incomplete(Incomplete, Option<io::Error>),
    /// It ended in order: by what was agreed in a message, or while it was idle.
    InOrder(CloseReason),
    /// A request could not be sent; responses that arrived before can be read.
    Sending(io::Error),
}

/// Why there is no tunnel. Nothing else may be sent over the stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunnelError {
    /// The proxy refused, by an answer with another status than 2xx.
    Refused(Box<Refusal>),
    /// Bytes came behind the answer that should open the tunnel. They would be the tunnel's, whatever the fields of the answer
    /// say of its content; but in TLS it is the client that speaks first, so they are not what the tunnel is for.
    SpokeFirst,
    /// There was no proper answer: the proxy closed the connection, or sent what is not HTTP.
    Failed(Error),
}

/// What became of the requests of a connection; numbers are those that sending returned, counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// The requests numbered below this got a complete response.
    pub answered: u64,
    /// The others, oldest first: how much of each was sent, and whether it can safely be sent again.
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

    /// What became of the requests of the connection, if it is done for.
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

    /// Whether it is an error of the network, which may go well next time: a lost connection, a timeout, an unavailable name
    /// service, a host that cannot be reached, a proxy that is busy. Not: a name that does not exist, a certificate that is
    /// not good, a server that does not speak HTTP.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Closed { .. } | Error::TimedOut { .. } => true,
            // What the system has not enough of now, it may have later.
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

    /// An error of the core, with what is known about the requests, and what the system said before.
    #[cold]
    pub(crate) fn of_core(error: dugong_proto::Error, queue: &Outstanding, said: Option<StreamError>) -> Self {
        use dugong_proto::Error::{Closed as Ended, Incomplete};
        let said = match said.filter(|_| matches!(error, Ended(_) | Incomplete(_))).map(of_tls) {
            // That is why the connection ended, or will.
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

    /// An error of sending.
    pub(crate) fn of_sending(error: StreamError, queue: &Outstanding) -> Self {
        match of_tls(error) {
            Ok(error) => error.with_requests(queue),
            Err(error) => Error::Closed { cause: Closed::Sending(error), requests: Requests::of(queue) },
        }
    }

    /// An error of a stream that is looked at before anything is sent, if it is one of TLS.
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

/// Parts an error of TLS from one of the stream below.
fn of_tls(error: StreamError) -> Result<Error, io::Error> {
    match error {
        #[cfg(feature = "rustls")]
        StreamError::Tls(source) => Ok(Error::Tls { source, requests: None }),
        other => Err(other.into()),
    }
}

/// Whether an error of the system is one of the network that may go away by itself.
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
                    // The limits of these phases are for all of them, whatever progress there was.
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
            // These print themselves; what they come from is theirs.
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

/// For `Read` and `Write`. The `io::Error` contains this one: [`Error::find_in`] borrows it, [`std::io::Error::downcast`] moves it
/// out.
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
