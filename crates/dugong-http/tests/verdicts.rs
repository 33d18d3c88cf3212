//! The connection keeps its word about each request: after it reported one as unsent, no byte of it leaves; before, all of it does.

mod support;

use std::io::Read;

use dugong_http::{CloseReason, Closed, Connection, Error, Malformed, Misuse, Request, Sent};
use support::{HELLO, Server, connected, inner};

/// More content than a socket accepts at once.
const MUCH: usize = 16 << 20;

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

fn get(number: usize) -> Request {
    Request::get(format!("/{number}"))
}

/// Faulty responses; the requests are valid.
const HARMS: [(&str, &str); 6] = [
    ("not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("a bad head", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
    ("an unasked 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ("a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX"),
    ("a cut head", "HTTP/1.1 200 OK\r\nConte"),
    ("cut content", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"),
];

/// A request on the wire, one that fills the socket, a POST behind them still unsent, and the error that says so.
fn reported(harm: &str) -> (Connection, Server, Error) {
    let (mut connection, mut server) = connected();
    connection.send_request(get(0)).unwrap();
    server.receive_head();
    connection.send_request(Request::put("/1").body(vec![b'x'; MUCH])).unwrap();
    server.deliver(harm);
    if harm.ends_with("Conte") || harm.ends_with("hello") {
        server.fin();
    }
    let read = connection.read_response().map(drop);
    let error = read.and_then(|()| connection.current_response().unwrap().read_all().map(drop)).unwrap_err();
    (connection, server, error)
}

#[test]
fn no_byte_of_a_request_leaves_after_an_error_has_reported_it() {
    for (what, harm) in HARMS {
        let (mut connection, server, error) = reported(harm);
        let requests = error.requests().expect("it is the end").clone();
        assert_eq!(requests.unanswered[1].sent, Sent::Partly, "{what}");
        // Every further call fails with the reported error.
        let after = |result: Result<(), Error>| {
            let again = result.unwrap_err();
            assert_eq!(again.to_string(), error.to_string(), "{what}");
            assert_eq!(again.requests(), Some(&requests), "{what}");
        };
        after(connection.flush());
        after(connection.send_request(Request::post("/2").body("again")).map(drop));
        after(connection.pipeline([get(3)]).next().map(drop));
        after(connection.wait_for_continue().map(drop));
        // The server sees only the bytes sent before, then the end.
        let received = server.receive_to_end();
        assert!(received.len() < MUCH, "{what}: the rest has left");
    }
}

#[test]
fn a_request_that_was_not_sent_is_never_sent() {
    // The client finds the error while a request waits in the send buffer.
    for harm in [HARMS[0].1, HARMS[1].1, HARMS[2].1] {
        let (mut connection, mut server) = connected();
        connection.send_request(get(0)).unwrap();
        server.receive_head();
        // The upload waits for 100 (Continue): its head has left, and no request can follow it.
        connection.send_request(Request::post("/1").body("once").expect_continue()).unwrap();
        server.receive_head();
        server.deliver(harm);
        let error = connection.read_response().map(drop).unwrap_err();
        assert_eq!(error.requests().unwrap().unanswered.len(), 2);
        assert!(connection.flush().is_err() && connection.send_request(get(2)).is_err());
        assert_eq!(server.receive_to_end(), b"");
    }
}

#[test]
fn requests_a_pipeline_gave_up_are_not_sent_by_its_next_call() {
    let (mut connection, mut server) = connected();
    let requests = (0..200).map(|number| Request::post(format!("/{number}")).body(vec![b'x'; 100_000]));
    let mut pipeline = connection.pipeline(requests).max_requests(100).max_bytes(MUCH);
    server.send("HTTP/1.1 200 OK\r\nX : y\r\n\r\n");
    let error = pipeline.next().map(drop).unwrap_err();
    // The server spoke unasked, before or just after the first bytes left: either way nothing more may leave.
    let unanswered = error.requests().unwrap().unanswered.clone();
    let again = pipeline.next().map(drop).unwrap_err();
    assert_eq!(again.requests().unwrap().unanswered, unanswered);
    assert_eq!(again.to_string(), error.to_string());
}

#[test]
fn after_an_error_of_sending_a_request_is_refused_with_the_end() {
    let (mut connection, server) = connected();
    connection.send_request(Request::post("/0").content_length(MUCH as u64)).unwrap();
    server.reset();
    let mut content = connection.content();
    let error = std::iter::repeat_with(|| content.send(&[0; 1000])).take(MUCH / 1000).find_map(Result::err).unwrap();
    assert!(error.is_closed(), "{error:?}");
    let again = connection.send_request(get(1)).map(drop).unwrap_err();
    assert!(again.is_closed(), "not the caller's mistake: {again:?}");
}

#[test]
fn an_answer_that_came_before_the_reset_is_what_ends_an_upload() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::post("/0").content_length(MUCH as u64)).unwrap();
    server.receive_head();
    server.deliver("HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nabc");
    server.reset();
    let mut content = connection.content();
    let error = std::iter::repeat_with(|| content.send(&[0; 1000])).take(MUCH / 1000).find_map(Result::err).unwrap();
    assert!(matches!(error, Error::Local(Misuse::ContentRefused)), "{error:?}");
    let response = connection.read_response().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.read_all().unwrap(), b"abc");
    assert!(connection.send_request(get(1)).map(drop).unwrap_err().is_closed());
}

#[test]
fn a_request_with_content_that_was_answered_before_the_reset_counts_as_sent() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::put("/0").body(vec![b'x'; MUCH])).unwrap();
    server.receive_head();
    server.deliver("HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nabc");
    server.reset();
    let response = connection.read_response().unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.read_all().unwrap(), b"abc");
}

#[test]
fn after_the_connection_is_lost_in_a_wait_for_100_a_request_is_refused_with_the_end() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::post("/").content_length(5).expect_continue()).unwrap();
    server.receive_head();
    server.fin();
    assert!(connection.wait_for_continue().unwrap_err().is_closed());
    let again = connection.send_request(get(1)).map(drop).unwrap_err();
    assert!(again.is_closed(), "not the caller's mistake: {again:?}");
    assert!(connection.wait_for_continue().unwrap_err().is_closed());
}

#[test]
fn flushing_a_request_that_was_given_up_is_an_error() {
    let (mut connection, mut server) = connected();
    connection.send_request(get(0)).unwrap();
    server.receive_head();
    connection.send_request(Request::put("/1").body(vec![0; MUCH])).unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    connection.read_response().unwrap().discard().unwrap();
    let error = connection.flush().unwrap_err();
    let is_said = matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::ServerSaidClose), .. });
    assert!(is_said, "{error:?}");
    assert_eq!(error.requests().unwrap().unanswered.len(), 1);
}

#[test]
fn reading_content_with_faulty_framing_ends_the_connection() {
    for fields in ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 6"] {
        let (mut connection, mut server) = connected();
        connection.send_request(get(0)).unwrap();
        server.receive_head();
        connection.send_request(Request::put("/1").content_length(10)).unwrap();
        server.receive_head();
        server.deliver(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nhello"));
        let error = connection.read_response().unwrap().read_all().unwrap_err();
        assert!(matches!(error, Error::Remote { .. }), "{error:?}");
        for again in [
            connection.content().send(b"0123456789").map(drop),
            connection.wait_for_continue().map(drop),
            connection.send_request(get(2)).map(drop),
            connection.flush(),
        ] {
            assert_eq!(again.unwrap_err().to_string(), error.to_string(), "{fields}");
        }
        assert_eq!(server.receive_to_end(), b"");
    }
}

#[test]
fn every_later_flush_reports_the_requests_that_were_given_up() {
    let (connection, mut server) = connected();
    let (mut requests, mut responses) = connection.split();
    requests.send_request(get(0)).unwrap();
    server.receive_head();
    let sender = std::thread::spawn(move || {
        let sent = requests.send_request(Request::put("/1").body(vec![b'x'; MUCH]));
        (sent, requests)
    });
    server.receive_head();
    server.send("HTTP/1.1 200 OK\r\nX : y\r\n\r\n");
    let error = responses.read_response().map(drop).unwrap_err();
    let (sent, mut requests) = sender.join().unwrap();
    assert_eq!(sent.unwrap_err().to_string(), error.to_string());
    for _ in 0..2 {
        assert_eq!(requests.flush().unwrap_err().to_string(), error.to_string());
    }
}

#[test]
fn content_for_a_connection_that_has_ended_is_not_the_callers_mistake() {
    let (mut connection, mut server) = connected();
    connection.send_request(get(0)).unwrap();
    server.receive_head();
    connection.send_request(Request::put("/1").content_length(MUCH as u64)).unwrap();
    server.deliver("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    connection.read_response().unwrap().discard().unwrap();
    let said = |error: &Error| matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::ServerSaidClose), .. });
    for again in [
        connection.content().send(b"x").map(drop),
        connection.content().finish(),
        connection.send_request(get(2)).map(drop),
        connection.read_response().map(drop),
    ] {
        let error = again.unwrap_err();
        assert!(said(&error), "{error:?}");
    }
}

#[test]
fn a_connection_that_can_read_no_more_is_closed() {
    let (mut connection, server, _) = reported(HARMS[0].1);
    // The server keeps the connection open.
    server.receive_to_end();
    assert!(connection.read_response().is_err());
}

#[test]
fn content_that_ended_in_an_error_stays_incomplete_however_you_read_on() {
    let bodies = [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    ];
    for body in bodies {
        let (mut connection, mut server) = connected();
        connection.send_request(get(0)).unwrap();
        server.receive_head();
        server.deliver(format!("HTTP/1.1 200 OK\r\n{body}"));
        let mut buffer = [0; 5];
        connection.read_response().unwrap().read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"hello");
        // The response was dropped. Reading on by `current_response` must report the error, too.
        for _ in 0..2 {
            let mut rest = connection.current_response().expect("it is not complete");
            let error = inner(rest.read(&mut buffer).unwrap_err());
            assert!(matches!(error, Error::Remote { .. }), "{error:?}");
        }
        assert!(matches!(connection.read_response().map(drop), Err(Error::Remote { .. })));
        assert!(matches!(connection.send_request(get(1)), Err(Error::Remote { .. })));
        assert!(matches!(connection.pipeline([get(1)]).next().map(drop), Err(Error::Remote { .. })));
    }
}

#[test]
fn cut_content_stays_incomplete_after_a_refused_request() {
    let (mut connection, mut server) = connected();
    connection.send_request(get(0)).unwrap();
    server.receive_head();
    server.deliver("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello");
    let mut buffer = [0; 5];
    connection.read_response().unwrap().read_exact(&mut buffer).unwrap();
    server.fin();
    // This call reads past the content, and finds the end.
    assert!(connection.send_request(get(1)).unwrap_err().is_closed());
    let error = inner(connection.current_response().expect("it is not complete").read(&mut buffer).unwrap_err());
    assert!(error.is_closed(), "{error:?}");
}

/// Sends four requests whose answers arrive with `surplus` behind them, before a fifth is sent.
fn with_surplus(surplus: &str) -> (Connection, Server) {
    let (mut connection, mut server) = connected();
    (0..4).for_each(|number| assert_eq!(connection.send_request(get(number)).unwrap(), number as u64));
    (0..4).for_each(|_| drop(server.receive_head()));
    server.deliver(HELLO.repeat(4) + surplus);
    connection.read_response().unwrap().discard().unwrap();
    connection.send_request(get(4)).unwrap();
    server.receive_head();
    (0..3).for_each(|_| assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello"));
    (connection, server)
}

#[test]
fn an_answer_that_came_before_its_request_is_refused() {
    for surplus in [EVIL, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "junk", "\r\n\r\n"] {
        let (mut connection, _server) = with_surplus(surplus);
        let error = connection.read_response().map(drop).unwrap_err();
        assert!(matches!(error, Error::Remote { what: Malformed::EarlyResponse, .. }), "{error:?}");
        let requests = error.requests().unwrap();
        assert_eq!((requests.answered, requests.unanswered[0].number), (4, 4));
        assert!(error.to_string().contains("request 4") && error.to_string().contains("request 3"), "{error}");
        assert!(connection.send_request(get(5)).is_err());
    }
}

#[test]
fn a_408_that_came_before_a_request_closes_and_does_not_answer_it() {
    for surplus in ["HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 408", "HTTP/1.1 4", "H"] {
        let (mut connection, _server) = with_surplus(surplus);
        let error = connection.read_response().map(drop).unwrap_err();
        assert!(error.is_closed(), "{surplus}: {error:?}");
        assert_eq!(error.requests().unwrap().unanswered[0].number, 4);
    }
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    for surplus in ["\r\n", "\r"] {
        let (mut connection, mut server) = with_surplus(surplus);
        server.deliver(["\n", ""][surplus.len() - 1].to_owned() + HELLO);
        assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello");
    }
}

#[test]
fn no_content_of_a_pipeline_belongs_to_another_request() {
    // The server sends 65 answers to 64 requests in one burst; 36 requests follow.
    let (mut connection, mut server) = connected();
    let answer = |number: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{number:03}");
    let mut pipeline = connection.pipeline((0..100).map(get));
    server.send("");
    let server = std::thread::spawn(move || {
        (0..64).for_each(|_| drop(server.receive_head()));
        server.send((0..64).map(answer).collect::<String>() + &answer(64));
        server
    });
    let mut right = 0;
    let error = loop {
        match pipeline.next() {
            Ok(Some(response)) => {
                let (number, content) = (response.number(), response.read_all().unwrap());
                assert_eq!(content, format!("{number:03}").as_bytes());
                right += 1;
            }
            Ok(None) => panic!("all were answered by a server that was asked 64 times"),
            Err(error) => break error,
        }
    };
    assert!(right <= 64, "{right}");
    assert!(matches!(error, Error::Remote { .. }), "{error:?}");
    drop(server.join().unwrap());
}

#[test]
fn an_early_answer_to_content_that_is_being_sent_is_an_answer() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::put("/").content_length(10)).unwrap();
    server.receive_head();
    server.deliver("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    // The first byte of the content has left, so this may be its answer.
    let mut content = connection.content();
    content.send_all(b"12345").unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 413);
}

#[test]
fn an_unasked_piece_of_a_status_line_ends_the_connection_at_once() {
    let (status_line, mut ends) = ("HTTP/1.1 408", vec![]);
    for length in 1..status_line.len() {
        let (mut connection, mut server) = connected();
        connection.send_request(get(0)).unwrap();
        server.receive_head();
        server.deliver(HELLO.to_owned() + &status_line[..length]);
        connection.read_response().unwrap().discard().unwrap();
        let error = connection.send_request(get(1)).map(drop).unwrap_err();
        ends.push(matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::UnaskedBytes), .. }));
        for again in [
            connection.send_request(get(1)).map(drop),
            connection.read_response().map(drop),
            connection.flush(),
            connection.wait_for_continue().map(drop),
        ] {
            assert!(again.unwrap_err().is_closed());
        }
        assert_eq!(server.receive_available(), b"", "nothing was sent");
    }
    assert!(ends.iter().all(|end| *end), "{ends:?}");
}

#[test]
fn unasked_bytes_are_judged_alike_before_and_after_a_split() {
    let cases = [
        ("HTTP/1.1 408 Request Timeout\r\n\r\n", Some(CloseReason::RequestTimeout)),
        ("\r\nHTTP/1.0 408 Request Timeout\r\n\r\n", Some(CloseReason::RequestTimeout)),
        ("HTTP/1.1", Some(CloseReason::UnaskedBytes)),
        ("\r\nHTTP/1.1 40", Some(CloseReason::UnaskedBytes)),
        // This is a broken protocol, not an ordinary end.
        ("junk 408", None),
        (EVIL, None),
    ];
    for (bytes, closes) in cases {
        for behind_content in [false, true] {
            for split in [false, true] {
                let (mut connection, mut server) = connected();
                connection.send_request(get(0)).unwrap();
                server.receive_head();
                server.deliver(if behind_content { HELLO.to_owned() + bytes } else { HELLO.to_owned() });
                connection.read_response().unwrap().discard().unwrap();
                if !behind_content {
                    server.deliver(bytes);
                }
                let (error, again) = if split {
                    let (mut requests, _responses) = connection.split();
                    (requests.send_request(get(1)).unwrap_err(), requests.send_request(get(1)).unwrap_err())
                } else {
                    (connection.send_request(get(1)).unwrap_err(), connection.send_request(get(1)).unwrap_err())
                };
                let is_expected = match (&error, closes) {
                    (Error::Closed { cause: Closed::InOrder(reason), .. }, Some(expected)) => *reason == expected,
                    (Error::Remote { what, .. }, None) => *what == Malformed::UnaskedBytes,
                    _ => false,
                };
                assert!(is_expected, "{bytes:?}, behind content: {behind_content}, split: {split}: {error:?}");
                assert_eq!(again.to_string(), error.to_string());
                assert_eq!(server.receive_available(), b"");
            }
        }
    }
}

#[test]
fn a_fully_answered_pipeline_succeeds_whatever_bytes_follow() {
    for behind in ["EXCESS", EVIL, "HTTP/1.1 408 Request Timeout\r\n\r\n", "H"] {
        for at_once in [true, false] {
            let (mut connection, mut server) = connected();
            let mut pipeline = connection.pipeline([get(0)]);
            let thread = std::thread::spawn(move || {
                server.receive_head();
                server.send(HELLO.to_owned() + if at_once { behind } else { "" });
                server
            });
            assert_eq!(pipeline.next().unwrap().unwrap().read_all().unwrap(), b"hello");
            let mut server = thread.join().unwrap();
            if !at_once {
                server.deliver(behind);
            }
            assert!(pipeline.next().unwrap().is_none(), "{behind}");
            assert!(pipeline.next().unwrap().is_none(), "{behind}");
            drop(pipeline);
            // Without a pipeline, the connection refuses the next request.
            assert!(connection.send_request(get(1)).is_err(), "{behind}");
        }
    }
}

#[test]
fn a_reading_half_reports_the_same_end_again() {
    let (connection, mut server) = connected();
    let (mut requests, mut responses) = connection.split();
    requests.send_request(get(0)).unwrap();
    server.receive_head();
    server.deliver(HELLO);
    responses.read_response().unwrap().unwrap().discard().unwrap();
    server.fin();
    assert!(requests.send_request(get(1)).unwrap_err().is_closed());
    assert!(responses.read_response().unwrap_err().is_closed());
    drop(requests);
    assert!(responses.read_response().unwrap_err().is_closed());
}

#[test]
fn the_callers_mistakes_change_nothing() {
    let (mut connection, mut server) = connected();
    connection.send_request(Request::post("/").content_length(5)).unwrap();
    let error = connection.send_request(get(1)).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentOwed)), "{error:?}");
    connection.content().send_all(b"hello").unwrap();
    server.receive_head();
    server.expect("hello");
}
