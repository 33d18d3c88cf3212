//! Jobs that get no reply on their connection: because it is lost, or because their caller went away.
//!
//! Who pays for a loss? The server may have died of the oldest request that it had not answered; those behind it were only in bad
//! company. So the oldest one pays a token and one of its `retries`, and rests; those behind go back to the head of the queue. No new
//! connection is opened before the one that paid has rested, so it is the first on that connection, and alone
//! (RFC 9112 §9.3.2). Each loss thus takes one of a finite number of repeats, and the plan always ends.

use std::time::Duration;

use super::Plan;
use super::arena::Key;
use super::clock::{NEVER, Nanos};
use super::config::SKIP_BYTES;
use super::connection::{Answer, Connection, State};
use super::events::Action;
use super::flight::Flight;
use super::ids::{ConnectionId, JobId};
use super::job::{Place, Tracked};
use super::outcome::{End, Failure, Loss, NoRepeat, Sent};
use super::timers::Timer;

impl Plan {
    /// A connection could not be opened. All queued jobs waited for it, so it costs each of them one of its `retries`, unless they have
    /// other connections to hope for.
    pub(super) fn not_opened(&mut self, now: Nanos, on: ConnectionId) {
        self.back_off_without(now, on);
        if self.connections.len() == 0 {
            (0..self.queue.len()).for_each(|position| self.charge_for_connect(self.queue[position]));
        }
    }

    /// A connection ended before a request could be sent on it. Unless others carry requests, it costs the queued job one of its `retries`
    /// that has the most left: a server that ends each connection at once would be tried for ever.
    pub(super) fn ended_unused(&mut self, now: Nanos, on: ConnectionId) {
        self.back_off_without(now, on);
        if self.connections.iter().any(|(_, connection)| !connection.flights.is_empty()) {
            return;
        }
        let queued = self.queue.iter().filter_map(|id| {
            let tracked = self.jobs.get(id.0).filter(|tracked| tracked.place == Place::Queued)?;
            Some((tracked.repeats, *id))
        });
        if let Some((_, id)) = queued.min_by_key(|(repeats, _)| *repeats) {
            self.charge_for_connect(id);
        }
    }

    fn back_off_without(&mut self, now: Nanos, on: ConnectionId) {
        self.connections.remove(on.0);
        self.settled = false;
        // Several that fail together are one failure: the first of them has set the wait.
        if now >= self.origin.reopen_at {
            let wait = self.backoff.wait(self.origin.failures());
            self.origin.note_failure();
            self.reopen_after(now, wait);
        }
    }

    fn charge_for_connect(&mut self, id: JobId) {
        let Some(tracked) = self.jobs.get_mut(id.0).filter(|tracked| tracked.place == Place::Queued) else { return };
        if tracked.repeats < self.config.retries {
            tracked.repeats += 1;
        } else {
            self.over(id, End::Failed(Failure::Unreachable));
        }
    }

    /// Trying again would not help: all queued jobs end, unless they have other connections to hope for.
    pub(super) fn cannot_open(&mut self, now: Nanos, on: ConnectionId) {
        if self.connections.len() > 1 {
            return self.not_opened(now, on);
        }
        self.connections.remove(on.0);
        self.end_queued(Failure::Unreachable);
    }

    pub(super) fn end_queued(&mut self, failure: Failure) {
        while let Some(id) = self.queue.pop_front() {
            if self.jobs.get(id.0).is_some_and(|tracked| tracked.place == Place::Queued) {
                self.over(id, End::Failed(failure));
            }
        }
    }

    /// The driver has not sent this job.
    pub(super) fn recalled(&mut self, now: Nanos, on: ConnectionId, job: JobId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        let Some(flight) = connection.recall(job, now, &self.origin) else { return };
        self.settled = false;
        if let Some(job) = flight.wanted_by() {
            // Its owner's answer to a question is still good.
            self.queue(job, true);
        }
        self.consider_skipping(now, on);
        self.attend(on);
    }

    /// A connection ended.
    pub(super) fn lost(&mut self, now: Nanos, on: ConnectionId, why: Loss) {
        let Some(mut connection) = self.connections.remove(on.0) else { return };
        self.settled = false;
        self.paused -= usize::from(connection.paused);
        if connection.flights.is_empty() {
            return;
        }
        let pipelined = connection.flights.iter().any(|flight| flight.pipelined && flight.sent != Sent::No);
        // From the newest to the oldest, so that the head of the queue has them in their order.
        while connection.flights.len() > 1 {
            let flight = connection.pop_newest().expect("there are two");
            self.send_elsewhere(&flight, why);
        }
        let oldest = connection.pop_newest().expect("it was not empty");
        if why == Loss::GivenUp {
            return self.send_elsewhere(&oldest, why);
        }
        // Connections that are lost together do not raise the wait of each other.
        let is_known = self.origin.is_known_failure(connection.failures_before);
        let failures = self.origin.failures() - u32::from(is_known);
        if !is_known {
            self.origin.note_failure();
        }
        self.origin.note_loss(why, connection.answered, pipelined);
        let repeats = oldest.wanted_by().and_then(|job| self.jobs.get(job.0)).map_or(0, |tracked| tracked.repeats);
        // A server may close a connection that it has kept open just when a request is on its way (RFC 9112 §9.3.1). That is no reason to
        // wait, the first time.
        let is_silent = matches!(why, Loss::Closed | Loss::Reset) && connection.answer == Answer::Awaited;
        let is_ordinary = is_silent && connection.answered > 0;
        let wait = if is_ordinary && failures.max(repeats) == 0 { 0 } else { self.backoff.wait(failures.max(repeats)) };
        self.reopen_after(now, wait);
        let had_company = pipelined || connection.answered > 0;
        if is_silent && had_company && self.is_spared(&oldest) {
            return self.send_elsewhere(&oldest, why);
        }
        if let Some(job) = oldest.wanted_by() {
            self.repeat_at_cost(now, job, why, wait);
        }
    }

    /// Whether the oldest one is free of charge, too. With no `retries` it would fail although a neighbour may have taken the connection
    /// down: one that was answered before, or one behind that the server did not expect. It may meet that on each connection that is
    /// open. On a connection that has carried no other request, it never goes again.
    fn is_spared(&mut self, oldest: &Flight) -> bool {
        if self.config.retries > 0 {
            return false;
        }
        let Some(tracked) = oldest.wanted_by().and_then(|job| self.jobs.get_mut(job.0)) else { return false };
        tracked.spared += 1;
        tracked.spared <= self.config.connections
    }

    fn reopen_after(&mut self, now: Nanos, wait: Nanos) {
        self.origin.reopen_at = self.origin.reopen_at.max(now.saturating_add(wait));
    }

    /// Puts the job of a flight back free of charge. No content of it has arrived.
    fn send_elsewhere(&mut self, flight: &Flight, why: Loss) {
        let Some(job) = flight.wanted_by() else { return };
        let Some(tracked) = self.jobs.get(job.0) else { return };
        match no_repeat(tracked) {
            Some(no_repeat) => self.over(job, End::Failed(Failure::Lost { why, no_repeat })),
            None => self.put_back(job),
        }
    }

    fn repeat_at_cost(&mut self, now: Nanos, job: JobId, why: Loss, wait: Nanos) {
        let Some(tracked) = self.jobs.get_mut(job.0) else { return };
        let no_repeat = no_repeat(tracked)
            .or_else(|| (tracked.repeats >= self.config.retries).then_some(NoRepeat::Retries))
            .or_else(|| (!self.budget.take()).then_some(NoRepeat::Budget));
        if let Some(no_repeat) = no_repeat {
            return self.over(job, End::Failed(Failure::Lost { why, no_repeat }));
        }
        tracked.repeats += 1;
        tracked.place = Place::Resting;
        self.held -= std::mem::take(&mut tracked.held);
        self.repeated += 1;
        self.set_timer(now.saturating_add(wait), Timer::Rested(job.0));
    }

    pub(super) fn requeue_rested(&mut self, job: JobId) {
        if self.jobs.get(job.0).is_some_and(|tracked| tracked.place == Place::Resting) {
            self.put_back(job);
        }
    }

    /// The server will not answer the requests behind the oldest one.
    pub(super) fn move_those_behind(&mut self, on: ConnectionId) {
        while let Some(flight) = self
            .connections
            .get_mut(on.0)
            .and_then(|connection| if connection.flights.len() > 1 { connection.pop_newest() } else { None })
        {
            self.send_elsewhere(&flight, Loss::Closed);
        }
    }

    pub(super) fn expire(&mut self, now: Nanos, job: JobId) {
        let Some(after) = self.jobs.get(job.0).map(|tracked| Duration::from_nanos(tracked.total_timeout)) else { return };
        self.abandon(now, job, Failure::TimedOut { after });
    }

    /// Ends a job for its caller; its response is skipped or its connection given up.
    pub(super) fn abandon(&mut self, now: Nanos, job: JobId, failure: Failure) {
        self.lane = None;
        let Some(tracked) = self.jobs.get(job.0) else { return };
        let place = tracked.place;
        if place == Place::Over {
            return;
        }
        if let Place::On(on) = place {
            self.skip(now, on, job);
        }
        self.over(job, End::Failed(failure));
    }

    pub(super) fn skip(&mut self, now: Nanos, on: ConnectionId, job: JobId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        if !connection.skip(job, now) {
            return;
        }
        self.actions.push_back(Action::Skip { job, on });
        self.consider_skipping(now, on);
        self.attend(on);
    }

    /// Gives a connection up if skipping its oldest response costs more than a new connection. Not if a request behind it could not be
    /// repeated: then the response is read to its end, however long that takes.
    pub(super) fn consider_skipping(&mut self, now: Nanos, on: ConnectionId) {
        let Some(connection) = self.connections.get_mut(on.0).filter(|connection| connection.is_skipping()) else { return };
        let is_draining = connection.state == State::Draining;
        let Some(oldest) = connection.flights.front().filter(|flight| flight.skips) else { return };
        let is_cheap = !is_draining
            && !oldest.is_cut_short()
            && connection.content_left().is_none_or(|left| left <= SKIP_BYTES)
            && connection.skipped <= SKIP_BYTES
            && now < connection.skip_until;
        if is_cheap {
            return;
        }
        connection.skip_until = NEVER;
        let behind = connection.flights.iter().skip(1).filter_map(Flight::wanted_by);
        let can_move = behind.filter_map(|job| self.jobs.get(job.0)).all(|tracked| no_repeat(tracked).is_none());
        if can_move {
            self.close(now, on, Loss::GivenUp);
        }
    }

    pub(super) fn close_if_idle(&mut self, on: ConnectionId) {
        if self.connections.get(on.0).is_some_and(Connection::is_idle) {
            self.connections.remove(on.0);
            self.settled = false;
            self.actions.push_back(Action::Close(on));
        }
    }

    pub(super) fn close(&mut self, now: Nanos, on: ConnectionId, why: Loss) {
        self.actions.push_back(Action::Close(on));
        self.lost(now, on, why);
    }

    /// Deals with the connections whose time has come.
    pub(super) fn advance_connections(&mut self, now: Nanos) {
        while let Some((key, state)) = self.due_connection(now) {
            let on = ConnectionId(key);
            match state {
                State::Connecting => return,
                State::Idle { .. } => self.close_if_idle(on),
                State::Busy | State::Draining => self.attend_busy(now, on),
            }
        }
    }

    fn attend_busy(&mut self, now: Nanos, on: ConnectionId) {
        let Some(connection) = self.connections.get_mut(on.0) else { return };
        if connection.slow_at() <= now {
            connection.is_slow = true;
            self.has_slow = true;
            self.settled = false;
        } else if connection.skip_until <= now {
            self.consider_skipping(now, on);
        } else {
            self.stalled(now, on);
        }
    }

    /// No byte has moved for a `timeout`. Is it the session's, the connection is lost; else only the jobs leave that wait no longer.
    fn stalled(&mut self, now: Nanos, on: ConnectionId) {
        while let Some(connection) = self.connections.get(on.0) {
            let silence = now.saturating_sub(connection.last_progress);
            if silence >= connection.stalls_after(self.timeout) {
                return self.close(now, on, Loss::Stalled);
            }
            let Some((job, unsent)) = connection.impatient(silence, self.timeout) else { return };
            if unsent {
                self.ask_back(on, job);
                continue;
            }
            let repeats = self.jobs.get(job.0).map_or(0, |tracked| tracked.repeats);
            let wait = self.backoff.wait(repeats);
            self.repeat_at_cost(now, job, Loss::Stalled, wait);
            self.skip(now, on, job);
        }
    }

    fn due_connection(&self, now: Nanos) -> Option<(Key, State)> {
        let is_due = |connection: &Connection| self.attention_at(connection) <= now;
        self.connections.iter().find(|(_, connection)| is_due(connection)).map(|(key, connection)| (key, connection.state))
    }
}

/// Why a job must not be sent again, if so.
pub(super) fn no_repeat(tracked: &Tracked) -> Option<NoRepeat> {
    if tracked.delivered {
        return Some(NoRepeat::Given { content: tracked.content });
    }
    if tracked.sent == Sent::No {
        return None;
    }
    if !tracked.job.may_arrive_twice() {
        return Some(NoRepeat::Unsafe);
    }
    tracked.job.read_once.then_some(NoRepeat::ReadOnce)
}
