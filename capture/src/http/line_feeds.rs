//! Where lines end: the line feeds of a head, one after the other, found 64 bytes at a time.
//!
//! Lines are short, so a search begun anew for each costs more than what it finds.
//! Invariant: every line feed from the start on is given once, in order.

const BLOCK_BYTES: usize = 64;

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
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.bytes.len().saturating_sub(self.block) <= BLOCK_BYTES {
                return None;
            }
            self.block += BLOCK_BYTES;
            self.bits = bits_at(self.bytes, self.block);
        }
        let at = self.block + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
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
        ) {
            let mut feeds = LineFeeds::new(&bytes, start);
            let found: Vec<usize> = std::iter::from_fn(|| feeds.next()).collect();
            let naive: Vec<usize> = (start..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
            prop_assert_eq!(found, naive);
            prop_assert_eq!(feeds.next(), None);
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
