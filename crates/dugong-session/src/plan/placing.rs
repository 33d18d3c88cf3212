//! Where the next job goes, when a connection is opened, and which ones are read.
//!
//! Jobs go out in the order of the queue; only one that waits for an empty connection is overtaken. A job goes to the connection that
//! carries replies of its kind, and among those to the one with the fewest requests. A connection is opened only if no open one admits
//! the job, and those being opened have no room for the queue.
//! `Connection::admits` has the rules of what may follow what.
//!
//! # The window cannot deadlock
//!
//! Content that no caller has taken fills the window. When it is full, no job is sent and no response is read, except for callers that
//! wait now: their jobs go first, and their connections are read, with all that comes before on these. If such a job finds no connection
//! and none can be opened for it, one is read until it does. `elsewhere.rs` spares the plan most of that.

use super::Plan;
use super::arena::Key;
use super::clock::Nanos;
use super::connection::{Connection, State};
use super::events::Action;
use super::flight::Flight;
use super::ids::{ConnectionId, JobId};
use super::job::{Job, Place, Tracked};
use super::outcome::{Answered, Failure};

/// How many jobs are looked at behind one that waits for an empty connection.
const LOOK_AHEAD: usize = 64;

impl Plan {
    /// Sends a job, or opens a connection for it.
    pub(super) fn place(&mut self, now: Nanos) -> Option<Action> {
        if self.settled {
            return None;
        }
        if self.queued == 0 && !self.has_slow && !self.closing {
            self.settled = true;
            return None;
        }
        if let Some(action) = self.place_in_lane(now).or_else(|| self.place_first(now)) {
            return Some(action);
        }
        self.lane = None;
        if let Some(action) = self.recall_from_slow(now) {
            return Some(action);
        }
        self.settled = !self.waits_to_reopen();
        if self.closing {
            self.wind_up();
        }
        self.actions.pop_front()
    }

    /// Closes the connections that no job needs, and ends the jobs for which none is left.
    fn wind_up(&mut self) {
        let idle: Vec<_> = self.connections.iter().filter(|(_, connection)| connection.is_idle()).map(|(key, _)| key).collect();
        idle.into_iter().for_each(|key| self.close_if_idle(ConnectionId(key)));
        if self.connections.len() == 0 {
            self.end_queued(Failure::Cancelled);
        }
        self.settled = true;
    }

    /// Sends a plain job where the last one went, if there is no choice.
    fn place_in_lane(&mut self, now: Nanos) -> Option<Action> {
        let (on, room) = self.lane?;
        let id = *self.queue.front()?;
        let is_plain = |tracked: &Tracked| tracked.place == Place::Queued && tracked.job.is_plain();
        if room == 0 || !self.jobs.get(id.0).is_some_and(is_plain) || self.connections.get(on.0)?.is_slow(now) {
            return None;
        }
        self.lane = Some((on, room - 1));
        self.send(0, id, on, now)
    }

    /// Finds out how many plain jobs may follow the one that was just sent.
    fn open_lane(&mut self, on: ConnectionId) {
        let connection = self.connections.get(on.0).filter(|_| self.connections.len() == 1 && !self.is_window_full());
        self.lane = connection.map(|connection| (on, connection.plain_room(&self.origin))).filter(|(_, room)| *room > 0);
    }

    fn place_first(&mut self, now: Nanos) -> Option<Action> {
        let (position, id) = self.candidate()?;
        let job = &self.jobs.get(id.0)?.job;
        if let Some(on) = self.best_connection(id, job, None, now) {
            let action = self.send(position, id, on, now);
            self.open_lane(on);
            return action;
        }
        let is_alone = job.travels_alone();
        if self.may_open(now) {
            let id = ConnectionId(self.connections.insert(Connection::new(now, &self.origin)));
            return Some(Action::Open(id));
        }
        // A job that travels alone waits for an empty connection: the least busy one is kept for it, and the others go on.
        let kept = is_alone.then(|| self.least_busy()).flatten()?;
        let (position, id, on) = self.one_that_passes(position, kept, now)?;
        self.send(position, id, on, now)
    }

    fn send(&mut self, position: usize, id: JobId, on: ConnectionId, now: Nanos) -> Option<Action> {
        if position == 0 {
            self.queue.pop_front();
        } else {
            self.queue.remove(position);
        }
        self.queued -= 1;
        let tracked = self.jobs.get_mut(id.0)?;
        tracked.place = Place::On(on);
        tracked.answered = Answered::No;
        tracked.content = 0;
        let connection = self.connections.get_mut(on.0)?;
        connection.send(id, &tracked.job, now, &self.origin);
        self.due_at = self.due_at.min(now.saturating_add(self.soonest)).min(connection.slow_at());
        Some(Action::Send { job: id, on })
    }

    fn least_busy(&self) -> Option<ConnectionId> {
        let least = self.connections.iter().min_by_key(|(_, connection)| connection.flights.len());
        least.map(|(key, _)| ConnectionId(key))
    }

    /// A job that may overtake the one at `position`, and its connection.
    fn one_that_passes(&self, position: usize, kept: ConnectionId, now: Nanos) -> Option<(usize, JobId, ConnectionId)> {
        let behind = self.queue.iter().enumerate().skip(position + 1).take(LOOK_AHEAD);
        behind.filter(|(_, id)| self.is_sendable(**id)).find_map(|(position, id)| {
            let job = &self.jobs.get(id.0)?.job;
            let on = if job.travels_alone() { None } else { self.best_connection(*id, job, Some(kept), now) };
            Some((position, *id, on?))
        })
    }

    /// The first queued job; when the window is full, the first one whose caller waits.
    fn candidate(&mut self) -> Option<(usize, JobId)> {
        let is_full = self.is_window_full();
        while let Some(id) = self.queue.front() {
            match self.jobs.get(id.0).filter(|tracked| tracked.place == Place::Queued) {
                Some(tracked) if tracked.awaited || !is_full => return Some((0, *id)),
                Some(_) => break,
                None => drop(self.queue.pop_front()),
            }
        }
        self.queue.iter().enumerate().find(|(_, id)| self.is_sendable(**id)).map(|(position, id)| (position, *id))
    }

    fn is_sendable(&self, id: JobId) -> bool {
        self.jobs.get(id.0).is_some_and(|tracked| tracked.place == Place::Queued && (tracked.awaited || !self.is_window_full()))
    }

    pub(super) fn best_connection(&self, id: JobId, job: &Job, kept: Option<ConnectionId>, now: Nanos) -> Option<ConnectionId> {
        let is_full = self.is_window_full();
        let mut best = None;
        for (key, connection) in self.connections.iter() {
            if kept != Some(ConnectionId(key)) && connection.admits(id, job, now, &self.origin, self.idle_timeout) {
                let is_poor = (is_full && self.is_unread(connection), connection.mixes(job));
                // Above the number of requests in flight, which is a u32.
                let rank = u64::from(is_poor.0) << 33 | u64::from(is_poor.1) << 32 | connection.flights.len() as u64;
                if best.is_none_or(|(least, _)| rank < least) {
                    best = Some((rank, key));
                }
            }
        }
        let (rank, key) = best?;
        if rank >> 32 == 0 {
            return Some(ConnectionId(key));
        }
        // A connection of its own is a choice, also one that is being opened.
        let has_choice = self.may_open(now) || self.connections.iter().any(|(_, other)| other.state == State::Connecting);
        (!has_choice).then_some(ConnectionId(key))
    }

    /// Whether a connection may be opened for the queue.
    fn may_open(&self, now: Nanos) -> bool {
        now >= self.origin.reopen_at && self.wants_to_open()
    }

    fn wants_to_open(&self) -> bool {
        self.has_room_for_connection() && {
            let room: usize = self.connections.iter().map(|(_, connection)| connection.future_room(&self.origin)).sum();
            self.queued > room
        }
    }

    fn has_room_for_connection(&self) -> bool {
        !self.closing && self.connections.len() < self.config.connections.max(1)
    }

    /// Whether a connection could be opened if a job needed it.
    pub(super) fn can_open(&self, now: Nanos) -> bool {
        self.has_room_for_connection() && now >= self.origin.reopen_at
    }

    /// Whether the queue waits for the moment at which a connection may be opened again.
    pub(super) fn waits_to_reopen(&self) -> bool {
        self.wants_to_open() && self.origin.reopen_at > self.now
    }

    pub(super) fn is_window_full(&self) -> bool {
        self.held >= self.config.window
    }

    /// Brings the driver's reading in line with the window.
    pub(super) fn pause_or_resume(&mut self, now: Nanos) -> Option<Action> {
        if self.paused == 0 && !self.is_window_full() {
            return None;
        }
        if let Some(action) = self.move_from_unread(now) {
            return Some(action);
        }
        let last_resort = self.read_for_queue();
        let changes = self.connections.iter().find(|(key, connection)| {
            let must_pause = self.must_pause(connection) && last_resort != Some(*key);
            connection.paused != must_pause
        });
        let (key, paused) = changes.map(|(key, connection)| (key, !connection.paused))?;
        let connection = self.connections.get_mut(key)?;
        connection.paused = paused;
        connection.last_progress = now;
        self.paused = if paused { self.paused + 1 } else { self.paused - 1 };
        self.attend(ConnectionId(key));
        Some(if paused { Action::Pause(ConnectionId(key)) } else { Action::Resume(ConnectionId(key)) })
    }

    fn must_pause(&self, connection: &Connection) -> bool {
        let needs_bytes = |id: JobId| self.jobs.get(id.0).is_some_and(Tracked::needs_bytes);
        self.is_window_full()
            && connection.is_receiving()
            && !connection.flights.iter().filter(|flight| !flight.is_leaving()).filter_map(Flight::wanted_by).any(needs_bytes)
    }

    /// If awaited jobs in the queue have no connection to hope for, one is read for them: the one whose reply ends first.
    fn read_for_queue(&self) -> Option<Key> {
        let is_awaited =
            |id: &JobId| self.jobs.get(id.0).is_some_and(|tracked| tracked.awaited && tracked.place == Place::Queued);
        if !self.is_window_full() || self.expects_connection() || !self.queue.iter().any(is_awaited) {
            return None;
        }
        let receiving = self.connections.iter().filter(|(_, connection)| connection.is_receiving());
        receiving.map(|(key, connection)| (connection.content_left().unwrap_or(u64::MAX), key)).min().map(|(_, key)| key)
    }

    fn expects_connection(&self) -> bool {
        self.can_open(self.now) || self.connections.iter().any(|(_, connection)| connection.state == State::Connecting)
    }
}
