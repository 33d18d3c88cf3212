//! Mistakes and missing servers: the error is the one that the host gives over its own connector.

use dugong_object_store::Connector;
use dugong_origin::{Config, Origin};
use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt, Result, RetryConfig};

/// The variant of an error, and where it is from.
fn variant(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(&[' ', '(', '{'][..]).next().unwrap().to_owned()
}

async fn get(connector: impl HttpConnector, url: &str, options: ClientOptions, start: u64) -> Result<usize> {
    let retry = RetryConfig { max_retries: 1, ..RetryConfig::default() };
    let builder = HttpBuilder::new().with_url(url).with_client_options(options).with_retry(retry);
    let store = builder.with_http_connector(connector).build()?;
    Ok(store.get_range(&Path::from("bytes/1000"), start..start + 100).await?.len())
}

#[tokio::test]
async fn a_bad_input_is_an_error_of_the_host() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let origin = Origin::start(Config::default()).unwrap();
    let good = format!("http://{}", origin.address());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let allowed = || ClientOptions::new().with_allow_http(true);
    for (url, options, start) in [
        (good.clone(), allowed(), 990),
        (good.clone(), allowed(), 2000),
        (format!("{good}/no/such"), allowed(), 0),
        (good.clone(), ClientOptions::new(), 0),
        ("http://".to_owned(), allowed(), 0),
        ("http:///a".to_owned(), allowed(), 0),
        ("ftp://127.0.0.1/".to_owned(), allowed(), 0),
        ("no url".to_owned(), allowed(), 0),
        (format!("http://{free}"), allowed(), 0),
        ("http://no-such-host.invalid".to_owned(), allowed(), 0),
    ] {
        let own = get(ReqwestConnector::default(), &url, options.clone(), start).await;
        let ours = get(Connector::default(), &url, options, start).await;
        match (&own, &ours) {
            (Ok(own), Ok(ours)) => assert_eq!(own, ours, "{url}"),
            (Err(own), Err(ours)) => assert_eq!(variant(own), variant(ours), "{url}: {own} / {ours}"),
            _ => panic!("{url} from {start}: {own:?} / {ours:?}"),
        }
    }
}

#[tokio::test]
async fn errors_of_a_missing_server_name_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = ClientOptions::new().with_allow_http(true);
    let retry = RetryConfig { max_retries: 1, ..RetryConfig::default() };
    let builder = HttpBuilder::new().with_url(format!("http://{free}")).with_client_options(options).with_retry(retry);
    let store = builder.with_http_connector(Connector::default()).build().unwrap();
    let error = store.head(&Path::from("a")).await.unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains(&free.port().to_string()), "{error}");
    let error = ObjectStore::list_with_delimiter(&store, None).await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}
