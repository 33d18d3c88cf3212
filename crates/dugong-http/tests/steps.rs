//! The engine on a stream that blocks, transfers a few bytes at a time, and breaks. The results must be the same, and no step may
//! remain half done.

use std::io::ErrorKind;

use dugong_http::driver::{Continue, Duplex, Engine, Interest, Progress, Receiving, Sending, Shared};
use dugong_http::{CloseReason, Closed, Config, Error, Fields, Misuse, Request, Sent, Within};
use dugong_net::scripted::{Cue, Scripted};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// An engine, its stream, and a log of results.
struct Rig {
    sending: Sending,
    receiving: Receiving,
    shared: Shared,
    stream: Scripted,
    pace: Pace,
    /// How often a step may say that it must wait before the test abandons it.
    patience: usize,
    log: Vec<String>,
}

/// The behaviour of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Transfers everything at once.
    Free,
    /// Each read and write blocks once, then transfers this many bytes.
    Bits(usize),
}

impl Rig {
    fn new(pace: Pace, patience: usize) -> Rig {
        Rig::with(&Config::new().user_agent(None), pace, patience)
    }

    fn with(config: &Config, pace: Pace, patience: usize) -> Rig {
        let (sending, receiving) = (Sending::new("origin", config).unwrap(), Receiving::new(config));
        let (shared, stream) = (Shared::default(), Scripted::default());
        Rig { sending, receiving, shared, stream, pace, patience, log: Vec::new() }
    }

    /// Makes bytes from the server available to read.
    fn arrives(&mut self, bytes: impl AsRef<[u8]>) {
        match self.pace {
            Pace::Free => self.stream.reads.push_back(Cue::Give(bytes.as_ref().into())),
            Pace::Bits(count) => {
                for piece in bytes.as_ref().chunks(count) {
                    self.stream.reads.extend([Cue::Wait(Interest::READ), Cue::Give(piece.into())]);
                }
            }
        }
    }

    fn once<T>(
        &mut self,
        step: &mut impl FnMut(&mut Duplex<'_>, &mut Scripted) -> Result<Progress<T>, Error>,
    ) -> Result<Progress<T>, Error> {
        if let (Pace::Bits(count), true) = (self.pace, self.stream.writes.is_empty()) {
            self.stream.writes.extend([Cue::Wait(Interest::WRITE), Cue::Take(count)]);
        }
        let (sending, receiving) = (Some(&mut self.sending), Some(&mut self.receiving));
        step(&mut Duplex::of_halves(sending, receiving, &mut self.shared), &mut self.stream)
    }

    /// Repeats a step until it is done; `None` if patience runs out.
    fn run<T>(
        &mut self,
        mut step: impl FnMut(&mut Duplex<'_>, &mut Scripted) -> Result<Progress<T>, Error>,
    ) -> Result<Option<T>, Error> {
        // More steps than any scenario has bytes, to stop an endless loop.
        for _ in 0..100_000 {
            match self.once(&mut step)? {
                Progress::Done(value) => return Ok(Some(value)),
                Progress::Needs(interest) => {
                    assert!(interest.reads() || interest.writes());
                    if self.patience == 0 {
                        return Ok(None);
                    }
                    self.patience -= 1;
                }
            }
        }
        panic!("the step never ends; so far: {:?}", self.log);
    }

    fn send(&mut self, request: &Request) -> Option<()> {
        let number = self.run(|duplex, stream| duplex.send_request(request, stream)).unwrap()?;
        self.log.push(format!("sent {number}"));
        Some(())
    }

    fn write(&mut self, mut content: &[u8]) -> Option<()> {
        while !content.is_empty() {
            let count = self.run(|duplex, stream| duplex.write_content(content, stream)).unwrap()?;
            content = &content[count..];
        }
        Some(())
    }

    fn finish(&mut self, trailers: &Fields) {
        self.once(&mut |duplex, stream| duplex.finish_content(trailers, stream).map(Progress::Done)).unwrap();
    }

    fn flush(&mut self) -> Option<()> {
        self.run(|duplex, stream| duplex.flush(stream)).unwrap()
    }

    fn await_continue(&mut self) -> Option<()> {
        let what = self.run(|duplex, stream| duplex.await_continue(stream)).unwrap()?;
        self.log.push(format!("{what:?}"));
        Some(())
    }

    fn read_head(&mut self) -> Option<()> {
        self.run(|duplex, stream| duplex.read_head(stream)).unwrap()?;
        self.log.push(format!("head {}", self.receiving.half().head().status()));
        Some(())
    }

    fn read_content(&mut self, size: usize) -> Option<()> {
        let (mut buffer, mut content) = (vec![0; size], Vec::new());
        loop {
            match self.run(|duplex, stream| duplex.read_content(&mut buffer, stream)).unwrap()? {
                0 => break,
                count => content.extend_from_slice(&buffer[..count]),
            }
        }
        let sum: u64 = content.iter().zip(1..).map(|(byte, at)| u64::from(*byte) * at).sum();
        self.log.push(format!("content of {} bytes, {sum}", content.len()));
        Some(())
    }

    fn fill_content(&mut self) -> Option<()> {
        let there = self.run(|duplex, stream| duplex.fill_content(stream)).unwrap()?;
        self.log.push(format!("content is there: {there}"));
        Some(())
    }

    fn discard(&mut self) -> Option<()> {
        self.run(|duplex, stream| duplex.discard(stream)).unwrap()?;
        self.log.push("discarded".into());
        Some(())
    }

    fn accepted(&self) -> usize {
        let requests = self.shared.requests();
        requests.answered as usize + requests.unanswered.len()
    }
}

fn put() -> Request {
    Request::put("/length").content_length(26)
}

fn chunked() -> Request {
    Request::put("/chunked").chunked()
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

fn trailers() -> Fields {
    let mut trailers = Fields::new();
    trailers.append("X-Sum", "1").unwrap();
    trailers
}

/// Runs every operation once, with `length` bytes of content in the second response; `None` if one was abandoned.
fn scenario(rig: &mut Rig, length: usize) -> Option<()> {
    rig.send(&Request::get("/first"))?;
    rig.send(&put())?;
    rig.write(LETTERS)?;
    rig.send(&chunked())?;
    rig.write(&LETTERS[..10])?;
    rig.write(&LETTERS[10..])?;
    rig.finish(&trailers());
    rig.flush()?;
    rig.arrives(HELLO);
    rig.read_head()?;
    rig.read_content(2)?;
    rig.arrives(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length)));
    rig.read_head()?;
    rig.read_content(100_000)?;
    rig.arrives("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    rig.arrives("5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n");
    rig.read_head()?;
    rig.fill_content()?;
    rig.discard()?;
    rig.send(&Request::post("/expecting").content_length(26).expect_continue())?;
    rig.flush()?;
    rig.arrives("HTTP/1.1 100 Continue\r\n\r\n");
    rig.await_continue()?;
    rig.write(LETTERS)?;
    rig.flush()?;
    rig.arrives("HTTP/1.1 204 No Content\r\n\r\n");
    rig.read_head()?;
    rig.discard()?;
    rig.send(&Request::post("/refused").content_length(26).expect_continue())?;
    rig.flush()?;
    rig.arrives("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
    rig.await_continue()?;
    rig.read_head()?;
    rig.read_content(1)
}

#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    line: String,
    content: Vec<u8>,
    trailers: String,
    whole: bool,
}

/// Parses the written bytes as requests; only the last may be incomplete.
fn parse(mut bytes: &[u8]) -> Vec<Parsed> {
    fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&bytes[..end]).expect("lines are ASCII");
        *bytes = &bytes[end + 2..];
        Some(line)
    }
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let mut parsed = Parsed { line: String::new(), content: Vec::new(), trailers: String::new(), whole: false };
        let mut lines = Vec::new();
        let complete = loop {
            match line(&mut bytes) {
                None => break false,
                Some("") => break true,
                Some(line) => lines.push(line),
            }
        };
        parsed.line = lines.first().map_or_else(String::new, ToString::to_string);
        assert!(parsed.line.ends_with(" HTTP/1.1") && lines[1] == "Host: origin", "{lines:?}");
        assert!(complete, "the head {lines:?} is not whole");
        let length =
            lines.iter().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |length| length.parse().unwrap());
        if lines.contains(&"Transfer-Encoding: chunked") {
            while let Some(size) = line(&mut bytes) {
                let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?} is no size"));
                if size == 0 {
                    while let Some(line) = line(&mut bytes) {
                        parsed.whole |= line.is_empty();
                        if parsed.whole {
                            break;
                        }
                        parsed.trailers += line;
                    }
                    break;
                }
                parsed.content.extend_from_slice(&bytes[..size]);
                assert_eq!(&bytes[size..size + 2], b"\r\n");
                bytes = &bytes[size + 2..];
            }
        } else {
            let count = length.min(bytes.len());
            parsed.content.extend_from_slice(&bytes[..count]);
            parsed.whole = count == length;
            bytes = &bytes[count..];
        }
        assert!(parsed.whole || bytes.is_empty(), "{parsed:?} is followed by {:?}", bytes.escape_ascii().to_string());
        requests.push(parsed);
    }
    requests
}

#[test]
fn every_operation_has_the_same_result_however_the_stream_blocks() {
    let mut free = Rig::new(Pace::Free, usize::MAX);
    scenario(&mut free, 20_000).unwrap();
    let requests = parse(&free.stream.written);
    let lines: Vec<_> = requests.iter().map(|request| (request.line.as_str(), request.content.len(), request.whole)).collect();
    assert_eq!(
        lines,
        [
            ("GET /first HTTP/1.1", 0, true),
            ("PUT /length HTTP/1.1", 26, true),
            ("PUT /chunked HTTP/1.1", 26, true),
            ("POST /expecting HTTP/1.1", 26, true),
            ("POST /refused HTTP/1.1", 0, false),
        ]
    );
    assert_eq!(requests[2].trailers, "X-Sum: 1");
    for count in [1, 2, 3, 7, 50, 1000] {
        let mut rig = Rig::new(Pace::Bits(count), usize::MAX);
        scenario(&mut rig, 20_000).unwrap();
        assert_eq!(rig.log, free.log, "{count} bytes at a time");
        assert_eq!(rig.stream.written.escape_ascii().to_string(), free.stream.written.escape_ascii().to_string());
    }
}

/// A caller's next action after abandoning a step.
#[derive(Clone, Copy, Debug)]
enum Instead {
    Read,
    SendAnother,
    Both,
}

#[test]
fn an_abandoned_step_leaves_no_half_request_for_later_steps_to_complete() {
    for count in [1, 5, 40] {
        let mut patience = 0;
        loop {
            let mut finished = false;
            for instead in [Instead::Read, Instead::SendAnother, Instead::Both] {
                let mut rig = Rig::new(Pace::Bits(count), patience);
                finished = scenario(&mut rig, 20).is_some();
                abandon(&mut rig, instead, &format!("{count} bytes at a time, {patience} waits, then {instead:?}"));
            }
            if finished {
                break;
            }
            patience += 1;
        }
        assert!(patience > 10, "nothing ever waited");
    }
}

/// Does something else instead, completes owed content, and checks the written bytes.
fn abandon(rig: &mut Rig, instead: Instead, context: &str) {
    // From now on writes succeed at once, but nothing more arrives.
    rig.pace = Pace::Free;
    rig.stream.writes.clear();
    rig.stream.reads.clear();
    let before = rig.accepted();
    let mut others = 0;
    if let Instead::Read | Instead::Both = instead {
        let mut step = |duplex: &mut Duplex<'_>, stream: &mut Scripted| duplex.read_head(stream);
        match rig.once(&mut step) {
            Ok(Progress::Needs(_)) | Err(Error::Local(Misuse::NothingOutstanding | Misuse::ContentUnread)) => {}
            other => panic!("{context}: {other:?}"),
        }
    }
    if let Instead::SendAnother | Instead::Both = instead {
        let other = Request::get("/other");
        match rig.once(&mut |duplex, stream| duplex.send_request(&other, stream)) {
            Ok(Progress::Done(number)) => {
                assert_eq!(number as usize, before, "{context}");
                others = 1;
            }
            Err(Error::Local(Misuse::ContentOwed | Misuse::ContentRefused)) => {}
            Err(Error::Closed { cause: Closed::InOrder(CloseReason::ContentNotSent), .. }) => {}
            other => panic!("{context}: {other:?}"),
        }
    }
    assert_eq!(rig.accepted(), before + others, "{context}");
    let owes = rig.sending.half().owes_content() && others == 0;
    let mut rest: &[u8] = b"";
    if owes {
        let left = rig.sending.half().content_left();
        rest = left.map_or(b"123", |left| &LETTERS[26 - left as usize..]);
        match rig.once(&mut |duplex, stream| duplex.write_content(rest, stream)) {
            Ok(Progress::Done(count)) => assert_eq!(count, rest.len(), "{context}"),
            Err(Error::Local(Misuse::AwaitContinue | Misuse::ContentRefused)) => rest = b"",
            other => panic!("{context}: {other:?}"),
        }
        if left.is_none() {
            rig.finish(&Fields::new());
        }
    }
    let mut step = |duplex: &mut Duplex<'_>, stream: &mut Scripted| duplex.flush(stream);
    assert_eq!(rig.once(&mut step).unwrap(), Progress::Done(()), "{context}");

    let requests = parse(&rig.stream.written);
    let mut targets: Vec<_> = ["/first", "/length", "/chunked", "/expecting", "/refused"][..before].to_vec();
    targets.extend(vec!["/other"; others]);
    let found: Vec<_> = requests.iter().map(|request| request.line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(found, targets, "{context}");
    for (index, request) in requests.iter().enumerate() {
        let is_last = index + 1 == requests.len();
        match request.line.split(' ').nth(1).unwrap() {
            "/first" | "/other" => assert!(request.whole && request.content.is_empty(), "{context}: {request:?}"),
            "/chunked" if is_last && owes => {
                let own = request.content.strip_suffix(rest).unwrap_or_else(|| panic!("{context}: {request:?}"));
                assert!(LETTERS.starts_with(own) && request.whole, "{context}: {request:?}");
            }
            "/refused" => assert!(request.content.is_empty(), "{context}: {request:?}"),
            "/expecting" if is_last && rest.is_empty() && owes => assert!(request.content.is_empty(), "{context}: {request:?}"),
            _ => assert!(request.whole && request.content == LETTERS, "{context}: {request:?}"),
        }
    }
}

#[test]
fn a_chunk_that_was_begun_is_ended_and_one_that_was_not_is_not_sent() {
    let head = "PUT /chunked HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n".len();
    let whole = head + "1a\r\n".len() + 26 + "\r\n".len();
    for taken in 0..=whole {
        let mut rig = Rig::new(Pace::Free, 0);
        rig.stream.writes.push_back(Cue::Wait(Interest::WRITE));
        rig.send(&chunked()).unwrap();
        assert_eq!(rig.stream.written, b"", "the head waits, and goes out with the content");
        rig.stream.writes.extend([Cue::Take(taken), Cue::Wait(Interest::WRITE)]);
        let mut step = |duplex: &mut Duplex<'_>, stream: &mut Scripted| duplex.write_content(LETTERS, stream);
        let was_sent = match rig.once(&mut step).unwrap() {
            Progress::Done(count) => count == 26,
            Progress::Needs(_) => false,
        };
        assert_eq!(was_sent, taken > head, "{taken}");
        let sent = match taken {
            0 => Sent::Nothing,
            _ => Sent::Partly,
        };
        assert_eq!(rig.shared.requests().unanswered[0].sent, sent);
        rig.stream.writes.clear();
        rig.write(b"another").unwrap();
        rig.finish(&trailers());
        let [request] = &parse(&rig.stream.written)[..] else { panic!("{taken}") };
        let wanted = if was_sent { [LETTERS, b"another"].concat() } else { b"another".to_vec() };
        assert_eq!((&request.content, request.trailers.as_str(), request.whole), (&wanted, "X-Sum: 1", true), "{taken}");
        assert_eq!(rig.shared.requests().unanswered[0].sent, Sent::Whole);
    }
}

#[test]
fn chunks_larger_than_the_limit_of_one_are_several() {
    let mut rig = Rig::new(Pace::Free, usize::MAX);
    let content = vec![b'x'; 200_000];
    rig.send(&chunked()).unwrap();
    rig.write(&content).unwrap();
    rig.finish(&Fields::new());
    let [request] = &parse(&rig.stream.written)[..] else { panic!("one was sent") };
    assert!(request.whole && request.content == content);
}

fn fails_at(request: &Request, content: &[u8], taken: usize) -> (Rig, Error) {
    let mut rig = Rig::new(Pace::Free, usize::MAX);
    rig.send(&Request::get("/first")).unwrap();
    rig.stream.writes.extend([Cue::Take(taken), Cue::Fail(ErrorKind::BrokenPipe)]);
    let mut step = |duplex: &mut Duplex<'_>, stream: &mut Scripted| {
        let Progress::Done(_) = duplex.send_request(request, stream)? else { return Ok(Progress::Done(())) };
        let mut content = content;
        while !content.is_empty() {
            match duplex.write_content(content, stream)? {
                Progress::Done(count) => content = &content[count..],
                Progress::Needs(_) => panic!("it fails, it does not wait"),
            }
        }
        Ok(Progress::Done(()))
    };
    let error = rig.once(&mut step).unwrap_err();
    (rig, error)
}

#[test]
fn responses_that_arrived_before_a_failed_write_can_be_read() {
    for (request, content) in [(Request::get("/second"), &b""[..]), (put(), LETTERS)] {
        // Bytes that arrive before the second request has begun to leave cannot answer it.
        for taken in [5, 70] {
            if content.is_empty() && taken == 70 {
                continue;
            }
            let (mut rig, error) = fails_at(&request, content, taken);
            let Error::Closed { cause: Closed::Sending(said), requests } = &error else { panic!("{error:?}") };
            assert_eq!((said.kind(), requests.unanswered.len()), (ErrorKind::BrokenPipe, 2));
            assert_eq!((requests.unanswered[0].sent, requests.unanswered[1].sent), (Sent::Whole, Sent::Partly));
            rig.stream.writes.clear();
            rig.stream.writes.extend(vec![Cue::Fail(ErrorKind::BrokenPipe); 10]);
            rig.arrives(HELLO);
            rig.arrives("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
            rig.stream.reads.push_back(Cue::Eof);
            rig.read_head().unwrap();
            rig.read_content(100).unwrap();
            rig.read_head().unwrap();
            rig.read_content(100).unwrap();
            assert_eq!(rig.shared.requests().answered, 2);
            let another = Request::get("/");
            assert!(rig.run(|duplex, stream| duplex.send_request(&another, stream)).unwrap_err().is_closed());
        }
    }
}

#[test]
fn close_delimited_content_is_incomplete_after_a_failed_write() {
    for size in [3, 100_000] {
        for first in ["", "hello"] {
            let (mut rig, _) = fails_at(&Request::get("/second"), b"", 0);
            rig.arrives(format!("HTTP/1.1 200 OK\r\n\r\n{first}"));
            rig.stream.reads.push_back(Cue::Eof);
            rig.read_head().unwrap();
            let mut buffer = vec![0; size];
            let mut content = 0;
            let error = loop {
                match rig.run(|duplex, stream| duplex.read_content(&mut buffer, stream)) {
                    Ok(Some(0)) => panic!("this may not be all"),
                    Ok(count) => content += count.unwrap(),
                    Err(error) => break error,
                }
            };
            assert_eq!(content, first.len());
            let Error::Closed { cause: Closed::Incomplete(incomplete, _), .. } = &error else { panic!("{error:?}") };
            assert_eq!((incomplete.within, incomplete.received), (Within::Content, first.len() as u64));
        }
    }
}

#[test]
fn a_request_for_which_there_is_no_room_is_refused_whole() {
    let config = Config::new().user_agent(None).receive_buffer(1024).send_buffer(1000);
    let mut rig = Rig::with(&config, Pace::Free, 0);
    let large = Request::get("/").header("X", "x".repeat(2000));
    rig.stream.writes.extend(vec![Cue::Take(100), Cue::Wait(Interest::WRITE), Cue::Wait(Interest::WRITE)]);
    rig.send(&large).unwrap();
    rig.stream.writes.extend(vec![Cue::Wait(Interest::WRITE); 10]);
    rig.arrives([b'x'; 2000]);
    let refused = rig.run(|duplex, stream| duplex.send_request(&large, stream)).unwrap_err();
    assert!(matches!(refused, Error::Local(Misuse::ReadFirst)), "{refused:?}");
    assert_eq!((rig.accepted(), rig.receiving.half().unconsumed().len()), (1, 1024));
    rig.stream.writes.clear();
    let flushed = rig.run(|duplex, stream| duplex.flush(stream)).unwrap();
    assert!(flushed.is_some());
    assert_eq!(parse(&rig.stream.written).len(), 1);
}

#[test]
fn a_sender_alone_does_not_read_and_a_reader_alone_does_not_write() {
    let mut rig = Rig::new(Pace::Free, 0);
    rig.stream.writes.push_back(Cue::Wait(Interest::WRITE));
    rig.arrives("x");
    let request = Request::get("/");
    let mut sender = Duplex::of_halves(Some(&mut rig.sending), None, &rig.shared);
    assert!(matches!(sender.send_request(&request, &mut rig.stream), Ok(Progress::Done(0))));
    rig.stream.writes.push_back(Cue::Wait(Interest::WRITE));
    assert_eq!(sender.flush(&mut rig.stream).unwrap(), Progress::Needs(Interest::WRITE));
    assert_eq!(rig.stream.reads.len(), 1, "nothing was read");
    rig.stream.reads.clear();
    let mut reader = Duplex::of_halves(None, Some(&mut rig.receiving), &rig.shared);
    assert_eq!(reader.read_head(&mut rig.stream).unwrap(), Progress::Needs(Interest::READ));
    assert_eq!(rig.stream.written, b"");
}

#[test]
fn a_100_and_a_refusal_are_told_apart() {
    for (answer, wanted) in [("HTTP/1.1 100 Continue\r\n\r\n", Continue::Send), (HELLO, Continue::Refused)] {
        let mut rig = Rig::new(Pace::Bits(1), usize::MAX);
        rig.send(&put().expect_continue()).unwrap();
        rig.arrives(answer);
        assert_eq!(rig.run(|duplex, stream| duplex.await_continue(stream)).unwrap(), Some(wanted));
        assert!(parse(&rig.stream.written)[0].content.is_empty());
    }
}

#[test]
fn one_exchange_takes_few_system_calls() {
    let mut rig = Rig::new(Pace::Free, 0);
    for round in 1..=3 {
        // One read that checks the idle connection, and one write.
        rig.send(&Request::get("/")).unwrap();
        assert_eq!(rig.stream.calls, (round - 1) * 3 + 2);
        // One read returns the whole response.
        rig.arrives(HELLO);
        rig.read_head().unwrap();
        rig.read_content(100).unwrap();
        assert_eq!(rig.stream.calls, round * 3);
    }
}

#[test]
fn many_exchanges_take_as_few_system_calls_as_one() {
    let mut rig = Rig::new(Pace::Free, 0);
    let request = Request::get("/");
    for _ in 0..100 {
        rig.run(|duplex, stream| duplex.take_request(&request, stream)).unwrap().unwrap();
    }
    assert_eq!(rig.stream.calls, 1, "a look whether the idle connection is still there");
    rig.flush().unwrap();
    assert_eq!(rig.stream.calls, 2);
    rig.arrives(HELLO.repeat(100));
    for _ in 0..100 {
        rig.read_head().unwrap();
        rig.discard().unwrap();
    }
    assert_eq!((rig.stream.calls, rig.accepted()), (3, 100));
}

#[test]
fn head_and_content_that_is_given_take_one_write() {
    let mut rig = Rig::new(Pace::Free, 0);
    rig.send(&Request::put("/put").body(LETTERS)).unwrap();
    assert_eq!(rig.stream.calls, 2, "a look whether the idle connection is still there, and a write");
    // The head does not wait for announced content, which may come much later.
    rig.send(&chunked()).unwrap();
    rig.write(LETTERS).unwrap();
    assert_eq!(rig.stream.calls, 4);
    rig.finish(&Fields::new());
    assert_eq!(rig.stream.calls, 5);
}

#[test]
fn large_content_takes_a_read_for_each_buffer_of_the_caller() {
    let mut rig = Rig::new(Pace::Free, 0);
    rig.send(&Request::get("/")).unwrap();
    rig.arrives("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    rig.read_head().unwrap();
    let before = rig.stream.calls;
    rig.arrives(vec![b'x'; 1_000_000]);
    rig.read_content(100_000).unwrap();
    assert_eq!(rig.stream.calls - before, 10);
}

#[test]
fn a_sender_does_not_wait_for_a_server_that_half_closed_the_connection() {
    let blocked = || std::iter::once(Cue::Take(10)).chain(std::iter::repeat_n(Cue::Wait(Interest::WRITE), 3));
    let request = Request::put("/").body("hello");
    for (arrives, refusal) in [("", None), ("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno", Some(Misuse::ReadFirst))] {
        let config = Config::new().user_agent(None);
        let mut engine = Engine::new("origin", &config).unwrap();
        let mut duplex = engine.duplex();
        let mut stream = Scripted { writes: blocked().collect(), ..Scripted::default() };
        assert!(matches!(duplex.send_request(&request, &mut stream), Ok(Progress::Done(0))));
        if !arrives.is_empty() {
            stream.reads.push_back(Cue::Give(arrives.into()));
        }
        stream.reads.push_back(Cue::Eof);
        match (duplex.flush(&mut stream), refusal) {
            (Err(Error::Local(misuse)), Some(expected)) => assert_eq!(misuse, expected),
            (Err(Error::Closed { .. }), None) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[test]
fn all_arrived_bytes_are_judged_before_a_request_however_the_stream_cuts_them() {
    // Over TLS, each record takes a read of its own.
    for pieces in [&["\r\n", HELLO][..], &["\r", "\n", HELLO], &["\r\n", "HTTP/1.1 408 Request Timeout\r\n\r\n"]] {
        let mut rig = Rig::new(Pace::Free, 0);
        pieces.iter().for_each(|piece| rig.arrives(piece));
        let sent = rig.run(|duplex, stream| duplex.send_request(&Request::post("/"), stream));
        assert!(sent.is_err(), "{pieces:?}");
        assert!(rig.stream.written.is_empty(), "{pieces:?}");
    }
}
