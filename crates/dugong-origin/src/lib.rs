//! An HTTP/1.1 origin server for demos, tests and benchmarks.
//!
//! It shares no code with the client: a server that used the client's parser would agree with all of its mistakes. It is strict
//! with requests. Its answers do what the URL asks for, even if that violates HTTP (`README.md` lists the URLs).
//!
//! The crate has three servers and a proxy:
//!
//! - [`Origin`] answers by URL, on any number of connections, with one thread for each. Like real servers, it stops reading while
//!   the client does not read, so a client that only writes ends in a deadlock.
//! - [`Chaos`] answers correctly, and does one harm to each connection. It keeps all bytes that it receives.
//! - [`Scripted`] plays one [`Script`] on each connection: wait for a number of requests, send these bytes, pause, reset.
//! - [`Peer`] is a server of another project, such as nginx, that a test starts.
//! - [`Proxy`] stands before any server, and delays, cuts, resets, stalls and garbles as a test has chosen.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! let mut client = TcpStream::connect(origin.address())?;
//! client.write_all(b"GET /doc/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = Vec::new();
//! client.read_to_end(&mut answer)?;
//! assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! assert!(answer.ends_with(&dugong_origin::document("7")));
//! assert_eq!(origin.counts().requests, 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! `acceptor` owns the listening socket and the threads. `connection` is the loop of one connection, and `outgoing` its sending
//! half. `request` and `upload` parse requests, `route` decides, `documents` and `condition`
//! find the content, and `answer` writes responses.

mod acceptor;
mod answer;
mod buffer;
mod chaos;
mod condition;
mod config;
mod connection;
mod content;
mod digest;
mod documents;
mod faults;
mod files;
mod options;
mod origin;
mod outgoing;
mod peer;
mod proxy;
mod relay;
mod request;
mod route;
mod runner;
mod script;
mod small;
mod state;
mod upload;

pub use chaos::Chaos;
pub use config::{Config, Counts, Slow, WhenPipelined};
pub use content::{document, fill};
pub use faults::{Fault, Faults};
pub use origin::Origin;
pub use peer::{Peer, Place};
pub use proxy::Proxy;
pub use script::{Script, ScriptError, ScriptFault, Scripted};
pub use state::Arrivals;
