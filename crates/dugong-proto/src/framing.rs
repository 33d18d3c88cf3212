//! Where the content of a response ends: one function, with the rules of RFC 9112 §6.3 in their order.

use crate::error::{CloseReason, Malformed};
use crate::fields::{Line, Mark};
use crate::grammar::{decimal, is_ows, list, trim_ows};
use crate::response::{ResponseHead, Version};

/// How the end of a response's content is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no content.
    Empty,
    /// This many bytes.
    Length(u64),
    /// The chunked transfer coding marks the end.
    Chunked,
    /// The content extends to the end of the connection.
    UntilClose,
    /// The connection carries another protocol from here on (2xx to CONNECT, 101).
    Tunnel,
}

/// The framing of a response cannot be trusted. `at` is counted from the start of the header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Faulty {
    pub(crate) what: Malformed,
    pub(crate) at: u32,
}

/// The properties of a request that decide how its response is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestKind {
    pub(crate) head: bool,
    pub(crate) connect: bool,
    pub(crate) upgrade: bool,
}

/// The statements of a header section about framing and persistence.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    coding: Option<Coding>,
    length: Option<Result<u64, Malformed>>,
    coding_at: u32,
    length_at: u32,
    length_line_at: u32,
    folded_at: Option<u32>,
    says_close: bool,
    pub(crate) says_keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Chunked,
    Other,
}

impl Statements {
    pub(crate) fn of(head: &ResponseHead) -> Self {
        let mut said = Statements::default();
        let fields = &head.fields;
        for line in fields.lines.iter().filter(|line| line.mark != Mark::NONE) {
            match line.mark {
                Mark::CONNECTION => said.connection(fields.value(line)),
                Mark::CONTENT_LENGTH => said.content_length(line, fields.value(line)),
                Mark::TRANSFER_ENCODING => said.coding(line, fields.value(line)),
                _ => {}
            }
        }
        said
    }

    fn connection(&mut self, value: &[u8]) {
        for option in list(value) {
            self.says_close |= option.eq_ignore_ascii_case(b"close");
            self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Several equal numbers are allowed (RFC 9112 §6.3, rule 5). Of several faults it keeps the first.
    fn content_length(&mut self, line: &Line, value: &[u8]) {
        self.folded(line);
        self.length_line_at = line.value_start;
        // Nearly all responses have one number.
        if self.length.is_none()
            && let Some(length) = decimal(value)
        {
            self.length = Some(Ok(length));
            self.length_at = line.value_start;
            return;
        }
        let mut at = line.value_start as usize;
        for member in value.split(|&b| b == b',') {
            if let Some(Err(_)) = self.length {
                return;
            }
            let blanks = member.iter().take_while(|&&b| is_ows(b)).count();
            let length = decimal(trim_ows(member)).ok_or(Malformed::ContentLength);
            let length = match (self.length, length) {
                (Some(Ok(before)), Ok(now)) if before != now => Err(Malformed::ContentLengthsDiffer),
                (_, length) => length,
            };
            if self.length.is_none() || length.is_err() {
                self.length_at = (at + blanks) as u32;
            }
            self.length = Some(length);
            at += member.len() + 1;
        }
    }

    /// Anything but a single coding becomes `Other`, because we never ask for one with TE.
    fn coding(&mut self, line: &Line, value: &[u8]) {
        self.folded(line);
        let mut codings = list(value).map(|coding| match coding {
            _ if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
            _ if coding.eq_ignore_ascii_case(b"identity") => Coding::Identity,
            _ => Coding::Other,
        });
        if self.coding == Some(Coding::Other) {
            return;
        }
        let coding = match (codings.next(), codings.next()) {
            (Some(coding), None) if self.coding.is_none() => coding,
            _ => Coding::Other,
        };
        self.coding = Some(coding);
        self.coding_at = line.value_start;
    }

    fn folded(&mut self, line: &Line) {
        if line.folded {
            self.folded_at.get_or_insert(line.value_start);
        }
    }

    /// Determines the message body length of a response (RFC 9112 §6.3; the numbers are its rules).
    pub(crate) fn framing(&self, head: &ResponseHead, kind: RequestKind) -> Result<Framing, Faulty> {
        if head.status == 101 && kind.upgrade {
            return Ok(Framing::Tunnel);
        }
        if kind.connect && head.status.is_success() {
            return Ok(Framing::Tunnel); // 2, before 1: a 204 has no content, and opens the tunnel like any other 2xx
        }
        if kind.head || head.status.never_has_content() {
            return Ok(Framing::Empty); // 1
        }
        if let Some(at) = self.folded_at {
            return Err(Faulty { what: Malformed::FoldedFramingField, at });
        }
        let in_coding = |what| Err(Faulty { what, at: self.coding_at });
        match (self.coding, self.length) {
            (Some(Coding::Identity), _) | (None, _) if head.version == Version::Http11 || self.coding.is_none() => {}
            (Some(_), Some(_)) => {
                // 3: it may be an attempt at smuggling, so we refuse it
                return Err(Faulty { what: Malformed::CodingAndLength, at: self.coding_at.max(self.length_line_at) });
            }
            (Some(_), None) if head.version == Version::Http10 => return in_coding(Malformed::CodingInHttp10), // §6.1
            (Some(Coding::Chunked), None) => return Ok(Framing::Chunked),                                      // 4
            (_, None) => return in_coding(Malformed::TransferCoding),                                          // 4
            (None, Some(_)) => unreachable!("the first arm takes everything without a coding"),
        }
        match self.length {
            Some(Err(what)) => Err(Faulty { what, at: self.length_at }), // 5
            Some(Ok(0)) => Ok(Framing::Empty),                           // 6
            Some(Ok(length)) => Ok(Framing::Length(length)),             // 6
            None => Ok(Framing::UntilClose),                             // 8; 7 is for requests
        }
    }

    /// Why the connection ends with this response; `None` if it persists (RFC 9112 §9.3).
    pub(crate) fn close_reason(&self, version: Version, framing: Result<Framing, Faulty>) -> Option<CloseReason> {
        match framing {
            Err(_) => Some(CloseReason::FaultyFraming),
            Ok(Framing::Tunnel) => Some(CloseReason::Tunnel),
            Ok(Framing::UntilClose) => Some(CloseReason::CloseDelimited),
            // RFC 9112 §6.1: such a response counts as faulty, even if the coding decides nothing.
            Ok(_) if version == Version::Http10 && self.coding.is_some() => Some(CloseReason::FaultyFraming),
            Ok(_) if self.says_close => Some(CloseReason::ServerSaidClose),
            Ok(_) if version == Version::Http10 && !self.says_keep_alive => Some(CloseReason::Http10),
            Ok(_) => None,
        }
    }

    /// Whether the response says `Connection: close`, or is an HTTP/1.0 response without `keep-alive`.
    pub(crate) fn announces_close(&self, version: Version) -> bool {
        self.says_close || (version == Version::Http10 && !self.says_keep_alive)
    }
}
