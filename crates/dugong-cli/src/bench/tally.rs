//! Counts answers, errors, bytes and latencies.

use std::collections::BTreeMap;
use std::fmt;

use dugong_http::{Error, Status};
use hdrhistogram::Histogram;

/// The measured part of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Complete answers, of any status.
    pub(crate) requests: u64,
    pub(crate) errors: BTreeMap<Kind, u64>,
    /// Bytes received, heads included.
    pub(crate) bytes: u64,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No connection could be made.
    Connect,
    /// The connection ended before the answer.
    Closed,
    /// No byte came for too long.
    Timeout,
    /// The server sent something that is not HTTP/1.1.
    Invalid,
    Tls,
    Other,
    /// Answered with a status of 400 or above.
    Status(u16),
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(SHORTEST, LONGEST, 3).expect("the bounds are far enough apart");
        Tally { requests: 0, errors: BTreeMap::new(), bytes: 0, latencies }
    }

    /// Counts a complete answer.
    #[inline]
    pub(crate) fn answered(&mut self, status: Status, latency: u64) {
        self.requests += 1;
        self.latencies.saturating_record(latency);
        if status.is_error() {
            self.failed(Kind::Status(status.as_u16()), 1);
        }
    }

    pub(crate) fn failed(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    /// How many errors there were.
    pub(crate) fn failures(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// The bounds of a latency. Longer ones count as the longest.
const SHORTEST: u64 = 100;
const LONGEST: u64 = 3600 * 1_000_000_000;

impl Kind {
    /// The kind of an error of connecting.
    pub(crate) fn of_connecting(error: &Error) -> Kind {
        if matches!(error, Error::Tls { .. }) { Kind::Tls } else { Kind::Connect }
    }

    /// The kind of an error of a connection that stood.
    pub(crate) fn of(error: &Error) -> Kind {
        match error {
            Error::Closed { .. } => Kind::Closed,
            Error::Remote { .. } | Error::Unsupported { .. } => Kind::Invalid,
            Error::TimedOut { .. } => Kind::Timeout,
            Error::Tls { .. } => Kind::Tls,
            _ => Kind::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Connect => "connect",
            Kind::Closed => "closed",
            Kind::Timeout => "timeout",
            Kind::Invalid => "invalid",
            Kind::Tls => "tls",
            Kind::Other => "other",
            Kind::Status(status) => return write!(f, "status-{status}"),
        })
    }
}
