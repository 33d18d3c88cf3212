//! How a job ended, in four words.
//!
//! A caller whose request failed asks: did the server get it, and may I send it again? `sent` and `answered` are facts, as far as this
//! end can know them: bytes that the transport took may not have arrived, but bytes that it did not take have not. `safe_to_retry` is
//! the conclusion by RFC 9110 §9.2.2.

use std::fmt;
use std::time::Duration;

/// How a job ended. Each job has exactly one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// How much of the request left: the most in any attempt.
    pub sent: Sent,
    /// How much of a response came, in the last attempt. Half a head is none.
    pub answered: Answered,
    /// Whether sending the request again can do no harm: no byte of it left, its method is idempotent, or the caller allowed it.
    pub safe_to_retry: bool,
    /// Connections on which a byte of it may have left. 0 exactly if `sent` is [`Sent::No`].
    pub attempts: u32,
}

/// Whether a job got its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The response is complete.
    Reply,
    /// No complete response came, for this reason.
    Failed(Failure),
}

/// Why a job got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its connection ended, and the job must not or cannot be repeated.
    Lost {
        /// How the connection ended.
        why: Loss,
        /// Why the job was not repeated.
        no_repeat: NoRepeat,
    },
    /// No connection could be opened.
    Unreachable,
    /// Its `total_timeout` is over.
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// Its caller gave it up.
    Cancelled,
    /// The content of its reply is longer than `max_content`.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
}

/// How a connection ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it.
    Closed,
    /// It was reset, or the network failed.
    Reset,
    /// The server sent bytes that are not HTTP/1.1.
    Garbage,
    /// No byte moved for the `timeout`.
    Stalled,
    /// The plan gave the connection up because of another job.
    GivenUp,
}

/// Why a job was not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRepeat {
    /// The method is not idempotent, some bytes were sent, and the caller did not allow it (RFC 9110 §9.2.2).
    Unsafe,
    /// The content cannot be read twice.
    ReadOnce,
    /// The caller was given the head or content of the response.
    Given {
        /// Bytes of content that the caller was given.
        content: u64,
    },
    /// All `retries` are used up.
    Retries,
    /// The session's budget for repeats is used up.
    Budget,
}

/// How much of a request left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// Not a byte.
    No,
    /// Some bytes.
    Partly,
    /// All of it, content included.
    Yes,
}

/// How much of a response arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answered {
    /// Less than a head.
    No,
    /// The head, and no content.
    Head,
    /// The head and some content.
    Partly,
    /// All of it.
    Yes,
}

/// The word for JSON and messages.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sent::No => "no",
            Sent::Partly => "partly",
            Sent::Yes => "yes",
        })
    }
}

/// The word for JSON and messages.
impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answered::No => "no",
            Answered::Head => "head",
            Answered::Partly => "partly",
            Answered::Yes => "yes",
        })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loss::Closed => "the server closed the connection",
            Loss::Reset => "the connection was reset",
            Loss::Garbage => "the server sent bytes that are not HTTP/1.1",
            Loss::Stalled => "no byte moved within the timeout",
            Loss::GivenUp => "the connection was given up because of another request",
        })
    }
}

impl fmt::Display for NoRepeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoRepeat::Unsafe => f.write_str("the server may have acted on the request, which must not arrive twice"),
            NoRepeat::ReadOnce => f.write_str("the content cannot be read twice"),
            NoRepeat::Given { content } => write!(f, "you were given {content} bytes of the reply"),
            NoRepeat::Retries => f.write_str("all retries are used up"),
            NoRepeat::Budget => f.write_str("the session's retry budget is used up"),
        }
    }
}
