//! A connection that one thread uses.

use std::borrow::Borrow;
use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use dugong_net::{BaseStream, CallerStream, PollableStream, TransferTimeouts};
use dugong_proto::{CloseReason, ResponseHead};

use super::access::{Access, Channel, wait};
use super::response::Response;
use crate::config::Config;
use crate::error::{Error, Requests};
use crate::request::Request;
use crate::step::{Continue, Duplex, Engine, Interest, Need, Progress};
use crate::transport::{Connect, Established, Origin, Socket, Transport, WaitingFor, wait_any};
use crate::wait_limits::WaitLimits;

/// An HTTP/1.1 connection to one server, for one thread (see [`split`](Connection::split) for two).
///
/// Requests are sent without waiting for responses; responses are read in the order of the requests. Whoever sends while the
/// server does not take it takes in what the server sends meanwhile, up to the size of the receive buffer; after that
/// `send_request` refuses with [`Misuse::ReadFirst`](crate::Misuse::ReadFirst) instead of waiting for ever. [`pipeline`](Connection::pipeline) does both
/// in turn for any number of requests.
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
/// std::io::copy(&mut first, &mut std::io::sink())?; // an error if it is cut short, never a short body
/// let second = connection.read_response()?.read_all()?;
/// assert!(!second.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A connection that is dropped is closed.
#[derive(Debug)]
pub struct Connection {
    pub(crate) engine: Engine,
    pub(crate) transport: Transport,
    pub(crate) limits: WaitLimits,
    /// A request has just been sent to an idle server: its response cannot be there yet, so a read would be in vain.
    pub(super) skip_first_read: bool,
    is_full: Cell<bool>,
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
    /// `Resolve`, `Connect`, `Tunnel`, `Socks`, `Tls` and `TimedOut` say how far it came, and why no further; nothing is left of it.
    /// `Local` if the host or the user agent is not valid, `Proxy` if the environment's proxy is not.
    pub fn connect_to(&self, origin: &Origin) -> Result<Connection, Error> {
        establish(Connect::new(self, origin, Instant::now())?, self)
    }

    /// Uses a stream socket that is connected already, TCP or Unix. What is at its other end speaks for `origin`, over TLS if
    /// that is secure.
    ///
    /// # Errors
    /// `Local` if the host or the user agent is not valid, `Socket` if the socket is not usable; otherwise as for
    /// [`connect_to`](Config::connect_to).
    pub fn over(&self, socket: impl Into<OwnedFd>, origin: &Origin) -> Result<Connection, Error> {
        let socket = Socket::new(socket).map_err(Error::Socket)?;
        self.over_base(socket.into(), origin)
    }

    /// Uses a stream that the caller brings: anything that can be read, written and polled. It is switched to non-blocking mode.
    ///
    /// # Errors
    /// As for [`over`](Config::over).
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
            // If this fails, reading waits by poll(2).
            let _ = socket.allow_waiting();
        }
        let limits = WaitLimits { timeouts: config.timeouts.transfer, deadline };
        Connection { engine, transport, limits, skip_first_read: false, is_full: Cell::new(false) }
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

    /// How long a single wait may last from now on, for whatever it is; `None` is for ever.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.limits.timeouts = TransferTimeouts::all(timeout);
    }

    /// Sets how long the server may take for the first byte of a response, from now on; `None` removes the limit. With requests in
    /// flight it bounds the silence of a server that does not answer pipelined requests.
    pub fn set_response_timeout(&mut self, timeout: Option<Duration>) {
        self.limits.timeouts.response = timeout;
    }

    /// When everything has to be done, whatever it is: every call that comes later, or lasts longer, is `TimedOut`. `None` is
    /// never.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.limits.deadline = deadline;
    }

    /// The stream: its addresses, and what TLS has agreed on.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Have `callback` called with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.engine.receiving.on_interim(callback);
    }

    /// Sends a request, and its content if it was given with it. The result is its number, counted from 0.
    ///
    /// What the system does not take at once, of the content too, is sent by later calls: while a response is awaited or read, or
    /// before the next request. The rest of the content is not sent if a final response comes in place of 100 (Continue) or
    /// says that the connection closes, or when a response has been read to its end before; then the connection ends with it.
    ///
    /// # Errors
    /// Of `Local` and `TimedOut` nothing of the request was or will be sent: `Local` if it is not valid, or not allowed now;
    /// `Local(ReadFirst)` if it cannot be sent before responses are read. Otherwise the connection is done for.
    pub fn send_request(&mut self, request: impl Borrow<Request>) -> Result<u64, Error> {
        let request = request.borrow();
        self.skip_first_read = false;
        let number = self.drive(WaitingFor::Sending, |duplex, stream| duplex.send_request(request, stream))?;
        let is_the_only_one = self.engine.receiving.half().completed() == number;
        self.skip_first_read = is_the_only_one && !self.engine.sending.half().owes_content();
        Ok(number)
    }

    /// Sends all that is left of the requests that were taken, content that was given with them included, waiting as long as the
    /// server does not take it.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if responses have to be read before, among them one that came in place of 100 (Continue). `TimedOut`:
    /// can be called again. Otherwise nothing more can be sent, but responses may have arrived.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.skip_first_read = false;
        self.drive(WaitingFor::Sending, |duplex, stream| match duplex.finish_upload(stream)? {
            Progress::Done(()) => duplex.flush(stream),
            needs => Ok(needs),
        })
    }

    /// How much of the content that the last request announced is still to be sent; `None` if none is, or if it is not known
    /// (chunked).
    #[must_use]
    pub fn content_left(&self) -> Option<u64> {
        self.engine.sending.half().content_left()
    }

    /// Waits for the answer to the expectation of the last request, at most as long as the configured `expect_timeout`.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if responses to earlier requests are unread, `Local(NoContentDue)` if the last request has no content
    /// that is still to be sent. Otherwise the connection is done for.
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
                // Interim responses that are no answer do not extend the time.
                Progress::Needs(need) => wait(&access.channel, need, &deadline_only)?,
            }
        }
    }

    /// Reads the head of the next response; its content is read from the result.
    ///
    /// # Errors
    /// `Local(NothingOutstanding)` if no response is due; `Local(ContentUnread)` if there is content left of the previous one:
    /// see [`current_response`](Connection::current_response). `TimedOut`: can be called again. Otherwise the connection is
    /// done for.
    pub fn read_response(&mut self) -> Result<Response<'_>, Error> {
        if std::mem::take(&mut self.skip_first_read) && !(self.limits.is_unlimited() && self.transport.bare_socket().is_some()) {
            wait_before_read(self)?;
        }
        self.access().read(|duplex, stream| duplex.read_head(stream))?;
        Ok(self.access().into_response())
    }

    /// The response whose content is being read, to go on with it: after a timeout, or after the result of
    /// [`read_response`](Connection::read_response) was dropped.
    pub fn current_response(&mut self) -> Option<Response<'_>> {
        self.engine.receiving.half().is_in_content().then(|| self.access().into_response())
    }

    /// What became of the requests that were sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.engine.shared.requests()
    }

    /// Why the connection carries no further request; `None` as long as it does, as far as is known.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.engine.shared.queue().close_reason()
    }

    /// Gives the memory of empty buffers back to the system: those of this connection, and those that its
    /// [pool](crate::BufferPool) keeps for the next connection that needs one.
    pub fn release_buffers(&mut self) {
        self.engine.free_buffers();
    }

    /// Closes the connection, whatever is outstanding, and says what that was.
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

/// Waits for the first response after a pause without trying to read it first.
fn wait_before_read(connection: &mut Connection) -> Result<(), Error> {
    let Access { mut duplex, mut channel, limits, .. } = connection.access();
    let waited = match duplex.write_pending(&mut channel) {
        // What is left is sent while reading; an error of sending does not keep anybody from reading.
        Ok(Progress::Needs(_)) | Err(_) => Ok(()),
        Ok(Progress::Done(())) => wait(&channel, Need::new(Interest::READ, WaitingFor::Response), limits),
    };
    connection.skip_first_read = waited.is_err();
    waited
}
