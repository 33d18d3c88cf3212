//! Connections through danted, with and without credentials.

use std::io::Write;
use std::net::TcpListener;
use std::time::Instant;

use dugong_http::driver::{Connect, Progress, Stream, wait, wait_any};
use dugong_http::transport::{Proxy, SocksError, SocksReply, Transport};
use dugong_http::{Connection, Error, Request};
use dugong_origin::{Origin, document};

use crate::servers::{PASSWORD, Server, USER, nobody};
use crate::{GUARD, Shown, client, exchange, hides_credentials, known};

/// A loopback port without a server.
const NOBODY: u16 = 1;
/// A port that the proxy refuses to connect to.
const BLOCKED: u16 = 2;

/// The same proxy; it gets addresses.
fn with_local_names(server: &Server) -> Proxy {
    Proxy::new(&format!("socks5://{}", server.address())).unwrap()
}

fn connect(proxy: Proxy, host: &str, port: u16) -> Result<Connection, Error> {
    client(proxy).connect(format!("http://{host}:{port}/"))
}

fn is_document(mut connection: Connection) -> bool {
    exchange(&mut connection, &Request::get("/doc/7")).content == document("7")
}

#[test]
fn a_connection_leads_to_an_address_or_to_a_name_that_only_the_proxy_knows() {
    let server = Server::danted(BLOCKED, false);
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    const REMOTE: &str = "Connecting Connected Tunneling Tunneled";
    const LOCAL: &str = "Connecting Connected Resolving Resolved Tunneling Tunneled";
    for (proxy, host, events) in [
        (server.proxy(), "127.0.0.1", REMOTE),
        (with_local_names(&server), "127.0.0.1", REMOTE),
        (with_local_names(&server), "localhost", LOCAL),
        (server.proxy(), "origin.test", REMOTE),
        (server.proxy().with_credentials(USER, "not asked for").unwrap(), "origin.test", REMOTE),
    ] {
        let shown = Shown::default();
        let config = shown.of(client(proxy.clone()));
        let connection = config.connect(format!("http://{host}:{port}"));
        let connection = connection.unwrap_or_else(|error| panic!("{proxy} to {host}: {error:#}"));
        assert_eq!(connection.transport().peer_address(), Some(server.address()));
        assert_eq!(shown.events(), events, "{proxy} to {host}");
        assert!(is_document(connection), "{proxy} to {host}");
        // No target names the host, because this is not an HTTP proxy.
        assert!(shown.trace().starts_with("> GET /doc/7 HTTP/1.1\\r\\n\n"), "{}", shown.trace());
    }
}

#[test]
fn names_that_the_client_resolves_have_their_given_addresses() {
    let server = Server::danted(BLOCKED, false);
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    let config = client(with_local_names(&server)).addresses("nowhere.test", port, [origin.address()]);
    assert!(is_document(config.connect(format!("http://nowhere.test:{port}")).unwrap()));
    let error = config.addresses("nowhere.test", port, []).connect(format!("http://nowhere.test:{port}")).unwrap_err();
    assert_eq!(error.to_string(), "the name \"nowhere.test\" has no addresses");
}

#[test]
fn the_proxy_says_why_it_does_not_connect() {
    let server = Server::danted(BLOCKED, false);
    for (host, port, reply, message, is_temporary) in [
        ("127.0.0.1", NOBODY, SocksReply::ConnectionRefused, "connection refused", true),
        ("127.0.0.1", BLOCKED, SocksReply::NotAllowed, "connection not allowed by ruleset", false),
        ("nowhere.test", NOBODY, SocksReply::HostUnreachable, "host unreachable", true),
    ] {
        let error = connect(server.proxy(), host, port).unwrap_err();
        let before = format!("no connection to {host} port {port} through {}: the SOCKS proxy did not connect: ", server.proxy());
        assert_eq!(format!("{error:#}"), format!("{before}{message}"));
        assert!(matches!(error, Error::Socks { source: SocksError::Refused(found), .. } if found == reply), "{error:?}");
        assert_eq!((error.is_temporary(), error.is_timeout(), error.is_closed()), (is_temporary, false, false));
    }
}

#[test]
fn a_connection_needs_the_credentials_that_the_proxy_knows() {
    let server = Server::danted(BLOCKED, true);
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    let before = format!("no connection to origin.test port {port} through {}: ", server.proxy());
    let none = connect(server.proxy(), "origin.test", port).unwrap_err();
    assert_eq!(format!("{none:#}"), format!("{before}the SOCKS proxy wants credentials"));
    assert!(matches!(none, Error::Socks { source: SocksError::WantsCredentials { had_credentials: false }, .. }), "{none:?}");
    for (user, password) in [(USER, "other"), ("other", PASSWORD)] {
        let wrong = server.proxy().with_credentials(user, password).unwrap();
        let shown = Shown::default();
        let wrong = shown.of(client(wrong)).connect(format!("http://origin.test:{port}")).unwrap_err();
        assert_eq!(format!("{wrong:#}"), format!("{before}the SOCKS proxy refused the credentials"));
        assert!(matches!(wrong, Error::Socks { source: SocksError::CredentialsRefused, .. }) && !wrong.is_temporary());
        hides_credentials(&format!("{wrong:?} {}", shown.all()));
    }
    for proxy in [known(&server, true), with_local_names(&server).with_credentials(USER, PASSWORD).unwrap()] {
        let host = if proxy == known(&server, true) { "origin.test" } else { "localhost" };
        assert!(is_document(connect(proxy, host, port).unwrap()));
    }
}

#[test]
fn a_name_that_does_not_exist_is_no_fault_of_the_proxy() {
    let server = Server::danted(BLOCKED, false);
    let error = connect(with_local_names(&server), "nowhere.invalid", 80).unwrap_err();
    assert!(matches!(error, Error::Resolve(_)), "{error:?}");
    assert_eq!(error.to_string(), "the name \"nowhere.invalid\" does not exist");
}

#[cfg(feature = "rustls")]
#[test]
fn tls_goes_through_it_to_the_origin() {
    use crate::tls::client::trusting;
    use crate::tls::pki::Authority;
    use crate::tls::servers::{free_address, stunnel_at};

    let (authority, address) = (Authority::new("root"), free_address());
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let host = address.ip().to_string();
    let stunnel = stunnel_at(address, "", origin.address(), &authority.issue(&[&host]), &[]);
    for with_password in [false, true] {
        let server = Server::danted(BLOCKED, with_password);
        for roots in [&authority, &Authority::new("other")] {
            let shown = Shown::default();
            let config = shown.of(client(known(&server, with_password)).tls(trusting(&roots.pem)));
            let result = config.connect(format!("https://{}", stunnel.address));
            let events = "Connecting Connected Tunneling Tunneled Handshaking";
            if std::ptr::eq(roots, &raw const authority) {
                assert!(is_document(result.unwrap()));
                assert!(shown.events().starts_with(&format!("{events} Secured Request")), "{}", shown.events());
            } else {
                let error = result.unwrap_err();
                assert!(
                    matches!(&error, Error::Tls { source, .. } if source.is_certificate() && source.host == host),
                    "{error:?}"
                );
                assert_eq!(shown.events(), format!("{events} Failed"));
            }
            hides_credentials(&shown.all());
        }
    }
}

#[test]
fn a_silent_proxy_is_waited_for_as_long_as_allowed() {
    // The system queues connections, and no program accepts them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("socks5h://{}", silent.local_addr().unwrap());
    let limit = std::time::Duration::from_millis(20);
    let config = client(Proxy::new(&proxy).unwrap()).handshake_timeout(limit);
    let error = config.connect("http://origin.test").unwrap_err();
    assert!(error.is_timeout() && error.is_temporary());
    let text = format!("timed out waiting for the proxy to open a tunnel to origin.test port 80 ({proxy}): not done after 20ms");
    assert_eq!(format!("{error:#}"), text);
}

#[test]
fn an_unreachable_proxy_is_named_as_the_proxy() {
    let (_bound, address) = nobody();
    let error = connect(Proxy::new(&format!("socks5h://{address}")).unwrap(), "origin.test", 80).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.starts_with(&format!("cannot connect to the proxy 127.0.0.1 port {}: ", address.port())), "{text}");
}

/// A connection would refuse these bytes, because it has not asked for them.
#[test]
fn the_first_bytes_of_the_origin_are_not_lost() {
    let server = Server::danted(BLOCKED, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let speaker = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 I speak first\r\n").unwrap());
    let origin = dugong_http::Origin::http("origin.test", port);
    let mut connect = Connect::new(&client(server.proxy()), &origin, Instant::now()).unwrap();
    let transport = loop {
        if let Progress::Done(established) = connect.step(Instant::now()).unwrap() {
            break established.transport;
        }
        let waits = connect.poll_set();
        wait_any(&waits).unwrap();
    };
    speaker.join().unwrap();
    assert_eq!(read_to_end(&transport).escape_ascii().to_string(), "220 I speak first\\r\\n");
}

fn read_to_end(mut transport: &Transport) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 100]);
    loop {
        match transport.read(&mut buffer).unwrap() {
            Progress::Done(0) => return bytes,
            Progress::Done(count) => bytes.extend_from_slice(&buffer[..count]),
            Progress::Needs(interest) => assert!(wait(transport, interest, Some(Instant::now() + GUARD)).unwrap()),
        }
    }
}
