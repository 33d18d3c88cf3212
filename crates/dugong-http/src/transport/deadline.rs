//! How long things may take.

use std::fmt;
use std::time::{Duration, Instant};

/// What a wait was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitingFor {
    /// The addresses of a name.
    Name,
    /// A TCP connection, or one to a Unix socket.
    Connection,
    /// A proxy to open a tunnel.
    Tunnel,
    /// The end of the TLS handshake.
    Handshake,
    /// The server to take what is sent.
    Sending,
    /// The first byte of a response.
    Response,
    /// More of a response that has begun.
    Content,
    /// Another thread to send a request.
    Request,
}

/// The limit that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeLimit {
    /// That of the phase.
    Phase(Duration),
    /// That of connecting as a whole.
    Connecting(Duration),
    /// The deadline of the whole connection.
    Deadline,
}

/// The limits of all phases; `None` is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeouts {
    pub(crate) resolve: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    /// Tunnel and TLS together.
    pub(crate) handshake: Option<Duration>,
    /// All of connecting.
    pub(crate) establish: Option<Duration>,
    pub(crate) transfer: TransferTimeouts,
    /// The whole connection.
    pub(crate) whole: Option<Duration>,
}

/// The limits of the phases of a connection that stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransferTimeouts {
    pub(crate) send: Option<Duration>,
    pub(crate) response: Option<Duration>,
    pub(crate) content: Option<Duration>,
}

/// When patience ends, and by which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: Instant,
    pub(crate) limit: TimeLimit,
}

impl Timeouts {
    /// All phases get the same limit.
    pub(crate) fn set_all(&mut self, limit: Option<Duration>) {
        (self.resolve, self.connect, self.handshake) = (limit, limit, limit);
        self.transfer = TransferTimeouts::all(limit);
    }

    /// The limit of a phase of connecting.
    pub(crate) fn of(&self, phase: WaitingFor) -> Option<Duration> {
        match phase {
            WaitingFor::Name => self.resolve,
            WaitingFor::Connection => self.connect,
            WaitingFor::Tunnel | WaitingFor::Handshake => self.handshake,
            other => self.transfer.of(other),
        }
    }

    /// Whether anything about connecting is limited, so that it must not block.
    pub(crate) fn limit_names(&self) -> bool {
        self.resolve.is_some() || self.establish.is_some() || self.whole.is_some()
    }
}

impl TransferTimeouts {
    /// No limits.
    pub(crate) const NONE: TransferTimeouts = TransferTimeouts { send: None, response: None, content: None };

    /// The same limit for each.
    pub(crate) fn all(limit: Option<Duration>) -> Self {
        TransferTimeouts { send: limit, response: limit, content: limit }
    }

    #[inline]
    pub(crate) fn of(&self, phase: WaitingFor) -> Option<Duration> {
        match phase {
            WaitingFor::Sending => self.send,
            WaitingFor::Content => self.content,
            _ => self.response,
        }
    }
}

impl Expiry {
    /// `limit` from `now` on. A time beyond what the clock can express is as good as none.
    pub(crate) fn after(now: Instant, duration: Option<Duration>, limit: impl FnOnce(Duration) -> TimeLimit) -> Option<Self> {
        let duration = duration?;
        Some(Expiry { at: now.checked_add(duration)?, limit: limit(duration) })
    }

    /// The one that comes first.
    pub(crate) fn earliest(expiries: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        expiries.into_iter().flatten().min_by_key(|expiry| expiry.at)
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeLimit::Phase(limit) => write!(f, "no progress for {limit:?}"),
            TimeLimit::Connecting(limit) => write!(f, "no connection after {limit:?}"),
            TimeLimit::Deadline => f.write_str("the deadline has passed"),
        }
    }
}
