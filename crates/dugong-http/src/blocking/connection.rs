//! A connection for one thread.

use std::borrow::Borrow;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use dugong_net::{BaseStream, CallerStream, PollableStream, Socket, TransferTimeouts, wait_any};
use dugong_proto::{CloseReason, ResponseHead};

use super::access::{Access, Channel, wait};
use super::response::Response;
use crate::config::Config;
use crate::connecting::connect::{Connect, Established};
use crate::error::{Error, Requests};
use crate::request::Request;
use crate::step::{Continue, Duplex, Engine, Interest, Need, Progress};
use crate::transport::{Origin, Transport, WaitingFor};
use crate::wait_limits::WaitLimits;

/// An HTTP/1.1 connection to one server, for one thread (see [`split`](Connection::split) for two).
///
/// You can send requests without waiting for responses, and read the responses in the order of the requests. While the server
/// takes no more bytes, sending takes in arriving responses, up to the size of the receive buffer. After that, `send_request`
/// refuses with [`Misuse::ReadFirst`](crate::Misuse::ReadFirst) instead of waiting for ever. [`pipeline`](Connection::pipeline)
/// sends and reads in turn for any number of requests.
///
/// ```
/// # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", origin.address());
/// use dugong_http::{Connection, Request};
///
/// let mut connection = Connection::connect(&url)?;
/// connection.send_request(Request::get("/doc/1"))?;
/// connection.send_request(Request::get("/doc/2"))?; // before any response is read
/// let mut first = connection.read_response()?;
/// assert_eq!(first.status(), 200);
/// std::io::copy(&mut first, &mut std::io::sink())?; // an error if it is cut short
/// let second = connection.read_response()?.read_all()?;
/// assert!(!second.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping a connection closes it.
pub struct Connection {
    pub(crate) engine: Engine,
    pub(crate) transport: Transport,
    pub(crate) limits: WaitLimits,
    /// A request has just been sent to an idle server. Its response cannot have arrived, so the first read would find nothing.
    pub(super) skip_first_read: bool,
    is_full: AtomicBool,
}

impl Config {
    /// Connects to the server of an `http` or `https` URL, and ignores the path of the URL.
    ///
    /// # Errors
    /// `Url`, or as for [`connect_to`](Config::connect_to).
    pub fn connect(&self, url: impl AsRef<str>) -> Result<Connection, Error> {
        self.connect_to(&Origin::of_url(url.as_ref())?.0)
    }

    /// Connects to an origin.
    ///
    /// # Errors
    /// `Resolve`, `Connect`, `Tunnel`, `Socks`, `Tls` and `TimedOut` say how far it got and what stopped it. `Local` if the
    /// host or the user agent is not valid, `Proxy` if the environment's proxy is not. No error leaves a connection behind.
    pub fn connect_to(&self, origin: &Origin) -> Result<Connection, Error> {
        establish(Connect::new(self, origin, Instant::now())?, self)
    }

    /// Uses a connected stream socket, TCP or Unix. Its peer speaks for `origin`, over TLS if that is secure.
    ///
    /// # Errors
    /// `Local` if the host or the user agent is not valid, `Socket` if the socket is not usable; the others as for
    /// [`connect_to`](Config::connect_to).
    pub fn over(&self, socket: impl Into<OwnedFd>, origin: &Origin) -> Result<Connection, Error> {
        let socket = Socket::new(socket).map_err(Error::Socket)?;
        self.over_base(socket.into(), origin)
    }

    /// Uses a stream of yours: anything that can be read, written and polled. Switches it to non-blocking mode.
    ///
    /// # Errors
    /// The same as for [`over`](Config::over).
    pub fn over_stream(&self, stream: impl PollableStream, origin: &Origin) -> Result<Connection, Error> {
        let stream = CallerStream::new(stream).map_err(Error::Socket)?;
        self.over_base(stream.into(), origin)
    }

    fn over_base(&self, base: BaseStream, origin: &Origin) -> Result<Connection, Error> {
        establish(Connect::over(self, origin, base, Instant::now())?, self)
    }
}

/// Connects: step, then wait.
fn establish(mut connect: Connect, config: &Config) -> Result<Connection, Error> {
    loop {
        if let Progress::Done(established) = connect.step(Instant::now())? {
            return Ok(Connection::new(established, config));
        }
        match wait_any(&connect.poll_set()) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(Error::Socket(error)),
            _ => {}
        }
    }
}

impl Connection {
    fn new(established: Established, config: &Config) -> Self {
        let Established { transport, engine, deadline } = established;
        if let Some(socket) = transport.bare_socket() {
            // If this fails, poll(2) waits before each read.
            let _ = socket.allow_waiting();
        }
        let limits = WaitLimits { timeouts: config.timeouts.transfer, deadline };
        Connection { engine, transport, limits, skip_first_read: false, is_full: AtomicBool::new(false) }
    }

    /// Connects to the server of an `http` or `https` URL, with the default [`Config`].
    ///
    /// # Errors
    /// As for [`Config::connect`].
    pub fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::connect_with(&Config::new(), url)
    }

    /// Connects to the server of an `http` or `https` URL. [`Config::connect`] is the same.
    ///
    /// # Errors
    /// As for [`Config::connect`].
    pub fn connect_with(config: &Config, url: impl AsRef<str>) -> Result<Self, Error> {
        config.connect(url)
    }

    /// Connects to an origin. [`Config::connect_to`] is the same.
    ///
    /// # Errors
    /// As for [`Config::connect_to`].
    pub fn connect_to(config: &Config, origin: &Origin) -> Result<Self, Error> {
        config.connect_to(origin)
    }

    /// Limits each single wait from now on; `None` removes the limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.limits.timeouts = TransferTimeouts::all(timeout);
    }

    /// Limits how long the server may take for the first byte of a response, from now on; `None` removes the limit. With
    /// requests in flight, it bounds the silence of a server that does not answer pipelined requests.
    pub fn set_response_timeout(&mut self, timeout: Option<Duration>) {
        self.limits.timeouts.response = timeout;
    }

    /// Sets a deadline for the connection. Calls made or still running after it fail with `TimedOut`. `None` removes it.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.limits.deadline = deadline;
    }

    /// The stream: its addresses, and the parameters of TLS.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Calls `callback` with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.engine.receiving.on_interim(callback);
    }

    /// Sends a request with its content, if you gave it with the request. Returns its number, counted from 0.
    ///
    /// Later calls send the bytes that the system does not take at once, content included: while you wait for a response or
    /// read it, or before the next request. The rest of the content is not sent if a final response comes in place of 100
    /// (Continue) or announces the end of the connection, or if you read a response to its end before; then the connection ends
    /// with that response.
    ///
    /// # Errors
    /// `Local` and `TimedOut`: no byte of the request was or will be sent. `Local` if it is not valid, or not allowed now;
    /// `Local(ReadFirst)` if it cannot be sent before you read responses. All other errors end the connection.
    pub fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        self.skip_first_read = false;
        let number = self.drive(WaitingFor::Sending, |duplex, stream| duplex.send_request(request, stream))?;
        let is_the_only_one = self.engine.receiving.half().completed() == number;
        self.skip_first_read = is_the_only_one && !self.engine.sending.half().owes_content();
        Ok(number)
    }

    /// Sends all pending bytes, the content of the last request included. Waits while the server does not take them.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if you have to read responses before, such as one that came in place of 100 (Continue). `TimedOut`:
    /// you can call again. After all other errors nothing more can be sent, but responses may have arrived.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.skip_first_read = false;
        self.drive(WaitingFor::Sending, |duplex, stream| match duplex.finish_upload(stream)? {
            Progress::Done(()) => duplex.flush(stream),
            needs => Ok(needs),
        })
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
    /// `Local(ReadFirst)` if responses to earlier requests are unread, `Local(NoContentDue)` if the last request has no content
    /// left to send. All other errors end the connection.
    pub fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        self.skip_first_read = false;
        let until = Instant::now().checked_add(self.engine.sending.expect_timeout);
        let deadline_only = self.limits.deadline_only();
        let mut access = self.access();
        loop {
            let step = access.duplex.await_continue_until(until, &mut access.channel);
            access.close_if_final(&step);
            match step? {
                Progress::Done(answer) => return Ok(answer),
                // Interim responses that answer nothing do not extend the time.
                Progress::Needs(need) => wait(&access.channel, need, &deadline_only)?,
            }
        }
    }

    /// Reads the head of the next response, and returns the response to read its content.
    ///
    /// # Errors
    /// `Local(NothingOutstanding)` if no response is due; `Local(ContentUnread)` if the previous one has unread content: see
    /// [`current_response`](Connection::current_response). `TimedOut`: you can call again. All other errors end the connection.
    pub fn read_response(&mut self) -> Result<Response<'_>, Error> {
        if std::mem::take(&mut self.skip_first_read) && !(self.limits.is_unlimited() && self.transport.bare_socket().is_some()) {
            wait_before_read(self)?;
        }
        self.access().read(|duplex, stream| duplex.read_head(stream))?;
        Ok(self.access().into_response())
    }

    /// The response whose content is being read, to go on with it after a timeout, or after you dropped the result of
    /// [`read_response`](Connection::read_response).
    pub fn current_response(&mut self) -> Option<Response<'_>> {
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

    /// Closes the connection, and returns the requests that it leaves behind.
    pub fn close(self) -> Requests {
        self.transport.shutdown(Shutdown::Both);
        self.engine.shared.requests()
    }

    #[inline]
    pub(super) fn drive<T>(
        &mut self,
        waiting_for: WaitingFor,
        step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.access().drive(waiting_for, step)
    }

    #[inline]
    pub(super) fn access(&mut self) -> Access<'_> {
        let channel = Channel { transport: &self.transport, is_full: Some(&self.is_full), waits: false };
        Access { duplex: self.engine.duplex(), channel, limits: &self.limits, split: None }
    }
}

/// Waits before the first read for a response after a pause.
fn wait_before_read(connection: &mut Connection) -> Result<(), Error> {
    let Access { mut duplex, mut channel, limits, .. } = connection.access();
    let waited = match duplex.write_pending(&mut channel) {
        // Reading sends pending bytes too, and works after an error of sending.
        Ok(Progress::Needs(_)) | Err(_) => Ok(()),
        Ok(Progress::Done(())) => wait(&channel, Need::new(Interest::READ, WaitingFor::Response), limits),
    };
    connection.skip_first_read = waited.is_err();
    waited
}
