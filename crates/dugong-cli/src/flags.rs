//! The command line as text: what may stand there, and what it means to people.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// HTTP/1.1 for many requests: a whole list of URLs through one pipelined connection
#[derive(Debug, Parser)]
#[command(name = "dugong", version, max_term_width = 110)]
pub(crate) struct LowArgs {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Get(GetArgs),
}

/// Fetch URLs of one origin, many in flight, and write their content in the order given
///
/// All URLs must be of one origin: http, the same host, the same port. Content goes to standard output, one after the other, or
/// with -o each into a file of its own. Content that is cut short is never passed off as complete.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct GetArgs {
    /// What to fetch, in this order
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Add URLs from FILE, one a line, after those given as arguments; - is standard input
    ///
    /// Empty lines, and lines that begin with #, are ignored.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,

    /// Write each content into a file in DIR, which is made if it is not there
    ///
    /// The name is the last part of the URL's path, made harmless; "index" if that is empty. The second file of a name becomes
    /// "name.1". A file appears under its name only when it is complete.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,

    /// With -o: replace files that exist
    #[arg(long, requires = "output_dir")]
    pub(crate) force: bool,

    /// How many requests may be in flight; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) depth: usize,

    /// Give up when nothing happens for so long, such as 10 or 0.5 [default: wait for ever]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<String>,

    /// Send this field with every request; can be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Print the status line and the fields before each content
    #[arg(long, conflicts_with = "output_dir")]
    pub(crate) include: bool,

    /// Write the content of error responses too
    #[arg(long, conflicts_with = "output_dir")]
    pub(crate) keep_error_bodies: bool,

    /// Stop at the first error status
    #[arg(short, long)]
    pub(crate) fail_early: bool,

    /// Do not connect again when the server closes the connection in order
    #[arg(long)]
    pub(crate) no_reconnect: bool,

    /// Print what came of each URL as a JSON object: to standard output with -o, otherwise to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress bar; without this there is one if standard error is a terminal
    #[arg(short = 'q', long)]
    pub(crate) no_progress: bool,
}

const AFTER_HELP: &str = "\
Exit status:
  0    all URLs were fetched; also when whoever reads standard output has closed it
  1    some responses were errors (status 400 and above); their content is not written
  2    the command line or the list of URLs is wrong; nothing was requested
  3    the connection was lost or could not be made; what was complete is kept
  4    a file could not be written; what was complete is kept
  130  interrupted (SIGINT or SIGTERM); no part of a file is left

Examples:
  dugong get http://localhost:8080/a http://localhost:8080/b > both
  dugong get -o pages -i urls.txt --json > summary.json
  seq 1 100 | sed 's|^|http://localhost:8080/doc/|' | dugong get -i - -o docs";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        super::LowArgs::command().debug_assert();
    }
}
