//! Bytes as text, and text as bytes: the escapes of the format.

use std::fmt::Write;

/// The longest content that an event line shows. For longer content it shows only the number of bytes.
const SHOWN: usize = 200;

/// Writes `bytes` as the format does: printable ASCII unchanged except `\` as `\\`, a space at the end as `\s`, CR, LF, HTAB
/// and NUL as `\r`, `\n`, `\t` and `\0`, anything else as `\x` and two lower-case hexadecimal digits.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b' ' if index + 1 == bytes.len() => text.push_str("\\s"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail"),
        }
    }
    text
}

/// The event line for content: `content` and the bytes, or their number if they are more than 200.
#[must_use]
pub fn content_line(bytes: &[u8]) -> String {
    bytes_line("content", bytes)
}

/// The event line for bytes in a tunnel, made like [`content_line`].
#[must_use]
pub fn raw_line(bytes: &[u8]) -> String {
    bytes_line("raw", bytes)
}

/// The event line for a field: `kind` (`field` or `trailer`), name, colon, and the value if it is not empty.
#[must_use]
pub fn field_line(kind: &str, name: &[u8], value: &[u8]) -> String {
    let colon = if value.is_empty() { ":" } else { ": " };
    format!("{kind} {}{colon}{}", escape(name), escape(value))
}

fn bytes_line(kind: &str, bytes: &[u8]) -> String {
    if bytes.len() > SHOWN { format!("{kind} {} bytes", bytes.len()) } else { format!("{kind} {}", escape(bytes)) }
}

/// The bytes that `text` stands for.
///
/// # Errors
///
/// A description of the first bad escape.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..backslash]);
        rest = &rest[backslash + 1..];
        rest = if let Some(inside) = rest.strip_prefix('{') { repeated(inside, &mut bytes)? } else { single(rest, &mut bytes)? };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Reads one escape behind its backslash, and returns the text behind it.
fn single<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Result<&'t str, String> {
    let byte = match text.bytes().next() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'0') => 0,
        Some(b's') => b' ',
        Some(b'\\') => b'\\',
        Some(b'x') => {
            let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let digits = digits.ok_or("expected two hexadecimal digits after \\x")?;
            bytes.push(u8::from_str_radix(digits, 16).expect("both are hexadecimal digits"));
            return Ok(&text[3..]);
        }
        Some(_) => return Err(format!("unknown escape \\{}", text.chars().next().unwrap_or_default())),
        None => return Err("a backslash at the end of the line".to_owned()),
    };
    bytes.push(byte);
    Ok(&text[1..])
}

/// Reads `N*text}`, and returns the text behind it.
fn repeated<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Result<&'t str, String> {
    let (inside, rest) = text.split_once('}').ok_or("a \\{ without its }")?;
    let (count, unit) = inside.split_once('*').ok_or("expected \\{N*text}, but found no *")?;
    if count.is_empty() || count.len() > 7 || !count.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(format!("expected a number below 10,000,000 before the *, but found {count:?}"));
    }
    if unit.contains("\\{") {
        return Err("a repetition within a repetition".to_owned());
    }
    let unit = unescape(unit)?;
    for _ in 0..count.parse::<usize>().expect("seven digits fit") {
        bytes.extend_from_slice(&unit);
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_escape_stands_for_its_byte() {
        assert_eq!(unescape(r"a\r\n\t\0\\\s\x7F\xffz").unwrap(), b"a\r\n\t\0\\ \x7f\xffz");
    }

    #[test]
    fn text_without_escapes_is_itself() {
        assert_eq!(unescape("  {plain} é ").unwrap(), "  {plain} é ".as_bytes());
    }

    #[test]
    fn a_repetition_repeats_text_with_escapes() {
        assert_eq!(unescape(r"<\{3*a\x7d\n}>\{0*b}").unwrap(), b"<a}\na}\na}\n>");
    }

    #[test]
    fn bad_escapes_are_refused() {
        for bad in [
            r"\q",
            r"a\",
            r"\x4",
            r"\x+4",
            r"\xé",
            r"\é",
            r"\{3*a",
            r"\{3a}",
            r"\{+3*a}",
            r"\{*a}",
            r"\{2*\{2*a}}",
            r"\{12345678*a}",
        ] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unescape_reads_all_that_escape_writes() {
        let all: Vec<u8> = (0..=255).chain(*b"  ").collect();
        let text = escape(&all);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.ends_with(r" \s"), "{text}");
        assert_eq!(unescape(&text).unwrap(), all);
    }

    #[test]
    fn content_is_shown_up_to_two_hundred_bytes() {
        assert_eq!(content_line(b" a\\b\x80 "), r" a\\b\x80\s".replacen(' ', "content  ", 1));
        assert_eq!(content_line(&[b'a'; 200]), format!("content {}", "a".repeat(200)));
        assert_eq!(content_line(&[b'a'; 201]), "content 201 bytes");
        assert_eq!(raw_line(&[0]), r"raw \0");
    }

    #[test]
    fn a_field_without_value_has_nothing_behind_its_colon() {
        assert_eq!(field_line("field", b"X", b""), "field X:");
        assert_eq!(field_line("trailer", b"X", b"a\tb"), r"trailer X: a\tb");
    }
}
