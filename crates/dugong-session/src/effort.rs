//! What an answer took.

use crate::plan::Sent;

/// What a session did for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effort {
    /// The most of the request that left in any attempt.
    pub(crate) sent: Sent,
    /// Connections on which a byte of it may have left.
    pub(crate) attempts: u32,
}
