//! Content of requests that tasks produce while it is sent.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, ReadBuf};
use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;

use crate::auth::BoxError;
use crate::request::{Request, Source};
use crate::ticket::{News, Ticket};

/// Content of a request that is read while it is sent: see [`Session::request_with`](super::Session::request_with).
///
/// If the first 64 KiB are there at once, and are all, the session keeps them and can repeat the request. Otherwise it repeats the
/// request only if it has not begun to read.
pub struct Content {
    length: Option<u64>,
    pieces: Box<dyn Pieces>,
    /// Pieces that were read before the request was submitted.
    ahead: VecDeque<Bytes>,
    is_over: bool,
}

impl Content {
    /// The data of a body. Its exact size is announced, if it has one; otherwise the content is sent in chunks. Trailers are an error.
    pub fn body<B>(body: B) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Content::new(body.size_hint().exact(), BodyPieces(Box::pin(body)))
    }

    /// All that a reader gives: exactly `length` bytes, or any number in chunks.
    pub fn reader(reader: impl AsyncRead + Send + 'static, length: impl Into<Option<u64>>) -> Self {
        Content::new(length.into(), ReaderPieces { reader: Box::pin(reader), buffer: BytesMut::new() })
    }

    fn new(length: Option<u64>, pieces: impl Pieces + 'static) -> Self {
        Content { length, pieces: Box::new(pieces), ahead: VecDeque::new(), is_over: false }
    }

    /// Puts the content into a request: all of it, if it is small and can be read without waiting.
    pub(super) fn attach(mut self, request: Request, cx: &mut Context<'_>) -> Result<(Request, Option<Upload>), BoxError> {
        let is_small = self.length.is_none_or(|length| length <= IN_MEMORY as u64);
        let mut count = 0;
        while is_small && count <= IN_MEMORY && !self.is_over {
            match self.pieces.poll_piece(cx)? {
                Poll::Pending => break,
                Poll::Ready(None) => self.is_over = true,
                Poll::Ready(Some(piece)) => {
                    count += piece.len();
                    self.ahead.push_back(piece);
                }
            }
        }
        if self.is_over && self.length.is_none_or(|length| length == count as u64) {
            let content = if self.ahead.len() == 1 { self.ahead.remove(0) } else { None };
            return Ok((request.body(content.unwrap_or_else(|| Vec::from(self.ahead).concat().into())), None));
        }
        let request = request.source(Announced(self.length));
        Ok((request, Some(Upload { content: self, is_begun: false, is_wanted: false })))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        match self.ahead.pop_front() {
            Some(piece) => Poll::Ready(Ok(Some(piece))),
            None if self.is_over => Poll::Ready(Ok(None)),
            None => self.pieces.poll_piece(cx),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Content of up to this size is kept, so that its request can be repeated.
const IN_MEMORY: usize = 64 * 1024;

/// Tells the session the length of content that the task gives by itself.
struct Announced(Option<u64>);

impl Source for Announced {
    fn length(&self) -> Option<u64> {
        self.0
    }

    fn is_read_once(&self) -> bool {
        true
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::other("the content belongs to another task"))
    }
}

/// Content on its way from its task to the session.
#[derive(Debug)]
pub(super) struct Upload {
    content: Content,
    /// Some of the content was given to the session.
    is_begun: bool,
    /// The session has room for content.
    is_wanted: bool,
}

impl Upload {
    /// Notes what the session wants.
    pub(super) fn serve(&mut self, ticket: &mut Ticket, news: &News) {
        match news {
            News::Begins { .. } if self.is_begun => ticket.fail(io::Error::other("the content can be read only once")),
            News::Begins { attempt } => ticket.begin_signed(*attempt),
            News::WantsContent => self.is_wanted = true,
            News::None | News::Head | News::Over => {}
        }
    }

    /// Gives the session the content that it wants; false if none is ready.
    pub(super) fn feed(&mut self, ticket: &mut Ticket, cx: &mut Context<'_>) -> bool {
        if !self.is_wanted {
            return false;
        }
        let Poll::Ready(piece) = self.content.poll_piece(cx) else { return false };
        (self.is_begun, self.is_wanted) = (true, false);
        match piece {
            Ok(Some(piece)) => ticket.give(piece),
            Ok(None) => ticket.finish(),
            Err(error) => ticket.fail(io::Error::other(error)),
        }
        true
    }
}

trait Pieces: Send {
    /// The next piece, which is not empty; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>>;
}

struct BodyPieces<B>(Pin<Box<B>>);

impl<B> Pieces for BodyPieces<B>
where
    B: Body + Send,
    B::Error: Into<BoxError>,
{
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        loop {
            let Some(frame) = ready!(self.0.as_mut().poll_frame(cx)) else { return Poll::Ready(Ok(None)) };
            match frame.map_err(Into::into)?.into_data() {
                Ok(mut data) if data.has_remaining() => {
                    let count = data.remaining();
                    return Poll::Ready(Ok(Some(data.copy_to_bytes(count))));
                }
                Ok(_) => {}
                Err(_) => return Poll::Ready(Err("a session sends no trailers, but the body has some".into())),
            }
        }
    }
}

struct ReaderPieces<R> {
    reader: Pin<Box<R>>,
    buffer: BytesMut,
}

impl<R: AsyncRead + Send> Pieces for ReaderPieces<R> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        self.buffer.resize(IN_MEMORY, 0);
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(self.reader.as_mut().poll_read(cx, &mut buffer))?;
        let count = buffer.filled().len();
        Poll::Ready(Ok((count > 0).then(|| self.buffer.split_to(count).freeze())))
    }
}
