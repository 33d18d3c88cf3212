//! The place where a caller and the driver meet: one for each job.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use dugong_http::{Fields, ResponseHead};

use crate::effort::Effort;
use crate::failed::Failed;
use crate::plan::{JobId, Sent, Whole};

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
    /// How much of the request of a streamed reply had left when its head came.
    pub(crate) sent: Option<Sent>,
    pub(crate) ended: Option<Ended>,
    /// The reply arrived whole, and the plan has forgotten the job: so many bytes of it count against the window.
    pub(crate) held: Option<u64>,
    pub(crate) asks: Asks,
    /// Most jobs have none.
    flow: Option<Box<Flow>>,
    kept: Kept,
}

/// A small reply that arrived whole, until its caller takes it. A slot serves one job after another, and so does this memory: replies that
/// many callers have not taken yet would cost the allocator much more.
#[derive(Debug, Default)]
struct Kept {
    head: Option<ResponseHead>,
    content: Vec<u8>,
}

/// Larger replies have memory of their own.
const KEPT_AT_MOST: usize = 1024;

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

    /// What the head of a streamed reply took.
    pub(crate) fn effort(&self) -> Effort {
        Effort { sent: self.sent.unwrap_or(Sent::Yes), attempts: self.attempts }
    }

    pub(crate) fn take_head(&mut self) -> Option<ResponseHead> {
        self.flow.as_mut()?.head.take()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.flow.as_mut()?.trailers.take()
    }

    /// Ends the job with a reply that has arrived whole.
    pub(crate) fn keep(&mut self, head: &ResponseHead, content: &[u8], whole: &Whole) {
        let effort = Effort { sent: whole.sent, attempts: whole.attempts };
        self.held = Some(whole.held);
        self.asks = Asks::default();
        if content.len() + head.fields().size() > KEPT_AT_MOST {
            let content = Bytes::copy_from_slice(content);
            self.ended = Some(Ended::reply(Some(head.clone()), content, effort));
            return;
        }
        match &mut self.kept.head {
            Some(kept) => kept.clone_from(head),
            None => self.kept.head = Some(head.clone()),
        }
        self.kept.content.clear();
        self.kept.content.extend_from_slice(content);
        self.ended = Some(Ended::Kept { effort });
    }

    /// Takes the error, if the job has ended with one.
    pub(crate) fn take_failed(&mut self) -> Option<Failed> {
        match self.ended.take_if(|ended| matches!(ended, Ended::Failed(_)))? {
            Ended::Failed(failed) => Some(failed),
            _ => None,
        }
    }

    /// Makes a reply of its parts, if the job has ended with a collected one.
    pub(crate) fn take_reply<R>(&mut self, make: impl Fn(ResponseHead, Bytes, Fields, Effort) -> R) -> Option<R> {
        match self.ended.take_if(|ended| !matches!(ended, Ended::Failed(_)))? {
            Ended::Kept { effort } => {
                let content = Bytes::copy_from_slice(&self.kept.content);
                let head = self.kept.head.clone()?;
                Some(make(head, content, Fields::new(), effort))
            }
            Ended::Reply(whole) => {
                let Collected { head, content, effort } = *whole;
                let head = head.expect("a collected reply has a head");
                Some(make(head, content, self.take_trailers().unwrap_or_default(), effort))
            }
            Ended::Failed(_) => None,
        }
    }

    /// The head of a collected reply that the caller has not taken, and its attempts.
    pub(crate) fn collected_head(&self) -> Option<(&ResponseHead, u32)> {
        match self.ended.as_ref()? {
            Ended::Reply(reply) => Some((reply.head.as_ref()?, reply.effort.attempts)),
            Ended::Kept { effort } => Some((self.kept.head.as_ref()?, effort.attempts)),
            Ended::Failed(_) => None,
        }
    }

    /// Whether content of a streamed reply waits for the caller.
    pub(crate) fn has_pieces(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| !flow.pieces.is_empty())
    }
}

/// How the job ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With a collected or streamed reply.
    Reply(Box<Collected>),
    /// With a collected reply that the slot keeps.
    Kept {
        effort: Effort,
    },
    Failed(Failed),
}

/// A reply with memory of its own.
#[derive(Debug)]
pub(crate) struct Collected {
    /// `None` of a streamed one.
    head: Option<ResponseHead>,
    content: Bytes,
    effort: Effort,
}

impl Ended {
    pub(crate) fn reply(head: Option<ResponseHead>, content: Bytes, effort: Effort) -> Self {
        Ended::Reply(Box::new(Collected { head, content, effort }))
    }
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
    pub(crate) fn new(waker: Option<Waker>) -> Self {
        Slot(Mutex::new(SlotState { waker, ..SlotState::default() }))
    }

    /// Prepares a slot that no one else has for another job.
    pub(crate) fn renew(&mut self, waker: Option<Waker>) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        (state.job, state.attempts, state.sent, state.held) = (None, 0, None, None);
        state.waker = waker;
        state.ended = None;
        state.asks = Asks::default();
        state.flow = None;
    }

    /// Ends the job, and wakes the caller.
    pub(crate) fn end(&self, change: impl FnOnce(&mut SlotState)) {
        self.tell(|state| {
            change(state);
            state.asks = Asks::default();
        });
    }

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
