//! The part of a session that all its clones share, and the choice of the thread that drives.
//!
//! A session has no thread of its own. Of the threads that wait, one *leads*: it locks the driver, works, and sleeps until its poller
//! has events. The others park until their job is over or the leader leaves. Tasks do not park: they watch the poller's descriptor, and
//! take a [`turn`](Core::turn) when it is readable.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Instant;

use super::Driver;
use super::inbox::{Command, Inbox};
use super::parker::Parker;
use super::settings::Settings;
use super::slot::Slot;
use crate::plan::Stats;
use crate::request::Request;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    driver: Mutex<Driver>,
    lobby: Mutex<Lobby>,
    inbox: Inbox,
    descriptor: RawFd,
    /// Tickets whose owners are tasks.
    tasks: AtomicUsize,
    is_closed: AtomicBool,
    last: Mutex<Snapshot>,
}

#[derive(Debug, Default)]
struct Lobby {
    has_leader: bool,
    /// The thread that leads.
    leader: Option<ThreadId>,
    /// Threads that could lead.
    parked: VecDeque<Arc<Parker>>,
}

impl Lobby {
    fn lead(&mut self) {
        (self.has_leader, self.leader) = (true, Some(thread::current().id()));
    }
}

/// What code says that a connection calls, such as a connector or a signal handler, and that waits for its own session.
const WAITS_INSIDE: &str = "this thread drives the session at the moment, so code that it calls cannot wait for the same session";

/// What others may know while a leader sleeps.
#[derive(Debug)]
struct Snapshot {
    until: Option<Instant>,
    stats: Stats,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in the driver is a bug; the next caller finds a driver that still has its plan.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(crate) fn new(settings: Settings) -> io::Result<Arc<Self>> {
        let (driver, waker) = Driver::new(&settings)?;
        let descriptor = driver.descriptor();
        let last = Mutex::new(Snapshot { until: None, stats: driver.stats() });
        Ok(Arc::new(Core {
            settings,
            driver: Mutex::new(driver),
            lobby: Mutex::default(),
            inbox: Inbox::new(waker),
            descriptor,
            tasks: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            last,
        }))
    }

    /// Queues a command for the driver. The next thread or task that drives executes it.
    pub(crate) fn command(&self, command: Command) {
        self.inbox.push(command);
    }

    /// Submits a request, and returns its slot.
    pub(crate) fn submit(&self, request: Request, waker: Option<Waker>) -> Arc<Slot> {
        self.inbox.submit(request, waker)
    }

    /// Notes that the caller has taken a reply of so many bytes, of a job that the plan has forgotten.
    pub(crate) fn retire(&self, slot: Arc<Slot>, bytes: u64) {
        self.inbox.retire(slot, bytes);
    }

    /// Makes the descriptor readable, so that a task takes a turn.
    pub(crate) fn poke(&self) {
        self.inbox.poke();
    }

    /// Names a task that drives until [`remove_driver`](Core::remove_driver).
    #[cfg(feature = "tokio")]
    pub(crate) fn new_driver(&self) -> u64 {
        self.task_came();
        self.inbox.new_driver()
    }

    /// Wakes this task for each command that no thread sees. The task takes a turn after this.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_driver(&self, driver: u64, waker: &Waker) {
        self.inbox.set_driver(driver, waker);
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn remove_driver(&self, driver: u64) {
        self.inbox.remove_driver(driver);
        self.task_left();
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn wake_drivers(&self) {
        self.inbox.wake_drivers();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.command(Command::Close);
        self.turn();
    }

    pub(crate) fn task_came(&self) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn task_left(&self) {
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }

    /// The figures as of the last time that a leader fell asleep or left.
    pub(crate) fn stats(&self) -> Stats {
        lock(&self.last).stats
    }

    /// Until when a task waits for the descriptor.
    pub(crate) fn wait_until(&self) -> Option<Instant> {
        lock(&self.last).until
    }

    /// Waits until `is_done`, and drives the session meanwhile if no other thread does. Returns false at `until`.
    ///
    /// `is_done` is called often, so it should be cheap. The waker of what it looks at must wake this thread's [`Parker`].
    pub(crate) fn wait(&self, until: Option<Instant>, mut is_done: impl FnMut() -> bool) -> io::Result<bool> {
        let parker = Parker::current();
        loop {
            if is_done() {
                return Ok(true);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
            let mut lobby = lock(&self.lobby);
            if !lobby.has_leader {
                lobby.lead();
                drop(lobby);
                let leading = Leading { core: self, is_thread: true };
                leading.lead(until, &mut is_done)?;
                continue;
            }
            if lobby.leader == Some(thread::current().id()) {
                // It would wait for itself.
                return Err(io::Error::new(io::ErrorKind::Deadlock, WAITS_INSIDE));
            }
            lobby.parked.push_back(parker.clone());
            drop(lobby);
            // The leader may have ended the job before this thread was in the lobby.
            if !is_done() {
                parker.park(until);
            }
            let mut lobby = lock(&self.lobby);
            lobby.parked.retain(|other| !Arc::ptr_eq(other, &parker));
            let is_leaving = is_done() || until.is_some_and(|until| until <= Instant::now());
            if is_leaving && !lobby.has_leader {
                // This thread was chosen to lead, and has no reason to.
                Core::choose_next(&mut lobby);
            }
        }
    }

    /// Drives without waiting. Returns false if a thread leads: it does the work.
    pub(crate) fn turn(&self) -> bool {
        let mut lobby = lock(&self.lobby);
        if lobby.has_leader {
            return false;
        }
        lobby.lead();
        drop(lobby);
        let leading = Leading { core: self, is_thread: false };
        let mut driver = lock(&self.driver);
        driver.look();
        driver.go_on(&self.inbox);
        drop(driver);
        drop(leading);
        true
    }

    fn choose_next(lobby: &mut Lobby) -> bool {
        let next = lobby.parked.pop_front();
        next.as_ref().is_some_and(|parker| {
            parker.wake_by_ref();
            true
        })
    }
}

/// The right to drive. Dropping it hands the right on.
struct Leading<'a> {
    core: &'a Core,
    is_thread: bool,
}

impl Leading<'_> {
    fn lead(&self, until: Option<Instant>, is_done: &mut impl FnMut() -> bool) -> io::Result<()> {
        let core = self.core;
        let mut driver = lock(&core.driver);
        loop {
            driver.go_on(&core.inbox);
            if is_done() || until.is_some_and(|until| until <= Instant::now()) {
                driver.look_at_times(&core.inbox);
                return Ok(());
            }
            let wake_at = driver.wait_until();
            core.remember(&driver);
            let wake_at = wake_at.into_iter().chain(until).min();
            match core.inbox.sleep(|| driver.sleep(wake_at)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                other => other?,
            }
        }
    }
}

impl Core {
    fn remember(&self, driver: &Driver) {
        *lock(&self.last) = Snapshot { until: driver.wait_until(), stats: driver.stats() };
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let core = self.core;
        core.remember(&lock(&core.driver));
        let mut lobby = lock(&core.lobby);
        (lobby.has_leader, lobby.leader) = (false, None);
        if Core::choose_next(&mut lobby) {
            return;
        }
        drop(lobby);
        // Tasks go on from here, and their timers may be old.
        if core.tasks.load(Ordering::Relaxed) > 0 && (self.is_thread || !core.inbox.is_empty()) {
            core.inbox.poke();
        }
    }
}

impl AsRawFd for Core {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}
