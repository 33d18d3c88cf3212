//! The servers, seen through plain sockets: no client library is between.

mod answers;
mod client;
mod closing;
mod pipelining;
mod program;
mod scripts;
mod uploads;
