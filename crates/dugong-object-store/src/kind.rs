//! What a failure means for a host that repeats requests by itself.

use std::error::Error;
use std::io;

use dugong_session::{Cause, Failed, Loss, Sent};

/// The kinds of `object_store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No connection could be opened. `object_store` repeats every method.
    Connect,
    /// Not a byte was sent. `object_store` repeats every method.
    Request,
    Timeout,
    /// The connection was lost.
    Interrupted,
    /// The answer is unreadable or too large.
    Decode,
    Unknown,
}

impl Kind {
    pub(crate) fn of(failed: &Failed) -> Self {
        match &failed.cause {
            Cause::TimedOut { .. } | Cause::Lost { why: Loss::Stalled, .. } => Kind::Timeout,
            Cause::Lost { why: Loss::Garbage, .. } | Cause::TooLarge { .. } | Cause::Digest(_) => Kind::Decode,
            Cause::Unreachable(_) if failed.sent == Sent::No => Kind::Connect,
            Cause::Lost { .. } if failed.sent == Sent::No => Kind::Request,
            Cause::Lost { .. } | Cause::Unreachable(_) => Kind::Interrupted,
            _ => Kind::Unknown,
        }
    }

    /// The kind of an error while content was read.
    pub(crate) fn of_content(error: &io::Error) -> Self {
        let failed = error.get_ref().and_then(|inner| inner.downcast_ref::<Failed>());
        failed.map_or(Kind::Unknown, |failed| match Kind::of(failed) {
            // An answer has begun, so the request was sent.
            Kind::Connect | Kind::Request => Kind::Interrupted,
            kind => kind,
        })
    }
}

/// An error of the connector's own.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
