//! Sessions of many origins, for tasks.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use dugong_http::{Error, Origin};

use super::Session;
use super::call::Call;
use super::content::Content;
use super::host::{Host, Many};
use super::run::Run;
use crate::directory::Directory;
use crate::failed::Failed;
use crate::origins::probe;
use crate::plan::Stats;
use crate::request::Request;
use crate::sessions;

/// Requests to many origins, for tasks: see [`crate::Sessions`].
///
/// ```
/// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", server.address());
/// use dugong_session::tokio::Sessions;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let sessions = Sessions::from(Sessions::builder().redirects(5).build()?);
/// let reply = sessions.get(format!("{url}/redirect/3")).await?;
/// assert_eq!(reply.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    many: Arc<Many>,
}

/// Takes over the settings. Each of the two has its own connections.
impl From<sessions::Sessions> for Sessions {
    fn from(sessions: sessions::Sessions) -> Self {
        let plan = sessions.plan().clone();
        let directory = Directory::new(plan.max_sessions);
        Sessions { many: Arc::new(Many { plan, directory }) }
    }
}

impl Sessions {
    /// Makes sessions with the default settings.
    ///
    /// # Errors
    /// As for [`crate::Sessions::new`].
    pub fn new() -> Result<Self, Error> {
        Ok(sessions::Sessions::new()?.into())
    }

    /// Begins with settings of your own. `Sessions::from` makes some for tasks of the result.
    pub fn builder() -> sessions::SessionsBuilder {
        sessions::Sessions::builder()
    }

    /// Sends a request when the future is first polled. Its target is a whole URL.
    ///
    /// # Errors
    /// The future fails if no reply comes. The error says how much of the request the servers may have received.
    pub fn request(&self, request: impl Into<Request>) -> Call {
        Call::new(Host::Many(self.many.clone()), request.into(), None)
    }

    /// Sends a request with content that this task reads while it is sent. The content replaces that of the request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn request_with(&self, request: impl Into<Request>, content: Content) -> Call {
        Call::new(Host::Many(self.many.clone()), request.into(), Some(content))
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn get(&self, url: impl AsRef<str>) -> Call {
        self.request(Request::get(url))
    }

    /// Sends a HEAD request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn head(&self, url: impl AsRef<str>) -> Call {
        self.request(Request::head(url))
    }

    /// Sends a DELETE request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn delete(&self, url: impl AsRef<str>) -> Call {
        self.request(Request::delete(url))
    }

    /// Sends a PUT request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn put(&self, url: impl AsRef<str>, content: impl Into<Bytes>) -> Call {
        self.request(Request::put(url).body(content))
    }

    /// Sends a POST request.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn post(&self, url: impl AsRef<str>, content: impl Into<Bytes>) -> Call {
        self.request(Request::post(url).body(content))
    }

    /// Sends any number of requests to any origins, and gives their outcomes as a stream, in the order of the requests: see [`Run`].
    /// All origins work at once.
    pub fn run<I>(&self, requests: I) -> Run<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Request>,
    {
        Run::new(Host::Many(self.many.clone()), requests.into_iter())
    }

    /// Returns the session of an origin, and makes it if needed.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn session(&self, origin: &Origin) -> Result<Session, Failed> {
        Ok(Session { pilot: self.many.pilot(origin)? })
    }

    /// Returns the session that has `url`, and the target that it has there. Follows redirects to find out.
    pub(super) async fn locate(&self, url: &str) -> Result<(Session, String), Failed> {
        let (origin, probe) = probe(url)?;
        if self.many.plan.redirects == 0 {
            let (_, request) = probe.split_url().expect("it was split before");
            return Ok((self.session(&origin)?, request.target().unwrap_or_default().to_owned()));
        }
        let host = Host::Many(self.many.clone());
        let mut flight = poll_fn(|cx| Poll::Ready(host.begin(&probe, None, cx.waker()))).await?;
        flight.set_awaited();
        poll_fn(|cx| {
            flight.set_waker(cx.waker());
            if flight.advance(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let (origin, request) = flight.place().expect("it is one of many sessions");
        let session = match request.is_foreign() {
            true => Session::from(self.many.plan.foreign_session(origin)?),
            false => self.session(origin)?,
        };
        let target = request.target().unwrap_or_default().to_owned();
        flight.into_result()?;
        Ok((session, target))
    }

    /// Figures of all sessions, with their origins.
    #[must_use]
    pub fn stats(&self) -> Vec<(Origin, Stats)> {
        self.many.directory.all().into_iter().map(|(origin, pilot)| (origin, pilot.session().stats())).collect()
    }

    /// Ends all requests and closes all connections of all sessions.
    pub fn close(&self) {
        self.many.directory.all().iter().for_each(|(_, pilot)| pilot.session().close());
    }
}
