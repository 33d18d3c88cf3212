//! Requests that were sent and whose responses are due, oldest first (RFC 9112 §9.3.2), and what becomes of the connection.
//!
//! This is all that the two halves of a connection share, so that a client can give each half to a thread or task of its own
//! and keep the queue behind a lock.

use std::collections::VecDeque;

use crate::error::{CloseReason, Error, Malformed};
use crate::excerpt::Excerpt;
use crate::framing::Asked;
use crate::receive::{Unasked, judge_unasked};
use crate::response::Version;

/// The queue of outstanding requests.
#[derive(Clone, Debug, Default)]
pub struct Outstanding {
    exchanges: VecDeque<Exchange>,
    /// Requests accepted so far; the number of the next one.
    accepted: u64,
    /// Bytes of the connection that the transport has taken.
    transmitted: u64,
    /// Up to where the transport may have taken them already: a write is under way, and an answer can come before it is noted.
    attempted: u64,
    /// Requests of which the transport has taken a byte: those numbered below this.
    departed: u64,
    /// The same, if the transport takes all that it is being given.
    touched: u64,
    /// Bytes that were received on the connection, as far as the receive half has said.
    received: u64,
    closing: Option<CloseReason>,
    /// The error that ended sending. No byte leaves after it, because it tells the caller which requests were not sent.
    failure: Option<Box<Error>>,
    /// The last response that this connection will deliver is complete.
    ended: bool,
    server: Option<Version>,
    /// A final response had `Connection: keep-alive`, which the peer itself has to have said: proxies do not forward that field.
    pub(crate) said_keep_alive: bool,
}

/// A request and what has become of it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    idempotent: bool,
    pub(crate) asked: Asked,
    /// The connection ends with the response to it, because one of the two said so.
    is_last: bool,
    /// Where the request begins in the bytes of the connection.
    start: u64,
    /// Where it ends; `None` while content is owed.
    end: Option<u64>,
    /// How many bytes had been received when its first byte was given to the transport: its response begins behind them. It is
    /// counted anew by each write, until the byte has left.
    asked_from: u64,
    /// The last of its content is being given to the transport: the response may come before that is noted.
    pub(crate) ending: bool,
    /// The rest of it will not be sent.
    pub(crate) given_up: bool,
    pub(crate) expectation: Expectation,
    pub(crate) answer_begun: bool,
}

/// The wait for 100 (Continue) (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// None was sent, or the wait for its answer is over: content may be sent.
    Met,
    /// The server has not answered it yet.
    Waiting,
    /// A final response came instead of 100: the content must not be sent.
    Refused,
}

/// What is known about a request that got no complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unanswered {
    /// Which request: the number that sending it returned, counted from 0 for each connection.
    pub number: u64,
    /// How much of it was given to the transport. Whether the server got it is another question.
    pub sent: Sent,
    /// Whether some of a response to it was received.
    pub answer_begun: bool,
    /// Whether its method is idempotent (RFC 9110 §9.2.2).
    pub idempotent: bool,
}

impl Unanswered {
    /// Whether sending it again cannot do harm: it never left, or its method is idempotent. If not, it is unknown whether the
    /// server has acted on it.
    #[must_use]
    pub fn is_safe_to_retry(&self) -> bool {
        self.sent == Sent::Nothing || self.idempotent
    }
}

/// How much of a request was given to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// Not a byte.
    Nothing,
    /// Some bytes.
    Partly,
    /// All of it, content included.
    Whole,
}

impl Outstanding {
    /// No requests yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives memory that it does not need now back to the system.
    pub fn shrink(&mut self) {
        self.exchanges.shrink_to_fit();
    }

    /// How many requests wait for their response, or for the rest of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether no request is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// How many requests got a complete response: the ones numbered below this.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.accepted - self.exchanges.len() as u64
    }

    /// The requests without a complete response, oldest first.
    pub fn unanswered(&self) -> impl ExactSizeIterator<Item = Unanswered> + '_ {
        self.exchanges.iter().enumerate().map(|(index, exchange)| Unanswered {
            number: self.answered() + index as u64,
            sent: match exchange.end {
                _ if self.transmitted.max(self.attempted) <= exchange.start => Sent::Nothing,
                Some(end) if self.transmitted >= end => Sent::Whole,
                _ => Sent::Partly,
            },
            answer_begun: exchange.answer_begun,
            idempotent: exchange.idempotent,
        })
    }

    /// Whether the oldest outstanding request waits for an answer to its expectation.
    #[must_use]
    pub fn is_waiting_for_continue(&self) -> bool {
        self.exchanges.front().is_some_and(|exchange| exchange.expectation == Expectation::Waiting)
    }

    /// Whether there is nothing more to send before the response to the oldest outstanding request: it was given to the
    /// transport or to the send buffer as a whole, or waits for the answer to its expectation, or was given up.
    #[must_use]
    pub fn is_response_due(&self) -> bool {
        self.exchanges.front().is_some_and(|exchange| {
            exchange.end.is_some() || exchange.ending || exchange.given_up || exchange.expectation == Expectation::Waiting
        })
    }

    /// Why the connection carries no further request; `None` as long as it does.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closing
    }

    /// Whether a request may be sent behind the outstanding ones (always, if there are none): not behind a request that may turn
    /// the connection into a tunnel, and not to a server that showed itself to be HTTP/1.0, unless the caller insists.
    #[must_use]
    pub fn may_pipeline(&self, to_http10: bool) -> bool {
        match self.exchanges.back() {
            None => true,
            Some(last) => (to_http10 || !self.server_is_http10()) && !last.asked.connect && !last.asked.upgrade,
        }
    }

    /// The transport is about to be given `count` bytes.
    pub(crate) fn attempt(&mut self, count: u64) {
        self.attempted = self.transmitted + count;
        self.touched = self.departed.max(self.answered());
        let (end, received) = (self.attempted, self.received);
        while self.touched < self.accepted
            && let Some(exchange) = self.waiting(self.touched)
            && exchange.start < end
        {
            exchange.asked_from = received;
            self.touched += 1;
        }
    }

    /// The transport took `count` bytes, and is not being given any now.
    pub(crate) fn transmitted(&mut self, count: u64) {
        let end = self.transmitted + count;
        if self.attempted < end {
            self.attempt(count);
        }
        if self.attempted == end {
            self.departed = self.touched;
        } else {
            while self.waiting(self.departed).is_some_and(|exchange| exchange.start < end) {
                self.departed += 1;
            }
        }
        (self.transmitted, self.attempted) = (end, end);
    }

    /// Request `number`, if it is outstanding.
    fn waiting(&mut self, number: u64) -> Option<&mut Exchange> {
        let index = usize::try_from(number.checked_sub(self.answered())?).ok()?;
        self.exchanges.get_mut(index)
    }

    /// So many bytes were received on the connection so far. If this is said late, a response that came before its request may
    /// go unnoticed; a good one is never refused.
    pub(crate) fn note_received(&mut self, total: u64) {
        self.received = total;
    }

    /// Whether bytes are being given to the transport at this moment, by whoever sends.
    #[must_use]
    pub fn is_being_sent(&self) -> bool {
        self.attempted > self.transmitted
    }

    /// No further request can be sent, for this reason unless another was given before.
    pub fn close(&mut self, reason: CloseReason) {
        self.closing.get_or_insert(reason);
    }

    /// A final response says that the connection ends with it, which is a better reason than any that was known before.
    pub(crate) fn close_by_response(&mut self, reason: CloseReason) {
        self.closing = Some(reason);
        if let Some(exchange) = self.front() {
            exchange.is_last = true;
        }
    }

    /// The same, when it is known better now why.
    pub(crate) fn close_anew(&mut self, reason: CloseReason) {
        self.closing = Some(reason);
    }

    /// Whether this is the first request of the connection.
    pub(crate) fn is_unused(&self) -> bool {
        self.accepted == 0
    }

    /// Why no response is to come any more to requests that wait for one.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        self.closing.filter(|_| self.ended)
    }

    pub(crate) fn server_is(&mut self, version: Version) {
        self.server = Some(version);
    }

    pub(crate) fn server_is_http10(&self) -> bool {
        self.server == Some(Version::Http10)
    }

    /// Takes in a request that begins at `start` of the connection's bytes, and returns its number.
    pub(crate) fn push(&mut self, idempotent: bool, asked: Asked, is_last: bool, expectation: Expectation, start: u64) -> u64 {
        let number = self.accepted;
        self.accepted += 1;
        let exchange = Exchange {
            idempotent,
            asked,
            is_last,
            start,
            end: None,
            asked_from: 0,
            ending: false,
            given_up: false,
            expectation,
            answer_begun: false,
        };
        self.exchanges.push_back(exchange);
        number
    }

    /// Forgets the last request, if it is number `number` and nothing of its response has come.
    pub(crate) fn take_back(&mut self, number: u64) {
        if self.owing(number).is_some_and(|exchange| !exchange.answer_begun) {
            self.exchanges.pop_back();
            self.accepted -= 1;
            self.departed = self.departed.min(self.accepted);
        }
    }

    /// The request `number`, which is the last one, is complete and ends at `end` of the connection's bytes.
    pub(crate) fn complete(&mut self, number: u64, end: u64) {
        if let Some(exchange) = self.owing(number) {
            exchange.end = Some(end);
        }
    }

    /// The last request, if it is number `number` and still unanswered.
    pub(crate) fn owing(&mut self, number: u64) -> Option<&mut Exchange> {
        let is_last = number + 1 == self.accepted;
        self.exchanges.back_mut().filter(|_| is_last)
    }

    /// Bytes that were received on the connection, as far as the receive half has said.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether the last request has its answer, or the beginning of it: then that says what became of content that was given up.
    #[must_use]
    pub fn is_last_answered(&self) -> bool {
        self.exchanges.back().is_none_or(|exchange| exchange.answer_begun)
    }

    /// Why a response that begins at `offset` of the received bytes answers no request (RFC 9112 §9.2): none is outstanding, no
    /// byte of the oldest one has left, or the first byte left when `offset` had been received already.
    pub(crate) fn unasked(&self, offset: u64) -> Option<Malformed> {
        match self.exchanges.front() {
            Some(exchange) if self.transmitted.max(self.attempted) <= exchange.start => Some(Malformed::UnaskedBytes),
            Some(exchange) if offset < exchange.asked_from => Some(Malformed::EarlyResponse),
            Some(_) => None,
            None => Some(Malformed::UnaskedBytes),
        }
    }

    pub(crate) fn front(&mut self) -> Option<&mut Exchange> {
        self.exchanges.front_mut()
    }

    /// The oldest request has its final response, the content included.
    pub(crate) fn pop(&mut self) {
        let exchange = self.exchanges.pop_front().expect("only an outstanding request gets a response");
        self.ended |= exchange.is_last;
        if exchange.end.is_none() && !exchange.ending {
            self.content_not_sent();
        }
    }

    /// A response is complete, and the content of its request never will be.
    pub(crate) fn content_not_sent(&mut self) {
        self.close(CloseReason::ContentNotSent);
        self.ended = true;
    }

    /// Nothing that is received from now on can be understood.
    pub(crate) fn fail(&mut self, error: Error) {
        self.close(CloseReason::Broken);
        self.failure.get_or_insert_with(|| Box::new(error));
        self.ended = true;
    }

    /// Sending has failed, or must not go on: from now on it is refused, with this reason unless another was given before.
    /// Responses that have arrived can still be read.
    pub fn stop_sending(&mut self, reason: CloseReason) {
        self.close(reason);
        self.failure.get_or_insert_with(|| Box::new(Error::Closed(reason)));
    }

    /// These bytes arrived that no request asked for, at `offset` of the received ones: no request can be sent any more. The result is
    /// the error that says so, unless more bytes may still decide it.
    pub(crate) fn refuse_unasked(&mut self, bytes: &[u8], what: Malformed, offset: u64) -> Option<Error> {
        let (reason, error) = match judge_unasked(bytes) {
            Unasked::Undecided => (CloseReason::UnaskedBytes, None),
            Unasked::RequestTimeout => (CloseReason::RequestTimeout, Some(Error::Closed(CloseReason::RequestTimeout))),
            Unasked::Nothing | Unasked::Junk => {
                let found = Excerpt::of_line(b"", bytes, 0);
                (CloseReason::UnaskedBytes, Some(Error::Remote { what, at: offset, found }))
            }
        };
        self.close_anew(reason);
        if let Some(error) = error {
            self.fail(error);
        }
        error
    }

    /// Judges `bytes` that were seen before the first request after a pause, and that the receive half has not taken yet. If they
    /// are more than an empty line, no request can be sent any more.
    pub fn look_at_unasked(&mut self, bytes: &[u8]) {
        match judge_unasked(bytes) {
            Unasked::Nothing => {}
            _ => drop(self.refuse_unasked(bytes, Malformed::UnaskedBytes, self.received)),
        }
    }

    /// The error that ended the connection. It was or will be reported with what became of each request, so no byte of any
    /// request leaves after it.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.failure.as_deref().copied()
    }

    /// Why no byte may leave any more: the [`failure`](Outstanding::failure), or the end of the connection before the responses
    /// that are due. Both are reported with the requests that were not sent.
    pub(crate) fn verdict(&self) -> Option<Error> {
        // The usual case. An error sets a reason, too.
        let reason = self.closing?;
        self.failure().or_else(|| (self.ended && !self.is_empty()).then_some(Error::Closed(reason)))
    }

    /// Why sending what waits to be sent makes no sense any more: the connection failed or ended, or a response has said that it
    /// ends with it (RFC 9112 §9.6).
    #[must_use]
    pub fn sending_is_over(&self) -> Option<Error> {
        use CloseReason::{CloseDelimited, FaultyFraming, Http10, ServerSaidClose};
        let reason = self.closing?;
        let is_said = matches!(reason, CloseDelimited | FaultyFraming | Http10 | ServerSaidClose);
        self.verdict().or_else(|| is_said.then_some(Error::Closed(reason)))
    }

    /// Whether no response is to come any more, because the last one is complete, or reading failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }
}
