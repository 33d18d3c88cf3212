//! Ranges, entity tags and versions.

use crate::client::{Client, bytes, origin, origin_with};
use dugong_origin::{Config, Origin, document};

fn with(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

/// A document far larger than any disk.
const HUGE: &str = "/bytes/9000000000000000000?seed=5";

#[test]
fn a_range_is_a_part_of_the_document() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(with("/bytes/1000?seed=2", "Range: bytes=990-"));
    let response = client.response();
    assert_eq!((response.status(), response.field("content-range")), (206, Some("bytes 990-999/1000")));
    assert_eq!((response.field("content-length"), response.field("accept-ranges")), (Some("10"), Some("bytes")));
    assert_eq!(response.content, bytes(2, 1000)[990..]);
    client.send(with("/doc/7", "Range: bytes=-5"));
    let document = document("7");
    assert_eq!(client.response().content, document[document.len() - 5..]);
    client.send(with("/chunked/1000?chunk=3", "Range: bytes=10-19"));
    assert_eq!(client.response().content, bytes(0, 20)[10..]);
    client.send(with("/small", "Range: bytes=2-6"));
    assert_eq!(client.response().content, b"small");
    let mut wanted = vec![0; 7];
    dugong_origin::fill(5, 8_123_456_789_012_345_678, &mut wanted);
    client.send(with(HUGE, "Range: bytes=8123456789012345678-8123456789012345684"));
    assert_eq!(client.response().content, wanted);
}

#[test]
fn a_range_beyond_the_end_is_416() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send(with("/bytes/10", "Range: bytes=10-"));
    let response = client.response();
    assert_eq!((response.status(), response.field("content-range")), (416, Some("bytes */10")));
    assert!(response.field("etag").is_some());
    assert_eq!(client.get("/bytes/10").content, bytes(0, 10));
}

#[test]
fn a_server_may_ignore_or_get_ranges_wrong() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    for (habit, status, named, length) in [
        ("yes", 206, Some("bytes 2-5/10"), 4),
        ("no", 200, None, 10),
        ("shifted", 206, Some("bytes 3-6/10"), 4),
        ("half", 206, Some("bytes 2-3/10"), 2),
        ("wrong-total", 206, Some("bytes 2-5/11"), 4),
        ("unknown-total", 206, Some("bytes 2-5/*"), 4),
        ("unnamed", 206, None, 4),
    ] {
        client.send(with(&format!("/bytes/10?ranges={habit}"), "Range: bytes=2-5"));
        let response = client.response();
        assert_eq!((response.status(), response.field("content-range")), (status, named), "{habit}");
        let start = if status == 206 { 2 } else { 0 };
        assert_eq!(response.content, bytes(0, 10)[start..start + length], "{habit}");
        assert_eq!(response.field("accept-ranges").is_some(), habit != "no", "{habit}");
    }
}

#[test]
fn a_version_changes_content_and_entity_tag() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let (target, doc) = ("/bytes/100?seed=1", "/doc/1");
    let old = client.get(target).field("etag").unwrap().to_owned();
    assert_eq!(client.get(target).field("etag"), Some(old.as_str()));
    assert_ne!(client.get("/bytes/100?seed=2").field("etag"), Some(old.as_str()));
    origin.set_version(4);
    let response = client.get(target);
    assert_ne!(response.field("etag"), Some(old.as_str()));
    assert_eq!(response.content, bytes(5, 100));
    assert_eq!(client.get(doc).content, document("1@4"));
    client.send("PUT /version/0 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.get(target).field("etag"), Some(old.as_str()));
}

#[test]
fn conditions_are_evaluated() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    let tag = client.get("/doc/1").field("etag").unwrap().to_owned();
    for (fields, status) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: W/{tag}"), 304),
        ("If-None-Match: \"x\"".to_owned(), 200),
        (format!("If-Match: {tag}"), 200),
        ("If-Match: \"x\"".to_owned(), 412),
        (format!("If-Range: {tag}\r\nRange: bytes=0-0"), 206),
        ("If-Range: \"x\"\r\nRange: bytes=0-0".to_owned(), 200),
    ] {
        client.send(with("/doc/1", &fields));
        let response = client.response();
        assert_eq!((response.status(), response.field("etag")), (status, Some(tag.as_str())), "{fields}");
    }
    let weak = format!("W/{tag}");
    assert_eq!(client.get("/doc/1?etag=weak").field("etag"), Some(weak.as_str()));
    assert_eq!(client.get("/doc/1?etag=none").field("etag"), None);
    client.send(with("/doc/1?etag=weak", &format!("If-Range: {weak}\r\nRange: bytes=0-0")));
    assert_eq!(client.response().status(), 200);
}

#[test]
fn head_has_no_ranges() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send("HEAD /bytes/100 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 100\r\n"), "{head}");
}

#[test]
fn files_of_a_directory_are_documents_with_a_listing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "hello").unwrap();
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    let origin = origin_with(Config { files: Some(folder.path().to_owned()), ..Config::default() });
    let mut client = Client::connect(origin.address());
    client.send(with("/files/a", "Range: bytes=1-2"));
    let response = client.response();
    assert_eq!((response.status(), response.field("content-range")), (206, Some("bytes 1-2/5")));
    assert_eq!(response.content, b"el");
    assert_eq!(client.get("/files/").content, b"<a href=\"a\">a</a>\n");
    assert_eq!(client.get("/files/directory").status(), 404);
    let missing = Origin::start(Config { files: Some(folder.path().join("b")), ..Config::default() });
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
