//! A connection whose two ends the test controls. The test says what the server does in the place where it happens, and never
//! sleeps.

#![allow(dead_code, reason = "each test program uses its part of this")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use dugong_http::{Config, Connection, Error, Origin};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::sockopt;

/// Longer than any wait of a test that passes.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// A response with five bytes of content.
pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Server {
    stream: TcpStream,
    /// The client's socket, to see which bytes have arrived there.
    client: TcpStream,
}

/// A client with a timeout and no user agent, and its server.
pub(crate) fn connected() -> (Connection, Server) {
    connected_with(&config())
}

/// The settings of [`connected`].
pub(crate) fn config() -> Config {
    Config::new().timeout(GUARD).user_agent(None)
}

/// A client with the given settings, and its server.
pub(crate) fn connected_with(config: &Config) -> (Connection, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("a bound socket")).expect("a connection");
    let (stream, _) = listener.accept().expect("the connection just made");
    stream.set_nodelay(true).expect("an open socket");
    stream.set_read_timeout(Some(GUARD)).expect("an open socket");
    stream.set_write_timeout(Some(GUARD)).expect("an open socket");
    let server = Server { stream, client: client.try_clone().expect("a free descriptor") };
    (config.over(client, &Origin::http("origin", 80)).expect("a usable socket"), server)
}

impl Server {
    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("a client that takes it");
    }

    /// Sends bytes while the client does not read, and waits until they have arrived.
    pub(crate) fn deliver(&mut self, bytes: impl AsRef<[u8]>) {
        let before = self.arrived();
        self.send(&bytes);
        let expected = before + bytes.as_ref().len() as u64;
        eventually("the bytes are there", || self.arrived() >= expected);
    }

    fn arrived(&self) -> u64 {
        ioctl_fionread(&self.client).expect("an open socket")
    }

    /// Half-closes the connection in order (FIN), and waits until the client's socket knows.
    pub(crate) fn fin(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("an open socket");
        self.wait_for_hang_up();
    }

    /// Closes the connection, in order unless bytes are unread, and waits until the client's socket knows.
    pub(crate) fn close(self) {
        let client = self.client;
        drop(self.stream);
        wait_for_hang_up(&client);
    }

    /// Resets the connection, and waits until the client's socket knows.
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("an open socket");
        self.close();
    }

    fn wait_for_hang_up(&self) {
        wait_for_hang_up(&self.client);
    }

    /// Receives this many bytes.
    pub(crate) fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("a client that sends as much");
        bytes
    }

    /// Receives exactly these bytes.
    pub(crate) fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let received = self.receive(bytes.len());
        assert_eq!(received.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    /// Receives up to the end of a request head.
    pub(crate) fn receive_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.receive(1));
        }
        String::from_utf8(head).expect("heads of tests are ASCII")
    }

    /// Receives everything available, without waiting.
    pub(crate) fn receive_available(&mut self) -> Vec<u8> {
        self.stream.set_nonblocking(true).expect("an open socket");
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("{error}"),
        }
        self.stream.set_nonblocking(false).expect("an open socket");
        bytes
    }

    /// Receives until the client closes the connection.
    pub(crate) fn receive_to_end(mut self) -> Vec<u8> {
        // An open copy of the client's socket would keep the connection alive.
        drop(self.client);
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        bytes
    }

    /// The socket alone, for a thread.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

fn wait_for_hang_up(client: &TcpStream) {
    let timeout = Timespec::try_from(GUARD).expect("a short time");
    let ready = poll(&mut [PollFd::new(client, PollFlags::RDHUP)], Some(&timeout)).expect("a working poll");
    assert!(ready > 0, "the end did not arrive");
}

/// Waits until a condition holds that no event signals.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    assert!(comes_true(GUARD, holds), "not so in time: {what}");
}

/// Waits until a condition holds that no event signals; false if it took too long.
pub(crate) fn comes_true(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + within;
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Takes this crate's error out of an `io::Error`.
pub(crate) fn inner(error: std::io::Error) -> Error {
    error.downcast().expect("an error of this crate")
}
