//! Drops the future of each operation after each number of polls, and checks the state it leaves behind.
//!
//! The stream makes every read, write and flush wait once, and moves a few bytes at a time; a server behind it answers every
//! request. After the drop, the connection must continue as the table in the module's documentation promises, in step with the
//! server.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::StreamExt;
use real::asynchronous::{self, PollStream};
use real::{Config, Error, Fields, Misuse, Origin, Request};

use crate::{R, block_on};

type Connection = asynchronous::Connection<R>;

/// A server in memory.
#[derive(Debug, Default)]
struct Server {
    received: Vec<u8>,
    to_send: VecDeque<u8>,
    has_said_continue: bool,
    /// Target and content of each request.
    requests: Vec<(String, Vec<u8>)>,
    reader: Option<Waker>,
}

impl Server {
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while let Some((target, content, end)) = self.next_request() {
            self.received.drain(..end);
            self.has_said_continue = false;
            let text = format!("{target}:{}", content.len());
            let answer = if target.starts_with("/chunked") {
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\nT: 1\r\n\r\n", text.len())
            } else {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            };
            self.requests.push((target, content));
            self.send(answer.as_bytes());
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.to_send.extend(bytes);
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Target, content and length of the next complete request.
    fn next_request(&mut self) -> Option<(String, Vec<u8>, usize)> {
        let end = find(&self.received, b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.received[..end].to_vec()).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let body = &self.received[end..];
        let found = if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
            unchunk(body)
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
            body.get(..length).map(|content| (content.to_vec(), length))
        };
        if found.is_none()
            && head.contains("\r\nExpect: 100-continue\r\n")
            && !std::mem::replace(&mut self.has_said_continue, true)
        {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        found.map(|(content, length)| (target, content, end + length))
    }
}

/// The content in chunks, and how many bytes they take.
fn unchunk(body: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let line = find(&body[at..], b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[at..at + line]).unwrap(), 16).unwrap();
        at += line + 2;
        if size == 0 {
            let end = if body[at..].starts_with(b"\r\n") { 2 } else { find(&body[at..], b"\r\n\r\n")? + 4 };
            return (body.len() >= at + end).then_some((content, at + end));
        }
        content.extend_from_slice(body.get(at..at + size)?);
        body.get(at + size..at + size + 2)?;
        at += size + 2;
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A stream to the server, on which everything waits once.
#[derive(Debug)]
struct Slow {
    server: Arc<Mutex<Server>>,
    /// The polls in which reading, writing and flushing last had to wait.
    waits_since: [Option<usize>; 3],
}

thread_local! {
    /// Counts the polls of the whole test.
    static POLLS: Cell<usize> = const { Cell::new(0) };
}

/// Runs a test.
fn run(test: impl Future<Output = ()>) {
    let mut test = pin!(test);
    block_on(poll_fn(|cx| {
        POLLS.set(POLLS.get() + 1);
        test.as_mut().poll(cx)
    }));
}

impl Slow {
    fn wait_once(&mut self, what: usize, cx: &mut Context<'_>) -> Poll<()> {
        let now = POLLS.get();
        if *self.waits_since[what].get_or_insert(now) == now {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waits_since[what] = None;
        Poll::Ready(())
    }
}

impl PollStream for Slow {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        {
            let mut server = self.server.lock().unwrap();
            if server.to_send.is_empty() {
                server.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        std::task::ready!(self.wait_once(0, cx));
        let mut server = self.server.lock().unwrap();
        let count = server.to_send.len().min(buffer.len()).min(7);
        buffer.iter_mut().zip(server.to_send.drain(..count)).for_each(|(to, from)| *to = from);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.wait_once(1, cx));
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(13).collect();
        self.server.lock().unwrap().receive(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wait_once(2, cx).map(Ok)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn connected() -> (Connection, Arc<Mutex<Server>>) {
    let server = Arc::new(Mutex::new(Server::default()));
    let stream = Slow { server: server.clone(), waits_since: [None; 3] };
    let config = Config::new().user_agent(None).send_buffer(300);
    (Connection::over_poll_stream(&config, stream, &Origin::http("origin", 80)).await.unwrap(), server)
}

/// Polls a future `times` times. Returns its output, or drops it.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Drops the future of `operation` after each number of polls, each time on a new connection, and runs `after` on that.
fn each(
    before: impl AsyncFn(&mut Connection),
    operation: impl AsyncFn(&mut Connection),
    after: impl AsyncFn(&mut Connection, bool),
    expected: impl Fn(&[(String, Vec<u8>)]) -> bool,
) {
    let mut drops = 0;
    run(async {
        loop {
            let (mut connection, server) = connected().await;
            before(&mut connection).await;
            let is_done = polled(drops + 1, operation(&mut connection)).await.is_some();
            after(&mut connection, is_done).await;
            // The connection must be in step with the server.
            assert_eq!(connection.close_reason(), None, "after {drops} polls");
            connection.send_request(Request::get("/after")).await.unwrap();
            let answer = connection.read_response().await.unwrap().read_all().await.unwrap();
            assert_eq!(String::from_utf8_lossy(&answer), "/after:0", "after {drops} polls");
            let requests = &server.lock().unwrap().requests;
            let (last, others) = requests.split_last().unwrap();
            assert_eq!(last.0, "/after");
            assert!(expected(others), "after {drops} polls: {requests:?}");
            if is_done {
                break;
            }
            drops += 1;
        }
    });
    assert!(drops > 1, "it is dropped in the middle at least once, not {drops} times");
}

/// Reads all outstanding responses, and checks them.
async fn read_all(connection: &mut Connection, expected: &[&str]) {
    let mut answers = Vec::new();
    loop {
        match connection.read_response().await {
            Ok(response) => answers.push(String::from_utf8(response.read_all().await.unwrap()).unwrap()),
            Err(Error::Local(Misuse::NothingOutstanding)) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(answers, expected);
}

async fn nothing(_: &mut Connection) {}

async fn ask(connection: &mut Connection, targets: &[&str]) {
    for target in targets {
        connection.send_request(Request::get(*target)).await.unwrap();
    }
}

fn targets(requests: &[(String, Vec<u8>)]) -> Vec<&str> {
    requests.iter().map(|(target, _)| target.as_str()).collect()
}

fn long() -> Request {
    Request::get("/long").header("X", "x".repeat(400))
}

#[test]
fn a_dropped_send_request_sends_all_of_the_request_or_nothing() {
    let taken = |connection: &Connection| connection.outstanding().unanswered.len();
    each(
        async |connection| ask(connection, &["/1"]).await,
        async |connection| {
            connection.send_request(long()).await.unwrap();
        },
        async |connection, is_done| match taken(connection) {
            1 => {
                assert!(!is_done);
                read_all(connection, &["/1:0"]).await;
            }
            _ => read_all(connection, &["/1:0", "/long:0"]).await,
        },
        |requests| matches!(targets(requests)[..], ["/1"] | ["/1", "/long"]),
    );
}

#[test]
fn a_dropped_send_request_that_waited_for_room_can_be_repeated_unless_it_was_accepted() {
    each(
        async |connection| {
            connection.send_request(long()).await.unwrap();
            connection.send_request(long()).await.unwrap();
        },
        async |connection| {
            connection.send_request(Request::get("/3")).await.unwrap();
        },
        async |connection, _| {
            if connection.outstanding().unanswered.len() == 2 {
                connection.send_request(Request::get("/3")).await.unwrap();
            }
            read_all(connection, &["/long:0", "/long:0", "/3:0"]).await;
        },
        |requests| targets(requests) == ["/long", "/long", "/3"],
    );
}

#[test]
fn content_given_with_a_request_goes_out_whole() {
    for expects in [false, true] {
        let request = Request::put("/given").body(vec![b'g'; 100]);
        let request = if expects { request.expect_continue() } else { request };
        each(
            nothing,
            async |connection| {
                connection.send_request(&request).await.unwrap();
                connection.flush().await.unwrap();
            },
            async |connection, _| {
                connection.flush().await.unwrap();
                let taken = connection.outstanding().answered as usize + connection.outstanding().unanswered.len();
                read_all(connection, if taken == 1 { &["/given:100"] } else { &[] }).await;
            },
            |requests| requests.iter().all(|(target, content)| target == "/given" && content.len() == 100),
        );
    }
}

#[test]
fn a_dropped_read_response_can_be_repeated() {
    each(
        async |connection| ask(connection, &["/1", "/chunked/2"]).await,
        async |connection| {
            assert_eq!(connection.read_response().await.unwrap().number(), 0);
        },
        async |connection, is_done| {
            assert_eq!(connection.current_response().is_some(), is_done);
            if let Some(response) = connection.current_response() {
                assert_eq!(response.read_all().await.unwrap(), b"/1:0");
                read_all(connection, &["/chunked/2:0"]).await;
            } else {
                read_all(connection, &["/1:0", "/chunked/2:0"]).await;
            }
        },
        |requests| targets(requests) == ["/1", "/chunked/2"],
    );
}

#[test]
fn a_dropped_read_content_loses_no_content() {
    for target in ["/content-that-takes-more-than-one-read", "/chunked/content"] {
        let seen = Mutex::new(Vec::new());
        each(
            async |connection| {
                seen.lock().unwrap().clear();
                ask(connection, &[target, "/2"]).await;
                connection.read_response().await.unwrap();
            },
            async |connection| {
                let mut response = connection.current_response().unwrap();
                let mut buffer = [0; 5];
                loop {
                    let count = response.read_content(&mut buffer).await.unwrap();
                    seen.lock().unwrap().extend_from_slice(&buffer[..count]);
                    if count == 0 {
                        break;
                    }
                }
            },
            async |connection, _| {
                let mut content = seen.lock().unwrap().clone();
                if let Some(mut response) = connection.current_response() {
                    response.read_to(&mut content).await.unwrap();
                }
                assert_eq!(String::from_utf8(content).unwrap(), format!("{target}:0"));
                read_all(connection, &["/2:0"]).await;
            },
            |requests| targets(requests) == [target, "/2"],
        );
    }
}

#[test]
fn a_dropped_read_to_leaves_its_content_in_the_vec() {
    let content = Mutex::new(Vec::new());
    each(
        async |connection| {
            content.lock().unwrap().clear();
            ask(connection, &["/chunked/1", "/2"]).await;
            connection.read_response().await.unwrap();
        },
        #[expect(clippy::await_holding_lock, reason = "nobody else wants it")]
        async |connection| connection.current_response().unwrap().read_to(&mut content.lock().unwrap()).await.unwrap(),
        async |connection, _| {
            let mut content = content.lock().unwrap().clone();
            if let Some(mut response) = connection.current_response() {
                response.read_to(&mut content).await.unwrap();
            }
            assert_eq!(content, b"/chunked/1:0");
            read_all(connection, &["/2:0"]).await;
        },
        |requests| targets(requests) == ["/chunked/1", "/2"],
    );
}

#[test]
fn a_dropped_read_all_loses_its_content_and_the_rest_can_be_read() {
    each(
        async |connection| {
            ask(connection, &["/content-that-takes-more-than-one-read", "/2"]).await;
            connection.read_response().await.unwrap();
        },
        async |connection| {
            connection.current_response().unwrap().read_all().await.unwrap();
        },
        async |connection, _| {
            if let Some(response) = connection.current_response() {
                let rest = response.read_all().await.unwrap();
                assert!(b"/content-that-takes-more-than-one-read:0".ends_with(&rest), "{rest:?}");
            }
            read_all(connection, &["/2:0"]).await;
        },
        |requests| targets(requests) == ["/content-that-takes-more-than-one-read", "/2"],
    );
}

#[test]
fn a_dropped_discard_can_be_continued() {
    each(
        async |connection| {
            ask(connection, &["/chunked/1", "/2"]).await;
            connection.read_response().await.unwrap();
        },
        async |connection| connection.current_response().unwrap().discard().await.unwrap(),
        async |connection, _| {
            if let Some(response) = connection.current_response() {
                response.discard().await.unwrap();
            }
            read_all(connection, &["/2:0"]).await;
        },
        |requests| targets(requests) == ["/chunked/1", "/2"],
    );
}

#[test]
fn a_dropped_send_of_content_continues_where_it_stopped() {
    for expects in [false, true] {
        let request = Request::put("/put").content_length(100);
        let request = if expects { request.expect_continue() } else { request };
        let content: Vec<u8> = (0..100).collect();
        each(
            async |connection| {
                connection.send_request(&request).await.unwrap();
            },
            async |connection| {
                connection.content().send_all(&content).await.unwrap();
                connection.content().finish().await.unwrap();
                connection.flush().await.unwrap();
            },
            async |connection, _| {
                let left = connection.content_left().unwrap_or(0) as usize;
                if left > 0 {
                    connection.content().send_all(&content[100 - left..]).await.unwrap();
                }
                read_all(connection, &["/put:100"]).await;
            },
            |requests| requests == [("/put".to_owned(), content.clone())],
        );
    }
}

#[test]
fn a_dropped_send_of_a_chunk_sends_all_of_it_or_nothing() {
    for expects in [false, true] {
        let request = Request::put("/put").chunked();
        let request = if expects { request.expect_continue() } else { request };
        let sent = Mutex::new(Vec::new());
        each(
            async |connection| {
                sent.lock().unwrap().clear();
                connection.send_request(&request).await.unwrap();
            },
            async |connection| {
                for piece in [b"first ", b"second"] {
                    let mut left = &piece[..];
                    while !left.is_empty() {
                        let count = connection.content().send(left).await.unwrap();
                        sent.lock().unwrap().extend_from_slice(&left[..count]);
                        left = &left[count..];
                    }
                }
            },
            async |connection, _| {
                let mut trailers = Fields::new();
                trailers.append("T", "1").unwrap();
                connection.content().finish_with_trailers(&trailers).await.unwrap();
                let length = sent.lock().unwrap().len();
                read_all(connection, &[&format!("/put:{length}")]).await;
            },
            |requests| requests == [("/put".to_owned(), sent.lock().unwrap().clone())],
        );
    }
}

#[test]
fn a_dropped_finish_of_chunked_content_can_be_repeated() {
    each(
        async |connection| {
            connection.send_request(Request::put("/put").chunked().expect_continue()).await.unwrap();
        },
        async |connection| {
            connection.content().finish().await.unwrap();
            connection.flush().await.unwrap();
        },
        async |connection, _| {
            match connection.content().finish().await {
                Ok(()) | Err(Error::Local(Misuse::NoContentDue)) => {}
                Err(error) => panic!("{error:?}"),
            }
            read_all(connection, &["/put:0"]).await;
        },
        |requests| targets(requests) == ["/put"],
    );
}

#[test]
fn a_dropped_wait_for_100_can_be_repeated() {
    each(
        async |connection| {
            connection.send_request(Request::put("/put").body("").content_length(3).expect_continue()).await.unwrap();
        },
        async |connection| {
            connection.wait_for_continue().await.unwrap();
        },
        async |connection, _| {
            assert_eq!(connection.wait_for_continue().await.unwrap(), real::Continue::Send);
            connection.content().send_all(b"put").await.unwrap();
            read_all(connection, &["/put:3"]).await;
        },
        |requests| requests == [("/put".to_owned(), b"put".to_vec())],
    );
}

#[test]
fn a_pipeline_continues_after_a_dropped_next_and_loses_no_response() {
    let seen = Mutex::new(Vec::new());
    let all: Vec<String> = (0..6).map(|i| if i % 2 == 0 { format!("/{i}") } else { format!("/chunked/{i}") }).collect();
    let mut drops = 0;
    run(async {
        loop {
            let (mut connection, server) = connected().await;
            let mut pipeline = connection.pipeline(all.iter().map(|target| Request::get(target.as_str()))).max_requests(3);
            seen.lock().unwrap().clear();
            let is_done = polled(drops + 1, async {
                while let Some(mut response) = pipeline.next().await.unwrap() {
                    let number = response.number();
                    seen.lock().unwrap().push(number);
                    let _ = response.read_content(&mut [0]).await.unwrap();
                }
            })
            .await
            .is_some();
            while let Some(response) = pipeline.next().await.unwrap() {
                let number = response.number();
                let expected = format!("{}:0", all[number as usize]);
                assert_eq!(String::from_utf8(response.read_all().await.unwrap()).unwrap(), expected);
                seen.lock().unwrap().push(number);
            }
            assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4, 5], "after {drops} polls");
            assert_eq!(targets(&server.lock().unwrap().requests), all);
            if is_done {
                break;
            }
            drops += 1;
        }
    });
    assert!(drops > 20);
}

#[test]
fn collected_responses_are_whole_whenever_the_future_of_one_is_dropped() {
    let all = ["/0", "/chunked/1", "/2"];
    let mut drops = 0;
    run(async {
        loop {
            let (mut connection, _server) = connected().await;
            let mut responses = connection.pipeline(all.map(Request::get)).collected(100);
            let mut seen = Vec::new();
            let is_done = polled(drops + 1, async {
                while let Some(response) = responses.next().await {
                    seen.push(response.unwrap().content);
                }
            })
            .await
            .is_some();
            while let Some(response) = responses.next().await {
                seen.push(response.unwrap().content);
            }
            let expected: Vec<Vec<u8>> = all.iter().map(|target| format!("{target}:0").into_bytes()).collect();
            assert_eq!(seen, expected, "after {drops} polls");
            if is_done {
                break;
            }
            drops += 1;
        }
    });
    assert!(drops > 10);
}

#[test]
fn each_half_continues_whichever_of_its_futures_is_dropped() {
    let mut drops = 0;
    run(async {
        loop {
            let (connection, server) = connected().await;
            let (mut requests, mut responses) = connection.split();
            // Each half in turn is in the middle of an operation.
            let sent = polled(drops + 1, async {
                requests.send_request(Request::get("/1")).await.unwrap();
                requests.send_request(Request::put("/put").content_length(20)).await.unwrap();
                requests.send_content(&[b'p'; 20]).await.unwrap();
            })
            .await;
            requests.flush().await.unwrap();
            let count = requests.outstanding().unanswered.len();
            if count == 0 {
                requests.send_request(Request::get("/1")).await.unwrap();
            }
            if count < 2 {
                requests.send_request(Request::put("/put").content_length(20)).await.unwrap();
            }
            if let Some(left) = requests.content_left() {
                requests.send_content(&[b'p'; 20][..left as usize]).await.unwrap();
            }
            let read = polled(drops + 1, async {
                responses.read_response().await.unwrap().unwrap().discard().await.unwrap();
                responses.read_response().await.unwrap().unwrap().discard().await.unwrap();
            })
            .await;
            if let Some(response) = responses.current_response() {
                response.discard().await.unwrap();
            }
            while responses.outstanding().answered < 2 {
                responses.read_response().await.unwrap().unwrap().discard().await.unwrap();
            }
            requests.send_request(Request::get("/after")).await.unwrap();
            let answer = responses.read_response().await.unwrap().unwrap().read_all().await.unwrap();
            assert_eq!(answer, b"/after:0");
            assert_eq!(targets(&server.lock().unwrap().requests), ["/1", "/put", "/after"]);
            if sent.is_some() && read.is_some() {
                break;
            }
            drops += 1;
        }
    });
    assert!(drops > 10);
}

#[test]
fn a_dropped_close_still_closes() {
    run(async {
        let (connection, server) = connected().await;
        drop(polled(1, connection.close()).await);
        assert_eq!(Arc::strong_count(&server), 1, "the stream is gone");
    });
}
