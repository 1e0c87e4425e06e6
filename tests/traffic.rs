//! The traffic generator: its XDP program against a naive twin, and what a live capture finds of what it sends.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bench::{
    traffic::{Generator, Lap},
    workload::{Options, Profile, Size, write},
};
use harness::{
    daemon::{Balance, Capture},
    lab::{Host, Lab},
    needs_root,
    query::{Dataset, duckdb},
    run, tree, wait,
};
use serde_json::Value;
use tempfile::TempDir;

/// The loopback's, which every network namespace has.
const LOOPBACK_IFINDEX: u32 = 1;

fn small(profile: Profile, transactions: u64) -> Options {
    Options { concurrency: 20, ..Options::new(profile, Size::Transactions(transactions), 7) }
}

#[test]
fn the_program_makes_what_its_twin_says() {
    needs_root();
    let generator = Generator::load(Lap::new(small(Profile::Mix, 20)).unwrap(), LOOPBACK_IFINDEX).unwrap();
    let Lap { slots, address_step, .. } = generator.lap();
    let mut lengths: Vec<usize> = slots.iter().map(|slot| slot.frame(0, *address_step).len()).collect();
    for lap in 0..3 {
        for (number, slot) in slots.iter().enumerate() {
            let twin = slot.frame(lap, *address_step);
            assert_eq!(generator.make().unwrap(), twin, "frame {number} of lap {lap}");
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 20, "the frames are alike: {lengths:?}");
}

#[test]
fn no_frame_comes_twice() {
    let Lap { slots, address_step, .. } = Lap::new(small(Profile::Heads, 50)).unwrap();
    let frames = (0..40).flat_map(|lap| slots.iter().map(move |slot| slot.frame(lap, address_step)));
    let mut frames: Vec<Vec<u8>> = frames.collect();
    let count = frames.len();
    frames.sort_unstable();
    frames.dedup();
    assert_eq!(frames.len(), count);
}

#[test]
fn what_is_sent_from_the_kernel_is_found() {
    let (sent, balance, out, truth) = captured(|folder| {
        let truth = folder.join("truth");
        let options = format!(
            "--transactions 400 --connections 50 --seconds 1 --rate 5000 --truth {}",
            truth.display()
        );
        (options, truth)
    });
    assert!(sent["laps"].as_u64() > Some(1), "one lap is no lap after another: {sent}");
    // The lab's hosts ask for their neighbours' addresses besides.
    assert!(balance.count("frames") >= sent["frames"].as_u64().unwrap(), "{sent} {balance:?}");
    assert_eq!(balance.count("rows_written"), sent["transactions"].as_u64().unwrap());
    let dataset = Dataset(out.path());
    // Every transaction of a lap once a lap, with the truth's sizes, and each lap at places of its own. What belongs together
    // is together, however the row came to know it.
    let (files, laps) = (dataset.files(), sent["laps"].as_u64().unwrap());
    let kinds = "method, status, req_head_bytes, resp_head_bytes, req_body_bytes, resp_body_bytes, req_header_count, \
                 resp_header_count, transaction_index";
    let truth = format!("read_json('{}', format = 'newline_delimited')", truth.display());
    let differing = duckdb(&format!(
        "WITH seen AS (SELECT {kinds}, count(*) AS n FROM {files} GROUP BY ALL), \
         truth AS (SELECT {kinds}, count(*) * {laps} AS n FROM {truth} GROUP BY ALL) \
         SELECT * FROM seen FULL JOIN truth USING ({kinds}) WHERE seen.n IS DISTINCT FROM truth.n LIMIT 5"
    ));
    assert!(differing.is_empty(), "{differing:#?}");
    let places =
        format!("SELECT count(DISTINCT (client_ip, client_port, transaction_index)) AS n FROM {files}");
    assert_eq!(duckdb(&places)[0]["n"], sent["transactions"]);
    let targets = format!("SELECT count(DISTINCT left(path, 5)) AS n FROM {files}");
    assert!(duckdb(&targets)[0]["n"].as_u64() >= Some(laps), "targets are those of one lap");
}

#[test]
fn what_is_sent_from_a_file_is_found() {
    let (sent, balance, _out, ()) = captured(|folder| {
        let pcap = folder.join("some.pcap");
        write(small(Profile::Heads, 300), std::fs::File::create(&pcap).unwrap(), None::<Vec<u8>>).unwrap();
        (format!("--pcap {} --rate 5000", pcap.display()), ())
    });
    assert!(balance.count("frames") >= sent["frames"].as_u64().unwrap(), "{sent} {balance:?}");
    assert!(balance.count("rows_ack_verified") >= 300, "{balance:?}");
}

/// Captures what the generator sends out of the switch's end of the mirror cable.
fn captured<T>(plan: impl Fn(&Path) -> (String, T)) -> (Value, Balance, TempDir, T) {
    let lab = Lab::up();
    let out = tempfile::tempdir().unwrap();
    let (options, told) = plan(out.path());
    let capture = Capture::start(&lab, out.path(), &[]);
    // On one core: the kernel half of another one does not know what a connection has said so far.
    let mut sending = lab.on(Host::Switch, "taskset");
    sending.args(["-c", "0"]).arg(generator()).args(["--iface", "span"]).args(options.split(' '));
    // And nothing else comes: a frame that another core sends has that core take those behind it, too.
    for port in ["client", "server"] {
        run(lab.on(Host::Switch, "ip").args(["link", "set", port, "down"]));
    }
    let before = lab.mirrored_frames();
    let output = run(&mut sending);
    let sent: Value = serde_json::from_slice(&output.stdout).unwrap();
    let frames = before + sent["frames"].as_u64().unwrap();
    wait::until("all of it is delivered", || (lab.mirrored_frames() >= frames).then_some(()));
    let balance = capture.stop("INT").balance();
    balance.assert_closed();
    balance.assert_in_files(Dataset(out.path()));
    (sent, balance, out, told)
}

fn generator() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["build", "--quiet", "--workspace", "--bin", "traffic"])
        .current_dir(tree::root()));
    tree::target().join("debug/traffic")
}
