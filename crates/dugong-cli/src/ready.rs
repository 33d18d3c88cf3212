//! Which of many requests have news: each has a bell that its session rings.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The bells that were rung, in this order.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<VecDeque<Arc<Bell>>>>);

/// The bell of the URL of this number.
pub(crate) struct Bell {
    number: u64,
    is_rung: AtomicBool,
    ready: Ready,
}

impl Ready {
    pub(crate) fn bell(&self, number: u64) -> Arc<Bell> {
        Arc::new(Bell { number, is_rung: AtomicBool::new(false), ready: self.clone() })
    }

    /// Takes the number of the bell that was rung first.
    pub(crate) fn take(&self) -> Option<u64> {
        let bell = self.lock().pop_front()?;
        // News that come from here on ring again.
        bell.is_rung.store(false, Ordering::SeqCst);
        Some(bell.number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Bell>>> {
        // Each change is one call, so a panic cannot leave a half-made one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    pub(crate) fn ring(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            self.ready.lock().push_back(Arc::clone(self));
        }
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Arc::clone(self).into()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
