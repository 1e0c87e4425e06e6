//! The whole protocol (write, publish, list, remove, compact, recover) against crashes and failures at every one of its steps.

mod crashes;
mod failures;
mod simulated;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use arrow_array::{cast::AsArray, types::Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{OpenError, WriteError, Writer, WriterSettings, recover};
use crate::{
    Batch,
    compact::{CompactSettings, Compactor},
    encode::footer::{read_whole, row_group_end},
    encrypt::Keyring,
    file::IoMode,
    manifest::{REPLACES_KEY, list_files, verify},
    retention::{Keep, Keeper},
    values::{ConnectionValues, PairState, RowValues, TimeSource},
};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Batches of one row, in the order in which the script writes them, by the time that names each.
const FIRST_HOUR: [i64; 2] = [1, 2];
const SECOND_HOUR: [i64; 2] = [HOUR_NS + 1, HOUR_NS + 2];

/// A batch with one row of this time.
pub(crate) fn batch(ts_ns: i64) -> Batch {
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
    let values = RowValues::unmeasured(ts_ns, TimeSource::Pcap, PairState::RequestOnly);
    batch.row(connection, None, None, &values);
    batch
}

/// What a script does with a dataset, and to whom it tells of it.
type Script = fn(&Path, &mut dyn FnMut(Mark)) -> Result<(), OpenError>;

/// All of them.
const SCRIPTS: [Script; 2] = [writing, compacting];

/// What the script tells of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The row of this time was reported written.
    Safe(i64),
    /// From here on the row of this time may be removed by retention.
    MayGo(i64),
}

/// A folder in memory where there is one, for thousands of crashes.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// Writes two files of two row groups each, publishes both, and lets retention remove the first.
///
/// # Errors
/// The first failure of a step that has no better way than to tell it; everything else goes on.
fn writing(dir: &Path, mark: &mut dyn FnMut(Mark)) -> Result<(), OpenError> {
    let mut writer = Writer::open(settings(dir))?;
    for ts_ns in FIRST_HOUR {
        write(&mut writer, ts_ns, mark);
    }
    // Published by age; twice, for what could not be done the first time.
    writer.tick(HOUR_NS);
    writer.tick(HOUR_NS);
    for ts_ns in SECOND_HOUR {
        write(&mut writer, ts_ns, mark);
    }
    writer.close();
    FIRST_HOUR.into_iter().for_each(|ts_ns| mark(Mark::MayGo(ts_ns)));
    let mut keeper = Keeper::new(dir, "s", Keep { bytes: Some(1), ..Keep::default() });
    // What it could not remove it removes another time.
    keeper.run(HOUR_NS);
    Ok(())
}

/// Writes two files of one hour and one of the next, has each hour merged, and goes on in the hour that was.
fn compacting(dir: &Path, mark: &mut dyn FnMut(Mark)) -> Result<(), OpenError> {
    let mut writer = Writer::open(settings(dir))?;
    for ts_ns in FIRST_HOUR.into_iter().chain(SECOND_HOUR) {
        write(&mut writer, ts_ns, mark);
        writer.tick(HOUR_NS);
    }
    // What does not work here is tried again another time.
    if let Ok(Some(mut compactor)) = Compactor::open(dir, "s", CompactSettings::default()) {
        let go_on = AtomicBool::new(false);
        let merges = compactor.plan(9 * HOUR_NS).unwrap_or_default();
        for _ in 0..merges {
            let _merged = compactor.step(9 * HOUR_NS, &go_on);
        }
    }
    writer.close();
    Ok(())
}

fn settings(dir: &Path) -> WriterSettings {
    WriterSettings { io: IoMode::Plain, ..WriterSettings::new(dir, "s") }
}

fn write(writer: &mut Writer, ts_ns: i64, mark: &mut dyn FnMut(Mark)) {
    match writer.write(batch(ts_ns), 0) {
        Ok(written) if written.rows == 1 => mark(Mark::Safe(ts_ns)),
        Ok(written) => panic!("a batch of one row was written as {written:?}"),
        Err(WriteError { rows_lost: 1, .. }) => {}
        Err(error) => panic!("a batch of one row lost something else: {error:?}"),
    }
}

/// The published files, with the times of their rows and where the last row group ends.
fn published(dir: &Path) -> BTreeMap<PathBuf, (Vec<i64>, usize)> {
    let mut paths = Vec::new();
    list_files(&dir.join("http"), &mut paths).expect("readable");
    let read = |path: PathBuf| {
        let file = File::open(&path).expect("readable");
        let metadata = read_whole(&file, &Keyring::default()).expect("a published file is whole");
        let end = metadata.row_groups().iter().map(row_group_end).max().expect("row groups");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build());
        let batches = reader.expect("a published file is whole").map(|batch| batch.expect("readable"));
        let times = batches.flat_map(|batch| {
            batch.column_by_name("ts_ns").expect("a column").as_primitive::<Int64Type>().values().to_vec()
        });
        (path, (times.collect(), usize::try_from(end).expect("small")))
    };
    paths.into_iter().map(read).collect()
}

/// What holds after every recovery; `whole` are the files of a run that nothing happened to, where a row group is
/// never left out.
fn check(dir: &Path, safe: &[i64], may_be: &[i64], whole: &BTreeMap<i64, Vec<u8>>) {
    let mut times = Vec::new();
    for (path, (in_file, end)) in published(dir) {
        let bytes = fs::read(&path).expect("readable");
        // What compaction wrote it wrote anew.
        let is_as_written = memchr::memmem::find(&bytes, REPLACES_KEY.as_bytes()).is_none();
        if let Some(original) = whole.get(&in_file[0]).filter(|_| is_as_written) {
            assert!(bytes[..end] == original[..end], "row groups of {} are byte-identical", path.display());
        }
        times.extend(in_file);
    }
    times.sort_unstable();
    for ts_ns in safe {
        assert_eq!(times.iter().filter(|time| *time == ts_ns).count(), 1, "row {ts_ns}, in {times:?}");
    }
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "no row twice: {times:?}");
    assert!(times.iter().all(|time| safe.contains(time) || may_be.contains(time)), "{times:?}");
    assert_eq!(verify(dir, &[]).expect("readable").problems, [], "the manifest is healed");
    let again = recover(dir).expect("recovered");
    assert_eq!(again, super::RecoverReport::default(), "a second recovery finds nothing to do");
}

/// Both files of a run that nothing happens to, by the time of their first row.
fn whole_files() -> BTreeMap<i64, Vec<u8>> {
    let dir = folder();
    let mut writer = Writer::open(settings(dir.path())).expect("a writable folder");
    for ts_ns in FIRST_HOUR.into_iter().chain(SECOND_HOUR) {
        writer.write(batch(ts_ns), 0).expect("written");
    }
    writer.close();
    let files = published(dir.path());
    files.into_iter().map(|(path, (times, _))| (times[0], fs::read(path).expect("readable"))).collect()
}
