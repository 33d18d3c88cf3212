//! The iterators that the `co_` methods return.

use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyStopIteration, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use pyo3::{PyTraverseError, intern};

use crate::connection::HTTPConnection;
use crate::task::{Need, Patience, Step, Task};

/// What a `co_` method does, as an iterator: it yields `PollNeeded` where the regular method would wait.
///
/// It can be driven by `next`, `send(None)`, `for` and `yield from`; its value is that of `StopIteration`. Nothing happens
/// before the first `next`. It may be resumed early, and then tries and yields again. If it is closed or dropped, the
/// connection goes on where it was: what was sent or read is not lost for the next call.
#[pyclass(frozen, weakref, module = "dugong._dugong")]
pub(crate) struct Operation {
    state: Mutex<State>,
}

enum State {
    Suspended(Running),
    /// A step is being made; by another thread, or by code that the step calls.
    Active,
    Over,
}

struct Running {
    connection: Py<HTTPConnection>,
    task: Box<dyn Task>,
    /// Since when nothing was transferred.
    patience: Patience,
}

impl Operation {
    pub(crate) fn new(connection: &Bound<'_, HTTPConnection>, task: impl Task + 'static) -> Self {
        let running = Running { connection: connection.clone().unbind(), task: Box::new(task), patience: Patience::default() };
        Operation { state: Mutex::new(State::Suspended(running)) }
    }

    /// Takes the task out, for as long as something is done with it; `None` if it is over.
    fn take(&self) -> PyResult<Option<Running>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Active) {
            State::Suspended(running) => Ok(Some(running)),
            State::Active => Err(PyValueError::new_err("the iterator is running already")),
            State::Over => {
                *state = State::Over;
                Ok(None)
            }
        }
    }

    fn put_back(&self, state: State) {
        // What was there before may call Python when it goes.
        let before = std::mem::replace(&mut *self.state.lock(), state);
        drop(before);
    }
}

#[pymethods]
impl Operation {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // If it is running, it is reachable anyway.
        match self.state.try_lock().as_deref() {
            Some(State::Suspended(running)) => {
                visit.call(&running.connection)?;
                running.task.traverse(&visit)
            }
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.put_back(State::Over);
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(mut running) = self.take()? else { return Err(PyStopIteration::new_err(())) };
        let stepped = running.step(py);
        match stepped {
            Ok(Ok(need)) => {
                self.put_back(State::Suspended(running));
                Ok(need)
            }
            Ok(Err(value)) => {
                self.put_back(State::Over);
                Err(PyStopIteration::new_err((value,)))
            }
            Err(error) => {
                self.put_back(State::Over);
                Err(error)
            }
        }
    }

    /// Resume it, like `next`; *value* has to be None.
    #[pyo3(signature = (value, /))]
    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if value.is_none() { self.__next__(py) } else { Err(PyTypeError::new_err("only None can be sent to this iterator")) }
    }

    /// End it, and raise the given exception.
    #[pyo3(signature = (typ, val=None, tb=None, /))]
    fn throw(
        &self,
        typ: &Bound<'_, PyAny>,
        val: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = typ.py();
        let exception = match typ.cast::<PyType>() {
            Err(_) => typ.clone(),
            Ok(class) => match val {
                Some(value) if value.is_instance(class)? => value.clone(),
                Some(value) if value.is_instance_of::<PyTuple>() => class.call1(value.cast::<PyTuple>()?)?,
                Some(value) => class.call1((value,))?,
                None => class.call0()?,
            },
        };
        if let Some(traceback) = tb {
            exception.call_method1(intern!(py, "with_traceback"), (traceback,))?;
        }
        self.close()?;
        Err(PyErr::from_value(exception))
    }

    /// End it. What it has done so far stays done.
    fn close(&self) -> PyResult<()> {
        let running = self.take()?;
        self.put_back(State::Over);
        drop(running);
        Ok(())
    }
}

impl Running {
    /// What it needs, as a `PollNeeded`; or its value.
    fn step(&mut self, py: Python<'_>) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        let connection = self.connection.bind(py);
        loop {
            let need = match self.task.step(connection)? {
                Step::Done(value) => return Ok(Err(value)),
                Step::Needs(need) => need,
            };
            let left = self.patience.left(&need, connection.get().limit());
            if left == Some(Duration::ZERO) {
                self.patience.renew();
                self.task.timed_out(connection)?;
                continue;
            }
            let poll_needed = poll_needed(py, &need)?;
            if let Some(most) = need.at_most(left) {
                // For drivers that can wait no longer than that: see `AioFuture`.
                poll_needed.setattr(intern!(py, "_timeout"), most.as_secs_f64())?;
            }
            return Ok(Ok(poll_needed.unbind()));
        }
    }
}

/// `PollNeeded(fd, mask)`.
fn poll_needed<'py>(py: Python<'py>, need: &Need) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    const POLLIN: u8 = 1;
    const POLLOUT: u8 = 4;
    let mask = if need.interest.reads() { POLLIN } else { 0 } | if need.interest.writes() { POLLOUT } else { 0 };
    let class = CLASS.import(py, "dugong", "PollNeeded")?;
    let tuple = py.get_type::<PyTuple>();
    // The constructor of the class would only pack the two.
    tuple.call_method1(intern!(py, "__new__"), (class, (need.on.number(), mask)))
}
