//! A job: one request of a caller, from its submission to its outcome.
//!
//! The plan knows sizes and flags, never the request. A job is in one [`Place`] at a time, and each move is in one of three files:
//! `placing.rs` sends it, `answering.rs` ends it with a reply, `losing.rs` ends it without one or puts it back.

use std::time::Duration;

use super::clock::{Nanos, nanos};
use super::config::{ALONE_ABOVE, READ_AHEAD};
use super::ids::ConnectionId;
use super::outcome::{Answered, End, Outcome, Sent};

/// The plan's view of a request.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Its method is idempotent (RFC 9110 §9.2.2).
    pub idempotent: bool,
    /// Whether the caller overrules the method: `Some(true)` for a request with an `Idempotency-Key`, `Some(false)` for "never again".
    pub repeat: Option<bool>,
    /// Its content cannot be read twice.
    pub read_once: bool,
    /// Bytes of its content; `u64::MAX` if unknown.
    pub upload: u64,
    /// Whether its reply is likely to be large. Large and small ones share no connection if they have a choice.
    pub large: bool,
    /// The caller reads the reply in pieces. Otherwise it is collected up to `max_content`.
    pub streamed: bool,
    /// Its owner does something before each attempt: it signs the request, or opens its content. See [`Action::Ask`](super::Action::Ask).
    pub asks: bool,
    /// It carries `Expect: 100-continue` if it may. See [`Plan::may_expect`](super::Plan::may_expect).
    pub expects: bool,
    /// Overrules the session's `timeout`.
    pub timeout: Option<Duration>,
    /// Overrules the session's `total_timeout`.
    pub total_timeout: Option<Duration>,
}

impl Job {
    /// A request without content, to be collected.
    #[must_use]
    pub fn new(idempotent: bool) -> Self {
        Job {
            idempotent,
            repeat: None,
            read_once: false,
            upload: 0,
            large: false,
            streamed: false,
            asks: false,
            expects: false,
            timeout: None,
            total_timeout: None,
        }
    }

    /// Whether it waits for an empty connection, and none follows it there.
    pub(crate) fn travels_alone(&self) -> bool {
        self.upload > ALONE_ABOVE
    }

    /// Whether it is like most jobs: any number of them may follow each other.
    pub(crate) fn is_plain(&self) -> bool {
        self.idempotent && self.upload == 0 && !self.large
    }

    /// Whether it may be sent again after some bytes of it left (RFC 9110 §9.2.2).
    pub(crate) fn may_arrive_twice(&self) -> bool {
        self.repeat.unwrap_or(self.idempotent)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its owner does something before it is queued: at the head of the queue if it was there already, else at the end.
    Asking { at_head: bool },
    /// In the queue.
    Queued,
    /// Waits for the moment of its repeat, and holds no connection.
    Resting,
    /// In flight.
    On(ConnectionId),
    /// Has its outcome.
    Over,
}

/// A job with all that happened to it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) job: Job,
    pub(crate) place: Place,
    /// The most in any attempt.
    pub(crate) sent: Sent,
    pub(crate) answered: Answered,
    pub(crate) attempts: u32,
    /// Of `retries`, those that are used up.
    pub(crate) repeats: u32,
    /// The caller was given the head of its response.
    pub(crate) delivered: bool,
    /// Bytes of content in the last attempt.
    pub(crate) content: u64,
    /// Bytes of content that count against the window.
    pub(crate) held: u64,
    /// It was sent again because its response waited behind a stream that no caller read. That happens once.
    pub(crate) moved: bool,
    /// How often it was sent again free of charge, although it was the oldest one of its connection.
    pub(crate) spared: usize,
    /// The server answered 417 (Expectation Failed).
    pub(crate) expectation_failed: bool,
    /// Its owner was asked for content.
    pub(crate) is_read: bool,
    /// Its caller waits for it.
    pub(crate) awaited: bool,
    pub(crate) total_timeout: Nanos,
    pub(crate) deadline: Nanos,
}

impl Tracked {
    pub(crate) fn new(job: Job, now: Nanos, total_timeout: Nanos) -> Self {
        let total_timeout = job.total_timeout.map_or(total_timeout, nanos);
        Tracked {
            job,
            place: Place::Queued,
            sent: Sent::No,
            answered: Answered::No,
            attempts: 0,
            repeats: 0,
            delivered: false,
            content: 0,
            held: 0,
            moved: false,
            spared: 0,
            expectation_failed: false,
            is_read: false,
            awaited: false,
            total_timeout,
            deadline: now.saturating_add(total_timeout),
        }
    }

    /// Whether its caller needs bytes that have not arrived: for a stream, there are few that it could take.
    pub(crate) fn needs_bytes(&self) -> bool {
        self.awaited && (!self.job.streamed || self.held < READ_AHEAD)
    }

    pub(crate) fn outcome(&self, end: End) -> Outcome {
        Outcome {
            end,
            sent: self.sent,
            answered: if end == End::Reply { Answered::Yes } else { self.answered },
            safe_to_retry: end != End::Reply && (self.sent == Sent::No || self.job.may_arrive_twice()),
            attempts: self.attempts,
        }
    }
}
