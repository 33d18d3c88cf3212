//! `read_response` (statements 10 and 11).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dugong_http::Malformed;
use dugong_http::step::{HeadKind, Interest, Progress};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::attempt::Arrival;
use crate::errors::{self, state_error};
use crate::guard::{Grip, Role};
use crate::head::{HTTPResponse, Received};
use crate::headers::Lines;
use crate::link::{Link, Receiver};
use crate::log;
use crate::need::{Need, Waitable};
use crate::state::HTTPConnection;
use crate::task::{Step, Task};

/// `read_response()`.
#[derive(Default)]
pub(crate) struct ReadResponse {
    grip: Option<Grip>,
    /// What it has waited for, since the request waits for the connection. The descriptor stays open as long as it is watched.
    arrival: Option<Arc<Arrival>>,
    /// Whether the first response to the request is awaited before its body is sent.
    awaits_continue: bool,
    /// Whether a body may end with the connection though nothing says so.
    tolerant: bool,
}

impl Task for ReadResponse {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.grip.is_none() {
            if self.arrival.take().is_some_and(|arrival| arrival.is_given_up()) {
                let text = "the connection could not be made, or was closed by disconnect()";
                return Err(errors::ConnectionClosed::new_err(text));
            }
            if let Err(error) = check_pending(connection) {
                let Some(arrival) = connection.get().arrival()? else { return Err(error) };
                self.arrival = Some(arrival.clone());
                let on = Waitable::Arrival(arrival);
                return Ok(Step::Needs(Need { on, interest: Interest::READ, moved: false, may_change: false }));
            }
            // If it was closed, there is no grip.
            let Some(grip) = connection.get().grip(py, Role::Read)? else {
                let link = connection.get().link();
                return Err(link.map_or_else(|| errors::StateError::new_err(()), |link| link.gone(py)));
            };
            self.tolerant = connection.get().tolerates_missing_length();
            grip.read(py, |receiver, _, _| {
                receiver.receiving.require_length(!self.tolerant);
                Ok(())
            })?;
            grip.renew();
            self.grip = Some(grip);
        }
        let grip = self.grip.as_ref().expect("just taken");
        let read = grip.read(py, |receiver, sender, wire| {
            if grip.link.is_closed() {
                return Err(grip.link.gone(py));
            }
            self.awaits_continue = grip.link.shared.queue().is_waiting_for_continue();
            match grip.duplex(sender, Some(receiver)).read_head_or_continue(wire) {
                Ok(Progress::Done(kind)) => Ok(Ok(take_head(py, grip, receiver, kind, self.awaits_continue, self.tolerant)?)),
                Ok(Progress::Needs(interest)) => Ok(Err(grip.need(interest))),
                Err(error) => Err(grip.exception(py, error)),
            }
        })?;
        match read {
            Ok(head) => {
                connection.get().supersede_cut();
                head.response(py, grip).map(Step::Done)
            }
            Err(need) => Ok(Step::Needs(need)),
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.grip.as_ref().map_or(Ok(()), |grip| grip.traverse(visit))
    }

    fn timed_out(&mut self, _: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        if let Some(grip) = &self.grip
            && self.awaits_continue
        {
            grip.link.silent.store(true, Ordering::Release);
        }
        Err(errors::ConnectionTimedOut::new_err("timed out waiting for the response"))
    }
}

/// Reads the next response in a pipeline, with both halves.
pub(crate) fn final_response(py: Python<'_>, grip: &Grip, tolerant: bool) -> PyResult<Progress<Py<PyAny>>> {
    let read = grip.both(py, |sender, receiver, wire| {
        if grip.link.is_closed() {
            return Err(grip.link.gone(py));
        }
        receiver.receiving.require_length(!tolerant);
        match grip.duplex(Some(sender), Some(receiver)).read_head(wire) {
            Ok(Progress::Done(())) => Ok(Progress::Done(take_head(py, grip, receiver, HeadKind::Final, false, tolerant)?)),
            Ok(Progress::Needs(interest)) => {
                check_coming(py, &grip.link)?;
                Ok(Progress::Needs(interest))
            }
            Err(error) => Err(grip.exception(py, error)),
        }
    })?;
    match read {
        Progress::Done(head) => head.response(py, grip).map(Progress::Done),
        Progress::Needs(interest) => Ok(Progress::Needs(interest)),
    }
}

/// Whether a response may be read now.
fn check_pending(connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
    let nothing = "no response is pending";
    let Some(link) = connection.get().link() else { return state_error(nothing) };
    if link.receiver(connection.py(), |receiver| receiver.current.is_some())? {
        return state_error("the body of the previous response has not been read to its end");
    }
    // What nobody asked for is an error of its own.
    if link.is_response_due(connection.py())? { Ok(()) } else { state_error(nothing) }
}

/// Refuses to wait for the answer to a request whose body was cut short: the server waits for the rest.
fn check_coming(py: Python<'_>, link: &Link) -> PyResult<()> {
    if link.torn.load(Ordering::Acquire) && link.shared.queue().len() == 1 {
        return Err(link.lost(py, "write() was interrupted, so that no response will come; the connection has to be closed"));
    }
    Ok(())
}

/// What a head said.
struct Head {
    received: Received,
    status: u16,
    /// Whether the response has neither a length nor `Connection: close`, and nobody minds.
    is_closing: bool,
    /// Whether it has a transfer coding that cannot be read.
    is_coded: bool,
    /// Whether a body follows that has to be read.
    has_body: bool,
}

/// Takes the head that was read. Nothing of Python is called here that could fail and leave it half taken.
fn take_head(
    py: Python<'_>,
    grip: &Grip,
    receiver: &mut Receiver,
    kind: HeadKind,
    awaited_continue: bool,
    tolerant: bool,
) -> PyResult<Head> {
    let half = receiver.receiving.half();
    let head = half.head();
    let is_closing = tolerant && kind == HeadKind::Final && half.is_length_missing();
    let is_coded = matches!(
        half.framing_fault(),
        Some(dugong_proto::Error::Remote {
            what: Malformed::TransferCoding | Malformed::CodingInHttp10 | Malformed::FoldedFramingField,
            ..
        })
    );
    let (method, path) = grip.link.oldest(py).expect("the engine reads responses to requests that were taken");
    let status = head.status().as_u16();
    let reason = head.reason_text();
    let reason = if reason == "OK" { intern!(py, "OK").clone() } else { PyString::new(py, reason.trim()) };
    let has_body = kind == HeadKind::Final && half.is_in_content();
    let taken = Head {
        received: Received {
            method,
            path,
            status: status.into_pyobject(py)?.into_any().unbind(),
            reason: reason.unbind(),
            length: if kind == HeadKind::Interim { Some(0) } else { half.content_length() },
            lines: Lines::new(head.fields(), is_closing),
        },
        status,
        is_closing,
        is_coded,
        has_body,
    };
    if kind == HeadKind::Final {
        grip.link.refused.store(awaited_continue, Ordering::Release);
        if has_body {
            receiver.current = Some(half.completed());
        } else {
            grip.link.answered();
        }
    }
    Ok(taken)
}

impl Head {
    /// As an `HTTPResponse`.
    fn response(self, py: Python<'_>, grip: &Grip) -> PyResult<Py<PyAny>> {
        if self.is_closing {
            log::warn(py, "the response has no length and does not say that the connection closes; reading up to its end")?;
        }
        if self.is_coded {
            log::warn(py, "the response has a transfer coding that cannot be read")?;
        }
        if grip.link.is_logged {
            log::received(py, self.status, &self.received.method, &self.received.path)?;
        }
        let response = HTTPResponse::new(py, self.received)?;
        if self.has_body {
            drop(grip.link.set_response(Some(response.clone_ref(py))));
        }
        Ok(response.into_any())
    }
}
