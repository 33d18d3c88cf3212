//! Names the option of this program for each option of curl that people try.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::readable::Readable;

/// Says what to write instead, if the command line has an option that curl has, or no command; otherwise clap's error is better.
pub(crate) fn advice(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let option = context(ContextKind::InvalidArg)?;
            let (.., instead) = OPTIONS.iter().find(|(short, long, _)| option == *short || option == *long)?;
            Some(format!("there is no option '{option}' as curl has it: {instead}"))
        }
        ErrorKind::InvalidSubcommand => {
            let url = context(ContextKind::InvalidSubcommand).filter(|word| word.contains("://"))?;
            Some(format!("expected a command, but found a URL; write: dugong get {}", Readable(url.as_bytes())))
        }
        _ => None,
    }
}

/// The options of curl that this program lacks under that name: the short form, the long form, and the text that names the
/// replacement. Digits are left out, because they are negative numbers: values of the option before them.
const OPTIONS: &[(&str, &str, &str)] = &[
    ("-L", "--location", "redirects are not followed; standard error says where they lead, and you can ask for that"),
    ("", "--location-trusted", "redirects are not followed; standard error says where they lead, and you can ask for that"),
    ("", "--max-redirs", "redirects are not followed; standard error says where they lead, and you can ask for that"),
    ("-k", "--insecure", "certificates are always verified; --cacert FILE trusts one of your own, or its issuer"),
    ("-O", "--remote-name", "-o DIR writes each content into a file in DIR, under the name that its URL ends with"),
    ("", "--remote-name-all", "-o DIR writes each content into a file in DIR, under the name that its URL ends with"),
    ("-J", "--remote-header-name", "-o DIR takes the names of files from the URLs"),
    ("-o", "--output", "dugong get -o DIR writes each content into a file in DIR; for a single file use > FILE"),
    ("", "--create-dirs", "-o DIR makes DIR if it is not there"),
    ("", "--compressed", "content is written as it is sent; leave this out, and servers send it without compression"),
    ("-X", "--request", "there are dugong get and dugong head, for the methods GET and HEAD"),
    ("-I", "--head", "use dugong head, which asks for status lines and fields alone"),
    ("-d", "--data", "requests have no content; there is only GET and HEAD"),
    ("", "--data-raw", "requests have no content; there is only GET and HEAD"),
    ("", "--data-binary", "requests have no content; there is only GET and HEAD"),
    ("", "--data-urlencode", "requests have no content; write the query into the URL, behind a ?"),
    ("-G", "--get", "dugong get always uses GET; write the query into the URL, behind a ?"),
    ("", "--url-query", "write the query into the URL, behind a ?"),
    ("-F", "--form", "requests have no content; there is only GET and HEAD"),
    ("-T", "--upload-file", "requests have no content; there is only GET and HEAD"),
    ("-s", "--silent", "nothing but errors and notes is said, and -q leaves the progress bar out"),
    ("-S", "--show-error", "errors are always shown"),
    ("-#", "--progress-bar", "there is a progress bar where it makes sense; -q leaves it out"),
    ("", "--no-progress-meter", "-q leaves the progress bar out"),
    ("", "--fail", "the content of errors is not written anyway, and the exit code is 1; -f stops at the first error"),
    ("", "--fail-with-body", "--keep-error-bodies writes the content of errors too; the exit code is 1"),
    ("-D", "--dump-header", "--include writes status line and fields before each content; dugong head writes nothing else"),
    ("", "--show-headers", "--include writes status line and fields before each content"),
    ("-u", "--user", "give credentials as a field: -H 'Authorization: Basic ...', with user:password in base64"),
    ("", "--oauth2-bearer", "give the token as a field: -H 'Authorization: Bearer ...'"),
    ("-n", "--netrc", "give credentials as a field: -H 'Authorization: ...'"),
    ("-A", "--user-agent", "give it as a field: -H 'User-Agent: ...'"),
    ("-e", "--referer", "give it as a field: -H 'Referer: ...'"),
    ("-b", "--cookie", "give it as a field: -H 'Cookie: ...'"),
    ("-c", "--cookie-jar", "cookies are not kept; -H 'Cookie: ...' sends some"),
    ("-r", "--range", "give it as a field: -H 'Range: bytes=0-99'"),
    ("-C", "--continue-at", "content is fetched from its beginning; give -H 'Range: bytes=N-' to leave that out"),
    ("-z", "--time-cond", "give it as a field: -H 'If-Modified-Since: ...'"),
    ("-w", "--write-out", "--json tells what came of each URL"),
    ("", "--retry", "when a connection ends between responses, dugong connects again; --json says what else to send again"),
    ("-Z", "--parallel", "many requests are in flight anyway; --depth says how many"),
    ("", "--parallel-max", "--depth says how many requests may be in flight"),
    ("-K", "--config", "-i FILE reads URLs from a file"),
    ("", "--url", "give URLs as arguments, or one a line in a file with -i FILE"),
    ("-g", "--globoff", "URLs are taken as they are: braces and brackets mean nothing in them"),
    ("", "--path-as-is", "URLs are taken as they are"),
    ("", "--http1.0", "requests are always HTTP/1.1"),
    ("", "--http1.1", "requests are always HTTP/1.1"),
    ("", "--http2", "HTTP/1.1 is spoken, and nothing else"),
    ("", "--http3", "HTTP/1.1 is spoken, and nothing else"),
    ("", "--tlsv1", "TLS 1.2 and 1.3 are spoken; the server decides which"),
    ("", "--tlsv1.2", "TLS 1.2 and 1.3 are spoken; the server decides which"),
    ("", "--tlsv1.3", "TLS 1.2 and 1.3 are spoken; the server decides which"),
    ("", "--trace-ascii", "--trace FILE writes down all that is sent and received"),
    ("", "--socks5", "use --proxy socks5://HOST:PORT"),
    ("", "--socks5-hostname", "use --proxy socks5h://HOST:PORT"),
    ("", "--connect-to", "use --resolve HOST:PORT:ADDRESS"),
    ("-y", "--speed-time", "use --timeout SECONDS, which gives up when nothing happens for so long"),
    ("-Y", "--speed-limit", "use --timeout SECONDS, which gives up when nothing happens for so long"),
    ("", "--limit-rate", "there is no limit of speed"),
    ("-N", "--no-buffer", "content is written as it comes"),
    ("-a", "--append", "content is written to standard output; use >> FILE"),
];

/// That no option of the program has an entry: then the entry would lie.
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
    fn options_of_curl_are_answered_by_what_there_is_instead() {
        for (arguments, said) in [
            (&["get", "-L", "http://h/"][..], "there is no option '-L' as curl has it: redirects are not followed"),
            (&["get", "http://h/", "-fsSL"], "'-s' as curl has it: nothing but errors"),
            (&["get", "--compressed", "http://h/"], "content is written as it is sent"),
            (&["get", "--retry=3", "http://h/"], "there is no option '--retry'"),
            (&["head", "-X", "POST", "http://h/"], "there is no option '-X'"),
            (&["head", "-o", "x", "http://h/"], "dugong get -o DIR"),
            (&["http://h/"], "write: dugong get http://h/"),
        ] {
            let advice = advice_for(arguments).unwrap();
            assert!(advice.contains(said), "{advice}");
        }
        assert_eq!(advice_for(&["get", "--no-such-flag"]), None);
    }

    #[test]
    fn no_advice_is_about_an_option_that_there_is() {
        let program = LowArgs::command();
        assert_eq!(entries_of(program.find_subcommand("get").unwrap()), ["-o"]);
        assert!(entries_of(program.find_subcommand("head").unwrap()).is_empty());
        let mut names: Vec<_> = OPTIONS.iter().map(|(_, long, _)| long).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), OPTIONS.len());
    }
}
