//! Search: where does the head's empty line end?
//!
//! An empty line is a LF followed by CRLF or LF (RFC 9112 section 2.2 lets a lone LF end a line). 256 or 64 places are looked
//! at without a branch; only a block that may hold one is looked at again, exactly. What stands at the end of the bytes
//! is kept as `Line`, so that the empty line is found wherever a segment boundary splits it.

mod chunk;
mod field;
mod length;

pub use chunk::{CHUNK_STEP_BYTES, Chunk, Phase, is_hex_digit, read_chunk};
pub use field::{Cut, FIELD_BYTES, read_cut};
pub use length::{Length, is_chunked, search_length};

use super::frame::{BLOCK_BYTES, Frame, WIDE_BYTES};
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
    /// None among so many bytes: the search goes on from there.
    Behind(u32),
}

/// Bytes one search covers at the most.
pub const SEARCH_BYTES_MAX: u32 = RECORD_COPY_BYTES_MAX as u32;

const STRIDE: u32 = BLOCK_BYTES as u32 - 2;
const BLOCK_COUNT_MAX: u32 = SEARCH_BYTES_MAX / STRIDE + 1;
const WIDE_STRIDE: u32 = WIDE_BYTES as u32 - 2;
const WIDE_COUNT_MAX: u32 = SEARCH_BYTES_MAX / WIDE_STRIDE;

/// Searches `len` bytes (at most `SEARCH_BYTES_MAX`) of the frame from `start`, which follow bytes that ended with `line`;
/// `from` is zero, or what an earlier call for the same bytes said in `Search::Behind`.
#[inline(always)]
pub fn search<F: Frame>(frame: &mut F, start: u32, (from, len): (u32, u32), line: Line) -> Search {
    if len == 0 {
        return Search::Open(line);
    }
    if from == 0
        && line != Line::Inside
        && let Some(end) = carried(frame, start, len, line)
    {
        return Search::End(end);
    }
    let (from, end) = (start + from, start + len);
    if end < BLOCK_BYTES as u32 {
        return match by_words(frame, start, len) {
            0 => tail(frame, start, len, line),
            end => Search::End(end),
        };
    }
    // Where all ends with an empty line, as most segments with a head do, another one is looked for in front of it.
    let last = last_line(frame, end, len);
    let last = frame.opaque(last);
    match in_blocks(frame, start, (from, end - last)) {
        Some(found) => found,
        None if last != 0 => Search::End(len),
        None => tail(frame, start, len, line),
    }
}

/// Bytes of the empty line in front of `end`, where CRLF and nothing that begins another one stands before it; else zero.
#[inline(always)]
fn last_line<F: Frame>(frame: &mut F, end: u32, len: u32) -> u32 {
    const EMPTY_LINE_BYTES: u32 = 3;
    if len <= EMPTY_LINE_BYTES || end < BLOCK_BYTES as u32 + EMPTY_LINE_BYTES {
        return 0;
    }
    let word = frame.load(end - 8).map_or(0, u64::from_le_bytes);
    let is_last = (word >> 32) as u32 == u32::from_le_bytes(*b"\r\n\r\n") && (word >> 24) as u8 != b'\n';
    if is_last { EMPTY_LINE_BYTES } else { 0 }
}

/// The first empty line that begins at `from` or later and at least three bytes before `end`, or how far there is none.
#[inline(always)]
fn in_blocks<F: Frame>(frame: &mut F, start: u32, (from, end): (u32, u32)) -> Option<Search> {
    let base = first_block(frame, from, end, is_no_end)?;
    let base = frame.opaque(base);
    match frame.block(base).map_or(0, |block| exactly(block, from.saturating_sub(base))) {
        0 if base + BLOCK_BYTES as u32 >= end => None,
        0 => Some(Search::Behind(base + STRIDE - start)),
        within => Some(Search::End(base + within - start)),
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
const CR: u64 = ONES * b'\r' as u64;

/// Where the first block begins that may hold what is looked for, among those from `from` on; the last one ends where the
/// bytes end and so begins in front of them where they are few. Looking at it again, exactly, is left to the caller: where
/// the verifier follows every turn of this loop, each is to be short. `rules_out` gets eight bytes and the same shifted by
/// one place, and leaves the highest bit of a byte unset where it may stand.
#[inline(always)]
fn first_block<F: Frame>(
    frame: &mut F,
    from: u32,
    end: u32,
    rules_out: impl Fn(u64, u64) -> u64,
) -> Option<u32> {
    let last = end - BLOCK_BYTES as u32;
    let behind = behind_wide_blocks(frame, from, end, &rules_out)?;
    let mut at = frame.opaque(behind);
    for _ in 0..BLOCK_COUNT_MAX {
        let base = if at < last { at } else { last };
        let base = frame.opaque(base);
        let block: &[u8; BLOCK_BYTES] = frame.block(base)?;
        if of_eight::<F, _>((block, 0), HIGHS, &rules_out) != HIGHS {
            return Some(base);
        }
        if at >= last {
            return None;
        }
        at += STRIDE;
    }
    None
}

/// Behind the wide blocks from `from` on that hold nothing of what is looked for.
#[inline(always)]
fn behind_wide_blocks<F: Frame>(
    frame: &mut F,
    from: u32,
    end: u32,
    rules_out: &impl Fn(u64, u64) -> u64,
) -> Option<u32> {
    let mut at = from;
    for _ in 0..WIDE_COUNT_MAX {
        if at + WIDE_BYTES as u32 > end {
            break;
        }
        let base = frame.opaque(at);
        let block: &[u8; WIDE_BYTES] = frame.block(base)?;
        let all = of_eight::<F, _>((block, 0), HIGHS, rules_out);
        let all = of_eight::<F, _>((block, 64), all, rules_out);
        let all = of_eight::<F, _>((block, 128), all, rules_out);
        if of_eight::<F, _>((block, 192), all, rules_out) != HIGHS {
            break;
        }
        at += WIDE_STRIDE;
    }
    Some(at)
}

/// What `rules_out` says of all of eight words from byte `at` of the block on, and `all` of those before.
#[inline(always)]
fn of_eight<F: Frame, const N: usize>(
    (block, at): (&[u8; N], usize),
    all: u64,
    rules_out: &impl Fn(u64, u64) -> u64,
) -> u64 {
    let mut all = all;
    let mut word = 0;
    while word < 8 {
        all = F::both(all, rules_out(word_at(block, at + word * 8), word_at(block, at + word * 8 + 1)));
        word += 1;
    }
    all
}

/// The highest bit of every byte is set where none begins an empty line: where it is CR or more, or the next one is more
/// than CR, and so no line end. What a byte that is not ASCII carries into the next one does not set the bit of LF, or of CR
/// behind it.
#[inline(always)]
const fn is_no_end(word: u64, next: u64) -> u64 {
    word.wrapping_add(HIGHS - CR) | next.wrapping_add(HIGHS - CR - 2 * ONES)
}

/// Where the first empty line that begins at `skip` or later ends, counted from the block's first byte; zero: none.
#[inline(always)]
fn exactly(block: &[u8; BLOCK_BYTES], skip: u32) -> u32 {
    let mut word = 0;
    while word < 8 {
        let first = word as u32 * 8;
        let [a, b, c] = places(block, word);
        if is_no_end(a, b) & HIGHS != HIGHS {
            let skipped = u64::MAX.checked_shl(skip.saturating_sub(first) * 8).unwrap_or(0);
            let end = first_end([a, b, c], skipped);
            if end != 0 {
                return first + end;
            }
        }
        word += 1;
    }
    0
}

/// Where the first empty line ends that begins at one of eight places, given with the bytes one and two behind each, and
/// the places that count; zero: none.
#[inline(always)]
fn first_end([a, b, c]: [u64; 3], places: u64) -> u32 {
    let lone = zero_bytes(b ^ LF);
    let hit = zero_bytes(a ^ LF) & (lone | zero_bytes(b ^ CR) & zero_bytes(c ^ LF)) & places;
    if hit == 0 {
        return 0;
    }
    let bit = hit & hit.wrapping_neg();
    bit.trailing_zeros() / 8 + if lone & bit != 0 { 2 } else { 3 }
}

/// Eight bytes of the block from a word on, and the same shifted by one and two places.
#[inline(always)]
fn places(block: &[u8; BLOCK_BYTES], word: usize) -> [u64; 3] {
    [word_at(block, word * 8), word_at(block, word * 8 + 1), word_at(block, word * 8 + 2)]
}

#[inline(always)]
fn word_at<const N: usize>(block: &[u8; N], at: usize) -> u64 {
    match block[at..].first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => 0,
    }
}

/// Eight bytes of the frame from `at` on, with zeros in place of those from `end` on.
#[inline(always)]
fn word_until<F: Frame>(frame: &mut F, at: u32, end: u32) -> u64 {
    let last = end.saturating_sub(8);
    let place = frame.opaque(if at < last { at } else { last });
    let word = frame.load(place).map_or(0, u64::from_le_bytes);
    word.checked_shr(at.wrapping_sub(place) * 8).unwrap_or(0)
}

/// 0x80 in every byte that is zero, exactly.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    !(((word & !HIGHS) + !HIGHS) | word) & HIGHS
}

/// Places of one word that have two bytes of it behind them.
const WORD_STRIDE: u32 = 6;

/// For payloads so short that frame and payload together hold no block: what is left behind the shortest headers.
const WORD_COUNT_MAX: u32 = (BLOCK_BYTES as u32 - 40) / WORD_STRIDE + 1;

/// As by blocks, a word at a time; zero: none found among the places that have two bytes behind them.
#[inline(always)]
fn by_words<F: Frame>(frame: &mut F, start: u32, len: u32) -> u32 {
    let last = (start + len).saturating_sub(8);
    let mut at = start;
    for _ in 0..WORD_COUNT_MAX {
        let base = if at < last { at } else { last };
        let base = frame.opaque(base);
        let Some(word) = frame.load(base).map(u64::from_le_bytes) else {
            return 0;
        };
        let skipped = u64::MAX.checked_shl(start.saturating_sub(base) * 8).unwrap_or(0);
        let within = first_end([word, word >> 8, word >> 16], skipped & (u64::MAX >> 16));
        if within != 0 {
            return base + within - start;
        }
        if at >= last {
            return 0;
        }
        at += WORD_STRIDE;
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
        let mut from = 0;
        loop {
            match search(&mut frame, header as u32, (from, bytes.len() as u32), line) {
                Search::Behind(behind) => {
                    assert!(behind > from, "a search goes on");
                    from = behind;
                }
                found @ (Search::End(_) | Search::Open(_)) => return found,
            }
        }
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
                    open @ (Search::Open(_) | Search::Behind(_)) => open,
                },
                end @ (Search::End(_) | Search::Behind(_)) => end,
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
            last in prop_oneof![2 => Just(""), 2 => Just("\r\n\r\n"), 1 => Just("\n\r\n\r\n"), 1 => Just("\n\n")],
            line in 0usize..3,
        ) {
            let mut all = filler;
            let at = place.min(all.len());
            all.splice(at..at, bytes);
            all.extend(last.bytes());
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
