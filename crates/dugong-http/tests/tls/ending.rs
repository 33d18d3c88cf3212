//! How sessions end.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use dugong_http::driver::Progress;
use dugong_http::transport::tls::NoCloseNotify;
use rustix::net::sockopt;
use rustls::version::{TLS12, TLS13};

use super::client::{Client, trusting};
use super::pki::Authority;
use super::servers;

#[test]
fn the_end_is_an_end_with_close_notify_and_an_error_without() {
    let authority = Authority::new("root");
    let identity = authority.issue(&["www.example"]);
    for version in [&TLS12, &TLS13] {
        for in_order in [true, false] {
            let (address, server) = servers::rustls(servers::config(&identity, &[version]), move |mut stream| {
                stream.write_all(b"content").unwrap();
                if in_order {
                    stream.conn.send_close_notify();
                    stream.conn.complete_io(&mut stream.sock).unwrap();
                }
                stream.sock.shutdown(Shutdown::Write).unwrap();
                servers::drain(stream.sock);
            });
            let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
            assert_eq!(client.read_exact(7).unwrap(), b"content");
            for _ in 0..2 {
                let end = client.read(&mut [0; 10]);
                let peeked = client.step(|session, stream| session.peek(stream, &mut [0; 10]));
                if in_order {
                    assert_eq!((end.unwrap(), peeked.unwrap()), (0, 0));
                } else {
                    for error in [end.unwrap_err(), peeked.unwrap_err()] {
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        assert_eq!(std::io::Error::from(error).downcast::<NoCloseNotify>().unwrap(), NoCloseNotify);
                    }
                }
            }
            drop(client);
            server.join().unwrap();
        }
    }
}

#[test]
fn bytes_behind_close_notify_are_ignored_and_those_before_are_not() {
    let authority = Authority::new("root");
    let (address, _server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), |mut stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        // Send one piece, so that the client has all of it at its first read.
        stream.conn.writer().write_all(&[b'x'; 20_000]).unwrap();
        stream.conn.send_close_notify();
        let mut bytes = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut bytes).unwrap();
        }
        // This is more than TLS takes at once.
        bytes.extend(b"neither TLS nor anything else".repeat(1000));
        stream.sock.write_all(&bytes).unwrap();
        servers::drain(stream.sock);
    });
    let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    let mut buffer = vec![0; 100_000];
    let mut received = Vec::new();
    while received.len() < 20_000 {
        let count = client.read(&mut buffer).unwrap();
        received.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(received, [b'x'; 20_000]);
    assert_eq!(client.read(&mut buffer).unwrap(), 0);
    // The other direction is still open.
    client.write_all(b"more").unwrap();
    assert_eq!(client.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn close_notify_is_sent_last() {
    let authority = Authority::new("root");
    for version in [&TLS12, &TLS13] {
        let identity = authority.issue(&["www.example"]);
        let (address, server) = servers::rustls(servers::config(&identity, &[version]), |mut stream| {
            let mut received = String::new();
            // This fails without close_notify.
            stream.read_to_string(&mut received).map(|_| received)
        });
        let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
        client.write_all(b"request").unwrap();
        client.session.close_notify(&mut &client.socket);
        client.session.close_notify(&mut &client.socket);
        let error = client.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(client);
        assert_eq!(server.join().unwrap().unwrap(), "request");
    }
}

#[test]
fn close_notify_of_a_broken_connection_is_no_error() {
    let authority = Authority::new("root");
    let (address, server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), |mut stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        sockopt::set_socket_linger(&stream.sock, Some(Duration::ZERO)).unwrap();
    });
    let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    server.join().unwrap();
    client.session.close_notify(&mut &client.socket);
    client.session.close_notify(&mut &client.socket);
}

#[test]
fn a_server_that_takes_nothing_is_given_no_more_than_the_limit() {
    let authority = Authority::new("root");
    let (gone, waits) = std::sync::mpsc::channel::<()>();
    let (address, server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), move |mut stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let _ = waits.recv();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map(|_| received)
    });
    let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    let content: Vec<u8> = (0..8 << 20).map(|index: u32| index.to_le_bytes()[0] ^ index.to_le_bytes()[1]).collect();
    let (mut sent, mut refusals) = (0, 0);
    while refusals < 3 {
        let pieces = [IoSlice::new(&content[sent..sent + 10]), IoSlice::new(&content[sent + 10..])];
        match client.session.write(&mut &client.socket, &pieces).unwrap() {
            Progress::Done(count) => {
                assert!((1..=64 << 10).contains(&count), "{count}");
                assert_eq!(refusals, 0, "the socket is full");
                sent += count;
            }
            Progress::Needs(interest) => {
                assert!(interest.writes() && !interest.reads());
                refusals += 1;
            }
        }
    }
    assert!(sent < content.len());
    // The reader should help with sending, because it waits on the same socket.
    let needs = client.session.read(&mut &client.socket, &mut [0; 10]).unwrap();
    assert!(matches!(needs, Progress::Needs(interest) if interest.reads() && interest.writes()), "{needs:?}");
    gone.send(()).unwrap();
    client.write_all(&content[sent..]).unwrap();
    let needs = client.session.read(&mut &client.socket, &mut [0; 10]).unwrap();
    assert!(matches!(needs, Progress::Needs(interest) if interest.reads() && !interest.writes()), "{needs:?}");
    client.session.close_notify(&mut &client.socket);
    assert!(server.join().unwrap().unwrap() == content);
}
