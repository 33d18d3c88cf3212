//! The methods of `HTTPConnection`: its attributes, and a regular method and an iterator for each task.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, intern};

use crate::body::{Discard, Read, ReadAll, ReadInto, ReadRaw};
use crate::connect::{Connect, Resolver};
use crate::errors::state_error;
use crate::guard::Role;
use crate::link::Sides;
use crate::operation::Operation;
use crate::pipeline::{AsyncPipeline, Pipeline};
use crate::request::Arguments;
use crate::response::ReadResponse;
use crate::send::SendRequest;
use crate::state::{HTTPConnection, Settings};
use crate::target::{check_host, seconds};
use crate::task::{Step, Task, run};
use crate::write::{Finish, Write};

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
        HTTPConnection::default()
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
        self.replace_settings(settings, limit);
        Ok(())
    }

    // The collector may come before the object was filled, when its `__dict__` is made: what is all zeros has to look empty here.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(&visit)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (class, this) = (slf.get_type().fully_qualified_name()?, slf.get());
        Ok(format!("<{class} to {}>", this.description(slf.py())))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.clear(py);
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
        self.set_limit(seconds(&value)?);
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
        slf.get().forget_own_cut();
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
    #[pyo3(name = "disconnect")]
    fn py_disconnect(&self, py: Python<'_>) {
        self.disconnect(py);
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
        let arguments = Arguments::new(method, path, headers, body, expect100);
        run(slf, &mut SendRequest::new(arguments, Resolver::Here)).map(drop)
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
        let arguments = Arguments::new(method, path, headers, body, expect100);
        Operation::new(slf, "co_send_request", SendRequest::new(arguments, Resolver::Thread))
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
        link.with(py, |state| Ok(state.current.is_some() || link.is_response_due(state)))
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
        link.with(py, |state| Ok(!link.is_refused() && state.is_owing()))
    }

    /// The descriptor of the socket.
    fn _fileno(&self) -> PyResult<i32> {
        match self.transport() {
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
        let Some(guard) = self.guard(py, Role::Send)? else { return Ok(false) };
        guard.step(py, |state, sides, wire| Ok(sides.receive() && state.duplex(Sides::Receiver).has_arrived(wire)))
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
        let transport = this.transport();
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
