//! A readable trace of the bytes of a connection.

use std::fmt;
use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Fields whose values are secret (RFC 9110 §17.16.3, RFC 6265 §8): people send traces to colleagues.
const SECRETS: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"];

/// The width of a line of a trace.
const WIDTH: usize = 120;

/// The writer of the traces of one or several connections.
#[derive(Clone)]
pub(crate) struct TraceWriter {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    /// How many connections have written to it.
    connections: Arc<AtomicUsize>,
}

impl fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceWriter")
    }
}

impl TraceWriter {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Self {
        TraceWriter { writer: Arc::new(Mutex::new(Box::new(writer))), connections: Arc::default() }
    }

    /// Makes the trace of one connection. Each has its own state, because earlier bytes decide whether later ones are secret.
    pub(crate) fn connection(&self) -> WireTrace {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        WireTrace { writer: self.clone(), number, sent: Mutex::default(), received: Mutex::default() }
    }
}

/// Traces all bytes of a connection, without TLS: each line of the wire becomes a line, with `> ` before sent bytes and `< `
/// before received ones; line ends show as `\r\n`, and bytes that are not text as `\x00` to `\xff`.
///
/// The values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie` become `***`, also in content that looks
/// like these fields.
#[derive(Debug)]
pub(crate) struct WireTrace {
    writer: TraceWriter,
    /// The number of the connection among those of the writer, from 1.
    number: usize,
    sent: Mutex<Mask>,
    received: Mutex<Mask>,
}

impl WireTrace {
    /// Traces the first `count` bytes of `pieces`, which were sent.
    pub(crate) fn sent(&self, pieces: &[IoSlice<'_>], count: usize) {
        let mut left = count;
        let mut bytes = Vec::with_capacity(count);
        for piece in pieces {
            let taken = piece.len().min(left);
            bytes.extend_from_slice(&piece[..taken]);
            left -= taken;
        }
        self.write("> ", &lock(&self.sent).masked(&bytes));
    }

    pub(crate) fn received(&self, bytes: &[u8]) {
        self.write("< ", &lock(&self.received).masked(bytes));
    }

    fn write(&self, prefix: &str, bytes: &[u8]) {
        let mut writer = lock(&self.writer.writer);
        match self.writer.connections.load(Ordering::Relaxed) {
            1 => write_lines(&mut **writer, prefix, bytes),
            _ => write_lines(&mut **writer, &format!("[{}] {prefix}", self.number), bytes),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes lines. A connection must not fail because its trace cannot be written.
fn write_lines(writer: &mut dyn Write, prefix: &str, bytes: &[u8]) {
    let mut text = String::with_capacity(bytes.len() + 64);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        for part in line.chunks(WIDTH) {
            text.push_str(prefix);
            for &byte in part {
                match byte {
                    // The library escapes quotes, but they need no escape here.
                    b'"' | b'\'' => text.push(char::from(byte)),
                    _ => text.extend(byte.escape_ascii().map(char::from)),
                }
            }
            text.push('\n');
        }
    }
    let _ = writer.write_all(text.as_bytes());
    let _ = writer.flush();
}

/// Replaces the values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie` in a message head by `***`. A part
/// of a head has to begin with a line. Use it before you show the heads of an [`Event`](crate::Event) to people.
#[must_use]
pub fn without_secrets(head: &[u8]) -> Vec<u8> {
    Mask::default().masked(head)
}

/// Replaces the values of secret fields in a stream of bytes, however it is cut: everything from the colon behind the name to
/// the end of the line, and lines folded to it. It errs on the safe side, because people trace broken servers: the name may
/// stand anywhere in a line, with blanks and even a line end before the colon.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    place: Place,
    /// The last token in lower case, as long as it can be the name of a secret field.
    token: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In a token, or where one may begin.
    #[default]
    Token,
    /// Behind a token, where a colon may follow.
    Blank,
    /// In the value of a secret.
    Secret,
    /// Behind the end of its line: a folded line belongs to it (RFC 9112 §5.2).
    Ended,
    /// In a folded line, which is not shown.
    Folded,
}

impl Mask {
    /// Returns `bytes` without secrets.
    pub(crate) fn masked(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            self.take(byte, &mut out);
        }
        out
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.place = match (self.place, byte) {
            (Place::Secret, b'\n') => {
                out.extend_from_slice(b"\r\n");
                Place::Ended
            }
            (Place::Folded, b'\n') => Place::Ended,
            (Place::Ended, b' ' | b'\t') => Place::Folded,
            (Place::Secret | Place::Folded, _) => self.place,
            (Place::Token | Place::Blank, b':') if SECRETS.contains(&&self.token[..]) => {
                self.token.clear();
                out.extend_from_slice(b": ***");
                Place::Secret
            }
            (Place::Token | Place::Blank | Place::Ended, byte) => {
                out.push(byte);
                self.follow(byte)
            }
        };
    }

    /// Follows bytes that are not secret.
    fn follow(&mut self, byte: u8) -> Place {
        // A longer token is none of the names.
        const ENOUGH: usize = 32;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => Place::Blank,
            byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                if self.place == Place::Blank {
                    self.token.clear();
                }
                if self.token.len() < ENOUGH {
                    self.token.push(byte.to_ascii_lowercase());
                }
                Place::Token
            }
            _ => {
                self.token.clear();
                Place::Token
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer that the test can read.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<Vec<u8>>>);

    impl Write for Shelf {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const HEAD: &[u8] =
        b"GET / HTTP/1.1\r\nHost: h\r\nAUTHORIZATION: Basic c2VjcmV0\r\nCookie: secret\r\n\tsecret\r\nCookies: 1\r\n\r\n";

    #[test]
    fn secrets_are_masked_in_malformed_heads() {
        for head in [
            "Set-Cookie : SECRET\r\n",
            " Set-Cookie: SECRET\r\n",
            "Set-Cookie\t:SECRET\r\n",
            "HTTP/1.1 200 Set-Cookie: SECRET\r\n\tSECRET: SECRET\r\n SECRET\r\n",
            "Set-Cookie\r\n: SECRET\r\n",
            "set-cookie: SECRET\n",
            "X: a;cookie:SECRET",
        ] {
            let text = String::from_utf8(Mask::default().masked(head.as_bytes())).unwrap();
            assert!(!text.contains("SECRET") && text.contains(": ***"), "{head:?} is shown as {text:?}");
        }
        for harmless in ["Cookies: 1\r\n", "X-Cookie: 1\r\n", "cookie\r\nX: 1\r\n", "a cookie b: 1\r\n", "cookie/1: x"] {
            assert_eq!(Mask::default().masked(harmless.as_bytes()), harmless.as_bytes());
        }
    }

    #[test]
    fn secrets_are_masked_wherever_the_bytes_are_cut() {
        let whole = Mask::default().masked(HEAD);
        let text = String::from_utf8(whole.clone()).unwrap();
        assert_eq!(text, "GET / HTTP/1.1\r\nHost: h\r\nAUTHORIZATION: ***\r\nCookie: ***\r\nCookies: 1\r\n\r\n");
        for cut in 0..HEAD.len() {
            let mut mask = Mask::default();
            let mut parts = mask.masked(&HEAD[..cut]);
            parts.extend(mask.masked(&HEAD[cut..]));
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_trace_has_a_line_for_each_line_and_its_direction() {
        let shelf = Shelf::default();
        let trace = TraceWriter::new(shelf.clone()).connection();
        trace.sent(&[IoSlice::new(b"GET / HTTP/1.1\r\n"), IoSlice::new(b"\r\nnot yet")], 18);
        trace.received(b"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n\r\n\x00\xffa\\b");
        let text = String::from_utf8(shelf.0.lock().unwrap().clone()).unwrap();
        let lines = ["> GET / HTTP/1.1\\r\\n", "> \\r\\n", "< HTTP/1.1 200 OK\\r\\n", "< Set-Cookie: ***\\r\\n", "< \\r\\n"];
        assert_eq!(text, format!("{}\n< \\x00\\xffa\\\\b\n", lines.join("\n")));
    }

    #[test]
    fn secrets_are_masked_when_two_connections_are_traced_at_once() {
        let shelf = Shelf::default();
        let writer = TraceWriter::new(shelf.clone());
        let (one, other) = (writer.connection(), writer.connection());
        one.sent(&[IoSlice::new(b"Authorization: Basic c2V")], 24);
        one.received(b"Set-Cookie: secr");
        other.sent(&[IoSlice::new(b"GET / HTTP/1.1\r\n")], 16);
        other.received(b"HTTP/1.1 200 OK\r\n");
        // A connection that begins now must not clear the state of another.
        writer.connection().sent(&[IoSlice::new(b"\r\n")], 2);
        one.sent(&[IoSlice::new(b"jcmV0\r\n")], 7);
        one.received(b"et\r\n");
        let text = String::from_utf8(shelf.0.lock().unwrap().clone()).unwrap();
        let lines = [
            "[1] > Authorization: ***",
            "[1] < Set-Cookie: ***",
            "[2] > GET / HTTP/1.1\\r\\n",
            "[2] < HTTP/1.1 200 OK\\r\\n",
            "[3] > \\r\\n",
            "[1] > \\r\\n",
            "[1] < \\r\\n",
        ];
        assert_eq!(text, format!("{}\n", lines.join("\n")));
    }
}
