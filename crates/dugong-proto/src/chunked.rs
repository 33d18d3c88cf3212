//! The chunked transfer coding (RFC 9112 §7.1): one state per element of its grammar.
//!
//! The reader sees only what frames the content: size lines, the CRLF after a chunk's data, the last chunk and the trailer
//! section. The data itself is taken past it, `left` bytes at a time, straight to whoever wants it.

use crate::error::{Malformed, Within};
use crate::excerpt::Excerpt;
use crate::field_section::{Fault, Fed, SectionReader};
use crate::fields::Fields;
use crate::grammar::{CR, HTAB, LF, SP, hex_digit, is_ows, text_run};
use crate::limits::Limits;

#[derive(Clone, Debug)]
pub(crate) struct ChunkedReader {
    state: ChunkState,
    /// The size as read so far, then what is left of the chunk's data.
    left: u64,
    /// What is left for chunk extensions in this message, up to the current chunk.
    extension_budget: usize,
    limits: Limits,
    section: SectionReader,
    /// The beginning of a line that came in pieces, for the error that it may become.
    kept: Excerpt,
    /// How many bytes of that line came before.
    before: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the size, after so many digits.
    Size {
        digits: u8,
    },
    /// In blanks after the size, of which so many were read. They pad the size, or stand before `;`: the next byte shows it.
    Padding {
        count: usize,
    },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// What the framing says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// All input is used up, and the next thing is not known yet.
    More,
    /// The data of a chunk begins at this index, or goes on there.
    Data(usize),
    /// The message ended before this index.
    End(usize),
}

/// More digits than this could not be counted in 64 bits, and leading zeros are no reason to go on for ever.
const MAX_SIZE_DIGITS: u8 = 16;

/// Blanks between a size and CRLF. RFC 2616 allowed them, and servers that write sizes into a field of fixed width still send
/// them. RFC 9112 §7.1 does not, but no two readers can understand them differently as long as no digit follows.
const MAX_PADDING: usize = 16;

/// Bytes that each chunk adds to what its message may have in extensions, at most: some servers sign each chunk.
const EXTENSIONS_PER_CHUNK: u64 = 256;

impl ChunkedReader {
    pub(crate) fn new(limits: Limits) -> Self {
        ChunkedReader {
            state: ChunkState::Size { digits: 0 },
            left: 0,
            extension_budget: limits.chunk_extensions,
            limits,
            section: SectionReader::new(limits.trailer_section, limits.fields, Malformed::TrailerSectionTooLong),
            kept: Excerpt::EMPTY,
            before: 0,
        }
    }

    /// Makes ready for another message.
    pub(crate) fn restart(&mut self) {
        self.state = ChunkState::Size { digits: 0 };
        self.left = 0;
        self.extension_budget = self.limits.chunk_extensions;
        self.line_begins();
    }

    fn line_begins(&mut self) {
        self.kept.clear();
        self.before = 0;
    }

    /// Bytes left of the data of the current chunk; 0 if the framing has to be read first.
    pub(crate) fn left(&self) -> u64 {
        if self.state == ChunkState::Data { self.left } else { 0 }
    }

    /// `count` bytes of the current chunk's data were taken.
    pub(crate) fn taken(&mut self, count: u64) {
        debug_assert!(self.state == ChunkState::Data && count <= self.left, "only the data of a chunk can be taken");
        self.left -= count;
        if self.left == 0 {
            self.state = ChunkState::DataCr;
        }
    }

    /// Where a message that stops now is cut.
    pub(crate) fn within(&self) -> Within {
        match self.state {
            ChunkState::Data => Within::Content,
            ChunkState::Trailers => Within::Trailers,
            _ => Within::ChunkLine,
        }
    }

    /// Reads framing from `input`, and puts trailer fields into `trailers`.
    pub(crate) fn feed(&mut self, input: &[u8], trailers: &mut Fields) -> Result<Framed, Fault> {
        if let Some(framed) = self.usual_lines(input) {
            return Ok(framed);
        }
        let mut at = 0;
        if self.state != ChunkState::Trailers {
            let mut line = 0;
            let next = self.lines(input, &mut line).map_err(|(what, at)| {
                let fault = self.before.wrapping_add_signed(at - line as isize);
                let found = Excerpt::of_line(self.kept.as_bytes(), &input[line..], fault);
                Fault { what, at, found }
            })?;
            let Some(next) = next else {
                self.kept.push(&input[line..]);
                self.before += input.len() - line;
                return Ok(Framed::More);
            };
            self.line_begins();
            at = next;
        }
        if self.state == ChunkState::Data {
            return Ok(Framed::Data(at));
        }
        match self.section.feed(&input[at..], trailers) {
            Ok(Fed::More) => Ok(Framed::More),
            Ok(Fed::End(end)) => Ok(Framed::End(at + end)),
            Err(fault) => Err(Fault { at: at as isize + fault.at, ..fault }),
        }
    }

    /// Reads the usual lines: CRLF after the data of a chunk, and a size without extension and padding. They have to be in `input` as
    /// a whole; `None` leaves the rest to the states.
    fn usual_lines(&mut self, input: &[u8]) -> Option<Framed> {
        let begin = match self.state {
            ChunkState::Size { digits: 0 } if self.before == 0 => 0,
            ChunkState::DataCr if input == b"\r\n" => {
                self.state = ChunkState::Size { digits: 0 };
                return Some(Framed::More);
            }
            ChunkState::DataCr if input.starts_with(b"\r\n") => 2,
            _ => return None,
        };
        let (mut size, mut at) = (0, begin);
        while let Some(digit) = input.get(at).and_then(|&byte| hex_digit(byte)) {
            size = size << 4 | digit;
            at += 1;
        }
        if size == 0 || at - begin > usize::from(MAX_SIZE_DIGITS) || input.get(at..at + 2) != Some(b"\r\n") {
            return None;
        }
        self.left = size;
        self.grant();
        self.state = ChunkState::Data;
        Some(Framed::Data(at + 2))
    }

    /// Reads lines until data or the trailer section begins, and returns where; `None` if more is needed. `line` becomes the place
    /// where the last line begins, or goes on.
    fn lines(&mut self, input: &[u8], line: &mut usize) -> Result<Option<usize>, (Malformed, isize)> {
        let fault = |what, at: usize| Err((what, at as isize));
        let mut at = 0;
        loop {
            if matches!(self.state, ChunkState::Data | ChunkState::Trailers) {
                return Ok(Some(at));
            }
            let Some(&byte) = input.get(at) else { return Ok(None) };
            match self.state {
                ChunkState::Size { digits } => match (byte, hex_digit(byte)) {
                    (_, Some(_)) if digits == MAX_SIZE_DIGITS => return fault(Malformed::ChunkSizeOverflow, at),
                    (_, Some(digit)) => {
                        self.left = self.left << 4 | digit;
                        self.state = ChunkState::Size { digits: digits + 1 };
                    }
                    (LF, _) => return fault(Malformed::BareLf, at),
                    (_, None) if digits == 0 => return fault(Malformed::ChunkSize, at),
                    (CR, _) => {
                        self.grant();
                        self.state = ChunkState::SizeLf;
                    }
                    _ if byte == b';' || is_ows(byte) => {
                        self.grant();
                        self.state = ChunkState::Padding { count: 0 };
                        continue;
                    }
                    (_, None) => return fault(Malformed::ChunkSize, at),
                },
                ChunkState::Padding { count } => {
                    let first = at as isize - count as isize;
                    let beyond = |allowed: usize, what| Err((what, first + allowed as isize));
                    let budget = self.extension_budget;
                    match byte {
                        // More of them than may pad a size belong to an extension, and are counted like it.
                        SP | HTAB if count >= budget.max(MAX_PADDING) => {
                            return beyond(budget, Malformed::ChunkExtensionsTooLong);
                        }
                        SP | HTAB => self.state = ChunkState::Padding { count: count + 1 },
                        b';' if count > budget => return beyond(budget, Malformed::ChunkExtensionsTooLong),
                        b';' => {
                            self.extension_budget -= count;
                            self.state = ChunkState::Extension;
                            continue;
                        }
                        CR if count > MAX_PADDING => return beyond(MAX_PADDING, Malformed::ChunkSize),
                        CR => self.state = ChunkState::SizeLf,
                        LF => return fault(Malformed::BareLf, at),
                        _ => return fault(Malformed::ChunkSize, at),
                    }
                }
                ChunkState::Extension => {
                    let run = text_run(&input[at..]);
                    let budget = self.extension_budget;
                    self.spend(run).map_err(|what| (what, (at + budget) as isize))?;
                    at += run;
                    match input.get(at) {
                        None => return Ok(None),
                        Some(&CR) => self.state = ChunkState::SizeLf,
                        Some(&LF) => return fault(Malformed::BareLf, at),
                        Some(_) => return fault(Malformed::ChunkExtension, at),
                    }
                }
                ChunkState::SizeLf if byte != LF => return fault(Malformed::BareCr, at),
                ChunkState::SizeLf if self.left == 0 => self.state = ChunkState::Trailers,
                ChunkState::SizeLf => self.state = ChunkState::Data,
                ChunkState::DataCr if byte == CR => self.state = ChunkState::DataLf,
                ChunkState::DataLf if byte == LF => {
                    self.left = 0;
                    self.state = ChunkState::Size { digits: 0 };
                    self.line_begins();
                    *line = at + 1;
                }
                ChunkState::DataCr | ChunkState::DataLf => return fault(Malformed::ChunkEnd, at),
                ChunkState::Data | ChunkState::Trailers => unreachable!("these are where lines end"),
            }
            at += 1;
        }
    }

    /// The size of a chunk was read: its content makes room for extensions, beginning with its own.
    fn grant(&mut self) {
        self.extension_budget = self.extension_budget.saturating_add(self.left.min(EXTENSIONS_PER_CHUNK) as usize);
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.extension_budget = self.extension_budget.checked_sub(bytes).ok_or(Malformed::ChunkExtensionsTooLong)?;
        Ok(())
    }
}

/// Appends the last chunk and a trailer section.
pub(crate) fn push_last_chunk(out: &mut Vec<u8>, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    trailers.push_to(out);
    out.extend_from_slice(b"\r\n");
}
