//! The receive half: from bytes to responses to the oldest outstanding request.

use std::ops::Range;

use crate::body::{Body, Next};
use crate::buffer::Buffer;
use crate::chunked::Framed;
use crate::error::{CloseReason, Error, Incomplete, Malformed, Unsupported, Within};
use crate::excerpt::Excerpt;
use crate::field_section::Fault;
use crate::fields::Fields;
use crate::framing::{Faulty, Framing, Statements};
use crate::grammar::{CR, LF};
use crate::head::{HeadFed, HeadReader};
use crate::limits::Limits;
use crate::outstanding::Outstanding;
use crate::response::ResponseHead;
use crate::states::{ReceiveInput, ReceiveState};

/// Turns bytes into responses.
///
/// You put bytes in through [`space`](ReceiveHalf::space) and [`received`](ReceiveHalf::received). You get responses out in
/// this order: [`poll_head`](ReceiveHalf::poll_head) until a head is ready, [`take_head`](ReceiveHalf::take_head), then
/// [`content`](ReceiveHalf::content) and [`consume`](ReceiveHalf::consume) until the content ends. Content need not go through
/// the buffer: see [`bypass`](ReceiveHalf::bypass).
#[derive(Clone, Debug)]
pub struct ReceiveHalf {
    buffer: Buffer,
    /// The position of `buffer`'s first byte in the connection.
    offset: u64,
    end: StreamEnd,
    state: ReceiveState,
    /// The error to report, in the states `Faulty`, `ContentFailed` and `Failed`.
    error: Option<Box<Error>>,
    heads: HeadReader,
    interim_seen: usize,
    /// Why the bytes answer no request, in the state `Unasked`.
    unasked: Malformed,
    /// Whether the one empty line that may precede a response was skipped.
    line_skipped: bool,
    /// The most interim responses to one request.
    max_interim: usize,
    requires_length: bool,
    body: Body,
    /// How many responses are complete.
    completed: u64,
    /// The content of the current response ends with the connection, although the response did not announce that.
    missing_length: bool,
}

/// Whether more bytes can arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    Open,
    /// The peer closed its direction in order.
    Eof,
    /// The connection broke, so more bytes may have been cut off.
    Broken,
}

/// The kind of a head that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// 1xx: the final response follows.
    Interim,
    /// The response to the oldest outstanding request.
    Final,
}

/// The next content of the current response.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Some content, never empty. The bytes stay until you consume them.
    Bytes(&'a [u8]),
    /// You have to receive more first.
    NeedsInput,
    /// The response is complete, and you can read its trailers.
    End,
}

impl ReceiveHalf {
    /// Creates a receive half that holds up to `capacity` bytes until you consume them. It allocates them when you first ask
    /// for [`space`](ReceiveHalf::space).
    #[must_use]
    pub fn new(limits: Limits, capacity: usize) -> Self {
        ReceiveHalf {
            buffer: Buffer::new(capacity),
            offset: 0,
            end: StreamEnd::Open,
            state: ReceiveState::Between,
            error: None,
            heads: HeadReader::new(limits),
            interim_seen: 0,
            unasked: Malformed::UnaskedBytes,
            line_skipped: false,
            max_interim: limits.interim_responses,
            requires_length: false,
            body: Body::new(limits),
            completed: 0,
            missing_length: false,
        }
    }

    /// Refuses content that ends with the connection, unless the response announced that it closes. Then you cannot mistake a
    /// connection that was cut for the end of the content. Off by default.
    pub fn require_length(&mut self, required: bool) {
        self.requires_length = required;
    }

    /// The room into which you receive the next bytes; empty if the buffer is full.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.space()
    }

    /// Notes that you have filled the first `count` bytes of [`space`](ReceiveHalf::space).
    ///
    /// # Panics
    /// If `count` is more than its length.
    pub fn received(&mut self, count: usize) {
        self.buffer.filled(count);
    }

    /// Copies in as many of `bytes` as fit, and returns their number.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.received(count);
        count
    }

    /// Notes that the peer closed in order: over plain TCP by FIN, over TLS by close_notify.
    pub fn receive_eof(&mut self) {
        if self.end == StreamEnd::Open {
            self.end = StreamEnd::Eof;
        }
    }

    /// Notes that the connection broke (reset, timed out, TLS without close_notify). Earlier bytes count, but no content ends
    /// with it.
    pub fn receive_broken(&mut self) {
        self.end = StreamEnd::Broken;
    }

    /// Whether the connection has ended, in order or not.
    #[must_use]
    pub fn is_at_eof(&self) -> bool {
        self.end != StreamEnd::Open
    }

    /// Whether the connection broke, so that this is not the end that the peer intended.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.end == StreamEnd::Broken
    }

    /// How many bytes were received on the connection so far.
    fn total_received(&self) -> u64 {
        self.offset + self.buffer.bytes().len() as u64
    }

    /// Tells the queue how much was received before the next write, so that no answer can precede its request unnoticed. Call
    /// it before each write if you have both halves at hand.
    pub fn note_received(&self, queue: &mut Outstanding) {
        queue.note_received(self.total_received());
    }

    /// The bytes that were received and not consumed. After an error, or in a tunnel, they are not read as HTTP.
    #[must_use]
    pub fn unconsumed(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Moves unconsumed bytes to `into`, and returns how many, for when you want to see bytes that are not HTTP. Call no other
    /// method that reads afterwards.
    pub fn take_raw(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.buffer.bytes().len());
        into[..count].copy_from_slice(&self.buffer.bytes()[..count]);
        self.advance(count);
        count
    }

    /// How many bytes of memory the buffer holds: none before you first ask for space, then its capacity.
    #[must_use]
    pub fn buffer_capacity(&self) -> usize {
        self.buffer.allocated()
    }

    /// Takes the memory of the buffer away, if it is empty, so that many idle connections need none. It is allocated again when
    /// you need it, or [lent](ReceiveHalf::lend_buffer).
    pub fn release_buffer(&mut self) -> Option<Vec<u8>> {
        self.heads.shrink();
        self.buffer.release()
    }

    /// Uses memory that another half of the same capacity has [released](ReceiveHalf::release_buffer), unless this one has
    /// some.
    pub fn lend_buffer(&mut self, buffer: Vec<u8>) {
        self.buffer.lend(buffer);
    }

    /// Whether you are reading the content of a response, or were when an error ended it. Then reading on reports the error.
    #[must_use]
    pub fn is_in_content(&self) -> bool {
        matches!(self.state, ReceiveState::Content | ReceiveState::Faulty | ReceiveState::Tunnel | ReceiveState::ContentFailed)
    }

    /// Whether some bytes of a response, final or interim, have come that you have not read to the end.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.state != ReceiveState::Between || !self.unconsumed().is_empty()
    }

    /// Whether the connection has become a tunnel. Its bytes in this direction, up to its end, are content then.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.state == ReceiveState::Tunnel
    }

    /// Reads on until a head is ready; `None` if you have to receive more first. You can call it again without effect.
    ///
    /// If no request is outstanding, it judges the bytes that arrived nevertheless.
    ///
    /// # Errors
    /// `Remote` and `Unsupported` if the bytes are no response, `Incomplete` if the peer stopped before or in it, `Closed` if
    /// the connection ended in order before it. These errors are permanent.
    ///
    /// # Panics
    /// If you have not read the content of the last response to its end.
    pub fn poll_head(&mut self, queue: &mut Outstanding) -> Result<Option<HeadKind>, Error> {
        loop {
            match self.state {
                ReceiveState::Between => {
                    if let Some(reason) = queue.ended() {
                        return if queue.is_empty() { Ok(None) } else { Err(Error::Closed(reason)) };
                    }
                    if !self.begin_head(queue)? {
                        return Ok(None);
                    }
                }
                ReceiveState::Head => {
                    if !self.read_head(queue)? {
                        return Ok(None);
                    }
                }
                ReceiveState::HeadReady if self.heads.head.status.precedes_final() => {
                    return Ok(Some(HeadKind::Interim));
                }
                ReceiveState::HeadReady => return Ok(Some(HeadKind::Final)),
                ReceiveState::Unasked => {
                    if !self.judge_unasked(queue)? {
                        return Ok(None);
                    }
                }
                ReceiveState::Ended => return self.ended(queue),
                ReceiveState::Failed => return Err(self.known_error()),
                ReceiveState::Content | ReceiveState::Faulty | ReceiveState::Tunnel | ReceiveState::ContentFailed => {
                    panic!("a head was asked for before the content of the last response was at its end")
                }
            }
        }
    }

    /// Between responses: skips one empty line, refuses bytes that answer no request, and enters the head at its first byte.
    fn begin_head(&mut self, queue: &mut Outstanding) -> Result<bool, Error> {
        if self.buffer.bytes().is_empty() && self.end == StreamEnd::Open {
            return Ok(false);
        }
        match self.buffer.bytes() {
            [CR, LF, ..] if !self.line_skipped => {
                self.advance(2);
                self.line_skipped = true;
                return self.begin_head(queue);
            }
            [CR] if !self.line_skipped && self.end == StreamEnd::Open => return Ok(false),
            [] if queue.is_empty() => {
                queue.close(CloseReason::PeerClosed);
                self.step(ReceiveInput::Eof);
                return Ok(true);
            }
            [] => return Err(self.no_head(Within::Nothing, 0, queue)),
            _ => {}
        }
        queue.note_received(self.total_received());
        if let Some(what) = queue.unasked(self.offset) {
            self.unasked = what;
            queue.refuse_unasked(self.buffer.bytes(), what, self.offset);
            self.step(ReceiveInput::UnaskedByte);
            return Ok(true);
        }
        self.heads.begin(self.offset);
        self.line_skipped = false;
        queue.answer_begins();
        self.step(ReceiveInput::FirstByte);
        Ok(true)
    }

    /// Judges bytes that answer no request. If they are too few, that can wait until a request is outstanding. Then they end
    /// the connection at once, because the server need not send more of them.
    fn judge_unasked(&mut self, queue: &mut Outstanding) -> Result<bool, Error> {
        let has_time = queue.is_empty() && self.end == StreamEnd::Open && queue.failure().is_none();
        let error = match queue.refuse_unasked(self.buffer.bytes(), self.unasked, self.offset) {
            None if has_time => return Ok(false),
            judged => judged.unwrap_or(Error::Closed(CloseReason::UnaskedBytes)),
        };
        queue.fail(error);
        match error {
            Error::Closed(_) => {
                self.step(ReceiveInput::Eof);
                Ok(true)
            }
            error => Err(self.fail(error, queue)),
        }
    }

    /// Completes a response. If no other request is outstanding, bytes that are in the buffer now cannot answer a later one.
    fn response_ends(&mut self, queue: &mut Outstanding) {
        queue.note_received(self.total_received());
        queue.pop();
        self.completed += 1;
        if queue.is_empty() && !queue.is_over() && self.state == ReceiveState::Between {
            // The next call that asks for a response reports the result.
            let _ = self.begin_head(queue);
        }
    }

    /// Reads as much of the head as has arrived.
    fn read_head(&mut self, queue: &mut Outstanding) -> Result<bool, Error> {
        match self.heads.feed(self.buffer.bytes(), self.offset) {
            Ok(HeadFed::End(end)) => self.advance(end),
            Ok(HeadFed::More) => {
                self.advance(self.buffer.bytes().len());
                if self.end == StreamEnd::Open {
                    return Ok(false);
                }
                return Err(self.no_head(Within::Head, self.offset - self.heads.start, queue));
            }
            Err(error) => return Err(self.fail(error, queue)),
        }
        let status = self.heads.head.status;
        let refused = if status == 101 && !queue.kind_of_oldest().upgrade {
            Some(Malformed::UnaskedSwitch)
        } else if status.precedes_final() && self.interim_seen == self.max_interim {
            Some(Malformed::TooManyInterim)
        } else {
            None
        };
        if let Some(what) = refused {
            let error = Error::Remote { what, at: self.heads.start, found: self.heads.head.excerpt() };
            return Err(self.fail(error, queue));
        }
        self.step(ReceiveInput::HeadEnd);
        Ok(true)
    }

    /// The head that is ready, or that you took last.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        &self.heads.head
    }

    /// Takes the head that is ready. After an interim head the next head follows, after a final one the content of the
    /// response. A response without content is complete at once.
    ///
    /// # Panics
    /// If no head is ready.
    pub fn take_head(&mut self, queue: &mut Outstanding) {
        assert_eq!(self.state, ReceiveState::HeadReady, "no head is ready to be taken");
        let head = &self.heads.head;
        let status = head.status;
        queue.server_is(head.version);
        if status.precedes_final() {
            self.interim_seen += 1;
            if status == 100 {
                queue.continue_came();
            }
            self.step(ReceiveInput::Interim);
            return;
        }
        self.interim_seen = 0;
        let said = Statements::of(head);
        queue.final_head_came(said.says_keep_alive);
        let framing = said.framing(head, queue.kind_of_oldest());
        if let Some(reason) = said.close_reason(head.version, framing) {
            queue.close_by_response(reason);
        }
        let section_start = self.heads.section_start;
        self.missing_length = framing == Ok(Framing::UntilClose) && !said.announces_close(head.version);
        match framing {
            Ok(Framing::UntilClose) if self.requires_length && self.missing_length => {
                let what = Unsupported::MissingLength;
                self.faulty(Error::Unsupported { what, at: section_start, found: Excerpt::EMPTY });
            }
            Ok(Framing::Empty) => {
                self.body.begin_length(0);
                self.step(ReceiveInput::FinalEmpty);
                self.response_ends(queue);
            }
            Ok(Framing::Tunnel) => {
                self.body.begin_until_close();
                self.step(ReceiveInput::FinalTunnel);
            }
            Ok(Framing::Length(total)) => {
                self.body.begin_length(total);
                self.step(ReceiveInput::FinalContent);
            }
            Ok(Framing::Chunked) => {
                self.body.begin_chunked();
                self.step(ReceiveInput::FinalContent);
            }
            Ok(Framing::UntilClose) => {
                self.body.begin_until_close();
                self.step(ReceiveInput::FinalContent);
            }
            Err(Faulty { what, at }) => {
                let found = head.fields.excerpt_at(at);
                self.faulty(Error::Remote { what, at: section_start + u64::from(at), found });
            }
        }
    }

    fn faulty(&mut self, error: Error) {
        self.error = Some(Box::new(error));
        self.step(ReceiveInput::FinalFaulty);
    }

    /// The fault in the framing of the current response. Reading its content fails with it.
    #[must_use]
    pub fn framing_fault(&self) -> Option<Error> {
        self.error.as_deref().copied().filter(|_| self.state == ReceiveState::Faulty)
    }

    /// Whether the content of the current response ends with the connection, although the response announced neither that nor a
    /// length.
    #[must_use]
    pub fn is_length_missing(&self) -> bool {
        self.missing_length
    }

    /// The announced length of the current response's content; `Some(0)` without content, `None` if it was not announced.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match self.state {
            ReceiveState::Content | ReceiveState::ContentFailed => self.body.length(),
            ReceiveState::Faulty | ReceiveState::Tunnel => None,
            _ => Some(0),
        }
    }

    /// How many bytes of the current response's content you have consumed, or of the last response's.
    #[must_use]
    pub fn content_received(&self) -> u64 {
        self.body.received()
    }

    /// Returns the next content of the current response, or `End` if there is none.
    ///
    /// # Errors
    /// `Remote` and `Unsupported` if the framing is faulty, `Incomplete` if the peer stopped inside the content. These errors
    /// are permanent.
    #[inline]
    pub fn content(&mut self, queue: &mut Outstanding) -> Result<Content<'_>, Error> {
        if self.buffered_content().is_empty() { self.more_content(queue) } else { Ok(Content::Bytes(self.buffered_content())) }
    }

    /// The content in the buffer, up to the next framing. If it is empty, [`content`](ReceiveHalf::content) says why.
    #[must_use]
    #[inline]
    pub fn buffered_content(&self) -> &[u8] {
        let (bytes, due) = (self.buffer.bytes(), self.content_due());
        if due < bytes.len() as u64 { &bytes[..due as usize] } else { bytes }
    }

    fn more_content(&mut self, queue: &mut Outstanding) -> Result<Content<'_>, Error> {
        match self.state {
            ReceiveState::Content | ReceiveState::Tunnel => {}
            ReceiveState::Faulty => {
                // Up to here only the content was lost. Now the connection is, too.
                let error = self.known_error();
                queue.fail(error);
                return Err(error);
            }
            ReceiveState::ContentFailed | ReceiveState::Failed => return Err(self.known_error()),
            ReceiveState::Between
            | ReceiveState::Head
            | ReceiveState::HeadReady
            | ReceiveState::Unasked
            | ReceiveState::Ended => {
                return Ok(Content::End);
            }
        }
        loop {
            match self.body.next() {
                Next::Content => break,
                Next::End => return Ok(self.content_ends(queue)),
                Next::Framing if self.buffer.bytes().is_empty() => break,
                Next::Framing => match self.body.read_framing(self.buffer.bytes()) {
                    Ok(Framed::Data(at, _)) => self.advance(at),
                    Ok(Framed::End(at)) => {
                        self.advance(at);
                        return Ok(self.content_ends(queue));
                    }
                    Ok(Framed::More) => {
                        self.advance(self.buffer.bytes().len());
                        break;
                    }
                    Err(Fault { what, at, found }) => {
                        let at = self.offset.wrapping_add_signed(at as i64);
                        return Err(self.fail(Error::Remote { what, at, found }, queue));
                    }
                },
            }
        }
        match self.end {
            _ if !self.buffered_content().is_empty() => Ok(Content::Bytes(self.buffered_content())),
            StreamEnd::Open => Ok(Content::NeedsInput),
            StreamEnd::Eof if self.body.ends_with_connection() => Ok(self.content_ends(queue)),
            StreamEnd::Eof | StreamEnd::Broken => Err(self.fail(Error::Incomplete(self.body.incomplete()), queue)),
        }
    }

    /// Consumes `count` bytes that [`content`](ReceiveHalf::content) returned. With the last of them the response is complete.
    ///
    /// # Panics
    /// If `count` is more than `content` returned.
    #[inline]
    pub fn consume(&mut self, count: usize, queue: &mut Outstanding) {
        if !self.consume_part(count) {
            self.settle(queue);
        }
    }

    /// Consumes `count` bytes like [`consume`](ReceiveHalf::consume), but without the queue. If it returns false, call
    /// [`settle`](ReceiveHalf::settle) next, because the response may be complete.
    ///
    /// # Panics
    /// If `count` is more than [`content`](ReceiveHalf::content) returned.
    #[must_use]
    #[inline]
    pub fn consume_part(&mut self, count: usize) -> bool {
        let due = self.content_due();
        assert!(count as u64 <= due, "more content was consumed than was returned");
        self.body.taken(count as u64);
        let mut used = count;
        let mut follows = count as u64 != due;
        if !follows
            && self.state == ReceiveState::Content
            && let Some(at) = self.body.read_next_size(&self.buffer.bytes()[count..])
        {
            used += at;
            follows = true;
        }
        self.advance(used);
        follows
    }

    /// Completes the current response, if all of it was received and you have consumed its content: later bytes must not become
    /// a part of it, even if you never ask whether it is complete.
    pub fn settle(&mut self, queue: &mut Outstanding) {
        if self.state == ReceiveState::Content && !matches!(self.body.next(), Next::Content) {
            // An error leaves the state `ContentFailed`, so the next call reports it.
            let _ = self.content(queue);
        }
    }

    /// Whether you have consumed all announced content, and the framing that follows has not arrived.
    #[must_use]
    pub fn awaits_framing(&self) -> bool {
        self.state == ReceiveState::Content && self.body.next() == Next::Framing && self.buffer.bytes().is_empty()
    }

    /// How many responses are complete. It is the number of the request whose response comes next, or is being read.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Returns the next content like [`content`](ReceiveHalf::content), and consumes it at once.
    ///
    /// # Errors
    /// As for [`content`](ReceiveHalf::content).
    pub fn take_content(&mut self, queue: &mut Outstanding) -> Result<Content<'_>, Error> {
        match self.content(queue)? {
            Content::Bytes(bytes) => {
                let count = bytes.len();
                let range = self.take(count, queue);
                Ok(Content::Bytes(self.taken_bytes(range)))
            }
            Content::NeedsInput => Ok(Content::NeedsInput),
            Content::End => Ok(Content::End),
        }
    }

    /// Consumes `count` bytes of content in the buffer, and returns the range from which they can still be read.
    pub(crate) fn take(&mut self, count: usize, queue: &mut Outstanding) -> Range<usize> {
        let range = self.buffer.next(count);
        self.consume(count, queue);
        range
    }

    pub(crate) fn taken_bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.taken(range)
    }

    /// How many bytes you may read from the transport straight to their destination, past the buffer. `None` if the buffer is
    /// not empty, or if the next bytes are not content. Report how many you have read with [`bypassed`](ReceiveHalf::bypassed).
    #[must_use]
    pub fn bypass(&self) -> Option<u64> {
        if !self.buffer.bytes().is_empty() || self.end != StreamEnd::Open {
            return None;
        }
        Some(self.content_due()).filter(|&due| due > 0)
    }

    /// How many of the next bytes are content.
    #[inline]
    fn content_due(&self) -> u64 {
        let left = self.body.left();
        debug_assert!(left == 0 || matches!(self.state, ReceiveState::Content | ReceiveState::Tunnel), "other states have none");
        left
    }

    /// Notes that you have read `count` bytes of content past the buffer.
    ///
    /// # Panics
    /// If [`bypass`](ReceiveHalf::bypass) did not allow so many.
    pub fn bypassed(&mut self, count: usize, queue: &mut Outstanding) {
        assert!(self.bypass().is_some_and(|limit| count as u64 <= limit), "more content was read than bypass() allowed");
        self.offset += count as u64;
        self.body.taken(count as u64);
        if self.body.left() == 0 {
            self.settle(queue);
        }
    }

    fn content_ends(&mut self, queue: &mut Outstanding) -> Content<'static> {
        self.body.end();
        if self.state == ReceiveState::Tunnel {
            self.step(ReceiveInput::Eof);
        } else {
            self.step(ReceiveInput::ContentEnd);
        }
        self.response_ends(queue);
        Content::End
    }

    /// The trailer section of the last response; empty until its content has ended (RFC 9112 §7.1.2).
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        match self.state {
            // Until the section is complete, its values still have their folds.
            ReceiveState::Content | ReceiveState::ContentFailed | ReceiveState::Failed => Fields::NONE,
            _ => self.body.trailers(),
        }
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.buffer.consume(count);
        self.offset += count as u64;
    }

    fn ended(&self, queue: &Outstanding) -> Result<Option<HeadKind>, Error> {
        match queue.close_reason() {
            Some(reason) if !queue.is_empty() => Err(Error::Closed(reason)),
            Some(reason @ (CloseReason::RequestTimeout | CloseReason::UnaskedBytes)) => Err(Error::Closed(reason)),
            _ => Ok(None),
        }
    }

    fn no_head(&mut self, within: Within, received: u64, queue: &mut Outstanding) -> Error {
        self.fail(Error::Incomplete(Incomplete { within, received, expected: None }), queue)
    }

    fn fail(&mut self, error: Error, queue: &mut Outstanding) -> Error {
        queue.fail(error);
        self.error = Some(Box::new(error));
        self.body.end();
        self.step(ReceiveInput::Fault);
        error
    }

    fn known_error(&self) -> Error {
        **self.error.as_ref().expect("set when the state was entered")
    }

    fn step(&mut self, input: ReceiveInput) {
        self.state = self.state.after(input).expect("inputs are only derived from states that allow them");
    }
}
