//! A server that does one harm to each connection, to test what a client reports about its requests.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use memchr::memmem;
use rustix::net::sockopt::set_socket_linger;

/// Answers requests correctly up to some point, and then does harm: one kind for each connection, chosen by a seed.
///
/// A client can notice each harm. In particular, an unrequested answer comes only after the answer to a target that ends in `?last`,
/// and in one write with it. After such a request a client must send nothing until it has received some of that write. The answers
/// to targets that end in `?hold` belong to the same write. The server keeps all bytes that each connection receives, so that a
/// test can look at them.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: JoinHandle<Vec<Vec<u8>>>,
}

/// The harm done to a connection.
#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    /// FIN after this many bytes of answers.
    Fin(usize),
    /// RST after this many bytes of answers.
    Reset(usize),
    /// These bytes after the answer of this number or a later one, when all requests received so far are answered.
    Behind(usize, &'static [u8]),
    /// These bytes instead of the answer of this number, and then FIN.
    Instead(usize, &'static [u8]),
    /// The end after the answer of this number: announced, unannounced, or by a reset with requests unread.
    CloseAfter(usize, Close),
    /// Nothing more after this many bytes of answers.
    Stall(usize),
    /// One byte of the framing of the answer of this number inverted.
    Garble(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Announced,
    Silent,
    Reset,
}

const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

const BEHIND: [&[u8]; 6] = [
    EVIL,
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    b"junk",
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 4",
    b"H",
];

const INSTEAD: [&[u8]; 6] = [
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhello",
];

/// Tells if a client could take these bytes for an answer to the next request.
fn is_answer(bytes: &[u8]) -> bool {
    bytes.len() > 20
}

impl Harm {
    /// As `of`, or a harm that only a limit of time ends, or a byte that is another on its way.
    fn of_all(rng: &mut Rng) -> Harm {
        match rng.u8(..30) {
            0 => Harm::Stall(rng.usize(..20_000)),
            1..5 => Harm::Garble(rng.usize(1..40)),
            _ => Harm::of(rng),
        }
    }

    fn of(rng: &mut Rng) -> Harm {
        let number = rng.usize(1..40);
        match rng.u8(..10) {
            0 => Harm::None,
            1 => Harm::Fin(rng.usize(..20_000)),
            2 => Harm::Reset(rng.usize(..20_000)),
            3..6 => Harm::Behind(number, BEHIND[rng.usize(..BEHIND.len())]),
            6..8 => Harm::Instead(number, INSTEAD[rng.usize(..INSTEAD.len())]),
            _ => Harm::CloseAfter(number, [Close::Announced, Close::Silent, Close::Reset][rng.usize(..3)]),
        }
    }
}

impl Chaos {
    /// Starts a server on a port of the loopback interface. `seed` chooses the harm done to each connection. If you pass a
    /// `directory`, the server writes the bytes that a connection has received to a file in it when the connection ends. The name
    /// of the file is the number of the connection, counted from 0.
    ///
    /// # Errors
    /// The system has no port left.
    pub fn start(seed: u64, directory: Option<PathBuf>) -> io::Result<Chaos> {
        Chaos::start_with(seed, directory, Harm::of)
    }

    /// Like [`start`](Self::start), but also stalls, which only a limit of time ends, and inverts bytes of heads and chunk sizes.
    ///
    /// # Errors
    /// As for `start`.
    pub fn start_harsh(seed: u64) -> io::Result<Chaos> {
        Chaos::start_with(seed, None, Harm::of_all)
    }

    fn start_with(seed: u64, directory: Option<PathBuf>, choose: fn(&mut Rng) -> Harm) -> io::Result<Chaos> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let acceptor = thread::spawn(move || {
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if is_stopped.load(Ordering::Acquire) {
                    break;
                }
                let number = connections.len();
                let directory = directory.clone();
                connections.push(thread::spawn(move || {
                    let received = Connection::new(stream, seed, number as u64, choose).serve();
                    if let Some(directory) = directory {
                        keep(&directory, number, &received);
                    }
                    received
                }));
            }
            connections.into_iter().map(|connection| connection.join().unwrap_or_default()).collect()
        });
        Ok(Chaos { address, stop, acceptor })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the connections have ended, and returns the bytes that each has received. The client must close them first.
    #[must_use]
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        self.acceptor.join().unwrap_or_default()
    }

    /// The content of the answer for `target`, which ends in digits. Each target has different content.
    #[must_use]
    pub fn content(target: &str) -> Vec<u8> {
        let digits = target.bytes().rev().take_while(u8::is_ascii_digit).count();
        let number: usize = target[target.len() - digits..].parse().unwrap_or(0);
        format!("{target}\n").repeat(number * 37 % 200 + 1).into_bytes()
    }
}

/// Renames a complete file, so that readers never see half of it.
fn keep(directory: &Path, number: usize, received: &[u8]) {
    let aside = directory.join(format!("{number}.new"));
    if let Err(error) = fs::write(&aside, received).and_then(|()| fs::rename(&aside, directory.join(number.to_string()))) {
        eprintln!("dugong-origin: {}: {error}", aside.display());
    }
}

/// The state of one connection.
struct Connection {
    stream: TcpStream,
    rng: Rng,
    harm: Harm,
    received: Vec<u8>,
    /// The number of bytes parsed.
    parsed: usize,
    answered: usize,
    /// The next step of the client, from the last answered request.
    waits: Waits,
    /// Answers still to be written.
    out: Vec<u8>,
    sent: usize,
}

/// The next step of a client after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Nothing,
    /// It sends more before it needs an answer.
    Hold,
    /// It sends nothing until it gets the answer.
    Last,
}

impl Waits {
    fn of(target: &str) -> Waits {
        match target.split_once('?') {
            Some((_, "hold")) => Waits::Hold,
            Some((_, "last")) => Waits::Last,
            _ => Waits::Nothing,
        }
    }
}

impl Connection {
    fn new(stream: TcpStream, seed: u64, number: u64, choose: fn(&mut Rng) -> Harm) -> Connection {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let harm = choose(&mut rng);
        Connection {
            stream,
            rng,
            harm,
            received: Vec::new(),
            parsed: 0,
            answered: 0,
            waits: Waits::Nothing,
            out: Vec::new(),
            sent: 0,
        }
    }

    /// Answers until the connection ends, and returns all bytes received, up to the client's end.
    fn serve(mut self) -> Vec<u8> {
        let _ = self.stream.set_read_timeout(Some(PATIENCE)).and_then(|()| self.stream.set_nodelay(true));
        let mut buffer = vec![0; 64 * 1024];
        // An error means that the client has ended the connection.
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..count]);
            if !self.answer().unwrap_or(false) {
                // Keep what the client has sent so far and still sends.
                while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
                    self.received.extend_from_slice(&buffer[..count]);
                }
                break;
            }
        }
        self.received
    }

    /// Answers all requests received so far. Returns false if that ended the connection.
    fn answer(&mut self) -> io::Result<bool> {
        while let Some((method, target)) = self.next_request() {
            self.answered += 1;
            self.waits = Waits::of(&target);
            match self.harm {
                Harm::Instead(number, bytes) if number == self.answered => {
                    self.out.extend_from_slice(bytes);
                    return self.end(false);
                }
                Harm::CloseAfter(number, close) if number == self.answered => {
                    self.push_answer(&method, &target, close == Close::Announced);
                    return self.end(close == Close::Reset);
                }
                Harm::Garble(number) if number == self.answered => {
                    let (start, chunk) = (self.out.len(), b"chunked\r\n\r\n");
                    self.push_answer(&method, &target, false);
                    let answer = &mut self.out[start..];
                    // A byte of the status line, or the first size of a chunk if there is one.
                    let size = memmem::find(answer, chunk).map_or(0, |at| at + chunk.len());
                    let at = if size == 0 || size == answer.len() { self.rng.usize(.."HTTP/1.1 200".len()) } else { size };
                    answer[at] = !answer[at];
                }
                _ => self.push_answer(&method, &target, false),
            }
        }
        if self.out.is_empty() || self.waits == Waits::Hold {
            return Ok(true);
        }
        match self.harm {
            Harm::Behind(number, bytes) if self.answered >= number && self.may_follow(bytes) => {
                self.out.extend_from_slice(bytes);
                self.harm = Harm::None;
            }
            Harm::Stall(at) if self.sent + self.out.len() >= at => {
                self.out.truncate(at.saturating_sub(self.sent));
                self.write()?;
                return Ok(false);
            }
            Harm::Fin(at) | Harm::Reset(at) if self.sent + self.out.len() >= at => {
                self.out.truncate(at.saturating_sub(self.sent));
                return self.end(matches!(self.harm, Harm::Reset(_)));
            }
            _ => {}
        }
        self.write()?;
        Ok(true)
    }

    /// Tells if a client can know that these bytes are no answer. It cannot once it has begun to send the next request.
    fn may_follow(&self, bytes: &[u8]) -> bool {
        self.parsed == self.received.len() && (self.waits == Waits::Last || !is_answer(bytes))
    }

    fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.sent += self.out.len();
        self.out.clear();
        Ok(())
    }

    /// Writes the remaining answers, and ends the direction to the client; or resets the connection, and receives no more.
    fn end(&mut self, resets: bool) -> io::Result<bool> {
        self.write()?;
        if !resets {
            self.stream.shutdown(Shutdown::Write)?;
            return Ok(false);
        }
        // Unread requests are lost, as they are when real servers reset.
        set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        rustix::net::connect_unspec(&self.stream)?;
        Ok(false)
    }

    /// Returns method and target of the next complete request.
    fn next_request(&mut self) -> Option<(String, String)> {
        let rest = &self.received[self.parsed..];
        let end = memmem::find(rest, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&rest[..end]);
        let field = |wanted| head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == wanted);
        let end = match field("Content-Length") {
            Some((_, value)) => end + value.parse().unwrap_or(0),
            // The content must not look like a last chunk.
            None if field("Transfer-Encoding").is_some() => end + memmem::find(&rest[end..], b"\r\n0\r\n\r\n")? + 7,
            None => end,
        };
        let mut words = head.split(' ').map(str::to_owned);
        let line = (words.next()?, words.next()?);
        (rest.len() >= end).then(|| {
            self.parsed += end;
            line
        })
    }

    fn push_answer(&mut self, method: &str, target: &str, closes: bool) {
        let out = &mut self.out;
        let content = Chaos::content(target);
        let close = if closes { "Connection: close\r\n" } else { "" };
        out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{close}").as_bytes());
        if self.rng.bool() {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
            if method != "HEAD" {
                out.extend_from_slice(&content);
            }
            return;
        }
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        if method != "HEAD" {
            for chunk in content.chunks(self.rng.usize(1..=content.len())) {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// A client that is silent for this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);
