//! A connection as the plan sees it: its state, and the requests in flight.
//!
//! ```text
//! Connecting -- opened --> Idle <-- answered / sent --> Busy -- close announced --> Draining
//! ```
//! A connection that was lost or closed is gone: the plan has no state for it.
//!
//! A flight can outlive its job: its caller gave up, or the job is to be repeated later. The response is then skipped, since on
//! HTTP/1.1 only reading it or giving the connection up leads to the next one.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::{ALONE_ABOVE, SKIP_TIME};
use super::ids::JobId;
use super::job::Job;
use super::origin::Origin;
use super::outcome::Sent;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Idle {
        since: Duration,
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
    /// The first request must be answered before the second is sent.
    pub(crate) first_alone: bool,
    pub(crate) last_progress: Duration,
    /// Flights whose job has a `timeout` of its own.
    own_timeouts: u32,
    /// Flights of which no byte was sent.
    unsent: u32,
    /// Flights whose response no job wants.
    skips: u32,
    /// Flights whose response is likely to be large.
    large: u32,
    /// From when on the oldest answer is slow. The first answers of an origin cannot be judged.
    slow_at: Duration,
    /// The plan has noticed that it is slow.
    pub(crate) is_slow: bool,
    /// The driver does not read it: the window is full.
    pub(crate) paused: bool,
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) job: JobId,
    /// No job wants its response any more.
    pub(crate) skips: bool,
    pub(crate) sent: Sent,
    /// The driver was asked to take it back.
    pub(crate) recalled: bool,
    /// No request goes out behind it.
    pub(crate) blocks: bool,
    pub(crate) upload: bool,
    pub(crate) large: bool,
    pub(crate) timeout: Option<Duration>,
    /// It was sent while another was unanswered.
    pub(crate) pipelined: bool,
    /// Since when the server could be working at it: it is the oldest since then.
    pub(crate) oldest_since: Duration,
    pub(crate) answer: Answer,
    /// Until when its response may be skipped. `None` if it is not the oldest, or nothing else is possible.
    pub(crate) skip_until: Option<Duration>,
    pub(crate) skipped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Awaited,
    Begun { length: Option<u64>, content: u64 },
}

impl Connection {
    pub(crate) fn new(now: Duration, origin: &Origin) -> Self {
        Connection {
            state: State::Connecting,
            flights: VecDeque::new(),
            answered: 0,
            limit: origin.per_connection().map_or(Limit::None, Limit::Learned),
            first_alone: origin.wants_first_alone(),
            last_progress: now,
            own_timeouts: 0,
            unsent: 0,
            skips: 0,
            large: 0,
            slow_at: Duration::MAX,
            is_slow: false,
            paused: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Whether content arrives that a job wants.
    pub(crate) fn is_receiving(&self) -> bool {
        matches!(self.state, State::Busy | State::Draining)
            && self.flights.front().is_some_and(|flight| !flight.skips && flight.answer != Answer::Awaited)
    }

    /// Whether this job may be sent now.
    pub(crate) fn admits(&self, id: JobId, job: &Job, now: Duration, origin: &Origin, idle_timeout: Duration) -> bool {
        if self.requests_left() == 0 {
            return false;
        }
        match self.state {
            State::Connecting | State::Draining => false,
            State::Idle { since } => now.saturating_sub(since) < idle_timeout,
            State::Busy => self.admits_behind(id, job, now, origin),
        }
    }

    fn admits_behind(&self, id: JobId, job: &Job, now: Duration, origin: &Origin) -> bool {
        let (Some(oldest), Some(newest)) = (self.flights.front(), self.flights.back()) else { return true };
        !travels_alone(job)
            && !newest.blocks
            && !self.first_alone
            && !oldest.skips
            && !newest.is_cut_short()
            && self.flights.len() < origin.depth() as usize
            && !self.is_slow(now)
            // A job that left this connection would be on it twice.
            && (self.skips == 0 || self.flights.iter().all(|flight| flight.job != id))
    }

    /// How many queued jobs a connection that is being opened will take.
    pub(crate) fn future_room(&self, origin: &Origin) -> usize {
        let room = if self.first_alone { 1 } else { origin.depth().min(self.requests_left()) };
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

    pub(crate) fn send(&mut self, id: JobId, job: &Job, now: Duration, origin: &Origin) {
        if self.flights.is_empty() {
            self.last_progress = now;
            self.judge_from(now, origin);
        }
        self.own_timeouts += u32::from(job.timeout.is_some());
        self.unsent += 1;
        self.large += u32::from(job.large);
        self.flights.push_back(Flight {
            job: id,
            skips: false,
            sent: Sent::No,
            recalled: false,
            // RFC 9112 §9.3.2: a user agent should not pipeline behind a method that is not idempotent.
            blocks: !job.idempotent || travels_alone(job),
            upload: job.upload > 0,
            large: job.large,
            timeout: job.timeout,
            pipelined: !self.flights.is_empty(),
            oldest_since: now,
            answer: Answer::Awaited,
            skip_until: None,
            skipped: 0,
        });
        self.state = State::Busy;
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Flight> {
        let flight = self.flights.pop_front();
        self.note_removal(flight)
    }

    pub(crate) fn pop_newest(&mut self) -> Option<Flight> {
        let flight = self.flights.pop_back();
        self.note_removal(flight)
    }

    /// Forgets a flight of which no byte was sent.
    pub(crate) fn recall(&mut self, job: JobId, now: Duration, origin: &Origin) -> Option<Flight> {
        let unsent = |flight: &Flight| flight.job == job && flight.sent == Sent::No && flight.answer == Answer::Awaited;
        let position = self.flights.iter().position(unsent)?;
        let flight = self.flights.remove(position);
        if position == 0 {
            self.go_on(now, origin);
        }
        self.note_removal(flight)
    }

    /// The oldest flight is gone; the next one is the oldest now.
    pub(crate) fn go_on(&mut self, now: Duration, origin: &Origin) {
        self.judge_from(now, origin);
        match self.flights.front_mut() {
            None => self.state = State::Idle { since: now },
            Some(next) => {
                next.oldest_since = now;
                next.skip_until = next.skips.then(|| now + SKIP_TIME);
            }
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
        Some((flight, is_first))
    }

    fn judge_from(&mut self, now: Duration, origin: &Origin) {
        self.slow_at = origin.slow_after().map_or(Duration::MAX, |slow| now.saturating_add(slow));
        self.is_slow = false;
    }

    pub(crate) fn is_slow(&self, now: Duration) -> bool {
        now >= self.slow_at
    }

    /// From when on the oldest answer is slow, if the plan has not noticed and something could go elsewhere then.
    pub(crate) fn slow_at(&self) -> Option<Duration> {
        (!self.is_slow && self.unsent > 0 && self.flights.len() > 1).then_some(self.slow_at)
    }

    /// The flights behind the oldest that the driver could take back.
    pub(crate) fn recallable(&self) -> impl Iterator<Item = JobId> {
        let behind = if self.unsent == 0 { self.flights.len() } else { 1 };
        let unsent = self.flights.iter().skip(behind).filter(|flight| flight.sent == Sent::No && !flight.recalled);
        unsent.filter_map(Flight::wanted_by)
    }

    /// For how long no byte may move until a job leaves, or the connection is lost. `timeout`: the session's.
    pub(crate) fn patience(&self, timeout: Duration) -> Duration {
        if self.own_timeouts == 0 {
            return timeout;
        }
        let wanted = self.flights.iter().filter(|flight| !flight.skips && !flight.is_leaving());
        wanted.map(|flight| flight.timeout.unwrap_or(timeout)).fold(self.stalls_after(timeout), Duration::min)
    }

    /// For how long no byte may move until the connection is lost. An impatient job does not decide that for those beside it.
    pub(crate) fn stalls_after(&self, timeout: Duration) -> Duration {
        let oldest = self.flights.front().filter(|flight| !flight.skips);
        oldest.and_then(|flight| flight.timeout).unwrap_or(timeout).max(timeout)
    }

    /// A job that leaves after this time without a byte, and whether no byte of it was sent.
    pub(crate) fn impatient(&self, silence: Duration, timeout: Duration) -> Option<(JobId, bool)> {
        let wanted = self.flights.iter().filter(|flight| !flight.skips && !flight.is_leaving());
        let impatient = wanted.filter(|flight| flight.timeout.unwrap_or(timeout) <= silence);
        impatient.map(|flight| (flight.job, flight.sent == Sent::No)).next()
    }

    /// Takes a response away from its job. Until when it may be skipped is noted if it is the oldest.
    pub(crate) fn skip(&mut self, job: JobId, now: Duration) -> bool {
        let Some(position) = self.flights.iter().position(|flight| flight.job == job) else { return false };
        let flight = &mut self.flights[position];
        self.skips += u32::from(!flight.skips);
        flight.skips = true;
        flight.skip_until = (position == 0).then(|| now + SKIP_TIME);
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

impl Flight {
    /// The job that wants the response.
    pub(crate) fn wanted_by(&self) -> Option<JobId> {
        (!self.skips).then_some(self.job)
    }

    /// The driver was asked to take it back, and may still do so.
    pub(crate) fn is_leaving(&self) -> bool {
        self.recalled && self.sent == Sent::No
    }

    /// Bytes of the response that are still to come, if the head has said so.
    pub(crate) fn content_left(&self) -> Option<u64> {
        match self.answer {
            Answer::Awaited => None,
            Answer::Begun { length, content } => Some(length?.saturating_sub(content)),
        }
    }

    /// Whether a skipped flight cannot be completed: its content comes from a caller who is gone.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.skips && self.upload && self.sent == Sent::Partly
    }
}

pub(crate) fn travels_alone(job: &Job) -> bool {
    job.upload > ALONE_ABOVE
}
