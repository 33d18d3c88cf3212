//! An HTTP/1.1 client for many requests in flight on one connection.
//!
//! Many requests can be sent before any response is read, without deadlock; content is complete or there is an error; when a
//! connection is gone there is one error for it, which says what became of each request. Over TLS, through proxies, to any address
//! of a name, to Unix sockets, and over streams that the caller brings; blocking, or in tasks; and no wait is longer than the caller
//! allows.
//!
//! ```
//! # let origin = dugong_origin::Origin::start(dugong_origin::Config::default())?;
//! # let url = format!("http://{}", origin.address());
//! use dugong_http::{Connection, Request};
//!
//! let mut connection = Connection::connect(&url)?;
//! let requests = ["/doc/1", "/doc/2", "/doc/3"].map(Request::get);
//! let mut pipeline = connection.pipeline(requests);
//! while let Some(response) = pipeline.next()? {
//!     println!("{} {}", response.status(), response.number());
//!     let content = response.read_all()?; // whole, or an error
//!     assert!(!content.is_empty());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Connection`] is for one thread, its [`split`](Connection::split) for two, and [`Pipeline`] for many requests on one thread.
//! Below them is the [`step`] engine, for whoever waits in another way; and below that the protocol, crate `dugong_proto`.
//!
//! # Connecting
//!
//! [`Connection::connect`] takes an `http` or `https` URL; [`Config`] says how, and what may take how long.
//!
//! ```no_run
//! use std::time::Duration;
//! use dugong_http::{Config, Proxy, Tls};
//!
//! let config = Config::new()
//!     .timeout(Duration::from_secs(10)) // for each phase: name, TCP, handshake, sending, first byte, next bytes
//!     .deadline(Duration::from_secs(300)) // for everything
//!     .proxy(Proxy::new("http://user:password@proxy.example:3128")?)
//!     .tls(Tls::new().roots_pem(&std::fs::read("authority.pem")?)?);
//! let connection = config.connect("https://example.org")?;
//! println!("{:?}", connection.transport().tls());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - **Names**: the system's resolver is asked. A name that does not exist, one without addresses, and a name service that cannot be
//!   reached are three different [errors](transport::ResolveError): where the system is not clear about it, the name servers that
//!   it is configured for are asked directly, and nobody else.
//! - **Addresses**: all of them, the families in turn, the next one beside the last after 250 ms (RFC 8305); or
//!   [those given](Config::addresses), or a [Unix socket](Config::unix_socket).
//! - **TLS**: versions 1.2 and 1.3 by rustls, with the certificates that the platform trusts, or [others](Tls::roots_pem). Nothing
//!   of a request is sent before the handshake is finished (RFC 9112 §9.7); content that ends with the connection needs a
//!   close_notify to be complete (§9.8).
//! - **Proxies**: plain requests in absolute-form, and tunnels by CONNECT; SOCKS5 with the feature `socks`. Credentials are for the
//!   proxy alone, and appear in no error, trace or event. The environment's proxies are used
//!   [only if asked for](Config::proxy_from_environment).
//! - **Seeing**: [`Config::observe`] for what happens, [`Config::trace`] for the bytes, and the feature `tracing`.
//!
//! # Errors, and what is left after them
//!
//! | error | the connection | the requests |
//! | --- | --- | --- |
//! | [`Error::Local`] | as it was | as they were; the one refused was not sent |
//! | [`Error::TimedOut`], [`Error::Socket`] | as it was; repeat the call | as they were |
//! | [`Error::Remote`], [`Error::Unsupported`], [`Error::Closed`], [`Error::Tls`] | done for | [`Error::requests`]: answered, or how much was sent, and whether it is safe to send it again |
//! | [`Error::Url`], [`Error::Proxy`], [`Error::Resolve`], [`Error::Connect`], [`Error::Tunnel`], [`Error::Tls`] or [`Error::TimedOut`] of connecting | there is none | nothing of any was sent |
//!
//! [`Error::is_temporary`] says whether it may go well next time; `{:#}` prints an error with its causes in one line.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `rustls` (on unless switched off) | TLS |
//! | `socks` | SOCKS5 proxies |
//! | `tracing` | spans and events with the target `dugong` |
//! | `async` | the client for tasks of any runtime: the module `asynchronous` |
//! | `tokio` | the same for tokio: the module `tokio` |
//! | `tower` | a connection as a service of tower: the module `tower` |

#[cfg(feature = "async")]
pub mod asynchronous;
pub mod convert;
pub mod step;
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
mod error;
mod events;
mod halves;
mod outcome;
mod pipeline;
mod request;
mod response;
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
