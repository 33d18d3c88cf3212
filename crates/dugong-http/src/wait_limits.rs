//! How long a caller waits, however it does so.

use std::time::Instant;

use dugong_net::{Expiry, TimeLimit, TransferTimeouts, WaitingFor};

use crate::error::Error;

/// How long a caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitLimits {
    pub(crate) timeouts: TransferTimeouts,
    pub(crate) deadline: Option<Instant>,
}

impl WaitLimits {
    /// For ever.
    #[cfg(feature = "async")]
    pub(crate) const NONE: WaitLimits = WaitLimits { timeouts: TransferTimeouts::NONE, deadline: None };

    /// An error if it has come to its end, ready or not: a server that always has something to send is no exception.
    #[inline]
    pub(crate) fn check(&self, waiting_for: WaitingFor) -> Result<(), Error> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                Err(Error::TimedOut { waiting_for, limit: TimeLimit::Deadline, to: None })
            }
            _ => Ok(()),
        }
    }

    /// Whether it has an end: the usual case has none, and needs no clock.
    #[inline]
    pub(crate) fn is_limited(&self, waiting_for: WaitingFor) -> bool {
        self.deadline.is_some() || self.timeouts.of(waiting_for).is_some()
    }

    /// Whether no wait for a connection that stands has an end.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.deadline.is_none() && self.timeouts == TransferTimeouts::NONE
    }

    /// When a wait that began at `began` has lasted too long.
    pub(crate) fn expiry(&self, waiting_for: WaitingFor, began: Instant) -> Option<Expiry> {
        let limit = Expiry::after(began, self.timeouts.of(waiting_for), TimeLimit::Phase);
        let deadline = self.deadline.map(|at| Expiry { at, limit: TimeLimit::Deadline });
        Expiry::earliest([limit, deadline])
    }

    /// The same, without the limits of phases.
    pub(crate) fn deadline_only(&self) -> Self {
        WaitLimits { timeouts: TransferTimeouts::NONE, ..*self }
    }
}
