//! Hosts as text: whether a host is an address or can be a name, and which resolvers may be asked for it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use idna::AsciiDenyList;

use super::system_resolver::{Refusal, numeric};

/// Parses `host` as an address. Returns `None` if it is not one, and an error if this system does not have its zone.
pub(super) fn literal(host: &str, port: u16) -> Option<Result<SocketAddr, Refusal>> {
    match host.split_once('%') {
        None => Some(Ok(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))),
        Some((address, _)) => {
            address.parse::<Ipv6Addr>().ok()?;
            Some(numeric(host, port))
        }
    }
}

/// Returns the form of `host` that resolvers, servers and proxies know: a name beyond ASCII as A-labels, and an IPv6 address
/// without the brackets of a URL. A name in ASCII stays as it is written.
///
/// # Errors
/// The host is neither a name nor an address.
pub fn normal(host: &str) -> Result<Cow<'_, str>, NotAName> {
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Some(address) = ipv6(literal)
    {
        return Ok(address);
    }
    if is_address(host) {
        // The zone reaches the system's resolver, which takes no NUL, and messages.
        return match host.chars().find(|&character| character.is_control() || character.is_whitespace()) {
            Some(character) => Err(NotAName::Character(character)),
            None => Ok(host.into()),
        };
    }
    if host.contains("://") {
        return Err(NotAName::Scheme);
    }
    if host.rsplit_once(':').is_some_and(|(name, port)| {
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port && (!name.contains(':') || name.ends_with(']'))
    }) {
        return Err(NotAName::Port);
    }
    let name = a_labels(host)?;
    check(&name)?;
    Ok(name)
}

/// Returns the normal form of `host`, or `host` itself if it is invalid, so that a later step refuses it.
#[must_use]
pub fn normal_if_valid(host: &str) -> Cow<'_, str> {
    normal(host).unwrap_or(Cow::Borrowed(host))
}

/// Writes a name beyond ASCII with A-labels (RFC 5890 §2.3.2.1). The mapping is UTS #46 without its transition from IDNA 2003:
/// `faß.de` and `fass.de` are two names, which may have two owners.
pub(crate) fn a_labels(name: &str) -> Result<Cow<'_, str>, NotAName> {
    if name.is_ascii() {
        return Ok(name.into());
    }
    // Our own rules check the ASCII characters afterwards.
    idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::EMPTY).map_err(|_| NotAName::Encoding)
}

/// Parses the address in the brackets of a URL. Its zone may be written as in RFC 6874 §2, or as systems write it.
pub(crate) fn ipv6(literal: &str) -> Option<Cow<'_, str>> {
    let Some((address, zone)) = literal.split_once('%') else {
        return literal.parse::<Ipv6Addr>().ok().map(|_| literal.into());
    };
    address.parse::<Ipv6Addr>().ok()?;
    match zone.strip_prefix("25") {
        Some(zone) if !zone.is_empty() => Some(format!("{address}%{zone}").into()),
        _ if zone.is_empty() => None,
        _ => Some(literal.into()),
    }
}

/// Returns `host` as a URL has it before a port: an IPv6 address in brackets, without its zone, which has a meaning on this
/// machine only (RFC 6874 §4).
#[must_use]
pub fn in_authority(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{}]", without_zone(host)).into() } else { host.into() }
}

/// Returns `host` without the zone of an IPv6 address.
#[must_use]
pub fn without_zone(host: &str) -> &str {
    if host.contains(':') { host.split('%').next().unwrap_or(host) } else { host }
}

/// Whether `host` has the form of an address. Its zone need not exist.
#[must_use]
pub fn is_address(host: &str) -> bool {
    match host.split_once('%') {
        None => host.parse::<IpAddr>().is_ok(),
        Some((address, _)) => address.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Checks that `host` can be a name. Resolvers must not see other text, because they disagree about it: some cut it, some take
/// escapes.
pub(crate) fn check(host: &str) -> Result<(), NotAName> {
    // The final dot stands for the root.
    let name = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(NotAName::Empty);
    }
    // The standards have no underscores in host names, but the world has.
    let is_allowed = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if let Some(character) = host.chars().find(|character| !is_allowed(character)) {
        return Err(NotAName::Character(character));
    }
    if name.split('.').any(str::is_empty) {
        return Err(NotAName::EmptyLabel);
    }
    if name.split('.').any(|label| label.len() > 63) {
        return Err(NotAName::LabelTooLong);
    }
    if name.len() > 253 {
        return Err(NotAName::TooLong);
    }
    Ok(())
}

/// Why a host cannot be a name (RFC 1035 §2.3.4, RFC 1123 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAName {
    /// It is empty.
    Empty,
    /// A label is empty: before, behind or between dots. One dot at the end is allowed.
    EmptyLabel,
    /// A part between dots has more than 63 bytes.
    LabelTooLong,
    /// It has more than 253 bytes.
    TooLong,
    /// This is neither a letter nor a digit, `-`, `_` or `.`.
    Character(char),
    /// A letter beyond ASCII, or a combination of letters, that host names must not have (UTS #46).
    Encoding,
    /// It is a URL. Give the host alone.
    Scheme,
    /// It ends with a port. Give the port by itself.
    Port,
}

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAName::Empty => f.write_str("it is empty"),
            NotAName::EmptyLabel => f.write_str("a part of it between dots is empty"),
            NotAName::LabelTooLong => f.write_str("it has a part of more than 63 bytes"),
            NotAName::TooLong => f.write_str("it has more than 253 bytes"),
            NotAName::Character(character) => write!(f, "it contains {character:?}"),
            NotAName::Encoding => f.write_str("it contains letters that host names must not have (IDNA)"),
            NotAName::Scheme => f.write_str("it is a URL; give the host alone"),
            NotAName::Port => f.write_str("it ends with a port; give the port by itself"),
        }
    }
}

/// The resolvers for a name about which the system's resolver, always the first to be asked, gave an ambiguous answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// None: the name means this host, unless the system's configuration says otherwise. Resolvers should know that, and never
    /// ask name servers (RFC 6761 §6.3), but those of systems without a file of hosts do not.
    Loopback,
    /// None: the name does not exist. `invalid` is reserved for that (RFC 6761 §6.4). No top-level domain is a number (RFC 1123
    /// §2.1), so a number there is an address with a mistake in it.
    NonExistent,
    /// Not name servers, which must not learn these names: `local` is for multicast (RFC 6762 §22.1), `onion` for Tor (RFC
    /// 7686), `alt` for others (RFC 9476). If the system's resolver knows such a way, its answer stands.
    NotInDns,
    /// The name servers. That includes `test` and `example`, which get no special treatment (RFC 6761 §6.2, §6.5).
    Other,
}

impl Kind {
    pub(super) fn of(host: &str) -> Self {
        let name = host.strip_suffix('.').unwrap_or(host);
        let top = name.rsplit('.').next().unwrap_or(name);
        let is = |other: &str| top.eq_ignore_ascii_case(other);
        if is("localhost") {
            Kind::Loopback
        } else if is("invalid") || top.bytes().all(|byte| byte.is_ascii_digit()) {
            Kind::NonExistent
        } else if is("local") || is("onion") || is("alt") {
            Kind::NotInDns
        } else {
            Kind::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names() {
        for host in ["127.0.0.1", "::1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let address = literal(host, 80).unwrap().unwrap();
            assert_eq!((address.ip(), address.port()), (host.parse().unwrap(), 80));
        }
        for host in ["", "a", "127.1", "1", "[::1]", "127.0.0.1%lo", "::1::", "%", "a%lo", "127.0.0.1."] {
            assert!(literal(host, 80).is_none(), "{host}");
        }
    }

    #[test]
    fn a_zone_is_a_number_or_the_name_of_an_interface() {
        let SocketAddr::V6(address) = literal("fe80::1%7", 80).unwrap().unwrap() else { panic!() };
        assert_eq!((address.scope_id(), address.port()), (7, 80));
        assert!(matches!(literal("fe80::1%lo", 80), Some(Ok(SocketAddr::V6(address))) if address.scope_id() != 0));
        for host in ["fe80::1%no-such-interface", "fe80::1%", "::1%lo\0", "fe80::1%lo%lo"] {
            assert!(literal(host, 80).unwrap().is_err(), "{host:?}");
        }
    }

    #[test]
    fn invalid_names_are_refused_with_the_reason() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        for host in ["a", "a.b", "a.b.", "x-y_z.example", "xn--bcher-kva.example", "1.2.3", &long, &format!("{long}.")] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for (host, why) in [
            ("", NotAName::Empty),
            (".", NotAName::EmptyLabel),
            ("..", NotAName::EmptyLabel),
            (".a", NotAName::EmptyLabel),
            ("a..b", NotAName::EmptyLabel),
            ("a..", NotAName::EmptyLabel),
            ("a\0b", NotAName::Character('\0')),
            ("a b", NotAName::Character(' ')),
            ("b\u{fc}cher", NotAName::Character('\u{fc}')),
            ("a\\.b", NotAName::Character('\\')),
            ("[::1]", NotAName::Character('[')),
            (&"a".repeat(64), NotAName::LabelTooLong),
            (&format!("{long}e"), NotAName::TooLong),
        ] {
            assert_eq!(check(host), Err(why), "{host:?}");
        }
    }

    #[test]
    fn names_beyond_ascii_are_written_as_idna_2008_has_it() {
        for (host, expected) in [
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.Example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example.", "xn--bcher-kva.example."),
            // IDNA 2003 gives "fass.de", and by another dot "xn--fiq228c5hs.example".
            ("fa\u{df}.de", "xn--fa-hia.de"),
            ("\u{4e2d}\u{6587}\u{3002}example", "xn--fiq228c.example"),
            ("\u{3bf}\u{3b4}\u{3cc}\u{3c2}.gr", "xn--pxavk3b.gr"),
            ("\u{1f4a9}.la", "xn--ls8h.la"),
            ("\u{ff41}.example", "a.example"),
            ("Example.ORG", "Example.ORG"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[fe80::1%25lo]", "fe80::1%lo"),
            ("[fe80::1%lo]", "fe80::1%lo"),
            ("fe80::1%lo", "fe80::1%lo"),
        ] {
            assert_eq!(normal(host).as_deref(), Ok(expected), "{host}");
        }
    }

    #[test]
    fn invalid_hosts_are_refused_with_the_reason() {
        for (host, why) in [
            ("", NotAName::Empty),
            (" localhost", NotAName::Character(' ')),
            ("a\nb", NotAName::Character('\n')),
            ("fe80::1%l o", NotAName::Character(' ')),
            ("http://h", NotAName::Scheme),
            ("https://b\u{fc}cher.example/", NotAName::Scheme),
            ("h:80", NotAName::Port),
            ("127.0.0.1:80", NotAName::Port),
            ("[::1]:80", NotAName::Port),
            ("b\u{fc}cher.example:80", NotAName::Port),
            ("h:", NotAName::Character(':')),
            ("[h]", NotAName::Character('[')),
            ("[::1%]", NotAName::Character('[')),
            ("a/b", NotAName::Character('/')),
            // The mapping gives "a/c".
            ("\u{2100}.example", NotAName::Character('/')),
            ("\u{fc}..example", NotAName::EmptyLabel),
            ("xn--\u{fc}.example", NotAName::Encoding),
            ("\u{fffd}.example", NotAName::Encoding),
        ] {
            assert_eq!(normal(host), Err(why), "{host:?}");
        }
    }

    #[test]
    fn names_that_are_not_for_name_servers_are_known() {
        for (host, kind) in [
            ("localhost", Kind::Loopback),
            ("a.LOCALHOST.", Kind::Loopback),
            ("a.invalid", Kind::NonExistent),
            ("256.1.1.1", Kind::NonExistent),
            ("printer.local", Kind::NotInDns),
            ("a.onion", Kind::NotInDns),
            ("a.alt", Kind::NotInDns),
            ("notlocalhost", Kind::Other),
            ("localhost.example", Kind::Other),
            ("a.test", Kind::Other),
            ("1a", Kind::Other),
        ] {
            assert_eq!(Kind::of(host), kind, "{host}");
        }
    }
}
