//! The extension `dugong._dugong`: the Python interface to the engine of `dugong-http`.
//!
//! Every method that waits is a [`Task`](task::Task): the engine's steps in the order that programs expect. Two drivers run them:
//! a regular method waits with the GIL released, and an [`Operation`](operation::Operation) yields what it needs.
//!
//! Comments cite the numbered statements of `docs/compatibility.md`. The tests `test_9_7_…` check statement 9.7.

use pyo3::prelude::*;

mod argument;
mod attempt;
mod body;
mod buffer;
mod connect;
mod connection;
mod errors;
mod flush;
mod guard;
mod head;
mod headers;
mod link;
mod log;
mod names;
mod need;
mod operation;
mod pipeline;
mod race;
mod request;
mod response;
mod send;
mod session;
mod state;
mod target;
mod task;
mod tls;
mod wait;
mod watch;
mod wire;
mod write;

/// The Rust part of the package; its public names are those of `dugong`.
#[pymodule]
mod _dugong {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    /// Refuses to be loaded in a subinterpreter.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        match super::is_main_interpreter() {
            true => Ok(()),
            false => Err(PyImportError::new_err(super::NO_SUBINTERPRETER)),
        }
    }

    #[pymodule_export]
    use super::head::HTTPResponse;
    #[pymodule_export]
    use super::names::{ask_name_servers, normal_host};
    #[pymodule_export]
    use super::operation::Operation;
    #[pymodule_export]
    use super::pipeline::{AsyncPipeline, Pipeline};
    #[pymodule_export]
    use super::session::{
        BlockPlan, CatPlan, DownloadPlan, Mailbox, Outcome, Reply, Run, SessionCore, Ticket, check_head, follow_redirect,
        split_url,
    };
    #[pymodule_export]
    use super::state::HTTPConnection;
}

/// The extension keeps classes, such as those of its exceptions. In a subinterpreter they would be those of another interpreter, so
/// `except` would not catch them. The package adds advice to this message.
const NO_SUBINTERPRETER: &str = "module dugong._dugong does not support loading in subinterpreters";

#[allow(unsafe_code, reason = "only unsafe functions tell which interpreter this is")]
fn is_main_interpreter() -> bool {
    // SAFETY: the thread that loads a module is attached to an interpreter, which is the current one.
    unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) == 0 }
}
