//! What a method does, in steps; and how a regular method waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_http::step::Interest;
use dugong_http::transport::{Socket, wait};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::connect::Arrival;
use crate::connection::HTTPConnection;
use crate::errors::{ConnectionTimedOut, state_error};
use crate::wire::Transport;

/// What a method does. Its state is in the connection; a task that is dropped leaves one that goes on where it was.
pub(crate) trait Task: Send {
    /// Goes on as far as it gets without waiting. The first step checks the arguments and the state.
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step>;

    /// Shows the collector which objects it holds that programs can make cycles with.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let _ = visit;
        Ok(())
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
}

impl Step {
    /// The method returns None.
    pub(crate) fn done(py: Python<'_>) -> PyResult<Step> {
        Ok(Step::Done(py.None()))
    }
}

/// What a task waits for.
pub(crate) struct Need {
    pub(crate) on: Waitable,
    pub(crate) interest: Interest,
    /// Whether bytes were transferred before it had to wait.
    pub(crate) moved: bool,
}

/// A descriptor that stays open as long as somebody waits for it.
pub(crate) enum Waitable {
    Socket(Arc<Socket>),
    Transport(Arc<Transport>),
    /// Our descriptor of a socket, and Python's number of the same socket.
    Descriptor(OwnedFd, RawFd),
    /// A connection with a request, which is being made.
    Arrival(Arc<Arrival>),
}

impl Waitable {
    /// Its number, as Python knows it.
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Waitable::Socket(socket) => socket.as_fd().as_raw_fd(),
            Waitable::Transport(transport) => transport.number(),
            Waitable::Descriptor(_, number) => *number,
            Waitable::Arrival(arrival) => arrival.as_fd().as_raw_fd(),
        }
    }
}

impl AsFd for Waitable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Waitable::Socket(socket) => socket.as_fd(),
            Waitable::Transport(transport) => transport.as_fd(),
            Waitable::Descriptor(descriptor, _) => descriptor.as_fd(),
            Waitable::Arrival(arrival) => arrival.as_fd(),
        }
    }
}

/// Runs a task to its end, waiting with the GIL released, each time at most as long as the connection's `timeout` says.
pub(crate) fn run(connection: &Bound<'_, HTTPConnection>, task: &mut dyn Task) -> PyResult<Py<PyAny>> {
    loop {
        match task.step(connection)? {
            Step::Done(value) => return Ok(value),
            // An iterator of this very thread may be making it.
            Step::Needs(Need { on: Waitable::Arrival(_), .. }) => return state_error("no response is pending"),
            Step::Needs(need) => {
                if !block(connection.py(), &need, connection.get().limit())? {
                    task.timed_out(connection)?;
                }
            }
        }
    }
}

/// Waits for what a task needs; false if `limit` passed before. A signal interrupts it, if its handler raises.
pub(crate) fn block(py: Python<'_>, need: &Need, limit: Option<Duration>) -> PyResult<bool> {
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        match py.detach(|| wait(&need.on, need.interest, deadline)) {
            Ok(ready) => return Ok(ready),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => py.check_signals()?,
            Err(error) => return Err(error.into()),
        }
    }
}
