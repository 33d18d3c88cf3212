//! SQL over the Parquet files below a URL, by DataFusion: `sql s3://BUCKET/PREFIX/ QUERY`. The query calls the table `t`.

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use engines::{Failure, bucket, store_of};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, query] = &arguments[..] else { return Err("usage: sql s3://BUCKET/PREFIX/ QUERY".into()) };
    // DataFusion reads as many files at once as it has partitions: one for each core, unless you say more. While a request
    // waits for the store, others cost nothing.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(16));
    let store = ObjectStoreUrl::parse(store_of(url))?;
    context.register_object_store(store.as_ref(), Arc::new(bucket(url)?));
    context.register_parquet("t", url, ParquetReadOptions::default()).await?;
    context.sql(query).await?.show().await?;
    Ok(())
}
