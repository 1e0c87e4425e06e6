//! Length: how far the body behind a head reaches, as its Content-Length says, or that it comes in chunks.
//!
//! Read where the next head can be found by it only. Invariant: of a field line that is not whole, or that says anything but
//! one number or that the last coding is `chunked`, nothing is said.

use super::{HIGHS, LF, ONES, STRIDE, first_block, places, word_until, zero_bytes};
use crate::decide::frame::{BLOCK_BYTES, Frame};

/// What a search for the length of the body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Nothing was found.
    None,
    /// Content-Length, as one number; the search goes on from this offset in the frame.
    Found(u32, u32),
    /// What may be Transfer-Encoding has its `ng` here: `is_chunked` tells, and the search goes on behind it.
    Coding(u32),
    /// Something like Content-Length: the search goes on from this offset.
    Behind(u32),
}

/// Searches the field lines in `start..end` of the frame, at most `SEARCH_BYTES_MAX`, for Content-Length and Transfer-Encoding.
///
/// Looks for the `ng` of both in any case and for the rest only around it; of a line that these bytes hold in part nothing is said.
#[inline(always)]
pub fn search_length<F: Frame>(frame: &mut F, start: u32, end: u32) -> Length {
    if end <= start || end < BLOCK_BYTES as u32 {
        return Length::None;
    }
    let Some(base) = first_block(frame, start, end, is_no_length) else {
        return Length::None;
    };
    let base = frame.opaque(base);
    let found = frame.block(base).map_or(0, |block| exactly_length(block, start.saturating_sub(base)));
    if found == 0 {
        let is_last = base + BLOCK_BYTES as u32 >= end;
        return if is_last { Length::None } else { Length::Behind(base + STRIDE) };
    }
    let anchor = frame.opaque(base + found - 1);
    if frame.load(anchor + 2) == Some([b':']) {
        return Length::Coding(anchor);
    }
    match number_behind(frame, anchor.saturating_sub(LENGTH_ANCHOR_BYTES), end) {
        Some(bytes) => Length::Found(frame.opaque(bytes), anchor + 1),
        None => Length::Behind(anchor + 1),
    }
}

/// Bytes from the dash of `content-length:` to its `ng`.
const LENGTH_ANCHOR_BYTES: u32 = 3;

/// Bytes from the LF before `transfer-encoding:` to its `ng`.
const CODING_BEFORE_BYTES: u32 = 16;

/// Bytes from there to behind its colon.
const CODING_BEHIND_BYTES: u32 = 3;

/// Words of the list of codings that are looked at: longer ones are nobody's.
const CODING_WORD_COUNT_MAX: u32 = 4;

/// Whether the field line whose name ends with an `ng` here is Transfer-Encoding, ends before `end`, and with `chunked`.
#[inline(always)]
pub fn is_chunked<F: Frame>(frame: &mut F, anchor: u32, end: u32) -> bool {
    let begin = frame.opaque(anchor.saturating_sub(CODING_BEFORE_BYTES));
    let [first, second] = [begin, begin + 8].map(|at| word_until(frame, at, end));
    let last = word_until(frame, anchor, end) as u32;
    let is_field = first as u8 == b'\n'
        && first | CASE == u64::from_le_bytes(*b"*transfe")
        && second | CASE == u64::from_le_bytes(*b"r-encodi")
        && (last | CASE as u32) & 0x00ff_ffff == u32::from_le_bytes(*b"ng:\0");
    if !is_field {
        return false;
    }
    let value = anchor + CODING_BEHIND_BYTES;
    let Some(line_end) = line_end(frame, value, end) else {
        return false;
    };
    let last = word_until(frame, line_end.saturating_sub(1), end) as u8;
    let text_end = frame.opaque(line_end.saturating_sub(u32::from(last == b'\r')));
    let coding = word_until(frame, text_end.saturating_sub(8), end);
    matches!(coding as u8, b':' | b',' | b' ' | b'\t')
        && (coding | CASE) >> 8 == u64::from_le_bytes(*b"chunked\0")
}

/// Where the LF of the line stands that goes on at `value`, where it does before `end` and within few words.
#[inline(always)]
fn line_end<F: Frame>(frame: &mut F, value: u32, end: u32) -> Option<u32> {
    for nth in 0..CODING_WORD_COUNT_MAX {
        let at = frame.opaque(value + nth * 8);
        let hits = zero_bytes(word_until(frame, at, end) ^ LF);
        if hits != 0 {
            return Some(frame.opaque(at + hits.trailing_zeros() / 8));
        }
    }
    None
}

/// Bytes from the dash of `content-length:` to behind its colon.
const LENGTH_NAME_BYTES: u32 = 8;

/// Bytes of blanks and digits that are looked at, with the one behind them.
const LENGTH_VALUE_BYTES: u32 = 16;

/// Beyond half the sequence space "behind" and "ahead" cannot be told apart.
const LENGTH_MAX: u64 = 2_000_000_000;

/// The number in the field line whose name has a dash here, where that is Content-Length and ends before `end`.
#[inline(always)]
fn number_behind<F: Frame>(frame: &mut F, dash: u32, end: u32) -> Option<u32> {
    let before = u64::from_le_bytes(frame.load(dash.checked_sub(LENGTH_NAME_BYTES)?)?);
    let behind = u64::from_le_bytes(frame.load(dash)?);
    // A LF, which the case bit leaves alone as it is no letter, then `content`; a dash, then `length:`.
    let is_field = before & 0xff == u64::from(b'\n')
        && before | CASE == u64::from_le_bytes(*b"*content")
        && behind | CASE == u64::from_le_bytes(*b"-length:");
    let value = dash + LENGTH_NAME_BYTES;
    if !is_field || value >= end {
        return None;
    }
    let last = end.saturating_sub(LENGTH_VALUE_BYTES);
    let base = frame.opaque(if value < last { value } else { last });
    let words = [frame.load(base)?, frame.load(base + 8)?].map(u64::from_le_bytes);
    number(shifted(words, value.wrapping_sub(base)))
}

/// Sixteen bytes without the first few, zeros behind them.
#[inline(always)]
const fn shifted([low, high]: [u64; 2], bytes: u32) -> [u64; 2] {
    let bits = (bytes & 7) * 8;
    if bytes & 8 != 0 { [high >> bits, 0] } else { [low >> bits | (high << 1) << (63 - bits), high >> bits] }
}

/// The decimal number that blanks may precede and a blank or a line end follows. Eight digits at a time: a loop over
/// them would have the verifier follow each way through it.
#[inline(always)]
const fn number(words: [u64; 2]) -> Option<u32> {
    let blanks = zero_bytes(words[0] ^ SPACE) | zero_bytes(words[0] ^ TAB);
    let [low, high] = shifted(words, (!blanks & HIGHS).trailing_zeros() / 8);
    let (digits, more) = (digit_count(low), digit_count(high));
    if digits == 0 {
        return None;
    }
    let begin = eight_digits((low ^ ZERO_DIGIT) << (64 - 8 * digits));
    let [first, second] = [high & 0xf, high >> 8 & 0xf];
    let (number, behind) = match (digits, more) {
        (0..8, _) => (begin, low >> (8 * digits)),
        (_, 0) => (begin, high),
        (_, 1) => (begin * 10 + first, high >> 8),
        (_, 2) => (begin * 100 + first * 10 + second, high >> 16),
        (_, _) => return None,
    };
    let is_over = matches!(behind as u8, b'\r' | b'\n' | b' ' | b'\t');
    if is_over && number < LENGTH_MAX { Some(number as u32) } else { None }
}

/// How many of the bytes are digits before the first that is none.
#[inline(always)]
const fn digit_count(word: u64) -> u32 {
    let digits = word ^ ZERO_DIGIT;
    // Six more than nine has a high half; what one byte carries into the next follows one that is no digit.
    let others = (digits | digits.wrapping_add(ONES * 6)) & (ONES * 0xf0);
    (!zero_bytes(others) & HIGHS).trailing_zeros() / 8
}

/// The number that eight bytes from zero to nine are, the first the highest.
#[inline(always)]
const fn eight_digits(word: u64) -> u64 {
    let pairs = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

const ZERO_DIGIT: u64 = ONES * b'0' as u64;
const SPACE: u64 = ONES * b' ' as u64;
const TAB: u64 = ONES * b'\t' as u64;
const COLON: u64 = ONES * b':' as u64;
const LOWER_G: u64 = ONES * b'g' as u64;
const LOWER_N: u64 = ONES * b'n' as u64;
const LOWER_T: u64 = ONES * b't' as u64;
const CASE: u64 = ONES * 0x20;

/// The highest bit of every byte is set where none begins `ng` in any case: where both differ in more than their case.
#[inline(always)]
const fn is_no_length(word: u64, next: u64) -> u64 {
    (((word ^ LOWER_N) | (next ^ LOWER_G)) & !(HIGHS | CASE)) + !HIGHS
}

/// Behind the first byte of the first `ngt` or `ng:` at `skip` or later; zero: none.
#[inline(always)]
fn exactly_length(block: &[u8; BLOCK_BYTES], skip: u32) -> u32 {
    let mut word = 0;
    while word < 8 {
        let [a, b, c] = places(block, word);
        let behind = zero_bytes((c | CASE) ^ LOWER_T) | zero_bytes(c ^ COLON);
        let mut hit = zero_bytes((a | CASE) ^ LOWER_N) & zero_bytes((b | CASE) ^ LOWER_G) & behind;
        let first = word as u32 * 8;
        if skip > first {
            hit &= u64::MAX.checked_shl((skip - first) * 8).unwrap_or(0);
        }
        if hit != 0 {
            return first + hit.trailing_zeros() / 8 + 1;
        }
        word += 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::SliceFrame;
    use super::*;

    /// Content-Length, and whether the body comes in chunks.
    fn told(header: usize, head: &[u8]) -> (Option<u32>, bool) {
        let bytes = [&vec![b'\n'; header][..], head, b"-length: 9\r\n"].concat();
        let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
        let (mut start, end) = (header as u32, (header + head.len()) as u32);
        let mut told = (None, false);
        loop {
            let behind = match search_length(&mut frame, start, end) {
                Length::None => return told,
                Length::Found(bytes, behind) => {
                    told.0 = told.0.or(Some(bytes));
                    behind
                }
                Length::Coding(at) => {
                    told.1 |= is_chunked(&mut frame, at, end);
                    at + 1
                }
                Length::Behind(behind) => behind,
            };
            assert!(behind > start);
            start = behind;
        }
    }

    #[test]
    fn the_length_of_the_body_is_found_wherever_it_stands() {
        let cases: [(&[u8], Option<u32>); 9] = [
            (b"\nContent-Length: 17\r\n", Some(17)),
            (b"\ncontent-length:0\n", Some(0)),
            (b"\nCONTENT-LENGTH: \t 1999999999\r\n", Some(1_999_999_999)),
            (b"\nContent-Length: 4000000000\r\n", None),
            (b"\nContent-Length: 17x\r\n", None),
            (b"\nContent-Length: -1\r\n", None),
            (b"\nX-Content-Length: 17\r\n", None),
            (b"\nAccept-Language: de\r\nContent-Length: 17\r\n", Some(17)),
            (b"\nContent-Length: 17", None),
        ];
        for (line, expected) in cases {
            for before in 0..140 {
                let head = [&vec![b'x'; before][..], line].concat();
                let what = str::from_utf8(line);
                assert_eq!(told(66, &head), (expected, false), "{what:?} behind {before}");
            }
        }
    }

    #[test]
    fn that_the_body_comes_in_chunks_is_found_wherever_it_stands() {
        let cases: [(&[u8], bool); 11] = [
            (b"\nTransfer-Encoding: chunked\r\n", true),
            (b"\ntransfer-encoding:chunked\n", true),
            (b"\nTRANSFER-ENCODING:\tgzip,CHUNKED\r\n", true),
            (b"\nTransfer-Encoding: gzip, chunked\r\n\r\n", true),
            (b"\nTransfer-Encoding: chunked, gzip\r\n", false),
            (b"\nTransfer-Encoding: xchunked\r\n", false),
            (b"\nTransfer-Encoding: unchunked\r\n", false),
            (b"\nX-Transfer-Encoding: chunked\r\n", false),
            (b"\nTransfer-Encodings: chunked\r\n", false),
            (b"\nTransfer-Encoding : chunked\r\n", false),
            (b"\nTransfer-Encoding: chunked", false),
        ];
        for (line, expected) in cases {
            for before in 0..140 {
                let head = [&vec![b'x'; before][..], line].concat();
                assert_eq!(told(66, &head), (None, expected), "{:?} behind {before}", str::from_utf8(line));
            }
        }
    }
    #[test]
    fn both_are_found_in_either_order() {
        for head in [
            "\nng-ng: ng:\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(told(66, head.as_bytes()), (Some(5), true), "{head:?}");
        }
    }
}
