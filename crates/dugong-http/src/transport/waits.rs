//! What a connection that is being made waits for, which can be more than one thing at a time.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use crate::step::Interest;

/// What something waits for: until one of these descriptors is ready, or the time has come, whichever is first.
///
/// Steps that have one stream at hand say what they need by [`Progress::Needs`](crate::step::Progress); those that make a
/// connection have several sockets, or none yet, and say it with this.
#[derive(Debug, Default)]
pub struct Waits<'a> {
    descriptors: Vec<(BorrowedFd<'a>, Interest)>,
    until: Option<Instant>,
}

impl<'a> Waits<'a> {
    /// Until `descriptor` is ready for `interest`, too.
    pub fn on(&mut self, descriptor: BorrowedFd<'a>, interest: Interest) {
        self.descriptors.push((descriptor, interest));
    }

    /// Until `time` at the latest; the earliest of all that were given counts.
    pub fn until(&mut self, time: impl Into<Option<Instant>>) {
        if let Some(time) = time.into() {
            self.until = Some(self.until.map_or(time, |before| before.min(time)));
        }
    }

    /// The descriptors, each with what it has to be ready for.
    #[must_use]
    pub fn descriptors(&self) -> &[(BorrowedFd<'a>, Interest)] {
        &self.descriptors
    }

    /// When to go on even if none of them is ready.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }
}
