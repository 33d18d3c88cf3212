//! The server and the proxy to connect to, made from the attributes of the connection.

use dugong_http::{Fields, Origin};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use crate::headers::{Generated, WITHOUT_BODY};
use crate::names;

/// The server and the proxy to connect to, and the parts of requests that depend only on them.
pub(crate) struct Target {
    /// The host as the caller gave it.
    pub(crate) hostname: String,
    pub(crate) origin: Origin,
    /// The host as the caller gave it, and its origin.
    pub(crate) proxy: Option<(String, Origin)>,
    /// The value of `Host`.
    pub(crate) host: String,
    /// The fields of a request that has neither headers of the caller nor a body, without `Host`.
    pub(crate) bare: Fields,
}

impl Target {
    pub(crate) fn new(hostname: String, origin: Origin, proxy: Option<(String, Origin)>) -> Self {
        let mut bare = Fields::new();
        for Generated { name, value, .. } in &WITHOUT_BODY {
            bare.append(name, &**value).expect("these are field lines");
        }
        Target { host: origin.host_field(), hostname, origin, proxy, bare }
    }

    /// Whether requests go to a proxy, with the absolute URL.
    pub(crate) fn is_absolute(&self) -> bool {
        self.proxy.is_some() && !self.origin.is_secure()
    }

    /// Host and port to connect to: the proxy's if one is set.
    pub(crate) fn address(&self) -> (&str, u16) {
        let origin = self.proxy.as_ref().map_or(&self.origin, |(_, origin)| origin);
        (origin.host(), origin.port())
    }

    /// The same, with the host as the caller gave it.
    pub(crate) fn given(&self) -> (&str, u16) {
        let (host, origin) = self.proxy.as_ref().map_or((&self.hostname, &self.origin), |(host, origin)| (host, origin));
        (host, origin.port())
    }
}

/// Refuses an invalid host name as early as possible (statement 7.5b). Connecting checks objects that are not `str`.
pub(crate) fn check_host(host: &Bound<'_, PyAny>) -> PyResult<()> {
    match host.cast::<PyString>() {
        Ok(host) => names::origin(false, &host.to_cow()?, 0).map(drop),
        Err(_) => Ok(()),
    }
}

/// A timeout as a number; 0 means no limit.
pub(crate) fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<f64> {
    let seconds = if timeout.is_none() { Ok(0.0) } else { timeout.extract::<f64>() };
    let seconds = seconds.or_else(|error| match error.is_instance_of::<PyOverflowError>(timeout.py()) {
        // An int that no float can hold is no limit, as a float that no wait can last.
        true => Ok(0.0),
        false => Err(error),
    })?;
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout is not a number"));
    }
    Ok(seconds)
}

/// A port, as a number or in digits.
pub(crate) fn port_of(port: &Bound<'_, PyAny>) -> PyResult<u16> {
    let wrong = || PyValueError::new_err(format!("a port is a number from 0 to 65535, not {port}"));
    match port.cast::<PyString>() {
        Ok(digits) => match digits.to_cow()?.parse() {
            Ok(number) if !digits.to_cow()?.starts_with('+') => Ok(number),
            _ => Err(wrong()),
        },
        Err(_) => port.extract().map_err(|error: PyErr| match error.is_instance_of::<PyOverflowError>(port.py()) {
            true => wrong(),
            false => error,
        }),
    }
}

/// Whether a port or a proxy is constant. An object of the program's own class may change its value.
pub(crate) fn is_constant(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.cast_exact::<PyTuple>().is_ok_and(|pair| pair.iter().all(|part| is_constant(&part)))
}

/// A proxy, with its host as it was given and its origin; `None` for an object that is false.
pub(crate) fn proxy_of(proxy: &Bound<'_, PyAny>) -> PyResult<Option<(String, Origin)>> {
    if !proxy.is_truthy()? {
        return Ok(None);
    }
    let wrong = || PyTypeError::new_err(format!("proxy has to be None or (host, port), not {proxy}"));
    let pair: Vec<Bound<'_, PyAny>> = proxy.extract().map_err(|_| wrong())?;
    let [host, port] = &pair[..] else { return Err(wrong()) };
    let (host, port): (String, _) = (host.extract()?, port_of(port)?);
    let origin = names::origin(false, &host, port)?;
    Ok(Some((host, origin)))
}
