//! `send_request` (statements 8 and 10).

use std::sync::atomic::Ordering;

use dugong_http::step::Progress;
use dugong_http::{Announced, CloseReason, Closed, Error, Misuse};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::connect::{Connect, Resolver};
use crate::errors::{self, state_error};
use crate::flush::{Flushed, What, flush};
use crate::guard::{Grip, Role};
use crate::link::{InVain, Link, Receiver, Sender, check_torn};
use crate::log;
use crate::need::Need;
use crate::request::{Arguments, Prepared};
use crate::state::HTTPConnection;
use crate::task::{Step, Task};
use crate::wire::Wire;

/// `send_request()`.
pub(crate) struct SendRequest {
    stage: Stage,
    /// Lasts until the request is taken: readers that came before it wait as long as that.
    connect: Option<Connect>,
    resolver: Resolver,
}

enum Stage {
    Begin(Arguments),
    Connecting(Prepared),
    Ready(Prepared),
    Taking(Grip, Prepared),
    Sending { grip: Grip, number: u64, what: What },
    Over,
}

impl SendRequest {
    pub(crate) fn new(
        method: Bound<'_, PyAny>,
        path: Bound<'_, PyAny>,
        headers: Option<Bound<'_, PyAny>>,
        body: Option<Bound<'_, PyAny>>,
        expect100: Option<Bound<'_, PyAny>>,
        resolver: Resolver,
    ) -> Self {
        let (method, path) = (method.unbind(), path.unbind());
        let (headers, body, expect100) = (headers.map(Bound::unbind), body.map(Bound::unbind), expect100.map(Bound::unbind));
        SendRequest { stage: Stage::Begin(Arguments { method, path, headers, body, expect100 }), connect: None, resolver }
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Over)
    }
}

impl Task for SendRequest {
    fn step(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<Step> {
        let py = connection.py();
        loop {
            match &mut self.stage {
                Stage::Begin(arguments) => {
                    let prepared = arguments.prepare(py, &connection.get().target(py)?)?;
                    self.stage = if needs_connection(connection)? {
                        self.connect = Some(Connect::new(self.resolver));
                        Stage::Connecting(prepared)
                    } else {
                        Stage::Ready(prepared)
                    };
                }
                Stage::Connecting(_) => {
                    let connect = self.connect.as_mut().expect("made for this stage");
                    if let Some(need) = connect.go_on(connection)? {
                        return Ok(Step::Needs(need));
                    }
                    let Stage::Connecting(prepared) = self.take() else { unreachable!("just matched") };
                    self.stage = Stage::Ready(prepared);
                }
                Stage::Ready(_) => {
                    let Stage::Ready(prepared) = self.take() else { unreachable!("just matched") };
                    let Some(grip) = connection.get().grip(py, Role::Send)? else {
                        return Err(errors::ConnectionClosed::new_err("the connection was closed by disconnect()"));
                    };
                    self.stage = Stage::Taking(grip, prepared);
                }
                Stage::Taking(grip, prepared) => {
                    let number = match prepared.hand_over(py, grip)? {
                        Ok(Some(number)) => number,
                        Ok(None) => return Step::done(py),
                        Err(need) => return Ok(Step::Needs(need)),
                    };
                    self.connect = None;
                    if grip.link.is_logged {
                        log::sent(py, &prepared.method, &prepared.path)?;
                    }
                    let Stage::Taking(grip, prepared) = self.take() else { unreachable!("just matched") };
                    self.stage = Stage::Sending { grip, number, what: if prepared.given { What::Whole } else { What::Head } };
                }
                Stage::Sending { grip, number, what } => match flush(py, grip, *what)? {
                    Ok(Flushed::Needs(need)) => return Ok(Step::Needs(need)),
                    // If no answer can come, reading will tell (statement 14.3).
                    Ok(Flushed::Done | Flushed::Pointless) => return Step::done(py),
                    Err(error) => {
                        let exception = grip.exception(py, error);
                        take_back(py, grip, *number)?;
                        return Err(exception);
                    }
                },
                Stage::Over => return Step::done(py),
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.stage {
            Stage::Begin(Arguments { method, path, headers, body, expect100 }) => {
                [headers, body, expect100].into_iter().flatten().chain([method, path]).try_for_each(|object| visit.call(object))
            }
            Stage::Connecting(Prepared { method, path, .. })
            | Stage::Ready(Prepared { method, path, .. })
            | Stage::Taking(_, Prepared { method, path, .. }) => {
                visit.call(method)?;
                visit.call(path)
            }
            Stage::Sending { .. } | Stage::Over => Ok(()),
        }?;
        match &self.stage {
            Stage::Taking(grip, _) | Stage::Sending { grip, .. } => grip.traverse(visit),
            _ => Ok(()),
        }
    }

    fn awaited(&mut self) {
        self.resolver = self.resolver.awaited();
    }

    fn interrupted(&mut self, connection: &Bound<'_, HTTPConnection>) {
        if let (Stage::Connecting(_), Some(connect)) = (&self.stage, &mut self.connect) {
            connect.interrupt(connection);
        }
    }

    fn timed_out(&mut self, connection: &Bound<'_, HTTPConnection>) -> PyResult<()> {
        match (&self.stage, &mut self.connect) {
            (Stage::Connecting(_), Some(connect)) => connect.timed_out(connection),
            _ => Err(errors::ConnectionTimedOut::new_err("timed out waiting for the peer to take the request")),
        }
    }
}

/// Whether a connection has to be made first: there is none; or there is one that cannot be used any more, because a body was
/// refused, and the caller is not to notice (statement 10.3).
pub(crate) fn needs_connection(connection: &Bound<'_, HTTPConnection>) -> PyResult<bool> {
    let py = connection.py();
    let Some(link) = connection.get().open_link() else { return Ok(true) };
    // One that has failed tells that to whoever sends or reads, as after any other response.
    if !link.refused.load(Ordering::Acquire) || link.shared.failure().is_some() {
        return Ok(false);
    }
    if link.receiver(py, |receiver| receiver.current.is_some())? {
        return state_error("the response that came in place of 100 has to be read first");
    }
    Ok(true)
}

impl Prepared {
    /// Gives the request to the engine: its number, if it is to be sent and not taken in vain; or what is needed first.
    fn hand_over(&mut self, py: Python<'_>, grip: &Grip) -> PyResult<Result<Option<u64>, Need>> {
        self.settle_host(&grip.link);
        grip.send(py, |sender, receiver, wire| {
            if grip.link.is_closed() {
                return Err(grip.link.gone(py));
            }
            if let Some(error) = grip.failure() {
                if errors::is_unreadable(&error) || is_unasked(&error) {
                    return Err(grip.exception(py, error));
                }
                // Whoever asks for the response is told (statement 14.3).
                sender.sending.give_up_content(&mut grip.link.shared.queue());
                return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
            }
            if sender.is_owing() {
                return state_error("the body of the previous request has not been written completely");
            }
            check_torn(&grip.link)?;
            if grip.link.shared.is_cut() {
                return Err(grip.link.lost(py, "the connection was lost while something was sent"));
            }
            let (taken, end) = self.offer(grip, sender, receiver, wire);
            let number = match taken {
                Ok(Progress::Needs(interest)) => return Ok(Err(grip.need(interest))),
                Ok(Progress::Done(number)) => Some(number),
                Err(Error::Closed { .. }) if end == End::Reset && !grip.duplex(None, None).is_pointless() => {
                    return Err(grip.link.lost(py, "the connection was lost"));
                }
                // The peer will not answer; whoever asks for the response is told so (statement 14.3).
                Err(error @ Error::Closed { cause: Closed::InOrder(_), .. }) if !is_unasked(&error) => {
                    return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
                }
                Err(Error::Local(Misuse::ReadFirst)) if end == End::Seen => {
                    return self.take_in_vain(py, grip, sender).map(|()| Ok(None));
                }
                Err(error) => return Err(grip.exception(py, error)),
            };
            self.taken(py, &grip.link);
            Ok(Ok(number))
        })
    }

    /// The request was taken; its response is due.
    pub(crate) fn taken(&self, py: Python<'_>, link: &Link) {
        link.refused.store(false, Ordering::Release);
        link.silent.store(false, Ordering::Release);
        link.ask(self.method.clone_ref(py), self.path.clone_ref(py));
    }

    /// One attempt; also what is known of the end of the connection.
    fn offer(
        &self,
        grip: &Grip,
        sender: &mut Sender,
        mut receiver: Option<&mut Receiver>,
        wire: &mut Wire<'_, '_>,
    ) -> (Result<Progress<u64>, Error>, End) {
        let taken = grip.duplex(Some(sender), receiver.as_deref_mut()).take_request(&self.request, wire);
        let end = match receiver.as_ref().map(|receiver| receiver.receiving.half()) {
            None => End::Unseen,
            Some(half) if !half.is_at_eof() => End::Unseen,
            // To send after a reset fails; after an end without close_notify it may not.
            Some(_) if receiver.as_ref().is_some_and(|receiver| receiver.receiving.was_reset()) => End::Reset,
            Some(_) => End::Seen,
        };
        if end != End::Unseen || receiver.is_none() || !matches!(taken, Err(Error::Local(Misuse::ReadFirst))) {
            return (taken, end);
        }
        // The receive buffer is full. Somebody else may be about to read: wait for writing alone.
        (grip.duplex(Some(sender), None).take_request(&self.request, wire), End::Unseen)
    }

    /// Takes the request, of which nothing will be sent: reading its response says why.
    fn take_in_vain(&self, py: Python<'_>, grip: &Grip, sender: &mut Sender) -> PyResult<()> {
        let taken = grip.duplex(Some(sender), None).accept_unsendable(&self.request, false);
        taken.map_err(|error| grip.exception(py, error))?;
        self.taken(py, &grip.link);
        sender.in_vain = match self.content {
            _ if self.given => None,
            Announced::Length(length) if length > 0 => Some(InVain::Left(length)),
            Announced::Chunked => Some(InVain::Chunks),
            _ => None,
        };
        Ok(())
    }
}

/// Whether the connection ended because the peer sent what nobody asked for (statement 14.6).
fn is_unasked(error: &Error) -> bool {
    let Error::Closed { cause: Closed::InOrder(reason), .. } = error else { return false };
    matches!(reason, CloseReason::RequestTimeout | CloseReason::UnaskedBytes)
}

/// What is known of the end of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Unseen,
    /// The peer has ended its direction in order.
    Seen,
    /// The connection was reset.
    Reset,
}

/// A request could not be sent: no response to it is pending (statement 8.14).
fn take_back(py: Python<'_>, grip: &Grip, number: u64) -> PyResult<()> {
    grip.link.sender(py, |sender| {
        let before = grip.link.shared.queue().len();
        sender.sending.take_back(number, &mut grip.link.shared.queue());
        if grip.link.shared.queue().len() < before {
            grip.link.ask_no_more();
        }
        if sender.sending.half().owes_content() {
            sender.sending.give_up_content(&mut grip.link.shared.queue());
        }
    })
}
