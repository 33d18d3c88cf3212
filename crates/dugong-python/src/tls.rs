//! TLS by the caller's `ssl.SSLContext`: the calls that connections and sessions share.

use std::os::fd::{AsFd, IntoRawFd};

use dugong_net::Socket;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Makes a socket of Python for a connected one. It owns a descriptor of its own, so that it can be closed as Python closes sockets.
pub(crate) fn python_socket<'py>(py: Python<'py>, socket: &Socket) -> PyResult<Bound<'py, PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "fileno"), socket.as_fd().try_clone_to_owned()?.into_raw_fd())?;
    py.import(intern!(py, "socket"))?.getattr(intern!(py, "socket"))?.call((), Some(&keywords))
}

/// Has the context wrap a socket of Python, which does not block afterwards. The handshake is still to be made.
pub(crate) fn wrap<'py>(
    context: &Bound<'py, PyAny>,
    plain: &Bound<'py, PyAny>,
    server_name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    plain.call_method1(intern!(py, "setblocking"), (false,))?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "server_hostname"), server_name)?;
    keywords.set_item(intern!(py, "do_handshake_on_connect"), false)?;
    // Otherwise an end without close_notify would look like one with it.
    keywords.set_item(intern!(py, "suppress_ragged_eofs"), false)?;
    context.call_method(intern!(py, "wrap_socket"), (plain,), Some(&keywords))
}
