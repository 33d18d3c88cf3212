//! How long calls may wait, blocking or not.

use std::time::Instant;

use dugong_net::{Expiry, TimeLimit, TransferTimeouts, WaitingFor};

use crate::error::Error;

/// The limits of waiting on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitLimits {
    pub(crate) timeouts: TransferTimeouts,
    pub(crate) deadline: Option<Instant>,
}

impl WaitLimits {
    /// No limits.
    #[cfg(feature = "async")]
    pub(crate) const NONE: WaitLimits = WaitLimits { timeouts: TransferTimeouts::NONE, deadline: None };

    /// Fails if the deadline has passed, even if the stream is ready: a server that always has bytes to send is no exception.
    #[inline]
    pub(crate) fn check(&self, waiting_for: WaitingFor) -> Result<(), Error> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                Err(Error::TimedOut { waiting_for, limit: TimeLimit::Deadline, to: None })
            }
            _ => Ok(()),
        }
    }

    /// Whether a wait for this has a limit. The usual case has none, and needs no clock.
    #[inline]
    pub(crate) fn is_limited(&self, waiting_for: WaitingFor) -> bool {
        self.deadline.is_some() || self.timeouts.of(waiting_for).is_some()
    }

    /// Whether no wait has a limit.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.deadline.is_none() && self.timeouts == TransferTimeouts::NONE
    }

    /// When a wait that began at `began` has lasted too long.
    pub(crate) fn expiry(&self, waiting_for: WaitingFor, began: Instant) -> Option<Expiry> {
        let limit = Expiry::after(began, self.timeouts.of(waiting_for), TimeLimit::Phase);
        let deadline = self.deadline.map(|at| Expiry { at, limit: TimeLimit::Deadline });
        Expiry::earliest([limit, deadline])
    }

    /// The deadline alone, without the limits of phases.
    pub(crate) fn deadline_only(&self) -> Self {
        WaitLimits { timeouts: TransferTimeouts::NONE, ..*self }
    }
}
