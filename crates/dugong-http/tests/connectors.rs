//! Resolvers and connectors of the caller's.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use dugong_http::driver::Connect;
use dugong_http::transport::ResolveError;
use dugong_http::{Config, Error, Origin, Proxy, Request, TimeLimit, WaitingFor};
use dugong_net::{
    BaseStream, CallerStream, Connector, Destination, Interest, PendingStream, PollSet, Progress, Socket, wait_any,
};

/// A server that answers every request.
fn server() -> (dugong_origin::Origin, SocketAddr) {
    let server = dugong_origin::Origin::start(dugong_origin::Config::default()).unwrap();
    let address = server.address();
    (server, address)
}

#[test]
fn a_resolver_is_asked_for_names_and_not_for_addresses() {
    let (_server, address) = server();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let config = Config::new().resolver({
        let asked = asked.clone();
        move |host: &str, port: u16| {
            asked.lock().unwrap().push(format!("{host} {port}"));
            Ok(vec![address])
        }
    });
    for url in ["http://www.test:81/".to_owned(), "http://B\u{fc}cher.test/".to_owned(), format!("http://{address}/")] {
        let mut connection = config.connect(&url).unwrap();
        connection.send_request(Request::get("/doc/1")).unwrap();
        assert_eq!(connection.read_response().unwrap().status(), 200, "{url}");
    }
    assert_eq!(*asked.lock().unwrap(), ["www.test 81", "xn--bcher-kva.test 80"]);
}

#[test]
fn an_error_of_a_resolver_ends_connecting_and_no_addresses_are_an_error() {
    let config = Config::new().resolver(|host: &str, _: u16| match host {
        "empty.test" => Ok(Vec::new()),
        _ => Err(ResolveError::NotFound { name: host.into() }),
    });
    for (url, expected) in [
        ("http://none.test/", "the name \"none.test\" does not exist"),
        ("http://empty.test/", "the name \"empty.test\" has no addresses"),
    ] {
        let error = config.connect(url).unwrap_err();
        assert!(matches!(error, Error::Resolve(_)), "{error:?}");
        assert_eq!(error.to_string(), expected);
    }
}

/// Streams that a test holds the other ends of.
#[derive(Clone, Default)]
struct Pairs {
    theirs: Arc<Mutex<Vec<(String, UnixStream)>>>,
    is_secure: bool,
}

impl Pairs {
    fn take(&self) -> (String, UnixStream) {
        self.theirs.lock().unwrap().pop().expect("the connector was not asked")
    }
}

impl Connector for Pairs {
    fn connect(&self, to: &Destination<'_>) -> io::Result<Box<dyn PendingStream>> {
        let (ours, theirs) = UnixStream::pair()?;
        self.theirs.lock().unwrap().push((format!("{}:{} for {}", to.host, to.port, to.origin), theirs));
        Ok(Box::new(Pair { stream: Some(ours), is_secure: self.is_secure }))
    }
}

struct Pair {
    stream: Option<UnixStream>,
    is_secure: bool,
}

impl PendingStream for Pair {
    fn step(&mut self, _: Instant) -> io::Result<Poll<BaseStream>> {
        Ok(Poll::Ready(CallerStream::new(self.stream.take().unwrap())?.into()))
    }

    fn waits<'a>(&'a self, _: &mut PollSet<'a>) {}

    fn is_secure(&self) -> bool {
        self.is_secure
    }
}

#[test]
fn a_connector_is_told_the_proxy_and_the_tunnel_is_opened_over_its_stream() {
    let pairs = Pairs::default();
    let config = Config::new().connector(pairs.clone()).proxy(Proxy::new("http://proxy.test:3128").unwrap());
    let mut connect = Connect::new(&config, &Origin::https("www.test", 443), Instant::now()).unwrap();
    assert!(matches!(connect.step(Instant::now()).unwrap(), Progress::Needs(need) if need.phase == WaitingFor::Tunnel));
    let (to, mut theirs) = pairs.take();
    assert_eq!(to, "proxy.test:3128 for https://www.test");
    let mut sent = [0; 28];
    theirs.read_exact(&mut sent).unwrap();
    assert_eq!(&sent, b"CONNECT www.test:443 HTTP/1.");
}

#[cfg(feature = "rustls")]
#[test]
fn a_stream_that_is_secure_already_gets_no_tunnel_and_no_handshake() {
    let pairs = Pairs { is_secure: true, ..Pairs::default() };
    let config = Config::new().connector(pairs.clone()).proxy(Proxy::new("http://proxy.test:3128").unwrap());
    let mut connection = config.connect("https://www.test/").unwrap();
    let (_, mut theirs) = pairs.take();
    connection.send_request(Request::get("/")).unwrap();
    theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 204);
    let mut sent = [0; 14];
    theirs.read_exact(&mut sent).unwrap();
    assert_eq!(&sent, b"GET / HTTP/1.1");
}

#[cfg(feature = "rustls")]
#[test]
fn a_handshake_begins_on_the_stream_of_a_connector() {
    let pairs = Pairs::default();
    let config = Config::new().connector(pairs.clone());
    let mut connect = Connect::new(&config, &Origin::https("www.test", 443), Instant::now()).unwrap();
    assert!(matches!(connect.step(Instant::now()).unwrap(), Progress::Needs(need) if need.phase == WaitingFor::Handshake));
    let mut record = [0; 2];
    pairs.take().1.read_exact(&mut record).unwrap();
    assert_eq!(record, [22, 3]);
}

#[test]
fn an_error_of_a_connector_is_one_of_connecting() {
    let config = Config::new().connector(|_: &Destination<'_>| Err(io::ErrorKind::ConnectionRefused.into()));
    let error = config.connect("http://www.test/").unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(format!("{error:#}"), "cannot connect to www.test port 80: connection refused");
    assert!(error.is_temporary());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionRefused);
}

/// A connector that waits for a descriptor that never becomes ready.
struct Endless;

struct Waiting(UnixStream, UnixStream);

impl Connector for Endless {
    fn connect(&self, _: &Destination<'_>) -> io::Result<Box<dyn PendingStream>> {
        let (one, other) = UnixStream::pair()?;
        Ok(Box::new(Waiting(one, other)))
    }
}

impl PendingStream for Waiting {
    fn step(&mut self, _: Instant) -> io::Result<Poll<BaseStream>> {
        let _other = &self.1;
        Ok(Poll::Pending)
    }

    fn waits<'a>(&'a self, set: &mut PollSet<'a>) {
        set.on(self.0.as_fd(), Interest::READ);
    }
}

#[test]
fn the_limit_of_connecting_ends_the_wait_for_a_connector() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let config = Config::new().connector(Endless).connect_timeout(second);
    let mut connect = Connect::new(&config, &Origin::http("www.test", 80), start).unwrap();
    let Progress::Needs(need) = connect.step(start).unwrap() else { panic!("it cannot be done") };
    assert_eq!((need.until, need.phase), (Some(start + second), WaitingFor::Connection));
    let mut set = connect.poll_set();
    assert_eq!((set.descriptors().len(), set.deadline()), (1, Some(start + second)));
    set.until(start);
    assert!(!wait_any(&set).unwrap());
    let error = connect.step(start + second).map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::TimedOut { waiting_for: WaitingFor::Connection, limit: TimeLimit::Phase(limit), .. } if *limit == second),
        "{error:?}"
    );
}

#[test]
fn a_configuration_shows_that_it_has_a_connector_and_not_what_is_in_it() {
    let config = Config::new().connector(Pairs::default());
    assert!(format!("{config:?}").contains("connector: Some(connector)"));
}

/// A stream that is not a socket.
#[cfg(feature = "tokio")]
fn of_caller(stream: impl dugong_net::PollableStream) -> io::Result<BaseStream> {
    Ok(CallerStream::new(stream)?.into())
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn tasks_refuse_a_connector_whose_stream_is_no_socket() {
    use dugong_http::tokio::Connection;

    let (one, _other) = UnixStream::pair().unwrap();
    let copy = one.try_clone().unwrap();
    let config = Config::new().connector(move |_: &Destination<'_>| of_caller(copy.try_clone()?));
    let error = Connection::connect_to(&config, &Origin::http("www.test", 80)).await.map(drop).unwrap_err();
    assert_eq!(format!("{error:#}"), "cannot connect to www.test port 80: tasks wait for sockets only");
    let config = Config::new().connector(move |_: &Destination<'_>| Ok(Socket::new(one.try_clone()?)?.into()));
    assert!(Connection::connect_to(&config, &Origin::http("www.test", 80)).await.is_ok());
}
