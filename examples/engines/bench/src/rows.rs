//! The rows of the table.

use std::time::Duration;

/// Two clients that do the same work.
pub(crate) struct Row {
    pub(crate) work: &'static str,
    /// How long after a request the server answers it.
    pub(crate) delay: Duration,
    pub(crate) ours: Client,
    pub(crate) theirs: Client,
    /// Names `theirs`.
    pub(crate) against: &'static str,
    pub(crate) measure: Measure,
    pub(crate) wanted: f64,
}

/// A process that does the work: its program, and its arguments without the URL.
pub(crate) enum Client {
    Rust(&'static str, &'static str, usize),
    Python(&'static str, &'static str, usize),
}

pub(crate) enum Measure {
    /// The rate of the first client, divided by that of the second.
    Rate,
    /// The CPU time of the first client's process, divided by that of the second's.
    Cpu,
}

/// All rows. A limit of 0 connections is none.
pub(crate) fn all() -> Vec<Row> {
    use Measure::{Cpu, Rate};
    let rust = |work, delay, name, connections, limit, measure, wanted| Row {
        work: name,
        delay: Duration::from_millis(delay),
        ours: Client::Rust(work, "dugong", connections),
        theirs: Client::Rust(work, "reqwest", limit),
        against: if limit == 0 { "reqwest" } else { "reqwest behind `LimitStore`" },
        measure,
        wanted,
    };
    let python = |work, delay, name, stock, connections, measure, wanted| Row {
        work: name,
        delay: Duration::from_millis(delay),
        ours: Client::Python(work, "dugong", connections),
        theirs: Client::Python(work, "stock", connections),
        against: stock,
        measure,
        wanted,
    };
    let ranges = "object_store: 10,000 `get_range` of 4 KiB, 128 at a time";
    let scan = "DataFusion: 200 Parquet files, 16 partitions";
    vec![
        rust("range", 5, ranges, 4, 4, Rate, 5.0),
        rust("range", 5, ranges, 4, 0, Rate, 1.0),
        rust("range", 0, ranges, 4, 0, Rate, 1.0),
        rust("range", 0, ranges, 4, 0, Cpu, 0.6),
        rust("ranges", 5, "object_store: 50 `get_ranges` of 40 ranges", 4, 0, Rate, 1.0),
        rust("ranges", 0, "object_store: 50 `get_ranges` of 40 ranges", 4, 0, Rate, 1.0),
        rust("download", 0, "object_store: one object of 1 GB", 4, 0, Rate, 1.0),
        rust("scan", 5, scan, 2, 2, Rate, 1.5),
        rust("scan", 5, scan, 4, 0, Rate, 1.0),
        rust("scan", 0, scan, 4, 0, Rate, 1.0),
        python("cat_ranges", 5, "fsspec: `cat_ranges` of 5,000 parts of 4 KiB", "aiohttp", 4, Rate, 5.0),
        python("cat_file", 0, "fsspec: one file of 200 MB", "aiohttp", 4, Rate, 1.0),
        python("httpx", 0, "httpx: 2,000 GETs, one after the other", "httpcore", 4, Cpu, 0.6),
        python("httpx_async", 0, "httpx: 2,000 GETs, 64 tasks", "httpcore", 4, Cpu, 0.6),
        python("httpx_stream", 0, "httpx: one response of 1 GB", "httpcore", 4, Rate, 1.0),
    ]
}
