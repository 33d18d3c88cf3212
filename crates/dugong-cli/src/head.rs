//! Response heads as bytes.

use dugong_http::ResponseHead;

/// Writes a head in the form in which servers send it.
pub(crate) fn head_bytes(head: &ResponseHead) -> Vec<u8> {
    let mut bytes = format!("HTTP/{} {} ", head.version(), head.status()).into_bytes();
    bytes.extend_from_slice(head.reason());
    for line in head.fields().iter() {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(line.name().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(line.value());
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes
}

/// Splits a head into lines without their line ends; the last line is empty.
pub(crate) fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").unwrap_or(line))
}
