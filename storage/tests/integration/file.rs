//! The file under the encoder: through io_uring and O_DIRECT it holds the same bytes as through plain writes.

use std::{fs, io::Write, path::Path};

use proptest::prelude::*;
use storage::file::{Files, IoMode, RING_BUFFER_BYTES};

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Sync,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let around = |size: usize| (size - 3)..(size + 4);
    prop::collection::vec(
        prop_oneof![
            3 => (0usize..9_000).prop_map(Step::Write),
            2 => around(4096).prop_map(Step::Write),
            2 => around(RING_BUFFER_BYTES).prop_map(Step::Write),
            1 => (RING_BUFFER_BYTES * 2..RING_BUFFER_BYTES * 5).prop_map(Step::Write),
            3 => Just(Step::Sync),
        ],
        0..24,
    )
}

/// Bytes that are different at every position a misplaced block could land on.
fn content(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn write_steps(files: &Files, path: &Path, steps: &[Step]) -> Vec<u8> {
    let mut expected = Vec::new();
    let mut file = files.create(path).expect("a writable folder");
    for step in steps {
        match step {
            Step::Write(len) => {
                let bytes = content(expected.len(), *len);
                file.write_all(&bytes).expect("written");
                expected.extend(bytes);
            }
            Step::Sync => {
                file.sync().expect("synced");
                let on_disk = fs::read(path).expect("readable");
                assert!(on_disk.starts_with(&expected), "everything written is there after a sync");
                assert!(
                    on_disk[expected.len()..].iter().all(|byte| *byte == 0),
                    "and behind it only padding"
                );
            }
        }
    }
    file.finish().expect("finished");
    expected
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_write_the_same_bytes(steps in steps()) {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
        let ring = Files::new(IoMode::Auto);
        prop_assert!(ring.uses_ring(), "this test needs io_uring: sysctl kernel.io_uring_disabled=0");
        for (files, name) in [(ring, "ring"), (Files::new(IoMode::Plain), "plain")] {
            let path = dir.path().join(name);
            let expected = write_steps(&files, &path, &steps);
            prop_assert!(fs::read(&path).expect("readable") == expected, "{} differs", name);
        }
    }
}

/// A file that is synced at a block's end has nothing left to write at the next sync, and nothing when it ends.
#[test]
fn a_sync_with_nothing_to_write_is_no_error() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let files = Files::new(IoMode::Auto);
    for (number, len) in [0, 4096, RING_BUFFER_BYTES, RING_BUFFER_BYTES + 4096].into_iter().enumerate() {
        let path = dir.path().join(number.to_string());
        let steps =
            [Step::Sync, Step::Write(len - len.min(1)), Step::Write(len.min(1)), Step::Sync, Step::Sync];
        let expected = write_steps(&files, &path, &steps);
        assert!(fs::read(&path).expect("readable") == expected, "{len} bytes");
    }
}

#[test]
fn several_files_share_a_ring() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let files = Files::new(IoMode::Auto);
    let paths: Vec<_> = (0..6).map(|number| dir.path().join(number.to_string())).collect();
    let mut open: Vec<_> = paths.iter().map(|path| files.create(path).expect("created")).collect();
    for round in 0..40 {
        for (number, file) in open.iter_mut().enumerate() {
            file.write_all(&content(round * 100_000 + number, 100_000)).expect("written");
        }
    }
    for file in open {
        file.finish().expect("finished");
    }
    for (number, path) in paths.iter().enumerate() {
        let expected: Vec<u8> =
            (0..40).flat_map(|round| content(round * 100_000 + number, 100_000)).collect();
        assert!(fs::read(path).expect("readable") == expected, "file {number}");
    }
}

#[test]
fn a_file_given_up_returns_its_buffer() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk");
    let files = Files::new(IoMode::Auto);
    for number in 0..50 {
        let mut file = files.create(&dir.path().join(number.to_string())).expect("created");
        file.write_all(&content(0, RING_BUFFER_BYTES + 10)).expect("written");
    }
    assert!(files.create(&dir.path().join("0")).is_err(), "a file is never written over");
}
