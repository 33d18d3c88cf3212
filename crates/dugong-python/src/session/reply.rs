//! `Reply`: the response to a request of a session.

use dugong_http::Fields;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::check::check_head;
use crate::errors::misuse;
use crate::headers::{Lines, for_each_pair, latin1};

/// The response to a request of a session.
///
/// `headers` is an `email.message.Message`: names are case-insensitive, `headers['x']` is None without such a line, and
/// `headers.get_all('x')` gives all lines of a name that is repeated. A reply is a context manager, which closes it.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Reply {
    status: u16,
    reason: Py<PyString>,
    fields: Fields,
    trailers: Fields,
    content: Py<PyBytes>,
    request: Py<PyAny>,
    attempts: u32,
    headers: PyOnceLock<Py<PyAny>>,
    trailers_made: PyOnceLock<Py<PyAny>>,
}

#[pymethods]
impl Reply {
    /// Makes a reply, for tests of programs.
    #[new]
    #[pyo3(signature = (status, reason="", headers=None, content=None, *, request=None, attempts=1, trailers=None))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of a constructor")]
    fn new(
        py: Python<'_>,
        status: u16,
        reason: &str,
        headers: Option<&Bound<'_, PyAny>>,
        content: Option<Py<PyBytes>>,
        request: Option<Py<PyAny>>,
        attempts: u32,
        trailers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Reply {
            status,
            reason: PyString::new(py, reason).unbind(),
            fields: fields(py, headers)?,
            trailers: fields(py, trailers)?,
            content: content.unwrap_or_else(|| PyBytes::new(py, b"").unbind()),
            request: request.unwrap_or_else(|| py.None()),
            attempts,
            headers: PyOnceLock::new(),
            trailers_made: PyOnceLock::new(),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
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

    /// The trailer section, if the content came in chunks.
    #[getter]
    fn trailers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        message(py, &self.trailers_made, &self.trailers)
    }

    /// The whole content.
    #[getter]
    fn content(&self, py: Python<'_>) -> Py<PyBytes> {
        self.content.clone_ref(py)
    }

    /// The request, as you gave it.
    #[getter]
    fn request(&self, py: Python<'_>) -> Py<PyAny> {
        self.request.clone_ref(py)
    }

    /// The number of connections on which a byte of the request left.
    #[getter]
    fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The content as text. Without *encoding*, the charset of `Content-Type` counts, or else UTF-8; *errors* means the same
    /// as for `bytes.decode`.
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

    /// Iterates over the content in pieces: of *size* bytes, except for the last one, or as they come.
    #[pyo3(signature = (size=None))]
    fn iter_bytes(slf: &Bound<'_, Self>, size: Option<usize>) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "pieces"), (slf, size), None)
    }

    /// Iterates over the lines of the content, as text without their ends. The encoding is that of `text`.
    #[pyo3(signature = (encoding=None, errors="replace"))]
    fn iter_lines(slf: &Bound<'_, Self>, encoding: Option<&str>, errors: &str) -> PyResult<Py<PyAny>> {
        helper(slf.py(), intern!(slf.py(), "lines"), (slf, encoding, errors), None)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {}

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
        let keywords = PyDict::new(py);
        keywords.set_item("request", &reply.request)?;
        keywords.set_item("attempts", reply.attempts)?;
        keywords.set_item("trailers", Lines::new(&reply.trailers, false).pairs(py)?)?;
        let lines = Lines::new(&reply.fields, false).pairs(py)?;
        let call = py.import(intern!(py, "dugong._reply"))?.getattr(intern!(py, "restore"))?;
        (call, (slf.get_type(), (reply.status, &reply.reason, lines, &reply.content), keywords)).into_pyobject(py)
    }
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
