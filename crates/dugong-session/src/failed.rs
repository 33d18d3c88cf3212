//! Why a request has no reply.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dugong_http::Misuse;

use crate::digest::DigestMismatch;
use crate::plan::{self, Answered, Loss, NoRepeat, Sent};

/// Why a request has no reply, and how much of it the server may have received.
///
/// It prints its causes, so that one line tells all. For that reason it has no [`source`](std::error::Error::source), which would tell
/// them again: match the [`cause`](Failed::cause), or ask for the [`connection_error`](Failed::connection_error).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failed {
    /// How much of the request left: the most in any attempt.
    pub sent: Sent,
    /// How much of a response came, in the last attempt. Half a head is none.
    pub answered: Answered,
    /// Whether sending the request again can do no harm: no byte of it left, its method is idempotent, or you allowed it.
    pub safe_to_retry: bool,
    /// Connections on which a byte of it may have left. 0 exactly if `sent` is [`Sent::No`].
    pub attempts: u32,
    /// The reason.
    pub cause: Cause,
}

/// Why a request has no reply.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The request is not valid. Nothing of it was sent.
    Invalid(Arc<dugong_http::Error>),
    /// Its connection ended, and the session did not repeat it.
    Lost {
        /// How the connection ended.
        why: Loss,
        /// Why the session did not repeat the request.
        no_repeat: NoRepeat,
        /// The connection's error.
        error: Option<Arc<dugong_http::Error>>,
    },
    /// No connection could be opened. This is the error of the last attempt.
    Unreachable(Option<Arc<dugong_http::Error>>),
    /// The `total_timeout` is over.
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// You gave it up, or closed the session.
    Cancelled,
    /// The content of the reply is longer than `max_content`.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The source of the request's content failed.
    Source(Arc<io::Error>),
    /// Your callback for credentials or signatures failed. Nothing of this attempt was sent.
    Callback(Arc<dyn std::error::Error + Send + Sync>),
    /// The content of the reply is complete, and has another digest than it must have.
    Digest(Arc<DigestMismatch>),
    /// The session cannot wait for its connections: the system refused.
    System(Arc<io::Error>),
}

impl Failed {
    /// A failure before anything was sent.
    pub(crate) fn unsent(cause: Cause) -> Self {
        Failed { sent: Sent::No, answered: Answered::No, safe_to_retry: true, attempts: 0, cause }
    }

    /// A failure of the session itself, after which nothing is known about the request.
    pub(crate) fn unsure(cause: Cause) -> Self {
        Failed { sent: Sent::Partly, answered: Answered::No, safe_to_retry: false, attempts: 1, cause }
    }

    /// A failure of a reply that has arrived, because of its content.
    pub(crate) fn wrong_content(mismatch: DigestMismatch, safe_to_retry: bool, attempts: u32) -> Self {
        let cause = Cause::Digest(Arc::new(mismatch));
        Failed { sent: Sent::Yes, answered: Answered::Partly, safe_to_retry, attempts, cause }
    }

    pub(crate) fn of(outcome: &plan::Outcome, failure: plan::Failure, error: Option<Arc<dugong_http::Error>>) -> Self {
        let cause = match failure {
            plan::Failure::Lost { why, no_repeat } => Cause::Lost { why, no_repeat, error },
            plan::Failure::Unreachable => Cause::Unreachable(error),
            plan::Failure::TimedOut { after } => Cause::TimedOut { after },
            plan::Failure::Cancelled => Cause::Cancelled,
            plan::Failure::TooLarge { limit } => Cause::TooLarge { limit },
        };
        Failed::with(outcome, cause)
    }

    pub(crate) fn with(outcome: &plan::Outcome, cause: Cause) -> Self {
        let plan::Outcome { sent, answered, safe_to_retry, attempts, .. } = *outcome;
        Failed { sent, answered, safe_to_retry, attempts, cause }
    }

    /// The connection's error, if a connection's end was the reason.
    #[must_use]
    pub fn connection_error(&self) -> Option<&dugong_http::Error> {
        match &self.cause {
            Cause::Invalid(error) => Some(error),
            Cause::Lost { error, .. } | Cause::Unreachable(error) => error.as_deref(),
            _ => None,
        }
    }

    /// Whether a limit of time was the reason.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.cause {
            Cause::TimedOut { .. } | Cause::Lost { why: Loss::Stalled, .. } => true,
            Cause::Unreachable(Some(error)) => error.is_timeout(),
            _ => false,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Invalid(error) => {
                write!(f, "the request is not valid: {error:#}")?;
                match &**error {
                    dugong_http::Error::Local(Misuse::OtherOrigin(_)) => {
                        f.write_str("; a Session has one origin, so use Sessions")
                    }
                    _ => Ok(()),
                }
            }
            Cause::Lost { why, no_repeat, error } => {
                write!(f, "{why}, and {no_repeat}")?;
                error.iter().try_for_each(|error| write!(f, ": {error:#}"))
            }
            Cause::Unreachable(error) => {
                f.write_str("no connection could be opened")?;
                error.iter().try_for_each(|error| write!(f, ": {error:#}"))
            }
            Cause::TimedOut { after } => write!(f, "the reply was not complete within the total_timeout of {after:?}"),
            Cause::Cancelled => f.write_str("the session was closed"),
            Cause::TooLarge { limit } => {
                write!(f, "the reply has more than {limit} bytes of content; stream it, or raise max_content")
            }
            Cause::Source(error) => write!(f, "reading the request content failed: {}", Chain(error.as_ref())),
            Cause::Callback(error) => write!(f, "the callback that signs the request failed: {}", Chain(error.as_ref())),
            Cause::Digest(mismatch) => write!(f, "the content does not match its digest: {mismatch}"),
            Cause::System(error) => write!(f, "the session cannot wait for its connections: {}", Chain(error.as_ref())),
        }?;
        write!(f, " (sent: {}, answered: {}, attempts: {})", self.sent, self.answered, self.attempts)
    }
}

impl std::error::Error for Failed {}

/// An error with its causes, in one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut causes = std::iter::successors(self.0.source(), |cause| cause.source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> Self {
        let kind = match &failed.cause {
            Cause::Invalid(_) => io::ErrorKind::InvalidInput,
            Cause::Lost { why: Loss::Closed, .. } => io::ErrorKind::UnexpectedEof,
            Cause::Lost { why: Loss::Reset, .. } => io::ErrorKind::ConnectionReset,
            Cause::Lost { why: Loss::Garbage, .. } | Cause::TooLarge { .. } | Cause::Digest(_) => io::ErrorKind::InvalidData,
            Cause::Lost { why: Loss::Stalled, .. } | Cause::TimedOut { .. } => io::ErrorKind::TimedOut,
            Cause::Lost { why: Loss::GivenUp, .. } => io::ErrorKind::ConnectionAborted,
            Cause::Unreachable(_) => io::ErrorKind::NotConnected,
            Cause::Cancelled => io::ErrorKind::ConnectionAborted,
            Cause::Source(error) | Cause::System(error) => error.kind(),
            Cause::Callback(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, failed)
    }
}
