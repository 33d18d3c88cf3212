//! The engine: every operation of a connection as a step that is done, or says which I/O it needs.
//!
//! State lives in the [`Engine`], never in the caller's stack: a step that is given up (by a timeout, a cancelled task, an
//! abandoned generator) leaves a connection that goes on where it was. A face only decides how to wait: call the step; if it
//! says [`Progress::Needs`], wait until the stream is ready for that, and call it again.
//!
//! A whole engine takes no locks. [`Engine::into_halves`] splits it into a side that sends and a side that receives, for two
//! threads or tasks; then [`Shared`], the queue of outstanding requests, is behind a lock that no step holds while it reads,
//! writes or waits. The steps are the same in both forms: they are methods of [`Duplex`].
//!
//! The engine holds at most: the receive buffer; the send buffer, which one request head may exceed, or the rest of one chunk
//! (64 KiB); one response head and one trailer section, each within its [limits](dugong_proto::Limits); about a hundred bytes for
//! each outstanding request; and the content that was given with the last request, which is not copied.
//!
//! ```
//! use dugong_http::step::{Engine, Progress};
//! use dugong_net::scripted::{Cue, Scripted};
//! use dugong_http::{Config, Request};
//!
//! let mut engine = Engine::new("example.org", &Config::new().user_agent(None))?;
//! let mut stream = Scripted::default();
//! let mut duplex = engine.duplex();
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

use std::time::Instant;

use dugong_proto::Misuse;

use crate::config::Config;
use crate::error::Error;

mod changed;
mod in_flight;
mod receive;
mod send;
mod shared;
mod sides;
mod window;

pub use dugong_net::{Interest, Progress};
pub use dugong_proto::HeadKind;
pub use in_flight::InFlight;
pub use receive::BYPASS_MIN;
pub use send::Continue;
pub use shared::{Queue, Shared, SharedRef};
pub use sides::{Receiving, Sending};
pub use window::{Anything, Offer, Policy, Wants, Window, WindowWants};

/// A whole connection without its stream: both sides, and what they share. It takes no locks.
#[derive(Debug)]
pub struct Engine {
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) shared: Shared,
}

impl Engine {
    /// An engine for a connection to `host`, the value of the `Host` field.
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

    /// Gives the memory of empty buffers back to the system, those of the pool included.
    pub(crate) fn free_buffers(&mut self) {
        self.receiving.free_buffer();
        drop(self.sending.half.release_buffer());
        self.duplex().shared.queue().shrink();
        self.receiving.holder.pool.clear();
    }

    /// Splits the engine, for two threads or tasks that each have a side and share the rest.
    #[must_use]
    pub fn into_halves(self) -> (Sending, Receiving, Shared) {
        (self.sending, self.receiving, self.shared)
    }
}

/// A connection for the time of one step: its two sides, as far as the caller has them, and what they share.
///
/// With both sides, a step that waits to write also takes in what arrives, and a step that waits to read also sends what is left.
/// With one side, the other belongs to another thread or task, and is left alone.
#[derive(Debug)]
pub struct Duplex<'a> {
    /// The sending side; the steps that send need it.
    pub(crate) sending: Option<&'a mut Sending>,
    /// The receiving side; the steps that receive need it.
    pub(crate) receiving: Option<&'a mut Receiving>,
    /// The part that both share.
    pub(crate) shared: SharedRef<'a>,
}

impl<'a> Duplex<'a> {
    /// A connection that was [split](Engine::into_halves), with the sides that the caller has at the moment.
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

    /// Gives empty buffers to the pool, if many connections hold some.
    #[inline]
    pub(crate) fn release_idle_buffers(&mut self) {
        if let Some(sender) = &mut self.sending {
            sender.release_idle_buffer();
        }
        if let Some(receiver) = &mut self.receiving {
            receiver.release_idle_buffer();
        }
    }

    /// The same when no response is due.
    #[inline]
    pub(crate) fn release_buffers_between(&mut self) {
        if let Some(receiver) = &mut self.receiving
            && receiver.is_idle_and_short(&mut self.shared)
        {
            self.release_idle_buffers();
        }
    }

    /// Whether bytes wait to be sent.
    #[inline]
    pub(crate) fn has_to_send(&self) -> bool {
        self.sending.as_ref().is_some_and(|sender| sender.upload.is_some() || !sender.half.to_send().is_empty())
    }

    /// How many requests are outstanding whose final response's head was not taken.
    pub(crate) fn requests_without_head(&mut self) -> usize {
        let in_content = self.is_in_content();
        self.shared.queue().len() - usize::from(in_content)
    }

    fn sender(&mut self) -> &mut Sending {
        self.sending.as_mut().expect(SENDS)
    }

    fn receiver(&mut self) -> &mut Receiving {
        self.receiving.as_mut().expect(RECEIVES)
    }
}

const SENDS: &str = "a step that sends needs the sending side";
const RECEIVES: &str = "a step that receives needs the receiving side";

/// Why something was refused, as an error.
fn refused<T>(misuse: Misuse) -> Result<T, Error> {
    Err(Error::Local(misuse))
}
