//! The client for tasks: step, then have the task woken.
//!
//! Everything here does what the blocking client does, by the same names, since it runs the same [steps](crate::step). It is the
//! same for all runtimes, which differ in how a task waits for a descriptor and for time: a [`Runtime`] says that. With the
//! feature `tokio` there is one, and names for everything here with it, in `dugong_http::tokio`; another is a matter of one
//! small file, such as `examples/smol/adapter.rs` for async-io.
//!
//! There is no thread, except for one that looks a name up and ends with that; no task is made, and nothing happens but in the
//! calls of the user. All futures are `Send`.
//!
//! # Cancellation
//!
//! A future can be dropped at any time, by a timeout, by `select!`, or with its task. After that the connection is good for the
//! next call; that is tested for each await point of each operation. What has become of the operation itself:
//!
//! | a dropped future of | leaves | and the same call |
//! | --- | --- | --- |
//! | [`Connection::connect`] and the like | nothing | begins anew |
//! | [`Connection::send_request`], [`RequestHalf::send_request`] | the request as a whole in the send buffer, or nothing of it: [`outstanding`](Connection::outstanding) says which. What is in the buffer is sent by later calls; content that was given with it, too | would send another one |
//! | [`Connection::flush`], [`RequestHalf::flush`] | what was not sent yet to later calls | goes on |
//! | [`Connection::wait_for_continue`] | the wait, whose time goes on | goes on |
//! | [`ContentWriter::send`] | nothing of what was given was sent | does the same |
//! | [`ContentWriter::send_all`], [`RequestHalf::send_content`] and what sends from a stream, body or reader | some of it may have been sent: [`content_left`](Connection::content_left) says how much is missing, if a length was announced; of content in chunks that is not known, but the chunks are whole | would send the beginning again |
//! | [`ContentWriter::finish`], [`RequestHalf::finish_content`] | the content ended, or not; never half of the last chunk | is `Local(NoContentDue)` if it had ended |
//! | [`Connection::read_response`], [`ResponseHalf::read_response`], [`Pipeline::next`] | the response to be read, and all requests in their order | goes on |
//! | [`Response::read_content`], [`Response::fill`], and as a stream, body or `AsyncRead` | all content to be read | goes on |
//! | [`Response::read_to`] | what was read in the vector | goes on behind it |
//! | [`Response::read_all`] | what was read is lost, the rest is to be read by [`current_response`](Connection::current_response) | gives the rest |
//! | [`Response::discard`] | the rest to be read, by [`current_response`](Connection::current_response) | goes on |
//! | the `next` of [`Collecting`] | what was read | goes on |
//! | [`Connection::close`] | the connection is closed; over a stream of the caller's the end may not have been announced | |
//!
//! The one way to lose a connection is to drop it, or to leave content unfinished that was announced: then there is nothing to be
//! done with it but to send the rest.
//!
//! # Time
//!
//! Limits are those of the [`Config`](crate::Config). A wait is over its limit when nothing has come or gone for so long, whatever
//! else the task does meanwhile; what is there in the last moment is taken. Without limits no timer is made.
//!
//! # Memory
//!
//! If more than four connections of the program have buffers, one that waits, or has nothing to do, holds none: they are lent to
//! the next connection of the thread that needs some, and each thread keeps four of each kind. [`Connection::release_buffers`] gives them back to the system. Over TLS the
//! session has buffers of its own.

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
