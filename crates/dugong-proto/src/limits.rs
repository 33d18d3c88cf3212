//! Bounds on the memory and the work that a peer can cost us (RFC 9110 §17.5, RFC 9112 §11.1).

/// Limits on the parts of a response that are not content. A response that passes one is refused. All sizes are in bytes.
///
/// ```
/// let mut limits = dugong_proto::Limits::default();
/// limits.header_section = 16 * 1024;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest status line, without its CRLF. Default 65,535: reason phrases are short, but some servers put messages there.
    pub status_line: usize,
    /// Longest header section: all field lines with their CRLFs, without the empty line. Default 65,535, several times the size
    /// that servers send.
    pub header_section: usize,
    /// Most field lines in a header or trailer section. Default 1,000: each line costs memory besides its bytes.
    pub fields: usize,
    /// Longest trailer section, counted like the header section. Default 65,536.
    pub trailer_section: usize,
    /// Longest chunk extensions of one message, all together, besides those that its content allows: each chunk allows as many
    /// bytes as it has content, at most 256. Default 16,384: no program reads them, so a peer that sends more only keeps you
    /// busy.
    pub chunk_extensions: usize,
    /// Most interim (1xx) responses to one request. Default 64: some servers send 102 or 103 a few times.
    pub interim_responses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            status_line: 65_535,
            header_section: 65_535,
            fields: 1_000,
            trailer_section: 65_536,
            chunk_extensions: 16_384,
            interim_responses: 64,
        }
    }
}
