//! The address of a proxy, and the credentials for it.

use std::fmt;
use std::net::Ipv6Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::names::host_name;

mod environment;

/// A proxy: its protocol, host and port, and perhaps credentials, which are never shown.
///
/// ```
/// use dugong_net::{Proxy, ProxyKind};
/// let proxy = Proxy::new("http://user:pass%20word@proxy.example:3128")?;
/// assert_eq!((proxy.kind(), proxy.host(), proxy.port()), (ProxyKind::Http, "proxy.example", 3128));
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// # Ok::<(), dugong_net::InvalidProxy>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: ProxyKind,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyKind {
    /// HTTP/1.1: requests with absolute targets, and tunnels.
    Http,
    /// SOCKS version 5 (RFC 1928). Needs the feature `socks`.
    Socks5 {
        /// The proxy resolves names (`socks5h`); otherwise the client does (`socks5`).
        remote_names: bool,
    },
}

/// The user of a proxy.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: String,
}

/// Why a text is not a usable proxy. The text is not kept, because it may contain a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy {
    variable: Option<&'static str>,
    fault: ProxyFault,
}

/// The fault of a text that should be a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The bytes are not text.
    Encoding,
    /// The scheme is not `http`, `socks5` or `socks5h`.
    Scheme,
    /// `https`: TLS to the proxy itself.
    OverTls,
    /// SOCKS, in a program that was built without it.
    WithoutSocks,
    /// The host is missing or invalid.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// A path, query or fragment follows the port.
    Path,
    /// The credentials have `%` without two hexadecimal digits, are not UTF-8, or have control characters.
    Credentials,
    /// The user name contains a colon, which Basic cannot express (RFC 7617 §2).
    Colon,
    /// A user name or password for SOCKS is empty or longer than 255 bytes (RFC 1929 §2).
    CredentialsLength,
}

impl Proxy {
    /// Parses the URL of a proxy: `http://`, `socks5://` (the client resolves names) or `socks5h://` (the proxy does), then
    /// perhaps `user:password@`, then host and port. Credentials are percent-decoded: before the last `@`, quote `/`, `?`, `#`
    /// and `%`.
    ///
    /// As for curl, the default scheme is `http`, and the default port is 1080 for any scheme.
    ///
    /// # Errors
    /// The text is not such a URL; see [`ProxyFault`].
    pub fn new(url: &str) -> Result<Self, InvalidProxy> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let kind = kind_of(scheme)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        if !matches!(&rest[authority.len()..], "" | "/") {
            return Err(ProxyFault::Path.into());
        }
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo).filter(|userinfo| !userinfo.is_empty()), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        let proxy = Proxy { kind, host, port, credentials: None };
        let Some(userinfo) = userinfo else { return Ok(proxy) };
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        proxy.with_credentials(&decoded(user)?, &decoded(password)?)
    }

    /// Replaces the credentials.
    ///
    /// # Errors
    /// They cannot be sent: [`ProxyFault::Credentials`], [`ProxyFault::Colon`] or [`ProxyFault::CredentialsLength`].
    pub fn with_credentials(self, user: &str, password: &str) -> Result<Self, InvalidProxy> {
        let both = [user, password];
        if both.iter().any(|text| text.contains(char::is_control)) {
            return Err(ProxyFault::Credentials.into());
        }
        match self.kind {
            ProxyKind::Http if user.contains(':') => return Err(ProxyFault::Colon.into()),
            ProxyKind::Socks5 { .. } if !both.iter().all(|text| (1..=255).contains(&text.len())) => {
                return Err(ProxyFault::CredentialsLength.into());
            }
            ProxyKind::Http | ProxyKind::Socks5 { .. } => {}
        }
        Ok(Proxy { credentials: Some(Credentials { user: user.into(), password: password.into() }), ..self })
    }

    /// The protocol of the proxy.
    #[must_use]
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// The host: a name or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the proxy has credentials.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The user name and the password, if the proxy has credentials.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|Credentials { user, password }| (&**user, &**password))
    }

    /// The value of `Proxy-Authorization`, if the proxy has credentials: Basic (RFC 7617), in UTF-8.
    #[must_use]
    pub fn authorization(&self) -> Option<String> {
        let Credentials { user, password } = self.credentials.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// Returns the protocol of a scheme.
fn kind_of(scheme: &str) -> Result<ProxyKind, ProxyFault> {
    match &*scheme.to_ascii_lowercase() {
        "http" => Ok(ProxyKind::Http),
        "https" => Err(ProxyFault::OverTls),
        "socks5" | "socks5h" if cfg!(not(feature = "socks")) => Err(ProxyFault::WithoutSocks),
        "socks5" => Ok(ProxyKind::Socks5 { remote_names: false }),
        "socks5h" => Ok(ProxyKind::Socks5 { remote_names: true }),
        _ => Err(ProxyFault::Scheme),
    }
}

/// Splits `host[:port]`.
fn host_and_port(place: &str) -> Result<(String, u16), ProxyFault> {
    let (host, port) = match place.strip_prefix('[') {
        Some(literal) => {
            let (literal, rest) = literal.split_once(']').ok_or(ProxyFault::Host)?;
            (address_of(literal)?, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or(ProxyFault::Port)?)
        }
        None => {
            let (name, port) = place.split_once(':').unwrap_or((place, ""));
            let name = host_name::a_labels(name).map_err(|_| ProxyFault::Host)?;
            host_name::check(&name).map_err(|_| ProxyFault::Host)?;
            (name.to_ascii_lowercase(), port)
        }
    };
    match port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse()) {
        _ if port.is_empty() => Ok((host, DEFAULT_PORT)),
        Some(Ok(port)) if port > 0 => Ok((host, port)),
        _ => Err(ProxyFault::Port),
    }
}

/// Parses the address in brackets, with a zone as RFC 6874 or systems write it.
fn address_of(literal: &str) -> Result<String, ProxyFault> {
    let (address, zone) = match literal.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (literal, None),
    };
    let zone_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let address: Ipv6Addr = address.parse().map_err(|_| ProxyFault::Host)?;
    match zone {
        None => Ok(address.to_string()),
        Some(zone) if !zone.is_empty() && zone.bytes().all(zone_byte) => Ok(format!("{address}%{zone}")),
        Some(_) => Err(ProxyFault::Host),
    }
}

/// Decodes the percent-encoding of user information.
fn decoded(text: &str) -> Result<String, ProxyFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(ProxyFault::Credentials);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| ProxyFault::Credentials)
}

/// The default of curl, for proxies of any kind.
const DEFAULT_PORT: u16 = 1080;

impl fmt::Display for Proxy {
    /// The URL, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 { remote_names: false } => "socks5",
            ProxyKind::Socks5 { remote_names: true } => "socks5h",
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}{})", if self.has_credentials() { ", with credentials" } else { "" })
    }
}

impl InvalidProxy {
    /// The environment variable that names the proxy, if it came from one.
    #[must_use]
    pub fn variable(&self) -> Option<&'static str> {
        self.variable
    }

    /// The fault.
    #[must_use]
    pub fn fault(&self) -> ProxyFault {
        self.fault
    }
}

impl InvalidProxy {
    /// Adds the name of the environment variable.
    pub(super) fn in_variable(self, variable: &'static str) -> Self {
        InvalidProxy { variable: Some(variable), ..self }
    }
}

impl From<ProxyFault> for InvalidProxy {
    fn from(fault: ProxyFault) -> Self {
        InvalidProxy { variable: None, fault }
    }
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.variable.unwrap_or("this");
        write!(f, "{what} is not a usable proxy: {}", self.fault)
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyFault::Encoding => "it is not text",
            ProxyFault::Scheme => "its scheme is not http, socks5 or socks5h",
            ProxyFault::OverTls => "TLS to the proxy itself is not supported",
            ProxyFault::WithoutSocks => "this program was built without SOCKS",
            ProxyFault::Host => "its host is not a name or an address (IPv6 in brackets)",
            ProxyFault::Port => "its port is not a number from 1 to 65535",
            ProxyFault::Path => "something follows host and port",
            ProxyFault::Credentials => "its credentials are not UTF-8, not properly quoted, or contain control characters",
            ProxyFault::Colon => "its user name contains a colon",
            ProxyFault::CredentialsLength => "SOCKS needs user name and password of 1 to 255 bytes",
        })
    }
}

impl std::error::Error for InvalidProxy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str) -> ProxyFault {
        Proxy::new(url).unwrap_err().fault()
    }

    #[test]
    fn the_url_of_a_proxy_has_defaults() {
        for (url, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://Proxy.Example:3128/", "http://proxy.example:3128"),
            ("proxy.example:3128", "http://proxy.example:3128"),
            ("user:secret@proxy.example:3128", "http://proxy.example:3128"),
            ("http://proxy", "http://proxy:1080"),
            ("http://proxy:", "http://proxy:1080"),
            ("http://@proxy:1", "http://proxy:1"),
            ("http://127.0.0.1:65535", "http://127.0.0.1:65535"),
            ("http://B\u{fc}cher.example:81", "http://xn--bcher-kva.example:81"),
            ("[::1]:81", "http://[::1]:81"),
            ("http://[FE80::1%25eth0]:81", "http://[fe80::1%eth0]:81"),
            ("http://[fe80::1%eth0]", "http://[fe80::1%eth0]:1080"),
        ] {
            assert_eq!(Proxy::new(url).unwrap().to_string(), shown, "{url}");
        }
    }

    #[test]
    fn the_error_names_the_fault_of_a_proxy() {
        for (url, expected) in [
            ("", ProxyFault::Host),
            ("http://", ProxyFault::Host),
            ("http://:3128", ProxyFault::Host),
            ("http://a b:1", ProxyFault::Host),
            ("http://h\u{fffd}st:1", ProxyFault::Host),
            ("http://h\r\n:1", ProxyFault::Host),
            ("http://[::1:1", ProxyFault::Host),
            ("http://[127.0.0.1]:1", ProxyFault::Host),
            ("http://[fe80::1%]:1", ProxyFault::Host),
            ("http://[::1]1", ProxyFault::Port),
            ("http://::1:3128", ProxyFault::Host),
            ("http://h:0", ProxyFault::Port),
            ("http://h:65536", ProxyFault::Port),
            ("http://h:+80", ProxyFault::Port),
            ("http://h:80:81", ProxyFault::Port),
            ("http://u:p/w@h:80", ProxyFault::Path),
            ("http://h:80/path", ProxyFault::Path),
            ("http://h:80?query", ProxyFault::Path),
            ("https://h:80", ProxyFault::OverTls),
            ("ftp://h:80", ProxyFault::Scheme),
            ("socks4://h:80", ProxyFault::Scheme),
            ("http://u%:p@h", ProxyFault::Credentials),
            ("http://u%4x:p@h", ProxyFault::Credentials),
            ("http://u%ff:p@h", ProxyFault::Credentials),
            ("http://u:p%0d%0a@h", ProxyFault::Credentials),
            ("http://u%3a:p@h", ProxyFault::Colon),
        ] {
            assert_eq!(fault(url), expected, "{url}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_sent_as_basic() {
        // The second is the example of RFC 7617 §2, the third is from §2.1.
        for (url, expected) in [
            ("http://h", None),
            ("http://Aladdin:open%20sesame@h", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://test:123%C2%A3@h", Some("Basic dGVzdDoxMjPCow==")),
            ("http://user@h", Some("Basic dXNlcjo=")),
            ("http://:pass@h", Some("Basic OnBhc3M=")),
            ("http://u:p:@@h", Some("Basic dTpwOkA=")),
        ] {
            assert_eq!(Proxy::new(url).unwrap().authorization().as_deref(), expected, "{url}");
        }
        let other = Proxy::new("http://a:b@h").unwrap().with_credentials("user", "").unwrap();
        assert_eq!(other.authorization().as_deref(), Some("Basic dXNlcjo="));
    }

    #[test]
    fn credentials_are_never_shown() {
        let proxy = Proxy::new("http://alice:secret@h:1").unwrap();
        let shown = format!("{proxy} {proxy:?} {proxy:#?}");
        assert!(shown.contains("with credentials"));
        let faulty = ["http://alice:secret@h:x", "alice:secret", "alice:secret://h", "http://alice:secret@", "http://h/@secret"];
        let errors = faulty.map(|url| Proxy::new(url).unwrap_err());
        let shown = errors.iter().fold(shown, |shown, error| format!("{shown} {error} {error:?}"));
        assert!(!shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }

    #[cfg(feature = "socks")]
    #[test]
    fn socks_proxies_resolve_names_or_do_not() {
        for (url, shown, remote_names) in
            [("socks5://u:p@h", "socks5://h:1080", false), ("SOCKS5H://u%3a:p@h:1", "socks5h://h:1", true)]
        {
            let proxy = Proxy::new(url).unwrap();
            assert_eq!((proxy.kind(), &*proxy.to_string()), (ProxyKind::Socks5 { remote_names }, shown));
        }
        let long = "x".repeat(256);
        for (user, password) in [("", "p"), ("u", ""), (&*long, "p"), ("u", &*long)] {
            let refused = Proxy::new("socks5://h").unwrap().with_credentials(user, password);
            assert_eq!(refused.unwrap_err().fault(), ProxyFault::CredentialsLength);
        }
        assert!(Proxy::new("socks5://h").unwrap().with_credentials(&long[1..], &long[1..]).is_ok());
    }

    #[cfg(not(feature = "socks"))]
    #[test]
    fn without_socks_its_proxies_are_refused() {
        assert_eq!((fault("socks5://h"), fault("SOCKS5h://h")), (ProxyFault::WithoutSocks, ProxyFault::WithoutSocks));
    }
}
