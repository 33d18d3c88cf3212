//! `Session`: many requests to one origin.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dugong_http::{Config, Error, InvalidUrl, Origin};

use crate::auth::{Additions, Auth, BoxError, SignRequest, is_credential};
use crate::driver::core::Core;
use crate::driver::parker::Parker;
use crate::driver::settings::Settings;
use crate::failed::Failed;
use crate::plan::{self, Stats};
use crate::reply::Reply;
use crate::request::Request;
use crate::run::Run;
use crate::ticket::{Owner, Ticket};

/// Many requests to one origin, over few connections.
///
/// Clones share the connections, and so do all threads that use one: their requests are pipelined together. See the
/// [crate](crate) for an introduction.
#[derive(Clone, Debug)]
pub struct Session {
    core: Arc<Core>,
}

impl Session {
    /// Makes a session for an origin, such as `https://example.org` or `http://[::1]:8080`. Connections are opened when requests need
    /// them.
    ///
    /// # Errors
    /// `Url` if it is not an origin: a path, a query or credentials are refused. `Socket` if the system has no descriptor left.
    pub fn new(origin: &str) -> Result<Self, Error> {
        Session::builder(origin).build()
    }

    /// Begins a session with settings of your own.
    pub fn builder(origin: &str) -> Builder {
        Builder::new(origin)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// No reply came. The error says how much of the request the server may have received.
    pub fn request(&self, request: impl Into<Request>) -> Result<Reply, Failed> {
        let ticket = Ticket::submit(&self.core, request.into(), Owner::Thread, Some(Parker::waker()))?;
        ticket.wait_for_reply()
    }

    /// Sends a GET request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn get(&self, target: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::get(target))
    }

    /// Sends a HEAD request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn head(&self, target: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::head(target))
    }

    /// Sends a DELETE request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn delete(&self, target: impl AsRef<str>) -> Result<Reply, Failed> {
        self.request(Request::delete(target))
    }

    /// Sends a PUT request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn put(&self, target: impl AsRef<str>, content: impl Into<Bytes>) -> Result<Reply, Failed> {
        self.request(Request::put(target).body(content))
    }

    /// Sends a POST request and waits for its reply.
    ///
    /// # Errors
    /// As for [`request`](Session::request).
    pub fn post(&self, target: impl AsRef<str>, content: impl Into<Bytes>) -> Result<Reply, Failed> {
        self.request(Request::post(target).body(content))
    }

    /// Sends any number of requests, and gives the outcome of each, in order.
    ///
    /// It takes requests from the iterator as it sends them, and never more than a few hundred ahead of the outcomes that you take.
    pub fn run<I>(&self, requests: I) -> Run<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: Into<Request>,
    {
        Run::new(self.core.clone(), requests.into_iter())
    }

    /// The figures of the session, as of the last moment at which it waited.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.core.settings.origin
    }

    /// Ends all requests and closes all connections. Later requests fail.
    pub fn close(&self) {
        self.core.close();
    }
}

/// For drivers of your own: how tasks wait for a session. See [`driver`](crate::driver).
impl Session {
    /// Submits a request for a task. `waker` is woken at each news of it.
    ///
    /// # Errors
    /// The request is not valid, or the session is closed.
    pub fn submit(&self, request: impl Into<Request>, waker: &Waker) -> Result<Ticket, Failed> {
        Ticket::submit(&self.core, request.into(), Owner::Task, Some(waker.clone()))
    }

    /// Submits a request for a thread that [waits](Ticket::wait).
    ///
    /// # Errors
    /// The request is not valid, or the session is closed.
    pub fn submit_blocking(&self, request: impl Into<Request>) -> Result<Ticket, Failed> {
        Ticket::submit(&self.core, request.into(), Owner::Thread, None)
    }

    /// Waits in this thread until `is_done`, and drives the session meanwhile if no other thread does; false at `until`.
    ///
    /// `is_done` is called often, so it should be cheap. What it looks at must wake [`thread_waker`](crate::driver::thread_waker).
    ///
    /// # Errors
    /// The system does not let the session wait.
    pub fn wait_for(&self, until: Option<Instant>, is_done: impl FnMut() -> bool) -> std::io::Result<bool> {
        self.core.wait(until, is_done)
    }

    /// Drives the session without waiting. Returns false if a thread drives it now.
    pub fn turn(&self) -> bool {
        self.core.turn()
    }

    /// When to take a [`turn`](Session::turn) even if the descriptor is not readable.
    #[must_use]
    pub fn wait_until(&self) -> Option<Instant> {
        self.core.wait_until()
    }

    /// How many requests to submit ahead of the outcomes that the caller takes.
    #[must_use]
    pub fn take_ahead(&self) -> usize {
        self.core.settings.take_ahead()
    }
}

impl Session {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Whether both are clones of one session.
    pub(crate) fn is_same(&self, other: &Session) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// How many clones and tickets there are.
    pub(crate) fn sharers(&self) -> usize {
        Arc::strong_count(&self.core)
    }
}

/// The descriptor that is readable when a [`turn`](Session::turn) is due.
impl AsRawFd for Session {
    fn as_raw_fd(&self) -> RawFd {
        self.core.as_raw_fd()
    }
}

/// The settings of a session that is to be made.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    origin: String,
    plan: plan::Config,
    connection: Config,
    connect_timeout: Option<Duration>,
    expect_timeout: Duration,
    expect_above: Option<u64>,
    credentials: Vec<(String, String)>,
    additions: Additions,
    redirects: u32,
}

macro_rules! plan_settings {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty;)*) => {
        $(
            $(#[doc = $doc])*
            pub fn $field(mut self, $field: $type) -> Self {
                self.plan.$field = $field.into();
                self
            }
        )*
    };
}

impl Builder {
    fn new(origin: &str) -> Self {
        Builder {
            origin: origin.to_owned(),
            plan: plan::Config::default(),
            connection: Config::new(),
            connect_timeout: Some(Duration::from_secs(10)),
            expect_timeout: Duration::from_secs(1),
            expect_above: Some(1 << 20),
            credentials: Vec::new(),
            additions: Additions::default(),
            redirects: 0,
        }
    }

    plan_settings! {
        /// Sets how many connections may be open at once. Default: 4. One slow answer then holds up a quarter of the requests.
        connections: usize;
        /// Sets how many requests may be in flight on one connection. Default: 32, which hides a round trip of 30 ms if the server
        /// needs 1 ms for each.
        depth: u32;
        /// Sets how many bytes of content may have arrived that you have not taken. Default: 4 MiB.
        window: u64;
        /// Sets how many bytes of content a collected reply may have. Default: 64 MiB.
        max_content: u64;
        /// Sets how often one request is repeated. Default: 4. With 0, the session still sends an idempotent request again that shared its
        /// connection with others, before it or at once, and had no answer when that ended: it cannot know which of them the server
        /// closed it for.
        retries: u32;
        /// Sets how many repeats the whole session can afford at once; ten answers earn one more. `None`: no limit. Default: 10.
        retry_budget: impl Into<Option<u32>>;
        /// Sets the statuses that are repeated even without `Retry-After`. Default: none. 429 and 503 with `Retry-After` always are.
        repeat_statuses: impl Into<Vec<u16>>;
        /// Sets how long no byte may move for a request, or for those before it on its connection. Default: 30 s.
        timeout: Duration;
        /// Sets how long a request may take, waits and repeats included. Default: no limit.
        total_timeout: impl Into<Option<Duration>>;
        /// Sets how long a connection may be idle. Default: 60 s.
        idle_timeout: Duration;
    }

    /// Sets the first wait before a repeat, and the longest. Each wait is random, up to a bound that doubles. Default: 0.1 s and 10 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.plan.backoff = (first, longest);
        self
    }

    /// Sets how long opening a connection may take: name, TCP, tunnel and TLS together. Default: 10 s.
    pub fn connect_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = limit.into();
        self
    }

    /// Sets how long content waits for 100 (Continue) before it is sent without (RFC 9110 §10.1.1), at most half of the timeout.
    /// Default: 1 s.
    pub fn expect_timeout(mut self, limit: Duration) -> Self {
        self.expect_timeout = limit;
        self
    }

    /// Sets the size above which content waits for 100 (Continue). `None`: never. Default: 1 MiB.
    pub fn expect_above(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.expect_above = bytes.into();
        self
    }

    /// Adds a field to each request that has no field of this name. [`build`](Builder::build) refuses fields that frame or direct a single
    /// message, such as Content-Length and Host: set them on a request.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        if is_credential(&name) {
            // A redirect must not take it to another origin, so the connection does not add it.
            self.credentials.push((name, value));
        } else {
            self.connection = self.connection.default_field(name, value);
        }
        self
    }

    /// Sets credentials for all requests.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.additions.auth = Some(auth);
        self
    }

    /// Calls you before each attempt of a request, so that you can sign it. The callback runs in the thread or task that made the
    /// request. If it fails, the request fails with [`Cause::Callback`](crate::Cause::Callback), and nothing of this attempt is sent.
    ///
    /// ```
    /// # fn signature(target: &str) -> String { target.into() }
    /// let session = dugong_session::Session::builder("https://example.org")
    ///     .sign(|request| {
    ///         let signature = signature(request.target());
    ///         request.header("X-Signature", signature)?;
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// # Ok::<(), dugong_session::Error>(())
    /// ```
    pub fn sign(mut self, sign: impl Fn(&mut SignRequest<'_>) -> Result<(), BoxError> + Send + Sync + 'static) -> Self {
        self.additions.sign = Some(Arc::new(sign));
        self
    }

    /// Sets how many redirects a request may follow within its origin (RFC 9110 §15.4). Default: 0. A redirect that is not followed, for
    /// example to another origin, is the reply; [`Sessions`](crate::Sessions) follow those, too.
    pub fn redirects(mut self, most: u32) -> Self {
        self.redirects = most;
        self
    }

    /// Sets everything else of the connections: TLS, proxy, addresses, sizes, observers. Its time limits count only while connecting.
    pub fn config(mut self, config: Config) -> Self {
        self.connection = config;
        self
    }

    /// Makes the session.
    ///
    /// # Errors
    /// `Url` if the origin is not one. `Local` if a field is not valid. `Socket` if the system has no descriptor left.
    pub fn build(self) -> Result<Session, Error> {
        let (origin, target) = Origin::of_url(&self.origin)?;
        if target != "/" || self.origin.contains('#') {
            return Err(InvalidUrl::new(&self.origin, "a session is for an origin, without a path or a query").into());
        }
        self.build_for(origin)
    }

    pub(crate) fn without_credentials(mut self) -> Self {
        self.credentials.clear();
        self.additions = Additions::default();
        self
    }

    pub(crate) fn default_total_timeout(&self) -> Option<Duration> {
        self.plan.total_timeout
    }

    /// Makes the session of this origin, with the builder's settings.
    pub(crate) fn build_for(mut self, origin: Origin) -> Result<Session, Error> {
        for (name, value) in &self.credentials {
            self.additions.defaults.append(name, value)?;
        }
        // The wait is silence: it must end before the timeout does.
        let expect_timeout = self.expect_timeout.min(self.plan.timeout / 2);
        let mut connection = self.connection.establish_timeout(self.connect_timeout).expect_timeout(expect_timeout);
        if !connection.has_default_field("Accept-Encoding") {
            connection = connection.default_field("Accept-Encoding", "identity");
        }
        // Fields that are not valid are told now, not by each request.
        dugong_http::driver::Engine::new(&origin.host_field(), &connection)?;
        let settings = Settings {
            origin,
            plan: self.plan,
            connection,
            expect_timeout,
            expect_above: self.expect_above,
            additions: self.additions,
            redirects: self.redirects,
        };
        Ok(Session { core: Core::new(settings).map_err(Error::Socket)? })
    }
}
