//! Notifies the other half of a connection that the queue has changed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use dugong_proto::Outstanding;

/// The threads and tasks that wait for a change of the queue that both halves share.
///
/// A waiter checks the queue and starts to wait while it holds the queue's lock. The half that changes the queue notifies after
/// it has held that lock. So no change is missed.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    condition: Condvar,
    /// How many threads wait. Without any, the system call that wakes them is saved.
    threads: AtomicU32,
    /// The tasks that wait, at most one for each side.
    tasks: Mutex<[Option<Waker>; 2]>,
    has_tasks: AtomicBool,
}

type Queue<'a> = MutexGuard<'a, Outstanding>;

impl Changed {
    /// Wakes every waiter.
    pub(crate) fn notify(&self) {
        if self.threads.load(Ordering::Acquire) > 0 {
            self.condition.notify_all();
        }
        if self.has_tasks.swap(false, Ordering::AcqRel) {
            let tasks = std::mem::take(&mut *self.tasks());
            tasks.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Blocks the thread until the next change; an error if `deadline` passes first.
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

    /// Has the next change wake the task of `side`. The caller holds the lock of the queue.
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

/// One of the two halves.
#[cfg(feature = "async")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The half that sends requests.
    Requests,
    /// The half that reads responses.
    Responses,
}
