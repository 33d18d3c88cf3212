//! From an open connection to a reply.
//!
//! A response has two moments of decision. At its head, the plan delivers it to its job or repeats the job instead (429, 503); a server
//! that announces the close here will not answer the requests behind (RFC 9112 §9.6), so they go elsewhere at once. At its end, the
//! connection is free for more, or closed.

use std::time::Duration;

use super::Plan;
use super::clock::{Nanos, nanos};
use super::config::LONGEST_RETRY_AFTER;
use super::connection::{Answer, Limit, State};
use super::events::{Action, Head, Whole};
use super::flight::Flight;
use super::ids::{ConnectionId, JobId};
use super::job::Place;
use super::outcome::{Answered, End, Failure, Loss, Sent};
use super::timers::Timer;

impl Plan {
    pub(super) fn opened(&mut self, now: Nanos, on: ConnectionId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        self.settled = false;
        if connection.state == State::Connecting {
            connection.state = State::Idle { since: now };
            self.origin.note_opened();
            // The plan may have learned more since it asked for this connection.
            connection.first_alone = self.origin.wants_first_alone();
            connection.limit = self.origin.per_connection().map_or(Limit::None, Limit::Learned);
        }
    }

    pub(super) fn sent(&mut self, now: Nanos, on: ConnectionId, job: JobId, sent: Sent) {
        let noted = self.connections.get_mut(on.0).and_then(|connection| connection.note_sent(job, sent));
        let Some((flight, is_first)) = noted else { return };
        if flight.skips {
            self.consider_skipping(now, on);
        } else if flight.recalled {
            // It is in flight for good, and its time counts again.
            self.attend(on);
        }
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        tracked.sent = tracked.sent.max(sent);
        tracked.attempts += u32::from(is_first);
    }

    /// All requests up to this one have left whole.
    pub(super) fn sent_through(&mut self, now: Nanos, on: ConnectionId, last: JobId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        let jobs = &mut self.jobs;
        let is_given_up = connection.note_all_sent(last, |job, is_first| {
            if let Some(tracked) = jobs.get_mut(job.0) {
                tracked.sent = Sent::Yes;
                tracked.attempts += u32::from(is_first);
            }
        });
        if is_given_up {
            self.consider_skipping(now, on);
            self.attend(on);
        }
    }

    pub(super) fn head(&mut self, now: Nanos, on: ConnectionId, head: Head) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        let answered = connection.answered;
        connection.answer = Answer::Begun { length: head.length, content: 0 };
        let Some(flight) = connection.flights.front_mut() else { return };
        let (job, wanted) = (flight.job, flight.wanted_by());
        let is_unreported = flight.sent == Sent::No;
        let refuses_content = flight.upload && flight.sent != Sent::Yes;
        if !head.persists {
            connection.state = State::Draining;
            // Many servers close after an error, or because they do not want the content. That says nothing about the next connection.
            if head.status < 400 && !refuses_content {
                self.origin.note_limit(answered + 1);
            }
            self.move_those_behind(on);
        } else if let Some(more) = head.keep_alive_max {
            let limit = (answered + 1).saturating_add(more);
            connection.limit = Limit::Told(limit);
            self.origin.note_limit(limit);
        }
        if is_unreported {
            // Without a byte of the request there would be no answer.
            self.sent(now, on, job, Sent::Partly);
        }
        let Some(job) = wanted else { return self.consider_skipping(now, on) };
        if let Some(tracked) = self.jobs.get_mut(job.0) {
            tracked.answered = Answered::Head;
            tracked.delivered = tracked.job.streamed;
        }
        if head.status == 417 && self.note_failed_expectation(job) {
            self.skip(now, on, job);
            return self.put_back(job);
        }
        match self.wait_after_refusal(now, job, head) {
            Some(wait) => self.repeat_later(now, on, job, wait),
            None => self.actions.push_back(Action::Deliver { job, on }),
        }
    }

    /// RFC 9110 §10.1.1: after 417, a request is repeated without its expectation. That costs nothing, since it happens once. It
    /// is too late for content that cannot be read twice if its owner was asked for some.
    fn note_failed_expectation(&mut self, job: JobId) -> bool {
        let may_expect = self.may_expect(job);
        let Some(tracked) = self.jobs.get_mut(job.0) else { return false };
        let is_gone = tracked.job.read_once && tracked.is_read;
        let repeats = may_expect && !is_gone && tracked.job.repeat != Some(false);
        if repeats {
            tracked.expectation_failed = true;
            tracked.delivered = false;
        }
        repeats
    }

    /// How long to wait before this job is repeated because of the answer; `None` if the caller gets the answer.
    fn wait_after_refusal(&mut self, now: Nanos, job: JobId, head: Head) -> Option<Nanos> {
        if head.status < 400 && self.config.repeat_statuses.is_empty() {
            return None;
        }
        let tracked = self.jobs.get(job.0)?;
        let by_setting = self.config.repeat_statuses.contains(&head.status);
        // RFC 6585 §4, RFC 9110 §15.6.4: the server says when it will be able to answer.
        if !(by_setting || matches!(head.status, 429 | 503) && head.retry_after.is_some()) {
            return None;
        }
        if !tracked.job.may_arrive_twice() || tracked.job.read_once || tracked.repeats >= self.config.retries {
            return None;
        }
        let wait = head.retry_after.map_or_else(|| self.backoff.wait(tracked.repeats), nanos);
        let too_late = now.saturating_add(wait) >= tracked.deadline;
        (wait <= LONGEST_RETRY_AFTER && !too_late && self.budget.take()).then_some(wait)
    }

    /// Puts a job aside for a while. Its wait holds no connection: the answer that it does not want is skipped.
    fn repeat_later(&mut self, now: Nanos, on: ConnectionId, job: JobId, wait: Nanos) {
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        tracked.repeats += 1;
        tracked.delivered = false;
        tracked.place = Place::Resting;
        self.repeated += 1;
        self.set_timer(now.saturating_add(wait), Timer::Rested(job.0));
        self.skip(now, on, job);
    }

    pub(super) fn content(&mut self, now: Nanos, on: ConnectionId, bytes: u64) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        let Some(flight) = connection.flights.front() else { return };
        if let Answer::Begun { content, .. } = &mut connection.answer {
            *content += bytes;
        }
        let Some(job) = flight.wanted_by() else {
            connection.skipped += bytes;
            return self.consider_skipping(now, on);
        };
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        tracked.answered = Answered::Partly;
        tracked.content += bytes;
        if tracked.job.streamed || !tracked.awaited {
            tracked.held += bytes;
            self.held += bytes;
        }
        if !tracked.job.streamed && tracked.content > self.config.max_content {
            self.abandon(now, job, Failure::TooLarge { limit: self.config.max_content });
        }
    }

    /// Notes a response that has arrived whole, with so many bytes of content, if it simply ends its job. Then the plan has forgotten the
    /// job: give it the response, and do what else is [decided](Plan::next_decided). `None` if there is more to consider, and nothing has
    /// happened: report head and content one after the other.
    pub fn answer(&mut self, now: Duration, on: ConnectionId, head: &Head, bytes: u64) -> Option<Whole> {
        let connection = self.connections.get_mut(on.0)?;
        let oldest = connection.flights.front().filter(|flight| flight.sent != Sent::No)?;
        let (job, tracked) = oldest.wanted_by().and_then(|job| Some((job, self.jobs.get(job.0)?)))?;
        let is_simple = head.status < 400
            && head.persists
            && head.keep_alive_max.is_none()
            && self.config.repeat_statuses.is_empty()
            && bytes <= self.config.max_content
            && !tracked.job.streamed;
        if !is_simple {
            return None;
        }
        let counted = if tracked.awaited { 0 } else { bytes };
        let whole = Whole { job, sent: tracked.sent, attempts: tracked.attempts, held: tracked.held + counted };
        let now = nanos(now);
        self.now = self.now.max(now);
        connection.last_progress = now;
        self.held += counted;
        self.unfinished -= 1;
        self.jobs.discard(job.0);
        self.end_oldest(now, on);
        self.go_on(now, on);
        self.due_at = self.due_at.min(now.saturating_add(self.soonest));
        if now >= self.due_at {
            self.advance_due(now);
        }
        Some(whole)
    }

    pub(super) fn complete(&mut self, now: Nanos, on: ConnectionId) {
        let Some(flight) = self.end_oldest(now, on) else { return };
        if let Some(job) = flight.wanted_by() {
            self.over(job, End::Reply);
        }
        self.go_on(now, on);
    }

    /// The response to the oldest flight is complete.
    // Called for each response: a call would cost a tenth of it.
    #[inline(always)]
    fn end_oldest(&mut self, now: Nanos, on: ConnectionId) -> Option<Flight> {
        let connection = self.connections.get_mut(on.0)?;
        let flight = connection.pop_oldest()?;
        connection.answered += 1;
        connection.first_alone = false;
        self.settled = false;
        self.lane = None;
        self.origin.note_answer(now.saturating_sub(connection.oldest_since), flight.pipelined);
        self.budget.note_answer();
        if connection.state != State::Draining {
            self.origin.note_persistent();
            connection.go_on(now, &self.origin);
            if connection.is_pair && connection.flights.is_empty() {
                connection.is_pair = false;
                self.origin.note_pair();
            }
        }
        Some(flight)
    }

    /// Decides about a connection after a response.
    #[inline(always)]
    fn go_on(&mut self, now: Nanos, on: ConnectionId) {
        let Some(connection) = self.connections.get(on.0) else { return };
        let (is_skipping, is_limited) = (connection.is_skipping(), connection.limit != Limit::None);
        if connection.state == State::Draining {
            return self.close(now, on, Loss::GivenUp);
        }
        if is_skipping {
            self.consider_skipping(now, on);
        }
        if is_limited {
            self.consider_limit(on);
        }
    }

    /// Closes an idle connection that has reached its limit, or tries a higher limit.
    fn consider_limit(&mut self, on: ConnectionId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        if !connection.is_idle() || connection.requests_left() > 0 {
            return;
        }
        match connection.limit {
            Limit::Learned(_) => match self.origin.grow_limit() {
                Some(limit) => connection.limit = Limit::Learned(limit),
                None => self.close_if_idle(on),
            },
            Limit::None | Limit::Told(_) => self.close_if_idle(on),
        }
    }
}
