//! The command line as text: its options, and their help.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

/// A part of the help of each command.
macro_rules! exit_codes {
    () => {
        "\
Exit status:
  0    all URLs were answered, or the reader of standard output closed it
  1    some responses had an error status (400 or above); get does not write their content
  2    the command line or the list of URLs is wrong; no request was sent, unless the list is a pipe
  3    connecting failed, a connection was lost, or a redirect could not be followed; complete files are kept
  4    a file could not be written; complete files are kept
  5    the content has another digest than --checksum says
  130  interrupted (SIGINT, SIGTERM or SIGHUP); no incomplete file is left"
    };
}

/// HTTP/1.1 for many requests: whole lists of URLs through few pipelined connections
#[derive(Debug, Parser)]
#[command(name = "dugong", version, long_version = LONG_VERSION, max_term_width = 110, args_override_self = true)]
pub(crate) struct LowArgs {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The version with the features of this build.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\
Protocols: http, https
TLS: 1.2 and 1.3 (rustls), certificates of the platform or --cacert, client certificates
Proxies: http (CONNECT for https), socks5, socks5h
Authentication: Basic (--user, --netrc), Bearer (--oauth2-bearer)
Not supported: HTTP/2, HTTP/3, cookies, content codings"
);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(Box<GetArgs>),
    Head(Box<HeadArgs>),
    Put(Box<PutArgs>),
    Request(Box<SingleArgs>),
    Bench(Box<BenchArgs>),

    /// Print a completion script for a shell to standard output
    #[command(after_long_help = "\
Examples:
  dugong completions bash > ~/.local/share/bash-completion/completions/dugong
  dugong completions zsh > ~/.zfunc/_dugong
  dugong completions fish > ~/.config/fish/completions/dugong.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Write the man pages, one for each command, into a directory
    Man {
        /// The directory, which is created if necessary
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// A shell that completes command lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Fetch URLs, many in flight, and write their content to standard output in the order given, or into files
///
/// Each origin (scheme, host and port) has connections of its own, and all work at once. Content goes to standard output in the order
/// of the URLs, or into files as it comes. A file never has incomplete content.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("files").multiple(true).args(["output", "dir", "remote_name"]))]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong get http://localhost:8080/a http://localhost:8080/b > both
  dugong get -o page.html http://localhost:8080/
  dugong get --dir pages -i urls.txt --json > summary.json
  seq 1 100 | sed 's|^|http://localhost:8080/doc/|' | dugong get -i - --dir docs"))]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    /// Write the content into the file NAME, or into files in the directory NAME
    ///
    /// NAME is a directory if it exists as one, if it ends in /, or if there is more than one URL or a list. See --dir.
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["dir", "remote_name"])]
    pub(crate) output: Option<PathBuf>,

    /// Write each content into a file in the current directory, named after its URL
    #[arg(short = 'O', long)]
    pub(crate) remote_name: bool,

    /// Write each content into a file in DIR, which is created if necessary
    ///
    /// The name is the last part of the URL's path, without dangerous characters, or "index" if that is empty. The second file of
    /// a name is called "name.1". A file gets its name when it is complete.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// With files: replace existing ones
    #[arg(long, requires = "files")]
    pub(crate) force: bool,

    /// With files: do not request URLs whose file exists
    #[arg(long, requires = "files", conflicts_with = "force")]
    pub(crate) skip_existing: bool,

    /// With files: keep an interrupted file as .NAME.part, and complete it in the next run with this option
    #[arg(long = "continue", requires = "files", conflicts_with = "range")]
    pub(crate) continues: bool,

    /// With files: fetch each in ranges, N at once; an interrupted file stays, as with --continue
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one, requires = "files", conflicts_with = "range")]
    pub(crate) parts: usize,

    /// With files: fetch only what has changed since the last run with this option; the directory gets an index
    #[arg(long, requires = "files", conflicts_with_all = ["force", "skip_existing", "range", "parts"])]
    pub(crate) if_changed: bool,

    /// Request a range of bytes, such as 0-99, 100- or -100
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<String>,

    /// Fail if the content of the only URL has another digest; its file is removed
    #[arg(long, value_name = "sha256=HEX")]
    pub(crate) checksum: Option<String>,

    /// Print the status line and the fields before each content
    #[arg(long, conflicts_with = "files")]
    pub(crate) include: bool,

    /// Write the content of error responses and of redirects, too
    #[arg(long, conflicts_with = "files")]
    pub(crate) keep_error_bodies: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Request the heads of URLs, and print the status lines and the fields in the order given
///
/// The requests use the method HEAD, so the responses have the heads of a GET, and no content.
#[derive(Debug, Args)]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong head https://example.org/
  dugong head -i urls.txt --json 2> summary.json"))]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Upload files
///
/// With a URL that ends in /, each file goes to this URL and the name of the file. Otherwise the only file goes to the URL itself.
/// Many uploads are under way at once. Those above 1 MiB wait for 100 (Continue) of the server, at most a second, so that a server
/// that refuses gets no content. A pipe that gives nothing holds no connection and no other upload up.
#[derive(Debug, Args)]
#[command(override_usage = "dugong put [OPTIONS] <FILE>... <URL>")]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong put report.pdf photo.jpg http://localhost:8080/inbox/
  tar c . | dugong put - http://localhost:8080/backup.tar"))]
pub(crate) struct PutArgs {
    /// The files to upload, and the URL to which they go; - is standard input, which is sent in chunks
    #[arg(value_name = "FILE... URL", required = true)]
    pub(crate) files_and_url: Vec<String>,

    /// Let every upload wait for 100 (Continue), however small
    #[arg(long)]
    pub(crate) expect: bool,

    /// Create resources, but replace none: the server answers 412 if one exists
    #[arg(long)]
    pub(crate) if_none_match: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Send one request with any method, and write the content of the answer
#[derive(Debug, Args)]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong request DELETE http://localhost:8080/old
  dugong request POST http://localhost:8080/notes --data-json '{\"text\": \"remember the milk\"}'"))]
pub(crate) struct SingleArgs {
    /// The method, such as POST
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,

    /// The URL to request
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Send this content; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) data: Option<String>,

    /// The same for JSON, with its Content-Type
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with = "data")]
    pub(crate) data_json: Option<String>,

    /// Follow redirects; without it, they are reported
    #[arg(short = 'L', long)]
    pub(crate) location: bool,

    /// With --location: how many redirects to follow
    #[arg(long, value_name = "N", default_value_t = 10, requires = "location")]
    pub(crate) max_redirs: u32,

    /// Write the content into the file NAME, or into the directory NAME
    #[arg(short, long, value_name = "NAME", conflicts_with = "include")]
    pub(crate) output: Option<PathBuf>,

    /// With --output: replace an existing file
    #[arg(long, requires = "output")]
    pub(crate) force: bool,

    /// Print the status line and the fields before the content
    #[arg(long)]
    pub(crate) include: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Measure a server: send requests as fast as it answers, or at a constant rate, and print rate and latencies
///
/// The server must be on this machine, unless you give --yes-i-may. Connections request the URLs in turn, and read the
/// content to its end. A connection that ends is opened again; a request that gets no answer counts as an error and is not
/// repeated.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit status:
  0    the server was measured, and each response had a status below 400
  2    the command line is wrong, or the server is not on this machine; no request was sent
  3    connecting failed, or there were errors
  4    the result could not be written
  130  interrupted (SIGINT, SIGTERM or SIGHUP); the result up to then is printed

Examples:
  dugong bench -c 64 -t 30 http://localhost:8080/
  dugong bench --depth 32 -n 1000000 http://localhost:8080/a http://localhost:8080/b
  dugong bench --rate 2000 --warm-up 5 -t 60 --json http://localhost:8080/ > result.json")]
pub(crate) struct BenchArgs {
    /// The URLs to request, in turn
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,

    /// How many connections to keep open
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub(crate) connections: usize,

    /// How many requests may be in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) depth: usize,

    /// Stop after this many requests
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,

    /// Stop after this long; 10 by default
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) time: Option<String>,

    /// Send this many requests a second, over all connections; by default each follows an answer
    ///
    /// The latency of each request counts from the moment when it was due, even if no connection had room for it then: a server
    /// that stops for a second delays all requests of that second ("coordinated omission").
    #[arg(long, value_name = "PER SECOND")]
    pub(crate) rate: Option<String>,

    /// Begin to measure only after this long
    #[arg(long, value_name = "SECONDS")]
    pub(crate) warm_up: Option<String>,

    /// The method of the requests; GET by default, POST with --data
    #[arg(long, value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// Send this content with each request; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) data: Option<String>,

    /// Send this field with every request; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    #[command(flatten)]
    pub(crate) auth: AuthArgs,

    /// Print the result in JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress; by default a line is shown if standard error is a terminal
    #[arg(short = 'q', long)]
    pub(crate) no_progress: bool,

    /// Measure servers beyond this machine: you have their owners' permission
    #[arg(long)]
    pub(crate) yes_i_may: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// Parses a number above 0.
fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().map_err(|error| error.to_string())?;
    if number == 0 { Err("expected at least 1".to_owned()) } else { Ok(number) }
}

/// Options about URLs and their answers.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The URLs to request, in this order
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Add the URLs in FILE, one per line, after those given as arguments; - is standard input
    ///
    /// Empty lines, and lines that begin with #, are ignored. A pipe is read while its URLs are requested: bad lines are reported, and
    /// the rest goes on.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// Follow redirects; without it, they are reported
    ///
    /// Credentials are not sent to other origins, and redirects from https to http are not followed.
    #[arg(short = 'L', long)]
    pub(crate) location: bool,

    /// With --location: how many redirects to follow for each URL
    #[arg(long, value_name = "N", default_value_t = 10, requires = "location")]
    pub(crate) max_redirs: u32,

    /// Stop at the first error status
    #[arg(short, long)]
    pub(crate) fail_early: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// How requests are sent and reported.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// How many connections to open to each origin
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub(crate) connections: usize,

    /// How many requests may be in flight on each connection; 0 means no limit
    ///
    /// A server that does not pipeline gets one at a time, as with 1.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) depth: u32,

    /// How often to repeat a request whose connection was lost before the answer
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) retries: u32,

    /// The longest wait before the first repeat; it doubles for each further one
    #[arg(long, value_name = "SECONDS", default_value = "0.1")]
    pub(crate) retry_delay: String,

    /// Send this field with every request; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    #[command(flatten)]
    pub(crate) auth: AuthArgs,

    /// Print a summary with the result of each URL in JSON: to standard output with files, otherwise to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// How to show progress on standard error; bars are shown on a terminal only
    #[arg(long, value_enum, value_name = "HOW", default_value = "bar")]
    pub(crate) progress: How,

    /// Show no progress
    #[arg(short = 'q', long, conflicts_with = "progress")]
    pub(crate) no_progress: bool,

    /// Print connecting, heads sent (>) and received (<), and closing to standard error
    ///
    /// *** replaces the values of Authorization, Proxy-Authorization, Cookie and Set-Cookie.
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Write all bytes sent and received to FILE, without TLS; % is standard error, - standard output
    ///
    /// Lines begin with > or <. Fields are masked as with -v; content and targets are not.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Limit the whole run, reconnecting included; no limit by default
    #[arg(short, long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) max_time: Option<String>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// A line for the whole, and one for a large file
    Bar,
    /// A line of JSON now and then, and at the end
    Json,
    None,
}

/// Credentials for the servers. curl has the same names with the same meanings.
#[derive(Debug, Default, Args)]
pub(crate) struct AuthArgs {
    /// Send these credentials with each request (Basic)
    ///
    /// Other users of this machine can see the arguments of programs; --netrc hides them.
    #[arg(short, long, value_name = "USER:PASSWORD", help_heading = AUTH, allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["netrc", "oauth2_bearer"])]
    pub(crate) user: Option<String>,

    /// Send the credentials that ~/.netrc has for the host of each URL (Basic)
    #[arg(long, help_heading = AUTH, conflicts_with = "oauth2_bearer")]
    pub(crate) netrc: bool,

    /// Send this token with each request (Bearer)
    #[arg(long, value_name = "TOKEN", help_heading = AUTH, allow_hyphen_values = true)]
    pub(crate) oauth2_bearer: Option<String>,
}

// Headings in the help.
const AUTH: &str = "Authentication";
const TIME: &str = "Time limits";
const CONNECT: &str = "Connecting";

/// Options about connections and their time limits. curl has the same names with the same meanings.
#[derive(Debug, Default, Args)]
pub(crate) struct ConnectArgs {
    /// Give up when nothing happens for this long, such as 10 or 0.5; 30 by default, 0 means no limit
    ///
    /// It also limits each phase of connecting: the name lookup, all addresses together, and tunnel and TLS together.
    #[arg(long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) timeout: Option<String>,

    /// Limit the name lookup, TCP, tunnel and TLS together; no limit by default
    #[arg(long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) connect_timeout: Option<String>,

    /// Use this proxy: http://, socks5:// or socks5h://, optionally USER:PASSWORD@, then HOST:PORT; "" means none
    ///
    /// By default the environment variables http_proxy, https_proxy, all_proxy and no_proxy decide.
    #[arg(short = 'x', long, value_name = "URL", help_heading = CONNECT, conflicts_with = "unix_socket")]
    pub(crate) proxy: Option<String>,

    /// Credentials for the proxy, unless its URL has some; %XX stands for a byte
    #[arg(short = 'U', long, value_name = "USER:PASSWORD", help_heading = CONNECT, allow_hyphen_values = true)]
    pub(crate) proxy_user: Option<String>,

    /// Hosts to reach without a proxy, separated by commas, instead of no_proxy; * means all
    #[arg(long, value_name = "LIST", help_heading = CONNECT)]
    pub(crate) noproxy: Option<String>,

    /// Trust the certificates in FILE (PEM) instead of those that this machine trusts
    #[arg(long, value_name = "FILE", help_heading = CONNECT)]
    pub(crate) cacert: Option<PathBuf>,

    /// Present the certificate in FILE (PEM) to servers that ask for one; FILE may contain its key, too
    #[arg(short = 'E', long, value_name = "FILE", help_heading = CONNECT)]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the certificate (PEM, not encrypted)
    #[arg(long, value_name = "FILE", help_heading = CONNECT, requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Connect to ADDRESS for HOST and PORT, without a name lookup; can be given several times
    #[arg(long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]", help_heading = CONNECT, allow_hyphen_values = true)]
    pub(crate) resolve: Vec<String>,

    /// Connect to this Unix socket instead of the host
    #[arg(long, value_name = "PATH", help_heading = CONNECT)]
    #[arg(conflicts_with_all = ["resolve", "interface", "ipv4", "ipv6", "keepalive_time", "proxy_user"])]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Connect from this network interface, or from this local address
    #[arg(long, value_name = "NAME", help_heading = CONNECT)]
    pub(crate) interface: Option<String>,

    /// Use IPv4 addresses only
    #[arg(short = '4', long, help_heading = CONNECT, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6', long, help_heading = CONNECT)]
    pub(crate) ipv6: bool,

    /// Send TCP keep-alive probes after this much idle time; none by default
    #[arg(long, value_name = "SECONDS", help_heading = CONNECT, value_parser = clap::value_parser!(u16).range(1..=32767))]
    pub(crate) keepalive_time: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::LowArgs::command().debug_assert();
    }

    #[test]
    fn each_option_has_a_test() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let tests: String = files.collect();
        let is_tested = |name: &str| {
            let mut found = tests.match_indices(name).map(|(at, _)| &tests[at + name.len()..]);
            found.any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-'))
        };
        for command in super::LowArgs::command().get_subcommands() {
            for argument in command.get_arguments() {
                let long = argument.get_long().map(|long| format!("--{long}"));
                let names = long.into_iter().chain(argument.get_short().map(|short| format!("\"-{short}")));
                let names: Vec<_> = names.collect();
                assert!(names.is_empty() || names.iter().any(|name| is_tested(name)), "{} {names:?}", command.get_name());
            }
        }
    }
}
