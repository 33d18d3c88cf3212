//! The accessors that every kind of response has.

/// Defines the accessors of a response whose receiving side is `self.receiving()`.
macro_rules! response_head {
    () => {
        /// The number of the request that this response answers.
        #[must_use]
        pub fn number(&self) -> u64 {
            self.number
        }

        /// The status line and the header section.
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

        /// The value of the first header field called `name`; `None` if the response has none, or if the value is not UTF-8.
        /// See [`fields`](Self::fields) for all fields, and for bytes.
        #[must_use]
        pub fn header(&self, name: &str) -> Option<&str> {
            self.fields().get(name)
        }

        /// The length of the content in bytes; `None` as long as it is unknown, because the content comes in chunks or ends with
        /// the connection.
        #[must_use]
        pub fn content_length(&self) -> Option<u64> {
            let half = self.receiving().half();
            if self.is_at_end() { Some(half.content_received()) } else { half.content_length() }
        }

        /// Whether the last byte of the content was read: the receiving side may have gone on to the next response since.
        fn is_at_end(&self) -> bool {
            self.receiving().half().completed() > self.number
        }

        /// How many bytes of content you have read so far.
        #[must_use]
        pub fn content_received(&self) -> u64 {
            self.receiving().half().content_received()
        }

        /// The trailer section; empty until you have read the content to its end (RFC 9112 §7.1.2).
        ///
        /// Trailers are kept apart from the header section, since a server must not be able to replace a header field later.
        #[must_use]
        pub fn trailers(&self) -> &dugong_proto::Fields {
            self.receiving().half().trailers()
        }

        /// Whether `have` bytes and the announced rest of the content are more than `limit`.
        fn is_too_long(&self, have: usize, limit: usize) -> bool {
            let left = self.content_length().map_or(0, |length| length - self.content_received().min(length));
            have > limit || left > (limit - have) as u64
        }

        /// Reserves room for the rest of the content, but at most 1 MiB: a server that only announces much costs no memory.
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
