//! The client for tasks: step, then have the task woken.
//!
//! Everything here does what the blocking client does, by the same names, since it runs the same [steps](crate::step). It is the
//! same for all runtimes, which differ in how a task waits for a descriptor and for time: a [`Runtime`] says that. With the
//! feature `tokio` there is one, and names for everything here with it, in [`dugong_http::tokio`](crate::tokio); another is
//! a matter of one small file, such as `examples/smol.rs`.
//!
//! There is no thread, except for one that looks a name up and ends with that; no task is made, and nothing happens but in the
//! calls of the user.

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
pub use content::{ContentWriter, UploadError};
pub use pipeline::{Collected, Collecting, Pipeline};
pub use response::Response;
pub use runtime::{Attempt, Direction, PollStream, Runtime};
pub use split::{RequestHalf, ResponseHalf};
pub use transport::Transport;
