//! The power goes between any two changes, and again between any two of the recovery that follows.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    FIRST_HOUR, Mark, SCRIPTS, SECOND_HOUR, Script, check, folder, recover,
    simulated::{Disk, Event, State, record},
    whole_files,
};
use crate::disk::Change;

/// One in so many recoveries is itself cut short everywhere; all of them under `HDRCAP_TEST_LONG`.
const CUT_SHORT_ONE_IN: usize = 8;

/// Something that may be on disk, and the rows that must be in it.
struct Crash {
    state: State,
    safe: Vec<i64>,
}

#[test]
fn whenever_the_power_goes_each_synced_row_is_there_once() {
    SCRIPTS.into_iter().for_each(all_crashes_recover);
}

fn all_crashes_recover(script: Script) {
    let whole = whole_files();
    let crashes = crashes(script);
    assert!(crashes.len() > 100, "few states: {}", crashes.len());
    let one_in = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { 1 } else { CUT_SHORT_ONE_IN };
    for (number, crash) in crashes.iter().enumerate() {
        let dir = folder();
        crash.state.lay_out(dir.path());
        let recovery = record(dir.path(), |_| {
            recover(dir.path())
                .unwrap_or_else(|error| panic!("crash {number}: {error}\n{:?}", crash.state.names()));
        });
        checked(dir.path(), crash, &whole, number);
        if number % one_in == 0 {
            cut_recovery_short(crash, &recovery, &whole, number);
        }
    }
}

/// Everything that may be on disk when the power goes while the script runs, with what must be found in it.
fn crashes(script: Script) -> Vec<Crash> {
    let dir = folder();
    let events = record(dir.path(), |mark| script(dir.path(), mark).expect("nothing fails"));
    let mut disk = Disk::default();
    let mut safe = Vec::new();
    let mut seen = BTreeSet::new();
    let mut crashes = Vec::new();
    for at in 0..=events.len() {
        for state in disk.crashes(change_at(&events, at)) {
            if seen.insert((state.clone(), safe.clone())) {
                crashes.push(Crash { state, safe: safe.clone() });
            }
        }
        match events.get(at) {
            Some(Event::Change(change, content)) => disk.advance(change, content),
            Some(Event::Mark(Mark::Safe(ts_ns))) => safe.push(*ts_ns),
            Some(Event::Mark(Mark::MayGo(ts_ns))) => safe.retain(|safe| safe != ts_ns),
            None => {}
        }
    }
    crashes
}

fn change_at(events: &[Event], at: usize) -> Option<(&Change, &[u8])> {
    match events.get(at)? {
        Event::Change(change, content) => Some((change, content)),
        Event::Mark(_) => None,
    }
}

/// Every crash of a recovery of `crash`, each recovered.
fn cut_recovery_short(crash: &Crash, recovery: &[Event], whole: &BTreeMap<i64, Vec<u8>>, number: usize) {
    let mut disk = Disk::holding(&crash.state);
    let mut seen = BTreeSet::new();
    for at in 0..=recovery.len() {
        for state in disk.crashes(change_at(recovery, at)) {
            if !seen.insert(state.clone()) {
                continue;
            }
            let dir = folder();
            state.lay_out(dir.path());
            recover(dir.path()).unwrap_or_else(|error| panic!("crash {number}, cut short at {at}: {error}"));
            checked(dir.path(), crash, whole, number);
        }
        if let Some(Event::Change(change, content)) = recovery.get(at) {
            disk.advance(change, content);
        }
    }
}

fn checked(dir: &std::path::Path, crash: &Crash, whole: &BTreeMap<i64, Vec<u8>>, number: usize) {
    let all: Vec<i64> = FIRST_HOUR.into_iter().chain(SECOND_HOUR).collect();
    let result = std::panic::catch_unwind(|| check(dir, &crash.safe, &all, whole));
    assert!(result.is_ok(), "crash {number} left {:#?}", crash.state.names());
}
