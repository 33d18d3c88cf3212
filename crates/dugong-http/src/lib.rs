//! An HTTP/1.1 client that keeps many requests in flight on one connection.
//!
//! - **No deadlock.** Send any number of requests before you read the first response; the client never waits to send without being
//!   ready to receive.
//! - **No short body.** Content is complete, or reading it is an error.
//! - **No guessing.** When a connection is lost, one error tells you which requests were answered, how much of each other one was
//!   sent, and whether you can safely send it again.
//! - **No surprises.** Nothing is retried, redirected, decompressed or stored behind your back, and no wait lasts longer than the
//!   time limits that you set. The crate [`dugong-session`](https://docs.rs/dugong-session) above this one sends lost requests again.
//!
//! ```
//! # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", origin.address());
//! use dugong_http::{Connection, Request};
//!
//! let mut connection = Connection::connect(&url)?; // "http://…" or "https://…"
//! connection.send_request(Request::get("/doc/1").header("Accept", "text/plain"))?;
//! let response = connection.read_response()?;
//! println!("{} {:?}", response.status(), response.header("Content-Length"));
//! let content = response.read_all()?; // complete, or an error
//!
//! // Many requests in flight, and their responses in order:
//! let requests = (1..=100).map(|i| Request::get(format!("/doc/{i}")));
//! for response in connection.pipeline(requests).collected(1 << 20) {
//!     println!("{} bytes", response?.content.len());
//! }
//! # assert!(!content.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! | you want | use |
//! | --- | --- |
//! | one request after another | [`Connection::send_request`] and [`Connection::read_response`] |
//! | many requests in flight, on one thread | [`Connection::pipeline`]; [`collected`](Pipeline::collected) makes it an iterator |
//! | one thread that sends and one that reads | [`Connection::split`] |
//! | to upload while you produce the content | [`Connection::content`]; [`send_from`](ContentWriter::send_from) takes a reader |
//! | settings: time limits, proxy, TLS, sizes | [`Config`] |
//! | tasks of tokio | the module `tokio` (feature `tokio`) |
//! | tasks of another runtime | the module `asynchronous` (feature `async`) |
//! | a service for tower's middleware | the module `tower` (feature `tower`) |
//! | the types of the crate `http` | [`convert`] |
//! | an event loop of your own | [`driver`] |
//!
//! The directory `examples` has a short program for each of these, and others for TLS with a private authority, a proxy, an upload
//! that may be refused, a download that resumes, JSON, and recovery from lost connections.
//!
//! # Connecting
//!
//! ```no_run
//! use std::time::Duration;
//! use dugong_http::{Config, Proxy, Tls};
//!
//! let config = Config::new()
//!     .timeout(Duration::from_secs(10)) // for each phase, and for each wait
//!     .deadline(Duration::from_secs(300)) // for everything
//!     .proxy(Proxy::new("http://user:password@proxy.example:3128")?)
//!     .tls(Tls::new().roots_pem(&std::fs::read("authority.pem")?)?);
//! let connection = config.connect("https://example.org")?;
//! println!("{:?}", connection.transport().tls());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - **Names.** The system's resolver looks names up. "No such name", "no addresses" and "name service unavailable" are three
//!   different [errors](transport::ResolveError). Where the system leaves that open, the client asks the system's name servers
//!   directly.
//! - **Addresses.** The client tries all addresses of a name, both families in turn, and starts the next attempt after 250 ms
//!   (RFC 8305). You can [give the addresses yourself](Config::addresses), or use a [Unix socket](Config::unix_socket).
//! - **TLS.** rustls speaks TLS 1.2 and 1.3, and trusts the platform's authorities or [yours](Tls::roots_pem). No byte of a request
//!   leaves before the handshake is done (RFC 9112 §9.7), and content that ends with the connection needs a close_notify (§9.8).
//! - **Proxies.** Plain requests go to the proxy in absolute-form; https goes through a tunnel (CONNECT). SOCKS5 needs the feature
//!   `socks`. Credentials for the proxy appear in no error, trace or event. The environment's proxies are used
//!   [only if you ask for it](Config::proxy_from_environment).
//! - **Debugging.** [`Config::observe`] reports events, [`Config::trace`] writes the bytes without credentials, and the feature
//!   `tracing` makes spans.
//!
//! # Errors
//!
//! | error | the connection | the requests |
//! | --- | --- | --- |
//! | [`Error::Local`], [`Error::ContentTooLong`] | continues | unchanged; a refused request was not sent |
//! | [`Error::TimedOut`], [`Error::Socket`] | continues; repeat the call | unchanged |
//! | [`Error::Remote`], [`Error::Unsupported`], [`Error::Closed`], [`Error::Tls`] | ended | [`Error::requests`] accounts for each |
//! | any error of connecting | does not exist | nothing was sent |
//!
//! [`Error::is_temporary`] says whether trying again later may help. [`Error::find_in`] finds the error in an `io::Error`. `{:#}`
//! prints an error with its causes in one line.
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `rustls` (default) | TLS |
//! | `socks` | SOCKS5 proxies |
//! | `tracing` | spans and events with the target `dugong` |
//! | `async` | the async client for any runtime |
//! | `tokio` | the async client for tokio |
//! | `tower` | a connection as a tower service |
//!
//! # Stability
//!
//! Releases follow semver, except for the module [`driver`] and the crates `dugong_net` and `dugong_proto` below it: they may change
//! with any minor release. Names of those crates that this crate shows elsewhere keep the promise.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "async")]
pub mod asynchronous;
pub mod convert;
pub mod driver;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tower")]
pub mod tower;
pub mod transport;

mod blocking;
mod buffers;
mod collected;
mod config;
mod connecting;
mod debug;
mod error;
mod events;
mod halves;
mod outcome;
mod pipeline;
mod request;
mod response;
mod step;
mod trace;
#[cfg(feature = "tracing")]
mod tracing;
mod upload;
mod wait_limits;

pub use blocking::{Collecting, Connection, ContentWriter, Pipeline, RequestHalf, Response, ResponseHalf};
pub use buffers::BufferPool;
pub use collected::Collected;
pub use config::Config;
pub use error::{Closed, Error, Requests};
pub use events::Event;
pub use outcome::Outcome;
pub use request::Request;
pub use step::Continue;
pub use trace::without_secrets;
#[cfg(feature = "rustls")]
pub use transport::tls::Tls;
pub use transport::{InvalidUrl, Origin, Proxy, TimeLimit, WaitingFor};
pub use upload::UploadError;

pub use dugong_proto::{
    Announced, Argument, CloseReason, Excerpt, FieldLine, FieldLines, Fields, Incomplete, Limits, Malformed, Method, Misuse,
    RequestHead, ResponseHead, Sent, Status, Unanswered, Unsupported, Version, Within,
};
