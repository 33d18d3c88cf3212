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
    /// See [`left`](Body::left). Content that the connection ends has no other end.
    left: u64,
    chunked: ChunkedReader,
    trailers: Fields,
    /// How many bytes of content were taken.
    received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The kind of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Content.
    Content,
    /// Framing: a size line, the end of a chunk, or trailers.
    Framing,
    /// None: the content is complete.
    End,
}

impl Body {
    pub(crate) fn new(limits: Limits) -> Self {
        Body { kind: Kind::Length(0), left: 0, chunked: ChunkedReader::new(limits), trailers: Fields::new(), received: 0 }
    }

    /// Begins content of `total` bytes.
    pub(crate) fn begin_length(&mut self, total: u64) {
        self.begin(Kind::Length(total), total);
    }

    /// Begins chunked content.
    pub(crate) fn begin_chunked(&mut self) {
        self.chunked.restart();
        self.begin(Kind::Chunked, 0);
    }

    /// Begins content that ends with the connection.
    pub(crate) fn begin_until_close(&mut self) {
        self.begin(Kind::UntilClose, u64::MAX);
    }

    fn begin(&mut self, kind: Kind, left: u64) {
        self.kind = kind;
        self.left = left;
        self.received = 0;
        self.trailers.clear();
    }

    /// Ends the content before its time, or when the connection ends it.
    pub(crate) fn end(&mut self) {
        self.left = 0;
    }

    /// How many of the next bytes are content, up to the end or the next framing.
    #[inline]
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn next(&self) -> Next {
        match self.kind {
            _ if self.left > 0 => Next::Content,
            Kind::Chunked => Next::Framing,
            Kind::Length(_) | Kind::UntilClose => Next::End,
        }
    }

    /// Reads the framing before the next content.
    pub(crate) fn read_framing(&mut self, input: &[u8]) -> Result<Framed, Fault> {
        let framed = self.chunked.feed(input, &mut self.trailers)?;
        if let Framed::Data(_, size) = framed {
            self.left = size;
        }
        Ok(framed)
    }

    /// Reads the framing between two chunks, if all of it is at the start of `input` and is usual. Returns where the next chunk's
    /// data begins.
    #[inline]
    pub(crate) fn read_next_size(&mut self, input: &[u8]) -> Option<usize> {
        if self.kind != Kind::Chunked {
            return None;
        }
        let (at, size) = self.chunked.read_next_size(input)?;
        self.left = size;
        Some(at)
    }

    /// Counts `count` bytes of content that were taken.
    #[inline]
    pub(crate) fn taken(&mut self, count: u64) {
        // If the connection ends the content, this does not get to 0: no connection carries 2^64 bytes.
        self.left -= count;
        self.received += count;
    }

    /// Whether the content may end with the connection.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.kind == Kind::UntilClose
    }

    /// Describes the content if nothing more comes.
    pub(crate) fn incomplete(&self) -> Incomplete {
        let (within, expected) = match self.kind {
            Kind::Length(total) => (Within::Content, Some(total)),
            Kind::Chunked if self.left == 0 => (self.chunked.within(), None),
            Kind::Chunked | Kind::UntilClose => (Within::Content, None),
        };
        Incomplete { within, received: self.received, expected }
    }

    /// The announced length.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.kind {
            Kind::Length(total) => Some(total),
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
