//! Proxies that answer to CONNECT what no real one answers on demand. Whatever it is, nothing but CONNECT was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use dugong_http::Error;
use dugong_http::transport::{Proxy, Tunnel, TunnelError};

use crate::{GUARD, connect, drive};

/// What a proxy does when it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It waits for the client to close.
    Waits,
    /// It closes its direction.
    Closes,
}

/// A proxy that answers to one CONNECT; the result is all that it was sent.
fn proxy(answer: Vec<u8>, then: Then) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let received = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut received = String::new();
        while !received.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut received).unwrap() > 0, "the client has gone: {received:?}");
        }
        // A client that has seen enough may have closed before all of it is sent.
        let _ = (&stream).write_all(&answer);
        if then == Then::Closes {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let _ = reader.read_to_string(&mut received);
        received
    });
    (address, received)
}

/// What becomes of a tunnel, and a look at whether nothing but CONNECT was sent.
fn open(answer: Vec<u8>, then: Then) -> Result<(), TunnelError> {
    let (address, received) = proxy(answer, then);
    let known = Proxy::new(&format!("http://somebody:secret@{address}")).unwrap();
    let mut tunnel = Tunnel::through(&known, "origin.example", 443).unwrap();
    let socket = connect(address);
    let opened = drive(&socket, |stream| tunnel.step(stream));
    drop(socket);
    assert_eq!(
        received.join().unwrap(),
        "CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\nProxy-Authorization: Basic c29tZWJvZHk6c2VjcmV0\r\n\r\n"
    );
    if let Err(error) = &opened {
        let shown = format!("{tunnel:?} {error:?} {error}");
        assert!(!["somebody", "secret", "c29tZWJvZHk6c2VjcmV0"].iter().any(|part| shown.contains(part)), "{shown}");
        assert!(!error.to_string().contains('\n'));
    }
    opened
}

#[test]
fn answers_that_open_the_tunnel() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.1 204 \r\n\r\n",
        "HTTP/1.1 299 Strange\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Wait\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        open(answer.into(), Then::Waits).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
    }
}

#[test]
fn answers_that_refuse_the_tunnel_are_in_the_error() {
    for (answer, status, message) in [
        ("302 Found\r\nLocation: https://elsewhere/", 302, "the proxy refused the tunnel: 302 Found"),
        ("403 Forbidden\r\nContent-Length: 7", 403, "the proxy refused the tunnel: 403 Forbidden"),
        ("502 \r\nTransfer-Encoding: chunked", 502, "the proxy refused the tunnel: 502"),
        ("999 ?", 999, "the proxy refused the tunnel: 999 ?"),
        (
            "407 Who is it\r\nProxy-Authenticate: Digest realm=\"a, b\", NTLM\r\nProxy-Authenticate: Basic",
            407,
            "the proxy refused the credentials (it takes Digest, NTLM, Basic): 407 Who is it",
        ),
        (
            "407 Who is it\r\nProxy-Authenticate: Negotiate",
            407,
            "the proxy takes other credentials than Basic (it takes Negotiate): 407 Who is it",
        ),
    ] {
        for then in [Then::Waits, Then::Closes] {
            let answer = format!("HTTP/1.1 {answer}\r\nX-Why: because\r\n\r\ncontent");
            let error = open(answer.clone().into(), then).unwrap_err();
            assert_eq!(error.to_string(), message);
            let TunnelError::Refused(refusal) = error else { panic!("{answer:?}: {error:?}") };
            assert_eq!(refusal.head().status(), status);
            assert_eq!(refusal.head().fields().get("X-Why"), Some(&b"because"[..]), "{answer:?}");
        }
    }
}

#[test]
fn bytes_behind_the_answer_are_the_tunnels_and_came_too_early() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let error = open(answer.into(), Then::Waits).unwrap_err();
        assert!(matches!(error, TunnelError::SpokeFirst), "{answer:?}: {error:?}");
    }
}

#[test]
fn what_is_no_answer_is_told_from_none() {
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
    for (answer, expected) in [
        (&b""[..], "closed"),
        (b"HTTP", "closed"),
        (b"HTTP/1.1 200 OK\r\nProxy-Agent: x", "closed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unsupported"),
        (b"\x15\x03\x01\0\x02\x02\x46", "unsupported"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "unsupported"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "status-code"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "space-before-colon"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "unasked-switch"),
        (&long_line, "status-line-too-long"),
        (&long_field, "header-section-too-long"),
        (&many_fields, "too-many-fields"),
        (&many_interim, "too-many-interim"),
    ] {
        let shown = answer[..answer.len().min(40)].escape_ascii().to_string();
        let error = open(answer.into(), Then::Closes).unwrap_err();
        let message = error.to_string();
        let TunnelError::Failed(error) = error else { panic!("{shown}: {error:?}") };
        assert_eq!(what(&error), expected, "{shown}");
        assert_eq!(
            message,
            match expected {
                "closed" => "the proxy closed the connection before it had answered",
                _ => "the proxy answered with something that is not proper HTTP",
            },
            "{shown}"
        );
    }
}
