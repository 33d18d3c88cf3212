//! The Parquet files that DataFusion scans.

use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;

use crate::Failure;

pub(crate) const FILES: i64 = 200;
const ROWS: i64 = 2_000;
/// Of 8 bytes each; a query reads some of them.
const COLUMNS: i64 = 8;

pub(crate) fn name(number: i64) -> String {
    format!("{number:03}.parquet")
}

/// Writes the files into a directory of their own.
pub(crate) fn make() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    for number in 0..FILES {
        let columns = (0..COLUMNS).map(|column| {
            let values = (0..ROWS).map(|row| value(number, column, row));
            (format!("c{column}"), Arc::new(Int64Array::from_iter_values(values)) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(columns)?;
        let mut writer = ArrowWriter::try_new(File::create(folder.path().join(name(number)))?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
    }
    Ok(folder)
}

/// The sum of a column over all files.
pub(crate) fn sum(column: i64) -> i64 {
    (0..FILES).flat_map(|number| (0..ROWS).map(move |row| value(number, column, row))).sum()
}

/// Numbers that compress badly.
fn value(file: i64, column: i64, row: i64) -> i64 {
    (file * 1_000_003 + column * 10_007 + row).wrapping_mul(0x5851_f42d_4c95_7f2d) >> 24
}
