//! Old files go before the disk is full: by age, by size, by room left, the oldest first.
//!
//! Runs beside the encoder, never in it. Removes by unlink alone, so a query that has a file open reads it to its end;
//! removes nothing but files of the dataset's naming and of its own sensor, each with its line in the manifest first.

mod policy;

use std::{fs, io, path::Path, sync::Arc};

use crate::{
    dataset::name::DatasetFile,
    disk,
    file::disk_room,
    manifest::{Entry, Manifest, RemoveReason, published_files},
    upload::Uploads,
};

pub use self::policy::{Keep, KeepFree};
use self::policy::{Kept, Room, to_remove};

/// Runs in which the clock must go on evenly, after a leap, until files go by age again.
pub const STEADY_RUNS_MIN: u32 = 60;

/// A step of the clock between two runs that is taken for a leap.
const LEAP_NS: i64 = 3_600_000_000_000;

/// Files removed in one run at the most, so that a run has an end; the next one goes on.
pub const RUN_FILES_MAX: usize = 10_000;

/// A file that retention removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its path below the dataset's folder.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Why it went.
    pub reason: RemoveReason,
    /// It was to be uploaded and had not been yet.
    pub is_missed: bool,
}

/// Removes what is not to be kept of one sensor's files.
#[derive(Debug)]
pub struct Keeper {
    manifest: Manifest,
    keep: Keep,
    uploads: Option<Arc<Uploads>>,
    last_ns: Option<i64>,
    /// Runs since the clock leapt, up to `STEADY_RUNS_MIN`.
    steady_runs: u32,
}

impl Keeper {
    /// Keeps of `sensor`'s files in the dataset at `dir` what `keep` says.
    pub fn new(dir: &Path, sensor: &str, keep: Keep) -> Keeper {
        let manifest = Manifest::new(dir, sensor);
        Keeper { manifest, keep, uploads: None, last_ns: None, steady_runs: STEADY_RUNS_MIN }
    }

    /// Tells of each file it removes whether it had been uploaded.
    pub fn telling(self, uploads: Option<Arc<Uploads>>) -> Keeper {
        Keeper { uploads, ..self }
    }

    /// True where the disk has less room than is to be left free.
    pub fn is_pressed(&self) -> bool {
        self.keep.free.is_some()
            && self.room().is_ok_and(|room| room.free < self.keep.free_bytes_min(room.total))
    }

    /// Removes what has to go at `now_ns` (Unix time), up to the first error; the next run goes on.
    pub fn run(&mut self, now_ns: i64) -> (Vec<Removed>, Option<io::Error>) {
        let mut removed = Vec::new();
        let result = self.run_into(now_ns, &mut removed);
        (removed, result.err())
    }

    fn run_into(&mut self, now_ns: i64, removed: &mut Vec<Removed>) -> io::Result<()> {
        let trusted_ns = self.trusted(now_ns);
        let files = self.files()?;
        let reasons = to_remove(&self.keep, &files, self.room()?, trusted_ns);
        for (kept, reason) in files.into_iter().zip(reasons).take(RUN_FILES_MAX) {
            if !self.remove(&kept.file, reason, now_ns)? {
                continue;
            }
            tracing::info!(file = %kept.file.name, bytes = kept.bytes, ?reason, "removed by retention");
            let is_missed = self.uploads.as_ref().is_some_and(|uploads| !uploads.has(&kept.file.name));
            if is_missed {
                tracing::warn!(file = %kept.file.name, "retention removed a file that was not uploaded yet");
            }
            removed.push(Removed { file: kept.file.name, bytes: kept.bytes, reason, is_missed });
        }
        Ok(())
    }

    /// The time, unless the clock leapt lately: a wrong clock must not empty a dataset.
    fn trusted(&mut self, now_ns: i64) -> Option<i64> {
        let step = self.last_ns.map_or(0, |last| now_ns.saturating_sub(last));
        if step.saturating_abs() > LEAP_NS {
            tracing::warn!(
                seconds = step / 1_000_000_000,
                "the clock leapt: for now no file is removed by age"
            );
            self.steady_runs = 0;
        } else {
            self.steady_runs = (self.steady_runs + 1).min(STEADY_RUNS_MIN);
        }
        self.last_ns = Some(now_ns);
        (self.steady_runs == STEADY_RUNS_MIN).then_some(now_ns)
    }

    /// The sensor's files, oldest first.
    fn files(&self) -> io::Result<Vec<Kept>> {
        let dir = self.manifest.dir();
        let mut files = Vec::new();
        for file in published_files(dir)?.into_iter().filter(|file| file.sensor == self.manifest.sensor()) {
            match fs::symlink_metadata(file.path(dir)) {
                Ok(metadata) if metadata.is_file() => files.push(Kept { file, bytes: metadata.len() }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(files)
    }

    fn room(&self) -> io::Result<Room> {
        let (free, total) = disk_room(self.manifest.dir())?;
        Ok(Room { free, total })
    }

    /// Removes a file; false where it went otherwise meanwhile, as compaction lets files go.
    fn remove(&self, file: &DatasetFile, reason: RemoveReason, now_ns: i64) -> io::Result<bool> {
        let path = file.path(self.manifest.dir());
        let entry = Entry::Remove { file: file.name.clone(), reason, at_ns: now_ns };
        let is_there = || fs::symlink_metadata(&path).is_ok();
        if self.manifest.announce(entry, is_there, || disk::remove_if_there(&path))?.is_none() {
            return Ok(false);
        }
        let folders = path.ancestors().skip(1).take(2);
        for folder in folders {
            if !disk::remove_folder_if_empty(folder) {
                break;
            }
        }
        Ok(true)
    }
}
