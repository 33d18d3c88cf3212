//! Servers and networks that do harm, under the connector.
//!
//! `DUGONG_CHAOS_SEED` sets the first seed. A failure names its seed.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use dugong_object_store::Connector;
use dugong_origin::{Chaos, Config, Faults, Origin, Proxy, fill};
use futures_util::{StreamExt, stream};
use object_store::client::{HttpClient, HttpConnector, HttpErrorKind, HttpRequestBody};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStoreExt, RetryConfig};

const SEEDS: u64 = 8;

/// Long enough for any seed on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn seeds() -> std::ops::Range<u64> {
    let first = std::env::var("DUGONG_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    first..first + SEEDS
}

fn options() -> ClientOptions {
    ClientOptions::new().with_allow_http(true).with_read_timeout(Duration::from_millis(200)).with_timeout(Duration::from_secs(20))
}

/// What became of a request: its content, or the kind of its error.
async fn ask(client: &HttpClient, method: &str, url: &str) -> Result<Bytes, HttpErrorKind> {
    let body = if method == "POST" { HttpRequestBody::from("x".repeat(300)) } else { HttpRequestBody::empty() };
    let request = http::Request::builder().method(method).uri(url).body(body).unwrap();
    let response = client.execute(request).await.map_err(|error| error.kind())?;
    assert_eq!(response.status(), 200);
    response.into_body().bytes().await.map_err(|error| error.kind())
}

#[tokio::test]
async fn kinds_of_errors_say_what_a_harmful_server_saw() {
    for seed in seeds() {
        let server = Chaos::start_harsh(seed).unwrap();
        let url = format!("http://{}", server.address());
        let client = Connector::default().connect(&options()).unwrap();
        let asked = stream::iter(0..1000).map(|number| {
            let method = if number % 3 == 0 { "POST" } else { "GET" };
            let target = format!("/{}/{number}", method.to_lowercase());
            let (client, url) = (&client, format!("{url}{target}"));
            async move { (target, ask(client, method, &url).await) }
        });
        let told: Vec<_> = tokio::time::timeout(LIMIT, asked.buffer_unordered(64).collect()).await.expect("no request hangs");
        // The server waits for the end of each connection.
        drop(client);
        let finished = tokio::task::spawn_blocking(|| server.finish());
        let arrived = arrivals(&tokio::time::timeout(LIMIT, finished).await.expect("no connection stays open").unwrap());
        let mut good = 0;
        for (target, result) in &told {
            let times = arrived.get(target).copied().unwrap_or(0);
            assert!(times <= 1 || target.starts_with("/get/"), "seed {seed}: {target} arrived {times} times");
            match result {
                Ok(content) => {
                    good += 1;
                    assert_eq!(content, &Chaos::content(target), "seed {seed}: {target}");
                }
                Err(HttpErrorKind::Connect | HttpErrorKind::Request) => {
                    assert_eq!(times, 0, "seed {seed}: {target} arrived, so the host may not repeat it: {result:?}");
                }
                Err(HttpErrorKind::Interrupted | HttpErrorKind::Timeout | HttpErrorKind::Decode) => {}
                Err(kind) => panic!("seed {seed}: {target} has {kind:?}"),
            }
        }
        assert!(good > 0, "seed {seed}: {good} requests of 1000 got an answer");
    }
}

/// How often each target arrived.
fn arrivals(received: &[Vec<u8>]) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for line in received.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        if let Some(target) = line.strip_suffix(" HTTP/1.1\r").and_then(|line| line.split(' ').nth(1)) {
            *found.entry(target.to_owned()).or_insert(0) += 1;
        }
    }
    found
}

#[tokio::test]
async fn the_host_gets_all_ranges_through_a_harmful_network() {
    let origin = Origin::start(Config::default()).unwrap();
    for seed in seeds() {
        let network = Proxy::start_with(origin.address(), move |number| Faults::random(seed, number)).unwrap();
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(5), base: 2. };
        let retry = RetryConfig { backoff, max_retries: 200, retry_timeout: LIMIT };
        let builder = HttpBuilder::new().with_url(format!("http://{}", network.address())).with_client_options(options());
        let store = builder.with_retry(retry).with_http_connector(Connector::default()).build().unwrap();
        let path = Path::from("bytes/1000000");
        let ranges = stream::iter(0..300u64).map(|number| {
            let (store, path) = (&store, &path);
            async move { (number, store.get_range(path, number * 3000..number * 3000 + 2000).await) }
        });
        let got: Vec<_> = tokio::time::timeout(LIMIT, ranges.buffer_unordered(64).collect()).await.expect("no request hangs");
        let mut expected = vec![0; 2000];
        for (number, got) in got {
            fill(0, number * 3000, &mut expected);
            assert_eq!(got.unwrap_or_else(|error| panic!("seed {seed}: range {number}: {error}")), expected, "seed {seed}");
        }
    }
}
