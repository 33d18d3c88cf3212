//! Buffers that idle connections share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The buffers that connections share while they are idle.
///
/// A connection takes its buffers from the pool when it has work. While only a few connections hold buffers they keep them,
/// since lending costs time. Beyond that, each gives them back as soon as they are empty and it waits or is idle. So the number
/// of buffers follows the number of busy connections.
///
/// The connections of a [`Config`](crate::Config) share a pool. Each configuration uses the pool of the thread that made it,
/// unless you [set another](crate::Config::buffer_pool). Clones are the same pool.
#[derive(Clone, Debug, Default)]
pub struct BufferPool(Arc<Pool>);

#[derive(Debug, Default)]
struct Pool {
    /// How many connections hold a buffer to receive into, empty or not.
    holders: AtomicUsize,
    kept: Mutex<[Vec<Vec<u8>>; 2]>,
}

/// The purpose of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every byte of it was written before, so it need not be cleared.
    Receive,
    /// Empty.
    Send,
}

/// How many buffers of each kind a pool keeps, and how many connections keep theirs.
const KEPT: usize = 4;

/// A larger buffer is not kept.
const LARGEST: usize = 256 * 1024;

thread_local! {
    static OF_THREAD: BufferPool = BufferPool::new();
}

impl BufferPool {
    /// Creates a pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pool of this thread.
    pub(crate) fn of_thread() -> Self {
        // A thread that is ending has lost its pool.
        OF_THREAD.try_with(BufferPool::clone).unwrap_or_default()
    }

    /// Returns the memory that the pool keeps to the system.
    pub fn clear(&self) {
        self.kept().iter_mut().for_each(Vec::clear);
    }

    /// Whether more connections hold buffers than the pool would keep, so that idle ones should give theirs back.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.0.holders.load(Ordering::Relaxed) > KEPT
    }

    /// Takes a buffer out, if it has one.
    pub(crate) fn take(&self, kind: Kind) -> Option<Vec<u8>> {
        self.kept()[kind as usize].pop()
    }

    /// Keeps a buffer, or frees it if it has enough.
    pub(crate) fn put(&self, kind: Kind, buffer: Vec<u8>) {
        let kept = &mut self.kept()[kind as usize];
        if kept.len() < KEPT && buffer.capacity() <= LARGEST {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, [Vec<Vec<u8>>; 2]> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in a pool, which counts while it holds a buffer to receive into.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) pool: BufferPool,
    holds: bool,
}

impl Holder {
    pub(crate) fn new(pool: &BufferPool) -> Self {
        Holder { pool: pool.clone(), holds: false }
    }

    /// The connection holds a buffer from now on, or holds none.
    pub(crate) fn set(&mut self, holds: bool) {
        if std::mem::replace(&mut self.holds, holds) != holds {
            let holders = &self.pool.0.holders;
            if holds {
                holders.fetch_add(1, Ordering::Relaxed)
            } else {
                holders.fetch_sub(1, Ordering::Relaxed)
            };
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_short_when_more_connections_hold_buffers_than_it_keeps() {
        let pool = BufferPool::new();
        let mut holders: Vec<_> = (0..=KEPT).map(|_| Holder::new(&pool)).collect();
        holders.iter_mut().for_each(|holder| holder.set(true));
        assert!(pool.is_short());
        holders[0].set(false);
        holders[0].set(false);
        assert!(!pool.is_short());
        drop(holders);
        assert_eq!(pool.0.holders.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_pool_keeps_a_few_buffers_and_none_that_are_large() {
        let pool = BufferPool::new();
        pool.put(Kind::Send, Vec::with_capacity(LARGEST + 1));
        assert!(pool.take(Kind::Send).is_none());
        (0..10).for_each(|_| pool.put(Kind::Send, Vec::with_capacity(10)));
        assert!(pool.take(Kind::Receive).is_none());
        assert_eq!(std::iter::from_fn(|| pool.take(Kind::Send)).count(), KEPT);
    }
}
