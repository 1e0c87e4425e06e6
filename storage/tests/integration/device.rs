//! A disk that hangs or fails: a real filesystem, frozen, or on a device that ends too early, while a writer is in the
//! middle of its work.

use std::{path::Path, process::Command, sync::mpsc, time::Duration};

use crate::support::{NOON_NS, plain_batch, row_count, writer};
use storage::{
    dataset::{LossReason, Writer, WriterSettings},
    file::{IoMode, disk_room},
    manifest::verify,
};

const HOUR_NS: i64 = 3_600_000_000_000;

/// How long the disk hangs; longer under `HDRCAP_TEST_LONG`.
const HANG: Duration = Duration::from_secs(2);
const HANG_LONG: Duration = Duration::from_secs(30);

const DEVICE_BYTES: u64 = 64 << 20;
const BLOCK_BYTES: u64 = 4096;

/// An ext4 filesystem in a file, thawed and gone with the value.
struct LoopDisk {
    dir: tempfile::TempDir,
}

impl LoopDisk {
    fn new() -> LoopDisk {
        let disk = LoopDisk { dir: tempfile::tempdir().expect("a temporary folder") };
        std::fs::File::create(disk.image()).expect("a writable folder");
        disk.set_len(DEVICE_BYTES);
        std::fs::create_dir(disk.path()).expect("a writable folder");
        // Without a journal all that the filesystem keeps for itself lies before the first free block.
        let block = BLOCK_BYTES.to_string();
        run(Command::new("mkfs.ext4").args(["-q", "-b", &block, "-O", "^has_journal"]).arg(disk.image()));
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(disk.image()).arg(disk.path()));
        disk
    }

    fn image(&self) -> std::path::PathBuf {
        self.dir.path().join("image")
    }

    fn set_len(&self, bytes: u64) {
        let image = std::fs::File::options().write(true).open(self.image()).expect("the image is there");
        image.set_len(bytes).expect("a sparse file");
    }

    /// From now on the device fails wherever nothing is stored so far.
    fn end_early(&self) {
        run(Command::new("sync").arg("--file-system").arg(self.path()));
        let groups = run(Command::new("dumpe2fs").arg(self.image()));
        // As in "Free blocks: 16-24, 26-40, 1067-16383"; the gaps before the last belong to the filesystem.
        let free =
            groups.lines().find_map(|line| line.strip_prefix("  Free blocks: ")).expect("the first group's");
        let last =
            free.rsplit(", ").next().and_then(|range| range.split('-').next()).expect("a range of blocks");
        self.resize(last.parse::<u64>().expect("a block's number") * BLOCK_BYTES);
    }

    /// The device is whole again.
    fn mend(&self) {
        self.resize(DEVICE_BYTES);
    }

    fn resize(&self, bytes: u64) {
        self.set_len(bytes);
        let device =
            run(Command::new("findmnt").args(["--noheadings", "--output", "SOURCE"]).arg(self.path()));
        run(Command::new("losetup").args(["--set-capacity", device.trim()]));
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("disk")
    }

    fn freeze(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path()));
    }

    fn thaw(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A test that failed may have left it frozen; one that did not has not, and then this fails.
        let thawed = Command::new("fsfreeze").arg("--unfreeze").arg(self.path()).output();
        let status = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(
            thawed.is_ok() && status.is_ok_and(|status| status.success()),
            "the filesystem stays mounted"
        );
    }
}

/// What the command printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("e2fsprogs, mount and util-linux are installed");
    assert!(
        output.status.success(),
        "this test mounts and freezes a filesystem of its own and must run as root: {command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn no_problems(dir: &Path) -> bool {
    verify(dir, &[]).expect("readable").problems.is_empty()
}

#[test]
fn a_disk_that_hangs_holds_up_its_writer_and_costs_no_row() {
    let disk = LoopDisk::new();
    let dir = disk.path();
    let mut writer = writer(&dir);
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.tick(NOON_NS + HOUR_NS);
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    disk.freeze();
    let (done, results) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = writer.write(plain_batch(100, NOON_NS), NOON_NS);
        done.send(result.map(|written| written.rows)).expect("the test waits");
        writer
    });
    let hang = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { HANG_LONG } else { HANG };
    assert!(results.recv_timeout(hang).is_err(), "nothing is written to a disk that hangs");
    assert_eq!(row_count(&dir), 100, "what is published is read meanwhile");
    disk.thaw();
    assert_eq!(results.recv().expect("the writer goes on").expect("and loses nothing"), 100);
    let mut writer = thread.join().expect("no panic");
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.close();
    assert_eq!(row_count(&dir), 400);
    assert!(no_problems(&dir));
}

fn fail_and_mend(io: IoMode) {
    let disk = LoopDisk::new();
    let dir = disk.path();
    let mut writer = Writer::open(WriterSettings { io, ..WriterSettings::new(&dir, "sensor-a") })
        .expect("a writable folder");
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.tick(NOON_NS + HOUR_NS);
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("written");
    disk.end_early();
    let mut rows_safe = 200;
    // Gaps between what the filesystem keeps for itself take a few more.
    let error = loop {
        match writer.write(plain_batch(5_000, NOON_NS), NOON_NS) {
            Ok(written) => rows_safe += written.rows,
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason, error.rows_lost, error.written.rows), (LossReason::Io, 5_000, 0), "{error}");
    assert!(row_count(&dir) >= 100, "what was published is not harmed");
    disk.mend();
    writer.tick(NOON_NS);
    assert_eq!((writer.stranded(), row_count(&dir) as u64), (0, rows_safe), "what was safe is published");
    writer.write(plain_batch(100, NOON_NS), NOON_NS).expect("writing resumes");
    writer.close();
    assert_eq!(row_count(&dir) as u64, rows_safe + 100);
    assert!(no_problems(&dir));
}

#[test]
fn a_device_that_fails_loses_only_what_is_counted() {
    fail_and_mend(IoMode::Auto);
}

#[test]
fn a_device_that_fails_loses_only_what_is_counted_with_plain_writes() {
    fail_and_mend(IoMode::Plain);
}

/// The room that files are given ahead is the first that a full disk refuses, and is given back by what fails.
#[test]
fn a_full_device_loses_only_what_is_counted() {
    let disk = LoopDisk::new();
    let dir = disk.path();
    let ballast = dir.join("ballast");
    let (free, _) = disk_room(&dir).expect("a filesystem");
    let left = 3 << 20;
    std::fs::write(&ballast, vec![1; usize::try_from(free - left).expect("small")]).expect("room for it");
    let mut writer = writer(&dir);
    let mut rows_safe = 0;
    let error = loop {
        match writer.write(plain_batch(5_000, NOON_NS), NOON_NS) {
            Ok(written) => rows_safe += written.rows,
            Err(error) => break error,
        }
    };
    assert_eq!((error.reason, error.rows_lost), (LossReason::DiskFull, 5_000), "{error}");
    assert!(rows_safe >= 5_000, "something fits");
    assert!(writer.stranded() == 1 || row_count(&dir) as u64 == rows_safe);
    std::fs::remove_file(&ballast).expect("removed");
    writer.tick(NOON_NS);
    assert_eq!((writer.stranded(), row_count(&dir) as u64), (0, rows_safe), "what was safe is published");
    writer.write(plain_batch(5_000, NOON_NS), NOON_NS).expect("writing resumes");
    writer.close();
    assert_eq!(row_count(&dir) as u64, rows_safe + 5_000);
    assert!(no_problems(&dir));
}
