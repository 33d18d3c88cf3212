//! Escapes text from others, so that terminals do not obey it.

use std::fmt::{self, Write};

/// Displays bytes as text. Control characters, invisible ones, and bytes that are not UTF-8 become `\x00` to `\xff`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_visible(c) { f.write_char(c) } else { escape(c.encode_utf8(&mut [0; 4]).as_bytes(), f) }?;
            }
            escape(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
}

/// Tells if a character is neither a control character, nor invisible, nor one that changes the direction of text.
pub(crate) fn is_visible(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (bytes, shown) in [
            (&b"a b"[..], "a b"),
            ("\u{e4}\u{20ac}".as_bytes(), "\u{e4}\u{20ac}"),
            (b"\x1b[31m\r\n\t\x7f\0", "\\x1b[31m\\x0d\\x0a\\x09\\x7f\\x00"),
            ("\u{9b}31m".as_bytes(), "\\xc2\\x9b31m"),
            ("\u{202e}x".as_bytes(), "\\xe2\\x80\\xaex"),
            (b"\xe4\xff", "\\xe4\\xff"),
        ] {
            assert_eq!(Readable(bytes).to_string(), shown);
        }
    }
}
