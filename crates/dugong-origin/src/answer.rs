//! One answer: its head, and its content, which is generated while it is sent.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::buffer::Buffer;
use crate::content;
use crate::digest;
use crate::files::File;
use crate::request::Refusal;
use crate::small;

/// A queued answer. It is small, however long its content is.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) is_http10: bool,
    /// A 103 (Early Hints) precedes it.
    pub(crate) hint: bool,
    pub(crate) content: Content,
    pub(crate) framing: Framing,
    /// Carries `Repr-Digest` (RFC 9530).
    pub(crate) digest: bool,
    pub(crate) head_only: bool,
    /// Fields of this answer alone.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// The bytes of the content that are sent: all without it.
    pub(crate) part: Option<Range<u64>>,
    /// The value of its `Connection` field.
    pub(crate) connection: Option<&'static str>,
    /// The connection ends after it, announced or not.
    pub(crate) closes: bool,
}

/// The content of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes { bytes: Vec<u8>, media_type: &'static str },
    Document(Box<str>),
    File(Arc<File>),
    Generated { length: u64, seed: u64 },
}

/// The framing that shows the client the end of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    UntilClose,
    Chunked(Chunking),
}

/// The form of chunked content (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunking {
    /// The bytes of each chunk but the last.
    pub(crate) size: u64,
    pub(crate) extension: bool,
    pub(crate) trailers: bool,
}

impl Content {
    pub(crate) fn text(bytes: Vec<u8>) -> Self {
        Self::Bytes { bytes, media_type: "text/plain" }
    }

    pub(crate) fn json(text: String) -> Self {
        Self::Bytes { bytes: text.into_bytes(), media_type: "application/json" }
    }
}

impl Answer {
    /// A 200 with a length.
    pub(crate) fn new(content: Content) -> Self {
        Self {
            status: 200,
            is_http10: false,
            hint: false,
            content,
            framing: Framing::Length,
            digest: false,
            head_only: false,
            fields: Vec::new(),
            part: None,
            connection: None,
            closes: false,
        }
    }

    /// One line of text under `status`.
    pub(crate) fn text(status: u16, line: &str) -> Self {
        Self { status, ..Self::new(Content::text(format!("{line}\n").into_bytes())) }
    }

    /// The answer of `/small` for requests that the prepared bytes do not fit.
    pub(crate) fn small() -> Self {
        Self::new(Content::text(small::CONTENT.to_vec()))
    }

    /// Turns into the refusal of a bad query, and keeps the decision about the connection.
    pub(crate) fn replace(&mut self, refusal: Refusal) {
        self.say_only(refusal.status, refusal.reason);
        self.framing = Framing::Length;
        self.fields.clear();
    }

    /// Replaces the content by one line of text.
    pub(crate) fn say_only(&mut self, status: u16, line: &str) {
        self.status = status;
        self.content = Content::text(format!("{line}\n").into_bytes());
        self.part = None;
        self.digest = false;
    }

    /// Announces that the connection ends after this answer.
    pub(crate) fn say_close(&mut self) {
        self.connection = Some("close");
        self.closes = true;
    }

    /// Writes the head to `out`, and returns the body, which writes the rest.
    pub(crate) fn start(self, out: &mut Buffer) -> Option<Body> {
        let (length, source, media_type) = match self.content {
            Content::Bytes { bytes, media_type } => (bytes.len() as u64, Source::Bytes(bytes), media_type),
            Content::File(file) => (file.bytes.len() as u64, Source::File(Arc::clone(&file)), file.media_type),
            Content::Document(id) => {
                let bytes = content::document(&id);
                (bytes.len() as u64, Source::Bytes(bytes), "text/plain")
            }
            Content::Generated { length, seed } => (length, Source::Generated { seed }, "application/octet-stream"),
        };
        let part = self.part.unwrap_or(0..length);
        let has_content = !matches!(self.status, 204 | 304);
        let mut head = Vec::with_capacity(512);
        if self.hint {
            head.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n");
        }
        let version = if self.is_http10 { "1.0" } else { "1.1" };
        let mut line = |text: std::fmt::Arguments<'_>| {
            head.write_fmt(text).and_then(|()| head.write_all(b"\r\n")).expect("a Vec takes all that is written to it");
        };
        line(format_args!("HTTP/{version} {} {}", self.status, reason(self.status)));
        line(format_args!("Date: {}", digest::http_date(SystemTime::now())));
        line(format_args!("Server: dugong-origin"));
        if has_content {
            line(format_args!("Content-Type: {media_type}"));
            match self.framing {
                Framing::Length => line(format_args!("Content-Length: {}", part.end - part.start)),
                Framing::UntilClose => {}
                Framing::Chunked(chunking) => {
                    line(format_args!("Transfer-Encoding: chunked"));
                    if chunking.trailers {
                        line(format_args!("Trailer: X-Checksum"));
                    }
                }
            }
        }
        if self.digest {
            line(format_args!("Repr-Digest: {}", digest::repr_digest(&source.sha256(length))));
        }
        for (name, value) in &self.fields {
            line(format_args!("{name}: {value}"));
        }
        if let Some(value) = self.connection {
            line(format_args!("Connection: {value}"));
        }
        line(format_args!(""));
        out.push(&head);
        (has_content && !self.head_only).then(|| Body::new(source, part, self.framing))
    }
}

/// Content that is being sent.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    /// The next byte of the content.
    offset: u64,
    end: u64,
    part: Part,
}

#[derive(Debug)]
enum Part {
    /// The content as it is.
    Plain,
    /// In chunked content, with `left` bytes of the current chunk still to be written.
    Chunk { left: u64, chunking: Chunking, checksum: Option<Sha256> },
}

impl Body {
    fn new(source: Source, Range { start, end }: Range<u64>, framing: Framing) -> Self {
        let part = match framing {
            Framing::Length | Framing::UntilClose => Part::Plain,
            Framing::Chunked(chunking) => Part::Chunk { left: 0, chunking, checksum: chunking.trailers.then(Sha256::new) },
        };
        Self { source, offset: start, end, part }
    }

    /// Writes until `out` holds about `high_water` bytes. Returns true when all is written.
    pub(crate) fn fill(&mut self, out: &mut Buffer, high_water: usize) -> bool {
        while out.len() < high_water {
            let left = self.end - self.offset;
            let room = (high_water - out.len()).min(PIECE) as u64;
            match &mut self.part {
                Part::Plain if left == 0 => return true,
                Part::Plain => {
                    self.source.write(self.offset, room.min(left) as usize, out);
                    self.offset += room.min(left);
                }
                Part::Chunk { left: 0, checksum, .. } if left == 0 => {
                    out.push(b"0\r\n");
                    if let Some(hasher) = checksum.take() {
                        out.push(format!("X-Checksum: {}\r\n", digest::hex(&digest::finish(hasher))).as_bytes());
                    }
                    out.push(b"\r\n");
                    return true;
                }
                Part::Chunk { left: in_chunk @ 0, chunking, .. } => {
                    *in_chunk = chunking.size.min(left);
                    let extension = if chunking.extension { ";part=\"a;b\"" } else { "" };
                    out.push(format!("{in_chunk:x}{extension}\r\n").as_bytes());
                }
                Part::Chunk { left: in_chunk, checksum, .. } => {
                    let count = room.min(*in_chunk);
                    let written = self.source.write(self.offset, count as usize, out);
                    if let Some(hasher) = checksum {
                        hasher.update(written);
                    }
                    self.offset += count;
                    *in_chunk -= count;
                    if *in_chunk == 0 {
                        out.push(b"\r\n");
                    }
                }
            }
        }
        false
    }
}

#[derive(Debug)]
enum Source {
    Bytes(Vec<u8>),
    File(Arc<File>),
    Generated { seed: u64 },
}

impl Source {
    /// Appends `count` bytes from `offset` on to `out`, and returns them.
    fn write<'a>(&self, offset: u64, count: usize, out: &'a mut Buffer) -> &'a [u8] {
        let space = &mut out.spare(count)[..count];
        match self {
            Self::Bytes(bytes) => space.copy_from_slice(&bytes[offset as usize..][..count]),
            Self::File(file) => space.copy_from_slice(&file.bytes[offset as usize..][..count]),
            Self::Generated { seed } => content::fill(*seed, offset, space),
        }
        out.commit(count);
        &out.unread()[out.len() - count..]
    }

    fn sha256(&self, length: u64) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => digest::sha256(bytes),
            Self::File(file) => digest::sha256(&file.bytes),
            Self::Generated { seed } => {
                let mut piece = vec![0; (PIECE as u64).min(length) as usize];
                let (mut hasher, mut offset) = (Sha256::new(), 0);
                while offset < length {
                    let count = (length - offset).min(PIECE as u64);
                    content::fill(*seed, offset, &mut piece[..count as usize]);
                    hasher.update(&piece[..count as usize]);
                    offset += count;
                }
                digest::finish(hasher)
            }
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The bytes generated at a time, few enough for the cache.
const PIECE: usize = 64 * 1024;
