//! The checked command line of `get`, `head`, `put` and `request`. Mistakes in it are found here, before anything is sent.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dugong_http::{Config, Event, Fields, Method};

use crate::auth::Credentials;
use crate::checksum::Checksum;
use crate::connecting;
use crate::data;
use crate::fields::fields;
use crate::flags::{ConnectArgs, GetArgs, HeadArgs, How, PutArgs, RequestArgs, SingleArgs, TransferArgs};
use crate::partial;
use crate::usage::UsageError;
use crate::verbose;

/// A command that is ready to run, up to its list of URLs.
#[derive(Debug)]
pub(crate) struct HiArgs {
    pub(crate) method: Method,
    pub(crate) urls: Vec<String>,
    /// Files with more URLs.
    pub(crate) lists: Vec<PathBuf>,
    /// The fields of every request.
    pub(crate) fields: Fields,
    /// The same as they were given.
    pub(crate) headers: Vec<String>,
    pub(crate) credentials: Credentials,
    pub(crate) connect: ConnectArgs,
    /// The content of each request.
    pub(crate) content: Option<Bytes>,
    pub(crate) destination: Destination,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) connections: usize,
    /// The number of requests that may be in flight on each connection.
    pub(crate) depth: u32,
    pub(crate) retries: u32,
    pub(crate) retry_delay: Duration,
    /// Redirects are followed,
    pub(crate) follows: bool,
    /// up to this many for each URL.
    pub(crate) redirects: u32,
    /// The limit for silence of the server.
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    /// The limit of the whole run.
    pub(crate) max_time: Option<Duration>,
    pub(crate) fail_early: bool,
    /// Interrupted files stay, to be continued.
    pub(crate) continues: bool,
    /// How many ranges of one file are fetched at once.
    pub(crate) parts: usize,
    pub(crate) json: bool,
    pub(crate) progress: How,
    verbose: bool,
    /// Where the bytes of connections are written.
    trace: Option<PathBuf>,
    observed: OnceCell<Config>,
    /// How many connections were made, for the summary.
    pub(crate) connected: Arc<AtomicU64>,
}

/// The destination of content.
#[derive(Debug)]
pub(crate) enum Destination {
    Stdout {
        include_heads: bool,
        keep_errors: bool,
    },
    /// No content is written.
    Nowhere,
    /// One file.
    File {
        path: PathBuf,
        existing: Existing,
    },
    /// A device or a pipe, which is written as it is.
    Device(PathBuf),
    /// The option is the one that names the directory.
    Directory {
        path: PathBuf,
        existing: Existing,
        option: &'static str,
    },
}

/// What becomes of files that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Error,
    Replace,
    Skip,
    /// They are replaced if the server has another version.
    IfChanged,
}

impl HiArgs {
    pub(crate) fn of_get(mut low: GetArgs) -> Result<HiArgs, UsageError> {
        let existing = match (low.force, low.skip_existing) {
            (true, _) => Existing::Replace,
            (_, true) => Existing::Skip,
            _ if low.if_changed => Existing::IfChanged,
            _ => Existing::Error,
        };
        let is_one = low.requests.input.is_empty() && low.requests.urls.len() == 1;
        let destination = match (low.output, low.dir) {
            (Some(path), _) if path == Path::new("-") => return Err(UsageError::Dash),
            (Some(path), _) => destination(path, is_one, existing),
            (None, Some(path)) => Destination::Directory { path, existing, option: "--dir" },
            (None, None) if low.remote_name => {
                Destination::Directory { path: PathBuf::from("."), existing, option: "--remote-name" }
            }
            (None, None) => Destination::Stdout { include_heads: low.include, keep_errors: low.keep_error_bodies },
        };
        let headers = &low.requests.transfer.headers;
        if low.range.is_some() {
            check_fields(headers, "--range", &["range"])?;
        }
        if low.continues {
            check_fields(headers, "--continue", &["range", "if-range"])?;
        }
        if low.parts > 1 {
            check_fields(headers, "--parts", &["range", "if-range"])?;
        }
        if low.if_changed {
            check_fields(headers, "--if-changed", &["if-none-match", "if-modified-since"])?;
        }
        if let Some(range) = low.range {
            low.requests.transfer.headers.push(range_header(&range)?);
        }
        let checksum = low.checksum.as_deref().map(Checksum::of).transpose()?;
        if checksum.is_some() && !is_one {
            let (option, with) = ("--checksum".to_owned(), "several URLs or a list".to_owned());
            return Err(UsageError::Together { option, with, why: "it is the digest of one content" });
        }
        let plan = HiArgs::of_list(Method::GET, low.requests, low.connect, destination)?;
        Ok(HiArgs { checksum, continues: low.continues, parts: low.parts, ..plan })
    }

    pub(crate) fn of_head(low: HeadArgs) -> Result<HiArgs, UsageError> {
        // The user wants the heads of error responses, too.
        let destination = Destination::Stdout { include_heads: true, keep_errors: true };
        HiArgs::of_list(Method::HEAD, low.requests, low.connect, destination)
    }

    /// The plan of one request with any method.
    pub(crate) fn of_request(mut low: SingleArgs) -> Result<HiArgs, UsageError> {
        let method = data::method("the method", &low.method)?;
        let content = match (&low.data, &low.data_json) {
            (Some(text), _) => Some(data::content("--data", text)?),
            (_, Some(text)) => {
                let is_type = |header: &String| header.to_ascii_lowercase().starts_with("content-type:");
                if !low.transfer.headers.iter().any(is_type) {
                    low.transfer.headers.push("Content-Type: application/json".to_owned());
                }
                Some(data::json("--data-json", text)?)
            }
            _ => None,
        };
        let existing = if low.force { Existing::Replace } else { Existing::Error };
        let destination = match low.output {
            Some(path) if path == Path::new("-") => return Err(UsageError::Dash),
            Some(path) => destination(path, true, existing),
            None => Destination::Stdout { include_heads: low.include, keep_errors: true },
        };
        let plan = HiArgs::with(method, low.transfer, low.connect, destination)?;
        let (follows, redirects) = (low.location, low.max_redirs);
        Ok(HiArgs { content: content.map(Bytes::from), urls: vec![low.url], follows, redirects, ..plan })
    }

    /// The plan of uploads.
    pub(crate) fn of_put(low: PutArgs, url: String) -> Result<HiArgs, UsageError> {
        let mut transfer = low.transfer;
        if low.if_none_match {
            check_fields(&transfer.headers, "--if-none-match", &["if-none-match"])?;
            transfer.headers.push("If-None-Match: *".to_owned());
        }
        let plan = HiArgs::with(Method::PUT, transfer, low.connect, Destination::Nowhere)?;
        Ok(HiArgs { content: Some(Bytes::new()), urls: vec![url], ..plan })
    }

    fn of_list(method: Method, low: RequestArgs, connect: ConnectArgs, destination: Destination) -> Result<HiArgs, UsageError> {
        if low.urls.is_empty() && low.input.is_empty() {
            return Err(UsageError::NoUrls);
        }
        let plan = HiArgs::with(method, low.transfer, connect, destination)?;
        let (follows, redirects) = (low.location, low.max_redirs);
        Ok(HiArgs { urls: low.urls, lists: low.input, follows, redirects, fail_early: low.fail_early, ..plan })
    }

    fn with(method: Method, low: TransferArgs, connect: ConnectArgs, destination: Destination) -> Result<HiArgs, UsageError> {
        let credentials = Credentials::of(&low.auth, &low.headers)?;
        let fields = fields(&low.headers)?;
        let (timeout, max_time) = (connecting::timeout(&connect)?, connecting::max_time(low.max_time.as_deref())?);
        let connect_timeout = connecting::connect_timeout(&connect)?;
        let retry_delay = connecting::seconds("--retry-delay", &low.retry_delay)?.unwrap_or_default();
        let plan = HiArgs {
            method,
            urls: Vec::new(),
            lists: Vec::new(),
            fields,
            headers: low.headers,
            credentials,
            connect,
            content: None,
            destination,
            checksum: None,
            connections: low.connections,
            depth: if low.depth == 0 { u32::MAX } else { low.depth },
            retries: low.retries,
            retry_delay,
            follows: false,
            redirects: 0,
            timeout,
            connect_timeout,
            max_time,
            fail_early: false,
            continues: false,
            parts: 1,
            json: low.json,
            progress: match low.progress {
                _ if low.no_progress => How::None,
                How::Bar if low.verbose || low.trace.as_deref() == Some(Path::new("%")) => How::None,
                how => how,
            },
            verbose: low.verbose,
            trace: low.trace,
            observed: OnceCell::new(),
            connected: Arc::default(),
        };
        plan.check_streams()?;
        Ok(plan)
    }

    /// Checks that no two options write to one stream.
    fn check_streams(&self) -> Result<(), UsageError> {
        let same = |option, with, stream| Err(UsageError::SameStream { option, with, stream });
        if self.verbose && self.json_on_stderr() {
            return same("--verbose", "--json", "standard error");
        }
        if self.progress == How::Json {
            let with = match self.trace.as_deref().and_then(Path::to_str) {
                _ if self.json_on_stderr() => Some("--json"),
                _ if self.verbose => Some("--verbose"),
                Some("%") => Some("--trace %"),
                _ => None,
            };
            if let Some(with) = with {
                return same("--progress=json", with, "standard error");
            }
        }
        match self.trace.as_deref().and_then(Path::to_str) {
            Some("%") if self.json_on_stderr() => same("--trace %", "--json", "standard error"),
            Some("-") if self.json => same("--trace -", "--json", "standard output"),
            Some("-") if matches!(self.destination, Destination::Stdout { .. }) => {
                same("--trace -", "content", "standard output")
            }
            _ => Ok(()),
        }
    }

    /// Creates the file of `--trace`: last, so that a wrong command line replaces none.
    pub(crate) fn open_trace(&self) -> Result<(), UsageError> {
        let config = match &self.trace {
            None => Config::new(),
            Some(file) => match file.to_str() {
                Some("%") => Config::new().trace(io::stderr()),
                Some("-") => Config::new().trace(io::stdout()),
                _ => {
                    let created = File::create(file).map_err(|error| UsageError::Trace { file: file.clone(), error })?;
                    Config::new().trace(created)
                }
            },
        };
        let (count, json, verbose) = (Arc::clone(&self.connected), self.json, self.verbose);
        let connections = verbose::Connections::default();
        let config = match json || verbose {
            true => config.observe_each(move || {
                let (count, connection) = (Arc::clone(&count), connections.next());
                move |event| {
                    if let Event::Connected { .. } = event {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    if verbose {
                        connection.print(event);
                    }
                }
            }),
            false => config,
        };
        // It is opened once.
        let _ = self.observed.set(config);
        Ok(())
    }

    /// The configuration with `--verbose` and `--trace`, which all connections share.
    pub(crate) fn observed(&self) -> Config {
        self.observed.get().cloned().unwrap_or_default()
    }

    /// The content of each request.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// Tells if content goes to files, which are finished as they come.
    pub(crate) fn has_files(&self) -> bool {
        matches!(self.destination, Destination::File { .. } | Destination::Directory { .. })
    }

    /// Tells if an interrupted file stays.
    pub(crate) fn keeps_parts(&self) -> bool {
        self.continues || self.parts > 1
    }

    /// Tells if there is something to write after a signal: a summary, the rest of a file, or an index.
    pub(crate) fn has_last_words(&self) -> bool {
        let has_index = match &self.destination {
            Destination::File { existing, .. } | Destination::Directory { existing, .. } => *existing == Existing::IfChanged,
            _ => false,
        };
        self.json || self.keeps_parts() || has_index
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

/// The meaning of `-o`: a file for one URL, unless the name is that of a directory.
fn destination(path: PathBuf, is_one: bool, existing: Existing) -> Destination {
    let found = path.metadata().ok();
    let is_device = found.as_ref().is_some_and(|found| !found.is_dir() && !found.is_file());
    let is_directory = found.is_some_and(|found| found.is_dir()) || path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match is_one && !is_directory {
        true if is_device => Destination::Device(path),
        true => Destination::File { path, existing },
        false => Destination::Directory { path, existing, option: "-o" },
    }
}

/// Checks that no `-H` sends a field that an option sends.
fn check_fields(headers: &[String], option: &str, names: &[&str]) -> Result<(), UsageError> {
    let given = headers.iter().filter_map(|header| header.split_once(':')).map(|(name, _)| name);
    for name in given {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            let with = format!("the header {name:?}");
            return Err(UsageError::Together { option: option.to_owned(), with, why: "the option sends this field itself" });
        }
    }
    Ok(())
}

/// The field for `--range`: one or more ranges, as in curl.
fn range_header(text: &str) -> Result<String, UsageError> {
    if !partial::are_ranges(text) {
        let expected = "bytes such as 0-99, 100- or -100";
        return Err(UsageError::Value { option: "--range", text: text.to_owned(), expected });
    }
    Ok(format!("Range: bytes={text}"))
}
