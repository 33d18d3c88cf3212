//! Plays one script on one connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::event::PollFlags;
use rustix::net::sockopt;

use crate::acceptor::{Stop, Woken};
use crate::script::{Progress, ScriptFault, Stage, Step};

/// A connection and the progress of its script.
pub(crate) struct Runner<'a> {
    number: usize,
    stream: TcpStream,
    stop: &'a Stop,
    stage: &'a Stage,
    /// Received bytes that no expectation has consumed.
    unread: Vec<u8>,
    reading: Reading,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    Off,
    /// The client has closed its side, or the connection is broken.
    Ended,
}

/// Why a step failed.
enum Broken {
    Fault(ScriptFault),
    Stopped,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(number: usize, stream: TcpStream, stop: &'a Stop, stage: &'a Stage) -> Self {
        Self { number, stream, stop, stage, unread: Vec::new(), reading: Reading::On }
    }

    /// Plays all steps, closes the socket and returns the result.
    pub(crate) fn run(mut self, steps: &VecDeque<Step>) -> Progress {
        for (index, step) in steps.iter().enumerate() {
            let at = Progress::At { number: index + 1, step: step.to_string() };
            self.stage.update(self.number, |lane| lane.progress = at.clone());
            if let Step::Reset = step {
                // Closing with a linger time of zero sends RST. Later steps have no connection.
                let outcome = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
                return match outcome {
                    Ok(()) => Progress::Ended,
                    Err(error) => failed(index, step, ScriptFault::Io(io::Error::from(error).kind())),
                };
            }
            match self.step(step) {
                Ok(()) => {}
                Err(Broken::Fault(fault)) => return failed(index, step, fault),
                Err(Broken::Stopped) => return at,
            }
        }
        Progress::Ended
    }

    fn step(&mut self, step: &Step) -> Result<(), Broken> {
        match step {
            Step::ExpectRequests(count) => {
                for _ in 0..*count {
                    let end = self.expect(|unread| memmem::find(unread, b"\r\n\r\n").map(|at| at + 4))?;
                    self.unread.drain(..end);
                }
                Ok(())
            }
            Step::ExpectBytes(count) => {
                let end = self.expect(|unread| (unread.len() >= *count).then_some(*count))?;
                self.unread.drain(..end);
                Ok(())
            }
            Step::Send(bytes) => self.send(bytes),
            Step::Pause(length) => {
                let until = Instant::now() + *length;
                while self.wait(PollFlags::empty(), Some(until))? {}
                Ok(())
            }
            Step::Fin => match self.stream.shutdown(Shutdown::Write) {
                // The connection may be gone.
                Err(error) if error.kind() == ErrorKind::NotConnected => Err(Broken::Fault(ScriptFault::ClientClosed)),
                outcome => Ok(outcome?),
            },
            Step::WaitClose => {
                self.resume();
                while self.reading == Reading::On {
                    self.wait(PollFlags::empty(), None)?;
                }
                Ok(())
            }
            Step::StopReading => {
                if self.reading == Reading::On {
                    self.reading = Reading::Off;
                }
                Ok(())
            }
            Step::ResumeReading => {
                self.resume();
                Ok(())
            }
            Step::Reset => unreachable!("run handles the step that ends the connection"),
        }
    }

    fn resume(&mut self) {
        if self.reading == Reading::Off {
            self.reading = Reading::On;
        }
    }

    /// Waits until `found` returns true for the bytes received.
    fn expect(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Result<usize, Broken> {
        loop {
            if let Some(end) = found(&self.unread) {
                return Ok(end);
            }
            if self.reading == Reading::Ended {
                return Err(Broken::Fault(ScriptFault::ClientClosed));
            }
            self.wait(PollFlags::empty(), None)?;
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, None)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for `events`, and receives meanwhile. Returns false when the time is up.
    fn wait(&mut self, events: PollFlags, until: Option<Instant>) -> Result<bool, Broken> {
        let reads = self.reading == Reading::On;
        let all = if reads { events | PollFlags::IN } else { events };
        match self.stop.wait(self.stream.as_fd(), all, until)? {
            Woken::Stopped => return Err(Broken::Stopped),
            Woken::TimedOut => return Ok(false),
            Woken::Ready(ready) if reads && ready != PollFlags::OUT => self.read(),
            Woken::Ready(_) => {}
        }
        Ok(true)
    }

    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.reading = Reading::Ended,
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                self.stage.update(self.number, |lane| lane.received.extend_from_slice(&buffer[..count]));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // Probably a reset, which closes the connection, too.
            Err(_) => self.reading = Reading::Ended,
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Fault(match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ScriptFault::ClientClosed,
            kind => ScriptFault::Io(kind),
        })
    }
}

fn failed(index: usize, step: &Step, fault: ScriptFault) -> Progress {
    Progress::Failed { number: index + 1, step: step.to_string(), fault }
}
