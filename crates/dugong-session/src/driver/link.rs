//! A connection as the driver sees it.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::RawFd;
use std::time::Instant;

use dugong_http::Sent;
use dugong_http::driver::{Connect, Engine, Interest, Progress, Stream, StreamError};
use dugong_http::transport::Transport;

use crate::plan::{ConnectionId, JobId};

/// The token of the poller's waker; links have their index.
pub(super) const WAKER: mio::Token = mio::Token(usize::MAX);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) state: State,
    /// It is in the list of links to run.
    pub(super) is_ready: bool,
    /// The plan does not want it to be read.
    pub(super) is_paused: bool,
    /// When to run it even if nothing happens.
    pub(super) until: Option<Instant>,
    /// Descriptors that are registered with the poller.
    pub(super) registered: Vec<RawFd>,
}

#[derive(Debug)]
pub(super) enum State {
    Connecting(Box<Connect>),
    Open(Box<Open>),
}

/// A connection that is open.
pub(super) struct Open {
    pub(super) engine: Engine,
    pub(super) wire: Wire,
    /// Jobs that the engine has not taken.
    pub(super) outgoing: VecDeque<JobId>,
    /// Requests that the engine has taken, oldest first.
    pub(super) flights: VecDeque<Flight>,
    /// How many of these, from the oldest on, have left whole.
    pub(super) settled: usize,
    /// The head of the oldest flight's response was read, and its content follows.
    pub(super) in_content: bool,
    /// The content of the last flight comes from its owner.
    pub(super) upload: Option<JobId>,
    /// Until when that content waits for 100 (Continue).
    pub(super) expect_until: Option<Instant>,
}

/// A request that the engine has taken.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) job: JobId,
    pub(super) number: u64,
    pub(super) sent: Sent,
    pub(super) has_content: bool,
    /// Its expectation has not been answered.
    pub(super) expects: bool,
    /// The plan has taken the response from its job, which may be on another connection by now.
    pub(super) is_skipped: bool,
}

/// The stream of an open connection, and what the poller has said about it.
pub(super) struct Wire {
    transport: Transport,
    /// A read may find bytes.
    pub(super) is_readable: bool,
    is_writable: bool,
    /// The server has ended its direction.
    is_ended: bool,
    /// TLS or another layer may hold bytes back, so a short read proves nothing.
    has_layers: bool,
    /// Bytes moved since the last [`take_moved`](Wire::take_moved).
    has_moved: bool,
}

impl Link {
    pub(super) fn new(id: ConnectionId, connect: Connect) -> Self {
        Link {
            id,
            state: State::Connecting(Box::new(connect)),
            is_ready: false,
            is_paused: false,
            until: None,
            registered: Vec::new(),
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting(_))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.flights.is_empty() && open.outgoing.is_empty())
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Connecting(_) => None,
        }
    }

    /// Notes an event of the poller.
    pub(super) fn note(&mut self, event: &mio::event::Event) {
        if let State::Open(open) = &mut self.state {
            open.wire.note(event);
        }
    }

    /// Takes back a job that the engine has not taken.
    pub(super) fn take_back(&mut self, job: JobId) -> bool {
        let Some(open) = self.open() else { return false };
        let before = open.outgoing.len();
        open.outgoing.retain(|other| *other != job);
        open.outgoing.len() < before
    }
}

impl Open {
    pub(super) fn flight_of(&mut self, job: JobId) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|flight| flight.job == job)
    }

    pub(super) fn new(engine: Engine, transport: Transport) -> Self {
        Open {
            engine,
            wire: Wire::new(transport),
            outgoing: VecDeque::new(),
            flights: VecDeque::new(),
            settled: 0,
            in_content: false,
            upload: None,
            expect_until: None,
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("transport", &self.wire.transport)
            .field("outgoing", &self.outgoing.len())
            .field("flights", &self.flights)
            .finish_non_exhaustive()
    }
}

impl Wire {
    fn new(transport: Transport) -> Self {
        let has_layers = !transport.is_bare_socket();
        Wire { transport, is_readable: true, is_writable: true, is_ended: false, has_layers, has_moved: false }
    }

    fn note(&mut self, event: &mio::event::Event) {
        // Below TLS, a read may wait for writing, and the other way round.
        let is_error = event.is_error();
        self.is_ended |= event.is_read_closed() || is_error;
        self.is_readable |= self.has_layers || event.is_readable() || self.is_ended;
        self.is_writable |= self.has_layers || event.is_writable() || event.is_write_closed() || is_error;
    }

    /// Whether bytes moved since the last call.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }
}

impl Stream for Wire {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if !self.is_readable {
            return Ok(Progress::Needs(Interest::READ));
        }
        let read = (&self.transport).read(buffer)?;
        match read {
            Progress::Done(count) => {
                self.has_moved = true;
                // A socket gives all that it has. The poller reports what comes later.
                self.is_readable = count == buffer.len() || self.has_layers || self.is_ended;
            }
            Progress::Needs(_) => self.is_readable = false,
        }
        Ok(read)
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        if !self.is_writable {
            return Ok(Progress::Needs(Interest::WRITE));
        }
        let written = (&self.transport).write(pieces)?;
        match written {
            Progress::Done(_) => self.has_moved = true,
            Progress::Needs(_) => self.is_writable = false,
        }
        Ok(written)
    }

    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        (&self.transport).flush()
    }
}
