//! Where a server is: scheme, host and port of a URL (RFC 9110 §4).

use std::borrow::Cow;
use std::fmt;

use http::Uri;

use crate::names::host_name;
use crate::names::resolve::ResolveError;

/// The origin of a resource: a scheme, a host and a port (RFC 9110 §4.3.1).
///
/// ```
/// use dugong_net::Origin;
/// let (origin, target) = Origin::of_url("https://example.org/a?b=c")?;
/// assert_eq!((origin.host(), origin.port(), &*target), ("example.org", 443, "/a?b=c"));
/// assert_eq!(origin, Origin::https("example.org", 443));
/// assert_eq!(origin.host_field(), "example.org");
/// assert!(Origin::of_url("ftp://example.org/").is_err());
/// # Ok::<(), dugong_net::InvalidUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

/// A URL that cannot be used, and the reason. It does not keep anything that may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    url: String,
    why: &'static str,
}

impl InvalidUrl {
    /// Makes an error about `url`. The message ends with `why`.
    #[must_use]
    pub fn new(url: &str, why: &'static str) -> Self {
        InvalidUrl { url: without_user_information(url), why }
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a usable URL: {}", self.url, self.why)?;
        match self.why {
            NO_SCHEME if !self.url.is_empty() && !self.url.starts_with(['/', ':']) => {
                write!(f, "; write {:?} or {:?}", format!("http://{}", self.url), format!("https://{}", self.url))
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for InvalidUrl {}

impl Origin {
    /// Makes an `http` origin from a host (a name or an address) and a port. An invalid host is an error when you connect; use
    /// [`new`](Origin::new) to find out before.
    #[must_use]
    pub fn http(host: impl Into<String>, port: u16) -> Self {
        Origin::unchecked(false, host.into(), port)
    }

    /// Makes an `https` origin from a host and a port.
    #[must_use]
    pub fn https(host: impl Into<String>, port: u16) -> Self {
        Origin::unchecked(true, host.into(), port)
    }

    fn unchecked(secure: bool, host: String, port: u16) -> Self {
        Origin { secure, host: host_name::normal_if_valid(&host).into_owned(), port }
    }

    /// Makes an origin from a host and a port, `https` if it is `secure`.
    ///
    /// ```
    /// use dugong_net::Origin;
    /// assert_eq!(Origin::new(false, "b\u{fc}cher.example", 80)?.host(), "xn--bcher-kva.example");
    /// let error = Origin::new(false, "example.org:80", 80).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#""example.org:80" is not a host name: it ends with a port; give the port by itself"#
    /// );
    /// # Ok::<(), dugong_net::ResolveError>(())
    /// ```
    ///
    /// # Errors
    /// [`NotAName`](ResolveError::NotAName) if the host is neither a name nor an address.
    pub fn new(secure: bool, host: &str, port: u16) -> Result<Self, ResolveError> {
        match host_name::normal(host) {
            Ok(normal) => Ok(Origin { secure, host: normal.into_owned(), port }),
            Err(why) => Err(ResolveError::NotAName { host: host.into(), why }),
        }
    }

    /// Splits an absolute `http` or `https` URL into the origin and the request target: path and query. A fragment is dropped,
    /// because clients never send it (RFC 9110 §4.2.5). The host may be a name beyond ASCII, as it is or percent-encoded (RFC
    /// 3986 §3.2.2).
    ///
    /// # Errors
    /// The URL is invalid, has another scheme or no host, or contains user information, which has no place in a request (RFC
    /// 9110 §4.2.4).
    pub fn of_url(url: &str) -> Result<(Self, String), InvalidUrl> {
        let invalid = |why| InvalidUrl::new(url, why);
        let without_fragment = url.split('#').next().unwrap_or(url);
        if !without_fragment.contains("://") {
            return Err(invalid(NO_SCHEME));
        }
        let ascii = with_a_labels(without_fragment).map_err(invalid)?;
        if !ascii.is_ascii() {
            return Err(invalid("it contains characters beyond ASCII; percent-encode them"));
        }
        let is_blank = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
        let uri: Uri = ascii.parse().map_err(|_| match ascii.bytes().any(is_blank) {
            true => invalid("it contains a blank or a control character, which a path has percent-encoded"),
            false => invalid("it is malformed"),
        })?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(invalid("its scheme is neither http nor https")),
            None => return Err(invalid(NO_SCHEME)),
        };
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it contains user information"));
        }
        let (host, port) = host_and_port(authority.as_str()).map_err(invalid)?;
        let port = port.unwrap_or_else(|| default_port(secure));
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('?') { format!("/{target}") } else { target.to_owned() };
        Ok((Origin { secure, host, port }, target))
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: a name, with A-labels if it is beyond ASCII (`xn--bcher-kva.example`), or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as certificates name it: an address without its zone, a name without the dot of the root (RFC 6066 §3).
    #[must_use]
    pub fn server_name(&self) -> &str {
        let name = host_name::without_zone(&self.host);
        name.strip_suffix('.').unwrap_or(name)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` field: IPv6 in brackets, and the port unless it is the default of the scheme (RFC 9110 §7.2).
    /// The zone of an IPv6 address is left out, because it has a meaning on this machine only (RFC 6874 §4).
    #[must_use]
    pub fn host_field(&self) -> String {
        let port = if self.port == default_port(self.secure) { String::new() } else { format!(":{}", self.port) };
        format!("{}{port}", host_name::in_authority(&self.host))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.host_field())
    }
}

/// The origin of an absolute URI.
impl TryFrom<&Uri> for Origin {
    type Error = InvalidUrl;

    fn try_from(uri: &Uri) -> Result<Self, InvalidUrl> {
        Ok(Origin::of_url(&uri.to_string())?.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Writes the host of a URL in ASCII; the rest stays as it is.
fn with_a_labels(url: &str) -> Result<Cow<'_, str>, &'static str> {
    let start = url.find("://").map_or(0, |end| end + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |length| start + length);
    let authority = &url[start..end];
    let is_plain = authority.is_ascii() && !authority.contains('%');
    // User information is refused later. Addresses are ASCII, and a percent sign in brackets begins a zone.
    if start == 0 || is_plain || authority.contains(['@', '[']) {
        return Ok(url.into());
    }
    let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    let decoded = percent_decoded(name).ok_or(HOST)?;
    let name = host_name::a_labels(&decoded).map_err(|_| HOST)?;
    host_name::check(&name).map_err(|_| HOST)?;
    Ok(format!("{}{name}{port}{}", &url[..start], &url[end..]).into())
}

/// Decodes percent-encoding. Returns `None` if a percent sign lacks its two digits, or if the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

/// Splits an authority without user information into host and port (RFC 3986 §3.2.2): a name, an IPv4 address, or an IPv6
/// address in brackets.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (literal, rest) = literal.split_once(']').ok_or(HOST)?;
            let host = host_name::ipv6(literal).ok_or(HOST)?;
            let (address, zone) = host.split_at(host.find('%').unwrap_or(host.len()));
            let host = format!("{}{zone}", address.to_ascii_lowercase());
            (host, if rest.is_empty() { "" } else { rest.strip_prefix(':').ok_or(HOST)? })
        }
        None => {
            let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
            if name.is_empty() {
                return Err("it has no host");
            }
            host_name::check(name).map_err(|_| HOST)?;
            (name.to_ascii_lowercase(), port)
        }
    };
    match port {
        "" => Ok((host, None)),
        port if port.bytes().all(|b| b.is_ascii_digit()) => match port.parse() {
            Ok(port) => Ok((host, Some(port))),
            Err(_) => Err("its port is not a number up to 65535"),
        },
        _ => Err("its port is not a number up to 65535"),
    }
}

/// Replaces user information by `***`, even where it is not quoted properly.
fn without_user_information(url: &str) -> String {
    let (before, rest) = url.split_at(url.find("://").map_or(0, |end| end + 3));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    // Text in the place of a port that is not a number may be the beginning of a password.
    let may_go_on = authority.split_once(':').is_some_and(|(_, port)| !port.bytes().all(|byte| byte.is_ascii_digit()));
    match if may_go_on { rest.rfind('@') } else { authority.rfind('@') } {
        Some(end) => format!("{before}***{}", &rest[end..]),
        None => url.to_owned(),
    }
}

const NO_SCHEME: &str = "it does not begin with http:// or https://";
const HOST: &str = "its host is neither a name nor an address (IPv6 in brackets)";

/// RFC 9110 §4.2.1, §4.2.2.
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_urls() {
        for (url, field, target) in [
            ("http://a.example", "a.example", "/"),
            ("http://a.example:80/x", "a.example", "/x"),
            ("http://a.example:8080?q", "a.example:8080", "/?q"),
            ("HTTP://[::1]:81/x?y#z", "[::1]:81", "/x?y"),
            ("http://A.Example/X", "a.example", "/X"),
            ("http://127.0.0.1/#top", "127.0.0.1", "/"),
            ("https://a.example/x", "a.example", "/x"),
            ("https://a.example:443/", "a.example", "/"),
            ("https://a.example:80/", "a.example:80", "/"),
            ("http://a.example:443/", "a.example:443", "/"),
        ] {
            let (origin, found) = Origin::of_url(url).unwrap();
            assert_eq!((origin.host_field().as_str(), found.as_str()), (field, target), "{url}");
        }
    }

    #[test]
    fn certificates_know_no_zone_and_no_dot_of_the_root() {
        for (host, name) in [("a.example.", "a.example"), ("a.example", "a.example"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")]
        {
            assert_eq!(Origin::https(host, 443).server_name(), name);
        }
    }

    #[test]
    fn a_host_beyond_ascii_is_written_as_a_labels() {
        for (url, field, target) in [
            ("http://b\u{fc}cher.example", "xn--bcher-kva.example", "/"),
            ("https://fa\u{df}.de:8080/x?y#\u{fc}", "xn--fa-hia.de:8080", "/x?y"),
            ("http://b%C3%BCcher.example/%C3%BC", "xn--bcher-kva.example", "/%C3%BC"),
            ("http://%61.example/", "a.example", "/"),
        ] {
            let (origin, found) = Origin::of_url(url).unwrap();
            assert_eq!((origin.host_field().as_str(), found.as_str()), (field, target), "{url}");
        }
        assert_eq!(Origin::http("B\u{fc}cher.example", 80), Origin::http("xn--bcher-kva.example", 80));
        for url in
            ["http://\u{fffd}/", "http://a%2Fb/", "http://a%/", "http://%FF.example/", "http://a%20b/", "http://b\u{fc} c/"]
        {
            let error = Origin::of_url(url).unwrap_err().to_string();
            assert!(error.ends_with("its host is neither a name nor an address (IPv6 in brackets)"), "{error}");
        }
    }

    #[test]
    fn the_zone_of_an_address_is_nothing_for_the_server() {
        assert_eq!(Origin::http("fe80::1%eth0", 80).host_field(), "[fe80::1]");
        assert_eq!(Origin::https("fe80::1%eth0", 80).host_field(), "[fe80::1]:80");
        for url in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            assert_eq!(Origin::of_url(url).unwrap().0, Origin::http("fe80::1%eth0", 80));
        }
    }

    #[test]
    fn bad_urls_are_named_with_the_reason() {
        for url in [
            "",
            "a.example/x",
            "/x",
            "https:///x",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://h:99999/",
            "http://h:99999/@x",
            "http://h:x/",
            "http://h:+80/",
            "http://a b/",
            "http://[localhost].evil.example:80/",
            "http://[localhost]x:80/",
            "http://[localhost]:80/",
            "http://[127.0.0.1]:80/",
            "http://[v1.x]:80/",
            "http://[::1]x/",
            "http://[::1].example:80/",
            "http://[::1/",
            "http://::1/",
            "http://[fe80::1%]/",
            "http://local,host/",
            "http://a..b/",
            "http://./",
            "http://h/\u{e4}",
        ] {
            let error = Origin::of_url(url).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{url:?} is not a usable URL: ")), "{error}");
        }
    }

    #[test]
    fn a_blank_in_a_url_is_named() {
        for url in ["http://a b/", "http://a/b c", "http://a/b\tc", "http://a/b\nc"] {
            let error = Origin::of_url(url).unwrap_err().to_string();
            assert!(error.contains("a blank or a control character"), "{error}");
        }
    }

    #[test]
    fn user_information_is_not_shown() {
        for (url, shown) in [
            ("http://alice:secret@h/x", "http://***@h/x"),
            ("http://alice@h", "http://***@h"),
            ("http://alice:se@cret@h:1/", "http://***@h:1/"),
            ("http://alice:secret/@h/", "http://***@h/"),
            ("http://alice:x?secret#@h/", "http://***@h/"),
            ("alice:secret@h", "***@h"),
            ("ftp://alice:secret@h", "ftp://***@h"),
        ] {
            let error = Origin::of_url(url).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{shown:?} is not a usable URL")), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
