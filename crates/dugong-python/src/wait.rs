//! Waits for a regular method.

use std::time::{Duration, Instant};

use dugong_http::driver::wait;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;

use crate::need::Need;

/// The time that a task has been waiting without progress.
#[derive(Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    /// The limit has passed and the descriptor is not ready, so the next step is the last attempt.
    is_last: bool,
}

impl Patience {
    /// The rest of `limit`: zero when it has passed, `None` without a limit.
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

    /// Prepares for a step that has waited for `need`. If the limit has passed and the descriptor is not ready, bytes that the system
    /// takes in this step do not count as progress: it takes some even before it reports that it has room.
    pub(crate) fn before_step(&mut self, need: &Need, limit: Option<Duration>) {
        let has_passed = self.since.zip(limit).is_some_and(|(since, limit)| since.elapsed() >= limit);
        self.is_last = has_passed && matches!(wait(&need.on, need.interest, Some(Instant::now())), Ok(false));
    }

    /// Notes progress.
    pub(crate) fn renew(&mut self) {
        *self = Patience::default();
    }
}

/// Waits for the need of a task; false if `limit` passed first. A signal interrupts the wait if its handler raises.
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
        // A signal that comes before `wait`, or that the system hands to another thread, does not interrupt the wait.
        let look_again = takes_signals.unwrap_or(true).then(|| Instant::now() + LOOK_FOR_SIGNALS);
        let until = deadline.into_iter().chain(look_again).min();
        match py.detach(|| wait(&need.on, need.interest, until)) {
            Ok(true) => {
                // A handler that raises inside of OpenSSL's read ends the connection, because the bytes of that read are lost.
                py.check_signals()?;
                return Ok(true);
            }
            Ok(false) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => return Ok(false),
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if takes_signals.is_none() {
            // Most waits end before they get here.
            takes_signals = Some(is_signal_thread(py)?);
        }
    }
}

/// Whether the program has replaced the functions that wait. Green-thread libraries do that to run other threads meanwhile.
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

/// Whether this may be the thread that runs signal handlers.
pub(crate) fn is_signal_thread(py: Python<'_>) -> PyResult<bool> {
    py.import(intern!(py, "dugong._polling"))?.call_method0(intern!(py, "is_signal_thread"))?.is_truthy()
}

/// How long a signal may go unnoticed if it did not interrupt a wait.
pub(crate) const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);
