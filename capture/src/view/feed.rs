//! The way of rows from a collector to whoever watches: a ring of fixed size that never makes the collector wait.
//!
//! Nobody watching costs a collector one relaxed load a burst and one comparison of its own memory a row. Somebody
//! watching costs it a copy of every n-th row, n chosen so that all collectors together show what the hub has time for;
//! the ring takes a burst beyond that. Invariant: a row that was watched for is copied or counted as dropped.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use rtrb::{Consumer, Producer, RingBuffer};

use super::sighting::Sighting;
use crate::limits::{SHOWN_COUNT_MAX, SIGHTING_COUNT_MAX};

/// What the hub tells its feeds: whether somebody watches, and how much each may show.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<Told>);

#[derive(Debug)]
struct Told {
    /// How often the feeds were emptied since somebody watches: zero is nobody.
    count: AtomicU32,
    /// Rows of each feed between two of these.
    share: AtomicU32,
}

impl Default for Told {
    fn default() -> Self {
        Told { count: AtomicU32::new(0), share: AtomicU32::new(SHOWN_COUNT_MAX) }
    }
}

impl Epoch {
    /// Says that nobody watches.
    pub fn end(&self) {
        self.0.count.store(0, Ordering::Relaxed);
    }

    /// Says that somebody watches and the feeds were emptied.
    pub fn advance(&self) {
        // Only the hub writes; zero means nobody and is passed over.
        let next = self.0.count.load(Ordering::Relaxed).wrapping_add(1).max(1);
        self.0.count.store(next, Ordering::Relaxed);
    }

    /// Says how many feeds there are: together they show `SHOWN_COUNT_MAX` rows.
    pub fn divide(&self, feeds: usize) {
        let feeds = u32::try_from(feeds).unwrap_or(u32::MAX).max(1);
        self.0.share.store((SHOWN_COUNT_MAX / feeds).max(1), Ordering::Relaxed);
    }
}

/// The collector's end.
pub struct Feed {
    ring: Producer<Sighting>,
    epoch: Epoch,
    /// The epoch as of the burst in hand.
    known: u32,
    /// Rows since the epoch began.
    rows: u32,
    /// One row in so many is copied.
    stride: u32,
}

/// The hub's end.
pub type Tap = Consumer<Sighting>;

/// What became of a row that somebody watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It was copied.
    Copied,
    /// There was no room for it, or it was not its turn.
    Dropped,
}

/// Both ends of a feed; `epoch` is the hub's, and the same for all its feeds.
pub fn feed(epoch: &Epoch) -> (Feed, Tap) {
    let (ring, tap) = RingBuffer::new(SIGHTING_COUNT_MAX);
    (Feed { ring, epoch: epoch.clone(), known: 0, rows: 0, stride: 1 }, tap)
}

impl Feed {
    /// Looks whether somebody watches; called at burst boundaries.
    #[inline]
    pub fn begin_burst(&mut self) {
        let epoch = self.epoch.0.count.load(Ordering::Relaxed);
        if epoch == self.known {
            return;
        }
        let is_new = self.known == 0 || epoch == 0;
        let share = self.epoch.0.share.load(Ordering::Relaxed);
        self.stride = if is_new { 1 } else { self.rows.div_ceil(share).max(1) };
        self.rows = 0;
        self.known = epoch;
    }

    /// True where rows are wanted.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.known != 0
    }

    /// Offers a row, to be copied by `copy` where it is its turn and there is room.
    pub fn offer(&mut self, copy: impl FnOnce() -> Sighting) -> Shown {
        let is_its_turn = self.rows.is_multiple_of(self.stride);
        self.rows = self.rows.saturating_add(1);
        if !is_its_turn || self.ring.is_full() {
            return Shown::Dropped;
        }
        match self.ring.push(copy()) {
            Ok(()) => Shown::Copied,
            Err(_) => Shown::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sighting::testing::sighting;

    fn offer(feed: &mut Feed, rows: usize) -> usize {
        let copied = |_: &usize| feed.offer(|| sighting(("GET", "h", "/"), 200, 1)) == Shown::Copied;
        (0..rows).filter(copied).count()
    }

    #[test]
    fn rows_are_wanted_while_somebody_watches() {
        let epoch = Epoch::default();
        let (mut feed, tap) = feed(&epoch);
        feed.begin_burst();
        assert!(!feed.is_watched());
        epoch.advance();
        assert!(!feed.is_watched(), "a burst does not change its mind");
        feed.begin_burst();
        assert!(feed.is_watched());
        assert_eq!(offer(&mut feed, 3), 3);
        assert_eq!(tap.slots(), 3);
        epoch.end();
        feed.begin_burst();
        assert!(!feed.is_watched());
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_spread_evenly_from_then_on() {
        let epoch = Epoch::default();
        let (mut feed, mut tap) = feed(&epoch);
        epoch.advance();
        feed.begin_burst();
        assert_eq!(offer(&mut feed, SIGHTING_COUNT_MAX * 4), SIGHTING_COUNT_MAX);
        while tap.pop().is_ok() {}
        epoch.advance();
        feed.begin_burst();
        let stride = SIGHTING_COUNT_MAX * 4 / SHOWN_COUNT_MAX as usize;
        assert_eq!(offer(&mut feed, 4 * stride), 4, "one row in so many fits");
        epoch.advance();
        feed.begin_burst();
        assert_eq!(offer(&mut feed, 16), 16, "a quiet time copies every row again");
    }

    #[test]
    fn what_is_shown_is_shared_by_all_collectors() {
        let epoch = Epoch::default();
        epoch.divide(4);
        let (mut feed, mut tap) = feed(&epoch);
        epoch.advance();
        feed.begin_burst();
        let rows = SHOWN_COUNT_MAX as usize;
        assert_eq!(offer(&mut feed, rows), rows, "a burst finds room");
        while tap.pop().is_ok() {}
        epoch.advance();
        feed.begin_burst();
        assert_eq!(offer(&mut feed, rows), rows / 4);
        epoch.divide(usize::MAX);
        epoch.advance();
        feed.begin_burst();
        assert_eq!(offer(&mut feed, rows), 1, "nobody's share is nothing");
    }

    #[test]
    fn the_count_of_epochs_never_says_nobody_by_itself() {
        let epoch = Epoch::default();
        epoch.0.count.store(u32::MAX, Ordering::Relaxed);
        epoch.advance();
        assert_eq!(epoch.0.count.load(Ordering::Relaxed), 1);
    }
}
