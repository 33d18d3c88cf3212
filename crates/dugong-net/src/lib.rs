//! Streams for an HTTP client: sockets, host names, TLS, and the needs of each before it can go on.
//!
//! This crate speaks no HTTP. It has two rules. Only calls that say so wait: an operation is [done](Progress::Done), or
//! [says](Progress::Needs) which I/O it needs, and you decide how to wait for that. And no threads or tasks are spawned, except one
//! short-lived thread per name lookup that must not block.
//!
//! - [`Stream`] is a two-way stream of bytes; [`Socket`] and [`BaseStream`] are streams, and [`tls::Session`] speaks TLS over any of
//!   them.
//! - [`Progress`], [`Interest`] and [`Need`] are the outcome of a step; a [`PollSet`] collects descriptors for steps that wait for
//!   several at once.
//! - [`Origin`], [`Proxy`] and [`Address`] say where to connect; [`Resolving`] finds the addresses of a name, [`Connecting`]
//!   tries them.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod base_stream;
mod connector;
pub mod host_name {
    //! Host names and addresses as text.
    pub use crate::names::host_name::{in_authority, is_address, normal, normal_if_valid, without_zone};
}
mod limits;
mod names;
mod need;
mod origin;
mod poll_set;
mod proxy;
mod race;
#[cfg(feature = "test-util")]
pub mod scripted;
mod socket;
mod stream;
#[cfg(feature = "rustls")]
pub mod tls;

pub use base_stream::{BaseStream, CallerStream, PollableStream};
pub use connector::{Connector, Destination, PendingStream};
pub use limits::{Expiry, TimeLimit, Timeouts, TransferTimeouts};
pub use names::host_name::NotAName;
pub use names::question::ServerFailure;
pub use names::resolve::{Existence, Inquiry, ResolveError, Resolving};
pub use names::resolver::{Lookup, Resolve};
pub use names::system_resolver::SystemResolver;
pub use need::{Interest, Need, Progress, Step, WaitingFor};
pub use origin::{InvalidUrl, Origin};
pub use poll_set::{PollSet, wait, wait_any, wait_ready, wait_uninterrupted};
pub use proxy::{InvalidProxy, Proxy, ProxyFault, ProxyKind};
pub use race::{AttemptEvent, ConnectError, Connecting};
pub use socket::{Address, Socket, SocketOptions};
pub use stream::{Stream, StreamError};
