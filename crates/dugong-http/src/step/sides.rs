//! The two sides of a connection: one sends, the other receives.

use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use dugong_net::{Proxy, StreamError};
use dugong_proto::{Fields, Misuse, Outstanding, ReceiveHalf, ResponseHead, SendHalf};

use super::shared::{Shared, SharedRef};
use crate::buffers::{BufferPool, Holder, Kind};
use crate::config::Config;
use crate::error::Error;
use crate::events::{Event, Observer};

/// The sending side of a connection.
pub struct Sending {
    pub(crate) half: SendHalf,
    /// Fields of every request that does not set them itself.
    pub(super) defaults: Box<Fields>,
    pub(super) limit: usize,
    pub(crate) expect_timeout: Duration,
    /// The content of the last request, until all of it is sent.
    pub(super) upload: Option<Upload>,
    /// Pending bytes were dropped.
    pub(super) gave_up: bool,
    pool: BufferPool,
}

/// The content of a request on its way.
pub(super) struct Upload {
    pub(super) content: Bytes,
    pub(super) sent: usize,
    /// Until when it waits for 100 (Continue).
    pub(super) until: Option<Instant>,
}

/// Counts the content, instead of showing it.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes sent", self.sent, self.content.len())
    }
}

impl Sending {
    /// Creates the sending side of a connection to `host`, the value of the `Host` field.
    ///
    /// # Errors
    /// `Local` if the host, the configured user agent or a default field is not valid, or not for all requests.
    pub fn new(host: &str, config: &Config) -> Result<Self, Error> {
        let mut defaults = Fields::new();
        if let Some(name) = &config.user_agent
            && !config.has_default_field("User-Agent")
        {
            defaults.append("User-Agent", name)?;
        }
        for (name, value) in &config.default_fields {
            defaults.append(name, value)?;
        }
        defaults.check_for_all()?;
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

    /// Speaks to a proxy for plain HTTP instead of the host: [targets name the host](SendHalf::through_proxy), and requests
    /// carry the proxy's credentials, unless they set `Proxy-Authorization` themselves.
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

    /// Takes request `number` back after a failed send, if it is the last one and its response has not begun.
    pub fn take_back(&mut self, number: u64, queue: &mut Outstanding) {
        self.half.take_back(number, queue);
    }

    /// Drops the rest of the announced content: the connection ends with the response.
    pub fn give_up_content(&mut self, queue: &mut Outstanding) {
        self.half.give_up_content(queue);
    }

    /// Gives up the rest of the content that is owed, for a caller who goes on to [`discard`](Sending::discard) it.
    ///
    /// # Errors
    /// `NoContentDue` if no content is owed.
    pub fn discard_content(&mut self, queue: &mut Outstanding) -> Result<(), Misuse> {
        self.half.discard_content(queue)
    }

    /// Counts `count` bytes of content that will not be sent.
    ///
    /// # Errors
    /// `NoContentDue` if no content is to be discarded, `ExcessContent` if it is more than was announced.
    pub fn discard(&mut self, count: u64) -> Result<(), Misuse> {
        self.half.discard(count)
    }

    /// Allows the content to be sent without 100 (Continue): the server was silent for long enough.
    pub fn proceed_without_continue(&mut self, queue: &mut Outstanding) {
        self.half.proceed_without_continue(queue);
    }

    /// Drops all pending bytes.
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

    /// Gives its buffer up, however small, when no response is due.
    pub(super) fn release_buffer_when_idle(&mut self) {
        self.release_idle_buffer();
        if self.half.buffer_capacity() <= SMALL {
            drop(self.half.release_buffer());
        }
    }

    /// Whether all bytes of all requests are sent.
    #[cfg(feature = "async")]
    pub(crate) fn is_all_sent(&self) -> bool {
        self.upload.is_none() && self.half.to_send().is_empty() && !self.half.owes_content()
    }

    /// How many bytes of the content of the last request are still to be sent. Later steps send them.
    #[must_use]
    pub fn upload_left(&self) -> usize {
        self.upload.as_ref().map_or(0, |upload| upload.content.len() - upload.sent)
    }
}

/// A buffer of this size or less is not worth giving back.
const SMALL: usize = 512;

/// Called with each interim response.
pub(crate) type OnInterim = Box<dyn FnMut(&ResponseHead) + Send + Sync>;

/// The receiving side of a connection.
pub struct Receiving {
    pub(crate) half: ReceiveHalf,
    /// How many responses were reported as complete.
    reported: u64,
    pub(crate) on_interim: Option<OnInterim>,
    /// The error of the read that failed. It is reported once.
    pub(super) read_error: Option<StreamError>,
    /// The limit of `read_all`.
    pub(crate) max_content: usize,
    pub(super) holder: Holder,
}

impl Receiving {
    /// Creates the receiving side of a connection.
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

    /// Whether the connection was reset while reading, so that sending would fail as well.
    #[must_use]
    pub fn was_reset(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        self.read_error.as_ref().is_some_and(|error| matches!(error.kind(), BrokenPipe | ConnectionReset))
    }

    /// Refuses, from the next head on, content that ends with the connection unless the response says `Connection: close`.
    pub fn require_length(&mut self, required: bool) {
        self.half.require_length(required);
    }

    /// Calls `callback` with each interim (1xx) response, before the final one is reported.
    pub fn on_interim(&mut self, callback: impl FnMut(&ResponseHead) + Send + Sync + 'static) {
        self.on_interim = Some(Box::new(callback));
    }

    /// Takes the pending read error if it came from TLS. The next operation reports a TLS error, even if that is a send; other
    /// errors are for the reader.
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

    /// Frees its buffer, if it is empty.
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
        // Only the next head may show that the last response was complete.
        self.report_complete(shared);
        self.half.take_head(&mut shared.queue());
        if let Some(observer) = &shared.observer {
            self.report_head(observer);
            self.report_complete(shared);
        }
    }

    #[cold]
    fn report_head(&self, observer: &Observer) {
        // A response without content is complete by now.
        let number = self.half.completed() - u64::from(!self.half.is_in_content());
        observer.tell(&Event::Response { number, head: self.half.head() });
    }

    /// Reports a response that has just become complete to the observer.
    #[inline]
    pub(crate) fn report_complete(&mut self, shared: &Shared) {
        if shared.observer.is_some() && self.reported < self.half.completed() {
            self.reported = self.half.completed();
            shared.tell(&Event::Complete { number: self.reported - 1, content: self.half.content_received() });
        }
    }

    /// Takes the interim head that is ready. A sender in another thread may wait for it.
    pub(super) fn take_interim(&mut self, shared: &mut SharedRef<'_>) {
        self.report_complete(shared);
        self.half.take_head(&mut shared.queue());
        shared.notify();
        shared.tell(&Event::Interim { head: self.half.head() });
        if let Some(callback) = &mut self.on_interim {
            callback(self.half.head());
        }
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving")
            .field("completed", &self.half.completed())
            .field("is_in_content", &self.half.is_in_content())
            .field("unconsumed", &self.half.unconsumed().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("host", &self.half.host())
            .field("to_send", &self.half.to_send().len())
            .field("content_left", &self.half.content_left())
            .field("upload_left", &self.upload_left())
            .finish_non_exhaustive()
    }
}
