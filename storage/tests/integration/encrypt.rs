//! An encrypted dataset says nothing without its keys, and with them what a plain one says; also after a crash.

use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arrow_array::RecordBatch;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parquet::{
    arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    encryption::decrypt::{FileDecryptionProperties, KeyRetriever},
    errors::{ParquetError, Result},
    file::metadata::PageIndexPolicy,
};
use storage::{
    compact::{CompactSettings, Compactor},
    dataset::{Writer, WriterSettings, recover, recover_with},
    encrypt::Keyring,
    manifest::{verify, verify_with},
    retention::{Keep, Keeper},
};

use crate::support::{NOON_NS, files, plain_batch, published, read};

const ROWS: usize = 50;
const ROW_GROUPS: usize = 3;

/// What stands in a plain dataset, at the least as a bound of a column or as a column's name.
const WORDS: [&str; 7] =
    ["shop.example", "/item/", "id-000000", "nginx", "192.0.2.1", "x_request_id", "eth1"];

fn rings() -> [Keyring; 2] {
    let columns = ["sensitive", "host"].map(str::to_owned);
    [Keyring::random(&[]).expect("keys"), Keyring::random(&columns).expect("keys")]
}

fn writer(dir: &Path, keyring: &Keyring) -> Writer {
    let settings = WriterSettings { keyring: keyring.clone(), ..WriterSettings::new(dir, "sensor-a") };
    Writer::open(settings).expect("a writable folder")
}

fn write(writer: &mut Writer) {
    for number in 0..ROW_GROUPS {
        let start = NOON_NS + i64::try_from(number).expect("few") * 1_000_000_000;
        writer.write(plain_batch(ROWS, start), NOON_NS).expect("written");
    }
}

/// Looks keys up in the text of a key file, as another program would.
struct KeyFile(String);

impl KeyRetriever for KeyFile {
    fn retrieve_key(&self, material: &[u8]) -> Result<Vec<u8>> {
        let material: serde_json::Value = serde_json::from_slice(material).expect("JSON");
        let id = material["wrappedDEK"].as_str().expect("an id");
        let line = self.0.lines().find_map(|line| line.strip_prefix(&format!("{id} = \"")));
        let missing = || ParquetError::General(format!("no key {id}"));
        Ok(STANDARD.decode(line.ok_or_else(missing)?.trim_end_matches('"')).expect("base64"))
    }
}

fn decrypted(path: &Path, keyring: &Keyring) -> Vec<RecordBatch> {
    let retriever = FileDecryptionProperties::with_key_retriever(Arc::new(KeyFile(keyring.text())));
    let options = ArrowReaderOptions::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .with_file_decryption_properties(retriever.build().expect("properties"));
    let file = File::open(path).expect("a readable file");
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("a Parquet file");
    assert!(builder.metadata().page_index().is_some(), "page indexes are there");
    let reader = builder.with_batch_size(1 << 20).build().expect("a reader");
    reader.map(|batch| batch.expect("rows")).collect()
}

fn row_count(dir: &Path, keyring: &Keyring) -> usize {
    published(dir).iter().flat_map(|path| decrypted(path, keyring)).map(|batch| batch.num_rows()).sum()
}

/// Those of the words that stand in a file below `dir`.
fn words_in_clear(dir: &Path) -> Vec<&'static str> {
    let contents: Vec<Vec<u8>> =
        files(dir, "").iter().map(|path| fs::read(path).expect("readable")).collect();
    let stands =
        |word: &&str| contents.iter().any(|bytes| memchr::memmem::find(bytes, word.as_bytes()).is_some());
    WORDS.into_iter().filter(stands).collect()
}

#[test]
fn nothing_of_a_row_is_in_clear_at_any_time_and_all_of_it_is_there() {
    let plain = tempfile::tempdir().expect("a temporary folder");
    let mut plain_writer = writer(plain.path(), &Keyring::default());
    write(&mut plain_writer);
    plain_writer.close();
    assert_eq!(words_in_clear(plain.path()), WORDS, "the words stand in a plain dataset");
    let rows: Vec<RecordBatch> = published(plain.path()).iter().flat_map(|path| read(path)).collect();
    for ring in rings() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut writer = writer(dir.path(), &ring);
        write(&mut writer);
        assert_eq!(files(dir.path(), ".footer").len(), 1, "a snapshot is there");
        assert_eq!(words_in_clear(dir.path()), [""; 0], "while it is written");
        writer.close();
        assert_eq!(words_in_clear(dir.path()), [""; 0], "once it is published");
        let file = published(dir.path()).remove(0);
        assert_eq!(lines(&decrypted(&file, &ring)), lines(&rows));
        assert!(verify(dir.path(), &[]).is_ok_and(|report| report.problems.is_empty() && report.locked == 1));
        let report = verify_with(dir.path(), &[], &ring).expect("readable");
        assert!(report.problems.is_empty() && report.locked == 0, "{report:?}");
    }
}

/// The rows of all batches as text, one line each: what two files of other row groups have in common.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let of_one = |batch: &RecordBatch| {
        (0..batch.num_rows()).map(|row| format!("{:?}", batch.slice(row, 1).columns())).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of_one).collect()
}

#[test]
fn two_files_of_the_same_rows_have_nothing_in_common() {
    let ring = Keyring::random(&[]).expect("keys");
    let contents = [(); 2].map(|()| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut writer = writer(dir.path(), &ring);
        write(&mut writer);
        writer.close();
        fs::read(published(dir.path()).remove(0)).expect("readable")
    });
    let blocks = |bytes: &[u8]| bytes.chunks(16).skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let first: std::collections::HashSet<Vec<u8>> = blocks(&contents[0]).into_iter().collect();
    let common = blocks(&contents[1]).into_iter().filter(|block| first.contains(block)).count();
    // The ids of keys before the footer are the same, and may stand at the same place.
    assert!(common < 40, "{common} blocks of {} are the same", contents[1].len() / 16);
}

/// What a writer leaves that dies behind its last row group.
struct Remains {
    data: Vec<u8>,
    snapshot: Vec<u8>,
    path: std::path::PathBuf,
    /// Length of the data behind each row group.
    ends: Vec<usize>,
}

fn remains(ring: &Keyring) -> Remains {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path(), ring);
    let mut ends = Vec::new();
    for number in 0..ROW_GROUPS {
        let start = NOON_NS + i64::try_from(number).expect("few") * 1_000_000_000;
        writer.write(plain_batch(ROWS, start), NOON_NS).expect("written");
        let snapshot = fs::read(files(dir.path(), ".footer").remove(0)).expect("readable");
        let len = u64::from_le_bytes(snapshot[8..16].try_into().expect("eight bytes"));
        ends.push(usize::try_from(len).expect("small"));
    }
    let staged = files(dir.path(), ".inprogress").remove(0);
    Remains {
        data: fs::read(&staged).expect("readable"),
        snapshot: fs::read(files(dir.path(), ".footer").remove(0)).expect("readable"),
        path: staged.strip_prefix(dir.path()).expect("below").to_owned(),
        ends,
    }
}

impl Remains {
    fn lay_out(&self, len: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let staged = dir.path().join(&self.path);
        fs::create_dir_all(staged.parent().expect("a folder")).expect("a writable folder");
        fs::write(&staged, &self.data[..len]).expect("written");
        fs::write(format!("{}.footer", staged.display()), &self.snapshot).expect("written");
        dir
    }
}

#[test]
fn a_crash_costs_no_synced_row_wherever_the_file_was_cut() {
    for ring in rings() {
        let remains = remains(&ring);
        let (first, second, third) = (remains.ends[0], remains.ends[1], remains.ends[2]);
        for (len, row_groups) in [
            (third, 3),
            (third - 1, 2),
            (second + 7, 2),
            (second, 2),
            (first + 1, 1),
            (first, 1),
            (first - 1, 0),
        ] {
            let dir = remains.lay_out(len);
            let report = recover_with(dir.path(), &ring).expect("recovered");
            assert_eq!(row_count(dir.path(), &ring), row_groups * ROWS, "cut at {len}: {report:?}");
            let verified = verify_with(dir.path(), &[], &ring).expect("readable");
            assert!(verified.problems.is_empty() && verified.locked == 0, "cut at {len}: {verified:?}");
            assert_eq!(words_in_clear(dir.path()), [""; 0], "cut at {len}");
        }
    }
}

#[test]
fn a_file_waits_unharmed_for_its_key() {
    for ring in rings() {
        let remains = remains(&ring);
        let len = remains.ends[1] + 1;
        let dir = remains.lay_out(len);
        let staged = dir.path().join(&remains.path);
        let other = Keyring::random(&[]).expect("keys");
        for (wrong, said) in [(Keyring::default(), "no key was given"), (other.clone(), "the keys given are")]
        {
            let report = recover_with(dir.path(), &wrong).expect("readable");
            let [(path, why)] = report.locked.as_slice() else { panic!("not one: {report:?}") };
            assert_eq!(path, &staged);
            let id = ring.footer_id().expect("an id");
            assert!(why.contains(&format!("key {id}")) && why.contains(said), "{why}");
            assert_eq!(fs::read(&staged).expect("still there"), remains.data[..len]);
            assert!(report.published.is_empty() && report.quarantined.is_empty(), "{report:?}");
        }
        // A capture with other keys begins all the same, and leaves it as well.
        let writer = writer(dir.path(), &other);
        assert_eq!(writer.recovered().locked.len(), 1);
        writer.close();
        let report = recover_with(dir.path(), &ring.rotated()).expect("recovered");
        assert_eq!(report.published.len(), 1, "a rotated ring reads what the one before wrote: {report:?}");
        assert_eq!(row_count(dir.path(), &ring), 2 * ROWS);
    }
}

#[test]
fn a_compaction_without_the_keys_leaves_encrypted_files_as_they_are() {
    let ring = Keyring::random(&[]).expect("keys");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for _ in 0..2 {
        let mut writer = writer(dir.path(), &ring);
        write(&mut writer);
        writer.close();
    }
    let contents =
        || published(dir.path()).iter().map(|path| fs::read(path).expect("readable")).collect::<Vec<_>>();
    let before = contents();
    let settings = CompactSettings { settle: Duration::ZERO, ..CompactSettings::default() };
    let compactor = Compactor::open(dir.path(), "sensor-a", settings).expect("a writable folder");
    let mut compactor = compactor.expect("nobody else is at work");
    let day_later = NOON_NS + 86_400_000_000_000;
    assert_eq!(compactor.plan(day_later).expect("readable"), 1, "their sizes would make them one");
    assert_eq!(compactor.step(day_later, &AtomicBool::new(false)).expect("nothing fails"), None);
    assert_eq!((before.len(), compactor.locked()), (2, 2));
    assert!(contents() == before);
}

#[test]
fn a_compaction_with_the_keys_merges_encrypted_files_and_encrypts_them_with_the_key_of_now() {
    for ring in rings() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..2 {
            let mut writer = writer(dir.path(), &ring);
            write(&mut writer);
            writer.close();
        }
        let rows = |ring: &Keyring| {
            let files = published(dir.path());
            let mut rows: Vec<String> = files.iter().flat_map(|path| lines(&decrypted(path, ring))).collect();
            rows.sort();
            rows
        };
        let before = rows(&ring);
        let rotated = ring.rotated();
        // As little memory makes it put every batch down as a run.
        let settings =
            CompactSettings { keyring: rotated.clone(), memory_bytes_max: 1, ..CompactSettings::default() };
        let compactor = Compactor::open(dir.path(), "sensor-a", settings).expect("a writable folder");
        let mut compactor = compactor.expect("nobody else is at work");
        let day_later = NOON_NS + 86_400_000_000_000;
        assert_eq!(compactor.plan(day_later).expect("readable"), 1);
        let merged = compactor.step(day_later, &AtomicBool::new(false)).expect("merged").expect("two files");
        assert_eq!((merged.files_before, merged.rows, compactor.locked()), (2, 300, 0));
        assert_eq!(published(dir.path()).len(), 1);
        assert!(rows(&rotated) == before, "every row is there, as it was");
        assert_eq!(words_in_clear(dir.path()), [""; 0]);
        let report = verify_with(dir.path(), &[], &rotated).expect("readable");
        assert!(report.problems.is_empty() && report.locked == 0, "{report:?}");
        // The keys that the old files had do not open the new one.
        assert_eq!(verify_with(dir.path(), &[], &ring).expect("readable").locked, 1);
        let manifest = fs::read_to_string(files(dir.path(), ".jsonl").remove(0)).expect("text");
        assert!(!manifest.contains("shop"), "{manifest}");
    }
}

#[test]
fn files_in_clear_and_encrypted_ones_are_not_merged_with_each_other() {
    let ring = Keyring::random(&[]).expect("keys");
    let dir = tempfile::tempdir().expect("a temporary folder");
    for ring in [&Keyring::default(), &ring, &Keyring::default(), &ring] {
        let mut writer = writer(dir.path(), ring);
        write(&mut writer);
        writer.close();
    }
    let settings = CompactSettings { keyring: ring, ..CompactSettings::default() };
    let compactor = Compactor::open(dir.path(), "sensor-a", settings).expect("a writable folder");
    let mut compactor = compactor.expect("nobody else is at work");
    let day_later = NOON_NS + 86_400_000_000_000;
    compactor.plan(day_later).expect("readable");
    let stop = AtomicBool::new(false);
    let merged = std::iter::from_fn(|| compactor.step(day_later, &stop).expect("nothing fails"));
    assert_eq!(merged.map(|one| (one.files_before, one.rows)).collect::<Vec<_>>(), [(2, 300); 2]);
    let ends = published(dir.path()).into_iter().map(|path| {
        let bytes = fs::read(path).expect("readable");
        bytes[bytes.len() - 4..].to_vec()
    });
    let mut ends: Vec<Vec<u8>> = ends.collect();
    ends.sort();
    assert_eq!(ends, [b"PAR1", b"PARE"]);
}

#[test]
fn retention_and_verification_know_encrypted_files_with_the_keys_and_without() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let ring = Keyring::random(&[]).expect("keys");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path(), &ring);
    for hour in 0..4 {
        writer.write(plain_batch(ROWS, NOON_NS - hour * HOUR_NS), NOON_NS).expect("written");
    }
    writer.close();
    let keep = Keep { age: Some(Duration::from_secs(3600)), ..Keep::default() };
    let (removed, error) = Keeper::new(dir.path(), "sensor-a", keep).run(NOON_NS);
    assert!(error.is_none() && removed.len() == 2, "{removed:?}, {error:?}");
    assert_eq!((published(dir.path()).len(), row_count(dir.path(), &ring)), (2, 2 * ROWS));
    for (keyring, locked) in [(&Keyring::default(), 2), (&ring, 0)] {
        let report = verify_with(dir.path(), &[], keyring).expect("readable");
        assert!(report.problems.is_empty() && report.locked == locked, "{report:?}");
    }
    let file = published(dir.path()).remove(0);
    let mut bytes = fs::read(&file).expect("readable");
    bytes[100] ^= 1;
    fs::write(&file, bytes).expect("writable");
    for keyring in [&Keyring::default(), &ring] {
        let report = verify_with(dir.path(), &[], keyring).expect("readable");
        assert_eq!(report.problems.len(), 1, "a changed byte is seen without a key as well: {report:?}");
    }
}

#[test]
fn a_lost_manifest_is_made_again_by_who_has_the_key() {
    let ring = Keyring::random(&[]).expect("keys");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path(), &ring);
    write(&mut writer);
    writer.close();
    fs::remove_dir_all(dir.path().join(".manifest")).expect("removed");
    assert_eq!(recover(dir.path()).expect("readable").manifest.unlisted.len(), 1);
    assert_eq!(recover_with(dir.path(), &ring).expect("readable").manifest.listed.len(), 1);
    let manifest =
        fs::read_to_string(files(&dir.path().join(".manifest"), ".jsonl").remove(0)).expect("text");
    assert!(manifest.contains("\"host_min\":null") && manifest.contains("\"rows\":150"), "{manifest}");
    assert!(verify_with(dir.path(), &[], &ring).expect("readable").problems.is_empty());
}
