//! Compaction at work: merges the small files of hours that are over, with what the machine has to spare.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use storage::{
    compact::{CompactError, CompactSettings, Compactor, Merged},
    dataset::HOUR_NS,
    encrypt::Keyring,
};
use tracing::{error, info};

use crate::{
    beside::Beside,
    idle,
    ledger::{EncoderCounter, EncoderLedger},
    source::live::clock,
};

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(10);

/// Starts the thread; it looks for files at once, and then after each hour. What `keyring` can read of encrypted ones is
/// merged, and encrypted with it again.
pub fn start(
    dir: PathBuf,
    sensor: String,
    keyring: Keyring,
    counts: Arc<EncoderLedger>,
) -> io::Result<Beside> {
    let settings = CompactSettings { keyring, ..CompactSettings::default() };
    let mut work = Work { dir, sensor, settings, counts, compactor: None, planned_hour: None };
    let mut is_idle = false;
    Beside::start("hdrcap-compact", LOOK, move |stop| {
        if !is_idle {
            is_idle = true;
            if let Err(error) = idle::become_idle() {
                info!("compaction runs at ordinary priority: the kernel refuses another ({error})");
            }
        }
        work.look(stop);
    })
}

struct Work {
    dir: PathBuf,
    sensor: String,
    settings: CompactSettings,
    counts: Arc<EncoderLedger>,
    compactor: Option<Compactor>,
    /// The hour in which files were looked for last.
    planned_hour: Option<i64>,
}

impl Work {
    fn look(&mut self, stop: &AtomicBool) {
        let settle_ns = i64::try_from(self.settings.settle.as_nanos()).unwrap_or(i64::MAX);
        let hour = clock::unix_ns().saturating_sub(settle_ns).div_euclid(HOUR_NS);
        if self.planned_hour == Some(hour) {
            return;
        }
        if let Err(error) = self.merge_all(stop) {
            error!("compaction could not begin: {error}");
            self.counts.add(EncoderCounter::CompactFailed, 1);
        }
        // Another process at it is looked for again soon.
        if self.compactor.is_some() {
            self.planned_hour = Some(hour);
        }
    }

    fn merge_all(&mut self, stop: &AtomicBool) -> io::Result<()> {
        if self.compactor.is_none() {
            self.compactor = Compactor::open(&self.dir, &self.sensor, self.settings.clone())?;
        }
        let Some(compactor) = &mut self.compactor else { return Ok(()) };
        compactor.plan(clock::unix_ns())?;
        loop {
            match compactor.step(clock::unix_ns(), stop) {
                Ok(Some(merged)) => count(&self.counts, &merged),
                Ok(None) | Err(CompactError::Stopped) => return Ok(()),
                Err(failed) => {
                    error!("{failed}");
                    self.counts.add(EncoderCounter::CompactFailed, 1);
                }
            }
        }
    }
}

fn count(counts: &EncoderLedger, merged: &Merged) {
    info!(file = %merged.file, files = merged.files_before, rows = merged.rows, bytes_before = merged.bytes_before,
        bytes = merged.bytes, "merged small files");
    counts.add(EncoderCounter::CompactFilesIn, merged.files_before);
    counts.add(EncoderCounter::CompactBytesIn, merged.bytes_before);
    counts.add(EncoderCounter::CompactFilesOut, 1);
    counts.add(EncoderCounter::CompactBytesOut, merged.bytes);
}
