//! A server harms each connection in one way. The client must read only correct responses, account for every request, and send
//! nothing after it has reported an error.
//!
//! `DUGONG_CHAOS_SECONDS` sets how long each test runs, `DUGONG_CHAOS_SEED` the first connection. A failure names its seed.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use dugong_http::{Closed, Config, Connection, Error, Misuse, Request, RequestHalf, Requests, ResponseHalf, Sent};
use dugong_origin::Chaos;

/// Longer than any server of these tests stays silent.
const GUARD: Duration = Duration::from_secs(20);

/// A client's view of one connection.
#[derive(Debug, Default)]
struct Seen {
    /// Targets of the requests that the connection accepted, in order.
    taken: Vec<String>,
    /// Targets of the requests that it refused: they must never arrive.
    refused: Vec<String>,
    /// Contents of the complete responses.
    contents: Vec<Vec<u8>>,
    /// The connection's account of its requests.
    requests: Requests,
    /// The account was taken while another thread was perhaps writing, so the rest of one request may have left after it.
    is_shared: bool,
}

/// Runs connections until the time is over.
fn chaos(client: impl Fn(&Chaos, u64, &mut Seen)) {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let end = Instant::now() + Duration::from_secs(variable("DUGONG_CHAOS_SECONDS").unwrap_or(3));
    let first = variable("DUGONG_CHAOS_SEED");
    for seed in first.unwrap_or(0).. {
        let server = Chaos::start(seed, None).unwrap();
        let mut seen = Seen::default();
        client(&server, seed, &mut seen);
        let received = server.finish().pop().unwrap_or_default();
        if let Err(wrong) = seen.check(&received) {
            panic!("DUGONG_CHAOS_SEED={seed}: {wrong}\n{} contents; {:?}; {:?}", seen.contents.len(), seen.taken, seen.requests);
        }
        if Instant::now() > end && seed >= first.unwrap_or(0) + 100 {
            break;
        }
    }
}

impl Seen {
    fn check(&self, received: &[u8]) -> Result<(), String> {
        for (target, content) in self.taken.iter().zip(&self.contents) {
            let is_head = target.contains("head");
            if *content != if is_head { Vec::new() } else { Chaos::content(target) } {
                return Err(format!("the content of {target} is another: {}", content.escape_ascii()));
            }
        }
        let Requests { answered, unanswered, .. } = &self.requests;
        let numbers: Vec<u64> = unanswered.iter().map(|request| request.number).collect();
        if (*answered, &numbers) != (self.contents.len() as u64, &(*answered..self.taken.len() as u64).collect()) {
            return Err("not each request is accounted for".into());
        }
        let text = String::from_utf8_lossy(received);
        let arrived: HashSet<&str> = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1")?.split(' ').nth(1)).collect();
        for request in unanswered {
            let target = self.taken[request.number as usize].as_str();
            if request.sent == Sent::Nothing && arrived.contains(target) {
                return Err(format!("{target} was reported as not sent, and was"));
            }
            if request.sent == Sent::Partly && !self.is_shared && text.contains(&format!("[end of {target}]")) {
                return Err(format!("{target} was reported as sent in part, and the rest was sent"));
            }
        }
        match self.refused.iter().find(|target| arrived.contains(target.as_str())) {
            Some(target) => Err(format!("{target} was refused, and was sent")),
            None => Ok(()),
        }
    }

    /// Records whether a request was accepted, perhaps with an error that accounts for it, or refused.
    fn note(&mut self, target: String, result: &Result<u64, Error>) {
        let known = |requests: &Requests| requests.answered as usize + requests.unanswered.len();
        let is_taken = match result {
            Ok(_) => true,
            Err(error) => error.requests().is_some_and(|requests| known(requests) > self.taken.len()),
        };
        if is_taken { self.taken.push(target) } else { self.refused.push(target) }
    }

    /// After the end every call must fail with the same account, and have no effect.
    fn ends(&mut self, connection: &mut Connection, error: &Error) {
        assert!(error.requests().is_some(), "{error:?}");
        if matches!(error, Error::Closed { cause: Closed::Sending(_), .. }) {
            // Responses that arrived before the error can still be read.
            let read = |connection: &mut Connection| match connection.current_response() {
                Some(rest) => rest.read_all(),
                None => connection.read_response()?.read_all(),
            };
            let error = loop {
                match read(connection) {
                    Ok(content) => self.contents.push(content),
                    Err(error) => break error,
                }
            };
            assert!(error.requests().is_some() || matches!(error, Error::Local(Misuse::NothingOutstanding)), "{error:?}");
        }
        self.requests = connection.outstanding();
        let _ = connection.flush();
        for target in ["/later/1", "/later/2"] {
            let result = connection.send_request(Request::post(target).body("again"));
            self.note(target.into(), &result);
            let _ = connection.read_response().map(drop);
        }
        let _ = connection.pipeline([Request::put("/later/3").body("again")]).next().map(drop);
        self.refused.push("/later/3".into());
        assert_eq!(connection.outstanding(), self.requests, "the verdict has changed");
    }
}

/// Request number `number`, of a kind that depends on `seed`, with content that marks its end.
fn request(seed: u64, number: u64, waits: &str) -> (String, Request) {
    let kind = seed.wrapping_mul(31).wrapping_add(number * 7) % 9;
    let kind_name = ["get", "post", "put", "head"][[0, 0, 0, 0, 1, 1, 2, 2, 3][kind as usize]];
    let target = format!("/{kind_name}/{number}{waits}");
    let content = |size: usize| format!("{}[end of {target}]\n", "x".repeat(size));
    let request = match kind_name {
        "get" => Request::get(target.as_str()),
        "head" => Request::head(target.as_str()),
        "post" => Request::post(target.as_str()).body(content(number as usize * 100)),
        // More than a socket accepts at once.
        _ if number == seed % 60 => Request::put(target.as_str()).body(content(8 << 20)),
        _ => Request::put(target.as_str()).body(content(if kind == 7 { 300_000 } else { 10 })),
    };
    (target, request)
}

fn connect(server: &Chaos) -> Connection {
    Config::new().timeout(GUARD).connect(format!("http://{}", server.address())).unwrap()
}

#[test]
fn requests_in_batches() {
    chaos(|server, seed, seen| {
        let mut connection = connect(server);
        let result = batches(&mut connection, seed, seen);
        match result {
            Ok(()) => seen.requests = connection.outstanding(),
            Err(error) => seen.ends(&mut connection, &error),
        }
    });
}

/// The server writes all answers to a batch at once. Every other seed sends the next batch before reading the last answer.
fn batches(connection: &mut Connection, seed: u64, seen: &mut Seen) -> Result<(), Error> {
    let batch = 2 + seed % 6;
    let unread = usize::from(seed.is_multiple_of(2));
    for first in (0..60).step_by(batch as usize) {
        while seen.contents.len() + unread < seen.taken.len() {
            let content = connection.read_response()?.read_all()?;
            seen.contents.push(content);
        }
        for number in first..first + batch {
            let (target, request) = request(seed, number, if number == first + batch - 1 { "?last" } else { "?hold" });
            let result = loop {
                match connection.send_request(&request) {
                    // Reading shows the reason, or makes room.
                    Err(Error::Local(Misuse::ReadFirst)) => {}
                    result => break result,
                }
                let content = connection.read_response()?.read_all()?;
                seen.contents.push(content);
            };
            seen.note(target, &result);
            result?;
        }
    }
    while seen.contents.len() < seen.taken.len() {
        let content = connection.read_response()?.read_all()?;
        seen.contents.push(content);
    }
    Ok(())
}

#[test]
fn a_pipeline() {
    chaos(|server, seed, seen| {
        let mut connection = connect(server);
        let targets = std::cell::RefCell::new(Vec::new());
        let requests = (0..60).map(|number| {
            let (target, request) = request(seed, number, "");
            targets.borrow_mut().push(target);
            request
        });
        let mut pipeline = connection.pipeline(requests).max_requests(1 + seed as usize % 20);
        let result = loop {
            match pipeline.next().and_then(|response| response.map(|response| response.read_all()).transpose()) {
                Ok(Some(content)) => seen.contents.push(content),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let (current, rest) = pipeline.into_rest();
        let left = usize::from(current.is_some());
        drop(rest);
        let mut targets = targets.into_inner();
        seen.refused = targets.split_off(targets.len() - left);
        seen.taken = targets;
        match result {
            Ok(()) => seen.requests = connection.outstanding(),
            Err(error) => seen.ends(&mut connection, &error),
        }
    });
}

#[test]
fn two_halves() {
    chaos(|server, seed, seen| {
        let (requests, responses) = connect(server).split();
        let sender = thread::spawn(move || send_all(requests, seed));
        let (contents, verdict, responses) = read_all(responses);
        let sent = sender.join().unwrap();
        // The sender may have sent more since the reader got its account, so the sender's own account counts.
        let verdict = verdict.filter(|verdict| verdict.answered as usize + verdict.unanswered.len() == sent.taken.len());
        let requests = verdict.unwrap_or_else(|| responses.outstanding());
        *seen = Seen { contents, requests, is_shared: true, ..sent };
    });
}

fn send_all(mut requests: RequestHalf, seed: u64) -> Seen {
    let mut seen = Seen::default();
    for number in 0..60 {
        let (target, request) = request(seed, number, "");
        let result = requests.send_request(request);
        seen.note(target, &result);
        if result.is_err() {
            let _ = requests.flush();
            break;
        }
    }
    seen
}

fn read_all(mut responses: ResponseHalf) -> (Vec<Vec<u8>>, Option<Requests>, ResponseHalf) {
    let mut contents = Vec::new();
    let verdict = loop {
        match responses.read_response().and_then(|response| response.map(|response| response.read_all()).transpose()) {
            Ok(Some(content)) => contents.push(content),
            Ok(None) => break None,
            Err(error) => break error.requests().cloned(),
        }
    };
    (contents, verdict, responses)
}
