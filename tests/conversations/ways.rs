//! The same frames by three ways: from a file, through the kernel half under BPF_PROG_TEST_RUN, and over a live veth.

use std::{fs::File, path::Path, sync::Arc};

use bench::{pcap::PcapWriter, workload::TimedFrame};
use capture::{
    collector::{Collector, CollectorSettings},
    control::stats::Interval,
    encoder::Encoder,
    ledger::CollectorLedger,
    redact::{Key, Policy, Redactor},
    source::RecordSink as _,
};
use common::{config::Config, limits::HEAD_BYTES_DEFAULT, record::Record};
use harness::{
    cable::{self, SENDER, Wire},
    daemon::{Capture, replay},
    query::{Dataset, rows_missing},
    wait,
};
use storage::dataset::{Writer, WriterSettings};

use super::{http, table::frames_of, tcp, tunnels};
use crate::verdicts::kernel::Kernel;

/// Every column but those that tell of the way the frames took, or of a clock.
const SAME_COLUMNS: &str = "COLUMNS(lambda c: c NOT IN ('ts', 'ts_ns', 'ts_source', 'sensor', 'iface', 'queue') AND c NOT LIKE '%_us')";

/// Frames of every conversation there is, and of the one in each encapsulation.
fn all_frames() -> Vec<TimedFrame> {
    let of_tcp = frames_of(tcp::FIRST_PORT, tcp::LINES);
    let of_http = frames_of(http::FIRST_PORT, http::LINES);
    let mut frames = [of_tcp, of_http, tunnels::frames().0].concat();
    // One moment after the other, whatever the tables began with.
    for (frame, ts_ns) in frames.iter_mut().zip((1_700_000_000_000_000_000..).step_by(100_000)) {
        frame.ts_ns = ts_ns;
    }
    frames
}

fn by_file(frames: &[TimedFrame], folder: &Path, out: &Path) {
    let file = folder.join("frames.pcap");
    let mut writer = PcapWriter::new(File::create(&file).unwrap()).unwrap();
    frames.iter().for_each(|frame| writer.frame(frame.ts_ns, &frame.bytes).unwrap());
    writer.finish().unwrap();
    replay(&[&file], out, &["--redact", "off"]).balance().assert_closed();
}

fn by_test_run(frames: &[TimedFrame], out: &Path) {
    let mut kernel = Kernel::new(&Config::default(), 4 << 20);
    let encoder = Encoder::start(Writer::open(WriterSettings::new(out, "here")).unwrap(), "here", 1).unwrap();
    let settings = CollectorSettings::of_files(HEAD_BYTES_DEFAULT as usize);
    let redactor = Redactor::new(Policy::off(), Key::from_bytes([7; 32]));
    let ledger = Arc::new(CollectorLedger::default());
    let mut collector = Collector::new(&settings, redactor, encoder.queue.clone(), ledger);
    for frame in frames {
        kernel.run(&frame.bytes);
        for (record, bytes) in kernel.records().0 {
            collector.record(&Record { ts_ns: frame.ts_ns, ..record }, &bytes);
        }
    }
    collector.finish();
    encoder.finish(Interval::default);
}

fn by_wire(frames: Vec<TimedFrame>, out: &Path) {
    let out = out.to_owned();
    cable::in_namespace(1, move || {
        let capture = Capture::start_here(&out, &["--redact", "off", "--metrics", "9108"]);
        let wire = Wire::open(SENDER);
        frames.iter().for_each(|frame| wire.send(&frame.bytes));
        wait::until("the frames are counted", || {
            (cable::metric("frames") >= frames.len() as f64).then_some(())
        });
        capture.stop("INT").balance().assert_closed();
    });
}

#[test]
fn three_ways_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = ["file", "test-run", "wire"].map(|name| folder.path().join(name));
    let frames = all_frames();
    by_file(&frames, folder.path(), &out[0]);
    by_test_run(&frames, &out[1]);
    by_wire(frames, &out[2]);
    let [file, others @ ..] = out.each_ref().map(|out| Dataset(out));
    let rows = file.number("SELECT count(*) FROM http");
    assert!(rows > 100, "{rows} rows");
    for other in others {
        for (left, right) in [(file, other), (other, file)] {
            let lacking = rows_missing(left, right, SAME_COLUMNS);
            assert!(lacking.is_empty(), "rows of {left:?} that {right:?} lacks: {lacking:#?}");
        }
    }
}
