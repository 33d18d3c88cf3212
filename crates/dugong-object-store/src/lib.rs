//! Dugong's sessions as the HTTP client of the crate [`object_store`](https://docs.rs/object_store).
//!
//! ```
//! # #[cfg(feature = "object_store_0_14")] {
//! # fn build() -> object_store::Result<object_store::http::HttpStore> {
//! use object_store::http::HttpBuilder;
//!
//! let store = HttpBuilder::new()
//!     .with_url("https://example.org/data")
//!     .with_http_connector(dugong_object_store::Connector::default())
//!     .build()?;
//! # Ok(store)
//! # }
//! # build().unwrap(); }
//! ```
//!
//! `AmazonS3Builder` and the builders for Azure and Google have `with_http_connector`, too.
//!
//! # What changes
//!
//! - Requests to an origin are pipelined over a few connections, 4 unless you [set](Builder::connections) more, instead of one for each
//!   request in flight.
//! - An error tells `object_store` exactly what it may repeat: `Connect` and `Request` mean that not a byte of the request was sent;
//!   `Interrupted` that the connection was lost afterwards; `Timeout` that time was up; `Decode` that the answer made no sense.
//! - Statuses, `Retry-After` and backoff stay with `object_store`, so that repeats do not multiply: the session repeats only requests that
//!   were not sent, and idempotent ones that were lost with another request's connection.
//!
//! # Client options
//!
//! The connector honours `allow_http`, `timeout`, `connect_timeout`, `read_timeout`, `pool_idle_timeout`, `user_agent`, default headers,
//! and the proxy with its excludes and certificate. Without a proxy among them, it uses that of the environment.
//!
//! - `object_store` does not tell root certificates: give them to [`Builder::root_certificate`].
//! - HTTP/2 alone, and connections without checks of certificates, are errors.
//! - Options for HTTP/2, the resolver and the number of idle connections have no effect.
//!
//! # Replies that wait
//!
//! Large contents stream. A stream that you do not read holds its connection, so open no more streams at once than there are
//! [connections](Builder::connections), or read all of them. Ranges of up to 1 MiB are read at once, and hold none.

mod connector;
mod excludes;
mod kind;
mod options;
mod service;

#[cfg(feature = "object_store_0_13")]
mod adapter_0_13 {
    use object_store_0_13 as host;

    include!("adapter.rs");
}
#[cfg(feature = "object_store_0_14")]
mod adapter_0_14 {
    use object_store as host;

    include!("adapter.rs");
}

pub use connector::{Builder, Connector};
