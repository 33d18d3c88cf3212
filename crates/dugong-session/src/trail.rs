//! The way of one request through redirects.

use std::time::{Duration, Instant};

use dugong_http::{Origin, ResponseHead};

use crate::effort::Effort;
use crate::failed::{Cause, Failed};
use crate::plan::Sent;
use crate::redirect::{Asked, follow, is_redirect};
use crate::request::Request;

/// Counts the redirects of a request, and accounts for all requests that it became.
#[derive(Debug)]
pub(crate) struct Trail {
    left: u32,
    /// Whether it may lead to another origin.
    anywhere: bool,
    begun: Instant,
    total_timeout: Option<Duration>,
    /// Of the requests before this one.
    attempts: u32,
    /// No redirect yet, or all requests before this one may be sent again.
    may_repeat: bool,
}

impl Trail {
    /// Begins with a request that may be redirected `most` times, to any origin.
    pub(crate) fn anywhere(request: &Request, most: u32, total_timeout: Option<Duration>) -> Self {
        let total_timeout = request.job().total_timeout.or(total_timeout);
        Trail { left: most, anywhere: true, begun: Instant::now(), total_timeout, attempts: 0, may_repeat: true }
    }

    /// Begins with a request that may be redirected `most` times, within its origin.
    pub(crate) fn within_origin(request: &Request, most: u32, total_timeout: Option<Duration>) -> Self {
        Trail { anywhere: false, ..Trail::anywhere(request, most, total_timeout) }
    }

    /// Whether a reply with this head may lead on.
    pub(crate) fn may_lead_on(&self, head: &ResponseHead) -> bool {
        self.left > 0 && is_redirect(head.status())
    }

    /// The next request and its origin, after a reply of `origin` to `request`; `None` if this is the reply.
    pub(crate) fn next(
        &mut self,
        request: &Request,
        origin: &Origin,
        head: &ResponseHead,
        attempts: u32,
    ) -> Option<(Origin, Request)> {
        if !self.may_lead_on(head) {
            return None;
        }
        let (asked_head, job) = (request.as_head().ok()?, request.job());
        let asked = Asked {
            method: asked_head.method(),
            target: asked_head.target(),
            fields: &asked_head.fields,
            is_repeatable: !job.read_once,
        };
        let next = follow(asked, origin, head.status(), head.fields()).ok()?;
        let next_origin = next.origin.clone();
        let crosses = next_origin != *origin;
        if crosses && !self.anywhere {
            return None;
        }
        let mut next = request.redirected(next, crosses).ok()?;
        if let Some(limit) = self.total_timeout {
            next = next.total_timeout(limit.saturating_sub(self.begun.elapsed()));
        }
        self.left -= 1;
        self.attempts += attempts;
        self.may_repeat &= job.may_arrive_twice();
        Some((next_origin, next))
    }

    /// Follows no further redirect.
    pub(crate) fn end(&mut self) {
        self.left = 0;
    }

    /// What all requests took, of which the last one took `effort`. A request that was redirected counts as sent.
    pub(crate) fn effort(&self, effort: Effort) -> Effort {
        match self.attempts {
            0 => effort,
            before => Effort { sent: Sent::Yes, attempts: before + effort.attempts },
        }
    }

    /// The failure of the last request as that of the first one, which was sent and answered if a redirect was followed.
    pub(crate) fn failed(&self, mut failed: Failed) -> Failed {
        if self.attempts > 0 {
            failed.sent = Sent::Yes;
            failed.attempts += self.attempts;
            failed.safe_to_retry &= self.may_repeat;
            if let (Cause::TimedOut { after }, Some(limit)) = (&mut failed.cause, self.total_timeout) {
                *after = limit;
            }
        }
        failed
    }
}
