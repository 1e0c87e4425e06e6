//! Sending at a rate: so many frames as are due, and a rest where none is.
//!
//! A late sender catches up by bursts of a bounded size, never by one large one.

use std::time::{Duration, Instant};

/// A rest, and so the time between bursts: what a card's receive queue holds comes in one, and each costs the kernel as much
/// to prepare as dozens of frames do.
const REST: Duration = Duration::from_millis(1);

/// How much a sender that was held up may catch up on.
const LATE_MAX: Duration = Duration::from_millis(20);

/// A clock that says how many frames may go.
#[derive(Debug)]
pub struct Pace {
    begun: Instant,
    per_second: u64,
    sent: u64,
    /// Frames that a sender too slow for its rate has given up on.
    forgone: u64,
}

impl Pace {
    /// Begins now; a rate of 0 is none.
    #[expect(clippy::disallowed_methods, reason = "a generator owns its clock")]
    pub fn begin(per_second: u64) -> Self {
        Self { begun: Instant::now(), per_second, sent: 0, forgone: 0 }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits until frames are due, and returns how many, `max` at the most.
    pub fn burst(&mut self, max: u64) -> u64 {
        if self.per_second == 0 {
            return max;
        }
        loop {
            let due = (self.elapsed().as_secs_f64() * self.per_second as f64) as u64;
            let late_max = (LATE_MAX.as_secs_f64() * self.per_second as f64) as u64;
            let waiting = due.saturating_sub(self.sent + self.forgone);
            self.forgone += waiting.saturating_sub(late_max.max(max));
            if waiting > 0 {
                return waiting.min(max);
            }
            std::thread::sleep(REST);
        }
    }

    /// Counts what went.
    pub fn sent(&mut self, frames: u64) {
        self.sent += frames;
    }
}
