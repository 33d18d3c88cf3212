//! Connecting: name, TCP, tunnel, TLS (statements 7).
//!
//! The stages of Rust (`Connecting`, `Tunnel`) in an order of its own, instead of a `Connector` below `dugong_http`'s `Connect`: exceptions
//! of the program's resolver and TLS context have to arrive unchanged, a context may block and needs the GIL in each call, a caller that
//! drives by hand can wait for one descriptor only, and `disconnect` in another thread ends every stage.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use dugong_http::driver::{Interest, Progress, Receiving, Sending, Tunnel};
use dugong_http::transport::TunnelError;
use dugong_http::{Config, Limits};
use pyo3::exceptions::{PyConnectionError, PyOSError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::attempt::{Attempt, Waiting};
use crate::errors::{self, ConnectionClosed, ConnectionTimedOut, InvalidResponse};
use crate::link::{Driver, Link};
use crate::log;
use crate::need::{Need, Waitable};
use crate::race::{Lost, Race};
use crate::state::HTTPConnection;
use crate::target::Target;
use crate::task::{Step, Task};
use crate::tls;
use crate::wire::{Object, Transport, Wire};

const GIVEN_UP: &str = "the connection was closed by disconnect(), or another one was begun";

/// `connect()`, which is also the first part of methods that need a connection.
pub(crate) struct Connect {
    stage: Stage,
    resolver: Resolver,
    target: Option<Arc<Target>>,
    /// The TLS context, if the connection uses one.
    context: Option<Py<PyAny>>,
    attempt: Arc<Attempt>,
    /// Whether it has made progress since it last had to wait.
    moved: Cell<bool>,
}

/// How the caller waits. This decides in which thread Python's resolver runs, and in which order addresses are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// A regular method: the resolver blocks the thread that connects, which waits anyway.
    Here,
    /// An iterator that is driven by hand. The resolver has a thread of its own. Addresses are tried in turn, because the caller
    /// can only wait for the descriptor of one.
    Thread,
    /// The same, but awaited.
    Awaited,
}

enum Stage {
    Begin,
    /// A thread looks the name up.
    Name(Lookup),
    /// A thread makes a socket by the program's own functions.
    Made(Lookup),
    Tcp(Box<Race>),
    Tunnel(Box<Tunnel>, Transport),
    Handshake(Object),
    Over,
}

/// A blocking call in a thread.
struct Lookup {
    /// The Python object that gets the result.
    object: Py<PyAny>,
    /// It becomes readable when the thread has the result and closes the other end.
    done: Arc<UnixStream>,
}

impl Connect {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Connect {
            stage: Stage::Begin,
            resolver,
            target: None,
            context: None,
            attempt: Arc::new(Attempt::new()),
            moved: Cell::new(false),
        }
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
                    self.context = connection.get().secure_context(py)?;
                    let target = connection.get().target(py)?;
                    let dns = py.import(intern!(py, "dugong._dns"))?;
                    let maker = dns.call_method0(intern!(py, "maker"))?;
                    let is_here = self.resolver == Resolver::Here;
                    if !maker.is_none() {
                        let limit = connection.get().limit().map(|limit| limit.as_secs_f64());
                        let arguments = (target.given(), limit).into_pyobject(py)?;
                        self.target = Some(target);
                        self.stage = if is_here {
                            let made = maker.call1(arguments)?;
                            self.adopt(connection, &made)?
                        } else {
                            Stage::Made(self.in_thread(&maker, &arguments)?)
                        };
                    } else {
                        let resolve = dns.getattr(intern!(py, "resolve"))?;
                        let arguments = (target.given(),).into_pyobject(py)?;
                        self.stage = if is_here || is_address(target.address().0) {
                            self.tcp(connection, &resolve.call1(arguments)?)?
                        } else {
                            Stage::Name(self.in_thread(&resolve, &arguments)?)
                        };
                        self.target = Some(target);
                    }
                }
                Stage::Name(lookup) => {
                    let Some(found) = lookup.result(py)? else { return Ok(Progress::Needs(Interest::READ)) };
                    self.stage = self.tcp(connection, &found)?;
                    self.moved.set(true);
                }
                Stage::Made(lookup) => {
                    let Some(made) = lookup.result(py)? else { return Ok(Progress::Needs(Interest::READ)) };
                    self.moved.set(true);
                    self.stage = self.adopt(connection, &made)?;
                }
                Stage::Tcp(race) => match race.step(Instant::now()) {
                    Ok(Poll::Ready(socket)) => {
                        self.attempt.wait_for(Waiting::Socket(Arc::downgrade(&socket)));
                        connection.get().open_trace(py, &self.attempt)?;
                        self.moved.set(true);
                        self.stage = self.after_tcp(connection, Transport::Plain(socket))?;
                    }
                    Ok(Poll::Pending) => {
                        let current = Arc::downgrade(race.current().expect("a step that needs something has a socket"));
                        let before = self.attempt.wait_for(Waiting::Socket(current.clone()));
                        self.moved.set(!matches!(before, Some(Waiting::Socket(before)) if before.ptr_eq(&current)));
                        return Ok(Progress::Needs(Interest::WRITE));
                    }
                    Err(_) if self.attempt.is_given_up() => {}
                    Err(Lost { error, address }) => {
                        if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
                            return Err(timed_out(connection, "timed out waiting for the connection"));
                        }
                        let address = address.map(|address| address.to_string());
                        return Err(errors::system_error_at(error, address.as_deref()));
                    }
                },
                Stage::Tunnel(tunnel, transport) => {
                    let trace = connection.get().trace(py);
                    let mut wire = Wire { py, transport, trace: trace.as_ref(), moved: &self.moved };
                    match tunnel.step(&mut wire) {
                        Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                        Ok(Progress::Done(())) => {
                            let Stage::Tunnel(_, transport) = std::mem::replace(&mut self.stage, Stage::Over) else {
                                unreachable!("just matched")
                            };
                            self.stage = self.start_tls(connection, transport)?;
                            self.moved.set(true);
                        }
                        Err(_) if self.attempt.is_given_up() => {}
                        Err(error) => return Err(tunnel_error(py, error)),
                    }
                }
                Stage::Handshake(object) => {
                    match object.call(py, Interest::READ, |object| object.call_method0(intern!(py, "do_handshake"))) {
                        Ok(Progress::Needs(interest)) => return Ok(Progress::Needs(interest)),
                        Ok(Progress::Done(_)) => {
                            let Stage::Handshake(object) = std::mem::replace(&mut self.stage, Stage::Over) else {
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

    /// Starts a thread for a blocking call.
    fn in_thread(&self, function: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<Lookup> {
        let lookup = Lookup::begin(function, arguments)?;
        self.attempt.wait_for(Waiting::Thread(Arc::downgrade(&lookup.done)));
        Ok(lookup)
    }

    /// Begins to connect to the addresses that Python's resolver has found.
    fn tcp(&self, connection: &Bound<'_, HTTPConnection>, found: &Bound<'_, PyAny>) -> PyResult<Stage> {
        let addresses = addresses(found)?;
        Ok(Stage::Tcp(Box::new(match self.resolver {
            Resolver::Thread => Race::in_turn(addresses, connection.get().connect_limit(connection.py())?),
            Resolver::Here | Resolver::Awaited => Race::beside(addresses),
        })))
    }

    /// Takes a connected socket that the program's functions have made.
    fn adopt(&mut self, connection: &Bound<'_, HTTPConnection>, made: &Bound<'_, PyAny>) -> PyResult<Stage> {
        let py = connection.py();
        let object = made.call_method1(intern!(py, "setblocking"), (false,)).and_then(|_| Object::plain(made));
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                let _ = made.call_method0(intern!(py, "close"));
                return Err(error);
            }
        };
        self.wait_for(&object);
        connection.get().open_trace(py, &self.attempt)?;
        self.after_tcp(connection, Transport::Object(object))
    }

    /// Lets `disconnect` shut this down from now on.
    fn wait_for(&self, object: &Object) {
        self.attempt.wait_for(Waiting::Wrapped(Arc::downgrade(object.descriptor())));
    }

    /// Goes on with a connected socket: with a tunnel, with TLS, or to the end.
    fn after_tcp(&mut self, connection: &Bound<'_, HTTPConnection>, transport: Transport) -> PyResult<Stage> {
        let target = self.target.as_ref().expect("set before the first address was tried");
        if self.context.is_none() {
            self.install(connection, transport)?;
            return Ok(Stage::Over);
        }
        if target.proxy.is_none() {
            return self.start_tls(connection, transport);
        }
        let tunnel = Tunnel::new(target.origin.host(), target.origin.port()).map_err(errors::misuse)?;
        Ok(Stage::Tunnel(Box::new(tunnel), transport))
    }

    /// Has the caller's context wrap the socket. A context that is not one of `ssl` makes its handshake in this call.
    fn start_tls(&mut self, connection: &Bound<'_, HTTPConnection>, transport: Transport) -> PyResult<Stage> {
        let py = connection.py();
        let target = self.target.as_ref().expect("set before the first address was tried");
        let context = self.context.as_ref().expect("only called with one").bind(py);
        let ssl = py.import(intern!(py, "ssl"))?;
        let plain = match transport {
            Transport::Plain(socket) => tls::python_socket(py, &socket)?,
            Transport::Object(object) => object.release(py),
        };

        let wrap = context.getattr(intern!(py, "wrap_socket"))?;
        let usual = ssl.getattr("SSLContext")?.getattr("wrap_socket")?;
        let is_usual = wrap.getattr_opt("__func__")?.is_some_and(|function| function.is(&usual));
        let server_name = target.origin.server_name();
        let wrapped = if is_usual {
            tls::wrap(context, &plain, server_name)
        } else {
            plain.call_method1("settimeout", (connection.get().connect_limit(py)?.map(|limit| limit.as_secs_f64()),))?;
            let keywords = PyDict::new(py);
            keywords.set_item("server_hostname", server_name)?;
            wrap.call((&plain,), Some(&keywords))
        };
        let wrapped = match wrapped {
            Ok(wrapped) => wrapped,
            Err(error) => {
                let _ = plain.call_method0("close");
                if !is_usual && connection.get().limit().is_some() && error.is_instance_of::<PyTimeoutError>(py) {
                    return Err(ConnectionTimedOut::new_err("timed out in the TLS handshake"));
                }
                return Err(handshake_error(py, error));
            }
        };
        let object = Object::new(&wrapped)?;
        if is_usual {
            self.wait_for(&object);
            return Ok(Stage::Handshake(object));
        }
        if wrapped.is_instance(&ssl.getattr("SSLSocket")?)? {
            wrapped.setattr("suppress_ragged_eofs", false)?;
        }
        wrapped.call_method1("setblocking", (false,))?;
        self.install(connection, Transport::Object(object))?;
        Ok(Stage::Over)
    }

    /// Makes this the transport of the connection.
    fn install(&mut self, connection: &Bound<'_, HTTPConnection>, transport: Transport) -> PyResult<Progress<()>> {
        if self.attempt.is_given_up() {
            return Err(ConnectionClosed::new_err(GIVEN_UP));
        }
        let target = self.target.as_ref().expect("set before anything was tried");
        let mut limits = Limits::default();
        limits.fields = usize::MAX; // limited by their bytes alone (statement 11.6)
        limits.interim_responses = 1024; // some servers say that they are still working, for hours
        let config = Config::new().user_agent(None).limits(limits);
        let sending = Sending::new(&target.host, &config).map_err(|error| errors::system_error(error.into()))?;
        let link = Link::new(target.clone(), sending, Receiving::new(&config), log::is_enabled(connection.py())?);
        let is_logged = link.is_logged;
        connection.get().install(link, transport);
        // From now on `disconnect` closes the connection itself.
        self.attempt.wait_for_nothing();
        self.stage = Stage::Over;
        if is_logged {
            log::connected(connection.py(), &target.hostname, target.origin.port())?;
        }
        Ok(Progress::Done(()))
    }

    /// The descriptor that the present stage waits for, and the interest.
    fn waits_for(&mut self, interest: Interest) -> Option<(Waitable, Interest)> {
        let on = match &mut self.stage {
            Stage::Tcp(race) => return race.waits_for().map(|(attempts, interest)| (Waitable::Attempts(attempts), interest)),
            Stage::Tunnel(_, Transport::Plain(socket)) => Waitable::Socket(socket.clone()),
            Stage::Tunnel(_, Transport::Object(object)) | Stage::Handshake(object) => {
                Waitable::Wrapped(object.descriptor().clone(), object.number())
            }
            Stage::Name(lookup) | Stage::Made(lookup) => Waitable::Name(lookup.done.clone()),
            Stage::Begin | Stage::Over => return None,
        };
        Some((on, interest))
    }

    /// Goes on as far as it can without waiting; `None` when it is connected.
    pub(crate) fn go_on(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Option<Need>> {
        match self.advance(connection) {
            Ok(Progress::Done(())) => Ok(None),
            Ok(Progress::Needs(interest)) => {
                let (on, interest) = self.waits_for(interest).expect("only a stage with a descriptor needs something");
                Ok(Some(Need { on, interest, moved: self.moved.take(), may_change: false }))
            }
            Err(error) => {
                self.fail(connection);
                Err(error)
            }
        }
    }

    /// Ends the attempt if it has begun.
    pub(crate) fn interrupt(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if !matches!(self.stage, Stage::Begin | Stage::Over) {
            self.fail(connection);
        }
    }

    /// Ends the attempt, and closes all that it has opened.
    pub(crate) fn fail(&mut self, connection: &Bound<'_, HTTPConnection>) {
        self.stage = Stage::Over;
        // If it was given up, the object may have another connection by now.
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
        if let Stage::Tcp(race) = &mut self.stage {
            // Other addresses may be left to try.
            race.give_up();
            return Ok(());
        }
        self.fail(connection);
        Err(timed_out(connection, "timed out waiting for the connection"))
    }

    fn driven_by(&mut self, driver: Driver) {
        self.resolver = self.resolver.driven_by(driver);
    }
}

impl Resolver {
    /// The same for an operation that may be awaited.
    pub(crate) fn driven_by(self, driver: Driver) -> Self {
        if self == Resolver::Thread && driver == Driver::Await { Resolver::Awaited } else { self }
    }
}

/// `ConnectionTimedOut`. If the limit is the default of `socket`, it is a `TimeoutError` as well, as programs that set the default
/// expect.
fn timed_out(connection: &Bound<'_, HTTPConnection>, text: &'static str) -> PyErr {
    match connection.get().limit() {
        Some(_) => ConnectionTimedOut::new_err(text),
        None => errors::DefaultTimedOut::new_err(text),
    }
}

impl Lookup {
    fn begin(function: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let py = function.py();
        let (done, theirs) = UnixStream::pair()?;
        // The thread closes the descriptor in any case.
        let descriptor = theirs.into_raw_fd();
        let mut partial = vec![function.clone()];
        partial.extend(arguments.iter());
        let call = py.import(intern!(py, "functools"))?.call_method1("partial", PyTuple::new(py, partial)?)?;
        let object = py.import(intern!(py, "dugong._lookup"))?.call_method1(intern!(py, "Lookup"), (call, descriptor))?;
        Ok(Lookup { object: object.unbind(), done: Arc::new(done) })
    }

    /// The result, when the thread is done.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.object.bind(py).call_method0(intern!(py, "result"))?;
        Ok(if found.is_none() { None } else { Some(found) })
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        // If the thread makes a socket later, it closes it. After the end of the interpreter, no thread is left.
        let _ = Python::try_attach(|py| self.object.bind(py).call_method0(intern!(py, "abandon")).map(drop));
    }
}

/// Whether this is an address, which needs no lookup.
fn is_address(host: &str) -> bool {
    host.split('%').next().unwrap_or_default().parse::<IpAddr>().is_ok()
}

/// The addresses in a result of `socket.getaddrinfo`.
fn addresses(found: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for info in found.try_iter()? {
        let place = info?.get_item(4)?.cast_into::<PyTuple>()?;
        let host: String = place.get_item(0)?.extract()?;
        let port: u16 = place.get_item(1)?.extract()?;
        // The zone is in the text, and also a number of its own.
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
        // The proxy would refuse the same request again (statement 7.10).
        TunnelError::Refused(refusal) if refusal.head().status().as_u16() / 100 == 4 => errors::ProxyRefusal::new_err(text),
        TunnelError::Refused(_) => PyConnectionError::new_err(text),
        TunnelError::Failed(error) => errors::exception(py, error, |_| Ok(PyTuple::empty(py))),
        _ => InvalidResponse::new_err(text),
    }
}

fn handshake_error(py: Python<'_>, error: PyErr) -> PyErr {
    if !errors::means_peer_gone(py, &error, false) {
        return error;
    }
    let closed = ConnectionClosed::new_err("the server closed the connection in the TLS handshake");
    closed.set_cause(py, Some(error));
    closed
}
