//! Redirects to other origins, for `Sessions`.

use dugong_http::{Fields, Method, Origin, Status};
use dugong_session::driver::{Asked, follow};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors::misuse;
use crate::headers::{Lines, for_each_pair, latin1};

/// Parts a URL into its origin and the target of a request.
#[pyfunction]
pub(crate) fn split_url(url: &str) -> PyResult<(String, String)> {
    let (origin, target) = Origin::of_url(url).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((origin.to_string(), target.to_string()))
}

/// What follows a redirect: method, origin, target, field lines, and whether the content is sent again.
type Followed<'py> = (String, String, String, Bound<'py, PyList>, bool);

/// Finds the request that follows a reply; None if it is not to be followed.
#[pyfunction]
pub(crate) fn follow_redirect<'py>(
    py: Python<'py>,
    method: &str,
    url: &str,
    lines: &Bound<'py, PyAny>,
    is_repeatable: bool,
    status: u16,
    reply: &Bound<'py, PyAny>,
) -> PyResult<Option<Followed<'py>>> {
    let method = Method::new(method).map_err(misuse)?;
    let (origin, target) = Origin::of_url(url).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let Some(status) = Status::new(status) else { return Ok(None) };
    let fields = fields(lines)?;
    let asked = Asked { method: &method, target: &target, fields: &fields, is_repeatable };
    match follow(asked, &origin, status, &self::fields(reply)?) {
        Ok(next) => {
            let lines = Lines::new(&next.fields, false).pairs(py)?;
            Ok(Some((next.method.as_str().to_owned(), next.origin.to_string(), next.target, lines, next.keeps_content)))
        }
        Err(_) => Ok(None),
    }
}

fn fields(lines: &Bound<'_, PyAny>) -> PyResult<Fields> {
    let mut fields = Fields::new();
    for_each_pair(lines, |name, value| fields.append(latin1(name)?, latin1(value)?).map_err(misuse))?;
    Ok(fields)
}
