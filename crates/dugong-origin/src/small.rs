//! The prepared answer of `/small`, made once and copied.

use std::time::SystemTime;

use crate::digest;

/// A head of [`HEAD`] bytes with six fields, and [`CONTENT`].
#[derive(Debug)]
pub(crate) struct Small {
    bytes: Vec<u8>,
}

impl Small {
    pub(crate) fn new() -> Self {
        let etag = etag();
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nServer: dugong-origin\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             ETag: {etag}\r\nCache-Control: max-age=3600\r\n\r\n",
            digest::http_date(SystemTime::now()),
            CONTENT.len()
        )
        .into_bytes();
        assert_eq!(bytes.len(), HEAD, "each part of the head has a fixed size");
        bytes.extend_from_slice(CONTENT);
        Self { bytes }
    }

    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
    }

    /// The answer to HEAD.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..HEAD]
    }
}

/// The entity tag of the answer.
pub(crate) fn etag() -> String {
    format!("\"{}\"", &digest::hex(&digest::sha256(CONTENT))[..24])
}

/// The bytes of the head, with its blank line.
const HEAD: usize = 189;

/// The content, 120 bytes.
pub(crate) const CONTENT: &[u8; 120] = b"A small answer for a small question: one hundred and twenty bytes of plain text, \
sent from memory as often as you like.\n";
