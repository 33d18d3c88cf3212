//! Finds the proxy that the environment names for an origin, as curl does.

use std::ffi::OsString;
use std::net::IpAddr;

use super::{InvalidProxy, Proxy, ProxyFault};
use crate::names::host_name;

impl Proxy {
    /// Returns the proxy that the environment names for an origin, if it names one. `secure` is set for origins that use TLS.
    /// `host` is a name, or an address without brackets.
    ///
    /// The variables are those of curl, and `HTTP_PROXY`, which curl does not know: `http_proxy` is for origins without TLS,
    /// `https_proxy` for those with it, and `all_proxy` for both if the specific one is not set. Each is looked up in lower
    /// case, then in capitals; an empty value means no proxy. `HTTP_PROXY` in capitals does not count in a CGI program (where
    /// `REQUEST_METHOD` is set), because there the client of the web server sets it with the field `Proxy`.
    ///
    /// `no_proxy` lists origins that are reached without a proxy, separated by commas or blanks: `*` for all; a name, which
    /// includes its subdomains, with or without `.` or `*.` before it; an address, IPv6 also in brackets; a block of addresses
    /// such as `10.0.0.0/8`. A name or an address may end with `:` and a port, and then means that port only. Other entries are
    /// skipped. Names are compared as text: a block does not match a name that has an address in it.
    ///
    /// # Errors
    /// The variable that counts is not a [proxy](Proxy::new). The error names the variable.
    pub fn from_environment(secure: bool, host: &str, port: u16) -> Result<Option<Self>, InvalidProxy> {
        Proxy::from_variables(secure, host, port, std::env::var_os)
    }

    /// Like [`from_environment`](Proxy::from_environment), but asks `lookup` for the variables. Use it if options of your
    /// program override some of them.
    ///
    /// # Errors
    /// As for [`from_environment`](Proxy::from_environment).
    pub fn from_variables(
        secure: bool,
        host: &str,
        port: u16,
        lookup: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Option<Self>, InvalidProxy> {
        proxy_for(secure, host, port, lookup)
    }
}

fn proxy_for(
    secure: bool,
    host: &str,
    port: u16,
    lookup: impl Fn(&'static str) -> Option<OsString>,
) -> Result<Option<Proxy>, InvalidProxy> {
    let first = |names: &[&'static str]| {
        let found = names.iter().find_map(|&name| lookup(name).filter(|value| !value.is_empty()).map(|value| (name, value)));
        found.map(|(name, value)| match value.into_string() {
            Ok(text) => Ok((name, text)),
            Err(_) => Err(InvalidProxy::from(ProxyFault::Encoding).in_variable(name)),
        })
    };
    let names: &[&str] = match (secure, lookup("REQUEST_METHOD")) {
        (true, _) => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        (false, None) => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        (false, Some(_)) => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let Some(proxy) = first(names) else { return Ok(None) };
    if let Some(list) = first(&["no_proxy", "NO_PROXY"])
        && is_excepted(&list?.1, host, port)
    {
        return Ok(None);
    }
    let (variable, url) = proxy?;
    Proxy::new(&url).map(Some).map_err(|error| error.in_variable(variable))
}

/// Whether a list of exceptions has an origin.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let address = address(host);
    let host = &*host_name::normal_if_valid(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    list.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((block, length)) = entry.split_once('/') {
            return address.is_some_and(|address| is_in_block(address, block, length));
        }
        let (name, only) = split_port(entry);
        if only.is_some_and(|only| only.parse() != Ok(port)) {
            return false;
        }
        match address {
            Some(address) => self::address(name) == Some(address),
            None => is_in_domain(host, &host_name::a_labels(name).unwrap_or(name.into())),
        }
    })
}

/// An entry's host, and its port if it has one.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let is_bare_ipv6 = !entry.starts_with('[') && entry.matches(':').count() > 1;
    match entry.rsplit_once(':') {
        Some((host, port)) if !is_bare_ipv6 && !port.ends_with(']') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// Whether `host` is the domain of an entry, or in it.
fn is_in_domain(host: &str, entry: &str) -> bool {
    let domain = entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry);
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let Some(start) = host.len().checked_sub(domain.len()) else { return false };
    // Compare bytes: the host may be beyond ASCII, and a domain could begin inside one of its characters.
    let (before, end) = host.as_bytes().split_at(start);
    !domain.is_empty() && end.eq_ignore_ascii_case(domain.as_bytes()) && before.last().is_none_or(|&byte| byte == b'.')
}

/// Whether an address begins with the same `length` bits as the address of a block (RFC 4632 §3.1).
fn is_in_block(address: IpAddr, block: &str, length: &str) -> bool {
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let (Some(block), Ok(length)) = (self::address(block), length.parse::<u32>()) else { return false };
    let (differing, bits) = match (address, block) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()) << 96, 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    length <= bits && differing.leading_zeros() >= length
}

/// Parses a host as an address, with or without brackets, and drops its zone.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.split('%').next()?.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// Looks up the proxy for `http://example.org`, or `https`, in an environment written as in a shell.
    fn found(secure: bool, environment: &str) -> Result<Option<String>, String> {
        proxy_in(environment, secure, "example.org", if secure { 443 } else { 80 })
    }

    fn proxy_in(environment: &str, secure: bool, host: &str, port: u16) -> Result<Option<String>, String> {
        let lookup = |name: &'static str| {
            let set = environment.split(';').filter_map(|one| one.split_once('='));
            set.filter(|(set, _)| *set == name).map(|(_, value)| value.into()).next()
        };
        let proxy = proxy_for(secure, host, port, lookup);
        proxy.map(|proxy| proxy.map(|proxy| proxy.host().to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_specific_variable_comes_first_and_lower_case_before_capitals() {
        for (environment, plain, secure) in [
            ("", None, None),
            ("http_proxy=a", Some("a"), None),
            ("HTTP_PROXY=a", Some("a"), None),
            ("https_proxy=a", None, Some("a")),
            ("HTTPS_PROXY=a", None, Some("a")),
            ("all_proxy=a", Some("a"), Some("a")),
            ("ALL_PROXY=a", Some("a"), Some("a")),
            ("http_proxy=a;HTTP_PROXY=b;https_proxy=c;HTTPS_PROXY=d;all_proxy=e;ALL_PROXY=f", Some("a"), Some("c")),
            ("HTTP_PROXY=b;HTTPS_PROXY=d;all_proxy=e;ALL_PROXY=f", Some("b"), Some("d")),
            ("all_proxy=e;ALL_PROXY=f", Some("e"), Some("e")),
            // An empty variable does not count.
            ("http_proxy=;HTTP_PROXY=b", Some("b"), None),
            ("http_proxy=;all_proxy=a", Some("a"), Some("a")),
            // In a CGI program, the client of the web server could have set the variable.
            ("REQUEST_METHOD=GET;HTTP_PROXY=evil;HTTPS_PROXY=d", None, Some("d")),
            ("REQUEST_METHOD=GET;HTTP_PROXY=evil;ALL_PROXY=f", Some("f"), Some("f")),
            ("REQUEST_METHOD=GET;http_proxy=a", Some("a"), None),
            ("REQUEST_METHOD=;HTTP_PROXY=evil", None, None),
            // Exceptions.
            ("all_proxy=a;no_proxy=example.org", None, None),
            ("all_proxy=a;NO_PROXY=example.org", None, None),
            ("all_proxy=a;no_proxy=;NO_PROXY=example.org", None, None),
            ("all_proxy=a;no_proxy=other;NO_PROXY=example.org", Some("a"), Some("a")),
            ("all_proxy=a;no_proxy=example.org:443", Some("a"), None),
            // A variable that does not count may be wrong.
            ("http_proxy=a;HTTP_PROXY=:;https_proxy=b;all_proxy=:", Some("a"), Some("b")),
            ("all_proxy=:;no_proxy=*", None, None),
        ] {
            let expected = [plain, secure].map(|host| Ok(host.map(str::to_owned)));
            assert_eq!([found(false, environment), found(true, environment)], expected, "{environment}");
        }
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named_and_its_value_is_not() {
        let error = found(false, "all_proxy=http://alice:secret@h:port").unwrap_err();
        assert_eq!(error, "all_proxy is not a usable proxy: its port is not a number from 1 to 65535");
        let error = proxy_for(true, "h", 1, |name| (name == "HTTPS_PROXY").then(|| OsString::from_vec(b"h\xff".to_vec())));
        assert_eq!(error.unwrap_err().to_string(), "HTTPS_PROXY is not a usable proxy: it is not text");
    }

    #[test]
    fn no_proxy_lists_names_addresses_blocks_and_ports() {
        for (list, host, port, expected) in [
            ("*", "example.org", 80, true),
            ("a *", "::1", 80, true),
            ("**", "example.org", 80, false),
            // Names and their subdomains.
            ("example.org", "example.org", 80, true),
            ("EXAMPLE.org", "example.ORG", 80, true),
            ("example.org", "www.example.org", 80, true),
            (".example.org", "www.example.org", 80, true),
            (".example.org", "example.org", 80, true),
            ("*.example.org", "a.b.example.org", 80, true),
            ("example.org", "badexample.org", 80, false),
            (".example.org", "badexample.org", 80, false),
            ("www.example.org", "example.org", 80, false),
            ("*ample.org", "example.org", 80, false),
            ("example.org.", "example.org", 80, true),
            ("example.org", "example.org.", 80, true),
            (".", "example.org", 80, false),
            ("", "example.org", 80, false),
            ("org", "example.org", 80, true),
            ("\u{f6}", "\u{e4}\u{f6}.org", 80, false),
            ("b6", "\u{f6}", 80, false),
            ("b\u{fc}cher.example", "xn--bcher-kva.example", 80, true),
            ("xn--bcher-kva.example", "B\u{fc}cher.example", 80, true),
            ("*.b\u{fc}cher.example:80", "www.b\u{fc}cher.example", 80, true),
            ("fass.de", "fa\u{df}.de", 80, false),
            // Separators.
            ("a,example.org", "example.org", 80, true),
            ("a, example.org ,b", "example.org", 80, true),
            ("a example.org\tb\n", "example.org", 80, true),
            (",, ,", "example.org", 80, false),
            // Ports.
            ("example.org:80", "example.org", 80, true),
            ("example.org:80", "www.example.org", 80, true),
            ("example.org:80", "example.org", 81, false),
            ("example.org:", "example.org", 81, false),
            ("example.org:x,", "example.org", 81, false),
            // Addresses.
            ("127.0.0.1", "127.0.0.1", 80, true),
            ("127.0.0.1:80", "127.0.0.1", 80, true),
            ("127.0.0.1:80", "127.0.0.1", 81, false),
            ("0.0.1", "127.0.0.1", 80, false),
            ("::1", "::1", 80, true),
            ("[::1]", "::1", 80, true),
            ("::1", "[::1]", 80, true),
            ("0:0::0001", "::1", 80, true),
            ("[::1]:80", "::1", 80, true),
            ("[::1]:80", "::1", 81, false),
            ("fe80::1", "fe80::1%eth0", 80, true),
            ("127.0.0.1", "::ffff:127.0.0.1", 80, true),
            ("::1", "::2", 80, false),
            // Blocks.
            ("10.0.0.0/8", "10.255.0.1", 80, true),
            ("10.1.2.3/8", "10.255.0.1", 80, true),
            ("10.0.0.0/8", "11.0.0.1", 80, false),
            ("10.0.0.0/9", "10.128.0.1", 80, false),
            ("10.0.0.1/32", "10.0.0.1", 80, true),
            ("10.0.0.1/32", "10.0.0.0", 80, false),
            ("0.0.0.0/0", "10.0.0.0", 80, true),
            ("0.0.0.0/0", "::1", 80, false),
            ("fe80::/10", "febf::1", 80, true),
            ("fe80::/10", "fec0::1", 80, false),
            ("::/0", "::1", 80, true),
            ("::1/128", "::1", 80, true),
            ("10.0.0.0/33", "10.0.0.0", 80, false),
            ("10.0.0.0/", "10.0.0.0", 80, false),
            ("10.0.0.0/+8", "10.0.0.0", 80, false),
            ("0.0.0.0/0", "example.org", 80, false),
        ] {
            assert_eq!(is_excepted(list, host, port), expected, "{list:?} for {host} and port {port}");
        }
    }
}
