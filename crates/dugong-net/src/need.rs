//! The outcome of a step, and its need if it cannot go on.

use std::ops::BitOr;
use std::time::Instant;

/// The outcome of one step of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T, N = Interest> {
    /// The operation is done.
    Done(T),
    /// The operation cannot go on before this happens.
    Needs(N),
}

/// The outcome of a step that also says how long to wait, and the purpose of the wait.
pub type Step<T> = Progress<T, Need>;

impl<T, N> Progress<T, N> {
    /// Applies a function to the result of a step that is done.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Progress<U, N> {
        match self {
            Progress::Done(value) => Progress::Done(make(value)),
            Progress::Needs(need) => Progress::Needs(need),
        }
    }
}

/// The need of a step: the I/O, the end of the wait, and its purpose.
///
/// Wait until the stream is ready for `interest`, or until `until`, whichever comes first; then call the step again. A step that is
/// called at or after `until` does not ask for the same wait again: it goes on without, or fails because its time is over.
///
/// ```
/// use std::time::{Duration, Instant};
/// use dugong_net::{Interest, Need, WaitingFor};
///
/// let need = Need::new(Interest::READ, WaitingFor::Response);
/// assert_eq!((need.interest, need.until, need.phase), (Interest::READ, None, WaitingFor::Response));
/// let soon = Instant::now() + Duration::from_secs(1);
/// assert_eq!(need.until(soon).until(soon + Duration::from_secs(1)).until, Some(soon)); // the earliest counts
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Need {
    /// The readiness that the stream needs.
    pub interest: Interest,
    /// When to call the step again even if the stream is not ready; `None` means no limit.
    pub until: Option<Instant>,
    /// The purpose of the wait. A timeout error names it.
    pub phase: WaitingFor,
}

impl Need {
    /// A wait without a limit.
    #[must_use]
    #[inline]
    pub const fn new(interest: Interest, phase: WaitingFor) -> Self {
        Need { interest, until: None, phase }
    }

    /// Ends the wait at `time` at the latest. An earlier end stays, and `None` changes nothing.
    #[must_use]
    #[inline]
    pub fn until(mut self, time: impl Into<Option<Instant>>) -> Self {
        if let Some(time) = time.into() {
            self.until = Some(self.until.map_or(time, |before| before.min(time)));
        }
        self
    }
}

/// The purpose of a wait.
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
    /// The server to take more of the bytes that are sent.
    Sending,
    /// The first byte of a response.
    Response,
    /// More of a response that has begun.
    Content,
    /// Another thread to send a request.
    Request,
}

/// The readiness of a stream: for reading, writing, or either of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Bytes to read, or the end of the stream.
    pub const READ: Interest = Interest(1);
    /// Room to write.
    pub const WRITE: Interest = Interest(2);

    /// Whether this includes reading.
    #[must_use]
    #[inline]
    pub fn reads(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether this includes writing.
    #[must_use]
    #[inline]
    pub fn writes(self) -> bool {
        self.0 & 2 != 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    #[inline]
    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}
