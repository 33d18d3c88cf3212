//! Only for tasks: streams, bodies, many connections in one thread, and a runtime that may go away.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use ::tokio::runtime::{Builder, Runtime};
use bytes::Bytes;
use dugong_origin::{Config as OriginConfig, Origin as Server, document};
use futures_lite::{StreamExt, stream};
use http_body::{Body, Frame};
use real::asynchronous::UploadError;
use real::tokio::Connection;
use real::{Config, Error, Fields, Misuse, Origin, Request, WaitingFor};

const GUARD: Duration = Duration::from_secs(20);

/// A runtime that uses only the caller's thread.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a test, with a limit of time.
fn run<T>(test: impl Future<Output = T>) -> T {
    runtime().block_on(async { tokio::time::timeout(GUARD, test).await.expect("it hangs") })
}

fn server() -> (Server, String) {
    let server = Server::start(OriginConfig::default()).unwrap();
    let url = format!("http://{}", server.address());
    (server, url)
}

async fn connect(url: &str) -> Connection {
    Connection::connect(url).await.unwrap()
}

#[test]
fn a_non_ascii_host_is_sent_as_a_labels_and_an_invalid_one_is_refused_by_name() {
    let (server, _) = server();
    run(async {
        let port = server.address().port();
        let config = Config::new().addresses("b\u{fc}cher.example", port, [server.address()]);
        let origin = Origin::of_url(&format!("http://b\u{fc}cher.example:{port}")).unwrap().0;
        assert_eq!(origin.host_field(), format!("xn--bcher-kva.example:{port}"));
        let mut connection = Connection::connect_to(&config, &origin).await.unwrap();
        connection.send_request(Request::get("/doc/1")).await.unwrap();
        assert_eq!(connection.read_response().await.unwrap().read_all().await.unwrap(), document("1"));

        let error = Connection::connect_to(&config, &Origin::http("h:80", port)).await.unwrap_err();
        assert!(error.to_string().starts_with(r#""h:80" is not a host name"#), "{error}");
    });
}

#[test]
fn futures_can_go_to_other_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (_server, url) = server();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let task = runtime.spawn(async move {
        let config = Config::new();
        let origin = Origin::of_url(&url).unwrap().0;
        let mut connection = is_send(Connection::connect_to(&config, &origin)).await.unwrap();
        is_send(connection.send_request(Request::put("/upload").content_length(3))).await.unwrap();
        is_send(connection.content().send_all(b"abc")).await.unwrap();
        is_send(connection.content().finish()).await.unwrap();
        is_send(connection.flush()).await.unwrap();
        is_send(connection.read_response()).await.unwrap().discard().await.unwrap();
        let mut pipeline = connection.pipeline([Request::get("/doc/1")]);
        is_send(pipeline.next()).await.unwrap().unwrap().discard().await.unwrap();
        let (mut requests, mut responses) = connection.split();
        is_send(requests.send_request(Request::get("/doc/2"))).await.unwrap();
        let content = is_send(responses.read_response()).await.unwrap().unwrap().read_all().await.unwrap();
        assert_eq!(content, document("2"));
    });
    runtime.block_on(task).unwrap();
}

#[test]
fn content_can_be_read_as_async_read_and_line_by_line() {
    let (_server, url) = server();
    run(async {
        let mut connection = connect(&url).await;
        for target in ["/doc/1", "/chunked/100000", "/bytes/100000"] {
            connection.send_request(Request::get(target)).await.unwrap();
            connection.send_request(Request::get(target)).await.unwrap();
            let mut read = Vec::new();
            connection.read_response().await.unwrap().read_to_end(&mut read).await.unwrap();
            let mut copied = Vec::new();
            tokio::io::copy_buf(&mut connection.read_response().await.unwrap(), &mut copied).await.unwrap();
            assert!(!read.is_empty());
            assert_eq!(read, copied);
        }
        connection.send_request(Request::get("/doc/1")).await.unwrap();
        let mut line = Vec::new();
        connection.read_response().await.unwrap().read_until(b'\n', &mut line).await.unwrap();
        assert_eq!(line, document("1").split_inclusive(|byte| *byte == b'\n').next().unwrap());
    });
}

#[test]
fn content_that_is_cut_short_is_an_error_in_every_form() {
    for form in ["read", "lines", "stream", "body"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").unwrap();
        });
        run(async {
            let mut connection = connect(&url).await;
            connection.send_request(Request::get("/")).await.unwrap();
            let mut response = connection.read_response().await.unwrap();
            let error = match form {
                "read" => response.read_to_end(&mut Vec::new()).await.unwrap_err(),
                "lines" => response.read_until(b'\n', &mut Vec::new()).await.unwrap_err(),
                "stream" => {
                    let pieces: Vec<_> = response.into_content().collect().await;
                    let [Ok(piece), Err(error)] = <[_; 2]>::try_from(pieces).unwrap() else { panic!("one piece, and an error") };
                    assert_eq!(piece, "short");
                    error.into()
                }
                _ => {
                    let mut content = response.into_content();
                    let mut frame = async || poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)).await;
                    assert_eq!(frame().await.unwrap().unwrap().into_data().unwrap(), "short");
                    let error = frame().await.unwrap().unwrap_err();
                    assert!(frame().await.is_none());
                    error.into()
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{form}");
            assert!(matches!(error.downcast::<Error>(), Ok(Error::Closed { .. })));
        });
        server.join().unwrap();
    }
}

#[test]
fn content_is_a_stream_and_a_body_with_trailers() {
    let (_server, url) = server();
    run(async {
        let mut connection = connect(&url).await;
        for _ in 0..2 {
            connection.send_request(Request::get("/chunked/50000?trailers=1")).await.unwrap();
        }
        let mut content = connection.read_response().await.unwrap().into_content();
        let mut length = 0;
        while let Some(piece) = content.next().await {
            length += piece.unwrap().len();
        }
        assert_eq!(length, 50000);
        assert!(!content.response().trailers().is_empty());
        let mut content = connection.read_response().await.unwrap().into_content();
        assert!(!content.is_end_stream());
        let mut trailers = None;
        let mut length = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)).await {
            match frame.unwrap().into_data() {
                Ok(data) => length += data.len(),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        assert_eq!(length, 50000);
        assert!(content.is_end_stream());
        assert!(!trailers.unwrap().is_empty());
        connection.send_request(Request::get("/bytes/70")).await.unwrap();
        let content = connection.read_response().await.unwrap().into_content();
        assert_eq!(content.size_hint().exact(), Some(70));
    });
}

/// A body whose every frame needs two polls.
struct Pieces {
    frames: VecDeque<Frame<Bytes>>,
    has_waited: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.has_waited = !self.has_waited;
        if self.has_waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front().map(Ok))
    }
}

#[test]
fn content_can_come_from_a_reader_a_stream_or_a_body() {
    let (_server, url) = server();
    const LARGE: usize = 300_000;
    run(async {
        let mut connection = connect(&url).await;
        let large = vec![b'x'; LARGE];
        connection.send_request(Request::put("/x?digest=0").content_length(LARGE as u64)).await.unwrap();
        assert_eq!(connection.content().send_from(&large[..]).await.unwrap(), LARGE as u64);
        assert_eq!(answer(&mut connection).await, r#"{"length":300000,"sha256":null}"#);

        connection.send_request(Request::put("/x?digest=0").chunked().expect_continue()).await.unwrap();
        let pieces = stream::iter(large.chunks(1000)).map(Ok::<_, Infallible>);
        connection.content().send_stream(pieces).await.unwrap();
        assert_eq!(answer(&mut connection).await, r#"{"length":300000,"sha256":null}"#);

        connection.send_request(Request::put("/x?digest=0").chunked()).await.unwrap();
        let trailers = [("t".parse().unwrap(), "1".parse().unwrap())].into_iter().collect();
        let body = Pieces {
            frames: [Frame::data("one ".into()), Frame::data("and two".into()), Frame::trailers(trailers)].into(),
            has_waited: false,
        };
        connection.content().send_body(body).await.unwrap();
        assert_eq!(answer(&mut connection).await, r#"{"length":11,"sha256":null}"#);

        connection.send_request(Request::put("/x?digest=0").content_length(5)).await.unwrap();
        let failing = stream::iter([Ok(&b"abc"[..]), Err("no more")]);
        let error = connection.content().send_stream(failing).await.unwrap_err();
        assert!(matches!(error, UploadError::Source("no more")));
        assert_eq!(connection.content_left(), Some(2));
        let short = connection.content().finish().await.unwrap_err();
        assert!(matches!(short, Error::Local(Misuse::ContentShort)));
        let mut writer = connection.content();
        writer.write_all(b"de").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(answer(&mut connection).await, r#"{"length":5,"sha256":null}"#);
    });
}

async fn answer(connection: &mut Connection) -> String {
    String::from_utf8(connection.read_response().await.unwrap().read_all().await.unwrap()).unwrap()
}

#[test]
fn collected_responses_have_a_limit_and_go_on_after_one_that_is_longer() {
    let (_server, url) = server();
    run(async {
        let mut connection = connect(&url).await;
        let requests = ["/bytes/100", "/bytes/100000", "/chunked/100?trailers=1"].map(Request::get);
        let responses: Vec<_> = connection.pipeline(requests).collected(100).collect().await;
        let [Ok(first), Err(Error::ContentTooLong { number: 1, limit: 100 }), Ok(last)] = &responses[..] else {
            panic!("{responses:?}")
        };
        assert_eq!((first.number, first.content.len(), first.head.status().as_u16()), (0, 100, 200));
        assert_eq!((last.number, last.content.len()), (2, 100));
        assert!(!last.trailers.is_empty());
    });
}

/// Counts how often a future is polled.
struct Counted<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}

#[test]
fn a_server_that_stops_reading_holds_the_sender_back_without_spinning() {
    const COUNT: usize = 40;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go_on, stopped) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The server answers the first request, and reads no more until the test says so.
        let mut buffer = vec![0; 100_000];
        let mut received = stream.read(&mut buffer).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        stopped.recv().unwrap();
        let mut answered = 1;
        while answered < COUNT {
            received += stream.read(&mut buffer).unwrap();
            while answered < received / 500_000 {
                answered += 1;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        }
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let polls = Arc::new(AtomicUsize::new(0));
    run(async {
        let (mut requests, mut responses) = connect(&url).await.split();
        let sent = Arc::new(AtomicUsize::new(0));
        let (counter, content) = (sent.clone(), Bytes::from(vec![b'x'; 500_000]));
        let sender = Counted {
            polls: polls.clone(),
            future: Box::pin(async move {
                for _ in 0..COUNT {
                    requests.send_request(Request::put("/x").body(content.clone())).await.unwrap();
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }),
        };
        let sender = tokio::spawn(sender);
        let first = responses.read_response().await.unwrap().unwrap();
        assert_eq!(first.status(), 204);
        // Nothing moves now: a task that spins would be polled thousands of times.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = polls.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(polls.load(Ordering::Relaxed) <= before + 2, "the sender spins");
        assert!(sent.load(Ordering::Relaxed) < COUNT - 10, "the sender is held back");
        go_on.send(()).unwrap();
        let mut count = 1;
        while let Some(response) = responses.read_response().await.unwrap() {
            assert_eq!(response.status(), 204);
            count += 1;
        }
        assert_eq!(count, COUNT);
        sender.await.unwrap();
    });
    server.join().unwrap();
    // One poll each time the socket has room, which is for ten kilobytes or more.
    assert!(polls.load(Ordering::Relaxed) < COUNT * 60, "{} polls", polls.load(Ordering::Relaxed));
}

#[test]
fn two_thousand_connections_in_one_thread_all_get_their_answers() {
    const CONNECTIONS: usize = 2000;
    const REQUESTS: usize = 50;
    // This process holds both ends.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .unwrap();
    let server = Server::start(OriginConfig::default()).unwrap();
    let origin = Origin::http(server.address().ip().to_string(), server.address().port());
    let runtime = runtime();
    let mut held = None;
    let memory = allocation_counter::measure(|| {
        held = Some(runtime.block_on(async {
            let config = Arc::new(Config::new().timeout(GUARD * 3));
            let tasks: Vec<_> = (0..CONNECTIONS)
                .map(|task| {
                    let (config, origin) = (config.clone(), origin.clone());
                    tokio::spawn(async move {
                        let mut connection = Connection::connect_to(&config, &origin).await.unwrap();
                        let documents = (0..REQUESTS).map(|i| (task * 7 + i).to_string());
                        let mut pipeline = connection.pipeline(documents.clone().map(|i| Request::get(format!("/doc/{i}"))));
                        let mut count = 0;
                        for i in documents {
                            let response = pipeline.next().await.unwrap().unwrap();
                            assert_eq!(response.read_all().await.unwrap(), document(&i));
                            count += 1;
                        }
                        assert!(pipeline.next().await.unwrap().is_none());
                        (count, connection)
                    })
                })
                .collect();
            let mut answered = 0;
            let mut connections = Vec::new();
            for task in tasks {
                let (count, connection) = task.await.unwrap();
                answered += count;
                connections.push(connection);
            }
            (answered, connections)
        }))
    });
    let (answered, connections) = held.unwrap();
    assert_eq!((answered, connections.len()), (CONNECTIONS * REQUESTS, CONNECTIONS));
    // The memory of idle connections, with the runtime's share of each.
    let (each, most) = (memory.bytes_current / CONNECTIONS as i64, memory.bytes_max / CONNECTIONS as u64);
    let own = size_of::<Connection>();
    println!("{each} bytes for each idle connection, {own} of them the connection itself; {most} at most while they were busy");
    assert!(each < 4096, "{each} bytes for each idle connection");
}

#[test]
fn an_idle_connection_holds_no_buffers_and_one_that_waits_holds_none_either() {
    const CONNECTIONS: usize = 100;
    let (_server, url) = server();
    let runtime = runtime();
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let mut each = |requests: &[&str]| {
        let memory = allocation_counter::measure(|| {
            runtime.block_on(async {
                for _ in 0..CONNECTIONS {
                    let mut connection = connect(&url).await;
                    for target in requests {
                        connection.send_request(Request::get(*target)).await.unwrap();
                        connection.read_response().await.unwrap().discard().await.unwrap();
                    }
                    // The server answers only after this future was dropped.
                    connection.send_request(Request::get("/small?delay=20000")).await.unwrap();
                    let reading = tokio::time::timeout(Duration::ZERO, connection.read_response());
                    assert!(reading.await.is_err());
                    connections.push(connection);
                }
            });
        });
        memory.bytes_current / CONNECTIONS as i64
    };
    let (unused, used) = (each(&[]), each(&["/small", "/bytes/100000", "/chunked/100000"]));
    println!("{unused} bytes for a connection that waits, {used} for one that was used before");
    assert!(unused < 8192 && used < 8192, "{unused}, {used}");
}

#[test]
fn a_runtime_that_goes_away_is_an_error_and_the_socket_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let runtime = runtime();
    let config = Config::new().timeout(GUARD);
    let mut connection = runtime.block_on(Connection::connect_with(&config, &url)).unwrap();
    runtime.block_on(connection.send_request(Request::get("/"))).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    drop(runtime);
    let error = run(connection.read_response()).map(drop).unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert!(connection.close_reason().is_some());
    drop(connection);
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"GET / HTTP/1.1\r\n"));
}

#[test]
fn a_task_that_is_aborted_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    run(async {
        let task = tokio::spawn(async move {
            let mut connection = connect(&url).await;
            connection.send_request(Request::get("/")).await.unwrap();
            connection.read_response().await.map(drop).unwrap_err();
        });
        let (mut stream, _) = tokio::task::spawn_blocking(move || listener.accept().unwrap()).await.unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[test]
fn a_dropped_connect_closes_the_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    run(async {
        // The server accepts the connection, but does not answer the TLS handshake.
        let origin = Origin::https("127.0.0.1", address.port());
        let config = Config::new();
        let connecting = Connection::connect_to(&config, &origin);
        let waited = tokio::time::timeout(Duration::from_millis(50), connecting).await;
        assert!(waited.is_err());
    });
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_timeout_limits_one_wait_and_other_wake_ups_do_not_prolong_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    run(async {
        let mut connection = connect(&url).await;
        connection.set_timeout(Some(Duration::from_millis(100)));
        connection.send_request(Request::get("/")).await.unwrap();
        let mut reading = pin!(connection.read_response());
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let error = loop {
            tokio::select! {
                read = &mut reading => break read.map(drop).unwrap_err(),
                _ = ticks.tick() => {}
            }
        };
        assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Response, .. }), "{error:?}");
    });
}

#[test]
fn a_callers_stream_carries_a_connection_and_its_halves() {
    run(async {
        let (near, mut far) = tokio::io::duplex(100);
        let mut connection = Config::new().over_io(near, &Origin::http("origin", 80)).await.unwrap();
        connection.send_request(Request::get("/1")).await.unwrap();
        let server = tokio::spawn(async move {
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(far.read_u8().await.unwrap());
                }
                far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
            }
            far.read_to_end(&mut Vec::new()).await.unwrap();
        });
        assert_eq!(answer(&mut connection).await, "hello");
        let (mut requests, mut responses) = connection.split();
        let reader = tokio::spawn(async move {
            let content = responses.read_response().await.unwrap().unwrap().read_all().await.unwrap();
            // The other half has closed the connection, so no more requests will come.
            (content, matches!(responses.read_response().await, Ok(None)))
        });
        requests.send_request(Request::get("/2")).await.unwrap();
        while requests.outstanding().answered < 2 {
            tokio::task::yield_now().await;
        }
        requests.close();
        assert_eq!(reader.await.unwrap(), (b"hello".to_vec(), true));
        server.await.unwrap();
    });
}

#[test]
fn closing_one_half_wakes_the_other_that_waits_for_a_callers_stream() {
    run(async {
        let (near, far) = tokio::io::duplex(1000);
        let connection = Config::new().over_io(near, &Origin::http("origin", 80)).await.unwrap();
        let (mut requests, mut responses) = connection.split();
        requests.send_request(Request::get("/")).await.unwrap();
        let reader = tokio::spawn(async move { responses.read_response().await.map(drop).unwrap_err().is_closed() });
        tokio::task::yield_now().await;
        requests.close();
        assert!(reader.await.unwrap());
        drop(far);
    });
}

#[cfg(feature = "rustls")]
#[test]
fn two_tasks_use_tls_over_a_callers_stream_at_once() {
    use crate::tls::pki::Authority;
    use crate::tls::servers::stunnel;

    let (server, _) = server();
    let authority = Authority::new("root");
    let stunnel = stunnel("", server.address(), &authority.issue(&["www.example"]), &[]);
    let tls = real::Tls::new().roots_pem(authority.pem.as_bytes()).unwrap();
    run(async {
        let stream = tokio::net::TcpStream::connect(stunnel.address).await.unwrap();
        let config = Config::new().tls(tls).timeout(GUARD);
        let connection = config.over_io(stream, &Origin::https("www.example", 443)).await.unwrap();
        assert!(connection.transport().tls().is_some());
        let (mut requests, mut responses) = connection.split();
        let sender = tokio::spawn(async move {
            for _ in 0..100 {
                requests.send_request(Request::put("/x?digest=0").body(vec![b'x'; 100_000])).await.unwrap();
                requests.send_request(Request::get("/bytes/100000")).await.unwrap();
            }
        });
        let mut count = 0;
        while let Some(response) = responses.read_response().await.unwrap() {
            let expected = if count % 2 == 0 { 31 } else { 100_000 };
            assert_eq!(response.read_all().await.unwrap().len(), expected);
            count += 1;
        }
        assert_eq!(count, 200);
        sender.await.unwrap();
    });
}

#[test]
fn an_expectation_is_answered_across_two_tasks() {
    let (_server, url) = server();
    run(async {
        // A long timeout, so that only the answer ends the wait.
        let config = Config::new().expect_timeout(GUARD * 10);
        let connection = Connection::connect_with(&config, &url).await.unwrap();
        let (mut requests, mut responses) = connection.split();
        let sender = tokio::spawn(async move {
            requests.send_request(Request::put("/x?digest=0").chunked().expect_continue()).await.unwrap();
            requests.send_content(b"hello").await.unwrap();
            requests.finish_content(&Fields::new()).await.unwrap();
        });
        let content = responses.read_response().await.unwrap().unwrap().read_all().await.unwrap();
        assert_eq!(content, br#"{"length":5,"sha256":null}"#);
        sender.await.unwrap();
    });
}

/// The next test runs this one alone in a process.
#[test]
#[ignore = "not a test by itself: the next one runs it in a process of its own, whose threads it counts"]
fn threads_alone() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let address = std::env::var("ORIGIN").unwrap();
    let before = threads();
    run(async {
        let mut connections = Vec::new();
        for _ in 0..10 {
            let mut connection = connect(&format!("http://{address}")).await;
            connection.set_timeout(Some(GUARD));
            connection.send_request(Request::get("/small")).await.unwrap();
            connection.read_response().await.unwrap().discard().await.unwrap();
            let (requests, responses) = connection.split();
            connections.push((requests, responses));
        }
        assert_eq!(threads(), before);
    });
}

#[test]
fn connecting_to_an_address_starts_no_thread() {
    let (server, _) = server();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "own::threads_alone", "--ignored", "--test-threads=1"]);
    let output = command.env("ORIGIN", server.address().to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_timeout_set_after_a_request_applies_to_its_response() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connection = connect(&format!("http://{}", listener.local_addr().unwrap())).await;
        let (_silent, _) = listener.accept().unwrap();
        connection.send_request(Request::get("/")).await.unwrap();
        connection.set_timeout(Some(Duration::from_millis(20)));
        let error = connection.read_response().await.map(drop).unwrap_err();
        assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Response, .. }), "{error:?}");
    });
}

/// A stream that accepts one byte per poll, and never wakes the task.
struct Leftovers {
    is_full: bool,
    taken: usize,
}

impl real::asynchronous::PollStream for Leftovers {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, _: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        self.is_full = !self.is_full;
        if self.is_full {
            return Poll::Pending;
        }
        self.taken += 1;
        assert!(self.taken < 10, "the limit has begun anew");
        Poll::Ready(Ok(1))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_byte_sent_by_the_last_attempt_does_not_restart_the_timeout() {
    run(async {
        let config = Config::new().timeout(Duration::from_millis(20));
        let stream = Leftovers { is_full: false, taken: 0 };
        let mut connection = Connection::over_poll_stream(&config, stream, &Origin::http("origin", 80)).await.unwrap();
        connection.send_request(Request::put("/").body(vec![0; 1000])).await.unwrap();
        let error = connection.flush().await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Sending, .. }), "{error:?}");
    });
}
