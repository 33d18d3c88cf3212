//! Mistakes on the command line.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dugong_http::{Error, InvalidUrl, Misuse, Origin};

use crate::connecting::ConnectOptionError;

/// A mistake on the command line.
#[derive(Debug)]
pub(crate) enum UsageError {
    NoUrls,
    Url {
        source: Source,
        error: InvalidUrl,
    },
    /// A text that is not a URL, in a way that can be explained.
    Form {
        source: Source,
        url: String,
        fault: Fault,
    },
    Target {
        source: Source,
        url: String,
        misuse: Box<Misuse>,
    },
    Input {
        file: PathBuf,
        error: io::Error,
    },
    NotText {
        source: Source,
    },
    HeaderForm {
        header: String,
    },
    Header {
        header: String,
        misuse: Misuse,
    },
    Upgrade {
        header: String,
    },
    Headers {
        misuse: Misuse,
    },
    /// `-o -`, where the user may have meant standard output.
    Dash,
    Host {
        origin: Origin,
        error: Box<Error>,
    },
    Connect(ConnectOptionError),
    /// Two options that write to one stream, which only one of them may do.
    SameStream {
        option: &'static str,
        with: &'static str,
        stream: &'static str,
    },
    Trace {
        file: PathBuf,
        error: io::Error,
    },
    /// The value of an option is not what it needs.
    Value {
        option: &'static str,
        text: String,
        expected: &'static str,
    },
    /// The file that an option names cannot be read.
    Content {
        option: &'static str,
        file: PathBuf,
        error: io::Error,
    },
    /// The content that an option gives is not JSON.
    NotJson {
        option: &'static str,
        error: serde_json::Error,
    },
    /// Two options that exclude each other, and why.
    Together {
        option: String,
        with: String,
        why: &'static str,
    },
    /// `--user`, `--oauth2-bearer` or `--netrc` cannot be used. The text has no secret.
    Credentials {
        option: &'static str,
        why: String,
    },
    /// `dugong bench` would send its requests to another machine.
    Remote {
        host: String,
        address: Option<IpAddr>,
    },
}

/// Why a text is not a URL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It lacks the scheme.
    NoScheme,
    /// It contains several URLs.
    Several,
    Control(char),
}

impl From<ConnectOptionError> for UsageError {
    fn from(error: ConnectOptionError) -> Self {
        UsageError::Connect(error)
    }
}

/// Where the user gave a URL.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Argument,
    Line { file: PathBuf, number: usize },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::NoUrls => f.write_str("no URL was given; see --help"),
            UsageError::Url { source, error } => write!(f, "{source}{error}"),
            UsageError::Form { source, url, fault } => {
                write!(f, "{source}{url:?} is not a usable URL: ")?;
                match fault {
                    Fault::NoScheme => {
                        write!(f, "it has no scheme; write {:?} or {:?}", format!("http://{url}"), format!("https://{url}"))
                    }
                    Fault::Several => f.write_str("it looks like several; write one per line or argument, or %20 for a blank"),
                    Fault::Control(control) => {
                        write!(f, "it contains the control character {control:?}")?;
                        let bytes =
                            control.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
                        write!(f, "; remove it, or write {bytes}")
                    }
                }
            }
            UsageError::Target { source, url, misuse } => write!(f, "{source}{url:?} cannot be requested: {misuse}"),
            UsageError::Input { file, error } => {
                write!(f, "cannot read {}: {error}", file.display())?;
                if file.to_string_lossy().contains("://") {
                    f.write_str("; -i takes a file with a list of URLs; give a URL without -i")?;
                }
                Ok(())
            }
            UsageError::NotText { source } => write!(f, "{source}this is not UTF-8 text; save the list as UTF-8"),
            // Without a colon, the rest may be a secret.
            UsageError::HeaderForm { header } => {
                let begin = header.split_whitespace().next().unwrap_or_default();
                write!(f, "header {begin:?}: expected the form \"Name: value\"")
            }
            UsageError::Header { header, misuse } => write!(f, "header {header:?}: {misuse}"),
            UsageError::Upgrade { header } => write!(f, "header {header:?}: this program cannot switch protocols; leave it out"),
            UsageError::Headers { misuse } => write!(f, "the headers cannot be sent together: {misuse}"),
            UsageError::Dash => f.write_str(
                "-o \"-\": -o needs a name (write ./- for a file of this name); without -o, content goes to standard output",
            ),
            UsageError::Host { origin, error } => write!(f, "{origin}: {error}"),
            UsageError::Connect(error) => error.fmt(f),
            UsageError::SameStream { option, with, stream } => {
                write!(f, "{option} cannot be combined with {with}: both write to {stream}")
            }
            UsageError::Trace { file, error } => write!(f, "--trace: cannot write {}: {error}", file.display()),
            UsageError::Value { option, text, expected } => write!(f, "{option} {text:?}: expected {expected}"),
            UsageError::Content { option, file, error } => write!(f, "{option}: cannot read {}: {error}", file.display()),
            UsageError::NotJson { option, error } => write!(f, "{option}: this is not JSON: {error}"),
            UsageError::Together { option, with, why } => write!(f, "{option} cannot be combined with {with}: {why}"),
            UsageError::Credentials { option, why } => write!(f, "{option}: {why}"),
            UsageError::Remote { host, address } => {
                match address {
                    Some(address) if address.to_string() == *host => write!(f, "{host} is not on this machine")?,
                    Some(address) => write!(f, "{host} has the address {address}, which is not on this machine")?,
                    None => write!(f, "{host} has no address, so it cannot be seen to be on this machine")?,
                }
                f.write_str("; if you may put load on it, add --yes-i-may")
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Argument => Ok(()),
            Source::Line { file, number } if file == Path::new("-") => write!(f, "standard input, line {number}: "),
            Source::Line { file, number } => write!(f, "{}, line {number}: ", file.display()),
        }
    }
}
