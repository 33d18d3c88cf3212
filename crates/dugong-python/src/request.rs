//! Checks the arguments of `send_request`, and makes a request of them (statements 8).

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use dugong_http::{Announced, Argument, Fields, Method, Misuse, Request, RequestHead};
use md5::{Digest, Md5};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString, PyType};

use crate::errors;
use crate::headers::{Generated, WITHOUT_BODY, ascii, latin1, request_fields};
use crate::link::Link;
use crate::target::Target;

/// The arguments as they were passed. The first step checks them.
pub(crate) struct Arguments {
    method: Py<PyAny>,
    path: Py<PyAny>,
    headers: Option<Py<PyAny>>,
    body: Option<Py<PyAny>>,
    expect100: Option<Py<PyAny>>,
}

/// A valid request.
pub(crate) struct Prepared {
    pub(crate) method: Py<PyString>,
    pub(crate) path: Py<PyString>,
    pub(crate) request: Request,
    pub(crate) given: bool,
    /// The server that it is for, as long as it has no `Host` of its own.
    unhosted: Option<Arc<Target>>,
}

impl Arguments {
    pub(crate) fn new(
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
        expect100: Option<Bound<'_, PyAny>>,
    ) -> Self {
        let (method, path) = (method.unbind(), path.unbind());
        let (headers, body, expect100) = (headers.map(Bound::unbind), body.map(Bound::unbind), expect100.map(Bound::unbind));
        Arguments { method, path, headers, body, expect100 }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Arguments { method, path, headers, body, expect100 } = self;
        [headers, body, expect100].into_iter().flatten().chain([method, path]).try_for_each(|object| visit.call(object))
    }

    /// Checks the arguments, as far as that needs no connection.
    pub(crate) fn prepare(&self, py: Python<'_>, target: &Arc<Target>) -> PyResult<Prepared> {
        let string = |object: &Py<PyAny>, what| match object.bind(py).cast::<PyString>() {
            Ok(string) => Ok(string.clone()),
            Err(_) => Err(PyTypeError::new_err(format!("{what} has to be a str, not {}", object.bind(py).get_type().name()?))),
        };
        let (asked, path_asked) = (&string(&self.method, "method")?, &string(&self.path, "path")?);
        let method = Method::new(text(asked)?).map_err(errors::misuse)?;
        if method.as_str() == "CONNECT" {
            return Err(PyValueError::new_err("CONNECT is only sent to a proxy, when connecting"));
        }
        let path = text(path_asked)?;
        let body = Body::of(self.body.as_ref().map(|body| body.bind(py)))?;
        let expect100 = self.expect100.as_ref().map_or(Ok(false), |value| value.is_truthy(py))?;
        if expect100 && !matches!(body, Body::Following(_)) {
            return Err(PyValueError::new_err("expect100 needs a BodyFollowing"));
        }
        let content = body.announced();
        let expects = expect100 && content.is_some();
        let generated = match &body {
            Body::None => Vec::new(),
            body => generated(py, body, expects),
        };

        let absolute = target.is_absolute();
        // An empty path is refused even where a host precedes it.
        if path.is_empty() {
            return Err(errors::misuse(Misuse::Target(Argument::new(b"", None))));
        }
        if absolute && !path.starts_with('/') {
            // It would become a part of the host name.
            return Err(PyValueError::new_err("with a proxy, a path has to begin with /"));
        }
        if !has_form_of_target(path) {
            let text = path_asked.repr()?.to_string();
            let text = if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text };
            return Err(PyValueError::new_err(format!("a path has to begin with '/', or be '*' or an absolute URL, not {text}")));
        }
        let line: Box<str> = if absolute { format!("http://{}{path}", target.host).into() } else { path.into() };
        // If the target names a host, the engine would take that for `Host`.
        let host = (!line.starts_with('/')).then_some(&*target.host);
        let mut head = RequestHead::verbatim(method, line).map_err(errors::misuse)?;
        let headers = self.headers.as_ref().map(|headers| headers.bind(py));
        head.fields = match (&body, headers) {
            (Body::None, None) if host.is_none() => target.bare.clone(),
            (Body::None, None) => hosted(&target.host, &target.bare),
            (Body::None, headers) => request_fields(host, headers, &WITHOUT_BODY, Some(&target.bare))?,
            (_, headers) => request_fields(host, headers, &generated, None)?,
        };
        // `Content-Length: 0` alone announces nothing.
        head.content = content;
        head.expect_continue = expects;
        let given = matches!(body, Body::Given(_));
        let mut request = Request::from(head);
        if let Body::Given(bytes) = body {
            request = request.body(bytes);
        }
        let (method, path) = (asked.clone().unbind(), path_asked.clone().unbind());
        let unhosted = host.is_none().then(|| target.clone());
        Ok(Prepared { method, path, request, given, unhosted })
    }
}

/// The fields that are made for a request, in their order (statement 8.8).
fn generated(py: Python<'_>, body: &Body, expects: bool) -> Vec<Generated<'static>> {
    let mut generated = Vec::with_capacity(5);
    let mut generate = |name, value: Cow<'static, str>, caller_wins| generated.push(Generated { name, value, caller_wins });
    if expects {
        generate("Expect", "100-continue".into(), false);
    }
    match body {
        Body::None => return Vec::from(WITHOUT_BODY),
        Body::Given(bytes) => generate("Content-Length", bytes.len().to_string().into(), false),
        Body::Following(Some(length)) => generate("Content-Length", length.to_string().into(), false),
        Body::Following(None) => generate("Transfer-Encoding", "chunked".into(), false),
    }
    if let Body::Given(bytes) = body {
        // A large body takes long, so other threads run meanwhile.
        let digest = if bytes.len() < 2048 { Md5::digest(bytes) } else { py.detach(|| Md5::digest(bytes)) };
        generate("Content-MD5", base64::engine::general_purpose::STANDARD.encode(digest).into(), true);
    }
    generate("Accept-Encoding", "identity".into(), false);
    generate("Connection", "keep-alive".into(), true);
    generated
}

/// The same fields behind `Host`.
fn hosted(host: &str, fields: &Fields) -> Fields {
    let mut hosted = Fields::new();
    hosted.append("Host", host).expect("the name of a host is a field value");
    hosted.append_all(fields);
    hosted
}

/// Whether a path is one, or `*`, or an absolute URL (statement 8.10).
fn has_form_of_target(path: &str) -> bool {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let is_url = |(scheme, rest): (&str, &str)| is_scheme(scheme) && !rest.is_empty() && !rest.starts_with(['/', '?']);
    path.starts_with('/') || path == "*" || path.split_once("://").is_some_and(is_url)
}

/// A method or path. Text that latin-1 cannot express is an error of that codec; other text beyond ASCII is a `ValueError`.
fn text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    if let Some(ascii) = ascii(text) {
        return Ok(ascii);
    }
    latin1(text)?;
    let text = text.to_string_lossy();
    // The engine quotes as much.
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= 40).last().unwrap_or(0);
    let more = if end < text.len() { "..." } else { "" };
    let quoted = &text[..end];
    Err(PyValueError::new_err(format!("method and path have to be ASCII; percent-encode what is not: {quoted:?}{more}")))
}

/// The body as it was passed.
enum Body {
    None,
    Given(Bytes),
    Following(Option<u64>),
}

impl Body {
    fn of(body: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let Some(body) = body.filter(|body| !body.is_none()) else { return Ok(Body::None) };
        let py = body.py();
        if body.is_instance_of::<PyBytes>() {
            return Ok(Body::Given(Bytes::from_owner(body.extract::<PyBackedBytes>()?)));
        }
        if body.is_instance_of::<PyByteArray>() || body.is_instance_of::<PyMemoryView>() {
            // The caller could change it while it is being sent.
            let copy = py.get_type::<PyBytes>().call1((body,))?;
            return Ok(Body::Given(Bytes::from_owner(copy.extract::<PyBackedBytes>()?)));
        }
        if !body.is_instance(CLASS.import(py, "dugong", "BodyFollowing")?)? {
            let name = body.get_type().name()?;
            return Err(PyTypeError::new_err(format!("body must be None, bytes-like or BodyFollowing, not {name}")));
        }
        let length = body.getattr(intern!(py, "length"))?;
        if length.is_none() {
            return Ok(Body::Following(None));
        }
        if length.lt(0)? {
            return Err(PyValueError::new_err("the length of a body cannot be negative"));
        }
        Ok(Body::Following(Some(length.extract()?)))
    }

    fn announced(&self) -> Announced {
        match self {
            Body::None => Announced::Nothing,
            Body::Given(bytes) => Announced::Length(bytes.len() as u64),
            Body::Following(Some(length)) => Announced::Length(*length),
            Body::Following(None) => Announced::Chunked,
        }
    }
}

impl Prepared {
    /// Gives it a `Host` of its own if the connection leads to another server: the program may have assigned to `hostname` or `port`.
    pub(crate) fn settle_host(&mut self, link: &Link) {
        let Some(target) = self.unhosted.take() else { return };
        if Arc::ptr_eq(&target, &link.target) || target.host == link.target.host {
            self.unhosted = Some(target);
            return;
        }
        let mut head = self.request.as_head().expect("checked when it was prepared").clone();
        head.fields = hosted(&target.host, &head.fields);
        let body = self.request.content().cloned();
        self.request = Request::from(head);
        if let Some(body) = body {
            self.request = std::mem::replace(&mut self.request, Request::get("/")).body(body);
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.method)?;
        visit.call(&self.path)
    }
}
