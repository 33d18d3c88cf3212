//! What became of a request.

use crate::failed::Failed;
use crate::plan::{Answered, Sent};
use crate::reply::Reply;
use crate::request::Request;

/// What became of one request of a [run](crate::Session::run).
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The position of the request in the iterator, from 0.
    pub index: usize,
    /// The request.
    pub request: Request,
    /// Its reply, or why there is none.
    pub result: Result<Reply, Failed>,
}

impl Outcome {
    pub(crate) fn new(index: usize, request: Request, result: Result<Reply, Failed>) -> Self {
        Outcome { index, request, result }
    }

    /// The reply, if there is one.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.result.as_ref().ok()
    }

    /// The error, if there is no reply.
    #[must_use]
    pub fn error(&self) -> Option<&Failed> {
        self.result.as_ref().err()
    }

    /// How much of the request left: the most in any attempt. With a reply, [`Sent::Partly`] if the server answered before all content
    /// had left.
    #[must_use]
    pub fn sent(&self) -> Sent {
        match &self.result {
            Ok(reply) => reply.sent(),
            Err(failed) => failed.sent,
        }
    }

    /// How much of a response came, in the last attempt.
    #[must_use]
    pub fn answered(&self) -> Answered {
        self.error().map_or(Answered::Yes, |failed| failed.answered)
    }

    /// Whether sending the request again can do no harm. False with a reply: there is nothing to send again.
    #[must_use]
    pub fn safe_to_retry(&self) -> bool {
        self.error().is_some_and(|failed| failed.safe_to_retry)
    }

    /// Connections on which a byte of the request may have left.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match &self.result {
            Ok(reply) => reply.attempts(),
            Err(failed) => failed.attempts,
        }
    }
}
