//! Incremental reader of field lines (RFC 9112 §5), for header and trailer sections.
//!
//! It is fed whatever has arrived, keeps what it has seen in the [`Fields`] that it fills, and never looks at a byte twice,
//! however the section is cut. A folded line (obs-fold) is joined to its predecessor with one space, as a user agent must
//! (RFC 9112 §5.2), when the section is complete.

use crate::error::Malformed;
use crate::excerpt::Excerpt;
use crate::fields::{Fields, Line};
use crate::grammar::{CR, HTAB, LF, SP, is_ows, is_tchar, text_run, token_run};

/// A fault, and the index into the input at which it stands. It is negative if the fault shows only after the byte that is
/// wrong, and that was in an earlier input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault<What = Malformed> {
    pub(crate) what: What,
    pub(crate) at: isize,
    /// The line with the fault, from its beginning.
    pub(crate) found: Excerpt,
}

/// A fault before its line is looked for.
type Place = (Malformed, isize);

fn fault<T>(what: Malformed, at: usize) -> Result<T, Place> {
    Err((what, at as isize))
}

/// What became of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All of it belongs to the section, and more is needed.
    More,
    /// The section ended, with its empty line, before this index.
    End(usize),
}

/// Reads one section after another.
#[derive(Clone, Debug)]
pub(crate) struct SectionReader {
    state: State,
    line: Line,
    /// A value may have blanks at its end, or was folded.
    untidy: bool,
    limit: usize,
    max_fields: usize,
    too_long: Malformed,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a line: a field line, a fold, or the empty line.
    LineStart,
    Name,
    BeforeValue,
    Value,
    /// After a CR in a name.
    NameLf,
    /// After the CR that ends a field line.
    LineLf,
    /// After the CR of the empty line.
    EndLf,
}

impl SectionReader {
    /// A reader of sections of at most `limit` bytes and `max_fields` lines; `too_long` says which limit was passed.
    pub(crate) fn new(limit: usize, max_fields: usize, too_long: Malformed) -> Self {
        SectionReader {
            state: State::LineStart,
            line: Line::default(),
            untidy: false,
            // Positions are kept as u32; no sane limit comes near.
            limit: limit.min(u32::MAX as usize / 2),
            max_fields,
            too_long,
        }
    }

    /// Reads on in `input`, adding to `fields`, which must be empty when a section begins, and are after a fault.
    pub(crate) fn feed(&mut self, input: &[u8], fields: &mut Fields) -> Result<Fed, Fault> {
        match self.read(input, fields) {
            Ok(fed) => Ok(fed),
            Err(place) => Err(spoilt(place, input, fields)),
        }
    }

    fn read(&mut self, input: &[u8], fields: &mut Fields) -> Result<Fed, Place> {
        let base = fields.bytes.len();
        fields.received = true;
        let position = |index: usize| (base + index) as u32;
        // What lies beyond the limit is only looked at to see whether the section has ended there.
        let end = input.len().min(self.limit.saturating_sub(base));
        let mut at = 0;
        loop {
            match self.state {
                State::LineStart => {
                    let Some(&byte) = input.get(at) else { break };
                    if byte == CR {
                        self.state = State::EndLf;
                        at += 1;
                        continue;
                    }
                    if at == end {
                        break;
                    }
                    match byte {
                        SP | HTAB => {
                            let folded = fields.lines.pop().ok_or((Malformed::LeadingWhitespace, at as isize))?;
                            self.line = Line { folded: true, ..folded };
                            self.untidy = true;
                            self.state = State::Value;
                        }
                        _ => {
                            if is_tchar(byte) && fields.lines.len() == self.max_fields {
                                return fault(Malformed::TooManyFields, at);
                            }
                            self.line = Line { name_start: position(at), ..Line::default() };
                            self.state = State::Name;
                        }
                    }
                }
                State::Name => {
                    at += token_run(&input[at..end]);
                    if at == end {
                        break;
                    }
                    let empty = position(at) == self.line.name_start;
                    match input[at] {
                        b':' if !empty => {
                            self.line.name_end = position(at);
                            self.state = State::BeforeValue;
                            at += 1;
                        }
                        SP | HTAB if !empty => return fault(Malformed::SpaceBeforeColon, at),
                        CR if !empty => {
                            self.state = State::NameLf;
                            at += 1;
                        }
                        LF => return fault(Malformed::BareLf, at),
                        _ => return fault(Malformed::FieldName, at),
                    }
                }
                State::NameLf => {
                    if at == end {
                        break;
                    }
                    return if input[at] == LF {
                        Err((Malformed::MissingColon, at as isize - 1))
                    } else {
                        fault(Malformed::BareCr, at)
                    };
                }
                State::BeforeValue => {
                    while at < end && is_ows(input[at]) {
                        at += 1;
                    }
                    if at == end {
                        break;
                    }
                    self.line.value_start = position(at);
                    self.state = State::Value;
                }
                State::Value => {
                    at += text_run(&input[at..end]);
                    if at == end {
                        break;
                    }
                    match input[at] {
                        CR => {
                            self.line.value_end = position(at);
                            self.untidy |= at == 0 || is_ows(input[at - 1]);
                            self.state = State::LineLf;
                            at += 1;
                        }
                        LF => return fault(Malformed::BareLf, at),
                        _ => return fault(Malformed::FieldValue, at),
                    }
                }
                State::LineLf => {
                    if at == end {
                        break;
                    }
                    if input[at] != LF {
                        return fault(Malformed::BareCr, at);
                    }
                    at += 1;
                    fields.lines.push(self.line);
                    self.state = State::LineStart;
                }
                State::EndLf => {
                    let Some(&byte) = input.get(at) else { break };
                    if byte != LF {
                        return fault(Malformed::BareCr, at);
                    }
                    at += 1;
                    fields.bytes.extend_from_slice(&input[..at]);
                    if std::mem::take(&mut self.untidy) {
                        tidy(fields);
                    }
                    self.state = State::LineStart;
                    return Ok(Fed::End(at));
                }
            }
        }
        if at < input.len() {
            return fault(self.too_long, at);
        }
        fields.bytes.extend_from_slice(input);
        Ok(Fed::More)
    }
}

/// A fault, with the line in which it stands.
#[cold]
fn spoilt((what, at): Place, input: &[u8], fields: &mut Fields) -> Fault {
    let found = line_at(&fields.bytes, input, at);
    // Lines are noted before their bytes are kept: of a section that is not taken whole nothing may be left.
    fields.clear();
    Fault { what, at, found }
}

/// The line at `at` of `input`, which `before` precedes; with the lines that it continues.
fn line_at(before: &[u8], input: &[u8], at: isize) -> Excerpt {
    let fault = before.len().wrapping_add_signed(at);
    let byte = |at: usize| before.get(at).or_else(|| input.get(at - before.len())).copied();
    let begins = |start: &usize| *start == 0 || (byte(start - 1) == Some(LF) && !byte(*start).is_some_and(is_ows));
    let start = (0..=fault).rev().find(begins).unwrap_or(0);
    let (before, input) =
        if start < before.len() { (&before[start..], input) } else { (&[][..], &input[start - before.len()..]) };
    Excerpt::of_line(before, input, fault - start).of_field_line()
}

/// Cuts blanks off the ends of values, and unfolds what was folded.
fn tidy(fields: &mut Fields) {
    for line in &mut fields.lines {
        if line.folded {
            unfold(&mut fields.bytes, line);
        }
        while line.value_end > line.value_start && is_ows(fields.bytes[line.value_end as usize - 1]) {
            line.value_end -= 1;
        }
    }
}

/// Replaces each CRLF in a value, and all blanks around it, by one space. The value can only become shorter, so it stays
/// where it is; folds before its first byte are left out.
fn unfold(bytes: &mut [u8], line: &mut Line) {
    let is_fold = |byte| is_ows(byte) || matches!(byte, CR | LF);
    while line.value_start < line.value_end && is_fold(bytes[line.value_start as usize]) {
        line.value_start += 1;
    }
    let (start, end) = (line.value_start as usize, line.value_end as usize);
    let mut to = start;
    let mut from = start;
    while from < end {
        if bytes[from] != CR {
            bytes[to] = bytes[from];
            to += 1;
            from += 1;
            continue;
        }
        while to > start && is_ows(bytes[to - 1]) {
            to -= 1;
        }
        while from < end && is_fold(bytes[from]) {
            from += 1;
        }
        if to > start && from < end {
            bytes[to] = SP;
            to += 1;
        }
    }
    line.value_end = to as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Fields, Fault> {
        let mut reader = SectionReader::new(65_535, 1_000, Malformed::HeaderSectionTooLong);
        let mut fields = Fields::new();
        for (i, piece) in pieces.iter().enumerate() {
            match reader.feed(piece, &mut fields)? {
                Fed::More => assert!(i + 1 < pieces.len(), "the section has not ended"),
                Fed::End(at) => {
                    assert_eq!((at, i), (piece.len(), pieces.len() - 1), "ended early");
                    return Ok(fields);
                }
            }
        }
        unreachable!("either the section or the pieces end")
    }

    #[test]
    fn every_cut_gives_the_same_fields() {
        let section = b"A: b\r\nEmpty:\r\nFold:  one \t\r\n\t two\r\n  \r\nB:\tc d \r\n\r\n";
        let whole = read(&[section]).unwrap();
        let lines: Vec<_> = whole.iter().map(|line| (line.name(), line.value())).collect();
        assert_eq!(lines, [("A", &b"b"[..]), ("Empty", b""), ("Fold", b"one two"), ("B", b"c d")]);
        for cut in 1..section.len() {
            assert_eq!(read(&[&section[..cut], &section[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = section.chunks(1).collect();
        assert_eq!(read(&bytes).unwrap(), whole);
    }

    #[test]
    fn a_section_of_64_kib_byte_by_byte_is_looked_at_once() {
        // Work is counted in bytes handed to the reader: it keeps no unread input, so it cannot look at a byte again.
        let value = vec![b'v'; 65_000];
        let section = [b"Name: ".as_slice(), &value, b"\r\n\r\n"].concat();
        let mut reader = SectionReader::new(65_535, 10, Malformed::HeaderSectionTooLong);
        let mut fields = Fields::new();
        let mut handed = 0;
        for byte in section.chunks(1) {
            handed += 1;
            assert_eq!(fields.bytes.len(), handed - 1, "everything handed over before is kept, nothing is pending");
            if reader.feed(byte, &mut fields).unwrap() != Fed::More {
                break;
            }
        }
        assert_eq!(handed, section.len());
        assert_eq!(fields.get_bytes("name"), Some(value.as_slice()));
    }

    #[test]
    fn limits_are_met_exactly() {
        let mut reader = SectionReader::new(10, 2, Malformed::HeaderSectionTooLong);
        let mut fields = Fields::new();
        assert_eq!(reader.feed(b"Abc: 678\r\n\r\n", &mut fields), Ok(Fed::End(12)));
        fields.clear();
        assert_eq!(
            reader.feed(b"Abc: 6789\r\n\r\n", &mut fields),
            Err(Fault { what: Malformed::HeaderSectionTooLong, at: 10, found: Excerpt::of(b"Abc: 6789") })
        );
        let mut reader = SectionReader::new(100, 2, Malformed::HeaderSectionTooLong);
        fields.clear();
        assert_eq!(
            reader.feed(b"a:\r\nb:\r\nc:\r\n\r\n", &mut fields),
            Err(Fault { what: Malformed::TooManyFields, at: 8, found: Excerpt::of(b"c:") })
        );
    }
}
