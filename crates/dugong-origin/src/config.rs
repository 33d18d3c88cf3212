//! What a caller sets, and what a caller may read back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How an [`Origin`](crate::Origin) behaves on every connection; the URL of a request decides about its own answer.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default: `127.0.0.1`, on a port that the system chooses.
    pub listen: SocketAddr,
    /// How long after a request's arrival its answer is due, unless its query has `delay=MS`. Default: zero.
    pub delay: Duration,
    /// Read nothing while any answer is queued or unsent, not even within `high_water`. Default: off.
    pub lockstep: bool,
    /// Unsent bytes at which reading stops; it goes on when all of them are sent. At least 4 KiB. Default: 256 KiB.
    pub high_water: usize,
    /// Answers that may wait for their time; reading stops at this number. At least one. Default: 10,000.
    pub read_ahead: usize,
    /// Close each connection after this many final responses. Default: never.
    pub close_after: Option<usize>,
    /// With `close_after`: the last response does not say `Connection: close`. Default: off.
    pub close_silently: bool,
    /// With `close_after`: the connection is reset (RST) after the last response, as systems do where a server closes with requests
    /// unread. Default: off.
    pub close_with_reset: bool,
    /// What happens when a request comes before the one ahead of it is answered. Requests with content are not counted. Default:
    /// they are answered.
    pub when_pipelined: WhenPipelined,
    /// How long a closed connection goes on discarding what the client sends, so that the system does not reset it and take
    /// the answers with it. Default: 3 s.
    pub linger: Duration,
    /// Bytes for the system's send and receive buffers of each connection, to make a peer block sooner. Default: the system's
    /// choice. Linux doubles the number. Less than a segment (64 KiB on the loopback interface) is slow: TCP waits for its
    /// timers before it fills so small a window.
    pub kernel_buffers: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
            lockstep: false,
            high_water: 256 * 1024,
            read_ahead: 10_000,
            close_after: None,
            close_silently: false,
            close_with_reset: false,
            when_pipelined: WhenPipelined::Answer,
            linger: Duration::from_secs(3),
            kernel_buffers: None,
        }
    }
}

/// What becomes of requests that come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenPipelined {
    /// They are answered in order.
    #[default]
    Answer,
    /// The connection is closed, and none that is unanswered gets an answer: `Bun.serve`, `php -S`.
    Close,
    /// The first is answered, then nothing more is read or sent until the client closes: cpp-httplib.
    Stall,
    /// Nothing more is read or sent until the client closes: proxy.py.
    Silence,
}

/// What an [`Origin`](crate::Origin) has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are still open.
    pub open: u64,
    /// Complete and well-formed request heads.
    pub requests: u64,
    /// Bytes of request content, without chunk framing.
    pub content_bytes: u64,
}

/// The counters behind [`Counts`]; connections add to them once per batch, not once per request.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) content_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            connections: self.connections.load(Ordering::SeqCst),
            open: self.open.load(Ordering::SeqCst),
            requests: self.requests.load(Ordering::SeqCst),
            content_bytes: self.content_bytes.load(Ordering::SeqCst),
        }
    }
}
