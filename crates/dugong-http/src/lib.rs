//! An HTTP/1.1 client for many requests in flight on one connection.
//!
//! Many requests can be sent before any response is read, without deadlock; content is complete or there is an error; when a
//! connection is gone there is one error for it, which says what became of each request. Blocking, over TCP; TLS, proxies
//! and async come.
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
//! # What is left after an error
//!
//! | error | the connection | the requests |
//! | --- | --- | --- |
//! | [`Error::Local`] | as it was | as they were; the one refused was not sent |
//! | [`Error::TimedOut`] | as it was; repeat the call | as they were |
//! | [`Error::Remote`], [`Error::Unsupported`], [`Error::Closed`] | done for | [`Error::requests`]: answered, or how much was sent, and whether it is safe to send it again |

pub mod convert;
pub mod step;
pub mod transport;

mod blocking;
mod config;
mod error;
mod events;
mod pipeline;
mod request;
mod trace;
#[cfg(feature = "tracing")]
mod tracing;

pub use blocking::{Connection, ContentWriter, RequestHalf, Response, ResponseHalf};
pub use config::Config;
pub use error::{Closed, Error, Requests};
pub use events::Event;
pub use pipeline::Pipeline;
pub use request::Request;
pub use step::Continue;
pub use trace::without_secrets;
#[cfg(feature = "rustls")]
pub use transport::tls::Tls;
pub use transport::{InvalidUrl, Origin, Proxy, TimeLimit, WaitingFor};

pub use dugong_proto::{
    Announced, CloseReason, FieldLine, Fields, Incomplete, Limits, Malformed, Method, Misuse, RequestHead, ResponseHead, Sent,
    Status, Unanswered, Unsupported, Version, Within,
};
