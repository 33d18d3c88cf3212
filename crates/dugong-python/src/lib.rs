//! The extension `dugong._dugong`: Python's manners for the engine of `dugong-http`.

use pyo3::prelude::*;

/// The Rust part of the package; its public names are those of `dugong`.
#[pymodule]
mod _dugong {}
