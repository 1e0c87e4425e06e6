//! The manifest and the folder made to agree again after a crash between a rename and its line.
//!
//! A published file without a line gets one; a file that names in its metadata what it replaces (`REPLACES_KEY`) gets
//! a `replace` line, and whatever is replaced but still there goes. Every step can be repeated.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use parquet::file::metadata::ParquetMetaData;

use super::{
    Chain, Manifest,
    entry::{Entry, facts_of, hash_of_file},
};
use crate::{
    dataset::{
        io_error,
        name::{DatasetFile, TABLES, name_below},
    },
    disk,
    encode::footer::read_whole,
    encode::footer::text_of,
};

/// Key in a file's metadata with a JSON list of the files whose rows it took over.
pub const REPLACES_KEY: &str = "replaces";

/// Bytes hashed at a start at the most; more than one crash leaves only where a manifest was lost.
const HEAL_BYTES_MAX: u64 = 8 << 30;

/// What was put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Published files that had no line.
    pub listed: Vec<String>,
    /// Replaced files that were still there, and are removed.
    pub removed: Vec<String>,
    /// Files with a line that are not there.
    pub missing: Vec<String>,
    /// Files of ours without a line that are no whole Parquet file, or too many bytes to hash now.
    pub unlisted: Vec<String>,
}

impl Reconciled {
    pub(crate) fn add(&mut self, other: Reconciled) {
        self.listed.extend(other.listed);
        self.removed.extend(other.removed);
        self.missing.extend(other.missing);
        self.unlisted.extend(other.unlisted);
    }
}

/// Puts the manifest in line with what is published.
pub(crate) fn reconcile(manifest: &Manifest) -> io::Result<Reconciled> {
    let (dir, sensor) = (manifest.dir(), manifest.sensor());
    let report = manifest.revise(|chain| {
        for broken in &chain.breaks {
            tracing::warn!(sensor, %broken, "the manifest is broken: see hdrcap verify");
        }
        let published: BTreeSet<DatasetFile> =
            published_files(dir)?.into_iter().filter(|file| file.sensor == sensor).collect();
        let mut report = Reconciled::default();
        let mut entries = Vec::new();
        let mut replaced = chain.replaced.clone();
        let mut bytes_left = HEAL_BYTES_MAX;
        for file in published.iter().filter(|file| is_unknown(chain, &file.name)) {
            match entry_of(manifest, file, &mut bytes_left) {
                Ok(entry) => {
                    if let Entry::Replace { old, .. } = &entry {
                        replaced.extend(old.iter().cloned());
                    }
                    entries.push(entry);
                    report.listed.push(file.name.clone());
                }
                Err(error) => {
                    tracing::warn!(file = %file.name, %error, "a published file is in no manifest");
                    report.unlisted.push(file.name.clone());
                }
            }
        }
        let names: BTreeSet<&String> = published.iter().map(|file| &file.name).collect();
        report.missing = chain.live.keys().filter(|name| !names.contains(name)).cloned().collect();
        let leftovers = published.iter().filter(|file| replaced.contains(&file.name));
        report.removed = leftovers.map(|file| file.name.clone()).collect();
        Ok((report, entries))
    })?;
    // Behind the lines that say so, the files whose rows are in others go.
    for name in &report.removed {
        disk::remove_if_there(&dir.join(name))?;
    }
    Ok(report)
}

fn is_unknown(chain: &Chain, name: &str) -> bool {
    !chain.live.contains_key(name) && !chain.replaced.contains(name)
}

fn entry_of(manifest: &Manifest, file: &DatasetFile, bytes_left: &mut u64) -> io::Result<Entry> {
    let path = file.path(manifest.dir());
    let opened = File::open(&path)?;
    let metadata = read_whole(&opened, manifest.keyring()).map_err(io_error)?;
    let len = opened.metadata()?.len();
    *bytes_left = bytes_left
        .checked_sub(len)
        .ok_or_else(|| io::Error::other("too much to hash at once: hdrcap recover goes on"))?;
    let (sha256, bytes) = hash_of_file(&path)?;
    let facts = facts_of(file.name.clone(), &metadata, bytes, sha256);
    Ok(match replaces(&metadata, &file.sensor) {
        Some(old) => Entry::Replace { old, new: facts },
        None => Entry::Add(facts),
    })
}

/// The files that this one says it replaces, where all of them are the sensor's own.
fn replaces(metadata: &ParquetMetaData, sensor: &str) -> Option<Vec<String>> {
    let names: Vec<String> = serde_json::from_str(text_of(metadata, REPLACES_KEY)?).ok()?;
    let is_own = |name: &String| DatasetFile::parse(name).is_some_and(|file| file.sensor == sensor);
    names.iter().all(is_own).then_some(names)
}

/// Every published file with a name of the dataset's, of any sensor.
pub(crate) fn published_files(dir: &Path) -> io::Result<Vec<DatasetFile>> {
    let mut paths = Vec::new();
    for table in TABLES {
        list_files(&dir.join(table), &mut paths)?;
    }
    Ok(paths.iter().filter_map(|path| DatasetFile::parse(&name_below(dir, path)?)).collect())
}

/// Adds every file below `folder`; a folder that goes away meanwhile has none.
pub(crate) fn list_files(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}
