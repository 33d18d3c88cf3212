//! The methods that write a body (statement 9).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dugong_http::step::Progress;
use dugong_http::{Closed, Error, Fields, Misuse};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::buffer::Buffer;
use crate::errors::{self, state_error};
use crate::flush::{Flushed, What, flush};
use crate::guard::{Grip, Role};
use crate::headers::trailer_fields;
use crate::link::{InVain, Link, Receiver, Sender, check_torn};
use crate::need::Need;
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// `write()`.
pub(crate) struct Write {
    buffer: Py<PyAny>,
    begun: Option<(Grip, Buffer)>,
    done: usize,
    /// Whether it has to go on.
    is_suspended: bool,
}

/// Some of it may have gone out, and nobody knows how much: what is sent after it would be taken for the rest.
impl Drop for Write {
    fn drop(&mut self) {
        if let Some((grip, _)) = &self.begun
            && self.done > 0
            && self.is_suspended
        {
            grip.link.torn.store(true, Ordering::Release);
        }
    }
}

impl Write {
    pub(crate) fn new(buffer: Bound<'_, PyAny>) -> Self {
        Write { buffer: buffer.unbind(), begun: None, done: 0, is_suspended: false }
    }

    /// As much as the peer takes now.
    pub(crate) fn taken_at_once(mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<usize> {
        // Also for an empty buffer: whether a body may be written now.
        let py = connection.py();
        let grip = writer(connection)?;
        let _ = grip.send(py, |sender, _, wire| write_some(py, &grip, sender, None, wire, &[]))?;
        drop(grip);
        self.step(connection)?;
        self.is_suspended = false;
        Ok(self.done)
    }
}

impl Task for Write {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.buffer)?;
        self.begun.as_ref().map_or(Ok(()), |(grip, _)| grip.traverse(visit))
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
        let (grip, buffer) = self.begun.as_ref().expect("just begun");
        let bytes = buffer.bytes(py);
        self.is_suspended = false;
        while self.done < bytes.len() {
            match grip.send(py, |sender, receiver, wire| write_some(py, grip, sender, receiver, wire, &bytes[self.done..]))? {
                Ok(count) => self.done += count,
                Err(need) => {
                    self.is_suspended = true;
                    return Ok(Step::Needs(need));
                }
            }
            if grip.pause(py).inspect_err(|_| self.is_suspended = true)? {
                self.is_suspended = true;
                return Ok(Step::Turn);
            }
        }
        let step = finish_sending(py, grip)?;
        // When the body is complete, nothing can be sent twice: what is left is sent by whatever comes next.
        self.is_suspended = matches!(step, Step::Needs(_)) && grip.link.sender(py, |sender| sender.is_owing())?;
        Ok(step)
    }
}

/// `finish()`.
pub(crate) struct Finish {
    trailers: Option<Py<PyAny>>,
    begun: Option<Grip>,
}

impl Finish {
    pub(crate) fn new(trailers: Option<Bound<'_, PyAny>>) -> Self {
        Finish { trailers: trailers.map(Bound::unbind), begun: None }
    }
}

impl Task for Finish {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.trailers.as_ref().map_or(Ok(()), |trailers| visit.call(trailers))?;
        self.begun.as_ref().map_or(Ok(()), |grip| grip.traverse(visit))
    }

    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        if self.begun.is_none() {
            let trailers = match self.trailers.as_ref().map(|trailers| trailers.bind(py)).filter(|given| !given.is_none()) {
                Some(trailers) => trailer_fields(trailers)?,
                None => Fields::new(),
            };
            let grip = writer(connection)?;
            grip.send(py, |sender, _, wire| {
                match sender.in_vain {
                    Some(InVain::Chunks) => {
                        sender.in_vain = None;
                        return Ok(());
                    }
                    Some(InVain::Left(_)) => return Err(errors::misuse(Misuse::ContentShort)),
                    None => {}
                }
                check_torn(&grip.link)?;
                check_owing(&grip, sender)?;
                allow_silence(&grip, sender);
                let finished = grip.duplex(Some(sender), None).finish_content(&trailers, wire);
                finished.map_err(|error| match error {
                    Error::Closed { cause: Closed::Sending(_), .. } => given_up(py, &grip, sender, error),
                    error => grip.exception(py, error),
                })
            })?;
            self.begun = Some(grip);
        }
        finish_sending(py, self.begun.as_ref().expect("just begun"))
    }
}

/// A grip for whoever writes a body.
fn writer(connection: &Bound<'_, HTTPConnection>) -> PyResult<Grip> {
    let py = connection.py();
    let nothing_due = "no body is to be written";
    match connection.get().grip(py, Role::Send)? {
        Some(grip) => Ok(grip),
        None => match connection.get().link() {
            Some(link) if link.sender(py, |sender| sender.is_owing())? => Err(link.gone(py)),
            _ => state_error(nothing_due),
        },
    }
}

/// If the wait for 100 ended with a timeout, the body may be written nevertheless (statement 10.5).
fn allow_silence(grip: &Grip, sender: &mut Sender) {
    if grip.link.silent.load(Ordering::Acquire) {
        sender.sending.proceed_without_continue(&mut grip.link.shared.queue());
    }
}

/// Writes some of a body: how much, or what is needed first.
fn write_some(
    py: Python<'_>,
    grip: &Grip,
    sender: &mut Sender,
    mut receiver: Option<&mut Receiver>,
    wire: &mut Wire<'_, '_>,
    content: &[u8],
) -> PyResult<Result<usize, Need>> {
    let link: &Arc<Link> = &grip.link;
    if link.is_closed() {
        return if sender.is_owing() { Err(link.gone(py)) } else { state_error("no body is to be written") };
    }
    match &mut sender.in_vain {
        None => {}
        Some(InVain::Chunks) => return Ok(Ok(content.len())),
        Some(InVain::Left(left)) => {
            let Some(rest) = left.checked_sub(content.len() as u64) else {
                return Err(errors::misuse(Misuse::ExcessContent));
            };
            sender.in_vain = (rest > 0).then_some(InVain::Left(rest));
            return Ok(Ok(content.len()));
        }
    }
    if link.refused.load(Ordering::Acquire) {
        return Err(errors::misuse(Misuse::ContentRefused));
    }
    check_torn(link)?;
    check_owing(grip, sender)?;
    allow_silence(grip, sender);
    if let Some(error) = grip.failure() {
        return Err(given_up(py, grip, sender, error));
    }
    if sender.sending.half().owes_content() && grip.duplex(None, None).is_pointless() {
        // The peer has said that it closes: the rest would go nowhere, and its response will never come (statement 14.3).
        let left = sender.sending.half().content_left();
        if left.is_some_and(|left| (content.len() as u64) > left) {
            return Err(errors::misuse(Misuse::ExcessContent));
        }
        sender.sending.give_up_content(&mut link.shared.queue());
        sender.in_vain = match left.map(|left| left - content.len() as u64) {
            None => Some(InVain::Chunks),
            Some(0) => None,
            Some(rest) => Some(InVain::Left(rest)),
        };
        return Ok(Ok(content.len()));
    }
    let owed = sender.sending.half().owes_content();
    match grip.duplex(Some(sender), receiver.as_deref_mut()).write_content(content, wire) {
        Ok(Progress::Done(count)) => Ok(Ok(count)),
        Ok(Progress::Needs(interest)) => Ok(Err(grip.need(interest))),
        Err(Error::Local(Misuse::ReadFirst)) => {
            if receiver.is_some_and(|receiver| receiver.receiving.half().is_at_eof()) {
                sender.sending.give_up_content(&mut link.shared.queue());
                return Err(link.lost(py, "the peer closed the connection before the body was sent"));
            }
            match grip.duplex(Some(sender), None).write_content(content, wire) {
                Ok(Progress::Done(count)) => Ok(Ok(count)),
                Ok(Progress::Needs(interest)) => Ok(Err(grip.need(interest))),
                Err(error) => Err(given_up(py, grip, sender, error)),
            }
        }
        Err(Error::Local(Misuse::ContentRefused)) if owed => {
            sender.sending.give_up_content(&mut link.shared.queue());
            Err(link.lost(py, "the peer has answered before the body was sent; the response can be read"))
        }
        Err(error @ Error::Local(_)) => Err(grip.exception(py, error)),
        Err(error) => Err(given_up(py, grip, sender, error)),
    }
}

/// Refuses to write where no body is due: also after an error, with which the body counts as complete (statement 9.7).
fn check_owing(grip: &Grip, sender: &Sender) -> PyResult<()> {
    match sender.sending.half().owes_content() || grip.link.shared.failure().is_none() {
        true => Ok(()),
        false => Err(errors::misuse(Misuse::NoContentDue)),
    }
}

/// Sending failed: the request counts as complete, and its response can be read if there is one (statement 9.7).
///
/// What the peer sent may be unreadable. Reading says so, and after that everything does.
fn given_up(py: Python<'_>, grip: &Grip, sender: &mut Sender, error: Error) -> PyErr {
    sender.sending.give_up_content(&mut grip.link.shared.queue());
    if errors::is_unreadable(&error) && !grip.link.is_unreadable() {
        return grip.link.lost(py, "the peer sent what cannot be read before the body was sent; reading the response says more");
    }
    grip.exception(py, error)
}

/// After the last byte was taken: hands it to the system.
fn finish_sending(py: Python<'_>, grip: &Grip) -> PyResult<Step> {
    match flush(py, grip, What::Written)? {
        Ok(Flushed::Done) => Step::done(py),
        Ok(Flushed::Needs(need)) => Ok(Step::Needs(need)),
        Ok(Flushed::Pointless) => Err(grip.link.lost(py, "the peer does not take the rest of the body; there may be a response")),
        Err(error) => {
            let exception = grip.exception(py, error);
            grip.link.sender(py, |sender| sender.sending.give_up_content(&mut grip.link.shared.queue()))?;
            Err(exception)
        }
    }
}
