//! The content of a reply, as far as it was not read.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use dugong_http::Fields;
use dugong_session::{Failed, Reply, Ticket};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::connector::check_interrupted;
use super::failure;
use super::mailbox::Mailbox;
use super::process::OfProcess;
use crate::errors::StateError;
use crate::wait::{LOOK_FOR_SIGNALS, is_signal_thread};

/// Content that is read in pieces. One thread or task at a time may read.
pub(crate) struct Stream {
    state: Mutex<Option<State>>,
    trailers: Mutex<Option<Fields>>,
}

pub(crate) struct State {
    /// `None` after the end.
    reply: Option<OfProcess<Reply>>,
    /// The rest of the piece that was read last.
    left: Bytes,
    /// How it ended, if not with the end of the content.
    error: Option<PyErr>,
    /// Whether any of it was given to the program.
    is_begun: bool,
    is_closed: bool,
}

impl Stream {
    /// Content that arrives.
    pub(crate) fn of_reply(reply: Reply) -> Self {
        Self::new(Some(OfProcess::new(reply)), Bytes::new())
    }

    /// Content that is there.
    pub(crate) fn of_content(content: Bytes) -> Self {
        Self::new(None, content)
    }

    fn new(reply: Option<OfProcess<Reply>>, left: Bytes) -> Self {
        let state = State { reply, left, error: None, is_begun: false, is_closed: false };
        Stream { state: Mutex::new(Some(state)), trailers: Mutex::new(None) }
    }

    /// The trailer section, once.
    pub(crate) fn take_trailers(&self) -> Option<Fields> {
        self.trailers.lock().take()
    }

    /// Whether nothing of it was read. False while it is being read.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state.lock().as_ref().is_some_and(|state| !state.is_begun && !state.is_closed)
    }

    /// Reads the next bytes, at most `most`; none at the end. `core` is the session, for green threads.
    pub(crate) fn read(&self, py: Python<'_>, most: usize, core: Option<&Py<PyAny>>) -> PyResult<Bytes> {
        self.with(|state| {
            let mut turns: Option<Turns<'_>> = None;
            loop {
                let bytes = self.next(py, state, most)?;
                if let Some(ticket) = state.ticket()?
                    && turns.is_some()
                {
                    ticket.set_awaited(bytes.is_none());
                }
                match (bytes, &turns, core) {
                    (Some(bytes), ..) => return Ok(bytes),
                    (None, Some(turns), _) => turns.wait(py)?,
                    (None, None, Some(core)) if has_green_threads(py)? => {
                        let begun = Turns::new(py, core)?;
                        // It looks once more after that: the bytes may just have come.
                        state.ticket()?.expect(TICKET).set_waker(&begun.mailbox.get().waker(1));
                        turns = Some(begun);
                    }
                    _ => wait(py, state.ticket()?.expect(TICKET))?,
                }
            }
        })
    }

    /// The same for a task, which is told by its mailbox: `None` if it has to wait.
    pub(crate) fn poll(&self, py: Python<'_>, most: usize, mailbox: &Mailbox, number: u64) -> PyResult<Option<Bytes>> {
        self.with(|state| {
            if let Some(ticket) = state.ticket()? {
                ticket.set_waker(&mailbox.waker(number));
            }
            let bytes = self.next(py, state, most)?;
            if let Some(ticket) = state.ticket()? {
                ticket.set_awaited(bytes.is_none());
            }
            Ok(bytes)
        })
    }

    /// Gives the rest up.
    pub(crate) fn close(&self) {
        // If another thread reads, that one goes on to its end.
        let mut before = None;
        if let Some(state) = &mut *self.state.lock() {
            state.is_closed = true;
            before = state.reply.take();
        }
        drop(before);
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> PyResult<T>) -> PyResult<T> {
        let taken = self.state.lock().take();
        let Some(mut state) = taken else {
            return Err(StateError::new_err("the reply is being read by another thread or task"));
        };
        let result = if state.is_closed { Err(PyValueError::new_err("the reply was closed")) } else { work(&mut state) };
        *self.state.lock() = Some(state);
        result
    }

    /// The bytes that have arrived: `None` if none have, empty at the end.
    fn next(&self, py: Python<'_>, state: &mut State, most: usize) -> PyResult<Option<Bytes>> {
        state.is_begun = true;
        if let Some(error) = &state.error {
            return Err(error.clone_ref(py));
        }
        if state.left.is_empty()
            && let Some(ticket) = state.ticket()?
        {
            match ticket.next_piece() {
                Ok(Some(piece)) if piece.is_empty() => {
                    *self.trailers.lock() = ticket.take_trailers();
                    state.reply = None;
                }
                Ok(Some(piece)) => state.left = piece,
                Ok(None) => return Ok(None),
                Err(error) => {
                    let error = exception(py, error);
                    state.error = Some(error.clone_ref(py));
                    state.reply = None;
                    return Err(error);
                }
            }
        }
        let count = state.left.len().min(most);
        Ok(Some(state.left.split_to(count)))
    }
}

impl State {
    fn ticket(&mut self) -> PyResult<Option<&mut Ticket>> {
        match &mut self.reply {
            Some(reply) => Ok(reply.get_mut()?.ticket_mut()),
            None => Ok(None),
        }
    }
}

const TICKET: &str = "more content comes only with a ticket";

/// Waits for the session, and lets other green threads run meanwhile.
struct Turns<'py> {
    mailbox: Bound<'py, Mailbox>,
    cores: (Bound<'py, PyAny>,),
}

impl<'py> Turns<'py> {
    fn new(py: Python<'py>, core: &Py<PyAny>) -> PyResult<Self> {
        Ok(Turns { mailbox: Bound::new(py, Mailbox::new()?)?, cores: (core.bind(py).clone(),) })
    }

    fn wait(&self, py: Python<'py>) -> PyResult<()> {
        let news = py.import(intern!(py, "dugong._turns"))?.getattr(intern!(py, "news"))?;
        news.call1((&self.cores, &self.mailbox))?;
        Ok(())
    }
}

fn has_green_threads(py: Python<'_>) -> PyResult<bool> {
    py.import(intern!(py, "dugong._turns"))?.call_method0(intern!(py, "has_green_threads"))?.is_truthy()
}

/// Waits until there is something to read, with Python's lock released.
fn wait(py: Python<'_>, ticket: &mut Ticket) -> PyResult<()> {
    let mut takes_signals = None;
    loop {
        py.check_signals()?;
        let until = takes_signals.unwrap_or(true).then(|| Instant::now() + LOOK_FOR_SIGNALS);
        let is_told = py.detach(|| ticket.wait_for_content(until)).map_err(failure::of_wait)?;
        check_interrupted()?;
        if is_told {
            return Ok(());
        }
        if takes_signals.is_none() {
            takes_signals = Some(is_signal_thread(py)?);
        }
    }
}

fn exception(py: Python<'_>, error: io::Error) -> PyErr {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Failed>()) {
        Some(failed) => failure::exception(py, failed, &py.None()),
        None => error.into(),
    }
}
