//! Requests, checked against the grammar before a byte is produced (RFC 9112 §3).

use crate::error::Misuse;
use crate::excerpt::Argument;
use crate::fields::{Fields, Mark};
use crate::grammar::{decimal, list};
use crate::method::Method;

/// The content that a request announces (RFC 9112 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Announced {
    /// No content. Methods that expect content say `Content-Length: 0`.
    #[default]
    Nothing,
    /// This many bytes.
    Length(u64),
    /// Any amount, in chunks, with a trailer section at the end (RFC 9112 §7.1).
    Chunked,
}

impl Announced {
    /// Whether you have to send content.
    #[must_use]
    pub fn is_some(self) -> bool {
        !matches!(self, Announced::Nothing | Announced::Length(0))
    }
}

/// The head of a request, and the content that it announces.
///
/// ```
/// use dugong_proto::{Announced, Method, RequestHead};
/// let mut head = RequestHead::new(Method::PUT, "/notes/1")?;
/// head.fields.append("Content-Type", "text/plain")?;
/// head.content = Announced::Length(11);
/// head.expect_continue = true;
/// # Ok::<(), dugong_proto::Misuse>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    method: Method,
    target: Box<str>,
    /// The field lines, in the order in which they are sent. `Host`, `Content-Length`, `Transfer-Encoding` and `Expect` are
    /// added when the request needs them. If you set them here, they must agree with the rest of the request.
    pub fields: Fields,
    /// The content that follows.
    pub content: Announced,
    /// Whether to send `Expect: 100-continue`, and to wait for its answer before the content (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    verbatim: bool,
}

impl RequestHead {
    /// Creates a request without fields and content.
    ///
    /// `target` is the target in the request line (RFC 9112 §3.2): an absolute path with its query for an origin server, a URI
    /// for a proxy, `host:port` for CONNECT, or `*` for OPTIONS about the server itself. It is sent unchanged: percent-encode
    /// it yourself.
    ///
    /// # Errors
    /// [`Misuse::Target`] if the target has none of these forms, or contains a byte that is not allowed there.
    pub fn new(method: Method, target: impl Into<Box<str>>) -> Result<Self, Misuse> {
        let target = target.into();
        let form = match method.as_str() {
            "CONNECT" => is_authority(&target),
            "OPTIONS" if &*target == "*" => true,
            _ => {
                target.starts_with('/')
                    || authority_of_uri(&target).is_some_and(|authority| is_uri_authority(authority.as_bytes()))
            }
        };
        check_visible(&method, &target)?;
        if !form {
            return Err(Misuse::Target(Argument::of_target(method.as_str().as_bytes(), target.as_bytes(), None)));
        }
        Ok(RequestHead { verbatim: false, ..RequestHead::of(method, target) })
    }

    /// Creates a request with fewer checks, for programs that have always sent such requests: the target may have any form, and
    /// only the fields that frame the message have to be right. It still refuses every byte by which a server could take the
    /// request for another message.
    ///
    /// Such a request never switches protocols, and may be pipelined to HTTP/1.0 servers, too.
    ///
    /// # Errors
    /// [`Misuse::Target`] if the target is empty or contains a byte that is not allowed there.
    pub fn verbatim(method: Method, target: impl Into<Box<str>>) -> Result<Self, Misuse> {
        let target = target.into();
        check_visible(&method, &target)?;
        Ok(RequestHead { verbatim: true, ..RequestHead::of(method, target) })
    }

    fn of(method: Method, target: Box<str>) -> Self {
        let fields = Fields::new();
        RequestHead { method, target, fields, content: Announced::Nothing, expect_continue: false, verbatim: false }
    }

    /// Whether [`verbatim`](RequestHead::verbatim) made it.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.verbatim
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it is sent.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port of the target, if it has them. They are the value of Host then (RFC 9112 §3.2).
    pub(crate) fn authority(&self) -> Option<&str> {
        match &*self.target {
            target if target.starts_with('/') => None,
            target if self.method.is_connect() => Some(target),
            target => authority_of_uri(target),
        }
    }

    /// Whether content will follow the head.
    pub(crate) fn owes_content(&self) -> bool {
        self.content.is_some()
    }

    /// Whether the expectation is sent. Without content it is not (RFC 9110 §10.1.1).
    pub(crate) fn expects(&self) -> bool {
        self.expect_continue && self.owes_content()
    }

    /// Reads the fields that decide how the request is sent.
    ///
    /// # Errors
    /// `Misuse` if they contradict the announced content, or RFC 9110.
    #[inline]
    pub(crate) fn check(&self) -> Result<Checked<'_>, Misuse> {
        let is_plain = self.content == Announced::Nothing && !self.expect_continue && self.fields.marks == Mark::NONE;
        if is_plain { Ok(Checked::default()) } else { self.check_marked() }
    }

    fn check_marked(&self) -> Result<Checked<'_>, Misuse> {
        if self.expect_continue && self.content == Announced::Nothing {
            return Err(Misuse::Expect(Argument::new(b"", None)));
        }
        let mut checked = Checked::default();
        let marks = self.fields.marks;
        let (te, upgrade) = (marks.contains(Mark::TE), marks.contains(Mark::UPGRADE));
        for line in self.fields.lines.iter().filter(|line| line.mark != Mark::NONE) {
            let value = self.fields.value(line);
            match line.mark {
                Mark::TE if !self.verbatim && self.fields.list_contains("TE", "chunked") => {
                    return Err(Misuse::Te(Argument::new(value, None)));
                }
                Mark::HOST => {
                    if checked.host.replace(value).is_some() {
                        return Err(Misuse::Host(Argument::new(value, None).named(b"Host")));
                    }
                    if !is_host(value) {
                        return Err(Misuse::Host(Argument::new(value, None)));
                    }
                }
                Mark::EXPECT => {
                    if self.verbatim && !self.expects() {
                        continue;
                    }
                    let agrees = self.expects() && value.eq_ignore_ascii_case(b"100-continue");
                    if checked.has_expect || !agrees {
                        return Err(Misuse::Expect(Argument::new(value, None)));
                    }
                    checked.has_expect = true;
                }
                Mark::CONNECTION => {
                    checked.says_close |= list(value).any(|option| option.eq_ignore_ascii_case(b"close"));
                }
                Mark::CONTENT_LENGTH => {
                    let announced = match self.content {
                        Announced::Nothing => 0,
                        Announced::Length(length) => length,
                        Announced::Chunked => return Err(Misuse::ContentLength(Argument::new(value, None))),
                    };
                    if checked.has_framing || decimal(value) != Some(announced) {
                        return Err(Misuse::ContentLength(Argument::new(value, None)));
                    }
                    checked.has_framing = true;
                }
                Mark::TRANSFER_ENCODING => {
                    let agrees = self.content == Announced::Chunked && value.eq_ignore_ascii_case(b"chunked");
                    if checked.has_framing || !agrees {
                        return Err(Misuse::TransferEncoding(Argument::new(value, None)));
                    }
                    checked.has_framing = true;
                }
                _ => {}
            }
        }
        if self.verbatim {
            return Ok(checked);
        }
        for (given, name) in [(te, "TE"), (upgrade, "Upgrade")] {
            if given && !self.fields.list_contains("Connection", name) {
                let value = self.fields.get_bytes(name).unwrap_or_default();
                return Err(Misuse::Connection(Argument::new(value, None).named(name.as_bytes())));
            }
        }
        checked.asks_upgrade = upgrade;
        let allowed = self.content == Announced::Nothing
            || match self.method {
                Method::TRACE | Method::CONNECT => false,
                Method::OPTIONS => self.fields.contains("Content-Type"),
                _ => true,
            };
        if allowed { Ok(checked) } else { Err(Misuse::ContentNotAllowed(Argument::new(self.method.as_str().as_bytes(), None))) }
    }
}

/// The fields of a request that decide how it is sent.
#[derive(Debug, Default)]
pub(crate) struct Checked<'a> {
    /// The request's own Host, which replaces the connection's.
    pub(crate) host: Option<&'a [u8]>,
    /// Content-Length or Transfer-Encoding is among the fields.
    pub(crate) has_framing: bool,
    pub(crate) has_expect: bool,
    pub(crate) says_close: bool,
    pub(crate) asks_upgrade: bool,
}

/// Checks that the target is not empty, and that it contains no byte by which it could end early.
fn check_visible(method: &Method, target: &str) -> Result<(), Misuse> {
    let fault = target.bytes().position(|b| !b.is_ascii_graphic() || b == b'#');
    if target.is_empty() || fault.is_some() {
        return Err(Misuse::Target(Argument::of_target(method.as_str().as_bytes(), target.as_bytes(), fault)));
    }
    Ok(())
}

/// The authority of a URI (RFC 3986 §3.2), if `target` is one.
fn authority_of_uri(target: &str) -> Option<&str> {
    let (_, rest) = target.split_once("://").filter(|(scheme, _)| is_scheme(scheme))?;
    rest.split(['/', '?']).next()
}

/// Whether an authority has a host and no user information (RFC 9110 §4.2.1, §4.2.4).
pub(crate) fn is_uri_authority(authority: &[u8]) -> bool {
    is_host(authority) && !authority.is_empty() && !authority.starts_with(b":")
}

/// `scheme` of RFC 3986 §3.1.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Whether `text` is `host:port`, without user information. CONNECT needs both of them.
fn is_authority(text: &str) -> bool {
    let complete = |(host, port): (&str, &str)| !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_host(text.as_bytes()) && text.rsplit_once(':').is_some_and(complete)
}

/// Whether `value` is a value of Host (RFC 9110 §7.2): `uri-host [":" port]`. It may be empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (name, rest) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
            let (literal, rest) = (&rest[..end], &rest[end + 1..]);
            if literal.is_empty() || !literal.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'v' | b'%')) {
                return false;
            }
            (&b""[..], rest)
        }
        _ => value.split_at(value.iter().position(|&b| b == b':').unwrap_or(value.len())),
    };
    let name_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
    let port = rest.strip_prefix(b":").unwrap_or(rest);
    name.iter().all(|&b| name_byte(b)) && port.iter().all(u8::is_ascii_digit) && (rest.is_empty() || rest[0] == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_literals_with_a_port_of_digits() {
        for good in ["", "a", "a.example:80", "[::1]", "[::1]:443", "127.0.0.1:", "xn--a_b"] {
            assert!(is_host(good.as_bytes()), "{good:?}");
        }
        for bad in ["a b", "user@host", "a:b", "a:80:80", "[::1", "[]", "[::1]x", "::1", "a/b", "h\u{f6}st", "a\r\nb"] {
            assert!(!is_host(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn verbatim_targets_have_any_form_but_no_byte_that_could_end_them() {
        let check = |target: &str| RequestHead::verbatim(Method::GET, target).is_ok();
        assert!(["a", "*", "?q", "/a", "h:1", "mailto:x"].into_iter().all(check));
        assert!(!["", "/a b", "/a#b", "/\u{e4}", "/\r\n", "/\0"].into_iter().any(check));
    }

    #[test]
    fn verbatim_fields_are_checked_for_framing_alone() {
        let mut head = RequestHead::verbatim(Method::OPTIONS, "/").unwrap();
        head.content = Announced::Length(3);
        for (name, value) in [("TE", "chunked"), ("Upgrade", "websocket"), ("Content-Length", "3")] {
            head.fields.append(name, value).unwrap();
        }
        assert!(!head.check().unwrap().asks_upgrade);
        head.fields.append("Content-Length", "4").unwrap();
        assert!(matches!(head.check(), Err(Misuse::ContentLength(_))));
    }

    #[test]
    fn targets_have_the_form_that_their_method_needs() {
        let check = |method: &str, target: &str| RequestHead::new(Method::new(method).unwrap(), target).is_ok();
        for (method, target) in [
            ("GET", "/"),
            ("GET", "/a?b=c|d"),
            ("GET", "http://h/"),
            ("CONNECT", "h:443"),
            ("CONNECT", "[::1]:443"),
            ("OPTIONS", "*"),
        ] {
            assert!(check(method, target), "{method} {target}");
        }
        for (method, target) in [
            ("GET", ""),
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "/a b"),
            ("GET", "/a#b"),
            ("GET", "/\u{e4}"),
            ("GET", "/\r\n"),
            ("GET", "://x"),
            ("CONNECT", "/"),
            ("CONNECT", "h"),
            ("CONNECT", "h:"),
            ("CONNECT", "u@h:1"),
        ] {
            assert!(!check(method, target), "{method} {target}");
        }
    }
}
