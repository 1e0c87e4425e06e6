//! From batch to row group: cluster, gather, compress, and the footer that makes the file whole.
//!
//! Knows nothing of folders or rotation; it writes to any `std::io::Write`.

mod cells;
pub(crate) mod cluster;
mod coded;
pub(crate) mod footer;
pub(crate) mod gather;
mod properties;
pub(crate) mod row_groups;
mod sealed;
pub(crate) mod texts;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

pub(crate) use self::{properties::Layout, row_groups::RowGroups};
use crate::{batch::Batch, schema::http_schema};

/// The rows of a batch as a file of `sensor` would hold them, in the order in which they were appended.
pub fn table(mut batch: Batch, sensor: &str) -> Result<RecordBatch, ArrowError> {
    let order: Vec<u32> = (0..).take(batch.rows()).collect();
    let texts = texts::Texts::take(&mut batch);
    gather::gather((&batch, &texts), &order, sensor, &http_schema())
}
