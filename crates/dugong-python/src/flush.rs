//! Sends the bytes that the engine holds.

use dugong_http::driver::{Interest, Progress};
use dugong_http::{Error, Misuse};
use pyo3::prelude::*;

use crate::errors;
use crate::guard::ConnectionGuard;
use crate::link::{Sides, State};
use crate::need::Need;
use crate::wire::Wire;

/// The part of a request that is being sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A request without a body.
    Head,
    /// A request with the body that was given with it.
    Whole,
    /// A body that is written.
    Written,
}

/// The result of sending.
pub(crate) enum Flushed {
    Done,
    Needs(Need),
    /// The server does not take more, and has answered, or has ended its direction so that no answer can come: the rest was
    /// given up.
    Pointless,
}

/// Sends the rest. The inner error is one of sending.
pub(crate) fn flush(
    py: Python<'_>,
    guard: &ConnectionGuard,
    state: &mut State,
    sides: Sides,
    wire: &mut Wire<'_, '_>,
    part: Part,
) -> PyResult<Result<Flushed, Error>> {
    if guard.link.is_closed() {
        return Err(state.gone(py));
    }
    if guard.defers(state) {
        return Ok(Ok(Flushed::Needs(guard.need(Interest::WRITE))));
    }
    let interest = match state.duplex(sides).flush(wire) {
        Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
        // An operation that only asks does not wait for bytes to read (statement 18.2).
        Ok(Progress::Needs(interest)) if interest.writes() && part == Part::Head => Interest::WRITE,
        Ok(Progress::Needs(interest)) => interest,
        Err(Error::Local(Misuse::ReadFirst)) => {
            if sides.receive() && state.receiving.half().is_at_eof() {
                state.give_up_content();
                return Ok(Ok(Flushed::Pointless));
            }
            match state.duplex(Sides::Sender).flush(wire) {
                Ok(Progress::Done(())) => return Ok(Ok(Flushed::Done)),
                Ok(Progress::Needs(interest)) => interest,
                Err(error) => return Ok(Err(error)),
            }
        }
        Err(_) if is_over(state) => return Ok(give_up_rest(guard, state)),
        Err(error) => {
            // The server may have said why it does not take the rest.
            let has_answer = part == Part::Whole
                && sides.receive()
                && state.duplex(Sides::Receiver).has_arrived(wire)
                && state.duplex(sides).is_answered();
            if !has_answer {
                return Ok(Err(error));
            }
            state.give_up_content();
            return Ok(Ok(Flushed::Pointless));
        }
    };
    // This does not ask about bytes that a TLS object holds.
    if is_over(state) {
        return Ok(give_up_rest(guard, state));
    }
    // A final response to the last request may have arrived, perhaps behind others (statement 9.8).
    if part != Part::Head && sides.receive() && state.duplex(sides).is_answered() {
        state.give_up_content();
        return Ok(Ok(Flushed::Pointless));
    }
    Ok(Ok(Flushed::Needs(guard.need(interest))))
}

/// Whether the received bytes say that nothing more may be sent.
fn is_over(state: &mut State) -> bool {
    !state.shared.is_cut() && state.is_sending_over()
}

/// Gives up the rest, because of a response or because the connection has failed. Reading reports that (statements 9.7, 14.3),
/// unless it has done so already, or nothing could be sent anyway.
fn give_up_rest(guard: &ConnectionGuard, state: &mut State) -> Result<Flushed, Error> {
    state.give_up_content();
    match state.failure() {
        None => Ok(Flushed::Done),
        Some(error) if errors::is_unreadable(&error) && state.is_unreadable => Err(error),
        Some(error @ Error::Closed { .. }) if guard.transport.was_reset() => Err(error),
        Some(_) => Ok(Flushed::Pointless),
    }
}
