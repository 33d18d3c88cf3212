//! The stream of a connection that tasks use.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::runtime::{Attempt, Direction, PollStream, Runtime};
use dugong_net::{Stream, StreamError};

use crate::connecting::transport::WireLayers;
use crate::halves::Ending;
use crate::step::{Interest, Progress, Side};
use crate::transport::Transport as Descriptor;

/// The stream of a connection: a socket that the runtime watches, or a stream of yours, and TLS over it for a secure origin.
pub struct Transport<R: Runtime> {
    base: Base<R>,
}

/// The stream below TLS and the trace.
enum Base<R: Runtime> {
    Socket(R::Registered<Descriptor>),
    CallerStream(Box<CallerStream>),
}

/// A stream of the caller's.
struct CallerStream {
    /// Locked for calls that do not wait.
    stream: Mutex<Box<dyn PollStream>>,
    layers: Option<Box<WireLayers>>,
    /// This end has closed it.
    is_closed: AtomicBool,
}

impl<R: Runtime> Transport<R> {
    /// Wraps a connected socket.
    pub(super) fn socket(transport: Descriptor) -> io::Result<Self> {
        Ok(Transport { base: Base::Socket(R::register(transport)?) })
    }

    /// Wraps a stream of the caller's, and the layers over it.
    pub(super) fn caller(stream: Box<dyn PollStream>, layers: Option<Box<WireLayers>>) -> Self {
        let caller = CallerStream { stream: Mutex::new(stream), layers, is_closed: AtomicBool::new(false) };
        Transport { base: Base::CallerStream(Box::new(caller)) }
    }

    /// Puts layers over a stream of the caller's.
    pub(super) fn with(mut self, over: Option<Box<WireLayers>>) -> Self {
        if let Base::CallerStream(caller) = &mut self.base {
            caller.layers = over;
        }
        self
    }

    fn layers(&self) -> Option<&WireLayers> {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).layers(),
            Base::CallerStream(caller) => caller.layers.as_deref(),
        }
    }

    /// The parameters of TLS, if the origin is secure.
    #[cfg(feature = "rustls")]
    #[must_use]
    pub fn tls(&self) -> Option<crate::transport::TlsInfo> {
        self.layers()?.tls()
    }

    /// The descriptor of the socket; `None` for a stream of yours. Reading or writing there breaks the connection.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.base {
            Base::Socket(registered) => Some(R::registered(registered).as_fd()),
            Base::CallerStream(_) => None,
        }
    }

    /// The address of the peer; `None` for Unix sockets and streams of yours.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).peer_address(),
            Base::CallerStream(_) => None,
        }
    }

    /// The address of this end; `None` for Unix sockets and streams of yours.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).local_address(),
            Base::CallerStream(_) => None,
        }
    }

    /// Whether a task that reads may have to write, or the other way round. A stream that knows one task for each direction is
    /// not enough for two halves then.
    pub(super) fn needs_cross_wakers(&self) -> bool {
        matches!(self.base, Base::CallerStream(_)) || self.layers().is_some_and(|layers| layers.session().is_some())
    }

    /// The socket and its layers without the runtime, for a step that involves the runtime only if it has to wait.
    #[inline]
    pub(super) fn as_system(&self) -> Option<&Descriptor> {
        match &self.base {
            Base::Socket(registered) => Some(R::registered(registered)),
            Base::CallerStream(_) => None,
        }
    }

    /// Whether it is a socket without layers.
    #[inline]
    pub(super) fn is_bare(&self) -> bool {
        matches!(&self.base, Base::Socket(registered) if R::registered(registered).layers().is_none())
    }

    /// Waits until a socket may have bytes to read, or an error.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.base {
            Base::Socket(registered) => R::poll_ready(registered, Direction::Read, cx).map(drop),
            Base::CallerStream(_) => Poll::Ready(()),
        }
    }

    /// Lends the stream for one poll.
    #[inline]
    pub(super) fn polled<'a, 'w>(
        &'a self,
        cx: &'a mut Context<'w>,
        cross_wakers: Option<(&'a CrossWakers, Side)>,
        asks: Asks,
    ) -> Polled<'a, 'w, R> {
        let layers = self.layers();
        Polled { bottom: Bottom { base: &self.base, cx, cross_wakers, moved: false, received: false, asks }, layers }
    }

    /// Ends this end of the connection in order: TLS announces that (RFC 9112 §9.8).
    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Base::CallerStream(caller) = &self.base else {
            self.shutdown(Shutdown::Both);
            return Poll::Ready(());
        };
        if let Some(layers) = &caller.layers
            && let Some(mut session) = layers.session()
        {
            let mut bottom =
                Bottom { base: &self.base, cx: &mut *cx, cross_wakers: None, moved: false, received: false, asks: Asks::Runtime };
            session.close_notify(&mut bottom);
        }
        let closed = caller.stream().poll_close(cx);
        if closed.is_ready() {
            caller.is_closed.store(true, Ordering::Release);
        }
        // Nothing more can be done about an error.
        closed.map(drop)
    }
}

impl CallerStream {
    fn stream(&self) -> MutexGuard<'_, Box<dyn PollStream>> {
        // A stream that panicked says itself in what state that left it.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Runtime> Ending for Transport<R> {
    fn shutdown(&self, how: Shutdown) {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).shutdown(how),
            Base::CallerStream(caller) => {
                // As far as possible without waiting.
                let _ = self.poll_close(&mut Context::from_waker(Waker::noop()));
                if how == Shutdown::Both {
                    caller.is_closed.store(true, Ordering::Release);
                }
            }
        }
    }

    fn peek(&self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).peek(buffer),
            Base::CallerStream(_) => match self.layers().and_then(WireLayers::session) {
                Some(mut session) => session
                    .peek(&mut self.polled(&mut Context::from_waker(Waker::noop()), None, Asks::SystemAlone).bottom, buffer),
                None => Ok(Progress::Needs(Interest::READ)),
            },
        }
    }
}

/// Dropping a connection announces the end of TLS as well.
impl<R: Runtime> Drop for Transport<R> {
    fn drop(&mut self) {
        if let Base::CallerStream(caller) = &self.base
            && !caller.is_closed.load(Ordering::Acquire)
        {
            let _ = self.poll_close(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<R: Runtime> fmt::Debug for Transport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Socket(registered) => R::registered(registered).fmt(f),
            Base::CallerStream(_) => f.write_str("CallerStream"),
        }
    }
}

/// A stream for one poll. Where it would have to wait, it has the task of the poll woken in time.
pub(super) struct Polled<'a, 'w, R: Runtime> {
    bottom: Bottom<'a, 'w, R>,
    layers: Option<&'a WireLayers>,
}

/// The same stream without its layers.
struct Bottom<'a, 'w, R: Runtime> {
    base: &'a Base<R>,
    cx: &'a mut Context<'w>,
    cross_wakers: Option<(&'a CrossWakers, Side)>,
    /// Bytes have passed in either direction.
    moved: bool,
    /// Bytes or the end of the stream were received.
    received: bool,
    asks: Asks,
}

/// Where an attempt to read from a socket asks first: the runtime learns of new bytes later than the system. Attempts to write
/// always ask the system first, which nearly always has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// The runtime, which costs no system call.
    Runtime,
    /// The system, then the runtime if it has to wait: for calls that must not miss bytes that have arrived.
    System,
    /// The system alone: the last attempt before a limit of time is reported.
    SystemAlone,
}

impl<R: Runtime> Polled<'_, '_, R> {
    /// Whether bytes have passed in either direction.
    pub(super) fn has_moved(&self) -> bool {
        self.bottom.moved
    }

    /// Whether bytes have come from the peer.
    pub(super) fn has_received(&self) -> bool {
        self.bottom.received
    }
}

impl<R: Runtime> Stream for Polled<'_, '_, R> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        match self.layers {
            None => self.bottom.read(buffer),
            Some(layers) => layers.read(&mut self.bottom, buffer),
        }
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        match self.layers {
            None => self.bottom.write(pieces),
            Some(layers) => layers.write(&mut self.bottom, pieces),
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        match self.layers {
            None => self.bottom.flush(),
            Some(layers) => layers.flush(&mut self.bottom),
        }
    }
}

impl<R: Runtime> Bottom<'_, '_, R> {
    /// Whether the system's answer is enough, so that the runtime need not be asked.
    #[inline]
    fn is_enough(&mut self, direction: Direction, progress: Progress<usize>) -> bool {
        let is_done = matches!(progress, Progress::Done(_));
        if is_done {
            self.note(direction);
        }
        is_done || self.asks == Asks::SystemAlone
    }

    /// Notes that bytes have passed in this direction.
    #[inline]
    fn note(&mut self, direction: Direction) {
        self.moved = true;
        self.received |= direction == Direction::Read;
    }

    #[inline]
    fn poll<T>(
        &mut self,
        direction: Direction,
        poll: impl FnOnce(&Base<R>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<Progress<T>, StreamError> {
        let polled = match self.cross_wakers {
            None => poll(self.base, self.cx),
            Some((cross_wakers, side)) => {
                let waker = cross_wakers.waker(direction, side, self.cx.waker());
                poll(self.base, &mut Context::from_waker(waker))
            }
        };
        match polled {
            Poll::Ready(result) => {
                let result = result?;
                self.note(direction);
                Ok(Progress::Done(result))
            }
            Poll::Pending => Ok(Progress::Needs(match direction {
                Direction::Read => Interest::READ,
                Direction::Write => Interest::WRITE,
            })),
        }
    }
}

impl<R: Runtime> Stream for Bottom<'_, '_, R> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        if let Base::Socket(registered) = self.base
            && self.asks != Asks::Runtime
        {
            let read = socket(R::registered(registered)).try_read(buffer)?;
            if self.is_enough(Direction::Read, read) {
                return Ok(read);
            }
        }
        self.poll(Direction::Read, |way, cx| match way {
            Base::Socket(registered) => R::poll_io(registered, Direction::Read, cx, |transport| {
                let read = socket(transport).try_read(buffer)?;
                Ok(attempt(read, buffer.len()))
            }),
            Base::CallerStream(caller) if caller.is_closed.load(Ordering::Acquire) => Poll::Ready(Ok(0)),
            Base::CallerStream(caller) => caller.stream().poll_read(cx, buffer),
        })
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        if let Base::Socket(registered) = self.base {
            let written = socket(R::registered(registered)).try_write(pieces)?;
            if self.is_enough(Direction::Write, written) {
                return Ok(written);
            }
        }
        self.poll(Direction::Write, |way, cx| match way {
            Base::Socket(registered) => R::poll_io(registered, Direction::Write, cx, |transport| {
                let written = socket(transport).try_write(pieces)?;
                Ok(attempt(written, pieces.iter().map(|piece| piece.len()).sum()))
            }),
            Base::CallerStream(caller) if caller.is_closed.load(Ordering::Acquire) => {
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
            Base::CallerStream(caller) => match caller.stream().poll_write(cx, pieces) {
                // A zero-length write of a non-empty buffer would loop forever.
                Poll::Ready(Ok(0)) if pieces.iter().any(|piece| !piece.is_empty()) => {
                    Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
                }
                other => other,
            },
        })
    }

    #[inline]
    fn flush(&mut self) -> Result<Progress<()>, StreamError> {
        if let Base::Socket(_) = self.base {
            return Ok(Progress::Done(()));
        }
        self.poll(Direction::Write, |way, cx| match way {
            Base::CallerStream(caller) if !caller.is_closed.load(Ordering::Acquire) => caller.stream().poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        })
    }
}

#[inline]
fn socket(transport: &Descriptor) -> &dugong_net::Socket {
    transport.socket().expect("tasks wait for sockets only")
}

/// A read that does not fill its buffer has taken all bytes that had arrived.
#[inline]
fn attempt(progress: Progress<usize>, room: usize) -> Attempt {
    match progress {
        // The end stays.
        Progress::Done(count) if count > 0 && count < room => Attempt::All(count),
        Progress::Done(count) => Attempt::Some(count),
        Progress::Needs(_) => Attempt::NotReady,
    }
}

/// Wakers for streams that know one task for each direction, while both halves of a connection may wait for the same one: TLS
/// may have to write in order to read. Each waker wakes both tasks.
#[derive(Debug)]
pub(super) struct CrossWakers {
    directions: [(Arc<SharedWaker>, Waker); 2],
}

/// The tasks of both halves.
#[derive(Debug, Default)]
struct SharedWaker {
    tasks: Mutex<[Option<Waker>; 2]>,
}

impl CrossWakers {
    pub(super) fn new() -> Self {
        let direction = || {
            let both = Arc::new(SharedWaker::default());
            (both.clone(), both.into())
        };
        CrossWakers { directions: [direction(), direction()] }
    }

    /// Returns the waker for `direction`, which wakes `task` of `side` as well.
    fn waker(&self, direction: Direction, side: Side, task: &Waker) -> &Waker {
        let (both, waker) = &self.directions[direction as usize];
        match &mut both.tasks()[side as usize] {
            Some(before) => before.clone_from(task),
            none => *none = Some(task.clone()),
        }
        waker
    }

    /// Wakes both tasks.
    pub(super) fn wake(&self) {
        self.directions.iter().for_each(|(both, _)| both.wake_both());
    }
}

impl SharedWaker {
    fn tasks(&self) -> MutexGuard<'_, [Option<Waker>; 2]> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_both(&self) {
        let tasks = std::mem::take(&mut *self.tasks());
        tasks.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wake for SharedWaker {
    fn wake(self: Arc<Self>) {
        self.wake_both();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_both();
    }
}
