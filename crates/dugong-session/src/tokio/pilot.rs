//! The task that drives a session for other tasks.
//!
//! A task that waits for its reply could drive the session, as a thread does. But a future that was polled once may rest for a long
//! time, in a `select!` for example, and then no other task would get its reply. So the first request in a runtime spawns one task that
//! drives, as long as the session exists.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::tokio::io::unix::AsyncFd;
use ::tokio::runtime;
use ::tokio::time::{Sleep, sleep};

use crate::session::Session;

/// A session, and the tasks that drive it. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Pilot {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    session: Session,
    is_over: AtomicBool,
    /// The runtimes that have a task that drives.
    runtimes: Mutex<Vec<runtime::Id>>,
    /// There is such a runtime.
    is_driven: AtomicBool,
}

impl Pilot {
    pub(super) fn new(session: Session) -> Self {
        let (is_over, is_driven) = (AtomicBool::new(false), AtomicBool::new(false));
        Pilot { shared: Arc::new(Shared { session, is_over, runtimes: Mutex::default(), is_driven }) }
    }

    pub(super) fn session(&self) -> &Session {
        &self.shared.session
    }

    /// Makes sure that a task of this runtime drives the session.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn ensure(&self) {
        let handle = runtime::Handle::current();
        let mut runtimes = self.shared.runtimes();
        if !runtimes.contains(&handle.id()) {
            runtimes.push(handle.id());
            self.shared.is_driven.store(true, Ordering::Release);
            drop(runtimes);
            let driver = self.shared.session.core().new_driver();
            handle.spawn(drive(Driving { shared: self.shared.clone(), runtime: handle.id(), driver }));
        }
    }

    /// Makes sure that a task goes on driving for one that waits here: the runtime in which its request began may have ended.
    pub(super) fn go_on(&self) {
        if !self.shared.is_driven.load(Ordering::Acquire) && runtime::Handle::try_current().is_ok() {
            self.ensure();
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.shared.session.core().wake_drivers();
    }
}

impl Shared {
    fn runtimes(&self) -> MutexGuard<'_, Vec<runtime::Id>> {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task's place. Dropping it, for example with its runtime, gives it back.
struct Driving {
    shared: Arc<Shared>,
    runtime: runtime::Id,
    /// The name of the task at the session.
    driver: u64,
}

impl Drop for Driving {
    fn drop(&mut self) {
        let mut runtimes = self.shared.runtimes();
        runtimes.retain(|runtime| *runtime != self.runtime);
        self.shared.is_driven.store(!runtimes.is_empty(), Ordering::Release);
        drop(runtimes);
        self.shared.session.core().remove_driver(self.driver);
    }
}

struct Descriptor(Session);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

async fn drive(place: Driving) {
    let watched = watch(&place.shared.session);
    let mut timer = pin!(sleep(Duration::ZERO));
    let mut wake_at = None;
    poll_fn(|cx| {
        place.shared.session.core().set_driver(place.driver, cx.waker());
        if place.shared.is_over.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        poll_turns(&place.shared.session, watched.as_ref().ok(), timer.as_mut(), &mut wake_at, cx)
    })
    .await;
}

// Since 1.54 tokio has this as an unsafe function, since a descriptor might be closed or replaced. Here a session owns it, which the
// `AsyncFd` owns.
#[allow(deprecated, reason = "the function that is not deprecated is unsafe")]
fn watch(session: &Session) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::new(Descriptor(session.clone()))
}

/// Drives until only waiting is left.
fn poll_turns(
    session: &Session,
    watched: Option<&AsyncFd<Descriptor>>,
    mut timer: Pin<&mut Sleep>,
    wake_at: &mut Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        // If a thread drives meanwhile, it makes the descriptor readable when it leaves.
        let drives = session.turn();
        if let Some(watched) = watched
            && let Poll::Ready(ready) = watched.poll_read_ready(cx)
        {
            // The runtime is shutting down.
            let Ok(mut ready) = ready else { return Poll::Ready(()) };
            // Before the turn: what comes during the turn is seen afterwards.
            ready.clear_ready();
            continue;
        }
        if !drives {
            return Poll::Pending;
        }
        let next = session.wait_until();
        // Without a descriptor to watch, because the system has none left, it looks often.
        let next = if watched.is_some() { next } else { Some(Instant::now() + UNWATCHED) };
        let Some(next) = next else { return Poll::Pending };
        if *wake_at != Some(next) {
            *wake_at = Some(next);
            timer.as_mut().reset(next.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        *wake_at = None;
    }
}

/// How often a session is driven that cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(5);
