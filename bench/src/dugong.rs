//! Dugong's blocking client.

use std::io::{self, BufRead};
use std::net::SocketAddr;

use dugong_http::{Connection, Misuse, Request, Response};

use crate::client::Run;
use crate::load::{Load, PIECE, Work};

/// A connection and its way to read chunks.
#[derive(Debug)]
pub(crate) struct Dugong {
    connection: Connection,
    by: By,
    buffer: Vec<u8>,
}

/// A way to read content in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Looks at it in the connection's buffer.
    View,
    /// Copies it into a buffer.
    Copy,
}

impl Dugong {
    pub(crate) fn connect(address: SocketAddr, by: By) -> io::Result<Self> {
        Ok(Dugong { connection: Connection::connect(format!("http://{address}"))?, by, buffer: vec![0; PIECE] })
    }
}

impl Run for Dugong {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        let Dugong { connection, by, buffer } = self;
        match load.work {
            Work::A => one_by_one(connection, &Request::get(load.target()), load.requests(), buffer),
            Work::B | Work::F | Work::G => pipelined(connection, load, load.depth(), buffer),
            Work::D if *by == By::View => {
                connection.send_request(Request::get(load.target()))?;
                view(connection.read_response()?)
            }
            Work::C | Work::D => {
                connection.send_request(Request::get(load.target()))?;
                copy(connection.read_response()?, buffer)
            }
            Work::E => upload(connection, load, buffer),
        }
    }
}

/// A connection whose pipeline has no bounds.
#[derive(Debug)]
pub(crate) struct Unbounded(Dugong);

impl Unbounded {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Dugong::connect(address, By::View).map(Unbounded)
    }
}

impl Run for Unbounded {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        pipelined(&mut self.0.connection, load, usize::MAX, &mut self.0.buffer)
    }
}

fn one_by_one(connection: &mut Connection, request: &Request, count: u64, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    for _ in 0..count {
        connection.send_request(request)?;
        bytes += copy(connection.read_response()?, buffer)?;
    }
    Ok(bytes)
}

fn pipelined(connection: &mut Connection, load: Load, depth: usize, buffer: &mut [u8]) -> io::Result<u64> {
    let request = Request::get(load.target());
    let requests = (0..load.requests()).map(|_| &request);
    let mut pipeline = connection.pipeline(requests).max_requests(depth);
    if depth == usize::MAX {
        pipeline = pipeline.max_bytes(usize::MAX);
    }
    let mut bytes = 0;
    while let Some(response) = pipeline.next()? {
        bytes += copy(response, buffer)?;
    }
    Ok(bytes)
}

fn upload(connection: &mut Connection, load: Load, piece: &[u8]) -> io::Result<u64> {
    connection.send_request(Request::put(load.target()).content_length(load.content()))?;
    let mut left = load.content();
    let mut content = connection.content();
    while left > 0 {
        let count = left.min(piece.len() as u64) as usize;
        match content.send_all(&piece[..count]) {
            Ok(()) => left -= count as u64,
            Err(dugong_http::Error::Local(Misuse::ContentRefused)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    connection.read_response()?.discard()?;
    Ok(load.content() - left)
}

/// Copies content into a buffer.
fn copy(mut response: Response<'_>, buffer: &mut [u8]) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match response.read_content(buffer)? {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
    }
}

/// Looks at content in the connection's buffer.
fn view(mut response: Response<'_>) -> io::Result<u64> {
    let mut bytes = 0;
    loop {
        match response.fill_buf()?.len() {
            0 => return Ok(bytes),
            count => {
                bytes += count as u64;
                response.consume(count);
            }
        }
    }
}
