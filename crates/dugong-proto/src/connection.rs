//! Two halves and a queue behind one set of methods, for drivers that do everything in one place.

use crate::error::{Error, Misuse};
use crate::fields::Fields;
use crate::limits::Limits;
use crate::outstanding::Outstanding;
use crate::receive::{Content, HeadKind, ReceiveHalf};
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::send::SendHalf;

/// The client's side of one HTTP/1.1 connection, without the connection itself. The [crate's documentation](crate) shows how
/// you drive it.
///
/// Sending and receiving do not wait for each other. [`next_event`](Connection::next_event) handles received bytes while others
/// wait to be sent, and the other way round.
#[derive(Debug)]
pub struct Connection {
    send: SendHalf,
    receive: ReceiveHalf,
    outstanding: Outstanding,
    /// A response without content was reported, but not yet its end.
    end_due: bool,
}

/// An event that [`Connection::next_event`] finds in the received bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An interim (1xx) response to the oldest outstanding request.
    Interim(&'a ResponseHead),
    /// The final response to the oldest outstanding request; its content follows.
    Response(&'a ResponseHead),
    /// The next bytes of its content, never empty.
    Content(&'a [u8]),
    /// The response is complete; these are its trailers.
    End(&'a Fields),
    /// The next bytes of a tunnel, which are not HTTP (after 2xx to CONNECT, or after 101).
    Raw(&'a [u8]),
}

/// The directions in which you should wait for the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// Read: a response is due.
    pub read: bool,
    /// Write: [`to_send`](Connection::to_send) has bytes.
    pub write: bool,
}

impl Wants {
    /// Whether no bytes are to be sent and no response is due.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        !self.read && !self.write
    }
}

/// How many received bytes a [`Connection`] holds before you consume them.
const RECEIVE_CAPACITY: usize = 64 * 1024;

impl Connection {
    /// Creates a connection to `host`, the value of the `Host` field, with the default [`Limits`].
    ///
    /// # Errors
    /// [`Misuse::Host`] if `host` is not a valid value of it.
    pub fn new(host: &str) -> Result<Self, Misuse> {
        Self::with_limits(host, Limits::default())
    }

    /// Creates a connection with other limits.
    ///
    /// # Errors
    /// [`Misuse::Host`] as for [`new`](Connection::new).
    pub fn with_limits(host: &str, limits: Limits) -> Result<Self, Misuse> {
        Ok(Connection {
            send: SendHalf::new(host)?,
            receive: ReceiveHalf::new(limits, RECEIVE_CAPACITY),
            outstanding: Outstanding::new(),
            end_due: false,
        })
    }

    /// Takes the connection apart, for drivers that send and receive in different places.
    #[must_use]
    pub fn into_parts(self) -> (SendHalf, ReceiveHalf, Outstanding) {
        (self.send, self.receive, self.outstanding)
    }

    /// The requests without a complete response, and why the connection closes.
    #[must_use]
    pub fn outstanding(&self) -> &Outstanding {
        &self.outstanding
    }

    /// Queues a request, and returns its number.
    ///
    /// # Errors
    /// As for [`SendHalf::request`]. On error nothing has changed.
    pub fn send_request(&mut self, request: &RequestHead) -> Result<u64, Error> {
        self.send.request(request, &Fields::new(), &mut self.outstanding)
    }

    /// Queues content of the last request, and returns how many bytes of it were taken.
    ///
    /// # Errors
    /// As for [`SendHalf::offer`]. On error nothing has changed.
    pub fn send_content(&mut self, content: &[u8]) -> Result<usize, Error> {
        self.send.content(content, &mut self.outstanding)
    }

    /// Ends the content of the last request.
    ///
    /// # Errors
    /// As for [`SendHalf::finish`]. On error nothing has changed.
    pub fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        self.send.finish(trailers, &mut self.outstanding)
    }

    /// Stops waiting for 100 (Continue). See [`SendHalf::proceed_without_continue`].
    pub fn proceed_without_continue(&mut self) {
        self.send.proceed_without_continue(&mut self.outstanding);
    }

    /// The bytes that you send next. After an error or the last response it is empty: [`outstanding`](Connection::outstanding)
    /// has reported those requests as not sent, so none of their bytes may leave later.
    #[must_use]
    pub fn to_send(&self) -> &[u8] {
        if self.outstanding.verdict().is_some() { &[] } else { self.send.to_send() }
    }

    /// Removes the first `count` bytes of [`to_send`](Connection::to_send), which the transport took. Call this before you pass
    /// bytes to [`receive`](Connection::receive): an answer that arrives before a byte of its request was sent is refused.
    ///
    /// # Panics
    /// If `count` is more than the length of `to_send`.
    pub fn sent(&mut self, count: usize) {
        self.receive.note_received(&mut self.outstanding);
        self.send.sent(count, &mut self.outstanding);
    }

    /// Takes in received bytes, and returns how many it had room for. That is all of them if you pass at most 64 KiB after
    /// [`next_event`](Connection::next_event) has returned `None`.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        self.receive.receive(bytes)
    }

    /// Notes that the peer closed the connection in order. See [`ReceiveHalf::receive_eof`].
    pub fn receive_eof(&mut self) {
        self.receive.receive_eof();
    }

    /// Notes that the connection broke. See [`ReceiveHalf::receive_broken`].
    pub fn receive_broken(&mut self) {
        self.receive.receive_broken();
    }

    /// Returns the next event in the received bytes; `None` if you have to receive more first.
    ///
    /// # Errors
    /// See [`Error`]. Every error except `Local` is permanent: further calls return it again.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if std::mem::take(&mut self.end_due) {
            return Ok(Some(Event::End(self.receive.trailers())));
        }
        if !self.receive.is_in_content() {
            let Some(kind) = self.receive.poll_head(&mut self.outstanding)? else { return Ok(None) };
            self.receive.take_head(&mut self.outstanding);
            self.end_due = kind == HeadKind::Final && !self.receive.is_in_content();
            let head = self.receive.head();
            return Ok(Some(match kind {
                HeadKind::Interim => Event::Interim(head),
                HeadKind::Final => Event::Response(head),
            }));
        }
        let tunnel = self.receive.is_tunnel();
        match self.receive.content(&mut self.outstanding)? {
            Content::NeedsInput => Ok(None),
            Content::End => Ok(Some(Event::End(self.receive.trailers()))),
            Content::Bytes(bytes) => {
                let (count, before) = (bytes.len(), self.receive.completed());
                let range = self.receive.take(count, &mut self.outstanding);
                self.end_due = self.receive.completed() > before;
                let bytes = self.receive.taken_bytes(range);
                Ok(Some(if tunnel { Event::Raw(bytes) } else { Event::Content(bytes) }))
            }
        }
    }

    /// Whether the connection has become a tunnel.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.receive.is_tunnel()
    }

    /// The directions in which you should wait for the transport.
    #[must_use]
    pub fn wants(&self) -> Wants {
        Wants { read: !self.outstanding.is_empty(), write: !self.to_send().is_empty() }
    }
}
