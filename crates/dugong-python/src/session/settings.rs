//! The settings of a session, as the Python code of the package has checked them.

use std::time::Duration;

use dugong_http::{Config, Origin, Proxy};
use dugong_net::tls::{Tls, TlsSetupError};
use dugong_session::{Auth, Builder, Session};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;

use super::connector::ContextConnector;
use super::failure;
use super::owner::Hooks;

/// The settings, to make a session of, again in a forked child.
pub(crate) struct Settings {
    builder: Builder,
    defaults: Vec<(String, String)>,
    auth: Option<Py<PyAny>>,
    sign: Option<Py<PyAny>>,
}

impl Settings {
    pub(crate) fn new(origin: &str, given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut builder = Session::builder(origin).config(config(origin, given)?);
        let seconds = |limit: f64| Duration::try_from_secs_f64(limit).unwrap_or(Duration::MAX);
        macro_rules! set {
            ($($name:ident $convert:expr;)*) => {
                $(
                    if let Some(value) = given.get_item(stringify!($name))? {
                        builder = builder.$name($convert(value.extract()?));
                    }
                )*
            };
        }
        set! {
            connections |count: usize| count;
            depth |count: u32| count;
            window |bytes: u64| bytes;
            max_content |bytes: u64| bytes;
            retries |count: u32| count;
            retry_budget |count: Option<u32>| count;
            repeat_statuses |statuses: Vec<u16>| statuses;
            timeout seconds;
            total_timeout |limit: Option<f64>| limit.map(seconds);
            idle_timeout seconds;
            connect_timeout |limit: Option<f64>| limit.map(seconds);
            expect_timeout seconds;
            expect_above |bytes: Option<u64>| bytes;
            redirects |most: u32| most;
        }
        if let Some(backoff) = given.get_item("backoff")? {
            let (first, longest): (f64, f64) = backoff.extract()?;
            builder = builder.backoff(seconds(first), seconds(longest));
        }
        if let Some(pair) = given.get_item("basic")? {
            let (user, password): (String, String) = pair.extract()?;
            let auth = Auth::basic(&user, &password).map_err(|error| PyValueError::new_err(format!("auth: {error}")))?;
            builder = builder.auth(auth);
        }
        let defaults: Vec<(String, String)> = match given.get_item("headers")? {
            Some(lines) => lines.extract()?,
            None => Vec::new(),
        };
        for (name, value) in &defaults {
            builder = builder.header(name, value);
        }
        let function = |name| PyResult::Ok(given.get_item(name)?.map(Bound::unbind));
        let (auth, sign) = (function("auth")?, function("sign")?);
        Ok(Settings { builder, defaults, auth, sign })
    }

    pub(crate) fn build(&self) -> PyResult<Session> {
        self.builder.clone().build().map_err(|error| {
            Python::attach(|py| match &error {
                dugong_http::Error::Url(_) => PyValueError::new_err(format!("{error:#}")),
                error => failure::cause(py, error),
            })
        })
    }

    /// The functions that add fields to each attempt, if there are any.
    pub(crate) fn hooks(&self, origin: &Origin) -> PyResult<Option<Hooks>> {
        if self.auth.is_none() && self.sign.is_none() {
            return Ok(None);
        }
        let clone = |function: &Option<Py<PyAny>>| Python::attach(|py| function.as_ref().map(|function| function.clone_ref(py)));
        Ok(Some(Hooks {
            defaults: self.defaults.clone(),
            auth: clone(&self.auth),
            sign: clone(&self.sign),
            origin: origin.to_string(),
            host: origin.host_field().to_string(),
        }))
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.auth)?;
        visit.call(&self.sign)
    }
}

/// The settings of connections.
fn config(origin: &str, given: &Bound<'_, PyDict>) -> PyResult<Config> {
    let mut config = Config::new().user_agent(concat!("dugong/", env!("CARGO_PKG_VERSION")));
    if let Some(url) = given.get_item("proxy")? {
        let proxy = Proxy::new(&url.extract::<String>()?).map_err(|error| PyValueError::new_err(error.to_string()))?;
        config = config.proxy(proxy);
    }
    if let Some(pem) = given.get_item("tls")? {
        config = config.tls(tls(pem.extract()?)?);
    }
    if let Some(context) = given.get_item("ssl_context")?
        && origin.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    {
        if given.contains("proxy")? {
            return Err(PyValueError::new_err("ssl_context cannot be combined with proxy for https; use tls=dugong.Tls(...)"));
        }
        config = config.connector(ContextConnector::new(context.unbind()));
    }
    Ok(config)
}

type Pem = Option<PyBackedBytes>;

/// TLS with the certificates of a `dugong.Tls`.
fn tls((roots, chain, key): (Pem, Pem, Pem)) -> PyResult<Tls> {
    let mut tls = Tls::new();
    let wrong = |name: &str, error: TlsSetupError| PyValueError::new_err(format!("{name}: {error}"));
    if let Some(roots) = roots {
        tls = tls.roots_pem(&roots).map_err(|error| wrong("ca", error))?;
    }
    if let (Some(chain), Some(key)) = (chain, key) {
        tls = tls.client_certificate_pem(&chain, &key).map_err(|error| wrong("cert and key", error))?;
    }
    Ok(tls)
}
