//! Measures the origin with a client that only counts bytes: an upper bound for every other client.
//!
//! `cargo run --release -p dugong-origin --example raw_load -- [DEPTH] [SECONDS]`

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use dugong_origin::{Config, Origin};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let depth = arguments.next().unwrap_or(64);
    let time = Duration::from_secs(arguments.next().unwrap_or(2) as u64);
    let origin = Origin::start(Config::default())?;
    small(&origin, depth, &["/small"], time)?;
    // Neighbours differ, so the origin must parse each head completely.
    small(&origin, depth, &["/small?1", "/small?2"], time)?;
    for target in ["/bytes/4000000000", "/chunked/2000000000"] {
        download(&origin, target)?;
    }
    upload(&origin, "/?digest=0", 4_000_000_000)?;
    upload(&origin, "/", 1_000_000_000)
}

/// Keeps `depth` requests outstanding: sends a new request for each complete answer. The targets have the same length, and
/// take turns.
fn small(origin: &Origin, depth: usize, targets: &[&str], time: Duration) -> io::Result<()> {
    let mut client = connect(origin)?;
    let requests: Vec<String> =
        targets.iter().map(|target| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).collect();
    let length = requests[0].len();
    // Long enough to start at any target.
    let requests = requests.concat().repeat(depth + 1);
    let mut buffer = vec![0; 256 * 1024];
    let (started, mut sent, mut bytes) = (Instant::now(), 0, 0);
    while started.elapsed() < time {
        let room = depth - (sent - bytes / ANSWER);
        let first = sent % targets.len();
        client.write_all(&requests.as_bytes()[first * length..(first + room) * length])?;
        sent += room;
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes += count,
        }
    }
    let rate = (bytes / ANSWER) as f64 / started.elapsed().as_secs_f64();
    println!("{}, {depth} outstanding: {rate:.0} requests/s", targets.join(" and "));
    Ok(())
}

fn download(origin: &Origin, target: &str) -> io::Result<()> {
    let mut client = connect(origin)?;
    write!(client, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut buffer = vec![0; 256 * 1024];
    let (started, mut bytes) = (Instant::now(), 0);
    loop {
        match client.read(&mut buffer)? {
            0 => break,
            count => bytes += count,
        }
    }
    report(&format!("GET {target}"), bytes, started);
    Ok(())
}

fn upload(origin: &Origin, target: &str, bytes: usize) -> io::Result<()> {
    let mut client = connect(origin)?;
    let piece = vec![0; 256 * 1024];
    let started = Instant::now();
    write!(client, "PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n")?;
    let mut left = bytes;
    while left != 0 {
        left -= client.write(&piece[..left.min(piece.len())])?;
    }
    client.read_to_end(&mut Vec::new())?;
    report(&format!("PUT {target}"), bytes, started);
    Ok(())
}

fn connect(origin: &Origin) -> io::Result<TcpStream> {
    let client = TcpStream::connect(origin.address())?;
    client.set_nodelay(true)?;
    Ok(client)
}

fn report(what: &str, bytes: usize, started: Instant) {
    println!("{what}: {:.2} GB/s", bytes as f64 / started.elapsed().as_secs_f64() / 1e9);
}

/// The bytes of an answer to `/small`, head and content.
const ANSWER: usize = 189 + 120;
