//! Values that belong to the process that made them.

use pyo3::prelude::*;

use super::failure::forked;

/// A value with connections behind it. A forked child neither uses nor drops it: that would end what the parent uses.
pub(crate) struct OfProcess<T> {
    /// Taken out when it is dropped.
    value: Option<T>,
    process: u32,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        OfProcess { value: Some(value), process: std::process::id() }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.process == std::process::id()
    }

    /// The value, unless the process has forked since.
    pub(crate) fn get(&self) -> PyResult<&T> {
        self.value.as_ref().filter(|_| self.is_usable()).ok_or_else(forked)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        let is_usable = self.is_usable();
        self.value.as_mut().filter(|_| is_usable).ok_or_else(forked)
    }

    /// Takes the value out.
    pub(crate) fn into_inner(mut self) -> PyResult<T> {
        if self.is_usable() { self.value.take().ok_or_else(forked) } else { Err(forked()) }
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !self.is_usable() {
            std::mem::forget(self.value.take());
        }
    }
}
