//! The configuration of an origin, and its counts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::content::mix;

/// The behaviour of an [`Origin`](crate::Origin) on every connection. The URL of each request chooses its answer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on. Default: `127.0.0.1` with a port that the system chooses.
    pub listen: SocketAddr,
    /// The time between a request and its answer, unless the query has `delay=MS`. Default: zero.
    pub delay: Duration,
    /// Some answers take longer, unless the query has `delay=MS`. Default: none.
    pub slow: Option<Slow>,
    /// Read nothing while any answer is queued or unsent, not even within `high_water`. Default: off.
    pub lockstep: bool,
    /// The number of unsent bytes at which reading stops until all are sent. At least 4 KiB. Default: 256 KiB.
    pub high_water: usize,
    /// The number of answers waiting for their time at which reading stops. At least one. Default: 10,000.
    pub read_ahead: usize,
    /// Close each connection after this many final responses. Default: never.
    pub close_after: Option<usize>,
    /// With `close_after`: the last response does not say `Connection: close`. Default: off.
    pub close_silently: bool,
    /// With `close_after`: reset the connection (RST) after the last response, as systems do when a server closes with requests
    /// unread. Default: off.
    pub close_with_reset: bool,
    /// The reaction to a request that comes before the previous one is answered. Requests with content do not count. Default:
    /// answer it.
    pub when_pipelined: WhenPipelined,
    /// How long to discard data from the client after closing. Otherwise the system would reset the connection, and answers could
    /// be lost. Default: 3 s.
    pub linger: Duration,
    /// The size of the system's send and receive buffers of each connection in bytes; small buffers make a peer block sooner. Linux
    /// doubles the number. Less than a segment (64 KiB on the loopback interface) is slow: TCP waits for its timers before it fills
    /// such a small window. Default: the system's choice.
    pub kernel_buffers: Option<usize>,
    /// A directory whose files are read at the start, and are documents below `/files/`. Default: none.
    pub files: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
            slow: None,
            lockstep: false,
            high_water: 256 * 1024,
            read_ahead: 10_000,
            close_after: None,
            close_silently: false,
            close_with_reset: false,
            when_pipelined: WhenPipelined::Answer,
            linger: Duration::from_secs(3),
            kernel_buffers: None,
            files: None,
        }
    }
}

/// Answers that take longer than the others, chosen by a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// One of so many answers is slow, on average. At least one.
    pub one_in: u64,
    /// The time between such a request and its answer.
    pub delay: Duration,
    /// Chooses the slow ones: by the number of the connection, and of the answer on it.
    pub seed: u64,
}

impl Config {
    /// The delay of an answer, by its number on its connection.
    pub(crate) fn delay_of(&self, connection: usize, answer: usize) -> Duration {
        match self.slow {
            Some(Slow { one_in, delay, seed })
                if mix(mix(mix(seed).wrapping_add(connection as u64)).wrapping_add(answer as u64))
                    .is_multiple_of(one_in.max(1)) =>
            {
                delay
            }
            Some(_) | None => self.delay,
        }
    }
}

/// The reaction to requests that come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenPipelined {
    /// Answer them in order.
    #[default]
    Answer,
    /// Close the connection without answering the unanswered ones, as `Bun.serve` and `php -S` do.
    Close,
    /// Answer the first, then neither read nor send until the client closes, as cpp-httplib does.
    Stall,
    /// Neither read nor send until the client closes, as proxy.py does.
    Silence,
}

/// The counts of an [`Origin`](crate::Origin).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections still open.
    pub open: u64,
    /// Complete and well-formed request heads.
    pub requests: u64,
    /// Bytes of request content, without chunk framing.
    pub content_bytes: u64,
    /// Bytes that came after the last answer of a connection, and that the server did not look at.
    pub discarded_bytes: u64,
}

/// The counters behind [`Counts`]; connections add to them once per batch, not once per request.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) content_bytes: AtomicU64,
    pub(crate) discarded_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            connections: self.connections.load(Ordering::SeqCst),
            open: self.open.load(Ordering::SeqCst),
            requests: self.requests.load(Ordering::SeqCst),
            content_bytes: self.content_bytes.load(Ordering::SeqCst),
            discarded_bytes: self.discarded_bytes.load(Ordering::SeqCst),
        }
    }
}
