//! The work of a client in Rust: reads from a store of object_store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dugong_object_store::Connector;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::http::HttpBuilder;
use object_store::limit::LimitStore;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt};
use rustix::time::{ClockId, clock_gettime};

use crate::{Failure, scan};

/// Does the work, and prints how many seconds it took, and how many of CPU time.
#[tokio::main]
pub(crate) async fn run(work: &str, client: &str, connections: usize, url: &str) -> Result<(), Failure> {
    let store = store(client, connections, url)?;
    // The first connection of each client does not count.
    store.get_range(&Path::from("bytes/10"), 0..10).await?;
    let (start, cpu) = (Instant::now(), cpu_time());
    match work {
        "range" => range(&store).await?,
        "ranges" => ranges(&store).await?,
        "download" => download(&store).await?,
        "scan" => scan::scan(&store, url).await?,
        _ => return Err(format!("no work is called {work:?}").into()),
    }
    println!("{} {}", start.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    Ok(())
}

fn store(client: &str, connections: usize, url: &str) -> Result<Arc<dyn ObjectStore>, Failure> {
    let options = ClientOptions::new().with_allow_http(true);
    let builder = HttpBuilder::new().with_url(url).with_client_options(options);
    Ok(match (client, connections) {
        ("dugong", _) => {
            let connector = Connector::builder().connections(connections).build();
            Arc::new(builder.with_http_connector(connector).build()?)
        }
        ("reqwest", 0) => Arc::new(builder.build()?),
        ("reqwest", _) => Arc::new(LimitStore::new(builder.build()?, connections)),
        _ => return Err(format!("no client is called {client:?}").into()),
    })
}

async fn range(store: &Arc<dyn ObjectStore>) -> Result<(), Failure> {
    let path = Path::from("bytes/40960000");
    let got = stream::iter(0..10_000u64)
        .map(|number| store.get_range(&path, number * 4096..(number + 1) * 4096))
        .buffer_unordered(128)
        .try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) })
        .await?;
    expect(got, 40_960_000)
}

/// The store would join ranges that are closer than 1 MiB.
async fn ranges(store: &Arc<dyn ObjectStore>) -> Result<(), Failure> {
    let path = Path::from("bytes/100000000");
    let ranges: Vec<_> = (0..40).map(|number| number * 2_000_000..number * 2_000_000 + 4096).collect();
    let mut got = 0;
    for _ in 0..50 {
        got += store.get_ranges(&path, &ranges).await?.iter().map(|bytes| bytes.len()).sum::<usize>();
    }
    expect(got, 50 * 40 * 4096)
}

async fn download(store: &Arc<dyn ObjectStore>) -> Result<(), Failure> {
    let content = store.get(&Path::from("bytes/1000000000")).await?.into_stream();
    let got = content.try_fold(0, |sum, bytes| async move { Ok(sum + bytes.len()) }).await?;
    expect(got, 1_000_000_000)
}

fn expect(got: usize, wanted: usize) -> Result<(), Failure> {
    if got == wanted { Ok(()) } else { Err(format!("{got} bytes came, and not {wanted}").into()) }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
