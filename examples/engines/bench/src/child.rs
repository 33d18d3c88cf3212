//! One client in a process of its own, against a server in this one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dugong_origin::{Config, Origin};

use crate::Failure;
use crate::rows::{Client, Row};

pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// CPU time of the client's process, in seconds.
    pub(crate) cpu: f64,
    /// Connections that the server counted.
    pub(crate) connections: u64,
}

/// Runs a client once.
pub(crate) fn run(client: &Client, python: &str, row: &Row, files: &Path) -> Result<Run, Failure> {
    let origin = Origin::start(Config { delay: row.delay, files: Some(files.to_owned()), ..Config::default() })?;
    let mut command = match client {
        Client::Rust(work, client, connections) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["client", *work, *client, &connections.to_string()]);
            command
        }
        Client::Python(work, client, connections) => {
            let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/client.py");
            let mut command = Command::new(python);
            command.arg(script).args([*work, *client, &connections.to_string()]);
            command
        }
    };
    let mut child = command.arg(format!("http://{}", origin.address())).stdout(Stdio::piped()).spawn()?;
    let end = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err(format!("{command:?} did not end within {LIMIT:?}").into());
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut printed = String::new();
    child.stdout.take().ok_or("its output is piped")?.read_to_string(&mut printed)?;
    let numbers: Vec<f64> = printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    match (status.success(), &numbers[..]) {
        (true, &[seconds, cpu]) => Ok(Run { seconds, cpu, connections: origin.counts().connections }),
        _ => Err(format!("{command:?} ended with {status}, and printed {printed:?}").into()),
    }
}

/// The time that a client may take.
const LIMIT: Duration = Duration::from_secs(180);
