//! Names and folders of files in progress, and the lock that makes one process their owner.
//!
//! `DIR/.staging/SENSOR/` mirrors the dataset: a staged file's place there says where it is published. No name in it
//! ends in `.parquet`, for DuckDB's globs read dot folders.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{access::create_file, error::OpenError, name::name_below, partition::Partition};
use crate::{
    disk::{self, Folder, create_folder},
    file::FILE_MODE,
    manifest::{Entry, FileFacts, Manifest},
};

/// Folder of everything unfinished, within the dataset's so that publishing is a rename.
pub const STAGING_FOLDER: &str = ".staging";

/// Folder of what recovery cannot save.
pub const QUARANTINE_FOLDER: &str = "quarantine";

/// Longest name of a sensor.
pub const SENSOR_BYTES_MAX: usize = 64;

pub(crate) const STAGED_SUFFIX: &str = ".inprogress";
pub(crate) const SNAPSHOT_SUFFIX: &str = ".footer";
/// The lock of the process that writes as a sensor.
pub(crate) const WRITER_LOCK_FILE: &str = "lock";

/// The paths of one file on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The dataset's folder.
    pub(crate) dir: PathBuf,
    /// Where the bytes are.
    pub(crate) data: PathBuf,
    /// Where the snapshot of the footer is.
    pub(crate) snapshot: PathBuf,
    /// Where the file is published.
    pub(crate) target: PathBuf,
}

impl Staged {
    /// Paths of a new file called `name` (which ends in `.parquet`).
    pub(crate) fn new(dir: &Path, sensor: &str, partition: Partition, name: &str) -> Staged {
        let data = sensor_folder(dir, sensor).join(partition.folder()).join(format!("{name}{STAGED_SUFFIX}"));
        let target = dir.join(partition.folder()).join(name);
        Staged { dir: dir.to_owned(), snapshot: with_suffix(&data, SNAPSHOT_SUFFIX), data, target }
    }

    /// Paths of a staged file found below the folder of its sensor; `None` where it is no staged file.
    pub(crate) fn found(dir: &Path, sensor_folder: &Path, data: &Path) -> Option<Staged> {
        let inner = data.strip_prefix(sensor_folder).ok()?;
        let name = inner.file_name()?.to_str()?.strip_suffix(STAGED_SUFFIX)?;
        let target = dir.join(inner).with_file_name(name);
        Some(Staged {
            dir: dir.to_owned(),
            data: data.to_owned(),
            snapshot: with_suffix(data, SNAPSHOT_SUFFIX),
            target,
        })
    }

    /// Moves the file to where queries see it and adds its line to the manifest; then its staging folders may go.
    ///
    /// After an error it is staged as before, in the folder that it is in.
    pub(crate) fn publish(&self, staging: &Folder, manifest: &Manifest, facts: FileFacts) -> io::Result<()> {
        let folder = manifest.home().folder(self.target.parent().expect("a target is within the dataset"))?;
        manifest.change(|| {
            staging.rename(&self.data, &folder, &self.target)?;
            // From here on the file is published, whatever happens to what is left of its staging.
            let cleared = folder.sync().and_then(|()| staging.remove_if_there(&self.snapshot));
            if let Err(error) = cleared {
                tracing::warn!(path = %self.target.display(), %error,
                    "published, but its staging is left to the next start");
            }
            Ok(((), Entry::Add(facts)))
        })?;
        self.remove_empty_folders();
        Ok(())
    }

    /// The file's name in the manifest.
    pub(crate) fn name(&self) -> io::Result<String> {
        name_below(&self.dir, &self.target).ok_or_else(|| io::Error::other("the file's name is not UTF-8"))
    }

    /// Folders that other staged files still use stay; the next file makes its own again.
    pub(crate) fn remove_empty_folders(&self) {
        let staging = self.dir.join(STAGING_FOLDER);
        let folders = self.data.ancestors().skip(1);
        for folder in folders.take_while(|folder| folder.parent().is_some_and(|parent| parent != staging)) {
            if !disk::remove_folder_if_empty(folder) {
                return;
            }
        }
    }
}

/// Staging folder of a sensor.
pub(crate) fn sensor_folder(dir: &Path, sensor: &str) -> PathBuf {
    dir.join(STAGING_FOLDER).join(sensor)
}

/// The path with `suffix` behind its whole name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// True where `sensor` can stand in a file name and between its dashes.
pub(crate) fn is_sensor_name(sensor: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=SENSOR_BYTES_MAX).contains(&sensor.len()) && !sensor.starts_with('.') && sensor.bytes().all(allowed)
}

/// Ownership of a sensor's staging folder; the kernel gives it up with the process, however that ends.
#[derive(Debug)]
pub(crate) struct StagingLock {
    file: File,
}

impl Drop for StagingLock {
    fn drop(&mut self) {
        // A child that is just being started has a copy of the descriptor until it runs its program: closing this one would leave
        // the lock to that. Where unlocking fails, closing is all there is.
        self.file.unlock().unwrap_or_default();
    }
}

impl StagingLock {
    /// Takes the lock called `file` in `folder`, which exists; `None` where another process has it.
    pub(crate) fn try_take(folder: &Path, file: &str) -> io::Result<Option<StagingLock>> {
        let path = folder.join(file);
        let mut made = File::options();
        made.append(true).create(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW).open(&path)?;
        // Held open for reading only, so that nothing of ours keeps a filesystem from being remounted read-only.
        let file = File::open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Also proves, before anything depends on it, that the filesystem takes bytes.
        let mut content = create_file(&path)?;
        content.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        content.sync_all()?;
        Ok(Some(StagingLock { file }))
    }

    /// Takes the lock of a sensor, making its folder.
    pub(crate) fn take(dir: &Path, sensor: &str) -> Result<StagingLock, OpenError> {
        let folder = sensor_folder(dir, sensor);
        create_folder(dir, &folder).map_err(|source| OpenError::unwritable(&folder, source))?;
        let path = folder.join(WRITER_LOCK_FILE);
        match StagingLock::try_take(&folder, WRITER_LOCK_FILE) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(OpenError::Locked { owner: owner(&path), path, sensor: sensor.to_owned() }),
            Err(source) => Err(OpenError::unwritable(&path, source)),
        }
    }
}

/// What the holder of a lock wrote into it: its process id.
fn owner(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_whoever_has_a_copy_of_the_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let lock = StagingLock::try_take(folder.path(), "lock").unwrap().unwrap();
        let copy = lock.file.try_clone().unwrap();
        assert!(StagingLock::try_take(folder.path(), "lock").unwrap().is_none(), "it is held");
        drop(lock);
        assert!(StagingLock::try_take(folder.path(), "lock").unwrap().is_some());
        drop(copy);
    }

    #[test]
    fn a_staged_file_knows_where_it_is_published() {
        let dir = Path::new("/data");
        let partition = Partition { table: "http", hour: 5 };
        let staged = Staged::new(dir, "s1", partition, "s1-1-2-3.parquet");
        let folder = "http/date=1970-01-01/hour=5";
        assert_eq!(staged.data, dir.join(".staging/s1").join(folder).join("s1-1-2-3.parquet.inprogress"));
        assert_eq!(staged.target, dir.join(folder).join("s1-1-2-3.parquet"));
        assert_eq!(Staged::found(dir, &sensor_folder(dir, "s1"), &staged.data), Some(staged.clone()));
        assert_eq!(Staged::found(dir, &sensor_folder(dir, "s1"), &staged.snapshot), None);
    }

    #[test]
    fn sensor_names() {
        for good in ["a", "edge-7", "host.example", "A_1"] {
            assert!(is_sensor_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "a b", "é", "a\0", &"x".repeat(65)] {
            assert!(!is_sensor_name(bad), "{bad}");
        }
    }
}
