//! One file from its first row group to its publication.
//!
//! Invariant: after `append` returns without error, the row group and a footer that covers it are on disk.

use std::{collections::BTreeMap, io};

use arrow_array::RecordBatch;
use parquet::file::metadata::KeyValue;
use serde::Serialize;

use super::{error::io_error, partition::Partition, snapshot::Snapshot, staging::Staged};
use crate::{
    disk::Folder,
    encode::{Layout, RowGroups, footer::read_tail},
    encrypt::ROW_GROUPS_MAX,
    file::{Files, Hashed, OutputFile},
    manifest::{Manifest, facts_of},
    schema::{HTTP_TABLE, SCHEMA_VERSION},
};

/// A file whose rows are safe but which no query sees yet.
pub(crate) struct FileInProgress {
    pub(crate) staged: Staged,
    /// The folder that it is staged in, with the snapshot of its footer.
    folder: Folder,
    pub(crate) partition: Partition,
    /// Unix time in nanoseconds by the clock of the writer's caller.
    pub(crate) opened_ns: i64,
    row_groups: RowGroups<Hashed<OutputFile>>,
    ledger: FileLedger,
}

/// A file that is no longer written to, and what of it is safe on disk.
pub(crate) struct CountedFile {
    pub(crate) file: Staged,
    folder: Folder,
    pub(crate) table: &'static str,
    /// Its rows that were reported written.
    pub(crate) rows: u64,
    /// Their row groups.
    pub(crate) row_groups: usize,
}

impl CountedFile {
    /// Its rows of table `http`.
    pub(crate) fn http_rows(&self) -> u64 {
        if self.table == HTTP_TABLE { self.rows } else { 0 }
    }

    /// Whether it was taken out of the folder that it is staged in, which is known also where no path leads there.
    pub(crate) fn is_removed(&self) -> bool {
        self.folder.has(&self.file.data).is_ok_and(|is_there| !is_there)
    }
}

/// What a file says of itself under the key `ledger`, as JSON.
#[derive(Clone, Debug, Serialize)]
struct FileLedger {
    rows: u64,
    row_groups: usize,
    ts_min_ns: Option<i64>,
    ts_max_ns: Option<i64>,
    flush_interval_ms: u128,
    counters: BTreeMap<String, String>,
}

/// Metadata that all files of a writer share.
#[derive(Clone, Debug)]
pub(crate) struct CommonMetadata {
    pub(crate) sensor: String,
    pub(crate) redaction_policy: String,
    pub(crate) flush_interval_ms: u128,
    pub(crate) extra: BTreeMap<String, String>,
    /// Counts known to the process so far.
    pub(crate) ledger: BTreeMap<String, String>,
}

/// Rows of one row group and the time they span.
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    pub(crate) span: TimeSpan,
}

/// First and last time of some rows: Unix time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpan {
    first_ns: i64,
    last_ns: i64,
}

impl TimeSpan {
    /// The span of these times, in any order; nothing at all spans backwards.
    pub(crate) fn of(times_ns: impl Iterator<Item = i64>) -> TimeSpan {
        let nothing = TimeSpan { first_ns: i64::MAX, last_ns: i64::MIN };
        times_ns.fold(nothing, |span, ts_ns| TimeSpan {
            first_ns: span.first_ns.min(ts_ns),
            last_ns: span.last_ns.max(ts_ns),
        })
    }

    /// The span of both.
    pub(crate) fn join(self, other: TimeSpan) -> TimeSpan {
        TimeSpan { first_ns: self.first_ns.min(other.first_ns), last_ns: self.last_ns.max(other.last_ns) }
    }

    pub(crate) fn first_ns(&self) -> i64 {
        self.first_ns
    }

    pub(crate) fn last_ns(&self) -> i64 {
        self.last_ns
    }
}

impl FileInProgress {
    pub(crate) fn create(
        (staged, folder): (Staged, Folder),
        partition: Partition,
        opened_ns: i64,
        layout: &Layout,
        files: &Files,
    ) -> io::Result<FileInProgress> {
        let out = Hashed::new(files.create_in(&folder, &staged.data)?);
        let row_groups = RowGroups::new(out, layout.clone())
            .map_err(io_error)
            .inspect_err(|_| remove_unused(&staged, &folder))?;
        let ledger = FileLedger {
            rows: 0,
            row_groups: 0,
            ts_min_ns: None,
            ts_max_ns: None,
            flush_interval_ms: 0,
            counters: BTreeMap::new(),
        };
        Ok(FileInProgress { staged, folder, partition, opened_ns, row_groups, ledger })
    }

    /// Appends a row group and makes it safe; after an error only the snapshot before holds.
    pub(crate) fn append(&mut self, rows: &Rows, common: &CommonMetadata) -> io::Result<u64> {
        let before = self.row_groups.data_len();
        self.row_groups.append(&rows.batch).map_err(io_error)?;
        self.row_groups.inner_mut().inner_mut().sync()?;
        let safe = self.ledger.clone();
        self.ledger.rows += rows.batch.num_rows() as u64;
        self.ledger.row_groups = self.row_groups.row_groups();
        self.ledger.ts_min_ns =
            Some(self.ledger.ts_min_ns.map_or(rows.span.first_ns, |ts| ts.min(rows.span.first_ns)));
        self.ledger.ts_max_ns =
            Some(self.ledger.ts_max_ns.map_or(rows.span.last_ns, |ts| ts.max(rows.span.last_ns)));
        let data_len = self.row_groups.data_len();
        let snapshot = self.tail(common).map(|tail| Snapshot { data_len, tail });
        let written = snapshot.and_then(|snapshot| snapshot.write(&self.folder, &self.staged.snapshot));
        written.inspect_err(|_| self.ledger = safe)?;
        Ok(data_len - before)
    }

    /// The file as it stands on disk.
    pub(crate) fn counted(&self) -> CountedFile {
        CountedFile {
            file: self.staged.clone(),
            folder: self.folder.clone(),
            table: self.partition.table,
            rows: self.ledger.rows,
            row_groups: self.ledger.row_groups,
        }
    }

    /// Bytes of the file without its footer.
    pub(crate) fn data_len(&self) -> u64 {
        self.row_groups.data_len()
    }

    /// True where no further row group could be told from the others.
    pub(crate) fn is_full(&self) -> bool {
        self.row_groups.row_groups() >= ROW_GROUPS_MAX
    }

    fn tail(&mut self, common: &CommonMetadata) -> io::Result<Vec<u8>> {
        self.ledger.flush_interval_ms = common.flush_interval_ms;
        self.ledger.counters.clone_from(&common.ledger);
        let ledger = serde_json::to_string(&self.ledger).map_err(io::Error::other)?;
        let own = [
            ("schema_version", SCHEMA_VERSION.to_owned()),
            ("table", self.partition.table.to_owned()),
            ("sensor", common.sensor.clone()),
            ("redaction_policy", common.redaction_policy.clone()),
            ("hdrcap_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("ledger", ledger),
        ];
        let metadata = own
            .into_iter()
            .map(|(key, value)| KeyValue::new(key.to_owned(), value))
            .chain(common.extra.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())))
            .collect();
        self.row_groups.tail(metadata).map_err(io_error)
    }

    /// Ends the file with its footer and publishes it; after an error it stays staged, whole by its snapshot.
    pub(crate) fn finish(mut self, common: &CommonMetadata, manifest: &Manifest) -> io::Result<()> {
        let tail = self.tail(common)?;
        let data_len = self.row_groups.data_len();
        let (out, sha256) = self.row_groups.finish(&tail).map_err(io_error)?.finish();
        out.finish()?;
        let bytes = data_len + tail.len() as u64;
        let metadata = read_tail(data_len, tail, manifest.keyring()).map_err(io_error)?;
        let facts = facts_of(self.staged.name()?, &metadata, bytes, sha256);
        self.staged.publish(&self.folder, manifest, facts)
    }
}

/// A file that could not even take its magic holds nothing.
fn remove_unused(staged: &Staged, folder: &Folder) {
    if let Err(error) = folder.remove(&staged.data) {
        tracing::debug!(%error, path = %staged.data.display(), "an empty file stays in staging until the next start");
    }
}
