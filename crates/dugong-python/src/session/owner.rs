//! The part of a request that only its owner can do: signing it, and reading its content.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dugong_http::Method;
use dugong_session::{Failed, News, Reply, Request, Ticket};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyIterator;

use super::failure;
use super::outcome::Outcome;
use super::prepare::{Prepared, message};
use crate::headers::Lines;

/// The functions of a session that add fields to each attempt.
pub(crate) struct Hooks {
    pub(crate) auth: Option<Py<PyAny>>,
    pub(crate) sign: Option<Py<PyAny>>,
    /// Default fields, which a signature covers.
    pub(crate) defaults: Vec<(String, String)>,
    /// The origin, such as `https://example.org`.
    pub(crate) origin: String,
    /// The value of Host.
    pub(crate) host: String,
}

impl Hooks {
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.auth)?;
        visit.call(&self.sign)
    }
}

/// A submitted request, with all that its owner keeps of it.
pub(crate) struct Submitted {
    pub(crate) given: Py<PyAny>,
    shown: Option<Py<PyAny>>,
    source: Option<Py<PyAny>>,
    hooks: Option<Arc<Hooks>>,
    /// Content that is being read: an iterator, or an asynchronous one.
    pieces: Option<Py<PyAny>>,
    /// Some of it was read.
    is_read: bool,
    is_async: bool,
    /// The exception of a callback or of the content: it is the outcome of the request.
    error: Option<PyErr>,
    is_given_up: bool,
}

impl Submitted {
    pub(crate) fn new(prepared: Prepared, hooks: Option<Arc<Hooks>>) -> Self {
        let Prepared { given, shown, source, .. } = prepared;
        Submitted { given, shown, source, hooks, pieces: None, is_read: false, is_async: false, error: None, is_given_up: false }
    }

    /// A request that could not be prepared.
    pub(crate) fn invalid(given: &Bound<'_, PyAny>) -> Self {
        let given = given.clone().unbind();
        Submitted {
            given,
            shown: None,
            source: None,
            hooks: None,
            pieces: None,
            is_read: false,
            is_async: false,
            error: None,
            is_given_up: false,
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.given)?;
        visit.call(&self.shown)?;
        visit.call(&self.source)?;
        visit.call(&self.pieces)
    }

    /// Does what the session needs. An exception of the program ends the request, unless it is one that ends the program.
    pub(crate) fn serve(&mut self, py: Python<'_>, ticket: &mut Ticket, news: &News) -> PyResult<()> {
        let served = match news {
            News::Begins { .. } => self.begin(py, ticket).and_then(|()| match self.is_async {
                true => Err(PyValueError::new_err("asynchronous content needs a co_ method")),
                false => Ok(()),
            }),
            News::WantsContent => self.give(py, ticket),
            _ => Ok(()),
        };
        served.or_else(|error| self.fail(py, ticket, error))
    }

    /// The same for a task: the result is the asynchronous iterator whose next piece the session wants.
    pub(crate) fn serve_task(&mut self, py: Python<'_>, ticket: &mut Ticket, news: &News) -> PyResult<Option<Py<PyAny>>> {
        let served = match news {
            News::Begins { .. } => self.begin(py, ticket),
            News::WantsContent if self.is_async => {
                self.is_read = true;
                return Ok(self.pieces.as_ref().map(|pieces| pieces.clone_ref(py)));
            }
            News::WantsContent => self.give(py, ticket),
            _ => Ok(()),
        };
        served.or_else(|error| self.fail(py, ticket, error)).map(|()| None)
    }

    /// Ends the request because of an exception of the program.
    pub(crate) fn fail(&mut self, py: Python<'_>, ticket: &mut Ticket, error: PyErr) -> PyResult<()> {
        self.pieces = None;
        ticket.fail(io::Error::other("the program raised an exception"));
        if error.is_instance_of::<PyException>(py) {
            self.error = Some(error);
            return Ok(());
        }
        Err(error)
    }

    /// Ends the request, because its owner has stopped waiting.
    pub(crate) fn give_up(&mut self, ticket: &mut Ticket) {
        self.pieces = None;
        self.is_given_up = true;
        ticket.fail(io::Error::other("the run was closed"));
    }

    fn begin(&mut self, py: Python<'_>, ticket: &mut Ticket) -> PyResult<()> {
        // After 417, content that can be read once is still there if none of it was.
        let is_kept = self.pieces.is_some() && !self.is_read && self.is_read_once(py)?;
        if !is_kept {
            (self.pieces, self.is_async) = (None, false);
        }
        let signed = self.sign(py, ticket)?;
        if let Some(source) = self.source.as_ref().filter(|_| !is_kept) {
            let opened = source.bind(py).call_method0(intern!(py, "open"))?;
            self.is_async = opened.hasattr(intern!(py, "__anext__"))?;
            let pieces = if self.is_async { opened } else { opened.try_iter()?.into_any() };
            (self.pieces, self.is_read) = (Some(pieces.unbind()), false);
        }
        ticket.begin(signed);
        Ok(())
    }

    fn is_read_once(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(source) = &self.source else { return Ok(false) };
        source.bind(py).getattr(intern!(py, "is_read_once"))?.is_truthy()
    }

    /// Ends asynchronous content.
    pub(crate) fn end_content(&mut self) {
        self.pieces = None;
    }

    /// The request with the fields of the session's functions. After a redirect it is another one than the program gave.
    fn sign(&self, py: Python<'_>, ticket: &Ticket) -> PyResult<Option<Request>> {
        static SIGNED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let Some(hooks) = &self.hooks else { return Ok(None) };
        let current = ticket.request();
        let lines = current.fields().map(|fields| Lines::new(fields, false).pairs(py)).transpose()?;
        let signed = SIGNED.import(py, "dugong._hooks", "signed")?.call1((
            self.shown.as_ref().unwrap_or(&self.given),
            current.method().map(Method::as_str),
            current.target(),
            lines,
            hooks.defaults.clone(),
            &hooks.auth,
            &hooks.sign,
            &hooks.origin,
            &hooks.host,
        ))?;
        Ok(Some(message(&signed)?.0))
    }

    fn give(&mut self, py: Python<'_>, ticket: &mut Ticket) -> PyResult<()> {
        let Some(pieces) = &self.pieces else {
            ticket.finish();
            return Ok(());
        };
        self.is_read = true;
        match pieces.bind(py).cast::<PyIterator>()?.clone().next() {
            Some(piece) => ticket.give(Bytes::from_owner(piece?.extract::<PyBackedBytes>()?)),
            None => {
                self.pieces = None;
                ticket.finish();
            }
        }
        Ok(())
    }

    /// The exception of a failure.
    pub(crate) fn exception(&mut self, py: Python<'_>, failed: &Failed) -> PyErr {
        match self.error.take() {
            Some(error) => error,
            None if self.is_given_up => failure::given_up(py, failed, &self.given),
            None => failure::exception(py, failed, &self.given),
        }
    }

    /// The outcome in a run.
    pub(crate) fn outcome(
        &mut self,
        py: Python<'_>,
        index: usize,
        result: Result<Reply, Failed>,
        core: &Py<PyAny>,
    ) -> PyResult<Outcome> {
        match result {
            Ok(reply) => {
                let (sent, attempts) = (failure::sent_word(reply.sent()), reply.attempts());
                let given = self.given.clone_ref(py);
                let reply = Some(Py::new(py, super::Reply::received(py, reply, given.clone_ref(py), core)?)?);
                let answered = "yes";
                Ok(Outcome { index, request: given, reply, error: None, sent, answered, safe_to_retry: false, attempts })
            }
            Err(failed) => Ok(Outcome {
                index,
                request: self.given.clone_ref(py),
                reply: None,
                error: Some(self.exception(py, &failed).into_value(py).into_any()),
                sent: failure::sent_word(failed.sent),
                answered: failure::answered_word(failed.answered),
                safe_to_retry: failed.safe_to_retry,
                attempts: failed.attempts,
            }),
        }
    }

    /// The reply as Python sees it, or the exception.
    pub(crate) fn result(
        &mut self,
        py: Python<'_>,
        result: Result<Reply, Failed>,
        core: &Py<PyAny>,
    ) -> PyResult<Py<super::Reply>> {
        match result {
            Ok(reply) => Py::new(py, super::Reply::received(py, reply, self.given.clone_ref(py), core)?),
            Err(failed) => Err(self.exception(py, &failed)),
        }
    }
}
