//! Maps the failures of requests to exceptions.

use std::io;

use dugong_http::{Closed, Error, Misuse};
use dugong_net::ResolveError;
use dugong_session::{Answered, Cause, Failed, Loss, Sent};
use pyo3::exceptions::{PyConnectionResetError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use crate::errors;

mod classes {
    use pyo3::import_exception;

    import_exception!(dugong, ConnectionClosed);
    import_exception!(dugong, ConnectionTimedOut);
    import_exception!(dugong, DNSUnavailable);
    import_exception!(dugong, HostnameNotResolvable);
    import_exception!(dugong, InvalidResponse);
    import_exception!(dugong, UnsupportedResponse);
    import_exception!(dugong._failures, RequestFailed);
    import_exception!(dugong._failures, RequestLost);
    import_exception!(dugong._failures, RequestTimedOut);
    import_exception!(ssl, SSLCertVerificationError);
    import_exception!(ssl, SSLError);
}

/// `sent` in a word.
pub(crate) fn sent_word(sent: Sent) -> &'static str {
    match sent {
        Sent::No => "no",
        Sent::Partly => "partly",
        Sent::Yes => "yes",
    }
}

/// `answered` in a word.
pub(crate) fn answered_word(answered: Answered) -> &'static str {
    match answered {
        Answered::No => "no",
        Answered::Head => "head",
        Answered::Partly => "partly",
        Answered::Yes => "yes",
    }
}

/// The exception of a failed request. A mistake of the caller is a `ValueError`.
pub(crate) fn exception(py: Python<'_>, failed: &Failed, request: &Py<PyAny>) -> PyErr {
    if let Cause::Invalid(error) = &failed.cause {
        return match &**error {
            error @ Error::Local(Misuse::OtherOrigin(_)) => {
                PyValueError::new_err(format!("{error:#}; a Session has one origin, so use Sessions"))
            }
            error @ Error::Url(_) => PyValueError::new_err(format!("{error:#}")),
            error => cause(py, error),
        };
    }
    match described(py, failed, request) {
        Ok(error) | Err(error) => error,
    }
}

fn described(py: Python<'_>, failed: &Failed, request: &Py<PyAny>) -> PyResult<PyErr> {
    let cause = match &failed.cause {
        Cause::Source(error) | Cause::System(error) => Some(system_error(py, error, None)),
        _ => failed.connection_error().map(|error| cause(py, error)),
    };
    let is_of_tls = cause.as_ref().is_some_and(|cause| cause.is_instance_of::<classes::SSLError>(py));
    let class = match &failed.cause {
        _ if failed.is_timeout() => py.get_type::<classes::RequestTimedOut>(),
        Cause::Lost { why: Loss::Closed | Loss::Reset | Loss::GivenUp, .. } => py.get_type::<classes::RequestLost>(),
        Cause::Unreachable(_) if is_of_tls => py.get_type::<classes::RequestFailed>(),
        Cause::Unreachable(error) if error.as_deref().is_none_or(is_connection_error) => py.get_type::<classes::RequestLost>(),
        _ => py.get_type::<classes::RequestFailed>(),
    };
    let error = made(py, &class, &failed.to_string(), failed, request)?;
    error.set_cause(py, cause);
    Ok(error)
}

/// The exception of a request of a run that was closed.
pub(crate) fn given_up(py: Python<'_>, failed: &Failed, request: &Py<PyAny>) -> PyErr {
    let (sent, answered, attempts) = (failed.sent, failed.answered, failed.attempts);
    let text = format!("the run was closed (sent: {sent}, answered: {answered}, attempts: {attempts})");
    match made(py, &py.get_type::<classes::RequestFailed>(), &text, failed, request) {
        Ok(error) | Err(error) => error,
    }
}

fn made(py: Python<'_>, class: &Bound<'_, PyType>, text: &str, failed: &Failed, request: &Py<PyAny>) -> PyResult<PyErr> {
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "request"), request)?;
    keywords.set_item(intern!(py, "sent"), sent_word(failed.sent))?;
    keywords.set_item(intern!(py, "answered"), answered_word(failed.answered))?;
    keywords.set_item(intern!(py, "safe_to_retry"), failed.safe_to_retry)?;
    keywords.set_item(intern!(py, "attempts"), failed.attempts)?;
    Ok(PyErr::from_value(class.call((text,), Some(&keywords))?))
}

fn is_connection_error(error: &Error) -> bool {
    match error {
        Error::Connect { .. } | Error::Closed { .. } | Error::Socket(_) => true,
        Error::Tls { source, .. } => {
            use dugong_net::tls::TlsFailure;
            matches!(source.what, TlsFailure::Ended | TlsFailure::Transport(_))
        }
        _ => false,
    }
}

/// The connection's error as an exception.
pub(crate) fn cause(py: Python<'_>, error: &Error) -> PyErr {
    let text = format!("{error:#}");
    match error {
        Error::Local(misuse) => errors::misuse(*misuse),
        Error::Remote { .. } => classes::InvalidResponse::new_err(text),
        Error::Unsupported { .. } => classes::UnsupportedResponse::new_err(text),
        Error::TimedOut { .. } => classes::ConnectionTimedOut::new_err(text),
        Error::Closed { cause: Closed::Sending(inner), .. } if !errors::is_peer_gone(py, inner, true) => {
            system_error(py, inner, None)
        }
        Error::Closed { cause: Closed::Incomplete(_, Some(inner)), .. } if !errors::is_peer_gone(py, inner, false) => {
            system_error(py, inner, None)
        }
        Error::Closed { cause: Closed::Sending(inner) | Closed::Incomplete(_, Some(inner)), .. } => {
            let closed = classes::ConnectionClosed::new_err(text);
            closed.set_cause(py, Some(system_error(py, inner, None)));
            closed
        }
        Error::Closed { .. } => classes::ConnectionClosed::new_err(text),
        Error::Socket(inner) => system_error(py, inner, None),
        Error::Connect { to, source } => match source.errors().next_back() {
            Some(inner) => system_error(py, inner, Some(to)),
            None => PyOSError::new_err(text),
        },
        Error::Resolve(source) => match &**source {
            ResolveError::NotFound { name } | ResolveError::NoAddresses { name } => {
                classes::HostnameNotResolvable::new_err(name.clone())
            }
            ResolveError::Unavailable { name, .. } => classes::DNSUnavailable::new_err(name.clone()),
            _ => PyOSError::new_err(text),
        },
        Error::Tls { source, .. } => match &source.what {
            dugong_net::tls::TlsFailure::Transport(inner) => system_error(py, inner, None),
            _ if source.is_certificate() => classes::SSLCertVerificationError::new_err((1, text)),
            _ => classes::SSLError::new_err((1, text)),
        },
        _ => PyOSError::new_err(text),
    }
}

/// An error of the system, with the address that it is about.
fn system_error(py: Python<'_>, error: &io::Error, to: Option<&str>) -> PyErr {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<PyErr>()) {
        return inner.clone_ref(py);
    }
    match error.raw_os_error() {
        Some(number) => errors::system_error_at(io::Error::from_raw_os_error(number), to),
        None => {
            let text = to.map_or_else(|| error.to_string(), |to| format!("{error} ({to})"));
            // TLS by the caller's context reports a reset by its kind alone.
            match error.kind() {
                io::ErrorKind::ConnectionReset => PyConnectionResetError::new_err(text),
                _ => PyOSError::new_err(text),
            }
        }
    }
}

/// The error of a wait. A thread that waits inside of its own session has made a mistake.
pub(crate) fn of_wait(error: io::Error) -> PyErr {
    match error.kind() {
        io::ErrorKind::Deadlock => PyRuntimeError::new_err(error.to_string()),
        _ => error.into(),
    }
}

/// The error of an operation of a session that this process has not made.
pub(crate) fn forked() -> PyErr {
    PyRuntimeError::new_err("this belongs to the process that has forked this one; make the request again")
}

/// The error of a request of which the session did not say in time how it ended.
pub(crate) fn unknown() -> PyErr {
    classes::RequestFailed::new_err("the request was given up")
}
