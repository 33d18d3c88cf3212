//! What a connection that is being made waits for, which can be more than one thing at a time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::need::Interest;

/// What something waits for: until one of these descriptors is ready, or the time has come, whichever is first.
///
/// Steps that have one stream at hand say what they need by [`Progress::Needs`](crate::Progress::Needs); those that make a
/// connection have several sockets, or none yet, and say it with this.
#[derive(Debug, Default)]
pub struct PollSet<'a> {
    descriptors: Vec<(BorrowedFd<'a>, Interest)>,
    until: Option<Instant>,
}

impl<'a> PollSet<'a> {
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

/// Waits until `socket` is ready for `interest`, at most until `deadline`; false if it passed. An error of the socket counts as
/// ready.
///
/// # Errors
/// `Interrupted` if a signal was handled meanwhile; whatever else the system reports of the waiting itself.
#[inline]
pub fn wait(socket: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    poll_all(&mut [PollFd::new(&socket, flags(interest))], deadline)
}

/// Waits for any of what `waits` says; false if its time came first.
///
/// # Errors
/// As for [`wait`].
pub fn wait_any(waits: &PollSet<'_>) -> io::Result<bool> {
    let mut descriptors: Vec<_> =
        waits.descriptors().iter().map(|(descriptor, interest)| PollFd::new(descriptor, flags(*interest))).collect();
    poll_all(&mut descriptors, waits.deadline())
}

/// The same as [`wait`], going on after signals.
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
    // A time too long for the system's clock is as good as none.
    let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
    Ok(poll(descriptors, left.as_ref())? > 0)
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.reads());
    flags.set(PollFlags::OUT, interest.writes());
    flags
}
