//! `Ticket`: a submitted request of a task.

use bytes::Bytes;
use dugong_session::News;
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::mailbox::Mailbox;
use super::owner::Submitted;
use super::process::OfProcess;

/// A request that a task has submitted. Dropping it gives the request up.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct Ticket(Mutex<Option<State>>);

struct State {
    ticket: OfProcess<dugong_session::Ticket>,
    submitted: Submitted,
    core: Py<PyAny>,
}

impl Ticket {
    pub(crate) fn new(ticket: dugong_session::Ticket, submitted: Submitted, core: Py<PyAny>) -> Self {
        let state = State { ticket: OfProcess::new(ticket), submitted, core };
        Ticket(Mutex::new(Some(state)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let Some(mut state) = self.0.lock().take() else { return Err(PyValueError::new_err("the ticket is over")) };
        let result = work(&mut state);
        *self.0.lock() = Some(state);
        result
    }
}

impl State {
    /// Whether the reply or the error is there; or the iterator whose next piece the session wants.
    fn step(&mut self, py: Python<'_>) -> PyResult<Step> {
        let ticket = self.ticket.get_mut()?;
        loop {
            match ticket.news() {
                News::None => return Ok(Step::Wait),
                News::Over | News::Head => return Ok(Step::Answered),
                news => {
                    if let Some(pieces) = self.submitted.serve_task(py, ticket, &news)? {
                        return Ok(Step::Content(pieces));
                    }
                }
            }
        }
    }
}

enum Step {
    Wait,
    Answered,
    Content(Py<PyAny>),
}

#[pymethods]
impl Ticket {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock().as_deref() {
            Some(Some(state)) => {
                visit.call(&state.core)?;
                state.submitted.traverse(&visit)
            }
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let before = self.0.lock().take();
        drop(before);
    }

    /// Goes on: None if the task has to wait, an asynchronous iterator if the session wants its next piece, or else the end: the
    /// reply or the exception, or with *index* the outcome.
    #[pyo3(signature = (index=None, /))]
    fn poll(&self, py: Python<'_>, index: Option<usize>) -> PyResult<Py<PyAny>> {
        let mut state = match self.0.lock().take() {
            Some(state) => state,
            None => return Err(PyValueError::new_err("the ticket is over")),
        };
        let step = state.step(py);
        if !matches!(step, Ok(Step::Answered)) {
            *self.0.lock() = Some(state);
            return match step? {
                Step::Content(pieces) => Ok(pieces),
                _ => Ok(py.None()),
            };
        }
        let State { ticket, mut submitted, core, .. } = state;
        let Ok(result) = ticket.into_inner()?.take_reply() else { return Err(super::failure::unknown()) };
        match index {
            None => Ok(submitted.result(py, result, &core)?.into_any()),
            Some(index) => Ok(Py::new(py, submitted.outcome(py, index, result, &core)?)?.into_any()),
        }
    }

    /// Gives the session a piece of content.
    #[pyo3(signature = (piece, /))]
    fn give(&self, piece: PyBackedBytes) -> PyResult<()> {
        self.with(|state| {
            state.ticket.get_mut()?.give(Bytes::from_owner(piece));
            Ok(())
        })
    }

    /// Ends the content.
    fn finish(&self) -> PyResult<()> {
        self.with(|state| {
            state.submitted.end_content();
            state.ticket.get_mut()?.finish();
            Ok(())
        })
    }

    /// Ends the request with an exception of the program.
    #[pyo3(signature = (error, /))]
    fn fail(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.with(|state| state.submitted.fail(error.py(), state.ticket.get_mut()?, PyErr::from_value(error.clone())))
    }

    /// Ends the request, of which the outcome is still told.
    fn give_up(&self) -> PyResult<()> {
        self.with(|state| {
            state.submitted.give_up(state.ticket.get_mut()?);
            Ok(())
        })
    }

    /// Tells the session whether the task waits for this one.
    #[pyo3(signature = (awaited, /))]
    fn set_awaited(&self, awaited: bool) -> PyResult<()> {
        self.with(|state| {
            state.ticket.get()?.set_awaited(awaited);
            Ok(())
        })
    }

    /// From now on, the task with this number in the mailbox hears of it.
    #[pyo3(signature = (mailbox, number, /))]
    fn tell(&self, mailbox: &Bound<'_, Mailbox>, number: u64) -> PyResult<()> {
        self.with(|state| {
            state.ticket.get()?.set_waker(&mailbox.get().waker(number));
            Ok(())
        })
    }

    /// Gives the request up.
    fn close(&self) {
        let before = self.0.lock().take();
        drop(before);
    }
}
