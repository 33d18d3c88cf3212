//! Answers with a part of the content (206).

use dugong_http::{Fields, Status};
use dugong_session::Reply;
use dugong_session::ranges::ContentRange;

/// Tells the fault of a part: you asked for no range, or it begins elsewhere.
pub(crate) fn wrong_part(asked: &Fields, reply: &Reply) -> Option<String> {
    if reply.status() != Status::PARTIAL_CONTENT {
        return None;
    }
    let sent = reply.header("Content-Range").map_or("no Content-Range".to_owned(), |range| format!("\"Content-Range: {range}\""));
    let Some(range) = asked.get("Range") else {
        return Some(format!("the server was asked for all of the content, and sent a part (206) with {sent}"));
    };
    let begin: u64 = range.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok()?;
    match ContentRange::of(reply.fields()) {
        Ok(Some(ContentRange::Part { span, .. })) if span.start != begin => {
            Some(format!("the server was asked for {range}, and sent {sent}"))
        }
        _ => None,
    }
}

/// Tells if all ranges, such as `0-99`, `100-` or `-100`, end after they begin.
pub(crate) fn are_ranges(text: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    text.split(',').map(str::trim).all(|part| match part.split_once('-') {
        Some((first, last)) if is_number(first) && is_number(last) && part.len() > 1 => {
            let number = |text: &str| text.parse::<u128>();
            !matches!((number(first), number(last)), (Ok(first), Ok(last)) if last < first)
        }
        _ => false,
    })
}
