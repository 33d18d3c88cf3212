//! The methods that write a body (statement 9).

use dugong_http::driver::{Interest, Progress};
use dugong_http::{Closed, Error, Fields, Misuse};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::buffer::Buffer;
use crate::errors::{self, state_error};
use crate::flush::{Flushed, Part, flush};
use crate::guard::{ConnectionGuard, Role};
use crate::headers::trailer_fields;
use crate::link::{Sides, State};
use crate::need::Need;
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// `write()`.
pub(crate) struct Write {
    buffer: Py<PyAny>,
    begun: Option<(ConnectionGuard, Buffer)>,
    done: usize,
    /// Whether it has to go on.
    is_suspended: bool,
}

/// If some of the buffer was sent, the caller cannot know how much. Bytes sent after that would be taken for the rest.
impl Drop for Write {
    fn drop(&mut self) {
        if let Some((guard, _)) = &self.begun
            && self.done > 0
            && self.is_suspended
        {
            guard.link.truncate_body();
        }
    }
}

impl Write {
    pub(crate) fn new(buffer: Bound<'_, PyAny>) -> Self {
        Write { buffer: buffer.unbind(), begun: None, done: 0, is_suspended: false }
    }

    /// Sends as much as the server takes now. The result is the number of bytes.
    pub(crate) fn taken_at_once(mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<usize> {
        // With an empty buffer, too, this finds out whether a body may be written now.
        let py = connection.py();
        let guard = writer(connection)?;
        let _ = guard.step(py, |state, _, wire| write_some(py, &guard, state, Sides::Sender, wire, &[]))?;
        drop(guard);
        self.step(connection)?;
        self.is_suspended = false;
        Ok(self.done)
    }
}

impl Task for Write {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buffer)?;
        self.begun.as_ref().map_or(Ok(()), |(guard, _)| guard.traverse(visit))
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.begun.is_none() {
            let buffer = Buffer::readable(self.buffer.bind(py))?;
            if buffer.len() == 0 {
                return Step::done(py);
            }
            self.begun = Some((writer(connection)?, buffer));
        }
        let (guard, buffer) = self.begun.as_ref().expect("just begun");
        let bytes = buffer.bytes(py);
        self.is_suspended = false;
        while self.done < bytes.len() {
            let rest = &bytes[self.done..];
            match guard.step(py, |state, sides, wire| write_some(py, guard, state, sides, wire, rest))? {
                Ok(count) => self.done += count,
                Err(need) => {
                    self.is_suspended = true;
                    return Ok(Step::Needs(need));
                }
            }
            if guard.pause(py).inspect_err(|_| self.is_suspended = true)? {
                self.is_suspended = true;
                return Ok(Step::Turn);
            }
        }
        let (step, is_owing) = finish_sending(py, guard)?;
        // When the body is complete, nothing can be sent twice: the next operation sends the rest.
        self.is_suspended = matches!(step, Step::Needs(_)) && is_owing;
        Ok(step)
    }
}

/// `finish()`.
pub(crate) struct Finish {
    trailers: Option<Py<PyAny>>,
    begun: Option<ConnectionGuard>,
}

impl Finish {
    pub(crate) fn new(trailers: Option<Bound<'_, PyAny>>) -> Self {
        Finish { trailers: trailers.map(Bound::unbind), begun: None }
    }
}

impl Task for Finish {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.trailers.as_ref().map_or(Ok(()), |trailers| visit.call(trailers))?;
        self.begun.as_ref().map_or(Ok(()), |guard| guard.traverse(visit))
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.begun.is_none() {
            let trailers = match self.trailers.as_ref().map(|trailers| trailers.bind(py)).filter(|given| !given.is_none()) {
                Some(trailers) => trailer_fields(trailers)?,
                None => Fields::new(),
            };
            let guard = writer(connection)?;
            guard.step(py, |state, _, wire| {
                if !state.sending.half().is_discarding() {
                    check_owing(state)?;
                }
                let finished = state.duplex(Sides::Sender).finish_content(&trailers, wire);
                finished.map_err(|error| match error {
                    Error::Closed { cause: Closed::Sending(_), .. } => give_up(py, &guard, state, error),
                    error => guard.exception(py, state, error),
                })
            })?;
            self.begun = Some(guard);
        }
        finish_sending(py, self.begun.as_ref().expect("just begun")).map(|(step, _)| step)
    }
}

/// The guard for an operation that writes a body.
fn writer(connection: &Bound<'_, HTTPConnection>) -> PyResult<ConnectionGuard> {
    let py = connection.py();
    if let Some(guard) = connection.get().guard(py, Role::Send)? {
        return Ok(guard);
    }
    let Some(link) = connection.get().link() else { return state_error(NOTHING_DUE) };
    link.with(py, |state| if state.is_owing() { Err(state.gone(py)) } else { state_error(NOTHING_DUE) })
}

const NOTHING_DUE: &str = "no body is to be written";

/// Writes some of a body. The result is the number of bytes, or the need of the step.
fn write_some(
    py: Python<'_>,
    guard: &ConnectionGuard,
    state: &mut State,
    sides: Sides,
    wire: &mut Wire<'_, '_>,
    content: &[u8],
) -> PyResult<Result<usize, Need>> {
    if guard.link.is_closed() {
        return if state.is_owing() { Err(state.gone(py)) } else { state_error(NOTHING_DUE) };
    }
    let discard = |state: &mut State| match state.sending.discard(content.len() as u64) {
        Ok(()) => Ok(Ok(content.len())),
        Err(misuse) => Err(errors::misuse(misuse)),
    };
    if state.sending.half().is_discarding() {
        return discard(state);
    }
    if state.shared.queue_mut().is_content_refused() {
        return Err(errors::misuse(Misuse::ContentRefused));
    }
    check_owing(state)?;
    if let Some(error) = state.failure() {
        return Err(give_up(py, guard, state, error));
    }
    let is_owed = state.sending.half().owes_content();
    if is_owed && state.is_sending_over() {
        // The server has said that it closes the connection. The rest would be lost, and no response will come (statement 14.3).
        if guard.defers(state) {
            return Ok(Err(guard.need(Interest::WRITE)));
        }
        let left = state.sending.half().content_left();
        if left.is_some_and(|left| (content.len() as u64) > left) {
            return Err(errors::misuse(Misuse::ExcessContent));
        }
        state.sending.discard_content(state.shared.queue_mut()).map_err(errors::misuse)?;
        return discard(state);
    }
    match state.duplex(sides).write_content(content, wire) {
        Ok(Progress::Done(count)) => Ok(Ok(count)),
        Ok(Progress::Needs(interest)) => Ok(Err(guard.need(interest))),
        Err(Error::Local(Misuse::ReadFirst)) => {
            if sides.receive() && state.receiving.half().is_at_eof() {
                state.give_up_content();
                return Err(state.lost(py, "the server closed the connection before the body was sent"));
            }
            match state.duplex(Sides::Sender).write_content(content, wire) {
                Ok(Progress::Done(count)) => Ok(Ok(count)),
                Ok(Progress::Needs(interest)) => Ok(Err(guard.need(interest))),
                Err(error) => Err(give_up(py, guard, state, error)),
            }
        }
        Err(Error::Local(Misuse::ContentRefused)) if is_owed => {
            state.give_up_content();
            Err(state.lost(py, "the server has answered before the body was sent; the response can be read"))
        }
        Err(error @ Error::Local(_)) => Err(guard.exception(py, state, error)),
        Err(error) => Err(give_up(py, guard, state, error)),
    }
}

/// Refuses to write where no body is due. An error completes the body, so this holds after one as well (statement 9.7).
fn check_owing(state: &State) -> PyResult<()> {
    match state.sending.half().owes_content() || state.shared.failure().is_none() {
        true => Ok(()),
        false => Err(errors::misuse(Misuse::NoContentDue)),
    }
}

/// After an error, counts the request as complete: its response can be read if the server has sent one (statement 9.7).
fn give_up(py: Python<'_>, guard: &ConnectionGuard, state: &mut State, error: Error) -> PyErr {
    state.give_up_content();
    // The server may have sent something that cannot be read. Reading reports that first, and then every operation does.
    if errors::is_unreadable(&error) && !state.is_unreadable {
        return state.lost(py, "the server sent an unreadable response before the body was sent; reading it says more");
    }
    guard.exception(py, state, error)
}

/// After the last byte was taken, hands it to the system. The result also tells whether the caller has to write more.
fn finish_sending(py: Python<'_>, guard: &ConnectionGuard) -> PyResult<(Step, bool)> {
    guard.step(py, |state, sides, wire| {
        let step = match flush(py, guard, state, sides, wire, Part::Written)? {
            Ok(Flushed::Done) => Step::done(py)?,
            Ok(Flushed::Needs(need)) => Step::Needs(need),
            Ok(Flushed::Pointless) => {
                return Err(state.lost(py, "the server does not take the rest of the body; there may be a response"));
            }
            Err(error) => {
                let exception = guard.exception(py, state, error);
                state.give_up_content();
                return Err(exception);
            }
        };
        Ok((step, state.is_owing()))
    })
}
