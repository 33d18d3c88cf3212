//! Takes URLs apart, as browsers and curl do.

use dugong_http::{Method, Origin, RequestHead};

use crate::usage::{Fault, Source, UsageError};

/// Splits a URL into its origin and the target of a request.
pub(crate) fn parse(url: &str, source: &Source) -> Result<(Origin, String), UsageError> {
    // Browsers trim URLs, too.
    let url = url.trim();
    let form = |fault| UsageError::Form { source: source.clone(), url: url.to_owned(), fault };
    let (origin, target) = match Origin::of_url(&quoted(url)) {
        Ok(parts) => parts,
        Err(error) => {
            return Err(match fault(url) {
                Some(fault) => form(fault),
                // The error must quote the URL as it was given.
                None => UsageError::Url { source: source.clone(), error: Origin::of_url(url).err().unwrap_or(error) },
            });
        }
    };
    if let Some(fault) = fault(url) {
        return Err(form(fault));
    }
    if let Err(misuse) = RequestHead::new(Method::GET, &*target) {
        return Err(UsageError::Target { source: source.clone(), url: url.to_owned(), misuse: Box::new(misuse) });
    }
    Ok((origin, target))
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
