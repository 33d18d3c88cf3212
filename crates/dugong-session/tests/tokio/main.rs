//! Sessions for tasks of tokio.

mod chaos;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../chaos/ledger.rs"]
mod ledger;
mod ranges;
mod storms;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use dugong_origin::{Config, Origin, document};
use dugong_session::tokio::{Content, Session, Sessions};
use dugong_session::{Cause, Request, Sent};
use futures_lite::StreamExt;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

#[tokio::test]
async fn a_reply_is_awaited() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    assert_eq!(session.get("/doc/1").await.unwrap().content(), &document("1"));
    assert_eq!(session.head("/doc/1").await.unwrap().content().len(), 0);
    assert_eq!(session.put("/x", "hello").await.unwrap().status(), 200);
    let failed = session.get("/a b").await.unwrap_err();
    assert!(matches!(failed.cause, Cause::Invalid(_)) && failed.sent == Sent::No);
    assert_eq!(session.get(format!("{url}/doc/1")).await.unwrap().content(), &document("1"));
    let failed = session.get("http://other.example/x").await.unwrap_err();
    assert!(matches!(failed.cause, Cause::Invalid(_)) && failed.sent == Sent::No);
}

#[tokio::test]
async fn a_run_is_a_stream_of_outcomes_in_order() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut run = session.run((0..1000).map(|i| Request::get(format!("/doc/{i}"))));
    let mut count = 0;
    while let Some(outcome) = run.next().await {
        assert_eq!(outcome.index, count);
        assert_eq!(outcome.result.unwrap().content(), &document(&count.to_string()));
        count += 1;
    }
    assert_eq!((count, run.taken()), (1000, 1000));
    let run = session.run((0..100).map(|i| Request::get(format!("/doc/{i}")))).unordered();
    let mut seen: Vec<_> = StreamExt::map(run, |outcome| outcome.index).collect().await;
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..100));
}

#[tokio::test]
async fn a_streamed_reply_is_a_reader_and_a_body() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut reply = session.request(Request::get("/bytes/3000000").streamed()).await.unwrap();
    assert_eq!(reply.content_length(), Some(3_000_000));
    let mut content = Vec::new();
    reply.read_to_end(&mut content).await.unwrap();
    let mut expected = vec![0; 3_000_000];
    dugong_origin::fill(0, 0, &mut expected);
    assert!(content == expected);

    let reply = session.request(Request::get("/chunked/100000?trailers=1").streamed()).await.unwrap();
    let collected = reply.collect().await.unwrap();
    assert!(collected.trailers().is_some_and(|trailers| trailers.contains_key("X-Checksum")));
    assert_eq!(collected.to_bytes().len(), 100_000);

    let mut reply = session.get("/doc/1").await.unwrap();
    let mut content = Vec::new();
    reply.read_to_end(&mut content).await.unwrap();
    assert_eq!(content, document("1"));
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_an_error() {
    let (_origin, url) = origin();
    let script = dugong_origin::Script::new().expect_requests(1).send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    let server = dugong_origin::Scripted::start(vec![script.fin().wait_close()]).unwrap();
    drop(url);
    let session = Session::new(&format!("http://{}", server.address())).unwrap();
    let mut reply = session.request(Request::get("/").streamed()).await.unwrap();
    let mut content = Vec::new();
    assert!(reply.read_to_end(&mut content).await.is_err());
    assert_eq!(content, b"hel");
}

#[tokio::test]
async fn a_thousand_tasks_share_few_connections_and_are_pipelined() {
    let (origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut tasks = JoinSet::new();
    for i in 0..1000 {
        let session = session.clone();
        tasks.spawn(async move {
            let reply = session.get(format!("/doc/{i}")).await.unwrap();
            assert_eq!(reply.content(), &document(&i.to_string()));
        });
    }
    tasks.join_all().await;
    let counts = origin.counts();
    assert_eq!(counts.requests, 1000);
    assert!(session.stats().opened <= 4, "{:?}", session.stats());
}

#[tokio::test]
async fn a_future_that_is_not_polled_holds_up_no_other() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let mut resting = Box::pin(session.get("/small?delay=5"));
    assert!(futures_lite::future::poll_once(&mut resting).await.is_none());
    let mut run = session.run((0..5).map(|_| Request::get("/small")));
    assert!(futures_lite::future::poll_once(run.next()).await.is_none());
    for _ in 0..10 {
        assert_eq!(session.get("/small").await.unwrap().status(), 200);
    }
    assert_eq!(resting.await.unwrap().status(), 200);
    assert!(run.next().await.unwrap().result.is_ok());
}

#[test]
fn a_session_can_be_used_in_one_runtime_after_another_and_in_threads() {
    let (_origin, url) = origin();
    let blocking = dugong_session::Session::new(&url).unwrap();
    let session = Session::from(blocking.clone());
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { assert_eq!(session.get("/small").await.unwrap().status(), 200) });
        assert_eq!(blocking.get("/small").unwrap().status(), 200);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| assert_eq!(blocking.get("/small").unwrap().status(), 200)));
        runtime.block_on(async {
            for _ in 0..100 {
                assert_eq!(session.get("/small").await.unwrap().status(), 200);
            }
        });
    });
    assert!(blocking.stats().opened <= 4, "{:?}", blocking.stats());
}

#[test]
fn a_reply_goes_on_in_another_runtime_after_that_of_its_request_has_ended() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let mut reply = first.block_on(session.request(Request::get("/bytes/50000000").streamed())).unwrap();
    let mut call = Box::pin(session.get("/small?delay=100"));
    assert!(first.block_on(async { futures_lite::future::poll_once(&mut call).await.is_none() }));
    drop(first);
    let rest = async {
        let count = tokio::io::copy(&mut reply, &mut tokio::io::sink()).await.unwrap();
        (count, call.await.unwrap().status())
    };
    let limit = Duration::from_secs(60);
    let (count, status) = runtime().block_on(async { tokio::time::timeout(limit, rest).await }).expect("neither hangs");
    assert_eq!((count, status.as_u16()), (50_000_000, 200));
}

#[tokio::test]
async fn timeouts_fire_while_nothing_else_happens() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let failed = session.request(Request::get("/small?delay=60000").total_timeout(Duration::from_millis(50))).await.unwrap_err();
    assert!(failed.is_timeout(), "{failed}");
}

#[tokio::test]
async fn closing_a_session_ends_its_requests() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let call = tokio::spawn(session.get("/small?delay=60000"));
    while session.stats().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    session.close();
    assert!(matches!(call.await.unwrap().unwrap_err().cause, Cause::Cancelled));
}

#[tokio::test]
async fn content_from_a_source_is_uploaded() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let content = vec![7; 1 << 20];
    let reply = session.request(Request::put("/x").reader(std::io::Cursor::new(content), 1 << 20)).await.unwrap();
    assert!(reply.text().contains("\"length\":1048576"), "{}", reply.text());
}

#[tokio::test]
async fn sessions_of_many_origins_follow_redirects_and_keep_the_order() {
    let ((_here, url), (_there, other)) = (origin(), origin());
    let sessions = Sessions::builder().redirects(3).build().unwrap();
    let sessions = Sessions::from(sessions);
    let to = format!("{other}/doc/").replace(':', "%3A").replace('/', "%2F");
    let url = |i: usize| match i % 3 {
        0 => format!("{url}/redirect/1?to={to}{i}"),
        1 => format!("{url}/doc/{i}"),
        _ => format!("{other}/doc/{i}"),
    };
    assert_eq!(sessions.get(url(0)).await.unwrap().content(), &document("0"));
    let mut run = sessions.run((0..600).map(|i| Request::get(url(i))));
    for i in 0..600 {
        let outcome = run.next().await.unwrap();
        assert_eq!(outcome.index, i);
        assert_eq!(outcome.result.unwrap().content(), &document(&i.to_string()));
    }
    assert!(run.next().await.is_none());
    assert!(sessions.get("/no-url").await.is_err());
}

#[tokio::test]
async fn content_is_read_by_the_task_while_it_is_sent() {
    let (_origin, url) = origin();
    let session = Session::new(&url).unwrap();
    let (mut writer, reader) = tokio::io::duplex(1000);
    let produce = tokio::spawn(async move {
        for _ in 0..1000 {
            writer.write_all(&[7; 777]).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let reply = session.request_with(Request::put("/x"), Content::reader(reader, None)).await.unwrap();
    assert!(reply.text().contains("\"length\":777000"), "{}", reply.text());
    produce.await.unwrap();
    let short = Content::reader(&b"hello"[..], 6);
    let failed = session.request_with(Request::put("/x"), short).await.unwrap_err();
    assert!(matches!(failed.cause, Cause::Source(_)), "{failed:?}");
    let (_writer, reader) = tokio::io::duplex(10);
    let refused = session.request_with(Request::put("/x?early=1"), Content::reader(reader, 10_000_000)).await.unwrap();
    assert_eq!(refused.status(), 413);
}

#[tokio::test]
async fn small_content_is_kept_for_a_repeat() {
    let (_origin, url) = origin();
    let session = Session::from(Session::builder(&url).backoff(Duration::ZERO, Duration::ZERO).build().unwrap());
    let content = Content::reader(&b"hello"[..], None);
    let reply = session.request_with(Request::put("/x?busy=2&retry-after=0"), content).await.unwrap();
    assert!(reply.text().contains("\"length\":5"), "{}", reply.text());
    let content = Content::reader(std::io::Cursor::new(vec![7; 100_000]), None);
    let reply = session.request_with(Request::put("/y?busy=2&retry-after=0"), content).await.unwrap();
    assert_eq!(reply.status(), 503);
}
