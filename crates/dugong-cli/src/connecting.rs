//! Checks the options about connections, which curl has, too, and makes a configuration of the library from them.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dugong_http::transport::tls::TlsSetupError;
use dugong_http::transport::{InvalidProxy, ProxyFault};
use dugong_http::{Config, Origin, Proxy, Tls};

use crate::flags::ConnectArgs;

/// A mistake in an option about connections. None of these contains a password.
#[derive(Debug)]
pub(crate) enum ConnectOptionError {
    /// The value is not a time.
    Seconds {
        option: &'static str,
        text: String,
    },
    /// From `--proxy`, or from the environment variable that the error names.
    Proxy(InvalidProxy),
    /// The value of `--proxy-user` has no colon.
    ProxyUserForm,
    ProxyUser(ProxyFault),
    /// A file with certificates or keys cannot be read.
    File {
        option: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// `--cert` has a password behind the file name, as curl allows.
    CertPassword {
        path: String,
    },
    Tls {
        options: &'static str,
        error: TlsSetupError,
    },
    Resolve {
        text: String,
        fault: ResolveFault,
    },
    UnixSocket {
        path: PathBuf,
        error: io::Error,
    },
    Interface {
        name: String,
        error: io::Error,
    },
    /// `--interface` has an address that does not belong to the family that `--ipv4` or `--ipv6` selects.
    InterfaceFamily {
        name: String,
        option: &'static str,
    },
    /// The host is an address that does not belong to that family.
    Family {
        host: String,
        option: &'static str,
    },
}

/// A mistake in `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResolveFault {
    /// The value does not have three parts.
    Form,
    /// The value has a prefix or wildcard of curl.
    Unsupported(&'static str),
    Port,
    Address(String),
}

/// Adds the options to the configuration of connections to `origin`. It lacks `--max-time`, which limits the run and not one connection.
pub(crate) fn config(base: Config, low: &ConnectArgs, origin: &Origin) -> Result<Config, ConnectOptionError> {
    let mut config = base.timeout(timeout(low)?);
    config = config.establish_timeout(connect_timeout(low)?);
    if let Some(path) = &low.unix_socket {
        // The path may be too long, for example. If no socket is there, connecting finds out.
        std::os::unix::net::SocketAddr::from_pathname(path)
            .map_err(|error| ConnectOptionError::UnixSocket { path: path.clone(), error })?;
        config = config.unix_socket(path);
    }
    let proxy = proxy_for(low, origin)?;
    let next_host = proxy.as_ref().map_or(origin.host(), Proxy::host).to_owned();
    config = config.proxy(proxy).tls(tls(low)?).tcp_keep_alive(low.keepalive_time.map(|time| Duration::from_secs(time.into())));
    for text in &low.resolve {
        let Resolve { host, port, addresses } =
            resolve(text).map_err(|fault| ConnectOptionError::Resolve { text: text.clone(), fault })?;
        config = config.addresses(&host, port, addresses.into_iter().map(|address| SocketAddr::new(address, port)));
    }
    socket(low, &next_host, config)
}

/// The limit of each wait, from `--timeout`.
pub(crate) fn timeout(low: &ConnectArgs) -> Result<Option<Duration>, ConnectOptionError> {
    low.timeout.as_deref().map_or(Ok(Some(TIMEOUT)), |text| seconds("--timeout", text))
}

/// The limit without `--timeout`: longer than servers usually think, and short enough that a script notices a dead one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The limit of connecting, from `--connect-timeout`.
pub(crate) fn connect_timeout(low: &ConnectArgs) -> Result<Option<Duration>, ConnectOptionError> {
    low.connect_timeout.as_deref().map_or(Ok(None), |text| seconds("--connect-timeout", text))
}

/// The limit of the run, from `--max-time`.
pub(crate) fn max_time(text: Option<&str>) -> Result<Option<Duration>, ConnectOptionError> {
    text.map_or(Ok(None), |text| seconds("--max-time", text))
}

/// Parses a time. 0 means no limit.
pub(crate) fn seconds(option: &'static str, text: &str) -> Result<Option<Duration>, ConnectOptionError> {
    let wrong = || ConnectOptionError::Seconds { option, text: text.to_owned() };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(_) if seconds == 0.0 => Ok(None),
        Ok(time) if !time.is_zero() => Ok(Some(time)),
        _ => Err(wrong()),
    }
}

/// The proxy for `origin`, from the options or the environment.
pub(crate) fn proxy_for(low: &ConnectArgs, origin: &Origin) -> Result<Option<Proxy>, ConnectOptionError> {
    proxy(low, origin, std::env::var_os)
}

/// The addresses that `--resolve` gives for a host and a port. The last one counts.
pub(crate) fn given_addresses(low: &ConnectArgs, host: &str, port: u16) -> Option<Vec<IpAddr>> {
    let given = low.resolve.iter().rev().filter_map(|text| resolve(text).ok());
    let mut matching = given.filter(|given| {
        let name = Origin::new(false, &given.host, given.port);
        given.port == port && name.is_ok_and(|name| name.host().eq_ignore_ascii_case(host))
    });
    matching.next().map(|given| given.addresses)
}

/// Finds the proxy in the options, or else in the environment, whose variables `variable` returns.
fn proxy(
    low: &ConnectArgs,
    origin: &Origin,
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<Option<Proxy>, ConnectOptionError> {
    let user = low.proxy_user.as_deref().map(credentials).transpose()?;
    if low.unix_socket.is_some() || low.proxy.as_deref() == Some("") {
        return Ok(None);
    }
    if let Some(url) = &low.proxy {
        // Checked even if no_proxy covers the origin; and the error must name the option.
        Proxy::new(url).map_err(ConnectOptionError::Proxy)?;
    }
    let lookup = |name: &'static str| match (name, &low.noproxy, &low.proxy) {
        ("no_proxy", Some(list), _) => Some(list.into()),
        ("NO_PROXY", Some(_), _) => None,
        ("no_proxy" | "NO_PROXY", None, _) | (_, _, None) => variable(name),
        ("all_proxy", _, Some(url)) => Some(url.into()),
        (_, _, Some(_)) => None,
    };
    let found =
        Proxy::from_variables(origin.is_secure(), origin.host(), origin.port(), lookup).map_err(ConnectOptionError::Proxy)?;
    match (found, user) {
        (Some(proxy), Some((user, password))) if !proxy.has_credentials() => {
            let proxy = proxy.with_credentials(&user, &password);
            Ok(Some(proxy.map_err(|error| ConnectOptionError::ProxyUser(error.fault()))?))
        }
        (found, _) => Ok(found),
    }
}

/// Parses `--proxy-user` into user and password.
fn credentials(text: &str) -> Result<(String, String), ConnectOptionError> {
    let (user, password) = text.split_once(':').ok_or(ConnectOptionError::ProxyUserForm)?;
    let decoded = |text| String::from_utf8(unquoted(text)).map_err(|_| ConnectOptionError::ProxyUser(ProxyFault::Credentials));
    Ok((decoded(user)?, decoded(password)?))
}

/// Decodes percent-encoding. As in curl, a `%` without two digits stays as it is.
fn unquoted(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match after {
            [high, low, after @ ..] if *first == b'%' => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high * 16 + low
                }
                _ => *first,
            },
            _ => *first,
        });
    }
    bytes
}

/// Makes the configuration of TLS: the roots, and the client's certificate.
fn tls(low: &ConnectArgs) -> Result<Tls, ConnectOptionError> {
    let mut tls = Tls::new();
    if let Some(path) = &low.cacert {
        let pem = read("--cacert", path)?;
        tls = tls.roots_pem(&pem).map_err(|error| ConnectOptionError::Tls { options: "--cacert", error })?;
    }
    let Some(path) = &low.cert else { return Ok(tls) };
    let chain = read("--cert", path).map_err(without_password)?;
    let key = low.key.as_ref().map(|path| read("--key", path)).transpose()?;
    tls.client_certificate_pem(&chain, key.as_ref().unwrap_or(&chain)).map_err(|error| {
        use TlsSetupError::{BadCertificate, BadKey, KeyEncrypted, NoCertificate, NoKey};
        let options = match error {
            _ if key.is_none() => "--cert",
            NoCertificate | BadCertificate { .. } => "--cert",
            NoKey | KeyEncrypted | BadKey(_) => "--key",
            _ => "--cert and --key",
        };
        ConnectOptionError::Tls { options, error }
    })
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, ConnectOptionError> {
    std::fs::read(path).map_err(|error| ConnectOptionError::File { option, path: path.to_owned(), error })
}

/// Hides the part of a missing file's name after a colon: as in curl, it may be the password of the key.
fn without_password(error: ConnectOptionError) -> ConnectOptionError {
    match &error {
        ConnectOptionError::File { path, error: why, .. } if why.kind() == io::ErrorKind::NotFound => {
            match path.to_string_lossy().split_once(':') {
                Some((path, _)) => ConnectOptionError::CertPassword { path: path.to_owned() },
                None => error,
            }
        }
        _ => error,
    }
}

/// A parsed `--resolve`.
#[derive(Debug, PartialEq, Eq)]
struct Resolve {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

fn resolve(text: &str) -> Result<Resolve, ResolveFault> {
    for prefix in ["+", "-", "*"] {
        if text.starts_with(prefix) {
            return Err(ResolveFault::Unsupported(prefix));
        }
    }
    let (host, rest) = text.split_once(':').filter(|(host, _)| !host.is_empty()).ok_or(ResolveFault::Form)?;
    let (port, addresses) = rest.split_once(':').ok_or(ResolveFault::Form)?;
    let port = match port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse()) {
        Some(Ok(port)) if port > 0 => port,
        _ => return Err(ResolveFault::Port),
    };
    let address = |text: &str| {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let found = match bare {
            Some(bare) => bare.parse().map(IpAddr::V6),
            None => text.parse(),
        };
        found.map_err(|_| ResolveFault::Address(text.to_owned()))
    };
    let addresses = addresses.split(',').map(address).collect::<Result<_, _>>()?;
    Ok(Resolve { host: host.to_owned(), port, addresses })
}

/// Sets the interface, the source address and the family.
fn socket(low: &ConnectArgs, next_host: &str, mut config: Config) -> Result<Config, ConnectOptionError> {
    // Binding to the unspecified address selects the family, and leaves the choice of the address to the system.
    let family = match (low.ipv4, low.ipv6) {
        (true, _) => Some(("--ipv4", IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
        (_, true) => Some(("--ipv6", IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
        _ => None,
    };
    if let (Some((option, family)), Ok(host)) = (family, next_host.parse::<IpAddr>())
        && family.is_ipv4() != host.is_ipv4()
    {
        return Err(ConnectOptionError::Family { host: next_host.to_owned(), option });
    }
    config = config.source_address(family.map(|(_, address)| address));
    let Some(name) = &low.interface else { return Ok(config) };
    let wrong = |error| ConnectOptionError::Interface { name: name.clone(), error };
    let Ok(address) = name.parse::<IpAddr>() else {
        check_interface(name).map_err(wrong)?;
        return Ok(config.interface(&**name));
    };
    if let Some((option, family)) = family
        && family.is_ipv4() != address.is_ipv4()
    {
        return Err(ConnectOptionError::InterfaceFamily { name: name.clone(), option });
    }
    // Binding a UDP socket sends nothing.
    UdpSocket::bind((address, 0)).map_err(wrong)?;
    Ok(config.source_address(address))
}

/// Returns an error if this machine has no such interface.
#[cfg(target_os = "linux")]
fn check_interface(name: &str) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    rustix::net::netdevice::name_to_index(&socket, name)?;
    Ok(())
}

/// Refuses each name, as the library does on this system.
#[cfg(not(target_os = "linux"))]
fn check_interface(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl fmt::Display for ConnectOptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectOptionError::Seconds { option, text } => write!(f, "{option} {text:?}: expected seconds, such as 10 or 0.5"),
            ConnectOptionError::Proxy(error) if error.variable().is_some() => write!(f, "the environment: {error}"),
            ConnectOptionError::Proxy(error) => write!(f, "--proxy: {error}"),
            ConnectOptionError::ProxyUserForm => f.write_str("--proxy-user: expected the form USER:PASSWORD"),
            ConnectOptionError::ProxyUser(fault) => write!(f, "--proxy-user: not usable: {fault}"),
            ConnectOptionError::File { option, path, error } => write!(f, "{option}: cannot read {}: {error}", path.display()),
            ConnectOptionError::CertPassword { path } => write!(
                f,
                "--cert: no such file; a password behind the file name ({path:?} and a colon) is not supported: decrypt the key \
                 first, for example with `openssl pkey`"
            ),
            ConnectOptionError::Tls { options, error } => {
                write!(f, "{options}: {error}")?;
                std::error::Error::source(error).map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            ConnectOptionError::Resolve { text, fault } => write!(f, "--resolve {text:?}: {fault}"),
            ConnectOptionError::UnixSocket { path, error } => {
                write!(f, "--unix-socket {:?}: {error}", path.display().to_string())
            }
            ConnectOptionError::Interface { name, error } => write!(f, "--interface {name:?}: {error}"),
            ConnectOptionError::InterfaceFamily { name, option } => {
                write!(f, "--interface {name:?}: this address does not fit {option}")
            }
            ConnectOptionError::Family { host, option } => write!(f, "{option}: {host} belongs to the other family"),
        }
    }
}

impl fmt::Display for ResolveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveFault::Form => f.write_str("expected the form HOST:PORT:ADDRESS[,ADDRESS]"),
            ResolveFault::Unsupported(sign) => write!(f, "a leading {sign:?}, as in curl, is not supported"),
            ResolveFault::Port => f.write_str("the port is not a number from 1 to 65535"),
            ResolveFault::Address(text) => write!(f, "{text:?} is not an address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_are_decimal_numbers() {
        for (text, expected) in [("10", 10.0), ("0.5", 0.5), ("3.", 3.0), (".25", 0.25)] {
            assert_eq!(seconds("-m", text).unwrap(), Some(Duration::from_secs_f64(expected)), "{text}");
        }
        for text in ["0", "0.0", "00"] {
            assert_eq!(seconds("-m", text).unwrap(), None, "{text}");
        }
        for text in ["", ".", "-1", "+1", "1e3", "inf", "nan", " 1", "1s", "1.2.3", "99999999999999999999999", "0.0000000001"] {
            assert!(seconds("-m", text).is_err(), "{text}");
        }
        for (text, limit) in [(None, Some(30)), (Some("0"), None), (Some("7"), Some(7))] {
            let low = ConnectArgs { timeout: text.map(str::to_owned), ..ConnectArgs::default() };
            assert_eq!(timeout(&low).unwrap(), limit.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn resolve_takes_addresses_for_a_host_and_a_port() {
        for (text, host, port, addresses) in [
            ("a.example:443:127.0.0.1", "a.example", 443, &["127.0.0.1"][..]),
            ("A.example:1:::1", "A.example", 1, &["::1"]),
            ("a:65535:[::1],127.0.0.1,fe80::2", "a", 65535, &["::1", "127.0.0.1", "fe80::2"]),
        ] {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(resolve(text), Ok(Resolve { host: host.to_owned(), port, addresses }), "{text}");
        }
        for (text, fault) in [
            ("", ResolveFault::Form),
            ("a", ResolveFault::Form),
            ("a:80", ResolveFault::Form),
            (":80:127.0.0.1", ResolveFault::Form),
            ("a:0:127.0.0.1", ResolveFault::Port),
            ("a:+80:127.0.0.1", ResolveFault::Port),
            ("a::127.0.0.1", ResolveFault::Port),
            ("a:65536:127.0.0.1", ResolveFault::Port),
            ("a:80:", ResolveFault::Address(String::new())),
            ("a:80:127.0.0.1,", ResolveFault::Address(String::new())),
            ("a:80:b", ResolveFault::Address("b".to_owned())),
            ("a:80:[127.0.0.1]", ResolveFault::Address("[127.0.0.1]".to_owned())),
            ("*:80:127.0.0.1", ResolveFault::Unsupported("*")),
            ("+a:80:127.0.0.1", ResolveFault::Unsupported("+")),
            ("-a:80", ResolveFault::Unsupported("-")),
        ] {
            assert_eq!(resolve(text), Err(fault), "{text}");
        }
    }

    /// Finds the proxy for `http://a.example` with these options, and an environment in the form `name=value;…`.
    fn found(options: &[(&str, &str)], environment: &str) -> Result<String, String> {
        let option = |name| options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.to_string());
        let low =
            ConnectArgs { proxy: option("-x"), proxy_user: option("-U"), noproxy: option("--noproxy"), ..ConnectArgs::default() };
        let variable = |name: &str| {
            let set = environment.split(';').filter_map(|one| one.split_once('='));
            set.filter(|(set, _)| *set == name).map(|(_, value)| value.into()).next()
        };
        let proxy = proxy(&low, &Origin::http("a.example", 80), variable).map_err(|error| error.to_string())?;
        Ok(proxy.map_or("none".to_owned(), |proxy| format!("{proxy:?}")))
    }

    #[test]
    fn options_win_over_the_environment() {
        for (options, environment, expected) in [
            (&[][..], "", "none"),
            (&[], "http_proxy=e:1", "Proxy(http://e:1)"),
            (&[], "http_proxy=e:1;no_proxy=a.example", "none"),
            (&[("-x", "o:1")], "", "Proxy(http://o:1)"),
            (&[("-x", "o:1")], "http_proxy=e:1;HTTP_PROXY=e:1;all_proxy=e:1;REQUEST_METHOD=GET", "Proxy(http://o:1)"),
            (&[("-x", "")], "http_proxy=e:1", "none"),
            // As in curl, the no_proxy of the environment applies to the option, too.
            (&[("-x", "o:1")], "NO_PROXY=a.example", "none"),
            (&[("-x", "o:1"), ("--noproxy", "")], "NO_PROXY=a.example", "Proxy(http://o:1)"),
            (&[("-x", "o:1"), ("--noproxy", "b.example")], "no_proxy=a.example", "Proxy(http://o:1)"),
            (&[("-x", "o:1"), ("--noproxy", "b.example,a.example")], "", "none"),
            (&[("--noproxy", "*")], "http_proxy=e:1", "none"),
            (&[("--noproxy", "b.example")], "http_proxy=e:1;no_proxy=*;NO_PROXY=*", "Proxy(http://e:1)"),
            // Credentials in the URL win over the option.
            (&[("-x", "o:1"), ("-U", "user:secret")], "", "Proxy(http://o:1, with credentials)"),
            (&[("-U", "user:secret")], "http_proxy=e:1", "Proxy(http://e:1, with credentials)"),
            (&[("-U", "user:secret")], "", "none"),
        ] {
            assert_eq!(found(options, environment).as_deref(), Ok(expected), "{options:?} {environment}");
        }
    }

    #[test]
    fn no_error_contains_a_password() {
        for (options, environment, expected) in [
            (
                &[("-x", "http://u:secret@o:x")][..],
                "",
                "--proxy: this is not a usable proxy: its port is not a number from 1 to 65535",
            ),
            (
                &[("-x", "https://u:secret@o")],
                "",
                "--proxy: this is not a usable proxy: TLS to the proxy itself is not supported",
            ),
            (
                &[("-x", "secret://o")],
                "no_proxy=*",
                "--proxy: this is not a usable proxy: its scheme is not http, socks5 or socks5h",
            ),
            (
                &[],
                "all_proxy=u:secret@",
                "the environment: all_proxy is not a usable proxy: its host is not a name or an address (IPv6 in brackets)",
            ),
            (&[("-U", "secret")], "", "--proxy-user: expected the form USER:PASSWORD"),
            (&[("-U", "a%3ab:secret"), ("-x", "o")], "", "--proxy-user: not usable: its user name contains a colon"),
            (
                &[("-U", "a:secret%ff")],
                "",
                "--proxy-user: not usable: its credentials are not UTF-8, not properly quoted, or contain control characters",
            ),
            (
                &[("-U", ":secret"), ("-x", "socks5://o")],
                "",
                "--proxy-user: not usable: SOCKS needs user name and password of 1 to 255 bytes",
            ),
        ] {
            assert_eq!(found(options, environment).unwrap_err(), expected);
        }
    }

    #[test]
    fn credentials_are_percent_decoded_where_they_are_encoded() {
        for (text, user, password) in [
            ("a:b", "a", "b"),
            (":", "", ""),
            ("a:b:c", "a", "b:c"),
            ("a%40b:c%20d%3a", "a@b", "c d:"),
            ("50%off:x%", "50%off", "x%"),
            ("%c3%a4:%4", "\u{e4}", "%4"),
        ] {
            assert_eq!(credentials(text).unwrap(), (user.to_owned(), password.to_owned()), "{text}");
        }
    }

    #[test]
    fn errors_name_the_option_and_its_value() {
        let origin = Origin::http("127.0.0.1", 80);
        let error = |low: ConnectArgs| config(Config::new(), &low, &origin).unwrap_err().to_string();
        let none = ConnectArgs::default;
        assert_eq!(
            error(ConnectArgs { resolve: strings(&["a:1:127.0.0.1", "+a:1:127.0.0.1"]), ..none() }),
            "--resolve \"+a:1:127.0.0.1\": a leading \"+\", as in curl, is not supported"
        );
        assert!(error(ConnectArgs { unix_socket: Some("x".repeat(200).into()), ..none() }).starts_with("--unix-socket \"xxx"));
        let interface = |name: &str| Some(name.to_owned());
        assert!(
            error(ConnectArgs { interface: interface("no-such-one"), ..none() }).starts_with("--interface \"no-such-one\": ")
        );
        assert!(error(ConnectArgs { interface: interface("192.0.2.1"), ..none() }).starts_with("--interface \"192.0.2.1\": "));
        let error_6 = error(ConnectArgs { ipv4: true, interface: interface("::1"), ..none() });
        assert_eq!(error_6, "--interface \"::1\": this address does not fit --ipv4");
        assert_eq!(error(ConnectArgs { ipv6: true, ..none() }), "--ipv6: 127.0.0.1 belongs to the other family");
    }
}
