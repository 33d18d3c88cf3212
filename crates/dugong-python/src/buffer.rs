//! Memory of Python objects: the caller's buffers, and new objects that are filled before Python code can see them.
//!
//! This is the one place that turns the interpreter's pointers into slices.
#![allow(unsafe_code, reason = "the buffer protocol and the constructors of bytes objects give pointers")]

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

/// The memory of a caller's bytes-like object, which neither moves nor changes its size meanwhile.
pub(crate) struct Buffer {
    view: PyUntypedBuffer,
}

impl Buffer {
    /// Takes a buffer to read from. If it is not contiguous, this makes a copy.
    pub(crate) fn readable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let view = view(object)?;
        if view.is_c_contiguous() {
            return Ok(Buffer { view });
        }
        let copy = object.py().get_type::<PyBytes>().call1((object,))?;
        Ok(Buffer { view: PyUntypedBuffer::get(&copy)? })
    }

    /// Takes a buffer to write to.
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let view = view(object)?;
        if view.readonly() {
            return Err(PyTypeError::new_err("the buffer is read-only"));
        }
        if !view.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not contiguous"));
        }
        Ok(Buffer { view })
    }

    /// The size in bytes, not in items.
    pub(crate) fn len(&self) -> usize {
        self.view.len_bytes()
    }

    /// The bytes, readable while the GIL is held.
    pub(crate) fn bytes<'a>(&'a self, _py: Python<'a>) -> &'a [u8] {
        if self.len() == 0 {
            return &[];
        }
        // SAFETY: the view keeps the memory where it is; it is contiguous. Another thread could write to it only with the GIL,
        // which we hold; where a TLS object gives it up, it has a copy.
        unsafe { std::slice::from_raw_parts(self.view.buf_ptr().cast(), self.len()) }
    }

    /// The bytes, writable while the GIL is held.
    pub(crate) fn bytes_mut<'a>(&'a mut self, _py: Python<'a>) -> &'a mut [u8] {
        if self.len() == 0 {
            return &mut [];
        }
        // SAFETY: as for `bytes`; and `writable` has checked that it is writable.
        unsafe { std::slice::from_raw_parts_mut(self.view.buf_ptr().cast(), self.len()) }
    }
}

/// The view of an object. Some objects only describe their items when they are asked through a `memoryview`.
fn view(object: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    PyUntypedBuffer::get(object).or_else(|_| {
        let described = PyMemoryView::from(object)?;
        PyUntypedBuffer::get(&described)
    })
}

/// A new `bytearray` of `size` uninitialized bytes: zeroing them would take a tenth of the time of a download.
pub(crate) fn new_bytearray(py: Python<'_>, size: usize) -> PyResult<Bound<'_, PyByteArray>> {
    let size = ffi::Py_ssize_t::try_from(size)?;
    // SAFETY: a null pointer asks for memory without content; the result is a new reference or null with an exception set.
    unsafe {
        let object = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), size);
        Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked())
    }
}

/// The memory of a `bytearray` that no Python code has seen yet.
pub(crate) fn fresh_bytes<'a>(array: &'a mut Bound<'_, PyByteArray>) -> &'a mut [u8] {
    // SAFETY: we have the only reference to the object, so no other code reads, writes or resizes it. The contract of
    // `Stream::read` is that bytes are written before they are read, and the caller cuts off the rest.
    unsafe { array.as_bytes_mut() }
}

/// A `bytes` object that is being filled.
pub(crate) struct NewBytes {
    object: Py<PyBytes>,
    size: usize,
    filled: usize,
}

impl NewBytes {
    /// With room for `size` bytes.
    pub(crate) fn new(py: Python<'_>, size: usize) -> PyResult<Self> {
        let wanted = ffi::Py_ssize_t::try_from(size)?;
        // SAFETY: as for `new_bytearray`.
        let object = unsafe {
            let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), wanted);
            Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked()
        };
        Ok(NewBytes { object: object.unbind(), size, filled: 0 })
    }

    /// The part that is not filled yet.
    pub(crate) fn room(&mut self, _py: Python<'_>) -> &mut [u8] {
        if self.size == self.filled {
            return &mut [];
        }
        // SAFETY: we have the only reference to the object, and its memory has `size` bytes. They are written before they are
        // read, see `fresh_bytes`.
        unsafe {
            let start = ffi::PyBytes_AsString(self.object.as_ptr()).cast::<u8>();
            std::slice::from_raw_parts_mut(start.add(self.filled), self.size - self.filled)
        }
    }

    /// How many bytes were filled.
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Notes that the first `count` bytes of the room were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.filled += count;
        debug_assert!(self.filled <= self.size);
    }

    /// Makes room for at least `more` bytes, and at least doubles the size.
    pub(crate) fn grow(&mut self, py: Python<'_>, more: usize) -> PyResult<()> {
        if self.size - self.filled >= more {
            return Ok(());
        }
        let mut larger = NewBytes::new(py, (self.filled + more).max(self.size.saturating_mul(2)))?;
        larger.room(py)[..self.filled].copy_from_slice(self.so_far(py));
        larger.filled = self.filled;
        *self = larger;
        Ok(())
    }

    /// The object, or a copy of the filled part if some room is left.
    pub(crate) fn finish(self, py: Python<'_>) -> Py<PyBytes> {
        if self.filled == self.size { self.object } else { PyBytes::new(py, self.so_far(py)).unbind() }
    }

    fn so_far<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        &self.object.as_bytes(py)[..self.filled]
    }
}
