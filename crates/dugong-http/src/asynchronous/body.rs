//! The content of a response as a stream, and as a body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};

use super::response::Response;
use super::runtime::Runtime;
use crate::convert::to_header_map;
use crate::error::Error;

/// The content of a response: a [`Stream`] of pieces, each as large as the bytes that have come, and an [`http_body::Body`],
/// which has the trailers as well. It ends in an error if the content is not complete.
#[derive(Debug)]
pub struct Content<'a, R: Runtime> {
    response: Response<'a, R>,
    is_over: bool,
}

impl<'a, R: Runtime> Response<'a, R> {
    /// Returns the content as a [`Stream`](futures_core::Stream) of `Bytes` and an [`http_body::Body`].
    #[must_use]
    pub fn into_content(self) -> Content<'a, R> {
        Content::new(self)
    }
}

impl<'a, R: Runtime> Content<'a, R> {
    pub(super) fn new(response: Response<'a, R>) -> Self {
        Content { response, is_over: false }
    }

    /// The response, to look at.
    #[must_use]
    pub fn response(&self) -> &Response<'a, R> {
        &self.response
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.response.poll_fill(cx)) {
            Ok(Some(bytes)) => Bytes::copy_from_slice(bytes),
            Ok(None) => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Err(error) => {
                // After a limit of time you can go on.
                self.is_over = !error.is_timeout();
                return Poll::Ready(Some(Err(error)));
            }
        };
        self.response.consume(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }
}

impl<R: Runtime> Stream for Content<'_, R> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_piece(cx)
    }
}

impl<R: Runtime> Body for Content<'_, R> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let content = self.get_mut();
        if content.is_over {
            return Poll::Ready(None);
        }
        match ready!(content.poll_piece(cx)) {
            Some(piece) => Poll::Ready(Some(piece.map(Frame::data))),
            None if content.response.trailers().is_empty() => Poll::Ready(None),
            None => Poll::Ready(Some(Ok(Frame::trailers(to_header_map(content.response.trailers()))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (self.response.content_length() == Some(0) && self.response.trailers().is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self.response.content_length() {
            Some(length) => SizeHint::with_exact(length - self.response.content_received().min(length)),
            None => SizeHint::new(),
        }
    }
}
