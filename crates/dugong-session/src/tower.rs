//! Sessions as services of tower.
//!
//! [`Session`] and [`Sessions`] of [`tokio`](crate::tokio) are a [`Service`] of requests of the crate `http`. The session repeats requests
//! by its own rules, so you need no middleware for that. It is always ready, and queues what it cannot send; add a
//! `ConcurrencyLimit` if you make requests without end.
//!
//! ```
//! # let server = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", server.address());
//! use dugong_session::tokio::Session;
//! use http_body_util::{BodyExt, Empty};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let session = Session::new(&url)?;
//! let service = ServiceBuilder::new().concurrency_limit(100).service(session);
//! let request = http::Request::get("/doc/1").body(Empty::<bytes::Bytes>::new())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! let content = response.into_body().collect().await?.to_bytes();
//! # assert!(!content.is_empty());
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dugong_http::convert::{to_fields, to_response};
use dugong_http::{Error, Method, Misuse};
use http_body::Body;
use tower_service::Service;

use crate::auth::BoxError;
use crate::failed::{Cause, Failed};
use crate::request::Request;
use crate::tokio::{Call, Content, Reply, Session, Sessions};

/// The future of a response. Its body is the streamed [`Reply`].
#[derive(Debug)]
#[must_use = "a request is sent when its future is awaited"]
pub struct Answer(Result<Call, Option<Failed>>);

impl Answer {
    fn new<B>(
        request: http::Request<B>,
        target: impl FnOnce(&http::Uri) -> String,
        send: impl FnOnce(Request, Option<Content>) -> Call,
    ) -> Self
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        Answer(match converted(&parts, &target(&parts.uri)) {
            Ok(request) => Ok(send(request, content(&parts.method, body))),
            Err(misuse) => Err(Some(Failed::unsent(Cause::Invalid(Arc::new(Error::Local(misuse)))))),
        })
    }
}

/// # Panics
/// If it is polled after its end, or outside of a runtime of tokio.
impl Future for Answer {
    type Output = Result<http::Response<Reply>, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(call) => {
                let reply = ready!(Pin::new(call).poll(cx))?;
                let empty = to_response(reply.head(), ());
                Poll::Ready(Ok(empty.map(|()| reply)))
            }
            Err(failed) => Poll::Ready(Err(failed.take().expect("an answer was polled after its end"))),
        }
    }
}

/// The target of a request is the path and query of its URI: the session has the origin.
impl<B> Service<http::Request<B>> for Session
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Reply>;
    type Error = Failed;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        Answer::new(request, path_of, |request, content| match content {
            Some(content) => self.request_with(request, content),
            None => self.request(request),
        })
    }
}

/// The URI of a request is a whole URL.
impl<B> Service<http::Request<B>> for Sessions
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Reply>;
    type Error = Failed;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        Answer::new(request, http::Uri::to_string, |request, content| match content {
            Some(content) => self.request_with(request, content),
            None => self.request(request),
        })
    }
}

fn path_of(uri: &http::Uri) -> String {
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('?') => format!("/{target}"),
        Some(target) => target.as_str().to_owned(),
        None => uri.to_string(),
    }
}

fn converted(parts: &http::request::Parts, target: &str) -> Result<Request, Misuse> {
    let mut head = dugong_http::RequestHead::new(Method::from(&parts.method), target)?;
    let expects = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    let is_expected = parts.headers.get(http::header::EXPECT).is_some_and(expects);
    head.fields = to_fields(&parts.headers)?;
    let request = Request::from(dugong_http::Request::from(head)).streamed();
    Ok(if is_expected { request.expect(true) } else { request })
}

/// The content of a body. An empty one often means none, and GET with `Content-Length: 0` confuses servers (RFC 9110 §8.6).
fn content<B>(method: &http::Method, body: B) -> Option<Content>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let expects = Method::from(method).expects_content();
    (expects || !body.is_end_stream()).then(|| Content::body(body))
}
