//! SQL over the Parquet files below a URL, by Ballista.
//!
//! - `ballista s3://BUCKET/PREFIX/ QUERY` runs scheduler and executor in this process. The query calls the table `t`.
//! - `ballista executor s3://BUCKET/ HOST PORT` is an executor of the scheduler at that address.

use std::sync::Arc;

use ballista::extension::{SessionConfigExt, SessionContextExt};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use engines::{Failure, bucket, store_of};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    match arguments[..] {
        ["executor", url, host, port] => executor(runtime(url)?, host, port.parse()?).await,
        [url, query] => in_this_process(url, query).await,
        _ => Err("usage: ballista s3://BUCKET/PREFIX/ QUERY, or ballista executor s3://BUCKET/ HOST PORT".into()),
    }
}

/// Queries travel as plans, which name the store by its URL. So client, scheduler and executors each need a runtime like this.
fn runtime(url: &str) -> Result<Arc<RuntimeEnv>, Failure> {
    let runtime = RuntimeEnvBuilder::new().build_arc()?;
    let store = ObjectStoreUrl::parse(store_of(url))?;
    runtime.register_object_store(store.as_ref(), Arc::new(bucket(url)?));
    Ok(runtime)
}

async fn in_this_process(url: &str, query: &str) -> Result<(), Failure> {
    let config = SessionConfig::new_with_ballista().with_target_partitions(16);
    let state = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime(url)?).with_default_features().build();
    let context = SessionContext::standalone_with_state(state).await?;
    context.register_parquet("t", url, ParquetReadOptions::default()).await?;
    context.sql(query).await?.show().await?;
    Ok(())
}

async fn executor(runtime: Arc<RuntimeEnv>, host: &str, port: u16) -> Result<(), Failure> {
    let config = ExecutorProcessConfig {
        scheduler_host: host.to_owned(),
        scheduler_port: port,
        // Each query of a client gets it, so all of them share the connections.
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        ..ExecutorProcessConfig::default()
    };
    Ok(start_executor_process(Arc::new(config)).await?)
}
