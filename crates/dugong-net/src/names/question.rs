//! One question to name servers (RFC 1035), sent to all of them at once: over UDP, and over TCP if an answer is truncated.
//!
//! It only finds out whether a name exists; addresses come from the system's resolver. A datagram counts if it comes from the
//! address and port that were asked, and repeats the random number and the question (RFC 5452 §9.1). Others are skipped, up to
//! a number that leaves no room for guessing.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::task::Poll;
use std::time::{Duration, Instant};

use hickory_proto::op::{Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::need::Interest;
use crate::poll_set::PollSet;

/// The answer of one server about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name has addresses of the kind that was asked for.
    Addresses,
    /// The name exists without such addresses.
    NoAddresses,
    /// The name does not exist.
    NotFound,
}

/// Why a name server gave no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerFailure {
    /// The server was silent.
    TimedOut,
    /// The server refused or failed to answer, with this response code (RFC 1035 §4.1.1), such as 2 (SERVFAIL) or 5 (REFUSED).
    Answered(u8),
    /// The server does not ask others, and has no answer itself.
    NotRecursive,
    /// The server sent something that is not an answer to the question.
    Garbage,
    /// The server could not be reached, or hung up; the error of the system.
    Io(io::Error),
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Question {
    kind: RecordType,
    exchanges: Vec<Exchange>,
}

impl Question {
    /// Asks `servers` for the records of a name. Each has `limit` to answer, and again if it has to be asked over TCP.
    pub(super) fn new(name: &Name, kind: RecordType, servers: &Servers, now: Instant) -> Self {
        let query = Query::query(name.clone(), kind);
        let exchanges = servers.addresses.iter().map(|&server| Exchange::new(server, &query, servers, now)).collect();
        Question { kind, exchanges }
    }

    /// Goes on until one server has answered, or all have failed.
    pub(super) fn step(&mut self, now: Instant) -> Poll<Result<Answer, Vec<(SocketAddr, ServerFailure)>>> {
        for exchange in &mut self.exchanges {
            if let Some(answer) = exchange.step(self.kind, now) {
                return Poll::Ready(Ok(answer));
            }
        }
        if self.exchanges.iter().any(|exchange| !matches!(exchange.state, State::Failed(_))) {
            return Poll::Pending;
        }
        let failure = |exchange: Exchange| match exchange.state {
            State::Failed(failure) => (exchange.server, failure),
            State::Udp { .. } | State::Tcp { .. } => unreachable!("none is left"),
        };
        Poll::Ready(Err(std::mem::take(&mut self.exchanges).into_iter().map(failure).collect()))
    }

    /// Adds the descriptors and the time to wait for.
    pub(super) fn waits<'a>(&'a self, waits: &mut PollSet<'a>) {
        for exchange in &self.exchanges {
            match &exchange.state {
                State::Udp { socket, again, .. } => {
                    waits.on(socket.as_fd(), Interest::READ);
                    waits.until(*again);
                }
                State::Tcp { stream, sent, .. } => {
                    let is_sent = *sent == exchange.message.len() + 2;
                    waits.on(stream.as_fd(), if is_sent { Interest::READ } else { Interest::WRITE });
                }
                State::Failed(_) => continue,
            }
            waits.until(exchange.until);
        }
    }
}

/// The servers to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    pub(super) addresses: Vec<SocketAddr>,
    /// The time that each server may take.
    pub(super) limit: Duration,
    /// Skip UDP.
    pub(super) only_tcp: bool,
}

/// The question to one server.
#[derive(Debug)]
struct Exchange {
    server: SocketAddr,
    message: Vec<u8>,
    limit: Duration,
    until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Udp {
        socket: UdpSocket,
        /// When to repeat the question: it or the answer may have been lost.
        again: Option<Instant>,
        /// The number of datagrams that were not the answer.
        wrong: u32,
    },
    Tcp {
        stream: TcpStream,
        /// Bytes sent of the length and the message behind it (RFC 1035 §4.2.2).
        sent: usize,
        received: Vec<u8>,
    },
    Failed(ServerFailure),
}

/// The content of an answer.
#[derive(Debug)]
enum Reply {
    Answer(Answer),
    Failure(ServerFailure),
    Truncated,
}

impl Exchange {
    fn new(server: SocketAddr, query: &Query, servers: &Servers, now: Instant) -> Self {
        // The library puts a random number in.
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        let limit = servers.limit;
        let (message, state) = match message.to_vec() {
            Ok(message) if servers.only_tcp => (message, tcp(server)),
            Ok(message) => {
                let state = udp(server, &message, now + limit / 2);
                (message, state)
            }
            Err(error) => (Vec::new(), Err(io::Error::other(error))),
        };
        let state = state.unwrap_or_else(|error| State::Failed(ServerFailure::Io(error)));
        Exchange { server, message, limit, until: now + limit, state }
    }

    fn step(&mut self, kind: RecordType, now: Instant) -> Option<Answer> {
        loop {
            let reply = match &mut self.state {
                State::Failed(_) => return None,
                State::Udp { socket, wrong, .. } => receive(socket, wrong, |message| read(message, &self.message, kind)),
                State::Tcp { stream, sent, received } => {
                    exchange(stream, &self.message, sent, received, |message| read(message, &self.message, kind))
                }
            };
            let failure = match reply {
                Ok(Poll::Ready(Reply::Answer(answer))) => return Some(answer),
                Ok(Poll::Ready(Reply::Truncated)) if matches!(self.state, State::Udp { .. }) => match tcp(self.server) {
                    Ok(state) => {
                        self.state = state;
                        self.until = now + self.limit;
                        continue;
                    }
                    Err(error) => ServerFailure::Io(error),
                },
                Ok(Poll::Ready(Reply::Truncated)) => ServerFailure::Garbage,
                Ok(Poll::Ready(Reply::Failure(failure))) => failure,
                Ok(Poll::Pending) if now < self.until => {
                    self.repeat(now);
                    return None;
                }
                Ok(Poll::Pending) if matches!(self.state, State::Udp { wrong: 1.., .. }) => ServerFailure::Garbage,
                Ok(Poll::Pending) => ServerFailure::TimedOut,
                Err(error) => ServerFailure::Io(error),
            };
            self.state = State::Failed(failure);
        }
    }

    /// Repeats the question if its time has come.
    fn repeat(&mut self, now: Instant) {
        if let State::Udp { socket, again, .. } = &mut self.state
            && again.is_some_and(|again| again <= now)
        {
            *again = None;
            // Receiving reports errors. A full queue is like a lost datagram.
            let _ = socket.send(&self.message);
        }
    }
}

/// Asks over UDP, from a port that serves this question only.
fn udp(server: SocketAddr, message: &[u8], again: Instant) -> io::Result<State> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    // Connected, the socket gets datagrams of this server only, and an error if no program listens there.
    socket.connect(&server.into())?;
    socket.send(message)?;
    let socket = socket.into();
    Ok(State::Udp { socket, again: Some(again), wrong: 0 })
}

/// Begins to connect over TCP.
fn tcp(server: SocketAddr) -> io::Result<State> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(State::Tcp { stream: socket.into(), sent: 0, received: Vec::new() }),
    }
}

/// Reads datagrams, up to the answer.
fn receive(socket: &UdpSocket, wrong: &mut u32, read: impl Fn(&[u8]) -> Result<Reply, DecodeError>) -> io::Result<Poll<Reply>> {
    // Only clients that announce it should get more than 512 bytes, but some servers do not care. Longer datagrams are cut.
    let mut buffer = [0; 4096];
    while *wrong < WRONG_MAX {
        match socket.recv(&mut buffer) {
            Ok(length) => match read(&buffer[..length]) {
                Ok(reply) => return Ok(Poll::Ready(reply)),
                Err(_) => *wrong += 1,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Poll::Ready(Reply::Failure(ServerFailure::Garbage)))
}

/// Asks over TCP, and reads the answer.
fn exchange(
    mut stream: &TcpStream,
    message: &[u8],
    sent: &mut usize,
    received: &mut Vec<u8>,
    read: impl Fn(&[u8]) -> Result<Reply, DecodeError>,
) -> io::Result<Poll<Reply>> {
    let length = u16::try_from(message.len()).expect("a question is short");
    let question = [&length.to_be_bytes(), message].concat();
    while *sent < question.len() {
        match stream.write(&question[*sent..]) {
            Ok(count) => *sent += count,
            // Not connected yet.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                return Ok(Poll::Pending);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; 4096];
    loop {
        let end = match received[..] {
            [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high, low])),
            _ => 2,
        };
        if received.len() > 2 && received.len() == end || end == 2 && received.len() == 2 {
            return Ok(Poll::Ready(read(&received[2..]).unwrap_or(Reply::Failure(ServerFailure::Garbage))));
        }
        let room = buffer.len().min(end - received.len());
        match stream.read(&mut buffer[..room]) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "hung up")),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parses a message as an answer to `question`, the message that was sent.
///
/// # Errors
/// The message is not an answer.
fn read(message: &[u8], question: &[u8], kind: RecordType) -> Result<Reply, DecodeError> {
    let (mut decoder, mut asked) = (BinDecoder::new(message), BinDecoder::new(question));
    let (header, asked_header) = (Header::read(&mut decoder)?, Header::read(&mut asked)?);
    let is_answer = header.message_type == MessageType::Response && header.op_code == OpCode::Query;
    let code = header.response_code;
    match header.counts.queries {
        _ if header.id != asked_header.id || !is_answer => return Err(DecodeError::InsufficientBytes),
        // The question is not compressed, and ignoring case changes its letters only.
        1 => {
            let question = asked.read_slice(asked.len())?.unverified(/* it is ours */);
            let repeated = decoder.read_slice(question.len())?.unverified(/* it is compared now */);
            if !repeated.eq_ignore_ascii_case(question) {
                return Err(DecodeError::InsufficientBytes);
            }
        }
        // A server that did not understand the question may leave it out.
        0 if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) => {}
        _ => return Err(DecodeError::InsufficientBytes),
    }
    if header.truncation {
        return Ok(Reply::Truncated);
    }
    match code {
        ResponseCode::NXDomain => return Ok(Reply::Answer(Answer::NotFound)),
        ResponseCode::NoError => {}
        _ => return Ok(Reply::Failure(ServerFailure::Answered(code.low()))),
    }
    if header.counts.answers == 0 && !header.authoritative && !header.recursion_available {
        return Ok(Reply::Failure(ServerFailure::NotRecursive));
    }
    for _ in 0..header.counts.answers {
        if record(&mut decoder)? == kind {
            return Ok(Reply::Answer(Answer::Addresses));
        }
    }
    Ok(Reply::Answer(Answer::NoAddresses))
}

/// Skips a record (RFC 1035 §4.1.3), and returns its type. Aliases are not followed.
fn record(decoder: &mut BinDecoder<'_>) -> Result<RecordType, DecodeError> {
    loop {
        match decoder.pop()?.unverified(/* all are told apart */) {
            0 => break,
            length @ 1..=63 => drop(decoder.read_slice(length.into())?),
            0b1100_0000.. => {
                decoder.pop()?;
                break;
            }
            code => return Err(DecodeError::UnrecognizedLabelCode(code)),
        }
    }
    let kind = RecordType::read(decoder)?;
    // Class and time to live.
    decoder.read_slice(2 + 4)?;
    let length = decoder.read_u16()?.unverified(/* too long a slice is an error */);
    decoder.read_slice(length.into())?;
    Ok(kind)
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerFailure::TimedOut => f.write_str("was silent"),
            ServerFailure::Answered(1) => f.write_str("answered FORMERR"),
            ServerFailure::Answered(2) => f.write_str("answered SERVFAIL"),
            ServerFailure::Answered(4) => f.write_str("answered NOTIMP"),
            ServerFailure::Answered(5) => f.write_str("answered REFUSED"),
            ServerFailure::Answered(code) => write!(f, "answered with code {code}"),
            ServerFailure::NotRecursive => f.write_str("does not ask others"),
            ServerFailure::Garbage => f.write_str("sent something that is not an answer"),
            ServerFailure::Io(error) => write!(f, "could not be asked ({error})"),
        }
    }
}

#[cfg(test)]
mod tests;

/// The number of wrong datagrams that may precede the answer. Each may be the guess of an attacker who does not see the
/// question.
const WRONG_MAX: u32 = 64;
