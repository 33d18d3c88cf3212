//! Tests the servers with plain sockets, without a client library.

mod answers;
mod client;
mod closing;
mod pipelining;
mod program;
mod scripts;
mod uploads;
