//! The client for tasks of tokio.
//!
//! These are the types of [`asynchronous`], which says more about them, with [`Tokio`] for their runtime and the names of the
//! blocking client. A [`Response`] is tokio's [`AsyncRead`] and [`AsyncBufRead`], and a [`ContentWriter`] its [`AsyncWrite`];
//! [`Config::over_io`] takes any stream of tokio's.
//!
//! ```
//! # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", origin.address());
//! use dugong_http::Request;
//! use dugong_http::tokio::Connection;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let mut connection = Connection::connect(&url).await?;
//! connection.send_request(Request::get("/doc/1")).await?;
//! connection.send_request(Request::get("/doc/2")).await?; // before any response is read
//! let mut first = connection.read_response().await?;
//! tokio::io::copy(&mut first, &mut tokio::io::sink()).await?; // an error if it is cut short
//! let second = connection.read_response().await?.read_all().await?;
//! assert!(!second.is_empty());
//!
//! let requests = (0..1000).map(|i| Request::get(format!("/doc/{i}")));
//! let mut pipeline = connection.pipeline(requests).max_requests(32);
//! while let Some(response) = pipeline.next().await? {
//!     response.discard().await?;
//! }
//!
//! let (mut requests, mut responses) = connection.split(); // for two tasks
//! let upload = Request::put("/x").body("hello");
//! let sender = tokio::spawn(async move { requests.send_request(upload).await });
//! assert_eq!(responses.read_response().await?.expect("one was sent").status(), 200);
//! sender.await??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Panics
//!
//! Connecting panics outside of tokio's runtime, or if the runtime has no driver for I/O. A limit of time panics if it has no
//! driver for time.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ::tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use ::tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use ::tokio::time::{Sleep, sleep_until};

use crate::asynchronous::{self, Attempt, Direction, PollStream, Runtime, UploadError};
use crate::config::Config;
use crate::error::Error;
use crate::transport::Origin;

/// See [`asynchronous::Connection`].
pub type Connection = asynchronous::Connection<Tokio>;
/// See [`asynchronous::Response`].
pub type Response<'a> = asynchronous::Response<'a, Tokio>;
/// See [`asynchronous::Content`].
pub type Content<'a> = asynchronous::Content<'a, Tokio>;
/// See [`asynchronous::ContentWriter`].
pub type ContentWriter<'a> = asynchronous::ContentWriter<'a, Tokio>;
/// See [`asynchronous::RequestHalf`].
pub type RequestHalf = asynchronous::RequestHalf<Tokio>;
/// See [`asynchronous::ResponseHalf`].
pub type ResponseHalf = asynchronous::ResponseHalf<Tokio>;
/// See [`asynchronous::Pipeline`].
pub type Pipeline<'a, I> = asynchronous::Pipeline<'a, Tokio, I>;
/// See [`asynchronous::Collecting`].
pub type Collecting<'a, I> = asynchronous::Collecting<'a, Tokio, I>;
/// See [`asynchronous::Transport`].
pub type Transport = asynchronous::Transport<Tokio>;

/// The adapter for tokio, whose drivers for I/O and time must be enabled.
#[derive(Clone, Copy, Debug)]
pub enum Tokio {}

/// A descriptor for tokio.
#[derive(Debug)]
pub struct Descriptor<T>(T);

impl<T: AsFd> AsRawFd for Descriptor<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Runtime for Tokio {
    type Registered<T: AsFd + Send + Sync + 'static> = AsyncFd<Descriptor<T>>;
    type Timer = Sleep;

    // Since 1.54 tokio has this as an unsafe function, since a descriptor might be closed or replaced. Here `AsFd` gives it, of
    // a value that the `AsyncFd` owns and no code changes; and this crate has no unsafe code.
    #[allow(deprecated, reason = "the function that is not deprecated is unsafe")]
    fn register<T: AsFd + Send + Sync + 'static>(descriptor: T) -> io::Result<Self::Registered<T>> {
        AsyncFd::new(Descriptor(descriptor))
    }

    #[inline]
    fn registered<T: AsFd + Send + Sync + 'static>(registered: &Self::Registered<T>) -> &T {
        &registered.get_ref().0
    }

    fn poll_ready<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        poll(registered, direction, cx).map_ok(drop)
    }

    #[inline]
    fn poll_io<T: AsFd + Send + Sync + 'static>(
        registered: &Self::Registered<T>,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&T) -> io::Result<Attempt>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // This clears the readiness that was there before the attempt, and none that came since.
            let mut ready = ready!(poll(registered, direction, cx))?;
            match attempt(&registered.get_ref().0)? {
                Attempt::Some(count) => return Poll::Ready(Ok(count)),
                Attempt::All(count) => {
                    ready.clear_ready();
                    return Poll::Ready(Ok(count));
                }
                Attempt::NotReady => ready.clear_ready(),
            }
        }
    }

    fn timer(at: Instant) -> Sleep {
        sleep_until(at.into())
    }

    fn set(timer: Pin<&mut Sleep>, at: Instant) {
        timer.reset(at.into());
    }
}

#[inline]
fn poll<'a, T: AsFd>(
    registered: &'a AsyncFd<Descriptor<T>>,
    direction: Direction,
    cx: &mut Context<'_>,
) -> Poll<io::Result<AsyncFdReadyGuard<'a, Descriptor<T>>>> {
    match direction {
        Direction::Read => registered.poll_read_ready(cx),
        Direction::Write => registered.poll_write_ready(cx),
    }
}

/// Connections for tasks of tokio. Call these within its runtime.
impl Config {
    /// Uses a stream of tokio's. Its peer speaks for `origin`, over TLS if that is secure.
    ///
    /// # Errors
    /// The same as for [`over`](Config::over).
    pub async fn over_io(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        origin: &Origin,
    ) -> Result<Connection, Error> {
        Connection::over_poll_stream(self, Io(Box::pin(stream)), origin).await
    }
}

/// A stream of tokio's.
struct Io<T>(Pin<Box<T>>);

impl<T: AsyncRead + AsyncWrite + Send + 'static> PollStream for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.0.as_mut().poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write_vectored(cx, pieces)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl<R: Runtime> AsyncRead for asynchronous::Response<'_, R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.get_mut().poll_read_content(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<R: Runtime> AsyncBufRead for asynchronous::Response<'_, R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(ready!(self.get_mut().poll_fill(cx))?.unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().consume(count);
    }
}

/// Shutting it down ends the content.
impl<R: Runtime> AsyncWrite for asynchronous::ContentWriter<'_, R> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, content: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(ready!(self.get_mut().poll_send(cx, content))?))
    }

    /// Sends buffered bytes as far as possible without waiting. Later calls send the rest.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.get_mut().poll_send_buffered(cx))?))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(ready!(self.get_mut().poll_finish(cx, &dugong_proto::Fields::new()))?))
    }
}

impl<R: Runtime> asynchronous::ContentWriter<'_, R> {
    /// Sends all bytes of `source`, and ends the content. Returns their number.
    ///
    /// # Errors
    /// The same as for [`send_stream`](asynchronous::ContentWriter::send_stream).
    pub async fn send_from(mut self, mut source: impl AsyncRead + Unpin) -> Result<u64, UploadError<io::Error>> {
        let mut buffer = vec![0; PIECE];
        let mut sent = 0;
        loop {
            let count = source.read(&mut buffer).await.map_err(UploadError::Source)?;
            if count == 0 {
                self.finish().await?;
                return Ok(sent);
            }
            self.send_all(&buffer[..count]).await?;
            sent += count as u64;
        }
    }
}

/// The size of a read from a source of content.
const PIECE: usize = 64 * 1024;
