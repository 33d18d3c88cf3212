//! From a ticket to a reply, and through redirects before that.

use std::io;
use std::sync::Arc;

use dugong_http::{Method, ResponseHead};

use crate::digest::Check;
use crate::driver::slot::{Ended, SlotState};
use crate::effort::Effort;
use crate::failed::{Cause, Failed};
use crate::reply::Reply;
use crate::ticket::Ticket;
use crate::trail::Trail;

impl Ticket {
    /// Takes the reply or the error. A streamed reply keeps the ticket, and reads its content from there.
    ///
    /// # Errors
    /// The ticket, if the job is not that far.
    pub fn take_reply(mut self) -> Result<Result<Reply, Failed>, Self> {
        if self.leads_on() && self.follow() {
            return Err(self);
        }
        let mut state = self.slot.lock();
        if let Some(head) = state.take_head() {
            let effort = state.effort();
            drop(state);
            self.check = Some(self.check_of(&head)).filter(|check| !check.is_empty()).map(Box::new);
            return Ok(Ok(Reply::streamed(head, self.whole_effort(effort), self)));
        }
        drop(state);
        self.take_ended().ok_or(self)
    }

    /// Takes a collected reply, or the error. Look first whether the ticket [leads on](Ticket::leads_on).
    pub(crate) fn take_ended(&mut self) -> Option<Result<Reply, Failed>> {
        let mut state = self.slot.lock();
        if state.head().is_some() {
            return None;
        }
        if let Some(failed) = state.take_failed() {
            drop(state);
            return Some(Err(self.accounted(failed)));
        }
        let mut reply = state.take_reply(Reply::collected)?;
        self.held = state.held.take();
        drop(state);
        if !self.request.checks().is_empty() {
            let mut check = self.check_of(reply.head());
            check.update(reply.content());
            if let Err(failed) = self.checked(check, reply.attempts()) {
                return Some(Err(failed));
            }
        }
        if self.trail.is_some() {
            reply.set_effort(self.whole_effort(reply.effort()));
        }
        Some(Ok(reply))
    }

    /// Waits for the reply, and serves the session meanwhile.
    pub(crate) fn wait_for_reply(mut self) -> Result<Reply, Failed> {
        self.set_awaited(true);
        loop {
            if let Err(error) = self.wait(None) {
                return Err(Failed::unsure(Cause::System(Arc::new(error))));
            }
            let news = self.news();
            self.serve(&news);
            match self.take_reply() {
                Ok(result) => return result,
                Err(ticket) => self = ticket,
            }
        }
    }

    /// Whether content was read to its end.
    ///
    /// # Errors
    /// The reply is not complete, or not what its digest says.
    pub(crate) fn at_end(&mut self) -> io::Result<bool> {
        let state = self.slot.lock();
        let failed = match &state.ended {
            None => return Ok(false),
            Some(Ended::Reply(_) | Ended::Kept { .. }) => None,
            Some(Ended::Failed(failed)) => Some(failed.clone()),
        };
        let attempts = state.attempts;
        drop(state);
        if let Some(failed) = failed {
            return Err(self.accounted(failed).into());
        }
        // After a mismatch, the check stays to fail again.
        if let Some(check) = self.check.clone() {
            self.checked(*check, attempts)?;
        }
        Ok(true)
    }

    /// The check of a reply's content.
    fn check_of(&self, head: &ResponseHead) -> Check {
        let checks = self.request.checks();
        if checks.is_empty() || self.request.method() == Some(&Method::HEAD) {
            return Check::default();
        }
        Check::of_content(checks, head.status(), head.fields())
    }

    fn checked(&self, check: Check, attempts: u32) -> Result<(), Failed> {
        check.finish().map_err(|mismatch| {
            let safe_to_retry = self.request.job().may_arrive_twice();
            self.accounted(Failed::wrong_content(mismatch, safe_to_retry, attempts))
        })
    }

    /// The failure as that of the request before all redirects.
    fn accounted(&self, failed: Failed) -> Failed {
        match &self.trail {
            Some(trail) => trail.failed(failed),
            None => failed,
        }
    }

    fn whole_effort(&self, effort: Effort) -> Effort {
        self.trail.as_ref().map_or(effort, |trail| trail.effort(effort))
    }

    /// Whether the reply is a redirect, which may be followed.
    #[inline]
    pub(crate) fn leads_on(&self) -> bool {
        // Most tickets follow no redirects.
        self.trail.as_ref().is_some_and(|trail| self.leads_on_along(trail))
    }

    fn leads_on_along(&self, trail: &Trail) -> bool {
        let state = self.slot.lock();
        answer(&state).is_some_and(|(head, _)| trail.may_lead_on(head))
    }

    /// Follows the redirect; false if it is the reply.
    pub(crate) fn follow(&mut self) -> bool {
        let Some(trail) = &mut self.trail else { return false };
        let origin = &self.core.settings.origin;
        let state = self.slot.lock();
        let next = answer(&state).and_then(|(head, attempts)| trail.next(&self.request, origin, head, attempts));
        drop(state);
        match next {
            Some((_, request)) if !self.core.is_closed() => {
                self.resubmit(request);
                true
            }
            _ => {
                trail.end();
                false
            }
        }
    }
}

/// The head that has arrived, and the attempts that it took.
fn answer(state: &SlotState) -> Option<(&ResponseHead, u32)> {
    state.collected_head().or_else(|| state.head().map(|head| (head, state.attempts)))
}
