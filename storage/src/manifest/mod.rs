//! One line per published, replaced and removed file, each with the hash of the line before it.
//!
//! `DIR/.manifest/SENSOR.jsonl`, appended and synced under a file lock that is held over the change it tells of.
//! Invariant: outside of that lock, the files that the manifest lists are the files that are published; a crash in
//! between is healed by `reconcile`. Nothing but a whole line is ever in front of the next one.

mod chain;
mod entry;
mod reconcile;
mod verify;

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::OFlags;

use crate::{
    disk::{self, Home},
    encrypt::Keyring,
};

pub use self::{
    chain::{Chain, LINE_BYTES_MAX, LiveFile},
    entry::{Entry, FileFacts, LineHash, RemoveReason},
    reconcile::{REPLACES_KEY, Reconciled},
    verify::{Problem, SensorVerified, VerifyReport, verify, verify_with},
};

pub(crate) use self::{
    entry::{facts_of, hash_of_file},
    reconcile::{list_files, published_files, reconcile},
};

/// Folder of the manifests, within the dataset's.
pub const MANIFEST_FOLDER: &str = ".manifest";

/// Ends the name of a manifest, behind the sensor's.
pub const MANIFEST_SUFFIX: &str = ".jsonl";

/// Lines that the disk did not take and that are tried again; the files of those beyond are found at the next start.
pub const WAITING_LINES_MAX: usize = 1024;

/// Bytes read at a time when the last line is looked for from the end.
const TAIL_BYTES: u64 = 64 << 10;

/// Where a sensor's manifest is.
pub(crate) fn path_of(dir: &Path, sensor: &str) -> PathBuf {
    dir.join(MANIFEST_FOLDER).join(format!("{sensor}{MANIFEST_SUFFIX}"))
}

/// Whose manifests are in the dataset at `dir`, by name.
pub fn sensors(dir: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(dir.join(MANIFEST_FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    };
    let mut sensors = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        sensors.extend(name.to_str().and_then(|name| name.strip_suffix(MANIFEST_SUFFIX)).map(str::to_owned));
    }
    Ok(sensors)
}

/// The files that hold the rows of the dataset at `dir`, each row once, by name.
pub fn live_files(dir: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for sensor in sensors(dir)? {
        files.extend(Manifest::new(dir, &sensor).read()?.live.into_keys());
    }
    Ok(files)
}

/// The manifest of one sensor, to append to. Several writers of a process share one; other processes may have their own.
#[derive(Debug)]
pub struct Manifest {
    home: Home,
    sensor: String,
    keyring: Keyring,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where the last line that this process knows of ends, and its hash.
    end: Option<(u64, LineHash)>,
    waiting: VecDeque<Entry>,
}

impl Manifest {
    /// The manifest of `sensor` in the dataset at `dir`; it is made with its first line.
    pub fn new(dir: &Path, sensor: &str) -> Manifest {
        let (home, sensor, keyring) = (Home::anywhere(dir), sensor.to_owned(), Keyring::default());
        Manifest { home, sensor, keyring, state: Mutex::default() }
    }

    /// The same, of a dataset that stays where it is: what may be mounted there later is another.
    #[must_use]
    pub(crate) fn staying(self) -> Manifest {
        Manifest { home: Home::here(self.dir()), ..self }
    }

    /// The same, of files that are read with these keys.
    #[must_use]
    pub fn with_keyring(self, keyring: Keyring) -> Manifest {
        Manifest { keyring, ..self }
    }

    /// The keys to read files with.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The dataset's folder.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// Where the dataset is.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Whose manifest it is.
    pub fn sensor(&self) -> &str {
        &self.sensor
    }

    /// Makes a change of the published files and appends the line that tells of it, both under the lock.
    ///
    /// An error is the change's own: then nothing is appended. Where the change was made and the line could not be
    /// written, the line waits (`flush`), for the change cannot be taken back.
    pub fn change<T>(&self, act: impl FnOnce() -> io::Result<(T, Entry)>) -> io::Result<T> {
        let mut state = self.state();
        let locked = self.locked();
        let (result, entry) = act()?;
        state.wait(entry, &self.sensor);
        if let Err(error) = locked.and_then(|file| state.append(&file, &self.path())) {
            tracing::warn!(path = %self.path().display(), %error, "a line of the manifest waits for the disk");
        }
        Ok(result)
    }

    /// Appends a line and then makes the change that it announces, both under the lock.
    ///
    /// For changes that free room: a disk that is too full for the line must not keep them from being made; the line
    /// waits then. A crash between the two leaves a file without a line, which the next start lists again.
    ///
    /// Where `is_due` is false by then, neither is done.
    pub(crate) fn announce<T>(
        &self,
        entry: Entry,
        is_due: impl FnOnce() -> bool,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let mut state = self.state();
        let locked = self.locked();
        if !is_due() {
            return Ok(None);
        }
        state.wait(entry, &self.sensor);
        let appended = locked.and_then(|file| state.append(&file, &self.path()).map(|()| file));
        let made = act();
        if appended.is_err() && made.is_err() {
            state.waiting.pop_back();
        }
        made.map(Some)
    }

    /// Writes lines that waited; true where none is left.
    pub fn flush(&self) -> bool {
        let mut state = self.state();
        let written = match state.waiting.is_empty() {
            true => Ok(()),
            false => self.locked().and_then(|file| state.append(&file, &self.path())),
        };
        written.is_ok()
    }

    /// Runs `act` on what the manifest says while nobody appends to it; lines that `act` returns are appended then.
    pub(crate) fn revise<T>(&self, act: impl FnOnce(&Chain) -> io::Result<(T, Vec<Entry>)>) -> io::Result<T> {
        let mut state = self.state();
        let file = self.locked()?;
        state.end = Some(state.find_end(&file, &self.path())?);
        state.append(&file, &self.path())?;
        let chain = Chain::read(&file, &self.sensor)?;
        let (result, entries) = act(&chain)?;
        state.waiting.extend(entries);
        state.append(&file, &self.path())?;
        Ok(result)
    }

    /// What the manifest says now; nothing where there is none.
    pub fn read(&self) -> io::Result<Chain> {
        match File::open(self.path()) {
            Ok(file) => {
                file.lock_shared()?;
                Chain::read(&file, &self.sensor)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Chain::empty(&self.sensor)),
            Err(error) => Err(error),
        }
    }

    /// Where it is, once it has a line.
    pub(crate) fn path(&self) -> PathBuf {
        path_of(self.dir(), &self.sensor)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file, made if it is missing, under a lock that ends with the value.
    fn locked(&self) -> io::Result<File> {
        let path = self.path();
        let folder = self.home.folder(&self.dir().join(MANIFEST_FOLDER))?;
        let file = match folder.open_file(&path, OFlags::RDWR) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let create = || folder.open_file(&path, OFlags::RDWR | OFlags::CREATE);
                let file = disk::make(disk::Change::CreateFile(path.clone()), create)?;
                folder.sync()?;
                file
            }
            other => other?,
        };
        file.lock()?;
        Ok(file)
    }
}

impl State {
    fn wait(&mut self, entry: Entry, sensor: &str) {
        if self.waiting.len() >= WAITING_LINES_MAX {
            tracing::error!(sensor, "the manifest misses a line until the next start");
            self.waiting.pop_front();
        }
        self.waiting.push_back(entry);
    }

    /// Appends every waiting line, durably; after an error the file ends as before, or in a part of a line.
    fn append(&mut self, file: &File, path: &Path) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (end, mut before) = self.find_end(file, path)?;
        let mut text = Vec::new();
        for entry in &self.waiting {
            let line = entry.line(&before);
            before = LineHash::of(&line);
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        self.end = None;
        file.write_all_at(&text, end)?;
        disk::sync_file(path, file)?;
        self.end = Some((end + text.len() as u64, before));
        self.waiting.clear();
        Ok(())
    }

    /// Where the next line goes and the hash of the one before; a part of a line that a crash left is cut off.
    fn find_end(&self, file: &File, path: &Path) -> io::Result<(u64, LineHash)> {
        let len = file.metadata()?.len();
        if let Some((end, hash)) = self.end.filter(|(end, _)| *end == len) {
            return Ok((end, hash));
        }
        let (end, last) = last_line(file, len)?;
        if end < len {
            tracing::warn!(path = %path.display(), bytes = len - end, "cut a line off that a crash left unfinished");
            disk::set_len(path, file, end)?;
        }
        Ok((end, last.map_or(LineHash::NONE, |line| LineHash::of(&line))))
    }
}

/// The end of the last whole line, and that line.
fn last_line(file: &File, len: u64) -> io::Result<(u64, Option<Vec<u8>>)> {
    let mut taken = TAIL_BYTES.min(len);
    loop {
        let start = len - taken;
        let mut bytes = vec![0; usize::try_from(taken).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, start)?;
        let newline = memchr::memrchr(b'\n', &bytes);
        let before = newline.and_then(|at| memchr::memrchr(b'\n', &bytes[..at]));
        match (newline, before) {
            (Some(end), Some(begin)) => {
                return Ok((start + end as u64 + 1, Some(bytes[begin + 1..end].to_vec())));
            }
            (Some(end), None) if start == 0 => return Ok((end as u64 + 1, Some(bytes[..end].to_vec()))),
            (None, _) if start == 0 => return Ok((0, None)),
            (_, _) => taken = (taken * 2).min(len),
        }
    }
}
