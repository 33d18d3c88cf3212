//! Proxies.

mod tunnel;

pub use tunnel::{Tunnel, TunnelError};
