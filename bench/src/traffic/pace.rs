//! Sending at a rate: what is due, in bursts that are worth their while, and a rest between them.
//!
//! A late sender catches up by bursts of a bounded size, never by one large one.

use std::time::{Duration, Instant};

/// The time between bursts that are smaller than they may be: each costs the kernel as much to prepare as hundreds of frames do,
/// so one that goes as soon as a frame is due leaves the sender no rest at all.
const REST: Duration = Duration::from_millis(4);

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

    /// Waits until a burst is due, and returns how many frames it has: `max` at the most.
    pub fn burst(&mut self, max: u64) -> u64 {
        if self.per_second == 0 {
            return max;
        }
        loop {
            match self.due(self.elapsed(), max) {
                Ok(frames) => return frames,
                Err(rest) => std::thread::sleep(rest),
            }
        }
    }

    /// The frames of a burst that is due at that time, or how long to wait for it.
    fn due(&mut self, elapsed: Duration, max: u64) -> Result<u64, Duration> {
        let frames_in = |time: Duration| (time.as_secs_f64() * self.per_second as f64) as u64;
        let enough = frames_in(REST).clamp(1, max);
        let late_max = frames_in(LATE_MAX).max(max);
        let waiting = frames_in(elapsed).saturating_sub(self.sent + self.forgone);
        self.forgone += waiting.saturating_sub(late_max);
        if waiting >= enough {
            return Ok(waiting.min(max));
        }
        let due = (self.sent + self.forgone + enough) as f64 / self.per_second as f64;
        Err(Duration::from_secs_f64(due).saturating_sub(elapsed))
    }

    /// Counts what went.
    pub fn sent(&mut self, frames: u64) {
        self.sent += frames;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for a second where a burst takes a while of its own and a microsecond for each frame; returns what it sent, and in how
    /// many bursts, by a clock of its own.
    fn sent_in_a_second(per_second: u64, burst_takes: Duration, max: u64) -> (u64, u64) {
        let mut pace = Pace::begin(per_second);
        let (mut now, mut bursts) = (Duration::ZERO, 0);
        while now < Duration::from_secs(1) {
            match pace.due(now, max) {
                Ok(frames) => {
                    pace.sent(frames);
                    bursts += 1;
                    now += burst_takes + Duration::from_micros(frames);
                }
                Err(rest) => {
                    assert!(rest > Duration::ZERO, "a rest that is none would be asked for again and again");
                    now += rest + Duration::from_nanos(1);
                }
            }
        }
        (pace.sent, bursts)
    }

    #[test]
    fn a_burst_is_as_large_as_it_may_be_or_of_a_whole_rest() {
        for takes_us in [0, 10, 100] {
            let (sent, bursts) = sent_in_a_second(150_000, Duration::from_micros(takes_us), 1024);
            assert!(sent.abs_diff(150_000) <= 1024, "{sent} of 150,000");
            assert!(bursts <= 251, "{bursts} bursts that take {takes_us} us");
            let (sent, bursts) = sent_in_a_second(600_000, Duration::from_micros(takes_us), 1024);
            assert!(sent.abs_diff(600_000) <= 1024, "{sent} of 600,000");
            assert!(bursts <= 600_000 / 1024 + 2, "{bursts} full bursts");
        }
        let (sent, bursts) = sent_in_a_second(100, Duration::ZERO, 1024);
        assert!(
            sent == bursts && sent.abs_diff(100) <= 1,
            "one by one where more are never due: {sent} in {bursts}"
        );
    }

    #[test]
    fn a_sender_that_is_too_slow_catches_up_on_a_bounded_time() {
        let mut pace = Pace::begin(100_000);
        assert_eq!(pace.due(Duration::from_secs(1), 1024), Ok(1024));
        pace.sent(1024);
        let late = 100_000 / 50 - 1024;
        assert_eq!(pace.due(Duration::from_secs(1), 1024), Ok(late));
        pace.sent(late);
        let rest = pace.due(Duration::from_secs(1), 1024).expect_err("all is sent that was not given up");
        assert!(rest > Duration::from_micros(3_900) && rest < Duration::from_micros(4_100), "{rest:?}");
    }
}
