//! The engine: every operation of a connection as a step that is done, or says which I/O it needs.
//!
//! State lives in [`Sending`], [`Receiving`] and [`Shared`], never in the caller's stack: a step that is given up (by a
//! timeout, a cancelled task, an abandoned generator) leaves a connection that goes on where it was. A face only decides how to
//! wait: call the step; if it says [`Progress::Needs`], wait until the stream is ready for that, and call it again.
//!
//! The engine holds at most: the receive buffer; the send buffer, which one request head may exceed, or the rest of one chunk
//! (64 KiB); one response head and one trailer section, each within its [limits](dugong_proto::Limits); about a hundred bytes for
//! each outstanding request; and the content that was given with the last request, which is not copied.
//!
//! ```
//! use dugong_http::step::{Duplex, Progress, Receiving, Sending, Shared};
//! use dugong_http::transport::scripted::{Cue, Scripted};
//! use dugong_http::{Config, Request};
//!
//! let config = Config::new().user_agent(None);
//! let (mut sending, mut receiving) = (Sending::new("example.org", &config)?, Receiving::new(&config));
//! let shared = Shared::default();
//! let mut stream = Scripted::default();
//! let mut duplex = Duplex { sending: Some(&mut sending), receiving: Some(&mut receiving), shared: &shared };
//!
//! assert!(matches!(duplex.send_request(&Request::get("/"), &mut stream)?, Progress::Done(0)));
//! assert!(matches!(duplex.read_head(&mut stream)?, Progress::Needs(interest) if interest.reads()));
//! stream.reads.push_back(Cue::Give(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".into()));
//! assert!(matches!(duplex.read_head(&mut stream)?, Progress::Done(())));
//! let mut buffer = [0; 10];
//! assert!(matches!(duplex.read_content(&mut buffer, &mut stream)?, Progress::Done(2)));
//! assert!(matches!(duplex.read_content(&mut buffer, &mut stream)?, Progress::Done(0)));
//! # Ok::<(), dugong_http::Error>(())
//! ```

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use dugong_net::Proxy;
use dugong_proto::{CloseReason, Fields, Misuse, Outstanding, ReceiveHalf, ResponseHead, SendHalf};

#[cfg(feature = "async")]
use crate::buffers::{self, Kind};
use crate::config::Config;
use crate::error::{Error, Requests, is_of_tls};
use crate::events::{Event, Observer};

mod changed;
mod in_flight;
mod receive;
mod send;

use changed::Changed;
pub use dugong_net::{Interest, Progress};
pub use dugong_proto::HeadKind;
pub use in_flight::InFlight;
pub use receive::BYPASS_MIN;
pub use send::Continue;

/// What the sender of a connection owns.
#[derive(Debug)]
pub struct Sending {
    pub(crate) half: SendHalf,
    /// Fields of every request that does not have its own.
    defaults: Box<Fields>,
    limit: usize,
    pub(crate) expect_timeout: Duration,
    /// Content that was given with the last request, and is not sent completely.
    upload: Option<Upload>,
    /// Some of what was taken was given up.
    gave_up: bool,
}

/// Content that was given with a request, on its way.
#[derive(Debug)]
struct Upload {
    content: Bytes,
    sent: usize,
    /// Until when it waits for 100 (Continue).
    until: Option<Instant>,
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

    /// The core's half, to look at.
    #[must_use]
    pub fn half(&self) -> &SendHalf {
        &self.half
    }

    /// Takes request `number` back, if it is the last one and its response has not begun: sending it failed.
    pub fn take_back(&mut self, number: u64, shared: &Shared) {
        self.half.take_back(number, &mut shared.queue());
    }

    /// The rest of the content that is owed will not be sent; the connection ends with the response.
    pub fn give_up_content(&mut self, shared: &Shared) {
        self.half.give_up_content(&mut shared.queue());
    }

    /// The server was silent for long enough: content may be sent without 100 (Continue).
    pub fn proceed_without_continue(&mut self, shared: &Shared) {
        self.half.proceed_without_continue(&mut shared.queue());
    }

    /// Nothing of what there is to send will be sent.
    fn give_up(&mut self) {
        self.gave_up = true;
        self.upload = None;
        self.half.give_up();
    }

    #[cfg(feature = "async")]
    #[inline(never)]
    fn borrow_buffer(&mut self) {
        buffers::lend(Kind::Send, |buffer| self.half.lend_buffer(buffer));
    }

    /// Lends its buffer to whoever needs one, if there is nothing in it, and if it is worth while.
    #[cfg(feature = "async")]
    pub fn rest(&mut self) {
        if self.half.buffer_capacity() > SMALL
            && !self.half.owes_content()
            && let Some(buffer) = self.half.release_buffer()
        {
            buffers::keep(Kind::Send, buffer);
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

/// A buffer of so many bytes is not worth lending.
#[cfg(feature = "async")]
const SMALL: usize = 512;

/// Called with each interim response.
pub(crate) type OnInterim = Box<dyn FnMut(&ResponseHead) + Send + Sync>;

/// What the receiver of a connection owns.
pub struct Receiving {
    pub(crate) half: ReceiveHalf,
    /// How many responses were told of as complete.
    told: u64,
    pub(crate) on_interim: Option<OnInterim>,
    /// What the system said when reading failed; it is told once.
    said: Option<io::Error>,
    /// As long as there is a buffer.
    #[cfg(feature = "async")]
    holder: Option<buffers::Holder>,
}

impl Receiving {
    /// The receiving side of a connection.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut half = ReceiveHalf::new(config.limits, config.receive_buffer);
        half.require_length(config.require_length);
        Receiving {
            half,
            told: 0,
            on_interim: None,
            said: None,
            #[cfg(feature = "async")]
            holder: None,
        }
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
        self.said.as_ref().is_some_and(|error| matches!(error.kind(), BrokenPipe | ConnectionReset))
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
    fn said_by_tls(&mut self) -> Option<io::Error> {
        self.said.take_if(|error| is_of_tls(error))
    }

    /// Lends its buffer to whoever needs one in this thread, if there is nothing in it; takes one when there is something to do.
    #[cfg(feature = "async")]
    pub fn rest(&mut self) {
        if let Some(buffer) = self.half.release_buffer() {
            self.holder = None;
            buffers::keep(Kind::Receive, buffer);
        }
    }

    /// Gives the memory of its buffer back to the system, if there is nothing in it.
    pub(crate) fn release_buffer(&mut self) {
        if self.half.release_buffer().is_some() {
            #[cfg(feature = "async")]
            drop(self.holder.take());
        }
    }

    /// Lends its buffer to whoever needs one, if no response is due and if many have one.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn rest_between(&mut self, shared: &Shared) {
        if !buffers::are_wanted() {
            return;
        }
        let is_unused = self.half.buffer_capacity() > 0 && self.half.unconsumed().is_empty() && !self.half.is_in_content();
        if is_unused && shared.queue().is_empty() {
            self.rest();
        }
    }

    /// Takes the final head that is ready.
    #[inline]
    fn take_final(&mut self, shared: &Shared) {
        // It may only now be known that the last one was complete.
        self.tell_complete(shared);
        self.half.take_head(&mut shared.queue());
        if let Some(observer) = &shared.observer {
            self.tell_head(observer);
            self.tell_complete(shared);
        }
    }

    #[cold]
    fn tell_head(&self, observer: &Observer) {
        // One without content is complete by now.
        let number = self.half.completed() - u64::from(!self.half.is_in_content());
        observer.tell(&Event::Response { number, head: self.half.head() });
    }

    /// Tells of the response that may just have been read to its end.
    #[inline]
    pub(crate) fn tell_complete(&mut self, shared: &Shared) {
        if shared.observer.is_some() && self.told < self.half.completed() {
            self.told = self.half.completed();
            shared.tell(&Event::Complete { number: self.told - 1, content: self.half.content_received() });
        }
    }

    /// Takes the interim head that is ready. It may be what a sender in another thread waits for.
    fn take_interim(&mut self, shared: &Shared) {
        self.tell_complete(shared);
        self.half.take_head(&mut shared.queue());
        shared.changed.tell();
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

/// What sender and receiver share: the queue of outstanding requests. The lock is never held while waiting.
#[derive(Debug, Default)]
pub struct Shared {
    queue: Mutex<Outstanding>,
    /// Somebody in another thread or task may wait for a change of it.
    pub(crate) changed: Changed,
    /// How sending failed: then the end of what can be read is no orderly one, since a reset looks like it, which the system
    /// tells only once.
    write_failed: OnceLock<io::ErrorKind>,
    observer: Option<Observer>,
}

impl Shared {
    /// The same, and whoever wants to see it is told what happens.
    pub(crate) fn observed(observer: Option<Observer>) -> Self {
        let mut shared = Self::default();
        shared.observer = observer;
        shared
    }

    /// The queue.
    pub fn queue(&self) -> MutexGuard<'_, Outstanding> {
        // Nothing panics while the queue is in the middle of a change, so what a panic elsewhere left is good.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about the requests.
    #[must_use]
    pub fn requests(&self) -> Requests {
        Requests::of(&self.queue())
    }

    /// The connection was cut at this end: what can be read ends, but not because the peer said so.
    pub fn cut(&self, kind: io::ErrorKind, reason: CloseReason) {
        self.write_failed.get_or_init(|| kind);
        self.queue().stop_sending(reason);
    }

    /// Whether nothing more can be written: writing failed, or the connection was cut at this end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.write_failed.get().is_some()
    }

    fn sending_failed(&self, error: io::Error) -> Error {
        let queue = self.queue();
        if let Some(known) = queue.failure() {
            // The reader has found why, and may have closed the socket.
            return self.over(known, &queue);
        }
        drop(queue);
        self.cut(error.kind(), CloseReason::Broken);
        Error::of_sending(error, &self.queue())
    }

    /// The queue, which is told how much was received before the write that is about to be made.
    #[inline]
    fn queue_before_write(&self, receiver: Option<&Receiving>) -> MutexGuard<'_, Outstanding> {
        let mut queue = self.queue();
        if let Some(receiver) = receiver {
            receiver.half.note_received(&mut queue);
        }
        queue
    }

    /// An error of the core that ends sending; if a write failed, as that write reported it.
    #[cold]
    pub(crate) fn over(&self, error: dugong_proto::Error, queue: &Outstanding) -> Error {
        match self.write_failed.get() {
            Some(&kind) if error == dugong_proto::Error::Closed(CloseReason::Broken) => Error::of_sending(kind.into(), queue),
            _ => Error::of_core(error, queue, None),
        }
    }

    /// Why what waits to be sent has to be given up, if so. It is no error if the response to the last request says it all.
    #[inline]
    fn gives_up(&self, queue: &Outstanding) -> Option<Result<(), Error>> {
        queue.close_reason()?;
        self.gives_up_after(queue)
    }

    #[cold]
    fn gives_up_after(&self, queue: &Outstanding) -> Option<Result<(), Error>> {
        let error = queue.sending_is_over()?;
        let is_told = queue.failure().is_none() && queue.is_last_answered();
        Some(if is_told { Ok(()) } else { Err(self.over(error, queue)) })
    }

    /// Whether `result` is the error after which nothing can be sent or read any more.
    #[cold]
    pub(crate) fn is_final<T>(&self, result: &Result<T, Error>) -> bool {
        result.as_ref().is_err_and(|error| error.requests().is_some()) && self.queue().is_over()
    }

    /// The error that ended the connection, or that ended sending.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        let queue = self.queue();
        queue.failure().map(|error| self.over(error, &queue))
    }

    fn check_failure(&self) -> Result<(), Error> {
        self.failure().map_or(Ok(()), Err)
    }

    fn tell(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.tell(event);
        }
    }
}

/// The connection is over when nobody holds it any more.
impl Drop for Shared {
    fn drop(&mut self) {
        if self.observer.is_some() {
            let requests = self.requests();
            let reason = self.queue().close_reason();
            self.tell(&Event::Closed { reason, requests: &requests });
        }
    }
}

/// A connection for the time of one step: its two sides, as far as the caller has them, and what they share.
///
/// With both sides, whoever waits to write also takes in what arrives, and whoever waits to read also sends what is left. With
/// one side, the other is somebody else's, and is left alone.
#[derive(Debug)]
pub struct Duplex<'a> {
    /// The sending side; the steps that send need it.
    pub sending: Option<&'a mut Sending>,
    /// The receiving side; the steps that receive need it.
    pub receiving: Option<&'a mut Receiving>,
    /// What they share.
    pub shared: &'a Shared,
}

impl Duplex<'_> {
    /// If set, a step that needs something has to be called again at this time, even if the stream is not ready: then content is
    /// sent without 100 (Continue).
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        let until = self.sending.as_ref()?.upload.as_ref()?.until;
        // What cannot be sent any more has no time.
        until.filter(|_| !self.shared.is_cut())
    }

    /// Whether something of a response has come that is not read to its end.
    pub(crate) fn has_begun_to_read(&self) -> bool {
        self.receiving.as_ref().is_some_and(|receiver| receiver.half.has_begun())
    }

    /// Whether content of a response is to be read.
    pub(crate) fn is_in_content(&self) -> bool {
        self.receiving.as_ref().is_some_and(|receiver| receiver.half.is_in_content())
    }

    fn sender(&mut self) -> &mut Sending {
        self.sending.as_mut().expect("a step that sends needs the sending side")
    }

    fn receiver(&mut self) -> &mut Receiving {
        self.receiving.as_mut().expect("a step that receives needs the receiving side")
    }
}

/// Why something was refused, as an error.
fn refused<T>(misuse: Misuse) -> Result<T, Error> {
    Err(Error::Local(misuse))
}
