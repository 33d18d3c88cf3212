//! A request on its way through redirects to any origin.

use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use dugong_http::Origin;

use crate::failed::{Cause, Failed};
use crate::reply::Reply;
use crate::request::Request;
use crate::ticket::{News, Ticket};
use crate::trail::Trail;

/// Submits a request to the session of an origin.
pub(crate) type Submit<'a> = &'a mut dyn FnMut(&Origin, Request) -> Result<Ticket, Failed>;

/// Does what a session asks of the owner of a ticket.
pub(crate) type Serve<'a> = &'a mut dyn FnMut(&mut Ticket, &News);

/// A request that may visit several sessions.
#[derive(Debug)]
pub(crate) struct Journey {
    origin: Origin,
    /// The request that was submitted last.
    request: Request,
    trail: Trail,
    is_awaited: Cell<bool>,
    state: State,
}

#[derive(Debug)]
enum State {
    Under(Box<Ticket>),
    Over(Box<Result<Reply, Failed>>),
}

impl Journey {
    /// Splits the URL of a request, and submits the rest to the session of its origin. It may be redirected `most` times.
    pub(crate) fn begin(
        request: &Request,
        most: u32,
        total_timeout: Option<Duration>,
        submit: Submit<'_>,
    ) -> Result<Self, Failed> {
        let (origin, request) = request.split_url().map_err(|error| Failed::unsent(Cause::Invalid(Arc::new(error))))?;
        let ticket = submit(&origin, request.clone())?;
        let trail = Trail::anywhere(&request, most, total_timeout);
        Ok(Journey { origin, request, trail, is_awaited: Cell::new(false), state: State::Under(Box::new(ticket)) })
    }

    /// Tells its session that the caller waits for the outcome.
    pub(crate) fn set_awaited(&self) {
        self.is_awaited.set(true);
        if let State::Under(ticket) = &self.state {
            ticket.set_awaited(true);
        }
    }

    /// The ticket to wait for, unless it is over.
    pub(crate) fn ticket(&mut self) -> Option<&mut Ticket> {
        match &mut self.state {
            State::Under(ticket) => Some(ticket),
            State::Over(_) => None,
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn set_waker(&self, waker: &Waker) {
        if let State::Under(ticket) = &self.state {
            ticket.set_waker(waker);
        }
    }

    /// Does all that can be done without waiting, and returns true when the reply or the error can be taken.
    ///
    /// `serve` does what a session asks of the owner.
    pub(crate) fn advance(&mut self, waker: &Waker, serve: Serve<'_>, submit: Submit<'_>) -> bool {
        while let State::Under(ticket) = &mut self.state {
            match ticket.news() {
                News::None => return false,
                News::Head | News::Over => {}
                news => {
                    serve(ticket, &news);
                    continue;
                }
            }
            // The placeholder stays for a moment only.
            let State::Under(ticket) = std::mem::replace(&mut self.state, State::over(Err(Failed::unsent(Cause::Cancelled))))
            else {
                return true;
            };
            self.state = match ticket.take_reply() {
                Err(ticket) => State::Under(Box::new(ticket)),
                Ok(Err(failed)) => State::over(Err(self.trail.failed(failed))),
                Ok(Ok(reply)) => self.lead_on(reply, waker, &mut *submit),
            };
        }
        true
    }

    /// Follows a reply, if it leads on.
    fn lead_on(&mut self, mut reply: Reply, waker: &Waker, submit: Submit<'_>) -> State {
        let Some((origin, request)) = self.trail.next(&self.request, &self.origin, reply.head(), reply.attempts()) else {
            reply.set_effort(self.trail.effort(reply.effort()));
            return State::over(Ok(reply));
        };
        // The rest of the content is skipped.
        drop(reply);
        match submit(&origin, request.clone()) {
            Ok(ticket) => {
                ticket.set_waker(waker);
                if self.is_awaited.get() {
                    ticket.set_awaited(true);
                }
                (self.origin, self.request) = (origin, request);
                State::Under(Box::new(ticket))
            }
            Err(failed) => State::over(Err(self.trail.failed(failed))),
        }
    }

    /// Where it is: the origin, and the request as that one gets it.
    pub(crate) fn place(&self) -> (&Origin, &Request) {
        (&self.origin, &self.request)
    }

    /// Takes the reply or the error, after [`advance`](Journey::advance) has returned true.
    ///
    /// # Panics
    /// If the journey goes on.
    pub(crate) fn into_result(self) -> Result<Reply, Failed> {
        match self.state {
            State::Over(result) => *result,
            State::Under(_) => panic!("the journey goes on"),
        }
    }
}

impl State {
    fn over(result: Result<Reply, Failed>) -> Self {
        State::Over(Box::new(result))
    }
}
