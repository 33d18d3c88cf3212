//! Scripted servers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::{Client, get};
use dugong_origin::{Script, ScriptFault, Scripted};

#[test]
fn each_connection_plays_its_own_script() {
    let server = Scripted::start(vec![
        Script::new().expect_requests(1).send("HTTP/1.1 204 No Content\r\n\r\n").wait_close(),
        Script::new().expect_requests(2).send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").fin().wait_close(),
    ])
    .unwrap();
    let (mut one, mut other) = (Client::connect(server.address()), Client::connect(server.address()));
    assert_eq!(one.get("/a").status(), 204);
    other.send(get("/b") + &get("/c"));
    assert_eq!(other.response().content, b"ok");
    assert_eq!(other.rest(), b"");
    assert_eq!(server.received(0), get("/a").as_bytes());
    assert_eq!(server.connections(), 2);
    drop((one, other));
    assert_eq!(server.join(), [get("/a").into_bytes(), (get("/b") + &get("/c")).into_bytes()]);
}

#[test]
fn expectations_consume_what_they_waited_for() {
    let script = Script::new().expect_requests(1).expect_bytes(5).send("1").expect_requests(1).send("2").wait_close();
    let server = Scripted::start(vec![script]).unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    let mut answer = [0; 1];
    // A blank line in the content does not end a head.
    client.write_all(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\r\n\r\nx").unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"1");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"2");
    drop(client);
    server.join();
}

#[test]
fn reset_is_a_reset() {
    let server = Scripted::start(vec![Script::new().expect_bytes(1).send("partly").reset()]).unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.write_all(b"x").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.join();
}

#[test]
fn a_server_that_stops_reading_blocks_its_client_until_it_resumes() {
    let script = Script::new().stop_reading().pause(Duration::from_millis(300)).resume_reading().wait_close();
    let server = Scripted::start_with_buffers(vec![script], 128 * 1024).unwrap();
    let mut client = TcpStream::connect(server.address()).unwrap();
    let content = vec![7; 16 << 20];
    let started = Instant::now();
    client.write_all(&content).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    drop(client);
    assert!(server.join()[0] == content);
}

#[test]
fn sending_waits_for_a_slow_client_and_reads_meanwhile() {
    let content = vec![3; 8 << 20];
    let server = Scripted::start(vec![Script::new().send(content.clone()).fin().wait_close()]).unwrap();
    let mut client = Client::connect(server.address());
    client.send(vec![1; 8 << 20]);
    assert!(client.rest() == content);
    drop(client);
    assert_eq!(server.join()[0].len(), 8 << 20);
}

#[test]
fn a_hung_step_is_named() {
    let server = Scripted::start(vec![Script::new().send("x").expect_requests(2)]).unwrap();
    let mut client = Client::connect(server.address());
    client.send(get("/only"));
    let error = server.join_within(Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error.fault, ScriptFault::Hung(_)));
    assert_eq!(error.step, Some((2, "expect_requests(2)".to_owned())));
    assert!(error.to_string().starts_with("connection 0, step 2, expect_requests(2): still waiting after 100ms"), "{error}");
}

#[test]
fn a_client_that_leaves_early_and_one_that_never_comes_are_different_failures() {
    let server = Scripted::start(vec![Script::new().expect_requests(1), Script::new()]).unwrap();
    drop(Client::connect(server.address()));
    let error = server.join_within(Duration::from_secs(10)).unwrap_err();
    assert_eq!((error.connection, error.fault), (0, ScriptFault::ClientClosed));
    let server = Scripted::start(vec![Script::new()]).unwrap();
    let error = server.join_within(Duration::from_millis(10)).unwrap_err();
    assert_eq!((error.step, error.fault), (None, ScriptFault::NeverConnected));
}

#[test]
#[should_panic(expected = "connection 0, step 1, expect_bytes(1): the client closed the connection")]
fn join_panics_with_the_reason() {
    let server = Scripted::start(vec![Script::new().expect_bytes(1)]).unwrap();
    drop(Client::connect(server.address()));
    server.join();
}

#[test]
fn connections_beyond_the_last_script_are_closed() {
    let server = Scripted::start(vec![]).unwrap();
    let mut client = Client::connect(server.address());
    assert_eq!(client.rest(), b"");
    assert_eq!(server.connections(), 1);
    assert_eq!(server.join(), Vec::<Vec<u8>>::new());
}
