//! The event lines that the format allows. No client could pass a case with a misspelt line, so the reader refuses it.

/// The reasons why a connection can carry no further request.
const CLOSE_REASONS: &[&str] = &[
    "server-said-close",
    "client-said-close",
    "http-1.0",
    "close-delimited",
    "faulty-framing",
    "content-not-sent",
    "peer-closed",
];

const REMOTE: &[&str] = &[
    // status line
    "status-line",
    "status-code",
    "reason-phrase",
    // lines and fields
    "bare-cr",
    "bare-lf",
    "field-name",
    "space-before-colon",
    "missing-colon",
    "field-value",
    "leading-whitespace",
    // limits
    "status-line-too-long",
    "header-section-too-long",
    "too-many-fields",
    "too-many-interim",
    // framing
    "coding-and-length",
    "transfer-coding",
    "coding-in-http-1.0",
    "content-length",
    "content-lengths-differ",
    "folded-framing-field",
    // chunked
    "chunk-size",
    "chunk-size-overflow",
    "chunk-extension",
    "chunk-extensions-too-long",
    "chunk-end",
    "trailer-section-too-long",
    // unasked
    "unasked-bytes",
    "unasked-switch",
];

const UNSUPPORTED: &[&str] = &["not-http", "tls", "version", "no-status"];

const LOCAL: &[&str] = &[
    "method",
    "target",
    "field-name",
    "field-value",
    "host",
    "content-length",
    "transfer-encoding",
    "expect",
    "te",
    "connection",
    "content-not-allowed",
    "content-owed",
    "excess-content",
    "content-short",
    "no-content-due",
    "read-first",
    "trailer",
    "await-continue",
    "content-refused",
];

/// Checks one line of an events block. `head` is the flag of that block.
///
/// # Errors
///
/// A description of the fault in the line.
pub(crate) fn check(line: &str, head: bool) -> Result<(), String> {
    let (kind, rest) = match line.split_once(' ') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (line, None),
    };
    let good = match (kind, rest) {
        ("interim" | "response", Some(status)) => status.len() == 3 && is_number(status),
        ("version", Some(version)) => head && (version == "1.0" || version == "1.1"),
        ("reason", reason) => head && reason.is_none_or(is_escaped),
        ("field", Some(field)) => head && is_field(field),
        ("trailer", Some(field)) => is_field(field),
        ("content" | "raw", Some(bytes)) => is_escaped(bytes),
        ("end" | "tunnel", None) => true,
        ("close", Some(reason)) => CLOSE_REASONS.contains(&reason),
        ("error", Some(error)) => is_error(error),
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("{line:?} is no event line")) }
}

fn is_error(error: &str) -> bool {
    let words: Vec<&str> = error.split(' ').collect();
    match words[..] {
        ["remote", code, at] => REMOTE.contains(&code) && is_figure(at, "at="),
        ["unsupported", code, at] => UNSUPPORTED.contains(&code) && is_figure(at, "at="),
        ["local", code] => LOCAL.contains(&code),
        ["closed", reason] => reason == "request-timeout" || reason == "unasked-bytes" || CLOSE_REASONS.contains(&reason),
        ["incomplete", "nothing", received] => received == "received=0",
        ["incomplete", "head" | "content" | "chunk-line" | "trailers", received] => is_figure(received, "received="),
        ["incomplete", "content", received, expected] => is_figure(received, "received=") && is_figure(expected, "expected="),
        _ => false,
    }
}

fn is_figure(word: &str, label: &str) -> bool {
    word.strip_prefix(label).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_field(text: &str) -> bool {
    match text.split_once(':') {
        Some((name, value)) => {
            !name.is_empty() && !name.contains(' ') && (value.is_empty() || value.strip_prefix(' ').is_some_and(is_escaped))
        }
        None => false,
    }
}

/// Whether `text` is, byte for byte, the output of [`crate::escape`] for some bytes that are not empty.
fn is_escaped(text: &str) -> bool {
    !text.is_empty() && crate::bytes::unescape(text).is_ok_and(|bytes| crate::escape(&bytes) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_format_is_accepted() {
        for line in [
            "interim 103",
            "response 200",
            "content hello",
            "content 201 bytes",
            r"content a\\b\x80\s",
            "trailer X-Sum: 1",
            "trailer X-Sum:",
            "end",
            "close server-said-close",
            "tunnel",
            r"raw \0",
            "error remote chunk-size at=48",
            "error unsupported version at=7",
            "error incomplete nothing received=0",
            "error incomplete head received=5",
            "error incomplete content received=5",
            "error incomplete content received=5 expected=6",
            "error closed close-delimited",
            "error closed request-timeout",
            "error local target",
        ] {
            assert_eq!(check(line, false), Ok(()));
        }
        for line in ["version 1.0", "reason", "reason Not Found", "field X:", r"field X: \xe9"] {
            assert_eq!(check(line, true), Ok(()));
            assert!(check(line, false).is_err(), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "respond 200",
            "response",
            "response 20",
            "response +20",
            "version 2.0",
            "reason ",
            "field X",
            "field : x",
            "field X:y",
            "field X: ",
            "content",
            "content ",
            "content a ",
            r"content \q",
            r"content \xFF",
            "content \t",
            "end ",
            "close because",
            "error remote chunk-sizes at=48",
            "error remote chunk-size",
            "error remote chunk-size at=-1",
            "error unsupported chunk-size at=1",
            "error incomplete nothing received=1",
            "error incomplete head received=1 expected=2",
            "error local target at=1",
        ] {
            assert!(check(line, true).is_err(), "{line:?}");
        }
    }
}
