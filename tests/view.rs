//! Watching a running capture: tail against nginx's log, top in a terminal, who may watch, what a slow reader loses.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::Command,
};

use harness::{
    daemon::{binary, run_to_end},
    lab::{Lab, SERVER_IPV4},
    query::Dataset,
    run, wait,
    watch::{Screen, Tail, Watched},
    web::{Counts, Curl, Load, Web, counts},
};
use serde_json::Value;

use crate::live::shopping;

#[test]
fn a_tail_shows_what_the_server_logged_and_no_secret() {
    let lab = Lab::up();
    let web = Web::start(&lab);
    let mut watched = Watched::start(&lab, &[]);
    let mut json = Tail::start(&lab, &watched, &["--json"]);
    let mut failed = Tail::start(&lab, &watched, &["--status", "404"]);
    let few =
        ["--json", "--host", SERVER_IPV4, "--path", "/*r*", "--method", "get", "--client", "10.77.0.0/24"];
    let mut few = Tail::start(&lab, &watched, &few);
    let requests = shopping(12)
        .request(SERVER_IPV4, "/api/esc%1b?q=%1b%5b2J", &["header = \"X-Api-Key: not-to-be-read-either\""])
        .request(SERVER_IPV4, "/api/csi%9b31m", &["referer = \"http://x/?password=not-to-be-read\""]);
    requests.run(&lab, 4);
    wait::until("every request is in the log", || {
        let asked = web.answered().iter().filter(|entry| entry.target != "/first").count();
        (asked >= requests.count()).then_some(())
    });
    lab.settle();
    let balance = watched.stop();
    for tail in [&mut json, &mut failed, &mut few] {
        assert!(tail.wait().success(), "{}", tail.said());
    }
    lab.assert_mirror_lossless();
    balance.assert_closed();
    balance.assert_in_files(Dataset(&watched.out));
    assert_eq!(balance.count("watch_dropped"), 0, "a quiet capture shows every row");
    assert!(balance.count("watch_rows") > 0 && balance.count("viewers") >= 2);

    let mut logged = counts(&web.answered());
    logged.retain(|(_, target, _), _| target != "/first");
    let text = json.text();
    assert_eq!(shown(&text), logged, "the tail shows other transactions than the server logged");
    let lines = failed.text();
    assert!(lines.lines().all(|line| line.contains(" 404 ")), "{lines}");
    assert_eq!(lines.matches("/missing/").count(), 12, "{lines}");
    let few: Vec<(String, String, i32)> = shown(&few.text()).into_keys().collect();
    assert_eq!(
        few,
        [("GET".to_owned(), "/picture.bin".to_owned(), 206)],
        "the filters let other rows through"
    );
    for seen in [text, lines] {
        assert!(!seen.contains(|c: char| c.is_control() && c != '\n'), "a control character came through");
        for secret in ["item-4711.item-4711", "bGFiOm5vdC10by1iZS1yZWFk", "not-to-be-read", "8f14e45f"] {
            assert!(!seen.contains(secret), "{secret} was shown");
        }
    }
}

/// Transactions of a tail as nginx counts them, the first ones left out.
fn shown(lines: &str) -> Counts {
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let mut target = text("path");
        if let Some(query) = row["query"].as_str() {
            target = format!("{target}?{query}");
        }
        if target != "/first" {
            let status = row["status"].as_i64().unwrap_or(-1) as i32;
            *counts.entry((text("method"), target, status)).or_default() += 1;
        }
    }
    counts
}

#[test]
fn top_is_driven_in_a_terminal_and_gives_it_back() {
    let lab = Lab::up();
    let _web = Web::start(&lab);
    let mut watched = Watched::start(&lab, &[]);
    let command = format!("{} top --control {} --every 200ms", binary().display(), watched.control.display());
    let screen = Screen::start("top", &command);
    let load = Load::start(&lab, 4);
    let text = screen.wait_for(&[
        "hdrcap top",
        "mirror0",
        "frames",
        "queue shed",
        "rings",
        "disk free",
        "1:hosts",
        "shop.example",
        "? help",
    ]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    screen.wait_for(&["sample"]);
    screen.keys("?");
    screen.wait_for(&["any key closes it"]);
    screen.keys("x");
    screen.keys("2");
    screen.wait_for(&["/catalog.json"]);
    screen.keys("5");
    screen.wait_for(&["p95v"]);
    screen.keys("s");
    screen.wait_for(&["maxv"]);
    screen.keys("/");
    screen.keys("catalog");
    screen.keys("Enter");
    let text = screen.wait_for(&["only: catalog"]);
    assert!(!text.contains("/api/orders"), "{text}");
    screen.keys("p");
    screen.wait_for(&["PAUSED"]);
    screen.keys("p");
    drop(load);
    lab.settle();
    assert!(watched.count("rows") > 0);
    watched.stop().assert_closed();
    screen.wait_for(&["THE CAPTURE ENDED"]);
    screen.keys("q");
    let text = screen.wait_for(&["over: 0", " echo"]);
    assert!(!text.contains("THE CAPTURE ENDED"), "the terminal is not as it was:\n{text}");

    let watched = Watched::start(&lab, &[]);
    let command = format!("{} top --control {}", binary().display(), watched.control.display());
    let screen = Screen::start("killed", &command);
    screen.wait_for(&["up 00:"]);
    drop(watched);
    screen.wait_for(&["UNREACHABLE"]);
    run(Command::new("kill").args(["-s", "TERM"]).args(screen.started()));
    screen.wait_for(&["over: 0", " echo"]);
}

#[test]
fn top_goes_with_its_terminal() {
    let lab = Lab::up();
    let mut watched = Watched::start(&lab, &[]);
    let command = format!("{} top --control {}", binary().display(), watched.control.display());
    let screen = Screen::start("hung-up", &command);
    screen.wait_for(&["hdrcap top"]);
    let started = screen.started();
    assert!(!started.is_empty());
    drop(screen);
    wait::until("it is gone", || {
        started.iter().all(|id| !Path::new("/proc").join(id).exists()).then_some(())
    });
    watched.stop().assert_closed();
}

#[test]
fn a_slow_reader_is_dropped_and_the_capture_loses_nothing() {
    let lab = Lab::up();
    let _web = Web::start(&lab);
    let mut watched = Watched::start(&lab, &[]);
    let slow = UnixStream::connect(&watched.control).unwrap();
    (&slow).write_all(b"{\"v\":1,\"ask\":\"tail\"}\n").unwrap();
    // More rows than its socket takes.
    let path = format!("/missing/{}", "x".repeat(150));
    let one_more = |curl: Curl, _| curl.request(SERVER_IPV4, &path, &[]);
    (0..1500).fold(Curl::default(), one_more).run(&lab, 8);
    wait::until("the slow reader is dropped", || (watched.count("viewers_dropped") == 1).then_some(()));
    lab.settle();
    let balance = watched.stop();
    balance.assert_closed();
    assert_eq!((balance.count("viewers_dropped"), balance.count("viewers_refused")), (1, 0));
    assert_eq!(balance.count("shed") + balance.count("ring_full"), 0, "somebody had to wait");
    balance.assert_in_files(Dataset(&watched.out));
}

/// Users that no machine has.
const STRANGER: u32 = 4719;
const SERVICE: u32 = 4711;
const OPERATORS: u32 = 4712;

/// What a user of this number, and of the group of this number, is answered when it asks how things stand.
fn asked_as(user: u32, control: &str) -> String {
    // Who is turned away may be so before it has asked.
    let ask = "import contextlib, os, socket, sys\n\
               os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n\
               s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2])\n\
               with contextlib.suppress(OSError): s.send(b'{\"v\":1,\"ask\":\"status\"}\\n')\n\
               print(s.recv(4096).decode())";
    harness::said(&harness::output(Command::new("python3").args(["-c", ask, &user.to_string(), control])))
}

#[test]
fn the_user_of_a_capture_and_its_operators_may_watch() {
    let lab = Lab::up();
    let (user, group) = (SERVICE.to_string(), OPERATORS.to_string());
    let mut watched = Watched::start(&lab, &["--user", &user, "--control-group", &group]);
    let control = watched.control.to_str().unwrap().to_owned();
    for user in [0, SERVICE, OPERATORS] {
        let answer = asked_as(user, &control);
        assert!(answer.contains("\"status\""), "user {user} is answered: {answer}");
    }
    assert!(asked_as(STRANGER, &control).contains("Permission denied"));
    let balance = watched.stop();
    balance.assert_closed();
    assert_eq!((balance.count("viewers"), balance.count("viewers_refused")), (3, 0));
}

#[test]
fn who_may_watch_and_whose_socket_it_is() {
    let lab = Lab::up();
    let mut watched = Watched::start(&lab, &[]);
    let control = watched.control.to_str().unwrap().to_owned();
    let pcap = harness::pcap::one_transaction(watched.folder.path());
    let out = watched.folder.path().join("second");
    let second = |control: &str| {
        let mut hdrcap = Command::new(binary());
        hdrcap.args(["--redact", "off", "--control", control, "--out"]);
        hdrcap.arg(&out).arg("--pcap").arg(&pcap);
        run_to_end(&mut hdrcap)
    };
    let refused = second(&control);
    assert!(
        !refused.status.success() && refused.stderr.contains("belongs to a running capture"),
        "{refused:?}"
    );
    // Another user reaches the socket no more than its mode lets him, and is turned away behind it.
    assert!(asked_as(STRANGER, &control).contains("Permission denied"));
    fs::set_permissions(&control, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(asked_as(STRANGER, &control).contains("may not watch this capture"));
    wait::until("the refusal is counted", || (watched.count("viewers_refused") == 1).then_some(()));
    watched.stop().assert_closed();
    assert!(!Path::new(&control).exists(), "the socket is left behind");
    assert!(second(&control).status.success(), "a replay can be watched as well");
    let gone = run_to_end(&mut watched.hdrcap("tail", &[]));
    assert!(!gone.status.success() && gone.stderr.contains("no capture answers"), "{gone:?}");
}
