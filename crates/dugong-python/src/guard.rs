//! A connection in use: which operations send and read, and each of their steps.

use std::cell::Cell;
use std::sync::Arc;

use dugong_http::Error;
use dugong_http::driver::Interest;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::link::{Driver, Link, Sides, State};
use crate::need::{Need, Waitable};
use crate::wire::{Transport, Wire};

/// The use that an operation makes of a connection, from its first step to its last, including waits and suspensions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Send,
    Read(Driver),
    Both(Driver),
}

impl Role {
    fn sends(self) -> bool {
        !matches!(self, Role::Read(_))
    }
}

/// A connection in use. The guard keeps its descriptor open, so that no operation waits for another file that got the same number.
pub(crate) struct ConnectionGuard {
    pub(crate) link: Arc<Link>,
    pub(crate) transport: Arc<Transport>,
    trace: Option<Py<PyAny>>,
    role: Role,
    /// Whether bytes were transferred since it last had to wait.
    moved: Cell<bool>,
    /// Steps since other threads last had the chance to run.
    steps: Cell<u32>,
    /// Whether it has waited, and whether it has [deferred](ConnectionGuard::defers) once.
    waited: Cell<bool>,
    deferred: Cell<bool>,
}

impl ConnectionGuard {
    /// Fails with `StateError` for a second operation that wants to read: see [`Link::begin_to_read`].
    pub(crate) fn new(link: Arc<Link>, transport: Arc<Transport>, trace: Option<Py<PyAny>>, role: Role) -> PyResult<Self> {
        if let Role::Read(driver) | Role::Both(driver) = role {
            link.begin_to_read(driver)?;
        }
        if role.sends() {
            link.begin_to_send();
        }
        Ok(ConnectionGuard {
            link,
            transport,
            trace,
            role,
            moved: Cell::new(false),
            steps: Cell::new(0),
            waited: Cell::new(false),
            deferred: Cell::new(false),
        })
    }

    /// Makes a step. It may use the other side as well, if no other operation does.
    pub(crate) fn step<'py, T>(
        &self,
        py: Python<'py>,
        step: impl FnOnce(&mut State, Sides, &mut Wire<'_, 'py>) -> PyResult<T>,
    ) -> PyResult<T> {
        self.link.with(py, |state| {
            let sides = match self.role {
                Role::Send if self.link.has_readers() => Sides::Sender,
                Role::Read(_) if self.link.has_senders() => Sides::Receiver,
                _ => Sides::Both,
            };
            let moved = self.moved.get();
            let mut wire = Wire { py, transport: &self.transport, trace: self.trace.as_ref(), moved: &self.moved };
            let result = step(state, sides, &mut wire);
            // A step that has to wait takes that back.
            if self.moved.get() && !moved {
                self.link.note_step();
            }
            state.release_buffers(sides);
            result
        })
    }

    /// The need of a step.
    pub(crate) fn need(&self, interest: Interest) -> Need {
        // If another operation reads, it may read that nothing more can be sent, which the descriptor does not show to the
        // sender. And if it stops reading, the sender has to.
        let may_change = self.role == Role::Send;
        self.link.note_wait();
        self.waited.set(true);
        Need { on: Waitable::Transport(self.transport.clone()), interest, moved: self.moved.take(), may_change }
    }

    /// Whether a blocked sender should wait once more, although nothing more may be sent. If another thread has read a head whose
    /// content cannot be read, its next call fails, and the sender has to fail with the same error.
    pub(crate) fn defers(&self, state: &mut State) -> bool {
        let is_fault_unreported =
            state.current.is_some() && !state.is_unreadable && state.receiving.half().framing_fault().is_some();
        is_fault_unreported && self.waited.get() && state.is_sending_over() && !self.deferred.replace(true)
    }

    /// Lets the timeout begin anew.
    pub(crate) fn renew(&self) {
        self.moved.set(true);
    }

    /// Between two of many steps, lets signals raise and other threads run. The result is whether it is time for other tasks of
    /// this thread.
    pub(crate) fn pause(&self, py: Python<'_>) -> PyResult<bool> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps % STEPS_PER_TURN);
        if steps == STEPS_PER_TURN {
            py.detach(|| ());
        }
        py.check_signals()?;
        Ok(steps == STEPS_PER_TURN)
    }

    /// Shows the collector the objects that it holds.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.trace.as_ref().map_or(Ok(()), |trace| visit.call(trace))
    }

    /// An error of the engine as an exception.
    pub(crate) fn exception(&self, py: Python<'_>, state: &mut State, error: Error) -> PyErr {
        self.link.exception(py, state, error)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Role::Read(driver) | Role::Both(driver) = self.role {
            self.link.end_reading(driver);
        }
        if self.role.sends() {
            self.link.end_sending();
        }
    }
}

/// After how many steps without a wait other threads and tasks run: some megabytes, or some milliseconds.
const STEPS_PER_TURN: u32 = 64;
