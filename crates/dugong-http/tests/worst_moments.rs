//! Events at the worst moments for a reader, a sender or a timer.

mod support;

use std::io::{ErrorKind, IoSlice, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use dugong_http::driver::*;
use dugong_http::*;
use dugong_net::scripted::{Cue, Scripted};
use support::{HELLO, config, connected, connected_with, eventually};

fn engine() -> (Sending, Receiving, Shared) {
    let config = Config::new().user_agent(None);
    (Sending::new("o", &config).unwrap(), Receiving::new(&config), Shared::default())
}

#[test]
fn the_longest_possible_timeout_is_accepted() {
    let (mut c, mut server) = connected_with(&config().timeout(Duration::MAX).expect_timeout(Duration::MAX));
    c.send_request(Request::put("/").body("x").expect_continue()).unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    c.read_response().unwrap();
}

#[test]
fn the_longest_possible_timeout_of_halves_is_accepted() {
    let (c, _server) = connected_with(&config().timeout(Duration::MAX));
    let (requests, mut responses) = c.split();
    drop(requests);
    assert!(responses.read_response().unwrap().is_none());
}

#[test]
fn nothing_is_written_after_writing_failed() {
    let (mut s, mut r, mut shared) = engine();
    let mut stream = Scripted::default();
    stream.writes.push_back(Cue::Fail(ErrorKind::ConnectionReset));
    let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
    assert!(d.send_request(&Request::get("/"), &mut stream).is_err());
    let flushed = d.flush(&mut stream);
    assert!(flushed.is_err() && stream.written.is_empty(), "{flushed:?} {}", stream.written.escape_ascii());
}

#[test]
fn content_given_with_the_request_may_leave_during_wait_for_continue() {
    let (mut c, mut server) = connected_with(&config().expect_timeout(Duration::from_millis(200)));
    c.send_request(Request::put("/").body("x").expect_continue()).unwrap();
    let t = thread::spawn(move || {
        server.receive_head();
        server.receive(1);
        server.send(HELLO);
        server
    });
    let waited = c.wait_for_continue();
    assert!(matches!(waited, Ok(Continue::Send)), "{waited:?}");
    drop(t.join());
}

#[test]
fn waiting_for_continue_takes_no_longer_than_configured() {
    let (mut c, _server) = connected_with(&config().expect_timeout(Duration::from_millis(300)));
    c.send_request(Request::put("/").body("x").expect_continue()).unwrap();
    let begin = Instant::now();
    let waited = c.wait_for_continue();
    assert!(begin.elapsed() < Duration::from_millis(450), "{:?} {waited:?}", begin.elapsed());
}

#[test]
fn sending_after_the_end_does_not_wait() {
    let (mut s, mut r, mut shared) = engine();
    let mut stream = Scripted::default();
    stream.writes.extend([Cue::Take(10), Cue::Wait(Interest::WRITE), Cue::Wait(Interest::WRITE), Cue::Wait(Interest::WRITE)]);
    let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
    let mut big = vec![0; 0];
    big.resize(100, 1u8);
    let _ = d.send_request(&Request::put("/").body(big), &mut stream);
    stream.reads.push_back(Cue::Eof);
    let flushed = d.flush(&mut stream);
    assert!(flushed.is_err(), "{flushed:?}");
}

#[test]
fn nothing_is_sent_after_the_server_said_close() {
    let (mut s, mut r, mut shared) = engine();
    let mut stream = Scripted::default();
    let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
    d.send_request(&Request::get("/1"), &mut stream).unwrap();
    stream.writes.extend([Cue::Wait(Interest::WRITE), Cue::Wait(Interest::WRITE)]);
    d.send_request(&Request::post("/2"), &mut stream).unwrap();
    stream.reads.push_back(Cue::Give(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n".into()));
    assert!(matches!(d.read_head(&mut stream).unwrap(), Progress::Done(())));
    stream.writes.clear();
    let mut buffer = [0; 10];
    let _ = d.read_content(&mut buffer, &mut stream).unwrap();
    let written = String::from_utf8(stream.written.clone()).unwrap();
    assert!(!written.contains("/2"), "{written}");
}

#[test]
fn a_waiting_reader_learns_that_no_request_can_be_sent() {
    let (c, server) = connected_with(&config().timeout(Duration::from_secs(3)));
    let (mut requests, mut responses) = c.split();
    let (tx, rx) = mpsc::channel();
    let t = thread::spawn(move || {
        let result = responses.read_response().map(|r| r.is_some());
        tx.send(()).unwrap();
        format!("{result:?}")
    });
    server.close();
    let sent = requests.send_request(Request::get("/"));
    assert!(sent.as_ref().is_err_and(Error::is_closed), "{sent:?}");
    let woken = rx.recv_timeout(Duration::from_secs(1)).is_ok();
    let result = t.join().unwrap();
    assert!(woken, "{result}");
}

#[test]
fn a_reader_waits_for_a_request_after_chunks_that_were_read_to_their_last_byte() {
    let (c, mut server) = connected();
    let (mut requests, mut responses) = c.split();
    requests.send_request(Request::get("/")).unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    let mut two = [0; 2];
    responses.read_response().unwrap().unwrap().read_exact(&mut two).unwrap();
    drop(requests);
    let t = thread::spawn(move || {
        server.send("0\r\n\r\n");
        server
    });
    let next = responses.read_response();
    assert!(matches!(next, Ok(None)), "{next:?}");
    drop(t.join());
}

#[test]
fn a_chunk_that_was_begun_is_sent_to_its_end() {
    let (c, server) = connected_with(&config().timeout(Duration::from_millis(300)));
    let (mut requests, _responses) = c.split();
    requests.send_request(Request::put("/").chunked()).unwrap();
    let mut taken = 0;
    while requests.send_content(&[b'x'; 60_000]).is_ok() {
        taken += 1;
    }
    let reader = thread::spawn(move || {
        let mut stream = server.into_stream();
        stream.set_read_timeout(Some(Duration::from_millis(1000))).unwrap();
        let mut buffer = vec![0; 100_000];
        let mut got = 0;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return (got, stream),
                Ok(n) => got += n,
            }
        }
    });
    requests.flush().unwrap();
    let (got, _stream) = reader.join().unwrap();
    let head = "PUT / HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n".len();
    let rest = (got - head) % (4 + 2 + 60_000 + 2);
    assert_eq!(rest, 0, "{taken} chunks were taken, {got} bytes came");
}

#[test]
fn a_waiting_reader_learns_that_the_content_was_given_up() {
    let (c, server) = connected_with(&config().timeout(Duration::from_secs(2)));
    let (mut requests, mut responses) = c.split();
    requests.send_request(Request::put("/").content_length(5)).unwrap();
    drop(requests);
    // A server that answers each request, and closes when the client does.
    let t = thread::spawn(move || {
        let mut stream = server.into_stream();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    });
    let result = responses.read_response().map(|r| r.is_some());
    assert!(matches!(&result, Err(error) if error.is_closed()), "{result:?}");
    drop(responses);
    t.join().unwrap();
}

#[test]
fn a_failed_upload_has_no_timer() {
    let config = Config::new().user_agent(None).expect_timeout(Duration::from_millis(1));
    let (mut s, mut r, mut shared) = (Sending::new("o", &config).unwrap(), Receiving::new(&config), Shared::default());
    let mut stream = Scripted::default();
    stream.writes.push_back(Cue::Fail(ErrorKind::BrokenPipe));
    let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
    assert!(d.send_request(&Request::put("/").body("x").expect_continue(), &mut stream).is_err());
    eventually("the time is up", || {
        d.need(Interest::READ, WaitingFor::Response).until.is_none_or(|until| until <= Instant::now())
    });
    for _ in 0..3 {
        assert!(matches!(d.read_head(&mut stream).unwrap(), Progress::Needs(_)));
    }
    assert!(d.need(Interest::READ, WaitingFor::Response).until.is_none(), "polled in a loop without waiting");
}

#[test]
fn a_buffered_response_is_read_without_waiting() {
    let mut hits = 0;
    for size in (2..40).map(|n| n << 18) {
        let (mut c, mut server) = connected_with(&config().timeout(Duration::from_millis(100)));
        c.send_request(Request::get("/").header("X", vec![b'x'; size])).unwrap();
        server.deliver(HELLO);
        if c.send_request(Request::get("/2")).is_ok() {
            continue;
        }
        while !server.receive_available().is_empty() {
            thread::yield_now();
        }
        let response = c.read_response();
        hits += 1;
        assert!(response.is_ok(), "{size} {response:?}");
    }
    assert!(hits > 0);
}

/// A stream whose write fails, and signals that to the `Reader`.
struct Writer<'a>(&'a AtomicBool);

/// A stream that ends soon after that write, a few loop turns later.
struct Reader<'a>(&'a AtomicBool, usize);
impl Stream for Writer<'_> {
    fn read(&mut self, _: &mut [u8]) -> Result<Progress<usize>, dugong_net::StreamError> {
        unreachable!()
    }
    fn write(&mut self, _: &[IoSlice<'_>]) -> Result<Progress<usize>, dugong_net::StreamError> {
        self.0.store(true, Ordering::SeqCst);
        Err(ErrorKind::ConnectionReset.into())
    }
}
impl Stream for Reader<'_> {
    fn read(&mut self, _: &mut [u8]) -> Result<Progress<usize>, dugong_net::StreamError> {
        while !self.0.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
        for _ in 0..self.1 {
            std::hint::spin_loop();
        }
        Ok(Progress::Done(0))
    }
    fn write(&mut self, _: &[IoSlice<'_>]) -> Result<Progress<usize>, dugong_net::StreamError> {
        unreachable!()
    }
}

#[test]
fn an_end_of_stream_after_the_sender_saw_a_reset_is_not_orderly() {
    let mut wrong = 0;
    // The critical moment lasts a few instructions; some of several thousand tries hit it.
    for round in 0..3_000 {
        let (mut s, mut r, mut shared) = engine();
        let mut stream = Scripted::default();
        let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
        d.send_request(&Request::get("/"), &mut stream).unwrap();
        let mut waits = Scripted::default();
        waits.writes.push_back(Cue::Wait(Interest::WRITE));
        d.send_request(&Request::get("/x"), &mut waits).unwrap();
        let mut d = Duplex::of_halves(None, Some(&mut r), &shared);
        stream.reads.push_back(Cue::Give(b"HTTP/1.1 200 OK\r\n\r\nabc".into()));
        assert!(matches!(d.read_head(&mut stream).unwrap(), Progress::Done(())));
        let mut buffer = [0; 3];
        d.read_content(&mut buffer, &mut stream).unwrap();
        let flag = AtomicBool::new(false);
        let shared = &shared;
        let (s, r, flag) = (&mut s, &mut r, &flag);
        assert!(!s.half().to_send().is_empty());
        let ended = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut d = Duplex::of_halves(Some(s), None, shared);
                let _ = d.flush(&mut Writer(flag));
                flag.swap(true, Ordering::SeqCst)
            });
            let mut d = Duplex::of_halves(None, Some(r), shared);
            let ended = d.read_content(&mut [0; 10], &mut Reader(flag, round % 64));
            (writer.join().unwrap(), ended)
        });
        let (written, ended) = ended;
        wrong += usize::from(written && ended.is_ok());
    }
    assert_eq!(wrong, 0);
}

#[test]
fn a_pipeline_behind_owed_content_never_waits() {
    let (mut c, _server) = connected_with(&config().timeout(Duration::from_millis(500)));
    c.send_request(Request::put("/").content_length(5)).unwrap();
    let mut pipeline = c.pipeline([Request::get("bad"), Request::get("/good")]);
    assert!(matches!(pipeline.next(), Err(Error::Local(Misuse::Target(_)))));
    let error = pipeline.next().map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentOwed)), "{error:?}");
}

#[test]
fn a_request_behind_an_abandoned_upload_fails_with_closed() {
    let (mut c, mut server) = connected();
    c.send_request(Request::put("/").body(vec![b'x'; 32 << 20])).unwrap();
    server.deliver("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\n");
    c.read_response().unwrap();
    let error = c.send_request(Request::get("/")).unwrap_err();
    assert!(error.is_closed(), "{error:?}");
}

#[test]
fn content_cannot_be_added_to_an_abandoned_upload() {
    let (mut c, mut server) = connected();
    c.send_request(Request::put("/").body(vec![b'x'; 32 << 20])).unwrap();
    server.deliver("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\n");
    c.read_response().unwrap();
    let _ = c.send_request(Request::get("/"));
    let error = c.content().send(b"").map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentRefused)), "{error:?}");
}

#[test]
fn an_empty_body_of_the_crate_http_is_no_content() {
    let theirs = http::Request::get("/").body(Vec::<u8>::new()).unwrap();
    let ours = Request::try_from(theirs).unwrap();
    assert_eq!(ours.as_head().unwrap().content, Announced::Nothing);
}

#[test]
fn flush_sends_the_head_of_announced_content() {
    let (c, mut server) = connected();
    let (mut requests, _responses) = c.split();
    requests.send_request(Request::put("/").chunked()).unwrap();
    requests.flush().unwrap();
    eventually("sent", || !server.receive_available().is_empty());
}

#[test]
fn a_timeout_of_zero_is_accepted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Connecting may time out, but must not fail as a bad argument.
    let connected = Config::new().timeout(Duration::ZERO).connect(&url).map(drop);
    assert!(!connected.as_ref().is_err_and(|error| format!("{error:?}").contains("InvalidInput")), "{connected:?}");
}

#[test]
fn flush_ends_on_a_half_closed_connection() {
    let (mut c, mut server) = connected_with(&config().timeout(Duration::from_secs(2)));
    c.send_request(Request::put("/").body(vec![b'x'; 32 << 20])).unwrap();
    server.fin();
    let error = c.flush().unwrap_err();
    assert!(!matches!(error, Error::TimedOut { .. }), "{error:?}");
}

#[test]
fn bytes_that_arrive_before_the_request_leaves_do_not_answer_it() {
    let (mut s, mut r, mut shared) = engine();
    let mut stream = Scripted::default();
    stream.writes.extend([Cue::Wait(Interest::WRITE), Cue::Wait(Interest::WRITE)]);
    let mut d = Duplex::of_halves(Some(&mut s), Some(&mut r), &mut shared);
    assert!(matches!(d.send_request(&Request::post("/").body("x"), &mut stream), Ok(Progress::Done(0))));
    stream.reads.push_back(Cue::Give(HELLO.into()));
    let error = d.read_head(&mut stream).unwrap_err();
    assert!(matches!(error, Error::Remote { what: Malformed::UnaskedBytes, at: 0, .. }), "{error:?}");
    let request = error.requests().unwrap().unanswered[0];
    assert_eq!((request.sent, request.is_safe_to_retry()), (Sent::Nothing, true));
}

#[test]
fn a_stray_response_while_content_is_made_is_not_the_answer_to_the_next_request() {
    let (mut c, mut server) = connected();
    c.send_request(Request::get("/1")).unwrap();
    server.deliver(HELLO);
    c.read_response().unwrap().discard().unwrap();
    server.deliver(HELLO);
    let sent = c.send_request(Request::post("/2").content_length(3));
    assert!(matches!(sent, Err(Error::Remote { what: Malformed::UnaskedBytes, .. })), "{sent:?}");
}

#[test]
fn interim_responses_do_not_prolong_the_wait_for_100() {
    use dugong_origin::{Script, Scripted as Server};
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let script =
        (0..40).fold(Script::new().expect_requests(1), |script, _| script.send(interim).pause(Duration::from_millis(50)));
    let server = Server::start(vec![script.expect_bytes(5).send(HELLO).fin().wait_close()]).unwrap();
    let mut c = Config::new().expect_timeout(Duration::from_millis(100)).connect(format!("http://{}", server.address())).unwrap();
    c.send_request(Request::put("/").content_length(5).expect_continue()).unwrap();
    let begin = Instant::now();
    assert_eq!(c.wait_for_continue().unwrap(), Continue::Send);
    // The server sends 102 for two seconds.
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    c.content().send_all(b"hello").unwrap();
    assert_eq!(c.read_response().unwrap().read_all().unwrap(), b"hello");
    drop(c);
    server.join();
}
