//! Makes connections: name, TCP, tunnel, TLS. Tunnels need the engine, so this stands above it.

pub(crate) mod connect;
pub(crate) mod refusal;
#[cfg(feature = "socks")]
pub(crate) mod socks;
pub(crate) mod transport;
pub(crate) mod tunnel;
#[cfg(not(feature = "rustls"))]
mod without_tls;
