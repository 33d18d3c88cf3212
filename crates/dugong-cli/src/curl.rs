//! Advises users of curl: for each option that this program lacks, names the replacement.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::readable::Readable;

/// Returns advice if the command line has an option of curl, or a URL without a command. Otherwise clap's error is better.
pub(crate) fn advice(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let option = context(ContextKind::InvalidArg)?;
            let (.., instead) = OPTIONS.iter().find(|(short, long, _)| option == *short || option == *long)?;
            Some(format!("the option '{option}' of curl does not exist here: {instead}"))
        }
        ErrorKind::InvalidSubcommand => {
            let url = context(ContextKind::InvalidSubcommand).filter(|word| word.contains("://"))?;
            Some(format!("expected a command, but found a URL; write: dugong get {}", Readable(url.as_bytes())))
        }
        _ => None,
    }
}

/// The options of curl that this program lacks: the short form, the long form, and the replacement. Options that are digits are
/// missing, because clap takes them for negative numbers.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("", "--location-trusted", "--location follows redirects; credentials are never sent to another origin"),
    ("-k", "--insecure", "certificates are always verified; --cacert FILE trusts one of your own, or its issuer"),
    ("-O", "--remote-name", "only dugong get writes files"),
    ("", "--remote-name-all", "dugong get --remote-name is for all URLs"),
    ("-J", "--remote-header-name", "dugong get --remote-name names files after their URLs"),
    ("-o", "--output", "only dugong get and dugong request write files"),
    ("", "--output-dir", "use dugong get --dir DIR"),
    ("", "--create-dirs", "dugong get --dir DIR creates DIR"),
    ("", "--compressed", "content is written as the server sends it; without this option, servers do not compress it"),
    ("-X", "--request", "use dugong request METHOD URL"),
    ("-I", "--head", "use dugong head, which prints status lines and fields only"),
    ("-d", "--data", "use dugong request POST URL --data TEXT"),
    ("", "--data-raw", "use dugong request POST URL --data TEXT"),
    ("", "--data-binary", "use dugong request POST URL --data TEXT, or --data @FILE"),
    ("", "--data-urlencode", "write the query into the URL, after a ?"),
    ("-G", "--get", "dugong get always uses GET; write the query into the URL, after a ?"),
    ("", "--url-query", "write the query into the URL, after a ?"),
    ("-F", "--form", "forms are not supported; send content of your own with dugong request POST URL --data @FILE"),
    ("-T", "--upload-file", "use dugong put FILE URL"),
    ("-s", "--silent", "only errors and notes are printed; -q hides the progress bar"),
    ("-S", "--show-error", "errors are always printed"),
    ("-#", "--progress-bar", "a progress bar is shown where it makes sense; -q hides it"),
    ("", "--no-progress-meter", "-q hides the progress bar"),
    ("", "--fail", "the content of error responses is not written, and the exit code is 1; -f stops at the first error"),
    ("", "--fail-with-body", "--keep-error-bodies writes the content of error responses, too; the exit code is 1"),
    ("-D", "--dump-header", "--include writes status line and fields before each content; dugong head writes only them"),
    ("", "--show-headers", "--include writes status line and fields before each content"),
    ("-n", "--netrc-file", "use --netrc, which reads ~/.netrc"),
    ("", "--basic", "--user sends Basic credentials; other schemes are not supported"),
    ("", "--digest", "--user sends Basic credentials; other schemes are not supported"),
    ("", "--anyauth", "--user sends Basic credentials; other schemes are not supported"),
    ("-A", "--user-agent", "give it as a field: -H 'User-Agent: ...'"),
    ("-e", "--referer", "give it as a field: -H 'Referer: ...'"),
    ("-b", "--cookie", "give it as a field: -H 'Cookie: ...'"),
    ("-c", "--cookie-jar", "cookies are not kept; send them with -H 'Cookie: ...'"),
    ("-r", "--range", "only dugong get has content"),
    ("-C", "--continue-at", "dugong get --continue completes an interrupted file; --range N- skips N bytes"),
    ("-z", "--time-cond", "dugong get --if-changed fetches what has changed; or give -H 'If-Modified-Since: ...'"),
    ("-w", "--write-out", "--json prints the result of each URL"),
    ("", "--retry", "--retries says how often a request is repeated"),
    ("-Z", "--parallel", "many requests are in flight by default; --connections and --depth say how many"),
    ("", "--parallel-max", "--connections says how many connections each origin gets"),
    ("-K", "--config", "-i FILE reads URLs from a file"),
    ("", "--url", "give URLs as arguments, or one a line in a file with -i FILE"),
    ("-g", "--globoff", "URLs are used as they are; braces and brackets have no meaning"),
    ("", "--path-as-is", "URLs are used as they are"),
    ("", "--http1.0", "requests are always HTTP/1.1"),
    ("", "--http1.1", "requests are always HTTP/1.1"),
    ("", "--http2", "only HTTP/1.1 is supported"),
    ("", "--http3", "only HTTP/1.1 is supported"),
    ("", "--tlsv1", "TLS 1.2 and 1.3 are supported; the server decides which"),
    ("", "--tlsv1.2", "TLS 1.2 and 1.3 are supported; the server decides which"),
    ("", "--tlsv1.3", "TLS 1.2 and 1.3 are supported; the server decides which"),
    ("", "--trace-ascii", "--trace FILE writes all bytes sent and received"),
    ("", "--socks5", "use --proxy socks5://HOST:PORT"),
    ("", "--socks5-hostname", "use --proxy socks5h://HOST:PORT"),
    ("", "--connect-to", "use --resolve HOST:PORT:ADDRESS"),
    ("-y", "--speed-time", "use --timeout SECONDS, which gives up when nothing happens for this long"),
    ("-Y", "--speed-limit", "use --timeout SECONDS, which gives up when nothing happens for this long"),
    ("", "--limit-rate", "a speed limit is not supported"),
    ("-N", "--no-buffer", "content is written as it arrives"),
    ("-a", "--append", "content is written to standard output; use >> FILE"),
];

/// Returns the options of the program that have an entry. Such an entry would be wrong.
#[cfg(test)]
fn entries_of(command: &clap::Command) -> Vec<String> {
    let names = command.get_arguments().flat_map(|argument| {
        let short = argument.get_short().map(|short| format!("-{short}"));
        short.into_iter().chain(argument.get_long().map(|long| format!("--{long}")))
    });
    names.filter(|name| OPTIONS.iter().any(|(short, long, _)| name == short || name == long)).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::flags::LowArgs;

    fn advice_for(arguments: &[&str]) -> Option<String> {
        advice(&LowArgs::try_parse_from(["dugong"].iter().chain(arguments)).unwrap_err())
    }

    #[test]
    fn the_error_for_an_option_of_curl_names_the_replacement() {
        for (arguments, said) in [
            (
                &["get", "-J", "http://h/"][..],
                "the option '-J' of curl does not exist here: dugong get --remote-name names files",
            ),
            (&["get", "http://h/", "-fsSL"], "'-s' of curl does not exist here: only errors"),
            (&["get", "--compressed", "http://h/"], "content is written as the server sends it"),
            (&["get", "--retry=3", "http://h/"], "the option '--retry'"),
            (&["head", "-X", "POST", "http://h/"], "the option '-X'"),
            (&["head", "-o", "x", "http://h/"], "only dugong get and dugong request write files"),
            (&["http://h/"], "write: dugong get http://h/"),
        ] {
            let advice = advice_for(arguments).unwrap();
            assert!(advice.contains(said), "{advice}");
        }
        assert_eq!(advice_for(&["get", "--no-such-flag"]), None);
    }

    #[test]
    fn no_advice_is_about_an_existing_option() {
        let program = LowArgs::command();
        // These are for head, which does not have them.
        let get = ["-o", "--output", "-O", "--remote-name", "-r", "--range"];
        assert_eq!(entries_of(program.find_subcommand("get").unwrap()), get);
        assert!(entries_of(program.find_subcommand("head").unwrap()).is_empty());
        let mut names: Vec<_> = OPTIONS.iter().map(|(_, long, _)| long).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len());
    }
}
