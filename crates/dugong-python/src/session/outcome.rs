//! `Outcome`: what became of one request of a run.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::number;
use super::reply::Reply;

/// What became of one request: it has a `reply` or an `error`, and the other of the two is None.
///
/// `index` is the number of the request in its run, and `request` is the object that you gave. `sent` is `'no'`, `'partly'` or
/// `'yes'`: the most in any attempt. `answered` is `'no'`, `'head'` or `'partly'` for the last attempt, and `'yes'` with a reply.
/// `safe_to_retry` tells if sending the request again can do no harm. `attempts` counts the connections on which a byte of it may
/// have left; it is 0 exactly if `sent` is `'no'`.
#[pyclass(frozen, weakref, module = "dugong")]
pub(crate) struct Outcome {
    /// The number of the request in its run, from 0.
    #[pyo3(get)]
    pub(crate) index: usize,
    /// The request, as you gave it.
    #[pyo3(get)]
    pub(crate) request: Py<PyAny>,
    /// The reply, or None.
    #[pyo3(get)]
    pub(crate) reply: Option<Py<Reply>>,
    /// The error, or None.
    #[pyo3(get)]
    pub(crate) error: Option<Py<PyAny>>,
    /// How much of the request was sent, the most in any attempt: `'no'`, `'partly'` or `'yes'`.
    #[pyo3(get)]
    pub(crate) sent: &'static str,
    /// How much of a response came in the last attempt: `'no'`, `'head'`, `'partly'` or `'yes'`.
    #[pyo3(get)]
    pub(crate) answered: &'static str,
    /// Whether sending the request again can do no harm.
    #[pyo3(get)]
    pub(crate) safe_to_retry: bool,
    /// The number of connections on which a byte of the request may have left.
    #[pyo3(get)]
    pub(crate) attempts: u32,
}

impl Outcome {
    /// The outcome of a request that was refused before a byte of it was sent.
    pub(crate) fn refused(py: Python<'_>, index: usize, request: Py<PyAny>, error: PyErr) -> Self {
        let error = Some(error.into_value(py).into_any());
        Outcome { index, request, reply: None, error, sent: "no", answered: "no", safe_to_retry: true, attempts: 0 }
    }
}

#[pymethods]
impl Outcome {
    /// Makes an outcome, for tests of programs.
    #[new]
    #[pyo3(signature = (index, request, *, reply=None, error=None, sent="no", answered="no", safe_to_retry=false, attempts=0))]
    #[allow(clippy::too_many_arguments, reason = "the keywords of a constructor")]
    fn new(
        #[pyo3(from_py_with = number::index)] index: usize,
        request: Py<PyAny>,
        reply: Option<Py<Reply>>,
        error: Option<Py<PyAny>>,
        sent: &str,
        answered: &str,
        safe_to_retry: bool,
        #[pyo3(from_py_with = number::attempts)] attempts: u32,
    ) -> PyResult<Self> {
        let (sent, answered) = (one_of(sent, "sent", &SENT)?, one_of(answered, "answered", &ANSWERED)?);
        Ok(Outcome { index, request, reply, error, sent, answered, safe_to_retry, attempts })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.request)?;
        visit.call(&self.reply)?;
        visit.call(&self.error)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let end = match (&self.reply, &self.error) {
            (Some(reply), _) => reply.bind(py).repr()?.to_string(),
            (None, Some(error)) => error.bind(py).repr()?.to_string(),
            (None, None) => "nothing".to_owned(),
        };
        let Outcome { index, sent, answered, attempts, .. } = self;
        Ok(format!("<Outcome {index}: {end}, sent={sent:?}, answered={answered:?}, attempts={attempts}>").replace('"', "'"))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let outcome = slf.get();
        let keywords = PyDict::new(py);
        keywords.set_item("reply", &outcome.reply)?;
        keywords.set_item("error", &outcome.error)?;
        keywords.set_item("sent", outcome.sent)?;
        keywords.set_item("answered", outcome.answered)?;
        keywords.set_item("safe_to_retry", outcome.safe_to_retry)?;
        keywords.set_item("attempts", outcome.attempts)?;
        let call = py.import(intern!(py, "dugong._reply"))?.getattr(intern!(py, "restore"))?;
        (call, (slf.get_type(), (outcome.index, &outcome.request), keywords)).into_pyobject(py)
    }
}

const SENT: [&str; 3] = ["no", "partly", "yes"];
const ANSWERED: [&str; 4] = ["no", "head", "partly", "yes"];

fn one_of(given: &str, name: &str, words: &[&'static str]) -> PyResult<&'static str> {
    let found = words.iter().find(|word| **word == given);
    found.copied().ok_or_else(|| PyValueError::new_err(format!("{name} has to be one of {words:?}, not {given:?}")))
}
