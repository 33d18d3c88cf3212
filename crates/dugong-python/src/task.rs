//! Tasks: methods that work in steps.

use std::time::Duration;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::errors::{ConnectionTimedOut, state_error};
use crate::link::Driver;
use crate::need::{Need, Waitable};
use crate::state::HTTPConnection;
use crate::wait::{Patience, block};

/// The work of a method. Its state is in the connection, so that the next task goes on where a dropped one was.
pub(crate) trait Task: Send {
    /// Goes on as far as it can without waiting. The first step checks the arguments and the state.
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step>;

    /// Shows the collector the objects that it holds, if they can be part of a cycle.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let _ = visit;
        Ok(())
    }

    /// Notes, before the first step, what makes the steps, unless it is an iterator's caller.
    fn driven_by(&mut self, driver: Driver) {
        let _ = driver;
    }

    /// Notes that it will not go on, because waiting was interrupted or cancelled.
    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        let _ = connection;
    }

    /// Notes that a wait has timed out. The result is an error, or `Ok` if it can try something else.
    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        let _ = connection;
        Err(ConnectionTimedOut::new_err(()))
    }
}

/// The result of a step.
pub(crate) enum Step {
    /// The value that the method returns.
    Done(Py<PyAny>),
    /// It cannot go on until then.
    Needs(Need),
    /// It can go on, but other tasks should run first.
    Turn,
}

impl Step {
    /// The result of a method that returns None.
    pub(crate) fn done(py: Python<'_>) -> PyResult<Step> {
        Ok(Step::Done(py.None()))
    }
}

/// The limit of a wait.
pub(crate) fn limit(connection: &Bound<'_, HTTPConnection>, need: &Need) -> PyResult<Option<Duration>> {
    match &need.on {
        Waitable::Transport(_) | Waitable::Arrival(_) => Ok(connection.get().limit()),
        Waitable::Socket(_) | Waitable::Wrapped(..) | Waitable::Attempts(_) | Waitable::Name(_) => {
            connection.get().connect_limit(connection.py())
        }
    }
}

/// Runs a task to its end. It waits with the GIL released, and each time no longer than the `timeout` of the connection.
pub(crate) fn run(connection: &Bound<'_, HTTPConnection>, task: &mut dyn Task) -> PyResult<Py<PyAny>> {
    let mut patience = Patience::default();
    task.driven_by(Driver::Call);
    loop {
        match task.step(connection)? {
            Step::Done(value) => return Ok(value),
            Step::Turn => {}
            // An iterator of this thread may be connecting, so waiting could take forever.
            Step::Needs(Need { on: Waitable::Arrival(_), .. }) => return state_error("no response is pending"),
            Step::Needs(need) => {
                let left = patience.left(&need, limit(connection, &need)?);
                if left == Some(Duration::ZERO) {
                    patience.renew();
                    task.timed_out(connection)?;
                    continue;
                }
                match block(connection.py(), &need, need.at_most(left)) {
                    Ok(true) => patience.renew(),
                    Ok(false) => patience.before_step(&need, connection.get().limit()),
                    Err(error) => {
                        task.interrupted(connection);
                        return Err(error);
                    }
                }
            }
        }
    }
}
