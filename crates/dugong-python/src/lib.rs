//! The extension `dugong._dugong`: Python's manners for the engine of `dugong-http`.
//!
//! Every method that waits is a [`Task`](task::Task): the engine's steps in the order that programs expect. Two drivers run them:
//! a regular method waits with the GIL released, and an [`Operation`](operation::Operation) yields what it needs.
//!
//! What programs expect was written down in numbered statements: the tests `test_9_7_…` assert statement 9.7.

use pyo3::prelude::*;

mod buffer;
mod connect;
mod connection;
mod errors;
mod headers;
mod link;
mod log;
mod names;
mod operation;
mod pipeline;
mod race;
mod receive;
mod send;
mod task;
mod wire;
mod write;

/// The Rust part of the package; its public names are those of `dugong`.
#[pymodule]
mod _dugong {
    #[pymodule_export]
    use super::connection::HTTPConnection;
    #[pymodule_export]
    use super::names::{ask_name_servers, normal_host};
    #[pymodule_export]
    use super::operation::Operation;
    #[pymodule_export]
    use super::pipeline::{AsyncPipeline, Pipeline};
}
