//! Connections over TLS.

#[path = "../tls/client.rs"]
#[allow(dead_code, reason = "whole connections need a part of it")]
mod client;
#[path = "../tls/pki.rs"]
#[allow(dead_code, reason = "whole connections need a part of it")]
pub(crate) mod pki;
#[path = "../tls/servers.rs"]
#[allow(dead_code, reason = "whole connections need a part of it")]
pub(crate) mod servers;
#[path = "../tls/whole.rs"]
mod whole;
