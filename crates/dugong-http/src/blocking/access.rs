//! The way of a blocking call to the engine, and how it waits.

use std::io::IoSlice;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use dugong_net::{Expiry, Stream, StreamError, wait_ready};

use crate::error::Error;
use crate::halves::SplitShared;
use crate::step::{Duplex, Interest, Need, Progress, Receiving};
use crate::transport::{Transport, WaitingFor};
use crate::wait_limits::WaitLimits;

/// A connection, or the half that the caller has, for the time of a call.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) duplex: Duplex<'a>,
    pub(super) channel: Channel<'a>,
    pub(super) limits: &'a WaitLimits,
    /// Set for a half that reads: it notifies the half that sends after each step.
    pub(super) split: Option<&'a SplitShared<Transport>>,
}

/// The stream of a connection, for one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel<'a> {
    pub(super) transport: &'a Transport,
    /// The system had no room for more bytes, and has not announced any since.
    pub(super) is_full: Option<&'a AtomicBool>,
    /// Reads wait in the system, instead of returning.
    pub(super) waits: bool,
}

impl<'a> Channel<'a> {
    pub(super) fn new(transport: &'a Transport) -> Self {
        Channel { transport, is_full: None, waits: false }
    }
}

impl Channel<'_> {
    /// Waits until the stream is ready; false if the deadline passed.
    #[inline]
    pub(super) fn wait(&self, interest: Interest, deadline: Option<Instant>) -> Result<bool, Error> {
        let ready = wait_ready(self.transport, interest, deadline).map_err(Error::Socket)?;
        if let Some(is_full) = self.is_full {
            // A write would fail until the system has room again.
            is_full.store(interest.writes() && ready.is_some_and(|ready| !ready.writes()), Ordering::Relaxed);
        }
        Ok(ready.is_some())
    }
}

impl Stream for Channel<'_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if self.waits
            && let Some(socket) = self.transport.bare_socket()
        {
            return Ok(socket.read_waiting(buffer)?);
        }
        self.transport.read(buffer)
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        let Some(is_full) = self.is_full else { return self.transport.write(pieces) };
        if is_full.load(Ordering::Relaxed) {
            return Ok(Progress::Needs(Interest::WRITE));
        }
        self.transport.write(pieces)
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        self.transport.flush()
    }
}

impl Access<'_> {
    /// Runs a step to its end. Waits as long as `limits` allows each time.
    #[inline]
    pub(super) fn drive<T>(
        &mut self,
        waiting_for: WaitingFor,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.limits.check(waiting_for)?;
        loop {
            let result = step(&mut self.duplex, &mut self.channel);
            self.close_if_final(&result);
            match result? {
                Progress::Done(value) => return Ok(value),
                Progress::Needs(interest) => {
                    wait(&self.channel, self.duplex.need(interest, waiting_for), self.limits)?;
                }
            }
        }
    }

    /// Runs a step that reads.
    #[inline]
    pub(super) fn read<T>(
        &mut self,
        step: impl FnMut(&mut Duplex<'_>, &mut Channel<'_>) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        self.channel.waits = self.split.is_none() && self.limits.is_unlimited() && !self.duplex.has_to_send();
        let result = self.drive(WaitingFor::Response, step);
        self.channel.waits = false;
        self.duplex.report_complete();
        self.duplex.release_buffers_between();
        if let Some(split) = self.split {
            split.something_was_read(&result);
        }
        result
    }

    /// Closes the stream after the error that ended the connection: nothing is left to read, so the server need not keep it.
    #[inline]
    pub(super) fn close_if_final<T>(&self, result: &Result<T, Error>) {
        if result.is_err() && self.split.is_none() && self.duplex.shared.is_final(result) {
            self.channel.transport.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn receiving(&self) -> &Receiving {
        self.duplex.receiving.as_ref().expect("responses are read with the receiving side")
    }
}

/// Waits as long as the step needs and `limits` allows.
#[inline]
pub(super) fn wait(channel: &Channel<'_>, need: Need, limits: &WaitLimits) -> Result<(), Error> {
    if need.until.is_none() && !limits.is_limited(need.phase) {
        // The usual case needs no clock.
        return channel.wait(need.interest, None).map(drop);
    }
    // A deadline counts even if the stream is ready.
    limits.check(need.phase)?;
    let expiry = limits.expiry(need.phase, Instant::now());
    let end = expiry.map(|expiry| expiry.at).into_iter().chain(need.until).min();
    let ready = channel.wait(need.interest, end)?;
    match expiry {
        Some(Expiry { at, limit }) if !ready && end == Some(at) => {
            Err(Error::TimedOut { waiting_for: need.phase, limit, to: None })
        }
        _ => Ok(()),
    }
}
