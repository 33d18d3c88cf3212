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
    pub(crate) send: Option<Duration>,
    pub(crate) response: Option<Duration>,
    pub(crate) content: Option<Duration>,
    /// The whole connection.
    pub(crate) whole: Option<Duration>,
}

/// When patience ends, and by which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: Instant,
    pub(crate) limit: TimeLimit,
}

impl Timeouts {
    /// No limits.
    #[cfg(feature = "async")]
    pub(crate) const NONE: Timeouts = Timeouts {
        resolve: None,
        connect: None,
        handshake: None,
        establish: None,
        send: None,
        response: None,
        content: None,
        whole: None,
    };

    /// All phases get the same limit.
    pub(crate) fn set_all(&mut self, limit: Option<Duration>) {
        let Timeouts { establish, whole, .. } = *self;
        *self = Timeouts { resolve: limit, connect: limit, handshake: limit, establish, whole, ..Timeouts::default() };
        self.set_transfer(limit);
    }

    /// The phases of a connection that stands get the same limit.
    pub(crate) fn set_transfer(&mut self, limit: Option<Duration>) {
        (self.send, self.response, self.content) = (limit, limit, limit);
    }

    pub(crate) fn of(&self, phase: WaitingFor) -> Option<Duration> {
        match phase {
            WaitingFor::Name => self.resolve,
            WaitingFor::Connection => self.connect,
            WaitingFor::Tunnel | WaitingFor::Handshake => self.handshake,
            WaitingFor::Sending => self.send,
            WaitingFor::Response | WaitingFor::Request => self.response,
            WaitingFor::Content => self.content,
        }
    }

    /// Whether anything about connecting is limited, so that it must not block.
    pub(crate) fn limit_names(&self) -> bool {
        self.resolve.is_some() || self.establish.is_some() || self.whole.is_some()
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
