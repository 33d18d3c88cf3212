//! The client for tasks: step, then have the runtime wake the task.
//!
//! Each type has the name and does the work of its blocking counterpart, since it runs the same [steps](crate::driver). Runtimes
//! differ in how a task waits for a descriptor and for time: a [`Runtime`] does that. The feature `tokio` has one, and names
//! for everything here with it, in `dugong_http::tokio`. You can add another with one small file, such as
//! `examples/smol/adapter.rs` for async-io.
//!
//! No threads or tasks are spawned, except one short-lived thread per DNS lookup. All work happens inside your calls. All
//! futures are `Send`.
//!
//! # Cancellation
//!
//! You can drop a future at any time: by a timeout, by `select!`, or with its task. After that the connection is good for the
//! next call; tests try each await point of each operation. The operation itself:
//!
//! | a dropped future of | leaves | the same call again |
//! | --- | --- | --- |
//! | [`Connection::connect`] and the like | nothing | begins anew |
//! | [`Connection::send_request`], [`RequestHalf::send_request`] | the whole request in the send buffer, or no byte of it: [`outstanding`](Connection::outstanding) says which. Later calls send buffered bytes, and the content given with the request | sends another request |
//! | [`Connection::flush`], [`RequestHalf::flush`] | unsent bytes to later calls | goes on |
//! | [`Connection::wait_for_continue`] | the wait, whose time goes on | goes on |
//! | [`ContentWriter::send`] | no byte of `content` sent | does the same |
//! | [`ContentWriter::send_all`], [`RequestHalf::send_content`], and sending from a stream, body or reader | some of it sent: [`content_left`](Connection::content_left) says how much is missing, if a length was announced; for chunked content that is unknown, but each chunk is whole | sends the beginning again |
//! | [`ContentWriter::finish`], [`RequestHalf::finish_content`] | the content ended or not, never half of the last chunk | is `Local(NoContentDue)` if it had ended |
//! | [`Connection::read_response`], [`ResponseHalf::read_response`], [`Pipeline::next`] | the response unread, and all requests in order | goes on |
//! | [`Response::read_content`], [`Response::fill`], and as a stream, body or `AsyncRead` | all content unread | goes on |
//! | [`Response::read_to`] | the bytes read so far in the vector | goes on behind them |
//! | [`Response::read_all`] | the bytes read so far lost; [`current_response`](Connection::current_response) reads the rest | returns the rest |
//! | [`Response::discard`] | the rest for [`current_response`](Connection::current_response) | goes on |
//! | the `next` of [`Collecting`] | the bytes read so far | goes on |
//! | [`Connection::close`] | the connection closed; a stream of yours may not have announced the end | |
//!
//! You lose a connection only by dropping it, or by leaving announced content unfinished: then the connection is good for
//! sending the rest, and for nothing else.
//!
//! # Time
//!
//! The limits are those of the [`Config`](crate::Config). A wait exceeds its limit when no byte has come or gone for so long,
//! whatever else the task does meanwhile. Bytes that arrive in the last moment count. Without limits no timer is made.
//!
//! # Memory
//!
//! Once more than four connections of a [pool](crate::BufferPool) have buffers, a connection that waits or is idle gives its
//! buffers to the pool, which keeps four of each kind. [`Connection::release_buffers`] frees them. A TLS session has buffers of
//! its own.

mod body;
mod connection;
mod content;
mod pipeline;
mod response;
mod runtime;
mod split;
mod transport;
mod waiting;

pub use body::Content;
pub use connection::Connection;
pub use content::ContentWriter;
pub use pipeline::{Collecting, Pipeline};
pub use response::Response;
pub use runtime::{Attempt, Direction, PollStream, Runtime};
pub use split::{RequestHalf, ResponseHalf};
pub use transport::Transport;

pub use crate::collected::Collected;
pub use crate::upload::UploadError;
