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
use rustix::fs::OFlags;

use super::{
    access::create_file,
    error::io_error,
    missing::{is_http, rows_maybe_missing},
    name::DatasetFile,
    snapshot::{Snapshot, UNFINISHED_SUFFIX},
    staging::{
        QUARANTINE_FOLDER, SNAPSHOT_SUFFIX, STAGED_SUFFIX, STAGING_FOLDER, Staged, StagingLock,
        WRITER_LOCK_FILE, sensor_folder, with_suffix,
    },
};
use crate::{
    disk::{self, Change, Folder, create_folder},
    encode::footer::{read_tail, read_whole, row_group_end, shortened_tail},
    encrypt::{self, Keyring, is_key_missing},
    manifest::{Manifest, Reconciled, facts_of, hash_of_file, list_files, reconcile},
};

/// Length of a file that holds the magic and nothing else.
const EMPTY_BYTES: u64 = 4;

/// Bytes read at a time when a file's end is looked for in front of the room it was given ahead.
const BLOCK_BYTES: u64 = 16 << 10;

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
    /// Files left as they are because they are encrypted with a key that was not given, and why.
    pub locked: Vec<(PathBuf, String)>,
    /// What was put right in the manifests.
    pub manifest: Reconciled,
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
    /// Rows of table `http` in it.
    pub http_rows: u64,
    /// Rows of table `http` that may be missing behind them: about as many as the last flush interval brought.
    pub rows_maybe_missing: u64,
}

impl RecoverReport {
    /// Rows of table `http` in the files that recovery published.
    pub fn http_rows(&self) -> u64 {
        self.published.iter().map(|file| file.http_rows).sum()
    }

    /// Rows of table `http` that were in memory when their writer died: about so many at the most.
    pub fn rows_maybe_missing(&self) -> u64 {
        self.published.iter().map(|file| file.rows_maybe_missing).sum()
    }
}

/// What is known of the bytes behind a file's last snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: their writer died. They are kept in quarantine.
    Unknown,
    /// The file holds so many row groups whose rows were reported written; those behind them were counted as lost,
    /// also where the last snapshot covers them. They are cut off.
    Counted {
        /// The first ones of the file.
        row_groups: usize,
    },
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
    recover_with(dir, &Keyring::default())
}

/// Recovers what dead writers of every sensor left in the dataset at `dir`, with these keys for what is encrypted.
pub fn recover_with(dir: &Path, keyring: &Keyring) -> io::Result<RecoverReport> {
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
        let sensor = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match StagingLock::try_take(&folder, WRITER_LOCK_FILE)? {
            Some(_lock) => {
                let manifest = Manifest::new(dir, &sensor).with_keyring(keyring.clone());
                recover_sensor(&manifest, &mut report)?;
            }
            None => report.live_sensors.push(sensor),
        }
    }
    Ok(report)
}

/// Recovers what lies in one sensor's staging folder, whose lock the caller holds.
pub(crate) fn recover_sensor(manifest: &Manifest, report: &mut RecoverReport) -> io::Result<()> {
    let folder = sensor_folder(manifest.dir(), manifest.sensor());
    let mut files = Vec::new();
    list_files(&folder, &mut files)?;
    files.sort();
    for path in &files {
        let Some(staged) = Staged::found(manifest.dir(), &folder, path) else { continue };
        let restored = match is_named_by_writer(&staged, manifest.sensor()) {
            true => restore(&staged, Rest::Unknown, manifest, report),
            false => Folder::of(path).and_then(|folder| quarantine(&staged, &folder, report)),
        };
        let restored = match restored {
            Err(error) if is_key_missing(&error) => {
                tracing::warn!(path = %staged.data.display(), %error, "a file stays staged until its key is there");
                report.locked.push((staged.data, error.to_string()));
                continue;
            }
            restored => restored?,
        };
        match restored {
            Restored::Published(file) => {
                tracing::warn!(path = %file.path.display(), rows = file.rows, bytes_cut = file.bytes_cut,
                    rows_maybe_missing = file.rows_maybe_missing,
                    "recovered a file an earlier run left unfinished; rows of its last flush interval may be missing");
                report.published.push(file);
            }
            Restored::Empty => report.empty += 1,
            Restored::Quarantined => {
                tracing::warn!(path = %staged.data.display(), "quarantined a file that cannot be recovered");
            }
        }
    }
    remove_leftovers(&files)?;
    report.manifest.add(reconcile(manifest)?);
    Ok(())
}

/// What no writer named would be published where nobody counts, keeps or verifies it.
fn is_named_by_writer(staged: &Staged, sensor: &str) -> bool {
    let name = staged.name().ok();
    name.and_then(|name| DatasetFile::parse(&name)).is_some_and(|file| file.sensor == sensor)
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
            disk::remove_if_there(path)?;
        }
    }
    Ok(())
}

/// Makes one staged file whole and publishes it, or puts it in quarantine.
pub(crate) fn restore(
    staged: &Staged,
    rest: Rest,
    manifest: &Manifest,
    report: &mut RecoverReport,
) -> io::Result<Restored> {
    let folder = Folder::of(&staged.data)?;
    let file = folder.open_file(&staged.data, OFlags::RDWR)?;
    let len = file.metadata()?.len();
    let used = used_length(&file, len)?;
    let keyring = manifest.keyring();
    if let Some(whole_len) = whole_length(&file, used, keyring)? {
        disk::set_len(&staged.data, &file, whole_len)?;
        disk::sync_file(&staged.data, &file)?;
        return publish((staged, &folder), &file, (whole_len, 0), manifest);
    }
    let snapshot = match Snapshot::read(&folder, &staged.snapshot)? {
        _ if rest == (Rest::Counted { row_groups: 0 }) => return discard(staged, &folder),
        Some(snapshot) => fitting(snapshot, len, rest, keyring)?,
        None if used <= EMPTY_BYTES => return discard(staged, &folder),
        None => None,
    };
    let Some(snapshot) = snapshot else {
        return quarantine(staged, &folder, report);
    };
    if rest == Rest::Unknown {
        report.quarantined.extend(keep_rest(staged, (&file, used), &snapshot)?);
    }
    disk::set_len(&staged.data, &file, snapshot.data_len)?;
    let ended = file.write_all_at(&snapshot.tail, snapshot.data_len);
    if let Err(error) = ended.and_then(|()| disk::sync_file(&staged.data, &file)) {
        // The disk is full: others may have the space until the next attempt.
        disk::set_len(&staged.data, &file, snapshot.data_len)?;
        return Err(error);
    }
    let whole_len = snapshot.data_len + snapshot.tail.len() as u64;
    if read_metadata(&file, whole_len, keyring)?.is_none() {
        return quarantine(staged, &folder, report);
    }
    publish((staged, &folder), &file, (whole_len, used.saturating_sub(snapshot.data_len)), manifest)
}

/// Length of the file's first `len` bytes without the zeros at their end: padding, and room given ahead.
fn used_length(file: &File, len: u64) -> io::Result<u64> {
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let mut block = vec![0; usize::try_from(end - start).expect("a block")];
        file.read_exact_at(&mut block, start)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The used length, where that much of the file is a whole Parquet file.
fn whole_length(file: &File, used: u64, keyring: &Keyring) -> io::Result<Option<u64>> {
    let mut last = [0; 4];
    let Some(start) = used.checked_sub(4) else { return Ok(None) };
    file.read_exact_at(&mut last, start)?;
    let is_ended = last == *b"PAR1" || last == *encrypt::MAGIC;
    Ok(if is_ended { read_metadata(file, used, keyring)?.map(|_| used) } else { None })
}

/// Metadata of the file's first `len` bytes, where they are a Parquet file with row groups; an error where they may be
/// one, and the key is missing.
fn read_metadata(file: &File, len: u64, keyring: &Keyring) -> io::Result<Option<ParquetMetaData>> {
    let metadata = unless_locked(read_whole(&Prefix { file, len }, keyring))?;
    Ok(metadata.filter(|metadata| metadata.num_row_groups() > 0))
}

/// What was read, nothing where it makes no sense, an error where only a key is missing.
fn unless_locked<T>(read: parquet::errors::Result<T>) -> io::Result<Option<T>> {
    match read.map_err(io_error) {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_key_missing(&error) => Err(error),
        Err(_) => Ok(None),
    }
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

/// The snapshot itself, or where the file is to end before it does, what it says of the row groups up to there.
fn fitting(snapshot: Snapshot, len: u64, rest: Rest, keyring: &Keyring) -> io::Result<Option<Snapshot>> {
    let metadata = unless_locked(read_tail(snapshot.data_len, snapshot.tail.clone(), keyring))?;
    let row_groups_max = match rest {
        Rest::Unknown if snapshot.data_len <= len => return Ok(Some(snapshot)),
        Rest::Unknown => usize::MAX,
        Rest::Counted { row_groups } => row_groups,
    };
    let Some(metadata) = metadata else { return Ok(None) };
    if metadata.num_row_groups() <= row_groups_max && snapshot.data_len <= len {
        return Ok(Some(snapshot));
    }
    let ends = metadata.row_groups().iter().map(row_group_end).take(row_groups_max);
    let whole: Vec<u64> = ends.take_while(|end| *end <= len).collect();
    let Some(&data_len) = whole.last() else { return Ok(None) };
    let tail = shortened_tail((&metadata, &snapshot.tail), whole.len(), data_len, keyring);
    Ok(unless_locked(tail)?.map(|tail| Snapshot { data_len, tail }))
}

fn publish(
    (staged, folder): (&Staged, &Folder),
    file: &File,
    (len, bytes_cut): (u64, u64),
    manifest: &Manifest,
) -> io::Result<Restored> {
    let metadata = read_metadata(file, len, manifest.keyring())?
        .ok_or_else(|| io::Error::other("the file is not whole after all"))?;
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    let row_groups = metadata.num_row_groups();
    let (sha256, bytes) = hash_of_file(&staged.data)?;
    staged.publish(folder, manifest, facts_of(staged.name()?, &metadata, bytes, sha256))?;
    Ok(Restored::Published(RecoveredFile {
        path: staged.target.clone(),
        rows,
        row_groups,
        bytes_cut,
        http_rows: if is_http(&metadata) { rows } else { 0 },
        rows_maybe_missing: rows_maybe_missing(&metadata),
    }))
}

fn discard(staged: &Staged, folder: &Folder) -> io::Result<Restored> {
    folder.remove(&staged.data)?;
    folder.remove_if_there(&staged.snapshot)?;
    staged.remove_empty_folders();
    Ok(Restored::Empty)
}

/// Copies what lies behind the snapshot's data to quarantine, unless it is the beginning of the footer itself.
fn keep_rest(
    staged: &Staged,
    (mut file, used): (&File, u64),
    snapshot: &Snapshot,
) -> io::Result<Option<PathBuf>> {
    file.seek(SeekFrom::Start(snapshot.data_len))?;
    let mut rest = Vec::new();
    file.take(used.saturating_sub(snapshot.data_len)).read_to_end(&mut rest)?;
    if snapshot.tail.starts_with(&rest) {
        return Ok(None);
    }
    let path = quarantine_path(staged, &format!(".from-{}", snapshot.data_len))?;
    let mut kept = disk::make(Change::CreateFile(path.clone()), || create_file(&path))?;
    kept.write_all(&rest)?;
    disk::sync_file(&path, &kept)?;
    Folder::of(&path)?.sync()?;
    Ok(Some(path))
}

fn quarantine(staged: &Staged, folder: &Folder, report: &mut RecoverReport) -> io::Result<Restored> {
    let path = quarantine_path(staged, "")?;
    let snapshot = with_suffix(&path, SNAPSHOT_SUFFIX);
    let kept = Folder::of(&path)?;
    match folder.rename(&staged.snapshot, &kept, &snapshot) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    folder.rename(&staged.data, &kept, &path)?;
    kept.sync()?;
    staged.remove_empty_folders();
    report.quarantined.push(path);
    Ok(Restored::Quarantined)
}

fn quarantine_path(staged: &Staged, suffix: &str) -> io::Result<PathBuf> {
    let folder = staged.dir.join(QUARANTINE_FOLDER);
    create_folder(&staged.dir, &folder)?;
    let name = staged.data.file_name().expect("a staged file has a name");
    let path = with_suffix(&folder.join(name), suffix);
    // Names come back where every process has the same id, as in containers; nothing is ever written over.
    let others = (1..).map(|number| with_suffix(&path, &format!(".{number}")));
    Ok(std::iter::once(path.clone()).chain(others).find(|path| !path.exists()).expect("numbers do not end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Writer, WriterSettings, tests::batch};

    /// A published file with one row.
    fn published(dir: &Path) -> PathBuf {
        let mut writer = Writer::open(WriterSettings::new(dir, "s")).expect("a writable folder");
        writer.write(batch(0), 0).expect("written");
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
        let whole = || {
            let used = used_length(&file, file.metadata().expect("a file").len()).expect("readable");
            whole_length(&file, used, &Keyring::default()).expect("readable")
        };
        for padding in [0, 1, 4096, BLOCK_BYTES, 16 << 20] {
            file.set_len(len + padding).expect("writable");
            assert_eq!(whole(), Some(len));
        }
        for cut in (0..len).rev() {
            file.set_len(cut).expect("writable");
            assert_eq!(whole(), None, "cut at {cut}");
        }
    }
}
