//! A minimal client for these tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dugong_origin::{Config, Origin};

pub(crate) fn origin() -> Origin {
    origin_with(Config::default())
}

pub(crate) fn origin_with(config: Config) -> Origin {
    Origin::start(config).expect("a port on the loopback interface")
}

/// A connection. Every read and write fails after ten seconds instead of hanging.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

/// A response as received.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
    pub(crate) trailers: String,
    /// The size lines of the chunks, with extensions.
    pub(crate) chunks: Vec<String>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the server reads");
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(get(target));
        self.response()
    }

    /// Reads one response with content, and collects interim responses separately.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let mut response = Response { head, content: Vec::new(), trailers: String::new(), chunks: Vec::new() };
        let has_content = !matches!(response.status(), 100..=199 | 204 | 304);
        if response.field("transfer-encoding") == Some("chunked") {
            self.chunked(&mut response);
        } else if let Some(length) = response.field("content-length") {
            response.content.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut response.content).expect("the announced content");
        } else if has_content {
            self.stream.read_to_end(&mut response.content).expect("content up to the end");
        }
        response
    }

    /// Reads a head without content, as after HEAD.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).expect("a head"), 0, "the connection ended after {head:?}");
        }
        head
    }

    fn chunked(&mut self, response: &mut Response) {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.strip_suffix("\r\n").expect("a chunk size").to_owned();
            let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
            response.chunks.push(line);
            if size == 0 {
                break;
            }
            let start = response.content.len();
            response.content.resize(start + size, 0);
            self.stream.read_exact(&mut response.content[start..]).unwrap();
            let mut end = [0; 2];
            self.stream.read_exact(&mut end).unwrap();
            assert_eq!(&end, b"\r\n");
        }
        while !format!("\r\n{}", response.trailers).ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut response.trailers).unwrap(), 0);
        }
    }

    /// Reads until the server ends its side.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        rest
    }
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The content of `/bytes/length?seed=seed`.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    dugong_origin::fill(seed, 0, &mut bytes);
    bytes
}
