//! Messages from callers to the driver.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::slot::Slot;
use crate::failed::Cause;
use crate::request::Request;

/// A message to the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Submit {
        slot: Arc<Slot>,
        request: Request,
    },
    /// The owner has done what an attempt needs. A signed request replaces the first one.
    Ready {
        slot: Arc<Slot>,
        request: Option<Request>,
    },
    /// The owner has given content, or its end.
    Content {
        slot: Arc<Slot>,
    },
    /// The owner's part failed.
    Fail {
        slot: Arc<Slot>,
        cause: Cause,
    },
    Awaited {
        slot: Arc<Slot>,
        awaited: bool,
    },
    /// The caller has taken so many bytes of a streamed reply.
    Taken {
        slot: Arc<Slot>,
        bytes: u64,
    },
    /// The caller went away, or has taken everything.
    Release {
        slot: Arc<Slot>,
    },
    /// End all jobs and connections.
    Close,
}

#[derive(Debug)]
pub(crate) struct Inbox {
    post: Mutex<Post>,
    /// The thread that drives sleeps, or is about to.
    is_asleep: AtomicBool,
    waker: mio::Waker,
    drivers: Drivers,
}

#[derive(Debug, Default)]
struct Post {
    commands: Vec<Command>,
    /// Slots whose jobs are over, for those that come.
    slots: Vec<Arc<Slot>>,
    /// Bytes of replies that callers have taken.
    freed: u64,
}

/// How many slots wait for jobs. Each keeps the memory of a small reply.
const SLOTS: usize = 256;

/// Tasks that drive: each has a name, and a waker from its first wait on.
#[derive(Debug, Default)]
struct Drivers {
    is_some: AtomicBool,
    #[cfg(feature = "tokio")]
    next: std::sync::atomic::AtomicU64,
    wakers: Mutex<Vec<(u64, Waker)>>,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Inbox { post: Mutex::default(), is_asleep: AtomicBool::new(false), waker, drivers: Drivers::default() }
    }

    pub(super) fn push(&self, command: Command) {
        self.lock().commands.push(command);
        self.announce();
    }

    /// Submits a request, and returns its slot.
    pub(super) fn submit(&self, request: Request, waker: Option<Waker>) -> Arc<Slot> {
        let mut post = self.lock();
        let mut slot = post.slots.pop().unwrap_or_default();
        if let Some(unshared) = Arc::get_mut(&mut slot) {
            unshared.renew(waker);
        } else {
            slot = Arc::new(Slot::new(waker));
        }
        post.commands.push(Command::Submit { slot: slot.clone(), request });
        drop(post);
        self.announce();
        slot
    }

    #[inline]
    fn announce(&self) {
        if self.is_asleep.load(Ordering::SeqCst) {
            self.poke();
        } else if self.drivers.is_some.load(Ordering::SeqCst) {
            self.wake_drivers();
        }
    }

    /// Names a task that drives.
    #[cfg(feature = "tokio")]
    pub(super) fn new_driver(&self) -> u64 {
        self.drivers.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Wakes this for each command that comes while no thread sleeps. Look for commands after this.
    #[cfg(feature = "tokio")]
    pub(super) fn set_driver(&self, driver: u64, waker: &Waker) {
        let mut wakers = lock(&self.drivers.wakers);
        match wakers.iter_mut().find(|(name, _)| *name == driver) {
            Some((_, before)) => before.clone_from(waker),
            None => wakers.push((driver, waker.clone())),
        }
        self.drivers.is_some.store(true, Ordering::SeqCst);
    }

    #[cfg(feature = "tokio")]
    pub(super) fn remove_driver(&self, driver: u64) {
        let mut wakers = lock(&self.drivers.wakers);
        wakers.retain(|(name, _)| *name != driver);
        self.drivers.is_some.store(!wakers.is_empty(), Ordering::SeqCst);
    }

    pub(super) fn wake_drivers(&self) {
        lock(&self.drivers.wakers).iter().for_each(|(_, waker)| waker.wake_by_ref());
    }

    /// Makes the poller's descriptor readable.
    pub(super) fn poke(&self) {
        // It fails if the counter of an eventfd is full: then it is readable.
        let _ = self.waker.wake();
    }

    /// Notes that the caller has taken a reply of so many bytes, of a job that the plan has forgotten.
    pub(super) fn retire(&self, slot: Arc<Slot>, bytes: u64) {
        let mut post = self.lock();
        post.freed += bytes;
        if post.slots.len() < SLOTS {
            post.slots.push(slot);
        }
        drop(post);
        if bytes > 0 {
            self.announce();
        }
    }

    /// Moves the commands to `commands`, which is empty, and returns how many bytes of replies callers have taken.
    pub(super) fn take(&self, commands: &mut Vec<Command>) -> u64 {
        let mut post = self.lock();
        std::mem::swap(&mut post.commands, commands);
        std::mem::take(&mut post.freed)
    }

    pub(super) fn is_empty(&self) -> bool {
        let post = self.lock();
        post.commands.is_empty() && post.freed == 0
    }

    /// Sleeps, unless a command is there. Commands that come meanwhile end the sleep.
    pub(super) fn sleep(&self, sleep: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.is_asleep.store(true, Ordering::SeqCst);
        // A command that came before this look did not poke.
        let slept = if self.is_empty() { sleep() } else { Ok(()) };
        self.is_asleep.store(false, Ordering::SeqCst);
        slept
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        lock(&self.post)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
