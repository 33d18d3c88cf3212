//! Which requests go through a proxy.

use std::ffi::OsString;

use dugong_http::Proxy;

/// The hosts that a proxy is not for, as `NO_PROXY` has them.
#[derive(Debug)]
pub(crate) struct Excludes {
    url: String,
    excludes: String,
}

impl Excludes {
    /// A proxy by its URL, and the hosts that it is not for.
    pub(crate) fn new(url: String, excludes: String) -> Self {
        Excludes { url, excludes }
    }

    /// Whether requests to this origin go through the proxy.
    pub(crate) fn is_proxied(&self, is_secure: bool, host: &str, port: u16) -> bool {
        let lookup = |name: &str| match name {
            "all_proxy" => Some(OsString::from(&self.url)),
            "no_proxy" => Some(OsString::from(&self.excludes)),
            _ => None,
        };
        // An invalid proxy was refused before.
        Proxy::from_variables(is_secure, host, port, lookup).is_ok_and(|proxy| proxy.is_some())
    }
}
