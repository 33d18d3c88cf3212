//! Checks the head of a request before a session gets it.

use dugong_http::{Fields, Method, Origin, RequestHead};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::errors::misuse;
use crate::headers::{for_each_pair, latin1, trim_blanks};

/// Refuses what no request may have, and returns the field lines as pairs of str.
#[pyfunction]
pub(crate) fn check_head<'py>(
    py: Python<'py>,
    method: &str,
    target: &str,
    lines: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let method = Method::new(method).map_err(misuse)?;
    if method.as_str() == "CONNECT" {
        return Err(PyValueError::new_err("CONNECT is only sent to a proxy, when connecting"));
    }
    RequestHead::new(method, target).map_err(|wrong| match Origin::of_url(target) {
        // The message about a malformed URL speaks of the URL.
        Err(error) if target.contains("://") => PyValueError::new_err(error.to_string()),
        _ => misuse(wrong),
    })?;
    let mut pairs = Vec::new();
    for_each_pair(lines, |name, value| {
        pairs.push(checked(name, value)?);
        Ok(())
    })?;
    PyTuple::new(py, pairs)
}

/// A field line whose value has no blanks around it.
fn checked<'py>(
    name: &Bound<'py, PyString>,
    value: &Bound<'py, PyString>,
) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let bytes = latin1(value)?;
    let trimmed = trim_blanks(&bytes);
    Fields::new().append(latin1(name)?, trimmed).map_err(misuse)?;
    let value = match trimmed.len() == bytes.len() {
        true => value.clone(),
        false => value.call_method1("strip", (" \t",))?.cast_into()?,
    };
    Ok((name.clone(), value))
}
