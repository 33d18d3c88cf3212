//! Receives content: counts it, hashes it on request, and does not keep it.

use std::time::Duration;

use memchr::memchr;
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Content};
use crate::digest;
use crate::request::{Refusal, RequestFraming, bad, field_line};
use crate::route::{Reception, Report};

/// The content of one request being received, and its answer.
#[derive(Debug)]
pub(crate) struct Upload {
    state: State,
    received: u64,
    hasher: Option<Sha256>,
    report: Report,
    answer: Answer,
    delay: Duration,
    refuse: Option<(u64, u16)>,
    counted: Option<Box<str>>,
}

/// The position of the next byte in the content. The chunked states follow the grammar of RFC 9112 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Counted { left: u64 },
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailers { lines: usize },
    Complete,
}

impl Upload {
    pub(crate) fn new(reception: Reception, delay: Duration) -> Self {
        let state = match reception.framing {
            RequestFraming::None | RequestFraming::Length(0) => State::Complete,
            RequestFraming::Length(left) => State::Counted { left },
            RequestFraming::Chunked => State::ChunkSize,
        };
        Self {
            state,
            received: 0,
            hasher: (reception.report == Report::Digest).then(Sha256::new),
            report: reception.report,
            answer: reception.answer,
            delay,
            refuse: reception.refuse,
            counted: reception.counted,
        }
    }

    /// The time between the end of the content and the answer.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// The ID under which the content is counted.
    pub(crate) fn counted(&self) -> Option<&str> {
        self.counted.as_deref()
    }

    /// The refusal of the rest, if the request asked for it at this point.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let (_, status) = self.refuse.filter(|(count, _)| self.received >= *count && !self.is_complete())?;
        Some(Refusal { status, reason: "no room for the rest of this content" })
    }

    /// The bytes of content so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Reads from the front of `bytes`, and returns how many it took: all, those before an incomplete line, or those up to the end.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.state {
                State::Complete => return Ok(at),
                State::Counted { left } => {
                    let count = self.take_content(rest, left);
                    at += count;
                    let left = left - count as u64;
                    self.state = if left == 0 { State::Complete } else { State::Counted { left } };
                    if left != 0 {
                        return Ok(at);
                    }
                }
                State::ChunkData { left } => {
                    let count = self.take_content(rest, left);
                    at += count;
                    let left = left - count as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData { left } };
                    if left != 0 {
                        return Ok(at);
                    }
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers { .. } => match line(rest)? {
                    None => return Ok(at),
                    Some(line) => {
                        at += line.len() + 2;
                        self.state = self.after_line(line)?;
                    }
                },
            }
        }
    }

    /// Returns the answer to the complete content.
    pub(crate) fn finish(self) -> Answer {
        let mut answer = self.answer;
        if self.report != Report::Nothing {
            let digest = match self.hasher {
                Some(hasher) => format!("\"{}\"", digest::hex(&digest::finish(hasher))),
                None => "null".to_owned(),
            };
            answer.content = Content::json(format!("{{\"length\":{},\"sha256\":{digest}}}", self.received));
        }
        answer
    }

    fn take_content(&mut self, rest: &[u8], left: u64) -> usize {
        let count = left.min(rest.len() as u64) as usize;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&rest[..count]);
        }
        self.received += count as u64;
        count
    }

    fn after_line(&self, line: &[u8]) -> Result<State, Refusal> {
        match self.state {
            State::ChunkSize => match chunk_size(line)? {
                0 => Ok(State::Trailers { lines: 0 }),
                left => Ok(State::ChunkData { left }),
            },
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
            State::ChunkEnd => Err(bad("a chunk is longer than its size")),
            State::Trailers { .. } if line.is_empty() => Ok(State::Complete),
            State::Trailers { lines: MAX_TRAILERS } => Err(Refusal { status: 431, reason: "too many trailer fields" }),
            State::Trailers { lines } => field_line(line).map(|_| State::Trailers { lines: lines + 1 }),
            State::Counted { .. } | State::ChunkData { .. } | State::Complete => {
                unreachable!("these states have no lines")
            }
        }
    }
}

/// Returns the line at the front of `bytes` without its CRLF; `None` if it is incomplete.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    match memchr(b'\n', &bytes[..bytes.len().min(MAX_LINE)]) {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => Ok(Some(&bytes[..end - 1])),
        Some(_) => Err(bad("bare LF in chunked content")),
        None if bytes.len() >= MAX_LINE => Err(bad("a chunk or trailer line is too long")),
        None => Ok(None),
    }
}

/// Parses one to 15 hex digits, and ignores an extension.
fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let end = memchr(b';', line).unwrap_or(line.len());
    let (size, extension) = line.split_at(end);
    if size.is_empty() || size.len() > 15 || extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(bad("not a chunk size"));
    }
    size.iter().try_fold(0, |value, digit| match char::from(*digit).to_digit(16) {
        Some(digit) => Ok(value * 16 + u64::from(digit)),
        None => Err(bad("not a chunk size")),
    })
}

const MAX_LINE: usize = 8 * 1024;
const MAX_TRAILERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(framing: RequestFraming) -> Upload {
        Upload::new(
            Reception {
                framing,
                says_continue: false,
                report: Report::Digest,
                answer: Answer::new(Content::json(String::new())),
                refuse: None,
                counted: None,
            },
            Duration::ZERO,
        )
    }

    #[test]
    fn chunked_content_is_the_same_in_every_cut() {
        let wire = b"5\r\nhello\r\nA;x=\"1\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nrest";
        for cut in 0..=wire.len() {
            let mut upload = upload(RequestFraming::Chunked);
            let first = upload.take(&wire[..cut]).unwrap();
            let second = upload.take(&wire[first..]).unwrap();
            assert!(upload.is_complete(), "cut at {cut}");
            assert_eq!((first + second, upload.received()), (wire.len() - 4, 15), "cut at {cut}");
        }
    }

    #[test]
    fn content_ends_with_its_length() {
        let mut upload = upload(RequestFraming::Length(3));
        assert_eq!(upload.take(b"ab"), Ok(2));
        assert!(!upload.is_complete());
        assert_eq!(upload.take(b"cGET"), Ok(1));
        assert!(upload.is_complete());
    }

    #[test]
    fn faulty_chunks_are_refused() {
        for wire in
            ["5 \r\nhello", "+5\r\n", "\r\n", "0x5\r\n", "5\nhello", "2\r\nabc\r\n", "0\r\nno colon\r\n", "0123456789abcdef\r\n"]
        {
            assert!(upload(RequestFraming::Chunked).take(wire.as_bytes()).is_err(), "{wire:?}");
        }
    }
}
