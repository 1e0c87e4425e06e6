//! What a taken-over hdrcap could do: nothing. Tried from inside, and read from the kernel's view of a running capture.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use harness::{
    daemon::{Capture, binary, replay, run_to_end},
    lab::{Host, Lab},
    needs_root, pcap,
    query::Dataset,
    run, tree, wait,
    web::{Web, signal},
};
use tempfile::TempDir;

use crate::live::shopping;

/// A folder below which other users may be given folders.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    folder
}

/// Fields of every thread's `/proc/PID/task/TID/status`.
fn threads(pid: u32) -> Vec<BTreeMap<String, String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: &Path| fs::read_to_string(task.join("status")).unwrap_or_default();
    let fields = |text: String| {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
    };
    tasks.map(|task| fields(status(&task.unwrap().path()))).collect()
}

/// Checks every thread of a capture, once it has its collectors.
fn assert_confined(capture: &Capture) {
    let has_collectors = |threads: &[BTreeMap<String, String>]| {
        threads.iter().any(|thread| thread.get("Name").is_some_and(|name| name.starts_with("hdrcap-core")))
    };
    wait::until("the collectors run", || has_collectors(&threads(capture.pid())).then_some(()));
    for thread in threads(capture.pid()) {
        let name = &thread["Name"];
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(thread[set], "0000000000000000", "{set} of {name}");
        }
        assert_eq!(thread["NoNewPrivs"], "1", "{name}");
        assert_eq!(thread["Seccomp"], "2", "{name}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", capture.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().rev().nth(1), Some("0"), "{core}");
}

#[test]
fn an_intruder_is_refused_everything() {
    needs_root();
    let ended = run_to_end(Command::new(binary()).args(["doctor", "--security"]));
    let refused = ended.stdout.matches("refused: ").count();
    assert!(!ended.stdout.contains("NOT refused") && refused >= 20, "{}", ended.stdout);
    let safeguards = [
        "one thread",
        "capabilities: none",
        "no_new_privs",
        "landlock",
        "seccomp",
        "no core dumps",
        "key memory",
    ];
    for safeguard in safeguards {
        let line = ended.stdout.lines().find(|line| line.contains(safeguard));
        assert!(line.is_some_and(|line| line.starts_with("ok")), "{safeguard}:\n{}", ended.stdout);
    }
    assert!(ended.status.success(), "{}", ended.stdout);
}

#[test]
fn a_capture_holds_no_privilege_and_does_all_its_work() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let out = tempfile::tempdir().unwrap();
    let rotating = ["--flush-interval", "200ms", "--file-age", "500ms", "--stats-interval", "300ms"];
    let capture = Capture::start(&lab, out.path(), &rotating);
    assert_confined(&capture);

    let requests = shopping(40);
    requests.run(&lab, 4);
    web.await_answered(requests.count());
    wait::until("files are published while it runs", || {
        (tree::files(out.path(), ".parquet").len() > 2).then_some(())
    });
    lab.settle();
    let ended = capture.stop("INT");
    assert!(!lab.has_xdp() && !lab.is_promiscuous(), "the port is not as it was");
    assert!(
        ended.stderr.contains("confined: ") && !ended.stderr.contains("not in force"),
        "{}",
        ended.stderr
    );
    assert!(
        !ended.stderr.contains("WARN") || !ended.stderr.contains("counts could not be read"),
        "{}",
        ended.stderr
    );
    let balance = ended.balance();
    balance.assert_closed();
    balance.assert_in_files(Dataset(out.path()));
    assert!(balance.count("rows_written") >= requests.count() as u64, "{balance:?}");
}

#[test]
fn a_crash_leaves_no_core_file() {
    let folder = folder();
    let pcap = fs::read(pcap::one_transaction(folder.path())).unwrap();
    let told = folder.path().join("told");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]).arg(binary());
    command.args(["--pcap", "-", "--out", "data", "--key-file", "key"]).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stderr(File::create(&told).unwrap()).spawn().unwrap();
    // It waits for more, with a key and a head in memory.
    let mut input = child.stdin.take().unwrap();
    input.write_all(&pcap).unwrap();
    let is_confined = || fs::read_to_string(&told).unwrap().contains("confined: ").then_some(());
    wait::until("it is confined", is_confined);
    signal(&child, "ABRT");
    let status = child.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(libc::SIGABRT), false), "{status}");
    assert!(!fs::read_dir(folder.path()).unwrap().any(|file| file.unwrap().path().ends_with("core")));
}

#[test]
fn a_safeguard_that_is_missing_is_said_and_the_work_goes_on() {
    needs_root();
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let program = folder.path().join("hdrcap");
    run(Command::new("install").args(["-m", "755"]).arg(binary()).arg(&program));
    // Nothing may be locked, as in many a container.
    let mut command = Command::new("prlimit");
    command
        .args(["--memlock=0", "setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"])
        .arg(&program);
    command.args(["--json", "--pcap"]).arg(&pcap).arg("--out").arg(folder.path().join("data"));
    let ended = run_to_end(command.arg("--key-file").arg(folder.path().join("key")));
    let warning = ended.stderr.lines().find(|line| line.contains("key memory is not in force"));
    assert!(
        warning.is_some_and(|line| line.contains("WARN") && line.contains("LimitMEMLOCK")),
        "{}",
        ended.stderr
    );
    ended.balance().assert_closed();
}

#[test]
fn a_capture_runs_as_the_user_and_group_it_is_told() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let folder = folder();
    let out = folder.path().join("data");
    let capture = Capture::start(&lab, &out, &["--user", "4711", "--group", "4712"]);
    assert_confined(&capture);
    assert!(threads(capture.pid()).iter().all(|thread| thread["Uid"].starts_with("4711\t4711\t4711")));
    let requests = shopping(2);
    requests.run(&lab, 1);
    web.await_answered(requests.count());
    lab.settle();
    let balance = capture.stop("TERM").balance();
    balance.assert_closed();
    balance.assert_in_files(Dataset(&out));
    assert_owned(&out, 4711, 4712);
}

#[test]
fn three_capabilities_are_enough_without_promiscuous_mode() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let folder = folder();
    let program = folder.path().join("hdrcap");
    run(Command::new("install").args(["-m", "755"]).arg(binary()).arg(&program));
    let (out, key) = (folder.path().join("data"), folder.path().join("key"));
    let mut command = lab.on(Host::Sensor, "setpriv");
    let three = "-all,+bpf,+net_admin,+perfmon";
    command.args(["--reuid", "4711", "--regid", "4711", "--clear-groups", "--inh-caps", three]);
    command.args(["--ambient-caps", three, "--bounding-set", three, "--no-new-privs"]).arg(&program);
    let options = ["--no-promisc", "--key-file", key.to_str().unwrap()];
    let capture = Capture::start_by(command, &lab, &out, &options);
    assert_confined(&capture);
    assert!(!lab.is_promiscuous());
    let requests = shopping(1);
    requests.run(&lab, 1);
    web.await_answered(requests.count());
    lab.settle();
    capture.stop("INT").balance().assert_closed();
    assert_owned(&out, 4711, 4711);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
}

/// Checks owner, group and mode of all that is below a dataset's folder, and of the folder.
fn assert_owned(out: &Path, uid: u32, gid: u32) {
    let files = tree::files(out, "");
    assert!(files.iter().any(|file| file.extension().is_some_and(|end| end == "parquet")), "{files:?}");
    let folders =
        files.iter().flat_map(|file| file.ancestors().skip(1)).filter(|folder| folder.starts_with(out));
    for path in files.iter().map(PathBuf::as_path).chain(folders) {
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{}", path.display());
        let most = if found.is_dir() { 0o2750 } else { 0o640 };
        assert_eq!(found.mode() & 0o7777 & !most, 0, "{} is {:o}", path.display(), found.mode());
    }
}

#[test]
fn a_replay_becomes_the_owner_of_the_folder_and_respects_the_umask() {
    needs_root();
    let folder = folder();
    let pcap = pcap::one_transaction(folder.path());
    let out = folder.path().join("data");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(&out, Some(4711), Some(4711)).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(binary());
    command.args(["--json", "--pcap"]).arg(&pcap).arg("--out").arg(&out);
    let ended = run_to_end(command.arg("--key-file").arg(folder.path().join("key")));
    assert!(ended.stderr.contains("user=4711") && ended.stderr.contains("it owns"), "{}", ended.stderr);
    ended.balance().assert_closed();
    assert_owned(&out, 4711, 4711);
    let strict = tree::files(&out, "").iter().all(|file| fs::metadata(file).unwrap().mode() & 0o077 == 0);
    assert!(strict, "the umask takes what it says");
}

#[test]
fn tricks_with_the_folder_are_refused() {
    let above = tempfile::tempdir().unwrap();
    let pcap = pcap::one_transaction(above.path());
    let (real, link) = (above.path().join("real"), above.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let ended = replay(&[&pcap], &link, &[]);
    assert!(!ended.status.success() && ended.stderr.contains("symbolic link"), "{}", ended.stderr);
    symlink("/var", real.join("http")).unwrap();
    let ended = replay(&[&pcap], &real, &[]);
    assert!(!ended.status.success() && ended.stderr.contains("remove it"), "{}", ended.stderr);
    fs::remove_file(real.join("http")).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o777)).unwrap();
    let ended = replay(&[&pcap], &real, &[]);
    assert!(!ended.status.success() && ended.stderr.contains("chmod o-w"), "{}", ended.stderr);
    assert_eq!(tree::files(&real, "").len(), 0, "something was written all the same");
}
