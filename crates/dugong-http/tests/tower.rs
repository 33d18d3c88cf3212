//! A connection as a tower service.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dugong_http::asynchronous::PollStream;
use dugong_http::tokio::Connection;
use dugong_http::tower::{Handle, Incoming, ServiceError, service};
use dugong_http::{Closed, Error, Sent};
use dugong_origin::{Config, Origin, document};
use http::{Request, Response};
use http_body::{Body, Frame};
use tower_service::Service;

const GUARD: Duration = Duration::from_secs(20);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(GUARD, test).await.expect("it hangs") })
}

/// A service of an origin, and its driver in a task.
async fn connected<B>(origin: &Origin) -> (Handle<B>, tokio::task::JoinHandle<()>)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<dugong_http::tower::BoxError> + Send,
{
    let connection = Connection::connect(format!("http://{}", origin.address())).await.unwrap();
    let (service, driver) = service(connection);
    (service, tokio::spawn(driver))
}

/// A service over a stream in memory, its driver in a task, and the server's end of the stream.
async fn connected_in_memory<B>() -> (Handle<B>, tokio::task::JoinHandle<()>, tokio::io::DuplexStream)
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<dugong_http::tower::BoxError> + Send,
{
    let (near, far) = tokio::io::duplex(100_000);
    let connection = dugong_http::Config::new().over_io(near, &dugong_http::Origin::http("origin", 80)).await.unwrap();
    let (service, driver) = service(connection);
    (service, tokio::spawn(driver), far)
}

async fn call<B>(service: &mut Handle<B>, request: Request<B>) -> Result<Response<Incoming>, ServiceError> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

async fn whole(mut content: Incoming) -> Result<(Vec<u8>, bool), ServiceError> {
    let (mut bytes, mut has_trailers) = (Vec::new(), false);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(_) => has_trailers = true,
        }
    }
    assert!(content.is_end_stream());
    Ok((bytes, has_trailers))
}

fn get(target: &str) -> Request<String> {
    Request::get(target).body(String::new()).unwrap()
}

#[test]
fn many_calls_at_once_are_answered_in_order_by_clones_of_one_handle() {
    let origin = Origin::start(Config::default()).unwrap();
    run(async {
        let (service, driver) = connected::<String>(&origin).await;
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                let mut service = service.clone();
                tokio::spawn(async move {
                    let response = call(&mut service, get(&format!("/doc/{i}"))).await.unwrap();
                    assert_eq!(whole(response.into_body()).await.unwrap().0, document(&i.to_string()));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        drop(service);
        driver.await.unwrap();
    });
    assert_eq!(origin.counts().connections, 1);
}

#[test]
fn unread_content_is_skipped_and_trailers_arrive() {
    let origin = Origin::start(Config::default()).unwrap();
    run(async {
        let (mut service, _driver) = connected::<String>(&origin).await;
        drop(call(&mut service, get("/bytes/10000000")).await.unwrap());
        let (content, has_trailers) =
            whole(call(&mut service, get("/chunked/70000?trailers=1")).await.unwrap().into_body()).await.unwrap();
        assert_eq!((content.len(), has_trailers), (70_000, true));
        // The response of a dropped call is discarded.
        drop(service.call(get("/bytes/100000")));
        let (content, _) = whole(call(&mut service, get("/doc/1")).await.unwrap().into_body()).await.unwrap();
        assert_eq!(content, document("1"));
    });
}

/// Content of unknown length, in pieces; `Err` makes the body fail there.
struct Pieces(VecDeque<Option<&'static str>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(|piece| match piece {
            Some(piece) => Ok(Frame::data(piece.into())),
            None => Err(std::io::ErrorKind::Other.into()),
        }))
    }
}

#[test]
fn content_of_requests_is_sent_with_a_length_or_in_chunks() {
    let origin = Origin::start(Config::default()).unwrap();
    run(async {
        let (mut service, _driver) = connected::<String>(&origin).await;
        let request = Request::put("/x?digest=0").header("Expect", "100-continue").body("hello".to_owned()).unwrap();
        let (content, _) = whole(call(&mut service, request).await.unwrap().into_body()).await.unwrap();
        assert_eq!(content, br#"{"length":5,"sha256":null}"#);
        let (mut service, _driver) = connected::<Pieces>(&origin).await;
        let request = Request::put("/x?digest=0").body(Pieces([Some("one "), Some(""), Some("two")].into())).unwrap();
        let (content, _) = whole(call(&mut service, request).await.unwrap().into_body()).await.unwrap();
        assert_eq!(content, br#"{"length":7,"sha256":null}"#);
    });
}

#[test]
fn a_request_that_is_not_valid_is_refused_and_the_others_go_on() {
    let origin = Origin::start(Config::default()).unwrap();
    run(async {
        let (mut service, _driver) = connected::<String>(&origin).await;
        let bad = Request::get("/").header("Transfer-Encoding", "gzip").body(String::new()).unwrap();
        let error = call(&mut service, bad).await.map(drop).unwrap_err();
        assert!(matches!(error, ServiceError::Http(Error::Local(_))), "{error:?}");
        assert_eq!(call(&mut service, get("/small")).await.unwrap().status(), 200);
    });
}

#[test]
fn a_failing_request_body_ends_the_connection_and_its_error_is_reported() {
    let origin = Origin::start(Config::default()).unwrap();
    run(async {
        let (mut service, driver) = connected::<Pieces>(&origin).await;
        let request = Request::put("/x?digest=0").body(Pieces([Some("one "), None].into())).unwrap();
        let error = call(&mut service, request).await.map(drop).unwrap_err();
        assert!(matches!(error, ServiceError::Content(_)), "{error:?}");
        driver.await.unwrap();
        let after = Request::get("/").body(Pieces(VecDeque::new())).unwrap();
        let error = call(&mut service, after).await.map(drop).unwrap_err();
        let ServiceError::Ended(outcome) = &error else { panic!("{error:?}") };
        assert!(outcome.error.as_ref().unwrap().is_closed() && outcome.safe_to_retry, "{error:?}");
    });
}

#[test]
fn when_the_connection_ends_every_call_fails() {
    run(async {
        let (mut service, driver, mut far) = connected_in_memory::<String>().await;
        let calls = ["/1", "/2", "/3"].map(|target| service.call(get(target)));
        tokio::io::AsyncWriteExt::write_all(&mut far, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        let [first, second, third] = calls;
        // The server reads the requests before it closes.
        let mut taken = vec![0; 200];
        let _ = tokio::io::AsyncReadExt::read(&mut far, &mut taken).await.unwrap();
        let first = first.await.unwrap();
        assert_eq!(whole(first.into_body()).await.unwrap().0, b"hi");
        drop(far);
        for call in [second, third] {
            let error = call.await.map(drop).unwrap_err();
            let ServiceError::Ended(outcome) = &error else { panic!("{error:?}") };
            assert!(outcome.error.as_ref().unwrap().is_closed(), "{error:?}");
            assert_eq!((outcome.sent, outcome.answer_begun, outcome.safe_to_retry), (Sent::Whole, false, true));
        }
        driver.await.unwrap();
    });
}

#[test]
fn every_call_ends_with_an_outcome_of_its_own() {
    run(async {
        let (mut service, driver, mut far) = connected_in_memory::<String>().await;
        let requests = ["GET", "POST", "GET"].map(|method| {
            let body = if method == "POST" { "x".repeat(10) } else { String::new() };
            Request::builder().method(method).uri("/").body(body).unwrap()
        });
        let calls = requests.map(|request| service.call(request));
        // The server reads the requests, and stops inside the first response.
        let mut taken = Vec::new();
        while !taken.ends_with(b"\r\n\r\n") || !taken.windows(10).any(|bytes| bytes == b"xxxxxxxxxx") {
            tokio::io::AsyncReadExt::read_buf(&mut far, &mut taken).await.unwrap();
        }
        tokio::io::AsyncWriteExt::write_all(&mut far, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh").await.unwrap();
        drop(far);
        let mut outcomes = Vec::new();
        let mut calls = calls.into_iter();
        let begun = calls.next().unwrap().await.unwrap();
        let mut errors = vec![whole(begun.into_body()).await.unwrap_err()];
        for call in calls {
            errors.push(call.await.map(drop).unwrap_err());
        }
        driver.await.unwrap();
        errors.push(service.call(get("/later")).await.map(drop).unwrap_err());
        for error in errors {
            let ServiceError::Ended(outcome) = error else { panic!("{error:?}") };
            assert!(matches!(outcome.error.as_deref(), Some(Error::Closed { cause: Closed::Incomplete(..), .. })), "{outcome:?}");
            outcomes.push((outcome.sent, outcome.answer_begun, outcome.safe_to_retry));
        }
        let expected = [
            (Sent::Whole, true, true),
            (Sent::Whole, false, false), // the POST may have had its effect
            (Sent::Whole, false, true),
            (Sent::Nothing, false, true), // called after the end
        ];
        assert_eq!(outcomes, expected);
    });
}

#[test]
fn a_service_without_room_is_not_ready() {
    /// A stream that accepts every write and never has anything to read.
    struct Silent;

    impl PollStream for Silent {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<std::io::Result<usize>> {
            Poll::Pending
        }

        fn poll_write(&mut self, _: &mut Context<'_>, pieces: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
            Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    run(async {
        let config = dugong_http::Config::new();
        let origin = dugong_http::Origin::http("origin", 80);
        let connection = Connection::over_poll_stream(&config, Silent, &origin).await.unwrap();
        let (mut service, driver) = service::<_, String>(connection);
        let driver = tokio::spawn(driver);
        let mut calls = Vec::new();
        for _ in 0..64 {
            poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            calls.push(service.call(get("/")));
            tokio::task::yield_now().await;
        }
        let ready = poll_fn(|cx| Poll::Ready(service.poll_ready(cx).is_ready())).await;
        assert!(!ready);
        driver.abort();
    });
}

#[expect(dead_code, reason = "it only has to compile")]
fn infallible_bodies_are_accepted(connection: Connection) {
    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }
    }

    drop(service::<_, Never>(connection));
}

#[test]
fn a_driver_that_is_dropped_ends_all_calls() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (mut service, driver) = service(Connection::connect(&url).await.unwrap());
        let driver = tokio::spawn(driver);
        let mut other = service.clone();
        let mut answer = std::pin::pin!(call(&mut other, get("/")));
        // The request has been sent, and the server stays silent.
        let (mut theirs, _) = listener.accept().unwrap();
        assert!(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await);
        tokio::task::spawn_blocking(move || std::io::Read::read_exact(&mut theirs, &mut [0; 10]).map(|()| theirs))
            .await
            .unwrap()
            .unwrap();
        driver.abort();
        let error = answer.await.unwrap_err();
        let ServiceError::Ended(outcome) = &error else { panic!("{error:?}") };
        assert_eq!((outcome.sent, outcome.answer_begun, outcome.safe_to_retry), (Sent::Whole, false, true));
        assert!(call(&mut service, get("/")).await.is_err());
    });
}

#[test]
fn an_idle_service_outlives_its_timeouts() {
    run(async {
        let origin = Origin::start(Config::default()).unwrap();
        let config = dugong_http::Config::new().timeout(Duration::from_millis(20));
        let to = dugong_http::Origin::http(origin.address().ip().to_string(), origin.address().port());
        let (mut service, driver) = service(Connection::connect_to(&config, &to).await.unwrap());
        let driver = tokio::spawn(driver);
        // Several limits long, so that the driver sees them pass.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let response = call(&mut service, get("/doc/1")).await.unwrap();
        assert_eq!(whole(response.into_body()).await.unwrap().0, document("1"));
        assert!(!driver.is_finished());
    });
}

#[test]
fn an_answer_before_the_content_is_delivered() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut theirs, _) = listener.accept().unwrap();
            std::io::Read::read_exact(&mut theirs, &mut [0; 10]).unwrap();
            std::io::Write::write_all(&mut theirs, b"HTTP/1.1 417 No\r\nContent-Length: 5\r\n\r\nsorry").unwrap();
            theirs
        });
        let (mut service, driver) = service(Connection::connect(&url).await.unwrap());
        let _driver = tokio::spawn(driver);
        let request = Request::put("/").header("Expect", "100-continue").body("x".repeat(1000)).unwrap();
        let response = call(&mut service, request).await.unwrap();
        assert_eq!(response.status(), 417);
        assert_eq!(whole(response.into_body()).await.unwrap().0, b"sorry");
        server.join().unwrap();
    });
}

#[test]
fn every_call_reports_the_servers_fault_also_later_ones() {
    run(async {
        let (mut service, driver, mut far) = connected_in_memory::<String>().await;
        let calls = ["/1", "/2", "/3"].map(|target| service.call(get(target)));
        // The server answers only after it got the request.
        let mut taken = vec![0; 200];
        let _ = tokio::io::AsyncReadExt::read(&mut far, &mut taken).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut far, b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
        let mut told = Vec::new();
        for call in calls {
            told.push(call.await.map(drop).unwrap_err().to_string());
        }
        driver.await.unwrap();
        told.push(service.call(get("/later")).await.map(drop).unwrap_err().to_string());
        assert!(told.iter().all(|text| *text == told[0] && text.contains("SSH-2.0")), "{told:?}");
    });
}
