//! How an origin treats requests that come together, and what follows for its next connection (RFC 9112 §9.3.2).
//!
//! Some servers close the connection, and some fall silent, when a second request comes before they have answered the first.
//! After a loss the first unanswered request goes alone. A server that has answered pipelined requests then gets them again;
//! any other server gets one request at a time.

use std::fmt;
use std::time::Duration;

/// A server that is silent for so long, with several requests in flight, may not have understood them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Less patience than this takes a slow answer for silence too often.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// How one origin has treated pipelined requests so far.
#[derive(Debug)]
pub(crate) struct Manners {
    /// A request was answered that had been sent before the one before it was answered.
    pipelines: bool,
    /// Connections that were lost in a row, and each looked as if pipelining was why.
    strikes: u32,
    /// Why requests go one at a time.
    lone: Option<Refusal>,
    patience: Duration,
    /// The longest that a request without others behind it had to wait.
    slowest: Duration,
}

/// How a server refuses pipelined requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It closes or resets the connection.
    Closes,
    /// It does not answer, and leaves the connection open.
    IsSilent,
}

impl Manners {
    /// Nothing is known yet. `timeout` is how long the user lets the server be silent before all is given up; half of that
    /// decides about pipelining, so that there is time left to do without.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let patience = timeout.map_or(PATIENCE, |timeout| (timeout / 2).clamp(LEAST_PATIENCE, PATIENCE));
        Manners { pipelines: false, strikes: 0, lone: None, patience, slowest: Duration::ZERO }
    }

    /// Why requests have to go one at a time, if they have to.
    pub(crate) fn one_at_a_time(&self) -> Option<Refusal> {
        self.lone
    }

    /// How long the server may be silent with several requests in flight.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// A pipelined request was answered.
    pub(crate) fn pipelined_answer(&mut self) {
        self.pipelines = true;
    }

    /// A request that had no other behind it was answered after `waited`.
    pub(crate) fn lone_answer(&mut self, waited: Duration) {
        self.slowest = self.slowest.max(waited);
        if self.slowest < self.patience {
            return;
        }
        // The server is slow: its silence with several requests in flight says nothing.
        self.strikes = 0;
        self.lone = self.lone.filter(|&how| how == Refusal::Closes);
        self.patience = self.slowest.saturating_mul(3);
    }

    /// A connection was lost with several requests in flight, after `answers` of pipelined ones.
    pub(crate) fn refused(&mut self, how: Refusal, answers: u64) {
        if how == Refusal::Closes && answers > 0 {
            // Servers close after so many responses, or after some time.
            self.strikes = 0;
            return;
        }
        self.strikes += 1;
        let enough = if self.pipelines { 2 } else { 1 };
        if self.strikes >= enough {
            self.lone = Some(how);
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Closes => "the server closed the connection when several requests came together, so they go one at a time",
            Refusal::IsSilent => "the server stopped answering when several requests came together, so they go one at a time",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_has_not_pipelined_yet_loses_it_at_once() {
        for how in [Refusal::Closes, Refusal::IsSilent] {
            let mut manners = Manners::new(None);
            manners.refused(how, 0);
            manners.lone_answer(SECOND);
            assert_eq!(manners.one_at_a_time(), Some(how));
        }
    }

    #[test]
    fn a_server_that_pipelines_may_close_as_often_as_it_likes() {
        let mut manners = Manners::new(None);
        for _ in 0..9 {
            manners.pipelined_answer();
            manners.refused(Refusal::Closes, 30);
            manners.lone_answer(SECOND);
        }
        manners.refused(Refusal::Closes, 0);
        assert_eq!(manners.one_at_a_time(), None);
        manners.refused(Refusal::Closes, 0);
        assert_eq!(manners.one_at_a_time(), Some(Refusal::Closes));
    }

    #[test]
    fn silence_that_a_slow_answer_explains_is_no_refusal() {
        let mut manners = Manners::new(None);
        manners.refused(Refusal::IsSilent, 0);
        manners.lone_answer(6 * SECOND);
        assert_eq!((manners.one_at_a_time(), manners.patience()), (None, 18 * SECOND));
        manners.refused(Refusal::IsSilent, 0);
        manners.lone_answer(7 * SECOND);
        assert_eq!(manners.one_at_a_time(), Some(Refusal::IsSilent));
        // Nor where others were answered before.
        let mut manners = Manners::new(None);
        manners.pipelined_answer();
        for wait in [6, 19, 58] {
            manners.refused(Refusal::IsSilent, 1);
            manners.lone_answer(wait * SECOND);
            assert_eq!(manners.one_at_a_time(), None);
        }
    }

    #[test]
    fn patience_ends_before_the_timeout_unless_that_is_short() {
        for (timeout, patience) in [(None, 5000), (Some(60_000), 5000), (Some(6000), 3000), (Some(1500), 1000), (Some(200), 1000)]
        {
            assert_eq!(Manners::new(timeout.map(Duration::from_millis)).patience(), Duration::from_millis(patience));
        }
    }
}
