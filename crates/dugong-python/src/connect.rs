//! Connecting: name, TCP, tunnel, TLS (statements 7).

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Instant;

use dugong_http::step::{Interest, Progress, Receiving, Sending};
use dugong_http::transport::{Connecting, Socket, Tunnel, TunnelError};
use dugong_http::{Config, Limits};
use parking_lot::Mutex;
use pyo3::exceptions::{PyConnectionError, PyOSError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::connection::{HTTPConnection, Target};
use crate::errors::{self, ConnectionClosed, ConnectionTimedOut, InvalidResponse};
use crate::link::Link;
use crate::log;
use crate::task::{Need, Step, Task, Waitable};
use crate::wire::{Object, Transport, Wire};

const GIVEN_UP: &str = "the connection was closed by disconnect(), or another one was begun";

/// `connect()`, and the first part of whatever needs a connection.
pub(crate) struct Connect {
    stage: Stage,
    resolver: Resolver,
    target: Option<Target>,
    attempt: Arc<Attempt>,
    /// Whether it has got on since it last had to wait.
    moved: Cell<bool>,
}

/// Where Python's resolver is called, which blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// In the thread that connects: it waits anyway.
    Here,
    /// In a thread of its own, since whoever connects has other things to do.
    Thread,
}

enum Stage {
    Begin,
    Name(Lookup),
    Tcp(Connecting),
    Tunnel(Box<Tunnel>, Arc<Socket>),
    Handshake(Object, Arc<Socket>),
    Over,
}

/// A name that a thread looks up.
struct Lookup {
    /// Python's object for it, which has the result.
    object: Py<PyAny>,
    /// It becomes readable when the thread has the result and closes the other end.
    done: Arc<UnixStream>,
}

/// What others have to know of a connection that is being made. It lasts until the request is taken that the connection is for.
pub(crate) struct Attempt {
    given_up: AtomicBool,
    /// The process that it belongs to: a child has but a copy of the descriptor.
    process: u32,
    socket: Mutex<Weak<Socket>>,
    /// What is waited for before there is a socket.
    name: Mutex<Weak<UnixStream>>,
    /// The other end of an `Arrival`, if anybody waits.
    arrival: Mutex<Option<(Signal, Arc<Arrival>)>>,
}

impl Attempt {
    fn new() -> Self {
        Attempt {
            given_up: AtomicBool::new(false),
            process: std::process::id(),
            socket: Mutex::default(),
            name: Mutex::default(),
            arrival: Mutex::default(),
        }
    }

    /// Ends it; whoever waits for it wakes up.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        let socket = self.socket.lock().upgrade();
        if let Some(socket) = socket
            && self.process == std::process::id()
        {
            socket.shutdown(Shutdown::Both);
        }
        let name = self.name.lock().upgrade();
        if let Some(name) = name
            && self.process == std::process::id()
        {
            // It fails if the thread has closed its end, and then whoever waits wakes up anyway.
            let _ = name.shutdown(Shutdown::Both);
        }
        if let Some((_, arrival)) = self.arrival.lock().take() {
            arrival.given_up.store(true, Ordering::Release);
        }
    }

    /// For a reader that comes before the connection is there; None if it will not be.
    pub(crate) fn arrival(&self) -> io::Result<Option<Arc<Arrival>>> {
        let mut slot = self.arrival.lock();
        if self.given_up.load(Ordering::Acquire) {
            return Ok(None);
        }
        if slot.is_none() {
            let (theirs, readable) = UnixStream::pair()?;
            *slot = Some((
                Signal { end: theirs, process: self.process },
                Arc::new(Arrival { readable, given_up: AtomicBool::new(false) }),
            ));
        }
        Ok(slot.as_ref().map(|(_, arrival)| arrival.clone()))
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

/// The other end of an `Arrival`. It is shut down when it is dropped, since a child of the process may have a copy of it; but not by
/// the child.
struct Signal {
    end: UnixStream,
    process: u32,
}

impl Drop for Signal {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // Whoever waited may have gone.
            let _ = self.end.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// What a reader waits for when the request, whose response it is to read, waits for the connection itself. It becomes readable
/// when the attempt is over, since the other end goes with it.
pub(crate) struct Arrival {
    readable: UnixStream,
    given_up: AtomicBool,
}

impl Arrival {
    /// Whether `disconnect` was called, or there was an error.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

impl AsFd for Arrival {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl Connect {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Connect { stage: Stage::Begin, resolver, target: None, attempt: Arc::new(Attempt::new()), moved: Cell::new(false) }
    }

    fn advance(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Progress<()>> {
        let py = connection.py();
        loop {
            if self.attempt.is_given_up() {
                return Err(ConnectionClosed::new_err(GIVEN_UP));
            }
            match &mut self.stage {
                Stage::Begin => {
                    connection.get().forget(py);
                    connection.get().begin_attempt(&self.attempt);
                    let target = connection.get().target(py)?;
                    self.stage = if self.resolver == Resolver::Here || is_address(target.address().0) {
                        Stage::tcp(&resolve(py, target.address())?)?
                    } else {
                        let lookup = Lookup::begin(py, target.address())?;
                        *self.attempt.name.lock() = Arc::downgrade(&lookup.done);
                        Stage::Name(lookup)
                    };
                    self.target = Some(target);
                }
                Stage::Name(lookup) => {
                    let Some(found) = lookup.result(py)? else { return Ok(Progress::Needs(Interest::READ)) };
                    self.stage = Stage::tcp(&found)?;
                    self.moved.set(true);
                }
                Stage::Tcp(connecting) => match connecting.step(Instant::now()) {
                    Ok(Poll::Ready(socket)) => {
                        *self.attempt.socket.lock() = Arc::downgrade(&socket);
                        connection.get().open_trace(py, &self.attempt)?;
                        self.moved.set(true);
                        self.stage = self.after_tcp(connection, socket)?;
                    }
                    Ok(Poll::Pending) => {
                        let socket = connecting.current().expect("a step that needs something has a socket");
                        let before = std::mem::replace(&mut *self.attempt.socket.lock(), Arc::downgrade(socket));
                        self.moved.set(!before.ptr_eq(&Arc::downgrade(socket)));
                        return Ok(Progress::Needs(Interest::WRITE));
                    }
                    Err(_) if self.attempt.is_given_up() => {}
                    Err(error) => {
                        let error = error.into_last();
                        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
                            return Err(ConnectionTimedOut::new_err("timed out waiting for the connection"));
                        }
                        return Err(errors::system_error(error));
                    }
                },
                Stage::Tunnel(tunnel, socket) => {
                    let trace = connection.get().trace(py);
                    let transport = Transport::Plain(socket.clone());
                    let mut wire = Wire { py, transport: &transport, trace: trace.as_ref(), moved: &self.moved };
                    match tunnel.step(&mut wire) {
                        Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                        Ok(Progress::Done(())) => {
                            let socket = socket.clone();
                            self.stage = self.start_tls(connection, &socket)?;
                            self.moved.set(true);
                        }
                        Err(_) if self.attempt.is_given_up() => {}
                        Err(error) => return Err(tunnel_error(py, error)),
                    }
                }
                Stage::Handshake(object, _) => {
                    match object.call(py, Interest::READ, |object| object.call_method0(intern!(py, "do_handshake"))) {
                        Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                        Ok(Progress::Done(_)) => {
                            let Stage::Handshake(object, _) = std::mem::replace(&mut self.stage, Stage::Over) else {
                                unreachable!("just matched")
                            };
                            return self.install(connection, Transport::Object(object));
                        }
                        Err(_) if self.attempt.is_given_up() => {}
                        Err(error) => return Err(handshake_error(py, errors::system_error(error))),
                    }
                }
                Stage::Over => return Ok(Progress::Done(())),
            }
        }
    }

    /// The socket is connected: a tunnel, TLS, or nothing more.
    fn after_tcp(&mut self, connection: &Bound<'_, HTTPConnection>, socket: Arc<Socket>) -> PyResult<Stage> {
        let target = self.target.as_ref().expect("set before the first address was tried");
        if target.ssl_context.is_none() {
            self.install(connection, Transport::Plain(socket))?;
            return Ok(Stage::Over);
        }
        if target.proxy.is_none() {
            return self.start_tls(connection, &socket);
        }
        let tunnel = Tunnel::new(&target.hostname, target.port).map_err(errors::misuse)?;
        Ok(Stage::Tunnel(Box::new(tunnel), socket))
    }

    /// Has the caller's context wrap the socket. A context that is not one of `ssl` makes the handshake at once, or whatever it
    /// makes instead.
    fn start_tls(&mut self, connection: &Bound<'_, HTTPConnection>, socket: &Arc<Socket>) -> PyResult<Stage> {
        let py = connection.py();
        let target = self.target.as_ref().expect("set before the first address was tried");
        let context = target.ssl_context.as_ref().expect("only called with one").bind(py);
        let ssl = py.import(intern!(py, "ssl"))?;
        let keywords = PyDict::new(py);
        // The object owns a descriptor of its own, so that it can be closed as Python closes sockets.
        let descriptor = socket.as_fd().try_clone_to_owned()?.into_raw_fd();
        keywords.set_item("fileno", descriptor)?;
        let plain = py.import(intern!(py, "socket"))?.getattr("socket")?.call((), Some(&keywords))?;

        let wrap = context.getattr(intern!(py, "wrap_socket"))?;
        let usual = ssl.getattr("SSLContext")?.getattr("wrap_socket")?;
        let is_usual = wrap.getattr_opt("__func__")?.is_some_and(|function| function.is(&usual));
        let keywords = PyDict::new(py);
        keywords.set_item("server_hostname", &target.hostname)?;
        let limit = connection.get().limit();
        if is_usual {
            plain.call_method1("setblocking", (false,))?;
            keywords.set_item("do_handshake_on_connect", false)?;
            // Otherwise an end without close_notify would look like one with it.
            keywords.set_item("suppress_ragged_eofs", false)?;
        } else {
            plain.call_method1("settimeout", (limit.map(|limit| limit.as_secs_f64()),))?;
        }
        let wrapped = match wrap.call((&plain,), Some(&keywords)) {
            Ok(wrapped) => wrapped,
            Err(error) => {
                let _ = plain.call_method0("close");
                if !is_usual && limit.is_some() && error.is_instance_of::<PyTimeoutError>(py) {
                    return Err(ConnectionTimedOut::new_err("timed out in the TLS handshake"));
                }
                return Err(handshake_error(py, error));
            }
        };
        let object = Object::new(&wrapped)?;
        if is_usual {
            return Ok(Stage::Handshake(object, socket.clone()));
        }
        if wrapped.is_instance(&ssl.getattr("SSLSocket")?)? {
            wrapped.setattr("suppress_ragged_eofs", false)?;
        }
        wrapped.call_method1("setblocking", (false,))?;
        self.install(connection, Transport::Object(object))?;
        Ok(Stage::Over)
    }

    /// The transport is ready.
    fn install(&mut self, connection: &Bound<'_, HTTPConnection>, transport: Transport) -> PyResult<Progress<()>> {
        if self.attempt.is_given_up() {
            return Err(ConnectionClosed::new_err(GIVEN_UP));
        }
        let mut limits = Limits::default();
        limits.fields = usize::MAX; // limited by their bytes alone (statement 11.6)
        limits.interim_responses = 1024; // some servers say that they are still working, for hours
        let config = Config::new().user_agent(None).limits(limits);
        let sending = Sending::new("", &config).map_err(|error| errors::system_error(error.into()))?;
        let link = Link::new(transport, sending, Receiving::new(&config), log::is_enabled(connection.py())?);
        let is_logged = link.is_logged;
        connection.get().install(link);
        // From now on the connection is closed by its own means.
        *self.attempt.socket.lock() = Weak::new();
        self.stage = Stage::Over;
        if is_logged {
            let target = self.target.as_ref().expect("it has led here");
            log::connected(connection.py(), &target.hostname, target.port)?;
        }
        Ok(Progress::Done(()))
    }

    /// What has to be ready before it can go on.
    fn waits_for(&self) -> Option<Waitable> {
        match &self.stage {
            Stage::Tcp(connecting) => connecting.current().cloned().map(Waitable::Socket),
            Stage::Tunnel(_, socket) => Some(Waitable::Socket(socket.clone())),
            Stage::Handshake(object, socket) => Some(Waitable::Wrapped(socket.clone(), object.number())),
            Stage::Name(lookup) => Some(Waitable::Name(lookup.done.clone())),
            Stage::Begin | Stage::Over => None,
        }
    }

    /// Goes on; `None` when there is a connection.
    pub(crate) fn go_on(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Option<Need>> {
        match self.advance(connection) {
            Ok(Progress::Done(())) => Ok(None),
            Ok(Progress::Needs(interest)) => {
                let on = self.waits_for().expect("only a stage with a descriptor needs something");
                Ok(Some(Need { on, interest, moved: self.moved.take(), may_change: false }))
            }
            Err(error) => {
                self.fail(connection);
                Err(error)
            }
        }
    }

    /// Ends the attempt, if there is one that waits.
    pub(crate) fn interrupt(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if self.waits_for().is_some() {
            self.fail(connection);
        }
    }

    /// There is no connection: nothing is left of the attempt.
    pub(crate) fn fail(&mut self, connection: &Bound<'_, HTTPConnection>) {
        self.stage = Stage::Over;
        // If it was given up, there may be another connection by now.
        if !self.attempt.is_given_up() {
            connection.get().disconnect(connection.py());
        }
    }
}

impl Task for Connect {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        match self.go_on(connection)? {
            Some(need) => Ok(Step::Needs(need)),
            None => Step::done(connection.py()),
        }
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        self.interrupt(connection);
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        if let Stage::Tcp(connecting) = &mut self.stage {
            // There may be other addresses.
            connecting.give_up(io::ErrorKind::TimedOut.into());
            return Ok(());
        }
        self.fail(connection);
        Err(ConnectionTimedOut::new_err("timed out waiting for the connection"))
    }
}

impl Stage {
    /// To one of the addresses that Python's resolver has found. In turn, as Python does it (statement 7.5): an iterator can
    /// yield only one descriptor at a time.
    fn tcp(found: &Bound<'_, PyAny>) -> PyResult<Stage> {
        Ok(Stage::Tcp(Connecting::one_by_one(addresses(found)?)))
    }
}

impl Lookup {
    fn begin(py: Python<'_>, address: (&str, u16)) -> PyResult<Self> {
        let (done, theirs) = UnixStream::pair()?;
        // It closes the descriptor in any case.
        let descriptor = theirs.into_raw_fd();
        let object = py.import(intern!(py, "dugong._lookup"))?.getattr(intern!(py, "Lookup"))?.call1((address, descriptor))?;
        Ok(Lookup { object: object.unbind(), done: Arc::new(done) })
    }

    /// What was found, when the thread is done.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.object.bind(py).call_method0(intern!(py, "result"))?;
        Ok(if found.is_none() { None } else { Some(found) })
    }
}

/// Whether this is an address, so that nothing has to be looked up.
fn is_address(host: &str) -> bool {
    host.split('%').next().unwrap_or_default().parse::<IpAddr>().is_ok()
}

/// What Python's resolver says about a host, with the errors of statement 7.7.
fn resolve<'py>(py: Python<'py>, address: (&str, u16)) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "dugong._dns"))?.call_method1(intern!(py, "resolve"), (address,))
}

/// The addresses in what `socket.getaddrinfo` returned.
fn addresses(found: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for info in found.try_iter()? {
        let place = info?.get_item(4)?.cast_into::<PyTuple>()?;
        let host: String = place.get_item(0)?.extract()?;
        let port: u16 = place.get_item(1)?.extract()?;
        // A zone is in the text, and once more as a number.
        let bare = host.split('%').next().unwrap_or(&host);
        let ip: IpAddr = bare.parse().map_err(|_| PyOSError::new_err(format!("{host} is no address of IP")))?;
        addresses.push(match ip {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), port),
            IpAddr::V6(ip) => {
                let number = |index| place.get_item(index).and_then(|item| item.extract::<u32>()).unwrap_or(0);
                SocketAddrV6::new(ip, port, number(2), number(3)).into()
            }
        });
    }
    Ok(addresses)
}

fn tunnel_error(py: Python<'_>, error: TunnelError) -> PyErr {
    let text = error.to_string();
    match error {
        TunnelError::Refused(_) => PyConnectionError::new_err(text),
        TunnelError::Failed(error) => errors::exception(py, error, |_| Ok(PyTuple::empty(py))),
        _ => InvalidResponse::new_err(text),
    }
}

fn handshake_error(py: Python<'_>, error: PyErr) -> PyErr {
    if !errors::means_peer_gone(py, &error, false) {
        return error;
    }
    let closed = ConnectionClosed::new_err("the peer closed the connection in the TLS handshake");
    closed.set_cause(py, Some(error));
    closed
}
