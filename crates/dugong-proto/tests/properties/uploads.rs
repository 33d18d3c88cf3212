//! Content that is copied, and content that is sent straight from where it is.

use dugong_proto::{Announced, Connection, Fields, MAX_CHUNK, Method, Outstanding, RequestHead, Sent};

use crate::exchanges::{Field, expected_pairs, to_fields};
use crate::parsed::Parsed;

pub(crate) fn upload_both_ways(has_length: bool, writes: &[Vec<u8>], trailers: &[Field], takes: &[usize]) {
    let content = writes.concat();
    let trailers = if has_length { &[] } else { trailers };
    let mut head = RequestHead::new(Method::PUT, "/").expect("a valid target");
    head.content = if has_length { Announced::Length(content.len() as u64) } else { Announced::Chunked };
    let next = RequestHead::new(Method::POST, "/next").expect("a valid target");

    let copied = upload_by_copy(&head, writes, &to_fields(trailers), &next);
    let offered = upload_by_offer(&head, writes, &to_fields(trailers), &next, takes);
    assert!(offered == copied, "offered:\n{}\ncopied:\n{}", offered.escape_ascii(), copied.escape_ascii());

    let mut rest = copied.as_slice();
    let parsed = Parsed::take(&mut rest);
    assert_eq!(parsed.content, content);
    assert_eq!(parsed.trailers, expected_pairs(trailers));
    let chunks = writes.iter().flat_map(|write| write.chunks(MAX_CHUNK)).map(<[u8]>::len);
    assert!(has_length || chunks.eq(parsed.chunks), "a write is a chunk, unless it is too long");
    assert_eq!(Parsed::take(&mut rest).target, "/next");
    assert_eq!(rest, b"");
}

fn upload_by_copy(head: &RequestHead, writes: &[Vec<u8>], trailers: &Fields, next: &RequestHead) -> Vec<u8> {
    let mut connection = Connection::new("example.org").expect("a valid host");
    connection.send_request(head).expect("a valid request");
    for write in writes {
        let mut left = write.as_slice();
        while !left.is_empty() {
            let taken = connection.send_content(left).expect("content is due");
            left = &left[taken..];
        }
    }
    connection.finish_content(trailers).expect("all content was sent");
    connection.send_request(next).expect("the first request is complete");
    connection.to_send().to_vec()
}

/// A transport that takes some bytes at a time, straight from where they are.
struct Transport<'a> {
    wire: Vec<u8>,
    takes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    calls: usize,
}

impl Transport<'_> {
    fn write(&mut self, parts: &[&[u8]]) -> usize {
        self.calls += 1;
        // Every second time it takes at least one byte, so that it ends.
        let mut left = (*self.takes.next().expect("a cycle")).max(self.calls % 2);
        let before = self.wire.len();
        for part in parts {
            let count = part.len().min(left);
            self.wire.extend_from_slice(&part[..count]);
            left -= count;
        }
        self.wire.len() - before
    }
}

fn upload_by_offer(head: &RequestHead, writes: &[Vec<u8>], trailers: &Fields, next: &RequestHead, takes: &[usize]) -> Vec<u8> {
    let mut transport = Transport { wire: Vec::new(), takes: takes.iter().cycle(), calls: 0 };
    let (mut send, _, mut queue) = Connection::new("example.org").expect("a valid host").into_parts();
    let sent = |queue: &Outstanding| queue.unanswered().map(|unanswered| unanswered.sent).collect::<Vec<_>>();
    send.request(head, &Fields::new(), &mut queue).expect("a valid request");
    assert_eq!(sent(&queue), [Sent::Nothing]);
    for write in writes.iter().filter(|_| head.content.is_some()) {
        let mut left = write.as_slice();
        loop {
            if !send.owes_content() {
                assert!(left.is_empty());
                break;
            }
            let offer = send.offer(left.len(), &mut queue).expect("content is due");
            let count = transport.write(&[send.to_send(), offer.prefix(), &left[..offer.take], offer.suffix()]);
            let taken = send.sent_offer(&offer, left, count, &mut queue);
            left = &left[taken..];
            let whole = !send.owes_content() && send.to_send().is_empty();
            let expected = match transport.wire.len() {
                0 => Sent::Nothing,
                _ if whole => Sent::Whole,
                _ => Sent::Partly,
            };
            assert_eq!(sent(&queue), [expected]);
            if left.is_empty() {
                break;
            }
        }
    }
    send.finish(trailers, &mut queue).expect("all content was sent");
    let end = transport.wire.len() + send.to_send().len();
    send.request(next, &Fields::new(), &mut queue).expect("the first request is complete");
    while !send.to_send().is_empty() {
        let count = transport.write(&[send.to_send()]);
        send.sent(count, &mut queue);
        let (at, all) = (transport.wire.len(), transport.wire.len() + send.to_send().len());
        let first = [Sent::Nothing, Sent::Partly, Sent::Whole][usize::from(at > 0) + usize::from(at >= end)];
        let second = [Sent::Nothing, Sent::Partly, Sent::Whole][usize::from(at > end) + usize::from(at >= all)];
        assert_eq!(sent(&queue), [first, second]);
    }
    transport.wire
}
