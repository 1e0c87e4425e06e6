//! Retention at work: looks at the disk and at the clock, and lets old files go, beside the encoder.

use std::{io, sync::Arc, time::Duration};

use storage::retention::Keeper;
use tracing::error;

use crate::{
    beside::Beside,
    ledger::{EncoderCounter, EncoderLedger},
    source::live::clock,
};

/// Between two looks at the room left: a disk of 1 GB/s fills by less than a percent of its size in that time.
const LOOK: Duration = Duration::from_secs(1);

/// Looks between two runs that nothing presses for.
const LOOKS_PER_RUN: u32 = 60;

/// Starts the thread; its first run is at once.
pub fn start(mut keeper: Keeper, counts: Arc<EncoderLedger>) -> io::Result<Beside> {
    let mut looks = LOOKS_PER_RUN;
    Beside::start("hdrcap-keep", LOOK, move |_| {
        if looks >= LOOKS_PER_RUN || keeper.is_pressed() {
            looks = 0;
            keep(&mut keeper, &counts);
        }
        looks += 1;
    })
}

fn keep(keeper: &mut Keeper, counts: &EncoderLedger) {
    let (removed, error) = keeper.run(clock::unix_ns());
    if let Some(error) = error {
        error!("retention could not remove what is not to be kept: {error}");
    }
    for file in removed {
        counts.add(EncoderCounter::FilesRemoved, 1);
        counts.add(EncoderCounter::BytesRemoved, file.bytes);
        counts.add(EncoderCounter::UploadMissed, u64::from(file.is_missed));
    }
}
