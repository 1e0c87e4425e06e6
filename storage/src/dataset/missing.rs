//! How many rows a crash may have cost: those that were in memory and on disk nowhere.
//!
//! Nobody can count them any more. No row waits longer than a flush interval, so they are taken to be as many as the
//! last such interval before the crash brought to the file.

use parquet::file::{
    metadata::{ParquetMetaData, RowGroupMetaData},
    statistics::Statistics,
};
use serde_json::Value;

use crate::{encode::footer::text_of, schema::HTTP_TABLE};

/// True for a file of table `http`.
pub(crate) fn is_http(metadata: &ParquetMetaData) -> bool {
    text_of(metadata, "table") == Some(HTTP_TABLE)
}

/// Rows of table `http` that may be missing behind this file's last row group: those of its row groups whose newest
/// row is within one flush interval of the newest of all. 0 for other tables.
pub(crate) fn rows_maybe_missing(metadata: &ParquetMetaData) -> u64 {
    if !is_http(metadata) {
        return 0;
    }
    let interval_ns = flush_interval_ns(metadata).unwrap_or(0);
    let newest: Vec<(i64, i64)> = metadata
        .row_groups()
        .iter()
        .map(|group| (newest_ns(group).unwrap_or(i64::MIN), group.num_rows()))
        .collect();
    let end_ns = newest.iter().map(|(ns, _)| *ns).max().unwrap_or(i64::MIN);
    let late = newest.iter().filter(|(ns, _)| *ns >= end_ns.saturating_sub(interval_ns));
    late.map(|(_, rows)| u64::try_from(*rows).unwrap_or(0)).sum()
}

fn flush_interval_ns(metadata: &ParquetMetaData) -> Option<i64> {
    let ledger: Value = serde_json::from_str(text_of(metadata, "ledger")?).ok()?;
    ledger["flush_interval_ms"].as_i64()?.checked_mul(1_000_000)
}

/// Latest `ts_ns` of a row group.
fn newest_ns(group: &RowGroupMetaData) -> Option<i64> {
    let column = group.columns().iter().find(|column| column.column_path().parts() == ["ts_ns"])?;
    match column.statistics()? {
        Statistics::Int64(values) => values.max_opt().copied(),
        Statistics::Boolean(_)
        | Statistics::Int32(_)
        | Statistics::Int96(_)
        | Statistics::Float(_)
        | Statistics::Double(_)
        | Statistics::ByteArray(_)
        | Statistics::FixedLenByteArray(_) => None,
    }
}
