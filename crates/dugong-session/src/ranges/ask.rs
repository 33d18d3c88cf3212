//! The requests of this module.

use dugong_http::Fields;

use super::field::Span;

/// A GET request that a machine of this module wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The number by which the machine knows the answer.
    pub index: usize,
    /// The bytes to ask for. `None`: all.
    pub span: Option<Span>,
    /// The strong `ETag` without which the server is to send the whole representation (RFC 9110 §13.1.5).
    pub if_range: Option<String>,
}

impl Ask {
    /// The fields of the request: `Range` and `If-Range`.
    #[must_use]
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let mut append = |name, value: &str| fields.append(name, value).expect("ranges and entity tags are valid in fields");
        if let Some(span) = self.span {
            append("Range", &span.field_value());
        }
        if let Some(etag) = &self.if_range {
            append("If-Range", etag);
        }
        fields
    }
}
