//! What a dataset remembers of itself: any bytes as the manifest and as the list of uploaded files are read without a panic,
//! lead to no file but the sensor's own, and are put right by a recovery that finds nothing to do the second time.

use std::{fs, path::Path};

use storage::{
    dataset::recover,
    manifest::{live_files, verify},
    upload::{Step, Uploads, waiting},
};

const PLACE: &str = "s3://heads/lan";

/// Input: length of the manifest (two bytes), manifest, list of uploaded files.
pub(crate) fn run(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk::<2>() else { return };
    let (manifest, uploaded) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path();
    fs::create_dir(dir.join(".manifest")).expect("the folder is ours");
    fs::write(dir.join(".manifest/s.jsonl"), manifest).expect("the folder is ours");
    fs::write(dir.join(".manifest/s.uploaded"), uploaded).expect("the folder is ours");
    let report = verify(dir, &[]).expect("bytes of a file are no failure of the machine");
    assert!(manifest.is_empty() || report.sensors.len() == 1, "{report:?}");
    let listed = live_files(dir).expect("as before");
    let waits = waiting(dir, PLACE).expect("as before");
    assert_eq!(fs::read(dir.join(".manifest/s.uploaded")).ok().as_deref(), Some(uploaded), "only looked at");
    let uploads = Uploads::open(dir, "s", PLACE).expect("as before");
    let due = uploads.due().expect("as before");
    let sends: Vec<&String> = due.iter().filter_map(sent).collect();
    assert_eq!(sends, waits.iter().collect::<Vec<_>>());
    assert_eq!(uploads.backlog().expect("as before").files, waits.len() as u64);
    for file in sends {
        assert!(listed.contains(file), "what is sent is listed");
        assert!(file.starts_with("http/") || file.starts_with("capture_stats/"), "{file} is elsewhere");
        assert!(Path::new(file).components().count() == 4 && !file.contains(".."), "{file} leads elsewhere");
    }
    for step in due {
        uploads.done(step).expect("the folder is ours");
    }
    let again = Uploads::open(dir, "s", PLACE).expect("as before");
    assert_eq!(again.due().expect("as before"), [], "what is remembered is remembered");
    recover(dir).expect("as before");
    let second = recover(dir).expect("as before");
    assert!(second.manifest.listed.is_empty() && second.manifest.removed.is_empty(), "{second:?}");
}

fn sent(step: &Step) -> Option<&String> {
    match step {
        Step::Send(file) => Some(file),
        Step::Withdraw(_) => None,
    }
}
