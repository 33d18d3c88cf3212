//! TLS through tunnels of real proxies.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dugong_http::transport::tls::TlsFailure;
use dugong_http::transport::{Proxy, Refusal, TunnelError};
use dugong_http::{Config, Connection, Error, Request};
use dugong_origin::{Origin, document};

use crate::servers::{PASSWORD, Server, USER, nobody};
use crate::tls::client::trusting;
use crate::tls::pki::{Authority, Identity};
use crate::tls::servers::{Program, config, drain, free_address, served, stunnel_at, tcp_at};
use crate::{Shown, client, exchange, hides_credentials, known};

/// An origin that speaks TLS, and the proxies that make tunnels to it.
struct Secure {
    authority: Authority,
    _origin: Origin,
    stunnel: Program,
    proxies: [Server; 2],
}

impl Secure {
    fn start(with_password: bool) -> Secure {
        let (authority, address) = (Authority::new("root"), free_address());
        let origin = Origin::start(dugong_origin::Config::default()).unwrap();
        let identity = authority.issue(&[&address.ip().to_string()]);
        let stunnel = stunnel_at(address, "", origin.address(), &identity, &[]);
        Secure { authority, _origin: origin, stunnel, proxies: proxies(address.port(), with_password) }
    }

    fn client(&self, proxy: Proxy) -> Config {
        client(proxy).tls(trusting(&self.authority.pem))
    }

    fn url(&self) -> String {
        format!("https://{}/", self.stunnel.address)
    }

    fn connect(&self, proxy: Proxy) -> Result<Connection, Error> {
        self.client(proxy).connect(self.url())
    }

    /// The proxy's refusal of a tunnel.
    fn refusal(&self, proxy: Proxy) -> Refusal {
        refusal(self.connect(proxy))
    }
}

fn proxies(port: u16, with_password: bool) -> [Server; 2] {
    [Server::tinyproxy(port, with_password), Server::squid(port, with_password)]
}

fn refusal(result: Result<Connection, Error>) -> Refusal {
    match result {
        Err(Error::Tunnel { source, .. }) => match *source {
            TunnelError::Refused(refusal) => *refusal,
            error => panic!("{error:?}"),
        },
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("there is a tunnel"),
    }
}

/// An origin for one connection. It answers a request, and returns the bytes that it received through TLS.
fn origin(host: IpAddr, identity: &Identity) -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let config = config(identity, rustls::ALL_VERSIONS);
    tcp_at(host, move |stream| {
        let mut stream = served(config, stream);
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => received.push(byte[0]),
                _ => return received,
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        received.extend(drain(stream));
        received
    })
}

#[test]
fn tls_goes_through_the_tunnel_to_the_origin() {
    for with_password in [false, true] {
        let secure = Secure::start(with_password);
        for server in &secure.proxies {
            let shown = Shown::default();
            let config = shown.of(secure.client(known(server, with_password)));
            let mut connection = config.connect(secure.url()).unwrap();
            assert!(connection.transport().tls().is_some());
            let answer = exchange(&mut connection, &Request::get("/doc/x"));
            assert_eq!((answer.status, answer.fields.contains("Via")), (200, false), "{}", server.name);
            let mut pipeline = connection.pipeline((0..100).map(|id| Request::get(format!("/doc/{id}"))));
            let mut count = 0;
            while let Some(response) = pipeline.next().unwrap() {
                assert_eq!(response.read_all().unwrap(), document(&count.to_string()), "{}", server.name);
                count += 1;
            }
            assert_eq!(count, 100);
            let events = "Connecting Connected Tunneling Tunneled Handshaking Secured Request Response Complete";
            assert!(shown.events().starts_with(events), "{}", shown.events());
            hides_credentials(&format!("{} {connection:?} {config:?}", shown.all()));
            // The trace shows the bytes inside TLS.
            let trace = shown.trace();
            assert!(trace.starts_with(&format!("> CONNECT {} HTTP/1.1\\r\\n\n", secure.stunnel.address)), "{trace}");
            assert!(
                trace.contains("\n> \\r\\n\n< HTTP/1.") && trace.contains("\n< \\r\\n\n> GET /doc/x HTTP/1.1\\r\\n\n"),
                "{trace}"
            );
        }
    }
}

#[test]
fn the_origin_is_not_told_the_credentials_for_the_proxy() {
    let authority = Authority::new("root");
    for choose in [0, 1] {
        let (address, received) = origin([127, 0, 0, 1].into(), &authority.issue(&["127.0.0.1"]));
        let server = &proxies(address.port(), true)[choose];
        let config = client(known(server, true)).tls(trusting(&authority.pem));
        let mut connection = config.connect(format!("https://{address}/")).unwrap();
        assert_eq!(exchange(&mut connection, &Request::get("/a")).content, b"hello");
        drop(connection);
        let received = String::from_utf8(received.join().unwrap()).unwrap();
        assert_eq!(received, format!("GET /a HTTP/1.1\r\nHost: {address}\r\n\r\n"), "{}", server.name);
    }
}

#[test]
fn the_certificate_has_to_be_for_the_origin_and_not_for_the_proxy() {
    let authority = Authority::new("root");
    for choose in [0, 1] {
        for (trusted, is_for_proxy) in [(true, true), (true, false), (false, false)] {
            // The certificate needs the address.
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = &proxies(address.port(), false)[choose];
            let proxy_host = server.proxy().host().to_owned();
            let identity = authority.issue(&[if is_for_proxy { &proxy_host } else { "localhost" }]);
            let received = std::thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(crate::GUARD)).unwrap();
                drain(served(config(&identity, rustls::ALL_VERSIONS), stream))
            });
            let roots = if trusted { &authority } else { &Authority::new("other") };
            let shown = Shown::default();
            let config = shown.of(client(server.proxy()).tls(trusting(&roots.pem)));
            let result = config.connect(format!("https://localhost:{}/", address.port()));
            let Err(error) = result else {
                assert!(trusted && !is_for_proxy);
                drop(result);
                assert_eq!(received.join().unwrap(), b"", "{}", server.name);
                continue;
            };
            let Error::Tls { source, requests: None } = &error else { panic!("{error:?}") };
            let text = format!("{error:#}");
            match &source.what {
                TlsFailure::WrongHost { names } if is_for_proxy => {
                    assert_eq!(*names, [&*proxy_host]);
                    assert_eq!(text, format!("the certificate of localhost is not for it, but for {proxy_host}"));
                }
                TlsFailure::UnknownIssuer if !trusted => {
                    assert!(
                        text.starts_with("the certificate of localhost was issued by an authority that is not trusted"),
                        "{text}"
                    );
                }
                other => panic!("{other:?}"),
            }
            assert!(!error.is_temporary() && !error.is_timeout() && !error.is_closed());
            assert_eq!(shown.events(), "Connecting Connected Tunneling Tunneled Handshaking Failed");
            assert_eq!(received.join().unwrap(), b"", "{}", server.name);
        }
    }
}

#[test]
fn a_name_that_only_the_proxy_knows_is_the_one_that_the_certificate_is_for() {
    let authority = Authority::new("root");
    let (address, received) = origin([127, 0, 0, 1].into(), &authority.issue(&["origin.test"]));
    let server = Server::squid(address.port(), false);
    let config = client(server.proxy()).tls(trusting(&authority.pem));
    let mut connection = config.connect(format!("https://origin.test:{}", address.port())).unwrap();
    assert_eq!(exchange(&mut connection, &Request::get("/")).content, b"hello");
    drop(connection);
    assert!(received.join().unwrap().starts_with(b"GET / HTTP/1.1\r\nHost: origin.test:"));
}

#[test]
fn an_origin_with_an_ipv6_address_is_reached() {
    let authority = Authority::new("root");
    for choose in [0, 1] {
        let (address, received) = origin(Ipv6Addr::LOCALHOST.into(), &authority.issue(&["::1"]));
        let server = &proxies(address.port(), false)[choose];
        let config = client(server.proxy()).tls(trusting(&authority.pem));
        let mut connection =
            config.connect(format!("https://{address}/")).unwrap_or_else(|error| panic!("{}: {error:#}", server.name));
        assert_eq!(exchange(&mut connection, &Request::get("/")).content, b"hello", "{}", server.name);
        drop(connection);
        assert!(received.join().unwrap().starts_with(format!("GET / HTTP/1.1\r\nHost: {address}\r\n").as_bytes()));
    }
}

#[test]
fn a_tunnel_to_a_port_that_is_not_allowed_is_refused_with_the_status() {
    for server in proxies(443, false) {
        let error = client(server.proxy()).connect("https://127.0.0.1:1/").unwrap_err();
        let text = format!("{error:#}");
        let before = format!("no tunnel to 127.0.0.1 port 1 through {}: the proxy refused the tunnel: 403 ", server.proxy());
        assert!(text.starts_with(&before) && !text.contains('\n'), "{text}");
        assert!(!error.is_temporary() && !error.is_closed() && error.requests().is_none());
        let refusal = refusal(Err(error));
        assert_eq!((refusal.head().status().as_u16(), refusal.wants_credentials()), (403, false), "{}", server.name);
        assert!(refusal.head().fields().contains("Server"));
    }
}

#[test]
fn a_tunnel_to_a_port_without_a_server_is_refused_with_the_status() {
    let (_bound, address) = nobody();
    for server in proxies(address.port(), false) {
        let error = client(server.proxy()).connect(format!("https://{address}/")).unwrap_err();
        assert!(error.is_temporary(), "{error:?}");
        let refusal = refusal(Err(error));
        assert!(refusal.head().status().as_u16() >= 500, "{}: {refusal}", server.name);
    }
}

#[test]
fn a_tunnel_needs_the_credentials_that_the_proxy_knows() {
    let secure = Secure::start(true);
    for server in &secure.proxies {
        let none = secure.refusal(server.proxy());
        assert!(none.wants_credentials() && !none.had_credentials());
        assert_eq!((none.head().status().as_u16(), none.schemes()), (407, vec!["Basic"]), "{}", server.name);
        assert_eq!(none.to_string(), "the proxy wants credentials (it takes Basic): 407 Proxy Authentication Required");

        for (user, password) in [(USER, "other"), (USER, ""), ("other", PASSWORD)] {
            let wrong = secure.refusal(server.proxy().with_credentials(user, password).unwrap());
            assert!(wrong.wants_credentials() && wrong.had_credentials());
            assert!(wrong.to_string().starts_with("the proxy refused the credentials (it takes Basic): 40"), "{wrong}");
        }
        let mut connection = secure.connect(known(server, true)).unwrap();
        assert_eq!(exchange(&mut connection, &Request::get("/doc/1")).content, document("1"), "{}", server.name);
    }
}
