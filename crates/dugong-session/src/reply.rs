//! Replies: a response, collected or to be read.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use dugong_http::driver::decimal;
use dugong_http::{Fields, ResponseHead, Status};

use crate::effort::Effort;
use crate::plan::Sent;
use crate::ticket::Ticket;

/// A response.
///
/// A collected reply has all of its content in memory. A [streamed](crate::Request::streamed) one is read with [`Read`]; if you drop it
/// before its end, the session skips the rest or closes the connection.
pub struct Reply {
    head: ResponseHead,
    sent: Sent,
    attempts: u32,
    content: Content,
    trailers: Fields,
}

enum Content {
    Collected(Bytes),
    Streamed(Box<Ticket>),
}

impl Reply {
    pub(crate) fn collected(head: ResponseHead, content: Bytes, trailers: Fields, effort: Effort) -> Self {
        let Effort { sent, attempts } = effort;
        Reply { head, sent, attempts, content: Content::Collected(content), trailers }
    }

    pub(crate) fn streamed(head: ResponseHead, effort: Effort, ticket: Ticket) -> Self {
        let Effort { sent, attempts } = effort;
        Reply { head, sent, attempts, content: Content::Streamed(Box::new(ticket)), trailers: Fields::new() }
    }

    pub(crate) fn effort(&self) -> Effort {
        Effort { sent: self.sent, attempts: self.attempts }
    }

    pub(crate) fn set_effort(&mut self, effort: Effort) {
        (self.sent, self.attempts) = (effort.sent, effort.attempts);
    }

    /// The status line and the header section.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// The reason phrase as text; often empty.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        self.head.reason_text()
    }

    /// The header section.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        self.head.fields()
    }

    /// The value of the first header field called `name`; `None` if the reply has none, or if the value is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields().get(name)
    }

    /// The trailer section; empty until all content is there (RFC 9112 §7.1.2).
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// How much of the request left: the most in any attempt. [`Sent::Partly`] if the server answered before all content had left.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Connections on which a byte of the request may have left.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The content, if the reply was collected; of a streamed one, nothing.
    #[must_use]
    pub fn content(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.content {
            Content::Collected(content) => content,
            Content::Streamed(_) => &NONE,
        }
    }

    /// Takes the content, without a copy.
    #[must_use]
    pub fn into_content(self) -> Bytes {
        match self.content {
            Content::Collected(content) => content,
            Content::Streamed(_) => Bytes::new(),
        }
    }

    /// The content as UTF-8 text, with U+FFFD in place of bytes that are none.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.content())
    }

    /// The length that the head announces, in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match &self.content {
            Content::Collected(content) => Some(content.len() as u64),
            Content::Streamed(_) => decimal(self.header("Content-Length")?.as_bytes()),
        }
    }

    /// The ticket of a streamed reply, to read its content in another way.
    pub fn ticket_mut(&mut self) -> Option<&mut Ticket> {
        match &mut self.content {
            Content::Collected(_) => None,
            Content::Streamed(ticket) => Some(ticket),
        }
    }

    /// Whether the content is read in pieces.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        matches!(self.content, Content::Streamed(_))
    }
}

#[cfg(feature = "tokio")]
impl Reply {
    /// Reads without waiting: `None` if no content is there, 0 at the end.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Content::Streamed(ticket) = &mut self.content else { return self.read(buffer).map(Some) };
        let count = ticket.read(buffer)?;
        if count == Some(0) && !buffer.is_empty() {
            self.take_trailers();
        }
        Ok(count)
    }

    /// Takes a piece of content without waiting: `None` if none is there, an empty one at the end.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let ticket = match &mut self.content {
            Content::Collected(content) => return Ok(Some(std::mem::take(content))),
            Content::Streamed(ticket) => ticket,
        };
        let piece = ticket.next_piece()?;
        if piece.as_ref().is_some_and(Bytes::is_empty) {
            self.take_trailers();
        }
        Ok(piece)
    }
}

impl Reply {
    fn take_trailers(&mut self) {
        if let Content::Streamed(ticket) = &mut self.content
            && let Some(trailers) = ticket.take_trailers()
        {
            self.trailers = trailers;
        }
    }
}

/// Reads the content, and waits if none has arrived. An error holds a [`Failed`](crate::Failed), which says how much of the reply came.
impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Collected(content) => {
                let count = content.len().min(buffer.len());
                content.copy_to_slice(&mut buffer[..count]);
                Ok(count)
            }
            Content::Streamed(ticket) => {
                let count = ticket.read_waiting(buffer)?;
                if count == 0 && !buffer.is_empty() {
                    self.take_trailers();
                }
                Ok(count)
            }
        }
    }
}

/// Counts the content, instead of showing it.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reply");
        shown.field("head", &self.head).field("attempts", &self.attempts);
        match &self.content {
            Content::Collected(content) => shown.field("content", &format_args!("{} bytes", content.len())),
            Content::Streamed(_) => shown.field("content", &format_args!("streamed")),
        };
        shown.finish()
    }
}
