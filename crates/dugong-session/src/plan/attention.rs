//! When the plan needs attention although nothing happens.

use super::Plan;
use super::clock::{NEVER, Nanos};
use super::connection::{Connection, State};
use super::ids::{ConnectionId, JobId};
use super::job::Place;
use super::timers::Timer;

impl Plan {
    #[cold]
    pub(super) fn advance_due(&mut self, now: Nanos) {
        self.lane = None;
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Rested(job) => self.requeue_rested(JobId(job)),
                Timer::Deadline(job) => self.expire(now, JobId(job)),
            }
        }
        self.advance_connections(now);
        self.due_at = self.next_attention();
    }

    pub(super) fn set_timer(&mut self, at: Nanos, timer: Timer) {
        self.timers.add(at, timer);
        self.due_at = self.due_at.min(at);
    }

    pub(super) fn tidy_timers(&mut self) {
        let jobs = &self.jobs;
        self.timers.tidy(self.unfinished, |timer| match timer {
            Timer::Rested(job) | Timer::Deadline(job) => jobs.get(job).is_some_and(|tracked| tracked.place != Place::Over),
        });
    }

    /// When the first timer or connection needs attention.
    pub(super) fn next_attention(&self) -> Nanos {
        let connections = self.connections.iter().map(|(_, connection)| self.attention_at(connection));
        connections.fold(self.timers.next(), Nanos::min)
    }

    /// Takes into account that this connection may need attention earlier than before.
    pub(super) fn attend(&mut self, on: ConnectionId) {
        let at = self.connections.get(on.0).map_or(NEVER, |connection| self.attention_at(connection));
        self.due_at = self.due_at.min(at);
    }

    /// When a connection needs attention if nothing happens to it.
    pub(super) fn attention_at(&self, connection: &Connection) -> Nanos {
        match connection.state {
            State::Connecting => NEVER,
            State::Idle { since } => since.saturating_add(self.idle_timeout),
            State::Busy | State::Draining => {
                let patience = if connection.paused { NEVER } else { connection.patience(self.timeout) };
                connection.last_progress.saturating_add(patience).min(connection.skip_until).min(connection.slow_at())
            }
        }
    }
}
