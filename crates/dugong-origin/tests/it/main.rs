//! Tests the servers with plain sockets, without a client library.

mod answers;
mod client;
mod closing;
mod documents;
mod habits;
mod pipelining;
mod program;
mod proxies;
mod scripts;
mod uploads;
