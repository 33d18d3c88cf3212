//! Results: of the program, of the run, and of each URL.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use dugong_http::transport::tls::TlsFailure;
use dugong_http::{Error, ResponseHead, Status, TimeLimit};

/// The exit codes. Scripts rely on them; `--help` and the README list them, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every URL was answered, none with an error status.
    Success = 0,
    /// Some responses had an error status.
    ErrorStatus = 1,
    /// The command line is wrong; no request was sent.
    Usage = 2,
    /// The connection failed.
    Connection = 3,
    /// Writing failed.
    Output = 4,
    /// A signal ended the program.
    Interrupted = 130,
}

/// Why the run ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection failed. `fruitless` tells if the server closed it in an orderly way without answering a single request.
    Lost { error: Error, fruitless: bool },
    /// Writing content failed.
    Output(OutputError),
    /// A response had an error status, and the user gave `--fail-early`.
    ErrorStatus,
}

/// Why content could not be written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The reader of standard output closed it. This counts as success.
    ReaderLeft,
    /// Writing to standard output failed.
    Stdout(io::Error),
    /// An operation on this file or directory failed.
    File(PathBuf, io::Error),
    /// The path of the directory is the path of a file.
    NotADirectory(PathBuf),
}

/// The result for one URL.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<Status>,
    pub(crate) reason: Option<String>,
    /// The `Location` of a redirect.
    pub(crate) location: Option<String>,
    /// Bytes of content received.
    pub(crate) bytes: u64,
    pub(crate) file: Option<PathBuf>,
    pub(crate) error: Option<Rc<str>>,
    /// The URL has no complete answer, and requesting it again does no harm.
    pub(crate) safe_to_retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered without an error status, with all content written.
    Ok,
    /// Answered by a redirect, with all content written.
    Redirect,
    /// Answered with a status of 400 or above.
    ErrorStatus,
    /// The response began, but was not received or written completely.
    Incomplete,
    /// At least a part of the request was sent, and no byte of a response came.
    Unanswered,
    NotSent,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Lost { error, fruitless: false }
    }
}

impl From<OutputError> for Stop {
    fn from(error: OutputError) -> Self {
        Stop::Output(error)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Lost { error, fruitless } => {
                if *fruitless {
                    f.write_str("the server closes connections without an answer: ")?;
                }
                write!(f, "{error:#}")?;
                // The library names neither option.
                match error {
                    Error::TimedOut { limit: TimeLimit::Deadline, .. } => f.write_str(" (--max-time)"),
                    Error::Tls { source, .. } if lacks_root(&source.what) => f.write_str(" (--cacert FILE)"),
                    _ => Ok(()),
                }
            }
            Stop::Output(error) => error.fmt(f),
            Stop::ErrorStatus => f.write_str("stopped at the first error status"),
        }
    }
}

/// Tells if giving the certificate, or its issuer's, would make it trusted.
fn lacks_root(failure: &TlsFailure) -> bool {
    matches!(failure, TlsFailure::SelfSigned | TlsFailure::UnknownIssuer | TlsFailure::NoRoots(_))
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::ReaderLeft => f.write_str("standard output was closed"),
            OutputError::Stdout(error) => write!(f, "cannot write to standard output: {error}"),
            OutputError::File(path, error) if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{} exists; --force replaces it", path.display())
            }
            OutputError::NotADirectory(path) => {
                write!(f, "{} is not a directory, but -o needs one; without -o, content goes to standard output", path.display())
            }
            OutputError::File(path, error) => write!(f, "cannot write {}: {error}", path.display()),
        }
    }
}

impl Outcome {
    /// The word in the summary.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Redirect => "redirect",
            Outcome::ErrorStatus => "error-status",
            Outcome::Incomplete => "incomplete",
            Outcome::Unanswered => "unanswered",
            Outcome::NotSent => "not-sent",
        }
    }

    pub(crate) fn is_answered(self) -> bool {
        matches!(self, Outcome::Ok | Outcome::Redirect | Outcome::ErrorStatus)
    }
}

impl Record {
    /// The record of a response that has begun.
    pub(crate) fn begun(head: &ResponseHead) -> Self {
        Record {
            outcome: Outcome::Incomplete,
            status: Some(head.status()),
            // Some terminals obey the control characters U+0080 to U+009F.
            reason: Some(head.reason_text().replace(char::is_control, "\u{fffd}")),
            location: location(head),
            bytes: 0,
            file: None,
            error: None,
            safe_to_retry: false,
        }
    }

    pub(crate) fn without_answer(outcome: Outcome, safe_to_retry: bool, error: Option<Rc<str>>) -> Self {
        Record { outcome, status: None, reason: None, location: None, bytes: 0, file: None, error, safe_to_retry }
    }

    /// Status and reason, for messages.
    pub(crate) fn status_text(&self) -> String {
        let status = self.status.map(|status| status.to_string()).unwrap_or_default();
        format!("{status} {}", self.reason.as_deref().unwrap_or_default()).trim_end().to_owned()
    }
}

/// The target of a redirect (RFC 9110 §15.4). Neither a 304 nor a choice without a preference has one.
fn location(head: &ResponseHead) -> Option<String> {
    let is_redirect = matches!(head.status().as_u16(), 300..=303 | 307 | 308);
    let location = head.fields().get_bytes("location").filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location).replace(char::is_control, "\u{fffd}"))
}
