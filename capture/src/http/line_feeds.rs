//! Where lines end: the line feeds of a head, one after the other, found 64 bytes at a time.
//!
//! Lines are short, so a search begun anew for each costs more than what it finds. The same pass sees NUL and bare CR.
//! Invariant: every line feed from the start on is given once, in order; no control passes unseen.

const BLOCK_BYTES: usize = 64;

/// The line feeds of `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineFeeds<'a> {
    bytes: &'a [u8],
    /// Where the block at hand begins.
    block: usize,
    /// Its line feeds that were not given yet, as bits.
    bits: u64,
    /// NUL, or a CR without LF behind it, stands before the end of the block at hand.
    pub(super) has_control: bool,
}

/// Where the bytes of a block are of one kind, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    feeds: u64,
    returns: u64,
    nuls: u64,
}

impl<'a> LineFeeds<'a> {
    /// Those from `start` on.
    pub(super) fn new(bytes: &'a [u8], start: usize) -> LineFeeds<'a> {
        let mut feeds = LineFeeds { bytes, block: start, bits: 0, has_control: false };
        feeds.look();
        feeds
    }

    /// Where the next one is.
    #[inline]
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            if self.bytes.len().saturating_sub(self.block) <= BLOCK_BYTES {
                return None;
            }
            self.block += BLOCK_BYTES;
            self.look();
        }
        let at = self.block + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }

    /// Looks at the block at hand, which may be short.
    #[inline]
    fn look(&mut self) {
        let rest = self.bytes.get(self.block..).unwrap_or_default();
        let found = match rest.first_chunk() {
            Some(block) => found_in(block),
            None => {
                let mut block = [b' '; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                found_in(&block)
            }
        };
        let next = u64::from(rest.get(BLOCK_BYTES) == Some(&b'\n')) << (BLOCK_BYTES - 1);
        let bare = found.returns & !(found.feeds >> 1 | next);
        self.has_control |= (bare | found.nuls) != 0;
        self.bits = found.feeds;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn found_in(block: &[u8; BLOCK_BYTES]) -> Found {
    // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
    unsafe { sse2_found(block) }
}

/// Sixteen bytes at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_found(block: &[u8; BLOCK_BYTES]) -> Found {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};

    let mut found = Found { feeds: 0, returns: 0, nuls: 0 };
    for (at, quarter) in block.as_chunks::<16>().0.iter().enumerate() {
        let quarter = u128::from_le_bytes(*quarter);
        let quarter = _mm_set_epi64x((quarter >> 64) as i64, quarter as i64);
        let bits = |byte: u8| {
            let equal = _mm_movemask_epi8(_mm_cmpeq_epi8(quarter, _mm_set1_epi8(byte.cast_signed())));
            u64::from(equal.cast_unsigned()) << (16 * at)
        };
        found.feeds |= bits(b'\n');
        found.returns |= bits(b'\r');
        found.nuls |= bits(0);
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
fn found_in(block: &[u8; BLOCK_BYTES]) -> Found {
    naive_found(block)
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn naive_found(block: &[u8; BLOCK_BYTES]) -> Found {
    let bits = |wanted: u8| {
        block.iter().enumerate().fold(0, |bits, (at, byte)| bits | u64::from(*byte == wanted) << at)
    };
    Found { feeds: bits(b'\n'), returns: bits(b'\r'), nuls: bits(0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_line_feed_is_given_once_in_order(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), 20_u8.., 0_u8..14], 0..300),
            start in 0_usize..310,
        ) {
            let mut feeds = LineFeeds::new(&bytes, start);
            let found: Vec<usize> = std::iter::from_fn(|| feeds.next()).collect();
            let naive: Vec<usize> = (start..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
            prop_assert_eq!(found, naive);
            prop_assert_eq!(feeds.next(), None);
            let seen = bytes.get(start..).unwrap_or_default();
            let is_bare = |at: &usize| seen[*at] == b'\r' && seen.get(at + 1) != Some(&b'\n');
            let has_control = seen.contains(&0) || (0..seen.len()).any(|at| is_bare(&at));
            prop_assert_eq!(feeds.has_control, has_control);
        }

        #[test]
        fn a_block_agrees_with_the_naive_twin(block in proptest::array::uniform32(prop_oneof![Just(b'\n'), any::<u8>()])) {
            let mut doubled = [0; BLOCK_BYTES];
            doubled[..32].copy_from_slice(&block);
            doubled[32..].copy_from_slice(&block);
            prop_assert_eq!(found_in(&doubled), naive_found(&doubled));
        }
    }
}
