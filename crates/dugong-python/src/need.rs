//! The needs of steps: a descriptor that has to be ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_http::driver::{Interest, Socket};

use crate::attempt::Arrival;
use crate::race::Attempts;
use crate::wire::Transport;

/// A task needs this before it can go on.
pub(crate) struct Need {
    pub(crate) on: Waitable,
    pub(crate) interest: Interest,
    /// Whether bytes were transferred before it had to wait.
    pub(crate) moved: bool,
    /// Whether the need may change before the descriptor is ready.
    pub(crate) may_change: bool,
}

impl Need {
    /// The mask for `select.poll`.
    pub(crate) fn mask(&self) -> u8 {
        const POLLIN: u8 = 1;
        const POLLOUT: u8 = 4;
        u8::from(self.interest.reads()) * POLLIN + u8::from(self.interest.writes()) * POLLOUT
    }

    /// How long to wait at most before the next step, with `left` to its limit.
    pub(crate) fn at_most(&self, left: Option<Duration>) -> Option<Duration> {
        const LOOK_AGAIN: Duration = Duration::from_millis(500);
        let again = match &self.on {
            Waitable::Attempts(attempts) => attempts.until.map(|until| until.saturating_duration_since(Instant::now())),
            _ => self.may_change.then_some(LOOK_AGAIN),
        };
        left.into_iter().chain(again).min()
    }
}

/// A descriptor that stays open while an operation waits for it.
pub(crate) enum Waitable {
    Socket(Arc<Socket>),
    /// Attempts to connect to the addresses of a host.
    Attempts(Attempts),
    Transport(Arc<Transport>),
    /// A socket, and the number of Python's descriptor of the same socket.
    Wrapped(Arc<OwnedFd>, RawFd),
    /// A connection that is being made for a request.
    Arrival(Arc<Arrival>),
    /// A blocking call in a thread, such as a name lookup.
    Name(Arc<UnixStream>),
}

impl Waitable {
    /// Its number, as Python knows it.
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Waitable::Socket(socket) => socket.as_fd().as_raw_fd(),
            Waitable::Attempts(attempts) => attempts.as_fd().as_raw_fd(),
            Waitable::Transport(transport) => transport.number(),
            Waitable::Wrapped(_, number) => *number,
            Waitable::Arrival(arrival) => arrival.as_fd().as_raw_fd(),
            Waitable::Name(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsFd for Waitable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Waitable::Socket(socket) => socket.as_fd(),
            Waitable::Attempts(attempts) => attempts.as_fd(),
            Waitable::Wrapped(descriptor, _) => descriptor.as_fd(),
            Waitable::Transport(transport) => transport.as_fd(),
            Waitable::Arrival(arrival) => arrival.as_fd(),
            Waitable::Name(stream) => stream.as_fd(),
        }
    }
}
