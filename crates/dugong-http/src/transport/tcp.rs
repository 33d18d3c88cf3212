//! TCP sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

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
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
        for address in (host, port).to_socket_addrs()? {
            let connected = match timeout {
                // The standard library refuses a timeout of zero.
                Some(timeout) => TcpStream::connect_timeout(&address, timeout.max(Duration::from_millis(1))),
                None => TcpStream::connect(address),
            };
            match connected {
                Ok(stream) => return Socket::new(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
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
        let deadline = timeout.and_then(|timeout| std::time::Instant::now().checked_add(timeout));
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.reads());
        flags.set(PollFlags::OUT, interest.writes());
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
            // A time too long for the system's clock is as good as none.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.stream, flags)], left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
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
