//! Whether bytes hold any of a few sought ones, or any of a range: sixteen bytes at a time, with what every CPU of the architecture has.
//!
//! Values are short, so a search that has to be set up costs more than looking at all of a value.
//! Invariant: every byte is looked at once or more, and nothing but them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m128i;
use std::ops::RangeInclusive;

/// Bytes of a block.
const BLOCK_BYTES: usize = 16;

/// True where any of `bytes` is among `sought`.
#[inline]
pub fn holds_any<const N: usize>(bytes: &[u8], sought: [u8; N]) -> bool {
    marks(bytes, sought) & MATCHED != 0
}

/// True where any of `bytes` is among `sought`, or none of ASCII.
#[inline]
pub fn holds_any_or_non_ascii<const N: usize>(bytes: &[u8], sought: [u8; N]) -> bool {
    marks(bytes, sought) != 0
}

/// True where any of `bytes` is in the range.
#[inline]
pub fn holds_in(bytes: &[u8], range: RangeInclusive<u8>) -> bool {
    let (first, last) = range.into_inner();
    first <= last && marks(bytes, Range { first, span: last - first }) & MATCHED != 0
}

/// Bytes to tell from all others.
trait Sought: Copy {
    /// All bits set in the bytes that are sought.
    #[cfg(target_arch = "x86_64")]
    fn matched(self, block: __m128i) -> __m128i;

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn is_matched(self, byte: u8) -> bool;
}

/// Each of the bytes.
impl<const N: usize> Sought for [u8; N] {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn matched(self, block: __m128i) -> __m128i {
        // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
        unsafe { sse2_equal(block, self) }
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn is_matched(self, byte: u8) -> bool {
        self.contains(&byte)
    }
}

/// The byte `first` and as many behind it as `span` says.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u8,
    span: u8,
}

impl Sought for Range {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn matched(self, block: __m128i) -> __m128i {
        // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
        unsafe { sse2_in_range(block, self) }
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn is_matched(self, byte: u8) -> bool {
        byte.wrapping_sub(self.first) <= self.span
    }
}

/// Set where a byte is among the sought.
const MATCHED: u8 = 1;

/// Set where a byte is above 0x7f.
const NON_ASCII: u8 = 2;

#[inline]
fn marks(bytes: &[u8], sought: impl Sought) -> u8 {
    match bytes.last_chunk() {
        Some(last) => block_marks(bytes.as_chunks().0, last, sought),
        None => short_block(bytes).map_or(0, |block| block_marks(&[], &block, sought)),
    }
}

/// A block of the same bytes, each as often as it takes; `None` of none.
#[inline]
fn short_block(bytes: &[u8]) -> Option<[u8; BLOCK_BYTES]> {
    let both = |low: u64, high: u64| (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return Some(both(u64::from_le_bytes(*low), u64::from_le_bytes(*high)));
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let word = u64::from(u32::from_le_bytes(*high)) << 32 | u64::from(u32::from_le_bytes(*low));
        return Some(both(word, word));
    }
    let mut block = [*bytes.first()?; BLOCK_BYTES];
    (block[1], block[2]) = (bytes[bytes.len() / 2], bytes[bytes.len() - 1]);
    Some(block)
}

#[inline]
fn block_marks(blocks: &[[u8; BLOCK_BYTES]], last: &[u8; BLOCK_BYTES], sought: impl Sought) -> u8 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
    let marks = unsafe { sse2_marks(blocks, last, sought) };
    #[cfg(not(target_arch = "x86_64"))]
    let marks = naive_marks(blocks.as_flattened(), sought) | naive_marks(last, sought);
    marks
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_marks(blocks: &[[u8; BLOCK_BYTES]], last: &[u8; BLOCK_BYTES], sought: impl Sought) -> u8 {
    use std::arch::x86_64::{_mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_setzero_si128};

    let (mut matched, mut all) = (_mm_setzero_si128(), _mm_setzero_si128());
    let mut look = |block: &[u8; BLOCK_BYTES]| {
        let block = u128::from_le_bytes(*block);
        let block = _mm_set_epi64x((block >> 64) as i64, block as i64);
        all = _mm_or_si128(all, block);
        matched = _mm_or_si128(matched, sought.matched(block));
    };
    look(last);
    for block in blocks {
        look(block);
    }
    let mark = |found: i32, mark| if found != 0 { mark } else { 0 };
    mark(_mm_movemask_epi8(matched), MATCHED) | mark(_mm_movemask_epi8(all), NON_ASCII)
}

/// A comparison for each of the bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_equal<const N: usize>(block: __m128i, bytes: [u8; N]) -> __m128i {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_or_si128, _mm_set1_epi8, _mm_setzero_si128};

    bytes.iter().fold(_mm_setzero_si128(), |matched, byte| {
        _mm_or_si128(matched, _mm_cmpeq_epi8(block, _mm_set1_epi8(byte.cast_signed())))
    })
}

/// What a byte is behind the first of the range is not more than its span.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sse2_in_range(block: __m128i, Range { first, span }: Range) -> __m128i {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_set1_epi8, _mm_setzero_si128, _mm_sub_epi8, _mm_subs_epu8};

    let behind = _mm_sub_epi8(block, _mm_set1_epi8(first.cast_signed()));
    _mm_cmpeq_epi8(_mm_subs_epu8(behind, _mm_set1_epi8(span.cast_signed())), _mm_setzero_si128())
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn naive_marks(bytes: &[u8], sought: impl Sought) -> u8 {
    let mark = |found, mark| if found { mark } else { 0 };
    let of = |byte: &u8| mark(sought.is_matched(*byte), MATCHED) | mark(!byte.is_ascii(), NON_ASCII);
    bytes.iter().fold(0, |marks, byte| marks | of(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_bytes_hold_is_what_the_naive_twin_says(
            mut bytes in proptest::collection::vec(b'a'..b'f', 0..70),
            special in prop_oneof![Just(None), any::<(proptest::sample::Index, u8)>().prop_map(Some)],
        ) {
            if let (Some((at, byte)), false) = (special, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for sought in [[0, b'\r'], [b'=', 0xff], [b'a', b'g'], [special.map_or(0, |(_, byte)| byte); 2]] {
                prop_assert_eq!(marks(&bytes, sought), naive_marks(&bytes, sought));
            }
        }

        #[test]
        fn what_is_in_a_range_is_what_the_naive_twin_says(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..5),
                proptest::collection::vec(prop_oneof![40 => Just(b'0'), 1 => any::<u8>()], 0..70),
            ],
            (first, last) in prop_oneof![Just((b'A', b'Z')), Just((0, b' ')), Just((0x7f, 0xff)), any::<(u8, u8)>()],
        ) {
            let naive = bytes.iter().any(|byte| (first..=last).contains(byte));
            prop_assert_eq!(holds_in(&bytes, first..=last), naive);
            let range = Range { first, span: last.wrapping_sub(first) };
            prop_assert_eq!(marks(&bytes, range), naive_marks(&bytes, range));
        }
    }

    #[test]
    fn sought_bytes_and_others_are_told_apart() {
        assert!(
            holds_any(b"a=b", [b'=', b'%']) && !holds_any("é".as_bytes(), [b'=']) && !holds_any(b"", [0])
        );
        assert!(holds_any_or_non_ascii("é".as_bytes(), [b'=']) && !holds_any_or_non_ascii(b"a", [b'=']));
    }
}
