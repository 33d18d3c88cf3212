//! Sessions for tasks of tokio.
//!
//! A [`Session`] of this module drives the same connections as [`crate::Session`]: one in a thread and one in tasks can even be clones of
//! each other. All that waits is async: a reply is a future, a [run](Session::run) a stream of outcomes, and the content of a streamed
//! [`Reply`] an [`AsyncRead`](::tokio::io::AsyncRead) and an [`http_body::Body`].
//!
//! ```
//! # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", server.address());
//! use dugong_session::Request;
//! use dugong_session::tokio::Session;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let session = Session::new(&url)?;
//! let reply = session.get("/doc/1").await?;
//! println!("{} {}", reply.status(), reply.text());
//!
//! let mut run = session.run((0..1000).map(|i| Request::get(format!("/doc/{i}"))));
//! while let Some(outcome) = run.next().await {
//!     assert_eq!(outcome.result?.status(), 200);
//! }
//!
//! let mut large = session.request(Request::get("/bytes/1000000").streamed()).await?;
//! tokio::io::copy(&mut large, &mut tokio::io::sink()).await?; // an error if it is cut short
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Cancelling
//!
//! You can drop any future. Its request is given up: a reply that comes is skipped, and other requests lose nothing.
//!
//! # One task drives
//!
//! The first request in a runtime spawns a task that drives the session for all others, until the session is dropped. So it does not
//! matter how you poll your futures. Callbacks and [sources](crate::Source) of content run in the task that polls the future.
//!
//! # Panics
//!
//! Requests panic outside of tokio's runtime, or if the runtime has no driver for I/O and time.

mod call;
mod content;
mod fetching;
mod host;
mod pilot;
mod ranges;
mod remote_file;
mod reply;
mod run;
mod sessions;

use std::sync::Arc;

use bytes::Bytes;
use dugong_http::{Error, Origin};

pub use self::call::Call;
pub use self::content::Content;
use self::host::Host;
use self::pilot::Pilot;
pub use self::remote_file::RemoteFile;
pub use self::reply::Reply;
pub use self::run::{Outcome, Run};
pub use self::sessions::Sessions;
use crate::plan::Stats;
use crate::session::Builder;
use crate::{Request, session};

/// Many requests to one origin, over few connections, for tasks: see [`crate::Session`].
///
/// Clones share the connections, and all tasks' requests are pipelined together.
#[derive(Clone, Debug)]
pub struct Session {
    pilot: Arc<Pilot>,
}

/// Uses a session for tasks. Threads can go on using their clones of it.
impl From<session::Session> for Session {
    fn from(session: session::Session) -> Self {
        Session { pilot: Arc::new(Pilot::new(session)) }
    }
}

impl Session {
    /// Makes a session for an origin: see [`crate::Session::new`].
    ///
    /// # Errors
    /// As for [`crate::Session::new`].
    pub fn new(origin: &str) -> Result<Self, Error> {
        Ok(session::Session::new(origin)?.into())
    }

    /// Begins a session with settings of your own. `Session::from` makes one for tasks of the result.
    pub fn builder(origin: &str) -> Builder {
        session::Session::builder(origin)
    }

    /// Sends a request when the future is first polled.
    ///
    /// # Errors
    /// The future fails if no reply comes. The error says how much of the request the server may have received.
    pub fn request(&self, request: impl Into<Request>) -> Call {
        Call::new(Host::One(self.pilot.clone()), request.into(), None)
    }

    /// Sends a request with content that this task reads while it is sent. The content replaces that of the request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn request_with(&self, request: impl Into<Request>, content: Content) -> Call {
        Call::new(Host::One(self.pilot.clone()), request.into(), Some(content))
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn get(&self, target: impl AsRef<str>) -> Call {
        self.request(Request::get(target))
    }

    /// Sends a HEAD request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn head(&self, target: impl AsRef<str>) -> Call {
        self.request(Request::head(target))
    }

    /// Sends a DELETE request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn delete(&self, target: impl AsRef<str>) -> Call {
        self.request(Request::delete(target))
    }

    /// Sends a PUT request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn put(&self, target: impl AsRef<str>, content: impl Into<Bytes>) -> Call {
        self.request(Request::put(target).body(content))
    }

    /// Sends a POST request.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn post(&self, target: impl AsRef<str>, content: impl Into<Bytes>) -> Call {
        self.request(Request::post(target).body(content))
    }

    /// Sends any number of requests, and gives their outcomes as a stream, in the order of the requests: see [`Run`].
    pub fn run<I>(&self, requests: I) -> Run<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Request>,
    {
        Run::new(Host::One(self.pilot.clone()), requests.into_iter())
    }

    /// Figures of the session.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.pilot.session().stats()
    }

    /// The origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.pilot.session().origin()
    }

    /// Ends all requests and closes all connections. Later requests fail.
    pub fn close(&self) {
        self.pilot.session().close();
    }
}
