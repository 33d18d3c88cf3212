//! Bytes that are no responses, or nearly.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use dugong_proto::{Connection, Event, Method, RequestHead};

use crate::support::{Log, drain};

pub(crate) fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204 \r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 408 \r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length:",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:",
        "Connection: close\r\n",
        "X: y\r\n",
        " folded\r\n",
        "\r\n",
        "\r\n\r\n",
        "5\r\nhello\r\n",
        "5;x\r\nhello",
        "0\r\n\r\n",
        "0\r\n",
        "hello",
        " ",
        "\t",
        "\r",
        "\n",
        ":",
        "5",
        ",",
        "\0",
    ];
    let word = prop_oneof![12 => select(words).prop_map(|word| word.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)];
    prop_oneof![
        6 => vec(word, 0..14).prop_map(|words| words.concat()),
        1 => vec(any::<u8>(), 0..200),
    ]
}

#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    Replace(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
    Cut,
}

impl Spoil {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>, at: usize) {
        let at = at.min(bytes.len());
        let upto = |length: usize| (at + length).min(bytes.len());
        match self {
            Spoil::Replace(byte) => {
                let end = upto(1);
                bytes.splice(at..end, [*byte]);
            }
            Spoil::Insert(more) => drop(bytes.splice(at..at, more.iter().copied())),
            Spoil::Remove(length) => drop(bytes.drain(at..upto(*length))),
            Spoil::Repeat(length) => {
                let again = bytes[at..upto(*length)].to_vec();
                bytes.splice(at..at, again);
            }
            Spoil::Cut => bytes.truncate(at),
        }
    }
}

pub(crate) fn spoil() -> impl Strategy<Value = Spoil> {
    let telling = || select(b"\r\n \t:;,0159afHX\0\x7f\xff".to_vec());
    prop_oneof![
        3 => prop_oneof![telling(), any::<u8>()].prop_map(Spoil::Replace),
        3 => vec(telling(), 1..4).prop_map(Spoil::Insert),
        2 => (1usize..6).prop_map(Spoil::Remove),
        1 => (1usize..60).prop_map(Spoil::Repeat),
        1 => Just(Spoil::Cut),
    ]
}

/// Lengths of pieces. They start over when all were used.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1usize..4, 1usize..50, Just(5_000)], 1..20)
}

pub(crate) fn two_cuts() -> impl Strategy<Value = [Vec<usize>; 2]> {
    [cuts(), cuts()]
}

pub(crate) fn one_story(bytes: &[u8], end: bool, [first, second]: &[Vec<usize>; 2]) {
    assert_eq!(story_of(bytes, end, first), story_of(bytes, end, second), "{first:?} and {second:?}");
    no_more_than_announced(bytes);
}

const FIVE: [(&str, &str); 5] = [("GET", "/"), ("HEAD", "/"), ("PUT", "/"), ("GET", "/"), ("CONNECT", "example.org:1")];

fn connection_with_five_requests() -> Connection {
    let mut connection = Connection::new("example.org").expect("a valid host");
    for (method, target) in FIVE {
        let head = RequestHead::new(Method::new(method).expect("a valid method"), target).expect("a valid target");
        connection.send_request(&head).expect("a valid request");
    }
    connection.sent(connection.to_send().len());
    connection
}

/// The story of five requests to which `bytes` arrive.
fn story_of(bytes: &[u8], clean_end: bool, cuts: &[usize]) -> Vec<String> {
    let mut connection = connection_with_five_requests();
    let mut log = Log::default();
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() && !log.is_over() {
        let piece = rest.len().min(*cuts.next().expect("a cycle"));
        let taken = connection.receive(&rest[..piece]);
        assert!(taken > 0, "there is room when all events were taken");
        rest = &rest[taken..];
        drain(&mut connection, &mut log);
    }
    if clean_end {
        connection.receive_eof()
    } else {
        connection.receive_broken()
    }
    drain(&mut connection, &mut log);
    log.take(true)
}

/// Checks that the content of a response is never longer than its Content-Length, and that a response that can have no content
/// has none.
fn no_more_than_announced(bytes: &[u8]) {
    let mut connection = connection_with_five_requests();
    let mut allowed = usize::MAX;
    let mut methods = FIVE.iter().map(|(method, _)| *method);
    connection.receive(bytes);
    while let Ok(Some(event)) = connection.next_event() {
        match event {
            Event::Response(head) => {
                let head_was_asked = methods.next() == Some("HEAD");
                let length = head.fields().get("Content-Length").and_then(|value| value.parse().ok());
                allowed = match head.status().as_u16() {
                    204 | 304 => 0,
                    _ if head_was_asked => 0,
                    _ if head.fields().contains("Transfer-Encoding") => bytes.len(),
                    _ => length.unwrap_or(bytes.len()),
                };
            }
            Event::Content(content) => {
                allowed = allowed.checked_sub(content.len()).expect("no more content than was announced");
            }
            _ => {}
        }
    }
}
