//! Servers that a test controls byte by byte.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::runner::Runner;

/// The steps of one connection.
///
/// The server reads during every step, until [`stop_reading`](Self::stop_reading). Steps that expect something consume it: after
/// `expect_requests(1)`, `expect_bytes(5)` waits for five bytes after the first head. After the last step the server closes the
/// socket. If unread bytes are left, the system resets the connection; for an orderly end, use `.fin().wait_close()`.
///
/// ```
/// use dugong_origin::{Script, Scripted};
/// use std::io::{Read, Write};
///
/// let script = Script::new().expect_requests(1).send("HTTP/1.1 204 No Content\r\n\r\n").fin().wait_close();
/// let server = Scripted::start(vec![script])?;
/// let mut client = std::net::TcpStream::connect(server.address())?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// drop(client);
/// assert!(answer.starts_with("HTTP/1.1 204"));
/// assert!(server.join()[0].starts_with(b"GET / HTTP/1.1\r\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Script {
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    ExpectRequests(usize),
    ExpectBytes(usize),
    Send(Vec<u8>),
    Pause(Duration),
    Fin,
    Reset,
    WaitClose,
    StopReading,
    ResumeReading,
}

impl Script {
    /// Makes a script without steps, which closes the connection at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until `count` more complete request heads have come, each up to its blank line.
    pub fn expect_requests(self, count: usize) -> Self {
        self.then(Step::ExpectRequests(count))
    }

    /// Waits until `count` more bytes have come.
    pub fn expect_bytes(self, count: usize) -> Self {
        self.then(Step::ExpectBytes(count))
    }

    /// Sends all of `bytes`, and waits until the client takes them.
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Pauses for this long.
    pub fn pause(self, length: Duration) -> Self {
        self.then(Step::Pause(length))
    }

    /// Ends the sending side, and continues to read.
    pub fn fin(self) -> Self {
        self.then(Step::Fin)
    }

    /// Resets the connection (RST). It must be the last step.
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Reads until the client closes its side or resets the connection, even after `stop_reading`.
    pub fn wait_close(self) -> Self {
        self.then(Step::WaitClose)
    }

    /// Stops reading, so that the client's data fills the system's buffers.
    pub fn stop_reading(self) -> Self {
        self.then(Step::StopReading)
    }

    /// Continues to read after `stop_reading`.
    pub fn resume_reading(self) -> Self {
        self.then(Step::ResumeReading)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExpectRequests(count) => write!(f, "expect_requests({count})"),
            Self::ExpectBytes(count) => write!(f, "expect_bytes({count})"),
            Self::Send(bytes) => write!(f, "send({} bytes)", bytes.len()),
            Self::Pause(length) => write!(f, "pause({length:?})"),
            Self::Fin => write!(f, "fin"),
            Self::Reset => write!(f, "reset"),
            Self::WaitClose => write!(f, "wait_close"),
            Self::StopReading => write!(f, "stop_reading"),
            Self::ResumeReading => write!(f, "resume_reading"),
        }
    }
}

/// A server whose `k`-th connection plays the `k`-th script, each in a thread of its own. It closes connections beyond the last
/// script at once. Dropping it ends all connections.
#[derive(Debug)]
pub struct Scripted {
    acceptor: Acceptor,
    stage: Arc<Stage>,
}

impl Scripted {
    /// Starts to listen on `127.0.0.1`, on a port that the system chooses.
    ///
    /// # Errors
    ///
    /// The system has no port, thread or descriptor left. No server runs then.
    pub fn start(scripts: Vec<Script>) -> io::Result<Self> {
        Self::start_with(scripts, None)
    }

    /// Like [`start`](Self::start), but sets the system's send and receive buffers of each connection to `bytes`, so that a client
    /// blocks sooner when the server does not read. Linux doubles the number.
    ///
    /// # Errors
    ///
    /// As for `start`.
    pub fn start_with_buffers(scripts: Vec<Script>, bytes: usize) -> io::Result<Self> {
        Self::start_with(scripts, Some(bytes))
    }

    fn start_with(scripts: Vec<Script>, kernel_buffers: Option<usize>) -> io::Result<Self> {
        let lanes = scripts.iter().map(|_| Lane::default()).collect();
        let stage = Arc::new(Stage { lanes: Mutex::new(Lanes { lanes, connections: 0 }), changed: Condvar::new() });
        let playing = Arc::clone(&stage);
        let scripts: Vec<VecDeque<Step>> = scripts.into_iter().map(|script| script.steps.into()).collect();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let acceptor = Acceptor::start(listen, kernel_buffers, move |number, stream, stop| {
            playing.lock().connections += 1;
            if let Some(steps) = scripts.get(number) {
                let outcome = Runner::new(number, stream, stop, &playing).run(steps);
                playing.update(number, |lane| lane.progress = outcome);
            }
        })?;
        Ok(Self { acceptor, stage })
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// The number of connections so far, including those beyond the last script.
    pub fn connections(&self) -> usize {
        self.stage.lock().connections
    }

    /// The bytes that connection `number` (from 0) has received so far; none before it is made.
    ///
    /// # Panics
    ///
    /// No script has this number.
    pub fn received(&self, number: usize) -> Vec<u8> {
        self.stage.lock().lanes[number].received.clone()
    }

    /// Waits up to 30 seconds until all scripts have ended, and returns the bytes that each connection received.
    ///
    /// # Panics
    ///
    /// A script failed or did not end in time. The message names the step.
    pub fn join(self) -> Vec<Vec<u8>> {
        match self.join_within(Duration::from_secs(30)) {
            Ok(received) => received,
            Err(error) => panic!("{error}"),
        }
    }

    /// Like [`join`](Self::join), with a limit of its own and an error instead of a panic.
    ///
    /// # Errors
    ///
    /// The first script that failed or did not end, by the number of its connection. The server is stopped then.
    pub fn join_within(mut self, limit: Duration) -> Result<Vec<Vec<u8>>, ScriptError> {
        let until = Instant::now() + limit;
        let mut lanes = self.stage.lock();
        while lanes.lanes.iter().any(|lane| !lane.progress.is_final()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || lanes.lanes.iter().any(|lane| matches!(lane.progress, Progress::Failed { .. })) {
                break;
            }
            lanes = self.stage.changed.wait_timeout(lanes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let errors: Vec<ScriptError> =
            lanes.lanes.iter().enumerate().filter_map(|(number, lane)| lane.error(number, limit)).collect();
        let received = lanes.lanes.iter().map(|lane| lane.received.clone()).collect();
        drop(lanes);
        self.acceptor.stop();
        // A script that failed explains more than one that waits because of it.
        let first = errors.iter().position(|error| !matches!(error.fault, ScriptFault::Hung(_) | ScriptFault::NeverConnected));
        match errors.into_iter().nth(first.unwrap_or(0)) {
            Some(error) => Err(error),
            None => Ok(received),
        }
    }
}

/// The failure of a script.
#[derive(Clone, Debug)]
pub struct ScriptError {
    /// The connection's number, from 0.
    pub connection: usize,
    /// The step as written, and its number from 1; `None` if no client connected.
    pub step: Option<(usize, String)>,
    /// The reason.
    pub fault: ScriptFault,
    /// The bytes that the connection had received.
    pub received: Vec<u8>,
}

/// The reason why a script failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScriptFault {
    /// No client connected for this script.
    NeverConnected,
    /// The step was not done after this time.
    Hung(Duration),
    /// The client closed or reset the connection before the step was done.
    ClientClosed,
    /// The system returned an error.
    Io(io::ErrorKind),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.connection)?;
        if let Some((number, step)) = &self.step {
            write!(f, ", step {number}, {step}")?;
        }
        match &self.fault {
            ScriptFault::NeverConnected => write!(f, ": nobody connected"),
            ScriptFault::Hung(limit) => write!(f, ": still waiting after {limit:?}"),
            ScriptFault::ClientClosed => write!(f, ": the client closed the connection"),
            ScriptFault::Io(kind) => write!(f, ": {kind}"),
        }?;
        let shown = &self.received[..self.received.len().min(300)];
        let dots = if shown.len() < self.received.len() { "..." } else { "" };
        write!(f, "; received {} bytes: \"{}\"{dots}", self.received.len(), shown.escape_ascii())
    }
}

impl std::error::Error for ScriptError {}

/// The state that the connections of a scripted server share.
#[derive(Debug)]
pub(crate) struct Stage {
    lanes: Mutex<Lanes>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lanes {
    lanes: Vec<Lane>,
    connections: usize,
}

/// The state of one connection, for the test.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) received: Vec<u8>,
    pub(crate) progress: Progress,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Progress {
    #[default]
    NotConnected,
    At {
        number: usize,
        step: String,
    },
    Ended,
    Failed {
        number: usize,
        step: String,
        fault: ScriptFault,
    },
}

impl Stage {
    pub(crate) fn update(&self, number: usize, change: impl FnOnce(&mut Lane)) {
        change(&mut self.lock().lanes[number]);
        self.changed.notify_all();
    }

    // A panic cannot leave a half-made change, because each change is one assignment or append.
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn is_final(&self) -> bool {
        matches!(self, Self::Ended | Self::Failed { .. })
    }
}

impl Lane {
    fn error(&self, connection: usize, limit: Duration) -> Option<ScriptError> {
        let (step, fault) = match self.progress.clone() {
            Progress::NotConnected => (None, ScriptFault::NeverConnected),
            Progress::At { number, step } => (Some((number, step)), ScriptFault::Hung(limit)),
            Progress::Ended => return None,
            Progress::Failed { number, step, fault } => (Some((number, step)), fault),
        };
        Some(ScriptError { connection, step, fault, received: self.received.clone() })
    }
}
