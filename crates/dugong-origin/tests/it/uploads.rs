//! Requests with content.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use crate::client::{Client, bytes, get, origin, origin_with};
use dugong_origin::Config;

const HELLO: &str = "{\"length\":5,\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"}";

#[test]
fn content_is_counted_and_hashed() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for method in ["PUT", "POST", "PATCH"] {
        client.send(format!("{method} /any?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(client.response().text(), HELLO);
    }
    client.send("DELETE /any HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().text().starts_with("{\"length\":0,\"sha256\":\"e3b0c442"));
}

#[test]
fn chunked_content_and_its_trailers_are_read() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
    );
    client.send(get("/small"));
    assert_eq!(client.response().text(), HELLO);
    assert_eq!(client.response().content.len(), 120);
}

#[test]
fn hashing_can_be_left_out() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let content = bytes(0, 3_000_000);
    client.send(format!("PUT /?digest=0 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", content.len()));
    client.send(&content);
    assert_eq!(client.response().text(), "{\"length\":3000000,\"sha256\":null}");
    assert_eq!(origin.counts().content_bytes, 3_000_000);
}

#[test]
fn content_after_pipelined_requests_waits_for_its_turn() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let put = "PUT /?delay=20 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned();
    client.send([get("/doc/1?delay=40"), put.clone(), get("/small"), put].concat());
    assert_eq!(client.response().content, dugong_origin::document("1"));
    assert_eq!(client.response().text(), HELLO);
    assert_eq!(client.response().content.len(), 120);
    assert_eq!(client.response().text(), HELLO);
}

#[test]
fn the_content_of_a_get_is_discarded() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send("GET /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    client.send(get("/small"));
    assert_eq!(client.response().content, bytes(0, 3));
    assert_eq!(client.response().content.len(), 120);
}

fn expecting(query: &str) -> String {
    format!("PUT /{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
}

#[test]
fn an_expectation_is_answered_before_the_content() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for query in ["", "?expect=yes"] {
        client.send(expecting(query));
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hello");
        assert_eq!(client.response().text(), HELLO);
    }
}

#[test]
fn a_100_comes_after_earlier_answers() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(get("/doc/1?delay=30") + &expecting(""));
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.response().status(), 100);
    client.send("hello");
    assert_eq!(client.response().text(), HELLO);
}

#[test]
fn an_expectation_can_be_refused() {
    let origin = origin();
    for (query, status) in [("?expect=no", 403), ("?expect=417", 417), ("?expect=no&status=401", 401)] {
        let mut client = Client::connect(origin.address());
        client.send(expecting(query));
        let response = client.response();
        assert_eq!((response.status(), response.field("connection")), (status, Some("close")), "{query}");
        // A client that sends the content anyway must not get a reset.
        client.send("hello");
        assert_eq!(client.rest(), b"");
    }
    let mut client = Client::connect(origin.address());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: tea\r\n\r\n");
    assert_eq!(client.response().status(), 417);
    assert_eq!(origin.counts().content_bytes, 0);
}

#[test]
fn a_silent_server_answers_only_the_content() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(expecting("?expect=silent"));
    while origin.counts().requests == 0 {
        std::thread::yield_now();
    }
    client.stream.get_ref().set_nonblocking(true).unwrap();
    assert_eq!(client.stream.get_ref().peek(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.stream.get_ref().set_nonblocking(false).unwrap();
    client.send("hello");
    assert_eq!(client.response().text(), HELLO);
}

#[test]
fn an_early_answer_comes_while_the_content_is_stuck() {
    let origin = origin_with(Config { kernel_buffers: Some(128 * 1024), ..Config::default() });
    let mut client = Client::connect(origin.address());
    client.send("PUT /?early=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    client.stream.get_ref().set_nonblocking(true).unwrap();
    let content = vec![0; 1 << 20];
    // Sixty-four times as many bytes exceed the socket buffers of this configuration.
    let stuck =
        (0..64).any(|_| matches!(client.stream.get_ref().write(&content), Err(error) if error.kind() == ErrorKind::WouldBlock));
    assert!(stuck, "the server went on reading");
    client.stream.get_ref().set_nonblocking(false).unwrap();
    let response = client.response();
    assert_eq!((response.status(), response.field("connection")), (413, Some("close")));
    assert_eq!(origin.counts().open, 1);
}

#[test]
fn an_early_answer_is_given_up_after_the_linger_time() {
    let linger = Duration::from_millis(50);
    let origin = origin_with(Config { linger, ..Config::default() });
    let mut client = Client::connect(origin.address());
    let started = Instant::now();
    client.send("PUT /?early=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(client.response().status(), 413);
    assert_eq!(client.rest(), b"");
    assert!(started.elapsed() >= linger);
}
