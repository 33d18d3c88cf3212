//! Shares the helpers of the TLS tests.

#![allow(dead_code, reason = "each test program uses its part of this")]

#[path = "../tls/client.rs"]
pub(crate) mod client;
#[path = "../tls/pki.rs"]
pub(crate) mod pki;
#[path = "../tls/servers.rs"]
pub(crate) mod servers;
