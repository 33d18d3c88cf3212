//! `Reply`: the response to a request of a session.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use dugong_http::Fields;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::check::check_head;
use super::mailbox::Mailbox;
use super::number;
use super::stream::Stream;
use crate::errors::{StateError, misuse};
use crate::headers::{Lines, for_each_pair, latin1};

/// The response to a request of a session.
///
/// `headers` is an `email.message.Message`: names are case-insensitive, `headers['x']` is None without such a line, and
/// `headers.get_all('x')` gives all lines of a name that is repeated.
///
/// A reply is a context manager, for `with` and `async with`, that closes it at the end. A streamed reply should be used like
/// that: if you leave it before its end, the session skips the rest or gives the connection up. Read it by `iter_bytes`,
/// `iter_lines` or `read`, or all of it by `content`; in a task, by their twins with `co_`.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Reply {
    status: u16,
    reason: Py<PyString>,
    fields: Fields,
    content: PyOnceLock<Py<PyBytes>>,
    /// Content that is read in pieces. A collected reply makes this when it is needed.
    stream: PyOnceLock<Stream>,
    is_streamed: bool,
    core: Option<Py<PyAny>>,
    request: Py<PyAny>,
    attempts: AtomicU32,
    headers: PyOnceLock<Py<PyAny>>,
    trailer_fields: PyOnceLock<Fields>,
    trailers: PyOnceLock<Py<PyAny>>,
}

impl Reply {
    /// A reply that a session has received.
    ///
    /// `core` is the session, which has to be driven while content is read.
    pub(crate) fn received(py: Python<'_>, reply: dugong_session::Reply, request: Py<PyAny>, core: &Py<PyAny>) -> PyResult<Self> {
        let core = reply.is_streamed().then(|| core.clone_ref(py));
        let reason = reply.reason();
        let reason = if reason == "OK" { intern!(py, "OK").clone() } else { PyString::new(py, reason.trim()) };
        let made = Reply {
            status: reply.status().as_u16(),
            reason: reason.unbind(),
            fields: reply.fields().clone(),
            content: PyOnceLock::new(),
            stream: PyOnceLock::new(),
            is_streamed: reply.is_streamed(),
            core,
            request,
            attempts: AtomicU32::new(reply.attempts()),
            headers: PyOnceLock::new(),
            trailer_fields: PyOnceLock::new(),
            trailers: PyOnceLock::new(),
        };
        if !made.is_streamed {
            let _ = made.content.set(py, PyBytes::new(py, reply.content()).unbind());
            if !reply.trailers().is_empty() {
                let _ = made.trailer_fields.set(py, reply.trailers().clone());
            }
        } else {
            let _ = made.stream.set(py, Stream::of_reply(reply));
        }
        Ok(made)
    }

    pub(crate) fn status_code(&self) -> u16 {
        self.status
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The content of a collected reply.
    pub(crate) fn whole(&self, py: Python<'_>) -> PyResult<PyBackedBytes> {
        Ok(self.content(py)?.extract(py)?)
    }

    fn stream(&self, py: Python<'_>) -> PyResult<&Stream> {
        self.stream.get_or_try_init(py, || {
            let content = self.content.get(py).expect("a collected reply has its content");
            Ok(Stream::of_content(Bytes::from_owner(content.extract::<PyBackedBytes>(py)?)))
        })
    }
}

#[pymethods]
impl Reply {
    /// Makes a reply, for tests of programs.
    #[new]
    #[pyo3(signature = (status, reason="", headers=None, content=None, *, request=None, attempts=1, trailers=None))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of a constructor")]
    fn new(
        py: Python<'_>,
        #[pyo3(from_py_with = number::status)] status: u16,
        reason: &str,
        headers: Option<&Bound<'_, PyAny>>,
        content: Option<Py<PyBytes>>,
        request: Option<Py<PyAny>>,
        #[pyo3(from_py_with = number::attempts)] attempts: u32,
        trailers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Reply {
            status,
            reason: PyString::new(py, reason).unbind(),
            fields: fields(py, headers)?,
            content: filled(py, content.unwrap_or_else(|| PyBytes::new(py, b"").unbind())),
            stream: PyOnceLock::new(),
            is_streamed: false,
            core: None,
            request: request.unwrap_or_else(|| py.None()),
            attempts: AtomicU32::new(attempts),
            headers: PyOnceLock::new(),
            trailer_fields: filled(py, fields(py, trailers)?),
            trailers: PyOnceLock::new(),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.core)?;
        visit.call(&self.request)
    }

    /// The status code, such as 200.
    #[getter]
    fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, which may be empty.
    #[getter]
    fn reason(&self, py: Python<'_>) -> Py<PyString> {
        self.reason.clone_ref(py)
    }

    /// The header section.
    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        message(py, &self.headers, &self.fields)
    }

    /// The trailer section; empty before the end of the content.
    #[getter]
    fn trailers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(fields) = self.stream.get(py).and_then(Stream::take_trailers) {
            let _ = self.trailer_fields.set(py, fields);
        }
        match self.trailer_fields.get(py) {
            Some(fields) => message(py, &self.trailers, fields),
            None => message(py, &PyOnceLock::new(), &Fields::new()),
        }
    }

    /// The whole content. Of a streamed reply, this reads all of it, and waits.
    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        if let Some(content) = self.content.get(py) {
            return Ok(content.clone_ref(py));
        }
        let stream = self.stream(py)?;
        if !stream.is_untouched() {
            return Err(StateError::new_err("the content of this reply was read in part, or closed"));
        }
        let all = read_all(py, stream, self.core.as_ref())?;
        let _ = self.content.set(py, all.clone_ref(py));
        Ok(all)
    }

    /// Whether the content is read in pieces.
    #[getter]
    fn is_streamed(&self) -> bool {
        self.is_streamed
    }

    /// Reads at most *size* bytes of the content, and waits for the first of them; without *size*, all that is left. Empty at
    /// the end. Twin: `co_read`.
    #[pyo3(signature = (size=None, /))]
    fn read(&self, py: Python<'_>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyBytes>> {
        let stream = self.stream(py)?;
        match number::most(size)? {
            None => read_all(py, stream, self.core.as_ref()),
            Some(0) => Ok(PyBytes::new(py, b"").unbind()),
            Some(size) => Ok(PyBytes::new(py, &stream.read(py, size, self.core.as_ref())?).unbind()),
        }
    }

    /// The same, to be awaited under asyncio or trio. The twin of `read`.
    #[pyo3(signature = (size=None, /))]
    fn co_read(slf: &Bound<'_, Self>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let size = number::most(size)?;
        later(slf.py(), intern!(slf.py(), "read"), (slf, size))
    }

    /// Returns the next piece for a task: None if it has to wait.
    #[pyo3(signature = (mailbox, number, most=None, /))]
    fn _poll(
        &self,
        py: Python<'_>,
        mailbox: &Bound<'_, Mailbox>,
        number: u64,
        most: Option<usize>,
    ) -> PyResult<Option<Py<PyBytes>>> {
        let piece = self.stream(py)?.poll(py, most.unwrap_or(usize::MAX), mailbox.get(), number)?;
        Ok(piece.map(|piece| PyBytes::new(py, &piece).unbind()))
    }

    /// The session of a streamed reply.
    #[getter]
    fn _core(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.as_ref().map(|core| core.clone_ref(py))
    }

    /// Gives up the rest of the content. Twin: `co_close`.
    fn close(&self, py: Python<'_>) {
        if let Some(stream) = self.stream.get(py) {
            stream.close();
        }
    }

    /// The same, to be awaited under asyncio or trio. The twin of `close`.
    fn co_close(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        later(slf.py(), intern!(slf.py(), "close"), (slf,))
    }

    /// The request, as you gave it.
    #[getter]
    fn request(&self, py: Python<'_>) -> Py<PyAny> {
        self.request.clone_ref(py)
    }

    /// The number of connections on which a byte of the request left.
    #[getter]
    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Counts the attempts before a redirect, too.
    #[pyo3(signature = (attempts, /))]
    fn _add_attempts(&self, attempts: u32) {
        self.attempts.fetch_add(attempts, Ordering::Relaxed);
    }

    /// The content as text. Without *encoding*, the charset of `Content-Type` counts if Python knows it, or else UTF-8;
    /// *errors* means the same as for `bytes.decode`.
    #[pyo3(signature = (encoding=None, errors="replace"))]
    fn text(slf: &Bound<'_, Self>, encoding: Option<&str>, errors: &str) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "text"), (slf, encoding, errors), None)
    }

    /// The content, decoded as JSON. Keywords are those of `json.loads`.
    #[pyo3(signature = (**keywords))]
    fn json(slf: &Bound<'_, Self>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "parsed"), (slf,), keywords)
    }

    /// Returns this reply, or raises `StatusError` if the status is 400 or more.
    fn raise_for_status<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        if slf.get().status >= 400 {
            helper(slf.py(), intern!(slf.py(), "refuse"), (slf,), None)?;
        }
        Ok(slf.clone())
    }

    /// Iterates over the content in pieces: of *size* bytes, except for the last one, or as they come. Twin: `co_iter_bytes`.
    #[pyo3(signature = (size=None))]
    fn iter_bytes(slf: &Bound<'_, Self>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "pieces"), (slf, size), None)
    }

    /// The same, for `async for`. The twin of `iter_bytes`.
    #[pyo3(signature = (size=None))]
    fn co_iter_bytes(slf: &Bound<'_, Self>, size: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        later(slf.py(), intern!(slf.py(), "pieces"), (slf, size))
    }

    /// The same, for `async for`. The twin of `iter_lines`.
    #[pyo3(signature = (encoding=None, errors="replace"))]
    fn co_iter_lines(slf: &Bound<'_, Self>, encoding: Option<&str>, errors: &str) -> PyResult<Py<PyAny>> {
        later(slf.py(), intern!(slf.py(), "lines"), (slf, encoding, errors))
    }

    /// Iterates over the lines of the content, as text without their ends. The encoding is that of `text`. Twin:
    /// `co_iter_lines`.
    #[pyo3(signature = (encoding=None, errors="replace"))]
    fn iter_lines(slf: &Bound<'_, Self>, encoding: Option<&str>, errors: &str) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "lines"), (slf, encoding, errors), None)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        later(slf.py(), intern!(slf.py(), "itself"), (slf,))
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        Self::co_close(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let reply = slf.get();
        let reason = reply.reason.bind(slf.py()).to_cow()?.into_owned();
        let asked = match reply.request.bind(slf.py()).getattr_opt(intern!(slf.py(), "target"))? {
            Some(target) => format!(" to {}", target.str()?),
            None => String::new(),
        };
        Ok(format!("<Reply {} {reason}{asked}>", reply.status).replace(" >", ">"))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let reply = slf.get();
        let Some(content) = reply.content.get(py) else {
            return Err(PyTypeError::new_err("a streamed reply can be pickled after its content was used"));
        };
        let keywords = PyDict::new(py);
        keywords.set_item("request", &reply.request)?;
        keywords.set_item("attempts", reply.attempts())?;
        if let Some(trailers) = reply.trailer_fields.get(py) {
            keywords.set_item("trailers", Lines::new(trailers, false).pairs(py)?)?;
        }
        let lines = Lines::new(&reply.fields, false).pairs(py)?;
        let call = py.import(intern!(py, "dugong._reply"))?.getattr(intern!(py, "restore"))?;
        (call, (slf.get_type(), (reply.status, &reply.reason, lines, content), keywords)).into_pyobject(py)
    }
}

fn filled<T>(py: Python<'_>, value: T) -> PyOnceLock<T> {
    let lock = PyOnceLock::new();
    let _ = lock.set(py, value);
    lock
}

/// Calls a function of `_reply.py`.
fn helper<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
    arguments: impl pyo3::call::PyCallArgs<'py>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Py<PyAny>> {
    Ok(py.import(intern!(py, "dugong._reply"))?.getattr(name)?.call(arguments, keywords)?.unbind())
}

/// Calls a function of `_reply_async.py`.
fn later<'py>(py: Python<'py>, name: &Bound<'py, PyString>, arguments: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Py<PyAny>> {
    Ok(py.import(intern!(py, "dugong._reply_async"))?.getattr(name)?.call1(arguments)?.unbind())
}

fn read_all(py: Python<'_>, stream: &Stream, core: Option<&Py<PyAny>>) -> PyResult<Py<PyBytes>> {
    let mut all = Vec::new();
    loop {
        let piece = stream.read(py, usize::MAX, core)?;
        if piece.is_empty() {
            return Ok(PyBytes::new(py, &all).unbind());
        }
        all.extend_from_slice(&piece);
    }
}

/// The message made of `fields`, which is made when it is needed.
fn message(py: Python<'_>, made: &PyOnceLock<Py<PyAny>>, fields: &Fields) -> PyResult<Py<PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let message = made.get_or_try_init(py, || {
        let make = MAKE.import(py, "dugong._headers", "make_message")?;
        PyResult::Ok(make.call1((Lines::new(fields, false).pairs(py)?,))?.unbind())
    })?;
    Ok(message.clone_ref(py))
}

fn fields(py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> PyResult<Fields> {
    let mut fields = Fields::new();
    if let Some(given) = given {
        let checked = check_head(py, "GET", "/", given)?;
        for_each_pair(&checked, |name, value| fields.append(latin1(name)?, latin1(value)?).map_err(misuse))?;
    }
    Ok(fields)
}
