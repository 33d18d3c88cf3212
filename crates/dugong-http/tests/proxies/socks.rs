//! Through danted, with and without credentials.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use dugong_http::Request;
use dugong_http::transport::{Proxy, Socket, Socks, SocksError, SocksReply, Stream};
use dugong_origin::{Origin, document};

use crate::servers::{PASSWORD, Server, USER};
use crate::{Client, connect, drive};

/// A port where nobody listens, on loopback.
const NOBODY: u16 = 1;
/// A port that the proxy does not connect to.
const BLOCKED: u16 = 2;

fn open(server: &Server, proxy: &Proxy, host: &str, port: u16) -> Result<Socket, SocksError> {
    let socket = connect(server.address());
    let mut socks = Socks::new(proxy, host, port).unwrap();
    drive(&socket, |stream| socks.step(stream))?;
    Ok(socket)
}

/// The same proxy, which is given addresses.
fn with_local_names(server: &Server) -> Proxy {
    Proxy::new(&format!("socks5://{}", server.address())).unwrap()
}

fn is_document(socket: Socket, origin: SocketAddr) -> bool {
    Client::new(socket, origin).exchange(&Request::get("/doc/7")).content == document("7")
}

#[test]
fn a_connection_leads_to_an_address_or_to_a_name_that_only_the_proxy_knows() {
    let server = Server::danted(BLOCKED, false);
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    for (proxy, host) in [
        (server.proxy(), "127.0.0.1"),
        (with_local_names(&server), "127.0.0.1"),
        (server.proxy(), "origin.test"),
        (server.proxy().with_credentials(USER, "not asked for").unwrap(), "origin.test"),
    ] {
        let socket = open(&server, &proxy, host, port).unwrap_or_else(|error| panic!("{proxy} to {host}: {error}"));
        assert!(is_document(socket, origin.address()), "{proxy} to {host}");
    }
}

#[test]
fn the_proxy_says_why_it_does_not_connect() {
    let server = Server::danted(BLOCKED, false);
    for (host, port, reply, message) in [
        ("127.0.0.1", NOBODY, SocksReply::ConnectionRefused, "the SOCKS proxy did not connect: connection refused"),
        ("127.0.0.1", BLOCKED, SocksReply::NotAllowed, "the SOCKS proxy did not connect: connection not allowed by ruleset"),
        ("nowhere.test", NOBODY, SocksReply::HostUnreachable, "the SOCKS proxy did not connect: host unreachable"),
    ] {
        let error = open(&server, &server.proxy(), host, port).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(matches!(error, SocksError::Refused(found) if found == reply), "{error:?}");
    }
}

#[test]
fn a_connection_needs_the_credentials_that_the_proxy_knows() {
    let server = Server::danted(BLOCKED, true);
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    let none = open(&server, &server.proxy(), "origin.test", port).unwrap_err();
    assert!(matches!(none, SocksError::WantsCredentials { had_credentials: false }), "{none:?}");
    assert_eq!(none.to_string(), "the SOCKS proxy wants credentials");
    for (user, password) in [(USER, "other"), ("other", PASSWORD)] {
        let wrong = server.proxy().with_credentials(user, password).unwrap();
        let wrong = open(&server, &wrong, "origin.test", port).unwrap_err();
        assert!(matches!(wrong, SocksError::CredentialsRefused), "{wrong:?}");
        assert_eq!(wrong.to_string(), "the SOCKS proxy refused the credentials");
    }
    let right = server.proxy().with_credentials(USER, PASSWORD).unwrap();
    assert!(is_document(open(&server, &right, "origin.test", port).unwrap(), origin.address()));
}

#[test]
fn what_the_origin_says_first_is_not_lost() {
    let server = Server::danted(BLOCKED, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let speaker = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 I speak first\r\n").unwrap());
    let socket = open(&server, &server.proxy(), "origin.test", port).unwrap();
    speaker.join().unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 100];
    loop {
        match drive(&socket, |stream| stream.read(&mut buffer)).unwrap() {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    assert_eq!(said.escape_ascii().to_string(), "220 I speak first\\r\\n");
}
