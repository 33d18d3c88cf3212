//! Arguments that are taken as Python takes them.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// A flag: any object, by its truth.
pub(crate) struct Truth(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.is_truthy().map(Truth)
    }
}

/// A whole number of any size. One that does not fit becomes the smallest or largest that does.
pub(crate) struct Whole(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.extract() {
            Ok(number) => Ok(Whole(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Whole(if object.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(error) => Err(error),
        }
    }
}

impl Whole {
    /// The number as a size, which has to be at least `least`.
    pub(crate) fn at_least(self, least: usize, name: &str) -> PyResult<usize> {
        match usize::try_from(self.0) {
            Ok(size) if size >= least => Ok(size),
            _ => Err(PyValueError::new_err(format!("{name} has to be at least {least}, not {}", self.0))),
        }
    }
}
