//! `Sessions`: requests to many origins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dugong_http::{Config, Error, Origin};

use crate::auth::{Auth, BoxError, SignRequest};
use crate::directory::Directory;
use crate::driver::parker::Parker;
use crate::failed::{Cause, Failed};
use crate::journey::Journey;
use crate::origins::{Origins, SessionsPlan, probe};
use crate::plan::Stats;
use crate::reply::Reply;
use crate::request::Request;
use crate::run_many::RunMany;
use crate::session::Session;
use crate::ticket::Ticket;

/// Requests to many origins: one [`Session`] for each, made when it is needed.
///
/// The targets of its requests are whole URLs. It follows redirects to any origin, if you [allow](SessionsBuilder::redirects) them.
/// Clones share all sessions.
///
/// ```
/// # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
/// # let url = format!("http://{}", server.address());
/// use dugong_session::Sessions;
///
/// let sessions = Sessions::builder().redirects(5).build()?;
/// let reply = sessions.get(format!("{url}/redirect/3"))?;
/// assert_eq!(reply.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sessions {
    origins: Arc<Origins>,
}

impl Sessions {
    /// Makes sessions with the default settings.
    ///
    /// # Errors
    /// None of the default settings can fail.
    pub fn new() -> Result<Self, Error> {
        Sessions::builder().build()
    }

    /// Begins with settings of your own.
    pub fn builder() -> SessionsBuilder {
        SessionsBuilder { plan: SessionsPlan { builder: Session::builder(""), redirects: 0, max_sessions: 64 } }
    }

    /// Sends a request and waits for its reply. Its target is a whole URL.
    ///
    /// # Errors
    /// No reply came. The error says how much of the request the servers may have received.
    pub fn request(&self, request: impl Into<Request>) -> Result<Reply, Failed> {
        self.travel(&request.into())?.into_result()
    }

    /// Returns the session that has `url`, and the target that it has there. Follows redirects to find out.
    pub(crate) fn locate(&self, url: &str) -> Result<(Session, String), Failed> {
        let (origin, probe) = probe(url)?;
        if self.origins.plan.redirects == 0 {
            let (_, request) = probe.split_url().expect("it was split before");
            return Ok((self.session(&origin)?, request.target().unwrap_or_default().to_owned()));
        }
        let journey = self.travel(&probe)?;
        let (origin, request) = journey.place();
        let session = match request.is_foreign() {
            true => self.origins.plan.foreign_session(origin)?,
            false => self.session(origin)?,
        };
        let target = request.target().unwrap_or_default().to_owned();
        journey.into_result()?;
        Ok((session, target))
    }

    /// Sends a request, and follows redirects until the reply or the error is there.
    fn travel(&self, request: &Request) -> Result<Journey, Failed> {
        let waker = Parker::waker();
        let plan = &self.origins.plan;
        let mut submit = |origin: &Origin, request: Request| self.submit_blocking(origin, request);
        let mut journey = Journey::begin(request, plan.redirects, plan.total_timeout(), &mut submit)?;
        journey.set_awaited();
        while !journey.advance(&waker, &mut Ticket::serve, &mut submit) {
            if let Some(ticket) = journey.ticket()
                && let Err(error) = ticket.wait(None)
            {
                return Err(Failed::unsure(Cause::System(Arc::new(error))));
            }
        }
        Ok(journey)
    }

    fn submit_blocking(&self, origin: &Origin, request: Request) -> Result<Ticket, Failed> {
        self.session(origin)?.submit_blocking(request)
    }

    /// Sends a GET request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn get(&self, url: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::get(url))
    }

    /// Sends a HEAD request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn head(&self, url: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::head(url))
    }

    /// Sends a DELETE request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn delete(&self, url: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::delete(url))
    }

    /// Sends a PUT request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn put(&self, url: impl AsRef<str>, content: impl Into<Bytes>) -> Result<Reply, Failed> {
        self.request(Request::put(url).body(content))
    }

    /// Sends a POST request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Sessions::request).
    pub fn post(&self, url: impl AsRef<str>, content: impl Into<Bytes>) -> Result<Reply, Failed> {
        self.request(Request::post(url).body(content))
    }

    /// Sends any number of requests to any origins, and gives their outcomes in the order of the requests: see [`Session::run`].
    /// All origins work at once.
    pub fn run<I>(&self, requests: I) -> RunMany<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Request>,
    {
        RunMany::new(self.origins.clone(), requests.into_iter())
    }

    /// Returns the session of an origin, and makes it if needed.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn session(&self, origin: &Origin) -> Result<Session, Failed> {
        self.origins.session(origin)
    }

    /// Figures of all sessions, with their origins.
    #[must_use]
    pub fn stats(&self) -> Vec<(Origin, Stats)> {
        self.origins.directory.all().into_iter().map(|(origin, session)| (origin, session.stats())).collect()
    }

    /// Ends all requests and closes all connections of all sessions.
    pub fn close(&self) {
        self.origins.directory.all().iter().for_each(|(_, session)| session.close());
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn plan(&self) -> &SessionsPlan {
        &self.origins.plan
    }
}

/// The settings of sessions that are to be made. Each setting of a [`Builder`](crate::Builder) holds for each session.
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionsBuilder {
    plan: SessionsPlan,
}

macro_rules! same_settings {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            #[doc = concat!("See [`Builder::", stringify!($name), "`](crate::Builder::", stringify!($name), ").")]
            pub fn $name(mut self, $($argument: $type),*) -> Self {
                self.plan.builder = self.plan.builder.$name($($argument),*);
                self
            }
        )*
    };
}

impl SessionsBuilder {
    same_settings! {
        connections(most: usize);
        depth(most: u32);
        window(bytes: u64);
        max_content(bytes: u64);
        retries(most: u32);
        retry_budget(most: impl Into<Option<u32>>);
        repeat_statuses(statuses: impl Into<Vec<u16>>);
        timeout(limit: Duration);
        total_timeout(limit: impl Into<Option<Duration>>);
        idle_timeout(limit: Duration);
        backoff(first: Duration, longest: Duration);
        connect_timeout(limit: impl Into<Option<Duration>>);
        expect_timeout(limit: Duration);
        expect_above(bytes: impl Into<Option<u64>>);
        config(config: Config);
        header(name: impl Into<String>, value: impl Into<String>);
        auth(auth: Auth);
        sign(sign: impl Fn(&mut SignRequest<'_>) -> Result<(), BoxError> + Send + Sync + 'static);
    }

    /// Sets how many redirects a request may follow, to any origin. Default: 0. Then a redirect is the reply.
    ///
    /// Credentials do not follow to another origin: neither `Authorization`, `Proxy-Authorization` and `Cookie` of the request nor
    /// [`auth`](SessionsBuilder::auth) and [`sign`](SessionsBuilder::sign). A [`header`](SessionsBuilder::header) does, so use it for
    /// no secret. A redirect from `https` to `http` is not followed.
    pub fn redirects(mut self, most: u32) -> Self {
        self.plan.redirects = most;
        self
    }

    /// Sets how many sessions are kept. Beyond that, the least recently used are closed, but none with unfinished requests. Default: 64.
    pub fn max_sessions(mut self, most: usize) -> Self {
        self.plan.max_sessions = most;
        self
    }

    /// Makes the sessions.
    ///
    /// # Errors
    /// `Local` if a field is not valid.
    pub fn build(self) -> Result<Sessions, Error> {
        // Building one session now reports wrong settings before the first request. Any origin will do.
        self.plan.builder.clone().build_for(Origin::of_url("http://localhost")?.0)?;
        let directory = Directory::new(self.plan.max_sessions);
        Ok(Sessions { origins: Arc::new(Origins { plan: self.plan, directory }) })
    }
}
