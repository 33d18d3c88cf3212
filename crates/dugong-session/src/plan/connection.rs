//! A connection as the plan sees it: its state, and the requests in flight.
//!
//! ```text
//! Connecting -- opened --> Idle <-- answered / sent --> Busy -- close announced --> Draining
//! ```
//! A connection that was lost or closed is gone: the plan has no state for it.
//!
//! # Servers that drop requests
//!
//! Some servers read all that has arrived, answer the first request in it, and drop the others. Silence shows that, but only if nothing
//! more is sent: the answer to a later request would be taken for the one to a request that was dropped. So the first requests that are
//! pipelined to an origin are a pair. They leave in one write, and nothing follows before both are answered.
//!
//! # Flights
//!
//! A flight can outlive its job: its caller gave up, or the job is to be repeated later. The response is then skipped, since on
//! HTTP/1.1 only reading it or giving the connection up leads to the next one.

use std::collections::VecDeque;

use super::clock::{NEVER, Nanos, nanos};
use super::config::SKIP_TIME;
use super::flight::Flight;
use super::ids::JobId;
use super::job::Job;
use super::origin::Origin;
use super::outcome::Sent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Idle {
        since: Nanos,
    },
    /// Requests are in flight.
    Busy,
    /// The server announced that it closes after the oldest response: no request follows (RFC 9112 §9.6).
    Draining,
}

/// How many requests the connection may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    /// The server said so on this connection.
    Told(u32),
    /// The server closed other connections after so many.
    Learned(u32),
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// Oldest first.
    pub(crate) flights: VecDeque<Flight>,
    /// Responses that are complete.
    pub(crate) answered: u32,
    pub(crate) limit: Limit,
    /// How many failures of the origin the plan had seen when it opened the connection.
    pub(crate) failures_before: u64,
    /// The first request must be answered before the second is sent.
    pub(crate) first_alone: bool,
    /// A byte of a request has left on it.
    is_used: bool,
    /// The flights are a pair that shows whether the server answers both.
    pub(crate) is_pair: bool,
    pub(crate) last_progress: Nanos,
    /// Since when the server could be working at the oldest flight: it is the oldest since then.
    pub(crate) oldest_since: Nanos,
    /// The response to the oldest flight.
    pub(crate) answer: Answer,
    /// Until when that response may be skipped; `NEVER` if it is wanted, or nothing else is possible.
    pub(crate) skip_until: Nanos,
    /// Bytes of it that were skipped.
    pub(crate) skipped: u64,
    /// Flights whose job has a `timeout` of its own.
    own_timeouts: u32,
    /// Flights of which no byte was sent.
    unsent: u32,
    /// Flights whose response no job wants.
    skips: u32,
    /// Flights whose response is likely to be large.
    large: u32,
    /// From when on the oldest answer is slow. The first answers of an origin cannot be judged.
    slow_at: Nanos,
    /// The plan has noticed that it is slow.
    pub(crate) is_slow: bool,
    /// The driver does not read it: the window is full.
    pub(crate) paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Awaited,
    Begun { length: Option<u64>, content: u64 },
}

impl Connection {
    pub(crate) fn new(now: Nanos, origin: &Origin) -> Self {
        Connection {
            state: State::Connecting,
            flights: VecDeque::new(),
            answered: 0,
            limit: origin.per_connection().map_or(Limit::None, Limit::Learned),
            failures_before: origin.all_failures(),
            first_alone: origin.wants_first_alone(),
            is_used: false,
            is_pair: false,
            last_progress: now,
            oldest_since: now,
            answer: Answer::Awaited,
            skip_until: NEVER,
            skipped: 0,
            own_timeouts: 0,
            unsent: 0,
            skips: 0,
            large: 0,
            slow_at: NEVER,
            is_slow: false,
            paused: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Whether no byte of a request has left on it.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_idle() && !self.is_used
    }

    /// Whether content arrives that a job wants.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.state, State::Busy | State::Draining)
            && self.answer != Answer::Awaited
            && self.flights.front().is_some_and(|flight| !flight.skips)
    }

    /// Whether this job may be sent now.
    pub(crate) fn admits(&self, id: JobId, job: &Job, now: Nanos, origin: &Origin, idle_timeout: Nanos) -> bool {
        if self.requests_left() == 0 {
            return false;
        }
        match self.state {
            State::Connecting | State::Draining => false,
            State::Idle { since } => now.saturating_sub(since) < idle_timeout,
            State::Busy => self.admits_behind(id, job, now, origin),
        }
    }

    fn admits_behind(&self, id: JobId, job: &Job, now: Nanos, origin: &Origin) -> bool {
        let (Some(oldest), Some(newest)) = (self.flights.front(), self.flights.back()) else { return true };
        !job.travels_alone()
            && !newest.blocks
            && !self.first_alone
            && (origin.is_proven() && !self.is_pair || self.flights.len() == 1 && oldest.sent == Sent::No)
            && !oldest.skips
            && !newest.is_cut_short()
            && self.flights.len() < origin.depth() as usize
            && !self.is_slow(now)
            // A job that left this connection would be on it twice.
            && (self.skips == 0 || self.flights.iter().all(|flight| flight.job != id))
    }

    /// How many [plain](Job::is_plain) jobs it admits now, unless the oldest answer is slow.
    pub(crate) fn plain_room(&self, origin: &Origin) -> u32 {
        let (Some(oldest), Some(newest)) = (self.flights.front(), self.flights.back()) else { return 0 };
        let is_free = self.state == State::Busy
            && !self.first_alone
            && origin.is_proven()
            && !self.is_pair
            && !newest.blocks
            && !oldest.skips
            && self.skips == 0
            && self.large == 0;
        if is_free { origin.depth().saturating_sub(self.flights.len() as u32).min(self.requests_left()) } else { 0 }
    }

    /// How many queued jobs a connection that is being opened will take.
    pub(crate) fn future_room(&self, origin: &Origin) -> usize {
        let most = if origin.is_proven() { origin.depth() } else { origin.depth().min(2) };
        let room = if self.first_alone { 1 } else { most.min(self.requests_left()) };
        if self.state == State::Connecting { room as usize } else { 0 }
    }

    /// How many more requests the connection may carry.
    pub(crate) fn requests_left(&self) -> u32 {
        match self.limit {
            Limit::None => u32::MAX,
            Limit::Told(limit) | Limit::Learned(limit) => {
                limit.saturating_sub(self.answered.saturating_add(self.flights.len() as u32))
            }
        }
    }

    pub(crate) fn send(&mut self, id: JobId, job: &Job, now: Nanos, origin: &Origin) {
        let is_oldest = self.flights.is_empty();
        if is_oldest {
            self.last_progress = now;
            self.begin_oldest(now, origin);
        }
        self.is_pair |= !is_oldest && !origin.is_proven();
        self.own_timeouts += u32::from(job.timeout.is_some());
        self.unsent += 1;
        self.large += u32::from(job.large);
        self.flights.push_back(Flight::new(id, job, job.timeout.map(nanos), !is_oldest));
        self.state = State::Busy;
    }

    #[inline]
    pub(crate) fn pop_oldest(&mut self) -> Option<Flight> {
        let flight = self.flights.pop_front();
        self.note_removal(flight)
    }

    pub(crate) fn pop_newest(&mut self) -> Option<Flight> {
        let flight = self.flights.pop_back();
        self.note_removal(flight)
    }

    /// Forgets a flight of which no byte was sent.
    pub(crate) fn recall(&mut self, job: JobId, now: Nanos, origin: &Origin) -> Option<Flight> {
        let position = self.flights.iter().position(|flight| flight.job == job && flight.sent == Sent::No)?;
        let flight = self.flights.remove(position);
        self.is_pair = false;
        if position == 0 {
            self.go_on(now, origin);
        }
        self.note_removal(flight)
    }

    /// The oldest flight is gone; the next one is the oldest now.
    pub(crate) fn go_on(&mut self, now: Nanos, origin: &Origin) {
        self.begin_oldest(now, origin);
        match self.flights.front() {
            None => self.state = State::Idle { since: now },
            Some(next) if next.skips => self.skip_until = now.saturating_add(SKIP_TIME),
            Some(_) => {}
        }
    }

    /// Bytes of the oldest response that are still to come, if its head has said so.
    pub(crate) fn content_left(&self) -> Option<u64> {
        match self.answer {
            Answer::Awaited => None,
            Answer::Begun { length, content } => Some(length?.saturating_sub(content)),
        }
    }

    fn note_removal(&mut self, flight: Option<Flight>) -> Option<Flight> {
        let flight = flight?;
        self.own_timeouts -= u32::from(flight.timeout.is_some());
        self.unsent -= u32::from(flight.sent == Sent::No);
        self.skips -= u32::from(flight.skips);
        self.large -= u32::from(flight.large);
        Some(flight)
    }

    /// Notes bytes that left. Returns the flight, and whether they are its first.
    pub(crate) fn note_sent(&mut self, job: JobId, sent: Sent) -> Option<(&mut Flight, bool)> {
        // Requests leave in the order in which they were sent, so this is the first that has not left, or the last that has.
        let left = self.flights.len() - self.unsent as usize;
        let is_it = |position: &usize| self.flights.get(*position).is_some_and(|flight| flight.job == job);
        let position = Some(left).filter(is_it).or_else(|| self.flights.iter().position(|flight| flight.job == job))?;
        let flight = &mut self.flights[position];
        let is_first = flight.sent == Sent::No;
        flight.sent = flight.sent.max(sent);
        self.unsent -= u32::from(is_first);
        self.is_used = true;
        Some((flight, is_first))
    }

    /// Notes that all flights up to this job have left, and tells each that had not, with whether a byte of it had. Returns whether the
    /// plan had given up one of them.
    pub(crate) fn note_all_sent(&mut self, last: JobId, mut tell: impl FnMut(JobId, bool)) -> bool {
        let Some(last) = self.flights.iter().rposition(|flight| flight.job == last) else { return false };
        let mut is_given_up = false;
        self.is_used = true;
        for flight in self.flights.range_mut(..=last).rev().take_while(|flight| flight.sent != Sent::Yes) {
            let is_first = std::mem::replace(&mut flight.sent, Sent::Yes) == Sent::No;
            self.unsent -= u32::from(is_first);
            is_given_up |= flight.skips || flight.recalled;
            tell(flight.job, is_first);
        }
        is_given_up
    }

    /// There is another oldest flight.
    fn begin_oldest(&mut self, now: Nanos, origin: &Origin) {
        self.oldest_since = now;
        self.answer = Answer::Awaited;
        (self.skip_until, self.skipped) = (NEVER, 0);
        (self.slow_at, self.is_slow) = (now.saturating_add(origin.slow_after()), false);
    }

    pub(crate) fn is_slow(&self, now: Nanos) -> bool {
        now >= self.slow_at
    }

    /// From when on the oldest answer is slow, if the plan has not noticed and something could go elsewhere then.
    pub(crate) fn slow_at(&self) -> Nanos {
        if !self.is_slow && self.unsent > 0 && self.flights.len() > 1 { self.slow_at } else { NEVER }
    }

    /// The flights behind the oldest that the driver could take back.
    pub(crate) fn recallable(&self) -> impl Iterator<Item = JobId> {
        let behind = if self.unsent == 0 { self.flights.len() } else { 1 };
        let unsent = self.flights.iter().skip(behind).filter(|flight| flight.sent == Sent::No && !flight.recalled);
        unsent.filter_map(Flight::wanted_by)
    }

    /// For how long no byte may move until a job leaves, or the connection is lost. `timeout`: the session's.
    pub(crate) fn patience(&self, timeout: Nanos) -> Nanos {
        if self.own_timeouts == 0 {
            return timeout;
        }
        let wanted = self.flights.iter().filter(|flight| !flight.skips && !flight.is_leaving());
        wanted.map(|flight| flight.timeout.unwrap_or(timeout)).fold(self.stalls_after(timeout), Nanos::min)
    }

    /// For how long no byte may move until the connection is lost. An impatient job does not decide that for those beside it.
    pub(crate) fn stalls_after(&self, timeout: Nanos) -> Nanos {
        let oldest = self.flights.front().filter(|flight| !flight.skips);
        oldest.and_then(|flight| flight.timeout).unwrap_or(timeout).max(timeout)
    }

    /// A job that leaves after this time without a byte, and whether no byte of it was sent.
    pub(crate) fn impatient(&self, silence: Nanos, timeout: Nanos) -> Option<(JobId, bool)> {
        let wanted = self.flights.iter().filter(|flight| !flight.skips && !flight.is_leaving());
        let impatient = wanted.filter(|flight| flight.timeout.unwrap_or(timeout) <= silence);
        impatient.map(|flight| (flight.job, flight.sent == Sent::No)).next()
    }

    /// Takes a response away from its job. Until when it may be skipped is noted if it is the oldest.
    pub(crate) fn skip(&mut self, job: JobId, now: Nanos) -> bool {
        let Some(position) = self.flights.iter().position(|flight| flight.job == job) else { return false };
        let flight = &mut self.flights[position];
        self.skips += u32::from(!flight.skips);
        flight.skips = true;
        if position == 0 {
            self.skip_until = now.saturating_add(SKIP_TIME);
        }
        true
    }

    /// Whether a response to this job would be in the company of others of another kind.
    pub(crate) fn mixes(&self, job: &Job) -> bool {
        let alike = if job.large { self.large as usize } else { self.flights.len() - self.large as usize };
        alike < self.flights.len()
    }

    pub(crate) fn is_skipping(&self) -> bool {
        self.skips > 0
    }

    /// Whether the driver could be asked to take flights back.
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    pub(crate) fn flight_of(&mut self, job: JobId) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|flight| flight.job == job)
    }
}
