//! Many requests through one connection, with many in flight, on one thread or in one task: what goes out when, however one
//! waits.

use std::borrow::Borrow;
use std::fmt;

use dugong_proto::{HeadKind, Misuse};

use crate::error::Error;
use crate::request::Request;
use crate::step::{Duplex, InFlight, Interest, Progress};
use crate::transport::Stream;

/// The requests of a pipeline, and which of them are in flight.
pub(crate) struct Window<I: Iterator> {
    requests: I,
    /// The iterator said that there are no more: it need not be able to say so twice.
    exhausted: bool,
    /// Taken from the iterator, and not yet by the connection.
    current: Option<I::Item>,
    pub(crate) taken: u64,
    in_flight: InFlight,
    pub(crate) max_requests: usize,
    pub(crate) max_bytes: usize,
}

/// What came of sending as far as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It can go on.
    More,
    /// Nothing more until something is read.
    UntilRead,
    /// Nothing more until the stream is ready.
    UntilReady(Interest),
}

impl<I> Window<I>
where
    I: Iterator,
    I::Item: Borrow<Request>,
{
    /// Nothing is in flight yet but what was outstanding on the connection before.
    pub(crate) fn new(duplex: &mut Duplex<'_>, requests: I) -> Self {
        // One whose content is being read has had its head, and is not waited for.
        let earlier = duplex.requests_without_head();
        Window {
            requests,
            exhausted: false,
            current: None,
            taken: 0,
            in_flight: InFlight::new(earlier),
            max_requests: 64,
            max_bytes: 1 << 20,
        }
    }

    /// What was taken from the iterator and not begun to be sent, and the rest of the iterator.
    pub(crate) fn into_rest(self) -> (Option<I::Item>, I) {
        (self.current, self.requests)
    }

    /// Reads the head of the next response, and keeps requests going out; false if there is nothing more to do.
    pub(crate) fn step(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<Progress<bool>, Error> {
        if self.in_flight.is_low(self.max_requests, self.max_bytes) {
            self.send_more(duplex, stream)?;
        }
        // What may come behind the last response is no business of the pipeline: the next send judges it.
        if self.exhausted && self.current.is_none() && duplex.shared.queue().is_empty() {
            return Ok(Progress::Done(false));
        }
        let sent = match duplex.next_head()? {
            Some(HeadKind::Final) => Sent::UntilRead,
            Some(HeadKind::Interim) | None => self.send_more(duplex, stream)?,
        };
        if duplex.shared.queue().is_empty() && self.current.is_none() {
            return Ok(Progress::Done(false));
        }
        match (duplex.read_head(stream)?, sent) {
            (Progress::Done(()), _) => {
                self.in_flight.answered();
                Ok(Progress::Done(true))
            }
            (Progress::Needs(interest), Sent::UntilReady(also)) => Ok(Progress::Needs(interest | also)),
            (Progress::Needs(interest), Sent::More | Sent::UntilRead) => Ok(Progress::Needs(interest)),
        }
    }

    /// Sends requests as far as the window allows, and as is possible without waiting.
    fn send_more(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<Sent, Error> {
        let mut sent = Sent::More;
        while sent == Sent::More {
            if self.current.is_none() {
                if self.exhausted || self.in_flight.is_full(self.max_requests) {
                    break;
                }
                let Some(request) = self.requests.next() else {
                    self.exhausted = true;
                    break;
                };
                self.taken += 1;
                self.current = Some(request);
            }
            sent = self.send_current(duplex, stream)?;
        }
        // If it fails, what has arrived can still be read; then reading reports the end.
        let _ = duplex.write_pending(stream);
        Ok(sent)
    }

    /// Has the connection take the current request, if there is room for it.
    fn send_current(&mut self, duplex: &mut Duplex<'_>, stream: &mut impl Stream) -> Result<Sent, Error> {
        let Some(request) = &self.current else { return Ok(Sent::More) };
        let request: &Request = request.borrow();
        let size = match InFlight::size_of(request) {
            Ok(size) => size,
            Err(misuse) => {
                self.current = None;
                return Err(Error::Local(misuse));
            }
        };
        if !self.in_flight.has_room(size, self.max_bytes) {
            return Ok(Sent::UntilRead);
        }
        match duplex.take_request(request, stream) {
            Ok(Progress::Done(_)) => {
                self.current = None;
                self.in_flight.sent(size);
                Ok(Sent::More)
            }
            Ok(Progress::Needs(interest)) => Ok(Sent::UntilReady(interest)),
            Err(Error::Local(Misuse::ReadFirst | Misuse::ContentRefused)) => Ok(Sent::UntilRead),
            Err(error @ Error::Local(Misuse::ContentOwed)) => Err(error),
            Err(error @ Error::Local(_)) => {
                self.current = None;
                Err(error)
            }
            // Nothing of it was sent; reading will tell why, after what can still be read.
            Err(_) if !duplex.shared.queue().is_empty() => Ok(Sent::UntilRead),
            Err(error) => Err(error),
        }
    }
}

impl<I: Iterator> fmt::Debug for Window<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("taken", &self.taken)
            .field("in_flight", &self.in_flight)
            .field("max_requests", &self.max_requests)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
