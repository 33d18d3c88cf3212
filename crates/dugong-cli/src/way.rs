//! The way to the server: names of curl's, checked, and made a configuration of the library.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dugong_http::transport::tls::TlsSetupError;
use dugong_http::transport::{InvalidProxy, ProxyFault};
use dugong_http::{Config, Origin, Proxy, Tls};

use crate::flags::WayArgs;

/// What is wrong with an option about the way. None of this has a password in it.
#[derive(Debug)]
pub(crate) enum WayError {
    /// Not a time.
    Seconds {
        option: &'static str,
        text: String,
    },
    /// `--proxy`, or a variable of the environment, which the error names.
    Proxy(InvalidProxy),
    /// `--proxy-user` without a colon.
    ProxyUserForm,
    ProxyUser(ProxyFault),
    /// A file of certificates or keys.
    File {
        option: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// `--cert` with a password behind the file, as curl has it.
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
    /// `--interface` with an address that is not of the family that was asked for.
    InterfaceFamily {
        name: String,
        option: &'static str,
    },
    /// An address of the other family in the place of a host.
    Family {
        host: String,
        option: &'static str,
    },
}

/// What is wrong with a `--resolve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResolveFault {
    /// Not three parts.
    Form,
    /// A prefix or wildcard that curl has.
    Unsupported(&'static str),
    Port,
    Address(String),
}

/// How to reach `origin`. `whole` is not part of it: that is the limit of the run, not of a connection.
pub(crate) fn config(low: &WayArgs, origin: &Origin) -> Result<Config, WayError> {
    let mut config = Config::new();
    config = config.timeout(timeout(low)?);
    if let Some(text) = &low.connect_timeout {
        config = config.establish_timeout(seconds("--connect-timeout", text)?);
    }
    if let Some(path) = &low.unix_socket {
        // Too long, for example; whether there is one is seen when it is connected to.
        std::os::unix::net::SocketAddr::from_pathname(path)
            .map_err(|error| WayError::UnixSocket { path: path.clone(), error })?;
        config = config.unix_socket(path);
    }
    let proxy = proxy(low, origin, std::env::var_os)?;
    let next_host = proxy.as_ref().map_or(origin.host(), Proxy::host).to_owned();
    config = config.proxy(proxy).tls(tls(low)?).tcp_keep_alive(low.keepalive_time.map(|time| Duration::from_secs(time.into())));
    for text in &low.resolve {
        let Resolve { host, port, addresses } = resolve(text).map_err(|fault| WayError::Resolve { text: text.clone(), fault })?;
        config = config.addresses(&host, port, addresses.into_iter().map(|address| SocketAddr::new(address, port)));
    }
    socket(low, &next_host, config)
}

/// The limit of each wait.
pub(crate) fn timeout(low: &WayArgs) -> Result<Option<Duration>, WayError> {
    let Some(text) = &low.timeout else { return Ok(None) };
    let limit = seconds("--timeout", text)?;
    limit.map(Some).ok_or_else(|| WayError::Seconds { option: "--timeout", text: text.clone() })
}

/// The limit of the run.
pub(crate) fn max_time(low: &WayArgs) -> Result<Option<Duration>, WayError> {
    low.max_time.as_deref().map_or(Ok(None), |text| seconds("--max-time", text))
}

/// A time; 0 is none.
fn seconds(option: &'static str, text: &str) -> Result<Option<Duration>, WayError> {
    let wrong = || WayError::Seconds { option, text: text.to_owned() };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(_) if seconds == 0.0 => Ok(None),
        Ok(time) if !time.is_zero() => Ok(Some(time)),
        _ => Err(wrong()),
    }
}

/// The proxy, by the options, or by an environment in which `variable` finds the variables.
fn proxy(low: &WayArgs, origin: &Origin, variable: impl Fn(&'static str) -> Option<OsString>) -> Result<Option<Proxy>, WayError> {
    let user = low.proxy_user.as_deref().map(credentials).transpose()?;
    if low.unix_socket.is_some() || low.proxy.as_deref() == Some("") {
        return Ok(None);
    }
    if let Some(url) = &low.proxy {
        // By its own name, also if no_proxy has the origin in it.
        Proxy::new(url).map_err(WayError::Proxy)?;
    }
    let lookup = |name: &'static str| match (name, &low.noproxy, &low.proxy) {
        ("no_proxy", Some(list), _) => Some(list.into()),
        ("NO_PROXY", Some(_), _) => None,
        ("no_proxy" | "NO_PROXY", None, _) | (_, _, None) => variable(name),
        ("all_proxy", _, Some(url)) => Some(url.into()),
        (_, _, Some(_)) => None,
    };
    let found = Proxy::from_variables(origin.is_secure(), origin.host(), origin.port(), lookup).map_err(WayError::Proxy)?;
    match (found, user) {
        (Some(proxy), Some((user, password))) if !proxy.has_credentials() => {
            let proxy = proxy.with_credentials(&user, &password);
            Ok(Some(proxy.map_err(|error| WayError::ProxyUser(error.fault()))?))
        }
        (found, _) => Ok(found),
    }
}

/// User and password of `--proxy-user`.
fn credentials(text: &str) -> Result<(String, String), WayError> {
    let (user, password) = text.split_once(':').ok_or(WayError::ProxyUserForm)?;
    let decoded = |text| String::from_utf8(unquoted(text)).map_err(|_| WayError::ProxyUser(ProxyFault::Credentials));
    Ok((decoded(user)?, decoded(password)?))
}

/// `text` without percent-encoding; a `%` that begins none is one, as for curl.
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

/// Whom to trust, and who we are.
fn tls(low: &WayArgs) -> Result<Tls, WayError> {
    let mut tls = Tls::new();
    if let Some(path) = &low.cacert {
        let pem = read("--cacert", path)?;
        tls = tls.roots_pem(&pem).map_err(|error| WayError::Tls { options: "--cacert", error })?;
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
        WayError::Tls { options, error }
    })
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, WayError> {
    std::fs::read(path).map_err(|error| WayError::File { option, path: path.to_owned(), error })
}

/// What stands behind a colon in the name of a file that is not there may be the password of its key, as for curl.
fn without_password(error: WayError) -> WayError {
    match &error {
        WayError::File { path, error: why, .. } if why.kind() == io::ErrorKind::NotFound => {
            match path.to_string_lossy().split_once(':') {
                Some((path, _)) => WayError::CertPassword { path: path.to_owned() },
                None => error,
            }
        }
        _ => error,
    }
}

/// What `--resolve` says.
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

/// Interface, source address and family.
fn socket(low: &WayArgs, next_host: &str, mut config: Config) -> Result<Config, WayError> {
    // A socket that is bound to this address is one of its family, and gets the address that the system chooses.
    let family = match (low.ipv4, low.ipv6) {
        (true, _) => Some(("--ipv4", IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
        (_, true) => Some(("--ipv6", IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
        _ => None,
    };
    if let (Some((option, family)), Ok(host)) = (family, next_host.parse::<IpAddr>())
        && family.is_ipv4() != host.is_ipv4()
    {
        return Err(WayError::Family { host: next_host.to_owned(), option });
    }
    config = config.source_address(family.map(|(_, address)| address));
    let Some(name) = &low.interface else { return Ok(config) };
    let wrong = |error| WayError::Interface { name: name.clone(), error };
    let Ok(address) = name.parse::<IpAddr>() else {
        check_interface(name).map_err(wrong)?;
        return Ok(config.interface(&**name));
    };
    if let Some((option, family)) = family
        && family.is_ipv4() != address.is_ipv4()
    {
        return Err(WayError::InterfaceFamily { name: name.clone(), option });
    }
    // Nothing is sent by that.
    UdpSocket::bind((address, 0)).map_err(wrong)?;
    Ok(config.source_address(address))
}

/// An error if there is no such interface.
#[cfg(target_os = "linux")]
fn check_interface(name: &str) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    rustix::net::netdevice::name_to_index(&socket, name)?;
    Ok(())
}

/// Elsewhere the library refuses each name.
#[cfg(not(target_os = "linux"))]
fn check_interface(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl fmt::Display for WayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WayError::Seconds { option, text } => write!(f, "{option} {text:?}: expected seconds, such as 10 or 0.5"),
            WayError::Proxy(error) if error.variable().is_some() => write!(f, "the environment: {error}"),
            WayError::Proxy(error) => write!(f, "--proxy: {error}"),
            WayError::ProxyUserForm => f.write_str("--proxy-user: expected the form USER:PASSWORD"),
            WayError::ProxyUser(fault) => write!(f, "--proxy-user: cannot be used: {fault}"),
            WayError::File { option, path, error } => write!(f, "{option}: cannot read {}: {error}", path.display()),
            WayError::CertPassword { path } => write!(
                f,
                "--cert: there is no such file; a password behind its name ({path:?} and a colon) is not supported: decrypt the key \
                 first, for example with `openssl pkey`"
            ),
            WayError::Tls { options, error } => {
                write!(f, "{options}: {error}")?;
                std::error::Error::source(error).map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            WayError::Resolve { text, fault } => write!(f, "--resolve {text:?}: {fault}"),
            WayError::UnixSocket { path, error } => write!(f, "--unix-socket {:?}: {error}", path.display().to_string()),
            WayError::Interface { name, error } => write!(f, "--interface {name:?}: {error}"),
            WayError::InterfaceFamily { name, option } => write!(f, "--interface {name:?}: not an address of {option}"),
            WayError::Family { host, option } => write!(f, "{option}: {host} is an address of the other family"),
        }
    }
}

impl fmt::Display for ResolveFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveFault::Form => f.write_str("expected the form HOST:PORT:ADDRESS[,ADDRESS]"),
            ResolveFault::Unsupported(sign) => write!(f, "{sign:?} at the beginning, as curl has it, is not supported"),
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
        // Waiting for no time at all would be of no use.
        let low = WayArgs { timeout: Some("0".to_owned()), ..WayArgs::default() };
        let error = config(&low, &Origin::http("a.example", 80)).unwrap_err();
        assert_eq!(error.to_string(), "--timeout \"0\": expected seconds, such as 10 or 0.5");
    }

    #[test]
    fn addresses_for_a_host_and_a_port() {
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

    /// The proxy for `http://a.example` with these options, in an environment that is written as in a shell.
    fn found(options: &[(&str, &str)], environment: &str) -> Result<String, String> {
        let option = |name| options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.to_string());
        let low = WayArgs { proxy: option("-x"), proxy_user: option("-U"), noproxy: option("--noproxy"), ..WayArgs::default() };
        let variable = |name: &str| {
            let set = environment.split(';').filter_map(|one| one.split_once('='));
            set.filter(|(set, _)| *set == name).map(|(_, value)| value.into()).next()
        };
        let proxy = proxy(&low, &Origin::http("a.example", 80), variable).map_err(|error| error.to_string())?;
        Ok(proxy.map_or("none".to_owned(), |proxy| format!("{proxy:?}")))
    }

    #[test]
    fn options_come_before_the_environment() {
        for (options, environment, expected) in [
            (&[][..], "", "none"),
            (&[], "http_proxy=e:1", "Proxy(http://e:1)"),
            (&[], "http_proxy=e:1;no_proxy=a.example", "none"),
            (&[("-x", "o:1")], "", "Proxy(http://o:1)"),
            (&[("-x", "o:1")], "http_proxy=e:1;HTTP_PROXY=e:1;all_proxy=e:1;REQUEST_METHOD=GET", "Proxy(http://o:1)"),
            (&[("-x", "")], "http_proxy=e:1", "none"),
            // As for curl, the exceptions of the environment are also those of the option.
            (&[("-x", "o:1")], "NO_PROXY=a.example", "none"),
            (&[("-x", "o:1"), ("--noproxy", "")], "NO_PROXY=a.example", "Proxy(http://o:1)"),
            (&[("-x", "o:1"), ("--noproxy", "b.example")], "no_proxy=a.example", "Proxy(http://o:1)"),
            (&[("-x", "o:1"), ("--noproxy", "b.example,a.example")], "", "none"),
            (&[("--noproxy", "*")], "http_proxy=e:1", "none"),
            (&[("--noproxy", "b.example")], "http_proxy=e:1;no_proxy=*;NO_PROXY=*", "Proxy(http://e:1)"),
            // Credentials in the URL come before the option.
            (&[("-x", "o:1"), ("-U", "user:secret")], "", "Proxy(http://o:1, with credentials)"),
            (&[("-U", "user:secret")], "http_proxy=e:1", "Proxy(http://e:1, with credentials)"),
            (&[("-U", "user:secret")], "", "none"),
        ] {
            assert_eq!(found(options, environment).as_deref(), Ok(expected), "{options:?} {environment}");
        }
    }

    #[test]
    fn passwords_are_in_no_error() {
        for (options, environment, expected) in [
            (
                &[("-x", "http://u:secret@o:x")][..],
                "",
                "--proxy: this is not a proxy that can be used: its port is not a number from 1 to 65535",
            ),
            (
                &[("-x", "https://u:secret@o")],
                "",
                "--proxy: this is not a proxy that can be used: TLS to the proxy itself is not supported",
            ),
            (
                &[("-x", "secret://o")],
                "no_proxy=*",
                "--proxy: this is not a proxy that can be used: its scheme is not http, socks5 or socks5h",
            ),
            (
                &[],
                "all_proxy=u:secret@",
                "the environment: all_proxy is not a proxy that can be used: its host is not a name or an address (IPv6 in brackets)",
            ),
            (&[("-U", "secret")], "", "--proxy-user: expected the form USER:PASSWORD"),
            (&[("-U", "a%3ab:secret"), ("-x", "o")], "", "--proxy-user: cannot be used: its user name has a colon in it"),
            (
                &[("-U", "a:secret%ff")],
                "",
                "--proxy-user: cannot be used: its credentials are not UTF-8, not quoted properly, or have control characters",
            ),
            (
                &[("-U", ":secret"), ("-x", "socks5://o")],
                "",
                "--proxy-user: cannot be used: SOCKS needs user name and password of 1 to 255 bytes",
            ),
        ] {
            assert_eq!(found(options, environment).unwrap_err(), expected);
        }
    }

    #[test]
    fn credentials_are_unquoted_as_far_as_they_are_quoted() {
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
    fn what_cannot_be_used_is_named_with_its_option() {
        let origin = Origin::http("127.0.0.1", 80);
        let error = |low: WayArgs| config(&low, &origin).unwrap_err().to_string();
        let none = WayArgs::default;
        assert_eq!(
            error(WayArgs { resolve: strings(&["a:1:127.0.0.1", "+a:1:127.0.0.1"]), ..none() }),
            "--resolve \"+a:1:127.0.0.1\": \"+\" at the beginning, as curl has it, is not supported"
        );
        assert!(error(WayArgs { unix_socket: Some("x".repeat(200).into()), ..none() }).starts_with("--unix-socket \"xxx"));
        let interface = |name: &str| Some(name.to_owned());
        assert!(error(WayArgs { interface: interface("no-such-one"), ..none() }).starts_with("--interface \"no-such-one\": "));
        assert!(error(WayArgs { interface: interface("192.0.2.1"), ..none() }).starts_with("--interface \"192.0.2.1\": "));
        let error_6 = error(WayArgs { ipv4: true, interface: interface("::1"), ..none() });
        assert_eq!(error_6, "--interface \"::1\": not an address of --ipv4");
        assert_eq!(error(WayArgs { ipv6: true, ..none() }), "--ipv6: 127.0.0.1 is an address of the other family");
    }
}
