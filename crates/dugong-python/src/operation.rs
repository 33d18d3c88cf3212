//! The iterators that the `co_` methods return, which can be awaited, too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};
use pyo3::{PyTraverseError, intern};

use crate::errors;
use crate::link::Driver;
use crate::need::{Need, Waitable};
use crate::state::HTTPConnection;
use crate::task::{Step, Task, limit};
use crate::wait::Patience;
use crate::watch::{Hold, is_loaded};

/// The result of a `co_` method: an iterator that yields `PollNeeded` where the regular method would wait.
///
/// Drive it by `next`, `send(None)`, `for` or `yield from`. `StopIteration` has its value. It does nothing before the first
/// `next`. You may resume it early: then it tries again, and yields again if necessary. If you close or drop it, the next call
/// goes on where it was, and nothing that was sent or read is lost.
///
/// You can also await it under asyncio and trio. The objects that it yields to a task of asyncio are also like futures.
#[pyclass(frozen, weakref, module = "dugong._dugong")]
pub(crate) struct Operation {
    /// The name of the method that has made it.
    name: &'static str,
    /// The process that it belongs to: a forked child does not run it.
    process: u32,
    state: Mutex<State>,
    /// Whether an event loop runs it, which has other tasks as well.
    awaited: AtomicBool,
}

enum State {
    Suspended(Running),
    /// Another thread makes a step, or this thread is called back by one.
    Active,
    Over,
}

struct Running {
    connection: Py<HTTPConnection>,
    task: Box<dyn Task>,
    /// The time since it last made progress.
    patience: Patience,
    /// The need that it has yielded last.
    waited_for: Option<Need>,
    /// Whether a step was made.
    begun: bool,
}

impl Operation {
    pub(crate) fn new(connection: &Bound<'_, HTTPConnection>, name: &'static str, task: impl Task + 'static) -> Self {
        let (connection, patience) = (connection.clone().unbind(), Patience::default());
        let running = Running { connection, task: Box::new(task), patience, waited_for: None, begun: false };
        Operation {
            name,
            process: std::process::id(),
            state: Mutex::new(State::Suspended(running)),
            awaited: AtomicBool::new(false),
        }
    }

    /// Takes the task out to use it; `None` if it is over.
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

    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.take()?;
        self.put_back(State::Over);
        if let Some(mut running) = running {
            running.task.interrupted(running.connection.bind(py));
        }
        Ok(())
    }

    /// Warns that a call of a `co_` method did nothing, because its result was dropped.
    fn warn_of_idleness(&self, py: Python<'_>) {
        if self.process == std::process::id() {
            let name = self.name;
            let text = format!("{name}() was never awaited, iterated or closed, so that it did nothing");
            errors::warn::<PyRuntimeWarning>(py, &text);
        }
    }

    fn put_back(&self, state: State) {
        // Dropping the old state may run Python code, so the lock must be free then.
        let before = std::mem::replace(&mut *self.state.lock(), state);
        drop(before);
    }
}

/// An iterator that is dropped ends as if it had been closed.
impl Drop for Operation {
    fn drop(&mut self) {
        let State::Suspended(mut running) = std::mem::replace(self.state.get_mut(), State::Over) else { return };
        // After the end of the interpreter, nothing is left to do.
        let _ = Python::try_attach(|py| {
            running.task.interrupted(running.connection.bind(py));
            if !running.begun && !self.awaited.load(Ordering::Relaxed) {
                self.warn_of_idleness(py);
            }
        });
    }
}

#[pymethods]
impl Operation {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // While it runs, it is reachable anyway.
        match self.state.try_lock().as_deref() {
            Some(State::Suspended(running)) => {
                visit.call(&running.connection)?;
                running.task.traverse(&visit)
            }
            _ => Ok(()),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        let is_idle = matches!(&*self.state.lock(), State::Suspended(Running { begun: false, .. }));
        self.put_back(State::Over);
        if is_idle && !self.awaited.load(Ordering::Relaxed) {
            self.warn_of_idleness(py);
        }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (state, connection) = match &*self.state.lock() {
            State::Suspended(running) => {
                let state = if running.begun { "suspended" } else { "not begun" };
                (state, Some(running.connection.clone_ref(py)))
            }
            State::Active => ("running", None),
            State::Over => ("over", None),
        };
        let of = connection.map(|connection| format!(" of {}", connection.get().description(py))).unwrap_or_default();
        format!("<{}(){of}: {state}>", self.name)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(mut running) = self.take()? else { return Err(PyStopIteration::new_err(())) };
        let stepped = running.step(py, self.awaited.load(Ordering::Relaxed));
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

    /// Resume it, like `next`. *value* has to be None.
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
        self.end(py)?;
        Err(PyErr::from_value(exception))
    }

    /// End it. It does not undo what it has done so far.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py)
    }

    /// Returns the iterator that suits the running event loop.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if matches!(*slf.get().state.lock(), State::Over) {
            return Err(PyRuntimeError::new_err("what has ended cannot be awaited; call the method again"));
        }
        if slf.get().awaited.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("this is being awaited already; call the method again"));
        }
        if is_loaded(py, intern!(py, "trio"))? {
            let driver = py.import(intern!(py, "dugong._trio"))?;
            if driver.call_method0(intern!(py, "is_running"))?.is_truthy()? {
                return driver.call_method1(intern!(py, "run"), (slf,))?.call_method0(intern!(py, "__await__"));
            }
        }
        Ok(slf.clone().into_any())
    }
}

impl Running {
    /// Makes steps until it has to wait. The result is a `PollNeeded`, or the value as the inner `Err`. An awaited one also yields
    /// None, to let other tasks of the loop run.
    fn step(&mut self, py: Python<'_>, awaited: bool) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        let connection = self.connection.bind(py);
        let is_first = !std::mem::replace(&mut self.begun, true);
        if awaited && is_first {
            self.task.driven_by(Driver::Await);
            if connection.get().link().is_some_and(|link| link.is_yield_due()) {
                return Ok(Ok(py.None()));
            }
        }
        if let Some(need) = self.waited_for.take() {
            self.patience.before_step(&need, connection.get().limit());
        }
        loop {
            let need = match self.task.step(connection)? {
                Step::Done(value) => return Ok(Err(value)),
                Step::Turn if awaited => return Ok(Ok(py.None())),
                Step::Turn => continue,
                Step::Needs(need) => need,
            };
            let left = self.patience.left(&need, limit(connection, &need)?);
            if left == Some(Duration::ZERO) {
                self.patience.renew();
                self.task.timed_out(connection)?;
                continue;
            }
            let poll_needed = poll_needed(py, &need)?;
            if let Some(most) = need.at_most(left) {
                // Tells the driver how long it may wait: see `AioFuture`.
                poll_needed.setattr(intern!(py, "_timeout"), most.as_secs_f64())?;
                if need.may_change {
                    poll_needed.setattr(intern!(py, "_may_change"), true)?;
                }
            }
            self.waited_for = Some(need);
            return Ok(Ok(poll_needed.unbind()));
        }
    }
}

/// `PollNeeded(fd, mask)`, or the subclass that tasks of asyncio can wait for.
fn poll_needed<'py>(py: Python<'py>, need: &Need) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static AWAITED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let is_in_task = is_loaded(py, intern!(py, "asyncio"))? && is_in_task(py)?;
    let class = match is_in_task {
        true => AWAITED.import(py, "dugong._asyncio", "Awaited")?,
        false => CLASS.import(py, "dugong", "PollNeeded")?,
    };
    let tuple = py.get_type::<PyTuple>();
    // This leaves out the constructor of the class, which would only pack the two.
    let poll_needed = tuple.call_method1(intern!(py, "__new__"), (class, (need.on.number(), need.mask())))?;
    if is_in_task
        && need.interest.reads()
        && let Waitable::Transport(transport) = &need.on
    {
        poll_needed.setattr(intern!(py, "_hold"), Hold::new(transport))?;
    }
    Ok(poll_needed)
}

/// Whether a task of asyncio makes this step. The module has to be imported.
fn is_in_task(py: Python<'_>) -> PyResult<bool> {
    static ASYNCIO: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = RUNNING_LOOP.import(py, "asyncio", "_get_running_loop")?.call0()?;
    if running.is_none() {
        return Ok(false);
    }
    // A program may have replaced this function, so it is looked up each time.
    let asyncio = ASYNCIO.get_or_try_init(py, || py.import("asyncio").map(Bound::unbind))?.bind(py);
    Ok(!asyncio.call_method1(intern!(py, "current_task"), (running,))?.is_none())
}
