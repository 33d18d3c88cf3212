//! Whole connections over TLS.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use dugong_http::driver::{Interest, wait};
use dugong_http::transport::tls::{NoCloseNotify, TlsFailure};
use dugong_http::{Closed, Config, Connection, Error, Event, Misuse, Request, Response, Sent, Unanswered, Unsupported};

use super::client::{GUARD, trusting};
use super::pki::{Authority, Identity};
use super::servers::{Program, config, demanding, drain, nginx, rustls, stunnel, tcp};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A client that trusts `authority` and finds `www.example` at `address`.
fn client(authority: &Authority, address: SocketAddr) -> Config {
    let config = Config::new().timeout(GUARD).user_agent(None).tls(trusting(&authority.pem));
    config.addresses("www.example", 443, [address])
}

fn connect(authority: &Authority, address: SocketAddr) -> Connection {
    client(authority, address).connect("https://www.example/").unwrap()
}

fn www() -> (Authority, Identity) {
    let authority = Authority::new("root");
    let identity = authority.issue(&["www.example"]);
    (authority, identity)
}

/// The origin of the tests, behind stunnel.
fn origin() -> (dugong_origin::Origin, Program, Authority) {
    let (authority, identity) = www();
    let origin = dugong_origin::Origin::start(dugong_origin::Config::default()).unwrap();
    let stunnel = stunnel("", origin.address(), &identity, &[]);
    (origin, stunnel, authority)
}

/// Reads a request head.
fn head(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_pipeline_runs_over_tls() {
    let (_origin, server, authority) = origin();
    let mut connection = connect(&authority, server.address);
    let mut pipeline = connection.pipeline((0..300).map(|i| Request::get(format!("/doc/{i}"))));
    let mut count = 0;
    while let Some(response) = pipeline.next().unwrap() {
        assert_eq!(response.read_all().unwrap(), dugong_origin::document(&count.to_string()));
        count += 1;
    }
    assert_eq!(count, 300);
}

#[test]
fn two_threads_send_and_receive_over_tls_at_once() {
    const LENGTH: usize = 20_000_000;
    let (authority, identity) = www();
    let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), |mut stream| {
        head(&mut stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").unwrap();
        let mut buffer = vec![0; 60_000];
        let mut left = LENGTH;
        while left > 0 {
            // The server echoes, so neither side may wait for the other to finish.
            let count = stream.read(&mut buffer).unwrap();
            stream.write_all(&buffer[..count]).unwrap();
            left -= count;
        }
    });
    let (mut requests, mut responses) = connect(&authority, address).split();
    let content: Arc<[u8]> = (0..LENGTH).map(|i| (i % 251) as u8).collect();
    let sender = thread::spawn({
        let content = content.clone();
        move || {
            requests.send_request(Request::post("/echo").content_length(LENGTH as u64)).unwrap();
            requests.send_content(&content).unwrap();
        }
    });
    let echoed = responses.read_response().unwrap().unwrap().read_all().unwrap();
    assert!(echoed == *content);
    sender.join().unwrap();
    server.join().unwrap();
}

#[test]
fn the_negotiated_parameters_can_be_read_and_are_reported() {
    let (authority, identity) = www();
    let (address, server) = rustls(config(&identity, &[&rustls::version::TLS13]), drain);
    let seen = Arc::new(Mutex::new(String::new()));
    let observed = client(&authority, address).observe({
        let seen = seen.clone();
        move |event| {
            if let Event::Secured { version, cipher_suite } = event {
                *seen.lock().unwrap() += &format!("{version} {cipher_suite}");
            }
        }
    });
    let connection = observed.connect("https://www.example/").unwrap();
    let info = connection.transport().tls().unwrap();
    assert_eq!(info.version, "TLSv1.3");
    assert_eq!(*seen.lock().unwrap(), format!("{} {}", info.version, info.cipher_suite));
    assert_eq!(*info.certificates[0], *identity.chain_der()[0]);
    assert_eq!(connection.transport().peer_address(), Some(address));
    connection.close();
    server.join().unwrap();
}

/// With TLS 1.3 a server asks for a certificate after the handshake, before or after the request is sent.
#[test]
fn a_missing_client_certificate_is_an_error_of_tls_at_any_time() {
    let send_and_read = |mut connection: Connection| {
        connection.send_request(Request::get("/"))?;
        connection.read_response().map(drop)
    };
    let wait_and_send = |mut connection: Connection| {
        wait(connection.transport(), Interest::READ, Some(Instant::now() + GUARD)).unwrap();
        connection.send_request(Request::get("/")).map(drop)
    };
    let split_and_send = |connection: Connection| {
        wait(connection.transport(), Interest::READ, Some(Instant::now() + GUARD)).unwrap();
        let (mut requests, _responses) = connection.split();
        requests.send_request(Request::get("/")).map(drop)
    };
    let ways: [fn(Connection) -> Result<(), Error>; 3] = [send_and_read, wait_and_send, split_and_send];
    for (version, use_it) in
        [(&rustls::version::TLS12, ways[0])].into_iter().chain(ways.map(|way| (&rustls::version::TLS13, way)))
    {
        let (authority, identity) = www();
        let (address, server) = rustls(demanding(&identity, authority.store(), &[version]), drain);
        let error = client(&authority, address).connect("https://www.example/").and_then(use_it).unwrap_err();
        let Error::Tls { source, requests } = &error else { panic!("{error:?}") };
        assert!(matches!(source.what, TlsFailure::ClientCertificateRequired), "{error:?}");
        assert!(!error.is_closed() && !error.is_temporary());
        assert_eq!(error.to_string(), "www.example requires a client certificate, and none was given");
        if let Some(requests) = requests {
            assert_eq!(requests.answered, 0);
            assert!(requests.unanswered.iter().all(Unanswered::is_safe_to_retry));
        }
        server.join().unwrap();
    }
}

#[test]
fn a_bad_certificate_ends_connecting_and_no_byte_of_a_request_is_sent() {
    let (authority, identity) = www();
    let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), drain);
    let error = client(&authority, address).addresses("other.example", 443, [address]).connect("https://other.example/");
    let error = error.map(drop).unwrap_err();
    let Error::Tls { source, requests: None } = &error else { panic!("{error:?}") };
    assert!(matches!(&source.what, TlsFailure::WrongHost { names } if names == &["www.example"]), "{error:?}");
    assert!(!error.is_temporary());
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn content_that_ends_with_the_connection_needs_a_close_notify() {
    for announced in [true, false] {
        let (authority, identity) = www();
        let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), move |mut stream| {
            head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello").unwrap();
            if announced {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
        });
        let mut connection = connect(&authority, address);
        connection.send_request(Request::get("/")).unwrap();
        let result = connection.read_response().and_then(Response::read_all);
        server.join().unwrap();
        if announced {
            assert_eq!(result.unwrap(), b"hello");
            continue;
        }
        let error = result.unwrap_err();
        let Error::Closed { cause: Closed::Incomplete(_, Some(source)), .. } = &error else { panic!("{error:?}") };
        assert!(source.get_ref().is_some_and(|source| source.is::<NoCloseNotify>()), "{error:?}");
    }
}

#[test]
fn an_end_without_close_notify_does_no_harm_to_content_that_is_complete() {
    let (authority, identity) = www();
    let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), |mut stream| {
        head(&mut stream);
        stream.write_all(HELLO).unwrap();
    });
    let mut connection = connect(&authority, address);
    connection.send_request(Request::get("/")).unwrap();
    server.join().unwrap();
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello");
}

#[test]
fn the_end_of_a_connection_is_announced_in_every_case() {
    let ways: [fn(Connection); 4] = [
        drop,
        |connection| drop(connection.close()),
        |connection| drop(connection.split().0),
        |connection| connection.split().1.close(),
    ];
    for end in ways {
        let (authority, identity) = www();
        let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), |mut stream| {
            // Without close_notify this would be an error.
            stream.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())
        });
        end(connect(&authority, address));
        assert_eq!(server.join().unwrap(), Ok(0));
    }
}

#[test]
fn a_server_that_ends_tls_in_order_between_responses_has_closed_the_connection() {
    let (authority, identity) = www();
    let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), |mut stream| {
        head(&mut stream);
        stream.write_all(HELLO).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        drain(stream)
    });
    let mut connection = connect(&authority, address);
    connection.send_request(Request::get("/")).unwrap();
    connection.send_request(Request::get("/again")).unwrap();
    assert_eq!(connection.read_response().unwrap().read_all().unwrap(), b"hello");
    let error = connection.read_response().map(drop).unwrap_err();
    let requests = error.requests().unwrap();
    assert!(error.is_closed() && error.is_temporary());
    assert_eq!((requests.answered, requests.unanswered[0].sent), (1, Sent::Whole));
    drop(connection);
    assert!(server.join().unwrap().starts_with(b"GET /again"));
}

#[test]
fn a_server_that_wants_tls_is_told_from_one_that_speaks_no_http() {
    let (_, identity) = www();
    let (address, server) = rustls(config(&identity, rustls::ALL_VERSIONS), drain);
    let mut connection = Connection::connect(format!("http://{address}")).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    let error = connection.read_response().map(drop).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: Unsupported::Tls, .. }), "{error:?}");
    assert!(error.to_string().contains("the server expects TLS on this port"), "{error}");
    server.join().unwrap();
    // nginx recognises HTTP.
    let nginx = nginx("listen $LISTEN ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;", &identity, &[]);
    let mut connection = Connection::connect(format!("http://{}", nginx.address)).unwrap();
    connection.send_request(Request::get("/")).unwrap();
    assert_eq!(connection.read_response().unwrap().status(), 400);
}

#[test]
fn a_host_beyond_ascii_is_named_to_the_server_and_in_its_certificate_as_a_labels() {
    let authority = Authority::new("root");
    let identity = authority.issue(&["xn--bcher-kva.example"]);
    let (address, server) = rustls(config(&identity, &[&::rustls::version::TLS13]), |mut stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        stream.conn.server_name().map(ToOwned::to_owned)
    });
    let url = format!("https://b\u{fc}cher.example:{}", address.port());
    client(&authority, address).addresses("b\u{fc}cher.example", address.port(), [address]).connect(&url).unwrap();
    assert_eq!(server.join().unwrap().as_deref(), Some("xn--bcher-kva.example"));
}

#[test]
fn tls_over_a_stream_that_the_caller_brings() {
    let (_origin, server, authority) = origin();
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let origin = dugong_http::Origin::https("www.example", 443);
    let mut connection = client(&authority, server.address).over_stream(stream, &origin).unwrap();
    assert_eq!(connection.transport().peer_address(), None);
    for id in ["1", "2"] {
        connection.send_request(Request::get(format!("/doc/{id}"))).unwrap();
        assert_eq!(connection.read_response().unwrap().read_all().unwrap(), dugong_origin::document(id));
    }
    let error = connection.send_request(Request::get("no path")).unwrap_err();
    assert!(matches!(error, Error::Local(Misuse::Target(_))), "{error:?}");
}

#[test]
fn a_server_that_is_silent_in_the_handshake_is_waited_for_as_long_as_allowed() {
    let (authority, _) = www();
    let (address, server) = tcp(drain);
    let config = client(&authority, address).handshake_timeout(std::time::Duration::from_millis(20));
    let error = config.connect("https://www.example/").map(drop).unwrap_err();
    assert!(error.is_timeout() && error.is_temporary());
    let text = "timed out in the TLS handshake with www.example port 443: not done after 20ms";
    assert_eq!(error.to_string(), text);
    // The client sent the beginning of a handshake (RFC 8446 §5.1), and no request.
    assert_eq!(server.join().unwrap()[0], 22);
}
