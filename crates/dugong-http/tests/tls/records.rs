//! Records in pieces: no cut, pause or record size changes the bytes that are read or written.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use dugong_http::driver::{Interest, Progress, Session, Stream, StreamError};
use dugong_http::transport::tls::TlsFailure;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection};

use super::client::{Client, GUARD, trusting};
use super::pki::Authority;
use super::servers;

/// A server at the other end of a stream in memory. Every read and write is a small piece, with "not now" between.
struct Wire {
    server: ServerConnection,
    to_client: VecDeque<u8>,
    /// The bytes that the server has received.
    received: Vec<u8>,
    /// The largest size of a read or write.
    piece: usize,
    /// Whether the last read got "not now".
    read_paused: bool,
    /// Whether the last write or flush got "not now".
    write_paused: bool,
    /// The number of bytes that the client may still write.
    room: usize,
    /// The next write fails, and no other may follow.
    breaks: bool,
    broken: bool,
    /// The number of completed flushes of the client.
    flushes: usize,
}

impl Wire {
    fn new(config: ServerConfig, piece: usize) -> Self {
        let server = ServerConnection::new(Arc::new(config)).unwrap();
        Wire {
            server,
            to_client: VecDeque::new(),
            received: Vec::new(),
            piece,
            read_paused: false,
            write_paused: false,
            room: usize::MAX,
            breaks: false,
            broken: false,
            flushes: 0,
        }
    }

    /// Passes the bytes of the server on.
    fn exchange(&mut self) {
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client).unwrap();
        }
    }
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        assert!(!buffer.is_empty(), "a read needs room");
        self.read_paused = !self.read_paused;
        if self.read_paused || self.to_client.is_empty() {
            return Ok(Progress::Needs(Interest::READ));
        }
        let count = buffer.len().min(self.piece);
        Ok(Progress::Done(self.to_client.read(&mut buffer[..count])?))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        assert!(!self.broken, "writing has failed already");
        if self.breaks {
            self.broken = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.write_paused = !self.write_paused;
        if self.write_paused || self.room == 0 {
            return Ok(Progress::Needs(Interest::WRITE));
        }
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(self.piece.min(self.room)).collect();
        assert!(!bytes.is_empty(), "a write needs something");
        self.room -= bytes.len();
        let mut left = &bytes[..];
        while !left.is_empty() {
            self.server.read_tls(&mut left).unwrap();
            self.server.process_new_packets().unwrap();
            let _ = self.server.reader().read_to_end(&mut self.received);
        }
        self.exchange();
        Ok(Progress::Done(bytes.len()))
    }

    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        self.flushes += 1;
        self.write_paused = !self.write_paused;
        Ok(if self.write_paused { Progress::Needs(Interest::WRITE) } else { Progress::Done(()) })
    }
}

/// Repeats a step until it is done. Returns false if it never can be.
fn drive<T>(wire: &mut Wire, mut step: impl FnMut(&mut Wire) -> Progress<T>) -> T {
    for _ in 0..1_000_000 {
        if let Progress::Done(value) = step(wire) {
            return value;
        }
    }
    panic!("this goes on for ever");
}

fn configs(authority: &Authority) -> [ServerConfig; 2] {
    [&TLS12, &TLS13].map(|version| servers::config(&authority.issue(&["www.example"]), &[version]))
}

#[test]
fn handshake_content_and_end_come_through_in_pieces_of_any_size() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        for piece in (1..8).chain([16, 100, 1000]) {
            let mut wire = Wire::new(config.clone(), piece);
            let mut session = Session::new(&tls, "www.example").unwrap();
            drive(&mut wire, |wire| session.handshake(wire).unwrap());
            assert!(wire.flushes > 0);
            assert!(!wire.server.is_handshaking(), "done before all was sent");

            let request = vec![b'r'; 3000];
            let mut sent = 0;
            while sent < request.len() {
                let pieces = [IoSlice::new(&request[sent..sent + 1]), IoSlice::new(&request[sent + 1..])];
                sent += drive(&mut wire, |wire| session.write(wire, &pieces).unwrap());
            }
            drive(&mut wire, |wire| session.flush(wire).unwrap());
            assert_eq!(wire.received, request);

            let content: Vec<u8> = (0..40_000_u32).map(|index| index.to_le_bytes()[0]).collect();
            wire.server.writer().write_all(&content).unwrap();
            wire.server.send_close_notify();
            wire.exchange();
            let (mut received, mut buffer) = (Vec::new(), [0; 777]);
            loop {
                let count = drive(&mut wire, |wire| session.read(wire, &mut buffer).unwrap());
                if count == 0 {
                    break;
                }
                received.extend_from_slice(&buffer[..count]);
            }
            assert!(received == content, "{piece}");
        }
    }
}

#[test]
fn each_record_may_be_cut_anywhere() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, usize::MAX);
        let mut session = Session::new(&tls, "www.example").unwrap();
        drive(&mut wire, |wire| session.handshake(wire).unwrap());
        for cut in 0.. {
            let mut buffer = [0; 100];
            wire.server.writer().write_all(b"hello").unwrap();
            wire.exchange();
            if cut > wire.to_client.len() {
                break;
            }
            let rest = wire.to_client.split_off(cut);
            // No record is read in part, and the only need is to read.
            let early = (0..3).map(|_| session.read(&mut wire, &mut buffer).unwrap()).find_map(|progress| match progress {
                Progress::Done(count) => Some(count),
                Progress::Needs(interest) => (interest != Interest::READ).then(|| panic!("{interest:?}")),
            });
            wire.to_client.extend(rest);
            let count = early.unwrap_or_else(|| drive(&mut wire, |wire| session.read(wire, &mut buffer).unwrap()));
            assert_eq!(&buffer[..count], b"hello");
        }
    }
}

#[test]
fn a_read_takes_many_small_records_at_once_and_peeking_takes_none() {
    let authority = Authority::new("root");
    let (address, server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), |mut stream| {
        stream.conn.complete_io(&mut stream.sock).unwrap();
        let mut bytes = Vec::new();
        for index in 0..1000_u32 {
            stream.conn.writer().write_all(&index.to_le_bytes()[..1]).unwrap();
            while stream.conn.wants_write() {
                stream.conn.write_tls(&mut bytes).unwrap();
            }
        }
        stream.sock.write_all(&bytes).unwrap();
        servers::drain(stream.sock);
    });
    let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    let mut received = Vec::new();
    let mut reads = 0;
    while received.len() < 1000 {
        let (mut peeked, mut buffer) = ([0; 3], [0; 2000]);
        let seen = client.step(|session, stream| session.peek(stream, &mut peeked)).unwrap();
        let again = client.step(|session, stream| session.peek(stream, &mut peeked)).unwrap();
        assert_eq!((seen, again), (1, 1));
        let count = client.read(&mut buffer).unwrap();
        assert_eq!(peeked[..seen], buffer[..seen]);
        received.extend_from_slice(&buffer[..count]);
        reads += 1;
    }
    let expected: Vec<u8> = (0..1000_u32).map(|index| index.to_le_bytes()[0]).collect();
    assert_eq!(received, expected);
    assert!(reads < 100, "{reads}");
    drop(client);
    server.join().unwrap();
}

#[test]
fn either_end_can_update_keys() {
    let authority = Authority::new("root");
    let (address, server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), |mut stream| {
        let mut buffer = [0; 5];
        for _ in 0..5 {
            stream.read_exact(&mut buffer).unwrap();
            stream.conn.refresh_traffic_keys().unwrap();
            stream.write_all(&buffer).unwrap();
        }
    });
    let mut client = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    for _ in 0..5 {
        client.write_all(b"hello").unwrap();
        assert_eq!(client.read_exact(5).unwrap(), b"hello");
    }
    server.join().unwrap();
}

#[test]
fn no_byte_of_a_request_is_taken_before_the_handshake_is_done() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, 100);
        let mut session = Session::new(&tls, "www.example").unwrap();
        let mut steps = 0;
        loop {
            let before = wire.server.is_handshaking();
            for result in [session.write(&mut wire, &[IoSlice::new(b"x")]), session.read(&mut wire, &mut [0; 10])] {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
            }
            assert_eq!(session.flush(&mut wire).unwrap_err().kind(), io::ErrorKind::NotConnected);
            if session.handshake(&mut wire).unwrap() == Progress::Done(()) {
                break;
            }
            steps += 1;
            assert!(before || steps < 1000);
        }
        assert!(steps > 3);
        assert_eq!(wire.received, b"");
    }
}

#[test]
fn the_bytes_that_tls_holds_are_bounded_and_flushed() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, usize::MAX);
        let mut session = Session::new(&tls, "www.example").unwrap();
        drive(&mut wire, |wire| session.handshake(wire).unwrap());
        wire.room = 10;
        let content = vec![7; 1 << 20];
        let taken = drive(&mut wire, |wire| session.write(wire, &[IoSlice::new(&content)]).unwrap());
        assert_eq!(taken, 64 << 10);
        for _ in 0..10 {
            assert_eq!(session.write(&mut wire, &[IoSlice::new(&content)]).unwrap(), Progress::Needs(Interest::WRITE));
            assert_eq!(session.flush(&mut wire).unwrap(), Progress::Needs(Interest::WRITE));
        }
        let needs = session.read(&mut wire, &mut [0; 10]).unwrap();
        assert_eq!(needs, Progress::Needs(Interest::READ | Interest::WRITE));
        wire.room = usize::MAX;
        // The reader sends these bytes, too.
        drive(&mut wire, |wire| match session.read(wire, &mut [0; 10]).unwrap() {
            Progress::Needs(interest) if interest.writes() => Progress::Needs(interest),
            _ => Progress::Done(()),
        });
        assert_eq!(wire.received.len(), taken);
        assert_eq!(session.flush(&mut wire).unwrap(), Progress::Done(()));
    }
}

#[test]
fn one_read_returns_all_received_bytes() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, usize::MAX);
        let mut session = Session::new(&tls, "www.example").unwrap();
        drive(&mut wire, |wire| session.handshake(wire).unwrap());
        wire.server.writer().write_all(&[7; 60_000]).unwrap();
        wire.exchange();
        let mut buffer = [0; 64 << 10];
        assert_eq!(drive(&mut wire, |wire| session.read(wire, &mut buffer).unwrap()), 60_000);
    }
}

#[test]
fn a_stream_that_cannot_be_written_to_is_read_and_not_written_to_again() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, usize::MAX);
        let mut session = Session::new(&tls, "www.example").unwrap();
        drive(&mut wire, |wire| session.handshake(wire).unwrap());
        wire.room = 0;
        drive(&mut wire, |wire| session.write(wire, &[IoSlice::new(b"request")]).unwrap());
        wire.breaks = true;
        // The reader gets the error, but does not need it.
        for _ in 0..3 {
            assert_eq!(session.read(&mut wire, &mut [0; 10]).unwrap(), Progress::Needs(Interest::READ));
        }
        for _ in 0..2 {
            assert_eq!(session.flush(&mut wire).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(session.write(&mut wire, &[IoSlice::new(b"x")]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
        session.close_notify(&mut wire);
        wire.server.writer().write_all(b"answer").unwrap();
        wire.exchange();
        let mut buffer = [0; 10];
        let count = drive(&mut wire, |wire| session.read(wire, &mut buffer).unwrap());
        assert_eq!(&buffer[..count], b"answer");
    }
}

/// No lock is held during a wait.
#[test]
fn one_thread_reads_while_another_writes() {
    const BYTES: usize = 4 << 20;
    let authority = Authority::new("root");
    let (address, server) = servers::rustls(servers::config(&authority.issue(&["www.example"]), &[&TLS13]), |mut stream| {
        let mut buffer = vec![0; 10_000];
        for turn in 0.. {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                count => stream.write_all(&buffer[..count]).unwrap(),
            }
            if turn % 50 == 0 {
                stream.conn.refresh_traffic_keys().unwrap();
            }
        }
    });
    let Client { socket, session } = Client::connect(address, &trusting(&authority.pem), "www.example").unwrap();
    let session = Mutex::new(session);
    let content: Vec<u8> = (0..BYTES).map(|index| (index % 251) as u8).collect();
    let step = |step: &mut dyn FnMut(&mut Session) -> Result<Progress<usize>, StreamError>| loop {
        let progress = step(&mut session.lock().unwrap()).unwrap();
        match progress {
            Progress::Done(count) => return count,
            Progress::Needs(interest) => assert!(socket.wait(interest, Some(GUARD)).unwrap(), "nothing happened"),
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            while sent < BYTES {
                sent += step(&mut |session| session.write(&mut &socket, &[IoSlice::new(&content[sent..])]));
            }
            step(&mut |session| session.flush(&mut &socket).map(|progress| progress.map(|()| 0)));
        });
        let (mut received, mut buffer) = (0, vec![0; 30_000]);
        while received < BYTES {
            let count = step(&mut |session| session.read(&mut &socket, &mut buffer));
            assert!(buffer[..count] == content[received..received + count], "{received}");
            received += count;
        }
    });
    session.lock().unwrap().close_notify(&mut &socket);
    server.join().unwrap();
}

#[test]
fn a_changed_record_is_an_error_and_the_bytes_before_it_are_read() {
    let authority = Authority::new("root");
    let tls = trusting(&authority.pem);
    for config in configs(&authority) {
        let mut wire = Wire::new(config, usize::MAX);
        let mut session = Session::new(&tls, "www.example").unwrap();
        drive(&mut wire, |wire| session.handshake(wire).unwrap());
        wire.server.writer().write_all(b"good").unwrap();
        wire.exchange();
        let begin = wire.to_client.len();
        wire.server.writer().write_all(b"evil").unwrap();
        wire.exchange();
        wire.to_client[begin + 10] ^= 1;
        let mut buffer = [0; 100];
        let count = drive(&mut wire, |wire| session.read(wire, &mut buffer).unwrap());
        assert_eq!(&buffer[..count], b"good");
        // The server would panic over the alert in this test.
        wire.room = 0;
        for _ in 0..2 {
            let error = loop {
                match session.read(&mut wire, &mut buffer) {
                    Ok(Progress::Needs(_)) => {}
                    Ok(Progress::Done(count)) => panic!("{}", buffer[..count].escape_ascii()),
                    Err(error) => break super::client::inner(error),
                }
            };
            assert!(matches!(error.what, TlsFailure::Protocol(_)), "{error:?}");
        }
    }
}

#[test]
fn a_session_can_be_sent_to_and_shared_with_other_threads() {
    fn check<T: Send + Sync>() {}
    check::<Session>();
    check::<dugong_http::transport::tls::Tls>();
    check::<dugong_http::transport::tls::TlsError>();
}
