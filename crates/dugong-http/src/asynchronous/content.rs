//! Writing the content of a request.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use dugong_proto::{Fields, Misuse};
use futures_core::Stream;
use http_body::Body;

use super::connection::Connection;
use super::runtime::Runtime;
use super::transport::Asks;
use crate::convert::to_fields;
use crate::error::Error;
use crate::step::Continue;
use crate::transport::WaitingFor;
use crate::upload::UploadError;

/// Writes the content that the last request announced, and checks its length.
///
/// If the request expects 100 (Continue), the first write waits for it, at most as long as configured.
#[derive(Debug)]
pub struct ContentWriter<'a, R: Runtime> {
    connection: &'a mut Connection<R>,
}

impl<R: Runtime> Connection<R> {
    /// Returns the writer for the content that the last request announced. You can drop it and ask for it again.
    pub fn content(&mut self) -> ContentWriter<'_, R> {
        ContentWriter::new(self)
    }
}

impl<'a, R: Runtime> ContentWriter<'a, R> {
    pub(super) fn new(connection: &'a mut Connection<R>) -> Self {
        connection.waiting.begin();
        ContentWriter { connection }
    }

    /// Sends some of `content`. Returns how much: at least one byte unless `content` is empty.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::ContentWriter::send).
    pub async fn send(&mut self, content: &[u8]) -> Result<usize, Error> {
        self.connection.waiting.begin();
        poll_fn(|cx| self.poll_send(cx, content)).await
    }

    /// Polls [`send`](ContentWriter::send).
    ///
    /// # Errors
    /// The same as for [`send`](ContentWriter::send).
    pub fn poll_send(&mut self, cx: &mut Context<'_>, content: &[u8]) -> Poll<Result<usize, Error>> {
        loop {
            let mut access = self.connection.access().looking();
            let sent = access.poll(cx, WaitingFor::Sending, |duplex, stream| duplex.write_content(content, stream));
            match ready!(sent) {
                Err(Error::Local(Misuse::AwaitContinue)) => ready!(self.poll_may_send(cx))?,
                other => return Poll::Ready(other),
            }
        }
    }

    /// Sends all of `content`.
    ///
    /// # Errors
    /// The same as for [`send`](ContentWriter::send), but some bytes may have been sent.
    pub async fn send_all(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            let count = self.send(content).await?;
            content = &content[count..];
        }
        Ok(())
    }

    /// Ends the content: checks that all of it was sent, or sends the last chunk.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::ContentWriter::finish).
    pub async fn finish(self) -> Result<(), Error> {
        self.finish_with_trailers(&Fields::new()).await
    }

    /// Ends chunked content with a trailer section (RFC 9112 §7.1.2).
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::ContentWriter::finish_with_trailers).
    pub async fn finish_with_trailers(mut self, trailers: &Fields) -> Result<(), Error> {
        poll_fn(|cx| self.poll_finish(cx, trailers)).await
    }

    /// Polls [`finish_with_trailers`](ContentWriter::finish_with_trailers).
    ///
    /// # Errors
    /// The same as for [`finish_with_trailers`](ContentWriter::finish_with_trailers).
    pub fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: &Fields) -> Poll<Result<(), Error>> {
        loop {
            let mut access = self.connection.access();
            match access.step(cx, Asks::Runtime, |duplex, stream| duplex.finish_content(trailers, stream)).0 {
                Err(Error::Local(Misuse::AwaitContinue)) => ready!(self.poll_may_send(cx))?,
                other => return Poll::Ready(other.map(drop)),
            }
        }
    }

    /// Sends all pieces of a stream, and ends the content.
    ///
    /// # Errors
    /// [`UploadError::Source`] if the stream fails: the content is unfinished, so send more of it or drop the connection. The
    /// others as for [`send`](ContentWriter::send) and [`finish`](ContentWriter::finish).
    pub async fn send_stream<S, B, E>(mut self, stream: S) -> Result<(), UploadError<E>>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let mut stream = pin!(stream);
        while let Some(piece) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            self.send_piece(piece.map_err(UploadError::Source)?).await?;
        }
        Ok(self.finish().await?)
    }

    /// Sends all of a body, and ends the content; with the trailers of the body if the content is chunked.
    ///
    /// # Errors
    /// The same as for [`send_stream`](ContentWriter::send_stream).
    pub async fn send_body<B: Body>(mut self, body: B) -> Result<(), UploadError<B::Error>> {
        let mut body = pin!(body);
        let mut trailers = Fields::new();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(UploadError::Source)?;
            match frame.into_data() {
                Ok(data) => self.send_piece(data).await?,
                Err(frame) => {
                    if let Ok(map) = frame.into_trailers() {
                        trailers = to_fields(&map).map_err(Error::Local)?;
                    }
                }
            }
        }
        Ok(self.finish_with_trailers(&trailers).await?)
    }

    async fn send_piece(&mut self, mut piece: impl Buf) -> Result<(), Error> {
        while piece.has_remaining() {
            let count = self.send(piece.chunk()).await?;
            piece.advance(count);
        }
        Ok(())
    }

    /// Sends buffered bytes as far as possible without waiting. Later calls send the rest.
    ///
    /// # Errors
    /// The same as for [`send`](ContentWriter::send).
    pub fn poll_send_buffered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(self.connection.access().step(cx, Asks::Runtime, |duplex, stream| duplex.write_pending(stream)).0.map(drop))
    }

    /// Waits for the answer to an expectation; a refusal is an error.
    fn poll_may_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connection.poll_continue(cx).map(|answer| match answer? {
            Continue::Send => Ok(()),
            Continue::Refused => Err(Error::Local(Misuse::ContentRefused)),
        })
    }
}
