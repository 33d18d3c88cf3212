//! The engine below the clients, for programs with an event loop of their own.
//!
//! **No promise of semver yet:** unlike the rest of this crate, this module may change with any minor release.
//!
//! The blocking and the async client, the Python package and the command line all run this engine. It does no I/O by itself: each
//! operation is a *step*, which returns [`Progress::Done`], or [`Progress::Needs`] with the I/O that it has to wait for. You wait in
//! your way, and make the same step again.
//!
//! - [`Engine`] is the state of one connection. Its [`Duplex`] has the steps; each takes the [`Stream`] as an argument.
//! - [`Window`] keeps many requests in flight.
//! - [`Connect`] connects: it resolves names, tries addresses, opens tunnels and makes the TLS handshake, in steps as well.
//! - [`Stream`], [`Socket`], [`PollSet`] and the rest come from the crate `dugong_net`, which knows no HTTP.

#[cfg(feature = "test-util")]
pub use dugong_net::scripted;
#[cfg(feature = "rustls")]
pub use dugong_net::tls::Session;
pub use dugong_net::{Connecting, Existence, Inquiry, PollSet, Resolving, Socket, Stream, StreamError, wait, wait_any};
pub use dugong_proto::decimal;

pub use crate::connecting::connect::{Connect, Established};
#[cfg(feature = "socks")]
pub use crate::connecting::socks::Socks;
pub use crate::connecting::tunnel::Tunnel;
pub use crate::step::*;
