//! The moments at which jobs need attention: the end of a wait, and the deadline.
//!
//! A heap of moments. A timer of a job that ended earlier is not searched for: it stays in the heap and is ignored when it fires.
//! Connections have their moments in themselves, since a session has few of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::arena::Key;
use super::clock::{NEVER, Nanos};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The wait of this job before a repeat is over.
    Rested(Key),
    /// The `total_timeout` of this job is over.
    Deadline(Key),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Nanos, Timer)>>,
}

impl Timers {
    pub(crate) fn add(&mut self, at: Nanos, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(crate) fn next(&self) -> Nanos {
        self.heap.peek().map_or(NEVER, |Reverse((at, _))| *at)
    }

    /// Removes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<Timer> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }

    /// Forgets timers that no job needs, once they are more than half of the heap. Otherwise a session with a `total_timeout` of an hour
    /// would keep the timers of all jobs of the last hour.
    pub(crate) fn tidy(&mut self, jobs: usize, is_needed: impl Fn(Timer) -> bool) {
        if self.heap.len() > 4 * jobs + 64 {
            self.heap.retain(|Reverse((_, timer))| is_needed(*timer));
        }
    }
}
