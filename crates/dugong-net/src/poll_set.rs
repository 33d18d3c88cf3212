//! Waiting for several descriptors at once, and for a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::need::Interest;

/// The descriptors and the time that a step waits for: any of the descriptors, or the time, whichever comes first.
///
/// Steps over one stream say what they need by [`Progress::Needs`](crate::Progress::Needs). Steps that make a connection have
/// several sockets, or none yet, so they fill one of these. Wait for it with [`wait_any`], or in your own event loop.
#[derive(Debug, Default)]
pub struct PollSet<'a> {
    descriptors: Vec<(BorrowedFd<'a>, Interest)>,
    until: Option<Instant>,
}

impl<'a> PollSet<'a> {
    /// Adds a descriptor, to be ready for `interest`.
    pub fn on(&mut self, descriptor: BorrowedFd<'a>, interest: Interest) {
        self.descriptors.push((descriptor, interest));
    }

    /// Ends the wait at `time` at the latest. The earliest time counts, and `None` changes nothing.
    pub fn until(&mut self, time: impl Into<Option<Instant>>) {
        if let Some(time) = time.into() {
            self.until = Some(self.until.map_or(time, |before| before.min(time)));
        }
    }

    /// The descriptors, each with the readiness to wait for.
    #[must_use]
    pub fn descriptors(&self) -> &[(BorrowedFd<'a>, Interest)] {
        &self.descriptors
    }

    /// When to call the step again even if no descriptor is ready.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }
}

/// Waits until `socket` is ready for `interest`, or until `deadline`; returns false at the deadline. A socket with an error
/// counts as ready.
///
/// # Errors
/// `Interrupted` if a signal was handled meanwhile, or another error of the system.
#[inline]
pub fn wait(socket: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    poll_all(&mut [PollFd::new(&socket, flags(interest))], deadline)
}

/// Waits for any of the descriptors in a set; returns false if its time came first.
///
/// # Errors
/// As for [`wait`].
pub fn wait_any(set: &PollSet<'_>) -> io::Result<bool> {
    let mut descriptors: Vec<_> =
        set.descriptors().iter().map(|(descriptor, interest)| PollFd::new(descriptor, flags(*interest))).collect();
    poll_all(&mut descriptors, set.deadline())
}

/// Waits like [`wait`], and goes on after signals.
///
/// # Errors
/// An error of the system while waiting.
#[inline]
pub fn wait_uninterrupted(socket: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        match wait(&socket, interest, deadline) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Waits like [`wait_uninterrupted`], and returns what the socket is ready for; `None` if the deadline passed. An error of the
/// socket counts as ready for everything.
///
/// # Errors
/// An error of the system while waiting.
#[inline]
pub fn wait_ready(socket: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<Option<Interest>> {
    loop {
        let mut descriptors = [PollFd::new(&socket, flags(interest))];
        match poll_all(&mut descriptors, deadline) {
            Ok(false) => return Ok(None),
            Ok(true) => {
                let ready = descriptors[0].revents();
                return Ok(Some(match (ready == PollFlags::IN, ready == PollFlags::OUT) {
                    (true, _) => Interest::READ,
                    (_, true) => Interest::WRITE,
                    _ => Interest::READ | Interest::WRITE,
                }));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[inline]
fn poll_all(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    let Some(deadline) = deadline else { return Ok(poll(descriptors, None)? > 0) };
    // A time that the system cannot express is no limit in practice.
    let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
    Ok(poll(descriptors, left.as_ref())? > 0)
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.reads());
    flags.set(PollFlags::OUT, interest.writes());
    flags
}
