//! The ends of connections, and of servers.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{Client, get, origin, origin_with};
use dugong_origin::{Config, document};

#[test]
fn close_after_announces_the_close_with_the_last_response() {
    let origin = origin_with(Config { close_after: Some(3), ..Config::default() });
    for target in ["/small", "/doc/1", "/bytes/10"] {
        let mut client = Client::connect(origin.address());
        client.send(get(target).repeat(10));
        for last in [false, false, true] {
            let response = client.response();
            assert_eq!(response.field("connection"), last.then_some("close"), "{target}");
        }
        assert_eq!(client.rest(), b"", "{target}");
    }
    assert_eq!(origin.counts().requests, 9);
}

#[test]
fn close_after_can_be_silent() {
    let origin = origin_with(Config { close_after: Some(2), close_silently: true, ..Config::default() });
    let mut client = Client::connect(origin.address());
    client.send(get("/small").repeat(5));
    for _ in 0..2 {
        assert_eq!(client.response().field("connection"), None);
    }
    assert_eq!(client.rest(), b"");
}

#[test]
fn close_after_can_end_with_a_reset() {
    let origin = origin_with(Config { close_after: Some(2), close_with_reset: true, ..Config::default() });
    let mut client = Client::connect(origin.address());
    client.send(get("/small").repeat(5));
    for last in [None, Some("close")] {
        assert_eq!(client.response().field("connection"), last);
    }
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn either_side_may_ask_for_the_end() {
    let origin = origin();
    for request in [
        get("/doc/1?connection=close"),
        "GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
        "PUT / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx".to_owned(),
    ] {
        let mut client = Client::connect(origin.address());
        client.send(request.clone() + &get("/small"));
        assert_eq!(client.response().field("connection"), Some("close"), "{request}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_client_that_ends_its_side_gets_all_answers() {
    let origin = origin();
    let mut client = Client::connect(origin.address());
    client.send([get("/small"), get("/bytes/100000"), get("/doc/1?delay=20"), "GET /unfinish".to_owned()].concat());
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_ends_its_side_gets_more_answers_than_fit_at_once() {
    for config in [
        Config::default(),
        Config { lockstep: true, ..Config::default() },
        Config { high_water: 0, ..Config::default() },
        Config { read_ahead: 0, ..Config::default() },
    ] {
        let origin = origin_with(config);
        let mut client = Client::connect(origin.address());
        // The bytes must fit the socket buffers, because this client reads only after it has sent all.
        client.send((get("/small") + &get("/doc/1")).repeat(2000));
        client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        for _ in 0..2000 {
            assert_eq!(client.response().content.len(), 120);
            assert_eq!(client.response().content, document("1"));
        }
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn stopping_ends_every_connection_whatever_it_does() {
    let mut origin = origin();
    let mut clients: Vec<TcpStream> = Vec::new();
    for request in [
        "".to_owned(),
        get("/bytes/50000000000"),
        get("/small?delay=60000"),
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n".to_owned(),
        "PUT /?early=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n".to_owned(),
        get("/small?connection=close"),
    ] {
        let mut client = Client::connect(origin.address());
        client.send(request);
        clients.push(client.stream.into_inner());
    }
    while origin.counts().connections < 6 || origin.counts().requests < 5 {
        std::thread::yield_now();
    }
    let started = Instant::now();
    let address = origin.address();
    origin.stop();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(origin.counts().open, 0);
    for mut client in clients {
        let mut buffer = [0; 65536];
        // Either an end or a reset, but no wait.
        while !matches!(client.read(&mut buffer), Ok(0) | Err(_)) {}
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_stopped_port_can_be_listened_on_again() {
    let origin = origin();
    let listen = origin.address();
    drop(origin);
    let origin = origin_with(Config { listen, ..Config::default() });
    assert_eq!(origin.address(), listen);
    assert_eq!(Client::connect(listen).get("/small").status(), 200);
}
