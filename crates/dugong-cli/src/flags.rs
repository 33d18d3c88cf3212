//! The command line as text: what may stand there, and what it means to people.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// For the help of all commands.
macro_rules! exit_codes {
    () => {
        "\
Exit status:
  0    all URLs were answered; also when whoever reads standard output has closed it
  1    some responses were errors (status 400 and above); get does not write their content
  2    the command line or the list of URLs is wrong; nothing was requested
  3    the connection was lost or could not be made; what was complete is kept
  4    a file could not be written; what was complete is kept
  130  interrupted (SIGINT, SIGTERM or SIGHUP); no part of a file is left"
    };
}

/// HTTP/1.1 for many requests: a whole list of URLs through one pipelined connection
#[derive(Debug, Parser)]
#[command(name = "dugong", version, max_term_width = 110)]
pub(crate) struct LowArgs {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(Box<GetArgs>),
    Head(Box<HeadArgs>),
}

/// Fetch URLs of one origin, many in flight, and write their content in the order given
///
/// All URLs must be of one origin: the same scheme (http or https), the same host, the same port. Content goes to standard
/// output, one after the other, or with -o each into a file of its own. Content that is cut short is never passed off as
/// complete.
#[derive(Debug, Args)]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong get http://localhost:8080/a http://localhost:8080/b > both
  dugong get -o pages -i urls.txt --json > summary.json
  seq 1 100 | sed 's|^|http://localhost:8080/doc/|' | dugong get -i - -o docs"))]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    /// Write each content into a file in DIR, which is made if it is not there
    ///
    /// The name is the last part of the URL's path, made harmless; "index" if that is empty. The second file of a name becomes
    /// "name.1". A file appears under its name only when it is complete.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,

    /// With -o: replace files that exist
    #[arg(long, requires = "output_dir")]
    pub(crate) force: bool,

    /// Print the status line and the fields before each content
    #[arg(long, conflicts_with = "output_dir")]
    pub(crate) include: bool,

    /// Write the content of error responses too
    #[arg(long, conflicts_with = "output_dir")]
    pub(crate) keep_error_bodies: bool,

    #[command(flatten)]
    pub(crate) way: WayArgs,
}

/// Ask what a GET of each URL would be answered, and print the status lines and the fields in the order given
///
/// All URLs must be of one origin: the same scheme (http or https), the same host, the same port. The requests are made with the
/// method HEAD, which has no content in its responses.
#[derive(Debug, Args)]
#[command(after_long_help = concat!(exit_codes!(), "

Examples:
  dugong head https://example.org/
  dugong head -i urls.txt --json 2> summary.json"))]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    pub(crate) requests: RequestArgs,

    #[command(flatten)]
    pub(crate) way: WayArgs,
}

/// What is asked, and how.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// What to ask for, in this order
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Add URLs from FILE, one a line, after those given as arguments; - is standard input
    ///
    /// Empty lines, and lines that begin with #, are ignored.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// How many requests may be in flight; 0 is no limit
    ///
    /// A server that does not take several is asked one at a time, as with 1.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) depth: usize,

    /// Send this field with every request; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Stop at the first error status
    #[arg(short, long)]
    pub(crate) fail_early: bool,

    /// Do not connect again when the connection ends between two responses
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Print what came of each URL as a JSON object: to standard output with -o, otherwise to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress bar; without this there is one if standard error is a terminal
    #[arg(short = 'q', long)]
    pub(crate) no_progress: bool,

    /// Tell on standard error what happens: connecting, heads sent (>) and received (<), the end
    ///
    /// The values of Authorization, Proxy-Authorization, Cookie and Set-Cookie are shown as ***.
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Write all that is sent and received to FILE, as it is inside TLS; % is standard error, - standard output
    ///
    /// Lines begin with > or <. Fields are masked as with -v; content and targets are not.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

/// Headings in the help.
const TIME: &str = "Time";
const WAY: &str = "The way to the server";

/// How the server is reached, and how long that may take. Names and meanings are those of curl.
#[derive(Debug, Default, Args)]
pub(crate) struct WayArgs {
    /// Give up when nothing happens for so long, such as 10 or 0.5; without it never
    ///
    /// Each phase of connecting may take so long: the name, all addresses together, tunnel and TLS together.
    #[arg(long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) timeout: Option<String>,

    /// How long name, TCP, tunnel and TLS may take together; without it there is no limit
    #[arg(long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) connect_timeout: Option<String>,

    /// How long everything may take, connecting again included; without it there is no limit
    #[arg(short, long, value_name = "SECONDS", help_heading = TIME)]
    pub(crate) max_time: Option<String>,

    /// Go through this proxy: http://, socks5:// or socks5h://, perhaps USER:PASSWORD@, then HOST:PORT; "" is none
    ///
    /// Without it the environment is asked: http_proxy, https_proxy, all_proxy, no_proxy.
    #[arg(short = 'x', long, value_name = "URL", help_heading = WAY, conflicts_with = "unix_socket")]
    pub(crate) proxy: Option<String>,

    /// Credentials for the proxy, unless its URL has some; %XX stands for a byte
    #[arg(short = 'U', long, value_name = "USER:PASSWORD", help_heading = WAY, allow_hyphen_values = true)]
    pub(crate) proxy_user: Option<String>,

    /// Hosts that are reached without a proxy, with commas between them, in place of no_proxy; * is all
    #[arg(long, value_name = "LIST", help_heading = WAY)]
    pub(crate) noproxy: Option<String>,

    /// Trust the certificates in FILE (PEM), and not those that this machine trusts
    #[arg(long, value_name = "FILE", help_heading = WAY)]
    pub(crate) cacert: Option<PathBuf>,

    /// Show the certificate in FILE (PEM) to servers that ask for one; its key may be in the same file
    #[arg(short = 'E', long, value_name = "FILE", help_heading = WAY)]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of the certificate (PEM, not encrypted)
    #[arg(long, value_name = "FILE", help_heading = WAY, requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Connect to ADDRESS for HOST and PORT, whatever the name service says; can be given several times
    #[arg(long, value_name = "HOST:PORT:ADDRESS[,ADDRESS]", help_heading = WAY, allow_hyphen_values = true)]
    pub(crate) resolve: Vec<String>,

    /// Connect to this Unix socket, whatever the host
    #[arg(long, value_name = "PATH", help_heading = WAY)]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Connect from this network interface or address of this machine
    #[arg(long, value_name = "NAME", help_heading = WAY)]
    pub(crate) interface: Option<String>,

    /// Use IPv4 addresses only
    #[arg(short = '4', long, help_heading = WAY, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6', long, help_heading = WAY)]
    pub(crate) ipv6: bool,

    /// Have the system probe the connection when it was idle for so long; without it never
    #[arg(long, value_name = "SECONDS", help_heading = WAY, value_parser = clap::value_parser!(u16).range(1..=32767))]
    pub(crate) keepalive_time: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::LowArgs::command().debug_assert();
    }
}
