//! TLS with real servers: `openssl s_server`, nginx and stunnel as Debian ships them, and rustls where a server has to do something
//! on demand. All certificates are made here.

#![cfg(feature = "rustls")]

mod client;
mod pki;
mod servers;

mod certificates;
mod ending;
mod environment;
mod records;
mod refusals;
mod setup;
mod whole;
