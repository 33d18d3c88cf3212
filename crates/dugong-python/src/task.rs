//! What a method does, in steps.

use std::time::Duration;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::errors::{ConnectionTimedOut, state_error};
use crate::need::{Need, Waitable};
use crate::state::HTTPConnection;
use crate::wait::{Patience, block};

/// What a method does. Its state is in the connection; a task that is dropped leaves one that goes on where it was.
pub(crate) trait Task: Send {
    /// Goes on as far as it gets without waiting. The first step checks the arguments and the state.
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step>;

    /// Shows the collector which objects it holds that programs can make cycles with.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let _ = visit;
        Ok(())
    }

    /// An event loop waits for it: it may wait for several things at once. Called before the first step.
    fn awaited(&mut self) {}

    /// It will not go on, since waiting was interrupted or cancelled.
    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        let _ = connection;
    }

    /// What it needs has not come for as long as the timeout allows: an error, or `Ok` if there is something else to try.
    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        let _ = connection;
        Err(ConnectionTimedOut::new_err(()))
    }
}

/// What became of a step.
pub(crate) enum Step {
    /// The value that the method returns.
    Done(Py<PyAny>),
    /// It cannot go on until then.
    Needs(Need),
    /// It can go on, but has done so for long, and others may want to.
    Turn,
}

impl Step {
    /// The method returns None.
    pub(crate) fn done(py: Python<'_>) -> PyResult<Step> {
        Ok(Step::Done(py.None()))
    }
}

/// How long a wait for what is needed may last.
pub(crate) fn limit(connection: &Bound<'_, HTTPConnection>, need: &Need) -> PyResult<Option<Duration>> {
    match &need.on {
        Waitable::Transport(_) | Waitable::Arrival(_) => Ok(connection.get().limit()),
        Waitable::Socket(_) | Waitable::Wrapped(..) | Waitable::Attempts(_) | Waitable::Name(_) => {
            connection.get().connect_limit(connection.py())
        }
    }
}

/// Runs a task to its end, waiting with the GIL released, each time at most as long as the connection's `timeout` says.
pub(crate) fn run(connection: &Bound<'_, HTTPConnection>, task: &mut dyn Task) -> PyResult<Py<PyAny>> {
    let mut patience = Patience::default();
    loop {
        match task.step(connection)? {
            Step::Done(value) => return Ok(value),
            Step::Turn => {}
            // An iterator of this very thread may be making it.
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
