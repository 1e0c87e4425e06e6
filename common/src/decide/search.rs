//! Search: where does the head's empty line end?
//!
//! An empty line is a LF followed by CRLF or LF (RFC 9112 section 2.2 lets a lone LF end a line). 64 places are looked at
//! without a branch; only a block that may hold one is looked at again, exactly. What stands at the end of the bytes
//! is kept as `Line`, so that the empty line is found wherever a segment boundary splits it.

use super::frame::{BLOCK_BYTES, Frame};
use crate::limits::RECORD_COPY_BYTES_MAX;

/// What the searched bytes ended with.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Anything else.
    Inside = 0,
    /// LF.
    Begun = 1,
    /// LF CR.
    BegunByCr = 2,
}

impl Line {
    /// The state a number stands for; unknown ones mean the least.
    #[inline(always)]
    pub const fn from_u32(value: u32) -> Self {
        match value {
            1 => Self::Begun,
            2 => Self::BegunByCr,
            _ => Self::Inside,
        }
    }
}

/// Outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The empty line is complete after so many bytes, at least one.
    End(u32),
    /// No empty line; what the bytes ended with.
    Open(Line),
}

/// Bytes one search covers at the most.
pub const SEARCH_BYTES_MAX: u32 = RECORD_COPY_BYTES_MAX as u32;

const STRIDE: u32 = BLOCK_BYTES as u32 - 2;
const BLOCK_COUNT_MAX: u32 = SEARCH_BYTES_MAX / STRIDE + 1;

/// Searches `len` bytes (at most `SEARCH_BYTES_MAX`) of the frame from `start`, which follow bytes that ended with `line`.
#[inline(always)]
pub fn search<F: Frame>(frame: &mut F, start: u32, len: u32, line: Line) -> Search {
    if len == 0 {
        return Search::Open(line);
    }
    if let Some(end) = carried(frame, start, len, line) {
        return Search::End(end);
    }
    let found = if start + len >= BLOCK_BYTES as u32 {
        by_blocks(frame, start, len)
    } else {
        by_bytes(frame, start, len)
    };
    match found {
        0 => tail(frame, start, len, line),
        end => Search::End(end),
    }
}

/// An empty line that began before these bytes.
#[inline(always)]
fn carried<F: Frame>(frame: &mut F, start: u32, len: u32, line: Line) -> Option<u32> {
    let [byte] = frame.load(start)?;
    match (line, byte) {
        (Line::Begun | Line::BegunByCr, b'\n') => Some(1),
        (Line::Begun, b'\r') if len >= 2 => (frame.load(start + 1) == Some([b'\n'])).then_some(2),
        _ => None,
    }
}

/// What the bytes end with: an empty line that no block covers (the last two bytes), or a state to carry on.
#[inline(always)]
fn tail<F: Frame>(frame: &mut F, start: u32, len: u32, line: Line) -> Search {
    let Some([before, last]) = frame.load(start + len - 2) else {
        return Search::Open(Line::Inside);
    };
    match (before, last) {
        (b'\n', b'\n') if len >= 2 => Search::End(len),
        (_, b'\n') => Search::Open(Line::Begun),
        (b'\n', b'\r') if len >= 2 => Search::Open(Line::BegunByCr),
        (_, b'\r') if len == 1 && matches!(line, Line::Begun) => Search::Open(Line::BegunByCr),
        _ => Search::Open(Line::Inside),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const LF: u64 = ONES * b'\n' as u64;
/// Of each byte the bits of which a control character has none.
const LETTERS: u64 = ONES * 0x60;
const CR: u64 = ONES * b'\r' as u64;

/// Searches block by block; the last one ends where the bytes end and so begins in front of them where they are few.
/// Zero: none found among the places that have two bytes behind them.
#[inline(always)]
fn by_blocks<F: Frame>(frame: &mut F, start: u32, len: u32) -> u32 {
    let end = start + len;
    let last = end - BLOCK_BYTES as u32;
    let mut at = start;
    for _ in 0..BLOCK_COUNT_MAX {
        let base = if at < last { at } else { last };
        let base = frame.opaque(base);
        let Some(may_end) = frame.block(base).map(may_end) else {
            return 0;
        };
        // Asked for anew: what is rarely looked at twice is not kept for it.
        if may_end && let Some(block) = frame.block(base) {
            let skip = start.saturating_sub(base);
            let within = exactly(block, skip);
            if within != 0 {
                return base + within - start;
            }
        }
        if at >= last {
            return 0;
        }
        at += STRIDE;
    }
    0
}

/// False where no place of the block begins an empty line; true where one may. A byte of `hit` is zero where the byte
/// is LF and the next one a control character, as CR and LF are and no letter is, and only then can subtracting one set
/// its highest bit, but for bytes that are not ASCII.
#[inline(always)]
fn may_end(block: &[u8; BLOCK_BYTES]) -> bool {
    let mut any = 0;
    let mut word = 0;
    while word < 8 {
        let hit = (word_at(block, word * 8) ^ LF) | (word_at(block, word * 8 + 1) & LETTERS);
        any |= hit.wrapping_sub(ONES);
        word += 1;
    }
    any & HIGHS != 0
}

/// Where the first empty line that begins at `skip` or later ends, counted from the block's first byte; zero: none.
#[inline(always)]
fn exactly(block: &[u8; BLOCK_BYTES], skip: u32) -> u32 {
    let mut word = 0;
    while word < 8 {
        let [a, b, c] = places(block, word);
        let lone = zero_bytes(b ^ LF);
        let mut hit = zero_bytes(a ^ LF) & (lone | zero_bytes(b ^ CR) & zero_bytes(c ^ LF));
        let first = word as u32 * 8;
        if skip > first {
            hit &= u64::MAX.checked_shl((skip - first) * 8).unwrap_or(0);
        }
        if hit != 0 {
            let bit = hit & hit.wrapping_neg();
            let length = if lone & bit != 0 { 2 } else { 3 };
            return first + bit.trailing_zeros() / 8 + length;
        }
        word += 1;
    }
    0
}

/// Eight bytes of the block from a word on, and the same shifted by one and two places.
#[inline(always)]
fn places(block: &[u8; BLOCK_BYTES], word: usize) -> [u64; 3] {
    [word_at(block, word * 8), word_at(block, word * 8 + 1), word_at(block, word * 8 + 2)]
}

#[inline(always)]
fn word_at(block: &[u8; BLOCK_BYTES], at: usize) -> u64 {
    match block[at..].first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// 0x80 in every byte that is zero, exactly.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    !(((word & !HIGHS) + !HIGHS) | word) & HIGHS
}

/// For payloads so short that frame and payload together hold no block.
#[inline(always)]
fn by_bytes<F: Frame>(frame: &mut F, start: u32, len: u32) -> u32 {
    for at in 0..BLOCK_BYTES as u32 {
        if at + 2 > len {
            return 0;
        }
        let [first, second] = frame.load(start + at).unwrap_or([0; 2]);
        if first == b'\n' && second == b'\n' {
            return at + 2;
        }
        if first == b'\n' && second == b'\r' && at + 3 <= len {
            let [third] = frame.load(start + at + 2).unwrap_or([0]);
            if third == b'\n' {
                return at + 3;
            }
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::frame::SliceFrame;
    use super::*;
    use proptest::prelude::*;

    /// The twin: a byte at a time, told by nothing but the rule.
    fn naive(bytes: &[u8], line: Line) -> Search {
        let mut state = line;
        for (at, byte) in bytes.iter().enumerate() {
            state = match (state, byte) {
                (Line::Begun | Line::BegunByCr, b'\n') => return Search::End(at as u32 + 1),
                (_, b'\n') => Line::Begun,
                (Line::Begun, b'\r') => Line::BegunByCr,
                _ => Line::Inside,
            };
        }
        Search::Open(state)
    }

    fn found(header: usize, bytes: &[u8], line: Line) -> Search {
        let frame = [&vec![b'\n'; header][..], bytes].concat();
        let mut frame = SliceFrame::new(&frame, frame.len() as u32);
        search(&mut frame, header as u32, bytes.len() as u32, line)
    }

    const LINES: [Line; 3] = [Line::Inside, Line::Begun, Line::BegunByCr];

    #[test]
    fn every_place_at_every_length() {
        for end in
            ["\n\n", "\n\r\n", "\r\n\r\n", "\r\n\n", "\n\r", "\r\n\r", "\n", "\r", "\n\rx\n", "\r\r\n\r\n"]
        {
            for len in (end.len()..220).chain([2046, 2047, 2048]) {
                for at in (0..=len - end.len()).filter(|at| len < 220 || at % 61 == 0 || at + 9 > len) {
                    let mut bytes = vec![b'x'; len];
                    bytes[at..at + end.len()].copy_from_slice(end.as_bytes());
                    for (header, line) in [(40, Line::Inside), (54, Line::Begun), (90, Line::BegunByCr)] {
                        assert_eq!(
                            found(header, &bytes, line),
                            naive(&bytes, line),
                            "{end:?} at {at} of {len}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_head_split_anywhere_ends_at_the_same_byte() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        let whole = naive(head, Line::Inside);
        for split in 0..=head.len() {
            let (left, right) = head.split_at(split);
            let end = match found(54, left, Line::Inside) {
                Search::Open(line) => match found(54, right, line) {
                    Search::End(end) => Search::End(end + split as u32),
                    open @ Search::Open(_) => open,
                },
                end @ Search::End(_) => end,
            };
            assert_eq!(end, whole, "split at {split}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_its_twin(
            header in 40usize..80,
            bytes in prop::collection::vec(prop_oneof![4 => Just(b'\r'), 4 => Just(b'\n'), 1 => any::<u8>()], 0..8),
            filler in prop::collection::vec(any::<u8>().prop_filter("no line end", |b| *b != b'\n'), 0..300),
            place in 0usize..300,
            line in 0usize..3,
        ) {
            let mut all = filler;
            let at = place.min(all.len());
            all.splice(at..at, bytes);
            prop_assert_eq!(found(header, &all, LINES[line]), naive(&all, LINES[line]));
        }

        #[test]
        fn agrees_with_its_twin_on_line_ends_only(
            bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'\x8a'), Just(0u8)], 0..130),
            line in 0usize..3,
        ) {
            prop_assert_eq!(found(40, &bytes, LINES[line]), naive(&bytes, LINES[line]));
        }
    }
}
