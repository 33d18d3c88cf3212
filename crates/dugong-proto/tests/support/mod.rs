//! Plays cases of the corpus through the core, and prints the events in the words of `corpus/README.md`.

#![allow(dead_code, reason = "each test program uses its part of this")]

use dugong_corpus::{After, Case, RequestContent, RequestStep, Step};
use dugong_proto::{Announced, CloseReason, Connection, Error, Event, Fields, Method, RequestHead, ResponseHead, Within};

/// How the bytes of a receive block are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Not at all.
    Whole,
    /// Every block into single bytes.
    Bytes,
    /// The block of this number in two, before this byte. The other blocks stay whole.
    Before {
        /// Receive blocks are counted from 0.
        block: usize,
        /// From 1 to the length of the block less one.
        at: usize,
    },
}

impl Cut {
    fn pieces(self, block: usize, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Bytes => bytes.chunks(1).collect(),
            Cut::Before { block: cut, at } if cut == block => vec![&bytes[..at], &bytes[at..]],
            Cut::Whole | Cut::Before { .. } => vec![bytes],
        }
    }
}

/// Plays a whole case. The error has one paragraph for each difference from the case.
pub(crate) fn play(case: &Case, cut: Cut) -> Result<(), String> {
    let mut player = Player::new(case, cut);
    case.steps.iter().for_each(|step| player.step(step));
    if player.complaints.is_empty() { Ok(()) } else { Err(player.complaints.concat()) }
}

/// Plays a whole case, and returns all that the core reported, even if the case expects otherwise.
pub(crate) fn story(case: &Case) -> Vec<String> {
    let mut player = Player::new(case, Cut::Whole);
    case.steps.iter().filter(|step| !is_check(step)).for_each(|step| player.step(step));
    player.log.take(true)
}

/// Whether a step only compares results.
pub(crate) fn is_check(step: &Step) -> bool {
    matches!(step, Step::Events { .. } | Step::Sent(_))
}

/// The place and the name of a case.
pub(crate) fn title(case: &Case) -> String {
    format!("{}/{}:{} {}", case.area, case.file, case.line, case.name)
}

fn difference(what: &str, expected: &[String], got: &[String]) -> String {
    let text = |lines: &[String]| lines.iter().map(|line| format!("\n      {}", shortened(line))).collect::<String>();
    format!("\n    {what} expected:{}\n    {what} got:{}\n", text(expected), text(got))
}

fn shortened(line: &str) -> String {
    if line.len() <= 600 {
        line.to_owned()
    } else {
        format!("{}[{} in all]{}", &line[..300], line.len(), &line[line.len() - 200..])
    }
}

/// A connection, and all that it has reported.
struct Player {
    connection: Connection,
    cut: Cut,
    /// How many receive blocks were played.
    blocks: usize,
    /// The bytes that were sent since the last `sent` block.
    sent: Vec<u8>,
    log: Log,
    complaints: Vec<String>,
}

impl Player {
    fn new(case: &Case, cut: Cut) -> Self {
        let connection = Connection::new("origin").expect("a valid host");
        let (sent, log) = (Vec::new(), Log::default());
        let mut player = Player { connection, cut, blocks: 0, sent, log, complaints: Vec::new() };
        let asks = case.steps.iter().any(|step| matches!(step, Step::Request(_)));
        if !asks {
            let request = RequestHead::new(Method::GET, "/").expect("a valid target");
            player.attempt(|connection| connection.send_request(&request).map(drop));
        }
        player
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Request(request) => self.attempt(|connection| send_request(connection, request)),
            Step::Write(content) => self.attempt(|connection| write(connection, content)),
            Step::Finish(trailers) => self.attempt(|connection| finish(connection, trailers)),
            Step::Receive { bytes, then } => {
                self.flush();
                self.cut.pieces(self.blocks, bytes).into_iter().for_each(|piece| self.receive(piece));
                self.end(*then);
                self.blocks += 1;
            }
            Step::Sent(expected) => {
                self.flush();
                let sent = std::mem::take(&mut self.sent);
                if sent != *expected {
                    let [expected, sent] = [expected, &sent].map(|bytes| [dugong_corpus::escape(bytes)]);
                    self.complaints.push(difference("sent", &expected, &sent));
                }
            }
            Step::Events { lines, head } => {
                let seen = self.log.take(*head);
                if seen != *lines {
                    self.complaints.push(difference("events", lines, &seen));
                }
            }
        }
    }

    /// Makes a call that may be refused. If it is, it must not have added bytes to send.
    fn attempt(&mut self, action: impl FnOnce(&mut Connection) -> Result<(), Error>) {
        let before = self.connection.to_send().to_vec();
        let Err(error) = action(&mut self.connection) else { return };
        self.log.error(error);
        if self.connection.to_send() != before {
            self.complaints.push(format!("\n    {error:?} was returned, but bytes to send were added\n"));
        }
    }

    fn flush(&mut self) {
        self.sent.extend_from_slice(self.connection.to_send());
        self.connection.sent(self.connection.to_send().len());
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = self.connection.receive(bytes);
            bytes = &bytes[taken..];
            drain(&mut self.connection, &mut self.log);
            if bytes.is_empty() || self.log.is_over() {
                return;
            }
            assert!(taken > 0, "all events were taken, and there is no room for more bytes");
        }
    }

    fn end(&mut self, then: After) {
        match then {
            After::Open => return,
            After::Eof => self.connection.receive_eof(),
            After::Reset => self.connection.receive_broken(),
        }
        drain(&mut self.connection, &mut self.log);
    }
}

fn send_request(connection: &mut Connection, step: &RequestStep) -> Result<(), Error> {
    let mut head = RequestHead::new(Method::new(&step.method)?, step.target.as_str())?;
    for (name, value) in &step.fields {
        head.fields.append(name, value)?;
    }
    head.content = match step.content {
        RequestContent::None => Announced::Nothing,
        RequestContent::Length(length) => Announced::Length(length),
        RequestContent::Chunked => Announced::Chunked,
    };
    head.expect_continue = step.expect;
    connection.send_request(&head).map(drop)
}

fn write(connection: &mut Connection, mut content: &[u8]) -> Result<(), Error> {
    loop {
        let taken = connection.send_content(content)?;
        content = &content[taken..];
        if content.is_empty() {
            return Ok(());
        }
        assert!(taken > 0, "a buffer without limit takes some of any content");
    }
}

fn finish(connection: &mut Connection, trailers: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let mut fields = Fields::new();
    for (name, value) in trailers {
        fields.append(name, value)?;
    }
    connection.finish_content(&fields)
}

/// Takes all events that are ready.
pub(crate) fn drain(connection: &mut Connection, log: &mut Log) {
    while !log.is_over() {
        let (response, end) = match connection.next_event() {
            Ok(Some(event)) => {
                log.event(&event);
                (matches!(event, Event::Response(_)), matches!(event, Event::End(_)))
            }
            Ok(None) => return log.closing(connection, &[CloseReason::PeerClosed]),
            Err(error) => return log.error(error),
        };
        if response && connection.is_tunnel() {
            log.line("tunnel");
        }
        if end {
            log.closing(connection, BY_A_RESPONSE);
        }
    }
}

/// The reasons that are reported with the end of a response.
const BY_A_RESPONSE: &[CloseReason] = &[
    CloseReason::FaultyFraming,
    CloseReason::CloseDelimited,
    CloseReason::ServerSaidClose,
    CloseReason::Http10,
    CloseReason::ClientSaidClose,
    CloseReason::ContentNotSent,
];

/// Events as lines.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The lines, each with whether it is a detail of a head.
    lines: Vec<(bool, String)>,
    /// Bytes of content, or of a tunnel, behind the last line.
    bytes: Vec<u8>,
    in_tunnel: bool,
    /// Whether the end of the connection was reported.
    closed: bool,
    over: bool,
}

impl Log {
    /// The lines since the last call. They include details of heads only if `details` is set.
    pub(crate) fn take(&mut self, details: bool) -> Vec<String> {
        self.content_ends();
        let lines = std::mem::take(&mut self.lines).into_iter();
        lines.filter(|&(is_detail, _)| details || !is_detail).map(|(_, line)| line).collect()
    }

    /// Whether an error was reported after which nothing more can come.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    fn line(&mut self, line: impl Into<String>) {
        self.content_ends();
        let line = line.into();
        self.in_tunnel |= line == "tunnel";
        self.lines.push((false, line));
    }

    fn content_ends(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if !bytes.is_empty() {
            let line = if self.in_tunnel { dugong_corpus::raw_line(&bytes) } else { dugong_corpus::content_line(&bytes) };
            self.lines.push((false, line));
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Interim(head) => self.head("interim", head),
            Event::Response(head) => self.head("response", head),
            Event::Content(bytes) => {
                assert!(!self.in_tunnel && !bytes.is_empty(), "content of no bytes, or in a tunnel");
                self.bytes.extend_from_slice(bytes);
            }
            Event::Raw(bytes) => {
                assert!(self.in_tunnel && !bytes.is_empty(), "raw bytes, and there are none, or no tunnel");
                self.bytes.extend_from_slice(bytes);
            }
            Event::End(trailers) => {
                for field in trailers.iter() {
                    self.line(dugong_corpus::field_line("trailer", field.name().as_bytes(), field.value()));
                }
                if !self.in_tunnel {
                    self.line("end");
                }
            }
            event => panic!("an event that the format has no line for: {event:?}"),
        }
    }

    fn head(&mut self, kind: &str, head: &ResponseHead) {
        self.line(format!("{kind} {}", head.status()));
        self.lines.push((true, format!("version {}", head.version())));
        let reason = dugong_corpus::escape(head.reason());
        self.lines.push((true, if reason.is_empty() { "reason".to_owned() } else { format!("reason {reason}") }));
        let fields = head.fields().iter();
        let lines = fields.map(|field| (true, dugong_corpus::field_line("field", field.name().as_bytes(), field.value())));
        self.lines.extend(lines);
    }

    /// Reports the end of the connection, if it has one of these reasons. A later request that says so is not reported yet.
    fn closing(&mut self, connection: &Connection, reasons: &[CloseReason]) {
        let reason = connection.outstanding().close_reason().filter(|reason| reasons.contains(reason) && !self.closed);
        match reason {
            None => {}
            Some(CloseReason::ClientSaidClose) if !connection.outstanding().is_empty() => {}
            Some(reason) => {
                self.closed = true;
                self.line(format!("close {}", reason.code()));
            }
        }
    }

    fn error(&mut self, error: Error) {
        self.over |= !matches!(error, Error::Local(_));
        self.line(match error {
            Error::Remote { what, at, .. } => format!("error remote {} at={at}", what.code()),
            Error::Unsupported { what, at, .. } => format!("error unsupported {} at={at}", what.code()),
            Error::Incomplete(incomplete) => {
                let expected = match (incomplete.within, incomplete.expected) {
                    (Within::Content, Some(expected)) => format!(" expected={expected}"),
                    _ => String::new(),
                };
                format!("error incomplete {} received={}{expected}", incomplete.within.code(), incomplete.received)
            }
            Error::Closed(reason) => format!("error closed {}", reason.code()),
            Error::Local(misuse) => format!("error local {}", misuse.code()),
            error => panic!("an error that the format has no line for: {error:?}"),
        });
    }
}
