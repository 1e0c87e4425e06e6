//! What a crash may leave: any bytes as a staged file and as its footer snapshot are published whole or set aside.
//!
//! The first byte chooses: bytes as they come, or a dead writer's remains with some of their bytes changed.

use std::{fs, path::Path, sync::OnceLock};

use storage::{
    batch::Batch,
    dataset::{RecoverReport, Writer, WriterSettings, recover},
    values::{ConnectionValues, PairState, RowValues, TimeSource},
};

/// Where a staged file stands below the dataset's folder.
const STAGED: &str = ".staging/s/http/date=2026-01-05/hour=10/s-1767614400-42-0.parquet.inprogress";

/// Recoveries that may find the lock held by a process that is just starting.
const ATTEMPTS_MAX: usize = 100_000;

/// Input: choice, length of the snapshot (two bytes), snapshot, data; or choice, and edits of three bytes and one.
pub(crate) fn run(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let (snapshot, data) = if choice % 2 == 0 { as_they_come(rest) } else { changed(rest) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let staged = folder.path().join(STAGED);
    fs::create_dir_all(staged.parent().expect("it has one")).expect("the folder is ours");
    fs::write(&staged, &data).expect("the folder is ours");
    if choice & 2 == 0 {
        fs::write(folder.path().join(format!("{STAGED}.footer")), &snapshot).expect("the folder is ours");
    }
    let report = recover(folder.path()).expect("bytes of a file are no failure of the machine");
    for file in &report.published {
        let bytes = fs::read(&file.path).expect("it was published");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "a published file is Parquet");
    }
    // A process that another test is just starting holds copies of all descriptors, the lock's too, until its program runs.
    let again = std::iter::repeat_with(|| recover(folder.path()).expect("as before"))
        .take(ATTEMPTS_MAX)
        .find(|again| again.live_sensors.is_empty())
        .expect("nobody holds the lock for long");
    assert_eq!(again, RecoverReport::default(), "a second recovery finds nothing to do after {report:?}");
}

fn as_they_come(rest: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let Some((len, rest)) = rest.split_first_chunk::<2>() else { return (Vec::new(), rest.to_vec()) };
    let (snapshot, data) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    (snapshot.to_vec(), data.to_vec())
}

/// Edits of a dead writer's remains: where (of both behind one another), and the byte.
fn changed(edits: &[u8]) -> (Vec<u8>, Vec<u8>) {
    static REMAINS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (mut snapshot, mut data) = REMAINS.get_or_init(remains).clone();
    for edit in edits.chunks_exact(4) {
        let at = usize::from(edit[0]) | usize::from(edit[1]) << 8 | usize::from(edit[2]) << 16;
        let at = at % (snapshot.len() + data.len());
        match at.checked_sub(snapshot.len()) {
            None => snapshot[at] = edit[3],
            Some(at) => data[at] = edit[3],
        }
    }
    (snapshot, data)
}

/// Snapshot and data that a writer leaves that dies after a row group.
fn remains() -> (Vec<u8>, Vec<u8>) {
    const NOON_NS: i64 = 1_767_614_400_000_000_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut writer = Writer::open(WriterSettings::new(folder.path(), "s")).expect("the folder is ours");
    writer.write(batch(NOON_NS), NOON_NS).expect("the folder is ours");
    let read = |ending: &str| fs::read(found(folder.path(), ending)).expect("the writer made it");
    (read(".footer"), read(".inprogress"))
}

fn found(folder: &Path, ending: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                return path;
            }
        }
    }
    panic!("no file that ends in {ending}")
}

fn batch(ts_ns: i64) -> Batch {
    let mut batch = Batch::new();
    let end = |last: u8| ([10, 0, 0, last].into(), 80);
    let connection = batch.connection(&ConnectionValues {
        iface: "eth0",
        queue: None,
        sample_weight: 1,
        flow_id: 7,
        community_id: None,
        client: end(1),
        server: end(2),
        vlan_ids: &[],
        tunnel: None,
        syn_seen: false,
        tcp_rtt_us: None,
    });
    let values = RowValues::unmeasured(ts_ns, TimeSource::Pcap, PairState::RequestOnly);
    for _ in 0..3 {
        batch.row(connection, None, None, &values);
    }
    batch
}
