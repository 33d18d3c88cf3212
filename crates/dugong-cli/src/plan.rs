//! The checked command line. All mistakes in it are found here, before anything is sent.

use std::fmt;
use std::fs::File;
use std::io::IoSlice;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dugong_http::driver::{Engine, Interest, Progress, Stream, StreamError};
use dugong_http::{Config, Error, Fields, InvalidUrl, Method, Misuse, Origin, Request, RequestHead};

use crate::connecting::{self, ConnectOptionError};
use crate::flags::{Command, ConnectArgs, RequestArgs};
use crate::names::Names;
use crate::verbose;

/// A command that is ready to run.
#[derive(Debug)]
pub(crate) struct HiArgs {
    method: Method,
    pub(crate) origin: Origin,
    pub(crate) jobs: Vec<Job>,
    /// The fields of every request.
    fields: Fields,
    pub(crate) destination: Destination,
    /// The number of requests that may be in flight; `None` means no limit.
    pub(crate) depth: Option<usize>,
    /// The configuration of connections to the origin.
    pub(crate) config: Config,
    /// The limit for silence of the server.
    pub(crate) timeout: Option<Duration>,
    /// The limit of the whole run.
    pub(crate) max_time: Option<Duration>,
    pub(crate) fail_early: bool,
    pub(crate) reconnect: bool,
    pub(crate) json: bool,
    pub(crate) progress: bool,
}

/// One URL.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) url: String,
    target: String,
    /// The name of its file, if content goes to files.
    pub(crate) name: Option<String>,
}

/// The destination of content.
#[derive(Debug)]
pub(crate) enum Destination {
    Stdout { include_heads: bool, keep_errors: bool },
    Directory { path: PathBuf, force: bool },
}

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
    OtherOrigin {
        source: Source,
        url: String,
        origin: Origin,
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

impl HiArgs {
    pub(crate) fn of(command: Command) -> Result<HiArgs, UsageError> {
        match command {
            Command::Get(low) => {
                let destination = match low.output_dir {
                    Some(path) if path == Path::new("-") => return Err(UsageError::Dash),
                    Some(path) => Destination::Directory { path, force: low.force },
                    None => Destination::Stdout { include_heads: low.include, keep_errors: low.keep_error_bodies },
                };
                HiArgs::with(Method::GET, low.requests, &low.connect, destination)
            }
            // The user wants the heads of error responses, too.
            Command::Head(low) => {
                let destination = Destination::Stdout { include_heads: true, keep_errors: true };
                HiArgs::with(Method::HEAD, low.requests, &low.connect, destination)
            }
        }
    }

    fn with(method: Method, low: RequestArgs, connect: &ConnectArgs, destination: Destination) -> Result<HiArgs, UsageError> {
        let fields = fields(&low.headers)?;
        let (timeout, max_time) = (connecting::timeout(connect)?, connecting::max_time(connect)?);
        let with_names = matches!(destination, Destination::Directory { .. });
        let mut list = List { origin: None, jobs: Vec::new(), names: with_names.then(Names::default) };
        for url in low.urls {
            list.add(&url, Source::Argument)?;
        }
        for file in low.input {
            list.add_file(&file)?;
        }
        let List { origin: Some(origin), jobs, .. } = list else { return Err(UsageError::NoUrls) };
        probe(&method, &origin, &fields, &low.headers)?;
        let mut plan = HiArgs {
            method,
            config: connecting::config(connect, &origin)?,
            origin,
            jobs,
            fields,
            destination,
            depth: (low.depth > 0).then_some(low.depth),
            timeout,
            max_time,
            fail_early: low.fail_early,
            reconnect: !low.no_reconnect,
            json: low.json,
            progress: !low.no_progress && !low.verbose && low.trace.as_deref() != Some(Path::new("%")),
        };
        plan.observe(low.verbose, low.trace)?;
        Ok(plan)
    }

    /// Sets up `--verbose` and `--trace`. The file of a trace is created last, so that a wrong command line replaces no file.
    fn observe(&mut self, verbose: bool, trace: Option<PathBuf>) -> Result<(), UsageError> {
        if verbose {
            if self.json_on_stderr() {
                return Err(UsageError::SameStream { option: "--verbose", with: "--json", stream: "standard error" });
            }
            self.config = self.config.clone().observe(verbose::print);
        }
        let Some(file) = trace else { return Ok(()) };
        let config = self.config.clone();
        self.config = match file.to_str() {
            Some("%") if self.json_on_stderr() => {
                return Err(UsageError::SameStream { option: "--trace %", with: "--json", stream: "standard error" });
            }
            Some("%") => config.trace(io::stderr()),
            Some("-") if self.json || matches!(self.destination, Destination::Stdout { .. }) => {
                let with = if self.json { "--json" } else { "content" };
                return Err(UsageError::SameStream { option: "--trace -", with, stream: "standard output" });
            }
            Some("-") => config.trace(io::stdout()),
            _ => config.trace(File::create(&file).map_err(|error| UsageError::Trace { file, error })?),
        };
        Ok(())
    }

    /// Tells if the command is `head`, whose output explains error statuses and redirects.
    pub(crate) fn shows_heads(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Tells if the summary goes to standard error, which then gets no other output.
    pub(crate) fn json_on_stderr(&self) -> bool {
        self.json && matches!(self.destination, Destination::Stdout { .. })
    }
}

impl Job {
    pub(crate) fn request(&self, plan: &HiArgs) -> Request {
        let mut head = RequestHead::new(plan.method.clone(), &*self.target).expect("`List::add` has checked the target");
        head.fields = plan.fields.clone();
        Request::from(head)
    }
}

/// The URLs that have been read so far.
struct List {
    origin: Option<Origin>,
    jobs: Vec<Job>,
    names: Option<Names>,
}

impl List {
    fn add(&mut self, url: &str, source: Source) -> Result<(), UsageError> {
        // Browsers trim URLs, too.
        let url = url.trim().to_owned();
        let (origin, target) = match Origin::of_url(&quoted(&url)) {
            Ok(parts) => parts,
            // The error must quote the URL as it was given.
            Err(error) => {
                return Err(match fault(&url) {
                    Some(fault) => UsageError::Form { source, url, fault },
                    None => UsageError::Url { source, error: Origin::of_url(&url).err().unwrap_or(error) },
                });
            }
        };
        if let Some(fault) = fault(&url) {
            return Err(UsageError::Form { source, url, fault });
        }
        match &self.origin {
            Some(first) if *first != origin => return Err(UsageError::OtherOrigin { source, url, origin: first.clone() }),
            Some(_) => {}
            None => self.origin = Some(origin),
        }
        if let Err(misuse) = RequestHead::new(Method::GET, &*target) {
            return Err(UsageError::Target { source, url, misuse: Box::new(misuse) });
        }
        let name = self.names.as_mut().map(|names| names.name(&target));
        self.jobs.push(Job { url, target, name });
        Ok(())
    }

    fn add_file(&mut self, file: &Path) -> Result<(), UsageError> {
        let mut text = Vec::new();
        let read = if file == Path::new("-") {
            io::stdin().lock().read_to_end(&mut text)
        } else {
            File::open(file).and_then(|mut opened| opened.read_to_end(&mut text))
        };
        read.map_err(|error| UsageError::Input { file: file.to_owned(), error })?;
        // Some editors begin a text with a byte order mark, which does not belong to the first line.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let source = Source::Line { file: file.to_owned(), number: index + 1 };
            match std::str::from_utf8(line) {
                Ok(url) => self.add(url, source)?,
                Err(_) => return Err(UsageError::NotText { source }),
            }
        }
        Ok(())
    }
}

/// Percent-encodes blanks, letters beyond ASCII and some signs in a URL (RFC 3986 §2.1), as curl and browsers do. The host stays
/// as it is, because hosts have another encoding.
fn quoted(url: &str) -> String {
    let start = url.find("://").map_or(url.len(), |end| end + 3);
    let path = start + url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    let mut quoted = url[..path].to_owned();
    for byte in url[path..].bytes() {
        match byte {
            b' ' | b'<' | b'>' | b'`' | 0x80.. => quoted.push_str(&format!("%{byte:02X}")),
            _ => quoted.push(byte.into()),
        }
    }
    quoted
}

/// Explains why a text is not a URL, if it can be explained better than by the error of parsing it.
fn fault(url: &str) -> Option<Fault> {
    // Text before an at-sign may contain a password, which must not be quoted.
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return None;
    }
    if let Some(control) = url.chars().find(|c| c.is_control()) {
        return Some(Fault::Control(control));
    }
    if url.contains(" http://") || url.contains(" https://") {
        return Some(Fault::Several);
    }
    let begins_well = url.starts_with(|c: char| c.is_alphanumeric() || c == '[') && !url.starts_with("http:");
    (begins_well && !url.contains("://") && !url.contains(char::is_whitespace)).then_some(Fault::NoScheme)
}

/// Parses the arguments of `-H`.
fn fields(headers: &[String]) -> Result<Fields, UsageError> {
    let mut fields = Fields::new();
    for header in headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(UsageError::HeaderForm { header: header.clone() });
        };
        if name.eq_ignore_ascii_case("upgrade") {
            return Err(UsageError::Upgrade { header: name.to_owned() });
        }
        if let Err(misuse) = fields.append(name, value.trim_matches([' ', '\t'])) {
            return Err(UsageError::Header { header: name.to_owned(), misuse });
        }
    }
    Ok(fields)
}

/// Sends a request to a fake stream, to learn if its fields can be sent. Some cannot be in a request without content, and some
/// contradict each other.
fn probe(method: &Method, origin: &Origin, fields: &Fields, headers: &[String]) -> Result<(), UsageError> {
    let engine = || Engine::new(&origin.host_field(), &Config::new());
    engine().map_err(|error| UsageError::Host { origin: origin.clone(), error: Box::new(error) })?;
    let refused = |fields: &Fields| {
        let mut head = RequestHead::new(method.clone(), "/").expect("/ is a target");
        head.fields = fields.clone();
        match engine().ok()?.duplex().send_request(&Request::from(head), &mut Discard) {
            Err(Error::Local(misuse)) => Some(misuse),
            _ => None,
        }
    };
    let Some(misuse) = refused(fields) else { return Ok(()) };
    // Blame the field without which the others can be sent.
    let guilty = (0..headers.len()).find(|&skip| {
        let mut others = Fields::new();
        let kept = fields.iter().enumerate().filter(|&(index, _)| index != skip);
        kept.for_each(|(_, line)| others.append(line.name(), line.value()).expect("`fields` has accepted it"));
        refused(&others).is_none()
    });
    Err(match guilty.and_then(|index| fields.iter().nth(index)) {
        Some(line) => UsageError::Header { header: line.name().to_owned(), misuse },
        None => UsageError::Headers { misuse },
    })
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
            UsageError::OtherOrigin { source, url, origin } => {
                write!(f, "{source}{url:?} is not of the same origin as the first URL ({origin})")
            }
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
                "-o \"-\": -o needs a directory (write ./- for one of this name); without -o, content goes to standard output",
            ),
            UsageError::Host { origin, error } => write!(f, "{origin}: {error}"),
            UsageError::Connect(error) => error.fmt(f),
            UsageError::SameStream { option, with, stream } => {
                write!(f, "{option} cannot be combined with {with}: both write to {stream}")
            }
            UsageError::Trace { file, error } => write!(f, "--trace: cannot write {}: {error}", file.display()),
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

/// A stream that takes everything and never gives anything: a request that is sent over it is only checked.
struct Discard;

impl Stream for Discard {
    fn read(&mut self, _: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        Ok(Progress::Needs(Interest::READ))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        Ok(Progress::Done(pieces.iter().map(|piece| piece.len()).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_cannot_be_sent_is_named() {
        for (headers, name) in [
            (&["Accept: */*", "Content-Length: 5"][..], "Content-Length"),
            (&["Expect: 100-continue", "Accept: */*"], "Expect"),
            (&["Transfer-Encoding: chunked"], "Transfer-Encoding"),
            (&["TE: trailers"], "TE"),
            (&["Host: a", "host: b"], "Host"),
        ] {
            let headers: Vec<_> = headers.iter().map(ToString::to_string).collect();
            let error = probe(&Method::GET, &Origin::http("a.example", 80), &fields(&headers).unwrap(), &headers).unwrap_err();
            assert!(error.to_string().starts_with(&format!("header {name:?}: ")), "{error}");
        }
        let headers = ["TE: trailers".to_owned(), "Connection: TE".to_owned()];
        probe(&Method::GET, &Origin::http("a.example", 80), &fields(&headers).unwrap(), &headers).unwrap();
    }
}
