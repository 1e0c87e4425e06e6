//! Field: a Content-Length that the end of a segment cuts, read a byte at a time, so that it may be cut anywhere.
//!
//! Only the beginnings and the ends of segments are read so; what is whole in one is found faster by `length`. Invariant:
//! what is said to be a length stood in a field line of its own, whatever pieces that came in.

use super::word_until;
use crate::decide::frame::Frame;

/// Bytes from the beginning and before the end of a segment that are read: a line with its name, blanks and digits.
pub const FIELD_BYTES: u32 = 32;

/// Bytes one step reads.
const FIELD_STEP_BYTES: u32 = 8;

/// The name and its colon, in two words.
const NAME: [u64; 2] = [u64::from_le_bytes(*b"content-"), u64::from_le_bytes(*b"length:\0")];

/// Beyond half the sequence space "behind" and "ahead" cannot be told apart.
const LENGTH_MAX: u32 = 2_000_000_000;

/// What was read of a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How far it is: `INSIDE`, or one more than the bytes of the name that matched, or `DIGITS`, or `DONE`.
    pub progress: u32,
    /// The number as far as it was read.
    pub number: u32,
}

impl Cut {
    /// Inside of some line that is not this one.
    pub const INSIDE: u32 = 0;
    /// Behind a LF.
    const BEGUN: u32 = 1;
    /// Behind the colon.
    const VALUE: u32 = 16;
    /// Behind a digit.
    const DIGITS: u32 = 17;
    /// The number is whole.
    pub const DONE: u32 = 18;

    /// Of bytes of which nothing is known.
    pub const NONE: Self = Self { progress: Self::INSIDE, number: 0 };

    /// Behind one more byte.
    #[inline(always)]
    const fn after(self, byte: u8) -> Self {
        let Self { progress, number } = self;
        let digit = byte.wrapping_sub(b'0') as u32;
        let at = progress.wrapping_sub(Self::BEGUN);
        let name = NAME[(at / 8 % 2) as usize] >> (at % 8 * 8);
        let progress = if progress == Self::DIGITS && matches!(byte, b'\r' | b'\n' | b' ' | b'\t') {
            Self::DONE
        } else if byte == b'\n' {
            Self::BEGUN
        } else if at < Self::VALUE - Self::BEGUN && byte | case_of(byte) == name as u8 {
            progress + 1
        } else if progress == Self::VALUE && matches!(byte, b' ' | b'\t') {
            Self::VALUE
        } else if progress >= Self::VALUE && digit < 10 && number < LENGTH_MAX / 10 {
            return Self { progress: Self::DIGITS, number: number * 10 + digit };
        } else {
            Self::INSIDE
        };
        Self { progress, number: if progress == Self::DONE { number } else { 0 } }
    }
}

/// The case bit of a letter.
#[inline(always)]
const fn case_of(byte: u8) -> u8 {
    if byte.is_ascii_uppercase() { 0x20 } else { 0 }
}

/// Reads on at `from`, behind what was read of the line so far; at most `FIELD_STEP_BYTES` and not beyond `end`.
/// Returns how many bytes were read, and what is known then.
#[inline(always)]
pub fn read_cut<F: Frame>(frame: &mut F, (from, end): (u32, u32), cut: Cut) -> (u32, Cut) {
    let word = word_until(frame, from, end);
    let left = end.saturating_sub(from);
    let count = if left < FIELD_STEP_BYTES { left } else { FIELD_STEP_BYTES };
    let (mut cut, mut read) = (cut, 0);
    while read < count && cut.progress != Cut::DONE {
        let after = cut.after((word >> (read * 8)) as u8);
        // Each way alone would be followed through all that comes.
        cut = Cut { progress: frame.opaque(after.progress), number: frame.opaque(after.number) };
        read += 1;
    }
    (frame.opaque(read), cut)
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::SliceFrame;
    use super::*;
    use proptest::prelude::*;

    /// The number in pieces of so many bytes.
    fn told(head: &[u8], piece_bytes: usize) -> Option<u32> {
        let mut cut = Cut::NONE;
        for piece in head.chunks(piece_bytes) {
            let bytes = [&[b'\n'; 54], piece, b"0\n"].concat();
            let end = 54 + piece.len() as u32;
            let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
            let mut from = 54;
            while from < end && cut.progress != Cut::DONE {
                let (read, after) = read_cut(&mut frame, (from, end), cut);
                assert!(read > 0, "a step reads on");
                (from, cut) = (from + read, after);
            }
        }
        (cut.progress == Cut::DONE).then_some(cut.number)
    }

    /// The twin: told from whole lines.
    fn naive(head: &[u8]) -> Option<u32> {
        let text = str::from_utf8(head).ok()?;
        let lines = text.split_inclusive('\n').skip(1);
        lines.into_iter().find_map(|line| {
            let value = line.get(15..).filter(|_| line[..15].eq_ignore_ascii_case("content-length:"))?;
            let value = value.trim_start_matches([' ', '\t']);
            let end = value.find(|c: char| !c.is_ascii_digit())?;
            value[end..].starts_with(['\r', '\n', ' ', '\t']).then_some(())?;
            value[..end].parse().ok().filter(|number| *number < LENGTH_MAX)
        })
    }

    #[test]
    fn a_length_is_read_wherever_it_is_cut() {
        let cases: [(&[u8], Option<u32>); 10] = [
            (b"GET /\r\nContent-Length: 17\r\n\r\n", Some(17)),
            (b"\r\ncontent-length:0\n", Some(0)),
            (b"\nCONTENT-LENGTH: \t 1999999999\r\n", Some(1_999_999_999)),
            (b"\nContent-Length: 4000000000\r\n", None),
            (b"\nContent-Length: 17x\r\n", None),
            (b"\nContent-Length: -1\r\n", None),
            (b"\nContent-Length:\r\n17\r\n", None),
            (b"\nX-Content-Length: 17\r\n", None),
            (b"\nContent Content-Length: 5\r\nContent-Length: 7\r\n", Some(7)),
            (b"\nContent\rLength: 17\r\n", None),
        ];
        for (head, expected) in cases {
            for piece_bytes in 1..50 {
                let what = str::from_utf8(head);
                assert_eq!(told(head, piece_bytes), expected, "{what:?} by {piece_bytes}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_its_twin(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("\r\n"), Just("\n"), Just("content-length:"), Just("Content-"), Just("Length:"),
                    Just(" "), Just("12"), Just("0"), Just("999999"), Just("x"), Just("\t"),
                ],
                0..12,
            ),
            piece_bytes in 1usize..40,
        ) {
            let head = format!("{}\nx", parts.concat());
            prop_assert_eq!(told(head.as_bytes(), piece_bytes), naive(head.as_bytes()));
        }
    }
}
