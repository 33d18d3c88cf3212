//! A remote file in blocks.

use std::collections::VecDeque;

use bytes::Bytes;
use dugong_http::Status;
use dugong_session::ranges::{Ask, Blocks, FileOptions, RangeError};
use proptest::prelude::*;

use crate::server::{Answer, Server};

/// A reader of a file on a server, and the requests that it has sent.
struct Reader {
    blocks: Blocks,
    server: Server,
    in_flight: VecDeque<Ask>,
    asked: Vec<(u64, u64)>,
}

impl Reader {
    /// Blocks of 10 bytes, 40 of them in memory, 80 bytes ahead, 50 bytes in one request.
    fn new(server: Server) -> Self {
        Reader::with(server, |_| {})
    }

    fn with(server: Server, change: impl FnOnce(&mut FileOptions)) -> Self {
        let mut options = FileOptions::default();
        (options.block_size, options.blocks, options.read_ahead, options.request_size) = (10, 40, 80, 50);
        change(&mut options);
        let mut reader = Reader { blocks: Blocks::new("/file", options), server, in_flight: VecDeque::new(), asked: Vec::new() };
        reader.send();
        reader
    }

    fn send(&mut self) {
        while let Some(ask) = self.blocks.next_request() {
            let span = ask.span.unwrap();
            self.asked.push((span.start, span.end));
            self.in_flight.push_back(ask);
        }
    }

    fn answer_with(&mut self, change: impl FnOnce(Answer) -> Answer) -> Result<(), RangeError> {
        let ask = self.in_flight.pop_front().expect("no request is in flight");
        let answer = change(self.server.answer(&ask));
        self.blocks.take(ask.index, answer.status, &answer.fields, &answer.content)
    }

    fn open(mut self) -> Self {
        self.answer_with(|answer| answer).unwrap();
        self.asked.clear();
        self
    }

    fn read(&mut self, position: u64, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        self.blocks.want(position, length);
        self.send();
        while length > 0 && !self.blocks.is_ready(position) {
            self.answer_with(|answer| answer).unwrap();
        }
        let count = self.blocks.read(position, &mut buffer);
        buffer.truncate(count);
        buffer
    }

    /// The requests since the last call.
    fn asked(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.asked)
    }
}

#[test]
fn the_first_request_learns_the_size_and_brings_a_block() {
    let mut reader = Reader::new(Server::new(1000));
    assert_eq!((reader.blocks.size(), reader.asked()), (None, vec![(0, 10)]));
    let mut reader = reader.open();
    assert_eq!(reader.blocks.size(), Some(1000));
    assert_eq!(reader.read(3, 4), reader.server.content[3..7]);
    assert_eq!(reader.asked(), [], "that was no sequential read");
}

#[test]
fn a_short_file_needs_one_request() {
    for length in [0, 1, 9, 10] {
        let mut reader = Reader::new(Server::new(length)).open();
        assert_eq!(reader.blocks.size(), Some(length as u64));
        assert_eq!(reader.read(0, 100), reader.server.content);
        assert_eq!(reader.read(length as u64, 100), []);
        assert_eq!(reader.server.asked, 1);
    }
}

#[test]
fn a_read_fetches_the_blocks_that_it_touches_in_requests_of_some_length() {
    let mut reader = Reader::new(Server::new(1005)).open();
    assert_eq!(reader.read(995, 100), reader.server.content[995..]);
    assert_eq!(reader.asked(), [(990, 1005)]);
    assert_eq!(reader.read(500, 1), reader.server.content[500..501]);
    assert_eq!(reader.asked(), [(500, 510)]);
    reader.read(475, 111);
    assert_eq!(reader.asked(), [(470, 500), (510, 560), (560, 590)], "the middle is there");
}

#[test]
fn sequential_reads_read_ahead_and_double_the_distance() {
    let mut reader = Reader::new(Server::new(1000)).open();
    let mut distances = Vec::new();
    for position in (0..600).step_by(5) {
        assert_eq!(reader.read(position, 5), reader.server.content[position as usize..][..5]);
        distances.extend(reader.asked().iter().map(|(_, end)| end - position - 5));
    }
    assert_eq!(distances[..5], [25, 45, 65, 85, 85], "{distances:?}");
    assert!(distances.iter().all(|&distance| distance <= 90), "{distances:?}");
    assert!(reader.server.asked < 25, "{} requests", reader.server.asked);
    // Somewhere else, it begins anew.
    reader.read(900, 5);
    assert_eq!(reader.asked(), [(900, 910)]);
    reader.read(905, 5);
    assert_eq!(reader.asked(), [(910, 930)]);
}

#[test]
fn a_long_read_ends_early_so_that_memory_suffices() {
    let mut reader = Reader::new(Server::new(100_000)).open();
    let content = reader.server.content.clone();
    let mut position = 0;
    while position < content.len() {
        let piece = reader.read(position as u64, 50_000);
        assert_eq!(piece, content[position..position + piece.len()]);
        assert!(!piece.is_empty() && piece.len() <= 400);
        position += piece.len();
        assert!(reader.blocks.in_memory() <= 400);
        let most = reader.in_flight.iter().map(|ask| ask.span.unwrap().len()).sum::<u64>();
        assert!(most <= 300, "{most} bytes are in flight");
    }
}

#[test]
fn the_block_that_was_not_used_for_the_longest_time_goes_first() {
    let mut reader = Reader::with(Server::new(1000), |options| (options.blocks, options.read_ahead) = (8, 0)).open();
    for position in [100, 200, 300, 400, 500, 600, 700, 100, 800, 900] {
        reader.read(position, 1);
    }
    reader.asked();
    reader.read(100, 1);
    assert_eq!(reader.asked(), []);
    reader.read(0, 1);
    reader.read(200, 1);
    assert_eq!(reader.asked(), [(0, 10), (200, 210)]);
}

#[test]
fn the_whole_content_of_a_server_without_ranges_is_kept() {
    let mut reader = Reader::new(Server { ranges: false, ..Server::new(1000) }).open();
    assert_eq!(reader.blocks.size(), Some(1000));
    for (position, length) in [(0, 1000), (990, 100), (5, 1), (1000, 1), (2000, 1)] {
        let expected = reader.server.content.slice(position.min(1000)..(position + length).min(1000));
        assert_eq!(reader.read(position as u64, length), expected);
    }
    assert_eq!(reader.server.asked, 1);
}

#[test]
fn a_file_that_changes_is_an_error() {
    let mut reader = Reader::new(Server::new(1000)).open();
    reader.blocks.want(500, 1);
    reader.send();
    let error = reader.answer_with(|answer| answer.with("ETag", "\"v2\"")).unwrap_err();
    assert_eq!(error.to_string(), "/file has changed: its ETag was \"v1\", and is \"v2\" now; begin again");
    // A shorter version, and one in a 200.
    let mut reader = Reader::new(Server::new(1000)).open();
    reader.server = Server { etag: Some("\"v2\""), ..Server::new(505) };
    reader.blocks.want(500, 1);
    reader.send();
    let error = reader.answer_with(|answer| answer).unwrap_err();
    assert!(matches!(error, RangeError::Changed { what: "ETag", .. }), "{error}");
    reader.server.ranges = false;
    reader.blocks.want(500, 1);
    reader.send();
    let error = reader.answer_with(|answer| answer).unwrap_err();
    assert!(matches!(error, RangeError::Changed { what: "ETag", .. }), "{error}");
    assert_eq!(reader.read(0, 10), reader.server.content[..10], "what is in memory stays");
}

#[test]
fn wrong_answers_are_errors() {
    for (value, told) in [
        ("", "a 206 without Content-Range"),
        ("bytes 0-8/1000", "\"Content-Range: bytes 0-8/1000\""),
        ("bytes 0-9/*", "no complete length"),
        ("bytes 0-9/9", "a bad Content-Range \"bytes 0-9/9\": its range ends behind the complete length"),
    ] {
        let error = Reader::new(Server::new(1000)).answer_with(|answer| answer.with("Content-Range", value)).unwrap_err();
        assert_eq!(error.to_string(), format!("the server was asked for bytes 0-9 of /file and sent {told}"));
    }
    let short = |answer: Answer| Answer { content: Bytes::new(), ..answer };
    let error = Reader::new(Server::new(1000)).answer_with(short).unwrap_err();
    assert!(error.to_string().ends_with("sent 0 bytes of content"), "{error}");
    let error = Reader::new(Server::new(1000)).answer_with(|answer| answer.status(Status::FORBIDDEN)).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 403 to GET /file (Forbidden)");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_lost_request_matters_only_to_a_read_of_its_blocks() {
    let mut reader = Reader::new(Server::new(1000)).open();
    reader.read(0, 10);
    assert_eq!(reader.asked(), [(10, 30)]);
    let ahead = reader.in_flight.pop_front().unwrap();
    assert!(!reader.blocks.is_wanted(ahead.index));
    assert!(!reader.blocks.lost(ahead.index));
    reader.blocks.want(10, 1);
    reader.send();
    let needed = reader.in_flight.pop_front().unwrap();
    assert!(reader.blocks.lost(needed.index));
    // A later read asks again.
    assert_eq!(reader.read(10, 5), reader.server.content[10..15]);
}

#[test]
fn an_answer_that_cannot_be_used_matters_only_to_a_read_of_its_blocks() {
    let mut reader = Reader::new(Server::new(1000)).open();
    reader.read(0, 10);
    assert_eq!(reader.asked(), [(10, 30)]);
    reader.answer_with(|answer| answer.status(Status::SERVICE_UNAVAILABLE)).unwrap();
    reader.blocks.want(10, 1);
    reader.send();
    let error = reader.answer_with(|answer| answer.status(Status::SERVICE_UNAVAILABLE)).unwrap_err();
    assert_eq!(error.to_string(), "the server answered 503 to GET /file (Service Unavailable)");
    assert_eq!(reader.read(10, 5), reader.server.content[10..15]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_reads_give_the_bytes_of_the_file(
        length in 0_usize..2000,
        ranges in any::<bool>(),
        reads in proptest::collection::vec((0_u64..2100, 0_usize..900, any::<bool>()), 1..60),
    ) {
        let mut reader = Reader::new(Server { ranges, ..Server::new(length) }).open();
        let content = reader.server.content.clone();
        let mut next = 0;
        for (position, wanted, is_sequential) in reads {
            let position = if is_sequential { next } else { position };
            let found = reader.read(position, wanted);
            let rest = &content[(position as usize).min(length)..];
            prop_assert!(rest.starts_with(&found));
            prop_assert_eq!(found.is_empty(), rest.is_empty() || wanted == 0);
            next = position + found.len() as u64;
        }
        let most = if ranges { 400 } else { length };
        prop_assert!(reader.blocks.in_memory() <= most);
    }
}
