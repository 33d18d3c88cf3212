//! How ranges fail.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use dugong_http::Status;

use super::field::{BadContentRange, ContentRange, Span};
use crate::digest::DigestMismatch;
use crate::failed::Failed;

/// Why a download, some ranges or a remote file ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum RangeError {
    /// You asked for a range that cannot be. No request was made for it.
    BadRange {
        /// Its beginning.
        start: u64,
        /// Its end.
        end: u64,
        /// Why it is refused.
        why: BadRange,
    },
    /// The target has fewer bytes than you asked for.
    BeyondEnd {
        /// The request target.
        target: Target,
        /// The range that you asked for.
        asked: Span,
        /// The number of bytes that the target has, if the server said so.
        total: Option<u64>,
    },
    /// The target changed between two answers. Begin again.
    Changed {
        /// The request target.
        target: Target,
        /// The part of the answer that tells: `ETag`, `Last-Modified` or `complete length`.
        what: &'static str,
        /// Its value in the first answer; `None` means that the answer had none.
        was: Option<String>,
        /// Its value now.
        now: Option<String>,
    },
    /// The server answered with other bytes than it was asked for.
    WrongRange {
        /// The request target.
        target: Target,
        /// The bytes that the request named. `None`: all.
        asked: Option<Span>,
        /// What the answer says about its content.
        got: WrongRange,
    },
    /// The server answered with a status that no range request can use.
    Status {
        /// The request target.
        target: Target,
        /// The status.
        status: Status,
    },
    /// A request has no reply.
    Failed {
        /// The request target.
        target: Target,
        /// Why, and what the server may have got of it.
        failed: Box<Failed>,
    },
    /// The content is complete, and has another digest than it must have. The file is removed.
    Digest {
        /// The request target.
        target: Target,
        /// Both digests.
        mismatch: DigestMismatch,
    },
    /// Reading or writing a file failed. What a download has on disk stays there, and the next run continues.
    Io {
        /// What failed: `write`, `rename`...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// Another download writes to this path. No request was made.
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// The path cannot be the name of a file. No request was made.
    BadPath {
        /// The path.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
}

/// Why a range that the caller asked for is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRange {
    /// It ends before it begins.
    Backwards,
    /// It is longer than one collected reply may be.
    TooLong {
        /// The session's `max_content`.
        limit: u64,
    },
}

/// The fault in the content of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongRange {
    /// Its `Content-Range` names this.
    Other(ContentRange),
    /// Its `Content-Range` is malformed.
    Bad(BadContentRange),
    /// It has no `Content-Range`.
    Missing,
    /// It does not say how long the whole representation is.
    NoTotal,
    /// It has this number of bytes.
    Length(u64),
    /// It is the whole representation, once more.
    WholeAgain,
}

/// A request target in an error. `{}` leaves the query out, because some contain credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(String);

impl Target {
    /// The target, with its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Target {
    fn from(target: &str) -> Self {
        Target(target.to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('?') {
            Some((path, _)) => write!(f, "{}?...", path.escape_default()),
            None => write!(f, "{}", self.0.escape_default()),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeError::BadRange { start, end, why: BadRange::Backwards } => {
                write!(f, "bad range ({start}, {end}): it ends before it begins")
            }
            RangeError::BadRange { start, end, why: BadRange::TooLong { limit } } => {
                write!(f, "bad range ({start}, {end}): it is longer than max_content ({limit} bytes); ask for smaller ranges")
            }
            RangeError::BeyondEnd { target, asked: Span { start, end }, total } => {
                write!(f, "range ({start}, {end}) ends beyond the end of {target}")?;
                total.map_or(Ok(()), |total| write!(f, ", which has {total} bytes"))
            }
            RangeError::Changed { target, what, was, now } => {
                let value = |value: &Option<String>| match value {
                    Some(value) => value.clone(),
                    None => "missing".to_owned(),
                };
                write!(f, "{target} has changed: its {what} was {}, and is {} now; begin again", value(was), value(now))
            }
            RangeError::WrongRange { target, asked, got } => {
                match asked {
                    Some(asked) => write!(f, "the server was asked for bytes {asked} of {target} and sent ")?,
                    None => write!(f, "the server was asked for all of {target} and sent ")?,
                }
                write!(f, "{got}")
            }
            RangeError::Status { target, status } => {
                write!(f, "the server answered {} to GET {target}", status.as_u16())?;
                status.canonical_reason().map_or(Ok(()), |reason| write!(f, " ({reason})"))
            }
            RangeError::Failed { target, .. } => write!(f, "a request for {target} failed"),
            RangeError::Digest { target, .. } => write!(f, "the content of {target} is damaged"),
            RangeError::Io { doing, path, cause } => {
                write!(f, "cannot {doing} {}", path.display())?;
                match cause.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        f.write_str("; make room and download again: the content on disk stays")
                    }
                    _ => Ok(()),
                }
            }
            RangeError::Busy { path } => {
                write!(f, "another download writes {}: wait for it, or choose another path", path.display())
            }
            RangeError::BadPath { path, why } => write!(f, "cannot write {}: {why}", path.display()),
        }
    }
}

impl fmt::Display for WrongRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WrongRange::Other(range) => write!(f, "\"Content-Range: {range}\""),
            WrongRange::Bad(bad) => write!(f, "a {bad}"),
            WrongRange::Missing => f.write_str("a 206 without Content-Range"),
            WrongRange::NoTotal => f.write_str("no complete length"),
            WrongRange::Length(bytes) => write!(f, "{bytes} bytes of content"),
            WrongRange::WholeAgain => f.write_str("all of it again"),
        }
    }
}

impl Error for RangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RangeError::Io { cause, .. } => Some(cause),
            RangeError::Failed { failed, .. } => Some(failed.as_ref()),
            RangeError::Digest { mismatch, .. } => Some(mismatch),
            _ => None,
        }
    }
}

/// For readers, which report an `io::Error`. [`RangeError::find_in`] finds the error again.
impl From<RangeError> for io::Error {
    fn from(error: RangeError) -> Self {
        let kind = match &error {
            RangeError::Io { cause, .. } => cause.kind(),
            RangeError::Failed { failed, .. } => io::Error::from(failed.as_ref().clone()).kind(),
            RangeError::BadRange { .. } | RangeError::BadPath { .. } => io::ErrorKind::InvalidInput,
            RangeError::Busy { .. } => io::ErrorKind::ResourceBusy,
            RangeError::Status { status: Status::NOT_FOUND | Status::GONE, .. } => io::ErrorKind::NotFound,
            RangeError::Status { status: Status::UNAUTHORIZED | Status::FORBIDDEN, .. } => io::ErrorKind::PermissionDenied,
            RangeError::WrongRange { .. } | RangeError::Digest { .. } => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl RangeError {
    pub(crate) fn failed(target: &Target, failed: Failed) -> Self {
        RangeError::Failed { target: target.clone(), failed: Box::new(failed) }
    }

    /// The error inside of an `io::Error`, if it is one.
    #[must_use]
    pub fn find_in(error: &io::Error) -> Option<&RangeError> {
        error.get_ref()?.downcast_ref()
    }
}
