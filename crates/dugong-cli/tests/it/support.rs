//! Runs the program, and servers for it.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dugong_origin::{Config, Origin, Script, Scripted};
use serde_json::Value;

pub(crate) fn origin() -> Origin {
    origin_with(Config::default())
}

pub(crate) fn origin_with(config: Config) -> Origin {
    Origin::start(config).expect("a port on the loopback interface")
}

pub(crate) fn scripted(scripts: impl IntoIterator<Item = Script>) -> Scripted {
    Scripted::start(scripts.into_iter().collect()).expect("a port on the loopback interface")
}

/// A script that answers one request after the other, however many come together.
pub(crate) fn answering<A: Into<Vec<u8>>>(answers: impl IntoIterator<Item = A>) -> Script {
    answers.into_iter().fold(Script::new(), |script, answer| script.expect_requests(1).send(answer))
}

/// A script for the first connection of a session: its first request comes alone (RFC 9112 §9.3.2), then `more` together, at most two
/// before the server has shown that it answers several.
pub(crate) fn first_alone(first: impl Into<Vec<u8>>, more: usize, rest: impl Into<Vec<u8>>) -> Script {
    Script::new().expect_requests(1).send(first).expect_requests(more).send(rest)
}

/// The URLs of `paths`.
pub(crate) fn urls<P: AsRef<str>>(address: SocketAddr, paths: impl IntoIterator<Item = P>) -> Vec<String> {
    paths.into_iter().map(|path| format!("http://{address}{}", path.as_ref())).collect()
}

/// The URLs of the documents 1 to `count`.
pub(crate) fn documents(address: SocketAddr, count: usize) -> Vec<String> {
    urls(address, (1..=count).map(|id| format!("/doc/{id}")))
}

/// The contents of the documents 1 to `count`, concatenated.
pub(crate) fn all_documents(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|id| dugong_origin::document(&id.to_string())).collect()
}

/// Runs `dugong get` with one connection to each origin, and a timeout, so that a failing test ends.
pub(crate) fn command() -> Command {
    let mut command = program("get");
    command.args(["--timeout=20", "--connections=1", "--retry-delay=0.01"]);
    command
}

/// Makes a command of `dugong` without proxies in its environment.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dugong"));
    command.arg(name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(variable).env_remove(variable.to_ascii_uppercase());
    }
    command
}

pub(crate) fn get<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    Ran(command().args(args).output().expect("the program runs"))
}

pub(crate) fn get_with_input<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: &str) -> Ran {
    let mut child = command().args(args).stdin(Stdio::piped()).spawn().expect("the program runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran(child.wait_with_output().unwrap())
}

/// The result of running the program.
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    pub(crate) fn stdout(&self) -> &[u8] {
        &self.0.stdout
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).expect("text")
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Checks the exit code. The failure shows standard error.
    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "stderr: {}", self.stderr());
        self
    }

    /// Checks that standard error is empty and the exit code 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        let ran = self.exits_with(0);
        assert_eq!(ran.stderr(), "");
        ran
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr().contains(text), "expected {text:?} in: {}", self.stderr());
        self
    }
}

/// The sorted names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A response with a length.
pub(crate) fn ok(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// One member of each URL in a summary.
pub(crate) fn each(summary: &Value, field: &str) -> Vec<Value> {
    summary["urls"].as_array().unwrap().iter().map(|url| url[field].clone()).collect()
}

/// Reads `requests` requests, and fails if more come. A client that pipelines sends them with one write.
#[track_caller]
pub(crate) fn read_exactly(stream: &mut impl Read, requests: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let found = received.windows(4).filter(|window| window == b"\r\n\r\n").count();
        assert!(found <= requests, "{found} requests came instead of {requests}");
        if found == requests {
            return received;
        }
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the client left after {found} of {requests} requests");
        received.extend_from_slice(&buffer[..count]);
    }
}
