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
use crate::guard::{Grip, Role};
use crate::link::Link;
use crate::log;
use crate::names;
use crate::target::{Target, is_constant, port_of, proxy_of};

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
#[derive(Default)]
#[pyclass(frozen, subclass, dict, weakref, module = "dugong")]
pub(crate) struct HTTPConnection {
    settings: Mutex<Settings>,
    /// `timeout` in seconds as the bits of a float; 0.0 is for ever.
    limit: AtomicU64,
    pub(crate) tolerate_missing_length: AtomicBool,
    /// The connection, open or closed.
    link: Mutex<Option<Arc<Link>>>,
    /// An earlier connection that was closed in the middle of a body, until its reader was told, or reads a later response.
    cut: Mutex<Option<Arc<Link>>>,
    /// A connection that is being made.
    attempt: Mutex<Weak<Attempt>>,
    /// `close` is about to be called by a wrapper that is collected, and means nothing (statement 16.3).
    pub(crate) spared: AtomicBool,
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
    /// What the first four attributes mean, if that cannot change unless they are assigned to.
    pub(crate) target: Option<Arc<Target>>,
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

    /// The TLS context, unless it is an object that is false.
    pub(crate) fn secure_context(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let context = self.settings.lock().ssl_context.as_ref().map(|context| context.clone_ref(py));
        match context {
            Some(context) if context.is_truthy(py)? => Ok(Some(context)),
            _ => Ok(None),
        }
    }

    /// The server and the proxy that the attributes name now.
    pub(crate) fn target(&self, py: Python<'_>) -> PyResult<Arc<Target>> {
        let is_secure = self.secure_context(py)?.is_some();
        let known = self.settings.lock().target.clone();
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
            self.settings.lock().target = Some(target.clone());
        }
        Ok(target)
    }

    /// How long a wait while connecting may last: as long as `timeout` says, or `socket.setdefaulttimeout` if that is not set.
    pub(crate) fn connect_limit(&self, py: Python<'_>) -> PyResult<Option<Duration>> {
        if let Some(limit) = self.limit() {
            return Ok(Some(limit));
        }
        // It can only have been set by those who have imported the module.
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        let socket = modules.call_method1(intern!(py, "get"), (intern!(py, "socket"),))?;
        let Some(default) = socket.getattr_opt(intern!(py, "getdefaulttimeout"))? else { return Ok(None) };
        let seconds: Option<f64> = default.call0()?.extract()?;
        Ok(seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
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

    /// Closes the connection and the trace file; gives up a connection that is being made.
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

    /// Forgets that an earlier connection was closed in the middle of a body, if this thread was its reader.
    pub(crate) fn forget_own_cut(&self) {
        let mut slot = self.cut.lock();
        let cut = if slot.as_ref().is_some_and(|cut| cut.was_read_here()) { slot.take() } else { None };
        drop(slot);
        drop(cut);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // If it is being used, it is reachable anyway.
        let Some(settings) = self.settings.try_lock() else { return Ok(()) };
        let Settings { hostname, port, ssl_context, proxy, timeout, trace_fh, is_trace_ours, target: _ } = &*settings;
        // A file of ours refers to nothing; if the collector saw it, it could end it before we have closed it.
        let trace_fh = if *is_trace_ours { &None } else { trace_fh };
        for object in [hostname, port, ssl_context, proxy, timeout, trace_fh].into_iter().flatten() {
            visit.call(object)?;
        }
        for link in [&self.link, &self.cut] {
            if let Some(Some(link)) = link.try_lock().as_deref() {
                link.traverse(visit)?;
            }
        }
        Ok(())
    }

    pub(crate) fn clear(&self, py: Python<'_>) {
        self.warn_if_open(py);
        self.disconnect(py);
        self.forget(py);
        let cut = self.cut.lock().take();
        drop(cut);
        let before = std::mem::take(&mut *self.settings.lock());
        drop(before);
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

    /// Takes the attributes that the constructor was given; `limit` is the timeout in seconds.
    pub(crate) fn replace_settings(&self, settings: Settings, limit: f64) {
        let before = std::mem::replace(&mut *self.settings.lock(), settings);
        drop(before);
        self.set_limit(limit);
        self.tolerate_missing_length.store(false, Ordering::Relaxed);
    }

    pub(crate) fn set_limit(&self, seconds: f64) {
        self.limit.store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// An attribute; None if it was never set.
    pub(crate) fn attribute(&self, py: Python<'_>, choose: fn(&Settings) -> &Option<Py<PyAny>>) -> Py<PyAny> {
        choose(&self.settings.lock()).as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }

    pub(crate) fn set(&self, value: Bound<'_, PyAny>, choose: fn(&mut Settings) -> &mut Option<Py<PyAny>>) {
        let value = if value.is_none() { None } else { Some(value.unbind()) };
        // What was there before may call Python when it goes.
        let mut settings = self.settings.lock();
        let before = (std::mem::replace(choose(&mut settings), value), settings.target.take());
        drop(settings);
        drop(before);
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
