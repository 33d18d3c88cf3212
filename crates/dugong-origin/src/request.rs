//! Parses request heads strictly (RFC 9112 §2-§6), and refuses everything that two servers could understand differently.

use memchr::memchr;

use crate::condition::Conditions;

/// The parts of a request that its answer depends on. Borrows the bytes of the head.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The whole head, as it came.
    pub(crate) bytes: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) path: &'a str,
    /// The text after the first `?`; empty without one.
    pub(crate) query: &'a str,
    pub(crate) is_http10: bool,
    /// The request has `Connection: close`.
    pub(crate) asks_close: bool,
    pub(crate) framing: RequestFraming,
    pub(crate) expectation: Expectation,
    pub(crate) conditions: Conditions<'a>,
}

/// The framing of a request's content (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestFraming {
    None,
    Length(u64),
    Chunked,
}

/// The `Expect` field (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    #[default]
    None,
    Continue,
    Unknown,
}

/// The refusal of a request. The connection ends after this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// One line for the content.
    pub(crate) reason: &'static str,
}

/// Finds the end of the head at the front of `bytes`. `scanned` keeps the position between calls.
///
/// It checks each line, because a bare LF must be refused as soon as it comes: a client that ends lines with it would wait forever
/// for an answer.
pub(crate) fn head_length(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, Refusal> {
    while let Some(at) = memchr(b'\n', &bytes[*scanned..]) {
        let at = *scanned + at;
        *scanned = at + 1;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(bad("bare LF in the head"));
        }
        if at == 1 {
            return Err(bad("empty line where a request line should be"));
        }
        if bytes[..at - 1].ends_with(b"\r\n") {
            return Ok(Some(at + 1));
        }
    }
    *scanned = bytes.len();
    if bytes.len() > MAX_HEAD {
        return Err(Refusal { status: 431, reason: "the head is longer than 64 KiB" });
    }
    Ok(None)
}

/// Parses a whole head, including the blank line.
pub(crate) fn parse(head: &[u8]) -> Result<Head<'_>, Refusal> {
    let mut lines = Lines { rest: head };
    let request_line = lines.next().ok_or(bad("no request line"))?;
    let mut parts = request_line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad("the request line is not method SP target SP version"));
    };
    if !is_token(method) {
        return Err(bad("the method is not a token"));
    }
    let is_http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Refusal { status: 505, reason: "only HTTP/1.1 and HTTP/1.0 are spoken here" });
        }
        _ => return Err(bad("the version is not HTTP/D.D")),
    };
    let (path, query) = origin_form(target)?;
    let mut fields = Fields::default();
    for line in lines {
        fields.take(line)?;
    }
    let framing = fields.framing(is_http10)?;
    if fields.hosts > 1 || (fields.hosts == 0 && !is_http10) {
        return Err(bad("not exactly one Host field"));
    }
    // A server ignores the expectation of an HTTP/1.0 client (RFC 9110 §10.1.1).
    let expectation = if is_http10 { Expectation::None } else { fields.expectation };
    let conditions = fields.conditions;
    Ok(Head { bytes: head, method, path, query, is_http10, asks_close: fields.close, framing, expectation, conditions })
}

/// Checks a field line without its CRLF, and splits it into name and value (RFC 9112 §5). Also used for trailers.
pub(crate) fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(bad("line folding"));
    }
    let colon = memchr(b':', line).ok_or(bad("a field line without colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(bad("a field name is not a token"));
    }
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        return Err(bad("a control character in a field value"));
    }
    Ok((name, trim(value)))
}

/// Parses a number of one to 19 digits.
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

pub(crate) fn bad(reason: &'static str) -> Refusal {
    Refusal { status: 400, reason }
}

/// Iterates over the lines of a head up to its blank line, without CRLF.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end - 1];
        self.rest = &self.rest[end + 1..];
        (!line.is_empty()).then_some(line)
    }
}

/// Collects the fields that matter.
#[derive(Default)]
struct Fields<'a> {
    hosts: usize,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    close: bool,
    expectation: Expectation,
    conditions: Conditions<'a>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a [u8]) -> Result<(), Refusal> {
        let (name, value) = field_line(line)?;
        // Comparing lengths first rules out most names.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if value.is_empty() || !value.iter().all(|byte| is_host_byte(*byte)) {
                    return Err(bad("the Host field is not a host"));
                }
            }
            5 if name.eq_ignore_ascii_case(b"range") => once(&mut self.conditions.range, value, "more than one Range")?,
            8 if name.eq_ignore_ascii_case(b"if-range") => once(&mut self.conditions.if_range, value, "more than one If-Range")?,
            8 if name.eq_ignore_ascii_case(b"if-match") => once(&mut self.conditions.if_match, value, "more than one If-Match")?,
            13 if name.eq_ignore_ascii_case(b"if-none-match") => {
                once(&mut self.conditions.if_none_match, value, "more than one If-None-Match")?;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                let is_known = self.expectation != Expectation::Unknown && value.eq_ignore_ascii_case(b"100-continue");
                self.expectation = if is_known { Expectation::Continue } else { Expectation::Unknown };
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close |= value.split(|byte| *byte == b',').any(|option| trim(option).eq_ignore_ascii_case(b"close"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                // Servers may merge equal values (RFC 9112 §6.3), but a client that sends two is wrong.
                once(&mut self.length, value, "more than one Content-Length")?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                once(&mut self.coding, value, "more than one Transfer-Encoding")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, is_http10: bool) -> Result<RequestFraming, Refusal> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(bad("Transfer-Encoding with Content-Length")),
            (Some(_), None) if is_http10 => Err(bad("Transfer-Encoding in an HTTP/1.0 request")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(RequestFraming::Chunked),
            (Some(_), None) => Err(Refusal { status: 501, reason: "no transfer coding but chunked is known here" }),
            (None, Some(length)) => {
                digits(length).map(RequestFraming::Length).ok_or(bad("Content-Length is not a number of up to 19 digits"))
            }
            (None, None) => Ok(RequestFraming::None),
        }
    }
}

fn once<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8], reason: &'static str) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(reason)),
    }
}

/// Splits a target in origin-form or absolute-form into path and query (RFC 9112 §3.2).
fn origin_form(target: &[u8]) -> Result<(&str, &str), Refusal> {
    let target = std::str::from_utf8(target).map_err(|_| bad("the target is not ASCII"))?;
    if !target.bytes().all(is_target_byte) {
        return Err(bad("a byte in the target that must be percent-encoded"));
    }
    let from_path = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        Some(rest) => &rest[rest.find(['/', '?']).unwrap_or(rest.len())..],
        // These forms belong to CONNECT and OPTIONS; `route` refuses both.
        None if target == "*" || !target.contains('/') => target,
        None if !target.starts_with('/') => {
            return Err(bad("the target is neither a path nor an http URI"));
        }
        None => target,
    };
    Ok(from_path.split_once('?').unwrap_or((from_path, "")))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)
}

/// The limit for the bytes of request line and field lines together.
const MAX_HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Head<'_>, Refusal> {
        assert_eq!(head_length(head.as_bytes(), &mut 0)?, Some(head.len()));
        parse(head.as_bytes())
    }

    #[test]
    fn a_head_is_parsed_into_its_parts() {
        let head = read(
            "PUT /a/b?x=1&y=?2 HTTP/1.1\r\nhOsT:  [::1]:80 \r\nConnection: x , Close\r\nExpect: 100-Continue\r\n\
             Content-Length: 007\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.method, head.path, head.query), (&b"PUT"[..], "/a/b", "x=1&y=?2"));
        assert_eq!((head.framing, head.expectation), (RequestFraming::Length(7), Expectation::Continue));
        assert!(head.asks_close && !head.is_http10);
    }

    #[test]
    fn absolute_form_gives_the_path() {
        for (target, path, query) in
            [("http://a.b:1/c?d", "/c", "d"), ("https://a", "", ""), ("http://a?d", "", "d"), ("*", "*", ""), ("a:1", "a:1", "")]
        {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = read(&head).unwrap();
            assert_eq!((head.path, head.query), (path, query), "{target}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_in_every_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut scanned = 0;
        for end in 0..head.len() {
            assert_eq!(head_length(&head[..end], &mut scanned), Ok(None), "{end} bytes");
        }
        assert_eq!(head_length(head, &mut scanned), Ok(Some(head.len())));
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (status, head) in [
            (400, "\r\n"),
            (400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\n\n"),
            (400, "GET / HTTP/1.1\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
            (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
            (400, "GET /\r\nHost: a\r\n\r\n"),
            (400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET /# HTTP/1.1\r\nHost: a\r\n\r\n"),
            (400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
            (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        ] {
            let outcome = head_length(head.as_bytes(), &mut 0).and_then(|_| parse(head.as_bytes()).map(drop));
            assert_eq!(outcome.map_err(|refusal| refusal.status), Err(status), "{head:?}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let head = vec![b'a'; MAX_HEAD + 1];
        assert_eq!(head_length(&head, &mut 0).map_err(|refusal| refusal.status), Err(431));
    }
}
