//! The shipped views: what share was lost in an interval, where and why, and what the rows of it then stand for.

use std::path::Path;

use capture::{
    control::stats::{GAUGES, Interval, Sample, counter_names},
    encoder::Encoder,
};
use harness::{daemon::replay, pcap, query::Dataset};
use storage::{
    dataset::{Writer, WriterSettings},
    schema::StatsSchema,
};

/// The frames of the capture file are of this time.
const FRAMES_NS: i64 = 1_700_000_000_000_000_000;

/// Ten seconds with these counts.
fn interval(ends_at_seconds: i64, counts: &[(&str, i64)]) -> Interval {
    let value = |name: &&str| counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
    let sample = Sample {
        ts_ns: FRAMES_NS + ends_at_seconds * 1_000_000_000,
        iface: "eth1".into(),
        core: None,
        counters: counter_names().iter().map(value).collect(),
        gauges: vec![Some(10.0), None, None, None, None],
    };
    Interval { samples: vec![sample], ..Interval::default() }
}

/// Adds intervals to a dataset, as a capture writes them.
fn add(out: &Path, intervals: impl IntoIterator<Item = Interval>) {
    let writer = Writer::open(WriterSettings {
        stats: Some(StatsSchema::new(&counter_names(), &GAUGES)),
        ..WriterSettings::new(out, "here")
    });
    let encoder = Encoder::start(writer.unwrap(), "here").unwrap();
    intervals.into_iter().for_each(|interval| encoder.stats.send(interval).unwrap());
    encoder.finish(Interval::default);
}

#[test]
fn a_row_stands_for_those_that_its_interval_lost() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("data");
    let file = pcap::one_transaction(folder.path());
    replay(&[&file], &out, &["--sensor", "here"]).balance().assert_closed();
    assert_eq!(weight(&out), 1.0, "nothing is known of the time of the frames");

    let before = interval(-3, &[("heads", 10), ("ring_full", 5)]);
    let during = [
        ("frames", 990),
        ("nic_missed", 10),
        ("heads", 200),
        ("ring_full", 40),
        ("evicted", 10),
        ("rows", 100),
        ("shed", 5),
        ("disk_full", 5),
        ("upstream_followed_bytes", 800),
        ("upstream_gap_bytes", 300),
        ("upstream_gap_bytes_closed", 100),
    ];
    add(&out, [before, interval(7, &during), interval(17, &[("heads", 10)])]);
    let kept = (1.0 - 0.2) * (1.0 - 0.01) * (1.0 - 0.25) * (1.0 - 0.1);
    assert!((weight(&out) - 1.0 / kept).abs() < 1e-6, "{} is not 1 / {kept}", weight(&out));

    let losses = &Dataset(&out).query(&format!(
        "SELECT heads, ring_full, evicted, shed, disk_full, nic_dropped, upstream_lost_bytes, heads_lost_share, rows_lost_share, \
                nic_lost_share, upstream_lost_share FROM capture_losses \
         WHERE ts = make_timestamptz({}) AND ts_begin = ts - INTERVAL 10 SECOND",
        FRAMES_NS / 1000 + 7_000_000
    ))[0];
    let counts = ["heads", "ring_full", "evicted", "shed", "disk_full", "nic_dropped", "upstream_lost_bytes"];
    assert_eq!(counts.map(|name| losses[name].as_i64().unwrap()), [200, 40, 10, 5, 5, 10, 200]);
    let shares = ["heads_lost_share", "rows_lost_share", "nic_lost_share", "upstream_lost_share"];
    assert_eq!(shares.map(|name| losses[name].as_f64().unwrap()), [0.25, 0.1, 0.01, 0.2]);
}

fn weight(out: &Path) -> f64 {
    Dataset(out).query("SELECT weight FROM http_estimated")[0]["weight"].as_f64().unwrap()
}
