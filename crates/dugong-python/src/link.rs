//! One connection to a peer, from connecting to closing: what the methods of `HTTPConnection` share.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use dugong_http::step::{Receiving, Sending, Shared};
use dugong_http::{CloseReason, Error, Malformed, Requests};
use parking_lot::{Mutex, ReentrantMutex};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyString, PyTuple};

use crate::errors::{self, state_error};
use crate::head::HTTPResponse;
use crate::target::Target;
use crate::watch;
use crate::wire::Transport;

/// A half that one thread at a time uses. The lock lets the same thread in again, so that code that is called back gets an error
/// from the `RefCell` instead of waiting for itself.
type Half<T> = ReentrantMutex<RefCell<T>>;

/// One connection. It outlives its transport: after `disconnect` it says what had been going on.
pub(crate) struct Link {
    /// What it leads to: `Host` is left to the engine in requests for that.
    pub(crate) target: Arc<Target>,
    /// Gone after `disconnect`; the descriptor is closed when the last one that waits for it has let go.
    transport: Mutex<Option<Arc<Transport>>>,
    closed: AtomicBool,
    pub(crate) shared: Shared,
    pub(crate) sender: Half<Sender>,
    pub(crate) receiver: Half<Receiver>,
    /// How many are sending and reading, those that wait and suspended iterators included.
    pub(crate) senders: AtomicUsize,
    pub(crate) readers: AtomicUsize,
    /// Requests whose responses have not been read to their reported end.
    asked: Mutex<Asked>,
    /// The last request was answered in place of 100 (Continue): its content must not be sent (statement 10.3).
    pub(crate) refused: AtomicBool,
    /// The wait for 100 (Continue) ended with a timeout: the content may be sent (statement 10.5).
    pub(crate) silent: AtomicBool,
    /// Some of what was to be written went out, and the rest did not: nothing may be sent after it.
    pub(crate) torn: AtomicBool,
    /// The reader of a body was told that `disconnect` has cut it.
    pub(crate) told: AtomicBool,
    /// After it was cut: another thread than the reader's has read the head of a later response.
    pub(crate) superseded: AtomicBool,
    /// The thread that has read last.
    reader: Mutex<Option<ThreadId>>,
    /// The caller was told that what the peer sent cannot be read.
    unreadable: AtomicBool,
    /// The response whose body is being read, which gets the trailers. Only locked for moments, and with the GIL held.
    response: Mutex<Option<Py<HTTPResponse>>>,
    /// How many steps have transferred something since anybody had to wait.
    spree: AtomicU32,
    /// The process that it belongs to: a child has but a copy of the descriptor.
    process: u32,
    /// Whether the logger wants to know what happens.
    pub(crate) is_logged: bool,
}

/// The sender's half.
pub(crate) struct Sender {
    pub(crate) sending: Sending,
    /// The content of a request that is not really sent, since the connection ends.
    pub(crate) in_vain: Option<InVain>,
}

impl Sender {
    /// Whether the caller has to go on with the body of the last request. What was given with it is sent by later steps.
    pub(crate) fn is_owing(&self) -> bool {
        (self.sending.half().owes_content() && self.sending.upload_left() == 0) || self.in_vain.is_some()
    }
}

/// Content that goes nowhere.
#[derive(Clone, Copy)]
pub(crate) enum InVain {
    Left(u64),
    Chunks,
}

/// The reader's half.
pub(crate) struct Receiver {
    pub(crate) receiving: Receiving,
    /// The number of the request whose response's body has not been read to its reported end (statement 11.3).
    pub(crate) current: Option<u64>,
}

impl Receiver {
    /// Whether the engine has given all of the current response's content.
    pub(crate) fn is_at_end(&self) -> bool {
        self.current.is_none_or(|number| self.receiving.half().completed() > number)
    }
}

#[derive(Default)]
struct Asked {
    /// The number of the first in the list.
    first: u64,
    list: VecDeque<(Py<PyString>, Py<PyString>)>,
    /// The number that the next request had when the end of the last body was reported.
    at_end: u64,
}

impl Asked {
    fn next(&self) -> u64 {
        self.first + self.list.len() as u64
    }
}

impl Link {
    pub(crate) fn new(
        transport: Transport,
        target: Arc<Target>,
        sending: Sending,
        receiving: Receiving,
        is_logged: bool,
    ) -> Self {
        Link {
            target,
            transport: Mutex::new(Some(Arc::new(transport))),
            closed: AtomicBool::new(false),
            shared: Shared::default(),
            sender: ReentrantMutex::new(RefCell::new(Sender { sending, in_vain: None })),
            receiver: ReentrantMutex::new(RefCell::new(Receiver { receiving, current: None })),
            senders: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
            asked: Mutex::default(),
            refused: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            torn: AtomicBool::new(false),
            told: AtomicBool::new(false),
            superseded: AtomicBool::new(false),
            reader: Mutex::default(),
            unreadable: AtomicBool::new(false),
            response: Mutex::default(),
            spree: AtomicU32::new(0),
            process: std::process::id(),
            is_logged,
        }
    }

    /// Whether so much was transferred without any wait that it is time for others; if so, it begins anew.
    pub(crate) fn is_on_a_spree(&self) -> bool {
        let is_long = self.spree.load(Ordering::Relaxed) >= SPREE;
        if is_long {
            self.spree.store(0, Ordering::Relaxed);
        }
        is_long
    }

    /// A step has transferred something.
    pub(crate) fn lengthen_spree(&self) {
        self.spree.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody has to wait.
    pub(crate) fn end_spree(&self) {
        self.spree.store(0, Ordering::Relaxed);
    }

    /// Counts one more reader. Fails with `StateError` if another thread reads (statement 20.1).
    pub(crate) fn begin_to_read(&self) -> PyResult<()> {
        let here = thread::current().id();
        let mut reader = self.reader.lock();
        if self.readers.load(Ordering::Acquire) > 0 && *reader != Some(here) {
            return state_error("another thread is reading from this connection");
        }
        *reader = Some(here);
        self.readers.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Remembers the response whose body is being read, or forgets it.
    pub(crate) fn set_response(&self, response: Option<Py<HTTPResponse>>) -> Option<Py<HTTPResponse>> {
        std::mem::replace(&mut *self.response.lock(), response)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn transport(&self) -> Option<Arc<Transport>> {
        self.transport.lock().clone()
    }

    /// Ends it, unless that was done before: takes none of the locks that others may hold for long.
    pub(crate) fn disconnect(&self, py: Python<'_>) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.shared.cut(io::ErrorKind::ConnectionAborted, CloseReason::ClientSaidClose);
        // The lock is let go before Python is called.
        let transport = self.transport.lock().take();
        if let Some(transport) = transport
            && self.is_of_this_process()
        {
            if Arc::strong_count(&transport) > 1 {
                // Without this, the loop lets go a little later.
                let _ = watch::stop_watching(py, transport.number());
            }
            transport.shut_down(py);
            if Arc::strong_count(&transport) > 1 {
                // It is closed when the others let go; until then the peer must not wait for somebody to read.
                transport.discard_received();
            }
        }
        true
    }

    /// Ends both directions if nothing can be sent or read any more. What has arrived can be looked at with `read_raw`.
    pub(crate) fn shut_down_if_over(&self, py: Python<'_>) {
        let is_over = {
            let queue = self.shared.queue();
            queue.is_over() && queue.failure().is_some()
        };
        if is_over && let Some(transport) = self.transport() {
            transport.shut_down(py);
        }
    }

    /// Whether a response can be read: one is due, or will be when the rest of its request has gone out, which is up to the
    /// reader if `send_request` was cancelled.
    pub(crate) fn is_response_due(&self, py: Python<'_>) -> PyResult<bool> {
        if self.shared.queue().is_response_due() {
            return Ok(true);
        }
        let is_on_its_way = |sender: &mut Sender| sender.sending.upload_left() > 0 && sender.sending.half().owes_content();
        Ok(self.senders.load(Ordering::Acquire) == 0 && self.sender(py, is_on_its_way)?)
    }

    /// After many requests, when there are none: gives back the memory for what was outstanding.
    pub(crate) fn shrink(&self) {
        self.shared.queue().shrink();
        self.asked.lock().list.shrink_to_fit();
    }

    /// A request was taken.
    pub(crate) fn ask(&self, method: Py<PyString>, path: Py<PyString>) {
        self.asked.lock().list.push_back((method, path));
    }

    /// The last request was taken back.
    pub(crate) fn ask_no_more(&self) {
        let mut asked = self.asked.lock();
        let last = asked.list.pop_back();
        asked.at_end = asked.at_end.min(asked.next());
        drop(asked);
        drop(last);
    }

    /// Whether reading a body now would take the next response, whose head was not read, for one without a body: it is due, and
    /// its request was sent after the end of the last body had been reported, or before there was a body (statement 13.1).
    pub(crate) fn is_head_unread(&self, py: Python<'_>) -> PyResult<bool> {
        let is_later = {
            let asked = self.asked.lock();
            !asked.list.is_empty() && asked.first >= asked.at_end
        };
        Ok(is_later && !self.is_closed() && self.is_response_due(py)?)
    }

    /// How many requests have no response that was read to its end.
    pub(crate) fn due(&self) -> usize {
        self.asked.lock().list.len()
    }

    /// Whether it was made in this process, and not in one that has forked this one.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// The oldest request: method and path as they were given.
    pub(crate) fn oldest(&self, py: Python<'_>) -> Option<(Py<PyString>, Py<PyString>)> {
        let asked = self.asked.lock();
        asked.list.front().map(|(method, path)| (method.clone_ref(py), path.clone_ref(py)))
    }

    /// The oldest request is done with.
    pub(crate) fn answered(&self) {
        let mut asked = self.asked.lock();
        asked.first += 1;
        let done = asked.list.pop_front();
        asked.at_end = asked.next();
        drop(asked);
        drop(done);
    }

    /// The requests without a complete answer, as `ConnectionClosed.unanswered` has them.
    fn unanswered<'py>(&self, py: Python<'py>, requests: &Requests) -> PyResult<Bound<'py, PyTuple>> {
        let asked = self.asked.lock();
        let entries: Vec<_> = requests
            .unanswered
            .iter()
            .filter_map(|request| {
                let index = usize::try_from(request.number.checked_sub(asked.first)?).ok()?;
                let (method, path) = asked.list.get(index)?;
                Some((method.clone_ref(py), path.clone_ref(py), request.is_safe_to_retry()))
            })
            .collect();
        drop(asked);
        PyTuple::new(py, entries)
    }

    /// An error of the engine as an exception.
    pub(crate) fn exception(&self, py: Python<'_>, error: Error) -> PyErr {
        if self.is_closed() {
            return self.gone(py);
        }
        if errors::is_unreadable(&error) {
            self.unreadable.store(true, Ordering::Release);
        }
        if let (Error::Remote { what: Malformed::EarlyResponse, .. }, Some((method, path))) = (&error, self.oldest(py)) {
            return errors::InvalidResponse::new_err(format!("{error} ({method} {path})"));
        }
        errors::exception(py, error, |requests| self.unanswered(py, requests))
    }

    /// Whether the caller knows that what the peer sent cannot be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Acquire)
    }

    /// `ConnectionClosed`, since `disconnect` was called.
    pub(crate) fn gone(&self, py: Python<'_>) -> PyErr {
        self.lost(py, "the connection was closed by disconnect()")
    }

    /// Whether this thread was the one that has read last.
    pub(crate) fn was_read_here(&self) -> bool {
        *self.reader.lock() == Some(thread::current().id())
    }

    /// The same for the reader of a body.
    pub(crate) fn body_gone(&self, py: Python<'_>) -> PyErr {
        self.told.store(true, Ordering::Release);
        self.gone(py)
    }

    /// `ConnectionClosed` with a text.
    pub(crate) fn lost(&self, py: Python<'_>, text: &str) -> PyErr {
        match self.unanswered(py, &self.shared.requests()) {
            Ok(list) => errors::connection_closed(py, text, list),
            Err(error) => error,
        }
    }

    /// Shows the collector what it holds. Whatever is in use is reachable anyway.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(asked) = self.asked.try_lock() {
            for (method, path) in &asked.list {
                visit.call(method)?;
                visit.call(path)?;
            }
        }
        if let Some(response) = self.response.try_lock().as_deref().and_then(Option::as_ref) {
            visit.call(response)?;
        }
        // Not the TLS object: if the collector saw it, it could end it before we have sent close_notify and closed it.
        Ok(())
    }

    /// Looks at the sender's half, without sending.
    pub(crate) fn sender<T>(&self, py: Python<'_>, look: impl FnOnce(&mut Sender) -> T) -> PyResult<T> {
        let lock = self.sender.lock_py_attached(py);
        let mut sender = borrow(&lock)?;
        Ok(look(&mut sender))
    }

    /// Looks at the reader's half, without reading.
    pub(crate) fn receiver<T>(&self, py: Python<'_>, look: impl FnOnce(&mut Receiver) -> T) -> PyResult<T> {
        let lock = self.receiver.lock_py_attached(py);
        let mut receiver = borrow(&lock)?;
        Ok(look(&mut receiver))
    }
}

/// The same for many operations, whose steps may be small.
const SPREE: u32 = 512;

pub(crate) fn borrow<T>(half: &RefCell<T>) -> PyResult<RefMut<'_, T>> {
    let error = "the connection is used by code that is called while it sends or reads";
    half.try_borrow_mut().map_err(|_| errors::StateError::new_err(error))
}

/// Refuses to send after a `write` that was interrupted.
pub(crate) fn check_torn(link: &Link) -> PyResult<()> {
    match link.torn.load(Ordering::Acquire) {
        false => Ok(()),
        true => state_error("write() was interrupted, so that nothing can be sent after it; the connection has to be closed"),
    }
}
