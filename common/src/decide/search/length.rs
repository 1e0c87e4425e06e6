//! Length: how many bytes the body behind a head has, as its Content-Length says.
//!
//! Read where the next head can be found by it only. Invariant: of a field line that is not whole, or that says anything but
//! one number, nothing is said.

use super::{HIGHS, ONES, STRIDE, first_block, places, zero_bytes};
use crate::decide::frame::{BLOCK_BYTES, Frame};

/// What a search for the length of the body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Nothing was found.
    None,
    /// Content-Length, as one number.
    Found(u32),
    /// Something like it: the search goes on from this offset in the frame.
    Behind(u32),
}

/// Searches the field lines in `start..end` of the frame, at most `SEARCH_BYTES_MAX`, for Content-Length.
///
/// Looks for `-l` in any case and for the rest only around it; of a line that these bytes hold in part nothing is said.
#[inline(always)]
pub fn search_length<F: Frame>(frame: &mut F, start: u32, end: u32) -> Length {
    if end <= start || end < BLOCK_BYTES as u32 {
        return Length::None;
    }
    let Some(base) = first_block(frame, start, end, may_be_length) else {
        return Length::None;
    };
    let base = frame.opaque(base);
    let found = frame.block(base).map_or(0, |block| exactly_length(block, start.saturating_sub(base)));
    if found == 0 {
        let is_last = base + BLOCK_BYTES as u32 >= end;
        return if is_last { Length::None } else { Length::Behind(base + STRIDE) };
    }
    let dash = frame.opaque(base + found - 1);
    match number_behind(frame, dash, end) {
        Some(bytes) => Length::Found(bytes),
        None => Length::Behind(dash + 1),
    }
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
const DASH: u64 = ONES * b'-' as u64;
const LOWER_L: u64 = ONES * b'l' as u64;
const CASE: u64 = ONES * 0x20;

/// The highest bit of no byte is set where none begins `-l` in any case.
#[inline(always)]
const fn may_be_length(word: u64, next: u64) -> u64 {
    let hit = (word ^ DASH) | ((next | CASE) ^ LOWER_L);
    hit.wrapping_sub(ONES) & !hit
}

/// Behind the dash of the first `-l` at `skip` or later; zero: none.
#[inline(always)]
fn exactly_length(block: &[u8; BLOCK_BYTES], skip: u32) -> u32 {
    let mut word = 0;
    while word < 8 {
        let [a, b, _] = places(block, word);
        let mut hit = zero_bytes(a ^ DASH) & zero_bytes((b | CASE) ^ LOWER_L);
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

    fn length_of(header: usize, head: &[u8]) -> Option<u32> {
        let bytes = [&vec![b'\n'; header][..], head, b"-length: 9\r\n"].concat();
        let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
        let (mut start, end) = (header as u32, (header + head.len()) as u32);
        loop {
            match search_length(&mut frame, start, end) {
                Length::None => return None,
                Length::Found(bytes) => return Some(bytes),
                Length::Behind(behind) => {
                    assert!(behind > start);
                    start = behind;
                }
            }
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
                assert_eq!(length_of(66, &head), expected, "{:?} behind {before}", str::from_utf8(line));
            }
        }
    }
}
