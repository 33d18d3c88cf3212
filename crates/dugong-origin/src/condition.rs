//! Conditional and range requests (RFC 9110 §13, §14): which part of a document answers a request.

use crate::request::digits;

/// The fields that make a request conditional or ask for a part.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions<'a> {
    pub(crate) if_match: Option<&'a [u8]>,
    pub(crate) if_none_match: Option<&'a [u8]>,
    pub(crate) if_range: Option<&'a [u8]>,
    pub(crate) range: Option<&'a [u8]>,
}

/// The answer that the conditions allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selected {
    Whole,
    /// Bytes from `start` to before `end`.
    Part {
        start: u64,
        end: u64,
    },
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

impl Conditions<'_> {
    pub(crate) fn are_none(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none() && self.if_range.is_none() && self.range.is_none()
    }

    /// Evaluates the fields in the order of RFC 9110 §13.2.2 against a document of `length` bytes. `etag` has its quotes, and `W/` if it
    /// is weak. Documents have no date, so a date in `If-Range` never matches.
    pub(crate) fn select(&self, etag: Option<&str>, length: u64) -> Selected {
        if self.if_match.is_some_and(|list| !lists(list, etag, is_same_strongly)) {
            return Selected::PreconditionFailed;
        }
        if self.if_none_match.is_some_and(|list| lists(list, etag, is_same_weakly)) {
            return Selected::NotModified;
        }
        let is_current = self.if_range.is_none_or(|tag| etag.is_some_and(|etag| is_same_strongly(tag, etag.as_bytes())));
        match self.range {
            Some(range) if is_current => part(range, length),
            Some(_) | None => Selected::Whole,
        }
    }
}

/// Tells if a list of tags has this one, or is `*`.
fn lists(list: &[u8], etag: Option<&str>, is_same: fn(&[u8], &[u8]) -> bool) -> bool {
    let mut tags = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || etag.is_some_and(|etag| is_same(tag, etag.as_bytes())))
}

fn is_same_strongly(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

fn is_same_weakly(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").map_or(tag, |tag| tag);
    opaque(one) == opaque(other)
}

/// Reads one range of bytes. Anything else is ignored, as RFC 9110 §14.2 allows.
fn part(range: &[u8], length: u64) -> Selected {
    let bounds = range.strip_prefix(b"bytes=").and_then(|bounds| {
        let dash = bounds.iter().position(|byte| *byte == b'-')?;
        Some((&bounds[..dash], &bounds[dash + 1..]))
    });
    match bounds.map(|(first, last)| (first, digits(first), last, digits(last))) {
        Some((b"", None, _, Some(count))) if count == 0 || length == 0 => Selected::Unsatisfiable,
        Some((b"", None, _, Some(count))) => Selected::Part { start: length.saturating_sub(count), end: length },
        Some((_, Some(first), b"", None)) if first < length => Selected::Part { start: first, end: length },
        Some((_, Some(first), _, Some(last))) if first > last => Selected::Whole,
        Some((_, Some(first), _, Some(last))) if first < length => {
            Selected::Part { start: first, end: last.saturating_add(1).min(length) }
        }
        Some((_, Some(_), b"", None) | (_, Some(_), _, Some(_))) => Selected::Unsatisfiable,
        Some(_) | None => Selected::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_select_their_bytes() {
        let part = |start, end| Selected::Part { start, end };
        for (range, selected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=3-99", part(3, 10)),
            ("bytes=3-", part(3, 10)),
            ("bytes=-4", part(6, 10)),
            ("bytes=-40", part(0, 10)),
            ("bytes=10-", Selected::Unsatisfiable),
            ("bytes=10-12", Selected::Unsatisfiable),
            ("bytes=-0", Selected::Unsatisfiable),
            ("bytes=5-4", Selected::Whole),
            ("bytes=0-1,3-4", Selected::Whole),
            ("lines=0-1", Selected::Whole),
            ("bytes=-", Selected::Whole),
            ("bytes=a-b", Selected::Whole),
        ] {
            let conditions = Conditions { range: Some(range.as_bytes()), ..Conditions::default() };
            assert_eq!(conditions.select(None, 10), selected, "{range}");
        }
        assert_eq!(super::part(b"bytes=-1", 0), Selected::Unsatisfiable);
    }

    #[test]
    fn tags_are_compared_as_the_field_says() {
        let range = Some(&b"bytes=0-0"[..]);
        let (if_match, if_none_match) = (
            |tag| Conditions { if_match: Some(tag), ..Conditions::default() },
            |tag| Conditions { if_none_match: Some(tag), ..Conditions::default() },
        );
        let if_range = |tag| Conditions { if_range: Some(tag), range, ..Conditions::default() };
        let one_byte = Selected::Part { start: 0, end: 1 };
        for (conditions, etag, selected) in [
            (if_match(b"\"b\", \"a\""), Some("\"a\""), Selected::Whole),
            (if_match(b"*"), Some("\"a\""), Selected::Whole),
            (if_match(b"\"b\""), Some("\"a\""), Selected::PreconditionFailed),
            (if_match(b"W/\"a\""), Some("W/\"a\""), Selected::PreconditionFailed),
            (if_none_match(b"\"b\",W/\"a\""), Some("\"a\""), Selected::NotModified),
            (if_none_match(b"*"), None, Selected::NotModified),
            (if_none_match(b"\"b\""), Some("\"a\""), Selected::Whole),
            (if_range(b"\"a\""), Some("\"a\""), one_byte),
            (if_range(b"W/\"a\""), Some("W/\"a\""), Selected::Whole),
            (if_range(b"\"b\""), Some("\"a\""), Selected::Whole),
            (if_range(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some("\"a\""), Selected::Whole),
        ] {
            assert_eq!(conditions.select(etag, 10), selected, "{conditions:?}");
        }
    }
}
