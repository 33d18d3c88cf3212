//! Telling whoever waits for a change of the queue, in another thread or another task.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use dugong_proto::Outstanding;

/// Whoever waits for a change of the queue that the two halves of a connection share.
///
/// A waiter looks at the queue and begins to wait under the lock of the queue, and whoever changes it tells of that after having
/// had the lock: so no change is missed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    condition: Condvar,
    /// Threads that wait. Without any, nobody need be woken, which takes a call of the system.
    threads: AtomicUsize,
    /// Tasks that wait: at most one for each side.
    tasks: Mutex<[Option<Waker>; 2]>,
    has_tasks: AtomicBool,
}

type Queue<'a> = MutexGuard<'a, Outstanding>;

impl Changed {
    /// Wakes all.
    pub(crate) fn notify(&self) {
        if self.threads.load(Ordering::Acquire) > 0 {
            self.condition.notify_all();
        }
        if self.has_tasks.swap(false, Ordering::AcqRel) {
            let tasks = std::mem::take(&mut *self.tasks());
            tasks.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Has the thread wait; an error if `deadline` has passed.
    pub(crate) fn wait<'a>(&self, queue: Queue<'a>, deadline: Option<Instant>) -> Result<Queue<'a>, Queue<'a>> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(queue);
        }
        self.threads.fetch_add(1, Ordering::AcqRel);
        let queue = match left {
            None => self.condition.wait(queue).unwrap_or_else(PoisonError::into_inner),
            Some(left) => self.condition.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        self.threads.fetch_sub(1, Ordering::AcqRel);
        Ok(queue)
    }

    /// Has the task of `side` woken by the next change. Whoever calls this has the lock of the queue.
    #[cfg(feature = "async")]
    pub(crate) fn wake(&self, side: Side, waker: &Waker) {
        let mut tasks = self.tasks();
        match &mut tasks[side as usize] {
            Some(before) => before.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        drop(tasks);
        self.has_tasks.store(true, Ordering::Release);
    }

    fn tasks(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which half.
#[cfg(feature = "async")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The one that sends requests.
    Requests,
    /// The one that reads responses.
    Responses,
}
