//! Requests of a session: a message, and how the session treats it.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dugong_http::{Announced, Fields, Method, Misuse, Origin, RequestHead};

use crate::auth::{Additions, BoxError};
use crate::digest::Digest;
use crate::plan::Job;
use crate::redirect::Next;

/// A request for a session. Cloning it is cheap.
///
/// ```
/// use dugong_session::Request;
/// use std::time::Duration;
///
/// let request = Request::put("/report").header("Content-Type", "text/plain").body("all well").timeout(Duration::from_secs(5));
/// assert_eq!(request.target(), Some("/report"));
/// ```
#[derive(Clone)]
pub struct Request(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    message: dugong_http::Request,
    source: Option<SharedSource>,
    timeout: Option<Duration>,
    total_timeout: Option<Duration>,
    retry: Option<bool>,
    expect: Option<bool>,
    streamed: bool,
    large: bool,
    asks_owner: bool,
    checks: Vec<Digest>,
    is_foreign: bool,
}

/// Content that the session reads in the thread or task that made the request, once for each attempt.
pub trait Source: Send {
    /// How many bytes it gives. `None`: it is sent in chunks.
    fn length(&self) -> Option<u64>;

    /// Whether it can be opened only once. Then the session does not repeat the request.
    fn is_read_once(&self) -> bool {
        false
    }

    /// Opens it, from its beginning.
    ///
    /// # Errors
    /// The request fails with this error.
    fn open(&mut self) -> io::Result<Box<dyn Read + Send>>;
}

/// A reader is a source that can be opened once.
struct Once<R>(Option<R>, Option<u64>);

impl<R: Read + Send + 'static> Source for Once<R> {
    fn length(&self) -> Option<u64> {
        self.1
    }

    fn is_read_once(&self) -> bool {
        true
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + Send>> {
        let reader = self.0.take().ok_or_else(|| io::Error::other("the content can be read only once"))?;
        Ok(Box::new(reader))
    }
}

/// A source that clones of a request share.
#[derive(Clone)]
pub(crate) struct SharedSource(Arc<Mutex<dyn Source>>);

impl SharedSource {
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open()
    }

    pub(crate) fn is_read_once(&self) -> bool {
        self.facts().1
    }

    fn facts(&self) -> (Option<u64>, bool) {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (source.length(), source.is_read_once())
    }
}

macro_rules! methods {
    ($($function:ident $name:ident),*) => {
        $(
            #[doc = concat!("Makes a ", stringify!($name), " request. See [`new`](Request::new) for `target`.")]
            #[must_use]
            pub fn $function(target: impl AsRef<str>) -> Self {
                Request::new(Method::$name, target)
            }
        )*
    };
}

impl Request {
    /// Makes a request for `target`: a path that begins with `/`, with its query if there is one, or a whole URL. A session refuses an
    /// invalid request, and a URL of another origin, when you pass it.
    #[must_use]
    pub fn new(method: Method, target: impl AsRef<str>) -> Self {
        dugong_http::Request::new(method, target).into()
    }

    methods! { get GET, head HEAD, post POST, put PUT, patch PATCH, delete DELETE, options OPTIONS }

    /// Adds a header field.
    #[must_use]
    pub fn header(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.changed(|message| message.header(name, value))
    }

    /// Sends `content`, which is in memory.
    #[must_use]
    pub fn body(mut self, content: impl Into<Bytes>) -> Self {
        Arc::make_mut(&mut self.0).source = None;
        self.changed(|message| message.body(content))
    }

    /// Sends the content of a source, which the session opens for each attempt.
    #[must_use]
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        let length = source.length();
        Arc::make_mut(&mut self.0).source = Some(SharedSource(Arc::new(Mutex::new(source))));
        self.changed(|message| match length {
            Some(length) => message.content_length(length),
            None => message.chunked(),
        })
    }

    /// Sends all that `reader` gives: exactly `length` bytes, or any number in chunks. The session cannot repeat the request once it has
    /// begun to read.
    #[must_use]
    pub fn reader(self, reader: impl Read + Send + 'static, length: impl Into<Option<u64>>) -> Self {
        self.source(Once(Some(reader), length.into()))
    }

    /// How long no byte may move for this request, or for those before it on its connection. Default: the session's.
    #[must_use]
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        Arc::make_mut(&mut self.0).timeout = limit.into();
        self
    }

    /// How long all of it may take, waits and repeats included. Default: the session's.
    #[must_use]
    pub fn total_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        Arc::make_mut(&mut self.0).total_timeout = limit.into();
        self
    }

    /// Whether the session may send it again after some of it was sent. Default: if its method is idempotent (RFC 9110 §9.2.2), or if it
    /// has an `Idempotency-Key`.
    #[must_use]
    pub fn retry(mut self, allowed: impl Into<Option<bool>>) -> Self {
        Arc::make_mut(&mut self.0).retry = allowed.into();
        self
    }

    /// Whether to wait for 100 (Continue) before the content is sent. Default: above a size that the session sets.
    #[must_use]
    pub fn expect(mut self, wait: impl Into<Option<bool>>) -> Self {
        Arc::make_mut(&mut self.0).expect = wait.into();
        self
    }

    /// Gives the reply as soon as its head is there; its content is read in pieces.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        Arc::make_mut(&mut self.0).streamed = true;
        self
    }

    /// Says that the reply is likely to be large. Large and small replies share no connection when there is a choice.
    #[must_use]
    pub fn large(mut self) -> Self {
        Arc::make_mut(&mut self.0).large = true;
        self
    }

    /// Checks the content of a successful reply against a digest. A reply with another digest is an error with
    /// [`Cause::Digest`](crate::Cause::Digest); a streamed one gives that error at its end.
    #[must_use]
    pub fn check(mut self, digest: Digest) -> Self {
        Arc::make_mut(&mut self.0).checks.push(digest);
        self
    }

    /// Asks the owner of the ticket before each attempt, as a source does: see [`News::Begins`](crate::News::Begins).
    #[must_use]
    pub fn asks_owner(mut self) -> Self {
        Arc::make_mut(&mut self.0).asks_owner = true;
        self
    }

    /// The method, if the request is valid.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.as_head().ok().map(RequestHead::method)
    }

    /// The request target, if the request is valid.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.as_head().ok().map(RequestHead::target)
    }

    /// The header fields, if the request is valid.
    #[must_use]
    pub fn fields(&self) -> Option<&Fields> {
        self.0.message.fields()
    }

    /// The message without the session's settings.
    #[must_use]
    pub fn message(&self) -> &dugong_http::Request {
        &self.0.message
    }

    /// The digests that the content of its reply must have.
    pub(crate) fn checks(&self) -> &[Digest] {
        &self.0.checks
    }

    /// Whether a redirect brought it from another origin. It gets no credentials then.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.is_foreign
    }

    /// The request with a session's credentials. The session asks its owner before each attempt if there are callbacks.
    pub(crate) fn completed(mut self, additions: &Additions) -> Self {
        let Some(own) = self.fields() else { return self };
        let credentials = additions.credentials(own);
        if additions.has_callbacks() {
            self = self.asks_owner();
        }
        self.with_fields(&credentials)
    }

    /// The request for one attempt.
    ///
    /// # Errors
    /// The error of a callback.
    pub(crate) fn signed(&self, additions: &Additions, origin: &Origin, attempt: u32) -> Result<Self, BoxError> {
        let content = self.0.message.content().map(|content| &content[..]);
        let fields = additions.sign(origin, self.as_head()?, content, attempt)?;
        Ok(self.clone().with_fields(&fields))
    }

    fn with_fields(self, fields: &Fields) -> Self {
        if fields.is_empty() {
            return self;
        }
        self.changed(|message| fields.iter().fold(message, |message, line| message.header(line.name(), line.value())))
    }

    /// The request that follows a redirect, which may lead to another origin.
    pub(crate) fn redirected(&self, next: Next, is_foreign: bool) -> Result<Self, Misuse> {
        let mut head = RequestHead::new(next.method, next.target)?;
        head.fields = next.fields;
        let mut request = self.with_head(head, next.keeps_content)?;
        Arc::make_mut(&mut request.0).is_foreign |= is_foreign;
        Ok(request)
    }

    /// The same request, whose target is a whole URL, for the origin of that URL.
    pub(crate) fn split_url(&self) -> Result<(Origin, Self), dugong_http::Error> {
        let head = self.as_head()?;
        let (origin, target) = Origin::of_url(head.target())?;
        let mut own = RequestHead::new(head.method().clone(), target)?;
        own.fields = head.fields.clone();
        Ok((origin, self.with_head(own, true)?))
    }

    /// The request as a session of `own` sends it: a target that is a URL of this origin becomes its path and query.
    pub(crate) fn for_origin(self, own: &Origin) -> Result<Self, dugong_http::Error> {
        let head = self.as_head()?;
        let target = head.target();
        // `*` and the target of CONNECT are no URLs, and a path may contain one.
        if target.starts_with('/') || !target.contains("://") || head.is_verbatim() {
            return Ok(self);
        }
        let (origin, request) = self.split_url()?;
        if origin != *own {
            return Err(Misuse::other_origin(&own.to_string(), target).into());
        }
        Ok(request)
    }

    /// The request with another head, and with its content or without.
    fn with_head(&self, mut head: RequestHead, keeps_content: bool) -> Result<Self, Misuse> {
        let mut request = self.clone();
        let parts = Arc::make_mut(&mut request.0);
        if keeps_content {
            let before = self.as_head()?;
            (head.content, head.expect_continue) = (before.content, before.expect_continue);
        } else {
            (parts.source, parts.expect) = (None, None);
        }
        let content = parts.message.content().filter(|_| keeps_content).cloned();
        let message = dugong_http::Request::from(head);
        parts.message = content.into_iter().fold(message, dugong_http::Request::body);
        Ok(request)
    }

    pub(crate) fn as_head(&self) -> Result<&RequestHead, Misuse> {
        self.0.message.as_head()
    }

    pub(crate) fn shared_source(&self) -> Option<&SharedSource> {
        self.0.source.as_ref()
    }

    /// Whether it wants to wait for 100 (Continue), if sizes above `above` do.
    pub(crate) fn wants_expect(&self, above: Option<u64>) -> bool {
        let Ok(head) = self.as_head() else { return false };
        let size = match head.content {
            Announced::Nothing => return false,
            Announced::Length(length) => length,
            _ => u64::MAX,
        };
        head.expect_continue || self.0.expect.unwrap_or_else(|| above.is_some_and(|above| size > above))
    }

    /// The message with or without an expectation; `None` if it is that already.
    pub(crate) fn with_expectation(&self, expect: bool) -> Option<dugong_http::Request> {
        let head = self.as_head().ok().filter(|head| head.expect_continue != expect)?;
        let mut head = head.clone();
        head.expect_continue = expect;
        let message = dugong_http::Request::from(head);
        Some(self.0.message.content().cloned().into_iter().fold(message, dugong_http::Request::body))
    }

    /// Whether its owner is asked before each attempt.
    pub(crate) fn may_ask(&self) -> bool {
        self.0.asks_owner || self.0.source.is_some()
    }

    /// The request as the plan sees it.
    pub(crate) fn job(&self) -> Job {
        let Parts { message, source, timeout, total_timeout, retry, streamed, large, .. } = &*self.0;
        let mut job = Job::new(false);
        job.asks = self.may_ask();
        job.timeout = *timeout;
        let Ok(head) = message.as_head() else { return job };
        job.idempotent = head.method().is_idempotent();
        job.repeat = retry.or_else(|| head.fields.get("Idempotency-Key").map(|_| true));
        if let Some(source) = source {
            let (length, read_once) = source.facts();
            (job.upload, job.read_once) = (length.unwrap_or(u64::MAX), read_once);
        } else if let Some(content) = message.content() {
            job.upload = content.len() as u64;
        }
        (job.total_timeout, job.streamed, job.large) = (*total_timeout, *streamed, *large);
        job
    }

    fn changed(mut self, change: impl FnOnce(dugong_http::Request) -> dugong_http::Request) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        let none = dugong_http::Request::get("");
        parts.message = change(std::mem::replace(&mut parts.message, none));
        self
    }
}

impl From<dugong_http::Request> for Request {
    fn from(message: dugong_http::Request) -> Self {
        Request(Arc::new(Parts {
            message,
            source: None,
            timeout: None,
            total_timeout: None,
            retry: None,
            expect: None,
            streamed: false,
            large: false,
            asks_owner: false,
            checks: Vec::new(),
            is_foreign: false,
        }))
    }
}

impl From<&Request> for Request {
    fn from(request: &Request) -> Self {
        request.clone()
    }
}

/// Shows what the message shows: no secrets, and only the length of the content.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.message.fmt(f)
    }
}
