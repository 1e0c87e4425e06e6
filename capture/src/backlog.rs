//! What sealed batches hold that are not written yet, all collectors' together: one bound, whoever they come from.
//!
//! A batch has its place from when its collector seals it until it is dropped, written or lost. Invariant: what has a place is
//! at most `QUEUE_BYTES_MAX`, or one batch.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::limits::QUEUE_BYTES_MAX;

/// Bytes of batches that wait or are being written; its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    bytes: Arc<AtomicUsize>,
}

/// What one batch takes of it, given back on drop.
#[derive(Debug)]
pub struct Place {
    backlog: Backlog,
    bytes: usize,
}

impl Backlog {
    /// A place for so many bytes; `None` where others hold too many.
    pub fn enter(&self, bytes: usize) -> Option<Place> {
        let fits = |held: usize| (held == 0 || held + bytes <= QUEUE_BYTES_MAX).then_some(held + bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Place { backlog: self.clone(), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_bounded_in_bytes_and_not_in_number() {
        let backlog = Backlog::default();
        let small: Vec<Place> = (0..1000).filter_map(|_| backlog.enter(QUEUE_BYTES_MAX / 1000)).collect();
        assert_eq!(small.len(), 1000);
        assert!(backlog.clone().enter(QUEUE_BYTES_MAX / 1000).is_none());
        drop(small);
        let large = backlog.enter(2 * QUEUE_BYTES_MAX);
        assert!(large.is_some(), "one always has room");
        assert!(backlog.enter(1).is_none());
        drop(large);
        assert!(backlog.enter(1).is_some());
    }
}
