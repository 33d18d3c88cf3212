//! The machines of `dugong_session::ranges`, which know no sockets: see `_ranges.py`, which drives them.

use std::path::PathBuf;

use bytes::Bytes;
use dugong_http::Status;
use dugong_session::Digest;
use dugong_session::ranges::{self, Ask, FileOptions, RangeError, Take};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use super::failure;
use super::reply::Reply;
use crate::headers::Lines;

mod classes {
    pyo3::import_exception!(dugong, RangeError);
}

/// The number of a request, and its field lines.
type Asked<'py> = (usize, Bound<'py, PyList>);

fn asked<'py>(py: Python<'py>, ask: Option<Ask>) -> PyResult<Option<Asked<'py>>> {
    ask.map(|ask| Ok((ask.index, Lines::new(&ask.fields(), false).pairs(py)?))).transpose()
}

fn exception(py: Python<'_>, error: RangeError) -> PyErr {
    let text = error.to_string();
    match error {
        RangeError::BadRange { .. } | RangeError::BadPath { .. } => PyValueError::new_err(text),
        RangeError::Failed { failed, .. } => failure::exception(py, &failed, &py.None()),
        RangeError::Io { cause, path, .. } => match cause.raw_os_error() {
            Some(number) => {
                let reason = cause.to_string();
                let reason = reason.strip_suffix(&format!(" (os error {number})")).unwrap_or(&reason);
                PyOSError::new_err((number, format!("{text}: {reason}"), path))
            }
            None => PyOSError::new_err(format!("{text}: {cause}")),
        },
        _ => classes::RangeError::new_err(text),
    }
}

fn status(reply: &Reply) -> Status {
    Status::new(reply.status_code()).expect("a reply that was received has a valid status")
}

/// Many small ranges of one target.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct CatPlan(Mutex<Option<ranges::CatRanges>>);

impl CatPlan {
    fn with<T>(&self, work: impl FnOnce(&mut ranges::CatRanges) -> T) -> PyResult<T> {
        self.0.lock().as_mut().map(work).ok_or_else(|| PyValueError::new_err("the ranges were taken"))
    }
}

#[pymethods]
impl CatPlan {
    #[new]
    #[pyo3(signature = (target, ranges, merge_gap, max_content, /))]
    fn new(py: Python<'_>, target: &str, ranges: Vec<(u64, u64)>, merge_gap: u64, max_content: u64) -> PyResult<Self> {
        let plan = ranges::CatRanges::new(target, &ranges, merge_gap, max_content);
        Ok(CatPlan(Mutex::new(Some(plan.map_err(|error| exception(py, error))?))))
    }

    /// The next request to send; None if no more are needed now.
    fn next_request<'py>(&self, py: Python<'py>) -> PyResult<Option<Asked<'py>>> {
        asked(py, self.with(ranges::CatRanges::next_request)?)
    }

    /// Takes in an answer.
    #[pyo3(signature = (index, reply, /))]
    fn take(&self, py: Python<'_>, index: usize, reply: &Bound<'_, Reply>) -> PyResult<()> {
        let reply = reply.get();
        let content = Bytes::from_owner(reply.whole(py)?);
        self.with(|plan| plan.take(index, status(reply), reply.fields(), content))?.map_err(|error| exception(py, error))
    }

    /// Whether all bytes are there.
    fn is_done(&self) -> PyResult<bool> {
        self.with(|plan| plan.is_done())
    }

    /// The bytes of each range, once all are there.
    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let plan = self.0.lock().take().ok_or_else(|| PyValueError::new_err("the ranges were taken"))?;
        PyList::new(py, plan.finish().iter().map(|part| PyBytes::new(py, part)))
    }
}

/// The blocks of a remote file.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct BlockPlan(Mutex<ranges::Blocks>);

#[pymethods]
impl BlockPlan {
    #[new]
    #[pyo3(signature = (target, block_size, blocks, read_ahead, /))]
    fn new(target: &str, block_size: u64, blocks: usize, read_ahead: u64) -> Self {
        let mut options = FileOptions::default();
        (options.block_size, options.blocks, options.read_ahead) = (block_size, blocks, read_ahead);
        BlockPlan(Mutex::new(ranges::Blocks::new(target, options)))
    }

    /// The next request to send; None if no more are needed now.
    fn next_request<'py>(&self, py: Python<'py>) -> PyResult<Option<Asked<'py>>> {
        let ask = self.0.lock().next_request();
        asked(py, ask)
    }

    /// Takes in an answer.
    #[pyo3(signature = (index, reply, /))]
    fn take(&self, py: Python<'_>, index: usize, reply: &Bound<'_, Reply>) -> PyResult<()> {
        let reply = reply.get();
        let content = Bytes::from_owner(reply.whole(py)?);
        let taken = self.0.lock().take(index, status(reply), reply.fields(), &content);
        taken.map_err(|error| exception(py, error))
    }

    /// Whether the bytes of a lost request are still wanted.
    #[pyo3(signature = (index, /))]
    fn lost(&self, index: usize) -> bool {
        self.0.lock().lost(index)
    }

    /// The number of bytes of the content; None before the first answer.
    fn size(&self) -> Option<u64> {
        self.0.lock().size()
    }

    /// Plans the blocks of a read.
    #[pyo3(signature = (position, length, /))]
    fn want(&self, position: u64, length: usize) {
        self.0.lock().want(position, length);
    }

    /// Whether the byte at a position is in memory.
    #[pyo3(signature = (position, /))]
    fn is_ready(&self, position: u64) -> bool {
        self.0.lock().is_ready(position)
    }

    /// The bytes at a position that are in memory, at most so many.
    #[pyo3(signature = (position, length, /))]
    fn read<'py>(&self, py: Python<'py>, position: u64, length: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut plan = self.0.lock();
        let left = plan.size().map_or(0, |size| size.saturating_sub(position));
        let mut buffer = vec![0; length.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let count = plan.read(position, &mut buffer);
        Ok(PyBytes::new(py, &buffer[..count]))
    }
}

/// A download to a file.
#[pyclass(frozen, module = "dugong._dugong")]
pub(crate) struct DownloadPlan(Mutex<Option<ranges::Download>>);

impl DownloadPlan {
    fn with<T>(&self, work: impl FnOnce(&mut ranges::Download) -> T) -> PyResult<T> {
        self.0.lock().as_mut().map(work).ok_or_else(|| PyValueError::new_err("the download is over"))
    }
}

#[pymethods]
impl DownloadPlan {
    #[new]
    #[pyo3(signature = (url, target, path, part_size, parts, sha256=None, /))]
    fn new(
        py: Python<'_>,
        url: &str,
        target: &str,
        path: PathBuf,
        part_size: u64,
        parts: usize,
        sha256: Option<&str>,
    ) -> PyResult<Self> {
        let mut options = ranges::DownloadOptions::default();
        (options.part_size, options.parts) = (part_size, parts);
        if let Some(digits) = sha256 {
            let digest = Digest::sha256_hex(digits).map_err(|error| PyValueError::new_err(format!("sha256: {error}")))?;
            options.digests.push(digest);
        }
        let plan = py.detach(|| ranges::Download::open(url, target, path, options));
        Ok(DownloadPlan(Mutex::new(Some(plan.map_err(|error| exception(py, error))?))))
    }

    /// The next request to send; None if no more are needed now.
    fn next_request<'py>(&self, py: Python<'py>) -> PyResult<Option<Asked<'py>>> {
        asked(py, self.with(ranges::Download::next_request)?)
    }

    /// Whether the content of the reply is wanted.
    #[pyo3(signature = (index, reply, /))]
    fn head(&self, py: Python<'_>, index: usize, reply: &Bound<'_, Reply>) -> PyResult<bool> {
        let reply = reply.get();
        let taken = self.with(|plan| plan.head(index, status(reply), reply.fields()))?;
        Ok(taken.map_err(|error| exception(py, error))? == Take::Content)
    }

    /// Writes a piece of an answer.
    #[pyo3(signature = (index, piece, /))]
    fn content(&self, py: Python<'_>, index: usize, piece: PyBackedBytes) -> PyResult<()> {
        let taken = py.detach(|| self.with(|plan| plan.content(index, &piece)))?;
        taken.map_err(|error| exception(py, error))
    }

    /// Ends an answer, of which all has come.
    #[pyo3(signature = (index, /))]
    fn end(&self, py: Python<'_>, index: usize) -> PyResult<()> {
        self.with(|plan| plan.end(index))?.map_err(|error| exception(py, error))
    }

    /// Whether the rest of a lost answer is asked for again.
    #[pyo3(signature = (index, /))]
    fn lost(&self, index: usize) -> PyResult<bool> {
        self.with(|plan| plan.lost(index))
    }

    /// How many bytes are there, and how many there will be.
    fn progress(&self) -> PyResult<(u64, Option<u64>)> {
        self.with(|plan| plan.progress())
    }

    /// Whether all bytes are there.
    fn is_done(&self) -> PyResult<bool> {
        self.with(|plan| plan.is_done())
    }

    /// Gives the file its name, and returns its length.
    fn finish(&self, py: Python<'_>) -> PyResult<u64> {
        let plan = self.0.lock().take().ok_or_else(|| PyValueError::new_err("the download is over"))?;
        py.detach(|| plan.finish()).map_err(|error| exception(py, error))
    }

    /// Closes the files; a later run continues.
    fn close(&self) {
        let before = self.0.lock().take();
        drop(before);
    }
}
