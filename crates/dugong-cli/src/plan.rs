//! The checked command line. All mistakes in it are found here, before anything is sent.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dugong_http::{Config, Fields, Method, Origin, Request, RequestHead};

use crate::auth::Credentials;
use crate::connecting;
use crate::fields::{fields, probe};
use crate::flags::{ConnectArgs, GetArgs, HeadArgs, RequestArgs};
use crate::names::Names;
use crate::urls;
use crate::usage::{Source, UsageError};
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

impl HiArgs {
    pub(crate) fn of_get(low: GetArgs) -> Result<HiArgs, UsageError> {
        let destination = match low.output_dir {
            Some(path) if path == Path::new("-") => return Err(UsageError::Dash),
            Some(path) => Destination::Directory { path, force: low.force },
            None => Destination::Stdout { include_heads: low.include, keep_errors: low.keep_error_bodies },
        };
        HiArgs::with(Method::GET, low.requests, &low.connect, destination)
    }

    pub(crate) fn of_head(low: HeadArgs) -> Result<HiArgs, UsageError> {
        // The user wants the heads of error responses, too.
        let destination = Destination::Stdout { include_heads: true, keep_errors: true };
        HiArgs::with(Method::HEAD, low.requests, &low.connect, destination)
    }

    fn with(method: Method, low: RequestArgs, connect: &ConnectArgs, destination: Destination) -> Result<HiArgs, UsageError> {
        let credentials = Credentials::of(&low.auth, &low.headers)?;
        let mut fields = fields(&low.headers)?;
        let (timeout, max_time) = (connecting::timeout(connect)?, connecting::max_time(low.max_time.as_deref())?);
        let with_names = matches!(destination, Destination::Directory { .. });
        let mut list = List { origin: None, jobs: Vec::new(), names: with_names.then(Names::default) };
        for url in low.urls {
            list.add(&url, Source::Argument)?;
        }
        for file in low.input {
            list.add_file(&file)?;
        }
        let List { origin: Some(origin), jobs, .. } = list else { return Err(UsageError::NoUrls) };
        credentials.add_to(&mut fields, &origin);
        probe(&method, None, &origin, &fields, &low.headers)?;
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
        let url = url.trim().to_owned();
        let (origin, target) = urls::parse(&url, &source)?;
        match &self.origin {
            Some(first) if *first != origin => return Err(UsageError::OtherOrigin { source, url, origin: first.clone() }),
            Some(_) => {}
            None => self.origin = Some(origin),
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
