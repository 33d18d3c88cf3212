//! Parts of large contents: many small ranges at once, downloads that resume, and files that you read remotely.
//!
//! [`CatRanges`] is a machine without I/O: you take requests out of it, and put the answers in. So threads, tasks
//! and Python drive the same code.

mod ask;
mod blocks;
mod cat;
mod download;
mod error;
mod field;
mod pin;
mod spans;

pub use ask::Ask;
pub use blocks::{Blocks, FileOptions};
pub use cat::CatRanges;
pub use download::{Download, DownloadOptions, Take};
pub use error::{BadRange, RangeError, Target, WrongRange};
pub use field::{BadContentRange, ContentRange, Span, strong_etag};
