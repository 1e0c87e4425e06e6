//! The hub at a socket of its own, with collectors that are only feeds.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
};

use super::*;
use crate::{
    ledger::Tally,
    limits::{OUTBOX_BYTES_MAX, SIGHTING_COUNT_MAX},
    view::{
        client::Answers,
        feed::Shown,
        filter::Filter,
        protocol::{Answer, Ask, REQUEST_BYTES_MAX, Request},
        sighting::testing::sighting,
        socket::Owners,
        vitals::Vitals,
    },
};

/// A hub, and a collector that shows it rows.
struct Stage {
    folder: tempfile::TempDir,
    hub: Hub,
    feed: Feed,
    collector: Arc<CollectorLedger>,
    tally: Tally,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket::bind(&folder.path().join("s.sock"), Owners::default()).unwrap();
        let mut plan = HubPlan::new(socket);
        let collector = Arc::new(CollectorLedger::default());
        let feed = plan.feed(&collector);
        let hub = plan.start().unwrap();
        hub.desk().leave(Vitals { sensor: "lab".into(), ..Vitals::default() });
        Stage { folder, hub, feed, collector, tally: Tally::default() }
    }

    fn ask(&self, ask: Ask, filter: &str) -> Answers {
        let filter = serde_json::from_str::<Filter>(filter).unwrap();
        Answers::ask(&self.folder.path().join("s.sock"), &Request::new(ask, filter)).unwrap()
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("s.sock")).unwrap()
    }

    fn await_watched(&mut self) {
        until("somebody watches", || {
            self.feed.begin_burst();
            self.feed.is_watched()
        });
    }

    fn show(&mut self, path: &str, status: i32) {
        self.feed.begin_burst();
        let shown = self.feed.offer(|| sighting(("GET", "shop.example", path), status, 5));
        self.tally.count(if shown == Shown::Copied { Counter::WatchRows } else { Counter::WatchDropped });
        self.collector.counts.publish(self.tally.values());
    }

    fn count(&self, counter: ViewCounter) -> u64 {
        self.hub.ledger().read()[counter as usize]
    }
}

/// Waits for a condition; a minute is the end of anybody's patience.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = now();
    while !condition() {
        assert!(now().duration_since(start) < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn rows(answers: &mut Answers) -> Vec<String> {
    let mut paths = Vec::new();
    loop {
        match answers.next_answer().unwrap() {
            Answer::Row(row) => paths.push(row.path.unwrap().into_owned()),
            Answer::End(_) => return paths,
            Answer::Status(_) | Answer::Missed(_) | Answer::Top(_) | Answer::Error(_) => {}
        }
    }
}

#[test]
fn a_tail_gets_what_its_filter_wants_to_the_last_row() {
    let mut stage = Stage::new();
    let mut all = stage.ask(Ask::Tail, "{}");
    let mut failed = stage.ask(Ask::Tail, r#"{"status":"5xx"}"#);
    until("both are in", || stage.count(ViewCounter::Viewers) == 2);
    stage.await_watched();
    // The second one may ask later than the first: nothing is shown before both are heard.
    let mut top = stage.ask(Ask::Top, "{}");
    top.next_answer().unwrap();
    for nth in 0..100 {
        stage.show(&format!("/{nth}"), if nth % 10 == 0 { 503 } else { 200 });
    }
    stage.hub.finish();
    assert_eq!(rows(&mut all), (0..100).map(|nth| format!("/{nth}")).collect::<Vec<_>>());
    assert_eq!(rows(&mut failed), (0..10).map(|nth| format!("/{}", nth * 10)).collect::<Vec<_>>());
    assert!(!stage.folder.path().join("s.sock").exists(), "the socket is taken away");
}

#[test]
fn a_top_gets_vitals_and_tables() {
    let mut stage = Stage::new();
    let mut answers = stage.ask(Ask::Top, "{}");
    stage.await_watched();
    for nth in 0..20 {
        stage.show(if nth % 2 == 0 { "/a" } else { "/b" }, 200);
    }
    loop {
        let Answer::Top(top) = answers.next_answer().unwrap() else { panic!("a top gets tops") };
        assert_eq!(top.vitals.sensor, "lab");
        if top.tables.rows == 20 {
            assert_eq!(top.tables.paths.len(), 2);
            assert_eq!(top.tables.hosts[0].key, "shop.example");
            break;
        }
    }
    drop(answers);
    until("nobody watches any more", || {
        stage.feed.begin_burst();
        !stage.feed.is_watched()
    });
    let Answer::Status(vitals) = stage.ask(Ask::Status, "{}").next_answer().unwrap() else { panic!() };
    assert_eq!(vitals.sensor, "lab");
    assert!(!stage.feed.is_watched(), "the state of things is told without rows");
    stage.hub.finish();
}

#[test]
fn bad_input_is_answered_and_harms_nobody() {
    let mut stage = Stage::new();
    let mut good = stage.ask(Ask::Tail, "{}");
    stage.await_watched();
    let long = vec![b'x'; REQUEST_BYTES_MAX + 2000];
    for said in
        [b"hello\n".to_vec(), b"\xff\x00\n".to_vec(), b"{\"v\":9}\n".to_vec(), long, b"\n\n\n".to_vec()]
    {
        let mut stream = stage.connect();
        // It may be refused before all of it is heard.
        stream.write_all(&said).unwrap_or_default();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap_or_default();
        assert!(line.contains("\"error\""), "{said:?}: {line}");
    }
    let mut silent = stage.connect();
    stage.show("/still", 200);
    assert!(matches!(good.next_answer().unwrap(), Answer::Row(row) if row.path.as_deref() == Some("/still")));
    assert_eq!(stage.count(ViewCounter::ViewRequestsBad), 5);
    stage.hub.finish();
    let mut rest = String::new();
    silent.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("the capture ended"), "{rest}");
}

#[test]
fn one_viewer_too_many_is_refused() {
    let stage = Stage::new();
    let viewers: Vec<UnixStream> = (0..VIEWER_COUNT_MAX).map(|_| stage.connect()).collect();
    until("all are in", || stage.count(ViewCounter::Viewers) == VIEWER_COUNT_MAX as u64);
    let error = stage.ask(Ask::Status, "{}").next_answer().unwrap_err().to_string();
    assert!(error.contains("watching already"), "{error}");
    assert_eq!(stage.count(ViewCounter::ViewersRefused), 1);
    drop(viewers);
    stage.hub.finish();
}

#[test]
fn a_slow_reader_is_dropped_and_counted_and_no_collector_waits() {
    let mut stage = Stage::new();
    let slow = stage.connect();
    (&slow).write_all(b"{\"v\":1,\"ask\":\"tail\"}\n").unwrap();
    stage.await_watched();
    let long = format!("/{}", "x".repeat(150));
    until("rows are dropped for it, and then it is dropped itself", || {
        for _ in 0..SIGHTING_COUNT_MAX {
            stage.show(&long, 200);
        }
        stage.count(ViewCounter::ViewersDropped) == 1
    });
    assert!(stage.count(ViewCounter::ViewLinesDropped) > 0);
    let mut unread = Vec::new();
    (&slow).read_to_end(&mut unread).unwrap();
    assert!(unread.len() < 3 * OUTBOX_BYTES_MAX, "what it does not read is not kept: {}", unread.len());
    let rows = stage.tally.get(Counter::WatchRows) + stage.tally.get(Counter::WatchDropped);
    assert_eq!(rows % SIGHTING_COUNT_MAX as u64, 0, "every row is shown or counted");
    stage.hub.finish();
}

#[test]
fn the_capture_outlives_a_hub_without_its_socket() {
    let stage = Stage::new();
    let path: &Path = stage.folder.path();
    std::fs::remove_file(path.join("s.sock")).unwrap();
    stage.hub.finish();
}
