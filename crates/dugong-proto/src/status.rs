//! Status codes (RFC 9110 §15).

use std::fmt;

/// A status code from 100 to 999.
///
/// ```
/// use dugong_proto::Status;
/// let status = Status::new(404).expect("404 has three digits");
/// assert_eq!(status, Status::NOT_FOUND);
/// assert!(status.is_client_error());
/// assert_eq!(status.canonical_reason(), Some("Not Found"));
/// assert!(status == 404 && Status::new(42).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub(crate) u16);

macro_rules! registered {
    ($($code:literal $name:ident $reason:literal)*) => {
        impl Status {
            $(#[doc = concat!("`", stringify!($code), " ", $reason, "`")] pub const $name: Status = Status($code);)*

            /// The reason phrase that the IANA registry gives for this code; `None` for unregistered codes. The server may have sent
            /// another one: see [`ResponseHead::reason`](crate::ResponseHead::reason).
            #[must_use]
            pub const fn canonical_reason(self) -> Option<&'static str> {
                match self.0 { $($code => Some($reason),)* _ => None }
            }
        }
    };
}

// The HTTP Status Code Registry of IANA, without the codes that it calls unused.
registered! {
    100 CONTINUE "Continue"
    101 SWITCHING_PROTOCOLS "Switching Protocols"
    102 PROCESSING "Processing"
    103 EARLY_HINTS "Early Hints"
    104 UPLOAD_RESUMPTION_SUPPORTED "Upload Resumption Supported"
    200 OK "OK"
    201 CREATED "Created"
    202 ACCEPTED "Accepted"
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information"
    204 NO_CONTENT "No Content"
    205 RESET_CONTENT "Reset Content"
    206 PARTIAL_CONTENT "Partial Content"
    207 MULTI_STATUS "Multi-Status"
    208 ALREADY_REPORTED "Already Reported"
    226 IM_USED "IM Used"
    300 MULTIPLE_CHOICES "Multiple Choices"
    301 MOVED_PERMANENTLY "Moved Permanently"
    302 FOUND "Found"
    303 SEE_OTHER "See Other"
    304 NOT_MODIFIED "Not Modified"
    305 USE_PROXY "Use Proxy"
    307 TEMPORARY_REDIRECT "Temporary Redirect"
    308 PERMANENT_REDIRECT "Permanent Redirect"
    400 BAD_REQUEST "Bad Request"
    401 UNAUTHORIZED "Unauthorized"
    402 PAYMENT_REQUIRED "Payment Required"
    403 FORBIDDEN "Forbidden"
    404 NOT_FOUND "Not Found"
    405 METHOD_NOT_ALLOWED "Method Not Allowed"
    406 NOT_ACCEPTABLE "Not Acceptable"
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required"
    408 REQUEST_TIMEOUT "Request Timeout"
    409 CONFLICT "Conflict"
    410 GONE "Gone"
    411 LENGTH_REQUIRED "Length Required"
    412 PRECONDITION_FAILED "Precondition Failed"
    413 CONTENT_TOO_LARGE "Content Too Large"
    414 URI_TOO_LONG "URI Too Long"
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type"
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable"
    417 EXPECTATION_FAILED "Expectation Failed"
    421 MISDIRECTED_REQUEST "Misdirected Request"
    422 UNPROCESSABLE_CONTENT "Unprocessable Content"
    423 LOCKED "Locked"
    424 FAILED_DEPENDENCY "Failed Dependency"
    425 TOO_EARLY "Too Early"
    426 UPGRADE_REQUIRED "Upgrade Required"
    428 PRECONDITION_REQUIRED "Precondition Required"
    429 TOO_MANY_REQUESTS "Too Many Requests"
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large"
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons"
    500 INTERNAL_SERVER_ERROR "Internal Server Error"
    501 NOT_IMPLEMENTED "Not Implemented"
    502 BAD_GATEWAY "Bad Gateway"
    503 SERVICE_UNAVAILABLE "Service Unavailable"
    504 GATEWAY_TIMEOUT "Gateway Timeout"
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported"
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates"
    507 INSUFFICIENT_STORAGE "Insufficient Storage"
    508 LOOP_DETECTED "Loop Detected"
    510 NOT_EXTENDED "Not Extended"
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required"
}

impl Status {
    /// The status with this code; `None` unless it has three digits, the first of which is not 0.
    #[must_use]
    pub const fn new(code: u16) -> Option<Status> {
        if matches!(code, 100..=999) { Some(Status(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// 1xx: an interim response, which the final one follows. The exception is 101, which ends HTTP on the connection.
    #[must_use]
    pub const fn is_informational(self) -> bool {
        self.0 < 200
    }

    /// 1xx except 101: another response to the same request follows.
    pub(crate) const fn precedes_final(self) -> bool {
        self.is_informational() && self.0 != 101
    }

    /// 2xx.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self.0, 200..300)
    }

    /// 3xx.
    #[must_use]
    pub const fn is_redirection(self) -> bool {
        matches!(self.0, 300..400)
    }

    /// 4xx.
    #[must_use]
    pub const fn is_client_error(self) -> bool {
        matches!(self.0, 400..500)
    }

    /// 5xx and above: RFC 9110 §15 tells clients to treat codes from 600 like those of class 5xx.
    #[must_use]
    pub const fn is_server_error(self) -> bool {
        self.0 >= 500
    }

    /// 4xx and above: [`is_client_error`](Status::is_client_error) or [`is_server_error`](Status::is_server_error).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 400
    }

    /// 1xx, 204 and 304: the response has no content, even if its fields announce some (RFC 9112 §6.3, rule 1).
    #[must_use]
    pub const fn never_has_content(self) -> bool {
        self.is_informational() || matches!(self.0, 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq<u16> for Status {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl PartialEq<Status> for u16 {
    fn eq(&self, other: &Status) -> bool {
        *self == other.0
    }
}

impl From<Status> for u16 {
    fn from(status: Status) -> u16 {
        status.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_three_digits_and_at_most_one_class() {
        assert_eq!([0, 99, 1000].map(Status::new), [None; 3]);
        for code in 100..=999 {
            let status = Status::new(code).unwrap();
            let classes = [
                status.is_informational(),
                status.is_success(),
                status.is_redirection(),
                status.is_client_error(),
                status.is_server_error(),
            ];
            assert_eq!(classes.into_iter().filter(|&is| is).count(), 1, "{code}");
            assert_eq!(status.is_error(), classes[3] || classes[4], "{code}");
        }
    }
}
