//! Field lines: names and values in order, case and duplicates kept (RFC 9110 §5).

use std::borrow::Cow;
use std::fmt;
use std::iter::FusedIterator;
use std::ops::{BitOrAssign, Index};
use std::slice;

use crate::error::Misuse;
use crate::excerpt::{Argument, Excerpt};
use crate::grammar::{is_ows, list, text_run, token_run};

/// The field lines of a header or trailer section, in the order in which they are sent.
///
/// One buffer holds all bytes, and a list says where the name and the value of each line are. So a section costs no allocation
/// per field, and none at all when you fill the same `Fields` again.
///
/// ```
/// use dugong_proto::Fields;
/// let mut fields = Fields::new();
/// fields.append("Accept", "text/html")?;
/// fields.append("X-Tag", "a")?;
/// fields.append("x-tag", "b")?;
/// assert_eq!(fields.get("ACCEPT"), Some("text/html"));
/// assert_eq!(&fields["Accept"], "text/html");
/// assert!(fields.get_all("X-Tag").eq(["a", "b"]));
/// for line in &fields {
///     println!("{}: {}", line.name(), line.value_text());
/// }
/// assert!(fields.append("X-Evil", "a\r\nSet-Cookie: b").is_err());
/// # Ok::<(), dugong_proto::Misuse>(())
/// ```
#[derive(Default)]
pub struct Fields {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: Vec<Line>,
    /// The bytes are as a peer sent them: with blanks, folds and the empty line, which we do not send.
    pub(crate) received: bool,
    /// The marks of all lines together.
    pub(crate) marks: Mark,
}

/// Where the parts of a field line are in `Fields::bytes`. They fit `u32`, because limits keep sections far below 4 GiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    pub(crate) name_start: u32,
    pub(crate) name_end: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
    /// Whether the value was continued on further lines (obs-fold).
    pub(crate) folded: bool,
    /// Which of the fields that this crate acts on the line is, if any.
    pub(crate) mark: Mark,
}

/// A set of the fields that decide how a message is framed, sent or understood. Lines get their mark when they are read or
/// appended, so that no later code has to compare names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark(u8);

impl Mark {
    pub(crate) const NONE: Mark = Mark(0);
    pub(crate) const TE: Mark = Mark(1);
    pub(crate) const HOST: Mark = Mark(1 << 1);
    pub(crate) const EXPECT: Mark = Mark(1 << 2);
    pub(crate) const UPGRADE: Mark = Mark(1 << 3);
    pub(crate) const CONNECTION: Mark = Mark(1 << 4);
    pub(crate) const CONTENT_LENGTH: Mark = Mark(1 << 5);
    pub(crate) const TRANSFER_ENCODING: Mark = Mark(1 << 6);
    pub(crate) const PROXY_AUTHORIZATION: Mark = Mark(1 << 7);

    /// The mark of a field called `name`.
    #[inline]
    pub(crate) fn of(name: &[u8]) -> Mark {
        const LENGTHS: u32 = 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 14 | 1 << 17 | 1 << 19;
        // Most names are ruled out by their length.
        if name.len() < 20 && LENGTHS >> name.len() & 1 != 0 { Mark::of_some(name) } else { Mark::NONE }
    }

    fn of_some(name: &[u8]) -> Mark {
        let (mark, known) = match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
            (2, b't') => (Mark::TE, "TE"),
            (4, b'h') => (Mark::HOST, "Host"),
            (6, b'e') => (Mark::EXPECT, "Expect"),
            (7, b'u') => (Mark::UPGRADE, "Upgrade"),
            (10, b'c') => (Mark::CONNECTION, "Connection"),
            (14, b'c') => (Mark::CONTENT_LENGTH, "Content-Length"),
            (17, b't') => (Mark::TRANSFER_ENCODING, "Transfer-Encoding"),
            (19, b'p') => (Mark::PROXY_AUTHORIZATION, "Proxy-Authorization"),
            _ => return Mark::NONE,
        };
        // Most peers spell names like the standard, which this comparison sees sooner.
        if name == known.as_bytes() || name.eq_ignore_ascii_case(known.as_bytes()) { mark } else { Mark::NONE }
    }

    /// Fields that say something about a single message.
    const OF_ONE_MESSAGE: Mark =
        Mark(Mark::TE.0 | Mark::HOST.0 | Mark::EXPECT.0 | Mark::UPGRADE.0 | Mark::CONTENT_LENGTH.0 | Mark::TRANSFER_ENCODING.0);

    #[inline]
    pub(crate) fn contains(self, other: Mark) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOrAssign for Mark {
    fn bitor_assign(&mut self, other: Mark) {
        self.0 |= other.0;
    }
}

impl Line {
    /// The same line, `bytes` further in the buffer. A wrapped negative number moves it back.
    pub(crate) fn moved(&self, bytes: u32) -> Line {
        Line {
            name_start: self.name_start.wrapping_add(bytes),
            name_end: self.name_end.wrapping_add(bytes),
            value_start: self.value_start.wrapping_add(bytes),
            value_end: self.value_end.wrapping_add(bytes),
            ..*self
        }
    }
}

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldLine<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> FieldLine<'a> {
    /// The name, spelled as it was sent.
    #[must_use]
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(self.name).expect("field names are tokens, which are ASCII")
    }

    /// The value, without blanks at its ends.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value as text. Each byte is one character (ISO 8859-1), as HTTP/1.1 defines it.
    #[must_use]
    pub fn value_text(&self) -> Cow<'a, str> {
        latin1(self.value)
    }
}

/// Bytes as ISO 8859-1 text; borrowed when they are ASCII.
pub(crate) fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
    }
}

/// Leaves out credentials, because this goes to logs.
impl fmt::Debug for FieldLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if CREDENTIALS.iter().any(|name| self.name().eq_ignore_ascii_case(name)) {
            return write!(f, "{}: (not shown)", self.name());
        }
        write!(f, "{}: {}", self.name(), self.value.escape_ascii())
    }
}

/// Fields by which a client shows who it is (RFC 9110 §11.6.2, §11.7.2; RFC 6265 §5.4).
const CREDENTIALS: [&str; 4] = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"];

/// [`clone_from`](Clone::clone_from) uses the memory of the old fields again.
impl Clone for Fields {
    fn clone(&self) -> Self {
        let Fields { bytes, lines, received, marks } = self;
        Fields { bytes: bytes.clone(), lines: lines.clone(), received: *received, marks: *marks }
    }

    fn clone_from(&mut self, other: &Self) {
        (self.received, self.marks) = (other.received, other.marks);
        self.bytes.clone_from(&other.bytes);
        self.lines.clone_from(&other.lines);
    }
}

impl Fields {
    /// An empty section that lives as long as you like.
    pub(crate) const NONE: &'static Fields = &Fields { bytes: Vec::new(), lines: Vec::new(), received: false, marks: Mark::NONE };

    /// Creates an empty section.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field line at the end. Others with that name stay.
    ///
    /// # Errors
    /// [`Misuse::FieldName`] if the name is not a token, [`Misuse::FieldValue`] if the value contains a control character other
    /// than HTAB, or begins or ends with a blank. On error the fields are as they were.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Misuse> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let token = token_run(name);
        if name.is_empty() || token < name.len() {
            return Err(Misuse::FieldName(Argument::new(name, Some(token))));
        }
        let refused = |at| Err(Misuse::FieldValue(Argument::of_field(name, value, at)));
        let text = text_run(value);
        if text < value.len() {
            return refused(Some(text));
        }
        if value.first().copied().is_some_and(is_ows) {
            return refused(Some(0));
        }
        if value.last().copied().is_some_and(is_ows) {
            return refused(Some(value.len() - 1));
        }
        // Positions are kept as u32.
        if self.bytes.len() + name.len() + value.len() > u32::MAX as usize - 4 {
            return refused(None);
        }
        let name_start = self.bytes.len() as u32;
        let name_end = name_start + name.len() as u32;
        let value_start = name_end + 2;
        let value_end = value_start + value.len() as u32;
        push_field(&mut self.bytes, name, value);
        self.push(Line { name_start, name_end, value_start, value_end, folded: false, mark: Mark::of(name) });
        Ok(())
    }

    /// Appends all lines of `others`. It copies them unchecked, because `others` has checked them: check fields that many
    /// requests share only once.
    ///
    /// # Panics
    /// If the section would become larger than 4 GiB.
    pub fn append_all(&mut self, others: &Fields) {
        let start = self.bytes.len();
        if others.received {
            for line in others {
                self.append(line.name(), line.value()).expect("fields that were received can be sent");
            }
            return;
        }
        self.bytes.extend_from_slice(&others.bytes);
        assert!(u32::try_from(self.bytes.len()).is_ok(), "more than 4 GiB of fields");
        for line in &others.lines {
            self.push(line.moved(start as u32));
        }
    }

    /// Adds a line to the list. Its bytes are in the buffer, or will be.
    #[inline]
    pub(crate) fn push(&mut self, line: Line) {
        self.marks |= line.mark;
        self.lines.push(line);
    }

    /// The number of field lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The size in bytes of all field lines, with their line ends.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the section has no field lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The field lines in order.
    #[must_use]
    pub fn iter(&self) -> FieldLines<'_> {
        FieldLines { fields: self, lines: self.lines.iter() }
    }

    /// The value of the first field line called `name`, ignoring case. `None` if no line has that name, or if the value is not
    /// UTF-8. For other values use [`get_bytes`](Fields::get_bytes) or [`FieldLine::value_text`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The value of the first field line called `name`, as bytes.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.get_all_bytes(name).next()
    }

    /// The values of all field lines called `name`, in order. It skips values that are not UTF-8.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.get_all_bytes(name).filter_map(|value| str::from_utf8(value).ok())
    }

    /// The values of all field lines called `name`, in order, as bytes.
    pub fn get_all_bytes<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |line| self.is_named(line, name)).map(|line| self.value(line))
    }

    /// Checks that these fields can be added to each request of a connection: none of them frames or directs a single message, as
    /// Content-Length and Host do.
    ///
    /// # Errors
    /// [`Misuse::ForAll`] with the first that does.
    #[inline]
    pub fn check_for_all(&self) -> Result<(), Misuse> {
        if self.marks.contains(Mark::OF_ONE_MESSAGE) { Err(self.first_of_one_message()) } else { Ok(()) }
    }

    #[cold]
    fn first_of_one_message(&self) -> Misuse {
        let line = self.lines.iter().find(|line| line.mark.contains(Mark::OF_ONE_MESSAGE)).expect("there is one");
        Misuse::ForAll(Argument::of_field(self.name(line), self.value(line), None))
    }

    /// Whether a field line is called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// Whether `token`, in any case, is an element of the comma-separated list that all lines called `name` form together.
    #[must_use]
    pub fn list_contains(&self, name: &str, token: &str) -> bool {
        self.get_all_bytes(name).flat_map(list).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Removes all field lines, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.received = false;
        self.marks = Mark::NONE;
    }

    /// Appends all field lines as they are sent.
    pub(crate) fn push_to(&self, out: &mut Vec<u8>) {
        if self.received {
            self.lines.iter().for_each(|line| push_field(out, self.name(line), self.value(line)));
        } else if !self.bytes.is_empty() {
            out.extend_from_slice(&self.bytes);
        }
    }

    /// Appends all field lines except those with this mark, as they are sent.
    pub(crate) fn push_others_to(&self, out: &mut Vec<u8>, mark: Mark) {
        if self.received {
            let others = self.lines.iter().filter(|line| !line.mark.contains(mark));
            others.for_each(|line| push_field(out, self.name(line), self.value(line)));
            return;
        }
        // Neighbouring lines are copied in one piece.
        let mut start = 0;
        for line in self.lines.iter().filter(|line| line.mark.contains(mark)) {
            out.extend_from_slice(&self.bytes[start..line.name_start as usize]);
            start = line.value_end as usize + 2;
        }
        out.extend_from_slice(&self.bytes[start..]);
    }

    /// A line with its CRLF, if it was not folded and has no blanks at its end.
    pub(crate) fn whole_line(&self, line: &Line) -> &[u8] {
        &self.bytes[line.name_start as usize..line.value_end as usize + 2]
    }

    pub(crate) fn name(&self, line: &Line) -> &[u8] {
        &self.bytes[line.name_start as usize..line.name_end as usize]
    }

    pub(crate) fn value(&self, line: &Line) -> &[u8] {
        &self.bytes[line.value_start as usize..line.value_end as usize]
    }

    /// The beginning of the last line that begins at or before byte `at`.
    pub(crate) fn excerpt_at(&self, at: u32) -> Excerpt {
        let line = self.lines.iter().rfind(|line| line.name_start <= at);
        line.map_or(Excerpt::EMPTY, |line| {
            let mut excerpt = Excerpt::of(self.name(line));
            excerpt.push(b": ");
            excerpt.push(self.value(line));
            excerpt
        })
    }

    pub(crate) fn is_named(&self, line: &Line, name: &str) -> bool {
        if (line.name_end - line.name_start) as usize != name.len() {
            return false;
        }
        let found = self.name(line);
        // Most peers spell names like the standard, which this comparison sees sooner.
        found == name.as_bytes() || found.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Appends one field line as it is sent.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An iterator over the lines of [`Fields`], in order. [`Fields::iter`] creates it.
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    fields: &'a Fields,
    lines: slice::Iter<'a, Line>,
}

impl<'a> FieldLines<'a> {
    fn line(&self, line: &Line) -> FieldLine<'a> {
        FieldLine { name: self.fields.name(line), value: self.fields.value(line) }
    }
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = FieldLine<'a>;

    fn next(&mut self) -> Option<FieldLine<'a>> {
        self.lines.next().map(|line| self.line(line))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lines.size_hint()
    }
}

impl DoubleEndedIterator for FieldLines<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.lines.next_back().map(|line| self.line(line))
    }
}

impl ExactSizeIterator for FieldLines<'_> {}

impl FusedIterator for FieldLines<'_> {}

impl<'a> IntoIterator for &'a Fields {
    type Item = FieldLine<'a>;
    type IntoIter = FieldLines<'a>;

    fn into_iter(self) -> FieldLines<'a> {
        self.iter()
    }
}

impl Index<&str> for Fields {
    type Output = str;

    /// The value of the first field line called `name`, ignoring case.
    ///
    /// # Panics
    /// If no line has that name, or if the value is not UTF-8. [`get`](Fields::get) returns `None` then.
    fn index(&self, name: &str) -> &str {
        let Some(value) = self.get_bytes(name) else { panic!("no field is called {name:?}") };
        str::from_utf8(value).unwrap_or_else(|_| panic!("the value of the field {name:?} is not UTF-8"))
    }
}

impl PartialEq for Fields {
    /// Compares the lines in order, spelling included.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown_in_logs() {
        let mut fields = Fields::new();
        fields.append("X-Tag", "seen").unwrap();
        for name in ["authorization", "Proxy-Authorization", "COOKIE", "set-cookie"] {
            fields.append(name, "Basic c2VjcmV0").unwrap();
        }
        let shown = format!("{fields:?}");
        assert!(shown.contains("X-Tag: seen") && shown.contains("COOKIE: (not shown)") && !shown.contains("c2VjcmV0"), "{shown}");
    }
    #[test]
    fn values_are_text_unless_they_are_not_utf_8() {
        let mut fields = Fields::new();
        for value in [&b"na\xefve"[..], b"plain", "n\u{e9}".as_bytes()] {
            fields.append("X-Tag", value).unwrap();
        }
        assert_eq!((fields.get("x-tag"), fields.get_bytes("x-tag")), (None, Some(&b"na\xefve"[..])));
        assert!(fields.get_all("x-tag").eq(["plain", "n\u{e9}"]));
        assert!(fields.contains("x-tag") && fields.get_all_bytes("x-tag").count() == 3);
        assert_eq!(fields.iter().next().unwrap().value_text(), "na\u{ef}ve");
    }

    #[test]
    #[should_panic(expected = "no field is called \"Nothing\"")]
    fn indexing_fields_by_a_missing_name_panics() {
        let _ = &Fields::new()["Nothing"];
    }
}
