//! The way to the server: origins, proxies, what a connection runs over, and the errors of connecting.

#[cfg(feature = "rustls")]
pub mod tls {
    //! TLS settings and errors.

    pub use dugong_net::tls::{Alert, Cause, NoCloseNotify, Tls, TlsError, TlsFailure, TlsSetupError};
}
pub use dugong_net::{
    Address, BaseStream, CallerStream, ConnectError, Connector, Destination, InvalidProxy, InvalidUrl, Lookup, NotAName, Origin,
    PendingStream, PollSet, PollableStream, Proxy, ProxyFault, ProxyKind, Resolve, ResolveError, ServerFailure, Socket,
    SystemResolver, TimeLimit, WaitingFor,
};

pub use crate::connecting::refusal::Refusal;
#[cfg(feature = "socks")]
pub use crate::connecting::socks::{SocksError, SocksReply};
#[cfg(feature = "rustls")]
pub use crate::connecting::transport::TlsInfo;
pub use crate::connecting::transport::Transport;
pub use crate::error::TunnelError;
