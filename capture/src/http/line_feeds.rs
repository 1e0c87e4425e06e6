//! Where lines end: the line feeds of a head, one after the other, found 64 bytes at a time.
//!
//! Lines are short, so a search begun anew for each costs more than what it finds.
//! Invariant: every line feed from the start on is given once, in order.

const BLOCK_BYTES: usize = 64;

/// Line feeds that are taken out of a block together.
const TAKEN: usize = 4;

/// The line feeds of `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineFeeds<'a> {
    bytes: &'a [u8],
    /// Where the block at hand begins.
    block: usize,
    /// Its line feeds that were not given yet, as bits.
    bits: u64,
}

impl<'a> LineFeeds<'a> {
    /// Those from `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> LineFeeds<'a> {
        LineFeeds { bytes, block: start, bits: bits_at(bytes, start) }
    }

    /// Where the next one is.
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.bits == 0 && self.step() {}
        let at = self.block + self.bits.trailing_zeros() as usize;
        let found = self.bits != 0;
        self.bits &= self.bits.wrapping_sub(1);
        found.then_some(at)
    }

    /// Puts where the next ones are into `places`, as long as there is room for all that may be taken together; returns how many
    /// that were, none only where none is left.
    ///
    /// Lines are of any length, so a branch for each block and each line feed would be foretold wrongly for most lines.
    #[inline]
    pub(super) fn fill<const N: usize>(&mut self, places: &mut [u32; N]) -> usize {
        let mut count = 0;
        while let Some(taken) = places[count..].first_chunk_mut::<TAKEN>() {
            for place in taken {
                *place = self.block as u32 + self.bits.trailing_zeros();
                count += usize::from(self.bits != 0);
                self.bits &= self.bits.wrapping_sub(1);
            }
            if self.bits == 0 && !self.step() {
                break;
            }
        }
        count
    }

    /// Goes on to the next block; false where there is none.
    #[inline]
    fn step(&mut self) -> bool {
        let has_next = self.bytes.len().saturating_sub(self.block) > BLOCK_BYTES;
        if has_next {
            self.block += BLOCK_BYTES;
            self.bits = bits_at(self.bytes, self.block);
        }
        has_next
    }
}

/// The line feeds of the block at `start`, which may be short, as bits.
#[inline]
fn bits_at(bytes: &[u8], start: usize) -> u64 {
    let rest = bytes.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(block) => block_bits(block),
        None => {
            let mut block = [0; BLOCK_BYTES];
            block[..rest.len()].copy_from_slice(rest);
            block_bits(&block)
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn block_bits(block: &[u8; BLOCK_BYTES]) -> u64 {
    // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
    unsafe { sse2_bits(block) }
}

/// Four comparisons of sixteen bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_bits(block: &[u8; BLOCK_BYTES]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};

    let (quarters, _) = block.as_chunks::<16>();
    let mut bits = 0;
    for (at, quarter) in quarters.iter().enumerate() {
        let quarter = u128::from_le_bytes(*quarter);
        let quarter = _mm_set_epi64x((quarter >> 64) as i64, quarter as i64);
        let found = _mm_movemask_epi8(_mm_cmpeq_epi8(quarter, _mm_set1_epi8(b'\n' as i8)));
        bits |= u64::from(found.cast_unsigned()) << (16 * at);
    }
    bits
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn block_bits(block: &[u8; BLOCK_BYTES]) -> u64 {
    naive_bits(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn naive_bits(block: &[u8; BLOCK_BYTES]) -> u64 {
    block.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(*byte == b'\n') << at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_line_feed_is_given_once_in_order(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'\x8a'), any::<u8>()], 0..300),
            start in 0_usize..310,
            first in 0_usize..3,
        ) {
            let naive: Vec<usize> = (start..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
            let mut feeds = LineFeeds::new(&bytes, start);
            let found: Vec<usize> = std::iter::from_fn(|| feeds.next()).collect();
            prop_assert_eq!(&found, &naive);
            prop_assert_eq!(feeds.next(), None);
            let (mut feeds, mut found) = (LineFeeds::new(&bytes, start), Vec::new());
            found.extend((0..first).map_while(|_| feeds.next()));
            let mut places = [0; 2 * TAKEN];
            loop {
                let count = feeds.fill(&mut places);
                found.extend(places[..count].iter().map(|place| *place as usize));
                if count == 0 {
                    break;
                }
            }
            prop_assert_eq!(found, naive);
        }

        #[test]
        fn a_block_agrees_with_the_naive_twin(block in proptest::array::uniform32(prop_oneof![Just(b'\n'), any::<u8>()])) {
            let mut doubled = [0; BLOCK_BYTES];
            doubled[..32].copy_from_slice(&block);
            doubled[32..].copy_from_slice(&block);
            prop_assert_eq!(block_bits(&doubled), naive_bits(&doubled));
        }
    }
}
