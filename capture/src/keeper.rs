//! The thread of retention: looks at the disk and at the clock, and lets old files go, beside the encoder.

use std::{
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use storage::retention::Keeper;
use tracing::error;

use crate::ledger::{EncoderCounter, EncoderLedger};

/// Between two looks at the room left: a disk of 1 GB/s fills by less than a percent of its size in that time.
const LOOK: Duration = Duration::from_secs(1);

/// Looks between two runs that nothing presses for.
const LOOKS_PER_RUN: u32 = 60;

/// Retention at work.
pub struct Keeping {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeping {
    /// Starts the thread; its first run is at once.
    pub fn start(keeper: Keeper, counts: Arc<EncoderLedger>) -> io::Result<Keeping> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let thread = std::thread::Builder::new()
            .name("hdrcap-keep".into())
            .spawn(move || run(keeper, &counts, &stopped))?;
        Ok(Keeping { stop, thread })
    }

    /// Waits until a run under way is over.
    pub fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("retention does not panic");
    }
}

fn run(mut keeper: Keeper, counts: &EncoderLedger, stopped: &Receiver<()>) {
    let mut looks = LOOKS_PER_RUN;
    loop {
        if looks >= LOOKS_PER_RUN || keeper.is_pressed() {
            looks = 0;
            keep(&mut keeper, counts);
        }
        looks += 1;
        match stopped.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn keep(keeper: &mut Keeper, counts: &EncoderLedger) {
    let (removed, error) = keeper.run(now_ns());
    if let Some(error) = error {
        error!("retention could not remove what is not to be kept: {error}");
    }
    for file in removed {
        counts.add(EncoderCounter::FilesRemoved, 1);
        counts.add(EncoderCounter::BytesRemoved, file.bytes);
    }
}

/// Unix time in nanoseconds, for the age of hours.
fn now_ns() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this loop owns the clock that ages hours")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
