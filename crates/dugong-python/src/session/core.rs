//! `SessionCore`: a session as the Python code of the package uses it.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use dugong_session::{News, Session};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::connector::check_interrupted;
use super::failure;
use super::mailbox::Mailbox;
use super::outcome::Outcome;
use super::owner::{Hooks, Submitted};
use super::prepare::Prepared;
use super::process::OfProcess;
use super::reply::Reply;
use super::run::Run;
use super::settings::Settings;
use super::ticket::Ticket;
use crate::wait::{LOOK_FOR_SIGNALS, is_signal_thread};

/// A session. The package's `Session` has one.
#[pyclass(frozen, weakref, module = "dugong._dugong")]
pub(crate) struct SessionCore {
    /// A forked child makes its own when it needs one.
    session: Mutex<OfProcess<Session>>,
    settings: Settings,
    hooks: Option<Arc<Hooks>>,
}

impl SessionCore {
    fn session(&self) -> PyResult<Session> {
        let mut session = self.session.lock();
        if !session.is_usable() {
            *session = OfProcess::new(self.settings.build()?);
        }
        session.get().cloned()
    }
}

#[pymethods]
impl SessionCore {
    #[new]
    #[pyo3(signature = (origin, settings, /))]
    fn new(origin: &str, settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let settings = Settings::new(origin, settings)?;
        let session = settings.build()?;
        let hooks = settings.hooks(session.origin())?;
        Ok(SessionCore { session: Mutex::new(OfProcess::new(session)), settings, hooks: hooks.map(Arc::new) })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.settings.traverse(&visit)?;
        self.hooks.as_ref().map_or(Ok(()), |hooks| hooks.traverse(&visit))
    }

    /// Makes a request, and waits for its reply. With *origin*, the reply shows that request.
    #[pyo3(signature = (given, origin=None, /))]
    fn request(slf: &Bound<'_, Self>, given: &Bound<'_, PyAny>, origin: Option<Py<PyAny>>) -> PyResult<Py<Reply>> {
        let (py, this) = (given.py(), slf.get());
        let session = this.session()?;
        let prepared = Prepared::new(given)?.shown_as(origin);
        let mut request = prepared.request.clone();
        if this.hooks.is_some() {
            request = request.asks_owner();
        }
        let core = slf.clone().into_any().unbind();
        let mut submitted = Submitted::new(prepared, this.hooks.clone());
        let mut ticket = match session.submit_blocking(request) {
            Ok(ticket) => OfProcess::new(ticket),
            Err(failed) => return Err(submitted.exception(py, &failed)),
        };
        ticket.get_mut()?.set_awaited(true);
        let mut takes_signals = None;
        loop {
            let waiting = ticket.get_mut()?;
            match waiting.news() {
                News::None => {
                    py.check_signals()?;
                    let until = takes_signals.unwrap_or(true).then(|| Instant::now() + LOOK_FOR_SIGNALS);
                    let is_told = py.detach(|| waiting.wait(until)).map_err(failure::of_wait)?;
                    check_interrupted()?;
                    if !is_told && takes_signals.is_none() {
                        takes_signals = Some(is_signal_thread(py)?);
                    }
                }
                News::Head | News::Over => match ticket.into_inner()?.take_reply() {
                    Ok(result) => return submitted.result(py, result, &core),
                    Err(_) => return Err(failure::unknown()),
                },
                news => submitted.serve(py, waiting, &news)?,
            }
        }
    }

    /// Begins a request of a task, which has *number* in *mailbox*. With *index*, a request that is not valid gives an outcome.
    /// With *origin*, reply and outcome show that request.
    #[pyo3(signature = (given, mailbox, number, index=None, streamed=false, origin=None, /))]
    fn submit(
        slf: &Bound<'_, Self>,
        given: &Bound<'_, PyAny>,
        mailbox: &Bound<'_, Mailbox>,
        number: u64,
        index: Option<usize>,
        streamed: bool,
        origin: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, this) = (given.py(), slf.get());
        let session = this.session()?;
        let refused = |error: PyErr| match index {
            None => Err(error),
            Some(index) => {
                let error = super::run::as_value_error(py, error);
                let given = origin.as_ref().map_or_else(|| given.clone().unbind(), |origin| origin.clone_ref(py));
                Ok(Py::new(py, Outcome::refused(py, index, given, error))?.into_any())
            }
        };
        let prepared = match Prepared::new(given) {
            Ok(prepared) => prepared.shown_as(origin.as_ref().map(|origin| origin.clone_ref(py))),
            Err(error) => return refused(error),
        };
        let mut request = prepared.request.clone();
        if streamed {
            request = request.streamed();
        }
        if this.hooks.is_some() {
            request = request.asks_owner();
        }
        let mut submitted = Submitted::new(prepared, this.hooks.clone());
        match session.submit(request, &mailbox.get().waker(number)) {
            Ok(ticket) => Ok(Py::new(py, Ticket::new(ticket, submitted, slf.clone().into_any().unbind()))?.into_any()),
            Err(failed) => refused(submitted.exception(py, &failed)),
        }
    }

    /// The outcomes of many requests.
    #[pyo3(signature = (requests, ordered, streamed, /))]
    fn run(slf: &Bound<'_, Self>, requests: &Bound<'_, PyAny>, ordered: bool, streamed: bool) -> PyResult<Run> {
        let this = slf.get();
        let is_text = requests.is_instance_of::<PyString>() || requests.is_instance_of::<pyo3::types::PyBytes>();
        let requests = match requests.try_iter() {
            Ok(iterator) if !is_text => iterator.unbind(),
            Err(error) if !error.is_instance_of::<PyTypeError>(requests.py()) => return Err(error),
            _ => {
                let kind = requests.get_type().name()?;
                let hint = if requests.hasattr("__aiter__")? { "; an asynchronous one needs co_run" } else { "" };
                let text = format!("requests has to be an iterable of requests, such as a list, not {kind}{hint}");
                return Err(PyTypeError::new_err(text));
            }
        };
        let core = slf.clone().into_any().unbind();
        Ok(Run::new(core, this.session()?, this.hooks.clone(), requests, ordered, streamed))
    }

    /// How many requests a run takes ahead of the outcomes.
    fn take_ahead(&self) -> PyResult<usize> {
        Ok(self.session()?.take_ahead())
    }

    /// Drives the session without waiting. False if another thread drives it.
    #[pyo3(signature = (mailbox, /))]
    fn turn(&self, py: Python<'_>, mailbox: &Bound<'_, Mailbox>) -> PyResult<bool> {
        let session = self.session()?;
        let mailbox = mailbox.get();
        let is_driven = mailbox.look_after(|| py.detach(|| session.turn()));
        check_interrupted()?;
        Ok(is_driven)
    }

    /// The descriptor that is readable when a turn is due.
    fn fileno(&self) -> PyResult<RawFd> {
        Ok(self.session()?.as_raw_fd())
    }

    /// In how many seconds a turn is due without an event.
    fn due(&self) -> PyResult<Option<f64>> {
        let until = self.session()?.wait_until();
        Ok(until.map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64()))
    }

    /// The figures of the session.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.session()?.stats();
        let dict = PyDict::new(py);
        dict.set_item("connections", stats.connections)?;
        dict.set_item("opened", stats.opened)?;
        dict.set_item("depth", stats.depth)?;
        dict.set_item("not_pipelining", stats.not_pipelining)?;
        dict.set_item("repeated", stats.repeated)?;
        dict.set_item("jobs", stats.jobs)?;
        dict.set_item("queued", stats.queued)?;
        dict.set_item("in_flight", stats.in_flight)?;
        dict.set_item("budget", stats.budget)?;
        dict.set_item("held", stats.held)?;
        Ok(dict)
    }

    /// Ends all requests, and closes all connections.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.session()?;
        py.detach(|| session.close());
        Ok(())
    }

    /// The origin, such as `https://example.org`.
    #[getter]
    fn origin(&self) -> PyResult<String> {
        Ok(self.session()?.origin().to_string())
    }
}
