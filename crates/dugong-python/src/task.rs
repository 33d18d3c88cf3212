//! What a method does, in steps; and how a regular method waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_http::step::Interest;
use dugong_http::transport::{Socket, wait};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;
use pyo3::{PyTraverseError, intern};

use crate::connect::{self, Arrival};
use crate::connection::HTTPConnection;
use crate::errors::{ConnectionTimedOut, state_error};
use crate::race::Attempts;
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

/// What a task waits for.
pub(crate) struct Need {
    pub(crate) on: Waitable,
    pub(crate) interest: Interest,
    /// Whether bytes were transferred before it had to wait.
    pub(crate) moved: bool,
    /// Whether what it has to wait for may become something else, without anything being ready.
    pub(crate) may_change: bool,
}

/// How long a task has been waiting without getting on.
#[derive(Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    /// The limit has passed and the descriptor was not ready: the step that follows is the last attempt.
    is_last: bool,
}

impl Patience {
    /// What is left of `limit`: zero when it has passed, `None` if there is none.
    pub(crate) fn left(&mut self, need: &Need, limit: Option<Duration>) -> Option<Duration> {
        if need.moved && !self.is_last {
            self.renew();
        }
        let Some(limit) = limit else {
            self.renew();
            return None;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        Some(limit.saturating_sub(since.elapsed()))
    }

    /// A step is about to be made that has waited for `need`. If the limit has passed and nothing is ready, what the system takes
    /// in that step is no progress: it says that there is room only when there is much, and takes some bytes before.
    pub(crate) fn before_step(&mut self, need: &Need, limit: Option<Duration>) {
        let has_passed = self.since.zip(limit).is_some_and(|(since, limit)| since.elapsed() >= limit);
        self.is_last = has_passed && matches!(wait(&need.on, need.interest, Some(Instant::now())), Ok(false));
    }

    /// Something has happened.
    pub(crate) fn renew(&mut self) {
        *self = Patience::default();
    }
}

impl Need {
    /// What it waits for, as `select.poll` has it.
    pub(crate) fn mask(&self) -> u8 {
        const POLLIN: u8 = 1;
        const POLLOUT: u8 = 4;
        u8::from(self.interest.reads()) * POLLIN + u8::from(self.interest.writes()) * POLLOUT
    }

    /// How long to wait at most before the task is asked again, if `left` is left of its limit.
    pub(crate) fn at_most(&self, left: Option<Duration>) -> Option<Duration> {
        const LOOK_AGAIN: Duration = Duration::from_millis(500);
        let again = match &self.on {
            Waitable::Attempts(attempts) => attempts.until.map(|until| until.saturating_duration_since(Instant::now())),
            _ => self.may_change.then_some(LOOK_AGAIN),
        };
        left.into_iter().chain(again).min()
    }

    /// How long it may last.
    pub(crate) fn limit(&self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Option<Duration>> {
        match &self.on {
            Waitable::Transport(_) | Waitable::Arrival(_) => Ok(connection.get().limit()),
            Waitable::Socket(_) | Waitable::Wrapped(..) | Waitable::Attempts(_) | Waitable::Name(_) => connect::limit(connection),
        }
    }
}

/// A descriptor that stays open as long as somebody waits for it.
pub(crate) enum Waitable {
    Socket(Arc<Socket>),
    /// Connections that are being made to the addresses of a host.
    Attempts(Attempts),
    Transport(Arc<Transport>),
    /// A socket, and the number of Python's descriptor of the same socket.
    Wrapped(Arc<OwnedFd>, RawFd),
    /// A connection with a request, which is being made.
    Arrival(Arc<Arrival>),
    /// What a thread does, such as looking a name up.
    Name(Arc<UnixStream>),
}

impl Waitable {
    /// Its number, as Python knows it.
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Waitable::Socket(socket) => socket.as_fd().as_raw_fd(),
            Waitable::Attempts(attempts) => attempts.as_fd().as_raw_fd(),
            Waitable::Transport(transport) => transport.number(),
            Waitable::Wrapped(_, number) => *number,
            Waitable::Arrival(arrival) => arrival.as_fd().as_raw_fd(),
            Waitable::Name(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsFd for Waitable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Waitable::Socket(socket) => socket.as_fd(),
            Waitable::Attempts(attempts) => attempts.as_fd(),
            Waitable::Wrapped(descriptor, _) => descriptor.as_fd(),
            Waitable::Transport(transport) => transport.as_fd(),
            Waitable::Arrival(arrival) => arrival.as_fd(),
            Waitable::Name(stream) => stream.as_fd(),
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
                let left = patience.left(&need, need.limit(connection)?);
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

/// Waits for what a task needs; false if `limit` passed before. A signal interrupts it, if its handler raises.
pub(crate) fn block(py: Python<'_>, need: &Need, limit: Option<Duration>) -> PyResult<bool> {
    if is_waiting_replaced(py)? {
        py.check_signals()?;
        let arguments = (need.on.number(), need.mask(), limit.map(|limit| limit.as_secs_f64()));
        return py.import(intern!(py, "dugong._polling"))?.call_method1(intern!(py, "wait"), arguments)?.is_truthy();
    }
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut takes_signals = None;
    loop {
        py.check_signals()?;
        // A signal that comes now does not interrupt the wait, nor does one that the system hands to another thread.
        let look_again = takes_signals.unwrap_or(true).then(|| Instant::now() + LOOK_FOR_SIGNALS);
        let until = deadline.into_iter().chain(look_again).min();
        match py.detach(|| wait(&need.on, need.interest, until)) {
            Ok(true) => return Ok(true),
            Ok(false) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => return Ok(false),
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if takes_signals.is_none() {
            // Most waits end before this is asked.
            takes_signals = Some(is_signal_thread(py)?);
        }
    }
}

/// Whether the program has replaced the functions that wait, as green-thread libraries do: then others run meanwhile.
fn is_waiting_replaced(py: Python<'_>) -> PyResult<bool> {
    static SELECT: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let select = SELECT.get_or_try_init(py, || py.import("select").map(Bound::unbind))?.bind(py);
    for name in [intern!(py, "poll"), intern!(py, "select")] {
        if !select.getattr_opt(name)?.is_some_and(|function| function.is_instance_of::<PyCFunction>()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether this thread may be the one that runs the handlers of signals.
pub(crate) fn is_signal_thread(py: Python<'_>) -> PyResult<bool> {
    py.import(intern!(py, "dugong._polling"))?.call_method0(intern!(py, "is_signal_thread"))?.is_truthy()
}

/// How long a signal may go unnoticed that came when nothing was waiting for it.
pub(crate) const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);
