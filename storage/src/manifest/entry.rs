//! What a line of the manifest says, and how it is bound to the line before.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use parquet::file::{metadata::ParquetMetaData, statistics::Statistics};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::encode::footer::text_of;

/// Bytes read at a time when a file is hashed.
const READ_BYTES: usize = 256 << 10;

/// SHA-256 of a line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// Stands in the first line for the line before it.
    pub const NONE: LineHash = LineHash([0; 32]);

    /// The hash of a line.
    pub fn of(line: &[u8]) -> LineHash {
        LineHash(Sha256::digest(line).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// One published file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Path below the dataset's folder, with slashes.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// Earliest `ts_ns` in it.
    pub ts_min_ns: Option<i64>,
    /// Latest `ts_ns` in it.
    pub ts_max_ns: Option<i64>,
    /// At most the first `host` in it; a bound, cut at 64 bytes. None of an encrypted file.
    pub host_min: Option<String>,
    /// At least the last `host` in it.
    pub host_max: Option<String>,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// What the file says of itself under the key `ledger`.
    pub ledger: Value,
}

/// Why retention removed a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoveReason {
    /// Older than `--keep`.
    Age,
    /// The dataset was larger than `--keep-bytes`.
    Bytes,
    /// The filesystem had less room than `--keep-free`.
    Free,
}

/// What happened to the published files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A file was published.
    Add(FileFacts),
    /// A file took the place of others: from this line on their rows are in it, and they may be removed.
    Replace {
        /// Paths of the others, as `file` names them.
        old: Vec<String>,
        /// The file that holds their rows.
        #[serde(flatten)]
        new: FileFacts,
    },
    /// Retention removed a file.
    Remove {
        /// Its path.
        file: String,
        /// Why.
        reason: RemoveReason,
        /// When: Unix time in nanoseconds.
        at_ns: i64,
    },
}

#[derive(Serialize)]
struct LineOut<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    prev: String,
}

#[derive(Deserialize)]
struct LineIn {
    #[serde(flatten)]
    entry: Entry,
    prev: String,
}

impl Entry {
    /// The line, without its end, that follows the line with this hash.
    pub(crate) fn line(&self, before: &LineHash) -> Vec<u8> {
        let line = LineOut { entry: self, prev: before.to_string() };
        serde_json::to_vec(&line).expect("strings, numbers and JSON values serialise")
    }

    /// The entry of a line and the hash it gives of the line before.
    pub(crate) fn parse(line: &[u8]) -> serde_json::Result<(Entry, String)> {
        let line: LineIn = serde_json::from_slice(line)?;
        Ok((line.entry, line.prev))
    }
}

/// What the manifest says of a file with this metadata.
pub(crate) fn facts_of(file: String, metadata: &ParquetMetaData, bytes: u64, sha256: String) -> FileFacts {
    let (mut ts, mut hosts) = (Bounds::default(), Bounds::default());
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        match (column.column_path().parts(), column.statistics()) {
            ([name], Some(Statistics::Int64(values))) if name == "ts_ns" => {
                ts.widen(values.min_opt().copied(), values.max_opt().copied());
            }
            // In the manifest, which is in clear, what is encrypted in the file has no place.
            ([name], Some(Statistics::ByteArray(values)))
                if name == "host" && column.crypto_metadata().is_none() =>
            {
                let text = |value: &parquet::data_type::ByteArray| value.as_utf8().ok().map(str::to_owned);
                hosts.widen(values.min_opt().and_then(text), values.max_opt().and_then(text));
            }
            (_, _) => {}
        }
    }
    let ledger = text_of(metadata, "ledger");
    FileFacts {
        file,
        rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
        bytes,
        ts_min_ns: ts.min,
        ts_max_ns: ts.max,
        host_min: hosts.min,
        host_max: hosts.max,
        sha256,
        ledger: ledger.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null),
    }
}

struct Bounds<T> {
    min: Option<T>,
    max: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Bounds { min: None, max: None }
    }
}

impl<T: Ord> Bounds<T> {
    fn widen(&mut self, min: Option<T>, max: Option<T>) {
        self.min = self.min.take().into_iter().chain(min).min();
        self.max = self.max.take().into_iter().chain(max).max();
    }
}

/// SHA-256 of a file's bytes, in hexadecimal, and their number.
pub(crate) fn hash_of_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((LineHash(hash.finalize().into()).to_string(), bytes)),
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
