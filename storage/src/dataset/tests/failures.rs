//! Every change of the filesystem fails once, each with every error a disk gives.

use std::collections::BTreeMap;

use super::{Mark, SCRIPTS, Script, check, folder, recover};
use crate::disk;

/// Changes that the script makes at the most; it ends before, or the test fails.
const CHANGES_MAX: usize = 400;

#[test]
fn whichever_change_fails_only_what_was_counted_is_lost() {
    let is_long = std::env::var_os("HDRCAP_TEST_LONG").is_some();
    for (number, script) in SCRIPTS.into_iter().enumerate() {
        for errno in
            [libc::EIO, libc::ENOSPC, libc::EROFS].into_iter().skip(if is_long { 0 } else { number * 2 })
        {
            assert!(each_fails(script, errno) > 30, "the script makes few changes");
        }
    }
}

/// Changes of the script that failed.
fn each_fails(script: Script, errno: i32) -> usize {
    let whole = BTreeMap::new();
    for made in 0.. {
        assert!(made < CHANGES_MAX, "the script does not end");
        let dir = folder();
        let (mut safe, mut may_go) = (Vec::new(), Vec::new());
        let mut mark = |mark| match mark {
            Mark::Safe(ts_ns) => safe.push(ts_ns),
            Mark::MayGo(ts_ns) => may_go.push(ts_ns),
        };
        let (opened, has_failed) = disk::tests::failing(made, errno, || script(dir.path(), &mut mark));
        if !has_failed {
            return made;
        }
        assert!(opened.is_ok() || safe.is_empty());
        safe.retain(|ts_ns| !may_go.contains(ts_ns));
        recover(dir.path()).unwrap_or_else(|error| panic!("change {made} failed with {errno}: {error}"));
        let told = format!("change {made} failed with {errno}");
        let checked = std::panic::catch_unwind(|| check(dir.path(), &safe, &may_go, &whole));
        assert!(checked.is_ok(), "{told}");
    }
    unreachable!("numbers do not end");
}
