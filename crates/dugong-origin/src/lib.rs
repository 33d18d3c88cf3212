//! An HTTP/1.1 origin server for demos, tests and benchmarks.
//!
//! It shares no line with the client: a server that used the client's parser would agree with all of its mistakes. It is strict
//! with requests, and in its answers it does what the URL asks for, good manners or not (`README.md` lists the URLs).
//!
//! Three servers live here:
//!
//! - [`Origin`] answers by URL, on any number of connections, one thread each. It stops reading while its own output is not
//!   taken, as real servers do, so a client that only writes ends in a deadlock here too.
//! - [`Chaos`] answers right, and does one harm to each connection; it keeps all that it received.
//! - [`Scripted`] plays one [`Script`] per connection: wait for so many requests, send these bytes, pause, reset.
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
//! Inside, `acceptor` owns the listening socket and the threads; `connection` is the loop of one connection, `outgoing` its sending half; `request` and
//! `upload` read what comes in, `route` decides, `answer` writes what goes out.

mod acceptor;
mod answer;
mod buffer;
mod chaos;
mod config;
mod connection;
mod content;
mod digest;
mod options;
mod origin;
mod outgoing;
mod request;
mod route;
mod runner;
mod script;
mod small;
mod upload;

pub use chaos::Chaos;
pub use config::{Config, Counts, WhenPipelined};
pub use content::{document, fill};
pub use origin::Origin;
pub use script::{Script, ScriptError, ScriptFault, Scripted};
