//! Proxies whose answers to CONNECT no real one gives on demand. In all cases no byte of a request is sent.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dugong_http::driver::{Connect, Progress, wait_any};
use dugong_http::transport::{Proxy, TunnelError};
use dugong_http::{Config, Error, Origin, Request, TimeLimit, WaitingFor};

use crate::tls::client::trusting;
use crate::tls::pki::Authority;
use crate::tls::servers::{config, drain, served, tcp};
use crate::{GUARD, Shown, client, exchange, hides_credentials};

/// The behaviour of a proxy after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It waits for the client to close.
    Waits,
    /// It closes its direction.
    Closes,
}

/// The request that a proxy gets with credentials.
const CONNECT: &str = "CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\
                       Proxy-Authorization: Basic dGVzdGVyOnBhc3Mtd29yZA==\r\n\r\n";

/// A proxy that answers one CONNECT. The thread returns all bytes that it received.
fn proxy(answer: &[u8], then: Then) -> (SocketAddr, JoinHandle<String>) {
    let answer = answer.to_vec();
    tcp(move |mut stream| {
        let mut received = head(&mut stream);
        // A client that has read enough may have closed before all of it is sent.
        let _ = stream.write_all(&answer);
        if then == Then::Closes {
            let _ = stream.shutdown(Shutdown::Write);
        }
        received.extend(drain(stream));
        received.escape_ascii().to_string()
    })
}

fn head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    head
}

/// A client that goes through the proxy, with credentials, and trusts no certificate.
fn through(address: SocketAddr) -> Config {
    static NOBODY: LazyLock<String> = LazyLock::new(|| Authority::new("nobody").pem);
    client(Proxy::new(&format!("http://tester:pass-word@{address}")).unwrap()).tls(trusting(&NOBODY))
}

const ORIGIN: &str = "https://origin.example/";

/// Returns the error of connecting, after checking that only CONNECT was sent, and that no credentials are shown.
fn failed(answer: &[u8], then: Then) -> (Error, String) {
    let (address, received) = proxy(answer, then);
    let shown = Shown::default();
    let error = shown.of(through(address)).connect(ORIGIN).map(drop).unwrap_err();
    assert_eq!(received.join().unwrap(), CONNECT.escape_default().to_string());
    assert_eq!(shown.events(), "Connecting Connected Tunneling Failed");
    let trace = shown.trace();
    let connect = CONNECT.replace("\r\n", "\\r\\n\n> ").replace("Basic dGVzdGVyOnBhc3Mtd29yZA==", "***");
    let begin = format!("> {connect}").trim_end_matches("> ").to_owned();
    let received = trace.strip_prefix(&begin).unwrap_or_else(|| panic!("{trace}"));
    assert!(received.starts_with("< ") || answer.is_empty(), "{trace}");
    let text = format!("{error:#}");
    hides_credentials(&format!("{error} {text} {error:?} {error:#?} {}", shown.all()));
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    assert!(!error.is_timeout() && !error.is_closed() && error.requests().is_none());
    let before = format!("no tunnel to origin.example port 443 through http://{address}: ");
    let why = text.strip_prefix(&before).unwrap_or_else(|| panic!("{text}")).to_owned();
    (error, why)
}

#[test]
fn any_2xx_answer_opens_the_tunnel() {
    let authority = Authority::new("root");
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.1 204 \r\n\r\n",
        "HTTP/1.1 299 Strange\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Wait\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let identity = authority.issue(&["origin.example"]);
        let (address, received) = tcp(move |mut stream| {
            let connect = String::from_utf8(head(&mut stream)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            // The proxy plays the origin, too.
            let mut stream = served(config(&identity, rustls::ALL_VERSIONS), stream);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
            drain(stream);
            (connect, String::from_utf8(request).unwrap())
        });
        let config = through(address).tls(trusting(&authority.pem));
        let mut connection = config.connect(ORIGIN).unwrap_or_else(|error| panic!("{answer:?}: {error:#}"));
        assert_eq!(exchange(&mut connection, &Request::get("/")).content, b"hello", "{answer:?}");
        drop(connection);
        let request = "GET / HTTP/1.1\r\nHost: origin.example\r\n\r\n";
        assert_eq!(received.join().unwrap(), (CONNECT.to_owned(), request.to_owned()), "{answer:?}");
    }
}

#[test]
fn answers_that_refuse_the_tunnel_are_in_the_error() {
    for (answer, status, is_temporary, message) in [
        ("302 Found\r\nLocation: https://elsewhere/", 302, false, "the proxy refused the tunnel: 302 Found"),
        ("400 Bad Request", 400, false, "the proxy refused the tunnel: 400 Bad Request"),
        ("403 Forbidden\r\nContent-Length: 7", 403, false, "the proxy refused the tunnel: 403 Forbidden"),
        ("408 Request Timeout", 408, true, "the proxy refused the tunnel: 408 Request Timeout"),
        ("429 Slowly", 429, true, "the proxy refused the tunnel: 429 Slowly"),
        ("502 \r\nTransfer-Encoding: chunked", 502, true, "the proxy refused the tunnel: 502"),
        (
            "407 Who is it\r\nProxy-Authenticate: Digest realm=\"a, b\", NTLM\r\nProxy-Authenticate: Basic",
            407,
            false,
            "the proxy refused the credentials (it takes Digest, NTLM, Basic): 407 Who is it",
        ),
        (
            "407 Who is it\r\nProxy-Authenticate: Negotiate",
            407,
            false,
            "the proxy takes other credentials than Basic (it takes Negotiate): 407 Who is it",
        ),
    ] {
        for then in [Then::Waits, Then::Closes] {
            let answer = format!("HTTP/1.1 {answer}\r\nX-Why: because\r\n\r\ncontent");
            let (error, why) = failed(answer.as_bytes(), then);
            assert_eq!((&*why, error.is_temporary()), (message, is_temporary));
            let Error::Tunnel { source, .. } = error else { panic!("{answer:?}: {error:?}") };
            let TunnelError::Refused(refusal) = *source else { panic!("{answer:?}: {source:?}") };
            assert_eq!((refusal.head().status().as_u16(), refusal.had_credentials()), (status, true));
            assert_eq!(refusal.head().fields().get("X-Why"), Some("because"), "{answer:?}");
        }
    }
}

#[test]
fn bytes_behind_the_answer_are_the_tunnels_and_came_too_early() {
    let flood = [&b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"[..], &[b'x'; 100_000]].concat();
    for answer in [
        &b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        &flood,
    ] {
        for then in [Then::Waits, Then::Closes] {
            let (error, why) = failed(answer, then);
            assert_eq!(why, "the proxy sent bytes through the tunnel before it was used");
            assert!(!error.is_temporary());
            assert!(matches!(&error, Error::Tunnel { source, .. } if matches!(**source, TunnelError::SpokeFirst)), "{error:?}");
        }
    }
}

#[test]
fn a_bad_answer_is_told_from_a_missing_one() {
    let long_line = [b"HTTP/1.1 200 ", &[b'x'; 70_000][..]].concat();
    let long_field = [b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 70_000][..]].concat();
    let many_fields = [b"HTTP/1.1 200 OK\r\n", &b"X: x\r\n".repeat(1_001)[..], b"\r\n"].concat();
    let many_interim = [&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)[..], b"HTTP/1.1 200 OK\r\n\r\n"].concat();
    let what = |error: &Error| match error {
        Error::Remote { what, .. } => what.code(),
        Error::Unsupported { .. } => "unsupported",
        Error::Closed { .. } => "closed",
        error => panic!("{error:?}"),
    };
    const TLS: &str = "expected a status line, but found a TLS alert: the server expects TLS on this port, at byte 0: \
        \"\\x15\\x03\\x01\\x00\\x02\\x02F\"";
    let xs = |count| "x".repeat(count);
    let too_long_line = format!("the status line is longer than the limit, at byte 65535: \"HTTP/1.1 200 {}\"...", xs(27));
    let too_long_field = format!("the header section is longer than the limit, at byte 65552: \"X: {}\"...", xs(37));
    for (answer, expected, cause) in [
        (&b""[..], "closed", "the connection ended before the response"),
        (b"HTTP", "closed", "the connection ended after 4 bytes of a response head"),
        (b"HTTP/1.1 200 OK\r\nProxy-Agent: x", "closed", "the connection ended after 31 bytes of a response head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed", "the connection ended before the response"),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "unsupported",
            "expected a status line that begins with HTTP/, at byte 0: \"SSH-2.0-OpenSSH_9.2\"",
        ),
        (b"\x15\x03\x01\0\x02\x02\x46", "unsupported", TLS),
        (b"HTTP/2.0 200 OK\r\n\r\n", "unsupported", "expected HTTP/1.0 or HTTP/1.1, at byte 5: \"HTTP/2.0 200 OK\""),
        (
            b"HTTP/1.1 2OO OK\r\n\r\n",
            "status-code",
            "expected a status of three digits from 100 to 999, at byte 10: \"HTTP/1.1 2OO OK\"",
        ),
        (
            b"HTTP/1.1 503 Busy\x1b[2J\r\n\r\n",
            "reason-phrase",
            "found a control character in the reason phrase, at byte 17: \"HTTP/1.1 503 Busy\\x1b[2J\"",
        ),
        (
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "space-before-colon",
            "found a space in or after a field name, at byte 19: \"no colon\"",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "unasked-switch",
            "the server switches protocols, which the request did not ask for, at byte 0: \"HTTP/1.1 101 Switching Protocols\"",
        ),
        (&long_line, "status-line-too-long", &too_long_line),
        (&long_field, "header-section-too-long", &too_long_field),
        (&many_fields, "too-many-fields", "found more field lines than the limit, at byte 6017: \"X: x\""),
        (
            &many_interim,
            "too-many-interim",
            "received more interim responses than the limit, at byte 1600: \"HTTP/1.1 100 Continue\"",
        ),
    ] {
        let shown = answer[..answer.len().min(40)].escape_ascii().to_string();
        let (error, why) = failed(answer, Then::Closes);
        assert_eq!(error.is_temporary(), expected == "closed", "{shown}");
        let Error::Tunnel { source, .. } = error else { panic!("{shown}: {error:?}") };
        let TunnelError::Failed(error) = *source else { panic!("{shown}: {source:?}") };
        assert_eq!(what(&error), expected, "{shown}");
        let before = match expected {
            "closed" => "the proxy closed the connection before it had answered: ",
            "unsupported" => "the proxy answered with something that is not proper HTTP: unsupported response: ",
            _ => "the proxy answered with something that is not proper HTTP: invalid response: ",
        };
        assert_eq!(why, format!("{before}{cause}"), "{shown}");
    }
}

#[test]
fn bytes_through_the_tunnel_that_are_not_tls_end_the_handshake() {
    for (answer, is_temporary, message) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            false,
            "origin.example does not speak TLS on this port; it answered \"HTTP/1.1 400 Bad Request\"",
        ),
        (b"hello\r\n", false, "origin.example does not speak TLS on this port; it answered \"hello\""),
        // An alert that ends the session: handshake_failure.
        (b"\x15\x03\x03\0\x02\x02\x28", false, "origin.example ended the TLS session (TLS alert handshake_failure)"),
        (b"", true, "origin.example closed the connection in the TLS handshake"),
    ] {
        let (address, received) = tcp(move |mut stream| {
            head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            // A record (RFC 8446 §5.1) with the beginning of the handshake.
            let mut header = [0; 5];
            stream.read_exact(&mut header).unwrap();
            let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            stream.read_exact(&mut hello).unwrap();
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(Shutdown::Write);
            (header[0], drain(stream))
        });
        let shown = Shown::default();
        let error = shown.of(through(address)).connect(ORIGIN).map(drop).unwrap_err();
        assert!(matches!(&error, Error::Tls { requests: None, .. }), "{error:?}");
        assert!(error.to_string().starts_with(message), "{error}");
        assert_eq!(error.is_temporary(), is_temporary);
        hides_credentials(&format!("{error:#} {error:?} {}", shown.all()));
        assert_eq!(shown.events(), "Connecting Connected Tunneling Tunneled Handshaking Failed");
        let (first, rest) = received.join().unwrap();
        // 22 is a handshake; the next record can only be an alert, 21.
        assert!(first == 22 && (rest.is_empty() || rest[0] == 21), "{first} {rest:?}");
    }
}

#[test]
fn a_silent_proxy_is_waited_for_as_long_as_allowed() {
    let limit = Duration::from_millis(20);
    let (address, received) = proxy(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: ", Then::Waits);
    let shown = Shown::default();
    let error = shown.of(through(address)).handshake_timeout(limit).connect(ORIGIN).map(drop).unwrap_err();
    assert!(error.is_timeout() && error.is_temporary() && !error.is_closed());
    let to = format!("origin.example port 443 (http://{address})");
    let text = format!("timed out waiting for the proxy to open a tunnel to {to}: not done after 20ms");
    assert_eq!(format!("{error:#}"), text);
    hides_credentials(&format!("{error:?} {}", shown.all()));
    assert_eq!(received.join().unwrap(), CONNECT.escape_default().to_string());
}

/// With a clock that the test sets.
#[test]
fn each_limit_of_time_is_told_with_the_phase_that_it_ended() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (answer, last_event, phase) in
        [("", "Tunneling", WaitingFor::Tunnel), ("HTTP/1.1 200 OK\r\n\r\n", "Handshaking", WaitingFor::Handshake)]
    {
        for (limit, why) in [
            (TimeLimit::Phase(HOUR), "not done after 3600s"),
            (TimeLimit::Connecting(HOUR), "no connection after 3600s"),
            (TimeLimit::Deadline, "the deadline has passed"),
        ] {
            let (address, received) = proxy(answer.as_bytes(), Then::Waits);
            let (shown, begin) = (Shown::default(), Instant::now());
            let config = shown.of(through(address)).timeout(None);
            let config = match limit {
                TimeLimit::Phase(limit) => config.handshake_timeout(limit),
                TimeLimit::Connecting(limit) => config.establish_timeout(limit),
                _ => config.deadline(HOUR),
            };
            let mut connect = Connect::new(&config, &Origin::https("origin.example", 443), begin).unwrap();
            while !shown.events().ends_with(last_event) {
                assert!(matches!(connect.step(begin).unwrap(), Progress::Needs(_)));
                let mut waits = connect.poll_set();
                waits.until(begin + GUARD);
                assert!(shown.events().ends_with(last_event) || wait_any(&waits).unwrap(), "{}", shown.events());
            }
            assert!(matches!(connect.step(begin + HOUR - Duration::from_nanos(1)).unwrap(), Progress::Needs(_)));
            // It waits: none of its needs is ready.
            let mut waits = connect.poll_set();
            waits.until(begin);
            assert!(!wait_any(&waits).unwrap(), "{connect:?}");
            hides_credentials(&format!("{connect:?}"));
            let error = connect.step(begin + HOUR).map(drop).unwrap_err();
            assert!(
                matches!(error, Error::TimedOut { waiting_for, limit: ended, .. } if (waiting_for, ended) == (phase, limit)),
                "{error:?}"
            );
            assert!(error.to_string().ends_with(&format!(": {why}")), "{error}");
            drop(connect);
            let received = received.join().unwrap();
            let rest = received.strip_prefix(&CONNECT.escape_default().to_string()).unwrap();
            // The handshake, or no bytes.
            assert!(rest.starts_with("\\x16") == (phase == WaitingFor::Handshake) && !rest.contains("GET"), "{received}");
        }
    }
}

#[test]
fn a_proxy_that_breaks_the_connection_has_closed_it() {
    let (address, received) = tcp(|mut stream| {
        let received = head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        received
    });
    let error = through(address).connect(ORIGIN).map(drop).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains(": the proxy closed the connection before it had answered: "), "{text}");
    assert!(error.is_temporary() && !error.is_closed());
    assert_eq!(received.join().unwrap(), CONNECT.as_bytes());
}

#[test]
fn an_ipv6_address_is_in_brackets() {
    let (address, received) = proxy(b"HTTP/1.1 403 No\r\n\r\n", Then::Waits);
    let error = through(address).connect("https://[2001:db8::1]:8443").map(drop).unwrap_err();
    assert!(matches!(error, Error::Tunnel { .. }));
    let received = received.join().unwrap();
    assert!(received.starts_with("CONNECT [2001:db8::1]:8443 HTTP/1.1\\r\\nHost: [2001:db8::1]:8443\\r\\n"), "{received}");
}

/// Runs in a process of its own, so that other tests open no descriptors and start no threads.
#[test]
#[ignore = "not a test by itself: another one runs it in a process of its own, and counts what it leaves there"]
fn attempts_that_fail() {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let attempts = || {
        for answer in ["HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello", "hello\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""] {
            let (address, received) = proxy(answer.as_bytes(), Then::Waits);
            through(address).handshake_timeout(Duration::from_millis(5)).connect(ORIGIN).map(drop).unwrap_err();
            received.join().unwrap();
        }
    };
    attempts();
    let before = (count("fd"), count("task"));
    (0..20).for_each(|_| attempts());
    // A joined thread may be listed for a moment.
    let until = Instant::now() + GUARD;
    while (count("fd"), count("task")) != before {
        assert!(Instant::now() < until, "{:?} instead of {before:?}", (count("fd"), count("task")));
        std::thread::yield_now();
    }
}

#[test]
fn failed_attempts_leave_nothing_behind() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--ignored", "--exact", "answers::attempts_that_fail"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
