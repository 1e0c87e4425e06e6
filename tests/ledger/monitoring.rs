//! What stands around the metrics: a real Prometheus that scrapes them, its rules, the dashboard, and the signs of a bad mirror.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use harness::{
    daemon::Capture,
    lab::{Host, Lab},
    output, run, tree, wait,
    web::{Load, Web, signal},
};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use tempfile::TempDir;

use crate::live::shopping;

fn monitoring(file: &str) -> PathBuf {
    tree::root().join("scripts/monitoring").join(file)
}

#[test]
fn rules_and_configuration_are_valid_and_fire_as_they_should() {
    let folder = tree::root().join("scripts/monitoring");
    let promtool = || {
        let mut promtool = Command::new("promtool");
        promtool.current_dir(&folder);
        promtool
    };
    run(promtool().args(["check", "config", "prometheus.yml"]));
    run(promtool().args(["test", "rules", "alerts_test.yml"]));
    let tests = fs::read_to_string(monitoring("alerts_test.yml")).unwrap();
    let rules = fs::read_to_string(monitoring("alerts.yml")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 8, "{alerts:?}");
    for alert in alerts {
        let fires = tests
            .split("alertname: ")
            .skip(1)
            .any(|part| part.starts_with(alert) && part.contains("exp_alerts"));
        assert!(fires, "no test sees {alert} fire");
    }
}

/// Names of metrics in a text, without what the parts of a histogram are told apart by.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let names = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|name| name.starts_with("hdrcap_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

/// A Prometheus on the lab's sensor, scraping every second.
struct Prometheus {
    process: Child,
    _folder: TempDir,
}

impl Prometheus {
    fn start(lab: &Lab) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(monitoring("prometheus.yml")).unwrap();
        fs::write(folder.path().join("prometheus.yml"), config.replace("15s", "1s")).unwrap();
        fs::copy(monitoring("alerts.yml"), folder.path().join("alerts.yml")).unwrap();
        let process = lab
            .on(Host::Sensor, "prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:9090")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ip runs");
        Prometheus { process, _folder: folder }
    }

    /// The one value that a query has; `None` before there is one.
    fn value(lab: &Lab, query: &str) -> Option<f64> {
        let mut curl = lab.on(Host::Sensor, "curl");
        curl.args(["-s", "--max-time", "5", "-G", "http://127.0.0.1:9090/api/v1/query", "--data-urlencode"]);
        let answer: Value =
            serde_json::from_slice(&output(curl.arg(format!("query={query}"))).stdout).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal(&self.process, "TERM");
        self.process.wait().expect("the child is ours");
    }
}

#[test]
fn a_prometheus_scrapes_and_answers() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let socket = out.path().join("metrics.sock");
    let unix = format!("unix:{}", socket.display());
    let capture = Capture::start(
        &lab,
        out.path(),
        &["--metrics", "9108", "--metrics", &unix, "--flush-interval", "500ms"],
    );
    let _prometheus = Prometheus::start(&lab);
    let requests = shopping(10);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    lab.settle();

    let asked = |query: &str, expected: f64| {
        wait::until(&format!("{query} is {expected}"), || {
            (Prometheus::value(&lab, query) == Some(expected)).then_some(())
        });
    };
    let count = requests.count() as f64;
    asked("sum(hdrcap_rows_written_total)", count);
    asked("sum(hdrcap_transactions_total{status!=\"none\",method!=\"none\"})", count);
    asked("sum(hdrcap_transactions_total{status=\"4xx\"})", 20.0);
    asked("sum(hdrcap_time_to_first_byte_seconds_count)", count);
    asked("sum(hdrcap_parsed_to_durable_seconds_count)", count);
    asked("hdrcap_kernel_to_parsed_seconds_count > bool 0", 1.0);
    asked("hdrcap_healthy", 1.0);
    asked("sum(hdrcap_frames_total) - sum({__name__=~\"hdrcap_verdict_.*\"})", 0.0);
    asked("count(ALERTS{alertstate=\"firing\"}) or vector(0)", 0.0);

    let scraped =
        run(Command::new("curl").args(["-s", "--unix-socket"]).arg(&socket).arg("http://here/metrics"))
            .stdout;
    let scraped = String::from_utf8(scraped).unwrap();
    let told = metrics_in(&scraped);
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let text = fs::read_to_string(monitoring(file)).unwrap();
        let unknown: Vec<String> =
            metrics_in(&text).into_iter().filter(|name| !told.contains(name)).collect();
        let known_otherwise = |name: &String| name == "hdrcap_mirror_sign" || name == "hdrcap_";
        assert!(unknown.iter().all(known_otherwise), "{file} asks for what no scrape has: {unknown:?}");
    }
    serde_json::from_str::<Value>(&fs::read_to_string(monitoring("grafana-dashboard.json")).unwrap())
        .unwrap();
    capture.stop("INT").balance().assert_closed();
    assert!(!socket.exists(), "the socket is left behind");
}

#[test]
fn a_bad_mirror_is_told_with_its_remedy() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    run(lab.on(Host::Sensor, "ethtool").args(["-K", "mirror0", "rxvlan", "on"]));
    let capture = Capture::start(&lab, out.path(), &["--stats-interval", "500ms", "--metrics", "9108"]);
    let told = |part: &str| {
        wait::until(&format!("a warning with '{part}'"), || capture.stderr().contains(part).then_some(()));
    };
    told("ethtool -K mirror0 rxvlan off");
    told("no frame has come in on mirror0");

    let requests = shopping(8);
    let asked_until = |part: &str| {
        wait::until(&format!("a warning with '{part}'"), || {
            requests.run(&lab, 2);
            capture.stderr().contains(part).then_some(())
        });
    };
    // Only what the client sends is mirrored.
    run(lab.on(Host::Switch, "tc").args(["filter", "del", "dev", "server", "ingress"]));
    asked_until("the mirror shows no responses");
    // And that at both ports it passes, but for what the server sends, once.
    let mirror = |device: &str, side: &str| {
        let arguments = format!(
            "filter add dev {device} {side} protocol all u32 match u32 0 0 action mirred egress mirror dev span"
        );
        run(lab.on(Host::Switch, "tc").args(arguments.split(' ')));
    };
    mirror("server", "ingress");
    mirror("server", "egress");
    mirror("client", "egress");
    asked_until("the mirror delivers heads twice");
    let scraped = run(lab.on(Host::Sensor, "curl").args(["-s", "http://127.0.0.1:9108/metrics"])).stdout;
    let scraped = String::from_utf8(scraped).unwrap();
    for sign in ["sign=\"duplicates\",iface=\"\"", "sign=\"vlan_stripped\",iface=\"mirror0\""] {
        assert!(scraped.contains(&format!("hdrcap_mirror_sign{{{sign}}} 1")), "{sign}: {scraped}");
    }
    drop(web);
    capture.stop("INT").balance().assert_closed();
}

#[test]
fn frames_on_one_core_only_are_told() {
    let lab = Lab::up();
    let out = tempfile::tempdir().unwrap();
    let capture = Capture::start(&lab, out.path(), &["--stats-interval", "1s", "--metrics", "9108"]);
    // A frame arrives where it is sent: what is started from here on, and what it sends, is of the first core.
    let mut first = CpuSet::new();
    first.set(0);
    sched_setaffinity(None, &first).unwrap();
    let _web = Web::start(&lab);
    let load = Load::start(&lab, 8);
    wait::until("a warning of one core", || {
        capture.stderr().contains("all frames of mirror0 arrive at one core").then_some(())
    });
    let scraped = run(lab.on(Host::Sensor, "curl").args(["-s", "http://127.0.0.1:9108/metrics"])).stdout;
    drop(load);
    let scraped = String::from_utf8(scraped).unwrap();
    assert!(scraped.contains("hdrcap_mirror_sign{sign=\"one_queue\",iface=\"mirror0\"} 1"), "{scraped}");
    capture.stop("INT").balance().assert_closed();
}
