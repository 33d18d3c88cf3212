//! The engine as the steps use it: whole, or in halves.

use std::time::Instant;

use dugong_proto::Misuse;

use super::shared::{Queue, Shared, SharedRef};
use super::sides::{Receiving, Sending};
use super::{Interest, Need, WaitingFor};
use crate::config::Config;
use crate::error::Error;

/// A whole connection without its stream: both sides, and the queue between them. It takes no locks.
#[derive(Debug)]
pub struct Engine {
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) shared: Shared,
}

impl Engine {
    /// Creates an engine for a connection to `host`, the value of the `Host` field.
    ///
    /// # Errors
    /// `Local` if the host or the configured user agent is not valid.
    pub fn new(host: &str, config: &Config) -> Result<Self, Error> {
        Ok(Engine { sending: Sending::new(host, config)?, receiving: Receiving::new(config), shared: Shared::default() })
    }

    /// Lends the engine for one or more steps.
    #[inline]
    pub fn duplex(&mut self) -> Duplex<'_> {
        Duplex {
            sending: Some(&mut self.sending),
            receiving: Some(&mut self.receiving),
            shared: SharedRef::Whole(&mut self.shared),
        }
    }

    /// The side that sends, to look at.
    #[must_use]
    pub fn sending(&self) -> &Sending {
        &self.sending
    }

    /// The side that receives, to look at.
    #[must_use]
    pub fn receiving(&self) -> &Receiving {
        &self.receiving
    }

    /// Returns the memory of empty buffers to the system, those of the pool included.
    pub(crate) fn free_buffers(&mut self) {
        self.receiving.free_buffer();
        drop(self.sending.half.release_buffer());
        self.duplex().shared.queue().shrink();
        self.receiving.holder.pool.clear();
    }

    /// Splits the engine for two threads or tasks: each gets a side, and they share the rest.
    #[must_use]
    pub fn into_halves(self) -> (Sending, Receiving, Shared) {
        (self.sending, self.receiving, self.shared)
    }
}

/// A connection for the time of one step: the sides that the caller has, and the queue between them.
///
/// With both sides, a step that waits to write also takes in arriving bytes, and a step that waits to read also sends pending
/// ones. With one side, the step leaves the other side to the thread or task that has it.
#[derive(Debug)]
pub struct Duplex<'a> {
    /// The sending side; the steps that send need it.
    pub(crate) sending: Option<&'a mut Sending>,
    /// The receiving side; the steps that receive need it.
    pub(crate) receiving: Option<&'a mut Receiving>,
    /// The part that both sides share.
    pub(crate) shared: SharedRef<'a>,
}

impl<'a> Duplex<'a> {
    /// Lends the sides of a [split](Engine::into_halves) connection that the caller has at the moment.
    #[inline]
    pub fn of_halves(
        sending: Option<&'a mut Sending>,
        receiving: Option<&'a mut Receiving>,
        shared: impl Into<SharedRef<'a>>,
    ) -> Self {
        Duplex { sending, receiving, shared: shared.into() }
    }
}

impl Duplex<'_> {
    /// Says how to wait after a step that needs `interest`: until when, and for what. `phase` is the purpose of the step; a
    /// wait for a response counts as a wait for content once the response has begun.
    ///
    /// Call the step again at that time even if the stream is not ready: it then sends content without waiting for 100
    /// (Continue) any longer.
    #[must_use]
    #[inline]
    pub fn need(&self, interest: Interest, phase: WaitingFor) -> Need {
        let has_begun = || self.receiving.as_ref().is_some_and(|receiver| receiver.half.has_begun());
        let phase = if phase == WaitingFor::Response && has_begun() { WaitingFor::Content } else { phase };
        Need::new(interest, phase).until(self.upload_until())
    }

    /// Until when the content of the last request waits for 100 (Continue), if it does.
    #[inline]
    pub(crate) fn upload_until(&self) -> Option<Instant> {
        let until = self.sending.as_ref()?.upload.as_ref()?.until;
        // Content that can no longer be sent has no time limit.
        until.filter(|_| !self.shared.is_cut())
    }

    /// The queue of outstanding requests.
    #[inline]
    pub fn queue(&mut self) -> Queue<'_> {
        self.shared.queue()
    }

    /// Sends the content of the last request without waiting for 100 (Continue) any longer.
    pub fn proceed_without_continue(&mut self) {
        if let Some(sender) = &mut self.sending {
            sender.half.proceed_without_continue(&mut self.shared.queue());
        }
    }

    /// How many bytes of content of the current response are still to be read; `None` if only reading tells.
    #[must_use]
    #[inline]
    pub fn content_left(&self) -> Option<u64> {
        let half = &self.receiving.as_ref()?.half;
        half.content_length()?.checked_sub(half.content_received())
    }

    /// Drops the rest of the content of the last request: the connection ends with the response.
    pub fn give_up_content(&mut self) {
        if let Some(sender) = &mut self.sending {
            sender.half.give_up_content(&mut self.shared.queue());
        }
    }

    /// Whether the current response has unread content.
    pub(crate) fn is_in_content(&self) -> bool {
        self.receiving.as_ref().is_some_and(|receiver| receiver.half.is_in_content())
    }

    /// Gives empty buffers to the pool, if many connections hold some.
    #[inline]
    pub fn release_idle_buffers(&mut self) {
        if let Some(sender) = &mut self.sending {
            sender.release_idle_buffer();
        }
        if let Some(receiver) = &mut self.receiving {
            receiver.release_idle_buffer();
        }
    }

    /// Gives empty buffers to the pool if no response is due.
    #[inline]
    pub(crate) fn release_buffers_between(&mut self) {
        if let Some(receiver) = &mut self.receiving
            && receiver.is_idle_and_short(&mut self.shared)
        {
            receiver.release_idle_buffer();
            if let Some(sender) = &mut self.sending {
                sender.release_buffer_when_idle();
            }
        }
    }

    /// Whether bytes wait to be sent.
    #[inline]
    pub(crate) fn has_to_send(&self) -> bool {
        self.sending.as_ref().is_some_and(|sender| sender.upload.is_some() || !sender.half.to_send().is_empty())
    }

    /// How many outstanding requests wait for the head of their final response.
    pub(crate) fn requests_without_head(&mut self) -> usize {
        let in_content = self.is_in_content();
        self.shared.queue().len() - usize::from(in_content)
    }

    pub(super) fn sender(&mut self) -> &mut Sending {
        self.sending.as_mut().expect(SENDS)
    }

    pub(super) fn receiver(&mut self) -> &mut Receiving {
        self.receiving.as_mut().expect(RECEIVES)
    }
}

pub(super) const SENDS: &str = "a step that sends needs the sending side";
pub(super) const RECEIVES: &str = "a step that receives needs the receiving side";

/// Returns a misuse as an error.
pub(super) fn refused<T>(misuse: Misuse) -> Result<T, Error> {
    Err(Error::Local(misuse))
}
