//! The two sides of a connection: what its sender owns, and what its receiver owns.

use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use dugong_net::{Proxy, StreamError};
use dugong_proto::{Fields, Outstanding, ReceiveHalf, ResponseHead, SendHalf};

use super::shared::{Shared, SharedRef};
use crate::buffers::{BufferPool, Holder, Kind};
use crate::config::Config;
use crate::error::Error;
use crate::events::{Event, Observer};

/// What the sender of a connection owns.
#[derive(Debug)]
pub struct Sending {
    pub(crate) half: SendHalf,
    /// Fields of every request that does not have its own.
    pub(super) defaults: Box<Fields>,
    pub(super) limit: usize,
    pub(crate) expect_timeout: Duration,
    /// Content that was given with the last request, and is not sent completely.
    pub(super) upload: Option<Upload>,
    /// Some of what was taken was given up.
    pub(super) gave_up: bool,
    pool: BufferPool,
}

/// Content that was given with a request, on its way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) content: Bytes,
    pub(super) sent: usize,
    /// Until when it waits for 100 (Continue).
    pub(super) until: Option<Instant>,
}

impl Sending {
    /// The sending side of a connection to `host`, the value of the `Host` field.
    ///
    /// # Errors
    /// `Local` if the host or the configured user agent is not valid.
    pub fn new(host: &str, config: &Config) -> Result<Self, Error> {
        let mut defaults = Fields::new();
        if let Some(name) = &config.user_agent {
            defaults.append("User-Agent", name)?;
        }
        Ok(Sending {
            half: SendHalf::new(host)?,
            defaults: Box::new(defaults),
            limit: config.send_buffer,
            expect_timeout: config.expect_timeout,
            upload: None,
            gave_up: false,
            pool: config.buffers.clone(),
        })
    }

    /// The peer is a proxy for plain HTTP, not the host: [targets name the host](SendHalf::through_proxy), and requests carry the
    /// credentials for the proxy, if there are any, unless they bring `Proxy-Authorization` themselves.
    pub fn through_proxy(&mut self, proxy: &Proxy) {
        self.half.through_proxy();
        if let Some(authorization) = proxy.authorization() {
            self.defaults.append("Proxy-Authorization", authorization).expect("Basic and base64 are a field value");
        }
    }

    /// Refuses targets that are [URLs of another origin](SendHalf::only_for_its_origin).
    pub(crate) fn only_for_its_origin(&mut self, secure: bool) {
        self.half.only_for_its_origin(secure);
    }

    /// The core's half, to look at.
    #[must_use]
    pub fn half(&self) -> &SendHalf {
        &self.half
    }

    /// Takes request `number` back, if it is the last one and its response has not begun: sending it failed.
    pub fn take_back(&mut self, number: u64, queue: &mut Outstanding) {
        self.half.take_back(number, queue);
    }

    /// The rest of the content that is owed will not be sent; the connection ends with the response.
    pub fn give_up_content(&mut self, queue: &mut Outstanding) {
        self.half.give_up_content(queue);
    }

    /// The server was silent for long enough: content may be sent without 100 (Continue).
    pub fn proceed_without_continue(&mut self, queue: &mut Outstanding) {
        self.half.proceed_without_continue(queue);
    }

    /// Nothing of what there is to send will be sent.
    pub(super) fn give_up(&mut self) {
        self.gave_up = true;
        self.upload = None;
        self.half.give_up();
    }

    #[cold]
    #[inline(never)]
    pub(super) fn take_buffer(&mut self) {
        if let Some(buffer) = self.pool.take(Kind::Send) {
            self.half.lend_buffer(buffer);
        }
    }

    /// Gives its buffer to the pool, if many connections hold buffers and this one is empty and worth it.
    #[inline]
    pub fn release_idle_buffer(&mut self) {
        if self.pool.is_short()
            && self.half.buffer_capacity() > SMALL
            && !self.half.owes_content()
            && let Some(buffer) = self.half.release_buffer()
        {
            self.pool.put(Kind::Send, buffer);
        }
    }

    /// Whether nothing is left of what was taken, and no content is owed.
    #[cfg(feature = "async")]
    pub(crate) fn is_all_sent(&self) -> bool {
        self.upload.is_none() && self.half.to_send().is_empty() && !self.half.owes_content()
    }

    /// How much of the content that was given with the last request is still to be sent; later steps send it.
    #[must_use]
    pub fn upload_left(&self) -> usize {
        self.upload.as_ref().map_or(0, |upload| upload.content.len() - upload.sent)
    }
}

/// A buffer of so many bytes is not worth giving back.
const SMALL: usize = 512;

/// Called with each interim response.
pub(crate) type OnInterim = Box<dyn FnMut(&ResponseHead) + Send + Sync>;

/// What the receiver of a connection owns.
pub struct Receiving {
    pub(crate) half: ReceiveHalf,
    /// How many responses were told of as complete.
    reported: u64,
    pub(crate) on_interim: Option<OnInterim>,
    /// What the system said when reading failed; it is told once.
    pub(super) read_error: Option<StreamError>,
    /// The limit of `read_all`.
    pub(crate) max_content: usize,
    pub(super) holder: Holder,
}

impl Receiving {
    /// The receiving side of a connection.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut half = ReceiveHalf::new(config.limits, config.receive_buffer);
        half.require_length(config.require_length);
        let (max_content, holder) = (config.max_content, Holder::new(&config.buffers));
        Receiving { half, reported: 0, on_interim: None, read_error: None, max_content, holder }
    }

    /// The core's half, to look at.
    #[must_use]
    pub fn half(&self) -> &ReceiveHalf {
        &self.half
    }

    /// Whether reading failed because the connection was reset, so that sending would fail, too.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        self.read_error.as_ref().is_some_and(|error| matches!(error.kind(), BrokenPipe | ConnectionReset))
    }

    /// From the next head on, refuse content that ends with the connection unless the response says `Connection: close`.
    pub fn require_length(&mut self, required: bool) {
        self.half.require_length(required);
    }

    /// Have `callback` called with each interim (1xx) response, before the final one is reported.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.on_interim = Some(Box::new(callback));
    }

    /// What was said when reading failed, if TLS said it: then it is the error of whoever comes first, also of a sender. Otherwise
    /// it is for the reader.
    pub(super) fn take_tls_error(&mut self) -> Option<StreamError> {
        self.read_error.take_if(|error| !matches!(error, StreamError::Io(_)))
    }

    /// Gives its buffer to the pool, if many connections hold buffers and this one is empty.
    #[inline]
    pub fn release_idle_buffer(&mut self) {
        if self.holder.pool.is_short()
            && let Some(buffer) = self.half.release_buffer()
        {
            self.holder.set(false);
            self.holder.pool.put(Kind::Receive, buffer);
        }
    }

    /// Gives the memory of its buffer back to the system, if the buffer is empty.
    pub(crate) fn free_buffer(&mut self) {
        if self.half.release_buffer().is_some() {
            self.holder.set(false);
        }
    }

    /// Whether no response is due, and many connections hold buffers.
    #[inline]
    pub(super) fn is_idle_and_short(&self, shared: &mut SharedRef<'_>) -> bool {
        self.holder.pool.is_short()
            && self.half.unconsumed().is_empty()
            && !self.half.is_in_content()
            && shared.queue().is_empty()
    }

    /// Takes the final head that is ready.
    #[inline]
    pub(super) fn take_final(&mut self, shared: &mut SharedRef<'_>) {
        // It may only now be known that the last one was complete.
        self.report_complete(shared);
        self.half.take_head(&mut shared.queue());
        if let Some(observer) = &shared.observer {
            self.report_head(observer);
            self.report_complete(shared);
        }
    }

    #[cold]
    fn report_head(&self, observer: &Observer) {
        // One without content is complete by now.
        let number = self.half.completed() - u64::from(!self.half.is_in_content());
        observer.tell(&Event::Response { number, head: self.half.head() });
    }

    /// Tells of the response that may just have been read to its end.
    #[inline]
    pub(crate) fn report_complete(&mut self, shared: &Shared) {
        if shared.observer.is_some() && self.reported < self.half.completed() {
            self.reported = self.half.completed();
            shared.tell(&Event::Complete { number: self.reported - 1, content: self.half.content_received() });
        }
    }

    /// Takes the interim head that is ready. It may be what a sender in another thread waits for.
    pub(super) fn take_interim(&mut self, shared: &mut SharedRef<'_>) {
        self.report_complete(shared);
        self.half.take_head(&mut shared.queue());
        shared.changed.notify();
        shared.tell(&Event::Interim { head: self.half.head() });
        if let Some(callback) = &mut self.on_interim {
            callback(self.half.head());
        }
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("half", &self.half).finish_non_exhaustive()
    }
}
