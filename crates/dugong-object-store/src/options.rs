//! The options of a store's client.

use std::time::Duration;

use dugong_http::{Config, Proxy};
use dugong_session::tokio::Sessions;
use http::HeaderMap;

use crate::connector::Builder;
use crate::excludes::Excludes;
use crate::kind::BoxError;
use crate::service::Service;

/// Without a limit from the store, a connection that moves no byte is given up after this long.
const NO_LIMIT: Duration = Duration::from_secs(3600);

/// Only replies to short ranges are read at once. A server without ranges answers them with the whole object.
const MOST_AT_ONCE: u64 = 16 << 20;

/// Makes the service of a store. `get` tells the option with a name.
pub(crate) fn service(
    settings: &Builder,
    get: impl Fn(&str) -> Option<String>,
    headers: Option<&HeaderMap>,
) -> Result<Service, BoxError> {
    let is_set = |name: &str| get(name).is_some_and(|value| value == "true");
    if is_set("http2_only") {
        return Err("dugong speaks HTTP/1.1: http2_only cannot be met".into());
    }
    if is_set("allow_invalid_certificates") {
        return Err(
            "dugong always checks certificates: give those of a private authority to Connector::builder().root_certificate()"
                .into(),
        );
    }
    if is_set("disable_system_certificates") && settings.roots.is_empty() {
        return Err("disable_system_certificates needs Connector::builder().root_certificate()".into());
    }
    let time = |name: &str| match get(name) {
        None => Ok(None),
        Some(text) => humantime::parse_duration(&text).map(Some).map_err(|error| format!("{name} is {text:?}: {error}")),
    };
    let config = config(settings, &get)?;
    let total = time("timeout")?;
    let mut builder = Sessions::builder()
        .retries(0)
        .expect_above(None)
        .redirects(10)
        .max_content(MOST_AT_ONCE)
        .total_timeout(total)
        .timeout(time("read_timeout")?.or(total).unwrap_or(NO_LIMIT))
        .connect_timeout(time("connect_timeout")?);
    if let Some(most) = settings.connections {
        builder = builder.connections(most);
    }
    if let Some(most) = settings.depth {
        builder = builder.depth(most);
    }
    if let Some(idle) = time("pool_idle_timeout")? {
        builder = builder.idle_timeout(idle);
    }
    let config = match headers {
        None => config,
        Some(headers) => with_fields(config, headers)?,
    };
    let make = |config: Config| {
        let builder = builder.clone().config(config);
        let builder = settings.configure.iter().fold(builder, |builder, configure| configure(builder));
        Ok::<_, dugong_http::Error>(Sessions::from(builder.build()?))
    };
    let allow_http = is_set("allow_http");
    let Some(url) = get("proxy_url") else {
        return Ok(Service::new(make(config.proxy_from_environment())?, None, allow_http));
    };
    let proxied = make(config.clone().proxy(Proxy::new(&url)?))?;
    let excludes = get("proxy_excludes").unwrap_or_default();
    Ok(Service::new(make(config)?, Some((proxied, Excludes::new(url, excludes))), allow_http))
}

fn config(settings: &Builder, get: &impl Fn(&str) -> Option<String>) -> Result<Config, BoxError> {
    let mut config = Config::new();
    if let Some(agent) = get("user_agent") {
        config = config.user_agent(Some(&*agent));
    }
    let proxy_roots = get("proxy_ca_certificate").map(String::into_bytes);
    let roots: Vec<&[u8]> = settings.roots.iter().chain(&proxy_roots).map(|pem| &pem[..]).collect();
    #[cfg(feature = "rustls")]
    if !roots.is_empty() {
        let mut tls = dugong_http::Tls::new();
        for pem in roots {
            tls = tls.roots_pem(pem)?;
        }
        config = config.tls(tls);
    }
    #[cfg(not(feature = "rustls"))]
    if !roots.is_empty() {
        return Err("certificates need the feature rustls".into());
    }
    Ok(config)
}

fn with_fields(mut config: Config, headers: &HeaderMap) -> Result<Config, BoxError> {
    for (name, value) in headers {
        config = config.default_field(name.as_str(), value.to_str()?);
    }
    Ok(config)
}
