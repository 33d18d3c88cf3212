//! Maps the engine's errors to Python's exceptions; no other file does (statements 2, 8.11 and 14.1).

use std::ffi::CString;
use std::io;

use dugong_http::{Closed, Error, Misuse, Requests};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyBrokenPipeError, PyConnectionResetError, PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustix::io::Errno;

/// The exceptions that the package defines in Python.
mod classes {
    use pyo3::import_exception;

    import_exception!(dugong, ConnectionClosed);
    import_exception!(dugong, ConnectionTimedOut);
    import_exception!(dugong, ExcessBodyData);
    import_exception!(dugong, InvalidResponse);
    import_exception!(dugong, StateError);
    import_exception!(dugong, UnsupportedResponse);
    import_exception!(dugong._exceptions, DefaultTimedOut);
    import_exception!(dugong._exceptions, ProxyRefusal);
}
pub(crate) use classes::{ConnectionClosed, ConnectionTimedOut, DefaultTimedOut, InvalidResponse, ProxyRefusal, StateError};

/// `StateError` with a text.
pub(crate) fn state_error<T>(text: &'static str) -> PyResult<T> {
    Err(StateError::new_err(text))
}

/// `ConnectionClosed` because of `disconnect`, without a list of requests.
pub(crate) fn disconnected() -> PyErr {
    ConnectionClosed::new_err("the connection was closed by disconnect()")
}

/// `ConnectionClosed` with the requests that got no complete answer.
pub(crate) fn connection_closed(py: Python<'_>, text: &str, outcomes: Bound<'_, PyTuple>) -> PyErr {
    let make = || {
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "outcomes"), outcomes)?;
        py.get_type::<ConnectionClosed>().call((text,), Some(&keywords))
    };
    match make() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// An error of the system, as Python's `socket` raises it.
pub(crate) fn system_error(error: io::Error) -> PyErr {
    system_error_at(error, None)
}

/// The same, with the address that could not be connected to.
pub(crate) fn system_error_at(error: io::Error, address: Option<&str>) -> PyErr {
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            let text = address.map_or_else(|| text.to_owned(), |address| format!("{text} ({address})"));
            PyOSError::new_err((number, text))
        }
        _ => match error.into_inner().map(|inner| inner.downcast::<PyErr>()) {
            Some(Ok(error)) => *error,
            Some(Err(other)) => PyOSError::new_err(other.to_string()),
            None => PyOSError::new_err("the connection failed"),
        },
    }
}

/// Warns where no exception can be raised, such as in a destructor. Does nothing at the end of the interpreter, when all objects
/// are destroyed.
pub(crate) fn warn<T: PyTypeInfo>(py: Python<'_>, text: &str) {
    let is_ending = || py.import(intern!(py, "sys"))?.call_method0(intern!(py, "is_finalizing"))?.is_truthy();
    if is_ending().unwrap_or(true) {
        return;
    }
    let warned = CString::new(text).map_err(PyErr::from).and_then(|text| PyErr::warn(py, &py.get_type::<T>(), &text, 1));
    if let Err(error) = warned {
        error.write_unraisable(py, None);
    }
}

/// Whether this error means that the server has gone (statement 14.1), or does not say more.
pub(crate) fn is_peer_gone(py: Python<'_>, error: &io::Error, sending: bool) -> bool {
    if let Some(number) = error.raw_os_error() {
        let errno = Errno::from_raw_os_error(number);
        return errno == Errno::CONNRESET || errno == Errno::PIPE || (errno == Errno::INVAL && sending);
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<PyErr>()) {
        Some(error) => means_peer_gone(py, error, sending),
        None => true,
    }
}

/// The same for an exception of a socket object.
pub(crate) fn means_peer_gone(py: Python<'_>, error: &PyErr, sending: bool) -> bool {
    if error.is_instance_of::<PyConnectionResetError>(py) || error.is_instance_of::<PyBrokenPipeError>(py) {
        return true;
    }
    let is_tls = |error: &PyErr| -> PyResult<bool> {
        let ssl = py.import(intern!(py, "ssl"))?;
        for name in ["SSLEOFError", "SSLZeroReturnError"] {
            if error.is_instance(py, &ssl.getattr(name)?) {
                return Ok(true);
            }
        }
        if error.is_instance(py, &ssl.getattr("SSLError")?) {
            let reason = error.value(py).getattr("reason")?;
            return Ok(reason.extract::<&str>().is_ok_and(|reason| reason == "UNEXPECTED_EOF_WHILE_READING"));
        }
        let errno = error.value(py).getattr("errno")?;
        Ok(sending && errno.extract::<i32>().is_ok_and(|number| Errno::from_raw_os_error(number) == Errno::INVAL))
    };
    error.is_instance_of::<PyOSError>(py) && is_tls(error).unwrap_or(false)
}

/// A mistake of the caller, as an exception.
pub(crate) fn misuse(misuse: Misuse) -> PyErr {
    let text = misuse.to_string();
    match misuse {
        Misuse::ExcessContent => classes::ExcessBodyData::new_err(text),
        Misuse::ContentOwed
        | Misuse::ContentShort
        | Misuse::NoContentDue
        | Misuse::AwaitContinue
        | Misuse::ContentRefused
        | Misuse::ContentInterrupted
        | Misuse::ReadFirst
        | Misuse::ContentUnread
        | Misuse::NothingOutstanding => StateError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Whether the server sent something that cannot be read. `read_raw` returns the bytes.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::Remote { .. } | Error::Unsupported { .. })
}

/// An error of a connection, as an exception. `outcomes` makes the list for `ConnectionClosed`.
pub(crate) fn exception<'py>(
    py: Python<'py>,
    error: Error,
    outcomes: impl FnOnce(&Requests) -> PyResult<Bound<'py, PyTuple>>,
) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Local(what) => misuse(what),
        Error::Remote { .. } => InvalidResponse::new_err(text),
        Error::Unsupported { .. } => classes::UnsupportedResponse::new_err(text),
        Error::TimedOut { .. } => ConnectionTimedOut::new_err(text),
        Error::Closed { cause: Closed::Sending(error), .. } if !is_peer_gone(py, &error, true) => system_error(error),
        Error::Closed { cause: Closed::Incomplete(_, Some(error)), .. } if !is_peer_gone(py, &error, false) => {
            system_error(error)
        }
        Error::Closed { requests, .. } => match outcomes(&requests) {
            Ok(list) => connection_closed(py, &text, list),
            Err(error) => error,
        },
        Error::Socket(error) => system_error(error),
        other => PyOSError::new_err(other.to_string()),
    }
}
