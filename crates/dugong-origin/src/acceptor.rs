//! The listening socket, the threads of its connections, and their end.
//!
//! One half of a socket pair is the switch. Every thread that waits polls the other half, too, so dropping the switch wakes all
//! threads at once.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;

/// Accepts connections in a thread, and starts a thread for each, until dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    address: SocketAddr,
    switch: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Serves the `k`-th connection with `serve(k, stream, stop)`. The stream is non-blocking and sends without delay.
    pub(crate) fn start(
        listen: SocketAddr,
        kernel_buffers: Option<usize>,
        serve: impl Fn(usize, TcpStream, &Stop) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        if let Some(bytes) = kernel_buffers {
            // Accepted connections inherit both sizes.
            sockopt::set_socket_send_buffer_size(&listener, bytes)?;
            sockopt::set_socket_recv_buffer_size(&listener, bytes)?;
        }
        let address = listener.local_addr()?;
        let (switch, stop) = UnixStream::pair()?;
        let stop = Stop(Arc::new(stop));
        let thread =
            thread::Builder::new().name("origin-accept".to_owned()).spawn(move || accept(&listener, &stop, Arc::new(serve)))?;
        Ok(Self { address, switch: Some(switch), thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all threads and waits for them. A second call does nothing.
    pub(crate) fn stop(&mut self) {
        self.switch = None;
        if let Some(thread) = self.thread.take() {
            // A panic of a handler has printed its message, and dropping must not panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The signal to end, which every waiting thread polls.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<UnixStream>);

/// The end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The descriptor has these events.
    Ready(PollFlags),
    TimedOut,
    Stopped,
}

impl Stop {
    /// Waits until `fd` has one of `events` (or an error), until `until`, or until the server stops. With no `events` it does not
    /// poll the descriptor: after a hang-up, each wait would end at once.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, events: PollFlags, until: Option<Instant>) -> io::Result<Woken> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN), PollFd::from_borrowed_fd(fd, events)];
        let polled = if events.is_empty() { 1 } else { 2 };
        poll_until(&mut fds[..polled], until)
    }

    /// Waits until any of `fds` is ready, until `until`, or until the server stops. `Ready` has the events of all of them.
    pub(crate) fn wait_any(&self, fds: &[PollFd<'_>], until: Option<Instant>) -> io::Result<Woken> {
        let mut all = vec![PollFd::new(&self.0, PollFlags::IN)];
        all.extend(fds.iter().cloned());
        poll_until(&mut all, until)
    }
}

/// Polls descriptors, of which the first is the signal to stop.
fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<Woken> {
    loop {
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("waits are far shorter than time_t reaches")
        });
        match poll(fds, timeout.as_ref()) {
            Ok(0) => return Ok(Woken::TimedOut),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Woken::Stopped),
            Ok(_) => return Ok(Woken::Ready(fds[1..].iter().map(PollFd::revents).collect())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

type Serve = dyn Fn(usize, TcpStream, &Stop) + Send + Sync;

fn accept(listener: &TcpListener, stop: &Stop, serve: Arc<Serve>) {
    let mut handlers: Vec<JoinHandle<()>> = Vec::new();
    let mut count = 0;
    loop {
        match stop.wait(listener.as_fd(), PollFlags::IN, None) {
            Ok(Woken::Ready(_)) => {}
            Ok(Woken::TimedOut) => continue,
            Ok(Woken::Stopped) | Err(_) => break,
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => {
                // Probably no descriptors are left. Until connections end, poll would return at once.
                let _ = stop.wait(listener.as_fd(), PollFlags::empty(), Some(Instant::now() + Duration::from_millis(10)));
                continue;
            }
        };
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            continue;
        }
        handlers.retain(|handler| !handler.is_finished());
        let (serve, stop, number) = (Arc::clone(&serve), stop.clone(), count);
        count += 1;
        let spawned =
            thread::Builder::new().name(format!("origin-{number}")).stack_size(STACK).spawn(move || serve(number, stream, &stop));
        if let Ok(handler) = spawned {
            handlers.push(handler);
        }
    }
    for handler in handlers {
        let _ = handler.join();
    }
}

/// Enough for a connection's loop in a debug build, and small enough for thousands of connections.
const STACK: usize = 512 * 1024;
