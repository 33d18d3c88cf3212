//! Many requests at once: their order, their times, and clients that do not read.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::client::{Client, bytes, get, origin, origin_with};
use dugong_origin::{Config, WhenPipelined, document};

#[test]
fn answers_come_in_the_order_of_requests() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let requests: String = (0..500).map(|id| get(&format!("/doc/{id}"))).collect();
    client.send(requests);
    for id in 0..500 {
        assert_eq!(client.response().content, document(&id.to_string()));
    }
}

#[test]
fn a_thousand_delayed_answers_take_one_delay() {
    let origin = origin_with(Config { delay: Duration::from_millis(100), ..Config::default() });
    for target in ["/small", "/doc/1"] {
        let mut client = Client::connect(origin.address());
        let started = Instant::now();
        client.send(get(target).repeat(1000));
        for _ in 0..1000 {
            assert_eq!(client.response().status(), 200);
        }
        let taken = started.elapsed();
        // One after the other would take 100 s. The upper bound leaves room for a slow machine.
        assert!(taken >= Duration::from_millis(100) && taken < Duration::from_secs(9), "{target}: {taken:?}");
    }
}

#[test]
fn a_delay_of_one_request_does_not_reorder_answers() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let started = Instant::now();
    client.send([get("/small"), get("/doc/1?delay=50"), get("/small?delay=20"), get("/doc/2")].concat());
    assert_eq!(client.response().content.len(), 120);
    assert_eq!(client.response().content, document("1"));
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert_eq!(client.response().content.len(), 120);
    assert_eq!(client.response().content, document("2"));
}

#[test]
fn long_and_short_answers_mix() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let targets = ["/small", "/bytes/900000?seed=1", "/small", "/chunked/700000?seed=2", "/small", "/bytes/1?seed=3"];
    client.send(targets.map(get).concat().repeat(5));
    for _ in 0..5 {
        for (seed, length) in [(0, 0), (1, 900_000), (0, 0), (2, 700_000), (0, 0), (3, 1)] {
            let content = client.response().content;
            if seed == 0 { assert_eq!(content.len(), 120) } else { assert_eq!(content, bytes(seed, length)) }
        }
    }
}

#[test]
fn requests_in_any_cut_are_understood() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let requests = [get("/small"), get("/small"), get("/doc/1"), get("/small")].concat();
    for cut in 1..requests.len() {
        client.send(&requests[..cut]);
        client.send(&requests[cut..]);
        for length in [120, 120, document("1").len(), 120] {
            assert_eq!(client.response().content.len(), length, "cut at {cut}");
        }
    }
}

#[test]
fn reading_stops_when_the_answers_are_not_taken_and_goes_on_when_they_are() {
    for lockstep in [false, true] {
        let origin = origin_with(Config { lockstep, kernel_buffers: Some(BUFFERS), ..Config::default() });
        let mut client = Client::connect(origin.address());
        // Write without reading until the buffers of both sides are full: the client is in a deadlock.
        client.stream.get_ref().set_nonblocking(true).unwrap();
        let batch = get("/bytes/2000").repeat(100);
        let mut sent = Vec::new();
        let mut idle_since = Instant::now();
        // If the socket takes no bytes for a while, both sides are stuck.
        while idle_since.elapsed() < Duration::from_millis(300) {
            let at = sent.len() % batch.len();
            match client.stream.get_ref().write(&batch.as_bytes()[at..]) {
                Ok(count) => {
                    sent.extend_from_slice(&batch.as_bytes()[at..at + count]);
                    idle_since = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            assert!(sent.len() < 64 << 20, "the server never stopped reading");
        }
        let whole = sent.len() / get("/bytes/2000").len();
        let seen = origin.counts().requests as usize;
        assert!(seen < whole, "{seen} of {whole} requests read though no answer was taken");
        client.stream.get_ref().set_nonblocking(false).unwrap();
        for _ in 0..whole {
            assert_eq!(client.response().content, bytes(0, 2000));
        }
        assert_eq!(origin.counts().requests as usize, whole);
    }
}

#[test]
fn lockstep_reads_nothing_while_an_answer_is_queued() {
    let origin = origin_with(Config { lockstep: true, ..Config::default() });
    let mut client = Client::connect(origin.address());
    client.send(get("/doc/1?delay=200"));
    while origin.counts().requests == 0 {
        std::thread::yield_now();
    }
    client.send(get("/doc/2"));
    assert_eq!(client.stream.get_ref().peek(&mut [0; 1]).unwrap(), 1);
    assert!(origin.counts().requests <= 2);
    assert_eq!(client.response().content, document("1"));
    assert_eq!(client.response().content, document("2"));
}

#[test]
fn read_ahead_is_bounded() {
    let config = Config { delay: Duration::from_millis(700), read_ahead: 10, ..Config::default() };
    let origin = origin_with(config);
    let mut client = Client::connect(origin.address());
    client.send(get("/doc/1").repeat(25));
    while origin.counts().requests == 0 {
        std::thread::yield_now();
    }
    // All came at once. The server takes the eleventh when the first is answered.
    assert_eq!(origin.counts().requests, 10);
    for _ in 0..25 {
        assert_eq!(client.response().content, document("1"));
    }
}

/// The size of the system's buffers: small, but larger than a segment of the loopback interface. Otherwise TCP waits for its timers
/// before it fills a window smaller than a segment.
const BUFFERS: usize = 128 * 1024;

#[test]
fn a_server_that_refuses_pipelining_does_so_in_the_way_it_was_told() {
    for (habit, answers) in [(WhenPipelined::Close, 0), (WhenPipelined::Stall, 1), (WhenPipelined::Silence, 0)] {
        let origin = origin_with(Config { when_pipelined: habit, ..Config::default() });
        let mut client = Client::connect(origin.address());
        // One request at a time is always answered.
        for id in ["1", "2"] {
            assert_eq!(client.get(&format!("/doc/{id}")).content, document(id));
        }
        client.send(get("/doc/3") + &get("/doc/4") + &get("/doc/5"));
        for _ in 0..answers {
            assert_eq!(client.response().content, document("3"));
        }
        if habit == WhenPipelined::Close {
            assert_eq!(client.rest(), b"");
            continue;
        }
        client.send(get("/doc/6"));
        client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = client.stream.get_mut().read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{habit:?}");
        assert_eq!(origin.counts().open, 1);
    }
}

#[test]
fn a_request_after_an_unanswered_one_is_pipelined_too() {
    for (habit, answers) in [(WhenPipelined::Close, 0), (WhenPipelined::Stall, 1), (WhenPipelined::Silence, 0)] {
        let origin = origin_with(Config { when_pipelined: habit, delay: Duration::from_millis(200), ..Config::default() });
        let mut client = Client::connect(origin.address());
        client.send(get("/doc/1"));
        while origin.counts().requests == 0 {
            std::thread::yield_now();
        }
        client.send(get("/doc/2"));
        for _ in 0..answers {
            assert_eq!(client.response().content, document("1"));
        }
        if habit == WhenPipelined::Close {
            assert_eq!(client.rest(), b"");
        }
    }
}
