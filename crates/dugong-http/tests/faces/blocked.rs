//! The async client with the blocking client's signatures: each call blocks on a future. So every test of the blocking client
//! tests the async one, too.

#![allow(dead_code, reason = "whatever the blocking client has")]

use std::borrow::Borrow;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use real::asynchronous::{self, Attempt, Direction, PollStream, Runtime};
use real::{CloseReason, Continue, Error, Fields, Limits, Origin, Request, Requests, ResponseHead, Status};

use crate::{R, block_on};

macro_rules! settings {
    ($($function:ident($($argument:ident: $type:ty),*);)*) => {
        impl Config {
            $(pub(crate) fn $function(self, $($argument: $type),*) -> Self {
                Config(self.0.$function($($argument),*))
            })*
        }
    };
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Config(pub(crate) real::Config);

settings! {
    timeout(limit: impl Into<Option<Duration>>);
    send_timeout(limit: impl Into<Option<Duration>>);
    response_timeout(limit: impl Into<Option<Duration>>);
    content_timeout(limit: impl Into<Option<Duration>>);
    deadline(limit: impl Into<Option<Duration>>);
    handshake_timeout(limit: impl Into<Option<Duration>>);
    establish_timeout(limit: impl Into<Option<Duration>>);
    expect_timeout(limit: Duration);
    limits(limits: Limits);
    receive_buffer(bytes: usize);
    send_buffer(bytes: usize);
    require_length(required: bool);
    tls(tls: real::Tls);
    observe(observe: impl Fn(&real::Event<'_>) + Send + Sync + 'static);
    addresses(host: &str, port: u16, addresses: impl IntoIterator<Item = SocketAddr>);
}

/// Lets tests of the engine reach the real settings.
impl std::ops::Deref for Config {
    type Target = real::Config;

    fn deref(&self) -> &real::Config {
        &self.0
    }
}

impl Config {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn user_agent<'a>(self, name: impl Into<Option<&'a str>>) -> Self {
        Config(self.0.user_agent(name))
    }

    pub(crate) fn connect(&self, url: impl AsRef<str>) -> Result<Connection, Error> {
        self.connect_to(&Origin::of_url(url.as_ref())?.0)
    }

    pub(crate) fn connect_to(&self, origin: &Origin) -> Result<Connection, Error> {
        block_on(asynchronous::Connection::connect_to(&self.0, origin)).map(Connection)
    }

    pub(crate) fn over_stream(&self, stream: impl real::transport::PollableStream, origin: &Origin) -> Result<Connection, Error> {
        block_on(async {
            let copy = stream.as_fd().try_clone_to_owned().and_then(|copy| {
                rustix::io::ioctl_fionbio(&copy, true)?;
                R::register(copy)
            });
            let stream = Watched { stream, copy: copy.expect("a free descriptor") };
            asynchronous::Connection::over_poll_stream(&self.0, stream, origin).await.map(Connection)
        })
    }

    pub(crate) fn over(&self, socket: impl Into<OwnedFd>, origin: &Origin) -> Result<Connection, Error> {
        block_on(asynchronous::Connection::over(&self.0, socket, origin)).map(Connection)
    }
}

#[derive(Debug)]
pub(crate) struct Connection(pub(crate) asynchronous::Connection<R>);

impl Connection {
    pub(crate) fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        block_on(asynchronous::Connection::connect(url)).map(Connection)
    }

    pub(crate) fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.0.set_timeout(timeout);
    }

    pub(crate) fn set_response_timeout(&mut self, timeout: Option<Duration>) {
        self.0.set_response_timeout(timeout);
    }

    pub(crate) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.0.set_deadline(deadline);
    }

    pub(crate) fn transport(&self) -> Transport<'_> {
        Transport(self.0.transport())
    }

    pub(crate) fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.0.on_interim(callback);
    }

    pub(crate) fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        block_on(self.0.send_request(request))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        block_on(self.0.flush())
    }

    pub(crate) fn content(&mut self) -> ContentWriter<'_> {
        ContentWriter(self.0.content())
    }

    pub(crate) fn content_left(&self) -> Option<u64> {
        self.0.content_left()
    }

    pub(crate) fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        block_on(self.0.wait_for_continue())
    }

    pub(crate) fn read_response(&mut self) -> Result<Response<'_>, Error> {
        block_on(self.0.read_response()).map(Response)
    }

    pub(crate) fn current_response(&mut self) -> Option<Response<'_>> {
        self.0.current_response().map(Response)
    }

    pub(crate) fn pipeline<I>(&mut self, requests: I) -> Pipeline<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<Request>,
    {
        Pipeline(self.0.pipeline(requests))
    }

    pub(crate) fn split(self) -> (RequestHalf, ResponseHalf) {
        let (requests, responses) = self.0.split();
        (RequestHalf(requests), ResponseHalf(responses))
    }

    pub(crate) fn outstanding(&self) -> Requests {
        self.0.outstanding()
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason()
    }

    pub(crate) fn close(self) -> Requests {
        block_on(self.0.close())
    }
}

pub(crate) struct Transport<'a>(&'a asynchronous::Transport<R>);

impl Transport<'_> {
    #[cfg(feature = "rustls")]
    pub(crate) fn tls(&self) -> Option<real::transport::TlsInfo> {
        self.0.tls()
    }

    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        self.0.peer_address()
    }
}

impl AsFd for Transport<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor().expect("a socket")
    }
}

/// A caller's stream, and a copy of its descriptor to wait for.
struct Watched<S> {
    stream: S,
    copy: <R as Runtime>::Registered<OwnedFd>,
}

impl<S> Watched<S> {
    fn poll(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        R::poll_io(&self.copy, direction, cx, |_| match attempt(&mut self.stream) {
            Ok(count) => Ok(Attempt::Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Attempt::NotReady),
            Err(error) => Err(error),
        })
    }
}

impl<S: Read + Write + Send + 'static> PollStream for Watched<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(Direction::Read, cx, |stream| stream.read(buffer))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll(Direction::Write, cx, |stream| stream.write_vectored(pieces))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(Direction::Write, cx, |stream| stream.flush().map(|()| 0)).map_ok(drop)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
pub(crate) struct Response<'a>(asynchronous::Response<'a, R>);

impl Response<'_> {
    pub(crate) fn number(&self) -> u64 {
        self.0.number()
    }

    pub(crate) fn head(&self) -> &ResponseHead {
        self.0.head()
    }

    pub(crate) fn status(&self) -> Status {
        self.0.status()
    }

    pub(crate) fn reason(&self) -> std::borrow::Cow<'_, str> {
        self.0.reason()
    }

    pub(crate) fn fields(&self) -> &Fields {
        self.0.fields()
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.0.content_length()
    }

    pub(crate) fn content_received(&self) -> u64 {
        self.0.content_received()
    }

    pub(crate) fn trailers(&self) -> &Fields {
        self.0.trailers()
    }

    pub(crate) fn read_all(self) -> Result<Vec<u8>, Error> {
        block_on(self.0.read_all())
    }

    pub(crate) fn read_to(&mut self, content: &mut Vec<u8>) -> Result<(), Error> {
        block_on(self.0.read_to(content))
    }

    pub(crate) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        block_on(self.0.read_content(buffer))
    }

    pub(crate) fn discard(self) -> Result<(), Error> {
        block_on(self.0.discard())
    }
}

impl Read for Response<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_content(buffer)?)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        self.read_to(buffer)?;
        Ok(buffer.len() - before)
    }
}

impl BufRead for Response<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(block_on(self.0.fill())?.unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

#[derive(Debug)]
pub(crate) struct ContentWriter<'a>(asynchronous::ContentWriter<'a, R>);

impl ContentWriter<'_> {
    pub(crate) fn send(&mut self, content: &[u8]) -> Result<usize, Error> {
        block_on(self.0.send(content))
    }

    pub(crate) fn send_all(&mut self, content: &[u8]) -> Result<(), Error> {
        block_on(self.0.send_all(content))
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        block_on(self.0.finish())
    }

    pub(crate) fn finish_with_trailers(self, trailers: &Fields) -> Result<(), Error> {
        block_on(self.0.finish_with_trailers(trailers))
    }
}

impl Write for ContentWriter<'_> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        Ok(self.send(content)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(block_on(std::future::poll_fn(|cx| self.0.poll_send_buffered(cx)))?)
    }
}

pub(crate) struct Pipeline<'a, I: Iterator>(asynchronous::Pipeline<'a, R, I>);

impl<I: Iterator> fmt::Debug for Pipeline<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipeline")
    }
}

impl<I> Pipeline<'_, I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    pub(crate) fn max_requests(self, count: usize) -> Self {
        Pipeline(self.0.max_requests(count))
    }

    pub(crate) fn max_bytes(self, bytes: usize) -> Self {
        Pipeline(self.0.max_bytes(bytes))
    }

    pub(crate) fn taken(&self) -> u64 {
        self.0.taken()
    }

    pub(crate) fn into_rest(self) -> (Option<I::Item>, I) {
        self.0.into_rest()
    }

    pub(crate) fn next(&mut self) -> Result<Option<Response<'_>>, Error> {
        Ok(block_on(self.0.next())?.map(Response))
    }
}

#[derive(Debug)]
pub(crate) struct RequestHalf(asynchronous::RequestHalf<R>);

impl RequestHalf {
    pub(crate) fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        block_on(self.0.send_request(request))
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        block_on(self.0.flush())
    }

    pub(crate) fn send_content(&mut self, content: &[u8]) -> Result<(), Error> {
        block_on(self.0.send_content(content))
    }

    pub(crate) fn finish_content(&mut self, trailers: &Fields) -> Result<(), Error> {
        block_on(self.0.finish_content(trailers))
    }

    pub(crate) fn outstanding(&self) -> Requests {
        self.0.outstanding()
    }

    pub(crate) fn close(self) {
        self.0.close();
    }
}

#[derive(Debug)]
pub(crate) struct ResponseHalf(asynchronous::ResponseHalf<R>);

impl ResponseHalf {
    pub(crate) fn read_response(&mut self) -> Result<Option<Response<'_>>, Error> {
        Ok(block_on(self.0.read_response())?.map(Response))
    }

    pub(crate) fn current_response(&mut self) -> Option<Response<'_>> {
        self.0.current_response().map(Response)
    }

    pub(crate) fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.0.on_interim(callback);
    }

    pub(crate) fn outstanding(&self) -> Requests {
        self.0.outstanding()
    }

    pub(crate) fn close(self) {
        self.0.close();
    }
}
