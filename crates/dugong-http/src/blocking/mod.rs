//! The blocking client: step, then wait.

mod connection;
mod content;
mod response;
mod split;

pub use connection::Connection;
pub use content::ContentWriter;
pub use response::Response;
pub use split::{RequestHalf, ResponseHalf};

use std::time::Instant;

use crate::error::Error;
use crate::step::{Duplex, Interest, Progress};
use crate::transport::{Expiry, TimeLimit, Timeouts, Transport, WaitingFor, wait_uninterrupted};

/// How long a caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) timeouts: Timeouts,
    pub(crate) deadline: Option<Instant>,
}

impl Patience {
    /// An error if it has come to its end, ready or not: a server that always has something to send is no exception.
    fn check(&self, waiting_for: WaitingFor) -> Result<(), Error> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                Err(Error::TimedOut { waiting_for, limit: TimeLimit::Deadline, to: None })
            }
            _ => Ok(()),
        }
    }
}

/// Runs a step to its end, waiting as long as `patience` says each time that it has to.
fn drive<T>(
    duplex: &mut Duplex<'_>,
    mut transport: &Transport,
    patience: &Patience,
    waiting_for: WaitingFor,
    mut step: impl FnMut(&mut Duplex<'_>, &mut &Transport) -> Result<Progress<T>, Error>,
) -> Result<T, Error> {
    patience.check(waiting_for)?;
    loop {
        match step(duplex, &mut transport)? {
            Progress::Done(value) => return Ok(value),
            Progress::Needs(interest) => {
                let waiting_for = match waiting_for {
                    WaitingFor::Response if duplex.has_begun_to_read() => WaitingFor::Content,
                    other => other,
                };
                wait(transport, interest, patience, waiting_for, duplex.until())?;
            }
        }
    }
}

/// Waits for the stream, as long as `patience` says, or until a step has to be made again anyway.
#[inline]
pub(crate) fn wait(
    transport: &Transport,
    interest: Interest,
    patience: &Patience,
    waiting_for: WaitingFor,
    until: Option<Instant>,
) -> Result<(), Error> {
    let limit = patience.timeouts.of(waiting_for);
    if limit.is_none() && until.is_none() && patience.deadline.is_none() {
        // The usual case needs no clock.
        return wait_uninterrupted(transport, interest, None).map(drop).map_err(Error::Socket);
    }
    let now = Instant::now();
    let deadline = patience.deadline.map(|at| Expiry { at, limit: TimeLimit::Deadline });
    let expiry = Expiry::earliest([Expiry::after(now, limit, TimeLimit::Phase), deadline]);
    let end = expiry.map(|expiry| expiry.at).into_iter().chain(until).min();
    let ready = wait_uninterrupted(transport, interest, end).map_err(Error::Socket)?;
    match expiry {
        Some(Expiry { at, limit }) if !ready && end == Some(at) => Err(Error::TimedOut { waiting_for, limit, to: None }),
        _ => Ok(()),
    }
}
