//! Overload on purpose, in a lab of network namespaces: each thing that is lost is in the right counter, everywhere.
//!
//! Balance, `capture_stats` and metrics are three readers of one account; each test asks all of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    daemon::{Balance, Capture},
    lab::{Host, Lab, SERVER_IPV4},
    query::Dataset,
    run, wait,
    web::{Curl, Web},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::live::shopping;

const ENDPOINT: &str = "http://127.0.0.1:9108";

/// Options of every capture here: it is looked at often, and hands its rows on soon.
const OFTEN: [&str; 6] =
    ["--metrics", "127.0.0.1:9108", "--stats-interval", "200ms", "--flush-interval", "200ms"];

fn start(lab: &Lab, out: &Path, options: &[&str]) -> Capture {
    Capture::start(lab, out, &[&OFTEN, options].concat())
}

fn get(lab: &Lab, path: &str) -> String {
    let output =
        run(lab.on(Host::Sensor, "curl").args(["-s", "--max-time", "20"]).arg(format!("{ENDPOINT}{path}")));
    String::from_utf8(output.stdout).unwrap()
}

fn balance_of_now(lab: &Lab) -> Value {
    serde_json::from_str(&get(lab, "/balance")).unwrap()
}

/// Sum of each counter over its labels, by its name in the balance.
fn counters(metrics: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let counter = name.strip_prefix("hdrcap_").and_then(|name| name.strip_suffix("_total"));
        if let (Some(counter), Ok(value)) = (counter, value.parse::<u64>()) {
            *sums.entry(counter.to_owned()).or_default() += value;
        }
    }
    sums
}

/// What a capture is left with when all that came has been worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing.
    Nothing,
    /// Messages whose other side was lost; their rows are made when the capture ends.
    HalfTransactions,
}

/// Waits until all that came has been worked on, reads the metrics, stops, and compares all accounts.
fn compared(lab: &Lab, capture: Capture, out: &Path, left: Left) -> Balance {
    lab.settle();
    agreed(lab, capture, out, left)
}

/// The same for what the mirror has delivered by now, be it all or not.
fn agreed(lab: &Lab, capture: Capture, out: &Path, left: Left) -> Balance {
    wait::until("all that came is accounted for", || {
        let under_way = &balance_of_now(lab)["under_way"];
        let open = ["heads_in_rings", "heads_in_progress", "rows_in_batches", "messages_waiting"];
        let open = if left == Left::Nothing { &open[..] } else { &open[..3] };
        open.iter().all(|name| under_way[name] == 0).then_some(())
    });
    let metrics = counters(&get(lab, "/metrics"));
    let balance = capture.stop("INT").balance();
    balance.assert_closed();
    balance.assert_in_files(Dataset(out));
    // What is still published, given up (pieces that wait for their head), or said by a card, at the end.
    let late = [
        "rows_published",
        "files_published",
        "bytes_written",
        "records_orphan",
        "softnet_dropped",
        "softnet_squeezed",
        "connections",
    ];
    for (name, value) in metrics {
        let is_of_frames = name.starts_with("verdict")
            || ["frames", "bytes", "transactions", "records"].contains(&name.as_str());
        let is_of_rows = name.starts_with("rows") || name == "batches";
        let is_late = late.contains(&name.as_str()) || is_of_rows && left == Left::HalfTransactions;
        if !is_late && !is_of_frames {
            assert_eq!(balance.count(&name), value, "the metrics and the balance differ in {name}");
        }
    }
    balance
}

#[test]
fn a_stopped_collector_loses_heads_to_its_ring() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture =
        start(&lab, out.path(), &["--ring-bytes", "64k", "--collectors", "1", "--health-loss", "0.1%"]);
    assert!(get(&lab, "/healthz").contains("\"healthy\":true"));
    assert_eq!(cores_of_collector(capture.pid()), "0");

    // The kernel half goes on; nobody empties the ring.
    capture.signal("STOP");
    let requests = shopping(40);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();
    capture.signal("CONT");

    let health = wait::until("the loss is noticed", || {
        let health = get(&lab, "/healthz");
        health.contains("\"healthy\":false").then_some(health)
    });
    assert!(health.contains("heads, to full rings"), "{health}");
    wait::until("the collector, which was behind, holds to its core again", || {
        (cores_of_collector(capture.pid()) == "0").then_some(())
    });
    let balance = compared(&lab, capture, out.path(), Left::HalfTransactions);
    let lost = balance.count("ring_full");
    assert!(lost > 0 && lost == balance.count("verdict_ring_full_head"), "{balance:?}");
    let by_class: u64 = [0, 256, 512, 1024, 2048]
        .map(|class| balance.count(&format!("records_ring_full_{class}")))
        .iter()
        .sum();
    assert!(by_class >= lost, "{balance:?}");
    assert!(balance.count("unpinned") > 0, "{balance:?}");
    assert_eq!(balance.count("heads") - lost, balance.count("messages"));
    estimate_makes_up_for(lost, &balance, out.path());
}

/// The cores that the first collector may run on, as the kernel tells them.
fn cores_of_collector(pid: u32) -> String {
    let statuses = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").filter_map(|task| {
        // A thread may end meanwhile.
        std::fs::read_to_string(task.ok()?.path().join("status")).ok()
    });
    let of_collector =
        statuses.into_iter().find(|status| status.contains("\thdrcap-core0\n")).expect("a collector");
    let cores = of_collector.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
    cores.expect("the kernel tells it").to_owned()
}

/// The shipped views tell the share that was lost, and the weights of the rows make up for it.
fn estimate_makes_up_for(lost: u64, balance: &Balance, out: &Path) {
    let told = &Dataset(out).query(
        "SELECT sum(ring_full)::BIGINT AS lost, sum(heads)::BIGINT AS heads, \
                sum(heads * heads_lost_share)::BIGINT AS by_share FROM capture_losses",
    )[0];
    assert_eq!((told["lost"].as_u64(), told["by_share"].as_u64()), (Some(lost), Some(lost)));
    assert_eq!(told["heads"].as_u64(), Some(balance.count("heads")));
    let estimate = "SELECT round(sum(weight))::BIGINT FROM http_estimated";
    let rows = balance.count("rows_written");
    let estimated = Dataset(out).number(estimate);
    assert!(estimated > rows, "{estimated} transactions are estimated from {rows} rows, {lost} heads lost");
}

#[test]
fn what_the_mirror_loses_is_estimated_everywhere() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    // One in eight of the server's packets does not reach the mirror port; the client gets them all.
    let tc = |arguments: &str| drop(run(lab.on(Host::Switch, "tc").args(arguments.split(' '))));
    tc("filter del dev server ingress");
    for number in 1..8 {
        let those = format!("protocol ip u32 match u16 {number} 0x0007 at 4");
        tc(&format!("filter add dev server ingress {those} action mirred egress mirror dev span"));
    }
    // The frames of a connection come by on one CPU, as from a queue of a card: senders of this machine move between CPUs, and
    // what another CPU has seen would be a gap to each.
    for port in ["client", "server"] {
        let steer = format!("echo 1 >/sys/class/net/{port}/queues/rx-0/rps_cpus");
        run(lab.on(Host::Switch, "sh").args(["-c", &steer]));
    }
    let capture = start(&lab, out.path(), &[]);
    let frames_attached = lab.mirrored_frames();
    let picture = |curl: Curl, _| curl.request(SERVER_IPV4, "/picture.bin", &[]);
    let requests = (0..40).fold(Curl::default(), picture);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    wait::until("every frame that was delivered is counted", || {
        let delivered = lab.mirrored_frames() - frames_attached;
        (balance_of_now(&lab)["frames"].as_u64() >= Some(delivered)).then_some(())
    });
    let balance = agreed(&lab, capture, out.path(), Left::HalfTransactions);
    assert!(
        balance.count("upstream_gaps") > 0 && balance.count("nic_missed") + balance.count("ring_full") == 0
    );
    let lost =
        "SELECT (sum(upstream_lost_share * frames) / sum(frames))::DOUBLE AS share FROM capture_losses";
    let share = Dataset(out.path()).query(lost)[0]["share"].as_f64().unwrap();
    assert!(share > 1.0 / 16.0 && share < 1.0 / 4.0, "an eighth was lost, the estimate is {share}");
}

/// A filesystem of its own for the dataset; gone when dropped.
struct Disk {
    folder: TempDir,
    device: Option<PathBuf>,
}

impl Disk {
    /// One in memory, of this size.
    fn in_memory(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path()));
        Disk { folder, device: None }
    }

    /// One in a file, which can be made to wait.
    fn on_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().with_extension("img");
        run(Command::new("truncate").args(["-s", "128M"]).arg(&image));
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder.path()));
        Disk { folder, device: Some(image) }
    }

    /// What it is mounted from.
    fn source(&self) -> String {
        printed(Command::new("findmnt").args(["--noheadings", "--output", "SOURCE"]).arg(self.path()))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes whoever writes to it wait.
    fn freeze(&self) -> Frozen<'_> {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
        Frozen(self)
    }
}

/// What a program printed, without the space around it.
fn printed(command: &mut Command) -> String {
    String::from_utf8(run(command).stdout).unwrap().trim().to_owned()
}

/// A program among the filesystems that this capture sees: those of a network namespace are its own.
fn beside(capture: &Capture, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &capture.pid().to_string(), "--", program]);
    command
}

/// A disk that makes its writers wait until this is dropped; to be dropped before a capture is, which waits for it.
struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        drop(harness::output(Command::new("fsfreeze").arg("--unfreeze").arg(self.0.path())));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(harness::output(Command::new("umount").args(["-l"]).arg(self.path())));
        if let Some(image) = &self.device {
            std::fs::remove_file(image).unwrap_or_default();
        }
    }
}

#[test]
fn a_disk_that_waits_sheds_rows_at_the_full_queue() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let disk = Disk::on_a_file();
    let out = disk.path().join("data");
    let capture = start(&lab, &out, &["--health-lag", "500ms"]);
    let requests = shopping(2);
    requests.run(&lab, 2);
    web.await_answered(requests.count());

    let frozen = disk.freeze();
    let mut asked = requests.count();
    wait::until("rows are shed", || {
        requests.run(&lab, 2);
        asked += requests.count();
        (balance_of_now(&lab)["shed"].as_u64() > Some(0)).then_some(())
    });
    wait::until("the health says who is behind", || {
        get(&lab, "/healthz").contains("behind: a collector or the disk").then_some(())
    });
    drop(frozen);

    web.await_answered(asked);
    let balance = compared(&lab, capture, &out, Left::Nothing);
    assert!(balance.count("shed") > 0);
    assert_eq!(balance.count("rows"), asked as u64, "every request became a row, written or shed");
    assert_eq!(balance.count("rows_written") + balance.count("shed"), asked as u64);
}

#[test]
fn a_disk_that_is_unmounted_costs_what_is_counted_until_it_is_back() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let disk = Disk::on_a_file();
    let out = disk.path().join("data");
    let capture = start(&lab, &out, &["--file-age", "1s"]);
    let requests = shopping(2);
    let mut asked = 0;
    let mut ask_until = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        wait::until(what, || {
            requests.run(&lab, 2);
            asked += requests.count();
            is_so(&balance_of_now(&lab)).then_some(())
        });
        asked
    };
    let count = |balance: &Value, name: &str| balance[name].as_u64().unwrap();
    ask_until("the first file is published", &|balance| count(balance, "rows_published") > 0);

    run(beside(&capture, "umount").arg("--lazy").arg(disk.path()));
    ask_until("rows find no disk", &|balance| count(balance, "disk_error") > 0);
    let left = printed(beside(&capture, "ls").arg("-A").arg(disk.path()));
    assert_eq!(left, "", "nothing is put where the disk was");
    run(beside(&capture, "mount").arg(disk.source()).arg(disk.path()));
    let published = count(&balance_of_now(&lab), "rows_published");
    let asked =
        ask_until("files are published again", &|balance| count(balance, "rows_published") > published);

    web.await_answered(asked);
    let balance = compared(&lab, capture, &out, Left::Nothing);
    assert!(balance.count("disk_error") > 0);
    assert_eq!((balance.count("rows"), balance.count("rows_staged")), (asked as u64, 0));
}

#[test]
fn a_full_disk_loses_rows_and_no_count() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let disk = Disk::in_memory("6m");
    let out = disk.path().join("data");
    let capture = start(&lab, &out, &[]);
    let requests = shopping(3);
    requests.run(&lab, 2);
    web.await_answered(requests.count());
    wait::until("the first rows are on disk", || {
        (balance_of_now(&lab)["rows_written"].as_u64() > Some(0)).then_some(())
    });

    let filler = disk.path().join("filler");
    // Ends with a failure when the disk is full, as it is meant to.
    drop(harness::output(
        Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", filler.display())),
    ));
    let mut asked = requests.count();
    wait::until("rows find no room", || {
        requests.run(&lab, 2);
        asked += requests.count();
        (balance_of_now(&lab)["disk_full"].as_u64() > Some(0)).then_some(())
    });
    std::fs::remove_file(&filler).unwrap();

    web.await_answered(asked);
    let balance = compared(&lab, capture, &out, Left::Nothing);
    assert!(balance.count("disk_full") > 0);
    assert_eq!((balance.count("rows"), balance.count("stats_lost")), (asked as u64, 0));
}

#[test]
fn a_kill_leaves_an_account_up_to_the_last_interval() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = start(&lab, out.path(), &[]);
    let requests = shopping(10);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();
    let seen = wait::until("every row is written, and told in two intervals", || {
        let balance = balance_of_now(&lab);
        (balance["rows_written"].as_u64() == Some(requests.count() as u64)).then_some(balance)
    });
    // An interval may have been on its way to the disk before; one behind it was taken since.
    for _ in 0..3 {
        let before = balance_of_now(&lab)["bytes_written"].as_u64();
        wait::until("another interval is on disk", || {
            (balance_of_now(&lab)["bytes_written"].as_u64() > before).then_some(())
        });
    }
    capture.kill();

    run(Command::new(harness::daemon::binary()).arg("recover").arg(out.path()));
    let sums = Dataset(out.path()).stats_sums();
    for name in ["heads", "rows", "rows_written", "requests", "responses", "ring_full", "shed"] {
        assert_eq!(Some(sums[name]), seen[name].as_u64(), "{name} in capture_stats after a kill");
    }
    assert!(sums["frames"] >= seen["frames"].as_u64().unwrap());
    let verdicts: u64 =
        sums.iter().filter(|(name, _)| name.starts_with("verdict_")).map(|(_, count)| count).sum();
    assert_eq!(sums["frames"], verdicts);
    assert_eq!(Dataset(out.path()).number("SELECT count(*) FROM http"), sums["rows_written"]);
}

#[test]
fn the_files_hold_the_balance_and_a_signal_prints_it() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let capture = start(&lab, out.path(), &[]);
    let requests = shopping(10);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();
    capture.signal("USR1");
    wait::until("the balance is printed", || capture.stderr().contains("the balance closes").then_some(()));
    let balance = compared(&lab, capture, out.path(), Left::Nothing);

    // The ledger of the file that was closed last, as any reader of Parquet finds it.
    let sql = format!(
        "SELECT decode(value) AS ledger FROM parquet_kv_metadata('{}/capture_stats/**/*.parquet') WHERE decode(key) = 'ledger'",
        out.path().display()
    );
    let ledgers = harness::query::duckdb(&sql);
    let counters = ledgers.iter().map(|row| {
        let ledger: Value = serde_json::from_str(row["ledger"].as_str().unwrap()).unwrap();
        ledger["counters"].as_object().unwrap().clone()
    });
    let last =
        counters.max_by_key(|counters| counters["frames"].as_str().unwrap().parse::<u64>().unwrap()).unwrap();
    for name in [
        "frames",
        "heads",
        "messages_whole",
        "rows",
        "rows_written",
        "verdict_head",
        "upstream_followed_bytes",
    ] {
        assert_eq!(last[name], balance.count(name).to_string(), "{name} in the ledger of the files");
    }
    let keys = format!(
        "SELECT file_name, decode(key) AS key, count(*) AS times FROM parquet_kv_metadata('{}/**/*.parquet') \
         GROUP BY ALL HAVING times > 1",
        out.path().display()
    );
    let twice = harness::query::duckdb(&keys);
    assert!(twice.is_empty(), "a file says each thing once: {twice:?}");
    let rows = format!(
        "SELECT sum(json_extract_string(decode(value), '$.rows')::BIGINT)::BIGINT AS rows \
         FROM parquet_kv_metadata('{}/http/**/*.parquet') WHERE decode(key) = 'ledger'",
        out.path().display()
    );
    assert_eq!(harness::query::duckdb(&rows)[0]["rows"].as_u64(), Some(balance.count("rows_written")));
}
