//! What can go wrong, and what became of each request when it did.

use std::{fmt, io};

use dugong_proto::{CloseReason, Incomplete, Malformed, Misuse, Outstanding, Unanswered, Unsupported};

use crate::transport::InvalidUrl;

/// An error of a connection.
///
/// After [`Local`](Error::Local), [`TimedOut`](Error::TimedOut) and [`Wait`](Error::Wait) the connection goes on; after
/// [`Connect`](Error::Connect) and [`Url`](Error::Url) there is none. After the others nothing more can be sent, and
/// [`requests`](Error::requests) says what became of each request; responses that had arrived before can still be read.
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
        /// What became of the requests.
        requests: Requests,
    },
    /// The server sent something that is not HTTP/1.0 or HTTP/1.1.
    Unsupported {
        /// What it is instead.
        what: Unsupported,
        /// The offset of the first byte that is not HTTP/1.x.
        at: u64,
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
    /// Nothing happened for as long as the timeout allows. The call can be repeated; nothing was lost.
    TimedOut {
        /// What was waited for.
        waiting_for: WaitingFor,
    },
    /// The URL is not one that can be connected to.
    Url(InvalidUrl),
    /// The system could not wait for the socket; the connection is as it was.
    Wait(io::Error),
    /// No connection could be made.
    Connect {
        /// To whom: host and port.
        to: String,
        /// Why not.
        source: io::Error,
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

/// What a wait was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitingFor {
    /// The server to take what is sent.
    Sending,
    /// A response, or more of its content.
    Response,
    /// Another thread to send a request.
    Request,
}

impl Error {
    /// What became of the requests of the connection, if it is done for.
    #[must_use]
    pub fn requests(&self) -> Option<&Requests> {
        match self {
            Error::Remote { requests, .. } | Error::Unsupported { requests, .. } | Error::Closed { requests, .. } => {
                Some(requests)
            }
            Error::Local(_) | Error::TimedOut { .. } | Error::Url(_) | Error::Wait(_) | Error::Connect { .. } => None,
        }
    }

    /// Whether the connection is gone: the peer, the network or an earlier agreement ended it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Closed { .. })
    }

    /// An error of the core, with what is known about the requests, and what the system said before.
    pub(crate) fn of_core(error: dugong_proto::Error, queue: &Outstanding, said: Option<io::Error>) -> Self {
        let closed = |cause| Error::Closed { cause, requests: Requests::of(queue) };
        match error {
            dugong_proto::Error::Remote { what, at } => Error::Remote { what, at, requests: Requests::of(queue) },
            dugong_proto::Error::Unsupported { what, at } => Error::Unsupported { what, at, requests: Requests::of(queue) },
            dugong_proto::Error::Incomplete(incomplete) => closed(Closed::Incomplete(incomplete, said)),
            dugong_proto::Error::Closed(reason) => closed(Closed::InOrder(reason)),
            dugong_proto::Error::Local(misuse) => Error::Local(misuse),
            _ => unreachable!("the core and this crate are of one version"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Local(misuse) => misuse.fmt(f),
            Error::Remote { what, at, .. } => dugong_proto::Error::Remote { what: *what, at: *at }.fmt(f),
            Error::Unsupported { what, at, .. } => dugong_proto::Error::Unsupported { what: *what, at: *at }.fmt(f),
            Error::Closed { cause: Closed::Incomplete(incomplete, _), .. } => incomplete.fmt(f),
            Error::Closed { cause: Closed::InOrder(reason), .. } => dugong_proto::Error::Closed(*reason).fmt(f),
            Error::Closed { cause: Closed::Sending(_), .. } => f.write_str("the connection was closed while sending"),
            Error::TimedOut { waiting_for } => f.write_str(match waiting_for {
                WaitingFor::Sending => "timed out waiting for the server to take what is sent",
                WaitingFor::Response => "timed out waiting for the server to send",
                WaitingFor::Request => "timed out waiting for a request to be sent",
            }),
            Error::Url(_) => f.write_str("cannot connect"),
            Error::Wait(_) => f.write_str("cannot wait for the socket"),
            Error::Connect { to, .. } => write!(f, "cannot connect to {to}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Closed { cause: Closed::Incomplete(_, Some(source)) | Closed::Sending(source), .. } => Some(source),
            Error::Connect { source, .. } | Error::Wait(source) => Some(source),
            Error::Url(source) => Some(source),
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

/// For `Read` and `Write`: the error itself is inside, and can be had back with [`std::io::Error::downcast`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Local(_) | Error::Url(_) => io::ErrorKind::InvalidInput,
            Error::Remote { .. } | Error::Unsupported { .. } => io::ErrorKind::InvalidData,
            Error::Closed { cause: Closed::Incomplete(..), .. } => io::ErrorKind::UnexpectedEof,
            Error::Closed { .. } => io::ErrorKind::BrokenPipe,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::Connect { source, .. } | Error::Wait(source) => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
