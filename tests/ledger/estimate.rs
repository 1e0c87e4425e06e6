//! The shipped views: what share was lost in an interval, where and why, and what the rows of it then stand for.

use std::{fs::File, io::BufWriter, path::Path};

use bench::{pcap::PcapWriter, workload::Profile};
use capture::{
    control::stats::{GAUGES, Interval, Sample, counter_names},
    encoder::Encoder,
};
use harness::{daemon::replay, pcap, query::Dataset};
use storage::{
    dataset::{Writer, WriterSettings},
    schema::StatsSchema,
};

use super::frames;

/// The frames of the capture file are of this time.
const FRAMES_NS: i64 = 1_700_000_000_000_000_000;

/// Ten seconds with these counts.
fn interval(ends_at_seconds: i64, counts: &[(&str, i64)]) -> Interval {
    interval_until(FRAMES_NS + ends_at_seconds * 1_000_000_000, 10.0, counts)
}

/// Some seconds with these counts, until this time.
fn interval_until(ts_ns: i64, seconds: f64, counts: &[(&str, i64)]) -> Interval {
    let value = |name: &&str| counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count);
    let sample = Sample {
        ts_ns,
        iface: "eth1".into(),
        core: None,
        counters: counter_names().iter().map(value).collect(),
        gauges: vec![Some(seconds), None, None, None, None],
    };
    Interval { samples: vec![sample], ..Interval::default() }
}

/// Adds intervals to a dataset, as a capture writes them.
fn add(out: &Path, intervals: impl IntoIterator<Item = Interval>) {
    let writer = Writer::open(WriterSettings {
        stats: Some(StatsSchema::new(&counter_names(), &GAUGES)),
        ..WriterSettings::new(out, "here")
    });
    let encoder = Encoder::start(writer.unwrap(), "here", 1).unwrap();
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

#[test]
fn a_sampled_row_stands_for_what_was_sampled_out_and_for_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("many.pcap"), folder.path().join("data"));
    let mut writer = PcapWriter::new(BufWriter::new(File::create(&file).unwrap())).unwrap();
    let sent = frames(Profile::Heads, 2000);
    sent.iter().for_each(|frame| writer.frame(frame.ts_ns, &frame.bytes).unwrap());
    writer.finish().unwrap();
    replay(&[&file], &out, &["--sensor", "here", "--sample", "1/4"]).balance().assert_closed();
    let (first, last) = (sent.first().unwrap().ts_ns as i64, sent.last().unwrap().ts_ns as i64);
    // One head in five was lost while these came.
    let seconds = (last - first) as f64 / 1e9 + 2.0;
    let lost = [("heads", 1000), ("ring_full", 200), ("rows", 100)];
    add(&out, [interval_until(last + 1_000_000_000, seconds, &lost)]);
    let weights = &Dataset(&out).query(
        "SELECT min(sample_weight) AS of_sampling, min(weight) AS least, max(weight) AS most, count(*) AS rows FROM http_estimated",
    )[0];
    assert!(weights["rows"].as_u64() > Some(0) && weights["of_sampling"] == 4, "{weights}");
    for weight in ["least", "most"].map(|name| weights[name].as_f64().unwrap()) {
        assert!((weight - 4.0 / 0.8).abs() < 1e-6, "{weight} is not sampling by loss: 4 / 0.8");
    }
}

fn weight(out: &Path) -> f64 {
    Dataset(out).query("SELECT weight FROM http_estimated")[0]["weight"].as_f64().unwrap()
}
