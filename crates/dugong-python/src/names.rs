//! Host names, for the package's Python code: their normal form, and whether they exist.

use std::io;
use std::task::Poll;
use std::time::Instant;

use dugong_http::Origin;
use dugong_http::driver::{Existence, Inquiry, PollSet, wait_any};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::wait::LOOK_FOR_SIGNALS;

/// Return *host* as resolvers, servers and proxies know it: a name beyond ASCII as A-labels, IPv6 without brackets.
///
/// Raises `ValueError` if it can be neither a name nor an address.
#[pyfunction]
pub(crate) fn normal_host(host: &str) -> PyResult<String> {
    Ok(origin(false, host, 0)?.host().to_owned())
}

/// Returns the origin of a host. An invalid name raises `ValueError`, which quotes it.
pub(crate) fn origin(secure: bool, host: &str, port: u16) -> PyResult<Origin> {
    Origin::new(secure, host, port).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Ask the configured name servers whether *host* exists; None without name servers.
///
/// Returns `'addresses'`, `'no addresses'`, `'not found'` or `'unavailable'`; or, without asking, `'loopback'` for a name of this
/// host, and `'elsewhere'` for a name that is not in DNS.
#[pyfunction]
pub(crate) fn ask_name_servers(py: Python<'_>, host: &str) -> PyResult<Option<&'static str>> {
    let Some(mut inquiry) = Inquiry::new(host, Instant::now()) else { return Ok(None) };
    loop {
        if let Poll::Ready(existence) = inquiry.step(Instant::now()) {
            return Ok(Some(match existence {
                Existence::Addresses => "addresses",
                Existence::NoAddresses => "no addresses",
                Existence::NotFound => "not found",
                Existence::Loopback => "loopback",
                Existence::NotInDns => "elsewhere",
                _ => "unavailable",
            }));
        }
        py.check_signals()?;
        let waited = py.detach(|| {
            let mut waits = PollSet::default();
            inquiry.waits(&mut waits);
            waits.until(Instant::now() + LOOK_FOR_SIGNALS);
            wait_any(&waits)
        });
        match waited {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
    }
}
