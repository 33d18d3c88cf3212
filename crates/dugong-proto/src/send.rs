//! The send half: which bytes you may send now.

use std::fmt;
use std::io::Write;
use std::ops::Range;

use crate::chunked::push_last_chunk;
use crate::error::{CloseReason, Error, Misuse};
use crate::excerpt::Argument;
use crate::fields::{Fields, Mark};
use crate::framing::RequestKind;
use crate::outstanding::Outstanding;
use crate::peer::Peer;
use crate::request::{Announced, Checked, RequestHead};
use crate::states::{ContentState, SendInput, SendState};

/// Turns requests and their content into bytes.
///
/// Heads and the framing of chunks go to a buffer, [`to_send`](SendHalf::to_send). You send bytes from its front, and say how
/// many with [`sent`](SendHalf::sent). Content need not go through the buffer: [`offer`](SendHalf::offer) tells you how much
/// you may send straight from where it is.
pub struct SendHalf {
    peer: Peer,
    buffer: Vec<u8>,
    /// Where the unsent bytes in `buffer` begin.
    start: usize,
    /// How many bytes were made or passed so far, sent or not: the position of the next one in the connection.
    position: u64,
    state: SendState,
    /// The request whose content is owed; meaningless unless `state` is `Owing` or `Discarding`.
    owing: u64,
    content: Remaining,
}

/// Content that is still owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remaining {
    /// None was announced, or the last chunk was sent.
    Nothing,
    /// This many bytes; 0 when all of them were sent.
    Length(u64),
    Chunks,
}

impl Remaining {
    fn of(announced: Announced) -> Self {
        match announced {
            Announced::Nothing => Remaining::Nothing,
            Announced::Length(length) => Remaining::Length(length),
            Announced::Chunked => Remaining::Chunks,
        }
    }
}

/// Content that you may send from where it is: first `prefix`, then the first `take` bytes of the content, then `suffix`.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    prefix: [u8; 12],
    prefix_len: usize,
    /// How many bytes of the content it takes.
    pub take: usize,
    chunk: bool,
}

impl Offer {
    /// The bytes before the content: the size line of a chunk, or nothing.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[..self.prefix_len]
    }

    /// The bytes after the content.
    #[must_use]
    pub fn suffix(&self) -> &'static [u8] {
        if self.chunk { b"\r\n" } else { b"" }
    }
}

/// The largest chunk that is sent. A chunk that was begun must be ended, so the part of it that the transport does not take has
/// to be kept.
pub const MAX_CHUNK: usize = 64 * 1024;

/// Shows the amount of unsent bytes only: they may contain credentials.
impl fmt::Debug for SendHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendHalf")
            .field("host", &self.host())
            .field("to_proxy", &self.peer.is_proxy())
            .field("to_send", &self.to_send().len())
            .field("position", &self.position)
            .field("state", &self.state)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl SendHalf {
    /// Creates the send half of a connection to `host`: the value of `Host`, a name or literal with a port unless it is the
    /// default.
    ///
    /// # Errors
    /// [`Misuse::Host`] if `host` is not a valid value of it.
    pub fn new(host: &str) -> Result<Self, Misuse> {
        Ok(SendHalf {
            peer: Peer::new(host)?,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            state: SendState::Ready,
            owing: 0,
            content: Remaining::Nothing,
        })
    }

    /// The value of `Host`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.peer.host_text()
    }

    /// Says that the peer is a proxy for plain HTTP. From now on, a target that is a path is sent in absolute-form (RFC 9112
    /// §3.2.2), behind `http://` and the value of the request's `Host`, so that target and `Host` cannot differ. `*` becomes
    /// these two alone (§3.2.4). Other targets name their authority themselves, and stay as they are.
    ///
    /// A request with `Proxy-Authorization` is meant for the proxy alone, but some proxies (such as tinyproxy 1.11) read one
    /// request and pass all later ones on to the server. So you can send such a request only as the first one of a connection,
    /// or after a response with `Connection: keep-alive`, by which the proxy says that it reads on. Before that it is refused
    /// with [`Misuse::ReadFirst`]. If all responses are read and none has said so, the connection carries no further request
    /// ([`CloseReason::ProxyNotPersistent`]).
    pub fn through_proxy(&mut self) {
        self.peer.becomes_proxy();
    }

    /// Says that the peer is the server itself, reached by TLS if `secure`. From now on, a target that is a URL of another origin is
    /// refused with [`Misuse::OtherOrigin`]: the wrong server would get it. A [verbatim](RequestHead::verbatim) request is not.
    pub fn only_for_its_origin(&mut self, secure: bool) {
        self.peer.becomes_origin(if secure { "https" } else { "http" });
    }

    /// Appends a request to the buffer and to the queue, and returns its number, counted from 0.
    ///
    /// It adds those fields of `more` whose names are not in the request. They [must suit each request](Fields::check_for_all).
    ///
    /// # Errors
    /// `Local` if the request is not valid or not allowed now, `Closed` if the connection carries no further request. On error
    /// nothing has changed.
    pub fn request(&mut self, request: &RequestHead, more: &Fields, queue: &mut Outstanding) -> Result<u64, Error> {
        let checked = request.check()?;
        more.check_for_all()?;
        self.admit(request, &checked, more, queue)?;
        let before = self.buffer.len() - self.start;
        self.make_room(self.peer.most_of_head(request, &checked, more));
        self.peer.render(&mut self.buffer, request, &checked, more);

        let start = self.position;
        self.position += (self.buffer.len() - self.start - before) as u64;
        let content = match request.owes_content() {
            true if request.expects() => ContentState::Waiting,
            true => ContentState::Due,
            false => ContentState::Complete,
        };
        let number = push(request, &checked, content, start..self.position, queue);
        self.content = Remaining::of(request.content);
        if request.owes_content() {
            self.owing = number;
            self.step(SendInput::RequestOwingContent);
        } else {
            self.step(SendInput::Request);
        }
        if checked.says_close {
            queue.close(CloseReason::ClientSaidClose);
        }
        Ok(number)
    }

    /// Checks whether the state of the connection allows this request.
    #[inline]
    fn admit(
        &mut self,
        request: &RequestHead,
        checked: &Checked<'_>,
        more: &Fields,
        queue: &mut Outstanding,
    ) -> Result<(), Error> {
        let is_path = request.target().starts_with('/');
        let is_usual = is_path && self.state == SendState::Ready && !self.peer.is_proxy() && queue.close_reason().is_none();
        if !is_usual || request.content == Announced::Chunked {
            self.admit_unusual(request, checked, more, queue)?;
        }
        if queue.may_pipeline(request.is_verbatim()) { Ok(()) } else { Err(Misuse::ReadFirst.into()) }
    }

    fn admit_unusual(
        &mut self,
        request: &RequestHead,
        checked: &Checked<'_>,
        more: &Fields,
        queue: &mut Outstanding,
    ) -> Result<(), Error> {
        self.peer.check(request, checked)?;
        if let Some(error) = queue.verdict() {
            return Err(error);
        }
        if self.state == SendState::Owing && self.content_error(queue) != Some(Misuse::ContentRefused.into()) {
            return Err(Misuse::ContentOwed.into());
        }
        if let Some(reason) = queue.close_reason() {
            if reason == CloseReason::UnaskedBytes {
                // They were too few to judge. Now that you want to send, they are the end of the connection.
                queue.stop_sending(reason);
            }
            return Err(Error::Closed(reason));
        }
        if self.state == SendState::Stopped {
            return Err(Misuse::ContentRefused.into());
        }
        if self.peer.is_proxy() && !queue.is_unused() && !queue.said_keep_alive() {
            let mut marks = request.fields.marks;
            marks |= more.marks;
            if marks.contains(Mark::PROXY_AUTHORIZATION) {
                if !queue.is_empty() {
                    return Err(Misuse::ReadFirst.into());
                }
                queue.close(CloseReason::ProxyNotPersistent);
                return Err(Error::Closed(CloseReason::ProxyNotPersistent));
            }
        }
        if request.content == Announced::Chunked && queue.server_is_http10() {
            return Err(Misuse::ChunkedToHttp10.into());
        }
        Ok(())
    }

    /// Queues a request that can no longer be sent, because the connection carries no further one. Reading its response reports
    /// why, in its turn. Set `content_follows` if you will hand over the announced content, which goes to
    /// [`discard`](SendHalf::discard).
    ///
    /// # Errors
    /// `Misuse` if the request is not valid.
    pub fn accept_unsendable(
        &mut self,
        request: &RequestHead,
        content_follows: bool,
        queue: &mut Outstanding,
    ) -> Result<u64, Misuse> {
        let checked = request.check()?;
        let number = push(request, &checked, ContentState::Complete, self.position..self.position, queue);
        if content_follows && request.owes_content() {
            queue.close(CloseReason::ContentNotSent);
            self.content = Remaining::of(request.content);
            self.owing = number;
            self.step(SendInput::Discarded);
        }
        Ok(number)
    }

    /// Removes request `number` from the queue, if it is the last one and its response has not begun. Use it when you have
    /// already reported that sending it failed.
    pub fn take_back(&mut self, number: u64, queue: &mut Outstanding) {
        queue.take_back(number);
    }

    /// The bytes that you send next.
    #[must_use]
    pub fn to_send(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Announces that you are about to give [`to_send`](SendHalf::to_send) to the transport. Call [`sent`](SendHalf::sent)
    /// afterwards, even if the transport took nothing. You need this only if another thread or task may read the answer before
    /// you call `sent`.
    pub fn sending(&self, queue: &mut Outstanding) {
        queue.attempt(self.to_send().len() as u64);
    }

    /// Removes the first `count` bytes of [`to_send`](SendHalf::to_send), which the transport took.
    ///
    /// # Panics
    /// If `count` is more than the length of `to_send`.
    pub fn sent(&mut self, count: usize, queue: &mut Outstanding) {
        assert!(count <= self.to_send().len(), "more bytes were sent than the buffer has");
        self.start += count;
        queue.transmitted(count as u64);
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// How many bytes of memory the buffer holds.
    #[must_use]
    pub fn buffer_capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Takes the memory of the buffer away, if it is empty, so that many idle connections need none. It is allocated again when
    /// you need it, or [lent](SendHalf::lend_buffer).
    pub fn release_buffer(&mut self) -> Option<Vec<u8>> {
        (self.buffer.is_empty() && self.buffer.capacity() > 0).then(|| std::mem::take(&mut self.buffer))
    }

    /// Uses memory that another half has [released](SendHalf::release_buffer), unless this one has some.
    pub fn lend_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffer.capacity() == 0 {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// Whether you have announced content, and not yet sent all of it.
    #[must_use]
    pub fn owes_content(&self) -> bool {
        self.state == SendState::Owing
    }

    /// How many bytes of content you still owe, or have to [discard](SendHalf::discard). `None` if you owe none, or if it comes
    /// in chunks.
    #[must_use]
    pub fn content_left(&self) -> Option<u64> {
        match (self.state, self.content) {
            (SendState::Owing | SendState::Discarding, Remaining::Length(left)) => Some(left),
            _ => None,
        }
    }

    /// Whether you still have to [discard](SendHalf::discard) content.
    #[must_use]
    pub fn is_discarding(&self) -> bool {
        self.state == SendState::Discarding
    }

    /// Gives up the rest of the content like [`give_up_content`](SendHalf::give_up_content), when you will hand it over
    /// nevertheless. It goes to [`discard`](SendHalf::discard).
    ///
    /// # Errors
    /// [`Misuse::NoContentDue`] if no content is owed.
    pub fn discard_content(&mut self, queue: &mut Outstanding) -> Result<(), Misuse> {
        if self.state != SendState::Owing {
            return Err(Misuse::NoContentDue);
        }
        self.drop_unsent();
        queue.give_up_content(self.owing);
        self.step(SendInput::Discarded);
        Ok(())
    }

    /// Counts `count` bytes of content that will not be sent.
    ///
    /// # Errors
    /// [`Misuse::NoContentDue`] if you have no content to [discard](SendHalf::is_discarding), [`Misuse::ExcessContent`] if you
    /// announced less. On error nothing has changed.
    pub fn discard(&mut self, count: u64) -> Result<(), Misuse> {
        if self.state != SendState::Discarding {
            return Err(Misuse::NoContentDue);
        }
        if let Remaining::Length(left) = &mut self.content {
            *left = left.checked_sub(count).ok_or(Misuse::ExcessContent)?;
            if *left == 0 {
                self.step(SendInput::LastContent);
            }
        }
        Ok(())
    }

    /// Returns how much of `available` bytes of content you may send now. Afterwards call [`sent_offer`](SendHalf::sent_offer),
    /// even if the transport took nothing.
    ///
    /// # Errors
    /// `Local` if no content is due, not yet or not any more, or if it is more than you announced. Otherwise the error that
    /// ended the connection.
    pub fn offer(&mut self, available: usize, queue: &mut Outstanding) -> Result<Offer, Error> {
        if let Some(error) = queue.failure() {
            return Err(error);
        }
        match self.state {
            SendState::Owing => {}
            SendState::Ready => return Err(Misuse::NoContentDue.into()),
            // Without a response, the end of the connection tells what became of the request.
            SendState::Stopped | SendState::Discarding if queue.is_last_answered() => {
                return Err(Misuse::ContentRefused.into());
            }
            SendState::Stopped | SendState::Discarding => {
                return Err(queue.sending_is_over().unwrap_or(Misuse::ContentRefused.into()));
            }
        }
        if let Some(error) = self.content_error(queue) {
            return Err(error);
        }
        let mut offer = Offer { prefix: [0; 12], prefix_len: 0, take: available, chunk: false };
        match self.content {
            Remaining::Length(left) if available as u64 > left => return Err(Misuse::ExcessContent.into()),
            Remaining::Length(_) | Remaining::Nothing => {}
            Remaining::Chunks if available == 0 => {}
            Remaining::Chunks => {
                offer.take = available.min(MAX_CHUNK);
                offer.chunk = true;
                let mut room = &mut offer.prefix[..];
                write!(room, "{:x}\r\n", offer.take).expect("the largest size of a chunk fits");
                offer.prefix_len = 12 - room.len();
            }
        }
        if available > 0 {
            queue.content_offered(self.owing, self.content == Remaining::Length(available as u64));
        }
        if offer.take > 0 {
            let framing = offer.prefix().len() + offer.suffix().len();
            queue.attempt((self.to_send().len() + offer.take + framing) as u64);
        }
        Ok(offer)
    }

    /// Notes that the transport took `count` bytes of this sequence: the unsent bytes of the buffer, the offer's prefix, the
    /// content, the suffix. Returns how many bytes of `content` count as sent. If the transport took only part of a chunk, the
    /// rest of it goes to [`to_send`](SendHalf::to_send).
    ///
    /// # Panics
    /// If `count` is more than was offered, or if `content` is not the content that was offered.
    pub fn sent_offer(&mut self, offer: &Offer, content: &[u8], count: usize, queue: &mut Outstanding) -> usize {
        let pending = self.to_send().len();
        let most = pending + offer.prefix_len + offer.take + offer.suffix().len();
        assert!(self.state == SendState::Owing && count <= most, "more was sent than was offered");
        self.sent(count.min(pending), queue);
        let rest = count.saturating_sub(pending);
        if rest == 0 {
            self.content_sent(0, queue);
            return 0;
        }
        queue.transmitted(rest as u64);
        let taken = if offer.chunk {
            let mut skip = rest;
            for part in [offer.prefix(), &content[..offer.take], offer.suffix()] {
                self.buffer.extend_from_slice(&part[skip.min(part.len())..]);
                skip = skip.saturating_sub(part.len());
            }
            self.position += (offer.prefix_len + offer.take + offer.suffix().len()) as u64;
            offer.take
        } else {
            self.position += rest as u64;
            rest
        };
        self.content_sent(taken, queue);
        taken
    }

    /// Copies content into the buffer, and returns how much of it was taken.
    ///
    /// # Errors
    /// As for [`offer`](SendHalf::offer).
    pub fn content(&mut self, content: &[u8], queue: &mut Outstanding) -> Result<usize, Error> {
        let offer = self.offer(content.len(), queue)?;
        if offer.take == 0 {
            return Ok(0);
        }
        self.make_room(offer.take + 16);
        let before = self.buffer.len();
        for part in [offer.prefix(), &content[..offer.take], offer.suffix()] {
            self.buffer.extend_from_slice(part);
        }
        self.position += (self.buffer.len() - before) as u64;
        queue.attempt(0);
        self.content_sent(offer.take, queue);
        Ok(offer.take)
    }

    /// Ends chunked content with a trailer section, which is usually empty. If the content has a length, this only checks that
    /// you have sent all of it.
    ///
    /// # Errors
    /// As for [`offer`](SendHalf::offer), also if you pass trailers without chunks. [`Misuse::ContentShort`] if you have passed
    /// less content than you announced. On error nothing has changed.
    pub fn finish(&mut self, trailers: &Fields, queue: &mut Outstanding) -> Result<(), Error> {
        match (self.state, self.content) {
            (SendState::Ready, Remaining::Length(0)) if trailers.is_empty() => return Ok(()),
            (SendState::Owing, Remaining::Length(_)) if self.content_error(queue).is_none() => {
                return Err(Misuse::ContentShort.into());
            }
            (SendState::Discarding, Remaining::Length(_)) => return Err(Misuse::ContentShort.into()),
            (SendState::Discarding, _) => {
                self.step(SendInput::LastContent);
                return Ok(());
            }
            _ => {}
        }
        let refused = |name: &str| NO_TRAILERS.iter().any(|other| name.eq_ignore_ascii_case(other));
        if let Some(line) = trailers.iter().find(|line| refused(line.name())) {
            return Err(Misuse::Trailer(Argument::new(line.name().as_bytes(), None)).into());
        }
        self.offer(0, queue)?;
        self.make_room(trailers.size() + 8);
        let before = self.buffer.len();
        push_last_chunk(&mut self.buffer, trailers);
        self.position += (self.buffer.len() - before) as u64;
        queue.complete(self.owing, self.position);
        self.content = Remaining::Nothing;
        self.step(SendInput::LastContent);
        Ok(())
    }

    /// Drops all unsent bytes. The server has said that the connection ends with a response that has come, so you may send
    /// nothing more (RFC 9112 §9.6).
    pub fn give_up(&mut self) {
        self.drop_unsent();
        if self.state == SendState::Owing {
            self.step(SendInput::GivenUp);
        }
    }

    fn drop_unsent(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    /// Gives up the rest of the content that is owed. The connection ends with the response, which you can read if it has come.
    pub fn give_up_content(&mut self, queue: &mut Outstanding) {
        queue.give_up_content(self.owing);
        self.give_up();
    }

    /// Stops waiting for 100 (Continue), so that you can send the content now (RFC 9110 §10.1.1).
    pub fn proceed_without_continue(&mut self, queue: &mut Outstanding) {
        if self.state == SendState::Owing {
            queue.proceed_without_continue();
        }
    }

    /// Why content may not be sent now, if so.
    fn content_error(&mut self, queue: &mut Outstanding) -> Option<Error> {
        let verdict = queue.verdict();
        match queue.content_of(self.owing) {
            _ if queue.failure().is_some() => verdict,
            Some(ContentState::Refused) | None => {
                if self.state == SendState::Owing {
                    self.step(SendInput::GivenUp);
                }
                Some(Misuse::ContentRefused.into())
            }
            Some(_) if verdict.is_some() => verdict,
            Some(ContentState::Waiting) => Some(Misuse::AwaitContinue.into()),
            Some(ContentState::Interrupted) => Some(Misuse::ContentInterrupted.into()),
            Some(_) => None,
        }
    }

    fn content_sent(&mut self, count: usize, queue: &mut Outstanding) {
        let Remaining::Length(left) = &mut self.content else { return };
        *left -= count as u64;
        if *left == 0 && count > 0 {
            queue.complete(self.owing, self.position);
            self.step(SendInput::LastContent);
        } else {
            queue.content_continues(self.owing);
        }
    }

    /// Makes room for `size` more bytes. Unsent bytes move to the front of the buffer when they are few, and the buffer grows
    /// in small steps, so that it does not become much larger than needed.
    #[inline]
    fn make_room(&mut self, size: usize) {
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let missing = (self.buffer.len() + size).saturating_sub(self.buffer.capacity());
        if missing > 0 {
            let step = self.buffer.capacity().clamp(512, 16 * 1024);
            self.buffer.reserve_exact(self.buffer.capacity() - self.buffer.len() + missing.max(step));
        }
    }

    fn step(&mut self, input: SendInput) {
        self.state = self.state.after(input).expect("the public methods only ask for moves that their state allows");
    }
}

/// Fields that frame or direct a message, or say how to read it. In trailers they would come too late (RFC 9110 §6.5.1).
const NO_TRAILERS: [&str; 11] = [
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Expect",
    "Host",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Queues a request. `extent` is its place in the connection's bytes, as far as it is known.
fn push(request: &RequestHead, checked: &Checked<'_>, content: ContentState, extent: Range<u64>, queue: &mut Outstanding) -> u64 {
    let method = request.method();
    let kind = RequestKind { head: method.is_head(), connect: method.is_connect(), upgrade: checked.asks_upgrade };
    queue.push(method.is_idempotent(), kind, checked.says_close, content, extent)
}
