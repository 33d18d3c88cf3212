//! The numbers of a session, with the reason for each default.

use std::time::Duration;

use super::clock::{Nanos, nanos};

/// Limits and times of a session.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections that are open at once. 4: enough that one slow answer holds up a quarter; browsers open 6.
    pub connections: usize,
    /// Requests in flight on one connection. 32: at 1 ms of service time, this hides a round trip of 30 ms.
    pub depth: u32,
    /// Bytes of content that have arrived and that no caller has taken. 4 MiB: a connection of 1 Gbit/s for 30 ms.
    pub window: u64,
    /// Bytes of content of one collected reply. 64 MiB: an error is better than swap space.
    pub max_content: u64,
    /// The server is known to answer pipelined requests. Otherwise the plan sends a pair first, to see. False: few origins are known.
    pub is_proven: bool,
    /// Repeats of one job. 4: with the backoff below, a server that restarts has up to 1.5 s.
    pub retries: u32,
    /// Repeats that the session can afford at once; ten answers earn one more. `None`: no limit.
    pub retry_budget: Option<u32>,
    /// Bound of the first wait before a repeat, and of all waits. The bound doubles with each repeat.
    pub backoff: (Duration, Duration),
    /// Statuses that are repeated even without `Retry-After`.
    pub repeat_statuses: Vec<u16>,
    /// How long a connection with requests in flight may move no byte.
    pub timeout: Duration,
    /// From the submission of a job to its outcome. `None`: no limit.
    pub total_timeout: Option<Duration>,
    /// How long a connection may be idle. 60 s: nginx closes after 75 s, many load balancers after 60 s.
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            connections: 4,
            depth: 32,
            window: 4 << 20,
            max_content: 64 << 20,
            is_proven: false,
            retries: 4,
            retry_budget: Some(10),
            backoff: (Duration::from_millis(100), Duration::from_secs(10)),
            repeat_statuses: Vec::new(),
            timeout: Duration::from_secs(30),
            total_timeout: None,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Uploads above this size travel alone: if the connection ends, no other job is lost with them, and none waits behind them.
pub(crate) const ALONE_ABOVE: u64 = 256 << 10;
/// A response that no caller wants is read if no more than this is left of it; a new connection costs about as much.
pub(crate) const SKIP_BYTES: u64 = 64 << 10;
/// How long such a response may hold up the others.
pub(crate) const SKIP_TIME: Nanos = nanos(Duration::from_millis(500));
/// A stream whose caller waits is read ahead this far although the window is full.
pub(crate) const READ_AHEAD: u64 = 128 << 10;
/// A `Retry-After` beyond this is the caller's decision.
pub(crate) const LONGEST_RETRY_AFTER: Nanos = nanos(Duration::from_secs(60));
/// An answer is slow after this many times the median time of an answer...
pub(crate) const SLOW_FACTOR: u64 = 4;
/// ...but not earlier than this.
pub(crate) const SLOW_AT_LEAST: Nanos = nanos(Duration::from_secs(1));
