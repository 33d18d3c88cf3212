//! Redirects, servers that are busy, counts of what arrived, and slow answers.

use std::time::{Duration, Instant};

use crate::client::{Client, get, origin, origin_with};
use dugong_origin::{Arrivals, Config, Slow};

fn put(target: &str) -> String {
    format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
}

#[test]
fn redirects_lead_to_their_target() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let mut target = "/redirect/3?status=307&to=http://127.0.0.1:1/doc%3Fa".to_owned();
    for left in [2, 1] {
        let response = client.get(&target);
        assert_eq!(response.status(), 307);
        target = response.field("location").unwrap().to_owned();
        assert!(target.starts_with(&format!("/redirect/{left}?")), "{target}");
    }
    assert_eq!(client.get(&target).field("location"), Some("http://127.0.0.1:1/doc?a"));
    client.send(put("/redirect/1"));
    let response = client.response();
    assert_eq!((response.status(), response.field("location")), (302, Some("/small")));
}

#[test]
fn a_busy_server_answers_after_the_times_asked_for() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for status in [429, 429, 200, 200] {
        let response = client.get("/doc/1?busy=2&busy-status=429&retry-after=7");
        let after = (status == 429).then_some("7");
        assert_eq!((response.status(), response.field("retry-after")), (status, after));
    }
    for status in [503, 200] {
        client.send(put("/x?busy=1&id=2"));
        let response = client.response();
        assert_eq!((response.status(), response.field("retry-after")), (status, None));
    }
    let date = "Thu,%2001%20Jan%201970%2000:00:00%20GMT";
    let response = client.get(&format!("/doc/1?status=503&retry-after={date}"));
    assert_eq!(response.field("retry-after"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
}

#[test]
fn arrived_requests_are_counted_by_id() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(put("/count/a").repeat(2) + &put("/count/b").replace("PUT", "POST"));
    (0..3).for_each(|_| assert_eq!(client.response().status(), 200));
    let mut other = Client::connect(origin.address());
    other.send(&put("/count/b")[..put("/count/b").len() - 1]);
    while origin.counts().requests < 4 {
        std::thread::yield_now();
    }
    assert_eq!(client.get("/count/a").text(), "{\"heads\":2,\"whole\":2}");
    assert_eq!(client.get("/count/b").text(), "{\"heads\":2,\"whole\":1}");
    assert_eq!(client.get("/count/c").text(), "{\"heads\":0,\"whole\":0}");
    let all = client.get("/count").text().len();
    assert_eq!(all, "{\"a\":{\"heads\":2,\"whole\":2},\"b\":{\"heads\":2,\"whole\":1}}".len());
    assert_eq!(origin.arrivals()["a"], Arrivals { heads: 2, whole: 2 });
}

#[test]
fn the_request_itself_can_be_the_answer() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let request = "GET /echo?x HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\n\r\n";
    client.send(request);
    assert_eq!(client.response().text(), request);
}

#[test]
fn content_can_be_refused_half_way() {
    let origin = origin();
    for (query, status) in [("refuse=4000", 413), ("refuse=4000&status=507", 507), ("refuse=20000", 200)] {
        let mut client = Client::connect(origin.address());
        client.send(format!("PUT /?{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n"));
        client.send([0; 3000]);
        client.send([0; 3000]);
        if status != 200 {
            let response = client.response();
            assert_eq!((response.status(), response.field("connection")), (status, Some("close")), "{query}");
        }
        client.send([0; 4000]);
        if status == 200 {
            assert_eq!(client.response().status(), 200);
        } else {
            assert_eq!(client.rest(), b"");
        }
    }
    while origin.counts().discarded_bytes < 8000 {
        std::thread::yield_now();
    }
    assert_eq!(origin.counts().discarded_bytes, 8000);
}

#[test]
fn some_answers_are_slow_and_the_seed_says_which() {
    let slow = |seed| Config { slow: Some(Slow { one_in: 50, delay: Duration::from_millis(40), seed }), ..Config::default() };
    let times = |seed| -> Vec<bool> {
        let origin = origin_with(slow(seed));
        let mut client = Client::connect(origin.address());
        let is_slow = |_| {
            let started = Instant::now();
            client.send(get("/small"));
            assert_eq!(client.response().status(), 200);
            started.elapsed() >= Duration::from_millis(40)
        };
        (0..300).map(is_slow).collect()
    };
    let seen = times(1);
    let count = seen.iter().filter(|slow| **slow).count();
    assert!((1..=30).contains(&count), "{count} of 300");
    let again = times(1);
    // A machine that is busy makes other answers late, too.
    assert!(seen.iter().zip(&again).filter(|(one, other)| **one && **other).count() > 0);
}
