//! The proxy that does harm between client and server.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::client::{Client, bytes, get, origin};
use dugong_origin::{Fault, Faults, Origin, Proxy, document};

fn proxy(origin: &Origin, faults: &Faults) -> Proxy {
    let faults = faults.clone();
    Proxy::start_with(origin.address(), move |_| faults.clone()).unwrap()
}

/// Reads up to the end, and returns the error that ended it.
fn rest(client: &mut Client) -> (usize, Option<ErrorKind>) {
    let mut received = Vec::new();
    let outcome = client.stream.read_to_end(&mut received);
    (received.len(), outcome.err().map(|error| error.kind()))
}

#[test]
fn without_faults_all_bytes_pass_and_pipelining_is_seen() {
    let origin = origin();
    let proxy = Proxy::start(origin.address()).unwrap();
    let mut client = Client::connect(proxy.address());
    client.send(get("/bytes/3000000") + &get("/doc/1"));
    assert_eq!(client.response().content, bytes(0, 3_000_000));
    assert_eq!(client.response().content, document("1"));
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1 << 20));
    client.send(vec![0; 1 << 20]);
    assert_eq!(client.response().status(), 200);
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
    while proxy.open() != 0 {
        std::thread::yield_now();
    }
    assert_eq!((proxy.connections(), proxy.most_together()), (1, 2));
}

#[test]
fn answers_end_at_the_byte_asked_for() {
    let origin = origin();
    for (fault, error) in [(Fault::Fin, None), (Fault::Reset, Some(ErrorKind::ConnectionReset))] {
        let proxy = proxy(&origin, &Faults::default().to_client(1000, fault));
        let mut client = Client::connect(proxy.address());
        client.send(get("/bytes/5000"));
        let (count, seen) = rest(&mut client);
        assert_eq!(seen, error);
        assert!(count == 1000 || (error.is_some() && count < 1000), "{count}");
    }
}

#[test]
fn requests_end_at_the_byte_asked_for() {
    let origin = origin();
    let whole = get("/doc/1").len() as u64;
    let proxy = proxy(&origin, &Faults::default().to_server(whole + 10, Fault::Fin));
    let mut client = Client::connect(proxy.address());
    client.send(get("/doc/1").repeat(3));
    assert_eq!(client.response().content, document("1"));
    assert_eq!(client.rest(), b"");
    assert_eq!(origin.counts().requests, 1);
}

#[test]
fn a_stalled_direction_passes_nothing_and_ends_with_its_client() {
    let origin = origin();
    let proxy = proxy(&origin, &Faults::default().to_client(300, Fault::Stall));
    let mut client = Client::connect(proxy.address());
    client.send(get("/bytes/5000"));
    client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(rest(&mut client), (300, Some(ErrorKind::WouldBlock)));
    drop(client);
    while proxy.open() != 0 || origin.counts().open != 0 {
        std::thread::yield_now();
    }
}

#[test]
fn delays_and_pauses_hold_bytes_back() {
    let origin = origin();
    let (delay, pause) = (Duration::from_millis(20), Fault::Pause(Duration::from_millis(30)));
    for (faults, least) in [(Faults::default().delay(delay), 40), (Faults::default().to_client(10, pause), 30)] {
        let proxy = proxy(&origin, &faults);
        let mut client = Client::connect(proxy.address());
        let started = Instant::now();
        assert_eq!(client.get("/doc/1").content, document("1"));
        assert!(started.elapsed() >= Duration::from_millis(least));
    }
}

#[test]
fn garbled_bytes_are_inverted() {
    let origin = origin();
    let proxy = proxy(&origin, &Faults::default().to_client(2, Fault::Garble(3)));
    let mut client = Client::connect(proxy.address());
    client.send(get("/small"));
    let mut start = [0; 8];
    client.stream.read_exact(&mut start).unwrap();
    assert_eq!(start, [b'H', b'T', !b'T', !b'P', !b'/', b'1', b'.', b'1']);
}

#[test]
fn a_proxy_can_cut_all_connections_and_lead_elsewhere() {
    let (mut one, other) = (origin(), origin());
    let proxy = Proxy::start(one.address()).unwrap();
    let mut client = Client::connect(proxy.address());
    client.get("/small");
    proxy.cut();
    let ended = client.stream.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(ended, Err(ErrorKind::ConnectionReset)), "{ended:?}");
    one.stop();
    let mut client = Client::connect(proxy.address());
    // The server does not listen any more. The write can be too late, too.
    let _ = client.stream.get_mut().write_all(get("/small").as_bytes());
    assert_eq!(rest(&mut client).0, 0);
    proxy.lead_to(other.address());
    assert_eq!(Client::connect(proxy.address()).get("/small").status(), 200);
}

#[test]
fn random_faults_are_the_same_for_a_seed_and_leave_right_bytes() {
    let origin = origin();
    let text = |seed, number| format!("{:?}", Faults::random(seed, number));
    for number in 0..60 {
        assert_eq!(text(1, number), text(1, number));
        let proxy = Proxy::start_with(origin.address(), move |_| Faults::random(1, number)).unwrap();
        let mut client = Client::connect(proxy.address());
        client.stream.get_mut().set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        // A reset can come before the request has left.
        let _ = client.stream.get_mut().write_all(get("/bytes/40000").as_bytes());
        let mut received = Vec::new();
        let _ = client.stream.read_to_end(&mut received);
        let head = received.windows(4).position(|window| window == b"\r\n\r\n").map_or(received.len(), |at| at + 4);
        assert!(bytes(0, 40_000).starts_with(&received[head..]), "{}", text(1, number));
    }
    assert_ne!(text(1, 0), text(2, 0));
}
