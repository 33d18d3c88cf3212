//! A connection for one task.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dugong_net::{BaseStream, Socket, TransferTimeouts};
use dugong_proto::{CloseReason, ResponseHead};

use super::response::Response;
use super::runtime::{Direction, PollStream, Runtime};
use super::transport::{Asks, Transport};
use super::waiting::{Access, Waiting, done};
use crate::config::Config;
use crate::connecting::connect::{Connect, Established};
use crate::error::{Error, Requests};
use crate::request::Request;
use crate::step::{Continue, Engine, Interest, Progress};
use crate::transport::{Origin, WaitingFor};
use crate::wait_limits::WaitLimits;

/// An HTTP/1.1 connection to one server, for one task (see [`split`](Connection::split) for two).
///
/// It has the methods of the [blocking one](crate::Connection), which says more about them. [Here](super#cancellation) is what
/// a dropped future leaves. Dropping a connection closes it.
pub struct Connection<R: Runtime> {
    pub(super) engine: Engine,
    pub(super) transport: Transport<R>,
    pub(super) waiting: Waiting<R>,
    /// A request has just been sent to an idle server. Its response cannot have arrived, so the first step would find nothing.
    pub(super) skip_first_step: bool,
}

impl<R: Runtime> Connection<R> {
    /// Connects to the server of an `http` or `https` URL, with the default [`Config`].
    ///
    /// # Errors
    /// The same as for [`Config::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_with(&Config::new(), url).await
    }

    /// Connects to the server of an `http` or `https` URL.
    ///
    /// # Errors
    /// The same as for [`Config::connect`].
    pub async fn connect_with(config: &Config, url: impl AsRef<str>) -> Result<Self, Error> {
        let origin = Origin::of_url(url.as_ref())?.0;
        Self::connect_to(config, &origin).await
    }

    /// Connects to an origin. A short-lived thread looks the name up; nothing else blocks.
    ///
    /// # Errors
    /// The same as for [`Config::connect_to`].
    pub async fn connect_to(config: &Config, origin: &Origin) -> Result<Self, Error> {
        establish(Connect::new(config, origin, Instant::now())?.never_blocking().only_sockets(), config).await
    }

    /// Uses a connected stream socket, TCP or Unix. Its peer speaks for `origin`, over TLS if that is secure.
    ///
    /// # Errors
    /// The same as for [`Config::over`].
    pub async fn over(config: &Config, socket: impl Into<OwnedFd>, origin: &Origin) -> Result<Self, Error> {
        let base = BaseStream::from(Socket::new(socket).map_err(Error::Socket)?);
        establish(Connect::over(config, origin, base, Instant::now())?, config).await
    }

    /// Uses a stream of yours. Its peer speaks for `origin`, over TLS if that is secure.
    ///
    /// # Errors
    /// The same as for [`Config::over`].
    pub async fn over_poll_stream(config: &Config, stream: impl PollStream, origin: &Origin) -> Result<Self, Error> {
        establish_over(Connect::over_stream(config, origin, Instant::now())?, Box::new(stream), config).await
    }

    fn new<T>(
        established: Established<T>,
        make: impl FnOnce(T) -> io::Result<Transport<R>>,
        config: &Config,
    ) -> Result<Self, Error> {
        let Established { transport, engine, deadline } = established;
        let waiting = Waiting::new(WaitLimits { timeouts: config.timeouts.transfer, deadline });
        Ok(Connection { engine, transport: make(transport).map_err(Error::Socket)?, waiting, skip_first_step: false })
    }

    /// Limits each single wait from now on; `None` removes the limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.waiting.change(|limits| limits.timeouts = TransferTimeouts::all(timeout));
    }

    /// Limits how long the server may take for the first byte of a response, from now on; `None` removes the limit. With
    /// requests in flight, it bounds the silence of a server that does not answer pipelined requests.
    pub fn set_response_timeout(&mut self, timeout: Option<Duration>) {
        self.waiting.change(|limits| limits.timeouts.response = timeout);
    }

    /// Sets a deadline for the connection. Calls made or still running after it fail with `TimedOut`. `None` removes it.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.waiting.change(|limits| limits.deadline = deadline);
    }

    /// The stream: its addresses, and the parameters of TLS.
    #[must_use]
    pub fn transport(&self) -> &Transport<R> {
        &self.transport
    }

    /// Calls `callback` with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.engine.receiving.on_interim(callback);
    }

    /// Sends a request with its content, if you gave it with the request. Returns its number, counted from 0. Later calls send
    /// the bytes that the system does not take at once: see [the blocking one](crate::Connection::send_request).
    ///
    /// # Errors
    /// The same as for the blocking one.
    pub async fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        let number = match self.send_now(request) {
            Some(sent) => sent?,
            None => {
                let mut access = self.access().looking();
                access.drive(WaitingFor::Sending, |duplex, stream| duplex.send_request(request, stream)).await?
            }
        };
        self.waiting.forget_continue();
        // All requests sent before are answered.
        let is_alone = number == self.engine.receiving.half().completed();
        self.skip_first_step =
            is_alone && self.engine.sending.is_all_sent() && self.waiting.is_unlimited() && self.transport.is_bare();
        Ok(number)
    }

    /// Sends a request if that is possible without waiting: then the runtime is not involved.
    fn send_now(&mut self, request: &Request) -> Option<Result<u64, Error>> {
        if let Err(error) = self.waiting.check(WaitingFor::Sending) {
            return Some(Err(error));
        }
        let mut system = self.transport.as_system()?;
        done(self.engine.duplex().send_request(request, &mut system))
    }

    /// Sends all pending bytes, the content of the last request included.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::Connection::flush).
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.access()
            .drive(WaitingFor::Sending, |duplex, stream| match duplex.finish_upload(stream)? {
                Progress::Done(()) => duplex.flush(stream),
                needs => Ok(needs),
            })
            .await
    }

    /// How much of the content that the last request announced is still to be sent; `None` if none is, or if that is unknown
    /// (chunked).
    #[must_use]
    pub fn content_left(&self) -> Option<u64> {
        self.engine.sending.half().content_left()
    }

    /// Waits for the answer to the expectation of the last request, at most for the configured `expect_timeout`.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::Connection::wait_for_continue).
    pub async fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        self.waiting.begin();
        poll_fn(|cx| self.poll_continue(cx)).await
    }

    pub(super) fn poll_continue(&mut self, cx: &mut Context<'_>) -> Poll<Result<Continue, Error>> {
        let expect_timeout = self.engine.sending.expect_timeout;
        let until = self.waiting.continue_until(|| later(expect_timeout));
        let answer = loop {
            let is_last = until <= Instant::now();
            let asks = if is_last { Asks::SystemAlone } else { Asks::Runtime };
            let answer = self.access().step(cx, asks, |duplex, stream| duplex.await_continue_until(Some(until), stream)).0;
            match answer {
                Ok(Progress::Done(answer)) => break Ok(answer),
                Err(error) => break Err(error),
                Ok(Progress::Needs(need)) => {
                    // Interim responses that answer nothing do not extend the time.
                    let deadline_only = self.waiting.limits().deadline_only();
                    let waited = self.waiting.poll_limited(cx, need.phase, &deadline_only, need.until);
                    if let Err(error) = std::task::ready!(waited) {
                        // The next call waits for the rest of the time.
                        return Poll::Ready(Err(error));
                    }
                }
            }
        };
        self.waiting.has_continued();
        Poll::Ready(answer)
    }

    /// Reads the head of the next response, and returns the response to read its content.
    ///
    /// # Errors
    /// The same as for [the blocking one](crate::Connection::read_response).
    pub async fn read_response(&mut self) -> Result<Response<'_, R>, Error> {
        // If a limit was set meanwhile, the step has to see it.
        let mut skip_first_step = std::mem::take(&mut self.skip_first_step) && self.waiting.is_unlimited();
        self.waiting.begin();
        poll_fn(|cx| {
            // The step finds out whether a wake-up was for this.
            if std::mem::take(&mut skip_first_step) && self.transport.poll_readable(cx).is_pending() {
                return Poll::Pending;
            }
            self.access().poll(cx, WaitingFor::Response, |duplex, stream| duplex.read_head(stream))
        })
        .await?;
        Ok(self.access().into_response())
    }

    /// The response whose content is being read, to go on with it after a timeout, after a future was dropped, or after you
    /// dropped the result of [`read_response`](Connection::read_response).
    pub fn current_response(&mut self) -> Option<Response<'_, R>> {
        self.waiting.begin();
        self.engine.receiving.half().is_in_content().then(|| self.access().into_response())
    }

    /// The requests sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.engine.shared.requests()
    }

    /// Why the connection carries no further request; `None` while it does, as far as is known.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.engine.shared.queue().close_reason()
    }

    /// Returns the memory of empty buffers to the system: those of this connection, and those in its [pool](crate::BufferPool).
    pub fn release_buffers(&mut self) {
        self.engine.free_buffers();
    }

    /// Closes the connection, and returns the requests that it leaves behind. Waits only for a stream of yours, to announce the
    /// end there.
    pub async fn close(self) -> Requests {
        poll_fn(|cx| self.transport.poll_close(cx)).await;
        self.engine.shared.requests()
    }

    #[inline]
    pub(super) fn access(&mut self) -> Access<'_, R> {
        self.skip_first_step = false;
        Access {
            duplex: self.engine.duplex(),
            transport: &self.transport,
            waiting: &mut self.waiting,
            half: None,
            asks: Asks::Runtime,
        }
    }
}

/// The time after `time`. A time that the clock cannot express counts as none.
pub(super) fn later(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).or_else(|| now.checked_add(Duration::from_secs(1 << 30))).unwrap_or(now)
}

/// Connects: step, then wait.
async fn establish<R: Runtime>(mut connect: Connect, config: &Config) -> Result<Connection<R>, Error> {
    loop {
        if let Progress::Done(established) = connect.step(Instant::now())? {
            return Connection::new(established, Transport::socket, config);
        }
        Ready::<R>::any(&connect).map_err(Error::Socket)?.await.map_err(Error::Socket)?;
    }
}

/// Speaks TLS over a stream, if the origin is secure.
async fn establish_over<R: Runtime>(
    mut connect: Connect,
    stream: Box<dyn PollStream>,
    config: &Config,
) -> Result<Connection<R>, Error> {
    // The layers over it come later.
    let plain = Transport::<R>::caller(stream, None);
    let mut timer = None;
    let established = poll_fn(|cx| {
        loop {
            let need = match connect.step_over(&mut plain.polled(cx, None, Asks::Runtime), Instant::now())? {
                Progress::Done(established) => return Poll::Ready(Ok::<_, Error>(established)),
                Progress::Needs(need) => need,
            };
            let Some(at) = need.until else { return Poll::Pending };
            std::task::ready!(timer.get_or_insert_with(|| Box::pin(R::timer(at))).as_mut().poll(cx));
            timer = None;
        }
    })
    .await?;
    Connection::new(established, |layers| Ok(plain.with(layers)), config)
}

/// A wait for any of several descriptors, or for a time.
struct Ready<R: Runtime> {
    /// Copies, since a runtime may accept a descriptor only once.
    descriptors: Vec<(R::Registered<OwnedFd>, Interest)>,
    timer: Option<std::pin::Pin<Box<R::Timer>>>,
}

impl<R: Runtime> Ready<R> {
    fn any(connect: &Connect) -> io::Result<impl Future<Output = io::Result<()>> + Send + use<R>> {
        let waits = connect.poll_set();
        let register = |(descriptor, interest): &(std::os::fd::BorrowedFd<'_>, _)| {
            Ok((R::register(descriptor.try_clone_to_owned()?)?, *interest))
        };
        let descriptors = waits.descriptors().iter().map(register).collect::<io::Result<_>>()?;
        let mut ready = Ready::<R> { descriptors, timer: waits.deadline().map(|at| Box::pin(R::timer(at))) };
        Ok(poll_fn(move |cx| ready.poll(cx)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for (descriptor, interest) in &self.descriptors {
            let directions = [(interest.reads(), Direction::Read), (interest.writes(), Direction::Write)];
            for (_, direction) in directions.into_iter().filter(|(wanted, _)| *wanted) {
                if let Poll::Ready(result) = R::poll_ready(descriptor, direction, cx) {
                    return Poll::Ready(result);
                }
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}
