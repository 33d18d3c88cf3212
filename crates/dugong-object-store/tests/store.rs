//! Stores over the connector, against servers of the tests.

use std::time::Duration;

use dugong_object_store::Connector;
use dugong_origin::{Config, Origin, Proxy, Script, Scripted, document};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector, HttpErrorKind, HttpRequest, HttpRequestBody};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::{HttpBuilder, HttpStore};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};

fn origin() -> (Origin, String) {
    let origin = Origin::start(Config::default()).unwrap();
    let url = format!("http://{}", origin.address());
    (origin, url)
}

fn store(url: &str) -> HttpStore {
    let options = ClientOptions::new().with_allow_http(true);
    let builder = HttpBuilder::new().with_url(url).with_client_options(options);
    builder.with_http_connector(Connector::default()).build().unwrap()
}

fn client(options: ClientOptions) -> HttpClient {
    Connector::default().connect(&options.with_allow_http(true)).unwrap()
}

fn request(method: &str, url: impl AsRef<str>) -> HttpRequest {
    http::Request::builder().method(method).uri(url.as_ref()).body(HttpRequestBody::empty()).unwrap()
}

/// A server that does this on each of two connections, and the kind of error that a request to it gets.
async fn kind(method: &str, script: Script) -> HttpErrorKind {
    kind_within(Duration::from_secs(30), method, script).await
}

async fn kind_within(limit: Duration, method: &str, script: Script) -> HttpErrorKind {
    let server = Scripted::start(vec![script.clone(), script]).unwrap();
    let client = client(ClientOptions::new().with_timeout(limit));
    match client.execute(request(method, format!("http://{}/", server.address()))).await {
        Err(error) => error.kind(),
        Ok(response) => response.into_body().bytes().await.unwrap_err().kind(),
    }
}

#[tokio::test]
async fn objects_are_got_and_put() {
    let (_origin, url) = origin();
    let store = store(&url);
    let path = Path::from("doc/1");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), document("1"));
    assert_eq!(store.get_range(&path, 5..50).await.unwrap(), document("1")[5..50]);
    assert_eq!(store.head(&path).await.unwrap().size, document("1").len() as u64);
    store.put(&Path::from("x"), "hello".into()).await.unwrap();
    let pieces: PutPayload =
        [vec![1; 100_000].into(), vec![2; 100_000].into()].into_iter().collect::<Vec<bytes::Bytes>>().into_iter().collect();
    store.put(&Path::from("y"), pieces).await.unwrap();
    let missing = store.get(&Path::from("nothing")).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing:?}");
}

#[tokio::test]
async fn the_stores_of_azure_and_google_take_the_connector() {
    let answer =
        "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\nContent-Length: 5\r\n\r\nhello";
    let script = Script::new().expect_requests(1).send(answer).wait_close();
    let server = Scripted::start(vec![script.clone(), script]).unwrap();
    let url = format!("http://{}", server.address());
    let options = || ClientOptions::new().with_allow_http(true);
    let azure = MicrosoftAzureBuilder::new()
        .with_account("account")
        .with_container_name("doc")
        .with_endpoint(url.clone())
        .with_skip_signature(true)
        .with_client_options(options());
    let azure = azure.with_http_connector(Connector::default()).build().unwrap();
    let google = GoogleCloudStorageBuilder::new()
        .with_bucket_name("doc")
        .with_service_account_key(format!(
            r#"{{"gcs_base_url": "{url}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#
        ))
        .with_client_options(options());
    let google = google.with_http_connector(Connector::default()).build().unwrap();
    for store in [&azure as &dyn ObjectStore, &google] {
        assert_eq!(store.get(&Path::from("1")).await.unwrap().bytes().await.unwrap(), "hello", "{store}");
    }
}

#[tokio::test]
async fn content_that_nobody_reads_is_not_fetched() {
    let (origin, _) = origin();
    let network = Proxy::start(origin.address()).unwrap();
    let store = store(&format!("http://{}", network.address()));
    let mut large = store.get(&Path::from("bytes/200000000")).await.unwrap().into_stream();
    let mut length = large.next().await.unwrap().unwrap().len();
    for _ in 0..100 {
        assert_eq!(store.get(&Path::from("doc/1")).await.unwrap().bytes().await.unwrap(), document("1"));
    }
    // A window, and the buffers of three sockets.
    assert!(network.bytes_to_clients() < 50_000_000, "{}", network.bytes_to_clients());
    while let Some(piece) = large.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, 200_000_000);
}

#[tokio::test]
async fn many_ranges_at_once_need_four_connections() {
    let (origin, url) = origin();
    let store = store(&url);
    let path = Path::from("bytes/10000000");
    let ranges = stream::iter(0..2000u64).map(|i| {
        let (store, path) = (&store, &path);
        async move { store.get_range(path, i * 4096..(i + 1) * 4096).await }
    });
    let got: Vec<_> = ranges.buffered(128).try_collect().await.unwrap();
    let mut expected = vec![0; 4096];
    for (i, got) in got.iter().enumerate() {
        dugong_origin::fill(0, i as u64 * 4096, &mut expected);
        assert_eq!(got, &expected, "{i}");
    }
    assert!(origin.counts().connections <= 4, "{:?}", origin.counts());
}

#[tokio::test]
async fn large_objects_stream_and_a_dropped_stream_disturbs_no_other() {
    let (_origin, url) = origin();
    let store = store(&url);
    let large = Path::from("bytes/5000000");
    for _ in 0..10 {
        let mut dropped = store.get(&large).await.unwrap().into_stream();
        assert!(dropped.next().await.unwrap().is_ok());
        drop(dropped);
        assert_eq!(store.get(&Path::from("doc/1")).await.unwrap().bytes().await.unwrap(), document("1"));
    }
    assert_eq!(store.get(&large).await.unwrap().bytes().await.unwrap().len(), 5_000_000);
}

#[tokio::test]
async fn dropped_calls_disturb_no_other_and_leave_no_connection() {
    let (origin, _) = origin();
    let network = Proxy::start(origin.address()).unwrap();
    let store = store(&format!("http://{}", network.address()));
    let (large, small) = (Path::from("bytes/1000000"), Path::from("doc/1"));
    for _ in 0..5 {
        let many = future::join_all((0..20).map(|_| store.get_range(&large, 0..200_000)));
        let one = async { store.get(&small).await.unwrap().bytes().await.unwrap() };
        // The first to end drops the other.
        if let future::Either::Right((content, _)) = future::select(Box::pin(many), Box::pin(one)).await {
            assert_eq!(content, document("1"));
        }
        assert_eq!(store.get(&small).await.unwrap().bytes().await.unwrap(), document("1"));
    }
    // The network notices the end of a connection a little later.
    let few = async {
        while network.open() > 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), few).await.expect("at most 4 connections stay open");
}

#[tokio::test]
async fn errors_tell_the_host_what_it_may_repeat() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    assert_eq!(kind("GET", Script::new().expect_requests(1).fin().wait_close()).await, HttpErrorKind::Interrupted);
    assert_eq!(kind("POST", Script::new().expect_requests(1).reset()).await, HttpErrorKind::Interrupted);
    assert_eq!(kind("GET", Script::new().expect_requests(1).send(answer).fin().wait_close()).await, HttpErrorKind::Interrupted);
    assert_eq!(kind("GET", Script::new().expect_requests(1).send("nonsense\r\n\r\n").wait_close()).await, HttpErrorKind::Decode);
    let short = Duration::from_millis(300);
    for silent in [Script::new().expect_requests(1), Script::new().expect_requests(1).send(answer)] {
        assert_eq!(kind_within(short, "GET", silent.wait_close()).await, HttpErrorKind::Timeout);
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = client(ClientOptions::new()).execute(request("POST", format!("http://{free}/"))).await.unwrap_err();
    assert_eq!(refused.kind(), HttpErrorKind::Connect);
    assert!(refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test]
async fn a_lost_request_reaches_the_server_once() {
    for method in ["GET", "POST"] {
        let script = Script::new().expect_requests(1).fin().wait_close();
        let server = Scripted::start(vec![script.clone(), script]).unwrap();
        let client = client(ClientOptions::new());
        let error = client.execute(request(method, format!("http://{}/", server.address()))).await.unwrap_err();
        assert_eq!((error.kind(), server.connections()), (HttpErrorKind::Interrupted, 1), "{method}: {error}");
    }
}

#[tokio::test]
async fn content_that_is_too_large_is_no_success() {
    let (_origin, url) = origin();
    let connector = Connector::builder().configure(|sessions| sessions.max_content(10)).build();
    let client = connector.connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let mut small = request("GET", format!("{url}/bytes/1000"));
    small.headers_mut().insert("range", "bytes=0-99".parse().unwrap());
    assert_eq!(client.execute(small).await.unwrap_err().kind(), HttpErrorKind::Decode);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_was_not_sent() {
    // The system accepts the connection, and the server says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(ClientOptions::new().with_connect_timeout(Duration::from_millis(100)));
    let url = format!("https://{}/", silent.local_addr().unwrap());
    assert_eq!(client.execute(request("POST", url)).await.unwrap_err().kind(), HttpErrorKind::Connect);
}

#[tokio::test]
async fn statuses_are_repeated_by_the_host_alone() {
    let (origin, url) = origin();
    let client = client(ClientOptions::new());
    let response = client.execute(request("GET", format!("{url}/small?busy=1&retry-after=0"))).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(origin.counts().requests, 1);
    let retries = RetryConfig { max_retries: 3, ..RetryConfig::default() };
    let options = ClientOptions::new().with_allow_http(true);
    let builder = HttpBuilder::new().with_url(format!("{url}/")).with_client_options(options).with_retry(retries);
    let store = builder.with_http_connector(Connector::default()).build().unwrap();
    assert!(store.get(&Path::from("doc/1")).await.is_ok());
}

#[tokio::test]
async fn options_are_honoured_or_refused() {
    let (_origin, url) = origin();
    let connect = |options: ClientOptions| Connector::default().connect(&options);
    let plain = connect(ClientOptions::new()).unwrap().execute(request("GET", format!("{url}/small"))).await.unwrap_err();
    assert!(plain.to_string().contains("allow_http"), "{plain}");
    for options in [
        ClientOptions::new().with_http2_only(),
        ClientOptions::new().with_allow_invalid_certificates(true),
        ClientOptions::new().with_no_system_certificates(true),
        ClientOptions::new().with_proxy_url("no proxy"),
        ClientOptions::new().with_proxy_ca_certificate("no certificate"),
    ] {
        let error = connect(options).unwrap_err();
        assert!(matches!(error, object_store::Error::Generic { store: "HTTP client", .. }), "{error:?}");
    }
    let mut headers = http::HeaderMap::new();
    headers.insert("x-tag", "all".parse().unwrap());
    let options = ClientOptions::new().with_user_agent("tests".parse().unwrap()).with_default_headers(headers);
    let response = client(options).execute(request("GET", format!("{url}/echo"))).await.unwrap();
    let echo = String::from_utf8(response.into_body().bytes().await.unwrap().into()).unwrap();
    assert!(echo.contains("User-Agent: tests\r\n") && echo.contains("x-tag: all\r\n"), "{echo}");
}

#[tokio::test]
async fn a_proxy_is_used_except_for_excluded_hosts() {
    // The origin answers targets in absolute form, as a proxy gets them.
    let ((proxy, proxy_url), (origin, url)) = (origin(), origin());
    let options = ClientOptions::new().with_proxy_url(&proxy_url);
    let response = client(options.clone()).execute(request("GET", format!("{url}/small"))).await.unwrap();
    assert_eq!((response.status().as_u16(), proxy.counts().requests, origin.counts().requests), (200, 1, 0));
    let response =
        client(options.with_proxy_excludes("127.0.0.1")).execute(request("GET", format!("{url}/small"))).await.unwrap();
    assert_eq!((response.status().as_u16(), proxy.counts().requests, origin.counts().requests), (200, 1, 1));
}
