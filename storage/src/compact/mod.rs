//! Small files of hours that are over become large ones, sorted by host and time, each named in its successor.
//!
//! plan → read and sort → write → read back → swap. Runs beside everything else, one merge after the other; a kill leaves
//! the old files or the new one. Invariant: no file goes before each of its rows was read back from a durable one that is
//! in its place and in the manifest.

mod fingerprint;
mod merge;
mod plan;
mod rewrite;
mod sort;

use std::{
    cell::Cell,
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use self::{
    plan::{Candidate, Group},
    rewrite::Rewrite,
};
use crate::{
    dataset::{StagingLock, advice, name::new_file_name, sensor_folder},
    disk::{self, create_folder, sync_folder},
    encrypt::Keyring,
    file::free_bytes,
    manifest::{Entry, FileFacts, Manifest, reconcile},
};

pub use self::plan::{MERGED_BYTES_MAX, MERGED_FILES_MAX, SMALL_BYTES_MAX};

/// Behind the name of a file that is not in its place yet; recovery leaves it alone.
const COMPACTING_SUFFIX: &str = ".compacting";

/// Begins the names of sorted runs, which have one for a moment only.
const RUN_PREFIX: &str = "run-";

/// The lock that keeps a second compaction away.
const LOCK_FILE: &str = "compact.lock";

/// Room that must be free, in sizes of the files to be merged: for runs, for the new file, and for everybody else.
const ROOM_TIMES: u64 = 4;

/// How files are merged.
#[derive(Clone, Debug)]
pub struct CompactSettings {
    /// zstd level, 1 to 22.
    pub zstd_level: i32,
    /// Time after the end of an hour during which its files are left alone.
    pub settle: Duration,
    /// Bytes of rows in memory before they are sorted and put down.
    pub memory_bytes_max: usize,
    /// To read encrypted files with, which stay as they are without, and to encrypt what they become.
    pub keyring: Keyring,
}

impl Default for CompactSettings {
    fn default() -> CompactSettings {
        CompactSettings {
            zstd_level: 9,
            settle: Duration::from_secs(600),
            memory_bytes_max: 256 << 20,
            keyring: Keyring::default(),
        }
    }
}

/// One merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The new file, below the dataset's folder.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// Files whose rows are in it.
    pub files_before: u64,
    /// Their length.
    pub bytes_before: u64,
}

/// Why a merge came to nothing; its files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// Somebody wants it to end.
    #[error("stopped")]
    Stopped,
    /// Something did not work.
    #[error("cannot merge {files} files such as {first}: {source} ({advice})")]
    Failed {
        /// Number of files.
        files: usize,
        /// One of them.
        first: String,
        /// What went wrong.
        source: io::Error,
        /// What to try.
        advice: &'static str,
    },
}

/// Merges files of one sensor; there is one at a time for each, whatever process it is in.
#[derive(Debug)]
pub struct Compactor {
    manifest: Manifest,
    settings: CompactSettings,
    /// Where it works: the sensor's staging folder.
    folder: PathBuf,
    queue: VecDeque<Group>,
    locked: u64,
    _lock: StagingLock,
}

impl Compactor {
    /// Takes the sensor's place and clears up behind a compaction that was killed; `None` where one is at work.
    pub fn open(dir: &Path, sensor: &str, settings: CompactSettings) -> io::Result<Option<Compactor>> {
        let folder = sensor_folder(dir, sensor);
        create_folder(dir, &folder)?;
        let Some(lock) = StagingLock::try_take(&folder, LOCK_FILE)? else { return Ok(None) };
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(COMPACTING_SUFFIX) || name.starts_with(RUN_PREFIX) {
                disk::remove_if_there(&folder.join(name.as_ref()))?;
            }
        }
        let manifest = Manifest::new(dir, sensor).with_keyring(settings.keyring.clone());
        reconcile(&manifest)?;
        Ok(Some(Compactor { manifest, settings, folder, queue: VecDeque::new(), locked: 0, _lock: lock }))
    }

    /// Files that stayed as they are so far, as they are encrypted with a key that was not given.
    pub fn locked(&self) -> u64 {
        self.locked
    }

    /// Looks for files to merge as of `now_ns` (Unix time), also such as failed before: the number of merges to come.
    pub fn plan(&mut self, now_ns: i64) -> io::Result<usize> {
        let chain = self.manifest.read()?;
        self.queue = plan::groups(&chain.live, self.settings.settle, now_ns).into();
        Ok(self.queue.len())
    }

    /// Makes the next merge, under a name of `now_ns` (Unix time); `None` where none is left.
    pub fn step(&mut self, now_ns: i64, stop: &AtomicBool) -> Result<Option<Merged>, CompactError> {
        while let Some(group) = self.queue.pop_front() {
            match self.merge(&group, now_ns, stop) {
                Ok(None) => {}
                Ok(Some(merged)) => return Ok(Some(merged)),
                Err(_) if stop.load(Ordering::Relaxed) => return Err(CompactError::Stopped),
                Err(source) => {
                    let (files, first) = (group.len(), group[0].file.name.clone());
                    return Err(CompactError::Failed { files, first, advice: advice(&source), source });
                }
            }
        }
        Ok(None)
    }

    /// Merges those of the files that go together; the others have their turn later.
    fn merge(&mut self, files: &[Candidate], now_ns: i64, stop: &AtomicBool) -> io::Result<Option<Merged>> {
        let dir = self.manifest.dir();
        let bytes: u64 = files.iter().map(|candidate| candidate.bytes).sum();
        if free_bytes(dir)? < bytes.saturating_mul(ROOM_TIMES) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "too little room to merge them"));
        }
        let place = files[0].file.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let name = new_file_name(self.manifest.sensor(), now_ns);
        let staged = self.folder.join(format!("{name}{COMPACTING_SUFFIX}"));
        let rewrite = Rewrite {
            dir,
            folder: &self.folder,
            zstd_level: self.settings.zstd_level,
            memory_bytes_max: self.settings.memory_bytes_max,
            keyring: &self.settings.keyring,
            locked: Cell::default(),
            stop,
        };
        let merged =
            rewrite.run(files, &staged, format!("{place}/{name}")).and_then(|(taken, left, facts)| {
                let merged = facts.map(|facts| self.replace(&taken, &staged, facts)).transpose()?;
                Ok((merged, left))
            });
        self.locked += rewrite.locked.get();
        match merged {
            Ok((merged, left)) => {
                self.queue.extend((left.len() > 1).then_some(left));
                Ok(merged)
            }
            Err(error) => {
                disk::remove_if_there(&staged)?;
                Err(error)
            }
        }
    }

    /// Puts the new file in the place of the old ones. A query that lists the folder in between may see both: for as long
    /// as it takes to remove them.
    fn replace(&self, old: &[Candidate], staged: &Path, new: FileFacts) -> io::Result<Merged> {
        let dir = self.manifest.dir();
        let target = dir.join(&new.file);
        let folder = target.parent().expect("a file of a dataset is in a folder");
        let merged = Merged {
            file: new.file.clone(),
            rows: new.rows,
            bytes: new.bytes,
            files_before: old.len() as u64,
            bytes_before: old.iter().map(|candidate| candidate.bytes).sum(),
        };
        self.manifest.change(|| {
            // Retention removes a file and tells of it under this lock; its rows must not come back.
            if let Some(gone) = old.iter().find(|candidate| !candidate.file.path(dir).exists()) {
                let why = format!("{} was removed meanwhile", gone.file.name);
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
            disk::rename(staged, &target)?;
            if let Err(error) = sync_folder(folder) {
                // A name that may not last must not be the only one of these rows.
                disk::rename(&target, staged)?;
                return Err(error);
            }
            let old = old.iter().map(|candidate| candidate.file.name.clone()).collect();
            Ok(((), Entry::Replace { old, new }))
        })?;
        for candidate in old {
            if let Err(error) = disk::remove_if_there(&candidate.file.path(dir)) {
                tracing::error!(file = %candidate.file.name, %error,
                    "its rows are in another file, but it cannot be removed: the next start tries again");
            }
        }
        Ok(merged)
    }
}
