//! Errors of TLS.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, PeerIncompatible};

use super::verify::Seen;

/// TLS failed. Nothing more can be sent. The bytes that were read before are good.
#[derive(Debug)]
#[non_exhaustive]
pub struct TlsError {
    /// The host at the other end.
    pub host: String,
    /// How it failed.
    pub what: TlsFailure,
}

/// How TLS failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The host is neither a name nor an address, so no certificate can be for it.
    HostName,
    /// The certificates that the platform trusts could not be read.
    NoRoots(Cause),
    /// The certificate is not for this host.
    WrongHost {
        /// The hosts that the certificate is for.
        names: Vec<String>,
    },
    /// The certificate, or its issuer's, has expired.
    Expired {
        /// The time when it expired, if known.
        since: Option<SystemTime>,
    },
    /// The certificate, or its issuer's, is not yet valid.
    NotYetValid {
        /// The time when it becomes valid, if known.
        until: Option<SystemTime>,
    },
    /// The server signed the certificate itself.
    SelfSigned,
    /// The issuer of the certificate is not trusted.
    UnknownIssuer,
    /// The issuer revoked the certificate.
    Revoked,
    /// The certificate is of X.509 version 1, which names no hosts.
    OldCertificate,
    /// The certificate, or an issuer's, has an RSA key that is too short.
    ShortKey {
        /// The size of the key.
        bits: usize,
    },
    /// Something else is wrong with the certificate.
    Certificate(Cause),
    /// The server requires a client certificate, and you have set none.
    ClientCertificateRequired,
    /// The server refused your client certificate.
    ClientCertificateRefused(Alert),
    /// The server offers neither TLS 1.2 nor TLS 1.3.
    Version,
    /// The server refused or ended the session for another reason.
    Alert(Alert),
    /// The server does not speak TLS on this port.
    NotTls {
        /// The first line of the answer, as far as it arrived, with unreadable bytes escaped.
        answer: String,
    },
    /// The server ended the connection in the handshake.
    Ended,
    /// The server chose parameters that this client does not support.
    Incompatible(Cause),
    /// The server broke the rules of TLS.
    Protocol(Cause),
    /// The connection broke in the handshake.
    Transport(io::Error),
}

impl TlsError {
    pub(super) fn new(host: &str, what: TlsFailure) -> Self {
        TlsError { host: host.into(), what }
    }

    /// The kind of an [`io::Error`] with this inside.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match &self.what {
            TlsFailure::Transport(error) => error.kind(),
            TlsFailure::Ended => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        }
    }

    /// Whether the certificate of the server was refused.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        use TlsFailure::{
            Certificate, Expired, NotYetValid, OldCertificate, Revoked, SelfSigned, ShortKey, UnknownIssuer, WrongHost,
        };
        matches!(
            self.what,
            WrongHost { .. }
                | Expired { .. }
                | NotYetValid { .. }
                | SelfSigned
                | UnknownIssuer
                | Revoked
                | OldCertificate
                | ShortKey { .. }
                | Certificate(_)
        )
    }
}

impl TlsFailure {
    /// Translates an error of rustls.
    pub(super) fn of(error: rustls::Error, seen: Seen, has_certificate: bool) -> Self {
        use rustls::Error::{AlertReceived, InvalidCertificate};
        match error {
            InvalidCertificate(error) => TlsFailure::of_certificate(error, seen),
            AlertReceived(alert) => TlsFailure::of_alert(alert, seen.had_none_to_show, has_certificate),
            rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => TlsFailure::Version,
            error @ rustls::Error::PeerIncompatible(_) => TlsFailure::Incompatible(Cause(error)),
            error => TlsFailure::Protocol(Cause(error)),
        }
    }

    fn of_certificate(error: CertificateError, seen: Seen) -> Self {
        use CertificateError::{
            BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
            Other, Revoked, UnknownIssuer,
        };
        match error {
            Expired => TlsFailure::Expired { since: None },
            ExpiredContext { not_after, .. } => TlsFailure::Expired { since: Some(system_time(not_after)) },
            NotValidYet => TlsFailure::NotYetValid { until: None },
            NotValidYetContext { not_before, .. } => TlsFailure::NotYetValid { until: Some(system_time(not_before)) },
            NotValidForName => TlsFailure::WrongHost { names: Vec::new() },
            NotValidForNameContext { presented, .. } => {
                TlsFailure::WrongHost { names: presented.iter().filter_map(|name| host_of(name)).collect() }
            }
            // The name of this error in webpki.
            Other(error) if error.0.to_string() == "UnsupportedCertVersion" => TlsFailure::OldCertificate,
            UnknownIssuer | Other(_) if seen.self_signed && !seen.was_given => TlsFailure::SelfSigned,
            BadSignature if seen.short_key.is_some() => TlsFailure::ShortKey { bits: seen.short_key.unwrap_or_default() },
            UnknownIssuer => TlsFailure::UnknownIssuer,
            Revoked => TlsFailure::Revoked,
            error => TlsFailure::Certificate(Cause(error.into())),
        }
    }

    fn of_alert(alert: AlertDescription, had_none_to_show: bool, has_certificate: bool) -> Self {
        use AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
            HandshakeFailure, NoCertificate, ProtocolVersion, UnknownCA, UnsupportedCertificate,
        };
        match alert {
            CertificateRequired if !has_certificate => TlsFailure::ClientCertificateRequired,
            // Servers send these in TLS 1.2, which has no alert for a missing certificate.
            HandshakeFailure | BadCertificate | CertificateUnknown | NoCertificate | AccessDenied if had_none_to_show => {
                TlsFailure::ClientCertificateRequired
            }
            CertificateRequired
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
                if has_certificate =>
            {
                TlsFailure::ClientCertificateRefused(Alert(alert.into()))
            }
            ProtocolVersion => TlsFailure::Version,
            alert => TlsFailure::Alert(Alert(alert.into())),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.what {
            TlsFailure::HostName => {
                write!(f, "{host:?} is neither a host name nor an address, so that no certificate can be for it")
            }
            TlsFailure::NoRoots(_) => {
                write!(f, "cannot check the certificate of {host}: the certificates that this machine trusts could not be read")
            }
            TlsFailure::WrongHost { names } if names.is_empty() => {
                write!(f, "the certificate of {host} names no host in subjectAltName")
            }
            TlsFailure::WrongHost { names } if names.iter().any(|name| name == host) => {
                write!(f, "the certificate of {host} has the address as a name; it needs subjectAltName=IP:{host}")
            }
            TlsFailure::WrongHost { names } => {
                let shown = &names[..names.len().min(SHOWN_NAMES)];
                write!(f, "the certificate of {host} is not for it, but for {}", shown.join(", "))?;
                if shown.len() < names.len() { write!(f, " and {} more", names.len() - shown.len()) } else { Ok(()) }
            }
            TlsFailure::Expired { since } => {
                write!(f, "the certificate of {host} has expired")?;
                let ago = since.and_then(|since| SystemTime::now().duration_since(since).ok());
                ago.map_or(Ok(()), |ago| write!(f, ", {} ago by the clock of this machine", Roughly(ago)))
            }
            TlsFailure::NotYetValid { until } => {
                write!(f, "the certificate of {host} is not yet valid")?;
                let left = until.and_then(|until| until.duration_since(SystemTime::now()).ok());
                left.map_or(Ok(()), |left| write!(f, ", but will be in {} by the clock of this machine", Roughly(left)))
            }
            TlsFailure::SelfSigned => {
                write!(f, "the certificate of {host} is self-signed; if it should be trusted, give it as a root")
            }
            TlsFailure::UnknownIssuer => write!(
                f,
                "the certificate of {host} was issued by an authority that is not trusted, or the server does not send the certificates \
                 between them; if the issuer should be trusted, give its certificate as a root"
            ),
            TlsFailure::OldCertificate => write!(
                f,
                "the certificate of {host} is of X.509 version 1, which names no hosts; issue a new one of version 3 with \
                 the host as subjectAltName"
            ),
            TlsFailure::ShortKey { bits } => write!(
                f,
                "the certificate of {host}, or that of an issuer, has an RSA key of {bits} bits; less than 2048 bits are not secure \
                 and not accepted"
            ),
            TlsFailure::Revoked => write!(f, "the certificate of {host} was revoked by its issuer"),
            TlsFailure::Certificate(_) => write!(f, "the certificate of {host} is not acceptable"),
            TlsFailure::ClientCertificateRequired => {
                write!(f, "{host} requires a client certificate, and none was given")
            }
            TlsFailure::ClientCertificateRefused(alert) => {
                write!(f, "{host} refused the client certificate (TLS alert {alert})")
            }
            TlsFailure::Version => write!(f, "{host} offers neither TLS 1.2 nor TLS 1.3; older versions are not secure"),
            TlsFailure::Alert(Alert(120)) => write!(f, "{host} does not speak HTTP/1.1 here (TLS alert {})", Alert(120)),
            TlsFailure::Alert(alert @ Alert(40 | 71)) => {
                write!(f, "{host} ended the TLS session (TLS alert {alert}); it may want {UNSPOKEN}")
            }
            TlsFailure::Alert(alert) => write!(f, "{host} ended the TLS session (TLS alert {alert})"),
            TlsFailure::NotTls { answer } => write!(f, "{host} does not speak TLS on this port; it answered \"{answer}\""),
            TlsFailure::Ended => write!(f, "{host} closed the connection in the TLS handshake"),
            TlsFailure::Incompatible(_) => write!(f, "{host} chose for TLS {UNSPOKEN}"),
            TlsFailure::Protocol(_) => write!(f, "{host} broke the rules of TLS"),
            TlsFailure::Transport(_) => write!(f, "the connection to {host} broke in the TLS handshake"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            TlsFailure::NoRoots(cause) | TlsFailure::Certificate(cause) => Some(cause),
            TlsFailure::Incompatible(cause) | TlsFailure::Protocol(cause) => Some(cause),
            TlsFailure::Transport(error) => Some(error),
            _ => None,
        }
    }
}

/// For `Read` and `Write`. Errors of the stream below stay as they are. Others are inside an error of kind `InvalidData`, or
/// `UnexpectedEof` if the server ended the connection; [`std::io::Error::downcast`] gives them back.
impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        match error.what {
            TlsFailure::Transport(error) => error,
            _ => io::Error::new(error.kind(), error),
        }
    }
}

/// An alert of TLS (RFC 8446 §6): the reason why a peer ends the session. It prints the name that the RFC gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = AlertDescription::from(self.0).as_str() else { return write!(f, "{}", self.0) };
        // From `UnknownPSKIdentity` to `unknown_psk_identity`.
        let letters = name.as_bytes();
        for (index, letter) in letters.iter().enumerate() {
            let begins = letter.is_ascii_uppercase()
                && index > 0
                && (letters[index - 1].is_ascii_lowercase() || letters.get(index + 1).is_some_and(u8::is_ascii_lowercase));
            if begins {
                f.write_str("_")?;
            }
            write!(f, "{}", char::from(letter.to_ascii_lowercase()))?;
        }
        Ok(())
    }
}

/// The message of the TLS library, for people.
#[derive(Clone)]
pub struct Cause(pub(super) rustls::Error);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}

/// The connection ended without `close_notify`, so an attacker may have cut it off (RFC 9112 §9.8). This is inside an error of
/// kind `UnexpectedEof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCloseNotify;

impl fmt::Display for NoCloseNotify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended without TLS's close_notify, so the received bytes may not be all")
    }
}

impl std::error::Error for NoCloseNotify {}

/// A duration as people say it.
struct Roughly(Duration);

impl fmt::Display for Roughly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (count, unit) = match seconds {
            0..120 => (seconds, "second"),
            120..7200 => (seconds / 60, "minute"),
            7200..172_800 => (seconds / 3600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// Completes the message of rustls.
const UNSPOKEN: &str =
    "what is not spoken here: key exchange by RSA or DHE, ciphers in CBC mode, renegotiation, or TLS 1.1 and older";

/// People do not read longer lists.
const SHOWN_NAMES: usize = 5;

fn system_time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// Parses a host that rustls prints for a certificate: `DnsName("example.org")` or `IpAddress(192.0.2.1)`. Returns `None` for
/// other text.
fn host_of(name: &str) -> Option<String> {
    let dns = name.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")"));
    let host = dns.or_else(|| name.strip_prefix("IpAddress(").and_then(|rest| rest.strip_suffix(')')))?;
    Some(host.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        for (code, name) in [
            (0, "close_notify"),
            (40, "handshake_failure"),
            (48, "unknown_ca"),
            (115, "unknown_psk_identity"),
            (116, "certificate_required"),
            (120, "no_application_protocol"),
            (255, "255"),
        ] {
            assert_eq!(Alert(code).to_string(), name);
        }
    }

    #[test]
    fn times_are_said_in_one_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (864_000, "10 days"),
        ] {
            assert_eq!(Roughly(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn of_many_names_a_few_are_shown() {
        let names = |count: usize| (0..count).map(|index| format!("{index}.example")).collect();
        let text = |count| TlsError::new("h", TlsFailure::WrongHost { names: names(count) }).to_string();
        let five = "the certificate of h is not for it, but for 0.example, 1.example, 2.example, 3.example, 4.example";
        assert_eq!(text(5), five);
        assert_eq!(text(105), format!("{five} and 100 more"));
    }

    #[test]
    fn names_of_certificates_are_those_that_hosts_have_and_safe_to_print() {
        assert_eq!(host_of("DnsName(\"*.example.org\")").unwrap(), "*.example.org");
        assert_eq!(host_of("IpAddress(192.0.2.1)").unwrap(), "192.0.2.1");
        assert_eq!(host_of("DnsName(\"a\n\u{1b}[2J\")").unwrap(), "a\\n\\u{1b}[2J");
        assert_eq!(host_of("DirectoryName"), None);
    }

    #[test]
    fn without_being_asked_for_a_certificate_a_failed_handshake_is_just_that() {
        let of = |alert, asked, has| TlsFailure::of_alert(alert, asked, has);
        use AlertDescription::{BadCertificate, CertificateRequired, HandshakeFailure, UnknownCA};
        assert!(matches!(of(HandshakeFailure, false, false), TlsFailure::Alert(Alert(40))));
        assert!(matches!(of(HandshakeFailure, true, false), TlsFailure::ClientCertificateRequired));
        assert!(matches!(of(BadCertificate, true, false), TlsFailure::ClientCertificateRequired));
        assert!(matches!(of(BadCertificate, false, false), TlsFailure::Alert(Alert(42))));
        assert!(matches!(of(HandshakeFailure, false, true), TlsFailure::Alert(Alert(40))));
        assert!(matches!(of(UnknownCA, false, true), TlsFailure::ClientCertificateRefused(Alert(48))));
        assert!(matches!(of(CertificateRequired, false, false), TlsFailure::ClientCertificateRequired));
        assert!(matches!(of(CertificateRequired, false, true), TlsFailure::ClientCertificateRefused(Alert(116))));
    }
}
