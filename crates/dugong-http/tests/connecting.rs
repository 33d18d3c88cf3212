//! Connecting: addresses, time limits, sockets of every kind, streams of the caller's, and observation.

mod network;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dugong_http::driver::{Connect, Progress};
use dugong_http::transport::Address;
use dugong_http::{Config, Connection, Error, Event, Origin, Proxy, Request, TimeLimit, WaitingFor};
use network::{LIMIT, in_a_network_of_its_own, must};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A limit that only a wait can reach in these tests, for events that never happen.
const SHORT: Duration = Duration::from_millis(20);

fn config() -> Config {
    Config::new().timeout(LIMIT).user_agent(None)
}

/// Answers one request on one connection, and returns the request.
fn serve(mut stream: impl Read + Write) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.write_all(HELLO).unwrap();
    String::from_utf8(head).unwrap()
}

/// A server for one request.
fn server(address: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind(address).unwrap();
    (listener.local_addr().unwrap(), thread::spawn(move || serve(listener.accept().unwrap().0)))
}

fn get(connection: &mut Connection) -> Vec<u8> {
    connection.send_request(Request::get("/")).unwrap();
    connection.read_response().unwrap().read_all().unwrap()
}

/// Two addresses whose hosts accept packets and never answer.
fn black_holes() -> [SocketAddr; 2] {
    for arguments in [
        "link add hole type veth peer name bottom",
        "link set hole up",
        "link set bottom up",
        "addr add 192.0.2.1/24 dev hole",
        "addr add 2001:db8::1/64 dev hole nodad",
        "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev hole",
        "neigh add 192.0.2.10 lladdr 02:00:00:00:00:09 dev hole",
        "neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev hole",
    ] {
        must(Command::new("ip").args(arguments.split(' ')), "iproute2");
    }
    ["192.0.2.9:80".parse().unwrap(), "[2001:db8::9]:80".parse().unwrap()]
}

fn www() -> Origin {
    Origin::http("www.example", 80)
}

// Addresses.

#[test]
fn an_address_that_does_not_answer_costs_little() {
    in_a_network_of_its_own(|_| {
        let [dead, also_dead] = black_holes();
        let (good, server) = server("127.0.0.1:80");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let observed = config().addresses("www.example", 80, [also_dead, dead, good]).observe({
            let seen = seen.clone();
            move |event| match event {
                Event::Connecting { address } => seen.lock().unwrap().push(address.to_string()),
                Event::Connected { peer, .. } => seen.lock().unwrap().push(format!("connected {}", peer.unwrap())),
                _ => {}
            }
        });
        let mut connection = observed.connect("http://www.example").unwrap();
        assert_eq!(get(&mut connection), b"hello");
        // The families alternate, and the one that answers wins.
        let addresses = [&also_dead.to_string(), &dead.to_string(), "127.0.0.1:80", "connected 127.0.0.1:80"];
        assert_eq!(*seen.lock().unwrap(), addresses);
        server.join().unwrap();
        // The others are closed.
        let sockets = std::fs::read_to_string("/proc/self/net/tcp6").unwrap();
        assert!(sockets.lines().skip(1).all(|line| line.split_whitespace().nth(3) != Some("02")), "{sockets}");
    });
}

/// Time is an argument, so this takes none.
#[test]
fn the_next_address_is_tried_after_250_ms_beside_the_first() {
    in_a_network_of_its_own(|_| {
        let [first, second] = black_holes();
        let third: SocketAddr = "192.0.2.10:80".parse().unwrap();
        let began = Arc::new(Mutex::new(Vec::new()));
        let config = Config::new().addresses("www.example", 80, [first, second, third]).observe({
            let began = began.clone();
            move |event| {
                if let Event::Connecting { address: Address::Ip(address) } = event {
                    began.lock().unwrap().push(*address);
                }
            }
        });
        let start = Instant::now();
        let mut connect = Connect::new(&config, &www(), start).unwrap();
        for (ms, attempts) in [(0, 1), (249, 1), (250, 2), (400, 2), (499, 2), (500, 3), (750, 3), (60_000, 3)] {
            assert!(matches!(connect.step(start + Duration::from_millis(ms)).unwrap(), Progress::Needs(_)));
            assert_eq!(*began.lock().unwrap(), [first, second, third][..attempts], "after {ms} ms");
            let waits = connect.poll_set();
            assert_eq!(waits.descriptors().len(), attempts);
            assert_eq!(waits.deadline().is_some(), attempts < 3);
        }
    });
}

#[test]
fn two_hundred_connections_to_nowhere_end_when_they_have_to_and_leave_nothing_behind() {
    in_a_network_of_its_own(|_| {
        let [dead, _] = black_holes();
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let (before, threads_before) = (open(), threads());
        // With a clock that the test sets.
        let start = Instant::now();
        let config = Config::new().connect_timeout(Duration::from_secs(1)).addresses("www.example", 80, [dead]);
        let mut connects: Vec<_> = (0..200).map(|_| Connect::new(&config, &www(), start).unwrap()).collect();
        for connect in &mut connects {
            assert!(matches!(connect.step(start).unwrap(), Progress::Needs(_)));
            assert!(matches!(connect.step(start + Duration::from_millis(999)).unwrap(), Progress::Needs(_)));
            let waits = connect.poll_set();
            assert_eq!(waits.deadline(), Some(start + Duration::from_secs(1)));
        }
        assert!(open() >= before + 200);
        for connect in &mut connects {
            let error = connect.step(start + Duration::from_secs(1)).map(drop).unwrap_err();
            let text = "timed out connecting to www.example port 80 (192.0.2.9:80: no answer): not done after 1s";
            assert_eq!(error.to_string(), text);
        }
        assert_eq!((open(), threads()), (before, threads_before));
        // With the clock of the machine.
        let all: Vec<_> = (0..200)
            .map(|_| {
                let config = config.clone().connect_timeout(SHORT);
                thread::spawn(move || config.connect("http://www.example").map(drop).unwrap_err())
            })
            .collect();
        for one in all {
            let error = one.join().unwrap();
            assert!(matches!(error, Error::TimedOut { waiting_for: WaitingFor::Connection, .. }), "{error:?}");
        }
        assert_eq!(open(), before);
    });
}

#[test]
fn when_all_addresses_fail_each_is_named_with_its_reason() {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let dead = [free(), SocketAddr::new(Ipv6Addr::LOCALHOST.into(), free().port())];
    let error = config().addresses("www.example", 80, dead).connect("http://www.example").map(drop).unwrap_err();
    let Error::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.attempts().len(), 2);
    let text = format!("{error:#}");
    assert!(text.starts_with("cannot connect to www.example port 80: "), "{text}");
    assert!(dead.iter().all(|address| text.contains(&format!("{address}: "))), "{text}");
    assert!(!text.contains('\n') && error.is_temporary());
    let nobody = config().addresses("www.example", 80, []).connect("http://www.example").map(drop).unwrap_err();
    assert_eq!(format!("{nobody:#}"), "cannot connect to www.example port 80: no address to connect to");
}

#[test]
fn names_are_looked_up_with_and_without_a_limit_of_time() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1\noptions timeout:1 attempts:1");
        let _server = network.start("127.0.0.1", &["--no-daemon", "--address=/www.example/127.0.0.1", "--local=/example/"][1..]);
        for config in [Config::new(), config(), Config::new().deadline(LIMIT)] {
            let (_, server) = server("127.0.0.1:80");
            assert_eq!(get(&mut config.connect("http://www.example").unwrap()), b"hello");
            assert!(server.join().unwrap().contains("\r\nHost: www.example\r\n"));
            let error = config.connect("http://nobody.example").map(drop).unwrap_err();
            assert_eq!(error.to_string(), "the name \"nobody.example\" does not exist");
            assert!(matches!(error, Error::Resolve(_)) && !error.is_temporary());
        }
    });
}

/// IDNA 2003 maps it to `fass.de`, which may have another owner.
#[test]
fn a_name_beyond_ascii_is_looked_up_and_sent_as_a_labels() {
    in_a_network_of_its_own(|network| {
        network.file("hosts", "127.0.0.1 xn--fa-hia.de\n127.0.0.2 fass.de\n");
        for (config, url) in [
            (config(), "http://fa\u{df}.de"),
            (Config::new(), "http://FA\u{df}.de"),
            (Config::new(), "http://fa%C3%9F.de"),
            (config().proxy(Proxy::new("http://fa\u{df}.de:80").unwrap()), "http://fa\u{df}.de"),
        ] {
            let (_, server) = server("127.0.0.1:80");
            assert_eq!(get(&mut config.connect(url).unwrap()), b"hello");
            assert!(server.join().unwrap().contains("\r\nHost: xn--fa-hia.de\r\n"), "{url}");
        }
        let config = config().addresses("b\u{fc}cher.example", 80, ["127.0.0.2:80".parse().unwrap()]);
        let (_, server) = server("127.0.0.2:80");
        assert_eq!(get(&mut config.connect_to(&Origin::http("B\u{fc}cher.example", 80)).unwrap()), b"hello");
        assert!(server.join().unwrap().contains("\r\nHost: xn--bcher-kva.example\r\n"));
    });
}

#[test]
fn a_silent_name_server_is_waited_for_no_longer_than_allowed() {
    in_a_network_of_its_own(|network| {
        network.configure("nameserver 127.0.0.1");
        let _silent = std::net::UdpSocket::bind("127.0.0.1:53").unwrap();
        let error = Config::new().resolve_timeout(SHORT).connect("http://www.example").map(drop).unwrap_err();
        assert_eq!(error.to_string(), "timed out looking up the name of www.example: not done after 20ms");
        let error = Config::new().establish_timeout(SHORT).connect("http://www.example").map(drop).unwrap_err();
        assert_eq!(error.to_string(), "timed out looking up the name of www.example: no connection after 20ms");
        assert!(error.is_timeout() && error.is_temporary());
    });
}

#[test]
fn the_socket_is_as_the_options_say() {
    let (address, server) = server("127.0.0.1:0");
    let config = config().source_address(IpAddr::from([127, 0, 0, 99])).interface("lo").tcp_keep_alive(LIMIT);
    let mut connection = config.socket_buffers(50_000, 60_000).connect(format!("http://{address}")).unwrap();
    assert_eq!(connection.transport().local_address().unwrap().ip(), IpAddr::from([127, 0, 0, 99]));
    let socket = socket2::SockRef::from(connection.transport());
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), LIMIT);
    assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    // Linux doubles the sizes for its own needs.
    assert_eq!((socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()), (100_000, 120_000));
    assert_eq!(get(&mut connection), b"hello");
    server.join().unwrap();
}

#[test]
fn options_that_cannot_be_had_are_errors_of_connecting() {
    let (address, _server) = server("127.0.0.1:0");
    let url = format!("http://{address}");
    for (config, reason) in [
        (config().source_address(IpAddr::from(Ipv6Addr::LOCALHOST)), "not reachable from ::1, which is an IPv6 address"),
        (config().source_address(IpAddr::from(Ipv6Addr::UNSPECIFIED)), "not an IPv6 address"),
        (config().source_address(IpAddr::from([192, 0, 2, 77])), "source address 192.0.2.77: Cannot assign requested address"),
        (config().interface("nowhere0"), "interface \"nowhere0\": No such device"),
        (config().tcp_keep_alive(Duration::ZERO), "keep-alive after 0ns: Invalid argument"),
    ] {
        let text = format!("{:#}", config.connect(&url).map(drop).unwrap_err());
        assert!(text.starts_with("cannot connect to 127.0.0.1 port ") && text.contains(reason), "{text}");
    }
}

// Other streams.

#[test]
fn a_unix_socket_is_as_good_as_any() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0));
    // Neither the name nor the proxy is used.
    let config = config().unix_socket(&path).proxy(Proxy::new("http://nobody.invalid").unwrap());
    let mut connection = config.connect("http://www.example").unwrap();
    assert_eq!(get(&mut connection), b"hello");
    assert_eq!((connection.transport().peer_address(), connection.transport().local_address()), (None, None));
    assert_eq!(server.join().unwrap(), "GET / HTTP/1.1\r\nHost: www.example\r\n\r\n");
    let error = config.connect("http://www.example").map(drop).unwrap_err();
    let text = format!("cannot connect to {0}: {0}: Connection refused (os error 111)", path.display());
    assert_eq!(format!("{error:#}"), text);
}

#[test]
fn a_unix_socket_whose_queue_is_full_is_waited_for() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("socket");
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let first = config().unix_socket(&path).connect("http://www.example").unwrap();
    let error = config().connect_timeout(SHORT).unix_socket(&path).connect("http://www.example").map(drop).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let second = thread::spawn({
        let config = config().unix_socket(&path);
        move || get(&mut config.connect("http://www.example").unwrap())
    });
    let accepted = listener.accept().unwrap().0;
    drop(first);
    assert_eq!(serve(listener.accept().unwrap().0), "GET / HTTP/1.1\r\nHost: www.example\r\n\r\n");
    assert_eq!(second.join().unwrap(), b"hello");
    drop(accepted);
}

#[test]
fn a_long_path_of_a_unix_socket_is_an_error_that_names_it() {
    let path = format!("/{}", "x".repeat(200));
    let error = config().unix_socket(&path).connect("http://www.example").map(drop).unwrap_err();
    assert!(format!("{error:#}").starts_with(&format!("cannot connect to {path}: {path}: ")), "{error:#}");
}

/// A stream of the caller's that counts the bytes through it.
struct Counting {
    inner: UnixStream,
    counts: Arc<Mutex<[usize; 2]>>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.counts.lock().unwrap()[0] += count;
        Ok(count)
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // It takes little at a time, as some streams do.
        let count = self.inner.write(&bytes[..bytes.len().min(7)])?;
        self.counts.lock().unwrap()[1] += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl std::os::fd::AsFd for Counting {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[test]
fn a_stream_that_the_caller_brings_is_used_as_it_is() {
    let (inner, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || serve(theirs));
    let counts = Arc::new(Mutex::new([0; 2]));
    let stream = Counting { inner, counts: counts.clone() };
    let mut connection = config().over_stream(stream, &Origin::http("www.example", 8080)).unwrap();
    assert_eq!(get(&mut connection), b"hello");
    let asked = server.join().unwrap();
    assert_eq!(asked, "GET / HTTP/1.1\r\nHost: www.example:8080\r\n\r\n");
    assert_eq!(*counts.lock().unwrap(), [HELLO.len(), asked.len()]);
    // It ends like any other stream.
    connection.send_request(Request::get("/")).map(drop).unwrap_err();
}

#[test]
fn a_stream_of_the_callers_can_be_split() {
    let (inner, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || (0..100).map(|_| serve(&theirs)).collect::<String>());
    let stream = Counting { inner, counts: Arc::default() };
    let connection = config().over_stream(stream, &Origin::http("www.example", 80)).unwrap();
    let (mut requests, mut responses) = connection.split();
    let sender = thread::spawn(move || {
        for i in 0..100 {
            requests.send_request(Request::get(format!("/{i}"))).unwrap();
        }
    });
    let mut count = 0;
    while let Some(response) = responses.read_response().unwrap() {
        assert_eq!(response.read_all().unwrap(), b"hello");
        count += 1;
    }
    assert_eq!(count, 100);
    sender.join().unwrap();
    assert_eq!(server.join().unwrap().lines().filter(|line| line.starts_with("GET /")).count(), 100);
}

#[test]
fn a_socket_that_is_not_connected_is_refused() {
    let origin = Origin::http("www.example", 80);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (datagrams, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let errors = [config().over(listener, &origin), config().over(datagrams, &origin)].map(|result| result.map(drop));
    assert!(errors.iter().all(|error| matches!(error, Err(Error::Socket(_)))), "{errors:?}");
}

// Time limits.

/// A server that accepts connections and sends nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn limit_of(error: &Error) -> (WaitingFor, TimeLimit) {
    match error {
        Error::TimedOut { waiting_for, limit, .. } => (*waiting_for, *limit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_phase_of_a_response_has_its_own_limit() {
    let (listener, url) = silent();
    let config = Config::new().response_timeout(SHORT).content_timeout(2 * SHORT).send_timeout(3 * SHORT);
    let mut connection = config.connect(&url).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let error = connection.read_response().map(drop).unwrap_err();
    assert_eq!(limit_of(&error), (WaitingFor::Response, TimeLimit::Phase(SHORT)));
    theirs.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
    let error = connection.read_response().map(drop).unwrap_err();
    assert_eq!(limit_of(&error), (WaitingFor::Content, TimeLimit::Phase(2 * SHORT)));
    theirs.write_all(b"Content-Length: 1\r\n\r\n").unwrap();
    let error = connection.read_response().unwrap().read_all().unwrap_err();
    assert_eq!(limit_of(&error), (WaitingFor::Content, TimeLimit::Phase(2 * SHORT)));
    theirs.write_all(b"x").unwrap();
    connection.current_response().unwrap().discard().unwrap();
    connection.send_request(Request::put("/").content_length(1 << 30)).unwrap();
    let error = connection.content().send_all(&vec![0; 1 << 28]).unwrap_err();
    assert_eq!(limit_of(&error), (WaitingFor::Sending, TimeLimit::Phase(3 * SHORT)));
}

#[test]
fn the_deadline_ends_everything_also_what_never_has_to_wait() {
    let (listener, url) = silent();
    let mut connection = Config::new().deadline(LIMIT).connect(&url).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    // The server always has more to send.
    let server = thread::spawn(move || {
        theirs.read_exact(&mut [0; 10]).unwrap();
        let _ = theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        while theirs.write_all(&[0; 65536]).is_ok() {}
    });
    connection.send_request(Request::get("/")).unwrap();
    connection.read_response().unwrap();
    connection.set_deadline(Some(Instant::now() + SHORT));
    let error = connection.current_response().unwrap().discard().unwrap_err();
    // On a busy machine the server falls behind, so that the client does wait: for content.
    let (waiting_for, limit) = limit_of(&error);
    assert!(matches!(waiting_for, WaitingFor::Response | WaitingFor::Content), "{error}");
    assert_eq!(limit, TimeLimit::Deadline);
    let text = error.to_string();
    assert!(text.ends_with(": the deadline has passed"), "{text}");
    let error = connection.send_request(Request::get("/")).unwrap_err();
    assert_eq!(limit_of(&error), (WaitingFor::Sending, TimeLimit::Deadline));
    connection.set_deadline(None);
    let mut buffer = [0; 10];
    assert_ne!(connection.current_response().unwrap().read_content(&mut buffer).unwrap(), 0);
    drop(connection);
    server.join().unwrap();
}

#[test]
fn a_deadline_in_the_past_lets_nothing_begin() {
    let (_listener, url) = silent();
    let error = Config::new().deadline(Duration::ZERO).connect(&url).map(drop);
    // A connection to this host may succeed immediately; then the first call has no time left.
    let error = match error {
        Err(error) => error,
        Ok(()) => Config::new().deadline(Duration::ZERO).connect(&url).unwrap().send_request(Request::get("/")).unwrap_err(),
    };
    assert_eq!(limit_of(&error).1, TimeLimit::Deadline);
}

#[test]
fn the_limits_of_connecting_count_from_its_beginning() {
    in_a_network_of_its_own(|_| {
        let [dead, _] = black_holes();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let config = Config::new().addresses("www.example", 80, [dead]);
        for (config, waiting_for, limit) in [
            (config.clone().connect_timeout(second).deadline(2 * second), WaitingFor::Connection, TimeLimit::Phase(second)),
            (config.clone().connect_timeout(2 * second).deadline(second), WaitingFor::Connection, TimeLimit::Deadline),
            (config.clone().timeout(2 * second).establish_timeout(second), WaitingFor::Connection, TimeLimit::Connecting(second)),
        ] {
            let mut connect = Connect::new(&config, &www(), start).unwrap();
            assert!(matches!(connect.step(start).unwrap(), Progress::Needs(_)));
            assert!(matches!(connect.step(start + second - SHORT).unwrap(), Progress::Needs(_)));
            let error = connect.step(start + second).map(drop).unwrap_err();
            assert_eq!(limit_of(&error), (waiting_for, limit));
        }
    });
}

// Observation.

/// A writer that the test can read.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<u8>>>);

impl Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_trace_shows_all_bytes_but_no_credentials() {
    let (address, server) = server("127.0.0.1:0");
    let shelf = Shelf::default();
    let mut connection = config().trace(shelf.clone()).connect(format!("http://{address}")).unwrap();
    let request = Request::get("/").header("Authorization", "Basic c2VjcmV0").header("X", "1");
    connection.send_request(request).unwrap();
    connection.read_response().unwrap().discard().unwrap();
    server.join().unwrap();
    let text = String::from_utf8(shelf.0.lock().unwrap().clone()).unwrap();
    let expected = format!(
        "> GET / HTTP/1.1\\r\\n\n> Host: {address}\\r\\n\n> Authorization: ***\\r\\n\n> X: 1\\r\\n\n> \\r\\n\n\
         < HTTP/1.1 200 OK\\r\\n\n< Content-Length: 5\\r\\n\n< \\r\\n\n< hello\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn events_tell_the_story_of_a_connection_in_order() {
    let (address, server) = server("127.0.0.1:0");
    let story = Arc::new(Mutex::new(Vec::new()));
    let config = config().addresses("www.example", 80, [address]).observe({
        let story = story.clone();
        move |event| {
            story.lock().unwrap().push(match event {
                Event::Connecting { address } => format!("connecting to {address}"),
                Event::Connected { peer, .. } => format!("connected to {}", peer.unwrap()),
                Event::Request { number, head } => format!("request {number}, {} bytes", head.len()),
                Event::Response { number, head } => format!("response {number}: {}", head.status()),
                Event::Complete { number, content } => format!("response {number} complete, {content} bytes"),
                Event::Closed { reason, requests } => {
                    format!("closed: {reason:?}, {} answered, {} not", requests.answered, requests.unanswered.len())
                }
                other => panic!("{other:?}"),
            });
        }
    });
    let mut connection = config.connect("http://www.example").unwrap();
    assert_eq!(get(&mut connection), b"hello");
    let asked = server.join().unwrap().len();
    connection.send_request(Request::get("/")).map(drop).unwrap_err();
    drop(connection);
    let expected = [
        format!("connecting to {address}"),
        format!("connected to {address}"),
        format!("request 0, {asked} bytes"),
        "response 0: 200".into(),
        "response 0 complete, 5 bytes".into(),
        "closed: Some(PeerClosed), 1 answered, 0 not".into(),
    ];
    assert_eq!(*story.lock().unwrap(), expected);
}

#[test]
fn interim_responses_and_responses_without_content_are_told_of() {
    let (listener, url) = silent();
    let story = Arc::new(Mutex::new(String::new()));
    let config = config().observe({
        let story = story.clone();
        move |event| {
            let mut story = story.lock().unwrap();
            match event {
                Event::Interim { head } => *story += &format!("interim {}; ", head.status()),
                Event::Response { number, head } => *story += &format!("{number}: {}; ", head.status()),
                Event::Complete { number, content } => *story += &format!("{number} has {content}; "),
                _ => {}
            }
        }
    });
    let mut connection = config.connect(&url).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    let server = thread::spawn(move || {
        theirs.read_exact(&mut [0; 10]).unwrap();
        theirs.write_all(ANSWERS.as_bytes()).unwrap();
        theirs
    });
    const ANSWERS: &str = "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let mut pipeline = connection.pipeline(["/a", "/b"].map(Request::get));
    while let Some(response) = pipeline.next().unwrap() {
        response.discard().unwrap();
    }
    server.join().unwrap();
    assert_eq!(*story.lock().unwrap(), "interim 103; 0: 204; 0 has 0; 1: 200; 1 has 2; ");
}

#[test]
fn a_connection_is_shown_by_its_counts_and_addresses() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut connection = Config::new().connect(format!("http://{address}")).unwrap();
    connection.send_request(Request::get("/").header("Authorization", "Basic secret")).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let shown = format!("{connection:?}");
    for part in ["answered: 0, unanswered: 2, close_reason: None", &format!("peer: {address}")] {
        assert!(shown.contains(part), "{shown}");
    }
    let (requests, responses) = connection.split();
    for shown in [shown, format!("{requests:?}"), format!("{responses:?}")] {
        assert!(shown.len() < 1000 && !shown.contains("secret") && !shown.contains("Mutex"), "{shown}");
    }
}

/// Each step is one turn of the engine, and names its need.
#[test]
fn connecting_by_hand_never_waits_for_what_is_ready() {
    let (address, server) = server("127.0.0.1:0");
    let config = config().addresses("www.example", 80, [address]);
    let mut connect = Connect::new(&config, &www(), Instant::now()).unwrap().never_blocking();
    let mut steps = 0;
    let established = loop {
        steps += 1;
        assert!(steps < 10, "it spins");
        if let Progress::Done(established) = connect.step(Instant::now()).unwrap() {
            break established;
        }
        let waits = connect.poll_set();
        assert!(dugong_http::driver::wait_any(&waits).unwrap());
    };
    drop(established);
    drop(TcpStream::connect(address));
    let _ = server.join();
}
