//! Outstanding requests, oldest first (RFC 9112 §9.3.2), and the end of the connection.
//!
//! The two halves of a connection share nothing else, so you can give each half to a thread or task of its own and keep the
//! queue behind a lock.

use std::collections::VecDeque;
use std::ops::Range;

use crate::error::{CloseReason, Error, Malformed};
use crate::excerpt::Excerpt;
use crate::framing::RequestKind;
use crate::response::Version;
use crate::states::{CloseInput, CloseState, ContentInput, ContentState};
use crate::unasked::{Unasked, judge_unasked};

/// The queue of requests whose responses are not complete, and why the connection closes.
#[derive(Clone, Debug)]
pub struct Outstanding {
    exchanges: VecDeque<Exchange>,
    /// The number of requests accepted so far, which is the number of the next one.
    accepted: u64,
    /// How many bytes the transport has taken.
    transmitted: u64,
    /// How many bytes it may have taken already. While a write is under way, an answer can come before `transmitted` is
    /// updated.
    attempted: u64,
    /// The transport has taken at least a byte of each request numbered below this.
    departed: u64,
    /// The same, if the transport takes all bytes of the write under way.
    touched: u64,
    /// How many bytes were received, as far as the receive half has reported.
    received: u64,
    state: CloseState,
    /// Why the connection carries no further request, unless it is `Open`.
    closing: Option<CloseReason>,
    /// The error that ended sending, if the connection is `Stopped` or `Failed`. No byte leaves after it, because the caller
    /// was told which requests were not sent.
    failure: Option<Box<Error>>,
    server: Option<Version>,
    /// A final response had `Connection: keep-alive`. Proxies do not forward that field, so it is the peer's own statement.
    said_keep_alive: bool,
    /// The state of the last request's content when its response was complete.
    last_content: ContentState,
}

impl Default for Outstanding {
    fn default() -> Self {
        Self::new()
    }
}

/// A request whose response is not complete.
#[derive(Clone, Debug)]
struct Exchange {
    idempotent: bool,
    kind: RequestKind,
    /// The connection ends with the response to it, because the server or the client said so.
    is_last: bool,
    /// Where the request begins in the bytes of the connection.
    start: u64,
    /// Where it ends, if its content is `Complete`.
    end: u64,
    /// How many bytes had been received when its first byte was given to the transport: its response begins behind them. Each
    /// write sets it anew until that byte has left.
    asked_from: u64,
    content: ContentState,
    answer_begun: bool,
}

impl Exchange {
    fn step(&mut self, input: ContentInput) {
        self.content = self.content.after(input).expect("the halves only ask for moves that the state of the content allows");
    }
}

/// A request without a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unanswered {
    /// Its number, which sending it returned. Each connection counts from 0.
    pub number: u64,
    /// How much of it was given to the transport. The server may have received less.
    pub sent: Sent,
    /// Whether some of a response to it was received.
    pub answer_begun: bool,
    /// Whether its method is idempotent (RFC 9110 §9.2.2).
    pub idempotent: bool,
}

impl Unanswered {
    /// Whether you can send it again without harm, because it never left or its method is idempotent. If not, the server may
    /// have acted on it.
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
    /// Creates an empty queue.
    #[must_use]
    pub fn new() -> Self {
        Outstanding {
            exchanges: VecDeque::new(),
            accepted: 0,
            transmitted: 0,
            attempted: 0,
            departed: 0,
            touched: 0,
            received: 0,
            state: CloseState::Open,
            closing: None,
            failure: None,
            server: None,
            said_keep_alive: false,
            last_content: ContentState::Complete,
        }
    }

    /// Gives unused memory back.
    pub fn shrink(&mut self) {
        self.exchanges.shrink_to_fit();
    }

    /// How many requests have no complete response.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether no request is outstanding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// How many requests have a complete response: those numbered below this.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.accepted - self.exchanges.len() as u64
    }

    /// The requests without a complete response, oldest first.
    pub fn unanswered(&self) -> impl ExactSizeIterator<Item = Unanswered> + '_ {
        let first = self.answered();
        self.exchanges.iter().enumerate().map(move |(index, exchange)| self.describe(first + index as u64, exchange))
    }

    /// The request `number`, if its response is not complete.
    #[must_use]
    pub fn unanswered_request(&self, number: u64) -> Option<Unanswered> {
        let index = usize::try_from(number.checked_sub(self.answered())?).ok()?;
        self.exchanges.get(index).map(|exchange| self.describe(number, exchange))
    }

    fn describe(&self, number: u64, exchange: &Exchange) -> Unanswered {
        Unanswered {
            number,
            sent: match exchange.content {
                _ if self.transmitted.max(self.attempted) <= exchange.start => Sent::Nothing,
                ContentState::Complete if self.transmitted >= exchange.end => Sent::Whole,
                _ => Sent::Partly,
            },
            answer_begun: exchange.answer_begun,
            idempotent: exchange.idempotent,
        }
    }

    /// Whether the oldest outstanding request waits for an answer to its expectation.
    #[must_use]
    pub fn is_waiting_for_continue(&self) -> bool {
        self.exchanges.front().is_some_and(|exchange| exchange.content == ContentState::Waiting)
    }

    /// Whether 100 (Continue) can still answer the expectation of the oldest outstanding request, because none of its content was
    /// sent. This stays true [after the wait was given up](Outstanding::proceed_without_continue).
    #[must_use]
    pub fn may_be_told_to_continue(&self) -> bool {
        let front = self.exchanges.front();
        front.is_some_and(|exchange| matches!(exchange.content, ContentState::Waiting | ContentState::Silent))
    }

    /// Stops waiting for the answer to the last request's expectation, so that you can send its content now (RFC 9110 §10.1.1).
    /// Changes nothing if that request does not wait.
    pub fn proceed_without_continue(&mut self) {
        if let Some(exchange) = self.exchanges.back_mut().filter(|exchange| exchange.content == ContentState::Waiting) {
            exchange.step(ContentInput::TimedOut);
        }
    }

    /// Whether the server sent a final response in place of 100 (Continue), before you had sent content of the last request.
    #[must_use]
    pub fn is_content_refused(&self) -> bool {
        matches!(self.content_of_last(), ContentState::Refused | ContentState::Answered)
    }

    /// Records that a write of the last request's content was interrupted, and that you do not know how much of it was taken.
    /// You can send nothing more, because the server would take it for the rest of that content. Changes nothing if no content
    /// is owed.
    pub fn interrupt_content(&mut self) {
        let Some(exchange) = self.exchanges.back_mut() else { return };
        if let Some(state) = exchange.content.after(ContentInput::Interrupted) {
            exchange.content = state;
        }
    }

    /// Whether a write of the last request's content was interrupted.
    #[must_use]
    pub fn is_content_interrupted(&self) -> bool {
        self.content_of_last() == ContentState::Interrupted
    }

    fn content_of_last(&self) -> ContentState {
        self.exchanges.back().map_or(self.last_content, |exchange| exchange.content)
    }

    /// Whether the response to the oldest outstanding request can come now: you have sent or queued the whole request, or given
    /// up the rest of it, or it has an expectation that was not answered.
    #[must_use]
    pub fn is_response_due(&self) -> bool {
        use ContentState::{Complete, Ending, GivenUp, Silent, Waiting};
        let is_due = |exchange: &Exchange| matches!(exchange.content, Complete | Ending | GivenUp | Silent | Waiting);
        self.exchanges.front().is_some_and(is_due)
    }

    /// Why the connection carries no further request; `None` as long as it does.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closing
    }

    /// Whether you can send a request behind the outstanding ones. You cannot behind a request that may turn the connection
    /// into a tunnel, nor, unless `to_http10` is set, to a server that has shown that it speaks HTTP/1.0.
    #[must_use]
    pub fn may_pipeline(&self, to_http10: bool) -> bool {
        match self.exchanges.back() {
            None => true,
            Some(last) => (to_http10 || !self.server_is_http10()) && !last.kind.connect && !last.kind.upgrade,
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

    /// The transport took `count` bytes, and the write is over.
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

    /// Sets how many bytes were received so far. If this comes late, a response that came before its request may go unnoticed,
    /// but no good one is refused.
    pub(crate) fn note_received(&mut self, total: u64) {
        self.received = total;
    }

    /// Whether a write is under way at this moment.
    #[must_use]
    pub fn is_being_sent(&self) -> bool {
        self.attempted > self.transmitted
    }

    /// Refuses further requests, for this reason unless another one was given before.
    pub fn close(&mut self, reason: CloseReason) {
        self.closing.get_or_insert(reason);
        self.step(CloseInput::Announced);
    }

    /// Notes that the connection ends with the current response. That is a better reason than any earlier one.
    pub(crate) fn close_by_response(&mut self, reason: CloseReason) {
        self.close_anew(reason);
        if let Some(exchange) = self.exchanges.front_mut() {
            exchange.is_last = true;
        }
    }

    /// The same as [`close`](Outstanding::close), with a better reason than the one before.
    fn close_anew(&mut self, reason: CloseReason) {
        self.closing = Some(reason);
        self.step(CloseInput::Announced);
    }

    fn step(&mut self, input: CloseInput) {
        self.state = self.state.after(input);
    }

    /// Whether no request was accepted yet.
    pub(crate) fn is_unused(&self) -> bool {
        self.accepted == 0
    }

    /// Why the requests that wait for a response will get none.
    pub(crate) fn ended(&self) -> Option<CloseReason> {
        self.closing.filter(|_| self.is_over())
    }

    pub(crate) fn server_is(&mut self, version: Version) {
        self.server = Some(version);
    }

    /// Whether the server has said `Connection: keep-alive`.
    pub(crate) fn said_keep_alive(&self) -> bool {
        self.said_keep_alive
    }

    pub(crate) fn server_is_http10(&self) -> bool {
        self.server == Some(Version::Http10)
    }

    /// Queues a request, and returns its number. `extent` is its place in the connection's bytes, with the end valid only if
    /// its content is `Complete`.
    pub(crate) fn push(
        &mut self,
        idempotent: bool,
        kind: RequestKind,
        is_last: bool,
        content: ContentState,
        extent: Range<u64>,
    ) -> u64 {
        let number = self.accepted;
        self.accepted += 1;
        let Range { start, end } = extent;
        let exchange = Exchange { idempotent, kind, is_last, start, end, asked_from: 0, content, answer_begun: false };
        self.exchanges.push_back(exchange);
        number
    }

    /// Removes request `number`, if it is the last one and no byte of its response has come.
    pub(crate) fn take_back(&mut self, number: u64) {
        if self.owing(number).is_some_and(|exchange| !exchange.answer_begun) {
            self.exchanges.pop_back();
            self.accepted -= 1;
            self.departed = self.departed.min(self.accepted);
        }
    }

    /// The state of the content of request `number`, if it is the last one and its response is not complete.
    pub(crate) fn content_of(&mut self, number: u64) -> Option<ContentState> {
        self.owing(number).map(|exchange| exchange.content)
    }

    /// Content of request `number` is given to the transport: the last of it, if `is_last`.
    pub(crate) fn content_offered(&mut self, number: u64, is_last: bool) {
        if let Some(exchange) = self.owing(number) {
            exchange.step(if is_last { ContentInput::Last } else { ContentInput::Part });
        }
    }

    /// More content of request `number` is still owed. If its response is complete, it will never be sent.
    pub(crate) fn content_continues(&mut self, number: u64) {
        match self.owing(number) {
            Some(exchange) => exchange.step(ContentInput::Part),
            // The response came while the last of the content seemed to be on its way, but the transport did not take all of
            // it.
            None => self.content_not_sent(),
        }
    }

    /// The content of request `number` is complete, and ends at `end` of the connection's bytes.
    pub(crate) fn complete(&mut self, number: u64, end: u64) {
        if let Some(exchange) = self.owing(number) {
            exchange.step(ContentInput::Completed);
            exchange.end = end;
        }
    }

    /// The rest of the content of request `number` will not be sent.
    pub(crate) fn give_up_content(&mut self, number: u64) {
        self.close(CloseReason::ContentNotSent);
        if let Some(exchange) = self.owing(number) {
            exchange.step(ContentInput::GivenUp);
        }
    }

    /// The last request, if it is number `number` and its response is not complete.
    fn owing(&mut self, number: u64) -> Option<&mut Exchange> {
        let is_last = number + 1 == self.accepted;
        self.exchanges.back_mut().filter(|_| is_last)
    }

    /// How many bytes were received on the connection, as far as the receive half has reported.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether the response to the last request has begun, so that it will tell you what became of content that you gave up.
    #[must_use]
    pub fn is_last_answered(&self) -> bool {
        self.exchanges.back().is_none_or(|exchange| exchange.answer_begun)
    }

    /// Why a response that begins at `offset` of the received bytes answers no request (RFC 9112 §9.2): none is outstanding, no
    /// byte of the oldest one has left, or its first byte left after `offset` had been received.
    pub(crate) fn unasked(&self, offset: u64) -> Option<Malformed> {
        match self.exchanges.front() {
            Some(exchange) if self.transmitted.max(self.attempted) <= exchange.start => Some(Malformed::UnaskedBytes),
            Some(exchange) if offset < exchange.asked_from => Some(Malformed::EarlyResponse),
            Some(_) => None,
            None => Some(Malformed::UnaskedBytes),
        }
    }

    /// The first byte of a response has come.
    pub(crate) fn answer_begins(&mut self) {
        if let Some(exchange) = self.exchanges.front_mut() {
            exchange.answer_begun = true;
        }
    }

    /// The kind of the oldest request, which decides what its response may be.
    pub(crate) fn kind_of_oldest(&self) -> RequestKind {
        self.exchanges.front().map_or(RequestKind::default(), |exchange| exchange.kind)
    }

    /// The oldest request was answered with 100 (Continue).
    pub(crate) fn continue_came(&mut self) {
        if let Some(exchange) = self.exchanges.front_mut() {
            exchange.step(ContentInput::Continue);
        }
    }

    /// The head of the oldest request's final response has come, with or without `Connection: keep-alive`.
    pub(crate) fn final_head_came(&mut self, says_keep_alive: bool) {
        self.said_keep_alive |= says_keep_alive;
        if let Some(exchange) = self.exchanges.front_mut() {
            exchange.step(ContentInput::FinalHead);
        }
    }

    /// The response to the oldest request is complete.
    pub(crate) fn pop(&mut self) {
        let exchange = self.exchanges.pop_front().expect("only an outstanding request gets a response");
        self.last_content = exchange.content;
        if exchange.is_last {
            self.step(CloseInput::LastResponse);
        }
        if !matches!(exchange.content, ContentState::Complete | ContentState::Ending) {
            self.content_not_sent();
        }
    }

    /// A response is complete, and the content of its request is not and never will be.
    fn content_not_sent(&mut self) {
        self.close(CloseReason::ContentNotSent);
        self.step(CloseInput::LastResponse);
    }

    /// Receiving failed: no further byte has a meaning.
    pub(crate) fn fail(&mut self, error: Error) {
        self.close(CloseReason::Broken);
        self.failure.get_or_insert_with(|| Box::new(error));
        self.step(CloseInput::Fault);
    }

    /// Refuses to send from now on, for this reason unless another one was given before. You can still read responses that have
    /// arrived.
    pub fn stop_sending(&mut self, reason: CloseReason) {
        self.close(reason);
        self.failure.get_or_insert_with(|| Box::new(Error::Closed(reason)));
        self.step(CloseInput::SendingStopped);
    }

    /// Ends sending because of these bytes, which arrived at `offset` and answer no request. Returns the error to report,
    /// unless more bytes are needed to choose it.
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

    /// Judges `bytes` that you saw before the first request after a pause, and that the receive half has not taken yet. If they
    /// are more than an empty line, you can send no further request.
    pub fn look_at_unasked(&mut self, bytes: &[u8]) {
        match judge_unasked(bytes) {
            Unasked::Nothing => {}
            _ => drop(self.refuse_unasked(bytes, Malformed::UnaskedBytes, self.received)),
        }
    }

    /// The error that ended the connection. You were told, or will be, what became of each request, so no byte of any request
    /// leaves after it.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.failure.as_deref().copied()
    }

    /// Why no byte may leave any more: the [`failure`](Outstanding::failure), or the end of the connection before the responses
    /// that are due. Both report which requests were not sent.
    pub(crate) fn verdict(&self) -> Option<Error> {
        match self.state {
            CloseState::Open | CloseState::Closing => None,
            CloseState::Over if self.is_empty() => None,
            CloseState::Over => self.closing.map(Error::Closed),
            CloseState::Stopped | CloseState::Failed => self.failure(),
        }
    }

    /// Why the unsent bytes are pointless: the connection failed or ended, or a response has said that the connection ends with
    /// it (RFC 9112 §9.6).
    #[must_use]
    pub fn sending_is_over(&self) -> Option<Error> {
        use CloseReason::{CloseDelimited, FaultyFraming, Http10, ServerSaidClose};
        let reason = self.closing?;
        let is_said = matches!(reason, CloseDelimited | FaultyFraming | Http10 | ServerSaidClose);
        self.verdict().or_else(|| is_said.then_some(Error::Closed(reason)))
    }

    /// Whether no further response will come, because the last one is complete or reading failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, CloseState::Over | CloseState::Failed)
    }
}
