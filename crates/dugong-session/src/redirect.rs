//! Redirects (RFC 9110 §15.4): from a request and its 3xx reply to the next request.
//!
//! Three rules are stricter than the RFC's:
//!
//! - Credentials stay with their origin. `Authorization`, `Proxy-Authorization` and `Cookie` are left out of a request to another
//!   origin, even if only the scheme or the port differs; so are the session's `auth` and its signature.
//! - A redirect from `https` to `http` is not followed, because the target of the request, and perhaps its content, were secret.
//! - A `Location` that two readers can understand differently (with blanks, backslashes or user information, or more than one line) is
//!   not followed.
//!
//! A redirect that is not followed is the reply.

use dugong_http::{Fields, Method, Origin, Status};

use crate::auth::is_credential;

/// A request, as far as redirects depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// A path with its query, a whole URL, or `*`.
    pub target: &'a str,
    /// The header fields.
    pub fields: &'a Fields,
    /// Whether the content can be sent again. True for a request without content.
    pub is_repeatable: bool,
}

/// The request that follows a redirect.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    /// The method.
    pub method: Method,
    /// The origin that gets it.
    pub origin: Origin,
    /// A path with its query.
    pub target: String,
    /// The header fields: those of the first request, without what must not or need not go there.
    pub fields: Fields,
    /// Whether the content is sent again.
    pub keeps_content: bool,
}

/// Why a reply is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFollowed {
    /// Its status is none that leads elsewhere.
    NoRedirect,
    /// It has no `Location`.
    NoLocation,
    /// Its `Location` is malformed or ambiguous.
    InvalidLocation,
    /// It leads from `https` to `http`.
    Insecure,
    /// It asks for the content again, which cannot be read twice.
    ReadOnce,
}

/// Finds the request that follows the reply of `origin` to `asked` with this status and these fields.
///
/// # Errors
/// The reason why the reply is not followed.
pub fn follow(asked: Asked<'_>, origin: &Origin, status: Status, reply: &Fields) -> Result<Next, NotFollowed> {
    let method = next_method(asked.method, status).ok_or(NotFollowed::NoRedirect)?;
    let mut locations = reply.get_all_bytes("Location");
    let location = locations.next().ok_or(NotFollowed::NoLocation)?;
    if locations.next().is_some() {
        return Err(NotFollowed::InvalidLocation);
    }
    let (next_origin, target) = resolve(origin, asked.target, location).ok_or(NotFollowed::InvalidLocation)?;
    if origin.is_secure() && !next_origin.is_secure() {
        return Err(NotFollowed::Insecure);
    }
    let keeps_content = method == *asked.method;
    if keeps_content && !asked.is_repeatable {
        return Err(NotFollowed::ReadOnce);
    }
    let crosses = next_origin != *origin;
    let mut fields = Fields::new();
    for line in asked.fields {
        let stays_behind = crosses && (is_credential(line.name()) || line.name().eq_ignore_ascii_case("Host"));
        if !stays_behind && (keeps_content || !is_about_content(line.name())) {
            fields.append(line.name(), line.value()).expect("a line of valid fields is valid");
        }
    }
    Ok(Next { method, origin: next_origin, target, fields, keeps_content })
}

/// Whether the status leads to another place.
pub(crate) fn is_redirect(status: Status) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The method after a redirect with this status; `None` for other statuses.
fn next_method(method: &Method, status: Status) -> Option<Method> {
    match (status.as_u16(), method) {
        (_, &Method::CONNECT) => None,
        (303, &Method::HEAD) => Some(Method::HEAD),
        (303, _) | (301 | 302, &Method::POST) => Some(Method::GET),
        _ => is_redirect(status).then(|| method.clone()),
    }
}

/// Whether the field describes content, and has no place in a request without it (RFC 9110 §15.4).
fn is_about_content(name: &str) -> bool {
    const OTHERS: [&str; 6] = ["Digest", "Repr-Digest", "Last-Modified", "Expect", "Trailer", "Transfer-Encoding"];
    let is_named_so = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
    is_named_so || OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Resolves a `Location` against the URL of its request (RFC 9110 §10.2.2, RFC 3986 §5.2). The fragment is dropped; bytes beyond ASCII
/// are percent-encoded, and all other bytes of the target stay as they are, because it may be signed.
fn resolve(origin: &Origin, target: &str, location: &[u8]) -> Option<(Origin, String)> {
    let location = location.split(|&byte| byte == b'#').next().unwrap_or_default();
    if location.iter().any(|&byte| byte <= b' ' || byte == 0x7f || byte == b'\\') {
        return None;
    }
    let scheme = scheme(location);
    let rest = if scheme == 0 { location } else { &location[scheme + 1..] };
    if rest.starts_with(b"//") {
        let end = rest[2..].iter().position(|byte| b"/?".contains(byte)).map_or(rest.len(), |length| length + 2);
        let before = if scheme > 0 { str::from_utf8(&location[..scheme]).ok()? } else { scheme_of(origin) };
        let authority = str::from_utf8(&rest[..end]).ok()?;
        let (origin, target) = Origin::of_url(&format!("{before}:{authority}{}", encoded(&rest[end..]))).ok()?;
        let (path, query) = split_query(&target);
        return Some((origin, format!("{}{query}", without_dot_segments(path))));
    }
    if scheme > 0 {
        return None;
    }
    let base = if target.starts_with('/') { target.to_owned() } else { path_of_url(target) };
    let (base_path, base_query) = split_query(&base);
    let reference = encoded(location);
    let (path, query) = split_query(&reference);
    let target = if path.is_empty() {
        format!("{base_path}{}", if query.is_empty() { base_query } else { query })
    } else if path.starts_with('/') {
        format!("{}{query}", without_dot_segments(path))
    } else {
        let directory = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
        format!("{}{query}", without_dot_segments(&format!("{directory}{path}")))
    };
    Some((origin.clone(), target))
}

/// The length of the scheme with which the reference begins; 0 if it has none (RFC 3986 §3.1).
fn scheme(reference: &[u8]) -> usize {
    let is_in_scheme = |&byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let end = reference.iter().position(|byte| !is_in_scheme(byte)).unwrap_or(0);
    let begins_well = reference.first().is_some_and(u8::is_ascii_alphabetic);
    if begins_well && reference.get(end) == Some(&b':') { end } else { 0 }
}

fn scheme_of(origin: &Origin) -> &'static str {
    if origin.is_secure() { "https" } else { "http" }
}

/// The path and query of a target that is a whole URL; `/` for other forms.
fn path_of_url(target: &str) -> String {
    Origin::of_url(target).map_or_else(|_| "/".to_owned(), |(_, target)| target)
}

/// Splits a target before its question mark.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// Percent-encodes the bytes beyond ASCII.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii() {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Removes `.` and `..` from an absolute path (RFC 3986 §5.2.4).
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = segment == "." || segment == "..";
        if segment == ".." {
            kept.pop();
        }
        if !is_dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::https("a.example", 443)
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name, value).unwrap();
        }
        fields
    }

    fn names(fields: &Fields) -> Vec<&str> {
        fields.iter().map(|line| line.name()).collect()
    }

    fn resolved(base: &str, location: &str) -> Option<String> {
        let (origin, target) = Origin::of_url(base).unwrap();
        let (origin, target) = resolve(&origin, &target, location.as_bytes())?;
        Some(format!("{origin}{target}"))
    }

    /// Follows a reply to a request for `https://a.example/x` that has credentials and content.
    fn followed(method: Method, status: u16, location: &str) -> Result<Next, NotFollowed> {
        let asked = fields(&[
            ("Accept", "*/*"),
            ("Host", "a.example"),
            ("authorization", "Bearer secret"),
            ("Cookie", "a=b"),
            ("Proxy-Authorization", "Basic secret"),
            ("Content-Type", "text/plain"),
            ("content-md5", "x"),
            ("Expect", "100-continue"),
            ("Repr-Digest", "sha-256=:x:"),
        ]);
        let asked = Asked { method: &method, target: "/x", fields: &asked, is_repeatable: true };
        follow(asked, &origin(), Status::new(status).unwrap(), &fields(&[("Location", location)]))
    }

    #[test]
    fn the_method_changes_as_rfc_9110_says() {
        for (status, method, next) in [
            (301, Method::GET, Method::GET),
            (301, Method::POST, Method::GET),
            (301, Method::PUT, Method::PUT),
            (302, Method::POST, Method::GET),
            (302, Method::DELETE, Method::DELETE),
            (303, Method::POST, Method::GET),
            (303, Method::PUT, Method::GET),
            (303, Method::HEAD, Method::HEAD),
            (307, Method::POST, Method::POST),
            (308, Method::PATCH, Method::PATCH),
        ] {
            let keeps_content = next == method;
            let found = followed(method.clone(), status, "/y").unwrap();
            assert_eq!((&found.method, found.keeps_content, &*found.target), (&next, keeps_content, "/y"), "{status} {method}");
        }
        for status in [200, 201, 300, 304, 305, 306, 309, 404] {
            assert_eq!(followed(Method::GET, status, "/y"), Err(NotFollowed::NoRedirect), "{status}");
        }
        assert_eq!(followed(Method::CONNECT, 307, "/y"), Err(NotFollowed::NoRedirect));
    }

    #[test]
    fn credentials_never_go_to_another_origin() {
        let same = followed(Method::GET, 302, "https://A.example:443/y").unwrap();
        assert_eq!(same.fields.len(), 9);
        for elsewhere in ["https://b.example/", "//b.example/", "https://a.example:444/", "https://a.example.b.example/"] {
            let next = followed(Method::GET, 302, elsewhere).unwrap();
            assert_eq!(names(&next.fields), ["Accept", "Content-Type", "content-md5", "Expect", "Repr-Digest"], "{elsewhere}");
        }
        let asked = fields(&[("Authorization", "Bearer secret")]);
        let asked = Asked { method: &Method::GET, target: "/x", fields: &asked, is_repeatable: true };
        let secure = fields(&[("Location", "https://a.example/x")]);
        let next = follow(asked, &Origin::http("a.example", 80), Status::FOUND, &secure).unwrap();
        assert!(next.origin.is_secure() && next.fields.is_empty());
    }

    #[test]
    fn fields_about_content_are_dropped_with_the_content() {
        let next = followed(Method::POST, 303, "/y").unwrap();
        assert_eq!(names(&next.fields), ["Accept", "Host", "authorization", "Cookie", "Proxy-Authorization"]);
        assert_eq!(followed(Method::POST, 307, "/y").unwrap().fields.len(), 9);
    }

    #[test]
    fn content_that_cannot_be_read_twice_is_not_sent_to_another_place() {
        let (none, location) = (Fields::new(), fields(&[("Location", "/y")]));
        let asked = Asked { method: &Method::POST, target: "/x", fields: &none, is_repeatable: false };
        let follow = |status| follow(asked, &origin(), status, &location);
        assert_eq!(follow(Status::TEMPORARY_REDIRECT), Err(NotFollowed::ReadOnce));
        assert_eq!(follow(Status::SEE_OTHER).map(|next| next.method), Ok(Method::GET));
    }

    #[test]
    fn https_never_leads_to_http() {
        assert_eq!(followed(Method::GET, 302, "http://a.example/x"), Err(NotFollowed::Insecure));
    }

    #[test]
    fn a_location_that_is_missing_or_ambiguous_is_not_followed() {
        let none = Fields::new();
        let asked = Asked { method: &Method::GET, target: "/x", fields: &none, is_repeatable: true };
        let follow = |reply: &[(&str, &str)]| follow(asked, &origin(), Status::FOUND, &fields(reply)).unwrap_err();
        assert_eq!(follow(&[]), NotFollowed::NoLocation);
        assert_eq!(follow(&[("Location", "/a"), ("location", "/b")]), NotFollowed::InvalidLocation);
        for location in [
            "/a b",
            "/a\tb",
            "\\\\b.example/",
            "/\\b.example",
            "https://user:password@b.example/",
            "https://b.example:99999/",
            "https:///x",
            "https://",
            "//",
            "https:/x",
            "https:x",
            "ftp://b.example/",
            "file:///etc/passwd",
            "javascript:x",
            "mailto:a@b.example",
        ] {
            assert_eq!(follow(&[("Location", location)]), NotFollowed::InvalidLocation, "{location}");
        }
    }

    #[test]
    fn references_are_resolved_as_in_rfc_3986() {
        // RFC 3986 §5.4, with a scheme that this crate speaks, and without the fragments.
        for (reference, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("g#s", "http://a/b/c/g"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?y:z", "http://a/b/c/g?y:z"),
        ] {
            assert_eq!(resolved("http://a/b/c/d;p?q", reference).as_deref(), Some(expected), "{reference:?}");
        }
    }

    #[test]
    fn the_bytes_of_a_target_stay_as_they_are() {
        for (location, expected) in [
            ("https://b.example", "https://b.example/"),
            ("https://b.example?x='%7e|{}'", "https://b.example/?x='%7e|{}'"),
            ("//b.example:8443/a//b/%2e%2E/c", "https://b.example:8443/a//b/%2e%2E/c"),
            ("https://b.example/a/../c?d/../e", "https://b.example/c?d/../e"),
            ("/caf\u{e9}?\u{e9}", "https://a.example/caf%C3%A9?%C3%A9"),
            ("https://b\u{fc}cher.example/\u{e9}", "https://xn--bcher-kva.example/%C3%A9"),
        ] {
            assert_eq!(resolved("https://a.example/x/y", location).as_deref(), Some(expected), "{location}");
        }
        let (_, target) = resolve(&origin(), "/x", b"/caf\xe9").unwrap();
        assert_eq!(target, "/caf%E9");
    }

    #[test]
    fn the_target_of_the_request_may_be_a_whole_url_or_an_asterisk() {
        for (target, expected) in [("https://a.example/b/c?d", "/b/g"), ("https://a.example", "/g"), ("*", "/g")] {
            assert_eq!(resolve(&origin(), target, b"g").unwrap().1, expected, "{target}");
        }
    }
}
