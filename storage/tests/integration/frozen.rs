//! A disk that hangs: a real filesystem, frozen while a writer is in the middle of its work.

use std::{path::Path, process::Command, sync::mpsc, time::Duration};

use crate::support::{NOON_NS, plain_batch, row_count, writer};
use storage::manifest::verify;

const HOUR_NS: i64 = 3_600_000_000_000;

/// How long the disk hangs; longer under `HDRCAP_TEST_LONG`.
const HANG: Duration = Duration::from_secs(2);
const HANG_LONG: Duration = Duration::from_secs(30);

/// An ext4 filesystem in a file, thawed and gone with the value.
struct LoopDisk {
    dir: tempfile::TempDir,
}

impl LoopDisk {
    fn new() -> LoopDisk {
        let disk = LoopDisk { dir: tempfile::tempdir().expect("a temporary folder") };
        let image = disk.dir.path().join("image");
        let file = std::fs::File::create(&image).expect("a writable folder");
        file.set_len(64 << 20).expect("a sparse file");
        std::fs::create_dir(disk.path()).expect("a writable folder");
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        run(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(disk.path()));
        disk
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

fn run(command: &mut Command) {
    let output = command.output().expect("mkfs.ext4, mount and fsfreeze are installed");
    assert!(
        output.status.success(),
        "this test mounts and freezes a filesystem of its own and must run as root: {command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn no_problems(dir: &Path) -> bool {
    verify(dir, &[]).expect("readable").problems.is_empty()
}

#[test]
fn a_disk_that_hangs_holds_up_its_writer_and_costs_no_row() {
    let disk = LoopDisk::new();
    let dir = disk.path();
    let mut writer = writer(&dir);
    writer.write(&plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.tick(NOON_NS + HOUR_NS);
    writer.write(&plain_batch(100, NOON_NS), NOON_NS).expect("written");
    disk.freeze();
    let (done, results) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = writer.write(&plain_batch(100, NOON_NS), NOON_NS);
        done.send(result.map(|written| written.rows)).expect("the test waits");
        writer
    });
    let hang = if std::env::var_os("HDRCAP_TEST_LONG").is_some() { HANG_LONG } else { HANG };
    assert!(results.recv_timeout(hang).is_err(), "nothing is written to a disk that hangs");
    assert_eq!(row_count(&dir), 100, "what is published is read meanwhile");
    disk.thaw();
    assert_eq!(results.recv().expect("the writer goes on").expect("and loses nothing"), 100);
    let mut writer = thread.join().expect("no panic");
    writer.write(&plain_batch(100, NOON_NS), NOON_NS).expect("written");
    writer.close();
    assert_eq!(row_count(&dir), 400);
    assert!(no_problems(&dir));
}
