//! Servers that refuse, and servers that break the rules.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use dugong_http::driver::Session;
use dugong_http::transport::tls::{Alert, Tls, TlsError, TlsFailure};
use dugong_net::scripted::{Cue, Scripted};
use dugong_origin::Origin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use rustls::version::{TLS12, TLS13};

use super::client::{Client, GUARD, inner, refusal, trusting};
use super::pki::{Authority, Identity, made_by_openssl};
use super::servers::{self, nginx, openssl, stunnel};

/// A server that requires certificates of one authority, which also issued its own, and settings of clients.
struct Parties {
    authority: Authority,
    server: Identity,
}

impl Parties {
    fn new() -> Self {
        let authority = Authority::new("root");
        let server = authority.issue(&["www.example"]);
        Parties { authority, server }
    }

    fn without(&self) -> Tls {
        trusting(&self.authority.pem)
    }

    fn with_good(&self) -> Tls {
        let identity = self.authority.issue(&["client"]);
        self.without().client_certificate_pem(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap()
    }

    fn with_bad(&self) -> Tls {
        let identity = Authority::new("another authority").issue(&["client"]);
        self.without().client_certificate_pem(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap()
    }
}

fn assert_required(error: &TlsError) {
    assert!(matches!(error.what, TlsFailure::ClientCertificateRequired), "{error:?}");
    assert!(!error.is_certificate());
    assert_eq!(error.to_string(), "www.example requires a client certificate, and none was given");
}

#[test]
fn a_client_without_certificate_is_refused_in_the_handshake_of_tls_1_2() {
    let parties = Parties::new();
    let files = [("ca.pem", &*parties.authority.pem)];
    let server = openssl(&parties.server, &["-tls1_2", "-Verify", "3", "-CAfile", "ca.pem"], &files);
    assert_required(&refusal(server.address, &parties.without(), "www.example"));
    // The program accepts any certificate by default.
    let server = openssl(&parties.server, &["-tls1_2", "-Verify", "3", "-verify_return_error", "-CAfile", "ca.pem"], &files);
    let error = refusal(server.address, &parties.with_bad(), "www.example");
    assert!(matches!(error.what, TlsFailure::ClientCertificateRefused(Alert(48))), "{error:?}");
    assert_eq!(error.to_string(), "www.example refused the client certificate (TLS alert unknown_ca)");
    assert!(
        Client::connect(server.address, &parties.with_good(), "www.example")
            .unwrap()
            .get("/")
            .unwrap()
            .starts_with("HTTP/1.0 200")
    );
}

#[test]
fn a_client_without_certificate_is_refused_by_the_first_read_of_tls_1_3() {
    let parties = Parties::new();
    let arguments = ["-tls1_3", "-Verify", "3", "-verify_return_error", "-CAfile", "ca.pem"];
    let server = openssl(&parties.server, &arguments, &[("ca.pem", &parties.authority.pem)]);
    // With and without a request, whose sending may fail first.
    let mut client = Client::connect(server.address, &parties.without(), "www.example").unwrap();
    assert_required(&inner(client.read(&mut [0; 10]).unwrap_err()));
    // Every call reports it.
    assert_required(&inner(client.read(&mut [0; 10]).unwrap_err()));
    assert_required(&inner(client.step(|session, stream| session.peek(stream, &mut [0; 10])).unwrap_err()));
    assert_required(&inner(client.write_all(b"x").unwrap_err()));
    let mut client = Client::connect(server.address, &parties.without(), "www.example").unwrap();
    assert_required(&inner(client.get("/").unwrap_err()));

    let mut client = Client::connect(server.address, &parties.with_bad(), "www.example").unwrap();
    let error = inner(client.get("/").unwrap_err());
    assert!(matches!(error.what, TlsFailure::ClientCertificateRefused(Alert(48))), "{error:?}");
    assert!(
        Client::connect(server.address, &parties.with_good(), "www.example")
            .unwrap()
            .get("/")
            .unwrap()
            .starts_with("HTTP/1.0 200")
    );
}

#[test]
fn stunnel_requires_a_client_certificate() {
    let parties = Parties::new();
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let service = format!("verifyChain = yes\nCAfile = ca.pem\nsslVersion = {version}");
        let server = stunnel(&service, origin.address(), &parties.server, &[("ca.pem", &parties.authority.pem)]);
        let answer = Client::connect(server.address, &parties.with_good(), "www.example").unwrap().get("/doc/1").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        match Client::connect(server.address, &parties.without(), "www.example") {
            Ok(mut client) => assert_required(&inner(client.get("/doc/1").unwrap_err())),
            Err(error) => assert_required(&error),
        }
        let error = match Client::connect(server.address, &parties.with_bad(), "www.example") {
            Ok(mut client) => inner(client.get("/doc/1").unwrap_err()),
            Err(error) => error,
        };
        assert!(matches!(error.what, TlsFailure::ClientCertificateRefused(_)), "{error:?}");
    }
}

#[test]
fn nginx_gets_a_certificate_and_answers_in_http() {
    let parties = Parties::new();
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = format!(
            "listen $LISTEN ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols {version};
            ssl_verify_client on; ssl_client_certificate ca.pem;"
        );
        let server = nginx(&server, &parties.server, &[("ca.pem", &parties.authority.pem)]);
        let get = |tls: &Tls| Client::connect(server.address, tls, "www.example").unwrap().get("/").unwrap();
        let answer = get(&parties.with_good());
        assert!(answer.ends_with(&format!("\r\n\r\n{version}:SUCCESS:www.example")), "{answer}");
        assert!(get(&parties.without()).starts_with("HTTP/1.1 400 "));
    }
}

/// The alert arrives, then the connection breaks before the client sends its request.
#[test]
fn an_alert_is_found_when_the_request_cannot_be_sent() {
    let parties = Parties::new();
    let config = servers::demanding(&parties.server, parties.authority.store(), &[&TLS13]);
    let (address, server) = servers::rustls(config, |mut stream| {
        let error = stream.conn.complete_io(&mut stream.sock).unwrap_err();
        sockopt::set_socket_linger(&stream.sock, Some(Duration::ZERO)).unwrap();
        error.to_string()
    });
    let mut client = Client::connect(address, &parties.without(), "www.example").unwrap();
    wait_for(&client, PollFlags::HUP);
    let error = client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert_required(&inner(error));
    assert!(server.join().unwrap().contains("no certificates"));
}

/// The search for an alert does not lose bytes that arrived before the connection broke.
#[test]
fn without_an_alert_the_errors_of_the_stream_stay() {
    let parties = Parties::new();
    let (address, _server) = servers::rustls(servers::config(&parties.server, &[&TLS13]), |mut stream| {
        stream.write_all(&[b'x'; 50_000]).unwrap();
        sockopt::set_socket_linger(&stream.sock, Some(Duration::ZERO)).unwrap();
    });
    let mut client = Client::connect(address, &parties.without(), "www.example").unwrap();
    wait_for(&client, PollFlags::HUP);
    for _ in 0..2 {
        let error = client.write_all(b"x").unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{error:?}");
    }
    assert_eq!(client.read_exact(50_000).unwrap(), [b'x'; 50_000]);
    // The system reports a reset once, and the writer got it here.
    let error = client.read(&mut [0; 10]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{error:?}");
}

fn wait_for(client: &Client, event: PollFlags) {
    let timeout = Timespec::try_from(GUARD).unwrap();
    let mut sockets = [PollFd::new(&client.socket, event)];
    poll(&mut sockets, Some(&timeout)).unwrap();
    assert!(sockets[0].revents().contains(event), "the server did not go");
}

#[test]
fn a_server_with_old_versions_only_is_named() {
    let parties = Parties::new();
    let server = openssl(&parties.server, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], &[]);
    let error = refusal(server.address, &parties.without(), "www.example");
    assert!(matches!(error.what, TlsFailure::Version), "{error:?}");
    assert_eq!(error.to_string(), "www.example offers neither TLS 1.2 nor TLS 1.3; older versions are not secure");
    assert!(!error.is_certificate());
}

#[test]
fn a_server_that_speaks_another_protocol_is_told_from_one_that_refuses() {
    let parties = Parties::new();
    let server = openssl(&parties.server, &["-alpn", "h2"], &[]);
    let error = refusal(server.address, &parties.without(), "www.example");
    assert!(matches!(error.what, TlsFailure::Alert(Alert(120))), "{error:?}");
    assert_eq!(error.to_string(), "www.example does not speak HTTP/1.1 here (TLS alert no_application_protocol)");
}

#[test]
fn a_server_without_a_common_cipher_ends_with_a_named_alert() {
    let parties = Parties::new();
    let server = openssl(&parties.server, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], &[]);
    let error = refusal(server.address, &parties.without(), "www.example");
    assert!(matches!(error.what, TlsFailure::Alert(Alert(40))), "{error:?}");
    assert_eq!(
        error.to_string(),
        "www.example ended the TLS session (TLS alert handshake_failure); it may want what is not spoken here: \
         key exchange by RSA or DHE, ciphers in CBC mode, renegotiation, or TLS 1.1 and older"
    );
}

#[test]
fn a_server_with_unsupported_parameters_is_told_from_one_that_refuses() {
    let identity = made_by_openssl(2048, false);
    for cipher in ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256"] {
        let server = openssl(&identity, &["-tls1_2", "-cipher", cipher], &[]);
        let text = refusal(server.address, &trusting(&identity.chain), "www.example").to_string();
        for left_out in ["RSA", "DHE", "CBC", "renegotiation", "TLS 1.1"] {
            assert!(text.contains(left_out), "{cipher}: {text}");
        }
    }
}

#[test]
fn a_server_with_plain_http_is_quoted() {
    let parties = Parties::new();
    let server = nginx("listen $LISTEN;", &parties.server, &[]);
    let error = refusal(server.address, &parties.without(), "www.example");
    assert!(matches!(&error.what, TlsFailure::NotTls { answer } if answer == "HTTP/1.1 400 Bad Request"), "{error:?}");
    assert_eq!(error.to_string(), "www.example does not speak TLS on this port; it answered \"HTTP/1.1 400 Bad Request\"");
}

#[test]
fn other_protocols_without_tls_are_quoted_with_escapes_and_no_more_than_a_line() {
    for (banner, quoted) in [
        (&b"SSH-2.0-OpenSSH_9.2p1\r\nmore"[..], "SSH-2.0-OpenSSH_9.2p1"),
        (b"220 mail.example ESMTP\r\n", "220 mail.example ESMTP"),
        (b"\x00\x00\x12\x04\x00\x00\"\x1b[2J", "\\x00\\x00\\x12\\x04\\x00\\x00\\\"\\x1b[2J"),
        (&[b'x'; 500], &"x".repeat(64)),
    ] {
        let (address, _server) = servers::tcp(move |mut stream| {
            stream.write_all(banner).unwrap();
            servers::drain(stream);
        });
        let error = refusal(address, &Tls::new(), "www.example");
        let TlsFailure::NotTls { answer } = &error.what else { panic!("{error:?}") };
        assert_eq!(answer, quoted);
    }
}

#[test]
fn a_first_line_that_comes_byte_by_byte_is_quoted_whole() {
    let line = b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n";
    let mut stream = Scripted::reading(line.iter().map(|byte| Cue::Give(vec![*byte])));
    let error = Session::new(&Parties::new().without(), "www.example").unwrap().handshake(&mut stream).unwrap_err();
    assert!(matches!(&error.what, TlsFailure::NotTls { answer } if answer == "HTTP/1.1 400 Bad Request"), "{error:?}");
    // The line is quoted as far as it arrived.
    let mut stream = Scripted::reading(line[..20].iter().map(|byte| Cue::Give(vec![*byte])));
    let error = Session::new(&Parties::new().without(), "www.example").unwrap().handshake(&mut stream).unwrap_err();
    assert!(matches!(&error.what, TlsFailure::NotTls { answer } if answer == "HTTP/1.1 400 Bad Req"), "{error:?}");
}

#[test]
fn a_server_that_ends_or_breaks_the_connection_in_the_handshake_is_no_server_with_a_bad_certificate() {
    let (address, _server) = servers::tcp(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        servers::drain(stream);
    });
    let error = refusal(address, &Tls::new(), "www.example");
    assert!(matches!(error.what, TlsFailure::Ended), "{error:?}");
    assert_eq!(error.to_string(), "www.example closed the connection in the TLS handshake");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::UnexpectedEof);

    let (address, _server) = servers::tcp(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let error = refusal(address, &Tls::new(), "www.example");
    assert!(matches!(error.what, TlsFailure::Transport(_)), "{error:?}");
    assert_eq!(error.to_string(), "the connection to www.example broke in the TLS handshake");
    assert!(!error.is_certificate());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_server_that_breaks_the_rules_is_told_so() {
    let parties = Parties::new();
    let (address, server) = servers::tcp(|mut stream| {
        // A handshake record with a message of no known type.
        stream.write_all(b"\x16\x03\x03\x00\x04\xfa\x00\x00\x00").unwrap();
        servers::drain(stream)
    });
    let error = refusal(address, &parties.without(), "www.example");
    assert!(matches!(error.what, TlsFailure::Protocol(_)), "{error:?}");
    assert_eq!(error.to_string(), "www.example broke the rules of TLS");
    assert!(std::error::Error::source(&error).is_some());
    let received = server.join().unwrap();
    // The last record is a fatal alert: unexpected_message.
    assert!(received.ends_with(b"\x15\x03\x03\x00\x02\x02\x0a"), "{}", received.escape_ascii());
}

#[test]
fn a_refused_certificate_is_reported_to_the_server() {
    let parties = Parties::new();
    for version in [&TLS12, &TLS13] {
        let (address, server) = servers::rustls(servers::config(&parties.server, &[version]), |mut stream| {
            stream.conn.complete_io(&mut stream.sock).unwrap_err().to_string()
        });
        let other = Authority::new("other");
        assert!(refusal(address, &trusting(&other.pem), "www.example").is_certificate());
        assert_eq!(server.join().unwrap(), "received fatal alert: UnknownCA");
    }
}

/// The reverse: TLS on a port where the client expects none. Some servers send an alert (nginx answers in HTTP, openssl and
/// stunnel are silent).
#[test]
fn a_plain_client_gets_an_alert_from_a_server_with_tls() {
    let parties = Parties::new();
    let (address, server) = servers::rustls(servers::config(&parties.server, &[&TLS12, &TLS13]), |mut stream| {
        assert!(stream.conn.complete_io(&mut stream.sock).is_err());
        // Keep it open until the client has read, because unread bytes would turn the close into a reset.
        servers::drain(stream.sock);
    });
    let mut connection = dugong_http::Config::new().timeout(GUARD).connect(format!("http://{address}")).unwrap();
    connection.send_request(dugong_http::Request::get("/")).unwrap();
    let error = connection.read_response().unwrap_err();
    assert!(matches!(error, dugong_http::Error::Unsupported { at: 0, .. }), "{error:?}");
    drop(connection);
    server.join().unwrap();
}
