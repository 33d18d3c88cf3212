//! Buffers that no connection needs now, kept for the next one that does.
//!
//! Each thread keeps a few of its own, so that neither a lock nor a clock is needed: a connection lends its buffers as soon as
//! there is nothing in them and it has to wait, and takes one when it has something to do. However many connections wait in a
//! thread, there are as many buffers as are in use, and these few. Where there are only a few connections in the first place,
//! they keep their buffers, since lending takes time.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All bytes of it were written to, so that it need not be cleared.
    Receive,
    /// Empty.
    Send,
}

/// Of each kind.
const KEPT: usize = 4;

/// A larger one is not kept.
const LARGEST: usize = 256 * 1024;

/// How many connections of the program hold a buffer to receive into, whether there is something in it or not.
static HOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A connection that holds a buffer to receive into.
#[derive(Debug)]
pub(crate) struct Holder(());

impl Holder {
    pub(crate) fn new() -> Self {
        HOLDERS.fetch_add(1, Ordering::Relaxed);
        Holder(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        HOLDERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether so many connections hold buffers that one that needs none now had better lend it.
#[inline]
pub(crate) fn are_wanted() -> bool {
    HOLDERS.load(Ordering::Relaxed) > KEPT
}

type Kept = [Vec<Vec<u8>>; 2];

thread_local! {
    static BUFFERS: RefCell<Kept> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Calls `take` with a buffer, if there is one.
#[inline]
pub(crate) fn lend(kind: Kind, take: impl FnOnce(Vec<u8>)) {
    // Where the thread is at its end, there is none.
    let buffer = BUFFERS.try_with(|kept| kept.borrow_mut()[kind as usize].pop());
    if let Ok(Some(buffer)) = buffer {
        take(buffer);
    }
}

/// Keeps a buffer, or gives it back to the system.
pub(crate) fn keep(kind: Kind, buffer: Vec<u8>) {
    let _ = BUFFERS.try_with(|kept| {
        let kept = &mut kept.borrow_mut()[kind as usize];
        if kept.len() < KEPT && buffer.capacity() <= LARGEST {
            if kept.capacity() == 0 {
                kept.reserve_exact(KEPT);
            }
            kept.push(buffer);
        }
    });
}

/// Gives all that this thread keeps back to the system.
pub(crate) fn release() {
    let _ = BUFFERS.try_with(|kept| kept.borrow_mut().iter_mut().for_each(Vec::clear));
}
