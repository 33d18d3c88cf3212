//! A query of DataFusion over many files.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use object_store::ObjectStore;

use crate::{Failure, files};

/// Sums two of eight columns of all files.
pub(crate) async fn scan(store: &Arc<dyn ObjectStore>, url: &str) -> Result<(), Failure> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(16));
    context.register_object_store(ObjectStoreUrl::parse(url)?.as_ref(), Arc::clone(store));
    let urls: Vec<String> = (0..files::FILES).map(|number| format!("{url}/files/{}", files::name(number))).collect();
    let table = context.read_parquet(urls, ParquetReadOptions::default()).await?;
    context.register_table("t", table.into_view())?;
    let found = context.sql("SELECT sum(c1), sum(c5) FROM t").await?.collect().await?;
    let sums = |batch: &RecordBatch| [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>().value(0));
    let found: Vec<[i64; 2]> = found.iter().map(sums).collect();
    let wanted = [files::sum(1), files::sum(5)];
    if found == [wanted] { Ok(()) } else { Err(format!("the sums are {found:?}, and not {wanted:?}").into()) }
}
