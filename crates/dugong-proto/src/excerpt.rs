//! Quotes in messages: the beginning of a received line, or of an argument that you passed.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::grammar::{CR, LF, token_run};

/// The first bytes of a refused line or argument, at most 40.
///
/// `{}` prints them quoted and escaped, and shows when more followed. It leaves out the values of fields with credentials.
#[derive(Clone, Copy)]
pub struct Excerpt {
    bytes: [u8; Excerpt::MAX],
    /// The number of bytes, with `CUT` or `HIDDEN` if others follow. It is one byte, to keep errors below 100 bytes.
    mark: u8,
}

/// More bytes followed.
const CUT: u8 = 0x40;

/// Credentials followed.
const HIDDEN: u8 = 0x80;

impl Excerpt {
    /// The most bytes that an excerpt holds.
    pub const MAX: usize = 40;

    /// An empty excerpt.
    pub(crate) const EMPTY: Excerpt = Excerpt { bytes: [0; Excerpt::MAX], mark: 0 };

    /// The beginning of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut excerpt = Excerpt::EMPTY;
        excerpt.push(bytes);
        excerpt
    }

    /// The value of a field, unless that is a secret.
    pub(crate) fn of_value(name: &[u8], value: &[u8]) -> Self {
        if is_secret(name) {
            return Excerpt { mark: HIDDEN, ..Excerpt::EMPTY };
        }
        Excerpt::of(value)
    }

    /// A request target, without the name and password of a user.
    fn of_target(target: &[u8]) -> Self {
        let authority = target.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
        let user = target[authority..].iter().take_while(|&&byte| byte != b'/').any(|&byte| byte == b'@');
        if user { Excerpt::of(&target[..authority]).hiding_behind(authority) } else { Excerpt::of(target) }
    }

    /// The line that begins with `before` and goes on in `input`: up to its end behind byte `fault`, as far as it has arrived.
    /// It leaves out the line end, unless that is the fault.
    pub(crate) fn of_line(before: &[u8], input: &[u8], fault: usize) -> Self {
        let mut excerpt = Excerpt::EMPTY;
        for (at, &byte) in before.iter().chain(input).enumerate() {
            if (at > fault && matches!(byte, CR | LF)) || (at == fault && at > 0 && byte == CR) {
                break;
            }
            if byte == LF && excerpt.as_bytes().last() == Some(&CR) && at == fault && at > 1 {
                excerpt.mark -= 1;
                break;
            }
            excerpt.push(&[byte]);
            if excerpt.is_cut() {
                break;
            }
        }
        excerpt
    }

    /// Appends bytes as far as they fit.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let len = self.as_bytes().len();
        let taken = bytes.len().min(Excerpt::MAX - len);
        self.bytes[len..len + taken].copy_from_slice(&bytes[..taken]);
        self.mark += taken as u8;
        if taken < bytes.len() {
            self.mark |= CUT;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.mark = 0;
    }

    /// The same excerpt of a field line, without the value if that is a secret.
    pub(crate) fn of_field_line(self) -> Self {
        let name = token_run(self.as_bytes());
        let secret = name < self.as_bytes().len() && is_secret(&self.as_bytes()[..name]);
        if secret { self.hiding_behind(name) } else { self }
    }

    /// The first `len` bytes, marked as followed by a secret.
    fn hiding_behind(self, len: usize) -> Self {
        Excerpt { mark: len.min(Excerpt::MAX) as u8 | HIDDEN, ..self }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.mark & !(CUT | HIDDEN))]
    }

    /// Whether the excerpt is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mark == 0
    }

    /// Whether more bytes followed.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.mark & (CUT | HIDDEN) != 0
    }
}

impl PartialEq for Excerpt {
    fn eq(&self, other: &Self) -> bool {
        (self.as_bytes(), self.mark) == (other.as_bytes(), other.mark)
    }
}

impl Eq for Excerpt {}

impl Hash for Excerpt {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.as_bytes(), self.mark).hash(state);
    }
}

/// Whether the value of a field with this name may be a secret. Programs use more such names than the standards know.
fn is_secret(name: &[u8]) -> bool {
    const PARTS: [&str; 8] = ["auth", "cookie", "credential", "key", "password", "secret", "session", "token"];
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.windows(part.len()).any(|window| window == part.as_bytes()))
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mark == HIDDEN {
            return f.write_str("(not shown)");
        }
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())?;
        f.write_str(match self.mark & (CUT | HIDDEN) {
            0 => "",
            CUT => "...",
            _ => " (the rest is not shown)",
        })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A refused argument, as far as a message quotes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Argument {
    name: Excerpt,
    value: Excerpt,
    /// The offset of the first bad byte, or `NOWHERE`.
    at: u32,
    /// The bad byte.
    byte: u8,
}

const NOWHERE: u32 = u32::MAX;

impl Argument {
    /// Describes a `value` whose first bad byte is at `at`, or that is bad as a whole.
    #[must_use]
    pub fn new(value: &[u8], at: Option<usize>) -> Self {
        let fault = at.and_then(|at| Some((u32::try_from(at).ok()?, *value.get(at)?)));
        let (at, byte) = fault.unwrap_or((NOWHERE, 0));
        Argument { name: Excerpt::EMPTY, value: Excerpt::of(value), at, byte }
    }

    /// The value of a field.
    pub(crate) fn of_field(name: &[u8], value: &[u8], at: Option<usize>) -> Self {
        Argument { value: Excerpt::of_value(name, value), ..Argument::new(value, at).named(name) }
    }

    /// The target of a request.
    pub(crate) fn of_target(method: &[u8], target: &[u8], at: Option<usize>) -> Self {
        Argument { value: Excerpt::of_target(target), ..Argument::new(target, at).named(method) }
    }

    /// The same argument, with the name of its field or method.
    pub(crate) fn named(self, name: &[u8]) -> Self {
        Argument { name: Excerpt::of(name), ..self }
    }

    /// The name of the field, or the method that the argument belongs to; empty if it belongs to none.
    #[must_use]
    pub fn name(&self) -> &Excerpt {
        &self.name
    }

    /// The beginning of the argument.
    #[must_use]
    pub fn value(&self) -> &Excerpt {
        &self.value
    }

    /// The offset of the first bad byte, if one byte is bad.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        (self.at != NOWHERE).then_some(self.at as usize)
    }

    /// The first bad byte.
    pub(crate) fn fault(&self) -> Option<u8> {
        (self.at != NOWHERE).then_some(self.byte)
    }
}

/// `, at byte 3: "GET /"`.
impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at() {
            write!(f, ", at byte {at}")?;
        }
        write!(f, ": {}", self.value)
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Argument").field("name", &self.name).field("value", &self.value).field("at", &self.at()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_escaped_and_has_forty_bytes_at_most() {
        assert_eq!(Excerpt::of(b"a\"\r\n\0\xff").to_string(), r#""a\"\r\n\x00\xff""#);
        assert_eq!(Excerpt::of(&[b'x'; 40]).to_string(), format!("\"{}\"", "x".repeat(40)));
        assert_eq!(Excerpt::of(&[b'x'; 41]).to_string(), format!("\"{}\"...", "x".repeat(40)));
    }

    #[test]
    fn a_line_ends_behind_its_fault() {
        let lines: [(&[u8], usize, &str); 4] = [
            (b"SSH-2.0-x\r\nmore", 0, r#""SSH-2.0-x""#),
            (b"X: a\nb\r\n", 4, r#""X: a\nb""#),
            (b"no colon\r\nX: y", 8, r#""no colon""#),
            (b"\nHTTP/1.1 200 OK", 0, r#""\nHTTP/1.1 200 OK""#),
        ];
        for (line, fault, quote) in lines {
            for cut in 0..=line.len() {
                assert_eq!(Excerpt::of_line(&line[..cut], &line[cut..], fault).to_string(), quote, "cut at {cut}");
            }
        }
    }

    #[test]
    fn credentials_are_not_quoted() {
        for line in ["Set-Cookie: hush\0", "set-cookie : hush\0", "AUTHORIZATION:hush\0", "X-Api-Key: hush\0"] {
            let quote = Excerpt::of_line(line.as_bytes(), b"", line.len() - 1).of_field_line().to_string();
            assert!(!quote.contains("hush") && quote.ends_with("(the rest is not shown)"), "{quote}");
        }
        let argument = Argument::of_field(b"Authorization", b"Basic c2VjcmV0\n", Some(14));
        assert_eq!(argument.to_string(), ", at byte 14: (not shown)");
        let argument = Argument::of_target(b"GET", b"http://u:secret@h/", None);
        assert_eq!(argument.to_string(), ": \"http://\" (the rest is not shown)");
    }
}
