//! What a client of the host over Dugong does where one over reqwest does the same.

use std::time::Duration;

use bytes::Bytes;
use dugong_object_store::Connector;
use dugong_origin::{Config, Origin, Script, Scripted};
use futures_util::StreamExt;
use object_store::client::{HttpClient, HttpConnector, HttpErrorKind, HttpRequestBody, ReqwestConnector};
use object_store::http::{HttpBuilder, HttpStore};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt, RetryConfig};
use tokio::runtime;

/// Long enough for any of this on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn clients(options: &ClientOptions) -> [(&'static str, HttpClient); 2] {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = ReqwestConnector::default().connect(options).unwrap();
    [("reqwest", own), ("dugong", Connector::default().connect(options).unwrap())]
}

fn stores(url: &str) -> [(&'static str, HttpStore); 2] {
    let options = ClientOptions::new().with_allow_http(true);
    let retry = RetryConfig { max_retries: 1, ..RetryConfig::default() };
    let builder = HttpBuilder::new().with_url(url).with_client_options(options).with_retry(retry);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = builder.clone().with_http_connector(ReqwestConnector::default());
    let ours = builder.with_http_connector(Connector::default());
    [("reqwest", own.build().unwrap()), ("dugong", ours.build().unwrap())]
}

async fn ask(client: &HttpClient, url: &str, range: Option<&str>) -> Result<(u16, Bytes), HttpErrorKind> {
    let mut request = http::Request::builder().uri(url);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let response = client.execute(request.body(HttpRequestBody::empty()).unwrap()).await.map_err(|error| error.kind())?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().bytes().await.map_err(|error| error.kind())?))
}

fn runtime() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_total_time_limit_holds_although_bytes_come() {
    let mut drips = Script::new().expect_requests(1).send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    for _ in 0..1000 {
        drips = drips.send("x").pause(Duration::from_millis(20));
    }
    let options = ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_millis(400));
    for (name, client) in clients(&options) {
        for range in [None, Some("bytes=0-999")] {
            let server = Scripted::start(vec![drips.clone()]).unwrap();
            let url = format!("http://{}/", server.address());
            let kind = tokio::time::timeout(LIMIT, ask(&client, &url, range)).await.expect("the limit holds").unwrap_err();
            assert_eq!(kind, HttpErrorKind::Timeout, "{name}, {range:?}");
        }
    }
}

#[test]
fn a_store_outlives_the_runtime_of_its_first_request() {
    let origin = Origin::start(Config::default()).unwrap();
    for (name, store) in stores(&format!("http://{}", origin.address())) {
        for round in 0..3 {
            let runtime = runtime();
            let got = runtime
                .block_on(async { tokio::time::timeout(LIMIT, store.get_range(&Path::from("bytes/100000"), 5..50)).await });
            assert!(got.expect("it ends").is_ok(), "{name}, {round}");
            runtime.shutdown_background();
        }
    }
}

#[test]
fn a_stream_whose_runtime_has_ended_fails_or_goes_on_but_does_not_hang() {
    let origin = Origin::start(Config::default()).unwrap();
    // Over reqwest, the stream panics.
    for (name, store) in stores(&format!("http://{}", origin.address())).into_iter().skip(1) {
        let first = runtime();
        let mut content = first.block_on(async { store.get(&Path::from("bytes/50000000")).await.unwrap().into_stream() });
        let begun = first.block_on(content.next()).unwrap().unwrap().len();
        drop(first);
        let read = async {
            let mut count = begun;
            while let Some(piece) = content.next().await {
                count += piece?.len();
            }
            Ok::<_, object_store::Error>(count)
        };
        let second = runtime();
        let ended = second.block_on(async { tokio::time::timeout(LIMIT, read).await });
        match ended.unwrap_or_else(|_| panic!("{name}: the stream hangs")) {
            Ok(count) => assert_eq!(count, 50_000_000, "{name}"),
            Err(error) => assert!(matches!(error, object_store::Error::Generic { .. }), "{name}: {error:?}"),
        }
        let after = second.block_on(async { tokio::time::timeout(LIMIT, store.get_range(&Path::from("bytes/100"), 0..9)).await });
        assert!(after.expect("it ends").is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_name_and_a_password_in_a_url_are_not_lost_silently() {
    let client = Connector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let request = http::Request::builder().uri("http://user:secret@127.0.0.1/").body(HttpRequestBody::empty()).unwrap();
    let error = client.execute(request).await.unwrap_err().to_string();
    assert!(error.contains("user name") && !error.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_short_range_does_not_fetch_a_large_object_from_a_server_without_ranges() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n".to_vec();
    answer.resize(20_000_000, b'x');
    let script = Script::new().expect_requests(1).send(answer).wait_close();
    let options = ClientOptions::new().with_allow_http(true).with_timeout(LIMIT);
    let server = Scripted::start(vec![script]).unwrap();
    let client = Connector::default().connect(&options).unwrap();
    let kind = ask(&client, &format!("http://{}/", server.address()), Some("bytes=0-4095")).await.unwrap_err();
    assert_eq!(kind, HttpErrorKind::Decode);
}
