//! `capture_stats` loses no count, whatever the disk does.

use std::{fs, sync::Arc};

use capture::{
    control::{
        snapshot::Snapshot,
        stats::{Deltas, GAUGES, counter_names},
    },
    encoder::Encoder,
    ledger::EncoderCounter,
};
use harness::{
    query::{Dataset, duckdb},
    wait,
};
use storage::{
    dataset::{STAGING_FOLDER, Writer, WriterSettings},
    schema::StatsSchema,
};

fn snapshot(seconds: u64) -> Snapshot {
    let interface = capture::balance::InterfaceCounts {
        name: "eth1".into(),
        frames: seconds * 10,
        ..capture::balance::InterfaceCounts::default()
    };
    Snapshot {
        monotonic_ns: seconds * 1_000_000_000,
        unix_ns: 1_700_000_000_000_000_000 + seconds as i64 * 1_000_000_000,
        interfaces: vec![interface],
        ..Snapshot::default()
    }
}

fn encoder(out: &std::path::Path) -> Encoder {
    let writer = Writer::open(WriterSettings {
        stats: Some(StatsSchema::new(&counter_names(), &GAUGES)),
        // Every row group is a file of its own: each asks the disk anew.
        file_bytes_max: 1,
        ..WriterSettings::new(out, "here")
    });
    Encoder::start(writer.unwrap(), "here", 1).unwrap()
}

#[test]
fn what_the_disk_refuses_is_told_when_there_is_room() {
    let out = tempfile::tempdir().unwrap();
    let encoder = encoder(out.path());
    let ledger = Arc::clone(&encoder.ledger);
    let files = || ledger.counts.read()[EncoderCounter::FilesPublished as usize];
    let mut deltas = Deltas::new(0);
    encoder.stats.send(deltas.next(&snapshot(1))).unwrap();
    wait::until("the first interval is published", || (files() == 1).then_some(()));

    // A file in the place of the staging folder: nothing can be written.
    let staging = out.path().join(STAGING_FOLDER).join("here");
    let aside = out.path().join("aside");
    fs::rename(&staging, &aside).unwrap();
    fs::write(&staging, "").unwrap();
    for seconds in 2..200 {
        encoder.stats.send(deltas.next(&snapshot(seconds))).unwrap();
    }
    wait::until("the encoder has tried", || encoder.stats.is_empty().then_some(()));
    fs::remove_file(&staging).unwrap();
    fs::rename(&aside, &staging).unwrap();
    encoder.finish(|| deltas.next(&snapshot(200)));

    assert_eq!(ledger.counts.read()[EncoderCounter::StatsLost as usize], 0);
    let sql = format!(
        "SELECT sum(frames)::BIGINT AS frames, sum(interval_seconds)::BIGINT AS seconds FROM {} WHERE iface = 'eth1'",
        Dataset(out.path()).stats_files()
    );
    let sums = &duckdb(&sql)[0];
    assert_eq!(sums["frames"], 2000);
    assert_eq!(sums["seconds"], 200, "no time is missing");
}

#[test]
fn what_never_finds_room_is_counted() {
    let out = tempfile::tempdir().unwrap();
    let encoder = encoder(out.path());
    let ledger = Arc::clone(&encoder.ledger);
    let staging = out.path().join(STAGING_FOLDER).join("here");
    fs::remove_dir_all(&staging).unwrap();
    fs::write(&staging, "").unwrap();
    let mut deltas = Deltas::new(0);
    encoder.finish(|| deltas.next(&snapshot(1)));
    assert_eq!(
        ledger.counts.read()[EncoderCounter::StatsLost as usize],
        2,
        "an interface's and the encoders'"
    );
}
