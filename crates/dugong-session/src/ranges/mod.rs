//! Parts of large content: many small ranges at once, downloads that resume, and files that you read remotely.
//!
//! | you want | use |
//! | --- | --- |
//! | many small ranges of one target | [`Session::cat_ranges`](crate::Session::cat_ranges) |
//! | a large file on disk | [`Session::download`](crate::Session::download) |
//! | to read and seek in remote content | [`Session::open`](crate::Session::open) |
//! | the same in an event loop of your own | [`CatRanges`], [`Download`], [`Blocks`] |
//!
//! # One version
//!
//! Parts of two versions must not be put together. All three compare the strong `ETag` and the complete length of each response with the
//! first one, and end with [`RangeError::Changed`] if they differ. A weak `ETag` proves nothing about single bytes (RFC 9110 §8.8.1). Then
//! a download asks for everything in one response; the other two go on, and compare `Last-Modified`.
//!
//! Each `Content-Range` must name the bytes that the request asked for (RFC 9110 §14.4). `multipart/byteranges` is never asked for.
//!
//! # Many origins
//!
//! [`Sessions`](crate::Sessions) has the same methods for whole URLs, and follows redirects to any origin if you allow that. A
//! [`Session`](crate::Session) does not leave its origin: such a redirect ends with [`RangeError::Status`].
//!
//! # Machines
//!
//! [`CatRanges`], [`Download`] and [`Blocks`] know no sockets. You take requests out ([`Ask`]), send them as you like, and put the answers
//! in. So threads, tasks and Python drive the same code.

mod ask;
mod blocking;
mod blocks;
mod cat;
mod download;
mod error;
mod fetching;
mod field;
mod many;
mod pin;
mod remote_file;
mod spans;

pub use ask::Ask;
pub use blocks::{Blocks, FileOptions};
pub use cat::CatRanges;
pub use download::{Download, DownloadOptions, Take};
pub use error::{BadRange, RangeError, Target, WrongRange};
#[cfg(feature = "tokio")]
pub(crate) use fetching::PIECES;
pub use fetching::PendingDownload;
pub use field::{BadContentRange, ContentRange, Span, strong_etag};
pub use remote_file::RemoteFile;
#[cfg(feature = "tokio")]
pub(crate) use remote_file::seek_target;
