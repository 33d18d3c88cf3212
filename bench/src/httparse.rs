//! A client that parses heads and chunk sizes with httparse, and checks nothing else.

use std::io;

use httparse::{EMPTY_HEADER, Response, Status, parse_chunk_size};

use crate::load::{Load, Work};
use crate::raw::{Looked, Reader};

/// Parses each head, and finds the length of the content.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    state: State,
    /// In uploads, the content of the answer is not counted.
    is_upload: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Head,
    /// The remaining bytes of content.
    Length(u64),
    /// The remaining bytes of a chunk and its line end.
    Chunk(u64),
    /// The end of an empty trailer section.
    Trailers,
}

enum Body {
    Length(u64),
    Chunked,
}

impl Reader for Parsed {
    fn begin(&mut self, load: Load) {
        self.is_upload = load.work == Work::E;
    }

    fn look(&mut self, received: &[u8]) -> io::Result<Looked> {
        let mut looked = Looked::default();
        loop {
            let rest = &received[looked.done..];
            match self.state {
                _ if rest.is_empty() => break,
                State::Head => {
                    let Some((length, body)) = head(rest)? else { break };
                    looked.done += length;
                    self.state = match body {
                        Body::Length(length) => State::Length(length),
                        Body::Chunked => State::Chunk(0),
                    };
                }
                State::Length(left) => {
                    let count = left.min(rest.len() as u64);
                    looked.done += count as usize;
                    looked.content += if self.is_upload { 0 } else { count };
                    self.state = State::Length(left - count);
                    if left == count {
                        looked.answers += 1;
                        self.state = State::Head;
                    }
                }
                State::Chunk(0) => match parse_chunk_size(rest).map_err(|_| invalid("a chunk size"))? {
                    Status::Partial => break,
                    Status::Complete((length, size)) => {
                        looked.done += length;
                        looked.content += size;
                        self.state = if size == 0 { State::Trailers } else { State::Chunk(size + 2) };
                    }
                },
                State::Chunk(left) => {
                    let count = left.min(rest.len() as u64);
                    looked.done += count as usize;
                    self.state = State::Chunk(left - count);
                }
                State::Trailers if rest.len() < 2 => break,
                State::Trailers if rest.starts_with(b"\r\n") => {
                    looked.done += 2;
                    looked.answers += 1;
                    self.state = State::Head;
                }
                State::Trailers => return Err(invalid("the end of chunks")),
            }
        }
        Ok(looked)
    }
}

/// The length of a head and what follows it; `None` if it is not complete.
fn head(received: &[u8]) -> io::Result<Option<(usize, Body)>> {
    let mut fields = [EMPTY_HEADER; 32];
    let mut response = Response::new(&mut fields);
    let Status::Complete(length) = response.parse(received).map_err(|_| invalid("a head"))? else { return Ok(None) };
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(|_| invalid("a length"))?;
            return Ok(Some((length, Body::Length(text.parse().map_err(|_| invalid("a length"))?))));
        }
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Some((length, Body::Chunked)));
        }
    }
    Err(invalid("a head without a length"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the origin sent {what} that this client does not understand"))
}
