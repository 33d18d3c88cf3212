//! What all kinds of responses tell.

/// The methods of a response that look at it, for one whose receiving side is `self.receiving()`.
macro_rules! response_head {
    () => {
        /// The number of the request that this is the answer to.
        #[must_use]
        pub fn number(&self) -> u64 {
            self.number
        }

        /// Status line and header section.
        #[must_use]
        pub fn head(&self) -> &dugong_proto::ResponseHead {
            self.receiving().half().head()
        }

        /// The status code.
        #[must_use]
        pub fn status(&self) -> dugong_proto::Status {
            self.head().status()
        }

        /// The reason phrase as text, each byte one character (ISO 8859-1); often empty.
        #[must_use]
        pub fn reason(&self) -> std::borrow::Cow<'_, str> {
            self.head().reason_text()
        }

        /// The header section.
        #[must_use]
        pub fn fields(&self) -> &dugong_proto::Fields {
            self.head().fields()
        }

        /// The length of the content in bytes as far as it is known before it is read: 0 if there is none, `None` if chunks or
        /// the end of the connection will tell.
        #[must_use]
        pub fn content_length(&self) -> Option<u64> {
            let half = self.receiving().half();
            if self.is_at_end() { Some(half.content_received()) } else { half.content_length() }
        }

        /// Whether the content was read to its last byte: what there is to read then belongs to the next response.
        fn is_at_end(&self) -> bool {
            self.receiving().half().completed() > self.number
        }

        /// Bytes of content that were read so far.
        #[must_use]
        pub fn content_received(&self) -> u64 {
            self.receiving().half().content_received()
        }

        /// The trailer section: empty until the content was read to its end (RFC 9112 §7.1.2). It is not part of the header
        /// section, since a field there may mean something else.
        #[must_use]
        pub fn trailers(&self) -> &dugong_proto::Fields {
            self.receiving().half().trailers()
        }

        /// Room for what is left of the content, as far as it is known; what a server announces is not allocated before it
        /// comes.
        fn reserve_for_rest(&self, content: &mut Vec<u8>) {
            const TRUSTED: u64 = 1 << 20;
            if let Some(length) = self.content_length() {
                let left = length - self.content_received().min(length);
                content.reserve(usize::try_from(left.min(TRUSTED)).unwrap_or(0));
            }
        }
    };
}

pub(crate) use response_head;
