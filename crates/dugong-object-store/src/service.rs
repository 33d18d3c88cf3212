//! The HTTP client of one store.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use dugong_http::convert::{to_fields, to_response};
use dugong_http::{Method, RequestHead};
use dugong_session::tokio::{Content, Reply, Sessions};
use dugong_session::{Failed, Request};
use http_body::{Body, Frame, SizeHint};

use crate::excludes::Excludes;
use crate::kind::{BoxError, Kind};

/// A range of up to this size is read at once, so that it holds up no other reply.
const READ_AT_ONCE: u64 = 1 << 20;

const NO_USER: &str =
    "a user name or password in the URL would not be sent: give Authorization to ClientOptions::with_default_headers";

#[derive(Debug)]
pub(crate) struct Service {
    direct: Sessions,
    proxied: Option<(Sessions, Excludes)>,
    allow_http: bool,
}

/// Why there is no response.
pub(crate) enum Refusal {
    /// The request cannot be sent as it is.
    Invalid(BoxError),
    Failed(Failed),
}

impl Service {
    pub(crate) fn new(direct: Sessions, proxied: Option<(Sessions, Excludes)>, allow_http: bool) -> Self {
        Service { direct, proxied, allow_http }
    }

    /// Sends a request. `bytes` is its content if that is in one piece, `body` otherwise.
    pub(crate) async fn call<B>(
        &self,
        parts: &http::request::Parts,
        bytes: Option<Bytes>,
        body: B,
    ) -> Result<http::Response<ReplyBody>, Refusal>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let sessions = self.sessions(&parts.uri)?;
        let request = request(parts).map_err(|misuse| Refusal::Invalid(misuse.into()))?;
        let has_no_content = body.size_hint().exact() == Some(0);
        let call = match bytes {
            _ if has_no_content => sessions.request(request),
            Some(bytes) => sessions.request(request.body(bytes)),
            None => sessions.request_with(request, Content::body(body)),
        };
        let reply = call.await.map_err(Refusal::Failed)?;
        Ok(to_response(reply.head(), ()).map(|()| ReplyBody::new(reply)))
    }

    fn sessions(&self, uri: &http::Uri) -> Result<&Sessions, Refusal> {
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.allow_http => false,
            Some("http") => return Err(Refusal::Invalid(format!("{uri} is not https, and allow_http is not set").into())),
            _ => return Err(Refusal::Invalid(format!("{uri} is neither http nor https").into())),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Refusal::Invalid(NO_USER.into()));
        }
        let (Some((proxied, excludes)), Some(host)) = (&self.proxied, uri.host()) else { return Ok(&self.direct) };
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let host = host.trim_matches(['[', ']']);
        Ok(if excludes.is_proxied(is_secure, host, port) { proxied } else { &self.direct })
    }
}

fn request(parts: &http::request::Parts) -> Result<Request, dugong_http::Misuse> {
    let mut head = RequestHead::new(Method::from(&parts.method), parts.uri.to_string())?;
    head.fields = to_fields(&parts.headers)?;
    let request = Request::from(dugong_http::Request::from(head));
    Ok(if is_small(parts) { request } else { request.streamed() })
}

/// Whether the reply is known to be small: that to HEAD, or to a short range.
fn is_small(parts: &http::request::Parts) -> bool {
    if parts.method == http::Method::HEAD {
        return true;
    }
    let range = parts.headers.get(http::header::RANGE).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
        last.parse::<u64>().ok()?.checked_sub(if first.is_empty() { 1 } else { first.parse().ok()? })
    });
    range.is_some_and(|length| length < READ_AT_ONCE)
}

/// The content of a response.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    /// The host wants a type that threads can share; it is never locked for long.
    reply: Mutex<Reply>,
    /// Bytes that are to come, if that is known.
    left: Option<u64>,
}

impl ReplyBody {
    fn new(reply: Reply) -> Self {
        let left = if reply.is_streamed() { reply.content_length() } else { Some(reply.content().len() as u64) };
        ReplyBody { reply: Mutex::new(reply), left }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let reply = self.reply.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(reply).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(left)) = (&polled, &mut self.left) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// The kind of a refusal, and the error itself.
impl Refusal {
    pub(crate) fn into_parts(self) -> (Kind, BoxError) {
        match self {
            Refusal::Invalid(error) => (Kind::Unknown, error),
            Refusal::Failed(failed) => (Kind::of(&failed), failed.into()),
        }
    }
}
