//! TCP sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, connect, sendmsg, socket_with};

use super::Stream;
use crate::step::{Interest, Progress};

/// A non-blocking TCP socket.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Takes over a connected socket: makes it non-blocking, and turns Nagle's algorithm off, which would hold back the end of
    /// a request until the server has acknowledged what went before.
    ///
    /// # Errors
    /// What the system reports.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Socket { stream })
    }

    /// Connects to `host` and `port`: to all addresses of the name in turn, each for at most `timeout`.
    ///
    /// # Errors
    /// That of the name, or of the last address.
    pub fn connect(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<Self> {
        let mut connecting = Connecting::new((host, port).to_socket_addrs()?);
        loop {
            match connecting.step()? {
                Progress::Done(socket) => return Ok(Arc::into_inner(socket).expect("nobody else has asked for it")),
                Progress::Needs(interest) => {
                    let socket = connecting.current().expect("a step that needs something has a socket");
                    if !socket.wait(interest, timeout)? {
                        connecting.give_up(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
                    }
                }
            }
        }
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// What the system reports, if the connection is gone.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Waits until the socket is ready for `interest`, at most `timeout`; false if it passed. An error of the socket counts as
    /// ready: the next operation will report it.
    ///
    /// # Errors
    /// What the system reports of the waiting itself.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match wait(self, interest, deadline) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn is_ready_to_write(&self) -> io::Result<bool> {
        self.wait(Interest::WRITE, Some(Duration::ZERO))
    }

    /// Reads without taking anything: the next read gives the same.
    ///
    /// # Errors
    /// What the system reports.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        progress(Interest::READ, || self.stream.peek(buffer))
    }

    /// Closes one direction or both; whoever waits for the socket wakes up.
    pub fn shutdown(&self, how: Shutdown) {
        // The only error is that the connection is gone already.
        let _ = self.stream.shutdown(how);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A connection that is being made: one address after the other, until one answers.
#[derive(Debug)]
pub struct Connecting {
    /// The next one is at the end.
    addresses: Vec<SocketAddr>,
    current: Option<Arc<Socket>>,
    /// Why the last address did not work.
    error: io::Error,
}

impl Connecting {
    /// Will try `addresses` in their order.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut addresses: Vec<_> = addresses.into_iter().collect();
        addresses.reverse();
        let error = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
        Connecting { addresses, current: None, error }
    }

    /// Goes on. What it needs, [`current`](Connecting::current) has to be ready for.
    ///
    /// # Errors
    /// That of the last address.
    pub fn step(&mut self) -> io::Result<Progress<Arc<Socket>>> {
        loop {
            if let Some(socket) = &self.current {
                if !socket.is_ready_to_write()? {
                    return Ok(Progress::Needs(Interest::WRITE));
                }
                match socket.stream.take_error()? {
                    None => return Ok(Progress::Done(self.current.take().expect("just looked at"))),
                    Some(error) => self.give_up(error),
                }
            }
            let Some(address) = self.addresses.pop() else {
                let none = io::Error::new(io::ErrorKind::NotConnected, "no address is left to try");
                return Err(std::mem::replace(&mut self.error, none));
            };
            match begin(address) {
                Ok(socket) => self.current = Some(Arc::new(socket)),
                Err(error) => self.error = error,
            }
        }
    }

    /// The socket of the current attempt; to be waited for, or to be shut down by somebody who does not want it any more.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<Socket>> {
        self.current.as_ref()
    }

    /// Gives up the current attempt, because of `error`; the next step goes on with the next address.
    pub fn give_up(&mut self, error: io::Error) {
        self.current = None;
        self.error = error;
    }
}

/// Begins to connect to one address.
fn begin(address: SocketAddr) -> io::Result<Socket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(Socket { stream })
}

/// Waits until `socket` is ready for `interest`, at most until `deadline`; false if it passed. An error of the socket counts as
/// ready.
///
/// # Errors
/// `Interrupted` if a signal was handled meanwhile; whatever else the system reports of the waiting itself.
pub fn wait(socket: impl AsFd, interest: Interest, deadline: Option<Instant>) -> io::Result<bool> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.reads());
    flags.set(PollFlags::OUT, interest.writes());
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    // A time too long for the system's clock is as good as none.
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    Ok(poll(&mut [PollFd::new(&socket, flags)], left.as_ref())? > 0)
}

/// Two threads may use one socket, each for its own direction.
impl Stream for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        progress(Interest::READ, || (&self.stream).read(buffer))
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        progress(Interest::WRITE, || match pieces {
            [piece] => (&self.stream).write(piece),
            // Not `write_vectored`, which raises SIGPIPE where the program has not switched it off.
            pieces => Ok(sendmsg(&self.stream, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?),
        })
    }
}

fn progress(needs: Interest, mut operation: impl FnMut() -> io::Result<usize>) -> io::Result<Progress<usize>> {
    loop {
        match operation() {
            Ok(count) => return Ok(Progress::Done(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Needs(needs)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
