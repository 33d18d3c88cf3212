//! What can be known of a host by looking at it: whether it is an address, can be a name, and who may be asked for it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::resolve::NotAName;
use super::system_resolver::{Refusal, numeric};

/// The address that `host` is, if it is one; an error if its zone is none of this system's.
pub(super) fn literal(host: &str, port: u16) -> Option<Result<SocketAddr, Refusal>> {
    match host.split_once('%') {
        None => Some(Ok(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))),
        Some((address, _)) => {
            address.parse::<Ipv6Addr>().ok()?;
            Some(numeric(host, port))
        }
    }
}

/// Whether `host` can be a name. What nobody should look up is kept from the resolvers, which disagree about it: some cut names,
/// some take escapes.
pub(super) fn check(host: &str) -> Result<(), NotAName> {
    // The dot of the root.
    let name = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(NotAName::Empty);
    }
    // Underscores are in no host name of the standards, but in many of the world.
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

/// Who can be asked for a name when the system's resolver, which always is asked first, could not say what is the matter with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody: it is this host, wherever nothing else is configured. Resolvers should always know that, and never ask name servers
    /// (RFC 6761 §6.3), but those of systems without a file of hosts do not.
    Loopback,
    /// Nobody: there is no such name. `invalid` is reserved for that (RFC 6761 §6.4), and no top-level domain is a number
    /// (RFC 1123 §2.1), so that this is an address with a mistake in it.
    NonExistent,
    /// Not name servers, which could only be told what is none of their business: `local` is for multicast (RFC 6762 §22.1),
    /// `onion` for Tor (RFC 7686), `alt` for others (RFC 9476). If the system's resolver knows such a way, what it says stands.
    NotInDns,
    /// The name servers. That includes `test` and `example`, which are to be treated like any other (RFC 6761 §6.2, §6.5).
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
    fn what_cannot_be_a_name_is_refused_with_the_reason() {
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
