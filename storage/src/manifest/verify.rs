//! `hdrcap verify`: the manifests against themselves and against the files, byte by byte.
//!
//! Writes nothing and takes no lock for longer than it reads a manifest, so a capture may go on meanwhile; what looks
//! wrong only because a file came or went since is looked at again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{Chain, LineHash, LiveFile, Manifest, hash_of_file, path_of, reconcile::list_files, sensors};
use crate::{
    dataset::{
        io_error,
        name::{TABLES, name_below},
    },
    encode::footer::read_whole,
    encrypt::{Keyring, is_key_missing},
};

/// Something that is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Lines of a sensor's manifest were changed, removed or put in.
    Chain {
        /// Whose manifest.
        sensor: String,
        /// Which line, and what about it.
        what: String,
    },
    /// The manifest ends in a part of a line.
    Torn {
        /// Whose manifest.
        sensor: String,
    },
    /// A hash that an earlier verification printed is not in any manifest.
    HeadGone(String),
    /// A listed file is not there.
    Missing(String),
    /// A listed file has another content; the second text says in what.
    Changed(String, String),
    /// A Parquet file is in no manifest.
    Unlisted(String),
    /// A file whose rows are in another one is still there: a query over the folder counts them twice.
    Replaced(String),
    /// Something could not be read.
    Unreadable(String, String),
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Chain { sensor, what } => write!(out, "manifest of {sensor}: {what}"),
            Problem::Torn { sensor } => write!(
                out,
                "manifest of {sensor}: the last line is not whole: the next start or hdrcap recover puts it right"
            ),
            Problem::HeadGone(hash) => {
                write!(out, "no manifest has a line with the hash {hash}: lines were removed or changed")
            }
            Problem::Missing(file) => write!(out, "missing: {file}"),
            Problem::Changed(file, what) => write!(out, "changed: {file}: {what}"),
            Problem::Unlisted(file) => write!(out, "in no manifest: {file}"),
            Problem::Replaced(file) => write!(out, "replaced but still there: {file}"),
            Problem::Unreadable(path, error) => write!(out, "cannot read {path}: {error}"),
        }
    }
}

/// What was found of one sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorVerified {
    /// The sensor.
    pub sensor: String,
    /// Lines of its manifest.
    pub lines: u64,
    /// Files listed.
    pub files: u64,
    /// Rows in them, as listed.
    pub rows: u64,
    /// Bytes of them, as listed.
    pub bytes: u64,
    /// Hash of the last line: noted elsewhere, it proves later that no line before it was changed.
    pub head: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// By sensor.
    pub sensors: Vec<SensorVerified>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// Files whose bytes are what they were, and whose rows were not counted: no key of theirs was given.
    pub locked: u64,
}

/// Checks the dataset at `dir`; `heads` are hashes that its manifests must still have.
pub fn verify(dir: &Path, heads: &[String]) -> io::Result<VerifyReport> {
    verify_with(dir, heads, &Keyring::default())
}

/// The same, with these keys for the rows of what is encrypted.
pub fn verify_with(dir: &Path, heads: &[String], keyring: &Keyring) -> io::Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let chains = read_chains(dir, &mut report.problems)?;
    for chain in &chains {
        report.sensors.push(summary(chain));
        let sensor = || chain.sensor.clone();
        let broken = chain.breaks.iter().map(|what| Problem::Chain { sensor: sensor(), what: what.clone() });
        report.problems.extend(broken);
        if chain.is_torn {
            report.problems.push(Problem::Torn { sensor: sensor() });
        }
    }
    let hashes: BTreeSet<String> =
        chains.iter().flat_map(|chain| chain.hashes.iter().map(LineHash::to_string)).collect();
    report
        .problems
        .extend(heads.iter().filter(|head| !hashes.contains(*head)).cloned().map(Problem::HeadGone));
    let found = compare(dir, &chains, (keyring, &mut report.locked))?;
    if found.iter().any(Found::may_pass) {
        let now = read_chains(dir, &mut Vec::new())?;
        report.problems.extend(found.into_iter().filter(|found| found.still(dir, &now)).map(|found| found.0));
    } else {
        report.problems.extend(found.into_iter().map(|found| found.0));
    }
    Ok(report)
}

fn read_chains(dir: &Path, problems: &mut Vec<Problem>) -> io::Result<Vec<Chain>> {
    let mut chains = Vec::new();
    for sensor in sensors(dir)? {
        match Manifest::new(dir, &sensor).read() {
            Ok(chain) => chains.push(chain),
            Err(error) => {
                let path = path_of(dir, &sensor).display().to_string();
                problems.push(Problem::Unreadable(path, error.to_string()));
            }
        }
    }
    Ok(chains)
}

fn summary(chain: &Chain) -> SensorVerified {
    SensorVerified {
        sensor: chain.sensor.clone(),
        lines: chain.lines,
        files: chain.live.len() as u64,
        rows: chain.live.values().map(|file| file.rows).sum(),
        bytes: chain.live.values().map(|file| file.bytes).sum(),
        head: chain.head.to_string(),
    }
}

/// A problem as it looked when the files were read.
struct Found(Problem);

impl Found {
    /// True where a file that came or went since explains it.
    fn may_pass(&self) -> bool {
        match &self.0 {
            Problem::Missing(_) | Problem::Unlisted(_) | Problem::Replaced(_) => true,
            Problem::Chain { .. }
            | Problem::Torn { .. }
            | Problem::HeadGone(_)
            | Problem::Changed(..)
            | Problem::Unreadable(..) => false,
        }
    }

    fn still(&self, dir: &Path, chains: &[Chain]) -> bool {
        let is_there = |name: &str| dir.join(name).exists();
        let is_live = |name: &str| chains.iter().any(|chain| chain.live.contains_key(name));
        match &self.0 {
            Problem::Missing(name) => is_live(name) && !is_there(name),
            Problem::Unlisted(name) => !is_live(name) && is_there(name),
            Problem::Replaced(name) => is_there(name),
            Problem::Chain { .. }
            | Problem::Torn { .. }
            | Problem::HeadGone(_)
            | Problem::Changed(..)
            | Problem::Unreadable(..) => true,
        }
    }
}

fn compare(dir: &Path, chains: &[Chain], (keyring, locked): (&Keyring, &mut u64)) -> io::Result<Vec<Found>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for table in TABLES {
        list_files(&dir.join(table), &mut paths)?;
    }
    let is_parquet = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    let present: BTreeSet<String> =
        paths.iter().filter(is_parquet).filter_map(|path| name_below(dir, path)).collect();
    let live: BTreeMap<&String, &LiveFile> = chains.iter().flat_map(|chain| &chain.live).collect();
    let mut found = Vec::new();
    for (name, file) in &live {
        match check_file(dir, name, file, keyring) {
            Ok(Rows::Counted) => {}
            Ok(Rows::Locked) => *locked += 1,
            Err(problem) => found.push(Found(problem)),
        }
    }
    for name in present.iter().filter(|name| !live.contains_key(name)) {
        let is_replaced = chains.iter().any(|chain| chain.replaced.contains(name));
        let problem = if is_replaced { Problem::Replaced } else { Problem::Unlisted };
        found.push(Found(problem(name.clone())));
    }
    Ok(found)
}

/// Whether the rows of a file that is as listed could be counted.
enum Rows {
    /// They are as many as listed.
    Counted,
    /// The key is missing.
    Locked,
}

/// What is wrong with a listed file, if anything is.
fn check_file(dir: &Path, name: &str, listed: &LiveFile, keyring: &Keyring) -> Result<Rows, Problem> {
    let path = dir.join(name);
    let changed = |what: String| Problem::Changed(name.to_owned(), what);
    let (sha256, bytes) = match hash_of_file(&path) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Problem::Missing(name.to_owned()));
        }
        Err(error) => return Err(Problem::Unreadable(name.to_owned(), error.to_string())),
    };
    if bytes != listed.bytes {
        return Err(changed(format!("{bytes} bytes, listed with {}", listed.bytes)));
    }
    if sha256 != listed.sha256 {
        return Err(changed(format!("its SHA-256 is {sha256}, listed with {}", listed.sha256)));
    }
    let read = File::open(&path).and_then(|file| read_whole(&file, keyring).map_err(io_error));
    let metadata = match read {
        Ok(metadata) => metadata,
        Err(error) if is_key_missing(&error) => return Ok(Rows::Locked),
        Err(error) => return Err(changed(format!("no whole Parquet file: {error}"))),
    };
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    if rows != listed.rows {
        return Err(changed(format!("{rows} rows, listed with {}", listed.rows)));
    }
    Ok(Rows::Counted)
}
