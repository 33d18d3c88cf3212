//! A connection that is being made: how others wait for it, and how they end it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dugong_http::transport::Socket;
use parking_lot::Mutex;

/// What others have to know of a connection that is being made. It lasts until the request is taken that the connection is for.
pub(crate) struct Attempt {
    given_up: AtomicBool,
    /// The process that it belongs to: a child has but a copy of the descriptor.
    process: u32,
    /// What is waited for.
    waiting: Mutex<Option<Waiting>>,
    /// The other end of an `Arrival`, if anybody waits.
    arrival: Mutex<Option<(Signal, Arc<Arrival>)>>,
}

/// What somebody waits for, to be shut down when the attempt is given up.
pub(crate) enum Waiting {
    Socket(Weak<Socket>),
    Wrapped(Weak<OwnedFd>),
    Thread(Weak<UnixStream>),
}

impl Waiting {
    fn end(&self) {
        // The errors say that there is nothing to be ended any more.
        match self {
            Waiting::Socket(socket) => {
                if let Some(socket) = socket.upgrade() {
                    socket.shutdown(Shutdown::Both);
                }
            }
            Waiting::Wrapped(descriptor) => {
                if let Some(descriptor) = descriptor.upgrade() {
                    let _ = rustix::net::shutdown(&descriptor, rustix::net::Shutdown::Both);
                }
            }
            Waiting::Thread(stream) => {
                if let Some(stream) = stream.upgrade() {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Attempt {
            given_up: AtomicBool::new(false),
            process: std::process::id(),
            waiting: Mutex::default(),
            arrival: Mutex::default(),
        }
    }

    /// From now on it waits for this; the result is what it waited for before.
    pub(crate) fn wait_for(&self, waiting: Waiting) -> Option<Waiting> {
        self.waiting.lock().replace(waiting)
    }

    /// The connection is there, and is closed by its own means.
    pub(crate) fn wait_for_nothing(&self) {
        *self.waiting.lock() = None;
    }

    /// Ends it; whoever waits for it wakes up.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        if let Some(waiting) = &*self.waiting.lock()
            && self.process == std::process::id()
        {
            waiting.end();
        }
        if let Some((_, arrival)) = self.arrival.lock().take() {
            arrival.given_up.store(true, Ordering::Release);
        }
    }

    /// For a reader that comes before the connection is there; None if it will not be.
    pub(crate) fn arrival(&self) -> io::Result<Option<Arc<Arrival>>> {
        let mut slot = self.arrival.lock();
        if self.given_up.load(Ordering::Acquire) {
            return Ok(None);
        }
        if slot.is_none() {
            let (theirs, readable) = UnixStream::pair()?;
            *slot = Some((
                Signal { end: theirs, process: self.process },
                Arc::new(Arrival { readable, given_up: AtomicBool::new(false) }),
            ));
        }
        Ok(slot.as_ref().map(|(_, arrival)| arrival.clone()))
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

/// The other end of an `Arrival`. It is shut down when it is dropped, since a child of the process may have a copy of it; but not by
/// the child.
struct Signal {
    end: UnixStream,
    process: u32,
}

impl Drop for Signal {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // Whoever waited may have gone.
            let _ = self.end.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// What a reader waits for when the request, whose response it is to read, waits for the connection itself. It becomes readable
/// when the attempt is over, since the other end goes with it.
pub(crate) struct Arrival {
    readable: UnixStream,
    given_up: AtomicBool,
}

impl Arrival {
    /// Whether `disconnect` was called, or there was an error.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

impl AsFd for Arrival {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
