//! `Expect: 100-continue`, seen from a server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use dugong_session::{Answered, Outcome, Request, Sent, Session};

/// A server that plays a script, and returns what it found out.
fn play<T: Send + 'static>(script: impl FnOnce(TcpListener) -> T + Send + 'static) -> (String, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, thread::spawn(move || script(listener)))
}

fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads a head, and returns whether it has an expectation.
fn expects(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().contains("100-continue")
}

fn read_content(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 7]).unwrap();
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn put() -> Request {
    Request::put("/").body("content").expect(true)
}

fn session(url: &str) -> Session {
    Session::builder(url).expect_timeout(Duration::from_millis(20)).build().unwrap()
}

#[test]
fn an_origin_that_ignores_expectations_gets_no_more_of_them() {
    let (url, server) = play(|listener| {
        let mut stream = accept(&listener);
        [(); 2].map(|()| {
            let expects = expects(&mut stream);
            read_content(&mut stream);
            stream.write_all(OK).unwrap();
            expects
        })
    });
    let session = session(&url);
    for _ in 0..2 {
        assert_eq!(session.request(put()).unwrap().status(), 200);
    }
    assert_eq!(server.join().unwrap(), [true, false]);
}

#[test]
fn an_origin_that_answers_an_expectation_gets_more_of_them() {
    let (url, server) = play(|listener| {
        let mut stream = accept(&listener);
        [(); 2].map(|()| {
            let expects = expects(&mut stream);
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            read_content(&mut stream);
            stream.write_all(OK).unwrap();
            expects
        })
    });
    let session = Session::builder(&url).expect_timeout(Duration::from_secs(20)).build().unwrap();
    for _ in 0..2 {
        assert_eq!(session.request(put()).unwrap().status(), 200);
    }
    assert_eq!(server.join().unwrap(), [true, true]);
}

#[test]
fn a_failed_expectation_is_repeated_without_it() {
    for in_the_message in [false, true] {
        let (url, server) = play(|listener| {
            let mut stream = accept(&listener);
            let first = expects(&mut stream);
            stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").unwrap();
            let mut stream = accept(&listener);
            let second = expects(&mut stream);
            read_content(&mut stream);
            stream.write_all(OK).unwrap();
            [first, second]
        });
        let session = Session::builder(&url).expect_timeout(Duration::from_secs(20)).build().unwrap();
        let message = dugong_http::Request::put("/").body("content").expect_continue();
        let request = if in_the_message { message.into() } else { put() };
        assert_eq!(session.request(request).unwrap().status(), 200);
        assert_eq!(server.join().unwrap(), [true, false]);
    }
}

#[test]
fn a_final_answer_to_an_expectation_ends_the_exchange_without_the_content() {
    let (url, server) = play(|listener| {
        let mut stream = accept(&listener);
        assert!(expects(&mut stream));
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let session = Session::builder(&url).expect_timeout(Duration::from_secs(20)).build().unwrap();
    let outcomes: Vec<Outcome> = session.run([put()]).collect();
    assert_eq!(outcomes[0].result.as_ref().unwrap().status(), 413);
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn a_failed_expectation_is_repeated_with_content_that_can_be_read_once() {
    let (url, server) = play(|listener| {
        let mut stream = accept(&listener);
        let first = expects(&mut stream);
        stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut stream = accept(&listener);
        let second = expects(&mut stream);
        read_content(&mut stream);
        stream.write_all(OK).unwrap();
        [first, second]
    });
    let session = Session::builder(&url).expect_timeout(Duration::from_secs(20)).build().unwrap();
    let request = Request::post("/").reader(&b"content"[..], 7).expect(true);
    let reply = session.request(request).unwrap();
    assert_eq!((reply.status().as_u16(), reply.attempts()), (200, 2));
    assert_eq!(server.join().unwrap(), [true, false]);
}

#[test]
fn an_answer_before_the_end_of_the_content_leaves_the_request_sent_in_part() {
    for is_streamed in [false, true] {
        let (url, server) = play(|listener| {
            let mut stream = accept(&listener);
            expects(&mut stream);
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
        });
        let session = Session::builder(&url).expect_above(None).build().unwrap();
        let request = Request::put("/").reader(std::io::repeat(7), None);
        let mut run = session.run([if is_streamed { request.streamed() } else { request }]);
        let outcome = run.next().unwrap();
        assert_eq!((outcome.sent(), outcome.answered(), outcome.attempts()), (Sent::Partly, Answered::Yes, 1));
        drop((outcome, run, session));
        // An endless upload to a server that takes everything stops, too.
        assert!(server.join().unwrap() < 64 << 20);
    }
}
