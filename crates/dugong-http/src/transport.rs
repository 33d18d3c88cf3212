//! Streams, and connecting them.

#[cfg(feature = "test-util")]
pub use dugong_net::scripted;
#[cfg(feature = "rustls")]
pub use dugong_net::tls;
pub use dugong_net::{
    Address, ConnectError, Connecting, Existence, Inquiry, InvalidProxy, InvalidUrl, NotAName, Origin, PollSet, PollableStream,
    Proxy, ProxyFault, ProxyKind, ResolveError, Resolving, ServerFailure, Socket, Stream, StreamError, TimeLimit, WaitingFor,
    wait, wait_any,
};

pub use crate::connecting::connect::{Connect, Established};
pub use crate::connecting::refusal::Refusal;
#[cfg(feature = "socks")]
pub use crate::connecting::socks::{Socks, SocksError, SocksReply};
#[cfg(feature = "rustls")]
pub use crate::connecting::transport::TlsInfo;
pub use crate::connecting::transport::Transport;
pub use crate::connecting::tunnel::Tunnel;
pub use crate::error::TunnelError;
