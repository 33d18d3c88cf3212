//! A connection that one thread uses.

use std::borrow::Borrow;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_proto::{CloseReason, ResponseHead};

use super::response::Reader;
use super::split::{RequestHalf, ResponseHalf};
use super::{ContentWriter, Response, drive};
use crate::config::Config;
use crate::error::{Error, Requests, WaitingFor};
use crate::pipeline::Pipeline;
use crate::request::Request;
use crate::step::{Continue, Duplex, Interest, Progress, Receiving, Sending, Shared};
use crate::transport::{Origin, Socket};

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
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) shared: Arc<Shared>,
    pub(crate) socket: Arc<Socket>,
    pub(crate) timeout: Option<Duration>,
    /// A request has just been sent to an idle server: its response cannot be there yet, so a read would be in vain.
    quiet: bool,
}

impl Config {
    /// Connects to the server of an `http` URL; its path does not matter.
    ///
    /// # Errors
    /// `Url` or `Connect`; `Local` if the user agent is not valid.
    pub fn connect(&self, url: &str) -> Result<Connection, Error> {
        self.connect_to(&Origin::of_url(url)?.0)
    }

    /// Connects to an origin.
    ///
    /// # Errors
    /// `Connect`; `Local` if the host or the user agent is not valid.
    pub fn connect_to(&self, origin: &Origin) -> Result<Connection, Error> {
        let sending = Sending::new(&origin.host_field(), self)?;
        let socket = Socket::connect(origin.host(), origin.port(), self.timeout)
            .map_err(|source| Error::Connect { to: format!("{} port {}", origin.host(), origin.port()), source })?;
        Ok(Connection::new(sending, Receiving::new(self), socket, self))
    }

    /// Uses a TCP connection that exists already, to a server whose `Host` field is `host`.
    ///
    /// # Errors
    /// `Local` if the host is not valid, `Connect` if the socket is not usable.
    pub fn over(&self, stream: TcpStream, host: &str) -> Result<Connection, Error> {
        let sending = Sending::new(host, self)?;
        let socket = Socket::new(stream).map_err(|source| Error::Connect { to: host.into(), source })?;
        Ok(Connection::new(sending, Receiving::new(self), socket, self))
    }
}

impl Connection {
    fn new(sending: Sending, receiving: Receiving, socket: Socket, config: &Config) -> Self {
        Connection { sending, receiving, shared: Arc::default(), socket: Arc::new(socket), timeout: config.timeout, quiet: false }
    }

    /// Connects to the server of an `http` URL, with the default [`Config`].
    ///
    /// # Errors
    /// `Url` or `Connect`.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Config::new().connect(url)
    }

    /// How long a single wait may last from now on; `None` is for ever.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Have `callback` called with each interim (1xx) response, before the final one is returned.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.receiving.on_interim(callback);
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
        self.quiet = false;
        let timeout = self.timeout;
        let idle = self.shared.queue().is_empty();
        let (mut duplex, socket) = self.duplex();
        let number =
            drive(&mut duplex, socket, timeout, WaitingFor::Sending, |duplex, stream| duplex.send_request(request, stream))?;
        self.quiet = idle && !self.sending.half().owes_content();
        Ok(number)
    }

    /// Sends all that is left of the requests that were taken, content that was given with them included, waiting as long as the
    /// server does not take it.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if responses have to be read before, among them one that came in place of 100 (Continue). `TimedOut`:
    /// can be called again. Otherwise nothing more can be sent, but responses may have arrived.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.quiet = false;
        let timeout = self.timeout;
        let (mut duplex, socket) = self.duplex();
        drive(&mut duplex, socket, timeout, WaitingFor::Sending, |duplex, stream| match duplex.finish_upload(stream)? {
            Progress::Done(()) => duplex.flush(stream),
            needs => Ok(needs),
        })
    }

    /// The writer for the content that the last request announced. Dropping it changes nothing: it can be had again.
    pub fn content(&mut self) -> ContentWriter<'_> {
        // While content is sent, the response may be taken in.
        self.quiet = false;
        ContentWriter::new(self)
    }

    /// How much of the content that the last request announced is still to be sent; `None` if none is, or if it is not known
    /// (chunked).
    #[must_use]
    pub fn content_left(&self) -> Option<u64> {
        self.sending.half().content_left()
    }

    /// Waits for the answer to the expectation of the last request, at most as long as the configured `expect_timeout`.
    ///
    /// # Errors
    /// `Local(ReadFirst)` if responses to earlier requests are unread, `Local(NoContentDue)` if the last request has no content
    /// that is still to be sent. Otherwise the connection is done for.
    pub fn wait_for_continue(&mut self) -> Result<Continue, Error> {
        self.quiet = false;
        let until = Instant::now().checked_add(self.sending.expect_timeout);
        let (mut duplex, mut socket) = self.duplex();
        loop {
            match duplex.await_continue(&mut socket)? {
                Progress::Done(came) => return Ok(came),
                Progress::Needs(_) if until.is_some_and(|until| until <= Instant::now()) => break,
                // However often something comes that is no answer.
                Progress::Needs(interest) => super::wait(socket, interest, None, until)?,
            };
        }
        self.sending.half.proceed_without_continue(&mut self.shared.queue());
        Ok(Continue::Send)
    }

    /// Reads the head of the next response; its content is read from the result.
    ///
    /// # Errors
    /// `Local(NothingOutstanding)` if no response is due; `Local(ContentUnread)` if there is content left of the previous one:
    /// see [`current_response`](Connection::current_response). `TimedOut`: can be called again. Otherwise the connection is
    /// done for.
    pub fn read_response(&mut self) -> Result<Response<'_>, Error> {
        if std::mem::take(&mut self.quiet) && !wait_quietly(self)? {
            self.quiet = true;
            return Err(Error::TimedOut { waiting_for: WaitingFor::Response });
        }
        self.reader().read_response()
    }

    /// The response whose content is being read, to go on with it: after a timeout, or after the result of
    /// [`read_response`](Connection::read_response) was dropped.
    pub fn current_response(&mut self) -> Option<Response<'_>> {
        self.receiving.half().is_in_content().then(|| self.reader().current_response())
    }

    /// Sends `requests` and reads their responses, in order, with many in flight: see [`Pipeline`].
    pub fn pipeline<I>(&mut self, requests: I) -> Pipeline<'_, I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Borrow<Request>,
    {
        self.quiet = false;
        Pipeline::new(self, requests.into_iter())
    }

    /// Parts the connection into a half that sends requests and a half that reads responses, for two threads.
    #[must_use]
    pub fn split(self) -> (RequestHalf, ResponseHalf) {
        RequestHalf::split(self)
    }

    /// What became of the requests that were sent so far: how many were answered, and which are outstanding.
    #[must_use]
    pub fn outstanding(&self) -> Requests {
        self.shared.requests()
    }

    /// Why the connection carries no further request; `None` as long as it does, as far as is known.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.queue().close_reason()
    }

    /// Closes the connection, whatever is outstanding, and says what that was.
    pub fn close(self) -> Requests {
        self.socket.shutdown(Shutdown::Both);
        self.shared.requests()
    }

    pub(crate) fn duplex(&mut self) -> (Duplex<'_>, &Socket) {
        let duplex = Duplex { sending: Some(&mut self.sending), receiving: Some(&mut self.receiving), shared: &self.shared };
        (duplex, &self.socket)
    }

    pub(crate) fn reader(&mut self) -> Reader<'_> {
        Reader {
            sending: Some(&mut self.sending),
            receiving: &mut self.receiving,
            shared: &self.shared,
            socket: &self.socket,
            timeout: self.timeout,
            ends: None,
        }
    }
}

/// Waits for the first response after a pause without trying to read it first; false if the timeout passed.
fn wait_quietly(connection: &mut Connection) -> Result<bool, Error> {
    let timeout = connection.timeout;
    let (mut duplex, mut socket) = connection.duplex();
    match duplex.write_pending(&mut socket) {
        // What is left is sent while reading; an error of sending does not keep anybody from reading.
        Ok(Progress::Needs(_)) | Err(_) => Ok(true),
        Ok(Progress::Done(())) => super::wait(socket, Interest::READ, timeout, None),
    }
}
