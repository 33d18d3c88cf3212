//! Sending what is left of what was taken.

use dugong_http::step::{Interest, Progress};
use dugong_http::{Error, Misuse};
use pyo3::prelude::*;

use crate::errors;
use crate::guard::Grip;
use crate::link::{Receiver, Sender};
use crate::need::Need;

/// What is being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A request without a body.
    Head,
    /// A request with the body that was given with it.
    Whole,
    /// A body that is written.
    Written,
}

/// Whether a final response to the last request has arrived, behind others or not (statement 9.8).
fn is_answered(grip: &Grip, sender: &mut Sender, receiver: Option<&mut Receiver>) -> bool {
    receiver.is_some() && grip.duplex(Some(sender), receiver).is_answered()
}

/// What became of sending what is left.
pub(crate) enum Flushed {
    Done,
    Needs(Need),
    /// The peer does not take more, and has answered, or has ended its direction so that no answer can come: the rest was
    /// given up.
    Pointless,
}

/// Sends what is left of what was taken. The inner error is one of sending.
pub(crate) fn flush(py: Python<'_>, grip: &Grip, what: What) -> PyResult<Result<Flushed, Error>> {
    grip.send(py, |sender, mut receiver, wire| {
        if grip.link.is_closed() {
            return Err(grip.link.gone(py));
        }
        let flushed = grip.duplex(Some(sender), receiver.as_deref_mut()).flush(wire);
        let interest = match flushed {
            Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
            // Who only asks does not care what arrives (statement 18.2).
            Ok(Progress::Needs(interest)) if interest.writes() && what == What::Head => Interest::WRITE,
            Ok(Progress::Needs(interest)) => interest,
            Err(Error::Local(Misuse::ReadFirst)) => {
                if receiver.as_ref().is_some_and(|receiver| receiver.receiving.half().is_at_eof()) {
                    sender.sending.give_up_content(&mut grip.link.shared.queue());
                    return Ok(Ok(Flushed::Pointless));
                }
                match grip.duplex(Some(sender), None).flush(wire) {
                    Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
                    Ok(Progress::Needs(interest)) => interest,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Err(_) if is_over(grip) => return Ok(give_up_rest(grip, sender)),
            Err(error) => {
                // The peer may have said why it does not take the rest.
                let has_answer = what == What::Whole
                    && receiver.is_some()
                    && grip.duplex(None, receiver.as_deref_mut()).has_arrived(wire)
                    && is_answered(grip, sender, receiver);
                if !has_answer {
                    return Ok(Err(error));
                }
                sender.sending.give_up_content(&mut grip.link.shared.queue());
                return Ok(Ok(Flushed::Pointless));
            }
        };
        // What a TLS object holds back is not asked about.
        if is_over(grip) {
            return Ok(give_up_rest(grip, sender));
        }
        if what != What::Head && is_answered(grip, sender, receiver) {
            sender.sending.give_up_content(&mut grip.link.shared.queue());
            return Ok(Ok(Flushed::Pointless));
        }
        Ok(Ok(Flushed::Needs(grip.need(interest))))
    })
}

/// Whether nothing more may leave, though it could: what was received says so.
fn is_over(grip: &Grip) -> bool {
    !grip.link.shared.is_cut() && grip.duplex(None, None).is_pointless()
}

/// Gives up what is left, since a response says that it is not wanted, or the connection has failed: then reading will tell
/// (statements 9.7, 14.3), unless it has told already, or nothing could be sent anyway.
fn give_up_rest(grip: &Grip, sender: &mut Sender) -> Result<Flushed, Error> {
    sender.sending.give_up_content(&mut grip.link.shared.queue());
    match grip.failure() {
        None => Ok(Flushed::Done),
        Some(error) if errors::is_unreadable(&error) && grip.link.is_unreadable() => Err(error),
        Some(error @ Error::Closed { .. }) if grip.transport.was_reset() => Err(error),
        Some(_) => Ok(Flushed::Pointless),
    }
}
