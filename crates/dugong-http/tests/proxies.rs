//! Through real proxies, tinyproxy and squid, with and without credentials; `answers` has what no real one answers on demand, and
//! `socks` the proxies of SOCKS5.

#[path = "proxies/answers.rs"]
mod answers;
#[path = "proxies/servers.rs"]
mod servers;
#[cfg(feature = "socks")]
#[path = "proxies/socks.rs"]
mod socks;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use dugong_http::step::{Duplex, Interest, Progress, Receiving, Sending, Shared};
use dugong_http::transport::{Proxy, Refusal, Socket, Tunnel, TunnelError, wait};
use dugong_http::{CloseReason, Closed, Config, Error, Fields, Misuse, Request, Sent};
use dugong_origin::{Origin, document};
use servers::{PASSWORD, Server, USER, Witness};

/// Nothing that a test waits for takes so long, unless something is wrong.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// A connection, with the engine that speaks HTTP over it.
struct Client {
    socket: Socket,
    sending: Sending,
    receiving: Receiving,
    shared: Shared,
}

/// A response that was read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    fields: Fields,
    content: Vec<u8>,
}

impl Client {
    /// To an origin, over a socket that leads there.
    fn new(socket: Socket, origin: SocketAddr) -> Client {
        let config = Config::new().user_agent(None);
        let sending = Sending::new(&origin.to_string(), &config).unwrap();
        Client { socket, sending, receiving: Receiving::new(&config), shared: Shared::default() }
    }

    /// To an origin, by requests to the proxy.
    fn by_proxy(server: &Server, proxy: &Proxy, origin: SocketAddr) -> Client {
        let mut client = Client::new(connect(server.address()), origin);
        client.sending.through_proxy(proxy);
        client
    }

    fn drive<T>(
        &mut self,
        mut step: impl FnMut(&mut Duplex<'_>, &mut &Socket) -> Result<Progress<T>, Error>,
    ) -> Result<T, Error> {
        let Client { socket, sending, receiving, shared } = self;
        let mut duplex = Duplex { sending: Some(sending), receiving: Some(receiving), shared };
        drive(socket, |stream| step(&mut duplex, stream))
    }

    fn send(&mut self, request: &Request) -> Result<u64, Error> {
        self.drive(|duplex, stream| duplex.send_request(request, stream))
    }

    fn answer(&mut self) -> Result<Answer, Error> {
        self.drive(|duplex, stream| duplex.read_head(stream))?;
        let head = self.receiving.half().head();
        let (status, fields) = (head.status().as_u16(), head.fields().clone());
        let (mut content, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = self.drive(|duplex, stream| duplex.read_content(&mut buffer, stream))?;
            if count == 0 {
                return Ok(Answer { status, fields, content });
            }
            content.extend_from_slice(&buffer[..count]);
        }
    }

    fn exchange(&mut self, request: &Request) -> Answer {
        self.send(request).unwrap();
        self.answer().unwrap()
    }
}

fn connect(address: SocketAddr) -> Socket {
    Socket::new(std::net::TcpStream::connect(address).unwrap()).unwrap()
}

/// Makes a step, again and again until it is done or fails.
fn drive<T, E>(socket: &Socket, mut step: impl FnMut(&mut &Socket) -> Result<Progress<T>, E>) -> Result<T, E> {
    loop {
        match step(&mut &*socket)? {
            Progress::Done(value) => return Ok(value),
            Progress::Needs(interest) => assert!(socket.wait(interest, Some(GUARD)).unwrap(), "nothing happens"),
        }
    }
}

/// Opens a tunnel to an origin.
fn tunnel(server: &Server, proxy: &Proxy, origin: SocketAddr) -> Result<Client, TunnelError> {
    let socket = connect(server.address());
    let mut tunnel = Tunnel::through(proxy, &origin.ip().to_string(), origin.port()).unwrap();
    drive(&socket, |stream| tunnel.step(stream))?;
    Ok(Client::new(socket, origin))
}

/// The proxy's refusal of a tunnel.
fn refusal(server: &Server, proxy: &Proxy, origin: SocketAddr) -> Refusal {
    match tunnel(server, proxy, origin) {
        Err(TunnelError::Refused(refusal)) => *refusal,
        Err(error) => panic!("{}: {error:?}", server.name),
        Ok(_) => panic!("{}: there is a tunnel", server.name),
    }
}

/// An origin, and the proxies that make tunnels to it.
fn origin_behind_proxies(with_password: bool) -> (Origin, [Server; 2]) {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let port = origin.address().port();
    (origin, [Server::tinyproxy(port, with_password), Server::squid(port, with_password)])
}

#[test]
fn a_tunnel_carries_a_connection_to_the_origin() {
    let (origin, proxies) = origin_behind_proxies(false);
    for server in &proxies {
        let mut client = tunnel(server, &server.proxy(), origin.address()).unwrap();
        for id in ["1", "2", "3"] {
            let answer = client.exchange(&Request::get(format!("/doc/{id}")));
            assert_eq!((answer.status, answer.content), (200, document(id)), "{}", server.name);
        }
    }
}

#[test]
fn a_tunnel_to_a_port_that_is_not_allowed_is_refused_with_the_status() {
    let (_origin, proxies) = origin_behind_proxies(false);
    for server in &proxies {
        let other = SocketAddr::from(([127, 0, 0, 1], 1));
        let refusal = refusal(server, &server.proxy(), other);
        assert_eq!((refusal.head().status().as_u16(), refusal.wants_credentials()), (403, false), "{}", server.name);
        assert!(refusal.head().fields().contains("Server"));
        assert!(refusal.to_string().starts_with("the proxy refused the tunnel: 403 "), "{refusal}");
    }
}

#[test]
fn a_tunnel_to_where_nobody_listens_is_refused_with_the_status() {
    // As long as it is bound and does not listen, nobody else listens there.
    let nobody = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&nobody, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address: SocketAddr = rustix::net::getsockname(&nobody).unwrap().try_into().unwrap();
    for server in [Server::tinyproxy(address.port(), false), Server::squid(address.port(), false)] {
        let refusal = refusal(&server, &server.proxy(), address);
        assert!(refusal.head().status().as_u16() >= 500, "{}: {refusal}", server.name);
    }
}

#[test]
fn a_tunnel_needs_the_credentials_that_the_proxy_knows() {
    let (origin, proxies) = origin_behind_proxies(true);
    for server in &proxies {
        let none = refusal(server, &server.proxy(), origin.address());
        assert!(none.wants_credentials() && !none.had_credentials());
        assert_eq!((none.head().status().as_u16(), none.schemes()), (407, vec!["Basic"]), "{}", server.name);
        assert_eq!(none.to_string(), "the proxy wants credentials (it takes Basic): 407 Proxy Authentication Required");

        for (user, password) in [(USER, "other"), (USER, ""), ("other", PASSWORD)] {
            let wrong = server.proxy().with_credentials(user, password).unwrap();
            let wrong = refusal(server, &wrong, origin.address());
            assert!(wrong.wants_credentials() && wrong.had_credentials());
            assert!(wrong.to_string().starts_with("the proxy refused the credentials (it takes Basic): 40"), "{wrong}");
        }

        let mut client = tunnel(server, &server.proxy().with_credentials(USER, PASSWORD).unwrap(), origin.address()).unwrap();
        assert_eq!(client.exchange(&Request::get("/doc/1")).content, document("1"), "{}", server.name);
    }
}

#[test]
fn a_request_for_a_path_is_forwarded_to_its_host_without_the_credentials() {
    let witness = Witness::start();
    for with_password in [false, true] {
        for server in [Server::tinyproxy(1, with_password), Server::squid(1, with_password)] {
            let mut proxy = server.proxy();
            if with_password {
                proxy = proxy.with_credentials(USER, PASSWORD).unwrap();
            }
            let mut client = Client::by_proxy(&server, &proxy, witness.address);
            let answer = client.exchange(&Request::get("/a?b=c").header("X-Own", "1"));
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
        let mut client = Client::by_proxy(&server, &server.proxy(), one.address);
        client.exchange(&Request::get("/").header("Host", other.address.to_string()));
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
            let answer = Client::by_proxy(&server, &proxy, witness.address).exchange(&Request::get("/"));
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
        let answer = Client::by_proxy(&server, &wrong, witness.address).exchange(&request);
        assert_eq!(answer.status, 200, "{}", server.name);
    }
}

#[test]
fn a_proxy_that_keeps_the_connection_takes_request_after_request_and_many_at_once() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    for with_password in [false, true] {
        let server = Server::squid(1, with_password);
        let proxy = if with_password { server.proxy().with_credentials(USER, PASSWORD).unwrap() } else { server.proxy() };
        let mut client = Client::by_proxy(&server, &proxy, origin.address());
        for id in 0..3 {
            let answer = client.exchange(&Request::get(format!("/doc/{id}")));
            assert_eq!((answer.status, answer.content), (200, document(&id.to_string())));
        }
        for id in 0..10 {
            client.send(&Request::get(format!("/doc/{id}"))).unwrap();
        }
        for id in 0..10 {
            let answer = client.answer().unwrap();
            assert_eq!((answer.status, answer.content), (200, document(&id.to_string())), "{id}");
        }
        let upload = Request::put("/upload").body(vec![b'x'; 300_000]);
        assert_eq!([client.exchange(&upload).status, client.exchange(&upload).status], [200, 200]);
        assert_eq!(client.shared.requests().answered, 15);
    }
}

#[test]
fn a_proxy_that_closes_after_one_answer_leaves_it_clear_what_was_not_answered() {
    let origin = Origin::start(dugong_origin::Config::default()).unwrap();
    let server = Server::tinyproxy(1, false);
    let mut client = Client::by_proxy(&server, &server.proxy(), origin.address());
    for id in 0..10 {
        client.send(&Request::get(format!("/doc/{id}"))).unwrap();
    }
    assert_eq!(client.answer().unwrap().content, document("0"));
    let error = client.answer().unwrap_err();
    let Error::Closed { cause: Closed::Incomplete(..), requests } = error else { panic!("{error:?}") };
    assert_eq!((requests.answered, requests.unanswered.len()), (1, 9));
    assert!(requests.unanswered.iter().all(|request| request.sent == Sent::Whole && request.is_safe_to_retry()));
}

/// tinyproxy reads one request, and while it is answered passes on to the origin whatever follows.
#[test]
fn credentials_are_not_sent_to_a_proxy_that_would_pass_them_on() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let server = Server::tinyproxy(1, true);
    let proxy = server.proxy().with_credentials(USER, PASSWORD).unwrap();
    let mut client = Client::by_proxy(&server, &proxy, address);
    client.send(&Request::get("/")).unwrap();
    assert!(wait(&origin, Interest::READ, Some(Instant::now() + GUARD)).unwrap(), "the proxy does not connect");
    let (mut stream, _) = origin.accept().unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    // The answer is on its way: from now on it would pass on.
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
    client.drive(|duplex, stream| duplex.read_head(stream)).unwrap();
    assert!(matches!(client.send(&Request::get("/next")), Err(Error::Local(Misuse::ReadFirst))));

    stream.write_all(b" half").unwrap();
    let mut content = Vec::new();
    loop {
        let mut buffer = [0; 100];
        let count = client.drive(|duplex, stream| duplex.read_content(&mut buffer, stream)).unwrap();
        if count == 0 {
            break;
        }
        content.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(content, b"first half");
    let refused = client.send(&Request::get("/next")).unwrap_err();
    // Unless the proxy has closed by now.
    let (ours, theirs) = (CloseReason::ProxyNotPersistent, CloseReason::PeerClosed);
    assert!(
        matches!(refused, Error::Closed { cause: Closed::InOrder(reason), .. } if reason == ours || reason == theirs),
        "{refused:?}"
    );
    drop(client);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}
