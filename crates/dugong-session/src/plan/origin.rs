//! The plan's knowledge of its server.
//!
//! No field of HTTP says whether a server can pipeline. The plan finds out: it begins with one request, then two together, believes answers,
//! and takes a loss as a hint. One loss proves nothing, since networks fail. If a connection is lost again with requests in flight, before
//! any answer to a pipelined request, the server cannot pipeline, and the depth becomes 1. After many answers the depth doubles; each such
//! try that fails makes the next one come later, so a server that never learns costs fewer and fewer repeats.

use super::clock::{NEVER, Nanos};
use super::config::{SLOW_AT_LEAST, SLOW_FACTOR};
use super::outcome::Loss;

#[derive(Debug)]
pub(crate) struct Origin {
    /// A connection survived a response (RFC 9112 §9.3.2: do not pipeline before you know that).
    persistent: bool,
    /// A connection was lost, and no first request has been answered since.
    after_loss: bool,
    depth: u32,
    most_depth: u32,
    /// It has answered two requests that left together. Until then, and again after silence, no more than two are in flight, and
    /// none is added while they are: see [`Connection`](super::connection::Connection).
    proven: bool,
    /// Losses of pipelined connections since a pipelined request was last answered.
    strikes: u32,
    /// Responses that the server gives on one connection.
    per_connection: Option<u32>,
    /// After how many responses it last closed a connection without a word.
    closed_after: Option<u32>,
    /// It has sent an answer that no request asked for. On a connection with a second request, the next of these would be taken for its
    /// answer.
    babbles: bool,
    answers: u32,
    grow_after: u32,
    /// Of the times that answers took; `NEVER` before the first.
    median: Nanos,
    /// Failures to connect and losses since the last answer. Connections that are lost together are one loss.
    failures: u32,
    /// How many failures there were in all.
    all_failures: u64,
    /// Whether it answers expectations, as far as the plan knows.
    expects: Option<bool>,
    /// No connection is opened before this moment.
    pub(crate) reopen_at: Nanos,
}

const GROW_AFTER: u32 = 100;
const GROW_AFTER_AT_MOST: u32 = 6400;

impl Origin {
    pub(crate) fn new(most_depth: u32, proven: bool) -> Self {
        Origin {
            persistent: false,
            after_loss: false,
            depth: most_depth.max(1),
            most_depth: most_depth.max(1),
            proven,
            strikes: 0,
            per_connection: None,
            closed_after: None,
            babbles: false,
            answers: 0,
            grow_after: GROW_AFTER,
            median: NEVER,
            failures: 0,
            all_failures: 0,
            expects: None,
            reopen_at: 0,
        }
    }

    /// How many requests a connection may have in flight.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.min(self.per_connection().unwrap_or(u32::MAX)).max(1)
    }

    /// Whether the server is known to answer pipelined requests.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// The server has answered two requests that left together.
    pub(crate) fn note_pair(&mut self) {
        self.proven = true;
    }

    /// Whether the server failed when requests were pipelined to it.
    pub(crate) fn is_not_pipelining(&self) -> bool {
        self.depth == 1 && self.most_depth > 1
    }

    /// Whether the first request of a new connection must be answered before a second one is sent (RFC 9112 §9.3.2).
    pub(crate) fn wants_first_alone(&self) -> bool {
        !self.persistent || self.after_loss
    }

    pub(crate) fn per_connection(&self) -> Option<u32> {
        if self.babbles { Some(1) } else { self.per_connection }
    }

    /// Bytes came that no request asked for: from now on, each connection gets one request.
    pub(crate) fn note_unasked(&mut self) {
        self.babbles = true;
        self.proven = false;
    }

    /// A connection is open.
    pub(crate) fn note_opened(&mut self) {
        if self.babbles {
            self.depth = 1;
        }
    }

    /// Whether waiting for 100 (Continue) is worth it.
    pub(crate) fn expects(&self) -> bool {
        self.expects != Some(false)
    }

    /// One answer proves that the origin knows expectations; after that it is only slow at times.
    pub(crate) fn note_expectation(&mut self, answered: bool) {
        self.expects = Some(answered || self.expects == Some(true));
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn note_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.all_failures += 1;
    }

    /// How many failures there were before a connection that is opened now.
    pub(crate) fn all_failures(&self) -> u64 {
        self.all_failures
    }

    /// Whether the loss of a connection belongs to the last failure: it was opened before that, and nothing was answered since.
    pub(crate) fn is_known_failure(&self, failures_before: u64) -> bool {
        self.failures > 0 && failures_before < self.all_failures
    }

    /// Takes note of a whole response. `pipelined`: its request was sent while another was unanswered.
    pub(crate) fn note_answer(&mut self, took: Nanos, pipelined: bool) {
        self.failures = 0;
        if pipelined {
            self.strikes = 0;
        }
        self.answers = self.answers.saturating_add(1);
        if self.answers >= self.grow_after && self.depth < self.most_depth && !self.babbles {
            self.depth = (self.depth * 2).min(self.most_depth);
            self.answers = 0;
        }
        // An estimate of the median that costs no memory: it goes up if the answer took longer, else down.
        self.median = match self.median {
            NEVER => took,
            median if took > median => median + median / 16 + 1000,
            median => median - median / 16,
        };
    }

    /// The connection goes on after a response.
    pub(crate) fn note_persistent(&mut self) {
        self.persistent = true;
        self.after_loss = false;
    }

    /// The server announced that it closes after this many responses.
    pub(crate) fn note_limit(&mut self, responses: u32) {
        let limit = Some(responses.max(1));
        if self.per_connection != limit {
            self.per_connection = limit;
            self.answers = 0;
        }
    }

    /// A connection kept going up to the learned limit. Returns the next limit to try, if it is time for that.
    pub(crate) fn grow_limit(&mut self) -> Option<u32> {
        if self.babbles || self.answers < self.grow_after.min(GROW_AFTER) {
            return None;
        }
        self.answers = 0;
        self.per_connection = self.per_connection.map(|limit| limit.saturating_mul(2));
        self.per_connection
    }

    /// A connection with requests in flight ended after this many responses. `pipelined`: more than one of them was in flight.
    pub(crate) fn note_loss(&mut self, why: Loss, responses: u32, pipelined: bool) {
        self.after_loss = true;
        self.answers = 0;
        if pipelined {
            // Silence may mean that the server has dropped requests.
            self.proven &= why != Loss::Stalled;
            self.strikes += 1;
            let trying = self.depth < self.most_depth && self.depth > 1;
            if self.strikes >= 2 || trying {
                self.depth = 1;
                self.proven = false;
                self.strikes = 0;
                self.closed_after = None;
                self.grow_after = (self.grow_after * 2).min(GROW_AFTER_AT_MOST);
                // The loss is explained; the number of responses before it means nothing.
                return;
            }
        }
        // A server that closes with a request unread resets the connection. If more were in flight, that may have destroyed answers, and
        // the number says nothing.
        if (why == Loss::Closed || why == Loss::Reset && !pipelined) && responses > 0 {
            if self.closed_after == Some(responses) {
                self.per_connection = Some(responses);
            }
            self.closed_after = Some(responses);
        }
    }

    /// An answer that takes this long is slow. The first answers cannot be judged.
    pub(crate) fn slow_after(&self) -> Nanos {
        self.median.saturating_mul(SLOW_FACTOR).max(SLOW_AT_LEAST)
    }
}
