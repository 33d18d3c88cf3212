//! How event loops watch a connection from one wait to the next: see `_asyncio.py`.

use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::wire::Transport;

/// Keeps the descriptor of a connection open while an event loop watches it. Otherwise the number could be used again,
/// and the loop would take the new descriptor for the old one.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct Hold {
    _transport: Arc<Transport>,
}

impl Hold {
    pub(crate) fn new(transport: &Arc<Transport>) -> Self {
        Hold { _transport: transport.clone() }
    }
}

/// Asks the event loops to stop watching a connection that is idle or about to be closed. A loop that runs in another thread
/// stops at the next event, such as the end of the connection.
pub(crate) fn stop_watching(py: Python<'_>, number: RawFd) -> PyResult<()> {
    let driver = intern!(py, "dugong._asyncio");
    if is_loaded(py, driver)? {
        py.import(driver)?.call_method1(intern!(py, "release"), (number,))?;
    }
    Ok(())
}

/// Whether the program has imported a module.
pub(crate) fn is_loaded(py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let modules = MODULES.get_or_try_init(py, || py.import("sys")?.getattr("modules").map(Bound::unbind))?;
    match modules.bind(py).cast::<PyDict>() {
        Ok(modules) => Ok(modules.get_item(name)?.is_some_and(|module| !module.is_none())),
        Err(_) => modules.bind(py).call_method1(intern!(py, "get"), (name,))?.is_truthy(),
    }
}
