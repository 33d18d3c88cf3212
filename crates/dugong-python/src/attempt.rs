//! A connection that is being made: how others wait for it, and how they end it.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dugong_http::driver::Socket;
use parking_lot::Mutex;

/// A connection that is being made, as other operations see it. It lasts until the engine takes the request that needs it.
pub(crate) struct Attempt {
    given_up: AtomicBool,
    /// The process that it belongs to: a forked child only has a copy of the descriptor.
    process: u32,
    /// The descriptor that the connecting operation waits for.
    waiting: Mutex<Option<Waiting>>,
    /// The other end of an `Arrival`, if a reader waits.
    arrival: Mutex<Option<(Signal, Arc<Arrival>)>>,
}

/// The descriptor that the connecting operation waits for. Giving up the attempt shuts it down.
pub(crate) enum Waiting {
    Socket(Weak<Socket>),
    Wrapped(Weak<OwnedFd>),
    Thread(Weak<UnixStream>),
}

impl Waiting {
    fn end(&self) {
        // An error means that it has ended already.
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

    /// Notes the descriptor that the operation waits for, and returns the one before.
    pub(crate) fn wait_for(&self, waiting: Waiting) -> Option<Waiting> {
        self.waiting.lock().replace(waiting)
    }

    /// Notes that the connection is made. `disconnect` closes it.
    pub(crate) fn wait_for_nothing(&self) {
        *self.waiting.lock() = None;
    }

    /// Ends the attempt. Operations that wait for it wake up.
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

    /// Lets a reader wait for the connection; `None` after the attempt was given up.
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

/// The other end of an `Arrival`. Dropping it shuts it down, because a forked child may have a copy of the descriptor. The child
/// itself must not do that.
struct Signal {
    end: UnixStream,
    process: u32,
}

impl Drop for Signal {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // An error means that no reader waits any more.
            let _ = self.end.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Lets a reader wait for a connection that is being made for a request. It becomes readable when the attempt is over, because
/// that shuts down the other end.
pub(crate) struct Arrival {
    readable: UnixStream,
    given_up: AtomicBool,
}

impl Arrival {
    /// Whether connecting has failed, or `disconnect` was called.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

impl AsFd for Arrival {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
