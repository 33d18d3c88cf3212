//! Results: of the program, of the run, and of each URL.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use dugong_http::transport::tls::TlsFailure;
use dugong_http::{Error, Method, ResponseHead, Status};
use dugong_session::{Answered, Cause, Failed, Loss, NoRepeat, Sent};

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
    /// Content has another digest than `--checksum` says.
    Checksum = 5,
    /// A signal ended the program.
    Interrupted = 130,
}

/// Why the run ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Standard output has the begin of a content whose rest did not come. Nothing may follow it.
    Cut,
    /// Writing content failed.
    Output(OutputError),
    /// A response had an error status, and the user gave `--fail-early`.
    ErrorStatus,
    /// The time of `--max-time` is over.
    MaxTime,
    /// A signal came.
    Interrupted,
    /// The content has another digest than `--checksum` says.
    Checksum,
    /// The system refused something without which no request can be sent.
    System(io::Error),
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
    /// The files of an unfinished download cannot be used.
    Part(String),
    /// A signal came: no file may appear any more.
    Interrupted,
    /// The path of the directory is the path of a file. The option named it.
    NotADirectory(PathBuf, &'static str),
}

/// The result for one URL.
#[derive(Clone, Debug)]
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
    pub(crate) sent: Sent,
    pub(crate) answered: Answered,
    /// The connections on which a byte of the request may have left.
    pub(crate) attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered without an error status, with all content written.
    Ok,
    /// Answered by a redirect, with all content written.
    Redirect,
    /// Answered by a redirect that `--location` could not follow.
    NotFollowed,
    /// Answered with a status of 400 or above.
    ErrorStatus,
    /// The response began, but was not received or written completely.
    Incomplete,
    /// At least a part of the request was sent, and no byte of a response came.
    Unanswered,
    NotSent,
    /// The file is the version that the server has.
    Unchanged,
    /// Not requested, because its file exists.
    Skipped,
    /// The content has another digest than `--checksum` says.
    WrongDigest,
}

impl From<OutputError> for Stop {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Interrupted => Stop::Interrupted,
            error => Stop::Output(error),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Cut => f.write_str("standard output has the begin of a content whose rest did not come"),
            Stop::Output(error) => error.fmt(f),
            Stop::ErrorStatus => f.write_str("stopped at the first error status"),
            Stop::MaxTime => f.write_str("the time is over (--max-time)"),
            Stop::Interrupted => f.write_str("interrupted"),
            Stop::Checksum => f.write_str("the content has another digest than --checksum says"),
            Stop::System(error) => write!(f, "cannot wait for connections: {error}"),
        }
    }
}

/// Says why a request has no complete answer.
pub(crate) fn reason(failed: &Failed) -> String {
    let Some(error) = failed.connection_error() else {
        return match &failed.cause {
            Cause::Lost { why: why @ Loss::Stalled, .. } => format!("{why} (--timeout){}", after_repeats(failed)),
            Cause::Lost { why, .. } => format!("{why}{}", after_repeats(failed)),
            Cause::TimedOut { .. } => Stop::MaxTime.to_string(),
            Cause::Cancelled => Stop::Interrupted.to_string(),
            _ => failed.to_string(),
        };
    };
    // The library names no option.
    let hint = match error {
        Error::Tls { source, .. } if lacks_root(&source.what) => " (--cacert FILE)",
        _ => "",
    };
    format!("{error:#}{hint}{}", after_repeats(failed))
}

/// Says how often a request was sent, if it was repeated.
fn after_repeats(failed: &Failed) -> String {
    match &failed.cause {
        Cause::Lost { no_repeat: NoRepeat::Retries, .. } if failed.attempts > 1 => {
            format!(", {} times (--retries)", failed.attempts)
        }
        _ => String::new(),
    }
}

/// Tells if giving the certificate, or its issuer's, would make it trusted.
fn lacks_root(failure: &TlsFailure) -> bool {
    matches!(failure, TlsFailure::SelfSigned | TlsFailure::UnknownIssuer | TlsFailure::NoRoots(_))
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::Part(text) => f.write_str(text),
            OutputError::Interrupted => f.write_str("interrupted"),
            OutputError::ReaderLeft => f.write_str("standard output was closed"),
            OutputError::Stdout(error) => write!(f, "cannot write to standard output: {error}"),
            OutputError::File(path, error) if error.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{} exists; --force replaces it", path.display())
            }
            OutputError::NotADirectory(path, option @ "-o") => {
                write!(f, "{} is not a directory, but {option} needs one for several URLs or a list", path.display())
            }
            OutputError::NotADirectory(path, "") => write!(f, "cannot write below {}: it is not a directory", path.display()),
            OutputError::NotADirectory(path, option) => {
                write!(f, "{} is not a directory, but {option} needs one", path.display())
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
            Outcome::NotFollowed => "not-followed",
            Outcome::ErrorStatus => "error-status",
            Outcome::Incomplete => "incomplete",
            Outcome::Unanswered => "unanswered",
            Outcome::NotSent => "not-sent",
            Outcome::Unchanged => "unchanged",
            Outcome::Skipped => "skipped",
            Outcome::WrongDigest => "wrong-digest",
        }
    }

    pub(crate) fn is_answered(self) -> bool {
        !matches!(self, Outcome::Incomplete | Outcome::Unanswered | Outcome::NotSent)
    }
}

impl Record {
    /// The record of a response that has begun.
    pub(crate) fn begun(head: &ResponseHead, sent: Sent, attempts: u32) -> Self {
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
            sent,
            answered: Answered::Yes,
            attempts,
        }
    }

    /// The record of a URL that was not requested.
    pub(crate) fn not_requested(outcome: Outcome, error: Option<Rc<str>>) -> Self {
        let safe_to_retry = outcome == Outcome::NotSent;
        let (sent, answered) = (Sent::No, Answered::No);
        let (status, reason, location, file) = (None, None, None, None);
        Record { outcome, status, reason, location, bytes: 0, file, error, safe_to_retry, sent, answered, attempts: 0 }
    }

    /// The record of a request that failed.
    pub(crate) fn failed(failed: &Failed, error: Rc<str>) -> Self {
        let record = Record::not_requested(Outcome::NotSent, None);
        record.with_failure(failed, error)
    }

    /// The same for a request that failed.
    pub(crate) fn with_failure(self, failed: &Failed, error: Rc<str>) -> Self {
        let outcome = match (failed.answered, failed.sent) {
            (Answered::No, Sent::No) => Outcome::NotSent,
            (Answered::No, _) => Outcome::Unanswered,
            _ => Outcome::Incomplete,
        };
        let Failed { sent, answered, attempts, safe_to_retry, .. } = *failed;
        Record { outcome, error: Some(error), sent, answered, attempts, safe_to_retry, ..self }
    }

    /// The same for a request that was not answered completely when the run ended.
    pub(crate) fn stopped(self, stop: &Stop, method: &Method) -> Self {
        match (self.outcome, &self.error) {
            (Outcome::Incomplete | Outcome::NotSent, None) => {
                Record { error: Some(stop.to_string().into()), safe_to_retry: method.is_idempotent(), ..self }
            }
            _ => self,
        }
    }

    /// The same for a request that was sent before, to where its redirects began, or because its answer was cut.
    pub(crate) fn after(self, attempts: u32, method: &Method) -> Self {
        if attempts == 0 {
            return self;
        }
        let outcome = if self.outcome == Outcome::NotSent { Outcome::Unanswered } else { self.outcome };
        let safe_to_retry = self.safe_to_retry && method.is_idempotent();
        Record { outcome, sent: Sent::Yes, attempts: self.attempts + attempts, safe_to_retry, ..self }
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
