//! Files of a dead writer made whole: cut back to the last snapshot, ended with its footer, published.
//!
//! Row groups are kept byte for byte. What cannot be saved is moved to `quarantine/`, never deleted. Every step can be
//! repeated, so a recovery that dies is finished by the next one.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use parquet::file::{
    metadata::ParquetMetaData,
    reader::{ChunkReader, Length},
};

use super::{
    snapshot::{Snapshot, UNFINISHED_SUFFIX},
    staging::{
        QUARANTINE_FOLDER, SNAPSHOT_SUFFIX, STAGED_SUFFIX, STAGING_FOLDER, Staged, StagingLock,
        allow_missing, create_folder, sync_folder, with_suffix,
    },
};
use crate::encode::footer::{read_tail, read_whole, row_group_end, shortened_tail};

/// Length of a file that holds the magic and nothing else.
const EMPTY_BYTES: u64 = 4;

/// Bytes of zeros an O_DIRECT write may leave behind a file's end.
const PADDING_BYTES_MAX: u64 = 4096;

/// What recovery did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverReport {
    /// Files made whole and published.
    pub published: Vec<RecoveredFile>,
    /// Where what could not be saved lies now.
    pub quarantined: Vec<PathBuf>,
    /// Files that held no row.
    pub empty: u64,
    /// Sensors left alone because their writer lives.
    pub live_sensors: Vec<String>,
}

/// A file that recovery published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredFile {
    /// Where it is now.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Row groups in it.
    pub row_groups: usize,
    /// Bytes behind its last whole row group that were cut off.
    pub bytes_cut: u64,
}

/// What is known of the bytes behind a file's last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: their writer died. They are kept in quarantine.
    Unknown,
    /// Their rows have been counted as lost, or they hold none. They are cut off.
    Counted,
}

/// What became of one staged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// Made whole and published.
    Published(RecoveredFile),
    /// Held no row and is gone.
    Empty,
    /// Cannot be saved.
    Quarantined,
}

/// Recovers what dead writers of every sensor left in the dataset at `dir`.
pub fn recover(dir: &Path) -> io::Result<RecoverReport> {
    let mut report = RecoverReport::default();
    let staging = dir.join(STAGING_FOLDER);
    if !staging.is_dir() {
        return Ok(report);
    }
    for entry in fs::read_dir(&staging)? {
        let folder = entry?.path();
        if !folder.is_dir() {
            continue;
        }
        match StagingLock::try_take(&folder)? {
            Some(_lock) => recover_sensor(dir, &folder, &mut report)?,
            None => {
                let sensor = folder.file_name().unwrap_or_default().to_string_lossy();
                report.live_sensors.push(sensor.into_owned());
            }
        }
    }
    Ok(report)
}

/// Recovers what lies in one sensor's staging folder, whose lock the caller holds.
pub(crate) fn recover_sensor(dir: &Path, folder: &Path, report: &mut RecoverReport) -> io::Result<()> {
    let mut files = Vec::new();
    list_files(folder, &mut files)?;
    files.sort();
    for path in &files {
        let Some(staged) = Staged::found(dir, folder, path) else { continue };
        match restore(&staged, Rest::Unknown, report)? {
            Restored::Published(file) => {
                tracing::warn!(path = %file.path.display(), rows = file.rows, bytes_cut = file.bytes_cut,
                    "recovered a file an earlier run left unfinished");
                report.published.push(file);
            }
            Restored::Empty => report.empty += 1,
            Restored::Quarantined => {
                tracing::warn!(path = %staged.data.display(), "quarantined a file that cannot be recovered");
            }
        }
    }
    remove_leftovers(&files)
}

/// Snapshots without their file, and those that never replaced another.
fn remove_leftovers(files: &[PathBuf]) -> io::Result<()> {
    for path in files {
        let name = path.to_string_lossy();
        let Some(data) = name.strip_suffix(UNFINISHED_SUFFIX).unwrap_or(&name).strip_suffix(SNAPSHOT_SUFFIX)
        else {
            continue;
        };
        if data.ends_with(STAGED_SUFFIX) && !Path::new(data).exists() {
            allow_missing(fs::remove_file(path))?;
        }
    }
    Ok(())
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Makes one staged file whole and publishes it, or puts it in quarantine.
pub(crate) fn restore(staged: &Staged, rest: Rest, report: &mut RecoverReport) -> io::Result<Restored> {
    let file = File::options().read(true).write(true).open(&staged.data)?;
    let len = file.metadata()?.len();
    if let Some(whole_len) = whole_length(&file, len)? {
        file.set_len(whole_len)?;
        file.sync_all()?;
        return publish(staged, &file, (whole_len, 0));
    }
    let snapshot = match Snapshot::read(&staged.snapshot)? {
        Some(snapshot) => fitting(snapshot, len),
        None if len <= EMPTY_BYTES || rest == Rest::Counted => return discard(staged),
        None => None,
    };
    let Some(snapshot) = snapshot else {
        return quarantine(staged, report);
    };
    if rest == Rest::Unknown {
        report.quarantined.extend(keep_rest(staged, &file, &snapshot)?);
    }
    file.set_len(snapshot.data_len)?;
    if let Err(error) = file.write_all_at(&snapshot.tail, snapshot.data_len).and_then(|()| file.sync_all()) {
        // The disk is full: others may have the space until the next attempt.
        file.set_len(snapshot.data_len)?;
        return Err(error);
    }
    let whole_len = snapshot.data_len + snapshot.tail.len() as u64;
    if read_metadata(&file, whole_len).is_none() {
        return quarantine(staged, report);
    }
    publish(staged, &file, (whole_len, len.saturating_sub(snapshot.data_len)))
}

/// Length of the file without the zeros behind its end, where that much of it is a whole Parquet file.
fn whole_length(file: &File, len: u64) -> io::Result<Option<u64>> {
    let mut last = vec![0; usize::try_from(len.min(PADDING_BYTES_MAX + 8)).expect("a few blocks")];
    let start = len - last.len() as u64;
    file.read_exact_at(&mut last, start)?;
    let used = last.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let end = start + used as u64;
    Ok((last[..used].ends_with(b"PAR1") && read_metadata(file, end).is_some()).then_some(end))
}

/// Metadata of the file's first `len` bytes, where they are a Parquet file with row groups.
fn read_metadata(file: &File, len: u64) -> Option<ParquetMetaData> {
    let metadata = read_whole(&Prefix { file, len }).ok()?;
    (metadata.num_row_groups() > 0).then_some(metadata)
}

/// The first bytes of a file, for a reader that looks from the end.
struct Prefix<'a> {
    file: &'a File,
    len: u64,
}

impl Length for Prefix<'_> {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Prefix<'_> {
    type T = <File as ChunkReader>::T;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// The snapshot itself, or where the file ends before it does, what it says of the row groups that are whole.
fn fitting(snapshot: Snapshot, len: u64) -> Option<Snapshot> {
    if snapshot.data_len <= len {
        return Some(snapshot);
    }
    let metadata = read_tail(snapshot.data_len, snapshot.tail).ok()?;
    let ends = metadata.row_groups().iter().map(row_group_end);
    let whole: Vec<u64> = ends.take_while(|end| *end <= len).collect();
    let data_len = *whole.last()?;
    let tail = shortened_tail(metadata, whole.len(), data_len).ok()?;
    Some(Snapshot { data_len, tail })
}

fn publish(staged: &Staged, file: &File, (len, bytes_cut): (u64, u64)) -> io::Result<Restored> {
    let metadata =
        read_metadata(file, len).ok_or_else(|| io::Error::other("the file is not whole after all"))?;
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let row_groups = metadata.num_row_groups();
    staged.publish()?;
    Ok(Restored::Published(RecoveredFile { path: staged.target.clone(), rows, row_groups, bytes_cut }))
}

fn discard(staged: &Staged) -> io::Result<Restored> {
    fs::remove_file(&staged.data)?;
    staged.remove_snapshot()?;
    staged.remove_empty_folders();
    Ok(Restored::Empty)
}

/// Copies what lies behind the snapshot's data to quarantine, unless it is the beginning of the footer itself.
fn keep_rest(staged: &Staged, mut file: &File, snapshot: &Snapshot) -> io::Result<Option<PathBuf>> {
    file.seek(SeekFrom::Start(snapshot.data_len))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    rest.truncate(used);
    if snapshot.tail.starts_with(&rest) {
        return Ok(None);
    }
    let path = quarantine_path(staged, &format!(".from-{}", snapshot.data_len))?;
    let mut kept = File::create(&path)?;
    kept.write_all(&rest)?;
    kept.sync_all()?;
    sync_folder(path.parent().expect("a path in quarantine"))?;
    Ok(Some(path))
}

fn quarantine(staged: &Staged, report: &mut RecoverReport) -> io::Result<Restored> {
    let path = quarantine_path(staged, "")?;
    let snapshot = with_suffix(&path, SNAPSHOT_SUFFIX);
    allow_missing(fs::rename(&staged.snapshot, &snapshot))?;
    fs::rename(&staged.data, &path)?;
    sync_folder(path.parent().expect("a path in quarantine"))?;
    staged.remove_empty_folders();
    report.quarantined.push(path);
    Ok(Restored::Quarantined)
}

fn quarantine_path(staged: &Staged, suffix: &str) -> io::Result<PathBuf> {
    let folder = staged.dir.join(QUARANTINE_FOLDER);
    create_folder(&staged.dir, &folder)?;
    let name = staged.data.file_name().expect("a staged file has a name");
    Ok(with_suffix(&folder.join(name), suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Batch,
        dataset::{Writer, WriterSettings},
        flags::Flags,
        values::{ConnectionValues, PairState, RowValues, TimeSource},
    };

    /// A published file with one row.
    fn published(dir: &Path) -> PathBuf {
        let mut batch = Batch::new();
        let local = "127.0.0.1".parse().expect("an address");
        let connection = batch.connection(&ConnectionValues {
            iface: "lo",
            queue: None,
            sample_weight: 1,
            flow_id: 1,
            community_id: None,
            client: (local, 1),
            server: (local, 2),
            vlan_ids: &[],
            tunnel: None,
            syn_seen: false,
            tcp_rtt_us: None,
        });
        let values = RowValues {
            ts_ns: 0,
            ts_source: TimeSource::Pcap,
            transaction_index: 0,
            pair_state: PairState::RequestOnly,
            req_seq: None,
            req_end_seq: None,
            resp_seq: None,
            resp_ack: None,
            req_body_bytes: None,
            resp_body_bytes: None,
            ttfb_us: None,
            req_duration_us: None,
            resp_head_duration_us: None,
            total_us: None,
            flags: Flags::NONE,
        };
        batch.row(connection, None, None, &values);
        let mut writer = Writer::open(WriterSettings::new(dir, "s")).expect("a writable folder");
        writer.write(&batch, 0).expect("written");
        writer.close();
        let mut files = Vec::new();
        list_files(&dir.join("http"), &mut files).expect("a readable folder");
        files.remove(0)
    }

    #[test]
    fn a_file_is_whole_at_its_full_length_and_at_no_other() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = published(dir.path());
        let file = File::options().read(true).write(true).open(&path).expect("readable");
        let len = file.metadata().expect("a file").len();
        assert!(len > 10_000, "the tail is most of a file with one row");
        for padding in [0, 1, 4096] {
            file.set_len(len + padding).expect("writable");
            assert_eq!(whole_length(&file, len + padding).expect("readable"), Some(len));
        }
        for cut in (0..len).rev() {
            file.set_len(cut).expect("writable");
            assert_eq!(whole_length(&file, cut).expect("readable"), None, "cut at {cut}");
        }
    }
}
