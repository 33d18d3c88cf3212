//! `HTTPConnection`: its attributes, and a regular method and an iterator for each task.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dugong_http::Origin;
use parking_lot::Mutex;
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyResourceWarning, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, intern};

use crate::connect::{Arrival, Attempt, Connect, Resolver};
use crate::errors::{self, state_error};
use crate::link::{Grip, Link, Role};
use crate::log;
use crate::names;
use crate::operation::Operation;
use crate::pipeline::{AsyncPipeline, Pipeline};
use crate::receive::{Discard, Read, ReadAll, ReadInto, ReadRaw, ReadResponse};
use crate::send::SendRequest;
use crate::task::{Step, Task, run};
use crate::write::{Finish, Write};

/// A connection to an HTTP/1.1 server.
///
/// Nothing is connected yet: the first request does that, or `connect`. A *port* of None is 80, or 443 if there is an
/// *ssl_context*: an `ssl.SSLContext`, or any object with `wrap_socket`. *proxy* is None or a pair of host and port; with
/// an *ssl_context* the connection goes through a tunnel, otherwise the proxy is sent the absolute URL.
///
/// Requests are sent without waiting for responses, and responses are read in the order of the requests:
///
///     with HTTPConnection('www.python.org') as conn:
///         for path in paths:
///             conn.send_request('GET', path)
///         for path in paths:
///             resp = conn.read_response()
///             body = conn.readall()
///
/// A body has to be read to its end before the next response: until `read` returns nothing, or by `readall` or `discard`.
/// A body that is cut short is an exception, never a short body, wherever HTTP can tell: only the end of one that ends with
/// the connection, without TLS, proves nothing. One thread may send while another reads, and any may call `disconnect`.
///
/// The methods that wait have twins, `co_` and the same name. What they return is awaited under asyncio and trio; it is also an
/// iterator that yields `PollNeeded` instead of waiting.
///
/// `hostname`, `port`, `ssl_context` and `proxy` can be assigned to; the next connection is made with them. `timeout` is
/// how many seconds a single wait for the peer may last before `ConnectionTimedOut` is raised (None, 0 or less: for ever);
/// it can be given here, too.
/// `trace_fh`, if not None, is a binary file that all bytes are written to as they are transferred.
/// `tolerate_missing_length` is whether a response with neither a length nor `Connection: close` is read up to the end of
/// the connection; otherwise reading its body raises `UnsupportedResponse`.
#[pyclass(frozen, subclass, dict, weakref, module = "dugong")]
pub(crate) struct HTTPConnection {
    settings: Mutex<Settings>,
    /// `timeout` in seconds as the bits of a float; 0.0 is for ever.
    limit: AtomicU64,
    tolerate_missing_length: AtomicBool,
    /// The connection, open or closed.
    link: Mutex<Option<Arc<Link>>>,
    /// An earlier connection that was closed in the middle of a body, until its reader was told, or reads a later response.
    cut: Mutex<Option<Arc<Link>>>,
    /// A connection that is being made.
    attempt: Mutex<Weak<Attempt>>,
    /// `close` is about to be called by a wrapper that is collected, and means nothing (statement 16.3).
    spared: AtomicBool,
}

/// Attributes as they were assigned.
#[derive(Default)]
struct Settings {
    hostname: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    ssl_context: Option<Py<PyAny>>,
    proxy: Option<Py<PyAny>>,
    timeout: Option<Py<PyAny>>,
    trace_fh: Option<Py<PyAny>>,
    /// Whether we have opened `trace_fh`.
    is_trace_ours: bool,
}

/// Where to connect to, and how.
pub(crate) struct Target {
    /// The host as the caller gave it.
    pub(crate) hostname: String,
    pub(crate) origin: Origin,
    pub(crate) ssl_context: Option<Py<PyAny>>,
    /// The host as the caller gave it, and its origin.
    pub(crate) proxy: Option<(String, Origin)>,
}

impl Target {
    /// Host and port of the first peer.
    pub(crate) fn address(&self) -> (&str, u16) {
        let origin = self.proxy.as_ref().map_or(&self.origin, |(_, origin)| origin);
        (origin.host(), origin.port())
    }

    /// The same, with the host as the caller gave it.
    pub(crate) fn given(&self) -> (&str, u16) {
        let (host, origin) = self.proxy.as_ref().map_or((&self.hostname, &self.origin), |(host, origin)| (host, origin));
        (host, origin.port())
    }

    /// The host as TLS knows it: an address without its zone, a name without the dot of the root (RFC 6066 §3).
    pub(crate) fn server_name(&self) -> &str {
        let host = self.origin.host();
        match host.contains(':') {
            true => host.split('%').next().unwrap_or(host),
            false => host.strip_suffix('.').unwrap_or(host),
        }
    }
}

impl HTTPConnection {
    /// How long a single wait may last.
    pub(crate) fn limit(&self) -> Option<Duration> {
        let seconds = f64::from_bits(self.limit.load(Ordering::Relaxed));
        // What is longer than the system can count is no limit.
        if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
    }

    pub(crate) fn tolerates_missing_length(&self) -> bool {
        self.tolerate_missing_length.load(Ordering::Relaxed)
    }

    /// What the attributes say now.
    pub(crate) fn target(&self, py: Python<'_>) -> PyResult<Target> {
        let read = |choose: fn(&Settings) -> &Option<Py<PyAny>>| self.attribute(py, choose).into_bound(py);
        let context = read(|settings| &settings.ssl_context);
        let ssl_context = if context.is_truthy()? { Some(context.unbind()) } else { None };
        let port = read(|settings| &settings.port);
        let port = match port.is_none() {
            true if ssl_context.is_some() => 443,
            true => 80,
            false => port_of(&port)?,
        };
        let proxy = read(|settings| &settings.proxy);
        let proxy = if proxy.is_truthy()? {
            let wrong = || PyTypeError::new_err(format!("proxy has to be None or (host, port), not {proxy}"));
            let pair: Vec<Bound<'_, PyAny>> = proxy.extract().map_err(|_| wrong())?;
            let [host, port] = &pair[..] else { return Err(wrong()) };
            let (host, port): (String, _) = (host.extract()?, port_of(port)?);
            let origin = names::origin(false, &host, port)?;
            Some((host, origin))
        } else {
            None
        };
        let hostname: String = read(|settings| &settings.hostname).extract()?;
        let origin = names::origin(ssl_context.is_some(), &hostname, port)?;
        Ok(Target { hostname, origin, ssl_context, proxy })
    }

    /// The connection, open or closed.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.lock().clone()
    }

    /// The connection, if there is one.
    pub(crate) fn open_link(&self) -> Option<Arc<Link>> {
        self.link().filter(|link| !link.is_closed())
    }

    /// The connection, if there is one, to do something with it.
    pub(crate) fn grip(&self, py: Python<'_>, role: Role) -> PyResult<Option<Grip>> {
        let Some(link) = self.open_link() else { return Ok(None) };
        let Some(transport) = link.transport() else { return Ok(None) };
        Grip::new(link, transport, self.trace(py), role).map(Some)
    }

    pub(crate) fn trace(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.lock().trace_fh.as_ref().map(|file| file.clone_ref(py))
    }

    /// Before a connection is made: ends the one that there is, and forgets everything about it.
    pub(crate) fn forget(&self, py: Python<'_>) {
        let link = self.link.lock().take();
        if let Some(link) = link {
            link.disconnect(py);
            if link.receiver(py, |receiver| receiver.current.is_some()).unwrap_or(false) {
                let before = self.cut.lock().replace(link);
                drop(before);
            }
        }
    }

    /// Raises `ConnectionClosed`, once, if the body that was being read belonged to an earlier connection: its end must not look
    /// like that of a whole body. `has_body` is whether there is a body to be read on the present one.
    pub(crate) fn check_cut(&self, py: Python<'_>, has_body: bool) -> PyResult<()> {
        let mut slot = self.cut.lock();
        let Some(cut) = &*slot else { return Ok(()) };
        if (has_body || cut.superseded.load(Ordering::Relaxed)) && !cut.was_read_here() {
            return Ok(());
        }
        let cut = slot.take();
        drop(slot);
        match cut {
            Some(cut) if !has_body && !cut.told.load(Ordering::Acquire) => Err(cut.body_gone(py)),
            _ => Ok(()),
        }
    }

    /// The head of a later response was read: its reader knows that the body of before is gone; a reader in another thread may not.
    pub(crate) fn supersede_cut(&self) {
        let mut slot = self.cut.lock();
        match &*slot {
            Some(cut) if !cut.was_read_here() => cut.superseded.store(true, Ordering::Relaxed),
            _ => {
                let cut = slot.take();
                drop(slot);
                drop(cut);
            }
        }
    }

    /// Whoever was about to make a connection has to do without.
    pub(crate) fn begin_attempt(&self, attempt: &Arc<Attempt>) {
        let before = std::mem::replace(&mut *self.attempt.lock(), Arc::downgrade(attempt)).upgrade();
        if let Some(before) = before {
            before.give_up();
        }
    }

    /// What a reader can wait for if there is no connection yet, but there will be, with a request.
    pub(crate) fn arrival(&self) -> PyResult<Option<Arc<Arrival>>> {
        let attempt = self.attempt.lock().upgrade();
        Ok(attempt.map_or(Ok(None), |attempt| attempt.arrival())?)
    }

    pub(crate) fn install(&self, link: Link) {
        let before = self.link.lock().replace(Arc::new(link));
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
        let mut settings = self.settings.lock();
        settings.is_trace_ours = true;
        let before = settings.trace_fh.replace(file.unbind());
        drop(settings);
        drop(before);
        Ok(())
    }

    /// Host, port and state, for people; without anything secret.
    pub(crate) fn description(&self, py: Python<'_>) -> String {
        let text = |choose: fn(&Settings) -> &Option<Py<PyAny>>| {
            let value = self.attribute(py, choose).into_bound(py);
            let text = value.str().map_or_else(|_| String::from("?"), |text| text.to_string());
            // What somebody took for a URL may have a password.
            text.rsplit('@').next().unwrap_or_default().escape_debug().to_string()
        };
        let tls = if self.settings.lock().ssl_context.is_some() { " over TLS" } else { "" };
        let state = match self.open_link() {
            Some(link) => match link.due() {
                0 => String::from("connected"),
                1 => String::from("connected, 1 response due"),
                due => format!("connected, {due} responses due"),
            },
            None if self.attempt.lock().upgrade().is_some_and(|attempt| !attempt.is_given_up()) => String::from("connecting"),
            None => String::from("not connected"),
        };
        format!("{} port {}{tls}, {state}", text(|settings| &settings.hostname), text(|settings| &settings.port))
    }

    /// It is about to be collected: like a socket, it should have been closed.
    fn warn_if_open(&self, py: Python<'_>) {
        if self.open_link().is_some_and(|link| link.is_of_this_process()) {
            let text = format!("unclosed HTTPConnection to {}", self.description(py));
            errors::warn::<PyResourceWarning>(py, &text);
        }
    }

    fn close_trace(&self, py: Python<'_>) {
        let file = self.settings.lock().trace_fh.take();
        if let Some(file) = file {
            // Whatever is wrong with it, the connection is closed.
            let _ = file.call_method0(py, intern!(py, "close"));
        }
    }

    /// An attribute; None if it was never set.
    fn attribute(&self, py: Python<'_>, choose: fn(&Settings) -> &Option<Py<PyAny>>) -> Py<PyAny> {
        choose(&self.settings.lock()).as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }

    fn set(&self, value: Bound<'_, PyAny>, choose: fn(&mut Settings) -> &mut Option<Py<PyAny>>) {
        let value = if value.is_none() { None } else { Some(value.unbind()) };
        // What was there before may call Python when it goes.
        let before = std::mem::replace(choose(&mut self.settings.lock()), value);
        drop(before);
    }
}

fn unsupported<T>(py: Python<'_>, name: &str) -> PyResult<T> {
    let class = py.import(intern!(py, "io"))?.getattr(intern!(py, "UnsupportedOperation"))?;
    Err(PyErr::from_value(class.call1((name,))?))
}

#[pymethods]
impl HTTPConnection {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(hostname, port=None, ssl_context=None, proxy=None, *, timeout=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        HTTPConnection {
            settings: Mutex::default(),
            limit: AtomicU64::new(0),
            tolerate_missing_length: AtomicBool::new(false),
            link: Mutex::new(None),
            cut: Mutex::new(None),
            attempt: Mutex::new(Weak::new()),
            spared: AtomicBool::new(false),
        }
    }

    #[pyo3(signature = (hostname, port=None, ssl_context=None, proxy=None, *, timeout=None))]
    fn __init__(
        &self,
        hostname: Bound<'_, PyAny>,
        port: Option<Bound<'_, PyAny>>,
        ssl_context: Option<Bound<'_, PyAny>>,
        proxy: Option<Bound<'_, PyAny>>,
        timeout: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = hostname.py();
        let limit = timeout.as_ref().map_or(Ok(0.0), seconds)?;
        let port = match port {
            Some(port) => port,
            None if ssl_context.as_ref().map_or(Ok(false), |context| context.is_truthy())? => {
                443u16.into_pyobject(py)?.into_any()
            }
            None => 80u16.into_pyobject(py)?.into_any(),
        };
        check_host(&hostname)?;
        if let Some(Ok(host)) = proxy.as_ref().map(|proxy| proxy.get_item(0)) {
            check_host(&host)?;
        }
        let settings = Settings {
            hostname: Some(hostname.unbind()),
            port: Some(port.unbind()),
            ssl_context: ssl_context.map(Bound::unbind),
            proxy: proxy.map(Bound::unbind),
            timeout: timeout.map(Bound::unbind),
            ..Settings::default()
        };
        let before = std::mem::replace(&mut *self.settings.lock(), settings);
        drop(before);
        self.limit.store(limit.to_bits(), Ordering::Relaxed);
        self.tolerate_missing_length.store(false, Ordering::Relaxed);
        Ok(())
    }

    // The collector may come before the object was filled, when its `__dict__` is made: what is all zeros has to look empty here.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // If it is being used, it is reachable anyway.
        let Some(settings) = self.settings.try_lock() else { return Ok(()) };
        let Settings { hostname, port, ssl_context, proxy, timeout, trace_fh, is_trace_ours } = &*settings;
        // A file of ours refers to nothing; if the collector saw it, it could end it before we have closed it.
        let trace_fh = if *is_trace_ours { &None } else { trace_fh };
        for object in [hostname, port, ssl_context, proxy, timeout, trace_fh].into_iter().flatten() {
            visit.call(object)?;
        }
        for link in [&self.link, &self.cut] {
            if let Some(Some(link)) = link.try_lock().as_deref() {
                link.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (class, this) = (slf.get_type().fully_qualified_name()?, slf.get());
        Ok(format!("<{class} to {}>", this.description(slf.py())))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.warn_if_open(py);
        self.disconnect(py);
        self.forget(py);
        let cut = self.cut.lock().take();
        drop(cut);
        let before = std::mem::take(&mut *self.settings.lock());
        drop(before);
    }

    /// The name or address of the server. Assigning takes effect with the next connection.
    #[getter]
    fn hostname(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.hostname)
    }

    #[setter]
    fn set_hostname(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.hostname);
    }

    /// The port of the server. Assigning takes effect with the next connection.
    #[getter]
    fn port(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.port)
    }

    #[setter]
    fn set_port(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.port);
    }

    /// None, an `ssl.SSLContext`, or any object with `wrap_socket`: whether and how the connection is secured.
    #[getter]
    fn ssl_context(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.ssl_context)
    }

    #[setter]
    fn set_ssl_context(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.ssl_context);
    }

    /// None, or host and port of a proxy.
    #[getter]
    fn proxy(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.proxy)
    }

    #[setter]
    fn set_proxy(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.proxy);
    }

    /// How many seconds a single wait for the peer may last; None, 0 or less: for ever.
    ///
    /// When it passes without progress, `ConnectionTimedOut` is raised. It bounds each wait, not a whole call.
    #[getter]
    fn timeout(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.timeout)
    }

    #[setter]
    fn set_timeout(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.limit.store(seconds(&value)?.to_bits(), Ordering::Relaxed);
        self.set(value, |settings| &mut settings.timeout);
        Ok(())
    }

    /// None, or a binary file that all bytes are written to as they are transferred.
    #[getter]
    fn trace_fh(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.trace_fh)
    }

    #[setter]
    fn set_trace_fh(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| {
            settings.is_trace_ours = false;
            &mut settings.trace_fh
        });
    }

    /// Whether a response with neither a length nor `Connection: close` is read up to the end of the connection.
    ///
    /// If not, reading its body raises `UnsupportedResponse`.
    #[getter]
    fn tolerate_missing_length(&self) -> bool {
        self.tolerates_missing_length()
    }

    #[setter]
    fn set_tolerate_missing_length(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.tolerate_missing_length.store(value.is_truthy()?, Ordering::Relaxed);
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (_exc_type, _exc_value, _traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _exc_type: Bound<'_, PyAny>,
        _exc_value: Bound<'_, PyAny>,
        _traceback: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::call_disconnect(slf)
    }

    /// Return the object; nothing is connected yet.
    fn __aenter__(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "__aenter__", Enter)
    }

    /// Call `disconnect`.
    #[pyo3(signature = (_exc_type, _exc_value, _traceback, /))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        _exc_type: Bound<'_, PyAny>,
        _exc_value: Bound<'_, PyAny>,
        _traceback: Bound<'_, PyAny>,
    ) -> Operation {
        Operation::new(slf, "__aexit__", Exit)
    }

    /// Connect now, closing a connection that there is. Twin: `co_connect`.
    ///
    /// Not needed: `send_request`, `get_ssl_peercert` and `get_ssl_cipher` connect if there is no connection. All state of an
    /// earlier connection is forgotten.
    ///
    /// Raises `HostnameNotResolvable` or `DNSUnavailable` if the name has no address, `ConnectionTimedOut`, the built-in
    /// `ConnectionError` if the proxy refuses the tunnel, and what `socket` and `ssl` raise. There is no connection then.
    fn connect(slf: &Bound<'_, Self>) -> PyResult<()> {
        run(slf, &mut Connect::new(Resolver::Here))?;
        // Whoever connects between two reads knows what becomes of the body (statement 7.2).
        let this = slf.get();
        let mut slot = this.cut.lock();
        let cut = if slot.as_ref().is_some_and(|cut| cut.was_read_here()) { slot.take() } else { None };
        drop(slot);
        drop(cut);
        Ok(())
    }

    /// Connect now: `connect` to be awaited, or run as an iterator.
    ///
    /// The name is looked up in a thread, so that nothing blocks.
    fn co_connect(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_connect", Connect::new(Resolver::Thread))
    }

    /// Close the connection and the trace file.
    ///
    /// Never waits and never fails, and may be called at any time by any thread: whoever waits for the connection gets
    /// `ConnectionClosed`. So does the reader of a body that is cut, also if there is another connection by then. The next
    /// request connects again.
    pub(crate) fn disconnect(&self, py: Python<'_>) {
        let attempt = self.attempt.lock().upgrade();
        if let Some(attempt) = attempt {
            attempt.give_up();
        }
        if let Some(link) = self.link()
            && link.disconnect(py)
            && link.is_logged
        {
            // It never fails.
            let _ = log::disconnected(py);
        }
        self.close_trace(py);
    }

    /// Close the connection, and drop what was received: the same as `disconnect`.
    ///
    /// It does not connect again, since it is meant for error handlers; the next request does.
    fn reset(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::call_disconnect(slf)
    }

    /// The same as `disconnect`; `closed` stays False, and the object can be used again.
    ///
    /// Closing a wrapper such as `io.TextIOWrapper` closes the connection, too; a wrapper that is merely collected does not.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().spared.swap(false, Ordering::Relaxed) { Ok(()) } else { Self::call_disconnect(slf) }
    }

    /// Return the certificate of the server, as the socket's `getpeercert` does; None without TLS. Connects if there is no
    /// connection.
    #[pyo3(signature = (binary_form=false))]
    fn get_ssl_peercert(slf: &Bound<'_, Self>, binary_form: bool) -> PyResult<Py<PyAny>> {
        Self::ask_tls(slf, |object| object.call_method1("getpeercert", (binary_form,)).map(Bound::unbind))
    }

    /// Return name, protocol and secret bits of the cipher, as the socket's `cipher` does; None without TLS. Connects if there
    /// is no connection.
    fn get_ssl_cipher(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask_tls(slf, |object| object.call_method0("cipher").map(Bound::unbind))
    }

    /// Send a request: its line, its headers, and its body if it was given as bytes. Twin: `co_send_request`.
    ///
    /// *path* goes into the request line as it is, not quoted: it begins with `/`, or is `*` or an absolute URL. *headers* is a
    /// mapping or an iterable of pairs; it is left alone, and its values are sent as `str` shows them, except that bytes, None,
    /// lists and the like are refused. *body* is None, bytes-like, or a `BodyFollowing`: then it is sent with `write`. With *expect100*, which needs a
    /// `BodyFollowing`, the body may be written when `read_response` has returned a response with status 100.
    ///
    /// No response is read, so that any number of requests can be sent ahead; but the peer stops taking requests when nobody
    /// reads its responses, see "Avoiding deadlocks" in the documentation.
    ///
    /// `Host`, `Content-Length` (0 if there is no body), `Accept-Encoding: identity` and `Expect` are always set here,
    /// `Connection: keep-alive` and `Content-MD5` (of a body that is given) unless *headers* has them.
    ///
    /// Raises `TypeError`, `ValueError`, `UnicodeEncodeError` and `StateError` before anything is sent; what `connect` raises,
    /// if there is no connection; `ConnectionClosed` if it cannot be sent: then no response to it is pending, but earlier
    /// responses may be there; `ConnectionTimedOut`, after which only `disconnect` is possible.
    #[pyo3(
        signature = (method, path, headers=None, body=None, expect100=None),
        text_signature = "($self, method, path, headers=None, body=None, expect100=False)"
    )]
    fn send_request(
        slf: &Bound<'_, Self>,
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
        expect100: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        run(slf, &mut SendRequest::new(method, path, headers, body, expect100, Resolver::Here)).map(drop)
    }

    /// Send a request: `send_request` to be awaited, or run as an iterator.
    #[pyo3(
        signature = (method, path, headers=None, body=None, expect100=None),
        text_signature = "($self, method, path, headers=None, body=None, expect100=False)"
    )]
    fn co_send_request(
        slf: &Bound<'_, Self>,
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
        expect100: Option<Bound<'_, PyAny>>,
    ) -> Operation {
        Operation::new(slf, "co_send_request", SendRequest::new(method, path, headers, body, expect100, Resolver::Thread))
    }

    /// Send part of the body that a `BodyFollowing` announced. Twin: `co_write`.
    ///
    /// Returns when all of *buf* was handed to the system; with the last byte the request is complete. An empty *buf* does
    /// nothing.
    ///
    /// Raises `ExcessBodyData` if this is more than is left, `StateError` if nothing is to be written (yet): nothing has
    /// changed then. Raises `ConnectionClosed` if the peer has gone, or has answered and takes no more: then the request counts
    /// as complete, and `read_response` returns the answer if there is one. `ConnectionTimedOut`: only `disconnect` is
    /// possible.
    fn write(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<()> {
        run(slf, &mut Write::new(buf)).map(drop)
    }

    /// Send part of a body: `write` to be awaited, or run as an iterator.
    fn co_write(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> Operation {
        Operation::new(slf, "co_write", Write::new(buf))
    }

    /// End a body that is sent in chunks, with a trailer section if *trailers* is given. Twin: `co_finish`.
    ///
    /// *trailers* is a mapping or an iterable of pairs (RFC 9112 §7.1.2); fields that frame or direct the message are refused
    /// with `ValueError`. Raises `StateError` if some of a body with a length is missing, or if none is to be written; and
    /// what `write` raises.
    #[pyo3(signature = (trailers=None))]
    fn finish(slf: &Bound<'_, Self>, trailers: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        run(slf, &mut Finish::new(trailers)).map(drop)
    }

    /// End a body that is sent in chunks: `finish` to be awaited, or run as an iterator.
    #[pyo3(signature = (trailers=None))]
    fn co_finish(slf: &Bound<'_, Self>, trailers: Option<Bound<'_, PyAny>>) -> Operation {
        Operation::new(slf, "co_finish", Finish::new(trailers))
    }

    /// Tell if a request was sent completely, or waits for status 100, whose response has not been read to its end.
    fn response_pending(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(link) = self.open_link() else { return Ok(false) };
        if link.receiver(py, |receiver| receiver.current.is_some())? {
            return Ok(true);
        }
        link.is_response_due(py)
    }

    /// Read status line and headers of the next response, and return them as an `HTTPResponse`. Twin: `co_read_response`.
    ///
    /// Interim responses are skipped, but for the first response to a request with *expect100*.
    ///
    /// Raises `StateError` if no response is pending, or if the body of the previous one has not been read to its end;
    /// `ConnectionClosed` if there will be no response; `InvalidResponse` or `UnsupportedResponse` for what is no response,
    /// after which `read_raw` shows what follows; `ConnectionTimedOut`: can be called again.
    fn read_response(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadResponse::default())
    }

    /// Read status line and headers of the next response: `read_response` to be awaited, or run as an iterator.
    fn co_read_response(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_read_response", ReadResponse::default())
    }

    /// Return from 1 to *len_* bytes of the body as a `bytearray` that belongs to the caller, or `b''` at its end.
    /// Twin: `co_read`.
    ///
    /// Without *len_*, or if it is negative, it is the same as `readall`. `b''` is also returned when there is no body to
    /// read, again and again. Waits only if no data is there at all.
    ///
    /// Raises `StateError` if a response is due and `read_response` was not called: if its request was sent after the end of the
    /// last body had been reported, or before there was a body. So does a second thread that reads.
    ///
    /// Raises `ConnectionClosed` if the connection ends before the body does; `InvalidResponse` and `UnsupportedResponse` if
    /// its end cannot be known: on each call then, and `read_raw` shows what follows; `ConnectionTimedOut`: can be called
    /// again.
    #[pyo3(signature = (len_=None))]
    fn read(slf: &Bound<'_, Self>, len_: Option<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        run(slf, &mut Read::new(len_))
    }

    /// Read some of the body: `read` to be awaited, or run as an iterator.
    #[pyo3(signature = (len_=None))]
    fn co_read(slf: &Bound<'_, Self>, len_: Option<Bound<'_, PyAny>>) -> Operation {
        Operation::new(slf, "co_read", Read::new(len_))
    }

    /// Return what is left of the body as `bytes`. Twin: `co_readall`.
    ///
    /// If it fails half-way, what it has read is lost. Raises what `read` raises.
    fn readall(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadAll::default())
    }

    /// Read what is left of the body: `readall` to be awaited, or run as an iterator.
    fn co_readall(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_readall", ReadAll::default())
    }

    /// Read at least one byte of the body into *buf*, a writable bytes-like object, and return how many. Twin:
    /// `co_readinto`.
    ///
    /// The number is 0 at the end of the body, if there is none, or if *buf* is empty. Raises what `read` raises.
    fn readinto(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadInto::new(buf))
    }

    /// Read some of the body into *buf*: `readinto` to be awaited, or run as an iterator.
    fn co_readinto(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> Operation {
        Operation::new(slf, "co_readinto", ReadInto::new(buf))
    }

    /// Read the body to its end and forget it. Twin: `co_discard`. Raises what `read` raises, but nothing if there is no body yet.
    fn discard(slf: &Bound<'_, Self>) -> PyResult<()> {
        run(slf, &mut Discard::default()).map(drop)
    }

    /// Read the body to its end and forget it: `discard` to be awaited, or run as an iterator.
    fn co_discard(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_discard", Discard::default())
    }

    /// Return *size* bytes of what the peer sends, whatever they mean; fewer only if the connection ends.
    ///
    /// It begins with what was received and not made use of, and is meant for what follows an `InvalidResponse` or
    /// `UnsupportedResponse`. It waits regardless of `timeout`. Afterwards only `disconnect` makes sense. Raises
    /// `ConnectionClosed` if there is no connection.
    fn read_raw(slf: &Bound<'_, Self>, size: usize) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadRaw::new(size))
    }

    /// Send many requests, with many in flight, and yield their responses in the same order: a `Pipeline`. Twin:
    /// `co_pipeline`.
    ///
    /// *requests* is any iterable, and not looked at before there is room. A request is a path, for GET; a tuple `(method,
    /// path)`, `(method, path, headers)` or `(method, path, headers, body)`; or a mapping with these names as keys. They mean
    /// the same as for `send_request`, but a body has to be given as bytes.
    ///
    ///     for resp in conn.pipeline(paths):
    ///         body = conn.readall()
    ///
    /// At most *max_requests* requests and *max_bytes* bytes of them, bodies included, are in flight; a single request may be
    /// larger. With *collect*, bodies are read to their ends, and `(resp, body)` is yielded. Responses to requests that were
    /// sent before come first.
    ///
    /// Nothing is sent before the first response is asked for; that connects, if there is no connection. Each step raises what
    /// `send_request`, `discard`, `read_response` and `readall` raise. After `ConnectionClosed`, the attributes `unanswered`
    /// and `rest` have the requests that were sent in vain and those that were not sent; nothing is sent again. A request that is
    /// not valid raises, and is in `rest`, too; the next step goes on without it.
    #[pyo3(signature = (requests, *, max_requests=64, max_bytes=1_048_576, collect=false))]
    fn pipeline(
        slf: &Bound<'_, Self>,
        requests: &Bound<'_, PyAny>,
        max_requests: usize,
        max_bytes: usize,
        collect: bool,
    ) -> PyResult<Pipeline> {
        Pipeline::new(slf, requests, max_requests, max_bytes, collect)
    }

    /// Send many requests, and yield their responses: the `pipeline` for `async for`.
    ///
    ///     async for resp in conn.co_pipeline(paths):
    ///         body = await conn.co_readall()
    #[pyo3(signature = (requests, *, max_requests=64, max_bytes=1_048_576, collect=false))]
    fn co_pipeline(
        slf: &Bound<'_, Self>,
        requests: &Bound<'_, PyAny>,
        max_requests: usize,
        max_bytes: usize,
        collect: bool,
    ) -> PyResult<AsyncPipeline> {
        let pipeline = Pipeline::new(slf, requests, max_requests, max_bytes, collect)?;
        Ok(AsyncPipeline::new(Bound::new(slf.py(), pipeline)?))
    }

    /// There is none: for type checkers, who want to see one in what `io.TextIOWrapper` wraps.
    #[getter]
    fn name(&self) -> PyResult<String> {
        Err(PyAttributeError::new_err("name"))
    }

    /// False, always.
    #[getter]
    fn closed(&self) -> bool {
        false
    }

    /// True.
    fn readable(&self) -> bool {
        true
    }

    /// True.
    fn writable(&self) -> bool {
        true
    }

    /// False.
    fn seekable(&self) -> bool {
        false
    }

    /// False.
    fn isatty(&self) -> bool {
        false
    }

    /// Do nothing: nothing is held back.
    fn flush(&self) {}

    /// Call `write` with each of *lines*.
    #[pyo3(signature = (lines, /))]
    fn writelines(slf: &Bound<'_, Self>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            slf.call_method1(intern!(slf.py(), "write"), (line?,))?;
        }
        Ok(())
    }

    /// Raise `io.UnsupportedOperation`.
    fn fileno(&self, py: Python<'_>) -> PyResult<()> {
        unsupported(py, "fileno")
    }

    /// Raise `io.UnsupportedOperation`; use an `io.BufferedReader`.
    #[pyo3(signature = (_size=None, /))]
    fn readline(&self, py: Python<'_>, _size: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        unsupported(py, "readline")
    }

    /// Raise `io.UnsupportedOperation`; use an `io.BufferedReader`.
    #[pyo3(signature = (_hint=None, /))]
    fn readlines(&self, py: Python<'_>, _hint: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        unsupported(py, "readlines")
    }

    /// Raise `io.UnsupportedOperation`.
    #[pyo3(signature = (_offset, _whence=0, /))]
    fn seek(&self, py: Python<'_>, _offset: &Bound<'_, PyAny>, _whence: i32) -> PyResult<()> {
        unsupported(py, "seek")
    }

    /// Raise `io.UnsupportedOperation`.
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        unsupported(py, "tell")
    }

    /// Raise `io.UnsupportedOperation`.
    #[pyo3(signature = (_size=None, /))]
    fn truncate(&self, py: Python<'_>, _size: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        unsupported(py, "truncate")
    }

    /// Whether a body was announced that has not been written completely.
    #[getter]
    fn _out_remaining(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(link) = self.link() else { return Ok(false) };
        if link.refused.load(Ordering::Acquire) {
            return Ok(false);
        }
        link.sender(py, |sender| sender.is_owing())
    }

    /// The descriptor of the socket.
    fn _fileno(&self) -> PyResult<i32> {
        match self.open_link().and_then(|link| link.transport()) {
            Some(transport) => Ok(transport.number()),
            None => state_error("there is no connection"),
        }
    }

    /// Like `write`, but sends only what the peer takes now; returns how many bytes.
    fn _write_some(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<usize> {
        Write::new(buf).taken_at_once(slf)
    }

    /// Whether something can be read without waiting: a response, more of a body, an end or an error. False while somebody else
    /// reads.
    fn _data_waiting(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(grip) = self.grip(py, Role::Send)? else { return Ok(false) };
        grip.send(py, |_, receiver, wire| Ok(receiver.is_some() && grip.duplex(None, receiver).has_arrived(wire)))
    }

    /// Called before `close` by a wrapper that is collected.
    #[pyo3(signature = (_source, /))]
    fn _dealloc_warn(&self, _source: &Bound<'_, PyAny>) {
        self.spared.store(true, Ordering::Relaxed);
    }
}

impl HTTPConnection {
    /// The method, which a subclass may have made its own.
    fn call_disconnect(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.call_method0(intern!(slf.py(), "disconnect")).map(drop)
    }

    fn ask_tls(slf: &Bound<'_, Self>, ask: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let this = slf.get();
        if this.open_link().is_none() {
            run(slf, &mut Connect::new(Resolver::Here))?;
        }
        let transport = this.open_link().and_then(|link| link.transport());
        match transport.as_deref().and_then(|transport| transport.object()).filter(|object| object.is_secure()) {
            Some(object) => object.ask(py, ask),
            None => Ok(py.None()),
        }
    }
}

/// The beginning of `async with`.
struct Enter;

impl Task for Enter {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        Ok(Step::Done(connection.clone().into_any().unbind()))
    }
}

/// The end of `async with`.
struct Exit;

impl Task for Exit {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        HTTPConnection::call_disconnect(connection)?;
        Step::done(connection.py())
    }
}

/// Refuses a name that can be none, as early as possible (statement 7.5b). What is no `str` is left to connecting.
fn check_host(host: &Bound<'_, PyAny>) -> PyResult<()> {
    match host.cast::<PyString>() {
        Ok(host) => names::origin(false, &host.to_cow()?, 0).map(drop),
        Err(_) => Ok(()),
    }
}

/// A timeout as a number; 0 is for ever.
fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<f64> {
    let seconds: f64 = if timeout.is_none() { 0.0 } else { timeout.extract()? };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout is not a number"));
    }
    Ok(seconds)
}

/// A port, as a number or in digits.
fn port_of(port: &Bound<'_, PyAny>) -> PyResult<u16> {
    let wrong = || PyValueError::new_err(format!("a port is a number from 0 to 65535, not {port}"));
    match port.cast::<PyString>() {
        Ok(digits) => match digits.to_cow()?.parse() {
            Ok(number) if !digits.to_cow()?.starts_with('+') => Ok(number),
            _ => Err(wrong()),
        },
        Err(_) => port.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(port.py()) {
            true => wrong(),
            false => error,
        }),
    }
}

impl Drop for HTTPConnection {
    fn drop(&mut self) {
        // The transport closes itself; but close_notify has to be sent, and the trace file closed.
        let _ = Python::try_attach(|py| {
            self.warn_if_open(py);
            self.disconnect(py);
        });
    }
}
