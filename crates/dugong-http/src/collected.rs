//! Responses read to their end.

use dugong_proto::{Fields, ResponseHead, Status};

/// A complete response, which borrows nothing.
#[derive(Clone)]
#[non_exhaustive]
pub struct Collected {
    /// The number of the request that this response answers.
    pub number: u64,
    /// The status line and the header section.
    pub head: ResponseHead,
    /// The content.
    pub content: Vec<u8>,
    /// The trailer section.
    pub trailers: Fields,
}

impl Collected {
    pub(crate) fn new(number: u64, head: ResponseHead) -> Self {
        Collected { number, head, content: Vec::new(), trailers: Fields::new() }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// The value of the first header field called `name`; `None` if the response has none, or if the value is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.fields().get(name)
    }
}

/// Shows only the length of the content.
impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collected")
            .field("number", &self.number)
            .field("head", &self.head)
            .field("content", &format_args!("{} bytes", self.content.len()))
            .field("trailers", &self.trailers)
            .finish()
    }
}
