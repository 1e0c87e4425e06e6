//! Rows by host and time, in bounded memory: sorted while they fit, else put down as sorted runs.
//!
//! A run is a file of this process alone: it has no name from the moment it is open, so nothing of it outlives a crash.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use arrow_array::{Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_select::{concat::concat_batches, interleave::interleave_record_batch};
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, ZstdLevel},
    errors::{ParquetError, Result},
    file::properties::{EnabledStatistics, WriterProperties},
};

use super::merge::Merge;
use crate::{
    dataset::io_error,
    disk::{self, Change},
    encrypt::PassingKey,
    file::FILE_MODE,
};

/// Rows that are put together at a time; with the longest heads that is 128 MiB.
pub(super) const CHUNK_ROWS: usize = 1024;

/// Rows of a batch that is worth keeping by itself.
const SMALL_ROWS: usize = 256;

/// Bytes of rows that are read back from a run at a time.
const RUN_GROUP_BYTES: usize = 2 << 20;

/// Runs merged at a time; more rows than they hold are left for another merge.
pub(super) const RUNS_MAX: usize = 64;

/// What rows are sorted by: host, where the table has one, then time; rows without a host first.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    host: Option<StringArray>,
    ts_ns: Int64Array,
}

impl Keys {
    /// The keys of a batch's rows.
    pub(super) fn of(batch: &RecordBatch) -> Result<Keys> {
        let ts_ns = batch.column_by_name("ts_ns").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let ts_ns =
            ts_ns.ok_or_else(|| ParquetError::General("no column ts_ns of 64-bit integers".into()))?;
        let host = batch.column_by_name("host").and_then(|column| column.as_string_opt::<i32>());
        Ok(Keys { host: host.cloned(), ts_ns: ts_ns.clone() })
    }

    pub(super) fn at(&self, row: usize) -> (Option<&str>, i64) {
        let host = self.host.as_ref().filter(|host| host.is_valid(row)).map(|host| host.value(row));
        (host, self.ts_ns.value(row))
    }

    /// Earliest and latest time.
    pub(super) fn times(&self) -> impl Iterator<Item = i64> {
        self.ts_ns.values().iter().copied()
    }
}

/// Takes rows in any order.
pub(super) struct Sorter<'a> {
    /// Where runs are put down.
    folder: &'a Path,
    bytes_max: usize,
    /// Runs are encrypted with it, if they are.
    key: Option<PassingKey>,
    /// Small batches that are to be one: each costs something whenever rows are picked from all of them.
    small: Vec<RecordBatch>,
    small_rows: usize,
    batches: Vec<RecordBatch>,
    bytes: usize,
    runs: Vec<Run>,
}

impl<'a> Sorter<'a> {
    /// Holds at most `bytes_max` of rows in memory.
    pub(super) fn new(folder: &'a Path, bytes_max: usize, key: Option<PassingKey>) -> Sorter<'a> {
        Sorter {
            folder,
            bytes_max,
            key,
            small: Vec::new(),
            small_rows: 0,
            batches: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
        }
    }

    /// Takes rows.
    pub(super) fn push(&mut self, batch: RecordBatch) -> io::Result<()> {
        self.bytes += batch.get_array_memory_size();
        self.small_rows += batch.num_rows();
        self.small.push(batch);
        if self.small_rows >= SMALL_ROWS {
            self.join_small()?;
        }
        if self.bytes >= self.bytes_max { self.put_down() } else { Ok(()) }
    }

    /// Runs so far.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    fn join_small(&mut self) -> io::Result<()> {
        self.small_rows = 0;
        let joined = match &self.small[..] {
            [] => return Ok(()),
            [one] => one.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &self.small).map_err(io::Error::other)?,
        };
        self.small.clear();
        self.batches.push(joined);
        Ok(())
    }

    fn put_down(&mut self) -> io::Result<()> {
        self.join_small()?;
        let sorted = InMemory::sort(std::mem::take(&mut self.batches)).map_err(io_error)?;
        self.bytes = 0;
        self.runs.push(Run::write(self.folder, sorted, self.key.as_ref()).map_err(io_error)?);
        Ok(())
    }

    /// The rows, in order.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.join_small()?;
        if self.runs.is_empty() {
            return Ok(Sorted::InMemory(InMemory::sort(self.batches).map_err(io_error)?));
        }
        if !self.batches.is_empty() {
            self.put_down()?;
        }
        Ok(Sorted::Runs(Merge::new(self.runs).map_err(io_error)?))
    }
}

/// Sorted rows, some at a time.
pub(super) enum Sorted {
    /// All of them in memory.
    InMemory(InMemory),
    /// From runs.
    Runs(Merge),
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        match self {
            Sorted::InMemory(rows) => rows.next(),
            Sorted::Runs(rows) => rows.next(),
        }
    }
}

/// Batches in memory and the order of their rows.
pub(super) struct InMemory {
    batches: Vec<RecordBatch>,
    order: std::vec::IntoIter<(usize, usize)>,
}

impl InMemory {
    fn sort(batches: Vec<RecordBatch>) -> Result<InMemory> {
        let keys: Vec<Keys> = batches.iter().map(Keys::of).collect::<Result<_>>()?;
        let places = batches.iter().enumerate();
        let mut order: Vec<(usize, usize)> =
            places.flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row))).collect();
        // Equal rows stay as they came, so that the same files always become the same file.
        order.sort_by(|a, b| keys[a.0].at(a.1).cmp(&keys[b.0].at(b.1)));
        Ok(InMemory { batches, order: order.into_iter() })
    }
}

impl Iterator for InMemory {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let places: Vec<(usize, usize)> = self.order.by_ref().take(CHUNK_ROWS).collect();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        (!places.is_empty()).then(|| Ok(interleave_record_batch(&batches, &places)?))
    }
}

/// Sorted rows on disk.
pub(super) struct Run {
    file: File,
    metadata: ArrowReaderMetadata,
    next: usize,
}

impl Run {
    fn write(folder: &Path, sorted: InMemory, key: Option<&PassingKey>) -> Result<Run> {
        let file = nameless(folder)?;
        let schema = sorted.batches.first().map(RecordBatch::schema).expect("a run has rows");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::None);
        let mut options = ArrowReaderOptions::new();
        if let Some(key) = key {
            properties = properties.with_file_encryption_properties(key.encryption());
            options = options.with_file_decryption_properties(key.decryption());
        }
        let mut out = ArrowWriter::try_new(file.try_clone()?, schema, Some(properties.build()))?;
        for rows in sorted {
            let rows = rows?;
            let parts = rows.get_array_memory_size().div_ceil(RUN_GROUP_BYTES).clamp(1, rows.num_rows());
            let part_rows = rows.num_rows().div_ceil(parts);
            for start in (0..rows.num_rows()).step_by(part_rows) {
                out.write(&rows.slice(start, part_rows.min(rows.num_rows() - start)))?;
                out.flush()?;
            }
        }
        out.close()?;
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        Ok(Run { file, metadata, next: 0 })
    }

    /// Its next rows.
    pub(super) fn read(&mut self) -> Result<Option<RecordBatch>> {
        let groups = self.metadata.metadata().row_groups();
        let Some(group) = groups.get(self.next) else { return Ok(None) };
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let file = self.file.try_clone()?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_groups(vec![self.next])
            .with_batch_size(rows)
            .build()?;
        self.next += 1;
        let batches: Vec<RecordBatch> = reader.collect::<std::result::Result<_, _>>()?;
        let schema = Arc::clone(self.metadata.schema());
        Ok(Some(concat_batches(&schema, &batches)?))
    }
}

/// A file to write and read that goes with this process.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("run-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    let file = disk::make(Change::CreateFile(path.clone()), || options.open(&path))?;
    disk::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use arrow_array::ArrayRef;

    use super::*;

    fn rows(hosts: &[Option<&str>], times: &[i64]) -> RecordBatch {
        let columns: [(&str, ArrayRef, bool); 2] = [
            ("host", Arc::new(StringArray::from(hosts.to_vec())), true),
            ("ts_ns", Arc::new(Int64Array::from(times.to_vec())), false),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }

    fn sorted(batches: &[RecordBatch], bytes_max: usize) -> (Vec<(Option<String>, i64)>, usize) {
        sorted_with(batches, bytes_max, None)
    }

    fn sorted_with(
        batches: &[RecordBatch],
        bytes_max: usize,
        key: Option<PassingKey>,
    ) -> (Vec<(Option<String>, i64)>, usize) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut sorter = Sorter::new(dir.path(), bytes_max, key);
        for batch in batches {
            sorter.push(batch.clone()).expect("a writable folder");
        }
        let runs = sorter.runs();
        let mut all = Vec::new();
        for batch in sorter.finish().expect("sorted") {
            let batch = batch.expect("readable");
            let keys = Keys::of(&batch).expect("both columns");
            all.extend(
                (0..batch.num_rows()).map(|row| keys.at(row)).map(|(host, ts)| (host.map(str::to_owned), ts)),
            );
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "runs leave nothing behind");
        (all, runs)
    }

    #[test]
    fn runs_and_memory_give_the_same_order() {
        let hosts = [Some("b"), None, Some("a"), Some("b"), Some("")];
        let batches: Vec<RecordBatch> = (0..300)
            .map(|number| {
                let times: Vec<i64> = (0..5).map(|row| (number * 7_919 + row * 31) % 1_000).collect();
                rows(&hosts, &times)
            })
            .collect();
        let (in_memory, no_runs) = sorted(&batches, usize::MAX);
        let (from_runs, runs) = sorted(&batches, 20_000);
        let key = PassingKey::random().expect("a key");
        assert!(sorted_with(&batches, 20_000, Some(key)) == (from_runs.clone(), runs), "encrypted as well");
        assert_eq!(no_runs, 0);
        assert!(runs > 3, "{runs}");
        let mut naive = in_memory.clone();
        naive.sort();
        assert!(in_memory == naive && from_runs == naive);
        assert_eq!(naive.len(), 1_500);
        let (one_each, runs) = sorted(&batches[..40], 1);
        assert_eq!(runs, 40);
        assert_eq!(one_each.len(), 200);
        assert!(one_each.is_sorted());
    }
}
