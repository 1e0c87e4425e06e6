//! What goes wrong with a dataset, said so that an operator can act.

use std::{
    io,
    path::{Path, PathBuf},
};

use parquet::errors::ParquetError;

use super::Written;

/// Why a dataset cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The sensor's name cannot be part of file names.
    #[error(
        "sensor name {0:?} cannot be part of a file name: use 1 to 64 letters, digits, dashes, dots and underscores, \
         not beginning with a dot"
    )]
    Sensor(String),
    /// A setting is out of its range.
    #[error("{name} is {value}, but must be {allowed}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// What it was set to.
        value: i64,
        /// What it may be.
        allowed: &'static str,
    },
    /// Another process writes as the same sensor into the same folder.
    #[error(
        "sensor {sensor:?} is already written by process {owner} ({path} is locked): \
         stop that process, or choose another sensor name or folder"
    )]
    Locked {
        /// The sensor.
        sensor: String,
        /// Process id of the holder.
        owner: String,
        /// The lock file.
        path: PathBuf,
    },
    /// The folder does not take files.
    #[error("cannot write to {path}: {source} ({advice})")]
    Unwritable {
        /// The path that was tried.
        path: PathBuf,
        /// What to try.
        advice: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody else could turn the folder elsewhere.
    #[error("will not write to {path}: {why}", path = path.display())]
    Untrusted {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The folder could not be given to the group.
    #[error(
        "cannot give {path} to group {group}: {source} (its owner can, as a member of that group: usermod -aG, or \
         SupplementaryGroups= of the service)", path = path.display()
    )]
    Group {
        /// The folder.
        path: PathBuf,
        /// The group's number.
        group: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// What a dead writer left cannot be read.
    #[error("cannot recover files left below {path}: {source} ({advice})")]
    Recovery {
        /// The staging folder.
        path: PathBuf,
        /// What to try.
        advice: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The schema cannot be laid out in Parquet.
    #[error("cannot lay out the schema of {table}: {source}")]
    Schema {
        /// The table.
        table: &'static str,
        /// What Parquet said.
        source: ParquetError,
    },
}

impl OpenError {
    pub(crate) fn unwritable(path: &Path, source: io::Error) -> OpenError {
        OpenError::Unwritable { path: path.to_owned(), advice: advice(&source), source }
    }
}

/// Under which reason rows that could not be written are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The filesystem or a quota is full.
    DiskFull,
    /// Anything else the storage said.
    Io,
}

impl LossReason {
    /// The reason's name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            LossReason::DiskFull => "disk_full",
            LossReason::Io => "io",
        }
    }
}

/// Rows of a batch were lost; the writer goes on with the next batch.
#[derive(Debug, thiserror::Error)]
#[error("lost {rows_lost} rows: cannot write {path}: {source} ({advice})", path = path.display())]
pub struct WriteError {
    /// What of the batch was written all the same.
    pub written: Written,
    /// Rows that are in no file.
    pub rows_lost: u64,
    /// Under which reason they are counted.
    pub reason: LossReason,
    /// The file of the first loss.
    pub path: PathBuf,
    /// What to try.
    pub advice: &'static str,
    /// What the storage said first.
    pub source: io::Error,
}

/// The kernel's error behind a Parquet error, or the error itself as one of kind `Other`.
pub(crate) fn io_error(error: ParquetError) -> io::Error {
    if let ParquetError::External(inner) = error {
        return inner.downcast::<io::Error>().map_or_else(io::Error::other, |error| *error);
    }
    io::Error::other(error)
}

/// Under which reason an error's rows are counted.
pub(crate) fn reason(error: &io::Error) -> LossReason {
    use io::ErrorKind;
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    if full.contains(&error.kind()) { LossReason::DiskFull } else { LossReason::Io }
}

/// What an operator can try.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    const ADVICE: [(ErrorKind, &str); 7] = [
        (ErrorKind::StorageFull, "free space on that filesystem, see df -h"),
        (ErrorKind::QuotaExceeded, "raise the quota of this user or group, see quota"),
        (
            ErrorKind::PermissionDenied,
            "let this user write there: chown or chmod the folder, or choose another",
        ),
        (
            ErrorKind::ReadOnlyFilesystem,
            "remount it read-write: mount -o remount,rw; dmesg may say why it is not",
        ),
        (
            ErrorKind::NotFound,
            "the folder is gone or on a filesystem that is not mounted: mount or create it",
        ),
        (
            ErrorKind::NotADirectory,
            "a file stands where a folder should: move it away, or choose another folder",
        ),
        (ErrorKind::FileTooLarge, "raise the file size limit, see ulimit -f"),
    ];
    let found = ADVICE.iter().find(|(kind, _)| *kind == error.kind());
    found.map_or("dmesg may say what ails the disk", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_behind_a_parquet_error() {
        let full = ParquetError::from(io::Error::from(io::ErrorKind::StorageFull));
        let error = io_error(full);
        assert_eq!(reason(&error), LossReason::DiskFull);
        assert!(advice(&error).contains("df -h"));
        assert_eq!(reason(&io_error(ParquetError::General("x".to_owned()))), LossReason::Io);
    }
}
