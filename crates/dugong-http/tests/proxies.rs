//! Connections through real proxies, tinyproxy and squid, with and without credentials. `tunnels` has TLS through them,
//! `answers` the answers that no real proxy gives on demand, `environment` the proxies that the environment names, and `socks`
//! SOCKS5.

#[cfg(feature = "rustls")]
#[path = "proxies/answers.rs"]
mod answers;
#[path = "proxies/environment.rs"]
mod environment;
#[path = "proxies/servers.rs"]
mod servers;
#[cfg(feature = "socks")]
#[path = "proxies/socks.rs"]
mod socks;
#[cfg(feature = "rustls")]
#[path = "proxies/tls.rs"]
mod tls;
#[cfg(feature = "rustls")]
#[path = "proxies/tunnels.rs"]
mod tunnels;

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dugong_http::driver::{Interest, wait};
use dugong_http::transport::Proxy;
use dugong_http::{CloseReason, Closed, Config, Connection, Error, Event, Fields, Misuse, Request, Sent, without_secrets};
use dugong_origin::{Origin, document};
use servers::{PASSWORD, Server, USER, Witness};

/// The tests wait this long only if something is broken.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// A response that has been read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Fields,
    content: Vec<u8>,
}

/// A client that goes through a proxy.
fn client(proxy: Proxy) -> Config {
    Config::new().timeout(GUARD).user_agent(None).proxy(proxy)
}

fn connect(proxy: Proxy, origin: impl Display) -> Connection {
    client(proxy).connect(format!("http://{origin}")).unwrap()
}

/// Reads the next response to its end.
fn answer(connection: &mut Connection) -> Result<Answer, Error> {
    let response = connection.read_response()?;
    let (status, fields) = (response.status().as_u16(), response.fields().clone());
    Ok(Answer { status, fields, content: response.read_all()? })
}

fn exchange(connection: &mut Connection, request: &Request) -> Answer {
    connection.send_request(request).unwrap();
    answer(connection).unwrap()
}

/// The events and the trace of a connection.
#[derive(Clone, Default)]
struct Shown {
    events: Arc<Mutex<Vec<String>>>,
    trace: Arc<Mutex<Vec<u8>>>,
}

impl Shown {
    /// Makes the same client, with its events and trace.
    fn of(&self, client: Config) -> Config {
        let events = self.events.clone();
        client.trace(self.clone()).observe(move |event| {
            let shown = match event {
                // Mask the head, as programs do before they show it.
                Event::Request { head, .. } => format!("Request {}", without_secrets(head).escape_ascii()),
                other => format!("{other:?}"),
            };
            events.lock().unwrap().push(shown);
        })
    }

    /// The names of the events, in their order.
    fn events(&self) -> String {
        let events = self.events.lock().unwrap();
        let names: Vec<_> = events.iter().map(|event| event.split(' ').next().unwrap_or_default()).collect();
        names.join(" ")
    }

    fn trace(&self) -> String {
        String::from_utf8(self.trace.lock().unwrap().clone()).unwrap()
    }

    fn all(&self) -> String {
        format!("{:?} {}", self.events.lock().unwrap(), self.trace())
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.trace.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The proxy of a server, with its credentials.
fn known(server: &Server, with_password: bool) -> Proxy {
    if with_password { server.proxy().with_credentials(USER, PASSWORD).unwrap() } else { server.proxy() }
}

#[test]
fn a_request_for_a_path_is_forwarded_to_its_host_without_the_credentials() {
    let witness = Witness::start();
    for with_password in [false, true] {
        for server in [Server::tinyproxy(1, with_password), Server::squid(1, with_password)] {
            let mut connection = connect(known(&server, with_password), witness.address);
            let answer = exchange(&mut connection, &Request::get("/a?b=c").header("X-Own", "1"));
            assert_eq!((answer.status, &*answer.content), (200, &b"seen"[..]), "{}", server.name);
            assert!(answer.fields.contains("Via"), "{}: it did not come through the proxy", server.name);
            let head = witness.head();
            assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}: {head}", server.name);
            assert!(head.contains(&format!("\r\nHost: {}\r\n", witness.address)), "{}: {head}", server.name);
            assert!(
                head.contains("\r\nX-Own: 1\r\n") && !head.to_lowercase().contains("authorization"),
                "{}: {head}",
                server.name
            );
        }
    }
}

#[test]
fn the_host_of_a_request_decides_where_it_is_forwarded_to() {
    let (one, other) = (Witness::start(), Witness::start());
    for server in [Server::tinyproxy(1, false), Server::squid(1, false)] {
        let mut connection = connect(server.proxy(), one.address);
        exchange(&mut connection, &Request::get("/").header("Host", other.address.to_string()));
        assert!(other.head().contains(&format!("\r\nHost: {}\r\n", other.address)), "{}", server.name);
        assert!(one.has_no_more(), "{}", server.name);
    }
}

#[test]
fn a_request_without_the_right_credentials_is_answered_by_the_proxy_itself() {
    let witness = Witness::start();
    for server in [Server::tinyproxy(1, true), Server::squid(1, true)] {
        let wrong = server.proxy().with_credentials(USER, "other").unwrap();
        for proxy in [server.proxy(), wrong] {
            let answer = exchange(&mut connect(proxy, witness.address), &Request::get("/"));
            assert!(matches!(answer.status, 407 | 401), "{}: {answer:?}", server.name);
            assert!(answer.content.ends_with(b"</html>\n"), "{}: {}", server.name, answer.content.escape_ascii());
        }
    }
    assert!(witness.has_no_more());
}

#[test]
fn credentials_that_a_request_brings_itself_are_the_ones_that_are_sent() {
    let witness = Witness::start();
    for server in [Server::tinyproxy(1, true), Server::squid(1, true)] {
        let wrong = server.proxy().with_credentials(USER, "other").unwrap();
        // "tester:pass-word"
        let request = Request::get("/").header("proxy-authorization", "Basic dGVzdGVyOnBhc3Mtd29yZA==");
        let answer = exchange(&mut connect(wrong, witness.address), &request);
        assert_eq!(answer.status, 200, "{}", server.name);
    }
}

#[test]
fn a_proxy_that_keeps_the_connection_takes_request_after_request_and_many_at_once() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    for with_password in [false, true] {
        let server = Server::squid(1, with_password);
        let mut connection = connect(known(&server, with_password), origin.address());
        for id in 0..3 {
            let answer = exchange(&mut connection, &Request::get(format!("/doc/{id}")));
            assert_eq!((answer.status, answer.content), (200, document(&id.to_string())));
        }
        let mut pipeline = connection.pipeline((0..100).map(|id| Request::get(format!("/doc/{id}"))));
        let mut count = 0;
        while let Some(response) = pipeline.next().unwrap() {
            assert_eq!(response.status(), 200, "{count}");
            assert_eq!(response.read_all().unwrap(), document(&count.to_string()), "{count}");
            count += 1;
        }
        let upload = Request::put("/upload").body(vec![b'x'; 300_000]);
        assert_eq!([exchange(&mut connection, &upload).status, exchange(&mut connection, &upload).status], [200, 200]);
        assert_eq!((count, connection.outstanding().answered), (100, 105));
        // This answer keeps the connection to the proxy open.
        assert_eq!(connection.close_reason(), None);
    }
}

#[test]
fn a_proxy_that_closes_after_one_answer_leaves_the_others_unanswered() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let server = Server::tinyproxy(1, false);
    let mut connection = connect(server.proxy(), origin.address());
    for id in 0..10 {
        connection.send_request(Request::get(format!("/doc/{id}"))).unwrap();
    }
    assert_eq!(answer(&mut connection).unwrap().content, document("0"));
    let error = answer(&mut connection).unwrap_err();
    assert!(error.is_closed() && error.is_temporary());
    let Error::Closed { cause: Closed::Incomplete(..), requests } = error else { panic!("{error:?}") };
    assert_eq!((requests.answered, requests.unanswered.len()), (1, 9));
    assert!(requests.unanswered.iter().all(|request| request.sent == Sent::Whole && request.is_safe_to_retry()));
}

/// tinyproxy reads one request. While that is answered, it passes all further bytes on to the origin.
#[test]
fn credentials_are_not_sent_to_a_proxy_that_would_pass_them_on() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let server = Server::tinyproxy(1, true);
    let proxy = server.proxy().with_credentials(USER, PASSWORD).unwrap();
    let mut connection = connect(proxy, address);
    connection.send_request(Request::get("/")).unwrap();
    assert!(wait(&origin, Interest::READ, Some(Instant::now() + GUARD)).unwrap(), "the proxy does not connect");
    let (mut stream, _) = origin.accept().unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    // The answer is on its way: now the proxy would pass bytes on.
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 200);
    assert!(matches!(connection.send_request(Request::get("/next")), Err(Error::Local(Misuse::ReadFirst))));

    stream.write_all(b" half").unwrap();
    assert_eq!(connection.current_response().unwrap().read_all().unwrap(), b"first half");
    let refused = connection.send_request(Request::get("/next")).unwrap_err();
    // The proxy may have closed by now.
    let (ours, theirs) = (CloseReason::ProxyNotPersistent, CloseReason::PeerClosed);
    assert!(
        matches!(refused, Error::Closed { cause: Closed::InOrder(reason), .. } if reason == ours || reason == theirs),
        "{refused:?}"
    );
    drop(connection);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn an_origin_with_an_ipv6_address_is_reached() {
    for server in [Server::tinyproxy(1, false), Server::squid(1, false)] {
        let witness = Witness::on(Ipv6Addr::LOCALHOST.into());
        let answer = exchange(&mut connect(server.proxy(), witness.address), &Request::get("/"));
        assert_eq!((answer.status, answer.fields.contains("Via")), (200, true), "{}", server.name);
        assert!(witness.head().contains(&format!("\r\nHost: [::1]:{}\r\n", witness.address.port())), "{}", server.name);
    }
}

#[test]
fn the_name_of_an_origin_is_for_the_proxy_to_resolve() {
    let (witness, shown) = (Witness::start(), Shown::default());
    let server = Server::squid(1, false);
    let url = format!("http://origin.test:{}", witness.address.port());
    let mut connection = shown.of(client(server.proxy())).connect(&url).unwrap();
    assert_eq!(exchange(&mut connection, &Request::get("/")).status, 200);
    assert!(witness.head().contains(&format!("\r\nHost: origin.test:{}\r\n", witness.address.port())));
    drop(connection);
    assert_eq!(shown.events(), "Connecting Connected Request Response Complete Closed");
    let events = shown.events.lock().unwrap();
    assert!(events[..2].iter().all(|event| !event.contains("origin.test")), "{events:?}");
}

#[test]
fn credentials_for_a_proxy_are_sent_and_not_shown() {
    let witness = Witness::start();
    let (server, shown) = (Server::squid(1, true), Shown::default());
    let config = shown.of(client(known(&server, true)));
    let mut connection = config.connect(format!("http://{}", witness.address)).unwrap();
    let before = format!("{config:?} {connection:?}");
    assert_eq!(exchange(&mut connection, &Request::get("/")).status, 200);
    let trace = shown.trace();
    assert!(trace.contains("\n> Proxy-Authorization: ***\\r\\n\n"), "{trace}");
    assert!(shown.all().contains("Request GET http://") && shown.all().contains("Proxy-Authorization: ***"), "{}", shown.all());
    hides_credentials(&format!("{before} {connection:?} {}", shown.all()));
}

/// Checks that neither the credentials nor their encoding are shown.
fn hides_credentials(text: &str) {
    assert!(!["tester", "pass-word", "dGVzdGVyOnBhc3Mtd29yZA"].iter().any(|part| text.contains(part)), "{text}");
}

#[test]
fn an_unreachable_proxy_is_named_as_the_proxy() {
    // A bound socket that does not listen keeps the port free of servers.
    let (_bound, nobody) = servers::nobody();
    let proxy = Proxy::new(&format!("http://{USER}:{PASSWORD}@{nobody}")).unwrap();
    for origin in ["http://origin.test", "https://origin.test"] {
        if cfg!(not(feature = "rustls")) && origin.starts_with("https") {
            continue;
        }
        let error = client(proxy.clone()).connect(origin).unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && error.is_temporary() && !error.is_timeout(), "{error:?}");
        let text = format!("{error:#}");
        let (host, port) = (nobody.ip(), nobody.port());
        assert!(
            text.starts_with(&format!("cannot connect to the proxy {host} port {port}: {nobody}: Connection refused")),
            "{text}"
        );
        hides_credentials(&format!("{text} {error:?}"));
    }
}
