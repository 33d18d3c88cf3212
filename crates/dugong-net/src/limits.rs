//! Time limits of a connection, and which of them has passed.

use std::fmt;
use std::time::{Duration, Instant};

use crate::need::WaitingFor;

/// The time limit that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeLimit {
    /// The limit of one phase.
    Phase(Duration),
    /// The limit of connecting as a whole.
    Connecting(Duration),
    /// The deadline of the whole connection.
    Deadline,
}

/// The limits of all phases. `None` means no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeouts {
    /// Looking up a name.
    pub resolve: Option<Duration>,
    /// TCP, all addresses together.
    pub connect: Option<Duration>,
    /// Tunnel and TLS together.
    pub handshake: Option<Duration>,
    /// All of connecting.
    pub establish: Option<Duration>,
    /// The limits of a connection that stands.
    pub transfer: TransferTimeouts,
    /// The whole connection.
    pub whole: Option<Duration>,
}

/// The limits of the phases of a connection that stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferTimeouts {
    /// One wait for the server to take more.
    pub send: Option<Duration>,
    /// The wait for the first byte of a response.
    pub response: Option<Duration>,
    /// One wait for more of a response.
    pub content: Option<Duration>,
}

/// The end of a wait, and the limit that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// When the wait ends.
    pub at: Instant,
    /// The limit that ends it.
    pub limit: TimeLimit,
}

impl Timeouts {
    /// Sets the same limit for each phase.
    pub fn set_all(&mut self, limit: Option<Duration>) {
        (self.resolve, self.connect, self.handshake) = (limit, limit, limit);
        self.transfer = TransferTimeouts::all(limit);
    }

    /// The limit of a phase.
    #[must_use]
    pub fn of(&self, phase: WaitingFor) -> Option<Duration> {
        match phase {
            WaitingFor::Name => self.resolve,
            WaitingFor::Connection => self.connect,
            WaitingFor::Tunnel | WaitingFor::Handshake => self.handshake,
            other => self.transfer.of(other),
        }
    }

    /// Whether a name lookup is limited, so that it must not block.
    #[must_use]
    pub fn limit_names(&self) -> bool {
        self.resolve.is_some() || self.establish.is_some() || self.whole.is_some()
    }
}

impl TransferTimeouts {
    /// No limits.
    pub const NONE: TransferTimeouts = TransferTimeouts { send: None, response: None, content: None };

    /// The same limit for each.
    #[must_use]
    pub fn all(limit: Option<Duration>) -> Self {
        TransferTimeouts { send: limit, response: limit, content: limit }
    }

    /// The limit of a phase.
    #[must_use]
    #[inline]
    pub fn of(&self, phase: WaitingFor) -> Option<Duration> {
        match phase {
            WaitingFor::Sending => self.send,
            WaitingFor::Content => self.content,
            _ => self.response,
        }
    }
}

impl Expiry {
    /// Ends a wait `duration` after `now`. Returns `None` if the clock cannot express that time.
    pub fn after(now: Instant, duration: Option<Duration>, limit: impl FnOnce(Duration) -> TimeLimit) -> Option<Self> {
        let duration = duration?;
        Some(Expiry { at: now.checked_add(duration)?, limit: limit(duration) })
    }

    /// Returns the end that comes first.
    pub fn earliest(expiries: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
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
