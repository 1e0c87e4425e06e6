//! The service as it is installed: its unit is as tight as the README says, and (in the long run) its package is clean.

use std::{fs, process::Command};

use harness::{daemon::binary, run, say, tree};

/// What `systemd-analyze security` makes of the unit: from 0, everything closed, to 10.
fn exposure() -> f64 {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", "--no-pager"])
        .arg(tree::root().join("package/hdrcap.service"));
    let output = String::from_utf8(run(&mut command).stdout).unwrap();
    let rated =
        output.split("exposure level for hdrcap.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    rated.and_then(|rated| rated.parse().ok()).unwrap_or_else(|| panic!("no rating in:\n{output}"))
}

#[test]
fn the_unit_is_as_tight_as_the_readme_says() {
    let readme = fs::read_to_string(tree::root().join("README.md")).unwrap();
    let stated = readme.split("is rated ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let found = exposure();
    assert!(found <= stated.parse().unwrap(), "the README says {stated}, systemd-analyze security {found}");
}

#[test]
fn the_unit_keeps_what_an_intruder_could_use_away() {
    let unit = fs::read_to_string(tree::root().join("package/hdrcap.service")).unwrap();
    let value = |key: &str| {
        let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.collect::<Vec<_>>().join(" | ")
    };
    let four = "CAP_BPF CAP_NET_ADMIN CAP_PERFMON CAP_NET_RAW";
    assert_eq!((value("AmbientCapabilities"), value("CapabilityBoundingSet")), (four.into(), four.into()));
    let stated = [("User", "hdrcap"), ("NoNewPrivileges", "yes"), ("LimitCORE", "0"), ("MemorySwapMax", "0")];
    for (key, wanted) in stated {
        assert_eq!(value(key), wanted, "{key}");
    }
    // What is taken away as a group comes back by name, in a later line.
    let calls = value("SystemCallFilter");
    let (_, given_back) = calls.split_once("~@privileged").unwrap();
    for (needed, why) in [
        ("bpf", "no program can be attached"),
        ("sched_setaffinity", "collectors cannot be pinned"),
        ("setpriority", "the encoder cannot go behind collectors"),
        ("sched_setscheduler", "compaction cannot go behind everything"),
    ] {
        assert!(given_back.split(' ').any(|call| call == needed), "{why}: {calls}");
    }
}

#[test]
fn the_package_installs_runs_upgrades_and_leaves_nothing() {
    if std::env::var_os("HDRCAP_TEST_LONG").is_none() {
        return say(
            "the package is tried in a clean Debian by scripts/package-test, or here with HDRCAP_TEST_LONG=1",
        );
    }
    run(Command::new(tree::root().join("scripts/package-test")).env("HDRCAP_BIN", binary()));
}
