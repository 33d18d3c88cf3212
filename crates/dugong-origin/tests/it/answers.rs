//! The answer of each URL.

use sha2::{Digest, Sha256};

use crate::client::{Client, bytes, get, origin, origin_with};
use dugong_origin::{Config, document};

#[test]
fn small_has_a_head_of_189_bytes_with_six_fields_and_120_bytes_of_content() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for _ in 0..3 {
        let response = client.get("/small");
        assert_eq!((response.head.len(), response.content.len()), (189, 120));
        assert_eq!(response.head.lines().filter(|line| line.contains(": ")).count(), 6);
        assert_eq!(response.field("content-length"), Some("120"));
    }
}

#[test]
fn the_fast_path_of_small_is_as_strict_as_the_parser() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for target in ["/small", "/small", "/doc/1", "/small", "/smaller", "/small"] {
        let expected = if target == "/smaller" { 404 } else { 200 };
        assert_eq!(client.get(target).status(), expected, "{target}");
    }
    // The same request line as before, but a second Host.
    client.send("GET /small HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    assert_eq!(client.rest(), b"");
    assert_eq!(origin.counts().requests, 6);
}

#[test]
fn bytes_depend_on_the_seed_and_have_a_length() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for (target, seed, length) in
        [("/bytes/0", 0, 0), ("/bytes/1", 0, 1), ("/bytes/1000003", 0, 1_000_003), ("/bytes/70000?seed=9", 9, 70_000)]
    {
        let response = client.get(target);
        assert_eq!(response.field("content-length"), Some(length.to_string().as_str()));
        assert_eq!(response.content, bytes(seed, length), "{target}");
    }
}

#[test]
fn content_of_many_gigabytes_is_announced_and_begun() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(get("/bytes/50000000000"));
    assert!(client.head().contains("Content-Length: 50000000000\r\n"));
}

#[test]
fn chunked_has_the_chunks_asked_for() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let response = client.get("/chunked/20000");
    assert_eq!(response.chunks, ["2000", "2000", "e20", "0"]);
    assert_eq!(response.content, bytes(0, 20_000));
    let response = client.get("/chunked/10?chunk=4&seed=3");
    assert_eq!(response.chunks, ["4", "4", "2", "0"]);
    assert_eq!(response.content, bytes(3, 10));
    assert_eq!(client.get("/chunked/0").chunks, ["0"]);
    assert_eq!(client.get("/chunked/3000000?chunk=1000000").content, bytes(0, 3_000_000));
}

#[test]
fn chunked_has_extensions_and_trailers_when_asked() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let response = client.get("/chunked/5000?chunk=3000&ext=1&trailers=1");
    assert_eq!(response.chunks, ["bb8;part=\"a;b\"", "7d0;part=\"a;b\"", "0"]);
    assert_eq!(response.field("trailer"), Some("X-Checksum"));
    let digest = Sha256::digest(bytes(0, 5000));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(response.trailers, format!("X-Checksum: {hex}\r\n\r\n"));
}

#[test]
fn close_delimited_content_ends_with_the_connection() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let response = client.get("/close/300000");
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!((response.field("content-length"), response.field("transfer-encoding")), (None, None));
    assert_eq!(response.content, bytes(0, 300_000));
}

#[test]
fn a_length_can_be_omitted() {
    let origin = origin();
    let response = Client::connect(origin.address()).get("/bytes/100?length=none");
    assert_eq!((response.field("content-length"), response.field("connection")), (None, None));
    assert_eq!(response.content, bytes(0, 100));
}

#[test]
fn documents_carry_their_digest() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for id in ["1", "2", "a-long-name"] {
        let response = client.get(&format!("/doc/{id}"));
        assert_eq!(response.content, document(id));
        assert!(response.field("repr-digest").is_some());
    }
}

#[test]
fn digests_are_those_of_the_content() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    // The digest of bytes 0 to 2 of seed 0; the other framings must agree.
    let digest = client.get("/bytes/200000?digest=1").field("repr-digest").unwrap().to_owned();
    assert_eq!(digest.len(), "sha-256=::".len() + 44);
    for target in ["/chunked/200000?digest=1", "/chunked/200000?digest=1&trailers=1", "/close/200000?digest=1"] {
        let mut client = Client::connect(origin.address());
        assert_eq!(client.get(target).field("repr-digest"), Some(digest.as_str()), "{target}");
    }
    assert_ne!(client.get("/bytes/200000?digest=1&seed=1").field("repr-digest"), Some(digest.as_str()));
    assert_eq!(
        client.get("/bytes/0?digest=1").field("repr-digest"),
        Some("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
    );
    assert_eq!(client.get("/bytes/5").field("repr-digest"), None);
}

#[test]
fn parameters_change_any_answer() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    assert_eq!(client.get("/bytes/5?status=503").status(), 503);
    assert_eq!(client.get("/small?status=404").content.len(), 120);
    let response = client.get("/doc/1?status=204");
    assert_eq!((response.status(), response.field("content-length")), (204, None));
    assert_eq!(client.get("/bytes/5?status=1").status(), 400);
    assert!(client.get("/bytes/5?http10=1&connection=keep-alive").head.starts_with("HTTP/1.0 200 OK\r\n"));
    client.send(get("/bytes/5?hint=1"));
    assert!(client.head().starts_with("HTTP/1.1 103 Early Hints\r\n"));
    assert_eq!(client.response().status(), 200);
    let response = client.get("/bytes/5?http10=1");
    assert_eq!((response.field("connection"), &response.content), (None, &bytes(0, 5)));
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_unknown_path_is_404_and_an_unknown_method_501() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for target in ["/", "/bytes/", "/bytes/x", "/bytes/+1", "/bytes/1/2", "/doc/", "/smalls", "/small/"] {
        assert_eq!(client.get(target).status(), 404, "{target}");
    }
    client.send("BREW /small HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status(), 501);
}

#[test]
fn head_gives_the_head_alone() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for target in ["/small", "/bytes/5?digest=1", "/chunked/5?trailers=1", "/doc/1", "/nothing"] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        let of_get = client.get(target).head;
        let without_date = |head: &str| head.lines().filter(|line| !line.starts_with("Date")).collect::<String>();
        assert_eq!(without_date(&head), without_date(&of_get), "{target}");
    }
}

#[test]
fn http10_requests_are_answered_without_chunks_and_closed() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send("GET /chunked/100 HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.field("transfer-encoding"), response.field("connection")), (None, Some("close")));
    assert_eq!(response.content, bytes(0, 100));
}

#[test]
fn malformed_requests_get_400_with_a_reason_and_the_end() {
    let origin = origin();
    for request in [
        "GET /small HTTP/1.1\r\n\r\n",
        "GET /small HTTP/1.1\nHost: a\n\n",
        "\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello",
    ] {
        let mut client = Client::connect(origin.address());
        client.send(request);
        let response = client.response();
        assert_eq!((response.status(), response.field("connection")), (400, Some("close")), "{request:?}");
        assert!(response.text().len() > 10);
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn the_counts_include_all_requests() {
    let origin = origin_with(Config::default());
    let (mut one, mut other) = (Client::connect(origin.address()), Client::connect(origin.address()));
    one.get("/small");
    one.get("/small");
    other.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    other.response();
    let counts = origin.counts();
    assert_eq!((counts.connections, counts.open, counts.requests, counts.content_bytes), (2, 2, 3, 5));
}
