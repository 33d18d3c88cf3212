//! The client side of HTTP/1.1 ([RFC 9110], [RFC 9112]) without I/O: bytes in, events out; requests in, bytes out.
//!
//! You get: request heads, content with a length or in chunks, trailers, `Expect: 100-continue` and pipelining; response heads,
//! framing, the chunked coding, interim responses, HTTP/1.0, persistence and limits. You bring: sockets, TLS, names, time,
//! content codings, cookies, redirects and caches. HTTP/0.9 and HTTP/2 are refused.
//!
//! # How you drive it
//!
//! One rule: drain the events before you pass the next input. Here is a whole exchange, with a string in place of a server:
//!
//! ```
//! use dugong_proto::{Connection, Event, Method, RequestHead};
//!
//! let mut connection = Connection::new("example.org")?;
//! connection.send_request(&RequestHead::new(Method::GET, "/a")?)?;
//! connection.send_request(&RequestHead::new(Method::HEAD, "/b")?)?; // before any response was read
//! assert_eq!(connection.to_send().len(), b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n".len() * 2 + 1);
//! connection.sent(connection.to_send().len());
//!
//! let mut arriving = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n".chunks(7);
//! let mut seen = Vec::new();
//! loop {
//!     while let Some(event) = connection.next_event()? {
//!         match event {
//!             Event::Response(head) => seen.push(head.status().to_string()),
//!             Event::Content(bytes) => seen.push(String::from_utf8_lossy(bytes).into()),
//!             Event::End(_trailers) => seen.push("end".into()),
//!             Event::Interim(_) | Event::Raw(_) | _ => {}
//!         }
//!     }
//!     if connection.wants().is_nothing() {
//!         break;
//!     }
//!     match arriving.next() {
//!         Some(bytes) => assert_eq!(connection.receive(bytes), bytes.len()),
//!         None => connection.receive_eof(),
//!     }
//! }
//! assert_eq!(seen.concat(), "200helloend204end");
//! # Ok::<(), dugong_proto::Error>(())
//! ```
//!
//! # Parts
//!
//! A [`Connection`] consists of a [`SendHalf`], a [`ReceiveHalf`], and the queue of [`Outstanding`] requests between them,
//! which is all that the halves share. If you send and receive in different places (two threads, two tasks), take the parts.
//! You can read while writing is blocked, and the other way round.
//!
//! # Errors
//!
//! An [`Error`] tells you whose fault it was, which rule was broken at which byte of which line, and whether the connection
//! still works. If the framing of a response cannot be trusted, you still get its head; the error comes in place of its
//! content. For each request without a complete response, [`Outstanding`] knows how much of it was sent, and whether you can
//! safely send it again.
//!
//! # States
//!
#![doc = include_str!("states.md")]
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod buffer;
mod chunked;
mod connection;
mod error;
mod excerpt;
mod field_section;
mod fields;
mod framing;
mod grammar;
mod head;
#[cfg(feature = "http")]
mod http;
mod limits;
mod method;
mod outstanding;
mod peer;
mod receive;
mod request;
mod response;
mod send;
mod states;
mod status;
mod unasked;

pub use connection::{Connection, Event, Wants};
pub use error::{CloseReason, Error, Incomplete, Malformed, Misuse, Unsupported, Within};
pub use excerpt::{Argument, Excerpt};
pub use fields::{FieldLine, FieldLines, Fields};
pub use grammar::decimal;
pub use limits::Limits;
pub use method::Method;
pub use outstanding::{Outstanding, Sent, Unanswered};
pub use receive::{Content, HeadKind, ReceiveHalf};
pub use request::{Announced, RequestHead};
pub use response::{ResponseHead, Version};
pub use send::{MAX_CHUNK, Offer, SendHalf};
pub use status::Status;
