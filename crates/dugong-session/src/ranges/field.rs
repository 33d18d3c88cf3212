//! The fields of range requests and their answers (RFC 9110 §14, §8.8.3).

use std::fmt;

use dugong_http::Fields;
use dugong_http::driver::decimal;

/// Bytes `start..end` of a representation. Fields name the last byte, programs the end behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The position of the first byte.
    pub start: u64,
    /// The position behind the last byte.
    pub end: u64,
}

impl Span {
    /// The bytes `start..end`.
    ///
    /// # Panics
    /// If it ends before it begins.
    #[must_use]
    pub fn new(start: u64, end: u64) -> Self {
        assert!(start <= end, "a range of bytes ends before it begins: {start}..{end}");
        Span { start, end }
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range has no bytes. Such a range cannot be asked for.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The value of the field `Range` that asks for these bytes (RFC 9110 §14.2).
    ///
    /// # Panics
    /// If the range is empty.
    #[must_use]
    pub fn field_value(self) -> String {
        format!("bytes={self}")
    }
}

/// `0-99`, as fields spell it.
///
/// # Panics
/// If the range is empty.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.is_empty(), "fields cannot spell an empty range of bytes");
        write!(f, "{}-{}", self.start, self.end - 1)
    }
}

/// The field `Content-Range` (RFC 9110 §14.4).
///
/// ```
/// use dugong_session::ranges::{ContentRange, Span};
/// let range = ContentRange::parse(b"bytes 100-199/1000")?;
/// assert_eq!(range, ContentRange::Part { span: Span::new(100, 200), total: Some(1000) });
/// assert_eq!(range.to_string(), "bytes 100-199/1000");
/// assert!(ContentRange::parse(b"bytes 199-100/1000").is_err());
/// # Ok::<(), dugong_session::ranges::BadContentRange>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// The content is this part of the representation, in a 206 (Partial Content).
    Part {
        /// The bytes that the content is.
        span: Span,
        /// The length of the whole representation, if the server knows it.
        total: Option<u64>,
    },
    /// The representation does not have the bytes that were asked for, in a 416 (Range Not Satisfiable).
    Unsatisfied {
        /// The length of the whole representation.
        total: u64,
    },
}

impl ContentRange {
    /// Parses the field's value.
    ///
    /// # Errors
    /// The value does not follow the grammar, its numbers contradict each other, or its unit is not `bytes`.
    pub fn parse(value: &[u8]) -> Result<Self, BadContentRange> {
        let bad = |why| BadContentRange { value: quoted(value), why };
        let blank = value.iter().position(|&byte| byte == b' ').ok_or_else(|| bad("no blank follows its unit"))?;
        let (unit, rest) = (&value[..blank], &value[blank + 1..]);
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return Err(bad("its unit is not \"bytes\""));
        }
        let slash = rest.iter().position(|&byte| byte == b'/').ok_or_else(|| bad("it has no \"/\""))?;
        let (range, total) = (&rest[..slash], &rest[slash + 1..]);
        let number = |digits| decimal(digits).ok_or_else(|| bad("a number in it is missing, too large, or not made of digits"));
        if range == b"*" {
            return Ok(ContentRange::Unsatisfied { total: number(total)? });
        }
        let dash = range.iter().position(|&byte| byte == b'-').ok_or_else(|| bad("its range has no \"-\""))?;
        let (first, last) = (number(&range[..dash])?, number(&range[dash + 1..])?);
        let total = if total == b"*" { None } else { Some(number(total)?) };
        if last < first {
            return Err(bad("its range ends before it begins"));
        }
        if last == u64::MAX || total.is_some_and(|total| last >= total) {
            return Err(bad("its range ends behind the complete length"));
        }
        Ok(ContentRange::Part { span: Span::new(first, last + 1), total })
    }

    /// Reads the field from a head. `None` if the head has no such field.
    ///
    /// # Errors
    /// As [`parse`](ContentRange::parse); also, if the head has two such fields.
    pub fn of(fields: &Fields) -> Result<Option<Self>, BadContentRange> {
        let mut values = fields.get_all_bytes("Content-Range");
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Self::parse(value).map(Some),
            (Some(_), Some(second)) => Err(BadContentRange { value: quoted(second), why: "it is the second such field" }),
        }
    }
}

/// The value, as a server sends it.
impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentRange::Part { span, total: Some(total) } => write!(f, "bytes {span}/{total}"),
            ContentRange::Part { span, total: None } => write!(f, "bytes {span}/*"),
            ContentRange::Unsatisfied { total } => write!(f, "bytes */{total}"),
        }
    }
}

/// A `Content-Range` that no client must trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadContentRange {
    /// The value, quoted and cut.
    value: String,
    why: &'static str,
}

impl fmt::Display for BadContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad Content-Range {}: {}", self.value, self.why)
    }
}

impl std::error::Error for BadContentRange {}

/// The strong `ETag` of a response (RFC 9110 §8.8.3). `None` if the response has none, or more than one, or if it is weak or malformed:
/// these say nothing about single bytes (§8.8.1).
///
/// ```
/// use dugong_http::Fields;
/// use dugong_session::ranges::strong_etag;
/// let mut fields = Fields::new();
/// fields.append("ETag", "\"v1\"")?;
/// assert_eq!(strong_etag(&fields), Some("\"v1\""));
/// # Ok::<(), dugong_http::Misuse>(())
/// ```
#[must_use]
pub fn strong_etag(fields: &Fields) -> Option<&str> {
    let mut values = fields.get_all_bytes("ETag");
    let (value, None) = (values.next()?, values.next()) else { return None };
    // A value that is not UTF-8 is left out, too: no server in use makes one.
    if is_strong_etag(value) { str::from_utf8(value).ok() } else { None }
}

/// Whether these bytes are an entity tag without `W/` (RFC 9110 §8.8.3).
pub(super) fn is_strong_etag(value: &[u8]) -> bool {
    let opaque = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let is_etagc = |&byte: &u8| byte == 0x21 || (0x23..=0x7E).contains(&byte) || byte >= 0x80;
    opaque.is_some_and(|opaque| opaque.iter().all(is_etagc))
}

/// `bytes` for a message: quoted, escaped, at most 60 of them.
pub(super) fn quoted(bytes: &[u8]) -> String {
    const MAX: usize = 60;
    match bytes.get(..MAX) {
        Some(begin) if bytes.len() > MAX => format!("\"{}\"...", begin.escape_ascii()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name, value).unwrap();
        }
        fields
    }

    #[test]
    fn a_content_range_is_read_and_written() {
        for (value, expected) in [
            ("bytes 0-0/1", ContentRange::Part { span: Span::new(0, 1), total: Some(1) }),
            ("bytes 5-9/*", ContentRange::Part { span: Span::new(5, 10), total: None }),
            ("bytes */0", ContentRange::Unsatisfied { total: 0 }),
            ("bytes 0-18446744073709551613/18446744073709551615", {
                ContentRange::Part { span: Span::new(0, u64::MAX - 1), total: Some(u64::MAX) }
            }),
        ] {
            assert_eq!(ContentRange::parse(value.as_bytes()), Ok(expected));
            assert_eq!(expected.to_string(), value);
        }
        assert!(ContentRange::parse(b"Bytes 0-0/1").is_ok(), "units are compared without case (RFC 9110 section 14.1)");
    }

    #[test]
    fn a_bad_content_range_is_refused_and_quoted() {
        for (value, why) in [
            ("", "no blank"),
            ("bytes", "no blank"),
            ("bytes=0-1/2", "no blank"),
            ("items 0-1/2", "unit"),
            ("bytes 0-1", "no \"/\""),
            ("bytes  0-1/2", "digits"),
            ("bytes 0-1/2 ", "digits"),
            ("bytes +0-1/2", "digits"),
            ("bytes 0_0-1/2", "digits"),
            ("bytes 0-/2", "digits"),
            ("bytes -1/2", "digits"),
            ("bytes 01/2", "no \"-\""),
            ("bytes 0-1/", "digits"),
            ("bytes */*", "digits"),
            ("bytes 0-1/2/3", "digits"),
            ("bytes 2-1/9", "before it begins"),
            ("bytes 0-9/9", "complete length"),
            ("bytes 0-18446744073709551615/*", "complete length"),
            ("bytes 0-18446744073709551616/*", "too large"),
        ] {
            let error = ContentRange::parse(value.as_bytes()).expect_err(value).to_string();
            assert!(error.contains(why), "{value:?}: {error}");
            assert!(error.contains(&format!("{value:?}")), "{error}");
        }
        let long = ContentRange::parse(&[b'x'; 1000]).unwrap_err().to_string();
        assert!(long.len() < 150 && long.contains("xx\"..."), "{long}");
    }

    #[test]
    fn two_content_ranges_are_refused() {
        assert_eq!(ContentRange::of(&fields(&[])), Ok(None));
        let two = fields(&[("Content-Range", "bytes 0-0/1"), ("content-range", "bytes 0-0/2")]);
        let error = ContentRange::of(&two).unwrap_err().to_string();
        assert_eq!(error, "bad Content-Range \"bytes 0-0/2\": it is the second such field");
    }

    #[test]
    fn a_range_asks_for_the_last_byte_too() {
        assert_eq!(Span::new(0, 500).field_value(), "bytes=0-499");
    }

    #[test]
    fn only_a_strong_etag_counts() {
        for strong in ["\"\"", "\"a\"", "\"W/\"", "\"a\\b\"", "\"!#é\""] {
            assert_eq!(strong_etag(&fields(&[("ETag", strong)])), Some(strong));
        }
        for other in ["W/\"a\"", "w/\"a\"", "a", "\"", "\"a", "a\"", "\"a b\"", "\"a\"b\"", "\"a\", \"b\""] {
            assert_eq!(strong_etag(&fields(&[("ETag", other)])), None, "{other}");
        }
        assert_eq!(strong_etag(&fields(&[])), None);
        assert_eq!(strong_etag(&fields(&[("ETag", "\"a\""), ("ETag", "\"a\"")])), None, "more than one");
    }
}
