//! Waiting for a condition, never for a time: the only place of the tests that reads a clock.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long any condition may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Returns what `condition` yields as soon as it yields something.
///
/// # Panics
/// After `PATIENCE`, naming `what` was waited for.
#[expect(clippy::disallowed_methods, reason = "a deadline needs the clock")]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s in vain: {what}", PATIENCE.as_secs());
        thread::park_timeout(POLL_INTERVAL);
    }
}
