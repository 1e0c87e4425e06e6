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
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_else(what, String::new, condition)
}

/// The same; where it was in vain, what there is instead is told as well.
///
/// # Panics
/// After `PATIENCE`, naming `what` was waited for.
#[expect(clippy::disallowed_methods, reason = "a deadline needs the clock")]
pub fn until_else<T>(
    what: &str,
    instead: impl FnOnce() -> String,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(value) = condition() {
            return value;
        }
        thread::park_timeout(POLL_INTERVAL);
    }
    panic!("waited {} s in vain: {what}\n{}", PATIENCE.as_secs(), instead())
}
