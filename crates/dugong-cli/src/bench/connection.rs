//! One connection that stands: sends what the feed has, and receives.

use std::collections::VecDeque;
use std::time::Instant;

use dugong_http::driver::{Engine, Established, Progress};
use dugong_http::{Error, Misuse};

use super::edge::Edge;
use super::feed::Feed;
use super::tally::Tally;

/// Nanoseconds since the begin of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(pub(crate) Instant);

impl Clock {
    #[inline]
    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A connection with requests in flight.
#[derive(Debug)]
pub(crate) struct Open {
    engine: Engine,
    pub(crate) edge: Edge,
    /// When each unanswered request was due, oldest first.
    pub(crate) in_flight: VecDeque<u64>,
    depth: usize,
    is_in_content: bool,
    /// The moment from which silence of the server counts.
    pub(crate) quiet_since: u64,
    /// How many requests were answered.
    pub(crate) answered: u64,
}

impl Open {
    pub(crate) fn new(established: Established, depth: usize, now: u64) -> Self {
        let Established { transport, engine, .. } = established;
        let in_flight = VecDeque::with_capacity(depth.min(1 << 16));
        Open { engine, edge: Edge::new(transport), in_flight, depth, is_in_content: false, quiet_since: now, answered: 0 }
    }

    /// Receives and sends as far as that goes without waiting.
    ///
    /// # Errors
    /// The connection has ended. Requests in flight have no answer.
    pub(crate) fn drive(&mut self, lane: usize, feed: &mut Feed, tally: &mut Tally, clock: Clock) -> Result<(), Error> {
        let driven = loop {
            let answered = self.answered;
            if let Err(error) = self.receive(feed, tally, clock).and_then(|()| self.send(lane, feed, clock)) {
                break Err(error);
            }
            let has_received = self.answered > answered;
            match self.engine.duplex().flush(&mut self.edge) {
                Ok(Progress::Done(())) if !self.edge.is_readable() || self.in_flight.is_empty() => break Ok(()),
                Ok(Progress::Done(())) => {}
                // More answers have come while the rest could not be sent.
                Ok(Progress::Needs(_)) | Err(_) if has_received => {}
                Ok(Progress::Needs(_)) | Err(Error::Local(Misuse::ReadFirst)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.count_bytes(feed, tally, clock);
        driven
    }

    /// Counts the bytes received since the last call.
    pub(crate) fn count_bytes(&mut self, feed: &Feed, tally: &mut Tally, clock: Clock) {
        let received = self.edge.take_received();
        if feed.schedule.is_measured(clock.now()) {
            tally.bytes += received;
        }
    }

    /// Receives as far as that goes without waiting.
    ///
    /// # Errors
    /// The connection has ended. Requests in flight have no answer.
    pub(crate) fn receive(&mut self, feed: &Feed, tally: &mut Tally, clock: Clock) -> Result<(), Error> {
        let mut now = None;
        while let Some(&due) = self.in_flight.front() {
            let mut duplex = self.engine.duplex();
            if !self.is_in_content {
                match duplex.read_head(&mut self.edge)? {
                    Progress::Done(()) => self.is_in_content = true,
                    Progress::Needs(_) => break,
                }
            }
            let Progress::Done(()) = duplex.discard(&mut self.edge)? else { break };
            self.is_in_content = false;
            self.in_flight.pop_front();
            self.answered += 1;
            if self.edge.take_news() {
                now = None;
            }
            // Answers that came with one read came at one moment.
            let now = *now.get_or_insert_with(|| clock.now());
            if feed.schedule.is_measured(due) {
                tally.answered(self.engine.receiving().half().head().status(), now.saturating_sub(due));
            }
            self.quiet_since = now;
        }
        if self.edge.take_news() {
            self.quiet_since = clock.now();
        }
        Ok(())
    }

    fn send(&mut self, lane: usize, feed: &mut Feed, clock: Clock) -> Result<(), Error> {
        if self.in_flight.len() >= self.depth {
            return Ok(());
        }
        let now = clock.now();
        if self.in_flight.is_empty() {
            self.quiet_since = now;
        }
        let mut duplex = self.engine.duplex();
        while self.in_flight.len() < self.depth
            && let Some(due) = feed.take(lane, now)
        {
            match duplex.take_request(feed.lanes[lane].request(), &mut self.edge) {
                Ok(Progress::Done(_)) => {
                    feed.lanes[lane].advance();
                    self.in_flight.push_back(due);
                }
                Ok(Progress::Needs(_)) | Err(Error::Local(Misuse::ReadFirst | Misuse::ContentRefused)) => {
                    feed.put_back(lane, due);
                    break;
                }
                Err(error) => {
                    feed.put_back(lane, due);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether a further request may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < self.depth
    }
}
