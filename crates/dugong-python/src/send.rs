//! `send_request` (statements 8 and 10).

use std::sync::atomic::Ordering;

use base64::Engine;
use bytes::Bytes;
use dugong_http::step::{Interest, Progress};
use dugong_http::{Announced, Argument, CloseReason, Closed, Error, Method, Misuse, Request, RequestHead};
use md5::{Digest, Md5};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString, PyType};

use crate::connect::{Connect, Resolver};
use crate::connection::{HTTPConnection, Target};
use crate::errors::{self, state_error};
use crate::headers::{Generated, latin1, request_fields};
use crate::link::{Grip, InVain, Link, Receiver, Role, Sender};
use crate::log;
use crate::task::{Need, Step, Task};
use crate::wire::Wire;
use crate::write::check_torn;

/// `send_request()`.
pub(crate) struct SendRequest {
    stage: Stage,
    /// Lasts until the request is taken: readers that came before it wait as long as that.
    connect: Option<Connect>,
    resolver: Resolver,
}

enum Stage {
    Begin(Arguments),
    Connecting(Prepared),
    Ready(Prepared),
    Taking(Grip, Prepared),
    Sending { grip: Grip, number: u64, what: What },
    Over,
}

/// As they were passed: what is wrong with them is told by the first step.
pub(crate) struct Arguments {
    method: Py<PyAny>,
    path: Py<PyAny>,
    headers: Option<Py<PyAny>>,
    body: Option<Py<PyAny>>,
    expect100: Option<Py<PyAny>>,
}

/// A request that was found to be good.
pub(crate) struct Prepared {
    method: Py<PyString>,
    path: Py<PyString>,
    request: Request,
    content: Announced,
    given: bool,
}

impl SendRequest {
    pub(crate) fn new(
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
        expect100: Option<Bound<'_, PyAny>>,
        resolver: Resolver,
    ) -> Self {
        let (method, path) = (method.unbind(), path.unbind());
        let (headers, body, expect100) = (headers.map(Bound::unbind), body.map(Bound::unbind), expect100.map(Bound::unbind));
        SendRequest { stage: Stage::Begin(Arguments { method, path, headers, body, expect100 }), connect: None, resolver }
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Over)
    }
}

impl Task for SendRequest {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            match &mut self.stage {
                Stage::Begin(arguments) => {
                    let prepared = arguments.prepare(py, &connection.get().target(py)?)?;
                    self.stage = if needs_connection(connection)? {
                        self.connect = Some(Connect::new(self.resolver));
                        Stage::Connecting(prepared)
                    } else {
                        Stage::Ready(prepared)
                    };
                }
                Stage::Connecting(_) => {
                    let connect = self.connect.as_mut().expect("made for this stage");
                    if let Some(need) = connect.go_on(connection)? {
                        return Ok(Step::Needs(need));
                    }
                    let Stage::Connecting(prepared) = self.take() else { unreachable!("just matched") };
                    self.stage = Stage::Ready(prepared);
                }
                Stage::Ready(_) => {
                    let Stage::Ready(prepared) = self.take() else { unreachable!("just matched") };
                    let Some(grip) = connection.get().grip(py, Role::Send)? else {
                        return Err(errors::ConnectionClosed::new_err("the connection was closed by disconnect()"));
                    };
                    self.stage = Stage::Taking(grip, prepared);
                }
                Stage::Taking(grip, prepared) => {
                    let number = match prepared.hand_over(py, grip)? {
                        Ok(Some(number)) => number,
                        Ok(None) => return Step::done(py),
                        Err(need) => return Ok(Step::Needs(need)),
                    };
                    self.connect = None;
                    if grip.link.is_logged {
                        log::sent(py, &prepared.method, &prepared.path)?;
                    }
                    let Stage::Taking(grip, prepared) = self.take() else { unreachable!("just matched") };
                    self.stage = Stage::Sending { grip, number, what: if prepared.given { What::Whole } else { What::Head } };
                }
                Stage::Sending { grip, number, what } => match flush(py, grip, *what)? {
                    Ok(Flushed::Needs(need)) => return Ok(Step::Needs(need)),
                    // If no answer can come, reading will tell (statement 14.3).
                    Ok(Flushed::Done | Flushed::Pointless) => return Step::done(py),
                    Err(error) => {
                        let exception = grip.exception(py, error);
                        take_back(py, grip, *number)?;
                        return Err(exception);
                    }
                },
                Stage::Over => return Step::done(py),
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.stage {
            Stage::Begin(Arguments { method, path, headers, body, expect100 }) => {
                [headers, body, expect100].into_iter().flatten().chain([method, path]).try_for_each(|object| visit.call(object))
            }
            Stage::Connecting(Prepared { method, path, .. })
            | Stage::Ready(Prepared { method, path, .. })
            | Stage::Taking(_, Prepared { method, path, .. }) => {
                visit.call(method)?;
                visit.call(path)
            }
            Stage::Sending { .. } | Stage::Over => Ok(()),
        }?;
        match &self.stage {
            Stage::Taking(grip, _) | Stage::Sending { grip, .. } => grip.traverse(visit),
            _ => Ok(()),
        }
    }

    fn awaited(&mut self) {
        self.resolver = self.resolver.awaited();
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if let (Stage::Connecting(_), Some(connect)) = (&self.stage, &mut self.connect) {
            connect.interrupt(connection);
        }
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        match (&self.stage, &mut self.connect) {
            (Stage::Connecting(_), Some(connect)) => connect.timed_out(connection),
            _ => Err(errors::ConnectionTimedOut::new_err("timed out waiting for the peer to take the request")),
        }
    }
}

/// Whether a connection has to be made first: there is none; or there is one that cannot be used any more, because a body was
/// refused, and the caller is not to notice (statement 10.3).
pub(crate) fn needs_connection(connection: &Bound<'_, HTTPConnection>) -> PyResult<bool> {
    let py = connection.py();
    let Some(link) = connection.get().open_link() else { return Ok(true) };
    // One that has failed tells that to whoever sends or reads, as after any other response.
    if !link.refused.load(Ordering::Acquire) || link.shared.failure().is_some() {
        return Ok(false);
    }
    if link.receiver(py, |receiver| receiver.current.is_some())? {
        return state_error("the response that came in place of 100 has to be read first");
    }
    Ok(true)
}

impl Arguments {
    /// Of a request in a pipeline.
    pub(crate) fn new(
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
    ) -> Self {
        let (method, path) = (method.unbind(), path.unbind());
        // None as a mapping would be refused.
        let headers = headers.filter(|headers| !headers.is_none()).map(Bound::unbind);
        Arguments { method, path, headers, body: body.map(Bound::unbind), expect100: None }
    }

    /// Checks everything that can be checked without a connection.
    pub(crate) fn prepare(&self, py: Python<'_>, target: &Target) -> PyResult<Prepared> {
        let string = |object: &Py<PyAny>, what| match object.bind(py).cast::<PyString>() {
            Ok(string) => Ok(string.clone()),
            Err(_) => Err(PyTypeError::new_err(format!("{what} has to be a str, not {}", object.bind(py).get_type().name()?))),
        };
        let (asked, path_asked) = (&string(&self.method, "method")?, &string(&self.path, "path")?);
        let method = Method::new(&text(asked)?).map_err(errors::misuse)?;
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
        let host = target.origin.host_field();

        let mut generated = Vec::with_capacity(5);
        let mut generate = |name, value: String, caller_wins| {
            generated.push(Generated { name, value: value.into(), caller_wins });
        };
        if expects {
            generate("Expect", "100-continue".into(), false);
        }
        match content {
            Announced::Nothing => generate("Content-Length", "0".into(), false),
            Announced::Length(length) => generate("Content-Length", length.to_string(), false),
            Announced::Chunked => generate("Transfer-Encoding", "chunked".into(), false),
        }
        if let Body::Given(bytes) = &body {
            // As long as this takes for a large body, other threads run.
            let digest = if bytes.len() < 2048 { Md5::digest(bytes) } else { py.detach(|| Md5::digest(bytes)) };
            let digest = base64::engine::general_purpose::STANDARD.encode(digest);
            generate("Content-MD5", digest, true);
        }
        generate("Accept-Encoding", "identity".into(), false);
        generate("Connection", "keep-alive".into(), true);

        let absolute = target.proxy.is_some() && target.ssl_context.is_none();
        // An empty path is refused, also where a host precedes it.
        if path.is_empty() {
            return Err(errors::misuse(Misuse::Target(Argument::new(b"", None))));
        }
        if absolute && !path.starts_with('/') {
            // It would become a part of the name of the host.
            return Err(PyValueError::new_err("with a proxy, a path has to begin with /"));
        }
        if !has_form_of_target(&path) {
            let text = path_asked.repr()?.to_string();
            let text = if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text };
            return Err(PyValueError::new_err(format!("a path has to begin with '/', or be '*' or an absolute URL, not {text}")));
        }
        let line = if absolute { format!("http://{host}{path}") } else { path.into_owned() };
        let mut head = RequestHead::verbatim(method, line).map_err(errors::misuse)?;
        head.fields = request_fields(&host, self.headers.as_ref().map(|headers| headers.bind(py)), &generated)?;
        // `Content-Length: 0` alone announces nothing.
        head.content = content;
        head.expect_continue = expects;
        let given = matches!(body, Body::Given(_));
        let mut request = Request::from(head);
        if let Body::Given(bytes) = body {
            request = request.body(bytes);
        }
        let (method, path) = (asked.clone().unbind(), path_asked.clone().unbind());
        Ok(Prepared { method, path, request, content, given })
    }
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

/// A method or path: what latin-1 cannot express is an error of that codec, what is beyond ASCII another.
fn text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<std::borrow::Cow<'a, str>> {
    match latin1(text)? {
        std::borrow::Cow::Borrowed(ascii) => Ok(String::from_utf8_lossy(ascii)),
        std::borrow::Cow::Owned(_) => {
            let text = text.to_string_lossy();
            // As much as the engine quotes.
            let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= 40).last().unwrap_or(0);
            let more = if end < text.len() { "..." } else { "" };
            Err(PyValueError::new_err(format!(
                "method and path have to be ASCII; percent-encode what is not: {:?}{more}",
                &text[..end]
            )))
        }
    }
}

/// The body that was passed.
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
            // The caller may change it while it is on its way.
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
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn method(&self) -> &Py<PyString> {
        &self.method
    }

    pub(crate) fn path(&self) -> &Py<PyString> {
        &self.path
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.method)?;
        visit.call(&self.path)
    }

    /// Gives the request to the engine: its number, if it is to be sent and not taken in vain; or what is needed first.
    fn hand_over(&self, py: Python<'_>, grip: &Grip) -> PyResult<Result<Option<u64>, Need>> {
        grip.send(py, |sender, receiver, wire| {
            if grip.link.is_closed() {
                return Err(grip.link.gone(py));
            }
            if let Some(error) = grip.failure() {
                if errors::is_unreadable(&error) || is_unasked(&error) {
                    return Err(grip.exception(py, error));
                }
                // Whoever asks for the response is told (statement 14.3).
                sender.sending.give_up_content(&grip.link.shared);
                return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
            }
            if sender.is_owing() {
                return state_error("the body of the previous request has not been written completely");
            }
            check_torn(&grip.link)?;
            if grip.link.shared.is_cut() {
                return Err(grip.link.lost(py, "the connection was lost while something was sent"));
            }
            let (taken, end) = self.offer(grip, sender, receiver, wire);
            let number = match taken {
                Ok(Progress::Needs(interest)) => return Ok(Err(grip.need(interest))),
                Ok(Progress::Done(number)) => Some(number),
                Err(Error::Closed { .. }) if end == End::Reset && !grip.duplex(None, None).is_pointless() => {
                    return Err(grip.link.lost(py, "the connection was lost"));
                }
                // The peer will not answer; whoever asks for the response is told so (statement 14.3).
                Err(error @ Error::Closed { cause: Closed::InOrder(_), .. }) if !is_unasked(&error) => {
                    return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
                }
                Err(Error::Local(Misuse::ReadFirst)) if end == End::Seen => {
                    return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
                }
                Err(error) => return Err(grip.exception(py, error)),
            };
            self.taken(py, &grip.link);
            Ok(Ok(number))
        })
    }

    /// The request was taken; its response is due.
    pub(crate) fn taken(&self, py: Python<'_>, link: &Link) {
        link.refused.store(false, Ordering::Release);
        link.silent.store(false, Ordering::Release);
        link.ask(self.method.clone_ref(py), self.path.clone_ref(py));
    }

    /// One attempt; also what is known of the end of the connection.
    fn offer(
        &self,
        grip: &Grip,
        sender: &mut Sender,
        mut receiver: Option<&mut Receiver>,
        wire: &mut Wire<'_, '_>,
    ) -> (Result<Progress<u64>, Error>, End) {
        let taken = grip.duplex(Some(sender), receiver.as_deref_mut()).take_request(&self.request, wire);
        let end = match receiver.as_ref().map(|receiver| receiver.receiving.half()) {
            None => End::Unseen,
            Some(half) if !half.is_at_eof() => End::Unseen,
            // To send after a reset fails; after an end without close_notify it may not.
            Some(_) if receiver.as_ref().is_some_and(|receiver| receiver.receiving.was_reset()) => End::Reset,
            Some(_) => End::Seen,
        };
        if end != End::Unseen || receiver.is_none() || !matches!(taken, Err(Error::Local(Misuse::ReadFirst))) {
            return (taken, end);
        }
        // The receive buffer is full. Somebody else may be about to read: wait for writing alone.
        (grip.duplex(Some(sender), None).take_request(&self.request, wire), End::Unseen)
    }

    /// Takes the request, of which nothing will be sent: reading its response says why.
    fn take_in_vain(&self, py: Python<'_>, grip: &Grip, sender: &mut Sender) -> PyResult<()> {
        let taken = grip.duplex(Some(sender), None).take_in_vain(&self.request);
        taken.map_err(|error| grip.exception(py, error))?;
        self.taken(py, &grip.link);
        sender.in_vain = match self.content {
            _ if self.given => None,
            Announced::Length(length) if length > 0 => Some(InVain::Left(length)),
            Announced::Chunked => Some(InVain::Chunks),
            _ => None,
        };
        Ok(())
    }
}

/// Whether the connection ended because the peer sent what nobody asked for (statement 14.6).
fn is_unasked(error: &Error) -> bool {
    let Error::Closed { cause: Closed::InOrder(reason), .. } = error else { return false };
    matches!(reason, CloseReason::RequestTimeout | CloseReason::UnaskedBytes)
}

/// What is known of the end of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Unseen,
    /// The peer has ended its direction in order.
    Seen,
    /// The connection was reset.
    Reset,
}

impl Sender {
    /// Whether the caller has to go on with the body of the last request. What was given with it is sent by later steps.
    pub(crate) fn is_owing(&self) -> bool {
        (self.sending.half().owes_content() && self.sending.upload_left() == 0) || self.in_vain.is_some()
    }
}

/// What is being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A request without a body.
    Head,
    /// A request with the body that was given with it.
    Whole,
    /// A body that is written.
    Written,
}

/// Whether a final response to the last request has arrived, behind others or not (statement 9.8).
fn is_answered(grip: &Grip, sender: &mut Sender, receiver: Option<&mut Receiver>) -> bool {
    receiver.is_some() && grip.duplex(Some(sender), receiver).is_answered()
}

/// What became of sending what is left.
pub(crate) enum Flushed {
    Done,
    Needs(Need),
    /// The peer does not take more, and has answered, or has ended its direction so that no answer can come: the rest was
    /// given up.
    Pointless,
}

/// Sends what is left of what was taken. The inner error is one of sending.
pub(crate) fn flush(py: Python<'_>, grip: &Grip, what: What) -> PyResult<Result<Flushed, Error>> {
    grip.send(py, |sender, mut receiver, wire| {
        if grip.link.is_closed() {
            return Err(grip.link.gone(py));
        }
        let flushed = grip.duplex(Some(sender), receiver.as_deref_mut()).flush(wire);
        let interest = match flushed {
            Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
            // Who only asks does not care what arrives (statement 18.2).
            Ok(Progress::Needs(interest)) if interest.writes() && what == What::Head => Interest::WRITE,
            Ok(Progress::Needs(interest)) => interest,
            Err(Error::Local(Misuse::ReadFirst)) => {
                if receiver.as_ref().is_some_and(|receiver| receiver.receiving.half().is_at_eof()) {
                    sender.sending.give_up_content(&grip.link.shared);
                    return Ok(Ok(Flushed::Pointless));
                }
                match grip.duplex(Some(sender), None).flush(wire) {
                    Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
                    Ok(Progress::Needs(interest)) => interest,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Err(_) if is_over(grip) => return Ok(give_up_rest(grip, sender)),
            Err(error) => {
                // The peer may have said why it does not take the rest.
                let has_answer = what == What::Whole
                    && receiver.is_some()
                    && grip.duplex(None, receiver.as_deref_mut()).has_arrived(wire)
                    && is_answered(grip, sender, receiver);
                if !has_answer {
                    return Ok(Err(error));
                }
                sender.sending.give_up_content(&grip.link.shared);
                return Ok(Ok(Flushed::Pointless));
            }
        };
        // What a TLS object holds back is not asked about.
        if is_over(grip) {
            return Ok(give_up_rest(grip, sender));
        }
        if what != What::Head && is_answered(grip, sender, receiver) {
            sender.sending.give_up_content(&grip.link.shared);
            return Ok(Ok(Flushed::Pointless));
        }
        Ok(Ok(Flushed::Needs(grip.need(interest))))
    })
}

/// Whether nothing more may leave, though it could: what was received says so.
fn is_over(grip: &Grip) -> bool {
    !grip.link.shared.is_cut() && grip.duplex(None, None).is_pointless()
}

/// Gives up what is left, since a response says that it is not wanted, or the connection has failed: then reading will tell
/// (statements 9.7, 14.3), unless it has told already, or nothing could be sent anyway.
fn give_up_rest(grip: &Grip, sender: &mut Sender) -> Result<Flushed, Error> {
    sender.sending.give_up_content(&grip.link.shared);
    match grip.failure() {
        None => Ok(Flushed::Done),
        Some(error) if errors::is_unreadable(&error) && grip.link.is_unreadable() => Err(error),
        Some(error @ Error::Closed { .. }) if grip.transport.was_reset() => Err(error),
        Some(_) => Ok(Flushed::Pointless),
    }
}

/// A request could not be sent: no response to it is pending (statement 8.14).
fn take_back(py: Python<'_>, grip: &Grip, number: u64) -> PyResult<()> {
    grip.link.sender(py, |sender| {
        let before = grip.link.shared.queue().len();
        sender.sending.take_back(number, &grip.link.shared);
        if grip.link.shared.queue().len() < before {
            grip.link.ask_no_more();
        }
        if sender.sending.half().owes_content() {
            sender.sending.give_up_content(&grip.link.shared);
        }
    })
}
