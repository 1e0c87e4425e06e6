//! Several files into one: read, sorted, written, and read back until nothing can be missing.

use std::{
    cell::Cell,
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    errors::Result,
    file::metadata::{KeyValue, ParquetMetaData},
    schema::types::Type,
};
use serde_json::{Map, Value};

use super::{
    fingerprint::Fingerprint,
    plan::{Candidate, Group},
    sort::{Keys, RUNS_MAX, Sorted, Sorter},
};
use crate::{
    batch::BATCH_ROWS_MAX,
    dataset::{TimeSpan, io_error},
    disk::sync_folder,
    encode::{
        Layout, RowGroups,
        footer::{is_encrypted, read_tail, text_of},
    },
    encrypt::{Keyring, PassingKey, Reading, is_key_missing},
    file::{Files, Hashed, IoMode},
    manifest::{FileFacts, REPLACES_KEY, facts_of},
};

/// Rows that are read at a time; with the longest heads that is 32 MiB.
const READ_ROWS: usize = 256;

/// Bytes of rows in a row group at the most, before they are encoded.
const GROUP_BYTES_MAX: usize = 256 << 20;

/// What a file says of itself under this key is about its own rows and counts.
const LEDGER_KEY: &str = "ledger";

/// What files have in common that become one.
#[derive(Clone, Debug, PartialEq)]
struct Kind {
    schema: Arc<Type>,
    is_encrypted: bool,
    /// Version of the schema, and redaction policy.
    said: [Option<String>; 2],
}

impl Kind {
    fn of(metadata: &ParquetMetaData, is_encrypted: bool) -> Kind {
        let said =
            ["schema_version", "redaction_policy"].map(|key| text_of(metadata, key).map(str::to_owned));
        Kind { schema: metadata.file_metadata().schema_descr().root_schema_ptr(), is_encrypted, said }
    }
}

fn open(file: &File, keyring: &Keyring) -> Result<ArrowReaderMetadata> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    if !is_encrypted(file)? {
        return ArrowReaderMetadata::load(file, options);
    }
    let reading = Reading::new(keyring);
    let options = options.with_file_decryption_properties(reading.properties()?);
    let loaded = ArrowReaderMetadata::load(file, options);
    reading.result(loaded)
}

/// A merge under way.
pub(super) struct Rewrite<'a> {
    /// The dataset's folder.
    pub(super) dir: &'a Path,
    /// Where runs are put down.
    pub(super) folder: &'a Path,
    pub(super) zstd_level: i32,
    pub(super) memory_bytes_max: usize,
    /// To read encrypted files with, and to encrypt what they become.
    pub(super) keyring: &'a Keyring,
    /// Files met that want a key which is not there.
    pub(super) locked: Cell<u64>,
    /// Ends it soon, without a result.
    pub(super) stop: &'a AtomicBool,
}

/// What was read.
struct Gathered {
    rows: Sorted,
    taken: Group,
    left: Group,
    print: Fingerprint,
    span: TimeSpan,
    /// Metadata of the file with the latest row.
    newest: ArrowReaderMetadata,
    is_encrypted: bool,
}

impl Rewrite<'_> {
    /// Writes the rows of those of these files that go with the first, as far as they can be sorted at once, to `path`.
    ///
    /// Gives the files whose rows it wrote, those that are left for another time, and what the manifest is to say of the
    /// new file, called `name`; nothing where there is only one file of its kind, and so nothing to merge.
    pub(super) fn run(
        &self,
        files: &[Candidate],
        path: &Path,
        name: String,
    ) -> io::Result<(Group, Group, Option<FileFacts>)> {
        let Some(mut gathered) = self.gather(files)? else { return Ok((Group::new(), Group::new(), None)) };
        let (taken, left) = (std::mem::take(&mut gathered.taken), std::mem::take(&mut gathered.left));
        if taken.len() < 2 {
            return Ok((taken, left, None));
        }
        let print = gathered.print;
        let facts = self.write(gathered, &taken, path, name)?;
        // The name that is to be moved must itself have lasted.
        sync_folder(self.folder)?;
        if self.read_back(path)? != print {
            let why = "read back, the new file does not hold the same rows: the old files stay";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok((taken, left, Some(facts)))
    }

    fn gather(&self, files: &[Candidate]) -> io::Result<Option<Gathered>> {
        let mut sorter = Sorter::new(self.folder, self.memory_bytes_max, self.passing_key()?);
        let (mut taken, mut left) = (Group::new(), Group::new());
        let mut print = Fingerprint::default();
        let mut span = TimeSpan::of(std::iter::empty());
        let mut kind: Option<Kind> = None;
        let mut newest: Option<(i64, ArrowReaderMetadata)> = None;
        for candidate in files {
            let file = match File::open(candidate.file.path(self.dir)) {
                // Retention was here.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let metadata = match open(&file, self.keyring).map_err(io_error) {
                // It stays as it is until somebody has the key.
                Err(error) if is_key_missing(&error) => {
                    tracing::debug!(file = %candidate.file.name, %error, "left as it is");
                    self.locked.set(self.locked.get() + 1);
                    continue;
                }
                other => other?,
            };
            let own = Kind::of(metadata.metadata(), is_encrypted(&file).map_err(io_error)?);
            // The next file may take as many runs again.
            let is_full = taken.len() > 1 && sorter.runs() > RUNS_MAX / 2;
            if is_full || *kind.get_or_insert_with(|| own.clone()) != own {
                left.push(candidate.clone());
                continue;
            }
            let of_file = self.take(file, &metadata, (&mut sorter, &mut print))?;
            span = span.join(of_file);
            if newest.as_ref().is_none_or(|(last_ns, _)| *last_ns <= of_file.last_ns()) {
                newest = Some((of_file.last_ns(), metadata));
            }
            taken.push(candidate.clone());
        }
        let Some((_, newest)) = newest else { return Ok(None) };
        let is_encrypted = kind.is_some_and(|kind| kind.is_encrypted);
        Ok(Some(Gathered { rows: sorter.finish()?, taken, left, print, span, newest, is_encrypted }))
    }

    /// Where files are encrypted, so are sorted runs.
    fn passing_key(&self) -> io::Result<Option<PassingKey>> {
        self.keyring.footer_id().map(|_| PassingKey::random()).transpose().map_err(io_error)
    }

    /// Takes the rows of one file; the time they span.
    fn take(
        &self,
        file: File,
        metadata: &ArrowReaderMetadata,
        (sorter, print): (&mut Sorter<'_>, &mut Fingerprint),
    ) -> io::Result<TimeSpan> {
        let mut span = TimeSpan::of(std::iter::empty());
        for batch in self.read(file, metadata.clone())? {
            let batch = batch?;
            print.add(&batch).map_err(io::Error::other)?;
            span = span.join(TimeSpan::of(Keys::of(&batch).map_err(io_error)?.times()));
            if sorter.runs() >= RUNS_MAX {
                return Err(io::Error::other("there are too many rows in them to sort"));
            }
            sorter.push(batch)?;
        }
        Ok(span)
    }

    /// A file's rows, until the merge is to stop.
    fn read(
        &self,
        file: File,
        metadata: ArrowReaderMetadata,
    ) -> io::Result<impl Iterator<Item = io::Result<arrow_array::RecordBatch>>> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let reader = builder.with_batch_size(READ_ROWS).build().map_err(io_error)?;
        Ok(reader.map(|batch| {
            self.go_on()?;
            batch.map_err(io::Error::other)
        }))
    }

    fn go_on(&self) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("stopped")),
            false => Ok(()),
        }
    }

    fn write(&self, from: Gathered, files: &[Candidate], path: &Path, name: String) -> io::Result<FileFacts> {
        let Gathered { rows, print, span, newest, is_encrypted, .. } = from;
        // What was in clear stays so, beside files that are encrypted as well.
        let keyring = if is_encrypted { self.keyring.clone() } else { Keyring::default() };
        let layout = Layout::sorted(newest.schema(), self.zstd_level, &keyring).map_err(io_error)?;
        if layout.parquet.root_schema() != newest.metadata().file_metadata().schema_descr().root_schema() {
            return Err(io::Error::other("their columns are not those of a table of hdrcap"));
        }
        let out = Hashed::new(Files::new(IoMode::Plain).create(path)?);
        let mut row_groups = RowGroups::new(out, layout).map_err(io_error)?;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            self.go_on()?;
            row_groups.append_all(one_group(&mut rows)).map_err(io_error)?;
            row_groups.inner_mut().inner_mut().sync()?;
        }
        let pairs = pairs(
            newest.metadata(),
            files,
            &ledger(newest.metadata(), print.rows, row_groups.row_groups(), span),
        )?;
        let tail = row_groups.tail(pairs).map_err(io_error)?;
        let data_len = row_groups.data_len();
        let (out, sha256) = row_groups.finish(&tail).map_err(io_error)?.finish();
        out.finish()?;
        let bytes = data_len + tail.len() as u64;
        Ok(facts_of(name, &read_tail(data_len, tail, &keyring).map_err(io_error)?, bytes, sha256))
    }

    fn read_back(&self, path: &Path) -> io::Result<Fingerprint> {
        let file = File::open(path)?;
        let metadata = open(&file, self.keyring).map_err(io_error)?;
        let mut print = Fingerprint::default();
        for batch in self.read(file, metadata)? {
            print.add(&batch?).map_err(io::Error::other)?;
        }
        Ok(print)
    }
}

/// The next rows that make one row group; there is at least one.
fn one_group<'a>(
    rows: &'a mut impl Iterator<Item = Result<arrow_array::RecordBatch>>,
) -> impl Iterator<Item = Result<arrow_array::RecordBatch>> + 'a {
    let (mut count, mut bytes) = (0, 0);
    std::iter::from_fn(move || {
        if count >= BATCH_ROWS_MAX || bytes >= GROUP_BYTES_MAX {
            return None;
        }
        let batch = rows.next()?;
        if let Ok(batch) = &batch {
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
        }
        Some(batch)
    })
}

/// What the newest file says of itself, but for its own rows and counts, and whose rows the new one holds.
fn pairs(newest: &ParquetMetaData, files: &[Candidate], ledger: &str) -> io::Result<Vec<KeyValue>> {
    let old: Vec<&str> = files.iter().map(|candidate| candidate.file.name.as_str()).collect();
    let old = serde_json::to_string(&old).map_err(io::Error::other)?;
    let own = [LEDGER_KEY, REPLACES_KEY];
    let kept = newest.file_metadata().key_value_metadata().into_iter().flatten();
    let mut pairs: Vec<KeyValue> = kept.filter(|pair| !own.contains(&pair.key.as_str())).cloned().collect();
    pairs.push(KeyValue::new(LEDGER_KEY.to_owned(), ledger.to_owned()));
    pairs.push(KeyValue::new(REPLACES_KEY.to_owned(), old));
    Ok(pairs)
}

/// The ledger of the newest file, which has the latest counts, with the rows of all.
fn ledger(newest: &ParquetMetaData, rows: u64, row_groups: usize, span: TimeSpan) -> String {
    let text = text_of(newest, LEDGER_KEY);
    let mut ledger: Map<String, Value> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    ledger.insert("rows".to_owned(), rows.into());
    ledger.insert("row_groups".to_owned(), row_groups.into());
    ledger.insert("ts_min_ns".to_owned(), span.first_ns().into());
    ledger.insert("ts_max_ns".to_owned(), span.last_ns().into());
    Value::Object(ledger).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_group_ends_at_its_limit_of_rows() {
        let batch = crate::encode::table(crate::dataset::tests::batch(1), "s").expect("a row");
        let mut rows = std::iter::repeat_n(batch, BATCH_ROWS_MAX + 5).map(Ok);
        assert_eq!(one_group(&mut rows).count(), BATCH_ROWS_MAX.min(one_group_bytes_rows()));
        assert!(one_group(&mut rows).count() > 0);
    }

    /// Rows of the test's kind that fill a group by their bytes.
    fn one_group_bytes_rows() -> usize {
        let batch = crate::encode::table(crate::dataset::tests::batch(1), "s").expect("a row");
        GROUP_BYTES_MAX.div_ceil(batch.get_array_memory_size())
    }
}
