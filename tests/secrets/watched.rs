//! The same secrets over a wire, while the capture is watched by everything there is to watch it with.

use std::process::Command;

use harness::{
    daemon::run_to_end,
    lab::{Host, Lab},
    query::Dataset,
    run, wait,
    watch::{Screen, Tail, Watched},
    web::Web,
};

use super::{Case, Pieces, cases, write_capture};

/// Cases that are sent before what they led to is awaited: fewer rows than a viewer is shown at a time.
const PORTION: usize = 250;

/// Sends the frames of a capture file to the mirror port.
const SEND: &str = "import socket, struct, sys\n\
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); wire.bind(('span', 0))\n\
    data = open(sys.argv[1], 'rb').read(); at = 24\n\
    while at < len(data):\n \
        size = struct.unpack_from('<I', data, at + 8)[0]; wire.send(data[at + 16:at + 16 + size]); at += 16 + size";

/// Keys that choose a table of top, and what only that one shows, or the one before does not.
const TABLES: [(&str, &str); 6] =
    [("5", "p95v"), ("1", "rowsv"), ("5", "p95v"), ("2", "rowsv"), ("3", "10.0.0.1"), ("4", "200")];

/// Rows of the cases: all others are of the lab's own clients.
const OF_CASES: &str = "\"client_ip\":\"10.0.0.1\"";

#[test]
fn no_byte_of_any_secret_is_shown_to_who_watches() {
    let cases = cases();
    let pieces = Pieces::of(&cases);
    let lab = Lab::up();
    let _web = Web::start(&lab);
    let metrics = tempfile::tempdir().unwrap();
    let socket = metrics.path().join("metrics.sock");
    let mut watched = Watched::start(&lab, &["--metrics", &format!("unix:{}", socket.display())]);
    let mut json = Tail::start(&lab, &watched, &["--json"]);
    let mut text = Tail::start(&lab, &watched, &[]);
    let top = Screen::start("secrets", &format!("{:?} --every 200ms", watched.hdrcap("top", &[])));

    let mut screens = String::new();
    for (nth, portion) in cases.chunks(PORTION).enumerate() {
        send(&lab, &watched, (nth * PORTION, portion));
        let sent = nth * PORTION + portion.len();
        wait::until("the rows of what was sent are shown, or dropped and counted", || {
            let shown = json.text().matches(OF_CASES).count();
            (shown + watched.count("watch_dropped") as usize >= sent).then_some(())
        });
        for (table, part) in TABLES {
            top.keys(table);
            screens += &top.wait_for(&[part]);
        }
    }
    let scrape = |path: &str| {
        let mut curl = Command::new("curl");
        run(curl.args(["-s", "--unix-socket"]).arg(&socket).arg(format!("http://here/{path}"))).stdout
    };
    let (metrics, health, balance_of_now) = (scrape("metrics"), scrape("healthz"), scrape("balance"));
    let reports =
        [&["--once", "--json"][..], &["--once"]].map(|once| run_to_end(&mut watched.hdrcap("top", once)));
    let log = watched.log();
    let balance = watched.stop();
    for tail in [&mut json, &mut text] {
        assert!(tail.wait().success(), "{}", tail.said());
    }

    balance.assert_closed();
    balance.assert_in_files(Dataset(&watched.out));
    let shown = json.text().matches(OF_CASES).count();
    assert!(shown * 2 > cases.len(), "{shown} of {} cases were shown", cases.len());
    assert!(String::from_utf8_lossy(&metrics).contains("hdrcap_transactions_total{"));
    assert!(screens.contains("10.0.0.1") && text.text().contains("tok:"), "what is searched is there");
    for (what, output) in [
        ("tail --json", json.text().into_bytes()),
        ("tail", text.text().into_bytes()),
        ("what the tails said", [json.said(), text.said()].concat().into_bytes()),
        ("the screen of top", screens.into_bytes()),
        ("top --once --json", reports[0].stdout.clone().into_bytes()),
        ("top --once", reports[1].stdout.clone().into_bytes()),
        ("the metrics", metrics),
        ("the health", health),
        ("the balance", balance_of_now),
        ("the log", log.into_bytes()),
    ] {
        assert!(!output.is_empty() || what == "what the tails said", "{what} is empty");
        pieces.assert_not_in(what, &output);
    }
}

fn send(lab: &Lab, watched: &Watched, cases: (usize, &[Case])) {
    let file = watched.folder.path().join("portion.pcap");
    write_capture(cases, &file);
    run(lab.on(Host::Switch, "python3").args(["-c", SEND]).arg(&file));
}
