//! A connection in use: who sends and who reads, and each of their steps.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dugong_http::Error;
use dugong_http::step::{Duplex, Interest};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;

use crate::link::{Link, Receiver, Sender, borrow};
use crate::need::{Need, Waitable};
use crate::wire::{Transport, Wire};

/// What has nothing to send, and is between two responses, needs no buffers: of many connections, most only wait.
fn rest(sender: Option<&mut Sender>, receiver: Option<&mut Receiver>) {
    if let Some(sender) = sender {
        sender.sending.release_idle_buffer();
    }
    if let Some(receiver) = receiver {
        let half = receiver.receiving.half();
        if half.unconsumed().is_empty() && !half.is_in_content() {
            receiver.receiving.release_idle_buffer();
        }
    }
}

/// After how many steps without a wait others have their turn: some megabytes, or some milliseconds.
const LAPS: u32 = 64;

/// What somebody does with a connection, as long as it lasts: waiting and being suspended included.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Send,
    Read,
    Both,
}

/// A link in use. As long as there is one, the descriptor is not closed, so that nobody waits for somebody else's.
pub(crate) struct Grip {
    pub(crate) link: Arc<Link>,
    pub(crate) transport: Arc<Transport>,
    trace: Option<Py<PyAny>>,
    role: Role,
    /// Whether bytes have passed since it last had to wait.
    moved: Cell<bool>,
    laps: Cell<u32>,
}

impl Grip {
    /// Fails with `StateError` for a second thread that wants to read (statement 20.1). Iterators of one thread take turns.
    pub(crate) fn new(link: Arc<Link>, transport: Arc<Transport>, trace: Option<Py<PyAny>>, role: Role) -> PyResult<Self> {
        if role != Role::Send {
            link.begin_to_read()?;
        }
        if role != Role::Read {
            link.senders.fetch_add(1, Ordering::AcqRel);
        }
        Ok(Grip { link, transport, trace, role, moved: Cell::new(false), laps: Cell::new(0) })
    }

    fn wire<'a, 'py>(&'a self, py: Python<'py>) -> Wire<'a, 'py> {
        Wire { py, transport: &self.transport, trace: self.trace.as_ref(), moved: &self.moved }
    }

    /// Makes a step of sending; with the reader's half, if nobody reads.
    pub(crate) fn send<'py, T>(
        &self,
        py: Python<'py>,
        step: impl FnOnce(&mut Sender, Option<&mut Receiver>, &mut Wire<'_, 'py>) -> PyResult<T>,
    ) -> PyResult<T> {
        let lock = self.link.sender.lock_py_attached(py);
        let mut sender = borrow(&lock)?;
        let nobody_reads = self.link.readers.load(Ordering::Acquire) == 0;
        let other = if nobody_reads { self.link.receiver.try_lock() } else { None };
        let mut receiver = other.as_ref().and_then(|half| half.try_borrow_mut().ok());
        let result = self.counted(|| step(&mut sender, receiver.as_deref_mut(), &mut self.wire(py)));
        rest(Some(&mut sender), receiver.as_deref_mut());
        result
    }

    /// Makes a step of reading; with the sender's half, if nobody sends.
    pub(crate) fn read<'py, T>(
        &self,
        py: Python<'py>,
        step: impl FnOnce(&mut Receiver, Option<&mut Sender>, &mut Wire<'_, 'py>) -> PyResult<T>,
    ) -> PyResult<T> {
        let lock = self.link.receiver.lock_py_attached(py);
        let mut receiver = borrow(&lock)?;
        let nobody_sends = self.link.senders.load(Ordering::Acquire) == 0;
        let other = if nobody_sends { self.link.sender.try_lock() } else { None };
        let mut sender = other.as_ref().and_then(|half| half.try_borrow_mut().ok());
        let result = self.counted(|| step(&mut receiver, sender.as_deref_mut(), &mut self.wire(py)));
        rest(sender.as_deref_mut(), Some(&mut receiver));
        result
    }

    /// Makes a step with both halves, for a grip that is for both.
    pub(crate) fn both<'py, T>(
        &self,
        py: Python<'py>,
        step: impl FnOnce(&mut Sender, &mut Receiver, &mut Wire<'_, 'py>) -> PyResult<T>,
    ) -> PyResult<T> {
        // Whoever holds the other one does not wait for this one.
        let lock = self.link.sender.lock_py_attached(py);
        let mut sender = borrow(&lock)?;
        let other = self.link.receiver.lock_py_attached(py);
        let mut receiver = borrow(&other)?;
        let result = self.counted(|| step(&mut sender, &mut receiver, &mut self.wire(py)));
        rest(Some(&mut sender), Some(&mut receiver));
        result
    }

    fn counted<T>(&self, step: impl FnOnce() -> T) -> T {
        let moved = self.moved.get();
        let result = step();
        // A step that has to wait takes that back.
        if self.moved.get() && !moved {
            self.link.lengthen_spree();
        }
        result
    }

    /// The error by which what was received ended the connection, if so.
    pub(crate) fn failure(&self) -> Option<Error> {
        if self.link.shared.is_cut() {
            return None;
        }
        self.link.shared.failure()
    }

    /// The engine's view of the halves that there are.
    pub(crate) fn duplex<'a>(&'a self, sender: Option<&'a mut Sender>, receiver: Option<&'a mut Receiver>) -> Duplex<'a> {
        let sending = sender.map(|sender| &mut sender.sending);
        let receiving = receiver.map(|receiver| &mut receiver.receiving);
        Duplex::of_halves(sending, receiving, &self.link.shared)
    }

    /// What a step has to wait for.
    pub(crate) fn need(&self, interest: Interest) -> Need {
        // What somebody else reads may be the end of all sending, and then the descriptor says nothing to the sender. When nobody
        // reads any more, the sender has to.
        let may_change = self.role == Role::Send;
        self.link.end_spree();
        Need { on: Waitable::Transport(self.transport.clone()), interest, moved: self.moved.take(), may_change }
    }

    /// What comes now has all the time again.
    pub(crate) fn renew(&self) {
        self.moved.set(true);
    }

    /// Between two steps of many: a signal may want to end them, and other threads may want to run. Whether it is time for
    /// others of the same thread.
    pub(crate) fn pause(&self, py: Python<'_>) -> PyResult<bool> {
        let laps = self.laps.get() + 1;
        self.laps.set(laps % LAPS);
        if laps == LAPS {
            py.detach(|| ());
        }
        py.check_signals()?;
        Ok(laps == LAPS)
    }

    /// Shows the collector what it holds.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.trace.as_ref().map_or(Ok(()), |trace| visit.call(trace))
    }

    /// An error of the engine as an exception.
    pub(crate) fn exception(&self, py: Python<'_>, error: Error) -> PyErr {
        self.link.exception(py, error)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        if self.role != Role::Send {
            self.link.readers.fetch_sub(1, Ordering::AcqRel);
        }
        if self.role != Role::Read {
            self.link.senders.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
