//! Tunnels through a proxy (RFC 9110 §9.3.6).

use std::fmt;

use dugong_net::{Progress, Proxy, Stream, host_name};
use dugong_proto::{Fields, Method, Misuse, RequestHead};

use super::refusal::Refusal;
use crate::config::Config;
use crate::error::{Error, TunnelError};
use crate::request::Request;
use crate::step::Engine;

/// Opens a tunnel: sends CONNECT, and reads the head of the answer. Afterwards the stream leads to the other end, and no byte
/// of it has been read here. A silent proxy is waited for; you decide how long.
///
/// ```
/// use dugong_http::driver::{Progress, Tunnel};
/// use dugong_net::scripted::{Cue, Scripted};
///
/// let mut tunnel = Tunnel::new("example.org", 443)?;
/// let mut stream = Scripted::default();
/// assert!(matches!(tunnel.step(&mut stream)?, Progress::Needs(_)));
/// stream.reads.push_back(Cue::Give(b"HTTP/1.1 200 Connected\r\n\r\n".into()));
/// assert_eq!(tunnel.step(&mut stream)?, Progress::Done(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tunnel {
    engine: Engine,
    /// The request; `None` once it is sent.
    request: Option<Request>,
    has_credentials: bool,
}

impl Tunnel {
    /// Prepares a tunnel to `host` and `port`. The proxy gets A-labels instead of letters beyond ASCII, and addresses without
    /// their zone.
    ///
    /// # Errors
    /// [`Misuse::Target`] or [`Misuse::Host`] if the host is invalid.
    pub fn new(host: &str, port: u16) -> Result<Self, Misuse> {
        Tunnel::with_fields(host, port, Fields::new())
    }

    /// Prepares a tunnel through this proxy, with its credentials, if it has any.
    ///
    /// # Errors
    /// As for [`new`](Tunnel::new).
    pub fn through(proxy: &Proxy, host: &str, port: u16) -> Result<Self, Misuse> {
        let mut fields = Fields::new();
        if let Some(authorization) = proxy.authorization() {
            fields.append("Proxy-Authorization", authorization)?;
        }
        Tunnel::with_fields(host, port, fields)
    }

    /// Prepares a tunnel with these fields for the proxy.
    ///
    /// # Errors
    /// As for [`new`](Tunnel::new), or the fault of the fields.
    pub fn with_fields(host: &str, port: u16, fields: Fields) -> Result<Self, Misuse> {
        let authority = format!("{}:{port}", host_name::in_authority(&host_name::normal_if_valid(host)));
        let mut head = RequestHead::new(Method::CONNECT, authority.clone())?;
        let has_credentials = fields.contains("Proxy-Authorization");
        head.fields = fields;
        // The bytes behind the head of the answer are not HTTP, so a small buffer is enough.
        let config = Config::new().user_agent(None).receive_buffer(4096);
        let engine = match Engine::new(&authority, &config) {
            Ok(engine) => engine,
            Err(Error::Local(misuse)) => return Err(misuse),
            Err(_) => unreachable!("nothing is sent yet"),
        };
        Ok(Tunnel { engine, request: Some(head.into()), has_credentials })
    }

    /// Goes on. When it is done, the stream is the tunnel.
    ///
    /// # Errors
    /// The tunnel did not open, and the stream is useless.
    pub fn step(&mut self, stream: &mut impl Stream) -> Result<Progress<()>, TunnelError> {
        let mut duplex = self.engine.duplex();
        if let Some(request) = &self.request {
            if let Progress::Needs(interest) = duplex.send_request(request, stream)? {
                return Ok(Progress::Needs(interest));
            }
            self.request = None;
        }
        if let Progress::Needs(interest) = duplex.read_head(stream)? {
            return Ok(Progress::Needs(interest));
        }
        let half = self.engine.receiving().half();
        match half.head() {
            head if !head.status().is_success() => {
                Err(TunnelError::Refused(Box::new(Refusal::new(head.clone(), self.has_credentials))))
            }
            _ if half.unconsumed().is_empty() => Ok(Progress::Done(())),
            _ => Err(TunnelError::SpokeFirst),
        }
    }
}

/// Without the bytes that are sent: they may contain credentials.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tunnel");
        shown.field("to", &self.engine.sending().half().host()).field("has_credentials", &self.has_credentials);
        shown.field("is_asked", &self.request.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dugong_net::Interest;
    use dugong_net::scripted::{Cue, Scripted};

    fn open(answer: &[u8]) -> (Result<Progress<()>, TunnelError>, Scripted) {
        let mut stream = Scripted::default();
        let mut tunnel = Tunnel::new("::1", 443).unwrap();
        assert!(matches!(tunnel.step(&mut stream), Ok(Progress::Needs(_))));
        stream.reads.push_back(Cue::Give(answer.into()));
        (tunnel.step(&mut stream), stream)
    }

    #[test]
    fn the_request_names_host_and_port_with_brackets_and_as_http_1_1() {
        let (opened, stream) = open(b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(opened.unwrap(), Progress::Done(()));
        assert_eq!(stream.written, b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n");
    }

    #[test]
    fn the_request_has_no_zone_and_no_letters_beyond_ascii() {
        for (host, target) in [
            ("fe80::1%lo", "[fe80::1]:443"),
            ("fe80::1%25lo", "[fe80::1]:443"),
            ("[fe80::1%25lo]", "[fe80::1]:443"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example:443"),
        ] {
            let mut stream = Scripted::default();
            assert!(matches!(Tunnel::new(host, 443).unwrap().step(&mut stream), Ok(Progress::Needs(_))));
            let expected = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
            assert_eq!(String::from_utf8_lossy(&stream.written), expected);
        }
    }

    #[test]
    fn any_success_opens_the_tunnel_and_its_fields_do_not_matter() {
        for answer in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 299 x\r\nContent-Length: 5\r\n\r\n"] {
            assert_eq!(open(answer.as_bytes()).0.unwrap(), Progress::Done(()), "{answer}");
        }
    }

    #[test]
    fn another_answer_is_kept_for_the_error() {
        let (opened, _) = open(b"HTTP/1.1 403 No way\r\nX-Why: because\r\nContent-Length: 0\r\n\r\n");
        let error = opened.unwrap_err();
        assert_eq!(error.to_string(), "the proxy refused the tunnel: 403 No way");
        let TunnelError::Refused(refusal) = error else { panic!() };
        assert_eq!(refusal.head().fields().get("x-why"), Some("because"));
    }

    #[test]
    fn credentials_go_to_the_proxy_and_are_not_shown() {
        let mut stream = Scripted::default();
        let proxy = Proxy::new("http://alice:secret@proxy").unwrap();
        let mut tunnel = Tunnel::through(&proxy, "a.example", 443).unwrap();
        let before = format!("{tunnel:?}");
        // Before it is sent, half sent, and sent.
        stream.writes.extend([Cue::Wait(Interest::WRITE), Cue::Take(60), Cue::Wait(Interest::WRITE)]);
        let mut shown = vec![before];
        for _ in 0..3 {
            assert!(matches!(tunnel.step(&mut stream), Ok(Progress::Needs(_))));
            shown.push(format!("{tunnel:?} {tunnel:#?}"));
        }
        assert_eq!(
            String::from_utf8_lossy(&stream.written),
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n"
        );
        stream.reads.push_back(Cue::Give(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n".into()));
        let error = tunnel.step(&mut stream).unwrap_err();
        assert_eq!(error.to_string(), "the proxy refused the credentials (it takes Basic): 407 No");
        shown.push(format!("{error:?} {tunnel:?}"));
        for shown in shown {
            assert!(!["alice", "secret", "YWxpY2U6c2VjcmV0"].iter().any(|part| shown.contains(part)), "{shown}");
        }
    }

    #[test]
    fn bytes_behind_the_answer_and_no_answer_at_all_are_errors() {
        assert!(matches!(open(b"HTTP/1.1 200 OK\r\n\r\n\x16\x03").0, Err(TunnelError::SpokeFirst)));
        assert!(matches!(open(b"SSH-2.0\r\n").0, Err(TunnelError::Failed(Error::Unsupported { .. }))));
        assert!(matches!(Tunnel::new("a b", 443), Err(Misuse::Target(_))));
    }
}
