//! `send_request` (statements 8 and 10).

use std::sync::Arc;

use dugong_http::driver::Progress;
use dugong_http::{CloseReason, Closed, Error, Misuse};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::connect::{Connect, Resolver};
use crate::errors::{self, state_error};
use crate::flush::{Flushed, Part, flush};
use crate::guard::{ConnectionGuard, Role};
use crate::link::{Driver, Link, Sides, State};
use crate::log;
use crate::need::Need;
use crate::request::{Arguments, Prepared};
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// `send_request()`.
pub(crate) struct SendRequest {
    stage: Stage,
    arguments: Option<Arguments>,
    prepared: Option<Prepared>,
    guard: Option<ConnectionGuard>,
    /// Lasts until the request is taken: readers that came before it wait as long as that.
    connect: Option<Connect>,
    resolver: Resolver,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The arguments are as they were passed.
    Begin,
    Connecting,
    /// The connection is there.
    Ready,
    /// The engine has not taken the request yet.
    Taking,
    /// The engine has taken the request with this number.
    Sending(u64),
    Over,
}

impl SendRequest {
    pub(crate) fn new(arguments: Arguments, resolver: Resolver) -> Self {
        let arguments = Some(arguments);
        SendRequest { stage: Stage::Begin, arguments, prepared: None, guard: None, connect: None, resolver }
    }

    /// Checks the arguments.
    fn prepare(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        let py = connection.py();
        let arguments = self.arguments.as_ref().expect("taken in this stage only");
        let (target, in_use) = connection.get().target_and_link(py)?;
        self.prepared = Some(arguments.prepare(py, &target)?);
        self.arguments = None;
        self.stage = match in_use {
            // The usual case.
            Some(in_use) if !in_use.link.is_closed() => {
                self.guard = Some(in_use.guard(Role::Send)?);
                Stage::Taking
            }
            _ => self.connect(),
        };
        Ok(())
    }

    /// Begins to connect.
    fn connect(&mut self) -> Stage {
        self.guard = None;
        self.connect = Some(Connect::new(self.resolver));
        Stage::Connecting
    }

    fn part(&self) -> Part {
        if self.prepared.as_ref().is_some_and(|prepared| prepared.given) { Part::Whole } else { Part::Head }
    }

    /// Gives the request to the engine, and sends as much as the system takes. `None` if it has to connect first.
    fn hand_over(&mut self, py: Python<'_>) -> PyResult<Option<Step>> {
        let part = self.part();
        let guard = self.guard.as_ref().expect("made before this stage");
        let prepared = self.prepared.as_mut().expect("made before this stage");
        prepared.settle_host(&guard.link);
        let handed = guard.step(py, |state, sides, wire| {
            if must_reconnect(state)? {
                return Ok(None);
            }
            Ok(Some(match prepared.hand_over(py, guard, state, sides, wire)? {
                Handed::Taken(number) => (Some(number), send_rest(py, guard, state, sides, wire, part, number)?),
                Handed::Unsendable => (None, Rest::Done),
                Handed::Needs(need) => (None, Rest::Needs(need)),
            }))
        })?;
        let Some((number, flushed)) = handed else { return Ok(None) };
        let needs_more = matches!(flushed, Rest::Needs(_));
        if number.is_none() && needs_more {
            return flushed.step(py).map(Some);
        }
        self.connect = None;
        if number.is_some() && guard.link.is_logged {
            log::sent(py, &prepared.method, &prepared.path)?;
        }
        self.stage = number.filter(|_| needs_more).map_or(Stage::Over, Stage::Sending);
        flushed.step(py).map(Some)
    }
}

impl Task for SendRequest {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            match self.stage {
                Stage::Begin => self.prepare(connection)?,
                Stage::Connecting => {
                    let connect = self.connect.as_mut().expect("made for this stage");
                    if let Some(need) = connect.go_on(connection)? {
                        return Ok(Step::Needs(need));
                    }
                    self.stage = Stage::Ready;
                }
                Stage::Ready => {
                    let guard = connection.get().guard(py, Role::Send)?;
                    self.guard = Some(guard.ok_or_else(errors::disconnected)?);
                    self.stage = Stage::Taking;
                }
                Stage::Taking => match self.hand_over(py)? {
                    Some(step) => return Ok(step),
                    None => self.stage = self.connect(),
                },
                Stage::Sending(number) => {
                    let guard = self.guard.as_ref().expect("made before this stage");
                    let part = self.part();
                    let rest = |state: &mut State, sides, wire: &mut Wire<'_, '_>| {
                        send_rest(py, guard, state, sides, wire, part, number)
                    };
                    return guard.step(py, rest)?.step(py);
                }
                Stage::Over => return Step::done(py),
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.arguments.as_ref().map_or(Ok(()), |arguments| arguments.traverse(visit))?;
        self.prepared.as_ref().map_or(Ok(()), |prepared| prepared.traverse(visit))?;
        self.guard.as_ref().map_or(Ok(()), |guard| guard.traverse(visit))
    }

    fn driven_by(&mut self, driver: Driver) {
        self.resolver = self.resolver.driven_by(driver);
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if let (Stage::Connecting, Some(connect)) = (self.stage, &mut self.connect) {
            connect.interrupt(connection);
        }
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        match (self.stage, &mut self.connect) {
            (Stage::Connecting, Some(connect)) => connect.timed_out(connection),
            _ => Err(errors::ConnectionTimedOut::new_err("timed out waiting for the server to take the request")),
        }
    }
}

/// Whether it has to connect first.
pub(crate) fn needs_connection(connection: &Bound<'_, HTTPConnection>) -> PyResult<bool> {
    connection.get().open_link().map_or(Ok(true), |link| link.with(connection.py(), must_reconnect))
}

/// Whether a connection cannot be used any more because a body was refused: a new one is made, without an error (statement 10.3).
fn must_reconnect(state: &mut State) -> PyResult<bool> {
    // The next operation reports a failure, as after any other response.
    if !state.shared.queue_mut().is_content_refused() || state.shared.failure().is_some() {
        return Ok(false);
    }
    match state.current {
        Some(_) => state_error("the response that came in place of 100 has to be read first"),
        None => Ok(true),
    }
}

/// The result of giving a request to the engine.
enum Handed {
    Taken(u64),
    /// The request was queued, but will not be sent: reading its response reports why.
    Unsendable,
    Needs(Need),
}

impl Prepared {
    fn hand_over(
        &self,
        py: Python<'_>,
        guard: &ConnectionGuard,
        state: &mut State,
        sides: Sides,
        wire: &mut Wire<'_, '_>,
    ) -> PyResult<Handed> {
        if guard.link.is_closed() {
            return Err(state.gone(py));
        }
        if let Some(error) = state.failure() {
            if errors::is_unreadable(&error) || is_unasked(&error) {
                return Err(guard.exception(py, state, error));
            }
            // Reading the response reports the failure (statement 14.3).
            state.give_up_content();
            return self.queue_unsendable(py, guard, state);
        }
        if state.is_owing() {
            return state_error("the body of the previous request has not been written completely");
        }
        if state.shared.is_cut() {
            return Err(state.lost(py, "the connection was lost while something was sent"));
        }
        let (taken, end) = self.offer(state, sides, wire);
        match taken {
            Ok(Progress::Needs(interest)) => Ok(Handed::Needs(guard.need(interest))),
            Ok(Progress::Done(number)) => {
                self.note(py, &guard.link, state);
                Ok(Handed::Taken(number))
            }
            Err(Error::Closed { .. }) if end == End::Reset && !state.is_sending_over() => {
                Err(state.lost(py, "the connection was lost"))
            }
            // The server will not answer. Reading the response reports that (statement 14.3).
            Err(error @ Error::Closed { cause: Closed::InOrder(_), .. }) if !is_unasked(&error) => {
                self.queue_unsendable(py, guard, state)
            }
            Err(Error::Local(Misuse::ReadFirst)) if end == End::Seen => self.queue_unsendable(py, guard, state),
            Err(error) => Err(guard.exception(py, state, error)),
        }
    }

    /// Notes that the engine has taken the request.
    pub(crate) fn note(&self, py: Python<'_>, link: &Arc<Link>, state: &mut State) {
        link.note_request(state, self.method.clone_ref(py), self.path.clone_ref(py));
    }

    /// Offers the request to the engine once. The result also tells how the connection ends, as far as that is known.
    fn offer(&self, state: &mut State, sides: Sides, wire: &mut Wire<'_, '_>) -> (Result<Progress<u64>, Error>, End) {
        let taken = state.duplex(sides).take_request(&self.request, wire);
        let end = match sides.receive() && state.receiving.half().is_at_eof() {
            false => End::Unseen,
            // Sending after a reset fails. After an end without close_notify it may not.
            true if state.receiving.was_reset() => End::Reset,
            true => End::Seen,
        };
        if end != End::Unseen || !sides.receive() || !matches!(taken, Err(Error::Local(Misuse::ReadFirst))) {
            return (taken, end);
        }
        // The receive buffer is full. Another operation may be about to read: wait for writing alone.
        (state.duplex(Sides::Sender).take_request(&self.request, wire), End::Unseen)
    }

    /// Queues a request that can no longer be sent, so that reading its response reports why.
    fn queue_unsendable(&self, py: Python<'_>, guard: &ConnectionGuard, state: &mut State) -> PyResult<Handed> {
        let taken = state.duplex(Sides::Sender).accept_unsendable(&self.request, !self.given);
        taken.map_err(|error| guard.exception(py, state, error))?;
        self.note(py, &guard.link, state);
        Ok(Handed::Unsendable)
    }
}

/// Whether the connection ended because the server sent bytes that no request had asked for (statement 14.6).
fn is_unasked(error: &Error) -> bool {
    let Error::Closed { cause: Closed::InOrder(reason), .. } = error else { return false };
    matches!(reason, CloseReason::RequestTimeout | CloseReason::UnaskedBytes)
}

/// How the connection ends, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Unseen,
    /// The server has ended its direction in order.
    Seen,
    /// The connection was reset.
    Reset,
}

/// The result of sending the rest of a request.
enum Rest {
    Done,
    Needs(Need),
    Failed(PyErr),
}

impl Rest {
    fn step(self, py: Python<'_>) -> PyResult<Step> {
        match self {
            Rest::Done => Step::done(py),
            Rest::Needs(need) => Ok(Step::Needs(need)),
            Rest::Failed(error) => Err(error),
        }
    }
}

/// Sends the rest of a request that the engine has taken. If that fails, no response to it is pending (statement 8.14).
fn send_rest(
    py: Python<'_>,
    guard: &ConnectionGuard,
    state: &mut State,
    sides: Sides,
    wire: &mut Wire<'_, '_>,
    part: Part,
    number: u64,
) -> PyResult<Rest> {
    match flush(py, guard, state, sides, wire, part)? {
        Ok(Flushed::Needs(need)) => Ok(Rest::Needs(need)),
        // If no answer can come, reading reports that (statement 14.3).
        Ok(Flushed::Done | Flushed::Pointless) => Ok(Rest::Done),
        Err(error) => {
            let exception = guard.exception(py, state, error);
            let queue = state.shared.queue_mut();
            let before = queue.len();
            state.sending.take_back(number, queue);
            let is_taken_back = queue.len() < before;
            if is_taken_back && let Some(request) = guard.link.forget_request(state) {
                // The exception has it as well, so that this calls no code of the program.
                drop(request);
            }
            if state.sending.half().owes_content() {
                state.give_up_content();
            }
            Ok(Rest::Failed(exception))
        }
    }
}
