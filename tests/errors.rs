//! Every mistake an operator can make ends in one message that says what to do, never in a panic or in silence.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use harness::{
    daemon::{Ended, binary, replay, run_to_end},
    needs_root, pcap,
    query::Dataset,
    run, wait,
};
use storage::dataset::STAGING_FOLDER;
use tempfile::TempDir;

/// A folder that any user may read, for runs without privilege.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    folder
}

/// Checks that a run failed with one message that has each of `parts` in it.
fn assert_refused(ended: &Ended, parts: &[&str]) {
    assert!(!ended.status.success(), "hdrcap took it:\n{}", ended.stderr);
    assert!(
        ended.status.code().is_some_and(|code| code != 101),
        "hdrcap died of {}:\n{}",
        ended.status,
        ended.stderr
    );
    assert!(!ended.stderr.contains("panicked"), "hdrcap panicked:\n{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "the message does not say '{part}':\n{}", ended.stderr);
    }
}

fn as_nobody(program: &Path, folder: &Path) -> Command {
    needs_root();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    command.arg(program).arg("--key-file").arg(folder.join("key"));
    command
}

/// The binary where user nobody can reach it, whatever the modes of the build folder.
fn binary_for_all(folder: &Path) -> PathBuf {
    let copy = folder.join("hdrcap");
    // By another process: a child forked while this one had the copy open for writing would keep it from being run.
    run(Command::new("install").args(["-m", "755"]).arg(binary()).arg(&copy));
    copy
}

#[test]
fn an_unknown_interface_names_the_known_ones() {
    let folder = folder();
    let key = folder.path().join("key");
    let mut command = Command::new(binary());
    command.args(["--iface", "nosuch0", "--out"]).arg(folder.path().join("data")).arg("--key-file").arg(key);
    let ended = run_to_end(&mut command);
    assert_refused(&ended, &["nosuch0", "lo"]);
}

#[test]
fn a_capture_without_privilege_names_the_capabilities() {
    let folder = folder();
    let program = binary_for_all(folder.path());
    let data = folder.path().join("data");
    let ended = run_to_end(as_nobody(&program, folder.path()).args(["--iface", "lo", "--out"]).arg(data));
    assert_refused(&ended, &["cap_bpf", "cap_net_admin"]);
}

#[test]
fn a_replay_needs_no_privilege() {
    let folder = folder();
    let program = binary_for_all(folder.path());
    let pcap = pcap::one_transaction(folder.path());
    let data = folder.path().join("data");
    let mut command = as_nobody(&program, folder.path());
    let ended = run_to_end(command.arg("--json").arg("--pcap").arg(pcap).arg("--out").arg(&data));
    ended.balance().assert_closed();
    assert_eq!(Dataset(&data).number("SELECT count(*) FROM http WHERE pair_state = 'ack_verified'"), 1);
}

#[test]
fn an_output_below_a_file_is_refused() {
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let out = pcap.join("data");
    assert_refused(&replay(&[&pcap], &out, &[]), &[&out.display().to_string()]);
}

#[test]
fn an_output_of_another_user_is_refused() {
    let folder = folder();
    let program = binary_for_all(folder.path());
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("locked");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o555)).unwrap();
    let ended =
        run_to_end(as_nobody(&program, folder.path()).arg("--pcap").arg(&pcap).arg("--out").arg(&out));
    assert_refused(&ended, &[&out.display().to_string(), "ermission denied", "chmod"]);
}

#[test]
fn a_second_daemon_on_a_folder_is_refused() {
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("data");
    // The first one waits for frames from a pipe that nobody writes to.
    let mut first = Command::new(binary());
    first
        .args(["--pcap", "-", "--out"])
        .arg(&out)
        .arg("--key-file")
        .arg(folder.path().join("key"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut first = first.spawn().unwrap();
    wait::until("the first daemon has its lock", || (lock_owner(&out)? == first.id()).then_some(()));
    let ended = replay(&[&pcap], &out, &[]);
    assert_refused(&ended, &[&out.display().to_string(), &first.id().to_string()]);
    drop(first.stdin.take());
    first.wait().unwrap();
}

/// What the lock of the only sensor that writes into `out` says: its holder writes that, once it has the lock.
fn lock_owner(out: &Path) -> Option<u32> {
    let sensor = fs::read_dir(out.join(STAGING_FOLDER)).ok()?.next()?.ok()?;
    fs::read_to_string(sensor.path().join("lock")).ok()?.trim().parse().ok()
}

#[test]
fn a_truncated_capture_keeps_what_came_before() {
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let mut bytes = fs::read(&pcap).unwrap();
    let cut = bytes.clone();
    bytes.extend(&cut[24..60]);
    fs::write(&pcap, bytes).unwrap();
    let out = folder.path().join("data");
    let ended = replay(&[&pcap], &out, &[]);
    assert!(
        ended.stderr.contains("transaction.pcap") && ended.stderr.contains("truncated"),
        "{}",
        ended.stderr
    );
    assert_eq!(Dataset(&out).number("SELECT count(*) FROM http WHERE path = '/kept' AND status = 200"), 1);
}

#[test]
fn a_foreign_file_is_named() {
    let folder = folder();
    let file = folder.path().join("letter.pcap");
    fs::write(&file, "Dear Sir or Madam, this is no capture file at all.").unwrap();
    assert_refused(&replay(&[&file], &folder.path().join("data"), &[]), &["letter.pcap", "pcap"]);
}

#[test]
fn an_empty_or_absent_file_is_named() {
    let folder = folder();
    let empty = folder.path().join("empty.pcap");
    fs::write(&empty, "").unwrap();
    assert_refused(&replay(&[&empty], &folder.path().join("data"), &[]), &["empty.pcap"]);
    let absent = folder.path().join("absent.pcap");
    assert_refused(&replay(&[&absent], &folder.path().join("data"), &[]), &["absent.pcap", "No such file"]);
}

#[test]
fn bad_options_are_named() {
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let bad = [
        ["--net", "10.0.0.0/64"],
        ["--net", "shop.example"],
        ["--port", "70000"],
        ["--sample", "2/3"],
        ["--sample", "1/0"],
        ["--head-limit", "1"],
        ["--action", "reject"],
        ["--duration", "soon"],
    ];
    for [option, value] in bad {
        assert_refused(&replay(&[&pcap], &folder.path().join("data"), &[option, value]), &[option, value]);
    }
}

#[test]
fn no_source_is_refused() {
    let out = folder();
    assert_refused(&run_to_end(Command::new(binary()).arg("--out").arg(out.path())), &["--iface", "--pcap"]);
}
