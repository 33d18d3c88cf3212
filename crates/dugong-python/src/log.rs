//! Messages to the logger `dugong`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Whether the logger is enabled. It cannot be if the program has not imported `logging`.
pub(crate) fn is_enabled(py: Python<'_>) -> PyResult<bool> {
    const DEBUG: u8 = 10;
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if !modules.contains(intern!(py, "logging"))? {
        return Ok(false);
    }
    logger(py)?.call_method1(intern!(py, "isEnabledFor"), (DEBUG,))?.is_truthy()
}

pub(crate) fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    logger(py)?.call_method1(intern!(py, "warning"), (text,)).map(drop)
}

pub(crate) fn connected(py: Python<'_>, host: &str, port: u16) -> PyResult<()> {
    debug(py, ("connected to %s, port %d", host, port))
}

pub(crate) fn sent(py: Python<'_>, method: &Py<PyString>, path: &Py<PyString>) -> PyResult<()> {
    debug(py, ("request %s %s", method, path))
}

pub(crate) fn received(py: Python<'_>, status: u16, method: &Py<PyString>, path: &Py<PyString>) -> PyResult<()> {
    debug(py, ("response %d to %s %s", status, method, path))
}

pub(crate) fn disconnected(py: Python<'_>) -> PyResult<()> {
    debug(py, ("disconnected",))
}

fn debug<'py>(py: Python<'py>, words: impl pyo3::call::PyCallArgs<'py>) -> PyResult<()> {
    logger(py)?.call_method1(intern!(py, "debug"), words).map(drop)
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "dugong"))?.getattr(intern!(py, "log"))
}
