//! Two halves and a queue behind one set of methods, for drivers that do everything in one place.

use crate::error::{Error, Misuse};
use crate::fields::Fields;
use crate::limits::Limits;
use crate::outstanding::Outstanding;
use crate::receive::{Content, HeadKind, ReceiveHalf};
use crate::request::RequestHead;
use crate::response::ResponseHead;
use crate::send::SendHalf;

/// A client's side of an HTTP/1.1 connection, without the connection: see the [crate's documentation](crate) for how to drive
/// it.
///
/// Sending and receiving do not wait for each other: whatever was sent, [`next_event`](Connection::next_event) goes on with
/// what was received, and the other way round.
#[derive(Debug)]
pub struct Connection {
    send: SendHalf,
    receive: ReceiveHalf,
    outstanding: Outstanding,
    /// A response without content was reported, and its end was not.
    end_due: bool,
}

/// Something that was received.
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
    /// The next bytes of a tunnel, which are not HTTP (after 2xx to CONNECT, or 101).
    Raw(&'a [u8]),
}

/// What a driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants {
    /// Receive: a response is due.
    pub read: bool,
    /// Send: there is something [`to_send`](Connection::to_send).
    pub write: bool,
}

impl Wants {
    /// Nothing is to be sent, and nothing is due.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        !self.read && !self.write
    }
}

/// Bytes that a [`Connection`] holds before they are consumed.
const RECEIVE_CAPACITY: usize = 64 * 1024;

impl Connection {
    /// A connection to `host`, the value of the `Host` field, with the default [`Limits`].
    ///
    /// # Errors
    /// [`Misuse::Host`] if it cannot be that.
    pub fn new(host: &str) -> Result<Self, Misuse> {
        Self::with_limits(host, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// [`Misuse::Host`] if the host is not valid.
    pub fn with_limits(host: &str, limits: Limits) -> Result<Self, Misuse> {
        Ok(Connection {
            send: SendHalf::new(host)?,
            receive: ReceiveHalf::new(limits, RECEIVE_CAPACITY),
            outstanding: Outstanding::new(),
            end_due: false,
        })
    }

    /// The two halves and the queue, for drivers that run them in different places.
    #[must_use]
    pub fn into_parts(self) -> (SendHalf, ReceiveHalf, Outstanding) {
        (self.send, self.receive, self.outstanding)
    }

    /// The requests that wait for their response, and what is left of the connection.
    #[must_use]
    pub fn outstanding(&self) -> &Outstanding {
        &self.outstanding
    }

    /// Adds a request to what there is to send. The result is its number.
    ///
    /// # Errors
    /// As for [`SendHalf::request`]; nothing has changed then.
    pub fn send_request(&mut self, request: &RequestHead) -> Result<u64, Error> {
        self.send.request(request, &Fields::new(), &mut self.outstanding)
    }

    /// Adds content of the last request to what there is to send. The result is how many bytes of it were taken.
    ///
    /// # Errors
    /// As for [`SendHalf::offer`]; nothing has changed then.
    pub fn send_content(&mut self, content: &[u8]) -> Result<usize, Error> {
        self.send.content(content, &mut self.outstanding)
    }

    /// Ends the content of the last request.
    ///
    /// # Errors
    /// As for [`SendHalf::finish`]; nothing has changed then.
    pub fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        self.send.finish(trailers, &mut self.outstanding)
    }

    /// Stops waiting for 100 (Continue): see [`SendHalf::proceed_without_continue`].
    pub fn proceed_without_continue(&mut self) {
        self.send.proceed_without_continue(&mut self.outstanding);
    }

    /// The bytes to send next. None are left after an error, or after the last response: [`outstanding`](Connection::outstanding)
    /// reports what was not sent, and that must not be sent later.
    #[must_use]
    pub fn to_send(&self) -> &[u8] {
        if self.outstanding.verdict().is_some() { &[] } else { self.send.to_send() }
    }

    /// The first `count` bytes of [`to_send`](Connection::to_send) were sent. It matters that this is said before an answer is
    /// taken in: what arrives before a byte of the request was sent is no answer to it.
    ///
    /// # Panics
    /// If there were not so many.
    pub fn sent(&mut self, count: usize) {
        self.receive.note_received(&mut self.outstanding);
        self.send.sent(count, &mut self.outstanding);
    }

    /// Takes in bytes that were received. The result is how many there was room for: all, if
    /// [`next_event`](Connection::next_event) said that there is nothing left and no more than 64 KiB come at a time.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        self.receive.receive(bytes)
    }

    /// The peer closed the connection in order; see [`ReceiveHalf::receive_eof`].
    pub fn receive_eof(&mut self) {
        self.receive.receive_eof();
    }

    /// The connection broke; see [`ReceiveHalf::receive_broken`].
    pub fn receive_broken(&mut self) {
        self.receive.receive_broken();
    }

    /// The next event in what was received; `None` if more has to be received first.
    ///
    /// # Errors
    /// See [`Error`]. Any error but `Local` stays.
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

    /// Whether the connection turned into a tunnel.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.receive.is_tunnel()
    }

    /// What has to be done next.
    #[must_use]
    pub fn wants(&self) -> Wants {
        Wants { read: !self.outstanding.is_empty(), write: !self.to_send().is_empty() }
    }
}
