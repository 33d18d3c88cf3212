//! Jobs that wait on the wrong connection, and go to another one.
//!
//! Behind a slow answer, the driver takes back all jobs of which no byte has left. Behind a stream that its caller does not read while
//! the window is full, an awaited job goes elsewhere, too. It is even sent again if it may arrive twice: reading the stream beyond the
//! window is the last resort, for jobs that cannot leave.

use super::Plan;
use super::clock::Nanos;
use super::connection::Connection;
use super::events::Action;
use super::ids::{ConnectionId, JobId};
use super::losing::no_repeat;
use super::outcome::Sent;

impl Plan {
    pub(super) fn recall_from_slow(&mut self, now: Nanos) -> Option<Action> {
        if !self.has_slow {
            return None;
        }
        self.has_slow = self.connections.iter().any(|(_, connection)| connection.is_slow && connection.has_unsent());
        let (on, job) = self.connections.iter().find_map(|(key, connection)| {
            if !connection.is_slow(now) {
                return None;
            }
            let on = ConnectionId(key);
            let leaves = |job: &JobId| self.has_window(*job) && self.has_other_connection(*job, on, now);
            connection.recallable().find(leaves).map(|job| (on, job))
        })?;
        self.recall(on, job)
    }

    fn recall(&mut self, on: ConnectionId, job: JobId) -> Option<Action> {
        self.ask_back(on, job);
        self.actions.pop_front()
    }

    /// Asks the driver to take a job back.
    pub(super) fn ask_back(&mut self, on: ConnectionId, job: JobId) {
        let Some(flight) = self.connections.get_mut(on.0).and_then(|connection| connection.flight_of(job)) else { return };
        flight.recalled = true;
        self.actions.push_back(Action::Recall { job, on });
    }

    /// The window is full. Moves an awaited job away from a stream that is not read.
    pub(super) fn move_from_unread(&mut self, now: Nanos) -> Option<Action> {
        let (on, job, unsent) =
            self.connections.iter().filter(|(_, connection)| self.is_unread(connection)).find_map(|(key, connection)| {
                let on = ConnectionId(key);
                let mut behind = connection.flights.iter().skip(1);
                behind.find_map(|flight| {
                    let (job, unsent) = (flight.wanted_by()?, flight.sent == Sent::No);
                    let tracked = self.jobs.get(job.0).filter(|tracked| tracked.awaited)?;
                    let leaves = if unsent { !flight.recalled } else { !tracked.moved && no_repeat(tracked).is_none() };
                    (leaves && self.has_other_connection(job, on, now)).then_some((on, job, unsent))
                })
            })?;
        if unsent {
            return self.recall(on, job);
        }
        self.jobs.get_mut(job.0)?.moved = true;
        self.skip(now, on, job);
        self.put_back(job);
        self.actions.pop_front()
    }

    /// Whether the connection is not read because of a stream: the window is full, and the caller of its oldest reply does not wait.
    pub(super) fn is_unread(&self, connection: &Connection) -> bool {
        let oldest = connection.flights.front().filter(|_| self.is_window_full() && connection.is_receiving());
        let oldest = oldest.and_then(|flight| self.jobs.get(flight.job.0));
        oldest.is_some_and(|tracked| tracked.job.streamed && !tracked.needs_bytes())
    }

    fn has_window(&self, job: JobId) -> bool {
        !self.is_window_full() || self.jobs.get(job.0).is_some_and(|tracked| tracked.awaited)
    }

    fn has_other_connection(&self, job: JobId, than: ConnectionId, now: Nanos) -> bool {
        let Some(tracked) = self.jobs.get(job.0) else { return false };
        let best = self.best_connection(job, &tracked.job, Some(than), now);
        best.and_then(|best| self.connections.get(best.0)).is_some_and(|best| !self.is_unread(best)) || self.can_open(now)
    }
}
