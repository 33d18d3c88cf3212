//! Replies for tasks.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, ReadBuf};
use bytes::Bytes;
use dugong_http::convert::to_header_map;
use dugong_http::{Fields, ResponseHead, Status};
use http_body::{Body, Frame, SizeHint};

use super::pilot::Pilot;
use crate::reply;

/// A response: see [`crate::Reply`].
///
/// The content of a [streamed](crate::Request::streamed) one is read with [`AsyncRead`], or as an [`http_body::Body`], which has the
/// trailers as well. An error holds a [`Failed`](crate::Failed), which says how much of the reply came.
#[derive(Debug)]
pub struct Reply {
    reply: reply::Reply,
    is_awaited: bool,
    /// The body has given its last frame.
    is_over: bool,
    /// Keeps the session going.
    pilot: Arc<Pilot>,
}

impl Reply {
    pub(super) fn new(pilot: Arc<Pilot>, reply: reply::Reply) -> Self {
        Reply { reply, is_awaited: false, is_over: false, pilot }
    }

    /// The status line and the header section.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        self.reply.head()
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.reply.status()
    }

    /// The reason phrase as text; often empty.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        self.reply.reason()
    }

    /// The header section.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        self.reply.fields()
    }

    /// The value of the first header field called `name`; `None` if the reply has none, or if the value is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.reply.header(name)
    }

    /// The trailer section; empty until all content is there (RFC 9112 §7.1.2).
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        self.reply.trailers()
    }

    /// Connections on which a byte of the request may have left.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.reply.attempts()
    }

    /// The content, if the reply was collected; of a streamed one, nothing.
    #[must_use]
    pub fn content(&self) -> &Bytes {
        self.reply.content()
    }

    /// Takes the content of a collected reply, without a copy.
    #[must_use]
    pub fn into_content(self) -> Bytes {
        self.reply.into_content()
    }

    /// The content of a collected reply as UTF-8 text, with U+FFFD in place of bytes that are none.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.reply.text()
    }

    /// The length that the head announces, in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.reply.content_length()
    }

    /// Whether the content is read in pieces.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.reply.is_streamed()
    }

    /// Waits for the next piece of content, and returns it without a copy; `None` at the end.
    ///
    /// # Errors
    /// The reply is not complete.
    pub async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let piece = ready!(self.poll(cx, reply::Reply::next_piece))?;
        Poll::Ready(Ok((!piece.is_empty()).then_some(piece)))
    }

    /// Makes an attempt to read, which returns `None` if it has to wait.
    fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        mut attempt: impl FnMut(&mut reply::Reply) -> io::Result<Option<T>>,
    ) -> Poll<io::Result<T>> {
        if let Some(ticket) = self.reply.ticket_mut() {
            ticket.set_waker(cx.waker());
        }
        let got = attempt(&mut self.reply)?;
        let is_awaited = got.is_none();
        if is_awaited != self.is_awaited
            && let Some(ticket) = self.reply.ticket_mut()
        {
            ticket.set_awaited(is_awaited);
            self.is_awaited = is_awaited;
        }
        if is_awaited {
            self.pilot.go_on();
        }
        got.map_or(Poll::Pending, |got| Poll::Ready(Ok(got)))
    }
}

/// Reads the content. A collected reply can be read as well.
impl AsyncRead for Reply {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.get_mut().poll(cx, |reply| reply.try_read(buffer.initialize_unfilled())))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let reply = self.get_mut();
        if reply.is_over {
            return Poll::Ready(None);
        }
        let piece = ready!(reply.poll_piece(cx));
        reply.is_over = !matches!(piece, Ok(Some(_)));
        match piece {
            Ok(Some(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Ok(None) if reply.trailers().is_empty() => Poll::Ready(None),
            Ok(None) => Poll::Ready(Some(Ok(Frame::trailers(to_header_map(reply.trailers()))))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || !self.is_streamed() && self.content().is_empty() && self.trailers().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // A streamed reply does not know how much of it was read.
        if self.is_streamed() { SizeHint::new() } else { SizeHint::with_exact(self.content().len() as u64) }
    }
}
