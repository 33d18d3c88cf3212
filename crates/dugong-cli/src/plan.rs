//! What is to be done, checked: everything that can be wrong with the command line is found here, before a byte is sent.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dugong_http::step::Engine;
use dugong_http::transport::scripted::Scripted;
use dugong_http::{Config, Error, Fields, InvalidUrl, Method, Misuse, Origin, Request, RequestHead};

use crate::flags::{Command, RequestArgs, WayArgs};
use crate::names::Names;
use crate::verbose;
use crate::way::{self, WayError};

/// A command, ready to be carried out.
#[derive(Debug)]
pub(crate) struct HiArgs {
    method: Method,
    pub(crate) origin: Origin,
    pub(crate) jobs: Vec<Job>,
    /// Fields of every request.
    fields: Fields,
    pub(crate) destination: Destination,
    /// Requests in flight; `None` is no limit.
    pub(crate) depth: Option<usize>,
    /// The way to the origin.
    pub(crate) config: Config,
    /// How long the server may be silent.
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
    /// The name of its file, if there is a directory.
    pub(crate) name: Option<String>,
}

/// Where content goes.
#[derive(Debug)]
pub(crate) enum Destination {
    Stdout { include_heads: bool, keep_errors: bool },
    Directory { path: PathBuf, force: bool },
}

/// What is wrong with the command line.
#[derive(Debug)]
pub(crate) enum UsageError {
    NoUrls,
    Url {
        place: Place,
        error: InvalidUrl,
    },
    /// A URL in another form than it should have.
    Form {
        place: Place,
        url: String,
        fault: Fault,
    },
    Target {
        place: Place,
        url: String,
        misuse: Box<Misuse>,
    },
    OtherOrigin {
        place: Place,
        url: String,
        origin: Origin,
    },
    Input {
        file: PathBuf,
        error: io::Error,
    },
    NotText {
        place: Place,
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
    /// A directory that was meant to be standard output.
    Dash,
    Host {
        origin: Origin,
        error: Box<Error>,
    },
    Way(WayError),
    /// Two things for standard output or standard error, of which one has to be alone there.
    Mixed {
        option: &'static str,
        stream: &'static str,
        with: &'static str,
    },
    Trace {
        file: PathBuf,
        error: io::Error,
    },
}

/// What is wrong with the form of a URL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It would be one with a scheme in front of it.
    NoScheme,
    /// A line holds more than one.
    Several,
    Control(char),
}

impl From<WayError> for UsageError {
    fn from(error: WayError) -> Self {
        UsageError::Way(error)
    }
}

/// Where a URL was given.
#[derive(Clone, Debug)]
pub(crate) enum Place {
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
                HiArgs::with(Method::GET, low.requests, &low.way, destination)
            }
            // The heads of errors are what was asked for, too.
            Command::Head(low) => {
                let destination = Destination::Stdout { include_heads: true, keep_errors: true };
                HiArgs::with(Method::HEAD, low.requests, &low.way, destination)
            }
        }
    }

    fn with(method: Method, low: RequestArgs, way: &WayArgs, destination: Destination) -> Result<HiArgs, UsageError> {
        let fields = fields(&low.headers)?;
        let (timeout, max_time) = (way::timeout(way)?, way::max_time(way)?);
        let with_names = matches!(destination, Destination::Directory { .. });
        let mut list = List { origin: None, jobs: Vec::new(), names: with_names.then(Names::default) };
        for url in low.urls {
            list.add(&url, Place::Argument)?;
        }
        for file in low.input {
            list.add_file(&file)?;
        }
        let List { origin: Some(origin), jobs, .. } = list else { return Err(UsageError::NoUrls) };
        probe(&method, &origin, &fields, &low.headers)?;
        let mut plan = HiArgs {
            method,
            config: way::config(way, &origin)?,
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
        plan.see(low.verbose, low.trace)?;
        Ok(plan)
    }

    /// Has it shown what happens. A file for that is made last: a command line that is wrong replaces nothing.
    fn see(&mut self, verbose: bool, trace: Option<PathBuf>) -> Result<(), UsageError> {
        if verbose {
            if self.json_on_stderr() {
                return Err(UsageError::Mixed { option: "--verbose", stream: "standard error", with: "the summary of --json" });
            }
            self.config = self.config.clone().observe(verbose::tell);
        }
        let Some(file) = trace else { return Ok(()) };
        let config = self.config.clone();
        self.config = match file.to_str() {
            Some("%") if self.json_on_stderr() => {
                return Err(UsageError::Mixed { option: "--trace %", stream: "standard error", with: "the summary of --json" });
            }
            Some("%") => config.trace(io::stderr()),
            Some("-") if self.json || matches!(self.destination, Destination::Stdout { .. }) => {
                let with = if self.json { "the summary of --json" } else { "what is fetched" };
                return Err(UsageError::Mixed { option: "--trace -", stream: "standard output", with });
            }
            Some("-") => config.trace(io::stdout()),
            _ => config.trace(File::create(&file).map_err(|error| UsageError::Trace { file, error })?),
        };
        Ok(())
    }

    /// Whether heads are all that is asked for, so that they need no explanation.
    pub(crate) fn shows_heads(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether the summary goes to standard error, where nothing else may stand then.
    pub(crate) fn json_on_stderr(&self) -> bool {
        self.json && matches!(self.destination, Destination::Stdout { .. })
    }
}

impl Job {
    pub(crate) fn request(&self, plan: &HiArgs) -> Request {
        let mut head = RequestHead::new(plan.method.clone(), &*self.target).expect("targets are checked when the plan is made");
        head.fields = plan.fields.clone();
        Request::from(head)
    }
}

/// The URLs as they are read.
struct List {
    origin: Option<Origin>,
    jobs: Vec<Job>,
    names: Option<Names>,
}

impl List {
    fn add(&mut self, url: &str, place: Place) -> Result<(), UsageError> {
        // As browsers do.
        let url = url.trim().to_owned();
        let (origin, target) = match Origin::of_url(&quoted(&url)) {
            Ok(parts) => parts,
            // The error quotes the URL, which is to be the one that was given.
            Err(error) => {
                return Err(match fault(&url) {
                    Some(fault) => UsageError::Form { place, url, fault },
                    None => UsageError::Url { place, error: Origin::of_url(&url).err().unwrap_or(error) },
                });
            }
        };
        if let Some(fault) = fault(&url) {
            return Err(UsageError::Form { place, url, fault });
        }
        match &self.origin {
            Some(first) if *first != origin => return Err(UsageError::OtherOrigin { place, url, origin: first.clone() }),
            Some(_) => {}
            None => self.origin = Some(origin),
        }
        if let Err(misuse) = RequestHead::new(Method::GET, &*target) {
            return Err(UsageError::Target { place, url, misuse: Box::new(misuse) });
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
        // Some editors mark text with this character at its beginning; it is not part of the first line.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let place = Place::Line { file: file.to_owned(), number: index + 1 };
            match std::str::from_utf8(line) {
                Ok(url) => self.add(url, place)?,
                Err(_) => return Err(UsageError::NotText { place }),
            }
        }
        Ok(())
    }
}

/// A URL with its blanks, its letters beyond ASCII and some signs percent-encoded (RFC 3986 §2.1), as curl and browsers do; the
/// host is not touched, since it is not encoded that way.
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

/// What is wrong with the form of a URL, if that can be said better than that it has not that of one.
fn fault(url: &str) -> Option<Fault> {
    // What stands before an at-sign may be a password, and is not quoted.
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

/// The fields of `-H` arguments.
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

/// Sends a request to nobody, to learn whether its fields can be sent: some fit no request without content, or not each other.
fn probe(method: &Method, origin: &Origin, fields: &Fields, headers: &[String]) -> Result<(), UsageError> {
    let engine = || Engine::new(&origin.host_field(), &Config::new());
    engine().map_err(|error| UsageError::Host { origin: origin.clone(), error: Box::new(error) })?;
    let refused = |fields: &Fields| {
        let mut head = RequestHead::new(method.clone(), "/").expect("/ is a target");
        head.fields = fields.clone();
        match engine().ok()?.duplex().send_request(&Request::from(head), &mut Scripted::default()) {
            Err(Error::Local(misuse)) => Some(misuse),
            _ => None,
        }
    };
    let Some(misuse) = refused(fields) else { return Ok(()) };
    // The one without which the others can be sent is to blame.
    let guilty = (0..headers.len()).find(|&skip| {
        let mut others = Fields::new();
        let kept = fields.iter().enumerate().filter(|&(index, _)| index != skip);
        kept.for_each(|(_, line)| others.append(line.name(), line.value()).expect("it was taken before"));
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
            UsageError::NoUrls => f.write_str("no URL was given; --help tells more"),
            UsageError::Url { place, error } => write!(f, "{place}{error}"),
            UsageError::Form { place, url, fault } => {
                write!(f, "{place}{url:?} is not a URL that can be used: ")?;
                match fault {
                    Fault::NoScheme => {
                        write!(f, "it has no scheme; write {:?} or {:?}", format!("http://{url}"), format!("https://{url}"))
                    }
                    Fault::Several => f.write_str("it looks like several; write each by itself, or %20 for the blank"),
                    Fault::Control(control) => {
                        write!(f, "it contains the control character {control:?}")?;
                        let bytes =
                            control.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
                        write!(f, "; leave it out, or write {bytes}")
                    }
                }
            }
            UsageError::Target { place, url, misuse } => write!(f, "{place}{url:?} cannot be requested: {misuse}"),
            UsageError::OtherOrigin { place, url, origin } => {
                write!(f, "{place}{url:?} is not of the origin of the first URL, which is {origin}")
            }
            UsageError::Input { file, error } => {
                write!(f, "cannot read {}: {error}", file.display())?;
                if file.to_string_lossy().contains("://") {
                    f.write_str("; -i takes a file with URLs in it, and a URL is given without it")?;
                }
                Ok(())
            }
            UsageError::NotText { place } => write!(f, "{place}this is not text in UTF-8; save the list as UTF-8"),
            // Without a colon it may be a secret from some place on.
            UsageError::HeaderForm { header } => {
                let begin = header.split_whitespace().next().unwrap_or_default();
                write!(f, "header {begin:?}: expected the form \"Name: value\"")
            }
            UsageError::Header { header, misuse } => write!(f, "header {header:?}: {misuse}"),
            UsageError::Upgrade { header } => write!(f, "header {header:?}: another protocol is of no use here"),
            UsageError::Headers { misuse } => write!(f, "the headers cannot be sent together: {misuse}"),
            UsageError::Dash => {
                f.write_str("-o \"-\": -o wants a directory (./- is one); without it content goes to standard output")
            }
            UsageError::Host { origin, error } => write!(f, "{origin}: {error}"),
            UsageError::Way(error) => error.fmt(f),
            UsageError::Mixed { option, stream, with } => {
                write!(f, "{option}: on {stream} stands {with}, and nothing else may stand there")
            }
            UsageError::Trace { file, error } => write!(f, "--trace: cannot write {}: {error}", file.display()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Argument => Ok(()),
            Place::Line { file, number } if file == Path::new("-") => write!(f, "standard input, line {number}: "),
            Place::Line { file, number } => write!(f, "{}, line {number}: ", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guilty_header_is_named() {
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
