//! `HTTPResponse`: the head of a response, as programs see it.

use std::sync::atomic::{AtomicU8, Ordering};

use dugong_http::Fields;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, intern};

use crate::headers::Lines;

/// The head of a response. You can assign to all attributes.
///
/// `method` and `path` are those of the request, just as you passed them to `send_request`. `status` is an int, `reason` a str
/// that may be empty. `length` is the size in bytes of the body as transmitted: 0 if the response has none, None if the size is
/// not known in advance.
///
/// `headers` is the header section, as an `email.message.Message`. Names are case-insensitive: `headers['x']` is None if no line
/// has that name, and `headers.get_all('x')` gives all lines of a name that is repeated. Values are as sent, decoded as latin-1.
/// `trailers` is the trailer section of a chunked body in the same form. It is empty until you have read the body to its end.
#[pyclass(frozen, subclass, dict, weakref, module = "dugong")]
pub(crate) struct HTTPResponse {
    /// `None` if the program has made it: then all attributes are in its `__dict__`.
    ///
    /// Python 3.11 and 3.12 make the `__dict__` before PyO3 fills the new object, and the collector of 3.11 may run just then. An
    /// object of zeros has to look empty to `__traverse__`. A box guarantees that; with the head itself, zeros could mean `Some`.
    received: Option<Box<Received>>,
    /// A bit for each [`Attribute`] that the program has deleted.
    deleted: AtomicU8,
}

/// The head as it was received. If the program assigns to an attribute, the `__dict__` has the new value, which wins.
pub(crate) struct Received {
    pub(crate) method: Py<PyString>,
    pub(crate) path: Py<PyString>,
    pub(crate) status: Py<PyAny>,
    pub(crate) reason: Py<PyString>,
    pub(crate) length: Option<u64>,
    pub(crate) lines: Lines,
}

impl HTTPResponse {
    pub(crate) fn new(py: Python<'_>, received: Box<Received>) -> PyResult<Py<Self>> {
        Py::new(py, HTTPResponse { received: Some(received), deleted: AtomicU8::new(0) })
    }

    /// Lets `trailers` be made of these lines from now on.
    pub(crate) fn set_trailers(slf: &Bound<'_, Self>, trailers: &Fields) -> PyResult<()> {
        Self::_set_trailers(slf, Py::new(slf.py(), Lines::new(trailers, false))?.bind(slf.py()))
    }

    /// A message made of the lines in the attribute `lines`, or of those that were received.
    fn message<'py>(
        slf: &Bound<'py, Self>,
        lines: &Bound<'py, PyString>,
        received: Option<&Lines>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let make = MAKE.import(py, "dugong._headers", "make_message")?;
        match (slf.getattr_opt(lines)?, received) {
            (Some(lines), _) => make.call1((lines,)),
            (None, Some(received)) => make.call1((received.pairs(py)?,)),
            (None, None) => make.call1((PyTuple::empty(py),)),
        }
    }

    /// Sets or deletes an attribute as `object` does.
    #[allow(unsafe_code, reason = "a class with methods of its own for this cannot call those of `object`")]
    fn set_plainly(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let value = value.map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: we hold references to all of them for the time of the call. A null pointer as the value deletes.
        match unsafe { ffi::PyObject_GenericSetAttr(slf.as_ptr(), name.as_ptr(), value) } {
            -1 => Err(PyErr::fetch(slf.py())),
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl HTTPResponse {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(method, path, status, reason, headers, length=None)"
    )]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        HTTPResponse { received: None, deleted: AtomicU8::new(0) }
    }

    #[pyo3(signature = (method, path, status, reason, headers, length=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        status: Bound<'_, PyAny>,
        reason: Bound<'_, PyAny>,
        headers: Bound<'_, PyAny>,
        length: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.setattr(intern!(py, "method"), method)?;
        slf.setattr(intern!(py, "path"), path)?;
        slf.setattr(intern!(py, "status"), status)?;
        slf.setattr(intern!(py, "reason"), reason)?;
        slf.setattr(intern!(py, "headers"), headers)?;
        slf.setattr(intern!(py, "length"), length)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // They may be instances of the program's own classes, with attributes.
        if let Some(Received { method, path, .. }) = self.received.as_deref() {
            visit.call(method)?;
            visit.call(path)?;
        }
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        // Debuggers show objects whose `__init__` has not run.
        let text = |name| match slf.getattr_opt(name)? {
            Some(value) => value.str().map(|text| text.to_string()),
            None => PyResult::Ok("?".to_owned()),
        };
        let (method, path) = (text(intern!(py, "method"))?, text(intern!(py, "path"))?);
        let (status, reason) = (text(intern!(py, "status"))?, text(intern!(py, "reason"))?);
        Ok(format!("<{} {method} {path} {status} {reason}>", slf.get_type().name()?))
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::set_plainly(slf, name, Some(value))
    }

    // A received value is not in the `__dict__`, so that there is nothing to delete.
    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        let text = name.to_cow()?;
        let Some(attribute) = Attribute::ALL.into_iter().find(|attribute| attribute.name() == text) else {
            return Self::set_plainly(slf, name, None);
        };
        let was_there = slf.hasattr(name)?;
        slf.get().deleted.fetch_or(attribute.bit(), Ordering::Relaxed);
        match Self::set_plainly(slf, name, None) {
            Err(error) if was_there && error.is_instance_of::<PyAttributeError>(slf.py()) => Ok(()),
            result => result,
        }
    }

    /// Returns all attributes, for pickle and copy.
    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let state = slf.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?.copy()?;
        for attribute in Attribute::ALL {
            if let Some(value) = slf.getattr_opt(attribute.name())? {
                state.set_item(attribute.name(), value)?;
            }
        }
        for lines in [HEADER_LINES, TRAILER_LINES] {
            state.call_method1(intern!(py, "pop"), (lines, py.None()))?;
        }
        Ok(state)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let make = py.import(intern!(py, "copyreg"))?.getattr(intern!(py, "__newobj__"))?;
        let state = slf.call_method0(intern!(py, "__getstate__"))?;
        (make, (slf.get_type(),), state).into_pyobject(py)
    }

    fn _set_trailers(slf: &Bound<'_, Self>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.setattr(intern!(py, TRAILER_LINES), lines)?;
        let attributes = slf.getattr(intern!(py, "__dict__"))?;
        attributes.call_method1(intern!(py, "pop"), (intern!(py, "trailers"), py.None())).map(drop)
    }

    #[classattr]
    fn method() -> Attribute {
        Attribute::Method
    }

    #[classattr]
    fn path() -> Attribute {
        Attribute::Path
    }

    #[classattr]
    fn status() -> Attribute {
        Attribute::Status
    }

    #[classattr]
    fn reason() -> Attribute {
        Attribute::Reason
    }

    #[classattr]
    fn length() -> Attribute {
        Attribute::Length
    }

    #[classattr]
    fn headers() -> Attribute {
        Attribute::Headers
    }

    #[classattr]
    fn trailers() -> Attribute {
        Attribute::Trailers
    }
}

/// Where a program's own lines are, of which `headers` and `trailers` are made.
const HEADER_LINES: &str = "_header_lines";
const TRAILER_LINES: &str = "_trailer_lines";

/// An attribute of a response. It has no `__set__`, so an assigned value goes into the `__dict__` of the response, where Python looks
/// first. A response without assignments needs no `__dict__`.
#[pyclass(frozen, module = "dugong._dugong")]
#[derive(Clone, Copy)]
pub(crate) enum Attribute {
    Method,
    Path,
    Status,
    Reason,
    Length,
    Headers,
    Trailers,
}

impl Attribute {
    const ALL: [Attribute; 7] = [
        Attribute::Method,
        Attribute::Path,
        Attribute::Status,
        Attribute::Reason,
        Attribute::Length,
        Attribute::Headers,
        Attribute::Trailers,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    fn name(self) -> &'static str {
        match self {
            Attribute::Method => "method",
            Attribute::Path => "path",
            Attribute::Status => "status",
            Attribute::Reason => "reason",
            Attribute::Length => "length",
            Attribute::Headers => "headers",
            Attribute::Trailers => "trailers",
        }
    }
}

impl Attribute {
    fn missing<T>(self, response: &Bound<'_, HTTPResponse>) -> PyResult<T> {
        let (class, name) = (response.get_type().name()?, self.name());
        Err(PyAttributeError::new_err(format!("'{class}' object has no attribute '{name}'")))
    }
}

#[pymethods]
impl Attribute {
    fn __get__<'py>(
        slf: Bound<'py, Self>,
        object: &Bound<'py, PyAny>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if object.is_none() {
            return Ok(slf.into_any());
        }
        let response = object.cast::<HTTPResponse>()?;
        let received = response.get().received.as_deref();
        let attribute = *slf.get();
        if response.get().deleted.load(Ordering::Relaxed) & attribute.bit() != 0 {
            return attribute.missing(response);
        }
        Ok(match (attribute, received) {
            (Attribute::Headers, _) => {
                let lines = received.map(|received| &received.lines);
                let message = HTTPResponse::message(response, intern!(py, HEADER_LINES), lines)?;
                response.setattr(intern!(py, "headers"), &message)?;
                message
            }
            (Attribute::Trailers, _) => {
                let message = HTTPResponse::message(response, intern!(py, TRAILER_LINES), None)?;
                response.setattr(intern!(py, "trailers"), &message)?;
                message
            }
            (Attribute::Method, Some(received)) => received.method.bind(py).clone().into_any(),
            (Attribute::Path, Some(received)) => received.path.bind(py).clone().into_any(),
            (Attribute::Status, Some(received)) => received.status.bind(py).clone(),
            (Attribute::Reason, Some(received)) => received.reason.bind(py).clone().into_any(),
            (Attribute::Length, Some(received)) => received.length.into_pyobject(py)?,
            (_, None) => return attribute.missing(response),
        })
    }
}
