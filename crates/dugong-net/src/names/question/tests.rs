//! Servers that answer late, wrongly or with malice.

use std::net::{SocketAddr, TcpListener};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

/// A name server that gives prepared answers, over UDP and TCP.
struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Server {
    fn new() -> Self {
        // Find a port that is free for both.
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                udp.set_read_timeout(Some(SAFETY)).unwrap();
                return Server { udp, tcp };
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// Receives the next question, and the address that it came from.
    fn question(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 600];
        let (length, from) = self.udp.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    /// Answers the next question with the result of `make`.
    fn answer<const N: usize>(&self, make: impl FnOnce(&[u8]) -> [Vec<u8>; N]) {
        let (question, from) = self.question();
        for message in make(&question) {
            self.udp.send_to(&message, from).unwrap();
        }
    }

    /// Says over UDP that the answer is too long, sends the result of `make` over TCP, and hangs up.
    fn answer_over_tcp(&self, asked: &mut Asked, make: impl FnOnce(&[u8]) -> Vec<u8>) {
        self.answer(|question| [truncated(question)]);
        asked.wait();
        assert!(asked.step().is_pending());
        let (mut stream, _) = self.tcp.accept().unwrap();
        stream.set_read_timeout(Some(SAFETY)).unwrap();
        assert!(asked.step().is_pending());
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut question).unwrap();
        stream.write_all(&make(&question)).unwrap();
    }
}

/// A question with a clock that the test sets.
struct Asked {
    question: Question,
    now: Instant,
}

impl Asked {
    /// Asks for the IPv4 addresses of `name.example`.
    fn new(servers: &[&Server]) -> Self {
        let addresses = servers.iter().map(|server| server.address()).collect();
        let servers = Servers { addresses, limit: LIMIT, only_tcp: false };
        let now = Instant::now();
        let name = Name::from_ascii("name.example.").unwrap();
        Asked { question: Question::new(&name, RecordType::A, &servers, now), now }
    }

    fn step(&mut self) -> Poll<Result<Answer, Vec<(SocketAddr, ServerFailure)>>> {
        self.question.step(self.now)
    }

    /// Waits until the question can go on.
    fn wait(&self) {
        let mut waits = PollSet::default();
        self.question.waits(&mut waits);
        let flags = |interest: Interest| if interest.reads() { PollFlags::IN } else { PollFlags::OUT };
        let mut descriptors: Vec<_> =
            waits.descriptors().iter().map(|(descriptor, interest)| PollFd::new(descriptor, flags(*interest))).collect();
        assert_ne!(poll(&mut descriptors, Some(&Timespec::try_from(SAFETY).unwrap())).unwrap(), 0, "it waits for ever");
    }

    /// Returns the answer. No time passes.
    fn answer(&mut self) -> Result<Answer, ServerFailure> {
        let deadline = Instant::now() + SAFETY;
        loop {
            assert!(Instant::now() < deadline, "it goes on for ever");
            match self.step() {
                Poll::Ready(answer) => return answer.map_err(|mut failures| failures.pop().unwrap().1),
                Poll::Pending => self.wait(),
            }
        }
    }

    /// Returns the failure after all datagrams have arrived and the time has passed.
    fn late(&mut self) -> ServerFailure {
        assert!(self.step().is_pending());
        self.now += LIMIT;
        let Poll::Ready(Err(mut failures)) = self.step() else { panic!("it is late") };
        failures.pop().unwrap().1
    }
}

const LIMIT: Duration = Duration::from_secs(3);

/// The tests wait this long only if something is broken.
const SAFETY: Duration = Duration::from_secs(20);

/// An answer to `question`, with a response code and records of these types, each with as many bytes as an address has.
fn reply(question: &[u8], code: u8, records: &[(u8, u8)]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] |= 0x80;
    message[3] = 0x80 | code;
    message[7] = records.len().try_into().unwrap();
    for &(kind, length) in records {
        // Refer to the name in the question.
        message.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, length]);
        message.extend((0..length).map(|_| 1));
    }
    message
}

fn truncated(question: &[u8]) -> Vec<u8> {
    let mut message = reply(question, 0, &[]);
    message[2] |= 2;
    message
}

/// `message` with the byte at `at` changed.
fn with(mut message: Vec<u8>, at: usize, change: impl FnOnce(u8) -> u8) -> Vec<u8> {
    message[at] = change(message[at]);
    message
}

/// Puts the length before a message, as TCP has it.
fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

const A: (u8, u8) = (1, 4);
const AAAA: (u8, u8) = (28, 16);
const CNAME: (u8, u8) = (5, 2);

#[test]
fn answers_are_understood() {
    let server = Server::new();
    for (code, records, expected) in [
        (0, &[A][..], Answer::Addresses),
        (0, &[CNAME, CNAME, A], Answer::Addresses),
        (0, &[], Answer::NoAddresses),
        (0, &[AAAA], Answer::NoAddresses),
        (0, &[CNAME], Answer::NoAddresses),
        (3, &[], Answer::NotFound),
        (3, &[CNAME], Answer::NotFound),
    ] {
        let mut asked = Asked::new(&[&server]);
        assert!(asked.step().is_pending());
        server.answer(|question| [reply(question, code, records)]);
        assert_eq!(asked.answer().unwrap(), expected, "code {code}, {records:?}");
    }
}

#[test]
fn servers_that_do_not_answer_the_question_say_nothing_about_the_name() {
    let server = Server::new();
    for code in [1, 2, 4, 5, 9, 15] {
        let mut asked = Asked::new(&[&server]);
        server.answer(|question| [reply(question, code, &[])]);
        assert!(matches!(asked.answer(), Err(ServerFailure::Answered(other)) if other == code));
        // Some servers do not even repeat the question.
        let mut asked = Asked::new(&[&server]);
        server.answer(|question| [with(reply(question, code, &[]), 5, |_| 0)[..12].to_vec()]);
        assert!(matches!(asked.answer(), Err(ServerFailure::Answered(other)) if other == code));
    }
    // The server says that it does not ask others, and that it is not responsible.
    let mut asked = Asked::new(&[&server]);
    server.answer(|question| [with(reply(question, 0, &[]), 3, |byte| byte & 0x7f)]);
    assert!(matches!(asked.answer(), Err(ServerFailure::NotRecursive)));
}

#[test]
fn the_first_server_that_knows_counts() {
    let (refusing, silent, knowing) = (Server::new(), Server::new(), Server::new());
    let mut asked = Asked::new(&[&refusing, &silent, &knowing]);
    refusing.answer(|question| [reply(question, 5, &[])]);
    assert!(asked.step().is_pending());
    knowing.answer(|question| [reply(question, 3, &[])]);
    assert_eq!(asked.answer().unwrap(), Answer::NotFound);
}

#[test]
fn when_all_have_failed_each_has_its_reason() {
    let (refusing, silent, absent) = (Server::new(), Server::new(), Server::new().address());
    let addresses = vec![refusing.address(), silent.address(), absent];
    let name = Name::from_ascii("name.example.").unwrap();
    let now = Instant::now();
    let servers = Servers { addresses: addresses.clone(), limit: LIMIT, only_tcp: false };
    let mut asked = Asked { question: Question::new(&name, RecordType::A, &servers, now), now };
    refusing.answer(|question| [reply(question, 5, &[])]);
    asked.wait();
    assert!(asked.step().is_pending());
    asked.now += LIMIT;
    let Poll::Ready(Err(failures)) = asked.step() else { panic!("all have failed") };
    assert_eq!(failures.iter().map(|(server, _)| *server).collect::<Vec<_>>(), addresses);
    let texts: Vec<_> = failures.iter().map(|(_, failure)| failure.to_string()).collect();
    assert_eq!(texts[..2], ["answered REFUSED", "was silent"]);
    assert!(texts[2].starts_with("could not be asked (Connection refused"), "{}", texts[2]);
}

#[test]
fn a_lost_question_is_repeated_once() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    let first = server.question();
    assert!(asked.step().is_pending());
    let mut waits = PollSet::default();
    asked.question.waits(&mut waits);
    assert_eq!(waits.deadline(), Some(asked.now + LIMIT / 2));
    asked.now += LIMIT / 2;
    assert!(asked.step().is_pending());
    assert_eq!(server.question(), first);
    assert!(asked.step().is_pending());
    let mut waits = PollSet::default();
    asked.question.waits(&mut waits);
    assert_eq!(waits.deadline(), Some(asked.now + LIMIT / 2));
    asked.now += LIMIT / 2;
    assert!(matches!(asked.step(), Poll::Ready(Err(_))));
    server.udp.set_nonblocking(true).unwrap();
    assert!(server.udp.recv(&mut [0; 600]).is_err());
}

#[test]
fn datagrams_that_are_not_the_answer_are_skipped() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    server.answer(|question| {
        let wrong = reply(question, 3, &[]);
        [
            Vec::new(),
            b"hello".to_vec(),
            question.to_vec(),
            // Another number, name, type, class and operation, and no question or two.
            with(wrong.clone(), 0, |byte| byte ^ 1),
            with(wrong.clone(), 13, |byte| byte + 1),
            with(wrong.clone(), question.len() - 3, |_| 28),
            with(wrong.clone(), question.len() - 1, |_| 3),
            with(wrong.clone(), 2, |byte| byte | 0x20),
            with(wrong.clone(), 5, |_| 0),
            with(wrong.clone(), 5, |_| 2),
            // The name in the question refers to itself, and to bytes behind it.
            [&wrong[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(),
            [&wrong[..12], &[0xc0, 18, 0, 1, 0, 1, 0xc0, 12]].concat(),
            // The records go on behind the end.
            with(reply(question, 0, &[]), 7, |_| 1),
            with(reply(question, 0, &[CNAME]), 6, |_| 0xff),
            with(reply(question, 0, &[A]), question.len() + 11, |_| 5),
            // Longer than the buffer.
            [reply(question, 0, &[]), vec![0; 60_000]].concat()[..59_000].to_vec(),
        ]
    });
    // The last of these is complete and has no records, only too many bytes behind it.
    assert_eq!(asked.answer().unwrap(), Answer::NoAddresses);
}

#[test]
fn the_answer_may_be_written_in_other_letters() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    server.answer(|question| [with(reply(question, 3, &[]), 13, |byte| byte.to_ascii_uppercase())]);
    assert_eq!(asked.answer().unwrap(), Answer::NotFound);
}

#[test]
fn the_longest_name_can_be_asked_for() {
    let server = Server::new();
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let servers = Servers { addresses: vec![server.address()], limit: LIMIT, only_tcp: false };
    let now = Instant::now();
    let question = Question::new(&Name::from_ascii(name).unwrap(), RecordType::A, &servers, now);
    let mut asked = Asked { question, now };
    server.answer(|question| [reply(question, 3, &[])]);
    assert_eq!(asked.answer().unwrap(), Answer::NotFound);
}

#[test]
fn garbage_alone_is_told_from_silence() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    server.answer(|question| [with(reply(question, 3, &[]), 1, |byte| byte ^ 1)]);
    asked.wait();
    assert!(matches!(asked.late(), ServerFailure::Garbage));
    assert!(matches!(Asked::new(&[&server]).late(), ServerFailure::TimedOut));
}

#[test]
fn guessing_ends_before_it_leads_to_something() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    let (question, from) = server.question();
    let mut guesses = 0;
    let failure = loop {
        guesses += 1;
        let guess = with(reply(&question, 3, &[]), 1, |byte| byte ^ 1 ^ u8::try_from(guesses).unwrap() << 1);
        server.udp.send_to(&guess, from).unwrap();
        asked.wait();
        if let Poll::Ready(answer) = asked.step() {
            break answer.unwrap_err().pop().unwrap().1;
        }
    };
    assert!(matches!(failure, ServerFailure::Garbage) && guesses == 64, "{failure:?} after {guesses}");
}

#[test]
fn other_servers_cannot_answer() {
    let (server, other) = (Server::new(), Server::new());
    let mut asked = Asked::new(&[&server]);
    let (question, from) = server.question();
    // The system tells the sender that no program listens there for it.
    let _ = other.udp.send_to(&reply(&question, 3, &[]), from);
    server.udp.send_to(&reply(&question, 0, &[A]), from).unwrap();
    assert_eq!(asked.answer().unwrap(), Answer::Addresses);
}

#[test]
fn every_question_has_a_number_and_a_port_of_its_own() {
    let server = Server::new();
    let asked: Vec<_> = (0..20).map(|_| Asked::new(&[&server])).collect();
    let mut seen: Vec<_> =
        asked.iter().map(|_| server.question()).map(|(question, from)| (from, question[..2].to_vec())).collect();
    seen.sort();
    seen.dedup_by_key(|(from, _)| *from);
    assert_eq!(seen.len(), 20);
    seen.sort_by_key(|(_, number)| number.clone());
    seen.dedup_by_key(|(_, number)| number.clone());
    // Some of them may be the same by chance.
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn a_truncated_answer_is_completed_over_tcp() {
    let server = Server::new();
    for (code, records, expected) in
        [(0, &[CNAME; 64][..], Answer::NoAddresses), (0, &[A; 250], Answer::Addresses), (3, &[], Answer::NotFound)]
    {
        let mut asked = Asked::new(&[&server]);
        server.answer_over_tcp(&mut asked, |question| framed(&reply(question, code, records)));
        assert_eq!(asked.answer().unwrap(), expected);
    }
}

#[test]
fn an_answer_over_tcp_in_pieces_is_read() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    let mut answer = Vec::new();
    server.answer(|question| {
        answer = framed(&reply(question, 3, &[]));
        [truncated(question)]
    });
    asked.wait();
    assert!(asked.step().is_pending());
    let (mut stream, _) = server.tcp.accept().unwrap();
    let (last, before) = answer.split_last().unwrap();
    for byte in before {
        stream.write_all(&[*byte]).unwrap();
        asked.wait();
        assert!(asked.step().is_pending());
    }
    stream.write_all(&[*last]).unwrap();
    assert_eq!(asked.answer().unwrap(), Answer::NotFound);
}

#[test]
fn lies_over_tcp_are_not_believed() {
    let server = Server::new();
    type Make = fn(&[u8]) -> Vec<u8>;
    let answers: [(Make, &str); 8] = [
        (|_| Vec::new(), "could not be asked (hung up)"),
        (|_| vec![0], "could not be asked (hung up)"),
        // The length is too large, too small, and zero.
        (|question| with(framed(&reply(question, 3, &[])), 0, |_| 0xff), "could not be asked (hung up)"),
        (|question| with(framed(&reply(question, 0, &[A])), 1, |length| length - 1), "sent something that is not an answer"),
        (|_| vec![0, 0], "sent something that is not an answer"),
        (|question| framed(&truncated(question)), "sent something that is not an answer"),
        (|question| framed(&with(reply(question, 3, &[]), 0, |byte| byte ^ 1)), "sent something that is not an answer"),
        (|question| framed(&reply(question, 2, &[])), "answered SERVFAIL"),
    ];
    for (make, text) in answers {
        let mut asked = Asked::new(&[&server]);
        server.answer_over_tcp(&mut asked, make);
        assert_eq!(asked.answer().unwrap_err().to_string(), text);
    }
}

#[test]
fn a_server_may_be_silent_or_absent_over_tcp() {
    let server = Server::new();
    let mut asked = Asked::new(&[&server]);
    server.answer(|question| [truncated(question)]);
    asked.wait();
    // TCP gets the same time again.
    asked.now += LIMIT;
    assert!(asked.step().is_pending());
    assert!(matches!(asked.late(), ServerFailure::TimedOut));

    let mut asked = Asked::new(&[&server]);
    let Server { udp, tcp } = server;
    drop(tcp);
    let mut buffer = [0; 600];
    let (length, from) = udp.recv_from(&mut buffer).unwrap();
    udp.send_to(&truncated(&buffer[..length]), from).unwrap();
    let ServerFailure::Io(error) = asked.answer().unwrap_err() else { panic!() };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn no_bytes_make_reading_panic_or_go_on_for_ever() {
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii("name.example.").unwrap(), RecordType::A));
    let question = question.to_vec().unwrap();
    let read = |message: &[u8]| read(message, &question, RecordType::A);
    let whole = reply(&question, 0, &[CNAME, AAAA, A]);
    assert!(matches!(read(&whole), Ok(Reply::Answer(Answer::Addresses))));
    for cut in 0..whole.len() {
        assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        for byte in 0..=u8::MAX {
            let _ = read(&with(whole.clone(), cut, |_| byte));
        }
    }
    // As many records as fit, each with a name that refers to itself.
    let mut loops = reply(&question, 0, &[]);
    loops[6..8].copy_from_slice(&[0xff, 0xff]);
    while loops.len() < 65_000 {
        let [high, low] = u16::try_from(0xc000 | loops.len() & 0x3fff).unwrap().to_be_bytes();
        loops.extend_from_slice(&[high, low, 0, 99, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    assert!(read(&loops).is_err());
}
