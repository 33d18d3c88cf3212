//! Errors: whose fault each one is, and whether the connection still works after it.

use std::fmt;

use crate::excerpt::{Argument, Excerpt};

/// An error of the protocol core.
///
/// | variant | whose fault | what works after it |
/// | --- | --- | --- |
/// | [`Remote`](Error::Remote), [`Unsupported`](Error::Unsupported) | the peer's | you can read nothing more as HTTP |
/// | [`Incomplete`](Error::Incomplete) | the peer's, or the network's | nothing more arrives |
/// | [`Closed`](Error::Closed) | none: the connection ended in order | nothing more arrives |
/// | [`Local`](Error::Local) | yours | everything: nothing was sent, the connection is as it was |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent bytes that HTTP/1.1 forbids.
    Remote {
        /// The rule that was broken.
        what: Malformed,
        /// Offset of the first bad byte. It counts all bytes that were received on the connection.
        at: u64,
        /// The line with that byte, from its beginning.
        found: Excerpt,
    },
    /// The peer sent something that is not HTTP/1.0 or HTTP/1.1.
    Unsupported {
        /// How it differs from HTTP/1.x.
        what: Unsupported,
        /// Offset of the first byte that is not HTTP/1.x, counted as in `Remote`.
        at: u64,
        /// The line with that byte, from its beginning. Empty if the response lacks something.
        found: Excerpt,
    },
    /// The peer stopped inside a message, or before the response that is due (RFC 9112 §8).
    Incomplete(Incomplete),
    /// The connection ended in order, before the responses that are still due.
    Closed(CloseReason),
    /// You asked for something that the state of the connection or the grammar of HTTP does not allow.
    Local(Misuse),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Remote { what, at, found } => write_found(f, format_args!("invalid response: {what}, at byte {at}"), found),
            Error::Unsupported { what, at, found } => {
                write_found(f, format_args!("unsupported response: {what}, at byte {at}"), found)
            }
            Error::Incomplete(incomplete) => incomplete.fmt(f),
            Error::Closed(reason) => write!(f, "the connection is closed: {reason}"),
            Error::Local(misuse) => misuse.fmt(f),
        }
    }
}

/// Writes a message, and the bytes that it quotes.
fn write_found(f: &mut fmt::Formatter<'_>, message: fmt::Arguments<'_>, found: &Excerpt) -> fmt::Result {
    f.write_fmt(message)?;
    if found.is_empty() { Ok(()) } else { write!(f, ": {found}") }
}

impl std::error::Error for Error {}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Error::Local(misuse)
    }
}

/// How much of a message had arrived when the peer stopped (RFC 9112 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete {
    /// The part of the message in which it stopped.
    pub within: Within,
    /// How many bytes of it were received: of the head if it stopped there, otherwise of content (without framing).
    pub received: u64,
    /// How many bytes of content Content-Length announced; `None` without Content-Length.
    pub expected: Option<u64>,
}

impl Incomplete {
    /// Describes a message that stopped inside `within`, after `received` bytes.
    #[must_use]
    pub fn new(within: Within, received: u64, expected: Option<u64>) -> Self {
        Incomplete { within, received, expected }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = self.received;
        match (self.within, self.expected) {
            (Within::Nothing, _) => write!(f, "the connection ended before the response"),
            (Within::Head, _) => write!(f, "the connection ended after {received} bytes of a response head"),
            (_, Some(expected)) => write!(f, "the connection ended after {received} of {expected} bytes of content"),
            (within, None) => {
                let place = match within {
                    Within::ChunkLine => ", in the line of a chunk",
                    Within::Trailers => ", in the trailer section",
                    _ => "",
                };
                write!(f, "the connection ended after {received} bytes of content{place}")
            }
        }
    }
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Within {
    /// Before its first byte.
    Nothing,
    /// In the status line or the header section.
    Head,
    /// In content, or in the data of a chunk.
    Content,
    /// In the size line of a chunk, or in the CRLF after its data.
    ChunkLine,
    /// In the trailer section.
    Trailers,
}

impl Within {
    /// A short name in lower case, for transcripts and logs. It does not change between versions.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Within::Nothing => "nothing",
            Within::Head => "head",
            Within::Content => "content",
            Within::ChunkLine => "chunk-line",
            Within::Trailers => "trailers",
        }
    }
}

/// Declares an enum of reasons, each with its documentation, a short code for transcripts and logs, and a text for people.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vmeta])* #[doc = concat!("(`", $code, "`)")] $variant,)*
        }

        impl $name {
            /// All variants, for tables and tests.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// A short name for transcripts, logs and statistics. It does not change between versions.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $text,)* })
            }
        }
    };
}

reasons! {
    /// The rule of HTTP/1.1 that a peer broke.
    Malformed {
        /// The status line is not version, space, status, space, reason.
        StatusLine = "status-line", "expected a space in the status line";
        /// The status is not three digits from 100 to 999.
        StatusCode = "status-code", "expected a status of three digits from 100 to 999";
        /// A control character in the reason phrase.
        ReasonPhrase = "reason-phrase", "found a control character in the reason phrase";
        /// A CR that no LF follows.
        BareCr = "bare-cr", "expected LF after CR";
        /// An LF that no CR precedes.
        BareLf = "bare-lf", "found LF without CR";
        /// A field name that is no token.
        FieldName = "field-name", "found a byte that no field name may contain";
        /// White space between field name and colon (RFC 9112 §5.1).
        SpaceBeforeColon = "space-before-colon", "found a space in or after a field name";
        /// A field line without a colon.
        MissingColon = "missing-colon", "expected a colon in a field line";
        /// NUL or another control character in a field value (RFC 9110 §5.5).
        FieldValue = "field-value", "found a control character in a field value";
        /// White space before the first field line (RFC 9112 §2.2).
        LeadingWhitespace = "leading-whitespace", "found white space before the first field line";
        /// Longer than [`Limits::status_line`](crate::Limits::status_line).
        StatusLineTooLong = "status-line-too-long", "the status line is longer than the limit";
        /// Longer than [`Limits::header_section`](crate::Limits::header_section).
        HeaderSectionTooLong = "header-section-too-long", "the header section is longer than the limit";
        /// More than [`Limits::fields`](crate::Limits::fields).
        TooManyFields = "too-many-fields", "found more field lines than the limit";
        /// More than [`Limits::interim_responses`](crate::Limits::interim_responses).
        TooManyInterim = "too-many-interim", "received more interim responses than the limit";
        /// Both Transfer-Encoding and Content-Length (RFC 9112 §6.3, rule 3).
        CodingAndLength = "coding-and-length", "found both Transfer-Encoding and Content-Length";
        /// A transfer coding other than a single `chunked`. We never ask for another one.
        TransferCoding = "transfer-coding", "found a transfer coding other than chunked alone";
        /// Transfer-Encoding in an HTTP/1.0 response (RFC 9112 §6.1).
        CodingInHttp10 = "coding-in-http-1.0", "found Transfer-Encoding in an HTTP/1.0 response";
        /// A Content-Length that is not a number that fits 64 bits.
        ContentLength = "content-length", "expected a Content-Length of decimal digits";
        /// Several Content-Lengths that differ.
        ContentLengthsDiffer = "content-lengths-differ", "found Content-Lengths that differ";
        /// A folded Content-Length or Transfer-Encoding: readers of folds differ.
        FoldedFramingField = "folded-framing-field", "found a folded Content-Length or Transfer-Encoding";
        /// A chunk size that is not hexadecimal digits, or is padded with more than 16 blanks.
        ChunkSize = "chunk-size", "expected a chunk size of hexadecimal digits";
        /// A chunk size of more than 16 digits.
        ChunkSizeOverflow = "chunk-size-overflow", "the chunk size has more than 16 digits";
        /// A control character in a chunk extension.
        ChunkExtension = "chunk-extension", "found a control character in a chunk extension";
        /// Longer than [`Limits::chunk_extensions`](crate::Limits::chunk_extensions) and the content of the chunks allow.
        ChunkExtensionsTooLong = "chunk-extensions-too-long", "the chunk extensions are longer than the limit";
        /// The data of a chunk is not followed by CRLF.
        ChunkEnd = "chunk-end", "expected CRLF after the data of a chunk";
        /// Longer than [`Limits::trailer_section`](crate::Limits::trailer_section).
        TrailerSectionTooLong = "trailer-section-too-long", "the trailer section is longer than the limit";
        /// Bytes that answer no request (RFC 9112 §9.2).
        UnaskedBytes = "unasked-bytes", "received bytes that no request asked for";
        /// A response that had arrived, or had begun to arrive, when its request left: it answers another request, or none (RFC
        /// 9112 §9.2).
        EarlyResponse = "early-response", "received a response before the request that it would answer was sent";
        /// A 101 response to a request that did not ask for an upgrade (RFC 9110 §15.2.2).
        UnaskedSwitch = "unasked-switch", "the server switches protocols, which the request did not ask for";
    }
}

reasons! {
    /// A way in which a peer does not speak HTTP/1.0 or HTTP/1.1.
    Unsupported {
        /// Not HTTP, or HTTP/0.9.
        NotHttp = "not-http", "expected a status line that begins with HTTP/";
        /// A TLS alert (RFC 8446 §6). A server sends one when it expects TLS and gets a request without it.
        Tls = "tls", "expected a status line, but found a TLS alert: the server expects TLS on this port";
        /// Another version of HTTP.
        Version = "version", "expected HTTP/1.0 or HTTP/1.1";
        /// A status line without a status.
        NoStatus = "no-status", "expected a status after the version";
        /// Neither a length nor chunked nor `Connection: close`, although
        /// [`require_length`](crate::ReceiveHalf::require_length) is set.
        MissingLength = "missing-length", "the content has no length, and the response does not say that the connection closes";
    }
}

reasons! {
    /// Why you can send no further request on a connection (RFC 9112 §9.3 to §9.6).
    CloseReason {
        /// The end of a response's content cannot be determined.
        FaultyFraming = "faulty-framing", "the framing of a response was faulty";
        /// The content of a response extends to the end of the connection.
        CloseDelimited = "close-delimited", "the content of a response extended to the end of the connection";
        /// `Connection: close` in a response.
        ServerSaidClose = "server-said-close", "the server said that it closes the connection";
        /// An HTTP/1.0 response without `keep-alive`.
        Http10 = "http-1.0", "an HTTP/1.0 server closes the connection";
        /// `Connection: close` in a request.
        ClientSaidClose = "client-said-close", "a request asked to close the connection";
        /// A final response came before the content of its request was sent to its end.
        ContentNotSent = "content-not-sent", "the content of a request was not sent to its end";
        /// The peer closed while nothing was outstanding.
        PeerClosed = "peer-closed", "the server closed the idle connection";
        /// A 408 response came while nothing was outstanding.
        RequestTimeout = "request-timeout", "the server closed the idle connection with status 408";
        /// The connection carries another protocol now (CONNECT, Upgrade).
        Tunnel = "tunnel", "the connection carries another protocol now";
        /// The proxy has not said `Connection: keep-alive`, so it may pass further requests to the server, with your
        /// credentials for the proxy.
        ProxyNotPersistent = "proxy-not-persistent", "the proxy has not said that it keeps the connection open";
        /// Bytes arrived that answer no request.
        UnaskedBytes = "unasked-bytes", "the server sent bytes that no request asked for";
        /// Reading or writing failed, or the received bytes are not valid.
        Broken = "broken", "the connection failed";
    }
}

/// A call that the state of the connection or the grammar of HTTP does not allow. Nothing was sent.
///
/// The variants with an [`Argument`] are about a value that you passed. Their message quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The method is not a token.
    Method(Argument),
    /// The request target is empty, contains a blank, a control character, `#` or a byte beyond ASCII, or does not have the
    /// form that the method needs (RFC 9112 §3.2).
    Target(Argument),
    /// The request target is a URL of another origin than that of the connection, which is the name of the argument. Use another
    /// connection, or a path as target.
    OtherOrigin(Argument),
    /// A field name is not a token.
    FieldName(Argument),
    /// A field value contains CR, LF, NUL or another control character, or begins or ends with a blank.
    FieldValue(Argument),
    /// The host is not valid, or there are two Host fields.
    Host(Argument),
    /// Your Content-Length contradicts the content.
    ContentLength(Argument),
    /// Your Transfer-Encoding contradicts the content.
    TransferEncoding(Argument),
    /// Your Expect field contradicts the request, or you set an expectation without content.
    Expect(Argument),
    /// TE names chunked, which every recipient accepts anyway (RFC 9112 §7.4).
    Te(Argument),
    /// TE or Upgrade is not named in Connection (RFC 9110 §10.1.4, §7.8).
    Connection(Argument),
    /// TRACE or CONNECT has content, or OPTIONS has content without a Content-Type (RFC 9110 §9.3.6 to §9.3.8).
    ContentNotAllowed(Argument),
    /// A trailer field that frames or directs the message (RFC 9110 §6.5.1).
    Trailer(Argument),
    /// A field that frames or directs a single message cannot be added to each request. Set it on the request.
    ForAll(Argument),
    /// Chunked content, but the server has shown that it speaks HTTP/1.0 (RFC 9112 §6.1).
    ChunkedToHttp10,
    /// You have not sent all content of the last request.
    ContentOwed,
    /// You passed more content than you announced.
    ExcessContent,
    /// You ended the content before you had passed all that you announced.
    ContentShort,
    /// You announced no content, or have sent all of it.
    NoContentDue,
    /// The server has not yet answered the expectation.
    AwaitContinue,
    /// A final response has come, so the server does not want the content.
    ContentRefused,
    /// A write of the content was interrupted, so nothing can follow it.
    ContentInterrupted,
    /// You have to read responses before you can send this.
    ReadFirst,
    /// You have not read the content of the current response to its end.
    ContentUnread,
    /// No request is outstanding.
    NothingOutstanding,
}

impl Misuse {
    /// Makes the error of a `target` that is a URL of another origin than `own`.
    #[must_use]
    pub fn other_origin(own: &str, target: &str) -> Self {
        Misuse::OtherOrigin(Argument::of_target(own.as_bytes(), target.as_bytes(), None))
    }

    /// A short name for transcripts, logs and statistics. It does not change between versions.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Misuse::Method(_) => "method",
            Misuse::Target(_) => "target",
            Misuse::OtherOrigin(_) => "other-origin",
            Misuse::FieldName(_) => "field-name",
            Misuse::FieldValue(_) => "field-value",
            Misuse::Host(_) => "host",
            Misuse::ContentLength(_) => "content-length",
            Misuse::TransferEncoding(_) => "transfer-encoding",
            Misuse::Expect(_) => "expect",
            Misuse::Te(_) => "te",
            Misuse::Connection(_) => "connection",
            Misuse::ContentNotAllowed(_) => "content-not-allowed",
            Misuse::Trailer(_) => "trailer",
            Misuse::ForAll(_) => "for-all",
            Misuse::ChunkedToHttp10 => "chunked-to-http-1.0",
            Misuse::ContentOwed => "content-owed",
            Misuse::ExcessContent => "excess-content",
            Misuse::ContentShort => "content-short",
            Misuse::NoContentDue => "no-content-due",
            Misuse::AwaitContinue => "await-continue",
            Misuse::ContentRefused => "content-refused",
            Misuse::ContentInterrupted => "content-interrupted",
            Misuse::ReadFirst => "read-first",
            Misuse::ContentUnread => "content-unread",
            Misuse::NothingOutstanding => "nothing-outstanding",
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Method(given) => write!(f, "the method is not a token{given}"),
            Misuse::Target(given) if given.value().is_empty() => f.write_str("the request target is empty"),
            Misuse::Target(given) if given.at().is_some() => {
                write!(f, "the request target has a character that must be percent-encoded{given}")
            }
            Misuse::Target(given) => match given.name().as_bytes() {
                b"CONNECT" => write!(f, "the request target of CONNECT must be host:port{given}"),
                _ => write!(f, "the request target must begin with / or be a URL{given}"),
            },
            Misuse::OtherOrigin(given) => {
                write!(f, "the request target is a URL of another server than that of this connection, {}{given}", given.name())
            }
            Misuse::FieldName(given) => write!(f, "a field name is not a token{given}"),
            Misuse::FieldValue(given) => match given.fault() {
                Some(b' ' | b'\t') => write!(f, "the value of the field {} begins or ends with a blank{given}", given.name()),
                Some(_) => write!(f, "the value of the field {} contains a control character{given}", given.name()),
                None => write!(f, "the value of the field {} is too long{given}", given.name()),
            },
            Misuse::Host(given) if given.name().is_empty() => write!(f, "the host is not valid{given}"),
            Misuse::Host(given) => write!(f, "found more than one {} field{given}", given.name()),
            Misuse::ContentLength(given) => write!(f, "the Content-Length given contradicts the content{given}"),
            Misuse::TransferEncoding(given) => write!(f, "the Transfer-Encoding given contradicts the content{given}"),
            Misuse::Expect(given) if given.value().is_empty() => f.write_str("an expectation needs content"),
            Misuse::Expect(given) => write!(f, "an Expect field needs the expectation to be set, and must agree with it{given}"),
            Misuse::Te(given) => write!(f, "TE must not name chunked{given}"),
            Misuse::Connection(given) => write!(f, "the field {} has to be named in Connection{given}", given.name()),
            Misuse::ContentNotAllowed(given) if given.value().as_bytes() == b"OPTIONS" => {
                f.write_str("content with OPTIONS needs a Content-Type")
            }
            Misuse::ContentNotAllowed(given) => write!(f, "this method may not have content{given}"),
            Misuse::Trailer(given) => write!(f, "a field that frames or directs the message cannot be a trailer{given}"),
            Misuse::ForAll(given) => {
                write!(f, "the field {} is about a single message: set it on a request, not for all{given}", given.name())
            }
            Misuse::ChunkedToHttp10 => f.write_str("chunked content cannot be sent to an HTTP/1.0 server"),
            Misuse::ContentOwed => f.write_str("the content of the previous request is not complete"),
            Misuse::ExcessContent => f.write_str("this is more content than was announced"),
            Misuse::ContentShort => f.write_str("this is less content than was announced"),
            Misuse::NoContentDue => f.write_str("no content is due"),
            Misuse::AwaitContinue => f.write_str("the server has not yet answered Expect: 100-continue"),
            Misuse::ContentRefused => {
                f.write_str("a final response has come before the content was sent; it is not wanted any more")
            }
            Misuse::ContentInterrupted => {
                f.write_str("writing the content was interrupted, so that nothing can be sent after it; close the connection")
            }
            Misuse::ReadFirst => f.write_str("responses have to be read before more can be sent"),
            Misuse::ContentUnread => f.write_str("the content of the previous response has not been read to its end"),
            Misuse::NothingOutstanding => f.write_str("no response is due"),
        }
    }
}

impl std::error::Error for Misuse {}
