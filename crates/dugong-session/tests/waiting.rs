//! Waiting: limits of time, callers that go away, callers that do not read, and sessions that are closed.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use dugong_origin::{Config, Origin};
use dugong_session::{Answered, Cause, Failed, Loss, Request, Sent, Session};

const PATIENCE: Duration = Duration::from_secs(20);

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

/// Fails instead of hanging.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(work()));
    told.recv_timeout(PATIENCE).expect("it ends in time")
}

/// A server that accepts connections and never says anything.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    let (_listener, url) = silent();
    let session = Session::builder(&url).timeout(Duration::from_millis(100)).retries(0).build().unwrap();
    let failed: Failed = in_time(move || session.get("/").unwrap_err());
    assert!(failed.is_timeout(), "{failed:?}");
    assert_eq!((failed.sent, failed.answered, failed.safe_to_retry, failed.attempts), (Sent::Yes, Answered::No, true, 1));
}

#[test]
fn the_total_timeout_includes_all_repeats() {
    let (_listener, url) = silent();
    let session =
        Session::builder(&url).timeout(Duration::from_millis(50)).total_timeout(Duration::from_millis(400)).build().unwrap();
    let begun = Instant::now();
    let failed = in_time(move || session.get("/").unwrap_err());
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert!(matches!(failed.cause, Cause::TimedOut { after } if after == Duration::from_millis(400)), "{failed:?}");
    assert!(failed.attempts >= 1);
}

#[test]
fn a_request_can_have_a_timeout_of_its_own() {
    let (_listener, url) = silent();
    let session = Session::builder(&url).retries(0).build().unwrap();
    let failed = in_time(move || session.request(Request::get("/").timeout(Duration::from_millis(100))).unwrap_err());
    assert!(matches!(failed.cause, Cause::Lost { why: Loss::Stalled, .. }), "{failed:?}");
}

#[test]
fn a_run_that_is_dropped_leaves_a_session_that_works() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        for _ in 0..20 {
            let mut run = session.run((0..).map(|i| Request::get(format!("/doc/{i}"))));
            assert!(run.next().unwrap().result.is_ok());
            drop(run);
            assert_eq!(session.get("/doc/7").unwrap().status(), 200);
        }
    });
}

#[test]
fn a_streamed_reply_that_is_dropped_leaves_a_session_that_works() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        for size in [0, 1, 1000, 100_000, 50_000_000] {
            let mut reply = session.request(Request::get(format!("/bytes/{size}")).streamed()).unwrap();
            let _ = reply.read(&mut [0; 10]).unwrap();
            drop(reply);
            assert_eq!(session.get("/doc/7").unwrap().status(), 200);
        }
    });
}

#[test]
fn replies_that_nobody_reads_do_not_hold_up_others() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        // One connection is left. Otherwise one of the streams would be read to its end.
        let mut unread: Vec<_> = (0..3).map(|_| session.request(Request::get("/bytes/20000000").streamed()).unwrap()).collect();
        for i in 0..100 {
            assert_eq!(session.get(format!("/doc/{i}")).unwrap().status(), 200);
        }
        assert!(session.stats().held <= 12 << 20, "{:?}", session.stats());
        // The last one is read first.
        while let Some(mut reply) = unread.pop() {
            assert_eq!(io::copy(&mut reply, &mut io::sink()).unwrap(), 20_000_000);
        }
    });
}

#[test]
fn a_reply_that_is_too_long_names_the_limit() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::builder(&url).max_content(1000).build().unwrap();
        let failed = session.get("/bytes/1001").unwrap_err();
        assert!(matches!(failed.cause, Cause::TooLarge { limit: 1000 }), "{failed:?}");
        assert!(failed.to_string().contains("1000"), "{failed}");
        assert_eq!(session.get("/bytes/1000").unwrap().content().len(), 1000);
    });
}

#[test]
fn closing_ends_the_requests_of_other_threads() {
    let (listener, url) = silent();
    let session = Session::new(&url).unwrap();
    let other = session.clone();
    let waiting = thread::spawn(move || other.get("/").unwrap_err());
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    session.close();
    let failed = in_time(move || waiting.join().unwrap());
    assert!(matches!(failed.cause, Cause::Cancelled), "{failed:?}");
    assert_eq!(failed.sent, Sent::Yes);
    // The connection is closed, too.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let failed = session.get("/").unwrap_err();
    assert!(matches!(failed.cause, Cause::Cancelled), "{failed:?}");
}

#[test]
fn idle_connections_that_the_server_closed_are_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    thread::spawn(move || {
        for stream in listener.incoming().take(5) {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    return;
                }
                head.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            // Closes without saying so.
            drop(stream);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    in_time(move || {
        let session = Session::new(&url).unwrap();
        for i in 1..=5 {
            // A POST is not repeated, so it must not meet a dead connection.
            let reply = session.post("/", "x").unwrap();
            assert_eq!((reply.content().as_ref(), reply.attempts()), (&b"ok"[..], 1));
            while served.load(Ordering::SeqCst) < i {}
            thread::sleep(Duration::from_millis(20)); // the FIN is on its way on loopback
        }
        assert_eq!(session.stats().repeated, 0);
    });
}

#[test]
fn a_source_that_gives_too_little_or_too_much_is_the_callers_error() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        for length in [5, 15] {
            let request = Request::put("/x").reader(io::Cursor::new(vec![1; 10]), length);
            let failed = session.request(request).unwrap_err();
            assert!(matches!(failed.cause, Cause::Source(_)), "{failed:?}");
        }
        assert!(session.put("/x", "good").unwrap().status().is_success());
    });
}

#[test]
fn a_source_that_fails_gives_its_own_error() {
    struct Bad;
    impl Read for Bad {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        let failed = session.request(Request::put("/x").reader(Bad, 10)).unwrap_err();
        let Cause::Source(error) = &failed.cause else { panic!("{failed:?}") };
        assert_eq!(error.to_string(), "the disk is gone");
        assert_eq!(session.get("/doc/1").unwrap().status(), 200);
    });
}

#[test]
fn an_upload_that_is_refused_stops_and_gives_the_answer() {
    let (origin, url) = origin();
    in_time(move || {
        let session = Session::builder(&url).expect_above(None).build().unwrap();
        let reader = io::repeat(7).take(1 << 30);
        let reply = session.request(Request::put("/x?refuse=1000000").reader(reader, 1 << 30)).unwrap();
        assert_eq!(reply.status(), 413);
        assert!(origin.counts().discarded_bytes < 64 << 20, "{:?}", origin.counts());
        assert_eq!(session.get("/doc/1").unwrap().status(), 200);
    });
}

#[test]
fn content_waits_for_100_continue_and_is_not_sent_after_a_refusal() {
    let (origin, url) = origin();
    in_time(move || {
        let session = Session::new(&url).unwrap();
        let big = vec![7; 2 << 20];
        assert_eq!(session.put("/x?expect=yes", big.clone()).unwrap().status(), 200);
        let before = origin.counts().content_bytes;
        assert_eq!(session.put("/x?expect=no", big.clone()).unwrap().status(), 403);
        assert_eq!(origin.counts().content_bytes, before);
        let source = Request::put("/x?expect=yes").reader(io::Cursor::new(big.clone()), big.len() as u64);
        assert_eq!(session.request(source).unwrap().status(), 200);
        let source = Request::put("/x?expect=no").reader(io::Cursor::new(big.clone()), None);
        assert_eq!(session.request(source).unwrap().status(), 403);
    });
}

#[test]
fn a_server_that_never_says_continue_gets_the_content_after_a_while() {
    let (_origin, url) = origin();
    in_time(move || {
        let session = Session::builder(&url).expect_timeout(Duration::from_millis(50)).build().unwrap();
        let big = vec![7; 2 << 20];
        assert_eq!(session.put("/x?expect=silent", big.clone()).unwrap().status(), 200);
        let source = Request::put("/x?expect=silent").reader(io::Cursor::new(big.clone()), big.len() as u64);
        assert_eq!(session.request(source).unwrap().status(), 200);
    });
}

#[test]
fn content_that_came_with_the_end_is_given_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").unwrap();
        }
    });
    in_time(move || {
        let session = Session::new(&url).unwrap();
        let failed = session.post("/", "").unwrap_err();
        assert_eq!((failed.sent, failed.answered), (Sent::Yes, Answered::Partly), "{failed:?}");
        let mut reply = session.request(Request::post("/").body("").streamed()).unwrap();
        let mut content = [0; 10];
        assert_eq!(reply.read(&mut content).unwrap(), 2);
        let error = reply.read(&mut content).unwrap_err();
        let failed = error.get_ref().and_then(|inner| inner.downcast_ref::<Failed>()).unwrap();
        assert_eq!(failed.answered, Answered::Partly);
        assert!(failed.to_string().contains("2 bytes"), "{failed}");
    });
}

#[test]
fn a_wait_for_continue_is_no_timeout() {
    let (_origin, url) = origin();
    in_time(move || {
        let builder = Session::builder(&url).timeout(Duration::from_secs(2)).expect_timeout(Duration::from_secs(10));
        let session = builder.retries(0).build().unwrap();
        assert_eq!(session.put("/x?expect=silent", vec![7; 2 << 20]).unwrap().status(), 200);
    });
}
