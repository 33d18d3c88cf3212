//! Makes requests for `dugong-session` of those that programs give.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use dugong_http::Method;
use dugong_session::{Digest, Request, Source};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple, PyType};

use crate::errors::misuse;
use crate::headers::latin1;

/// A request that is ready to be submitted.
pub(crate) struct Prepared {
    pub(crate) request: Request,
    /// As the program gave it.
    pub(crate) given: Py<PyAny>,
    /// As an instance of `dugong.Request`, if something is left to be asked of it.
    pub(crate) shown: Option<Py<PyAny>>,
    /// The content that is read while it is sent.
    pub(crate) source: Option<Py<PyAny>>,
}

impl Prepared {
    /// Checks a request: a target, a tuple, a mapping, or an instance of `dugong.Request`.
    pub(crate) fn new(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = given.py();
        if let Ok(target) = given.cast_exact::<PyString>() {
            let request = Request::get(text(target)?);
            return Ok(Prepared { request, given: given.clone().unbind(), shown: None, source: None });
        }
        let shown = match given.is_instance(request_class(py)?)? {
            true => given.clone(),
            false => MAKE.import(py, "dugong._request", "request_of")?.call1((given,))?,
        };
        Self::of_request(given, &shown)
    }

    /// Lets its reply show another request, of which this one is a step.
    pub(crate) fn shown_as(mut self, origin: Option<Py<PyAny>>) -> Self {
        if let Some(origin) = origin {
            let given = std::mem::replace(&mut self.given, origin);
            self.shown.get_or_insert(given);
        }
        self
    }

    fn of_request(given: &Bound<'_, PyAny>, shown: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = given.py();
        let (request, source) = message(shown)?;
        let mut request = request;
        if let Some(limit) = shown.getattr(intern!(py, "timeout"))?.extract::<Option<f64>>()? {
            request = request.timeout(duration(limit));
        }
        if let Some(limit) = shown.getattr(intern!(py, "total_timeout"))?.extract::<Option<f64>>()? {
            request = request.total_timeout(duration(limit));
        }
        if let Some(retry) = shown.getattr(intern!(py, "retry"))?.extract::<Option<bool>>()? {
            request = request.retry(retry);
        }
        if let Some(expect) = shown.getattr(intern!(py, "expect"))?.extract::<Option<bool>>()? {
            request = request.expect(expect);
        }
        if let Some(digest) = shown.getattr(intern!(py, "digest"))?.extract::<Option<PyBackedStr>>()? {
            request = request.check(wanted(&digest)?);
        }
        if shown.getattr(intern!(py, "stream"))?.is_truthy()? {
            request = request.streamed();
        }
        Ok(Prepared { request, given: given.clone().unbind(), shown: Some(shown.clone().unbind()), source })
    }
}

/// The digest that a reply must have: `sha256=…`, or `announced`.
fn wanted(digest: &str) -> PyResult<Digest> {
    match digest.strip_prefix("sha256=") {
        Some(digits) => Digest::sha256_hex(digits).map_err(|error| PyValueError::new_err(format!("digest: {error}"))),
        None => Ok(Digest::announced()),
    }
}

/// Method, target, fields and content of an instance of `dugong.Request`.
pub(crate) fn message(shown: &Bound<'_, PyAny>) -> PyResult<(Request, Option<Py<PyAny>>)> {
    let py = shown.py();
    let method = shown.getattr(intern!(py, "method"))?;
    let method = Method::new(text(method.cast::<PyString>()?)?).map_err(misuse)?;
    let target = shown.getattr(intern!(py, "target"))?;
    let mut request = Request::new(method, text(target.cast::<PyString>()?)?);
    let lines = match shown.getattr(intern!(py, "_message"))?.is_none() {
        true => shown.getattr(intern!(py, "_lines"))?,
        false => shown.call_method0(intern!(py, "_current_lines"))?,
    };
    for line in lines.cast::<PyTuple>()?.iter_borrowed() {
        let line = line.cast::<PyTuple>()?;
        let (name, value) = (line.get_item(0)?, line.get_item(1)?);
        request = request.header(latin1(name.cast::<PyString>()?)?, latin1(value.cast::<PyString>()?)?);
    }
    let content = shown.getattr(intern!(py, "content"))?;
    if content.is_none() {
        return Ok((request, None));
    }
    if let Ok(bytes) = content.extract::<PyBackedBytes>() {
        return Ok((request.body(Bytes::from_owner(bytes)), None));
    }
    let length = content.getattr(intern!(py, "length"))?.extract()?;
    let is_read_once = content.getattr(intern!(py, "is_read_once"))?.is_truthy()?;
    Ok((request.source(OwnersSource { length, is_read_once }), Some(content.unbind())))
}

/// Stands for content that this crate reads itself, with Python's lock.
struct OwnersSource {
    length: Option<u64>,
    is_read_once: bool,
}

impl Source for OwnersSource {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn is_read_once(&self) -> bool {
        self.is_read_once
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        Err(io::Error::other("the Python package reads this itself"))
    }
}

fn request_class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "dugong._request", "Request")
}

/// Text of a request line. Making the head refuses characters beyond ASCII.
fn text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    match text.to_str() {
        Ok(text) => Ok(text),
        Err(_) => Err(PyTypeError::new_err("method and target have to be text without surrogates")),
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
