//! Numbers that programs pass. Other numbers than the allowed ones are a `ValueError` that names both.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// A status code.
pub(crate) fn status(given: &Bound<'_, PyAny>) -> PyResult<u16> {
    whole(given, "status", 100, 999)
}

/// The number of a request in its run.
pub(crate) fn index(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    whole(given, "index", 0, i64::MAX)
}

/// A number of attempts.
pub(crate) fn attempts(given: &Bound<'_, PyAny>) -> PyResult<u32> {
    whole(given, "attempts", 0, u32::MAX.into())
}

/// The most bytes to read: `None` for all, as for a negative number.
pub(crate) fn most(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(given) = given else { return Ok(None) };
    match given.extract::<isize>() {
        Ok(most) => Ok(usize::try_from(most).ok()),
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => Ok(given.gt(0)?.then_some(usize::MAX)),
        Err(error) => Err(error),
    }
}

fn whole<T: TryFrom<i64>>(given: &Bound<'_, PyAny>, name: &str, least: i64, largest: i64) -> PyResult<T> {
    let number = match given.extract::<i64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => None,
        other => Some(other?),
    };
    let allowed = number.filter(|number| (least..=largest).contains(number)).and_then(|number| T::try_from(number).ok());
    allowed.ok_or_else(|| PyValueError::new_err(format!("{name} has to be from {least} to {largest}, not {given}")))
}
