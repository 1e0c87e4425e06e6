//! A writer that dies loses at most what was not synced: its files are made whole, published, and never harmed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{NOON_NS, files, plain_batch, published, row_count, writer};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use storage::{
    dataset::{RecoverReport, Writer, WriterSettings, recover},
    manifest::verify,
};

const ROWS: usize = 50;
const ROW_GROUPS: usize = 4;

/// What a writer leaves that dies after four row groups: the file's bytes and its snapshot's.
struct Remains {
    data: Vec<u8>,
    snapshot: Vec<u8>,
    /// The staged file below the dataset's folder.
    path: PathBuf,
    /// The same file as closing would have published it.
    closed: Vec<u8>,
}

fn remains() -> Remains {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path());
    for number in 0..ROW_GROUPS {
        let start = NOON_NS + i64::try_from(number).expect("few") * 1_000_000_000;
        writer.write(plain_batch(ROWS, start), NOON_NS).expect("written");
    }
    let staged = files(dir.path(), ".inprogress").remove(0);
    let data = fs::read(&staged).expect("readable");
    let snapshot = fs::read(files(dir.path(), ".footer").remove(0)).expect("readable");
    writer.close();
    Remains {
        data,
        snapshot,
        path: staged.strip_prefix(dir.path()).expect("below").to_owned(),
        closed: fs::read(&published(dir.path())[0]).expect("readable"),
    }
}

impl Remains {
    /// A dataset in which a dead writer left `data` and, if any, `snapshot`.
    fn lay_out(&self, data: &[u8], snapshot: Option<&[u8]>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let staged = dir.path().join(&self.path);
        fs::create_dir_all(staged.parent().expect("a folder")).expect("a writable folder");
        fs::write(&staged, data).expect("written");
        if let Some(snapshot) = snapshot {
            let mut name = staged.into_os_string();
            name.push(".footer");
            fs::write(name, snapshot).expect("written");
        }
        dir
    }

    /// Where the last row group ends.
    fn data_len(&self) -> usize {
        usize::try_from(u64::from_le_bytes(self.snapshot[8..16].try_into().expect("eight bytes")))
            .expect("small")
    }

    /// Where each row group ends, bloom filters included.
    fn ends(&self) -> Vec<usize> {
        let metadata = metadata_of(&self.closed);
        let starts = metadata.row_groups()[1..].iter().map(|row_group| {
            let first = row_group.columns().iter().map(|column| column.byte_range().0).min();
            usize::try_from(first.expect("columns")).expect("small")
        });
        starts.chain([self.data_len()]).collect()
    }
}

fn metadata_of(bytes: &[u8]) -> ParquetMetaData {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    assert!(bytes.len() > 12);
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&bytes)
        .expect("whole")
}

/// The rows recovered; asserts what holds for every recovery.
fn check(dir: &Path, remains: &Remains, report: &RecoverReport) -> usize {
    let rows = row_count(dir);
    let reported: u64 = report.published.iter().map(|file| file.rows).sum();
    assert_eq!(reported, rows as u64);
    for path in published(dir) {
        let bytes = fs::read(&path).expect("readable");
        let metadata = metadata_of(&bytes);
        let end = remains.ends()[metadata.num_row_groups() - 1];
        assert!(bytes[..end] == remains.closed[..end], "row groups are byte-identical");
        assert!(
            path.ends_with(
                remains.path.strip_prefix(".staging/sensor-a").expect("staged").with_extension("")
            )
        );
    }
    assert_eq!(
        recover(dir).expect("again"),
        RecoverReport::default(),
        "a second recovery finds nothing to do"
    );
    rows
}

#[test]
fn a_file_left_after_any_row_group_is_published_as_if_closed_there() {
    let remains = remains();
    let dir = remains.lay_out(&remains.data, Some(&remains.snapshot));
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(check(dir.path(), &remains, &report), ROWS * ROW_GROUPS);
    assert_eq!(report.published[0].row_groups, ROW_GROUPS);
    assert!(report.quarantined.is_empty(), "padding is no loss: {report:?}");
    assert!(
        fs::read(&published(dir.path())[0]).expect("readable") == remains.closed,
        "the same bytes as closing"
    );
}

#[test]
fn a_cut_in_the_tail_costs_nothing() {
    let remains = remains();
    let data_len = remains.data_len();
    let len = remains.closed.len();
    let near_the_ends = (data_len..data_len + 9).chain(len - 12..=len);
    for cut in (data_len..len).step_by(1_499).chain(near_the_ends) {
        let dir = remains.lay_out(&remains.closed[..cut], Some(&remains.snapshot));
        let report = recover(dir.path()).expect("recovered");
        assert_eq!(check(dir.path(), &remains, &report), ROWS * ROW_GROUPS, "cut at {cut}");
        assert!(report.quarantined.is_empty(), "cut at {cut}: {report:?}");
    }
    for padding in [1, 511, 4095] {
        let padded = [&remains.closed[..], &vec![0; padding]].concat();
        let dir = remains.lay_out(&padded, None);
        let report = recover(dir.path()).expect("recovered");
        assert_eq!(check(dir.path(), &remains, &report), ROWS * ROW_GROUPS, "{padding} bytes of padding");
    }
}

#[test]
fn a_cut_within_a_row_group_costs_that_row_group_and_those_behind_it() {
    let remains = remains();
    let ends = remains.ends();
    let mut starts = vec![4];
    starts.extend(&ends[..ROW_GROUPS - 1]);
    for (number, (start, end)) in starts.into_iter().zip(&ends).enumerate() {
        for cut in (start..*end).step_by((end - start) / 7).chain([*end - 1]) {
            let dir = remains.lay_out(&remains.data[..cut], Some(&remains.snapshot));
            let report = recover(dir.path()).expect("recovered");
            assert_eq!(check(dir.path(), &remains, &report), ROWS * number, "cut at {cut}");
            assert_eq!(files(&dir.path().join(".staging"), ".inprogress").len(), 0);
            let kept = files(&dir.path().join("quarantine"), "");
            assert_eq!(kept.is_empty(), number > 0 && cut == start, "cut at {cut} keeps the fragment");
        }
    }
}

#[test]
fn bytes_behind_the_last_snapshot_are_kept_in_quarantine() {
    let remains = remains();
    let fragment = b"pages of a row group that was never synced".repeat(300);
    let data = [&remains.data[..remains.data_len()], &fragment].concat();
    let dir = remains.lay_out(&data, Some(&remains.snapshot));
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(check(dir.path(), &remains, &report), ROWS * ROW_GROUPS);
    assert_eq!(report.published[0].bytes_cut, fragment.len() as u64);
    assert!(fs::read(&report.quarantined[0]).expect("readable") == fragment);
}

#[test]
fn without_a_whole_snapshot_a_file_goes_to_quarantine_whole() {
    let remains = remains();
    for snapshot in [None, Some(&b""[..]), Some(&remains.snapshot[..remains.snapshot.len() - 1])] {
        let dir = remains.lay_out(&remains.data, snapshot);
        let report = recover(dir.path()).expect("recovered");
        assert_eq!((report.published.len(), report.quarantined.len()), (0, 1));
        assert!(fs::read(&report.quarantined[0]).expect("readable") == remains.data);
        assert_eq!(published(dir.path()).len(), 0);
        assert_eq!(recover(dir.path()).expect("again"), RecoverReport::default());
    }
    for empty in [&b""[..], b"PAR1"] {
        let report = recover(remains.lay_out(empty, None).path()).expect("recovered");
        assert_eq!(report, RecoverReport { empty: 1, ..RecoverReport::default() });
    }
}

#[test]
fn room_given_ahead_is_no_content() {
    let remains = remains();
    assert!(remains.data.len() >= 1 << 20, "there is room ahead: {} bytes", remains.data.len());
    let dir = remains.lay_out(&remains.data, Some(&remains.snapshot));
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(check(dir.path(), &remains, &report), ROWS * ROW_GROUPS);
    assert_eq!((report.published[0].bytes_cut, report.quarantined.len()), (0, 0));
    assert!(fs::read(&published(dir.path())[0]).expect("readable").len() < 1 << 20, "the room is given back");
    // Ended, and not cut before the crash.
    let ended = [&remains.closed, &vec![0; 1 << 20][..]].concat();
    let dir = remains.lay_out(&ended, Some(&remains.snapshot));
    recover(dir.path()).expect("recovered");
    assert!(fs::read(&published(dir.path())[0]).expect("readable") == remains.closed);
    let begun = [b"PAR1", &vec![0; 1 << 20][..]].concat();
    let report = recover(remains.lay_out(&begun, None).path()).expect("recovered");
    assert_eq!(report, RecoverReport { empty: 1, ..RecoverReport::default() });
}

#[test]
fn leftovers_of_a_recovery_that_died_are_cleared() {
    let remains = remains();
    let dir = remains.lay_out(&remains.data, Some(&remains.snapshot));
    let staged = dir.path().join(&remains.path);
    let unfinished = PathBuf::from(format!("{}.footer.new", staged.display()));
    fs::write(&unfinished, "half a snapsh").expect("written");
    // It died after publishing and before it removed the snapshot.
    let report = recover(dir.path()).expect("recovered");
    assert_eq!(report.published.len(), 1);
    fs::create_dir_all(staged.parent().expect("a folder")).expect("a writable folder");
    fs::write(format!("{}.footer", staged.display()), &remains.snapshot).expect("written");
    assert_eq!(recover(dir.path()).expect("recovered"), RecoverReport::default());
    assert_eq!(files(&dir.path().join(".staging"), ".footer").len() + usize::from(unfinished.exists()), 0);
    assert_eq!(row_count(dir.path()), ROWS * ROW_GROUPS);
}

#[test]
fn a_crash_may_have_cost_as_many_rows_as_the_last_flush_interval_brought() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut settings = WriterSettings::new(dir.path(), "sensor-a");
    settings.flush_interval = Duration::from_secs(2);
    let mut writer = Writer::open(settings).expect("a writable folder");
    for (second, rows) in [(0, 10), (1, 20), (3, 30), (4, 40)] {
        writer.write(plain_batch(rows, NOON_NS + second * 1_000_000_000), NOON_NS).expect("written");
    }
    let left = tempfile::tempdir().expect("a temporary folder");
    for path in files(dir.path(), ".inprogress").into_iter().chain(files(dir.path(), ".footer")) {
        let copy = left.path().join(path.strip_prefix(dir.path()).expect("below"));
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a writable folder");
        fs::copy(path, copy).expect("copied");
    }
    let report = recover(left.path()).expect("recovered");
    assert_eq!((report.http_rows(), report.rows_maybe_missing()), (100, 70));
}

#[test]
fn opening_recovers_and_leaves_a_live_writer_alone() {
    let remains = remains();
    let dir = remains.lay_out(&remains.data, Some(&remains.snapshot));
    let mut live = Writer::open(WriterSettings::new(dir.path(), "sensor-b")).expect("another sensor");
    live.write(plain_batch(5, NOON_NS), NOON_NS).expect("written");
    let writer = writer(dir.path());
    assert_eq!(writer.recovered().published.len(), 1);
    let report = recover(dir.path()).expect("recovered");
    let mut sensors = report.live_sensors;
    sensors.sort();
    assert_eq!(sensors, ["sensor-a", "sensor-b"]);
    assert_eq!(row_count(dir.path()), ROWS * ROW_GROUPS);
    live.close();
    assert_eq!(row_count(dir.path()), ROWS * ROW_GROUPS + 5);
}

#[test]
fn a_staged_file_with_a_name_that_no_writer_gives_is_set_aside() {
    let whole = remains();
    let named = |name: &str| Remains {
        path: whole.path.with_file_name(name),
        data: whole.data.clone(),
        snapshot: whole.snapshot.clone(),
        closed: whole.closed.clone(),
    };
    for name in ["junk.parquet.inprogress", "sensor-b-1-2-3.parquet.inprogress", "sensor-a-1-2-3.inprogress"]
    {
        let dir = named(name).lay_out(&whole.data, Some(&whole.snapshot));
        let report = recover(dir.path()).expect("recovered");
        assert_eq!((report.published.len(), report.quarantined.len()), (0, 1), "{name}: {report:?}");
        assert!(fs::read(&report.quarantined[0]).expect("readable") == whole.data);
        assert_eq!(verify(dir.path(), &[]).expect("readable").problems, []);
        assert_eq!(recover(dir.path()).expect("again"), RecoverReport::default());
    }
}
