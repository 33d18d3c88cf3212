//! Streams: what carries the bytes of a connection.

use std::io::{self, IoSlice};

use crate::step::Progress;

mod address;
mod carrier;
mod connect;
mod connecting;
mod deadline;
mod host_name;
mod name_servers;
mod proxy;
mod question;
mod resolve;
pub mod scripted;
mod socket;
mod system_resolver;
#[cfg(feature = "rustls")]
pub mod tls;
#[cfg(not(feature = "rustls"))]
#[path = "without_tls.rs"]
mod tls;
mod waits;

pub use address::{InvalidUrl, Origin};
#[cfg(feature = "async")]
pub(crate) use carrier::Layers;
#[cfg(feature = "rustls")]
pub use carrier::TlsInfo;
pub use carrier::{Brings, Transport};
pub(crate) use carrier::{Brought, Carrier};
pub use connect::{Connect, Established};
pub use connecting::{ConnectError, Connecting};
pub(crate) use deadline::{Expiry, Timeouts, TransferTimeouts};
pub use deadline::{TimeLimit, WaitingFor};
pub(crate) use host_name::normal_if_valid;
pub use proxy::{InvalidProxy, Proxy, ProxyFault, ProxyKind, Refusal, Tunnel, TunnelError};
#[cfg(feature = "socks")]
pub use proxy::{Socks, SocksError, SocksReply};
pub use question::ServerFailure;
pub use resolve::{Existence, Inquiry, NotAName, ResolveError, Resolving};
pub use socket::{Address, Socket, wait, wait_any};
pub(crate) use socket::{SocketOptions, wait_uninterrupted};
pub use waits::Waits;

/// A two-way stream of bytes that never waits.
///
/// It is an argument of every [step](crate::step), so that it can be made for one call: with the `Context` of a task, or
/// with the token of an interpreter.
pub trait Stream {
    /// Reads into `buffer`, which is not empty. `Done(0)` is the end of the stream, announced by the peer; a stream that was
    /// cut off is an error. `Needs` says what has to happen before it is worth trying again, which need not be reading.
    ///
    /// # Errors
    /// Whatever the system reports; the stream is not used again for reading.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress<usize>>;

    /// Writes some of the bytes of `pieces`, in their order; at least one, if there are any.
    ///
    /// # Errors
    /// Whatever the system reports; the stream is not used again for writing.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Progress<usize>>;

    /// Hands on what the stream has taken and holds back; most streams hold nothing back.
    ///
    /// # Errors
    /// As for [`write`](Stream::write).
    fn flush(&mut self) -> io::Result<Progress<()>> {
        Ok(Progress::Done(()))
    }
}
