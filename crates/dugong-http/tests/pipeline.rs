//! Pipelines: how much is in flight, the order of responses, and the state after an error.

mod support;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dugong_http::{CloseReason, Closed, Error, Malformed, Misuse, Request, Sent, WaitingFor};
use dugong_origin::{Origin, document};
use support::{HELLO, Server, config, connected, connected_with};

/// For waits that should time out.
const SHORT: Duration = Duration::from_millis(10);

/// For waits that should never last this long.
const LONG: Duration = Duration::from_secs(2);

fn numbered(count: usize) -> impl Iterator<Item = Request> {
    (0..count).map(|number| Request::get(format!("/{number}")))
}

/// The targets of the requests that have arrived.
fn targets(server: &mut Server) -> Vec<String> {
    let received = String::from_utf8(server.receive_available()).unwrap();
    let lines = received.split("\r\n").filter_map(|line| line.strip_suffix(" HTTP/1.1"));
    lines.filter_map(|line| line.split_once(' ')).map(|(_, target)| target.to_owned()).collect()
}

fn is_timeout<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::TimedOut { waiting_for: WaitingFor::Response | WaitingFor::Content, .. }))
}

#[test]
fn responses_come_in_the_order_of_the_requests() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    for window in [1, 2, 7, 64, 1000] {
        let requests = (0..200).map(|id| Request::get(format!("/doc/{id}")));
        let mut pipeline = connection.pipeline(requests).max_requests(window);
        for id in 0..200 {
            let response = pipeline.next().unwrap().expect("one for each request");
            assert_eq!(response.read_all().unwrap(), document(&id.to_string()));
        }
        assert!(pipeline.next().unwrap().is_none());
        assert!(pipeline.next().unwrap().is_none());
        assert_eq!(pipeline.taken(), 200);
    }
    assert_eq!(connection.outstanding().answered, 1000);
}

#[test]
fn no_more_requests_are_in_flight_than_allowed() {
    for window in [1, 2, 5] {
        let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
        let mut pipeline = connection.pipeline(numbered(12)).max_requests(window);
        let (mut seen, mut most) = (0, 0);
        for answered in 0..12 {
            assert!(is_timeout(pipeline.next()));
            seen += targets(&mut server).len();
            assert!(seen > answered, "nothing is in flight");
            most = most.max(seen - answered);
            server.deliver(HELLO);
            let response = pipeline.next().unwrap().unwrap();
            assert_eq!(response.number(), answered as u64);
            response.discard().unwrap();
        }
        assert!(pipeline.next().unwrap().is_none());
        assert_eq!((seen, most), (12, window));
    }
}

#[test]
fn no_more_bytes_are_in_flight_than_allowed_but_a_larger_request_alone() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    // Each request has about 1000 bytes; one is larger than the bound.
    let requests =
        (0..12).map(|number| Request::get(format!("/{number}")).header("X", "x".repeat(if number == 5 { 9000 } else { 1000 })));
    let mut pipeline = connection.pipeline(requests).max_bytes(3500);
    let mut unanswered = VecDeque::new();
    let mut most = 0;
    for answered in 0..12 {
        assert!(is_timeout(pipeline.next()));
        unanswered.extend(targets(&mut server));
        assert_eq!(unanswered.front(), Some(&format!("/{answered}")));
        assert!(unanswered.len() == 1 || !unanswered.contains(&"/5".to_owned()), "{unanswered:?}");
        most = most.max(unanswered.len());
        server.deliver(HELLO);
        pipeline.next().unwrap().unwrap().discard().unwrap();
        unanswered.pop_front();
    }
    assert_eq!(most, 3);
}

#[test]
fn requests_with_content_and_expectations_are_pipelined() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let body = "b".repeat(100_000);
    let requests = (0..60).map(|number| match number % 4 {
        0 => Request::get(format!("/doc/{number}")),
        1 => Request::put("/x?digest=0").body(body.clone()),
        2 => Request::post("/x?digest=0").body(body.clone()).expect_continue(),
        _ => Request::head("/doc/1"),
    });
    let mut pipeline = connection.pipeline(requests);
    for number in 0..60 {
        let response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number);
        let content = String::from_utf8(response.read_all().unwrap()).unwrap();
        match number % 4 {
            0 => assert_eq!(content.as_bytes(), document(&number.to_string())),
            3 => assert_eq!(content, ""),
            _ => assert_eq!(content, "{\"length\":100000,\"sha256\":null}"),
        }
    }
    assert!(pipeline.next().unwrap().is_none());
}

#[test]
fn a_pipeline_waits_for_100_no_longer_than_configured() {
    let (mut connection, mut server) = connected_with(&config().timeout(LONG).expect_timeout(SHORT));
    let requests = [Request::get("/0"), Request::put("/1").body("hello").expect_continue(), Request::get("/2")];
    let mut pipeline = connection.pipeline(requests);
    let server = thread::spawn(move || {
        let heads = [server.receive_head(), server.receive_head()];
        server.send(HELLO);
        server.expect("hello");
        server.send(HELLO);
        server.send(HELLO);
        (heads, server.receive_head())
    });
    for number in 0..3 {
        let response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number);
        response.discard().unwrap();
    }
    let (heads, last) = server.join().unwrap();
    assert!(heads[1].starts_with("PUT /1 ") && last.starts_with("GET /2 "), "{heads:?} {last:?}");
}

#[test]
fn an_invalid_request_is_reported_and_the_others_go_on() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let requests = (0..30).map(|number| match number % 10 {
        3 => Request::get("/a b"),
        6 => Request::put("/x").content_length(5),
        8 => Request::get("/x").header("Expect", "100-continue"),
        9 => Request::put("/x").chunked(),
        _ => Request::get(format!("/doc/{number}")),
    });
    let mut pipeline = connection.pipeline(requests);
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    loop {
        match pipeline.next() {
            Ok(Some(response)) => answers.push(response.read_all().unwrap()),
            Ok(None) => break,
            Err(Error::Local(misuse)) => errors.push(misuse),
            Err(error) => panic!("{error:?}"),
        }
    }
    let wanted: Vec<_> =
        (0..30).filter(|number| ![3, 6, 8, 9].contains(&(number % 10))).map(|id| document(&id.to_string())).collect();
    assert_eq!(answers, wanted);
    let codes: Vec<_> = errors.iter().map(|misuse| misuse.code()).collect();
    assert_eq!(codes, ["target", "content-short", "expect", "content-short"].repeat(3));
    assert_eq!((pipeline.taken(), origin.counts().requests), (30, 18));
}

#[test]
fn unread_content_is_skipped() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let requests = (0..40).map(|number| Request::get(format!("/{}/{}", ["bytes", "chunked"][number % 2], 100_000 + number)));
    let mut pipeline = connection.pipeline(requests);
    for number in 0..40 {
        let mut response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number);
        match number % 3 {
            0 => {}
            1 => response.read_exact(&mut [0; 10]).unwrap(),
            _ => assert_eq!(response.read_all().unwrap().len() as u64, 100_000 + number),
        }
    }
    assert!(pipeline.next().unwrap().is_none());
}

#[test]
fn responses_to_earlier_requests_come_first() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    connection.send_request(Request::get("/a")).unwrap();
    connection.send_request(Request::get("/b")).unwrap();
    let mut pipeline = connection.pipeline(numbered(2)).max_requests(1);
    // The window counts only the requests of the pipeline.
    for (number, arriving) in [&["/a", "/b", "/0"][..], &[], &[], &["/1"]].into_iter().enumerate() {
        assert!(is_timeout(pipeline.next()));
        assert_eq!(targets(&mut server), arriving);
        server.deliver(HELLO);
        let response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number as u64);
        response.discard().unwrap();
    }
    assert!(pipeline.next().unwrap().is_none());
}

#[test]
fn a_response_that_was_begun_before_does_not_take_a_place_in_the_window() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    connection.send_request(Request::get("/a")).unwrap();
    server.deliver(HELLO);
    connection.read_response().unwrap();
    let mut pipeline = connection.pipeline(numbered(3)).max_requests(1);
    for number in 1..4 {
        assert!(is_timeout(pipeline.next()));
        server.deliver(HELLO);
        let response = pipeline.next().unwrap().expect("one for each request");
        assert_eq!(response.number(), number);
        response.discard().unwrap();
    }
    assert!(pipeline.next().unwrap().is_none());
    assert_eq!(targets(&mut server), ["/a", "/0", "/1", "/2"]);
}

#[test]
fn a_pipeline_behind_owed_content_fails_at_once() {
    let (mut connection, mut server) = connected_with(&config().timeout(LONG));
    connection.send_request(Request::put("/a").content_length(5)).unwrap();
    let begin = Instant::now();
    let error = connection.pipeline(numbered(1)).next().map(drop).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::ContentOwed)), "{error:?} after {:?}", begin.elapsed());
    connection.content().send_all(b"hello").unwrap();
    server.deliver(HELLO);
    connection.read_response().unwrap().discard().unwrap();
}

#[test]
fn a_server_that_closes_after_some_responses_leaves_the_others() {
    for silently in [false, true] {
        let origin_config = dugong_origin::Config { close_after: Some(10), close_silently: silently, ..Default::default() };
        let origin = Origin::start(origin_config).unwrap();
        let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
        let mut pipeline = connection.pipeline((0..100).map(|id| Request::get(format!("/doc/{id}")))).max_requests(16);
        for id in 0..10 {
            let response = pipeline.next().unwrap().unwrap();
            assert_eq!(response.read_all().unwrap(), document(&id.to_string()));
        }
        let error = pipeline.next().map(drop).unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        if !silently {
            assert!(matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::ServerSaidClose), .. }), "{error:?}");
        }
        let requests = error.requests().unwrap().clone();
        assert_eq!(requests.answered, 10);
        assert!(requests.unanswered.iter().zip(10..).all(|(request, number)| request.number == number));
        let taken = pipeline.taken();
        let (unsent, rest) = pipeline.into_rest();
        let rest: Vec<_> = unsent.into_iter().chain(rest).map(|request| request.as_head().unwrap().target().to_owned()).collect();
        let wanted: Vec<_> = (10 + requests.unanswered.len()..100).map(|id| format!("/doc/{id}")).collect();
        assert_eq!(rest, wanted);
        assert!(taken <= 26, "{taken}");
    }
}

#[test]
fn every_request_is_answered_or_unanswered_or_left_when_the_connection_breaks() {
    for answered in 0..5 {
        let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
        let mut pipeline = connection.pipeline(numbered(30)).max_requests(6);
        assert!(is_timeout(pipeline.next()));
        server.deliver(HELLO.repeat(answered));
        for _ in 0..answered {
            pipeline.next().unwrap().unwrap().discard().unwrap();
        }
        server.reset();
        let error = pipeline.next().map(drop).unwrap_err();
        assert!(error.is_closed(), "{error:?}");
        let again = pipeline.next().map(drop).unwrap_err();
        assert_eq!(again.requests(), error.requests());
        let requests = error.requests().unwrap();
        assert_eq!(requests.answered, answered as u64);
        let (unsent, rest) = pipeline.into_rest();
        assert_eq!(answered + requests.unanswered.len() + usize::from(unsent.is_some()) + rest.count(), 30);
    }
}

#[test]
fn a_pipeline_on_a_closed_connection_sends_and_takes_nothing_but_the_first() {
    let (mut connection, mut server) = connected();
    server.fin();
    let mut pipeline = connection.pipeline(numbered(5));
    for _ in 0..2 {
        let error = pipeline.next().map(drop).unwrap_err();
        assert!(matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::PeerClosed), .. }), "{error:?}");
    }
    let (unsent, rest) = pipeline.into_rest();
    assert_eq!(unsent.unwrap().as_head().unwrap().target(), "/0");
    assert_eq!(rest.count(), 4);
    assert_eq!(server.receive_available(), b"");
}

#[test]
fn unasked_bytes_are_not_the_answer_to_the_first_request() {
    let (mut connection, mut server) = connected();
    server.deliver(HELLO);
    let error = connection.pipeline(numbered(2)).next().map(drop).unwrap_err();
    assert!(matches!(error, Error::Remote { what: Malformed::UnaskedBytes, at: 0, .. }), "{error:?}");
    assert_eq!(server.receive_available(), b"");
}

#[test]
fn a_pipeline_continues_after_a_timeout() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    let mut pipeline = connection.pipeline(numbered(4)).max_requests(2);
    for number in 0..4 {
        assert!(is_timeout(pipeline.next()));
        assert!(is_timeout(pipeline.next()));
        server.deliver(&HELLO[..30]);
        assert!(is_timeout(pipeline.next()));
        server.deliver(&HELLO[30..HELLO.len() - 2]);
        let mut response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number);
        assert!(is_timeout(response.read_to(&mut Vec::new())));
        assert!(is_timeout(pipeline.next()));
        server.deliver(&HELLO[HELLO.len() - 2..]);
    }
    assert!(pipeline.next().unwrap().is_none());
    assert_eq!(targets(&mut server), ["/0", "/1", "/2", "/3"]);
}

#[test]
fn a_pipeline_that_is_dropped_leaves_its_responses_to_be_read() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    assert!(is_timeout(connection.pipeline(numbered(3)).next()));
    connection.set_timeout(Some(LONG));
    for number in 0..3 {
        server.deliver(HELLO);
        let response = connection.read_response().unwrap();
        assert_eq!(response.number(), number);
        response.discard().unwrap();
    }
    assert!(matches!(connection.read_response(), Err(Error::Local(Misuse::NothingOutstanding))));
}

/// Refuses an upload within a pipeline: its response can be read, the next call fails, and the later requests remain.
fn refusal_ends_the_pipeline(
    mut pipeline: dugong_http::Pipeline<'_, std::vec::IntoIter<Request>>,
    status: u16,
    reason: CloseReason,
) {
    let response = pipeline.next().unwrap().unwrap();
    assert_eq!((response.number(), response.status().as_u16()), (0, status));
    assert_eq!(response.read_all().unwrap(), b"no");
    for _ in 0..2 {
        let error = pipeline.next().map(drop).unwrap_err();
        assert!(matches!(error, Error::Closed { cause: Closed::InOrder(why), .. } if why == reason), "{error:?}");
        assert_eq!((error.requests().unwrap().answered, error.requests().unwrap().unanswered.len()), (1, 0));
    }
    let (unsent, rest) = pipeline.into_rest();
    let left: Vec<_> = unsent.into_iter().chain(rest).map(|request| request.as_head().unwrap().target().to_owned()).collect();
    assert_eq!(left, ["/1", "/2"]);
}

const REFUSAL: &str = "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn an_early_answer_to_large_content_is_read_and_the_rest_is_left() {
    let (mut connection, mut server) = connected_with(&config().timeout(LONG));
    let requests = vec![Request::put("/0").body(vec![b'x'; 16 << 20]), Request::get("/1"), Request::get("/2")];
    let pipeline = connection.pipeline(requests);
    // The server reads nothing, so part of the content stays behind.
    let answering = thread::spawn(move || {
        server.receive(1);
        server.send(REFUSAL);
        server
    });
    refusal_ends_the_pipeline(pipeline, 413, CloseReason::ContentNotSent);
    drop(answering.join().unwrap());
}

#[test]
fn a_refused_expectation_is_read_and_the_rest_is_left() {
    let (mut connection, mut server) = connected_with(&config().timeout(LONG));
    let requests = vec![Request::put("/0").body("hello").expect_continue(), Request::get("/1"), Request::get("/2")];
    let pipeline = connection.pipeline(requests);
    let answering = thread::spawn(move || {
        let head = server.receive_head();
        server.send(REFUSAL.replace("413", "417"));
        (head, server)
    });
    refusal_ends_the_pipeline(pipeline, 417, CloseReason::ContentNotSent);
    drop(connection);
    let (head, server) = answering.join().unwrap();
    assert!(head.starts_with("PUT /0 HTTP/1.1\r\n"));
    assert_eq!(String::from_utf8(server.receive_to_end()).unwrap(), "");
}

#[test]
fn interim_responses_within_a_pipeline_go_to_the_callback() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let seen = Arc::new(Mutex::new(0));
    let sink = seen.clone();
    connection.on_interim(move |head| {
        assert_eq!(head.status(), 103);
        *sink.lock().unwrap() += 1;
    });
    let mut pipeline = connection.pipeline((0..100).map(|id| Request::get(format!("/doc/{id}?hint=1"))));
    let mut count = 0;
    while let Some(response) = pipeline.next().unwrap() {
        response.discard().unwrap();
        count += 1;
        assert!(*seen.lock().unwrap() >= count);
    }
    assert_eq!((count, *seen.lock().unwrap()), (100, 100));
}

#[test]
fn a_request_that_says_close_is_the_last_that_is_sent() {
    let (mut connection, mut server) = connected_with(&config().timeout(SHORT));
    let requests =
        vec![Request::get("/0"), Request::get("/1").header("Connection", "close"), Request::get("/2"), Request::get("/3")];
    let mut pipeline = connection.pipeline(requests);
    assert!(is_timeout(pipeline.next()));
    server.deliver(HELLO.repeat(2));
    for number in 0..2 {
        let response = pipeline.next().unwrap().unwrap();
        assert_eq!(response.number(), number);
        response.discard().unwrap();
    }
    let error = pipeline.next().map(drop).unwrap_err();
    assert!(matches!(error, Error::Closed { cause: Closed::InOrder(CloseReason::ClientSaidClose), .. }), "{error:?}");
    let (unsent, rest) = pipeline.into_rest();
    assert_eq!((unsent.unwrap().as_head().unwrap().target().to_owned(), rest.count()), ("/2".to_owned(), 1));
    assert_eq!(targets(&mut server), ["/0", "/1"]);
}

#[test]
fn nothing_is_pipelined_to_an_http_1_0_server_but_all_is_answered() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let requests: Vec<_> = (0..20).map(|id| Request::get(format!("/doc/{id}?http10=1&connection=keep-alive"))).collect();
    connection.send_request(&requests[0]).unwrap();
    connection.read_response().unwrap().discard().unwrap();
    let mut pipeline = connection.pipeline(&requests);
    for id in 0..20 {
        assert_eq!(pipeline.next().unwrap().unwrap().read_all().unwrap(), document(&id.to_string()));
    }
    assert!(pipeline.next().unwrap().is_none());
}

#[test]
fn the_account_says_how_much_of_each_request_was_sent_when_the_server_reads_nothing() {
    let (mut connection, server) = connected_with(&config().timeout(SHORT));
    let requests = [Request::post("/0").body("x"), Request::put("/1").body(vec![b'x'; 32 << 20]), Request::get("/2")];
    let mut pipeline = connection.pipeline(&requests).max_bytes(usize::MAX);
    assert!(is_timeout(pipeline.next()));
    server.reset();
    let error = pipeline.next().map(drop).unwrap_err();
    let requests = error.requests().unwrap();
    let sent: Vec<_> = requests.unanswered.iter().map(|request| (request.sent, request.is_safe_to_retry())).collect();
    assert_eq!(sent, [(Sent::Whole, false), (Sent::Partly, true)]);
    let (unsent, rest) = pipeline.into_rest();
    assert_eq!(unsent.into_iter().chain(rest).map(|request| request.as_head().unwrap().target()).collect::<Vec<_>>(), ["/2"]);
}

#[test]
fn an_iterator_that_ended_is_not_asked_again() {
    /// Starts over after its end, as iterators may.
    struct Restarting(usize);

    impl Iterator for Restarting {
        type Item = Request;

        fn next(&mut self) -> Option<Request> {
            self.0 += 1;
            (self.0 != 3).then(|| Request::get("/small"))
        }
    }

    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let mut connection = config().connect(format!("http://{}", origin.address())).unwrap();
    let mut pipeline = connection.pipeline(Restarting(0));
    let mut count = 0;
    while let Some(response) = pipeline.next().unwrap() {
        response.discard().unwrap();
        count += 1;
    }
    assert_eq!(count, 2);
}
