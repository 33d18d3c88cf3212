//! The blocking client: step, then wait.

mod connection;
mod content;
mod response;
mod split;

pub use connection::Connection;
pub use content::ContentWriter;
pub use response::Response;
pub use split::{RequestHalf, ResponseHalf};

use std::time::{Duration, Instant};

use crate::error::{Error, WaitingFor};
use crate::step::{Duplex, Interest, Progress};
use crate::transport::Socket;

/// Runs a step to its end, waiting at most `timeout` each time that it has to.
fn drive<T>(
    duplex: &mut Duplex<'_>,
    mut socket: &Socket,
    timeout: Option<Duration>,
    waiting_for: WaitingFor,
    mut step: impl FnMut(&mut Duplex<'_>, &mut &Socket) -> Result<Progress<T>, Error>,
) -> Result<T, Error> {
    loop {
        match step(duplex, &mut socket)? {
            Progress::Done(value) => return Ok(value),
            Progress::Needs(interest) => {
                if !wait(socket, interest, timeout, duplex.until())? {
                    return Err(Error::TimedOut { waiting_for });
                }
            }
        }
    }
}

/// Waits for the socket, at most `timeout`, or until a step has to be made again anyway; false if the timeout passed.
pub(crate) fn wait(
    socket: &Socket,
    interest: Interest,
    timeout: Option<Duration>,
    until: Option<Instant>,
) -> Result<bool, Error> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let limit = timeout.into_iter().chain(left).min();
    let ready = socket.wait(interest, limit).map_err(Error::Wait)?;
    Ok(ready || limit != timeout)
}
