//! The loop of a [`Proxy`](crate::Proxy) over the two connections that it joins.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::event::{PollFd, PollFlags};

use crate::acceptor::{Stop, Woken};
use crate::connection::{HUNG_UP, is_passing};
use crate::faults::{Fault, Faults};

/// A client's connection, a server's connection, and the bytes under way between them.
pub(crate) struct Relay<'a> {
    client: TcpStream,
    server: TcpStream,
    to_server: Way,
    to_client: Way,
    together: Together<'a>,
    bytes_to_client: &'a AtomicU64,
}

/// One direction.
struct Way {
    delay: Duration,
    /// Faults to come, by the number of bytes before them.
    faults: VecDeque<(u64, Fault)>,
    reading: Reading,
    /// The bytes read so far.
    passed: u64,
    /// Bytes still to garble.
    garbled: u64,
    /// No bytes leave before this.
    held_until: Option<Instant>,
    queue: VecDeque<(Instant, Item)>,
    queued: usize,
}

enum Item {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    On,
    Discarding,
    Stalled,
    Ended,
}

/// Counts requests without an answer between them.
struct Together<'a> {
    now: usize,
    most: &'a AtomicUsize,
    /// The last bytes before the next ones, which may contain the beginning of an end of a head.
    before: Vec<u8>,
}

impl<'a> Relay<'a> {
    /// `most_together` gets the most requests without an answer between them, if it is less. `bytes_to_client` grows by the bytes that
    /// the server sends.
    pub(crate) fn new(
        client: TcpStream,
        server: TcpStream,
        faults: Faults,
        most_together: &'a AtomicUsize,
        bytes_to_client: &'a AtomicU64,
    ) -> Self {
        let (to_server, to_client) = (Way::new(faults.delay, faults.to_server), Way::new(faults.delay, faults.to_client));
        let together = Together { now: 0, most: most_together, before: Vec::new() };
        Self { client, server, to_server, to_client, together, bytes_to_client }
    }

    pub(crate) fn server(&self) -> &TcpStream {
        &self.server
    }

    /// Passes bytes on until both directions have ended. An error means that both connections must be reset.
    pub(crate) fn run(&mut self, stop: &Stop) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let is_blocked = [self.to_server.send(&self.server, now)?, self.to_client.send(&self.client, now)?];
            let ways = [&self.to_server, &self.to_client];
            if ways.iter().all(|way| way.is_over()) {
                return Ok(());
            }
            let events = |source: &Way, is_blocked| source.wants() | if is_blocked { PollFlags::OUT } else { PollFlags::empty() };
            let of_client = events(&self.to_server, is_blocked[1]);
            let of_server = events(&self.to_client, is_blocked[0]);
            let until = ways.iter().zip(is_blocked).filter(|(_, blocked)| !blocked).filter_map(|(way, _)| way.due()).min();
            let mut fds = Vec::with_capacity(3);
            for (stream, events) in [(&self.client, of_client), (&self.server, of_server)] {
                if !events.is_empty() {
                    fds.push(PollFd::new(stream, events));
                }
            }
            let hung_up = match stop.wait_any(&fds, until)? {
                Woken::Stopped => return Err(ErrorKind::ConnectionAborted.into()),
                Woken::TimedOut => PollFlags::empty(),
                Woken::Ready(flags) => flags & (HUNG_UP | PollFlags::HUP),
            };
            // A stalled direction does not read, so it learns only from the hang-up that its end has gone.
            if !hung_up.is_empty() && [&self.to_server, &self.to_client].iter().any(|way| way.reading == Reading::Stalled) {
                return Err(ErrorKind::ConnectionReset.into());
            }
            self.to_server.read(&self.client, |bytes| self.together.sent(bytes))?;
            self.to_client.read(&self.server, |bytes| {
                self.together.answered();
                self.bytes_to_client.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            })?;
        }
    }
}

impl Way {
    fn new(delay: Duration, faults: Vec<(u64, Fault)>) -> Self {
        let mut way = Self {
            delay,
            faults: faults.into(),
            reading: Reading::On,
            passed: 0,
            garbled: 0,
            held_until: None,
            queue: VecDeque::new(),
            queued: 0,
        };
        way.meet_faults();
        way
    }

    /// Tells if nothing more will pass. The other direction may still be open.
    fn is_over(&self) -> bool {
        matches!(self.reading, Reading::Ended | Reading::Stalled) && self.queue.is_empty()
    }

    /// The events of the source that matter.
    fn wants(&self) -> PollFlags {
        match self.reading {
            Reading::On if self.queued < MOST_QUEUED => PollFlags::IN,
            Reading::Discarding => PollFlags::IN,
            Reading::Stalled => HUNG_UP,
            Reading::On | Reading::Ended => PollFlags::empty(),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    fn push(&mut self, item: Item) {
        let due = Instant::now() + self.delay;
        let due = self.held_until.map_or(due, |until| until.max(due));
        self.queue.push_back((due, item));
    }

    /// Does the faults whose place is reached.
    fn meet_faults(&mut self) {
        while let Some((_, fault)) = self.faults.front().copied().filter(|(after, _)| *after <= self.passed) {
            self.faults.pop_front();
            match fault {
                Fault::Fin => {
                    self.push(Item::Fin);
                    self.reading = Reading::Discarding;
                }
                Fault::Reset => {
                    self.push(Item::Reset);
                    self.reading = Reading::Discarding;
                }
                Fault::Stall => self.reading = Reading::Stalled,
                Fault::Pause(length) => self.held_until = Some(Instant::now() + length),
                Fault::Garble(count) => self.garbled = count,
            }
        }
    }

    /// Reads what has come, at most up to the next fault.
    fn read(&mut self, mut source: &TcpStream, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        while self.wants().contains(PollFlags::IN) {
            let mut buffer = [0; 16 * 1024];
            let room = match (self.reading, self.faults.front()) {
                (Reading::On, Some((after, _))) => buffer.len().min((after - self.passed) as usize),
                _ => buffer.len(),
            };
            match source.read(&mut buffer[..room]) {
                Ok(0) => {
                    if self.reading == Reading::On {
                        self.push(Item::Fin);
                    }
                    self.reading = Reading::Ended;
                }
                Ok(_) if self.reading == Reading::Discarding => {}
                Ok(count) => {
                    let bytes = &mut buffer[..count];
                    see(bytes);
                    let garbled = self.garbled.min(count as u64);
                    bytes[..garbled as usize].iter_mut().for_each(|byte| *byte = !*byte);
                    self.garbled -= garbled;
                    self.passed += count as u64;
                    self.queued += count;
                    self.push(Item::Bytes(bytes.to_vec()));
                    self.meet_faults();
                }
                Err(error) if is_passing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends the bytes that are due. Returns true if the receiver takes no more now.
    fn send(&mut self, mut to: &TcpStream, now: Instant) -> io::Result<bool> {
        while let Some((due, item)) = self.queue.front_mut() {
            if *due > now {
                return Ok(false);
            }
            match item {
                Item::Bytes(bytes) => match to.write(bytes) {
                    Ok(count) => {
                        bytes.drain(..count);
                        self.queued -= count;
                        if !bytes.is_empty() {
                            continue;
                        }
                    }
                    Err(error) if is_passing(&error) => return Ok(true),
                    Err(error) => return Err(error),
                },
                Item::Fin => to.shutdown(Shutdown::Write)?,
                Item::Reset => return Err(ErrorKind::ConnectionReset.into()),
            }
            self.queue.pop_front();
        }
        Ok(false)
    }
}

impl Together<'_> {
    fn sent(&mut self, bytes: &[u8]) {
        self.before.extend_from_slice(bytes);
        self.now += memmem::find_iter(&self.before, b"\r\n\r\n").count();
        self.most.fetch_max(self.now, Ordering::SeqCst);
        let end = memmem::rfind(&self.before, b"\r\n\r\n").map_or(0, |at| at + 4);
        let kept = end.max(self.before.len().saturating_sub(3));
        self.before.drain(..kept);
    }

    fn answered(&mut self) {
        self.now = 0;
    }
}

/// The bytes under way in one direction at which reading stops.
const MOST_QUEUED: usize = 256 * 1024;
