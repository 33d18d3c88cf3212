//! The methods of `HTTPConnection`: its attributes, and a regular method and an iterator for each task.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, intern};

use crate::argument::{Truth, Whole};
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

    // The collector may run before the object is filled, when its `__dict__` is made. All zeros must look empty here.
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

    /// None for no TLS, an `ssl.SSLContext`, or any object with `wrap_socket`.
    #[getter]
    fn ssl_context(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.ssl_context)
    }

    #[setter]
    fn set_ssl_context(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.ssl_context);
    }

    /// None, or the host and port of a proxy.
    #[getter]
    fn proxy(&self, py: Python<'_>) -> Py<PyAny> {
        self.attribute(py, |settings| &settings.proxy)
    }

    #[setter]
    fn set_proxy(&self, value: Bound<'_, PyAny>) {
        self.set(value, |settings| &mut settings.proxy);
    }

    /// How many seconds a single wait for the server may last; None, 0 or less means no limit.
    ///
    /// A longer wait raises `ConnectionTimedOut`. A call may wait several times, so it can take longer.
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

    /// None, or a binary file that gets a copy of all bytes that are transferred.
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

    /// Whether a response with neither a length nor `Connection: close` has a body up to the end of the connection.
    ///
    /// If false, reading such a body raises `UnsupportedResponse`.
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

    /// Return the object. It does not connect.
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

    /// Connect now, after closing the present connection. Twin: `co_connect`.
    ///
    /// You need not call it: `send_request`, `get_ssl_peercert` and `get_ssl_cipher` connect if necessary. It drops all state of
    /// the earlier connection.
    ///
    /// Raises `HostnameNotResolvable` or `DNSUnavailable` if the name has no address, `ConnectionTimedOut`, the built-in
    /// `ConnectionError` if the proxy refuses the tunnel, and the exceptions of `socket` and `ssl`. After an exception, the
    /// object is not connected.
    fn connect(slf: &Bound<'_, Self>) -> PyResult<()> {
        run(slf, &mut Connect::new(Resolver::Here))?;
        // A thread that connects between two of its reads knows that the body is lost (statement 7.2).
        slf.get().forget_own_cut();
        Ok(())
    }

    /// Connect now: `connect` to be awaited, or run as an iterator.
    ///
    /// It does not block: a thread looks the name up.
    fn co_connect(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_connect", Connect::new(Resolver::Thread))
    }

    /// Close the connection and the trace file.
    ///
    /// It never waits and never fails. Any thread may call it at any time: operations that wait for the connection raise
    /// `ConnectionClosed`. So does the next read of a body that this cut short, even on another connection. The next request
    /// connects again.
    #[pyo3(name = "disconnect")]
    fn py_disconnect(&self, py: Python<'_>) {
        self.disconnect(py);
    }

    /// Close the connection and drop all received bytes: the same as `disconnect`.
    ///
    /// It is meant for error handlers, so it does not connect again. The next request does.
    fn reset(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::call_disconnect(slf)
    }

    /// The same as `disconnect`. `closed` stays False, and you can use the object again.
    ///
    /// Closing a wrapper such as `io.TextIOWrapper` closes the connection, too. A wrapper that is only collected does not.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().spared.swap(false, Ordering::Relaxed) { Ok(()) } else { Self::call_disconnect(slf) }
    }

    /// Return the certificate of the server, as the socket's `getpeercert` does, or None without TLS. Connects if necessary.
    #[pyo3(signature = (binary_form=Truth(false)), text_signature = "($self, binary_form=False)")]
    fn get_ssl_peercert(slf: &Bound<'_, Self>, binary_form: Truth) -> PyResult<Py<PyAny>> {
        Self::ask_tls(slf, |object| object.call_method1("getpeercert", (binary_form.0,)).map(Bound::unbind))
    }

    /// Return name, protocol and secret bits of the cipher, as the socket's `cipher` does, or None without TLS. Connects if
    /// necessary.
    fn get_ssl_cipher(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::ask_tls(slf, |object| object.call_method0("cipher").map(Bound::unbind))
    }

    /// Send a request: its line, its headers, and its body if you pass that as bytes. Twin: `co_send_request`.
    ///
    /// *path* goes into the request line as it is, not quoted: it begins with `/`, or is `*` or an absolute URL. *headers* is a
    /// mapping or an iterable of pairs, which the call does not change. It sends values as `str` shows them, but refuses bytes,
    /// None, lists and the like. *body* is None, bytes-like, or a `BodyFollowing`: then you send it with `write`. *expect100*
    /// needs a `BodyFollowing`: write the body after `read_response` has returned a response with status 100.
    ///
    /// It does not read responses, so you can send many requests ahead. But a server stops reading requests when its responses
    /// are not read: see "Avoiding deadlocks" in the documentation.
    ///
    /// It always sets `Host`, `Content-Length` (0 without a body), `Accept-Encoding: identity` and `Expect`. It sets
    /// `Connection: keep-alive`, and `Content-MD5` of a body given as bytes, unless *headers* has them.
    ///
    /// Raises `TypeError`, `ValueError`, `UnicodeEncodeError` and `StateError` before it sends anything, and the exceptions of
    /// `connect` if it has to connect. Raises `ConnectionClosed` if it cannot send the request: then no response to it is
    /// pending, but you can read earlier responses. After `ConnectionTimedOut`, you can only call `disconnect`.
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
    /// Returns when the system has taken all of *buf*. With the last byte the request is complete. An empty *buf* does nothing.
    ///
    /// Raises `ExcessBodyData` for more bytes than were announced, and `StateError` if no body is to be written, or not yet. Both
    /// change nothing. Raises `ConnectionClosed` if the server has gone, or has answered and takes no more. Then the request
    /// counts as complete, and `read_response` returns the answer if the server has sent one. After `ConnectionTimedOut`, you
    /// can only call `disconnect`.
    fn write(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<()> {
        run(slf, &mut Write::new(buf)).map(drop)
    }

    /// Send part of a body: `write` to be awaited, or run as an iterator.
    fn co_write(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> Operation {
        Operation::new(slf, "co_write", Write::new(buf))
    }

    /// End a body that is sent in chunks, with a trailer section if *trailers* is given. Twin: `co_finish`.
    ///
    /// *trailers* is a mapping or an iterable of pairs (RFC 9112 §7.1.2). Fields that frame or direct the message raise
    /// `ValueError`. Raises `StateError` if a body with a length is not complete, or if no body is to be written, and the
    /// exceptions of `write`.
    #[pyo3(signature = (trailers=None))]
    fn finish(slf: &Bound<'_, Self>, trailers: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        run(slf, &mut Finish::new(trailers)).map(drop)
    }

    /// End a body that is sent in chunks: `finish` to be awaited, or run as an iterator.
    #[pyo3(signature = (trailers=None))]
    fn co_finish(slf: &Bound<'_, Self>, trailers: Option<Bound<'_, PyAny>>) -> Operation {
        Operation::new(slf, "co_finish", Finish::new(trailers))
    }

    /// Tell if you have to read a response or the rest of one: to a request that was sent completely, or waits for status 100.
    fn response_pending(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(link) = self.open_link() else { return Ok(false) };
        link.with(py, |state| Ok(state.current.is_some() || link.is_response_due(state)))
    }

    /// Read status line and headers of the next response, and return them as an `HTTPResponse`. Twin: `co_read_response`.
    ///
    /// It skips interim responses, except for the first response to a request with *expect100*.
    ///
    /// Raises `StateError` if no response is pending, or if you have not read the body of the previous one to its end. Raises
    /// `ConnectionClosed` if no response will come. Raises `InvalidResponse` or `UnsupportedResponse` if the server sends
    /// something else than a response; `read_raw` returns those bytes. After `ConnectionTimedOut`, you can call it again.
    fn read_response(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadResponse::default())
    }

    /// Read status line and headers of the next response: `read_response` to be awaited, or run as an iterator.
    fn co_read_response(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_read_response", ReadResponse::default())
    }

    /// Return from 1 to *len_* bytes of the body as a `bytearray` that is yours to change, or `b''` at the end of the body.
    /// Twin: `co_read`.
    ///
    /// Without *len_*, or if it is negative, this is the same as `readall`. Without a body it returns `b''`, again and again.
    /// It waits only if it has no data at all.
    ///
    /// Raises `StateError` if a response is due and you have not called `read_response` for it: if you sent its request after
    /// the end of the last body was reported, or before the first body. Also raises it while another thread, call or iterator
    /// reads from the connection.
    ///
    /// Raises `ConnectionClosed` if the connection ends before the body does. Raises `InvalidResponse` or `UnsupportedResponse`,
    /// on each call, if it cannot find the end of the body; `read_raw` returns the bytes. After `ConnectionTimedOut`, you can
    /// call it again.
    #[pyo3(signature = (len_=None))]
    fn read(slf: &Bound<'_, Self>, len_: Option<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        run(slf, &mut Read::new(len_))
    }

    /// Read some of the body: `read` to be awaited, or run as an iterator.
    #[pyo3(signature = (len_=None))]
    fn co_read(slf: &Bound<'_, Self>, len_: Option<Bound<'_, PyAny>>) -> Operation {
        Operation::new(slf, "co_read", Read::new(len_))
    }

    /// Return the rest of the body as `bytes`. Twin: `co_readall`.
    ///
    /// If it fails, the data that it has read so far is lost. Raises the exceptions of `read`.
    fn readall(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadAll::default())
    }

    /// Read the rest of the body: `readall` to be awaited, or run as an iterator.
    fn co_readall(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_readall", ReadAll::default())
    }

    /// Read at least one byte of the body into *buf*, a writable bytes-like object, and return how many. Twin:
    /// `co_readinto`.
    ///
    /// The number is 0 at the end of the body, without a body, or if *buf* is empty. Raises the exceptions of `read`.
    fn readinto(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadInto::new(buf))
    }

    /// Read some of the body into *buf*: `readinto` to be awaited, or run as an iterator.
    fn co_readinto(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> Operation {
        Operation::new(slf, "co_readinto", ReadInto::new(buf))
    }

    /// Read the body to its end and drop it. Twin: `co_discard`. Raises the exceptions of `read`, but none without a body.
    fn discard(slf: &Bound<'_, Self>) -> PyResult<()> {
        run(slf, &mut Discard::default()).map(drop)
    }

    /// Read the body to its end and drop it: `discard` to be awaited, or run as an iterator.
    fn co_discard(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(slf, "co_discard", Discard::default())
    }

    /// Return *size* bytes from the server without interpreting them; fewer only if the connection ends.
    ///
    /// It begins with the bytes that were received but not used. Call it after an `InvalidResponse` or `UnsupportedResponse`, to
    /// see the bytes behind the error. It waits regardless of `timeout`. Afterwards you can only call `disconnect`. Raises
    /// `ConnectionClosed` without a connection.
    fn read_raw(slf: &Bound<'_, Self>, size: Whole) -> PyResult<Py<PyAny>> {
        run(slf, &mut ReadRaw::new(size.at_least(0, "size")?))
    }

    /// Send many requests, with many in flight, and yield their responses in the same order: a `Pipeline`. Twin:
    /// `co_pipeline`.
    ///
    /// *requests* is any iterable; each request is taken from it when it can be sent. A request is a path, for GET; a tuple
    /// `(method, path)`, `(method, path, headers)` or `(method, path, headers, body)`; or a mapping with these names as keys.
    /// They mean the same as for `send_request`, but a body has to be bytes.
    ///
    ///     for resp in conn.pipeline(paths):
    ///         body = conn.readall()
    ///
    /// At most *max_requests* requests and *max_bytes* bytes of them, bodies included, are in flight; a single request may be
    /// larger. With *collect*, the pipeline reads each body to its end and yields `(resp, body)`. Responses to requests that
    /// you sent before come first.
    ///
    /// The first step connects if necessary, and sends the first requests. Each step raises the exceptions of `send_request`,
    /// `discard`, `read_response` and `readall`. After `ConnectionClosed`, the attribute `unanswered` of the pipeline has the
    /// requests that were sent without getting a response, and `rest` those that were not sent. It never sends a request again.
    /// An invalid request raises, too, and goes into `rest`; the next step goes on without it.
    #[pyo3(
        signature = (requests, *, max_requests=Whole(64), max_bytes=Whole(1_048_576), collect=Truth(false)),
        text_signature = "($self, requests, *, max_requests=64, max_bytes=1048576, collect=False)"
    )]
    fn pipeline(
        slf: &Bound<'_, Self>,
        requests: &Bound<'_, PyAny>,
        max_requests: Whole,
        max_bytes: Whole,
        collect: Truth,
    ) -> PyResult<Pipeline> {
        Pipeline::new(slf, requests, max_requests, max_bytes, collect.0)
    }

    /// Send many requests, and yield their responses: the `pipeline` for `async for`.
    ///
    ///     async for resp in conn.co_pipeline(paths):
    ///         body = await conn.co_readall()
    ///
    /// Python warns if you never iterate over it.
    #[pyo3(
        signature = (requests, *, max_requests=Whole(64), max_bytes=Whole(1_048_576), collect=Truth(false)),
        text_signature = "($self, requests, *, max_requests=64, max_bytes=1048576, collect=False)"
    )]
    fn co_pipeline(
        slf: &Bound<'_, Self>,
        requests: &Bound<'_, PyAny>,
        max_requests: Whole,
        max_bytes: Whole,
        collect: Truth,
    ) -> PyResult<AsyncPipeline> {
        let pipeline = Pipeline::new(slf, requests, max_requests, max_bytes, collect.0)?;
        Ok(AsyncPipeline::new(Bound::new(slf.py(), pipeline)?))
    }

    /// Raise AttributeError. It is here for type checkers, which want the objects that `io.TextIOWrapper` wraps to have a name.
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

    /// Do nothing: `write` keeps no data back.
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
        link.with(py, |state| Ok(state.is_owing() && !state.shared.queue_mut().is_content_refused()))
    }

    /// The descriptor of the socket.
    fn _fileno(&self) -> PyResult<i32> {
        match self.transport() {
            Some(transport) => Ok(transport.number()),
            None => state_error("there is no connection"),
        }
    }

    /// Like `write`, but sends only as much as the server takes now, and returns how many bytes that was.
    fn _write_some(slf: &Bound<'_, Self>, buf: Bound<'_, PyAny>) -> PyResult<usize> {
        Write::new(buf).taken_at_once(slf)
    }

    /// Whether you can read something without waiting: a response, more of a body, an end or an error. False while another
    /// operation reads.
    fn _data_waiting(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(guard) = self.guard(py, Role::Send)? else { return Ok(false) };
        guard.step(py, |state, sides, wire| Ok(sides.receive() && state.duplex(Sides::Receiver).has_arrived(wire)))
    }

    /// A wrapper that is collected calls this before `close`.
    #[pyo3(signature = (_source, /))]
    fn _dealloc_warn(&self, _source: &Bound<'_, PyAny>) {
        self.spared.store(true, Ordering::Relaxed);
    }
}

impl HTTPConnection {
    /// Calls the method, which a subclass may override.
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
