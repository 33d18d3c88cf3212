//! Runs every case of the corpus through the blocking client and a real socket.
//!
//! The server's bytes are in the client's socket before the client reads, so the timeout can be zero.

mod support;

use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dugong_corpus::{After, Case, RequestContent, RequestStep, Step, escape, field_line};
use dugong_http::{
    Announced, CloseReason, Closed, Connection, Error, Fields, Method, Misuse, Request, RequestHead, ResponseHead, Within,
};
use support::{Server, comes_true, config, connected_with};

/// `docs/faces.md` lists the exceptions, with their reasons.
#[test]
fn every_case_of_the_corpus_has_the_outcome_it_states() {
    let cases = dugong_corpus::cases();
    let kinds = dugong_corpus::kinds();
    let mut complaints = Vec::new();
    for case in &cases {
        let is_this = |(area, name): &(String, String)| *area == case.area && *name == case.name;
        let different = kinds.iter().find(|kind| kind.cases.iter().any(is_this)).and_then(|kind| kind.rust.as_deref());
        match (play(case), different) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Ok(()), Some(how)) => complaints.push(format!("{}: goes as it is written, but: {how}\n", title(case))),
            (Err(complaint), None) => complaints.push(format!("{}{complaint}", title(case))),
        }
    }
    assert!(complaints.is_empty(), "{} of {} cases:\n\n{}", complaints.len(), cases.len(), complaints.join("\n"));
}

fn title(case: &Case) -> String {
    format!("{}/{}:{} {}", case.area, case.file, case.line, case.name)
}

/// Plays a whole case. The error has one paragraph for each difference from the case.
fn play(case: &Case) -> Result<(), String> {
    let mut player = Player::new(case);
    case.steps.iter().for_each(|step| player.step(step));
    if player.complaints.is_empty() { Ok(()) } else { Err(player.complaints.concat()) }
}

fn difference(what: &str, expected: &[String], got: &[String]) -> String {
    let text = |lines: &[String]| lines.iter().map(|line| format!("\n      {line:.600}")).collect::<String>();
    format!("\n    {what} expected:{}\n    {what} got:{}\n", text(expected), text(got))
}

/// A connection, its server, and the log of both.
struct Player {
    connection: Connection,
    /// `None` after a reset.
    server: Option<Server>,
    log: Arc<Mutex<Log>>,
    complaints: Vec<String>,
}

/// The client's socket always has room for this many bytes.
const PIECE: usize = 16 * 1024;

impl Player {
    fn new(case: &Case) -> Self {
        let (mut connection, server) = connected_with(&config().timeout(Duration::ZERO).expect_timeout(Duration::ZERO));
        let log = Arc::new(Mutex::new(Log::default()));
        let interim = log.clone();
        connection.on_interim(move |head| interim.lock().unwrap().head("interim", head));
        let mut player = Player { connection, server: Some(server), log, complaints: Vec::new() };
        if !case.steps.iter().any(|step| matches!(step, Step::Request(_))) {
            player.attempt(|connection| connection.send_request(Request::get("/")).map(drop));
        }
        player
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Request(request) => {
                self.log().asked_connect |= request.method == "CONNECT";
                self.attempt(|connection| send_request(connection, request));
            }
            Step::Write(content) => self.attempt(|connection| connection.content().send_all(content)),
            Step::Finish(trailers) => self.attempt(|connection| finish(connection, trailers)),
            Step::Receive { bytes, then } => self.receive(bytes, *then),
            Step::Sent(expected) => self.check_sent(expected),
            Step::Events { lines, head } => {
                let mut seen = self.log().take(*head);
                if let Some(last) = lines.last().filter(|_| seen.len() + 1 == lines.len() && seen[..] == lines[..seen.len()]) {
                    seen.extend(self.look(last));
                }
                if seen != *lines {
                    self.complaints.push(difference("events", lines, &seen));
                }
            }
        }
    }

    /// Does something that may fail, and logs the error.
    fn attempt(&mut self, action: impl FnOnce(&mut Connection) -> Result<(), Error>) {
        if let Err(error) = action(&mut self.connection) {
            self.log().error(&error);
        }
    }

    fn receive(&mut self, bytes: &[u8], then: After) {
        // The client sends held-back bytes with its next operation, which is this one.
        let _ = std::io::Write::flush(&mut self.connection.content());
        for piece in bytes.chunks(PIECE) {
            match &mut self.server {
                Some(server) if !self.log.lock().unwrap().over => server.deliver(piece),
                _ => return,
            }
            self.drain();
        }
        match then {
            After::Open => {}
            After::Eof => self.server.iter_mut().for_each(Server::fin),
            After::Reset => self.server.take().into_iter().for_each(Server::reset),
        }
        self.drain();
    }

    /// Reads everything available.
    fn drain(&mut self) {
        while !self.log().over {
            if self.connection.current_response().is_some() {
                if !self.read_content() {
                    return;
                }
                continue;
            }
            match self.connection.read_response() {
                Ok(response) => {
                    let (head, has_content) = (response.head().clone(), response.content_length() != Some(0));
                    let is_tunnel = head.status() == 101 || self.log().asked_connect && head.status().is_success();
                    self.log().head("response", &head);
                    if is_tunnel {
                        self.log().line("tunnel");
                    } else if !has_content && self.connection.current_response().is_none() {
                        self.ends(&Fields::new());
                    }
                }
                Err(Error::TimedOut { .. } | Error::Local(Misuse::NothingOutstanding)) => return,
                Err(error) => self.log().error(&error),
            }
        }
    }

    /// Reads content of the current response; false if no more is available now.
    fn read_content(&mut self) -> bool {
        let mut response = self.connection.current_response().expect("looked before");
        let trailers = loop {
            match response.fill_buf() {
                Ok([]) => break response.trailers().clone(),
                Ok(bytes) => {
                    let count = bytes.len();
                    self.log.lock().unwrap().bytes.extend_from_slice(bytes);
                    response.consume(count);
                }
                Err(error) => match support::inner(error) {
                    Error::TimedOut { .. } => return false,
                    error => {
                        self.log().error(&error);
                        return true;
                    }
                },
            }
        };
        if !self.log().in_tunnel {
            self.ends(&trailers);
        }
        true
    }

    /// Logs the end of the current response.
    fn ends(&mut self, trailers: &Fields) {
        let reason = self.connection.close_reason();
        let is_last = self.connection.outstanding().unanswered.is_empty();
        let mut log = self.log();
        for field in trailers.iter() {
            log.line(field_line("trailer", field.name().as_bytes(), field.value()));
        }
        log.line("end");
        match reason {
            None
            | Some(CloseReason::UnaskedBytes | CloseReason::PeerClosed | CloseReason::RequestTimeout | CloseReason::Broken) => {}
            Some(CloseReason::ClientSaidClose) if !is_last => {}
            Some(reason) => log.line(format!("close {}", reason.code())),
        }
    }

    /// Logs how an idle connection ended. This client notices that when it tries to send a request, which it then refuses.
    fn look(&mut self, expected: &str) -> Option<String> {
        let told = ["close peer-closed", "error closed request-timeout", "error closed unasked-bytes"].contains(&expected);
        if !told && !expected.starts_with("error remote unasked-bytes ") {
            return None;
        }
        let error = self.connection.send_request(Request::get("/never-sent")).err()?;
        match error {
            Error::Closed { cause: Closed::InOrder(CloseReason::PeerClosed), .. } => Some("close peer-closed".into()),
            error => {
                let mut log = self.log();
                log.error(&error);
                log.take(false).pop()
            }
        }
    }

    fn check_sent(&mut self, expected: &[u8]) {
        let _ = std::io::Write::flush(&mut self.connection.content());
        let Some(server) = &mut self.server else { return };
        let mut sent = Vec::new();
        // Expected bytes may still be on their way; unexpected ones would arrive together with them.
        comes_true(Duration::from_secs(2), || {
            sent.extend(server.receive_available());
            sent.len() >= expected.len()
        });
        if sent != expected {
            self.complaints.push(difference("sent", &[escape(expected)], &[escape(&sent)]));
        }
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
    connection.send_request(Request::from(head)).map(drop)
}

fn finish(connection: &mut Connection, trailers: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let mut fields = Fields::new();
    for (name, value) in trailers {
        fields.append(name, value)?;
    }
    connection.content().finish_with_trailers(&fields)
}

/// Events as lines.
#[derive(Debug, Default)]
struct Log {
    /// The flag marks details of a head.
    lines: Vec<(bool, String)>,
    /// Bytes of content, or of a tunnel, since the last line.
    bytes: Vec<u8>,
    asked_connect: bool,
    in_tunnel: bool,
    over: bool,
}

impl Log {
    /// Takes the lines since the last call, with details of heads if wanted.
    fn take(&mut self, details: bool) -> Vec<String> {
        self.content_ends();
        let lines = std::mem::take(&mut self.lines).into_iter();
        lines.filter(|&(is_detail, _)| details || !is_detail).map(|(_, line)| line).collect()
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

    fn head(&mut self, kind: &str, head: &ResponseHead) {
        self.line(format!("{kind} {}", head.status()));
        self.lines.push((true, format!("version {}", head.version())));
        let reason = escape(head.reason());
        self.lines.push((true, if reason.is_empty() { "reason".to_owned() } else { format!("reason {reason}") }));
        let fields = head.fields().iter();
        self.lines.extend(fields.map(|field| (true, field_line("field", field.name().as_bytes(), field.value()))));
    }

    fn error(&mut self, error: &Error) {
        self.over |= !matches!(error, Error::Local(_));
        self.line(match error {
            Error::Remote { what, at, .. } => format!("error remote {} at={at}", what.code()),
            Error::Unsupported { what, at, .. } => format!("error unsupported {} at={at}", what.code()),
            Error::Closed { cause: Closed::Incomplete(incomplete, _), .. } => {
                let expected = match (incomplete.within, incomplete.expected) {
                    (Within::Content, Some(expected)) => format!(" expected={expected}"),
                    _ => String::new(),
                };
                format!("error incomplete {} received={}{expected}", incomplete.within.code(), incomplete.received)
            }
            Error::Closed { cause: Closed::InOrder(reason), .. } => format!("error closed {}", reason.code()),
            Error::Local(misuse) => format!("error local {}", misuse.code()),
            error => format!("error that the format has no line for: {error:?}"),
        });
    }
}
