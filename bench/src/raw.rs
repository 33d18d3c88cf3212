//! Clients without a library: blocking calls on a socket, and a [`Reader`] that finds the end of each answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use memchr::memmem;

use crate::client::Run;
use crate::load::{CHUNK, Load, PIECE, Work};

/// A connection and its reader.
#[derive(Debug)]
pub(crate) struct Raw<R> {
    stream: TcpStream,
    reader: R,
    buffer: Vec<u8>,
    /// The end of the bytes in `buffer` that belong to an incomplete answer.
    held: usize,
}

/// Finds the ends of answers.
pub(crate) trait Reader {
    /// Prepares for the answers to `load`.
    fn begin(&mut self, load: Load);

    /// Looks at the bytes that the last call left over and those received since.
    fn look(&mut self, received: &[u8]) -> io::Result<Looked>;
}

/// The result of a look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looked {
    /// The number of bytes that need not be passed again.
    pub(crate) done: usize,
    /// The number of answers completed.
    pub(crate) answers: u64,
    /// The bytes of content in them.
    pub(crate) content: u64,
}

impl<R: Reader> Raw<R> {
    pub(crate) fn connect(address: SocketAddr, reader: R) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Raw { stream, reader, buffer: vec![0; PIECE], held: 0 })
    }

    /// Reads once.
    fn read(&mut self) -> io::Result<Looked> {
        let count = self.stream.read(&mut self.buffer[self.held..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = self.held + count;
        let looked = self.reader.look(&self.buffer[..end])?;
        self.held = end - looked.done;
        self.buffer.copy_within(looked.done..end, 0);
        Ok(looked)
    }

    /// Sends requests, refilling the window when half of it is used, and reads all answers. Returns the bytes of their content.
    fn ask(&mut self, load: Load) -> io::Result<u64> {
        let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", load.target());
        let depth = load.depth() as u64;
        let window = request.repeat(load.depth());
        let (mut sent, mut answered, mut content) = (0, 0, 0);
        while answered < load.requests() {
            let in_flight = sent - answered;
            if in_flight <= depth / 2 {
                let count = (depth - in_flight).min(load.requests() - sent);
                self.stream.write_all(&window.as_bytes()[..count as usize * request.len()])?;
                sent += count;
            }
            let looked = self.read()?;
            answered += looked.answers;
            content += looked.content;
        }
        Ok(content)
    }

    fn upload(&mut self, load: Load) -> io::Result<u64> {
        let length = load.content();
        write!(self.stream, "PUT {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n", load.target())?;
        let mut left = length;
        while left > 0 {
            let count = left.min(PIECE as u64) as usize;
            self.stream.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        while self.read()?.answers == 0 {}
        Ok(length)
    }
}

impl<R: Reader> Run for Raw<R> {
    fn run(&mut self, load: Load) -> io::Result<u64> {
        self.reader.begin(load);
        if load.work == Work::E { self.upload(load) } else { self.ask(load) }
    }
}

/// Counts bytes. All answers of a workload have the length of the first.
#[derive(Debug, Default)]
pub(crate) struct Unparsed {
    /// The bytes after the head of each answer, and the bytes of content among them.
    body: u64,
    content: u64,
    /// The bytes of each answer; 0 until the first head has come.
    length: u64,
    /// The bytes received of an incomplete answer.
    received: u64,
}

impl Reader for Unparsed {
    fn begin(&mut self, load: Load) {
        (self.body, self.content) = match load.work {
            Work::A | Work::B | Work::F | Work::G => (SMALL, SMALL),
            Work::C => (load.content(), load.content()),
            Work::D => (chunked_length(load.content()), load.content()),
            Work::E => (upload_answer_length(load.content()), 0),
        };
        self.length = 0;
    }

    fn look(&mut self, received: &[u8]) -> io::Result<Looked> {
        if self.length == 0 {
            let Some(end) = memmem::find(received, b"\r\n\r\n") else { return Ok(Looked::default()) };
            self.length = end as u64 + 4 + self.body;
        }
        self.received += received.len() as u64;
        let answers = self.received / self.length;
        self.received -= answers * self.length;
        Ok(Looked { done: received.len(), answers, content: answers * self.content })
    }
}

/// The bytes of content of `/small`.
const SMALL: u64 = 120;

/// The bytes of a body with `content` in full chunks, and the last chunk.
fn chunked_length(content: u64) -> u64 {
    let chunk = format!("{CHUNK:x}\r\n\r\n").len() as u64 + CHUNK;
    content / CHUNK * chunk + b"0\r\n\r\n".len() as u64
}

/// The bytes of content of the answer to an upload.
fn upload_answer_length(content: u64) -> u64 {
    format!("{{\"length\":{content},\"sha256\":null}}").len() as u64
}
