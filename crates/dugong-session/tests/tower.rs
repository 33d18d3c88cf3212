//! Sessions as services of tower.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dugong_origin::{Config, Origin, document};
use dugong_session::tokio::{Session, Sessions};
use dugong_session::{Cause, Sent};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tower::{ServiceBuilder, ServiceExt};

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

fn get(uri: impl AsRef<str>) -> http::Request<Empty<Bytes>> {
    http::Request::get(uri.as_ref()).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_session_answers_requests_of_the_crate_http() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let response = session.clone().oneshot(get("/doc/1")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), document("1"));
    let put = http::Request::put("http://elsewhere/x").body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    let response = session.clone().oneshot(put).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert!(content.starts_with(b"{\"length\":5"), "{content:?}");
    let response = session.oneshot(get("/chunked/10?trailers=1")).await.unwrap();
    assert!(response.into_body().collect().await.unwrap().trailers().unwrap().contains_key("x-checksum"));
}

#[tokio::test]
async fn sessions_answer_requests_with_whole_urls() {
    let ((_here, here), (_there, there)) = (origin(), origin());
    let sessions = Sessions::new().unwrap();
    for url in [&here, &there] {
        let response = sessions.clone().oneshot(get(format!("{url}/doc/1"))).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), document("1"));
    }
    let failed = sessions.oneshot(get("/doc/1")).await.unwrap_err();
    assert!(matches!(failed.cause, Cause::Invalid(_)) && failed.sent == Sent::No);
}

#[tokio::test]
async fn a_session_stands_below_middleware() {
    let (_origin, url) = origin();
    let service = ServiceBuilder::new().concurrency_limit(8).service(Session::new(&url).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..100 {
        let service = service.clone();
        tasks.spawn(async move {
            let response = service.oneshot(get(format!("/doc/{i}"))).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), document(&i.to_string()));
        });
    }
    tasks.join_all().await;
}

/// A body that gives pieces, one at each second poll.
struct Slow(u32, bool);

impl Body for Slow {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.0 {
            0 => Poll::Ready(None),
            666 => Poll::Ready(Some(Err("no more".into()))),
            _ => {
                self.0 -= 1;
                Poll::Ready(Some(Ok(Frame::data(vec![7; 1000].into()))))
            }
        }
    }
}

#[tokio::test]
async fn a_body_is_sent_while_it_is_made() {
    let (origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let post = http::Request::post("/x").body(Slow(300, false)).unwrap();
    let response = session.clone().oneshot(post).await.unwrap();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert!(content.starts_with(b"{\"length\":300000"), "{content:?}");
    assert_eq!(origin.counts().requests, 1);
}

#[tokio::test]
async fn a_body_that_fails_is_the_error_of_its_request() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let post = http::Request::post("/x").body(Slow(668, false)).unwrap();
    let failed = session.clone().oneshot(post).await.unwrap_err();
    assert!(matches!(&failed.cause, Cause::Source(error) if error.to_string() == "no more"), "{failed:?}");
    assert_eq!(session.oneshot(get("/small")).await.unwrap().status(), 200);
}
