//! What the frame path counts: one `Counters` per CPU and interface, summed by user space.
//!
//! Invariant: every frame adds one to exactly one of `frames` (a verdict) and its length to the same place of `bytes`.

use crate::record::{COPY_CLASS_COUNT, COPY_CLASS_PLACES};
use crate::verdict::{VERDICT_COUNT, Verdict};

/// Places of a per-verdict array: `VERDICT_COUNT` rounded up to a power of two, so that a mask bounds the index.
pub const VERDICT_PLACES: usize = 32;

const _: () = assert!(VERDICT_COUNT <= VERDICT_PLACES);

/// Counters of one interface on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames by verdict.
    pub frames: [u64; VERDICT_PLACES],
    /// Bytes of those frames on the wire.
    pub bytes: [u64; VERDICT_PLACES],
    /// Heads that began (start lines detected), those lost to a full ring included.
    pub heads: u64,
    /// Heads whose first record found the ring full.
    pub heads_ring_full: u64,
    /// Heads in progress that lost their slot of the flow memory to another connection.
    pub heads_evicted: u64,
    /// Records handed over.
    pub records: u64,
    /// Payload bytes of those records.
    pub record_bytes: u64,
    /// Records lost to a full ring, of whatever kind, by the size class they asked for.
    pub records_ring_full: [u64; COPY_CLASS_PLACES],
    /// Payload bytes that came by on connections that are followed, each once.
    pub followed_bytes: u64,
    /// Gaps found in these connections.
    pub gaps: u64,
    /// Payload bytes of these gaps.
    pub gap_bytes: u64,
    /// Payload bytes of these gaps that came late.
    pub gap_bytes_closed: u64,
    /// Bytes of these connections handed over as nothing was known of them behind a gap.
    pub disorder_bytes: u64,
}

impl Counters {
    /// Books one frame.
    #[inline(always)]
    pub fn book(&mut self, verdict: Verdict, frame_bytes: u32) {
        let place = verdict as usize % VERDICT_PLACES;
        self.frames[place] = self.frames[place].wrapping_add(1);
        self.bytes[place] = self.bytes[place].wrapping_add(u64::from(frame_bytes));
    }

    /// Frames of one verdict.
    pub fn frames_of(&self, verdict: Verdict) -> u64 {
        self.frames[verdict as usize % VERDICT_PLACES]
    }

    /// All frames.
    pub fn frames_total(&self) -> u64 {
        self.frames.iter().sum()
    }

    /// Records lost to a full ring, by size class.
    pub fn records_ring_full_by_class(&self) -> [u64; COPY_CLASS_COUNT] {
        core::array::from_fn(|class| self.records_ring_full[class])
    }

    /// Adds what another CPU counted.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in self.frames.iter_mut().zip(other.frames) {
            *sum = sum.wrapping_add(part);
        }
        for (sum, part) in self.bytes.iter_mut().zip(other.bytes) {
            *sum = sum.wrapping_add(part);
        }
        self.heads = self.heads.wrapping_add(other.heads);
        self.heads_ring_full = self.heads_ring_full.wrapping_add(other.heads_ring_full);
        self.heads_evicted = self.heads_evicted.wrapping_add(other.heads_evicted);
        self.records = self.records.wrapping_add(other.records);
        self.record_bytes = self.record_bytes.wrapping_add(other.record_bytes);
        for (sum, part) in self.records_ring_full.iter_mut().zip(other.records_ring_full) {
            *sum = sum.wrapping_add(part);
        }
        self.followed_bytes = self.followed_bytes.wrapping_add(other.followed_bytes);
        self.gaps = self.gaps.wrapping_add(other.gaps);
        self.gap_bytes = self.gap_bytes.wrapping_add(other.gap_bytes);
        self.gap_bytes_closed = self.gap_bytes_closed.wrapping_add(other.gap_bytes_closed);
        self.disorder_bytes = self.disorder_bytes.wrapping_add(other.disorder_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booking_adds_to_one_verdict() {
        let mut counters = Counters::default();
        counters.book(Verdict::Body, 1500);
        counters.book(Verdict::Body, 60);
        counters.book(Verdict::Head, 100);
        assert_eq!(counters.frames_of(Verdict::Body), 2);
        assert_eq!(counters.bytes[Verdict::Body as usize], 1560);
        let mut sum = counters;
        sum.add(&counters);
        assert_eq!(sum.frames_total(), 6);
    }
}
