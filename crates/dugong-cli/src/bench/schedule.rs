//! When each request is due.

/// The requests of a run, by the moment at which each is due. Times are nanoseconds since the begin of the run.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// The end of the warm-up: `bench` does not measure requests that are due before it.
    measured_from: u64,
    /// No request is due from here on.
    end: u64,
    /// How many measured requests are still to come.
    left: u64,
    /// The time between two requests; `None` if each follows an answer.
    interval: Option<f64>,
    /// How many requests were due, if they have an interval.
    issued: u64,
}

impl Schedule {
    /// Without an `interval`, a request is due whenever a connection has room for it.
    pub(crate) fn new(measured_from: u64, end: Option<u64>, requests: Option<u64>, interval: Option<f64>) -> Self {
        Schedule { measured_from, end: end.unwrap_or(u64::MAX), left: requests.unwrap_or(u64::MAX), interval, issued: 0 }
    }

    /// Takes the next request that is due at `now`, and returns when it was due.
    #[inline]
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let due = match self.interval {
            None => now,
            Some(_) => self.next_due().filter(|&due| due <= now)?,
        };
        if due >= self.end || self.left == 0 {
            return None;
        }
        self.issued += 1;
        if due >= self.measured_from {
            self.left -= 1;
        }
        Some(due)
    }

    /// When the next request is due; `None` if none is to come, or if each follows an answer.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let due = (self.issued as f64 * self.interval?) as u64;
        (due < self.end && self.left > 0).then_some(due)
    }

    /// Whether each request has a time of its own.
    pub(crate) fn is_timed(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether all requests were taken.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// Whether a request that was due at `due` is measured.
    #[inline]
    pub(crate) fn is_measured(&self, due: u64) -> bool {
        due >= self.measured_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_requests_are_due_at_equal_distances_however_late_they_are_taken() {
        let mut schedule = Schedule::new(0, Some(1000), None, Some(100.0));
        assert_eq!([schedule.take(0), schedule.take(0)], [Some(0), None]);
        assert_eq!(schedule.next_due(), Some(100));
        assert_eq!(
            [schedule.take(350), schedule.take(350), schedule.take(350), schedule.take(350)],
            [Some(100), Some(200), Some(300), None]
        );
        assert_eq!(std::iter::from_fn(|| schedule.take(5000)).last(), Some(900), "none is due at the end or later");
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn an_interval_may_be_a_fraction_of_a_nanosecond_off_without_drifting() {
        let mut schedule = Schedule::new(0, None, Some(3_000_001), Some(1e9 / 3_000_000.0));
        assert_eq!(std::iter::from_fn(|| schedule.take(u64::MAX)).last(), Some(1_000_000_000));
    }

    #[test]
    fn requests_of_the_warm_up_do_not_count() {
        let mut schedule = Schedule::new(100, None, Some(2), None);
        assert_eq!([10, 20, 30].map(|now| schedule.take(now)), [Some(10), Some(20), Some(30)]);
        assert!(!schedule.is_measured(30) && schedule.is_measured(100));
        assert_eq!([100, 101, 102].map(|now| schedule.take(now)), [Some(100), Some(101), None]);
        assert!(schedule.is_exhausted());
    }
}
