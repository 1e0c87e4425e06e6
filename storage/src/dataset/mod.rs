//! Batches into a folder of Parquet files: partitions, rotation, publication, recovery.
//!
//! Files in progress live in `.staging/`, every row group of theirs synced with a footer beside it; publishing is a
//! rename. Invariant: a `.parquet` file below the dataset's folder is whole, at every moment, whatever happens.

mod access;
mod error;
mod in_progress;
mod missing;
pub(crate) mod name;
mod partition;
mod recover;
mod settings;
mod snapshot;
mod staging;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_schema::ArrowError;

use self::{
    error::reason,
    in_progress::{CommonMetadata, CountedFile, FileInProgress, Rows},
    name::new_file_name,
    recover::{Rest, Restored, recover_sensor, restore},
    staging::Staged,
};
use crate::{
    batch::Batch,
    encode::{Layout, cluster::clustered, gather::gather, texts::Texts},
    file::Files,
    manifest::Manifest,
    schema::{HTTP_TABLE, STATS_TABLE, StatsRow, StatsSchema, http_schema},
};

pub use self::{
    access::FOLDER_MODE,
    error::{LossReason, OpenError, WriteError},
    partition::{HOUR_NS, Partition},
    recover::{RecoverReport, RecoveredFile, recover, recover_with},
    settings::{FILE_AGE_MAX_DEFAULT, FILE_BYTES_MAX_DEFAULT, WriterSettings, ZSTD_LEVEL_DEFAULT},
    staging::{QUARANTINE_FOLDER, SENSOR_BYTES_MAX, STAGING_FOLDER},
};
pub(crate) use self::{
    error::{advice, io_error},
    in_progress::TimeSpan,
    staging::{StagingLock, sensor_folder},
};

/// Files of one writer open at a time; the oldest is published to make room. Each holds one buffer of the ring.
pub const OPEN_FILES_MAX: usize = 6;

/// Files that could not be published and are tried again; those beyond wait for the next start.
pub const STRANDED_FILES_MAX: usize = 64;

const _: () =
    assert!(OPEN_FILES_MAX * 2 <= crate::file::RING_BUFFER_COUNT, "half of the buffers can be in flight");

/// What one call wrote and published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that are safe on disk.
    pub rows: u64,
    /// Bytes of their row groups.
    pub bytes: u64,
    /// Files published.
    pub files_published: u64,
    /// Rows of table `http` in these files.
    pub rows_published: u64,
    /// Rows of table `http` in files that stay staged for the next start; told when a writer is closed.
    pub rows_staged: u64,
    /// Rows of table `http` that were written and are in no file: somebody removed or spoiled it before it was published.
    pub staging_lost: u64,
    /// The same of `capture_stats`.
    pub stats_lost: u64,
}

impl Written {
    fn published(&mut self, http_rows: u64) {
        self.files_published += 1;
        self.rows_published += http_rows;
    }

    /// Counts what of a file's rows did not come to be published, where only `rows` of them did.
    fn miss(&mut self, staged: &CountedFile, rows: u64) {
        let missing = staged.rows.saturating_sub(rows);
        if missing == 0 {
            return;
        }
        tracing::error!(path = %staged.file.data.display(), rows = missing,
            "rows that were written are lost: their file was removed or spoiled before it was published");
        match staged.table {
            HTTP_TABLE => self.staging_lost += missing,
            _ => self.stats_lost += missing,
        }
    }

    fn add(&mut self, other: Written) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.files_published += other.files_published;
        self.rows_published += other.rows_published;
        self.rows_staged += other.rows_staged;
        self.staging_lost += other.staging_lost;
        self.stats_lost += other.stats_lost;
    }
}

/// Writes batches into a dataset; one per encoder thread.
pub struct Writer {
    settings: WriterSettings,
    http: Layout,
    stats: Option<(StatsSchema, Layout)>,
    files: Files,
    common: CommonMetadata,
    open: Vec<FileInProgress>,
    stranded: Vec<CountedFile>,
    /// Rows of table `http` in files that are not even tried again.
    rows_left: u64,
    /// Whether a file of `capture_stats` was written by this writer.
    has_stats: bool,
    recovered: RecoverReport,
    owner: Arc<Owner>,
}

/// What the writers of one process and sensor share.
#[derive(Debug)]
struct Owner {
    _lock: StagingLock,
    manifest: Manifest,
}

/// Rows of one batch that could not be written.
struct Loss {
    rows: u64,
    path: PathBuf,
    source: io::Error,
}

impl Writer {
    /// Takes the sensor's place in the dataset and recovers what an earlier run left there.
    pub fn open(settings: WriterSettings) -> Result<Writer, OpenError> {
        settings.check()?;
        access::prepare(&settings.dir, &settings.sensor, settings.group)?;
        let lock = StagingLock::take(&settings.dir, &settings.sensor)?;
        let manifest =
            Manifest::new(&settings.dir, &settings.sensor).with_keyring(settings.keyring.clone()).staying();
        let mut recovered = RecoverReport::default();
        recover_sensor(&manifest, &mut recovered).map_err(|source| OpenError::Recovery {
            path: sensor_folder(&settings.dir, &settings.sensor),
            advice: advice(&source),
            source,
        })?;
        let owner = Owner { _lock: lock, manifest };
        let mut writer = Writer::with_owner(settings, Arc::new(owner))?;
        writer.recovered = recovered;
        Ok(writer)
    }

    /// Another writer of the same process and sensor, for another encoder.
    pub fn another(&self) -> Result<Writer, OpenError> {
        Writer::with_owner(self.settings.clone(), Arc::clone(&self.owner))
    }

    fn with_owner(settings: WriterSettings, owner: Arc<Owner>) -> Result<Writer, OpenError> {
        let layout = |table, schema| {
            Layout::new(schema, settings.zstd_level, &settings.keyring)
                .map_err(|source| OpenError::Schema { table, source })
        };
        let http = layout(HTTP_TABLE, http_schema())?;
        let stats = match &settings.stats {
            Some(schema) => Some((schema.clone(), layout(STATS_TABLE, schema.arrow())?)),
            None => None,
        };
        let common = CommonMetadata {
            sensor: settings.sensor.clone(),
            redaction_policy: settings.redaction_policy.clone(),
            flush_interval_ms: settings.flush_interval.as_millis(),
            extra: settings.metadata.clone(),
            ledger: BTreeMap::new(),
        };
        Ok(Writer {
            files: Files::new(settings.io),
            settings,
            http,
            stats,
            common,
            open: Vec::new(),
            stranded: Vec::new(),
            rows_left: 0,
            has_stats: false,
            recovered: RecoverReport::default(),
            owner,
        })
    }

    /// What `open` recovered.
    pub fn recovered(&self) -> &RecoverReport {
        &self.recovered
    }

    /// True where files are written through io_uring.
    pub fn uses_ring(&self) -> bool {
        self.files.uses_ring()
    }

    /// True where nothing but writes and syncs goes through the ring.
    pub fn is_ring_restricted(&self) -> bool {
        self.files.is_ring_restricted()
    }

    /// Files whose rows are safe but which could not be published yet.
    pub fn stranded(&self) -> usize {
        self.stranded.len()
    }

    /// Sets the counts that the ledger of files written from now on shows.
    pub fn set_ledger(&mut self, ledger: BTreeMap<String, String>) {
        self.common.ledger = ledger;
    }

    /// Writes a batch: one row group for each hour its rows fall into. `now_ns` is Unix time.
    pub fn write(&mut self, mut batch: Batch, now_ns: i64) -> Result<Written, WriteError> {
        let mut rows: Vec<(i64, u32)> = (0..)
            .zip(&batch.rows)
            .map(|(number, row)| (Partition::of(HTTP_TABLE, row.ts_ns).hour, number))
            .collect();
        rows.sort_unstable();
        let texts = Texts::take(&mut batch);
        let layout = self.http.clone();
        let mut outcome = Outcome::default();
        for rows in rows.chunk_by(|a, b| a.0 == b.0) {
            let partition = Partition { table: HTTP_TABLE, hour: rows[0].0 };
            let order = clustered(&batch, &texts, rows.iter().map(|(_, row)| *row));
            let times = order.iter().map(|row| batch.rows[*row as usize].ts_ns);
            let span = TimeSpan::of(times);
            match gather((&batch, &texts), &order, &self.settings.sensor, &layout.arrow) {
                Ok(batch) => self.append(partition, &layout, &Rows { batch, span }, now_ns, &mut outcome),
                Err(error) => self.lose_ungathered(partition, rows.len(), error, &mut outcome),
            }
        }
        outcome.into_result()
    }

    /// Writes rows of `capture_stats`; the settings named its counters.
    pub fn write_stats(&mut self, rows: &[StatsRow<'_>], now_ns: i64) -> Result<Written, WriteError> {
        let (schema, layout) = self.stats.clone().expect("the settings named the counters of capture_stats");
        let mut rows: Vec<StatsRow<'_>> = rows.to_vec();
        let hour = |row: &StatsRow<'_>| Partition::of(STATS_TABLE, row.ts_ns).hour;
        rows.sort_by_key(hour);
        let mut outcome = Outcome::default();
        for rows in rows.chunk_by(|a, b| hour(a) == hour(b)) {
            let partition = Partition { table: STATS_TABLE, hour: hour(&rows[0]) };
            let span = TimeSpan::of(rows.iter().map(|row| row.ts_ns));
            match schema.gather(rows) {
                Ok(batch) => self.append(partition, &layout, &Rows { batch, span }, now_ns, &mut outcome),
                Err(error) => self.lose_ungathered(partition, rows.len(), error, &mut outcome),
            }
        }
        outcome.into_result()
    }

    fn lose_ungathered(&self, partition: Partition, rows: usize, error: ArrowError, outcome: &mut Outcome) {
        let folder = self.settings.dir.join(partition.folder());
        outcome.lose(rows as u64, folder, io::Error::other(error));
    }

    /// Appends one row group to its partition's file and notes what came of it.
    fn append(
        &mut self,
        partition: Partition,
        layout: &Layout,
        rows: &Rows,
        now_ns: i64,
        outcome: &mut Outcome,
    ) {
        let row_count = rows.batch.num_rows() as u64;
        let mut file = match self.take_file(partition, layout, now_ns, outcome) {
            Ok(file) => file,
            Err(error) => {
                return outcome.lose(row_count, self.settings.dir.join(partition.folder()), error);
            }
        };
        match file.append(rows, &self.common) {
            Ok(bytes) => {
                outcome.written.add(Written { rows: row_count, bytes, ..Written::default() });
                if file.data_len() >= self.settings.file_bytes_max || file.is_full() {
                    self.publish(file, outcome);
                } else {
                    self.open.push(file);
                }
            }
            Err(error) => {
                let staged = file.counted();
                drop(file);
                outcome.lose(row_count, staged.file.data.clone(), error);
                self.salvage(staged, outcome);
            }
        }
    }

    /// The partition's open file, or a new one.
    fn take_file(
        &mut self,
        partition: Partition,
        layout: &Layout,
        now_ns: i64,
        outcome: &mut Outcome,
    ) -> io::Result<FileInProgress> {
        if let Some(at) = self.open.iter().position(|file| file.partition == partition) {
            return Ok(self.open.swap_remove(at));
        }
        while self.open.len() >= OPEN_FILES_MAX {
            let oldest =
                (0..self.open.len()).min_by_key(|at| self.open[*at].opened_ns).expect("files are open");
            let file = self.open.swap_remove(oldest);
            self.publish(file, outcome);
        }
        let staged = self.unused_name(partition, now_ns);
        let folder = staged.data.parent().expect("a staged file is in a folder");
        let folder = self.owner.manifest.home().folder(folder)?;
        FileInProgress::create((staged, folder), partition, now_ns, layout, &self.files)
    }

    /// Paths of a new file. Where processes share an id, as in containers, or the clock was set back, a name may be
    /// taken already; no file is ever written over.
    fn unused_name(&self, partition: Partition, now_ns: i64) -> Staged {
        loop {
            let name = new_file_name(&self.settings.sensor, now_ns);
            let staged = Staged::new(&self.settings.dir, &self.settings.sensor, partition, &name);
            if !staged.target.exists() && !staged.data.exists() {
                return staged;
            }
        }
    }

    /// Publishes a file; where that fails, its rows are safe and it is tried again at ticks.
    fn publish(&mut self, file: FileInProgress, outcome: &mut Outcome) {
        let staged = file.counted();
        match file.finish(&self.common, &self.owner.manifest) {
            Ok(()) => outcome.written.published(staged.http_rows()),
            Err(error) => {
                tracing::warn!(path = %staged.file.target.display(), %error, advice = advice(&error),
                    "cannot publish a file, trying again");
                self.salvage(staged, outcome);
            }
        }
    }

    /// Closes a failed file at its last good snapshot.
    fn salvage(&mut self, staged: CountedFile, outcome: &mut Outcome) {
        let rest = Rest::Counted { row_groups: staged.row_groups };
        match restore(&staged.file, rest, &self.owner.manifest, &mut self.recovered) {
            Ok(Restored::Published(file)) => {
                outcome.written.published(file.http_rows);
                outcome.written.miss(&staged, file.rows);
            }
            Ok(Restored::Empty | Restored::Quarantined) => outcome.written.miss(&staged, 0),
            Err(error) if self.stranded.len() < STRANDED_FILES_MAX => {
                tracing::debug!(path = %staged.file.data.display(), %error, "a file stays staged for now");
                self.stranded.push(staged);
            }
            Err(error) => {
                tracing::error!(path = %staged.file.data.display(), %error, "a file stays staged until the next start");
                self.rows_left += staged.http_rows();
            }
        }
    }

    /// Publishes files that are old enough and tries stranded ones again.
    pub fn tick(&mut self, now_ns: i64) -> Written {
        let mut outcome = Outcome::default();
        for file in std::mem::take(&mut self.open) {
            let open_max = self.settings.open_max(file.partition.table, self.has_stats).as_nanos();
            let open_max = i64::try_from(open_max).unwrap_or(i64::MAX);
            // A clock set back makes a file young; one set back for good makes it as old as the new time says.
            if now_ns.saturating_sub(file.opened_ns).saturating_abs() >= open_max {
                self.has_stats |= file.partition.table == STATS_TABLE;
                self.publish(file, &mut outcome);
            } else {
                self.open.push(file);
            }
        }
        for staged in std::mem::take(&mut self.stranded) {
            match staged.is_removed() {
                true => outcome.written.miss(&staged, 0),
                false => self.salvage(staged, &mut outcome),
            }
        }
        self.owner.manifest.flush();
        outcome.written
    }

    /// Publishes every file; what still cannot be published stays for the next start.
    pub fn close(mut self) -> Written {
        let mut outcome = Outcome::default();
        for file in std::mem::take(&mut self.open) {
            self.publish(file, &mut outcome);
        }
        outcome.written.add(self.tick(0));
        let stranded: u64 = self.stranded.iter().map(CountedFile::http_rows).sum();
        outcome.written.rows_staged = stranded + self.rows_left;
        outcome.written
    }

    /// The dataset's folder.
    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }
}

/// What one call did, and the losses in it.
#[derive(Default)]
struct Outcome {
    written: Written,
    losses: Vec<Loss>,
}

impl Outcome {
    fn lose(&mut self, rows: u64, path: PathBuf, source: io::Error) {
        self.losses.push(Loss { rows, path, source });
    }

    fn into_result(mut self) -> Result<Written, WriteError> {
        if self.losses.is_empty() {
            return Ok(self.written);
        }
        let rows_lost = self.losses.iter().map(|loss| loss.rows).sum();
        let first = self.losses.swap_remove(0);
        Err(WriteError {
            written: self.written,
            rows_lost,
            reason: reason(&first.source),
            path: first.path,
            advice: advice(&first.source),
            source: first.source,
        })
    }
}
