//! Buffers that no connection needs now, kept for the next one that does.
//!
//! Each thread keeps a few of its own, so that neither a lock nor a clock is needed: a connection lends its buffers as soon as
//! there is nothing in them and it has to wait, and takes one when it has something to do. However many connections wait in a
//! thread, there are as many buffers as are in use, and these few.

use std::cell::RefCell;

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
