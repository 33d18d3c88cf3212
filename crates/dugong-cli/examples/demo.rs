//! Shows what pipelining saves: fetches 2,000 documents from a server that takes 5 ms for each, one at a time, pipelined, and with
//! `dugong get`.
//!
//! `make demo` runs it. It compares every document with its digest and with the expected content.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dugong_http::{Connection, Request, Response};
use dugong_origin::{Config, Origin};
use serde_json::Value;
use sha2::{Digest, Sha256};

const DOCUMENTS: usize = 2000;
const DELAY: Duration = Duration::from_millis(5);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let program = program()?;
    let origin = Origin::start(Config { delay: DELAY, ..Config::default() })?;
    let url = format!("http://{}", origin.address());
    println!("{} documents from a server that takes {DELAY:?} for each, over one connection\n", grouped(DOCUMENTS));
    println!("{:<16}{:>10}{:>15}", "", "seconds", "documents/s");

    let one_at_a_time = one_at_a_time(&url)?;
    show("one at a time", one_at_a_time);
    let pipelined = pipelined(&url)?;
    show("pipelined", pipelined);
    let command = dugong_get(&program, &url)?;
    show("dugong get", command);

    let saved = one_at_a_time.saturating_sub(pipelined);
    let ratio = one_at_a_time.as_secs_f64() / pipelined.as_secs_f64();
    println!("\nPipelining saved {:.2} s: it was {ratio:.0} times as fast.", saved.as_secs_f64());
    println!("All {} contents are what the server sent, byte by byte.", grouped(3 * DOCUMENTS));
    Ok(())
}

fn show(way: &str, time: Duration) {
    let rate = DOCUMENTS as f64 / time.as_secs_f64();
    println!("{way:<16}{:>10.2}{:>15}", time.as_secs_f64(), grouped(rate.round() as usize));
}

/// Requests each document after the previous one has come.
fn one_at_a_time(url: &str) -> Outcome<Duration> {
    let start = Instant::now();
    let mut connection = Connection::connect(url)?;
    for id in 1..=DOCUMENTS {
        connection.send_request(Request::get(format!("/doc/{id}")))?;
        check_response(connection.read_response()?, id)?;
    }
    Ok(start.elapsed())
}

/// Requests many documents before the first has come.
fn pipelined(url: &str) -> Outcome<Duration> {
    let start = Instant::now();
    let mut connection = Connection::connect(url)?;
    let mut pipeline = connection.pipeline((1..=DOCUMENTS).map(|id| Request::get(format!("/doc/{id}"))));
    let mut id = 0;
    while let Some(response) = pipeline.next()? {
        id += 1;
        check_response(response, id)?;
    }
    let time = start.elapsed();
    if id == DOCUMENTS { Ok(time) } else { Err(Wrong::Count(id).into()) }
}

/// Fetches the documents into files with the program.
fn dugong_get(program: &Path, url: &str) -> Outcome<Duration> {
    let scratch = tempfile::tempdir()?;
    let (list, directory) = (scratch.path().join("list"), scratch.path().join("documents"));
    let urls: String = (1..=DOCUMENTS).map(|id| format!("{url}/doc/{id}\n")).collect();
    fs::write(&list, urls)?;
    let output =
        Command::new(program).args(["get", "--noproxy", "*", "--json", "-i"]).arg(&list).arg("-o").arg(&directory).output()?;
    if !output.status.success() {
        return Err(Wrong::Program(String::from_utf8_lossy(&output.stderr).into_owned()).into());
    }
    let summary: Value = serde_json::from_slice(&output.stdout)?;
    let count = fs::read_dir(&directory)?.count();
    if count != DOCUMENTS || summary["totals"]["answered"] != DOCUMENTS {
        return Err(Wrong::Count(count).into());
    }
    for id in 1..=DOCUMENTS {
        check_content(&fs::read(directory.join(id.to_string()))?, id)?;
    }
    let seconds = summary["totals"]["seconds"].as_f64().ok_or(Wrong::Summary)?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}

/// Reads a response, and compares it with its `Repr-Digest` (RFC 9530) and with the document.
fn check_response(response: Response<'_>, id: usize) -> Outcome<()> {
    if response.status() != 200 {
        return Err(Wrong::Status(id, response.status().as_u16()).into());
    }
    let digest = response.fields().get("Repr-Digest").map(str::to_owned);
    let content = response.read_all()?;
    let wanted = format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest(&content)));
    if digest.as_deref() != Some(wanted.as_str()) {
        return Err(Wrong::Digest(id).into());
    }
    check_content(&content, id)
}

fn check_content(content: &[u8], id: usize) -> Outcome<()> {
    if content == dugong_origin::document(&id.to_string()) { Ok(()) } else { Err(Wrong::Content(id).into()) }
}

/// Finds the program. cargo puts it into the parent of the directory of this example.
fn program() -> Outcome<PathBuf> {
    let example = std::env::current_exe()?;
    let target = example.parent().and_then(Path::parent).ok_or(Wrong::NotBuilt)?;
    let program = target.join(format!("dugong{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() { Ok(program) } else { Err(Wrong::NotBuilt.into()) }
}

/// Formats 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The failures of the demo.
#[derive(Debug)]
enum Wrong {
    Status(usize, u16),
    Digest(usize),
    Content(usize),
    Count(usize),
    Program(String),
    Summary,
    NotBuilt,
}

impl Error for Wrong {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Status(id, status) => write!(f, "document {id} was answered with status {status}"),
            Wrong::Digest(id) => write!(f, "document {id} does not match its Repr-Digest"),
            Wrong::Content(id) => write!(f, "document {id} differs from what the server sent"),
            Wrong::Count(count) => write!(f, "{count} documents came instead of {DOCUMENTS}"),
            Wrong::Program(said) => write!(f, "dugong get failed: {}", said.trim_end()),
            Wrong::Summary => f.write_str("the summary of dugong get has no time"),
            Wrong::NotBuilt => f.write_str("the program is not built; run: cargo build --release -p dugong-cli (or make demo)"),
        }
    }
}
