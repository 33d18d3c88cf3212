//! One connection to a server, from connecting to closing: the state that the methods of `HTTPConnection` share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use dugong_http::driver::{Duplex, Receiving, Sending, Shared};
use dugong_http::{CloseReason, Error, Malformed, Requests, Sent};
use parking_lot::ReentrantMutex;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyString, PyTuple};
use pyo3::{PyTraverseError, intern};

use crate::errors::{self, state_error};
use crate::head::HTTPResponse;
use crate::target::Target;
use crate::watch;
use crate::wire::Transport;

/// One connection. It outlives its transport: after `disconnect` it knows which requests were not answered.
pub(crate) struct Link {
    /// The server that it leads to. A request for that server leaves `Host` to the engine.
    pub(crate) target: Arc<Target>,
    closed: AtomicBool,
    /// Locked for one step at a time, and never while a thread waits. The lock lets the same thread in again, so that code that
    /// a step calls back gets an error from the `RefCell` instead of a deadlock.
    state: ReentrantMutex<RefCell<State>>,
    /// How many operations send, including those that wait or are suspended.
    senders: AtomicUsize,
    /// How many operations read, in the lower bits, and the [number](thread_number) of the thread that has read last.
    readers: AtomicU64,
    /// How many requests have no complete response.
    due: AtomicUsize,
    /// Whether `State::current` is set.
    is_in_body: AtomicBool,
    /// A `write` was interrupted after some of its bytes had gone out. The next use of the state tells the engine.
    body_truncated: AtomicBool,
    /// The reader of a body knows that `disconnect` has cut it.
    reported: AtomicBool,
    /// After the body was cut, another thread than its reader's has read the head of a later response.
    pub(crate) superseded: AtomicBool,
    /// How many steps have transferred something since an operation last had to wait.
    unbroken_steps: AtomicU32,
    /// The process that made it: a forked child only has a copy of the descriptor.
    process: u32,
    /// Whether the logger is enabled.
    pub(crate) is_logged: bool,
}

/// The engine of a connection, and what Python has to know beside it.
pub(crate) struct State {
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) shared: Shared,
    /// The number of the request whose response has a body that was not read to its reported end (statement 11.3).
    pub(crate) current: Option<u64>,
    /// The response with that body: it gets the trailers.
    pub(crate) response: Option<Py<HTTPResponse>>,
    /// The caller was told that the server sent something that cannot be read.
    pub(crate) is_unreadable: bool,
    asked: Asked,
}

/// The sides of a connection that a step may use. The other side belongs to another operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sides {
    Sender,
    Receiver,
    Both,
}

impl Sides {
    pub(crate) fn send(self) -> bool {
        self != Sides::Receiver
    }

    pub(crate) fn receive(self) -> bool {
        self != Sides::Sender
    }
}

/// Requests whose responses were not read to their reported end, with method and path as they were passed.
#[derive(Default)]
struct Asked {
    /// The number of the first in the list.
    first: u64,
    list: VecDeque<Request>,
    /// The number that the next request had when the end of the last body was reported.
    at_end: u64,
}

type Request = (Py<PyString>, Py<PyString>);

impl Asked {
    fn next(&self) -> u64 {
        self.first + self.list.len() as u64
    }
}

impl State {
    /// The engine, with the sides that the caller may use.
    pub(crate) fn duplex(&mut self, sides: Sides) -> Duplex<'_> {
        let sending = if sides.send() { Some(&mut self.sending) } else { None };
        let receiving = if sides.receive() { Some(&mut self.receiving) } else { None };
        Duplex::of_halves(sending, receiving, &mut self.shared)
    }

    /// Whether the caller has to write more of the last request's body. Content that was given with the request does not count.
    pub(crate) fn is_owing(&self) -> bool {
        let half = self.sending.half();
        (half.owes_content() && self.sending.upload_left() == 0) || half.is_discarding()
    }

    /// Whether the engine has delivered all content of the current response.
    pub(crate) fn is_at_end(&self) -> bool {
        self.current.is_none_or(|number| self.receiving.half().completed() > number)
    }

    /// The error by which the received bytes ended the connection, if they did.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        // A failure always comes with a reason to close.
        self.shared.queue_mut().close_reason()?;
        if self.shared.is_cut() { None } else { self.shared.failure() }
    }

    /// Whether nothing more may be sent, because of a response or because the connection has failed.
    pub(crate) fn is_sending_over(&mut self) -> bool {
        Duplex::of_halves(None, None, &mut self.shared).is_sending_over()
    }

    /// Drops the rest of the content that was announced.
    pub(crate) fn give_up_content(&mut self) {
        self.sending.give_up_content(self.shared.queue_mut());
    }

    /// The oldest request, as it was passed.
    pub(crate) fn oldest(&self, py: Python<'_>) -> Option<Request> {
        self.asked.list.front().map(|(method, path)| (method.clone_ref(py), path.clone_ref(py)))
    }

    /// The requests without a complete answer, as `ConnectionClosed.outcomes` has them.
    fn outcomes<'py>(&self, py: Python<'py>, requests: &Requests) -> PyResult<Bound<'py, PyTuple>> {
        let entries: Vec<_> = requests
            .unanswered
            .iter()
            .filter_map(|request| {
                let index = usize::try_from(request.number.checked_sub(self.asked.first)?).ok()?;
                let (method, path) = self.asked.list.get(index)?;
                let sent = match request.sent {
                    Sent::Nothing => intern!(py, "nothing"),
                    Sent::Partly => intern!(py, "partly"),
                    _ => intern!(py, "whole"),
                };
                let (begun, is_safe) = (request.answer_begun, request.is_safe_to_retry());
                Some((method.clone_ref(py), path.clone_ref(py), sent.clone(), begun, is_safe))
            })
            .collect();
        PyTuple::new(py, entries)
    }

    /// `ConnectionClosed` with a text, and the requests that were not answered.
    pub(crate) fn lost(&self, py: Python<'_>, text: &str) -> PyErr {
        match self.outcomes(py, &self.shared.requests()) {
            Ok(list) => errors::connection_closed(py, text, list),
            Err(error) => error,
        }
    }

    /// `ConnectionClosed`, because `disconnect` was called.
    pub(crate) fn gone(&self, py: Python<'_>) -> PyErr {
        self.lost(py, DISCONNECTED)
    }

    /// Releases buffers that are not needed until the next step: of many connections, most only wait.
    pub(crate) fn release_buffers(&mut self, sides: Sides) {
        if sides.send() {
            self.sending.release_idle_buffer();
        }
        let half = self.receiving.half();
        if sides.receive() && half.unconsumed().is_empty() && !half.is_in_content() {
            self.receiving.release_idle_buffer();
        }
    }
}

const DISCONNECTED: &str = "the connection was closed by disconnect()";

impl Link {
    pub(crate) fn new(target: Arc<Target>, sending: Sending, receiving: Receiving, is_logged: bool) -> Self {
        let state = State {
            sending,
            receiving,
            shared: Shared::default(),
            current: None,
            response: None,
            is_unreadable: false,
            asked: Asked::default(),
        };
        Link {
            target,
            closed: AtomicBool::new(false),
            state: ReentrantMutex::new(RefCell::new(state)),
            senders: AtomicUsize::new(0),
            readers: AtomicU64::new(0),
            due: AtomicUsize::new(0),
            is_in_body: AtomicBool::new(false),
            body_truncated: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            unbroken_steps: AtomicU32::new(0),
            process: std::process::id(),
            is_logged,
        }
    }

    /// Uses the state. Fails with `StateError` inside of another use by the same thread.
    pub(crate) fn with<T>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let lock = self.state.lock_py_attached(py);
        let state = lock.try_borrow_mut();
        let error = "the connection is used by code that is called while it sends or reads";
        let mut state = state.map_err(|_| errors::StateError::new_err(error))?;
        self.cut_if_closed(&mut state);
        if self.body_truncated.load(Ordering::Acquire) {
            self.body_truncated.store(false, Ordering::Release);
            state.shared.queue_mut().interrupt_content();
        }
        work(&mut state)
    }

    /// What `disconnect` does to the state. It cannot do that while a step is made.
    fn cut_if_closed(&self, state: &mut State) {
        if self.is_closed() && !state.shared.is_cut() {
            state.shared.cut(io::ErrorKind::ConnectionAborted, CloseReason::ClientSaidClose);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes the connection, and tells whether it was open. Waits for no lock. The first call gets the transport.
    pub(crate) fn disconnect(&self, py: Python<'_>, transport: Option<Arc<Transport>>) -> bool {
        let was_open = !self.closed.swap(true, Ordering::AcqRel);
        if let Some(lock) = self.state.try_lock()
            && let Ok(mut state) = lock.try_borrow_mut()
        {
            self.cut_if_closed(&mut state);
        }
        if let Some(transport) = transport
            && self.is_of_this_process()
        {
            if Arc::strong_count(&transport) > 1 {
                // Without this, the loop lets go a little later.
                let _ = watch::stop_watching(py, transport.number());
            }
            transport.shut_down(py);
            if Arc::strong_count(&transport) > 1 {
                // The descriptor stays open until the last operation lets go. Without this, the server could block until then.
                transport.discard_received();
            }
        }
        was_open
    }

    /// Whether a response can be read: one is due, or will be when the rest of its request has gone out. If `send_request` was
    /// cancelled, the reader sends the rest.
    pub(crate) fn is_response_due(&self, state: &mut State) -> bool {
        state.shared.queue_mut().is_response_due()
            || (!self.has_senders() && state.sending.upload_left() > 0 && state.sending.half().owes_content())
    }

    /// Notes a request that the engine has taken.
    pub(crate) fn note_request(&self, state: &mut State, method: Py<PyString>, path: Py<PyString>) {
        state.asked.list.push_back((method, path));
        self.due.store(state.asked.list.len(), Ordering::Relaxed);
    }

    /// Forgets the last request, which was taken back. Drop the result when the state is free.
    #[must_use]
    pub(crate) fn forget_request(&self, state: &mut State) -> Option<Request> {
        let last = state.asked.list.pop_back();
        state.asked.at_end = state.asked.at_end.min(state.asked.next());
        self.due.store(state.asked.list.len(), Ordering::Relaxed);
        last
    }

    /// Forgets the oldest request, whose response was read. Drop the result when the state is free.
    #[must_use]
    pub(crate) fn note_answer(&self, state: &mut State) -> Option<Request> {
        state.asked.first += 1;
        let answered = state.asked.list.pop_front();
        state.asked.at_end = state.asked.next();
        self.due.store(state.asked.list.len(), Ordering::Relaxed);
        answered
    }

    /// Whether a caller that reads a body now would take the next response, whose head was not read, for one without a body. It
    /// is due, and its request was sent after the end of the last body was reported, or before the first body (statement 13.1).
    pub(crate) fn is_head_unread(&self, state: &mut State) -> bool {
        let is_later = !state.asked.list.is_empty() && state.asked.first >= state.asked.at_end;
        is_later && !self.is_closed() && self.is_response_due(state)
    }

    /// Whether a response has a body that was not read to its reported end.
    pub(crate) fn is_in_body(&self) -> bool {
        self.is_in_body.load(Ordering::Acquire)
    }

    /// Begins or ends the body of a response.
    pub(crate) fn set_current(&self, state: &mut State, current: Option<u64>) {
        state.current = current;
        self.is_in_body.store(current.is_some(), Ordering::Release);
    }

    /// Notes that a `write` was interrupted. This may be called while a step is made.
    pub(crate) fn truncate_body(&self) {
        self.body_truncated.store(true, Ordering::Release);
    }

    /// How many requests have no response that was read to its end.
    pub(crate) fn due(&self) -> usize {
        self.due.load(Ordering::Relaxed)
    }

    /// Frees the memory that many outstanding requests have needed.
    pub(crate) fn shrink(&self, state: &mut State) {
        state.shared.queue_mut().shrink();
        state.asked.list.shrink_to_fit();
    }

    /// Whether it was made in this process, and not in one that has forked this one.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// An error of the engine as an exception.
    pub(crate) fn exception(&self, py: Python<'_>, state: &mut State, error: Error) -> PyErr {
        if self.is_closed() {
            return state.gone(py);
        }
        state.is_unreadable |= errors::is_unreadable(&error);
        if let (Error::Remote { what: Malformed::EarlyResponse, .. }, Some((method, path))) = (&error, state.oldest(py)) {
            return errors::InvalidResponse::new_err(format!("{error} ({method} {path})"));
        }
        errors::exception(py, error, |requests| state.outcomes(py, requests))
    }

    /// `ConnectionClosed`, because `disconnect` was called.
    pub(crate) fn gone(&self, py: Python<'_>) -> PyErr {
        match self.with(py, |state| Ok(state.gone(py))) {
            Ok(error) => error,
            // Called back by a step.
            Err(_) => errors::ConnectionClosed::new_err(DISCONNECTED),
        }
    }

    /// The same for the reader of a body.
    pub(crate) fn body_gone(&self, py: Python<'_>, state: &State) -> PyErr {
        self.reported.store(true, Ordering::Release);
        state.gone(py)
    }

    /// Whether the reader of a body knows that `disconnect` has cut it.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire)
    }

    /// Counts one more operation that sends.
    pub(crate) fn begin_to_send(&self) {
        self.senders.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end_sending(&self) {
        self.senders.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn has_senders(&self) -> bool {
        self.senders.load(Ordering::Acquire) > 0
    }

    /// Counts one more operation that reads. Fails with `StateError` if another thread reads, or another operation of this thread
    /// that would wait in vain if this one took its data (statement 20.1). Iterators take turns, and one may have been abandoned.
    /// The event loop itself refuses the second of two tasks that wait.
    pub(crate) fn begin_to_read(&self, driver: Driver) -> PyResult<()> {
        let here = thread_number();
        let begun = self.readers.fetch_update(Ordering::AcqRel, Ordering::Acquire, |readers| {
            let may_share = || readers >> READER_BITS == here && (driver == Driver::Await || readers & WAITING == 0);
            (readers & READERS == 0 || may_share()).then_some(here << READER_BITS | ((readers & READERS) + driver.weight()))
        });
        match begun {
            Ok(_) => Ok(()),
            Err(readers) if readers >> READER_BITS == here => {
                state_error("another call or task of this thread is reading from this connection; let it end first")
            }
            Err(_) => state_error("another thread is reading from this connection"),
        }
    }

    pub(crate) fn end_reading(&self, driver: Driver) {
        self.readers.fetch_sub(driver.weight(), Ordering::AcqRel);
    }

    pub(crate) fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) & READERS > 0
    }

    /// Whether this thread has read last.
    pub(crate) fn was_read_here(&self) -> bool {
        self.readers.load(Ordering::Acquire) >> READER_BITS == thread_number()
    }

    /// Notes a step that has transferred something.
    pub(crate) fn note_step(&self) {
        self.unbroken_steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an operation has to wait.
    pub(crate) fn note_wait(&self) {
        self.unbroken_steps.store(0, Ordering::Relaxed);
    }

    /// Whether so many steps were made without a wait that other tasks have to run first; if so, counts anew.
    pub(crate) fn is_yield_due(&self) -> bool {
        let is_due = self.unbroken_steps.load(Ordering::Relaxed) >= YIELD_BUDGET;
        if is_due {
            self.note_wait();
        }
        is_due
    }

    /// Shows the collector the objects that it holds. In a step they are reachable anyway.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(lock) = self.state.try_lock()
            && let Ok(state) = lock.try_borrow()
        {
            for (method, path) in &state.asked.list {
                visit.call(method)?;
                visit.call(path)?;
            }
            if let Some(response) = &state.response {
                visit.call(response)?;
            }
        }
        // Not the TLS object: if the collector saw it, it could end it before we have sent close_notify and closed it.
        Ok(())
    }
}

/// What makes the steps of an operation.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Driver {
    /// A regular method, which returns when the operation is over.
    Call,
    /// An event loop.
    Await,
    /// The caller of an iterator, who may abandon it.
    #[default]
    Iterator,
}

impl Driver {
    /// What it adds to `Link::readers`.
    fn weight(self) -> u64 {
        if self == Driver::Iterator { 1 } else { 1 + (1 << ALL_BITS) }
    }
}

/// How many bits of `Link::readers` count operations: the lower ones all of them, the upper ones those that are not iterators.
const READER_BITS: u32 = 32;
const ALL_BITS: u32 = 16;
const READERS: u64 = (1 << READER_BITS) - 1;
const WAITING: u64 = READERS >> ALL_BITS << ALL_BITS;

/// A number that no other thread has, nor has had.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static HERE: Cell<u64> = const { Cell::new(0) };
    }
    HERE.with(|here| {
        if here.get() == 0 {
            here.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        here.get()
    })
}

/// After how many steps without a wait other tasks run. A step may be small.
const YIELD_BUDGET: u32 = 512;
