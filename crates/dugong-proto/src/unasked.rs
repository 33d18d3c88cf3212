//! Bytes that arrive when no response is due (RFC 9112 §9.2).

use crate::grammar::{CR, LF};

/// The verdict on such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// No bytes, or the one empty line that is skipped.
    Nothing,
    /// A 408 response, which servers send before they close an idle connection.
    RequestTimeout,
    /// Too few bytes to rule out a 408. Its rest may never come, so nothing waits for it without limit.
    Undecided,
    /// They break the protocol, and may be meant to be taken for the answer to a later request (RFC 9112 §9.2).
    Junk,
}

/// Judges `bytes` that arrived while no request was outstanding, or before the first byte of the oldest one had left.
pub(crate) fn judge_unasked(bytes: &[u8]) -> Unasked {
    let bytes = match bytes {
        [] | [CR] | [CR, LF] => return Unasked::Nothing,
        [CR, LF, rest @ ..] => rest,
        bytes => bytes,
    };
    let wanted = b"HTTP/1.? 408";
    let matches = bytes.iter().zip(wanted).all(|(&byte, &want)| if want == b'?' { byte.is_ascii_digit() } else { byte == want });
    match matches {
        true if bytes.len() < wanted.len() => Unasked::Undecided,
        true => Unasked::RequestTimeout,
        false => Unasked::Junk,
    }
}
