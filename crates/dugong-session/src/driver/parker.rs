//! Parking a thread until a waker wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Wakes a thread.
#[derive(Debug)]
pub(crate) struct Parker {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Parker {
    /// The parker of this thread.
    pub(crate) fn current() -> Arc<Self> {
        thread_local! {
            static PARKER: Arc<Parker> =
                Arc::new(Parker { thread: std::thread::current(), is_woken: AtomicBool::new(false) });
        }
        PARKER.with(Arc::clone)
    }

    /// Wakes this thread.
    pub(crate) fn waker() -> Waker {
        Parker::current().into()
    }

    pub(crate) fn park(&self, until: Option<Instant>) {
        while !self.is_woken.swap(false, Ordering::Acquire) {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => return,
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

/// A waker for the calling thread, as [`Session::wait_for`](crate::Session::wait_for) needs it.
#[must_use]
pub fn thread_waker() -> Waker {
    Parker::waker()
}
