//! Makes the stream at the bottom of a connection in a way of your own.

use std::io;
use std::task::Poll;
use std::time::Instant;

use crate::base_stream::BaseStream;
use crate::origin::Origin;
use crate::poll_set::PollSet;

/// Makes the streams that connections stand on.
///
/// A connector takes the place of name lookup and TCP. What follows depends on the stream: a tunnel and a TLS handshake, or
/// nothing of either if the connector [has done that](PendingStream::is_secure).
///
/// A closure that has the stream at once is a connector, too:
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use dugong_net::{BaseStream, Connector, Destination, Socket};
///
/// let connector = |to: &Destination<'_>| {
///     assert_eq!((to.host, to.port), ("example.org", 80));
///     let (ours, _theirs) = UnixStream::pair()?;
///     Ok(BaseStream::from(Socket::new(ours)?))
/// };
/// # fn check(_: impl Connector) {}
/// # check(connector);
/// ```
pub trait Connector: Send + Sync {
    /// Begins to connect. Must not block, unless you only use it where blocking does no harm.
    ///
    /// # Errors
    /// There will be no stream.
    fn connect(&self, to: &Destination<'_>) -> io::Result<Box<dyn PendingStream>>;
}

/// Where a stream has to lead.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Destination<'a> {
    /// The host to connect to: the proxy's, or the origin's without a proxy.
    pub host: &'a str,
    /// The port to connect to.
    pub port: u16,
    /// The origin that the connection is for.
    pub origin: &'a Origin,
}

impl<'a> Destination<'a> {
    /// A destination.
    #[must_use]
    pub fn new(host: &'a str, port: u16, origin: &'a Origin) -> Self {
        Destination { host, port, origin }
    }
}

/// A stream that is being made.
pub trait PendingStream: Send {
    /// Goes on: the stream, or `Pending`.
    ///
    /// # Errors
    /// There will be no stream.
    fn step(&mut self, now: Instant) -> io::Result<Poll<BaseStream>>;

    /// Adds the descriptors and the time to wait for after `Pending`.
    fn waits<'a>(&'a self, set: &mut PollSet<'a>);

    /// Whether the stream, once made, leads to the origin itself and speaks TLS if the origin is `https`. Then no tunnel is
    /// opened over it, and no handshake is made. Connectors that use another TLS library say so.
    fn is_secure(&self) -> bool {
        false
    }
}

impl<F: Fn(&Destination<'_>) -> io::Result<BaseStream> + Send + Sync> Connector for F {
    fn connect(&self, to: &Destination<'_>) -> io::Result<Box<dyn PendingStream>> {
        Ok(Box::new(Made(Some(self(to)?))))
    }
}

/// A stream that the closure has made.
struct Made(Option<BaseStream>);

impl PendingStream for Made {
    fn step(&mut self, _: Instant) -> io::Result<Poll<BaseStream>> {
        Ok(Poll::Ready(self.0.take().expect("the stream was made before")))
    }

    fn waits<'a>(&'a self, _: &mut PollSet<'a>) {}
}
