//! A reader of response heads: a status line, then a header section, however they are cut.

use crate::error::{Error, Malformed};
use crate::field_section::{Fault, Fed, SectionReader};
use crate::limits::Limits;
use crate::response::{BadLine, ResponseHead, StatusLineReader};

#[derive(Clone, Debug)]
pub(crate) struct HeadReader {
    pub(crate) head: ResponseHead,
    status_line: StatusLineReader,
    section: SectionReader,
    part: Part,
    /// The position of the head in the connection's bytes.
    pub(crate) start: u64,
    /// The position of its header section.
    pub(crate) section_start: u64,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    StatusLine,
    Section,
}

/// How far the reader has come in its input.
pub(crate) enum HeadFed {
    /// All input belongs to the head, and more is needed.
    More,
    /// The head ended before this index.
    End(usize),
}

impl HeadReader {
    pub(crate) fn new(limits: Limits) -> Self {
        HeadReader {
            head: ResponseHead::empty(),
            status_line: StatusLineReader::new(limits.status_line),
            section: SectionReader::new(limits.header_section, limits.fields, Malformed::HeaderSectionTooLong),
            part: Part::StatusLine,
            start: 0,
            section_start: 0,
        }
    }

    /// Prepares for a head that begins at `start` of the connection's bytes.
    pub(crate) fn begin(&mut self, start: u64) {
        self.head.reason.clear();
        self.section.begin(&mut self.head.fields);
        self.part = Part::StatusLine;
        self.start = start;
    }

    /// Gives up memory that is not needed between heads.
    pub(crate) fn shrink(&mut self) {
        self.section.shrink();
    }

    /// Reads on in `input`, which begins at `offset` of the connection's bytes.
    pub(crate) fn feed(&mut self, input: &[u8], offset: u64) -> Result<HeadFed, Error> {
        let place = |at: isize| offset.wrapping_add_signed(at as i64);
        let mut begun = 0;
        if let Part::StatusLine = self.part {
            begun = match self.status_line.feed(input, &mut self.head) {
                Ok(Some(end)) => end,
                Ok(None) => return Ok(HeadFed::More),
                Err(Fault { what: BadLine::Malformed(what), at, found }) => {
                    return Err(Error::Remote { what, at: place(at), found });
                }
                Err(Fault { what: BadLine::Unsupported(what), at, found }) => {
                    return Err(Error::Unsupported { what, at: place(at), found });
                }
            };
            self.section_start = offset + begun as u64;
            self.part = Part::Section;
        }
        match self.section.feed(&input[begun..], &mut self.head.fields) {
            Ok(Fed::More) => Ok(HeadFed::More),
            Ok(Fed::End(end)) => Ok(HeadFed::End(begun + end)),
            Err(Fault { what, at, found }) => Err(Error::Remote { what, at: place(begun as isize + at), found }),
        }
    }
}
