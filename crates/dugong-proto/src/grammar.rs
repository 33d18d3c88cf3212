//! Byte classes and list rules of RFC 9110 §5.5 and §5.6, and the only readers of digits in this crate.
//!
//! HTTP/1.1 messages consist of octets (RFC 9112 §2.2), so no function here knows about characters, and none is lenient.

pub(crate) const CR: u8 = b'\r';
pub(crate) const LF: u8 = b'\n';
pub(crate) const SP: u8 = b' ';
pub(crate) const HTAB: u8 = b'\t';
pub(crate) const DEL: u8 = 0x7f;

/// `tchar`: a byte of a token, such as a method or a field name (RFC 9110 §5.6.2).
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHAR[byte as usize]
}

const TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Optional white space (RFC 9110 §5.6.3).
pub(crate) const fn is_ows(byte: u8) -> bool {
    byte == SP || byte == HTAB
}

/// HTAB, SP, VCHAR and obs-text: the bytes that a field value, a reason phrase or a chunk extension may contain.
pub(crate) const fn is_text(byte: u8) -> bool {
    (byte >= SP && byte != DEL) || byte == HTAB
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = ONES * 0x80;

/// Eight bytes from `at`, the first of them in the lowest bits.
fn eight_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*eight))
}

/// Counts the token characters at the start of `bytes`. Field names consist mostly of letters and hyphens, so it reads those
/// eight at a time.
#[inline]
pub(crate) fn token_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        // We add numbers below 128, so that no sum carries into the next byte.
        let low = word & !HIGH_BITS;
        let folded = low | (ONES * 0x20);
        let is_letter = (folded + ONES * (0x80 - b'a' as u64)) ^ (folded + ONES * (0x7f - b'z' as u64));
        let is_no_hyphen = (low ^ (ONES * b'-' as u64)) + ONES * 0x7f;
        let others = ((!is_letter & is_no_hyphen) | word) & HIGH_BITS;
        if others == 0 {
            rest = after;
            continue;
        }
        let letters = (others.trailing_zeros() / 8) as usize;
        if !is_tchar(eight[letters]) {
            return bytes.len() - rest.len() + letters;
        }
        rest = &rest[letters + 1..];
    }
    while let [first, after @ ..] = rest
        && is_tchar(*first)
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Counts the bytes at the start of `bytes` that are text or DEL: a quicker [`text_run`], if you look for DEL in all of the
/// input at once.
#[inline]
pub(crate) fn printable_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        // A borrow can only cause false hits above the first one, so the first one is right.
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGH_BITS;
        if below_space == 0 {
            rest = after;
            continue;
        }
        let run = (below_space.trailing_zeros() / 8) as usize;
        if eight[run] != HTAB {
            return bytes.len() - rest.len() + run;
        }
        rest = &rest[run + 1..];
    }
    while let [first, after @ ..] = rest
        && (*first >= SP || *first == HTAB)
    {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Counts the text bytes at the start of `bytes`. It reads eight at a time, because nearly every byte of a head passes here.
pub(crate) fn text_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = eight_at(bytes, at) {
        let below_space = word.wrapping_sub(ONES * 0x20);
        let is_delete = (word ^ (ONES * DEL as u64)).wrapping_sub(ONES);
        let hits = (below_space | is_delete) & !word & HIGH_BITS;
        if hits == 0 {
            at += 8;
            continue;
        }
        // A borrow can only cause false hits above the first one, so the first one is right.
        at += (hits.trailing_zeros() / 8) as usize;
        if bytes[at] != HTAB {
            return at;
        }
        at += 1;
    }
    while at < bytes.len() && is_text(bytes[at]) {
        at += 1;
    }
    at
}

/// `value` without white space at its ends.
pub(crate) fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_ows(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_ows(*last)
    {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list, trimmed; it skips empty ones (RFC 9110 §5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim_ows).filter(|element| !element.is_empty())
}

/// Reads `1*DIGIT` as a number; `None` for anything else, and for numbers beyond 64 bits. `str::parse` would take `+5`, too.
#[must_use]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    if digits.len() < 20 {
        // So few digits cannot overflow.
        let mut value = 0;
        for &byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + u64::from(digit);
        }
        return Some(value);
    }
    digits.iter().try_fold(0u64, |value, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads a `HEXDIG`.
#[inline]
pub(crate) const fn hex_digit(byte: u8) -> Option<u64> {
    match HEX_DIGITS[byte as usize] {
        NO_HEX_DIGIT => None,
        digit => Some(digit as u64),
    }
}

const NO_HEX_DIGIT: u8 = u8::MAX;

// Sizes of chunks are read by the million: the table takes half of the instructions of three ranges.
static HEX_DIGITS: [u8; 256] = {
    let mut values = [NO_HEX_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Appends `value` in decimal. Only `out` allocates, when it grows.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_run_finds_the_first_byte_that_is_not_text_wherever_it_stands() {
        for bad in (0u8..=255).filter(|&b| !is_text(b)) {
            for at in 0..40 {
                let mut bytes = [b'a'; 40];
                bytes[..at].iter_mut().enumerate().for_each(|(i, b)| *b = [b'x', HTAB, 0xff, SP, 0x80][i % 5]);
                bytes[at] = bad;
                assert_eq!(text_run(&bytes), at, "byte {bad:#x}");
                assert_eq!(printable_run(&bytes), if bad == DEL { 40 } else { at }, "byte {bad:#x}");
            }
        }
        assert_eq!(text_run(&[0xff; 100]), 100);
    }

    #[test]
    fn token_run_finds_the_first_byte_that_is_no_token_character_wherever_it_stands() {
        for byte in 0u8..=255 {
            for at in 0..24 {
                let mut bytes = *b"Aa-Zz_9mM-xY!tag~Content";
                bytes[at] = byte;
                assert_eq!(token_run(&bytes), if is_tchar(byte) { 24 } else { at }, "byte {byte:#x}");
            }
        }
    }

    #[test]
    fn digits_are_digits_only() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"00018446744073709551615"), Some(u64::MAX));
        for bad in ["", "+5", "-5", " 5", "5 ", "0x5", "1_0", "18446744073709551616", "\u{0665}"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
        let mut out = Vec::new();
        push_decimal(&mut out, u64::MAX);
        push_decimal(&mut out, 0);
        assert_eq!(out, b"184467440737095516150");
    }

    #[test]
    fn lists_lose_white_space_and_empty_elements() {
        let elements: Vec<&[u8]> = list(b" , a ,\t,b c,").collect();
        assert_eq!(elements, [b"a".as_slice(), b"b c"]);
    }
}
