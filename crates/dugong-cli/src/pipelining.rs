//! Decides whether a server gets pipelined requests (RFC 9112 §9.3.2).
//!
//! When a second request comes before the first is answered, some servers close the connection, and some stop answering. After
//! such a loss the first unanswered request goes alone. If the server has answered pipelined requests before, it then gets more
//! of them; any other server gets one request at a time.

use std::fmt;
use std::time::Duration;

/// With several requests in flight, a server that is silent for this long may not support pipelining.
const PATIENCE: Duration = Duration::from_secs(5);

/// A shorter patience would often mistake a slow answer for silence.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// How a server has treated pipelined requests so far.
#[derive(Debug)]
pub(crate) struct PipelineSupport {
    /// The server has answered a request that was sent before the previous one was answered.
    is_seen: bool,
    /// The number of connections in a row whose loss may have been a refusal.
    strikes: u32,
    /// Why requests go one at a time, if they do.
    refusal: Option<Refusal>,
    patience: Duration,
    /// The longest wait for the answer to a request that went alone.
    slowest: Duration,
}

/// How a server refuses pipelined requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It closed or reset the connection.
    Closes,
    /// It stopped answering, and left the connection open.
    IsSilent,
}

impl PipelineSupport {
    /// Starts with an unknown server. `timeout` is the user's limit for silence. The patience with pipelining is at most half of
    /// it, so that time is left to send requests one at a time.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let patience = timeout.map_or(PATIENCE, |timeout| (timeout / 2).clamp(LEAST_PATIENCE, PATIENCE));
        PipelineSupport { is_seen: false, strikes: 0, refusal: None, patience, slowest: Duration::ZERO }
    }

    /// Why requests must go one at a time; `None` if they need not.
    pub(crate) fn one_at_a_time(&self) -> Option<Refusal> {
        self.refusal
    }

    /// How long the server may be silent with several requests in flight.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Notes that a pipelined request was answered.
    pub(crate) fn pipelined_answer(&mut self) {
        self.is_seen = true;
    }

    /// Notes that a request that went alone was answered after `waited`.
    pub(crate) fn lone_answer(&mut self, waited: Duration) {
        self.slowest = self.slowest.max(waited);
        if self.slowest < self.patience {
            return;
        }
        // The server is slow, so its silence with several requests in flight was no refusal.
        self.strikes = 0;
        self.refusal = self.refusal.filter(|&how| how == Refusal::Closes);
        self.patience = self.slowest.saturating_mul(3);
    }

    /// Notes that a connection was lost with several requests in flight, after `answers` to pipelined ones.
    pub(crate) fn refused(&mut self, how: Refusal, answers: u64) {
        if how == Refusal::Closes && answers > 0 {
            // Servers close connections after a number of responses, or after some time.
            self.strikes = 0;
            return;
        }
        self.strikes += 1;
        let enough = if self.is_seen { 2 } else { 1 };
        if self.strikes >= enough {
            self.refusal = Some(how);
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
    fn a_server_that_has_never_pipelined_gets_no_second_chance() {
        for how in [Refusal::Closes, Refusal::IsSilent] {
            let mut support = PipelineSupport::new(None);
            support.refused(how, 0);
            support.lone_answer(SECOND);
            assert_eq!(support.one_at_a_time(), Some(how));
        }
    }

    #[test]
    fn a_server_that_pipelines_may_close_any_number_of_connections() {
        let mut support = PipelineSupport::new(None);
        for _ in 0..9 {
            support.pipelined_answer();
            support.refused(Refusal::Closes, 30);
            support.lone_answer(SECOND);
        }
        support.refused(Refusal::Closes, 0);
        assert_eq!(support.one_at_a_time(), None);
        support.refused(Refusal::Closes, 0);
        assert_eq!(support.one_at_a_time(), Some(Refusal::Closes));
    }

    #[test]
    fn silence_that_a_slow_answer_explains_is_no_refusal() {
        let mut support = PipelineSupport::new(None);
        support.refused(Refusal::IsSilent, 0);
        support.lone_answer(6 * SECOND);
        assert_eq!((support.one_at_a_time(), support.patience()), (None, 18 * SECOND));
        support.refused(Refusal::IsSilent, 0);
        support.lone_answer(7 * SECOND);
        assert_eq!(support.one_at_a_time(), Some(Refusal::IsSilent));
        // The same after answers to pipelined requests.
        let mut support = PipelineSupport::new(None);
        support.pipelined_answer();
        for wait in [6, 19, 58] {
            support.refused(Refusal::IsSilent, 1);
            support.lone_answer(wait * SECOND);
            assert_eq!(support.one_at_a_time(), None);
        }
    }

    #[test]
    fn patience_ends_before_the_timeout_unless_that_is_short() {
        for (timeout, patience) in [(None, 5000), (Some(60_000), 5000), (Some(6000), 3000), (Some(1500), 1000), (Some(200), 1000)]
        {
            assert_eq!(PipelineSupport::new(timeout.map(Duration::from_millis)).patience(), Duration::from_millis(patience));
        }
    }
}
