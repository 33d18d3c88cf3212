//! `HTTPConnection`: the state that its methods share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PyResourceWarning;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, intern};

use crate::attempt::{Arrival, Attempt};
use crate::errors;
use crate::guard::{ConnectionGuard, Role};
use crate::link::Link;
use crate::log;
use crate::names;
use crate::target::{Target, is_constant, port_of, proxy_of};
use crate::wire::Transport;

/// A connection to an HTTP/1.1 server.
///
/// The constructor does not connect: the first request does, or `connect`. *ssl_context* is None, an `ssl.SSLContext`, or any
/// object with `wrap_socket`. A *port* of None is 443 with an *ssl_context*, and 80 without. *proxy* is None or a pair of host
/// and port. With an *ssl_context* the connection goes through a tunnel; without one the proxy gets the absolute URL.
///
/// You send requests without waiting for responses, and read the responses in the order of the requests:
///
///     with HTTPConnection('www.python.org') as conn:
///         for path in paths:
///             conn.send_request('GET', path)
///         for path in paths:
///             resp = conn.read_response()
///             body = conn.readall()
///
/// Read each body to its end before the next response: until `read` returns nothing, or by `readall` or `discard`. A body that
/// is cut short raises an exception wherever HTTP can tell. It cannot tell for a body that ends with a connection without TLS.
/// One thread may send while another reads, and any thread may call `disconnect`.
///
/// The methods that wait have twins whose names begin with `co_`. You can await their results under asyncio and trio. The
/// results are also iterators, which yield `PollNeeded` instead of waiting.
///
/// You can assign to `hostname`, `port`, `ssl_context` and `proxy`; the next connection uses the new values. *timeout* limits a
/// single wait for the server, in seconds; after that, `ConnectionTimedOut` is raised. None, 0 or less means no limit.
/// `trace_fh` is None, or a binary file that gets a copy of all bytes that are transferred. If you set
/// `tolerate_missing_length`, a response with neither a length nor `Connection: close` has a body up to the end of the
/// connection. Otherwise reading such a body raises `UnsupportedResponse`.
#[derive(Default)]
#[pyclass(frozen, subclass, dict, weakref, module = "dugong")]
pub(crate) struct HTTPConnection {
    state: Mutex<State>,
    /// `timeout` in seconds as the bits of a float; 0.0 means no limit.
    limit: AtomicU64,
    pub(crate) tolerate_missing_length: AtomicBool,
    /// Whether `State::cut` is set.
    has_cut: AtomicBool,
    /// A wrapper that is being collected will call `close`, which must do nothing then (statement 16.3).
    pub(crate) spared: AtomicBool,
}

/// The connection and the attributes. The lock is never held while Python code runs.
#[derive(Default)]
struct State {
    settings: Settings,
    /// The connection, open or closed.
    link: Option<Arc<Link>>,
    /// Its transport. `disconnect` takes it, and its descriptor is closed when the last operation has let go.
    transport: Option<Arc<Transport>>,
    /// An earlier connection that was closed in the middle of a body, until its reader gets an error or reads a later response.
    cut: Option<Arc<Link>>,
    /// A connection that is being made.
    attempt: Weak<Attempt>,
}

/// An open connection, for an operation to use.
pub(crate) struct InUse {
    pub(crate) link: Arc<Link>,
    pub(crate) transport: Arc<Transport>,
    trace: Option<Py<PyAny>>,
}

impl InUse {
    pub(crate) fn guard(self, role: Role) -> PyResult<ConnectionGuard> {
        ConnectionGuard::new(self.link, self.transport, self.trace, role)
    }
}

impl State {
    fn in_use(&self, py: Python<'_>) -> Option<InUse> {
        let link = self.link.as_ref().filter(|link| !link.is_closed())?.clone();
        let trace = self.settings.trace_fh.as_ref().map(|file| file.clone_ref(py));
        Some(InUse { link, transport: self.transport.clone()?, trace })
    }
}

/// Attributes as they were assigned.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) hostname: Option<Py<PyAny>>,
    pub(crate) port: Option<Py<PyAny>>,
    pub(crate) ssl_context: Option<Py<PyAny>>,
    pub(crate) proxy: Option<Py<PyAny>>,
    pub(crate) timeout: Option<Py<PyAny>>,
    pub(crate) trace_fh: Option<Py<PyAny>>,
    /// Whether we have opened `trace_fh`.
    pub(crate) is_trace_ours: bool,
    /// The meaning of the first four attributes, if only an assignment can change it.
    pub(crate) target: Option<Arc<Target>>,
}

impl HTTPConnection {
    /// The limit of a single wait.
    pub(crate) fn limit(&self) -> Option<Duration> {
        let seconds = f64::from_bits(self.limit.load(Ordering::Relaxed));
        // A number that does not fit into a `Duration` is no limit.
        if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
    }

    pub(crate) fn tolerates_missing_length(&self) -> bool {
        self.tolerate_missing_length.load(Ordering::Relaxed)
    }

    /// The TLS context, unless it is an object that is false.
    pub(crate) fn secure_context(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let context = self.state.lock().settings.ssl_context.as_ref().map(|context| context.clone_ref(py));
        match context {
            Some(context) if context.is_truthy(py)? => Ok(Some(context)),
            _ => Ok(None),
        }
    }

    /// The server and the proxy that the attributes name now, and the connection if it is open.
    pub(crate) fn target_and_link(&self, py: Python<'_>) -> PyResult<(Arc<Target>, Option<InUse>)> {
        let state = self.state.lock();
        let (in_use, known) = (state.in_use(py), state.settings.target.clone());
        let context = state.settings.ssl_context.as_ref().map(|context| context.clone_ref(py));
        drop(state);
        // A context can be an object whose truth value changes.
        let is_secure = context.map_or(Ok(false), |context| context.is_truthy(py))?;
        let known = known.filter(|target| target.origin.is_secure() == is_secure);
        Ok((known.map_or_else(|| self.target(py), Ok)?, in_use))
    }

    /// The server and the proxy that the attributes name now.
    pub(crate) fn target(&self, py: Python<'_>) -> PyResult<Arc<Target>> {
        let is_secure = self.secure_context(py)?.is_some();
        let known = self.state.lock().settings.target.clone();
        if let Some(target) = known.filter(|target| target.origin.is_secure() == is_secure) {
            return Ok(target);
        }
        let read = |choose: fn(&Settings) -> &Option<Py<PyAny>>| self.attribute(py, choose).into_bound(py);
        let (given_port, given_proxy) = (read(|settings| &settings.port), read(|settings| &settings.proxy));
        let port = match given_port.is_none() {
            true if is_secure => 443,
            true => 80,
            false => port_of(&given_port)?,
        };
        let proxy = proxy_of(&given_proxy)?;
        let hostname: String = read(|settings| &settings.hostname).extract()?;
        let origin = names::origin(is_secure, &hostname, port)?;
        let target = Arc::new(Target::new(hostname, origin, proxy));
        if is_constant(&given_port) && is_constant(&given_proxy) {
            self.state.lock().settings.target = Some(target.clone());
        }
        Ok(target)
    }

    /// The limit of a single wait while connecting: `timeout`, or the default of `socket.setdefaulttimeout`.
    pub(crate) fn connect_limit(&self, py: Python<'_>) -> PyResult<Option<Duration>> {
        if let Some(limit) = self.limit() {
            return Ok(Some(limit));
        }
        // Only programs that have imported the module can have set it.
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        let socket = modules.call_method1(intern!(py, "get"), (intern!(py, "socket"),))?;
        let Some(default) = socket.getattr_opt(intern!(py, "getdefaulttimeout"))? else { return Ok(None) };
        let seconds: Option<f64> = default.call0()?.extract()?;
        Ok(seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }

    /// The connection, open or closed.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.state.lock().link.clone()
    }

    /// The connection, if it is open.
    pub(crate) fn open_link(&self) -> Option<Arc<Link>> {
        self.link().filter(|link| !link.is_closed())
    }

    /// The connection: its link alone if it is closed, and ready for use if it is open.
    pub(crate) fn link_in_use(&self, py: Python<'_>) -> (Option<Arc<Link>>, Option<InUse>) {
        let state = self.state.lock();
        let in_use = state.in_use(py);
        let link = if in_use.is_some() { None } else { state.link.clone() };
        (link, in_use)
    }

    /// The given connection, if it is the current one and open.
    pub(crate) fn in_use(&self, py: Python<'_>, link: &Arc<Link>) -> Option<InUse> {
        self.state.lock().in_use(py).filter(|in_use| Arc::ptr_eq(&in_use.link, link))
    }

    /// A guard for the connection, if it is open.
    pub(crate) fn guard(&self, py: Python<'_>, role: Role) -> PyResult<Option<ConnectionGuard>> {
        let in_use = self.state.lock().in_use(py);
        in_use.map(|in_use| in_use.guard(role)).transpose()
    }

    /// The transport of the connection, if it is open.
    pub(crate) fn transport(&self) -> Option<Arc<Transport>> {
        self.state.lock().transport.clone()
    }

    pub(crate) fn trace(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.lock().settings.trace_fh.as_ref().map(|file| file.clone_ref(py))
    }

    /// Closes and drops the present connection, before a new one is made.
    pub(crate) fn forget(&self, py: Python<'_>) {
        let mut state = self.state.lock();
        let (link, transport) = (state.link.take(), state.transport.take());
        drop(state);
        if let Some(link) = link {
            link.disconnect(py, transport);
            if link.is_in_body() {
                let before = self.state.lock().cut.replace(link);
                self.has_cut.store(true, Ordering::Release);
                drop(before);
            }
        }
    }

    /// Raises `ConnectionClosed`, once, if the last body belonged to an earlier connection that was closed before its end. Otherwise
    /// the reader would take the body for complete. `has_body` tells whether the present connection has a body to read.
    pub(crate) fn check_cut(&self, py: Python<'_>, has_body: bool) -> PyResult<()> {
        let mut state = self.state.lock();
        let Some(cut) = &state.cut else { return Ok(()) };
        if (has_body || cut.superseded.load(Ordering::Relaxed)) && !cut.was_read_here() {
            return Ok(());
        }
        let cut = self.take_cut(&mut state);
        drop(state);
        match cut {
            Some(cut) if !has_body && !cut.is_reported() => cut.with(py, |state| Err(cut.body_gone(py, state))),
            _ => Ok(()),
        }
    }

    /// Notes that the head of a later response was read. Its reader knows that the earlier body is lost; another thread may not.
    pub(crate) fn supersede_cut(&self) {
        if !self.has_cut() {
            return;
        }
        let mut state = self.state.lock();
        match &state.cut {
            Some(cut) if !cut.was_read_here() => cut.superseded.store(true, Ordering::Relaxed),
            _ => {
                let cut = self.take_cut(&mut state);
                drop(state);
                drop(cut);
            }
        }
    }

    /// Whether an earlier connection was closed in the middle of a body.
    pub(crate) fn has_cut(&self) -> bool {
        self.has_cut.load(Ordering::Acquire)
    }

    fn take_cut(&self, state: &mut State) -> Option<Arc<Link>> {
        self.has_cut.store(false, Ordering::Release);
        state.cut.take()
    }

    /// Replaces the attempt to connect. An earlier attempt fails.
    pub(crate) fn begin_attempt(&self, attempt: &Arc<Attempt>) {
        let before = std::mem::replace(&mut self.state.lock().attempt, Arc::downgrade(attempt)).upgrade();
        if let Some(before) = before {
            before.give_up();
        }
    }

    /// Lets a reader wait for the connection that is being made for a request.
    pub(crate) fn arrival(&self) -> PyResult<Option<Arc<Arrival>>> {
        let attempt = self.state.lock().attempt.upgrade();
        Ok(attempt.map_or(Ok(None), |attempt| attempt.arrival())?)
    }

    pub(crate) fn install(&self, link: Link, transport: Transport) {
        let mut state = self.state.lock();
        let before = (state.link.replace(Arc::new(link)), state.transport.replace(Arc::new(transport)));
        drop(state);
        drop(before);
    }

    /// Opens the file that `DUGONG_TRACEFILE` names, if it is set.
    pub(crate) fn open_trace(&self, py: Python<'_>, attempt: &Attempt) -> PyResult<()> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        // `os.environ`, since a program may have replaced it.
        let environment = py.import(intern!(py, "os"))?.getattr(intern!(py, "environ"))?;
        let name = environment.call_method1(intern!(py, "get"), ("DUGONG_TRACEFILE",))?;
        if !name.is_truthy()? {
            return Ok(());
        }
        let name: String = name.extract()?;
        let name = name.replace("%d", &UNIQUE.fetch_add(1, Ordering::Relaxed).to_string());
        self.close_trace(py);
        let file = py.import(intern!(py, "io"))?.getattr(intern!(py, "open"))?.call1((name, "wb", 0))?;
        if attempt.is_given_up() {
            return file.call_method0(intern!(py, "close")).map(drop);
        }
        let mut state = self.state.lock();
        state.settings.is_trace_ours = true;
        let before = state.settings.trace_fh.replace(file.unbind());
        drop(state);
        drop(before);
        Ok(())
    }

    /// Closes the connection and the trace file; gives up a connection that is being made.
    pub(crate) fn disconnect(&self, py: Python<'_>) {
        let mut state = self.state.lock();
        let (attempt, link, transport) = (state.attempt.upgrade(), state.link.clone(), state.transport.take());
        drop(state);
        if let Some(attempt) = attempt {
            attempt.give_up();
        }
        if let Some(link) = link
            && link.disconnect(py, transport)
            && link.is_logged
        {
            // `disconnect` never fails, even if logging does.
            let _ = log::disconnected(py);
        }
        self.close_trace(py);
    }

    /// Forgets that an earlier connection was closed in the middle of a body, if this thread was its reader.
    pub(crate) fn forget_own_cut(&self) {
        let mut state = self.state.lock();
        let is_own = state.cut.as_ref().is_some_and(|cut| cut.was_read_here());
        let cut = if is_own { self.take_cut(&mut state) } else { None };
        drop(state);
        drop(cut);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While it is in use, it is reachable anyway.
        let Some(state) = self.state.try_lock() else { return Ok(()) };
        let Settings { hostname, port, ssl_context, proxy, timeout, trace_fh, is_trace_ours, target: _ } = &state.settings;
        // Our own file refers to no other object. If the collector saw it, it could finalize it before we close it.
        let trace_fh = if *is_trace_ours { &None } else { trace_fh };
        for object in [hostname, port, ssl_context, proxy, timeout, trace_fh].into_iter().flatten() {
            visit.call(object)?;
        }
        [&state.link, &state.cut].into_iter().flatten().try_for_each(|link| link.traverse(visit))
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        self.warn_if_open(py);
        self.disconnect(py);
        self.forget(py);
        let mut state = self.state.lock();
        let before = (self.take_cut(&mut state), std::mem::take(&mut state.settings));
        drop(state);
        drop(before);
    }

    /// Host, port and state, for people. It shows no secrets.
    pub(crate) fn description(&self, py: Python<'_>) -> String {
        let text = |choose: fn(&Settings) -> &Option<Py<PyAny>>| {
            let value = self.attribute(py, choose).into_bound(py);
            let text = value.str().map_or_else(|_| String::from("?"), |text| text.to_string());
            // If the program passed a URL by mistake, it may contain a password.
            text.rsplit('@').next().unwrap_or_default().escape_debug().to_string()
        };
        let tls = if self.state.lock().settings.ssl_context.is_some() { " over TLS" } else { "" };
        let state = match self.open_link() {
            Some(link) => match link.due() {
                0 => String::from("connected"),
                1 => String::from("connected, 1 response due"),
                due => format!("connected, {due} responses due"),
            },
            None if self.state.lock().attempt.upgrade().is_some_and(|attempt| !attempt.is_given_up()) => {
                String::from("connecting")
            }
            None => String::from("not connected"),
        };
        format!("{} port {}{tls}, {state}", text(|settings| &settings.hostname), text(|settings| &settings.port))
    }

    /// Warns that the connection was not closed before it is collected, as sockets do.
    fn warn_if_open(&self, py: Python<'_>) {
        if self.open_link().is_some_and(|link| link.is_of_this_process()) {
            let text = format!("unclosed HTTPConnection to {}", self.description(py));
            errors::warn::<PyResourceWarning>(py, &text);
        }
    }

    fn close_trace(&self, py: Python<'_>) {
        let file = self.state.lock().settings.trace_fh.take();
        if let Some(file) = file {
            // An error of the file must not keep `disconnect` from closing the connection.
            let _ = file.call_method0(py, intern!(py, "close"));
        }
    }

    /// Takes the attributes that the constructor was given; `limit` is the timeout in seconds.
    pub(crate) fn replace_settings(&self, settings: Settings, limit: f64) {
        let before = std::mem::replace(&mut self.state.lock().settings, settings);
        drop(before);
        self.set_limit(limit);
        self.tolerate_missing_length.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_limit(&self, seconds: f64) {
        self.limit.store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// An attribute; None if it was never set.
    pub(crate) fn attribute(&self, py: Python<'_>, choose: fn(&Settings) -> &Option<Py<PyAny>>) -> Py<PyAny> {
        choose(&self.state.lock().settings).as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }

    pub(crate) fn set(&self, value: Bound<'_, PyAny>, choose: fn(&mut Settings) -> &mut Option<Py<PyAny>>) {
        let value = if value.is_none() { None } else { Some(value.unbind()) };
        // Dropping the old value may run Python code, so the lock must be free then.
        let mut state = self.state.lock();
        let before = (std::mem::replace(choose(&mut state.settings), value), state.settings.target.take());
        drop(state);
        drop(before);
    }
}

impl Drop for HTTPConnection {
    fn drop(&mut self) {
        // The transport closes itself, but not the trace file, and it does not send close_notify.
        let _ = Python::try_attach(|py| {
            self.warn_if_open(py);
            self.disconnect(py);
        });
    }
}
