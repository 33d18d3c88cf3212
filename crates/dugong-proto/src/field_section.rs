//! An incremental reader of field lines (RFC 9112 §5), for header and trailer sections.
//!
//! It takes the bytes as they arrive, and keeps them in the [`Fields`] that it fills. It reads complete and usual lines in one
//! go. A state machine, which can go on at any byte, reads the others. So no byte is read more than twice, however the section
//! is cut. When the section is complete, each folded line (obs-fold) is joined to the line before with one space, as RFC 9112
//! §5.2 demands of user agents.

use memchr::memchr;

use crate::error::Malformed;
use crate::excerpt::Excerpt;
use crate::fields::{Fields, Line, Mark};
use crate::grammar::{CR, DEL, HTAB, LF, SP, is_ows, is_tchar, printable_run, text_run, token_run};

/// A fault, and its index in the input. The index is negative if the fault shows only after the wrong byte, and that byte was
/// in an earlier input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault<What = Malformed> {
    pub(crate) what: What,
    pub(crate) at: isize,
    /// The line with the fault, from its beginning.
    pub(crate) found: Excerpt,
}

/// A fault whose line is not yet quoted.
type Place = (Malformed, isize);

fn fault<T>(what: Malformed, at: usize) -> Result<T, Place> {
    Err((what, at as isize))
}

/// How far the reader has come in its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All input belongs to the section, and more is needed.
    More,
    /// The section ended, with its empty line, before this index.
    End(usize),
}

/// Reads one section after another.
#[derive(Clone, Debug)]
pub(crate) struct SectionReader {
    state: SectionState,
    line: Line,
    /// The states have read a line. It has no mark, its value may end with blanks, and it may be folded.
    untidy: bool,
    /// The last section was untidy, so its bytes are not as they arrived.
    is_changed: bool,
    limit: usize,
    max_fields: usize,
    too_long: Malformed,
    /// The last section, if its bytes are as they arrived. Servers repeat most lines, and comparing a line is cheaper than
    /// reading it.
    last: Option<Box<Fields>>,
    /// A section was read since [`shrink`](SectionReader::shrink), so keeping the last one is worth its memory.
    is_warm: bool,
}

#[derive(Clone, Copy, Debug)]
enum SectionState {
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
    /// Creates a reader of sections of at most `limit` bytes and `max_fields` lines. `too_long` is the fault of a longer one.
    pub(crate) fn new(limit: usize, max_fields: usize, too_long: Malformed) -> Self {
        SectionReader {
            state: SectionState::LineStart,
            line: Line::default(),
            untidy: false,
            is_changed: false,
            // We store positions as u32. No sane limit comes near.
            limit: limit.min(u32::MAX as usize / 2),
            max_fields,
            too_long,
            last: None,
            is_warm: false,
        }
    }

    /// Clears `fields` for a new section. If they hold the last section, the reader keeps it for comparison.
    pub(crate) fn begin(&mut self, fields: &mut Fields) {
        if self.is_warm && fields.received && !self.is_changed {
            std::mem::swap(&mut **self.last.get_or_insert_default(), fields);
        }
        self.is_warm = true;
        fields.clear();
    }

    /// Gives up memory that is not needed between sections.
    pub(crate) fn shrink(&mut self) {
        self.last = None;
        self.is_warm = false;
    }

    /// Reads on in `input`, and adds to `fields`. They must be empty when a section begins, and are empty after a fault.
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
        // Beyond the limit we only look for the end of the section.
        let end = input.len().min(self.limit.saturating_sub(base));
        let mut at = 0;
        let mut reads_whole_lines = true;
        loop {
            match self.state {
                SectionState::LineStart => {
                    if reads_whole_lines {
                        match self.whole_lines(&input[at..end], position(at), fields) {
                            Some(read) => at += read,
                            // Trying again at each line would take a time that grows with the square of their number.
                            None => reads_whole_lines = false,
                        }
                    }
                    let Some(&byte) = input.get(at) else { break };
                    if byte == CR {
                        self.state = SectionState::EndLf;
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
                            self.state = SectionState::Value;
                        }
                        _ => {
                            if is_tchar(byte) && fields.lines.len() == self.max_fields {
                                return fault(Malformed::TooManyFields, at);
                            }
                            self.line = Line { name_start: position(at), ..Line::default() };
                            self.state = SectionState::Name;
                        }
                    }
                }
                SectionState::Name => {
                    at += token_run(&input[at..end]);
                    if at == end {
                        break;
                    }
                    let empty = position(at) == self.line.name_start;
                    match input[at] {
                        b':' if !empty => {
                            self.line.name_end = position(at);
                            self.state = SectionState::BeforeValue;
                            at += 1;
                        }
                        SP | HTAB if !empty => return fault(Malformed::SpaceBeforeColon, at),
                        CR if !empty => {
                            self.state = SectionState::NameLf;
                            at += 1;
                        }
                        LF => return fault(Malformed::BareLf, at),
                        _ => return fault(Malformed::FieldName, at),
                    }
                }
                SectionState::NameLf => {
                    if at == end {
                        break;
                    }
                    return if input[at] == LF {
                        Err((Malformed::MissingColon, at as isize - 1))
                    } else {
                        fault(Malformed::BareCr, at)
                    };
                }
                SectionState::BeforeValue => {
                    while at < end && is_ows(input[at]) {
                        at += 1;
                    }
                    if at == end {
                        break;
                    }
                    self.line.value_start = position(at);
                    self.state = SectionState::Value;
                }
                SectionState::Value => {
                    at += text_run(&input[at..end]);
                    if at == end {
                        break;
                    }
                    match input[at] {
                        CR => {
                            self.line.value_end = position(at);
                            self.state = SectionState::LineLf;
                            at += 1;
                        }
                        LF => return fault(Malformed::BareLf, at),
                        _ => return fault(Malformed::FieldValue, at),
                    }
                }
                SectionState::LineLf => {
                    if at == end {
                        break;
                    }
                    if input[at] != LF {
                        return fault(Malformed::BareCr, at);
                    }
                    at += 1;
                    fields.lines.push(self.line);
                    self.untidy = true;
                    self.state = SectionState::LineStart;
                }
                SectionState::EndLf => {
                    let Some(&byte) = input.get(at) else { break };
                    if byte != LF {
                        return fault(Malformed::BareCr, at);
                    }
                    at += 1;
                    fields.bytes.extend_from_slice(&input[..at]);
                    self.is_changed = std::mem::take(&mut self.untidy);
                    if self.is_changed {
                        tidy(fields);
                    }
                    self.state = SectionState::LineStart;
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

    /// Reads the lines at the start of `input`, up to the first one that is incomplete or unusual, and returns where that
    /// begins. `None` means that a byte in them is wrong. `position` is the position of `input` in the section.
    fn whole_lines(&self, input: &[u8], position: u32, fields: &mut Fields) -> Option<usize> {
        let before = fields.lines.len();
        let mut has_read = false;
        let mut at = 0;
        while fields.lines.len() < self.max_fields && input.get(at).is_some_and(|&byte| byte != CR) {
            if let Some(last) = &self.last
                && let Some(line) = last.lines.get(fields.lines.len())
                && let text = last.whole_line(line)
                && input[at..].starts_with(text)
            {
                at += text.len();
                fields.push(line.moved(position.wrapping_add((at - text.len()) as u32).wrapping_sub(line.name_start)));
                continue;
            }
            let Some((line, length)) = whole_line(&input[at..]) else { break };
            fields.push(line.moved(position + at as u32));
            at += length;
            has_read = true;
        }
        if has_read && memchr(DEL, &input[..at]).is_some() {
            // The states will find it, and report its place.
            fields.lines.truncate(before);
            return None;
        }
        Some(at)
    }
}

/// Reads the line at the start of `input`, if it is complete and usual, and returns its length, too. Its value may contain DEL.
#[inline(never)]
fn whole_line(input: &[u8]) -> Option<(Line, usize)> {
    let name_end = token_run(input);
    let (name, after_name) = input.split_at_checked(name_end)?;
    let mut value = match after_name {
        [b':', SP, value @ ..] | [b':', value @ ..] if !name.is_empty() => value,
        _ => return None,
    };
    while let [SP | HTAB, after @ ..] = value {
        value = after;
    }
    let length = printable_run(value);
    let is_tidy = length == 0 || value.get(length - 1).is_some_and(|&byte| !is_ows(byte));
    if !is_tidy || !value.get(length..)?.starts_with(b"\r\n") {
        return None;
    }
    let value_start = input.len() - value.len();
    let line = Line {
        name_start: 0,
        name_end: name_end as u32,
        value_start: value_start as u32,
        value_end: (value_start + length) as u32,
        folded: false,
        mark: Mark::of(name),
    };
    Some((line, value_start + length + 2))
}

/// Adds the faulty line to a fault.
#[cold]
fn spoilt((what, at): Place, input: &[u8], fields: &mut Fields) -> Fault {
    let found = line_at(&fields.bytes, input, at);
    // Lines are stored before their bytes, so a section that fails in between must not stay.
    fields.clear();
    Fault { what, at, found }
}

/// The line at `at` of `input`, which follows `before`, together with the lines that it continues.
fn line_at(before: &[u8], input: &[u8], at: isize) -> Excerpt {
    let fault = before.len().wrapping_add_signed(at);
    let byte = |at: usize| before.get(at).or_else(|| input.get(at - before.len())).copied();
    let begins = |start: &usize| *start == 0 || (byte(start - 1) == Some(LF) && !byte(*start).is_some_and(is_ows));
    let start = (0..=fault).rev().find(begins).unwrap_or(0);
    let (before, input) =
        if start < before.len() { (&before[start..], input) } else { (&[][..], &input[start - before.len()..]) };
    Excerpt::of_line(before, input, fault - start).of_field_line()
}

/// Marks lines, cuts blanks off the ends of their values, and unfolds them.
fn tidy(fields: &mut Fields) {
    for line in &mut fields.lines {
        line.mark = Mark::of(&fields.bytes[line.name_start as usize..line.name_end as usize]);
        fields.marks |= line.mark;
        if line.folded {
            unfold(&mut fields.bytes, line);
        }
        while line.value_end > line.value_start && is_ows(fields.bytes[line.value_end as usize - 1]) {
            line.value_end -= 1;
        }
    }
}

/// Replaces each CRLF in a value, and all blanks around it, by one space. It removes folds before the first byte. The value can
/// only become shorter, so it stays in its place.
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
    fn a_section_of_64_kib_byte_by_byte_is_read_once() {
        // We count work in bytes passed to the reader: it keeps no unread input, so it cannot read a byte again.
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
    #[test]
    fn lines_that_come_again_are_read_like_the_first_time() {
        let sections: [&[u8]; 6] = [
            b"Date: now\r\nServer: x\r\nContent-Length: 10\r\n\r\n",
            b"Date: later\r\nServer: x\r\nContent-Length: 10\r\nETag: a\r\n\r\n",
            b"Date: later\r\nServer: x\r\n folded \r\nContent-Length: 10\r\n\r\n",
            b"Date: later\r\nServer: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",
            b"\r\n",
            b"Date: later\r\nServer: x\r\n\r\n",
        ];
        let mut reader = SectionReader::new(65_535, 1_000, Malformed::HeaderSectionTooLong);
        let mut fields = Fields::new();
        for section in sections.iter().chain(sections.iter().rev()) {
            reader.begin(&mut fields);
            assert_eq!(reader.feed(section, &mut fields), Ok(Fed::End(section.len())));
            let first = read(&[section]).unwrap();
            assert_eq!((&fields, fields.marks), (&first, first.marks), "{}", section.escape_ascii());
        }
        reader.begin(&mut fields);
        let fault = reader.feed(b"Date: later\r\nServer: x\x7f\r\n\r\n", &mut fields).unwrap_err();
        assert_eq!((fault.what, fault.at), (Malformed::FieldValue, 22));
    }
}
