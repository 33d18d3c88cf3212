//! Sockets: TCP and Unix.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::{Domain, SockAddr, TcpKeepalive, Type};

use crate::need::{Interest, Progress};
use crate::poll_set::wait_uninterrupted;
use crate::stream::{Stream, StreamError};

/// A non-blocking stream socket, TCP or Unix.
pub struct Socket {
    socket: socket2::Socket,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Socket");
        shown.field("descriptor", &self.socket.as_raw_fd());
        for (name, address) in [("local", self.local_address()), ("peer", self.peer_address())] {
            if let Ok(Some(address)) = address {
                shown.field(name, &address);
            }
        }
        shown.finish()
    }
}

/// The address that a socket connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// Address and port, by TCP.
    Ip(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(Arc<Path>),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Options of TCP sockets. Nagle's algorithm is always off: it would hold back the end of a request until the server has
/// acknowledged the bytes before it.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// How long the connection may be idle before the system probes it, and the time between probes.
    pub keep_alive: Option<Duration>,
    /// The address to connect from.
    pub source: Option<IpAddr>,
    /// The size of the receive buffer of the system, in bytes.
    pub receive_buffer: Option<usize>,
    /// The size of the send buffer of the system, in bytes.
    pub send_buffer: Option<usize>,
    /// The name of the network interface to connect through (Linux).
    pub interface: Option<String>,
}

impl Socket {
    /// Takes over a connected socket: makes it non-blocking, and turns Nagle's algorithm off for TCP.
    ///
    /// # Errors
    /// An error of the system.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = socket2::Socket::from(socket.into());
        if socket.r#type()? != Type::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket"));
        }
        // A listening or unconnected socket has no peer.
        socket.peer_addr()?;
        socket.set_nonblocking(true)?;
        if matches!(socket.local_addr()?.domain(), Domain::IPV4 | Domain::IPV6) {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(Socket { socket })
    }

    /// Begins to connect.
    pub(crate) fn begin(address: &Address, options: &SocketOptions) -> io::Result<Self> {
        let (domain, target) = match address {
            Address::Ip(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
            Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        // The library sets close-on-exec.
        let socket = socket2::Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if let Address::Ip(ip) = address {
            socket.set_tcp_nodelay(true)?;
            options.apply(&socket, ip)?;
        }
        match socket.connect(&target) {
            Err(error) if !is_on_its_way(&error) => Err(error),
            _ => Ok(Socket { socket }),
        }
    }

    /// Whether a connection that was begun is established; an error if it failed.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        if !self.wait(Interest::WRITE, Some(Duration::ZERO))? {
            return Ok(false);
        }
        self.socket.take_error()?.map_or(Ok(true), Err)
    }

    /// The address of the peer. Unix sockets have none.
    ///
    /// # Errors
    /// An error of the system, if the connection is gone.
    pub fn peer_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.socket.peer_addr()?.as_socket())
    }

    /// The address of this end. Unix sockets have none.
    ///
    /// # Errors
    /// An error of the system.
    pub fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.socket.local_addr()?.as_socket())
    }

    /// Waits until the socket is ready for `interest`, at most `timeout`; returns false if that passed. A socket with an error
    /// counts as ready: the next operation reports it.
    ///
    /// # Errors
    /// An error of the system while waiting.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        wait_uninterrupted(self, interest, timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Reads without consuming: the next read gives the same bytes.
    ///
    /// # Errors
    /// An error of the system.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        attempt(Interest::READ, || Ok(recv(&self.socket, &mut *buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0))
    }

    /// Reads once into `buffer`. `Done(0)` is the end of the stream.
    ///
    /// # Errors
    /// An error of the system.
    #[inline]
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        attempt(Interest::READ, || Ok(recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT)?.0))
    }

    /// Lets [`read_waiting`](Socket::read_waiting) wait. All other calls still return at once.
    ///
    /// # Errors
    /// An error of the system.
    pub fn allow_waiting(&self) -> io::Result<()> {
        self.socket.set_nonblocking(false)
    }

    /// Reads once into `buffer`, and waits until there is something to read, if that is [allowed](Socket::allow_waiting). One
    /// system call instead of two.
    ///
    /// # Errors
    /// An error of the system.
    #[inline]
    pub fn read_waiting(&self, buffer: &mut [u8]) -> io::Result<Progress<usize>> {
        attempt(Interest::READ, || Ok(recv(&self.socket, &mut *buffer, RecvFlags::empty())?.0))
    }

    /// Writes once: some of the bytes of `pieces`.
    ///
    /// # Errors
    /// An error of the system.
    #[inline]
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
        // Without SIGPIPE: not every program ignores it.
        const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
        attempt(Interest::WRITE, || match pieces {
            [piece] => send(&self.socket, piece, FLAGS),
            pieces => sendmsg(&self.socket, pieces, &mut SendAncillaryBuffer::default(), FLAGS),
        })
    }

    /// Closes one direction or both, and wakes the threads that wait for them.
    pub fn shutdown(&self, how: Shutdown) {
        // This fails only if the connection is gone already.
        let _ = self.socket.shutdown(how);
    }
}

impl SocketOptions {
    /// Whether an address is of the family of the [source](SocketOptions::source), if you set one.
    pub(crate) fn allow(&self, address: &Address) -> bool {
        match (self.source, address) {
            (Some(source), Address::Ip(target)) => source.is_ipv4() == target.is_ipv4(),
            _ => true,
        }
    }

    fn apply(&self, socket: &socket2::Socket, target: &SocketAddr) -> io::Result<()> {
        if let Some(time) = self.keep_alive {
            let options = TcpKeepalive::new().with_time(time).with_interval(time);
            socket.set_tcp_keepalive(&options).map_err(of_option(|| format!("keep-alive after {time:?}")))?;
        }
        // Before connecting, because the TCP window that is announced depends on them.
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(of_option(|| format!("a buffer of {bytes} bytes")))?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes).map_err(of_option(|| format!("a buffer of {bytes} bytes")))?;
        }
        if let Some(interface) = &self.interface {
            bind_to_interface(socket, interface).map_err(of_option(|| format!("interface {interface:?}")))?;
        }
        match self.source {
            None => Ok(()),
            Some(source) if source.is_ipv4() != target.is_ipv4() => {
                let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
                let why = match source.is_unspecified() {
                    true => format!("not an {family} address"),
                    false => format!("not reachable from {source}, which is an {family} address"),
                };
                Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why))
            }
            Some(source) => {
                socket.bind(&SocketAddr::new(source, 0).into()).map_err(of_option(|| format!("source address {source}")))
            }
        }
    }
}

/// Adds the option that the system refused to an error.
fn of_option<S: FnOnce() -> String>(option: S) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", option()))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
fn bind_to_interface(socket: &socket2::Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
fn bind_to_interface(_: &socket2::Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot bind a socket to an interface by name"))
}

fn is_on_its_way(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INPROGRESS | Errno::INTR))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Two threads may use one socket, each for its own direction.
impl Stream for &Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> Result<Progress<usize>, StreamError> {
        Ok(self.try_read(buffer)?)
    }

    #[inline]
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<Progress<usize>, StreamError> {
        Ok(self.try_write(pieces)?)
    }
}

/// Repeats an operation after signals.
#[inline]
fn attempt(needs: Interest, mut operation: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<Progress<usize>> {
    loop {
        match operation() {
            Ok(count) => return Ok(Progress::Done(count)),
            Err(Errno::AGAIN) => return Ok(Progress::Needs(needs)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
