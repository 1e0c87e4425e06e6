//! The kernel half stamps records with the monotonic clock; rows carry Unix time. This is the way from one to the other.

use crate::collector::Moment;

/// Now, on both clocks. Sampled anew per burst, so that rows follow the wall clock when it is set.
pub fn now() -> Moment {
    let monotonic_ns = clock_ns(libc::CLOCK_MONOTONIC);
    let unix_offset_ns = clock_ns(libc::CLOCK_REALTIME).wrapping_sub(monotonic_ns);
    Moment { monotonic_ns: monotonic_ns.unsigned_abs(), unix_offset_ns }
}

/// The kernel half's clock.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC).unsigned_abs()
}

/// Unix time in nanoseconds, for the age of files and hours; zero before 1970.
pub fn unix_ns() -> i64 {
    clock_ns(libc::CLOCK_REALTIME).max(0)
}

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to, and both clocks exist on every kernel.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    assert!(status == 0, "clock {clock} exists on every kernel");
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the offset is checked against the wall clock")]
    fn offset_leads_to_the_wall_clock() {
        let now = now();
        let unix = now.monotonic_ns as i64 + now.unix_offset_ns;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(wall.abs_diff(Duration::from_nanos(unix as u64)) < Duration::from_secs(1));
    }
}
