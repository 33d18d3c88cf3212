//! The two halves of a connection in two threads: an end in one always wakes the other.

mod support;

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dugong_http::{CloseReason, Closed, Error, Fields, Malformed, Request, RequestHalf, ResponseHalf, Sent, WaitingFor};
use dugong_origin::{Origin, document};
use support::{GUARD, HELLO, Server, config, connected, connected_with};

/// For waits that should time out.
const SHORT: Duration = Duration::from_millis(10);

fn halves() -> (RequestHalf, ResponseHalf, Server) {
    let (connection, server) = connected();
    let (requests, responses) = connection.split();
    (requests, responses, server)
}

fn to(origin: &Origin) -> (RequestHalf, ResponseHalf) {
    config().connect(format!("http://{}", origin.address())).unwrap().split()
}

fn read(responses: &mut ResponseHalf) -> String {
    String::from_utf8(responses.read_response().unwrap().expect("a request").read_all().unwrap()).unwrap()
}

fn reason(error: &Error) -> Option<CloseReason> {
    match error {
        Error::Closed { cause: Closed::InOrder(reason), .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn twenty_thousand_requests_go_through_two_threads() {
    const MANY: usize = 20_000;
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let sender = thread::spawn(move || {
        for number in 0..MANY {
            let sent = match number % 100 {
                99 => requests.send_request(Request::put("/x?digest=0").body("hello")),
                _ => requests.send_request(Request::get("/small")),
            };
            assert_eq!(sent.unwrap(), number as u64);
        }
    });
    let mut count = 0;
    while let Some(response) = responses.read_response().unwrap() {
        assert_eq!(response.number(), count);
        let expected = if count % 100 == 99 { 26 } else { 120 };
        assert_eq!(response.read_all().unwrap().len(), expected);
        count += 1;
    }
    assert_eq!(count, MANY as u64);
    sender.join().unwrap();
}

#[test]
fn a_sender_that_never_reads_does_not_deadlock_while_the_other_half_reads() {
    let origin = Origin::start(dugong_origin::Config { lockstep: true, ..Default::default() }).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let sender = thread::spawn(move || {
        for _ in 0..500 {
            requests.send_request(Request::get("/bytes/65536").header("X", "x".repeat(4000))).unwrap();
        }
    });
    let mut count = 0;
    while let Some(response) = responses.read_response().unwrap() {
        assert_eq!(response.read_all().unwrap().len(), 65536);
        count += 1;
    }
    assert_eq!(count, 500);
    sender.join().unwrap();
}

#[test]
fn an_answer_may_arrive_before_the_senders_write_returns() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let reader = thread::spawn(move || {
        let mut count = 0;
        while let Some(response) = responses.read_response().unwrap() {
            assert_eq!(response.read_all().unwrap(), b"{\"length\":5,\"sha256\":null}");
            count += 1;
        }
        count
    });
    let request = Request::put("/x?digest=0").body("hello");
    for _ in 0..3000 {
        requests.send_request(&request).unwrap();
        // One request at a time, so that the reader is idle when the answer comes.
        support::eventually("it is answered", || requests.outstanding().unanswered.is_empty());
    }
    drop(requests);
    assert_eq!(reader.join().unwrap(), 3000);
}

/// A thread that blocks while sending, and returns its result.
fn blocked_sender(mut requests: RequestHalf, began: mpsc::Sender<()>) -> thread::JoinHandle<(Result<u64, Error>, RequestHalf)> {
    thread::spawn(move || {
        let request = Request::post("/large").body(vec![b'x'; 64 << 20]);
        began.send(()).unwrap();
        let sent = requests.send_request(request);
        (sent, requests)
    })
}

/// Waits until part of a large request has arrived, so its sender is blocked in the middle of it.
fn until_it_is_sent(server: &mut Server, began: &mpsc::Receiver<()>) {
    began.recv_timeout(GUARD).unwrap();
    server.expect("POST /large HTTP/1.1\r\n");
}

#[test]
fn dropping_the_responses_wakes_the_sender() {
    let (requests, responses, mut server) = halves();
    let (began, begins) = mpsc::channel();
    let sender = blocked_sender(requests, began);
    until_it_is_sent(&mut server, &begins);
    drop(responses);
    let (sent, mut requests) = sender.join().unwrap();
    let error = sent.unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert_eq!(error.requests().unwrap().unanswered.len(), 1);
    assert!(requests.send_request(Request::get("/")).is_err());
}

#[test]
fn closing_the_responses_wakes_the_sender() {
    let (requests, responses, mut server) = halves();
    let (began, begins) = mpsc::channel();
    let sender = blocked_sender(requests, began);
    until_it_is_sent(&mut server, &begins);
    responses.close();
    let error = sender.join().unwrap().0.unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    assert_eq!(error.requests().unwrap().unanswered[0].sent, Sent::Partly);
}

#[test]
fn closing_the_requests_wakes_the_reader_of_a_response() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    let reader = thread::spawn(move || responses.read_response().map(drop).unwrap_err());
    server.receive_head();
    requests.close();
    let error = reader.join().unwrap();
    assert!(error.is_closed(), "{error:?}");
    assert_eq!(error.requests().unwrap().unanswered.len(), 1);
}

#[test]
fn closing_the_requests_wakes_the_reader_that_waits_for_a_request() {
    let (requests, mut responses, _server) = halves();
    let reader = thread::spawn(move || responses.read_response().map(|response| response.is_some()));
    requests.close();
    match reader.join().unwrap() {
        Ok(is_some) => assert!(!is_some),
        Err(error) => assert_eq!(reason(&error), Some(CloseReason::ClientSaidClose), "{error:?}"),
    }
}

#[test]
fn dropping_the_requests_ends_the_responses_behind_the_last() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    let reader = thread::spawn(move || {
        assert_eq!(read(&mut responses), "hello");
        responses.read_response().map(|response| response.is_some())
    });
    server.receive_head();
    drop(requests);
    server.send(HELLO);
    assert!(!reader.join().unwrap().unwrap());
}

#[test]
fn content_that_ends_with_the_connection_does_not_end_with_closing_it_here() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    server.receive_head();
    server.deliver("HTTP/1.1 200 OK\r\n\r\nhello");
    let mut response = responses.read_response().unwrap().unwrap();
    response.read_exact(&mut [0; 5]).unwrap();
    requests.close();
    let rest = response.read_all();
    assert!(rest.is_err(), "the server never said that this is all");
}

#[test]
fn a_server_that_closes_wakes_the_sender_whose_content_is_half_sent() {
    for reset in [false, true] {
        let (requests, mut responses, mut server) = halves();
        let (began, begins) = mpsc::channel();
        let sender = blocked_sender(requests, began);
        until_it_is_sent(&mut server, &begins);
        let reader = thread::spawn(move || responses.read_response().map(drop).unwrap_err());
        // Unread bytes turn even an orderly close into a reset.
        if reset {
            server.reset()
        } else {
            server.close()
        }
        let error = sender.join().unwrap().0.unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        let error = reader.join().unwrap();
        assert!(error.is_closed(), "{error:?}");
        let request = error.requests().unwrap().unanswered[0];
        assert_eq!((request.sent, request.answer_begun, request.is_safe_to_retry()), (Sent::Partly, false, false));
    }
}

#[test]
fn a_half_closed_connection_wakes_the_sender_through_the_reader() {
    let (requests, mut responses, mut server) = halves();
    let (began, begins) = mpsc::channel();
    let sender = blocked_sender(requests, began);
    until_it_is_sent(&mut server, &begins);
    server.fin();
    assert!(responses.read_response().map(drop).unwrap_err().is_closed());
    assert!(sender.join().unwrap().0.unwrap_err().is_closed());
}

#[test]
fn reading_an_early_answer_wakes_the_sender() {
    let (requests, mut responses, mut server) = halves();
    let (began, begins) = mpsc::channel();
    let sender = blocked_sender(requests, began);
    until_it_is_sent(&mut server, &begins);
    server.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(read(&mut responses), "no");
    let (sent, mut requests) = sender.join().unwrap();
    assert_eq!(sent.unwrap(), 0, "the answer that was read says what became of it");
    let error = requests.send_request(Request::get("/")).unwrap_err();
    assert_eq!(reason(&error), Some(CloseReason::ContentNotSent), "{error:?}");
    assert_eq!(error.requests().unwrap().answered, 1);
}

#[test]
fn expectations_are_answered_across_the_halves() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let sender = thread::spawn(move || {
        for _ in 0..50 {
            requests.send_request(Request::get("/doc/1")).unwrap();
            requests.send_request(Request::put("/x?digest=0").body("hello").expect_continue()).unwrap();
            requests.send_request(Request::put("/x?digest=0").chunked().expect_continue()).unwrap();
            requests.send_content(b"hello").unwrap();
            requests.finish_content(&Fields::new()).unwrap();
        }
    });
    let mut count = 0;
    while let Some(response) = responses.read_response().unwrap() {
        let content = response.read_all().unwrap();
        match count % 3 {
            0 => assert_eq!(content, document("1")),
            _ => assert_eq!(content, b"{\"length\":5,\"sha256\":null}"),
        }
        count += 1;
    }
    assert_eq!(count, 150);
    sender.join().unwrap();
}

#[test]
fn empty_chunked_content_waits_for_100_too() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let reader = thread::spawn(move || read(&mut responses));
    requests.send_request(Request::put("/x?digest=0").chunked().expect_continue()).unwrap();
    requests.finish_content(&Fields::new()).unwrap();
    assert_eq!(reader.join().unwrap(), "{\"length\":0,\"sha256\":null}");
}

#[test]
fn an_expectation_of_the_last_request_is_answered_too() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let (mut requests, mut responses) = to(&origin);
    let reader = thread::spawn(move || read(&mut responses));
    let request = Request::put("/x?digest=0").header("Connection", "close").body("hello").expect_continue();
    requests.send_request(request).unwrap();
    assert_eq!(reader.join().unwrap(), "{\"length\":5,\"sha256\":null}");
}

#[test]
fn the_content_of_a_refused_expectation_is_not_sent() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    for target in ["/x?expect=417", "/x?expect=no"] {
        let (mut requests, mut responses) = to(&origin);
        let reader = thread::spawn(move || {
            responses.read_response().unwrap().unwrap().discard().unwrap();
            responses
        });
        requests.send_request(Request::put(target).body("hello").expect_continue()).unwrap();
        drop(reader.join().unwrap());
        assert!(requests.send_request(Request::get("/small")).unwrap_err().is_closed());
    }
    assert_eq!(origin.counts().content_bytes, 0);
}

#[test]
fn after_expect_timeout_the_content_is_sent() {
    let (connection, mut server) = connected_with(&config().expect_timeout(SHORT));
    let (mut requests, mut responses) = connection.split();
    requests.send_request(Request::put("/").body("hello").expect_continue()).unwrap();
    server.receive_head();
    server.expect("hello");
    server.deliver(HELLO);
    assert_eq!(read(&mut responses), "hello");
}

#[test]
fn both_halves_continue_after_a_timeout() {
    let (connection, mut server) = connected_with(&config().timeout(SHORT));
    let (mut requests, mut responses) = connection.split();
    let error = responses.read_response().map(drop).unwrap_err();
    assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Request, .. }), "{error:?}");
    requests.send_request(Request::get("/")).unwrap();
    let error = responses.read_response().map(drop).unwrap_err();
    assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Response, .. }), "{error:?}");
    server.deliver(&HELLO[..HELLO.len() - 2]);
    let mut content = Vec::new();
    let error = responses.read_response().unwrap().unwrap().read_to(&mut content).unwrap_err();
    assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Content, .. }), "{error:?}");
    server.deliver(&HELLO[HELLO.len() - 2..]);
    responses.current_response().unwrap().read_to(&mut content).unwrap();
    assert_eq!(content, b"hello");
    server.receive_head();

    let mut accepted = 1;
    let request = Request::get("/").header("X", "x".repeat(4000));
    let error = loop {
        match requests.send_request(&request) {
            Ok(number) => assert_eq!(number, accepted),
            Err(error) => break error,
        }
        accepted += 1;
        assert!(accepted < 100_000, "the system takes everything");
    };
    assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Sending, .. }), "{error:?}");
    // The queue knows whether the last request was accepted; its rest goes out before the next request.
    let accepted = 1 + requests.outstanding().unanswered.len();
    let head = format!("GET / HTTP/1.1\r\nHost: origin\r\nX: {}\r\n\r\n", "x".repeat(4000));
    let mut stream = server.into_stream();
    let reader = thread::spawn(move || {
        let mut received = vec![0; head.len() * accepted];
        stream.read_exact(&mut received).unwrap();
        assert!(received.chunks(head.len()).all(|request| request == head.as_bytes()));
        stream.write_all(b"HTTP/1.1 204 No\r\n\r\n".repeat(accepted).as_slice()).unwrap();
        stream
    });
    let number = loop {
        match requests.send_request(&request) {
            Ok(number) => break number,
            Err(error) => assert!(matches!(error, Error::TimedOut { .. }), "{error:?}"),
        }
    };
    assert_eq!(number, accepted as u64);
    for number in 1..=accepted {
        let response = loop {
            match responses.read_response() {
                Ok(Some(response)) => break response.number(),
                Ok(None) => panic!("the sender is still there"),
                Err(error) => assert!(matches!(error, Error::TimedOut { .. }), "{error:?}"),
            }
        };
        assert_eq!(response, number as u64);
    }
    reader.join().unwrap();
}

#[test]
fn after_a_timeout_outstanding_says_whether_the_request_was_accepted() {
    // The caller must be able to tell "nothing was sent" (repeat it) from "the next call sends the rest" (do not).
    let (connection, _server) = connected_with(&config().timeout(SHORT));
    let (mut requests, _responses) = connection.split();
    let request = Request::get("/").header("X", "x".repeat(4000));
    let mut accepted = 0;
    for _ in 0..100_000 {
        match requests.send_request(&request) {
            Ok(_) => accepted += 1,
            Err(_) => break,
        }
    }
    assert_eq!(requests.outstanding().unanswered.len(), accepted, "a request that timed out was sent, or will be");
}

#[test]
fn an_idle_connection_that_was_closed_is_noticed_before_anything_is_sent() {
    for reset in [false, true] {
        let (mut requests, mut responses, mut server) = halves();
        requests.send_request(Request::get("/")).unwrap();
        server.receive_head();
        server.deliver(HELLO);
        assert_eq!(read(&mut responses), "hello");
        if reset {
            server.reset()
        } else {
            server.fin()
        }
        let error = requests.send_request(Request::get("/")).unwrap_err();
        assert_eq!(reason(&error), Some(CloseReason::PeerClosed), "{error:?}");
        assert_eq!(error.requests().unwrap().answered, 1);
    }
}

#[test]
fn unasked_bytes_before_a_request_are_never_its_answer() {
    for first in [false, true] {
        let (mut requests, mut responses, mut server) = halves();
        if first {
            requests.send_request(Request::get("/")).unwrap();
            server.receive_head();
            server.deliver(HELLO);
            assert_eq!(read(&mut responses), "hello");
        }
        server.deliver(HELLO);
        let error = requests.send_request(Request::get("/")).unwrap_err();
        assert!(matches!(error, Error::Remote { what: Malformed::UnaskedBytes, .. }), "{error:?}");
        assert_eq!(server.receive_available(), b"");
    }
}

#[test]
fn unasked_bytes_that_came_with_a_response_are_never_an_answer() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    server.receive_head();
    server.deliver(HELLO.repeat(2));
    assert_eq!(read(&mut responses), "hello");
    assert!(requests.send_request(Request::get("/")).is_err());
    assert_eq!(server.receive_available(), b"");
}

#[test]
fn unasked_bytes_behind_content_that_was_read_to_its_last_byte_are_never_an_answer() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    server.receive_head();
    server.deliver(HELLO);
    responses.read_response().unwrap().unwrap().read_exact(&mut [0; 5]).unwrap();
    server.deliver(HELLO);
    let answer = requests.send_request(Request::get("/")).map(|_| read(&mut responses));
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn a_request_that_says_close_is_the_last_and_all_before_it_are_answered() {
    for without_content in [false, true] {
        let (mut requests, mut responses, mut server) = halves();
        requests.send_request(Request::get("/0")).unwrap();
        requests.send_request(Request::get("/1")).unwrap();
        requests.send_request(Request::get("/2").header("Connection", "close")).unwrap();
        let error = requests.send_request(Request::get("/3")).unwrap_err();
        assert_eq!(reason(&error), Some(CloseReason::ClientSaidClose));
        for number in 0..3 {
            // One request at a time, so that each remaining answer has to be awaited.
            if without_content {
                server.send("HTTP/1.1 204 No\r\n\r\n")
            } else {
                server.send(HELLO)
            }
            let response = responses.read_response().unwrap().unwrap();
            assert_eq!(response.number(), number);
            response.discard().unwrap();
        }
    }
}

#[test]
fn both_halves_report_a_response_that_ends_the_connection() {
    let (mut requests, mut responses, mut server) = halves();
    requests.send_request(Request::get("/")).unwrap();
    requests.send_request(Request::post("/").body("x")).unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(read(&mut responses), "hello");
    let error = responses.read_response().map(drop).unwrap_err();
    assert_eq!(reason(&error), Some(CloseReason::ServerSaidClose), "{error:?}");
    let left = error.requests().unwrap();
    assert_eq!((left.answered, left.unanswered.len(), left.unanswered[0].is_safe_to_retry()), (1, 1, false));
    assert_eq!(reason(&requests.send_request(Request::get("/")).unwrap_err()), Some(CloseReason::ServerSaidClose));
    assert_eq!(requests.outstanding(), *left);
}

#[test]
fn a_connection_can_be_split_in_the_middle_of_a_response_and_an_upload() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::get("/")).unwrap();
    connection.send_request(Request::put("/").content_length(5)).unwrap();
    server.deliver(&HELLO[..HELLO.len() - 2]);
    connection.read_response().unwrap().read_exact(&mut [0; 2]).unwrap();
    let (mut requests, mut responses) = connection.split();
    requests.send_content(b"hello").unwrap();
    server.receive_head();
    server.expect("PUT / HTTP/1.1\r\nHost: origin\r\nContent-Length: 5\r\n\r\nhello");
    server.deliver(&HELLO[HELLO.len() - 2..]);
    server.deliver(HELLO);
    assert_eq!(responses.current_response().unwrap().read_all().unwrap(), b"llo");
    assert_eq!(read(&mut responses), "hello");
}
