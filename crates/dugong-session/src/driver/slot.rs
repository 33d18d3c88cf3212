//! The place where a caller and the driver meet: one for each job.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use dugong_http::{Fields, ResponseHead};

use crate::failed::Failed;
use crate::plan::JobId;

#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<SlotState>);

#[derive(Debug, Default)]
pub(crate) struct SlotState {
    /// The name that the plan gave the job.
    pub(crate) job: Option<JobId>,
    /// Woken at each news.
    pub(crate) waker: Option<Waker>,
    /// Connections that the job was given to.
    pub(crate) attempts: u32,
    pub(crate) ended: Option<Ended>,
    pub(crate) asks: Asks,
    /// Most jobs have none.
    flow: Option<Box<Flow>>,
}

/// Content in pieces, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The head of a streamed reply, until the caller takes it.
    pub(crate) head: Option<ResponseHead>,
    /// Content of a streamed reply that the caller has not taken.
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) trailers: Option<Fields>,
    pub(crate) upload: Upload,
}

impl SlotState {
    pub(crate) fn flow(&mut self) -> &mut Flow {
        self.flow.get_or_insert_default()
    }

    /// The head of a streamed reply that the caller has not taken.
    pub(crate) fn head(&self) -> Option<&ResponseHead> {
        self.flow.as_ref()?.head.as_ref()
    }

    pub(crate) fn take_head(&mut self) -> Option<ResponseHead> {
        self.flow.as_mut()?.head.take()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.flow.as_mut()?.trailers.take()
    }

    /// Whether content of a streamed reply waits for the caller.
    pub(crate) fn has_pieces(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| !flow.pieces.is_empty())
    }
}

/// How the job ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a collected reply. A streamed one has no head here.
    Reply {
        head: Option<ResponseHead>,
        content: Bytes,
        attempts: u32,
    },
    Failed(Failed),
}

/// The driver needs the owner of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    /// An attempt is about to begin: sign it, and open its content from the beginning.
    pub(crate) attempt: bool,
    /// The connection has room for content.
    pub(crate) content: bool,
}

/// Content between its owner and the connection.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) bytes: usize,
    /// No more pieces follow.
    pub(crate) is_complete: bool,
}

/// The owner stops when so many bytes wait for the connection.
pub(crate) const UPLOAD_AHEAD: usize = 256 * 1024;

impl Slot {
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        // No code panics while it changes a slot.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the caller if the change is news.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut SlotState)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
