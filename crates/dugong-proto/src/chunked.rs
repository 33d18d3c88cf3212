//! The chunked transfer coding (RFC 9112 §7.1): one state per element of its grammar.
//!
//! The reader sees only the framing: size lines, the CRLF after a chunk's data, the last chunk and the trailer section. The
//! caller takes the data of each chunk itself, and counts it.

use crate::error::{Malformed, Within};
use crate::excerpt::Excerpt;
use crate::field_section::{Fault, Fed, SectionReader};
use crate::fields::Fields;
use crate::grammar::{CR, HTAB, LF, SP, hex_digit, is_ows, text_run};
use crate::limits::Limits;

#[derive(Clone, Debug)]
pub(crate) struct ChunkedReader {
    state: ChunkState,
    /// The size of the current chunk, as far as it was read.
    size: u64,
    /// How many more bytes of chunk extensions this message may have, up to the current chunk.
    extension_budget: usize,
    /// The budget at the start of each message.
    max_extensions: usize,
    section: SectionReader,
    /// The beginning of a line that came in pieces, in case an error has to quote it.
    kept: Excerpt,
    /// How many bytes of that line came in earlier pieces.
    before: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// In the size, after this many digits.
    Size {
        digits: u8,
    },
    /// In blanks after the size, after this many. They pad the size, or precede `;`: the next byte decides.
    Padding {
        count: usize,
    },
    Extension,
    SizeLf,
    /// In the data, or at its end. The caller knows.
    DataCr,
    DataLf,
    Trailers,
}

/// How far the reader has come in its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// All input is used up, and more is needed.
    More,
    /// The data of a chunk, this many bytes, begins at this index.
    Data(usize, u64),
    /// The message ended before this index.
    End(usize),
}

/// More digits would not fit 64 bits. Leading zeros count, or a peer could send them without end.
const MAX_SIZE_DIGITS: u8 = 16;

/// The most blanks between a size and CRLF. RFC 2616 allowed them, and servers that write sizes into a field of fixed width
/// still send them. RFC 9112 §7.1 does not allow them, but as long as no digit follows, no two readers can understand them
/// differently.
const MAX_PADDING: usize = 16;

/// Each chunk adds at most this many bytes to the allowance for extensions, because some servers sign each chunk.
const EXTENSIONS_PER_CHUNK: u64 = 256;

impl ChunkedReader {
    pub(crate) fn new(limits: Limits) -> Self {
        ChunkedReader {
            state: ChunkState::Size { digits: 0 },
            size: 0,
            extension_budget: limits.chunk_extensions,
            max_extensions: limits.chunk_extensions,
            section: SectionReader::new(limits.trailer_section, limits.fields, Malformed::TrailerSectionTooLong),
            kept: Excerpt::EMPTY,
            before: 0,
        }
    }

    /// Prepares for another message.
    pub(crate) fn restart(&mut self) {
        self.state = ChunkState::Size { digits: 0 };
        self.size = 0;
        self.extension_budget = self.max_extensions;
        self.line_begins();
    }

    fn line_begins(&mut self) {
        self.kept.clear();
        self.before = 0;
    }

    /// The part of the framing in which the message is cut, if nothing more comes.
    pub(crate) fn within(&self) -> Within {
        match self.state {
            ChunkState::Trailers => Within::Trailers,
            _ => Within::ChunkLine,
        }
    }

    /// Reads framing from `input`, and adds trailer fields to `trailers`. The data of the last chunk has been taken.
    pub(crate) fn feed(&mut self, input: &[u8], trailers: &mut Fields) -> Result<Framed, Fault> {
        if let Some((at, size)) = self.read_next_size(input) {
            return Ok(Framed::Data(at, size));
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
        if self.state == ChunkState::DataCr {
            return Ok(Framed::Data(at, self.size));
        }
        match self.section.feed(&input[at..], trailers) {
            Ok(Fed::More) => Ok(Framed::More),
            Ok(Fed::End(end)) => Ok(Framed::End(at + end)),
            Err(fault) => Err(Fault { at: at as isize + fault.at, ..fault }),
        }
    }

    /// Reads CRLF after the data of a chunk, and a size without extension and padding, if they are in `input` as a whole: nearly
    /// all of them are. Returns where the data begins, and its size; `None` leaves the lines to the states.
    #[inline]
    pub(crate) fn read_next_size(&mut self, input: &[u8]) -> Option<(usize, u64)> {
        let begin = match self.state {
            ChunkState::DataCr if input.starts_with(b"\r\n") => 2,
            ChunkState::Size { digits: 0 } if self.before == 0 => 0,
            _ => return None,
        };
        let mut size = 0;
        let mut end = begin;
        while let Some(digit) = input.get(end).and_then(|&byte| hex_digit(byte)) {
            size = size << 4 | digit;
            end += 1;
        }
        if size == 0 || end - begin > usize::from(MAX_SIZE_DIGITS) || !input[end..].starts_with(b"\r\n") {
            return None;
        }
        self.size = size;
        self.grant();
        self.state = ChunkState::DataCr;
        Some((end + 2, size))
    }

    /// Reads lines until data or the trailer section begins, and returns where; `None` if more is needed. It sets `line` to the
    /// index where the last line begins or continues.
    fn lines(&mut self, input: &[u8], line: &mut usize) -> Result<Option<usize>, (Malformed, isize)> {
        let fault = |what, at: usize| Err((what, at as isize));
        let mut at = 0;
        loop {
            let Some(&byte) = input.get(at) else { return Ok(None) };
            match self.state {
                ChunkState::Size { digits } => match (byte, hex_digit(byte)) {
                    (_, Some(_)) if digits == MAX_SIZE_DIGITS => return fault(Malformed::ChunkSizeOverflow, at),
                    (_, Some(digit)) => {
                        self.size = self.size << 4 | digit;
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
                        // If more blanks come than may pad a size, they belong to an extension and count like it.
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
                ChunkState::SizeLf => {
                    self.state = if self.size == 0 { ChunkState::Trailers } else { ChunkState::DataCr };
                    return Ok(Some(at + 1));
                }
                ChunkState::DataCr if byte == CR => self.state = ChunkState::DataLf,
                ChunkState::DataLf if byte == LF => {
                    self.size = 0;
                    self.state = ChunkState::Size { digits: 0 };
                    self.line_begins();
                    *line = at + 1;
                }
                ChunkState::DataCr | ChunkState::DataLf => return fault(Malformed::ChunkEnd, at),
                ChunkState::Trailers => unreachable!("the section's reader reads these lines"),
            }
            at += 1;
        }
    }

    /// Adds to the allowance for extensions when a size was read. The chunk's own extension may use it, too.
    fn grant(&mut self) {
        self.extension_budget = self.extension_budget.saturating_add(self.size.min(EXTENSIONS_PER_CHUNK) as usize);
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
