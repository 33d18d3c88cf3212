//! `read_response` (statements 10 and 11).

use std::sync::Arc;

use dugong_http::Malformed;
use dugong_http::driver::{HeadKind, Interest, Progress};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::attempt::Arrival;
use crate::errors::{self, state_error};
use crate::guard::{ConnectionGuard, Role};
use crate::head::{HTTPResponse, Received};
use crate::headers::Lines;
use crate::link::{Driver, Link, Sides, State};
use crate::log;
use crate::need::{Need, Waitable};
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// `read_response()`.
#[derive(Default)]
pub(crate) struct ReadResponse {
    guard: Option<ConnectionGuard>,
    /// The connection that it has waited for. The descriptor stays open while a program watches it.
    arrival: Option<Arc<Arrival>>,
    driver: Driver,
    /// Whether the request waits for this response before its body is sent.
    awaits_continue: bool,
    /// Whether a body may end with the connection although the response does not say so.
    tolerant: bool,
}

impl ReadResponse {
    /// Takes the connection that the attributes name now, if it is open.
    fn begin(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Result<ConnectionGuard, PyErr>> {
        let (py, this) = (connection.py(), connection.get());
        if self.arrival.take().is_some_and(|arrival| arrival.is_given_up()) {
            let text = "the connection could not be made, or was closed by disconnect()";
            return Err(errors::ConnectionClosed::new_err(text));
        }
        self.tolerant = this.tolerates_missing_length();
        match this.link_in_use(py) {
            (_, Some(in_use)) => in_use.guard(Role::Read(self.driver)).map(Ok),
            (None, None) => Ok(Err(nothing_pending())),
            (Some(link), None) => match link.with(py, |state| check_pending(&link, state)) {
                Ok(()) => Err(link.gone(py)),
                Err(error) => Ok(Err(error)),
            },
        }
    }

    /// Without a response to read, waits for the connection that is being made for a request; otherwise fails with `error`.
    fn wait_for_arrival(&mut self, connection: &Bound<'_, HTTPConnection>, error: PyErr) -> PyResult<Step> {
        let Some(arrival) = connection.get().arrival()? else { return Err(error) };
        self.arrival = Some(arrival.clone());
        let on = Waitable::Arrival(arrival);
        Ok(Step::Needs(Need { on, interest: Interest::READ, moved: false, may_change: false }))
    }
}

/// The result of a step.
enum Read {
    Head(Head),
    Needs(Need),
    NothingPending(PyErr),
}

impl Task for ReadResponse {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        let (guard, is_first) = match self.guard.take() {
            Some(guard) => (guard, false),
            None => match self.begin(connection)? {
                Ok(guard) => (guard, true),
                Err(error) => return self.wait_for_arrival(connection, error),
            },
        };
        if is_first {
            guard.renew();
        }
        let read = guard.step(py, |state, sides, wire| {
            if is_first && let Err(error) = check_pending(&guard.link, state) {
                return Ok(Read::NothingPending(error));
            }
            if guard.link.is_closed() {
                return Err(state.gone(py));
            }
            state.receiving.require_length(!self.tolerant);
            self.awaits_continue = state.shared.queue_mut().may_be_told_to_continue();
            match state.duplex(sides).read_head_or_continue(wire) {
                Ok(Progress::Done(kind)) => take_head(py, &guard.link, state, kind, self.tolerant).map(Read::Head),
                Ok(Progress::Needs(interest)) => Ok(Read::Needs(guard.need(interest))),
                Err(error) => Err(guard.exception(py, state, error)),
            }
        })?;
        match read {
            Read::Head(head) => {
                connection.get().supersede_cut();
                head.response(py, &guard.link).map(Step::Done)
            }
            Read::Needs(need) => {
                self.guard = Some(guard);
                Ok(Step::Needs(need))
            }
            Read::NothingPending(error) => {
                drop(guard);
                self.wait_for_arrival(connection, error)
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.traverse(visit))
    }

    fn driven_by(&mut self, driver: Driver) {
        self.driver = driver;
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        if let Some(guard) = &self.guard
            && self.awaits_continue
        {
            guard.link.with(connection.py(), |state| {
                state.shared.queue_mut().proceed_without_continue();
                Ok(())
            })?;
        }
        Err(errors::ConnectionTimedOut::new_err("timed out waiting for the response"))
    }
}

/// Reads the next final head of a pipeline.
pub(crate) fn final_head(
    py: Python<'_>,
    guard: &ConnectionGuard,
    state: &mut State,
    wire: &mut Wire<'_, '_>,
    tolerant: bool,
) -> PyResult<Progress<Head>> {
    state.receiving.require_length(!tolerant);
    match state.duplex(Sides::Both).read_head(wire) {
        Ok(Progress::Done(())) => Ok(Progress::Done(take_head(py, &guard.link, state, HeadKind::Final, tolerant)?)),
        Ok(Progress::Needs(interest)) => {
            check_coming(py, state)?;
            Ok(Progress::Needs(interest))
        }
        Err(error) => Err(guard.exception(py, state, error)),
    }
}

/// Whether a response may be read now.
fn check_pending(link: &Link, state: &mut State) -> PyResult<()> {
    if state.current.is_some() {
        return state_error("the body of the previous response has not been read to its end");
    }
    // Bytes that no request has asked for are an error of their own.
    if link.is_response_due(state) { Ok(()) } else { Err(nothing_pending()) }
}

fn nothing_pending() -> PyErr {
    errors::StateError::new_err("no response is pending")
}

/// Refuses to wait for the answer to a request whose body was cut short: the server waits for the rest.
fn check_coming(py: Python<'_>, state: &mut State) -> PyResult<()> {
    let queue = state.shared.queue_mut();
    if queue.is_content_interrupted() && queue.len() == 1 {
        return Err(state.lost(py, "write() was interrupted, so no response will come; close the connection"));
    }
    Ok(())
}

/// A head that was read.
pub(crate) struct Head {
    received: Box<Received>,
    status: u16,
    /// Whether the response has neither a length nor `Connection: close`, and that is tolerated.
    is_closing: bool,
    /// Whether it has a transfer coding that cannot be read.
    is_coded: bool,
    /// Whether a body follows that has to be read.
    has_body: bool,
}

/// Takes the head that was read. It calls no Python code that could fail in the middle.
fn take_head(py: Python<'_>, link: &Link, state: &mut State, kind: HeadKind, tolerant: bool) -> PyResult<Head> {
    let half = state.receiving.half();
    let head = half.head();
    let is_closing = tolerant && kind == HeadKind::Final && half.is_length_missing();
    let is_coded = matches!(
        half.framing_fault(),
        Some(dugong_proto::Error::Remote {
            what: Malformed::TransferCoding | Malformed::CodingInHttp10 | Malformed::FoldedFramingField,
            ..
        })
    );
    let (method, path) = state.oldest(py).expect("the engine reads responses to requests that were taken");
    let status = head.status().as_u16();
    let reason = head.reason_text();
    let reason = if reason == "OK" { intern!(py, "OK").clone() } else { PyString::new(py, reason.trim()) };
    let has_body = kind == HeadKind::Final && half.is_in_content();
    let taken = Head {
        received: Box::new(Received {
            method,
            path,
            status: status.into_pyobject(py)?.into_any().unbind(),
            reason: reason.unbind(),
            length: if kind == HeadKind::Interim { Some(0) } else { half.content_length() },
            lines: Lines::new(head.fields(), is_closing),
        }),
        status,
        is_closing,
        is_coded,
        has_body,
    };
    if kind == HeadKind::Final {
        if has_body {
            let number = half.completed();
            link.set_current(state, Some(number));
        } else {
            // `taken` has it as well, so that this calls no code of the program.
            drop(link.note_answer(state));
        }
    }
    Ok(taken)
}

impl Head {
    /// As an `HTTPResponse`.
    pub(crate) fn response(self, py: Python<'_>, link: &Link) -> PyResult<Py<PyAny>> {
        if self.is_closing {
            log::warn(py, "the response has no length and does not say that the connection closes; reading up to its end")?;
        }
        if self.is_coded {
            log::warn(py, "the response has a transfer coding that cannot be read")?;
        }
        if link.is_logged {
            log::received(py, self.status, &self.received.method, &self.received.path)?;
        }
        let response = HTTPResponse::new(py, self.received)?;
        if self.has_body {
            let response = response.clone_ref(py);
            let before = link.with(py, |state| Ok(state.response.replace(response)))?;
            drop(before);
        }
        Ok(response.into_any())
    }
}
