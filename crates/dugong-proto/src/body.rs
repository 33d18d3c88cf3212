//! The content of a response: how much of it is still to come, and how it is framed.

use crate::chunked::{ChunkedReader, Framed};
use crate::error::{Incomplete, Within};
use crate::field_section::Fault;
use crate::fields::Fields;
use crate::limits::Limits;

/// The content that is being read.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    kind: Kind,
    chunked: ChunkedReader,
    trailers: Fields,
    /// How many bytes of content were taken.
    received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Length { left: u64, total: u64 },
    Chunked,
    UntilClose,
}

/// The kind of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Content, of at most this many bytes.
    Content(u64),
    /// Framing: a size line, the end of a chunk, or trailers.
    Framing,
    /// None: the content is complete.
    End,
}

impl Body {
    pub(crate) fn new(limits: Limits) -> Self {
        Body {
            kind: Kind::Length { left: 0, total: 0 },
            chunked: ChunkedReader::new(limits),
            trailers: Fields::new(),
            received: 0,
        }
    }

    /// Begins content of `total` bytes.
    pub(crate) fn begin_length(&mut self, total: u64) {
        self.begin(Kind::Length { left: total, total });
    }

    /// Begins chunked content.
    pub(crate) fn begin_chunked(&mut self) {
        self.chunked.restart();
        self.begin(Kind::Chunked);
    }

    /// Begins content that ends with the connection.
    pub(crate) fn begin_until_close(&mut self) {
        self.begin(Kind::UntilClose);
    }

    fn begin(&mut self, kind: Kind) {
        self.kind = kind;
        self.received = 0;
        self.trailers.clear();
    }

    pub(crate) fn next(&self) -> Next {
        match self.kind {
            Kind::Length { left: 0, .. } => Next::End,
            Kind::Length { left, .. } => Next::Content(left),
            Kind::Chunked if self.chunked.left() == 0 => Next::Framing,
            Kind::Chunked => Next::Content(self.chunked.left()),
            Kind::UntilClose => Next::Content(u64::MAX),
        }
    }

    /// Reads the framing before the next content.
    pub(crate) fn read_framing(&mut self, input: &[u8]) -> Result<Framed, Fault> {
        self.chunked.feed(input, &mut self.trailers)
    }

    /// Reads the framing between two chunks, if all of it is at the start of `input` and is usual. Returns where the next chunk's
    /// data begins.
    #[inline]
    pub(crate) fn read_next_size(&mut self, input: &[u8]) -> Option<usize> {
        if self.kind == Kind::Chunked { self.chunked.read_next_size(input) } else { None }
    }

    /// Counts `count` bytes of content that were taken.
    pub(crate) fn taken(&mut self, count: u64) {
        match &mut self.kind {
            Kind::Length { left, .. } => *left = left.checked_sub(count).expect("no more is used than was given"),
            Kind::Chunked => self.chunked.taken(count),
            Kind::UntilClose => {}
        }
        self.received += count;
    }

    /// Whether the content may end with the connection.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.kind == Kind::UntilClose
    }

    /// Describes the content if nothing more comes.
    pub(crate) fn incomplete(&self) -> Incomplete {
        let (within, expected) = match self.kind {
            Kind::Length { total, .. } => (Within::Content, Some(total)),
            Kind::Chunked => (self.chunked.within(), None),
            Kind::UntilClose => (Within::Content, None),
        };
        Incomplete { within, received: self.received, expected }
    }

    /// The announced length.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.kind {
            Kind::Length { total, .. } => Some(total),
            Kind::Chunked | Kind::UntilClose => None,
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }
}
