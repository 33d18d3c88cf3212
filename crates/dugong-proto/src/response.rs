//! Heads of responses: status line and header section (RFC 9112 §4).

use std::borrow::Cow;
use std::fmt;

use crate::error::{Malformed, Unsupported};
use crate::excerpt::Excerpt;
use crate::field_section::Fault;
use crate::fields::{Fields, latin1};
use crate::grammar::{CR, LF, SP, text_run};
use crate::status::Status;

/// The version of a response, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or any later minor version, which is handled alike (RFC 9110 §6.2).
    Http11,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        })
    }
}

/// The head of a response: status line and header section.
pub struct ResponseHead {
    pub(crate) version: Version,
    pub(crate) status: Status,
    pub(crate) reason: Vec<u8>,
    pub(crate) fields: Fields,
}

impl ResponseHead {
    /// A head for a reader to fill. Its status has no meaning before that.
    pub(crate) fn empty() -> Self {
        ResponseHead { version: Version::Http11, status: Status(0), reason: Vec::new(), fields: Fields::new() }
    }

    /// The version of HTTP that the server speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase as the server sent it; often empty. It has no meaning (RFC 9112 §4).
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// The reason phrase as text. Each byte is one character (ISO 8859-1).
    #[must_use]
    pub fn reason_text(&self) -> Cow<'_, str> {
        latin1(&self.reason)
    }

    /// The beginning of the status line, for an error about the head.
    pub(crate) fn excerpt(&self) -> Excerpt {
        let mut line = Excerpt::of(format!("HTTP/{} {} ", self.version, self.status).as_bytes());
        line.push(&self.reason);
        line
    }

    /// The header section.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}

/// [`clone_from`](Clone::clone_from) uses the memory of the old head again.
impl Clone for ResponseHead {
    fn clone(&self) -> Self {
        let ResponseHead { version, status, reason, fields } = self;
        ResponseHead { version: *version, status: *status, reason: reason.clone(), fields: fields.clone() }
    }

    fn clone_from(&mut self, other: &Self) {
        (self.version, self.status) = (other.version, other.status);
        self.reason.clone_from(&other.reason);
        self.fields.clone_from(&other.fields);
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("version", &self.version)
            .field("status", &self.status)
            .field("reason", &self.reason_text())
            .field("fields", &self.fields)
            .finish()
    }
}

/// A fault of a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadLine {
    Malformed(Malformed),
    Unsupported(Unsupported),
}

/// A fault, and its index in the input; see [`Fault`].
type Place = (BadLine, isize);

/// Reads status lines incrementally. Each byte is read once.
#[derive(Clone, Debug)]
pub(crate) struct StatusLineReader {
    /// How many bytes of the line were read.
    read: usize,
    state: StatusLineState,
    status: u16,
    limit: usize,
    /// The beginning of a line that came in pieces, in case an error has to quote it.
    kept: Excerpt,
}

#[derive(Clone, Copy, Debug)]
enum StatusLineState {
    /// In `HTTP/1.x SSS`, where each place allows few bytes.
    Fixed,
    Reason,
    LineLf,
    /// After a CR in place of the status.
    NoStatusLf,
}

/// Length of `HTTP/1.x SSS`.
const FIXED: usize = 12;

/// The first byte of a TLS alert (RFC 8446 §5.1).
const TLS_ALERT: u8 = 21;

impl StatusLineReader {
    pub(crate) fn new(limit: usize) -> Self {
        StatusLineReader { read: 0, state: StatusLineState::Fixed, status: 0, limit, kept: Excerpt::EMPTY }
    }

    /// Reads on in `input`, and fills in `head`. Returns the index after the line, or `None` if it needs more.
    pub(crate) fn feed(&mut self, input: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Fault<BadLine>> {
        if let Some(end) = self.whole_line(input, head) {
            return Ok(Some(end));
        }
        let end = self.read(input, head).map_err(|(what, at)| {
            let found = Excerpt::of_line(self.kept.as_bytes(), input, self.read.wrapping_add_signed(at));
            Fault { what, at, found }
        })?;
        if end.is_none() {
            self.read += input.len();
            self.kept.push(input);
        }
        Ok(end)
    }

    fn read(&mut self, input: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Place> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                StatusLineState::Fixed => {
                    self.state = self.fixed(self.read + at, byte, head).map_err(|what| (what, at as isize))?;
                    at += 1;
                }
                StatusLineState::Reason => {
                    let allowed = self.limit.saturating_sub(self.read).clamp(at, input.len());
                    let run = text_run(&input[at..allowed]);
                    head.reason.extend_from_slice(&input[at..at + run]);
                    at += run;
                    match input.get(at) {
                        None => break,
                        Some(&CR) => self.state = StatusLineState::LineLf,
                        Some(_) if at == allowed => return Err(malformed(Malformed::StatusLineTooLong, at)),
                        Some(&LF) => return Err(malformed(Malformed::BareLf, at)),
                        Some(_) => return Err(malformed(Malformed::ReasonPhrase, at)),
                    }
                    at += 1;
                }
                StatusLineState::LineLf if byte == LF => {
                    head.status = Status(self.status);
                    *self = StatusLineReader::new(self.limit);
                    return Ok(Some(at + 1));
                }
                StatusLineState::NoStatusLf if byte == LF => {
                    return Err((BadLine::Unsupported(Unsupported::NoStatus), at as isize - 1));
                }
                StatusLineState::LineLf | StatusLineState::NoStatusLf => return Err(malformed(Malformed::BareCr, at)),
            }
        }
        Ok(None)
    }

    /// Reads the line if all of it is in `input`, and if it begins like nearly every status line.
    fn whole_line(&self, input: &[u8], head: &mut ResponseHead) -> Option<usize> {
        let start = input.first_chunk::<{ FIXED + 1 }>().filter(|_| self.read == 0)?;
        let digits = [start[9], start[10], start[11]].map(|byte| byte.wrapping_sub(b'0'));
        let is_status = digits[0].wrapping_sub(1) < 9 && digits[1] <= 9 && digits[2] <= 9;
        if &start[..9] != b"HTTP/1.1 " || !is_status || start[FIXED] != SP {
            return None;
        }
        let rest = &input[FIXED + 1..];
        let run = text_run(rest);
        if FIXED + 1 + run > self.limit || rest.get(run..run + 2) != Some(b"\r\n") {
            return None;
        }
        head.version = Version::Http11;
        head.status = Status(u16::from(digits[0]) * 100 + u16::from(digits[1]) * 10 + u16::from(digits[2]));
        head.reason.extend_from_slice(&rest[..run]);
        Some(FIXED + 1 + run + 2)
    }

    /// Reads one byte of `HTTP/1.x SSS`, or the byte after it.
    fn fixed(&mut self, place: usize, byte: u8, head: &mut ResponseHead) -> Result<StatusLineState, BadLine> {
        match (place, byte) {
            (0..=4, _) if byte == b"HTTP/"[place] => {}
            (0, TLS_ALERT) => return Err(BadLine::Unsupported(Unsupported::Tls)),
            (0..=4, _) => return Err(BadLine::Unsupported(Unsupported::NotHttp)),
            (5, b'1') | (6, b'.') => {}
            (7, b'0') => head.version = Version::Http10,
            (7, b'1'..=b'9') => head.version = Version::Http11,
            (8, SP) => {}
            (8 | 9, CR) => return Ok(StatusLineState::NoStatusLf),
            (8..=FIXED, LF) => return Err(BadLine::Malformed(Malformed::BareLf)),
            (5..=7, _) | (8, _) => return Err(BadLine::Unsupported(Unsupported::Version)),
            (9, b'1'..=b'9') => self.status = u16::from(byte - b'0'),
            (10 | 11, b'0'..=b'9') => self.status = self.status * 10 + u16::from(byte - b'0'),
            (9..=11, _) => return Err(BadLine::Malformed(Malformed::StatusCode)),
            (FIXED, SP) => return Ok(StatusLineState::Reason),
            (FIXED, CR) => return Ok(StatusLineState::LineLf),
            (_, _) => return Err(BadLine::Malformed(Malformed::StatusLine)),
        }
        Ok(StatusLineState::Fixed)
    }
}

fn malformed(what: Malformed, at: usize) -> Place {
    (BadLine::Malformed(what), at as isize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_the_same_however_it_is_cut() {
        let line = b"HTTP/1.1 404 N\xf6t here\r\n";
        for piece in 1..=line.len() {
            let mut reader = StatusLineReader::new(100);
            let mut head = ResponseHead::empty();
            let mut ends = line.chunks(piece).filter_map(|p| reader.feed(p, &mut head).unwrap());
            assert!(ends.next().is_some());
            assert_eq!((head.status(), head.reason()), (Status(404), &b"N\xf6t here"[..]));
            assert_eq!(head.reason_text(), "Nöt here");
        }
    }

    #[test]
    fn a_status_line_of_exactly_the_limit_is_read() {
        let mut reader = StatusLineReader::new(16);
        let mut head = ResponseHead::empty();
        assert_eq!(reader.feed(b"HTTP/1.1 200 abc\r\n", &mut head), Ok(Some(18)));
        head = ResponseHead::empty();
        let fault = reader.feed(b"HTTP/1.1 200 abcd\r\n", &mut head).unwrap_err();
        assert_eq!((fault.what, fault.at), malformed(Malformed::StatusLineTooLong, 16));
    }
}
