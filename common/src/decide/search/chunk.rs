//! Chunk: the size lines of a chunked body (RFC 9112 section 7.1), and where the body ends.
//!
//! Read a byte at a time, so that a line may be cut anywhere by the end of a segment: what was read of it is a `Chunk`.
//! Invariant: what is said to be a size or an end stood where the bytes before it say that one stands.

use super::word_until;
use crate::decide::frame::Frame;

/// Bytes one step reads: most size lines, and the end of the chunk before.
pub const CHUNK_STEP_BYTES: u32 = 16;

/// Bits of the largest size that is followed: a chunk of less than 256 MiB.
const SIZE_BITS: u32 = 28;

/// What stands next of what is around chunks.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing: it is no chunked body.
    None = 0,
    /// The first digit of the first size, or no chunked body at all.
    First = 1,
    /// CR behind a chunk.
    Cr = 2,
    /// LF behind that.
    Lf = 3,
    /// The first digit of a later size.
    Begun = 4,
    /// Another digit, or what ends the size.
    Size = 5,
    /// What is between the size and the end of its line.
    Extension = 6,
    /// Behind the last chunk, the first byte of a trailer's line or of the empty line.
    Line = 7,
    /// LF of the empty line.
    LineCr = 8,
    /// The rest of a trailer's line.
    Trailer = 9,
    /// A chunk of the size read.
    Data = 10,
    /// What is behind the body.
    Over = 11,
    /// Something else than chunks.
    Broken = 12,
}

impl Phase {
    /// The phase that a number kept between segments stands for.
    #[inline(always)]
    pub const fn from_u32(value: u32) -> Self {
        match value {
            1 => Self::First,
            2 => Self::Cr,
            3 => Self::Lf,
            4 => Self::Begun,
            5 => Self::Size,
            6 => Self::Extension,
            7 => Self::Line,
            8 => Self::LineCr,
            9 => Self::Trailer,
            10 => Self::Data,
            11 => Self::Over,
            12 => Self::Broken,
            _ => Self::None,
        }
    }

    /// Whether another byte is to be read before anything is known.
    #[inline(always)]
    pub const fn is_open(self) -> bool {
        (self as u32) < Self::Data as u32
    }
}

/// What was read of what is around a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What stands next.
    pub phase: Phase,
    /// The chunk's size as far as it was read.
    pub size: u32,
}

impl Chunk {
    /// Before anything of the first chunk was read.
    pub const FIRST: Self = Self { phase: Phase::First, size: 0 };

    /// Behind one more byte.
    #[inline(always)]
    const fn after(self, byte: u8) -> Self {
        let Self { phase, size } = self;
        let phase = match phase {
            Phase::First | Phase::Begun => match hex_digit(byte) {
                Some(digit) => return Self { phase: Phase::Size, size: digit },
                None => Phase::Broken,
            },
            Phase::Size => match (hex_digit(byte), byte) {
                (Some(_), _) if size >> (SIZE_BITS - 4) != 0 => Phase::Broken,
                (Some(digit), _) => return Self { phase: Phase::Size, size: size << 4 | digit },
                (None, b'\n') => behind_line(size),
                (None, b'\r' | b';' | b' ' | b'\t') => Phase::Extension,
                (None, _) => Phase::Broken,
            },
            Phase::Extension if byte == b'\n' => behind_line(size),
            Phase::Extension => Phase::Extension,
            Phase::Cr if byte == b'\r' => Phase::Lf,
            Phase::Lf if byte == b'\n' => Phase::Begun,
            Phase::Line | Phase::LineCr if byte == b'\n' => Phase::Over,
            Phase::Line if byte == b'\r' => Phase::LineCr,
            Phase::Trailer if byte == b'\n' => Phase::Line,
            Phase::Line | Phase::LineCr | Phase::Trailer => Phase::Trailer,
            Phase::Cr | Phase::Lf | Phase::None | Phase::Data | Phase::Over | Phase::Broken => Phase::Broken,
        };
        Self { phase, size }
    }
}

/// What stands behind a size line.
#[inline(always)]
const fn behind_line(size: u32) -> Phase {
    if size == 0 { Phase::Line } else { Phase::Data }
}

/// Whether a size may begin with this byte.
#[inline(always)]
pub const fn is_hex_digit(byte: u8) -> bool {
    hex_digit(byte).is_some()
}

#[inline(always)]
const fn hex_digit(byte: u8) -> Option<u32> {
    let (number, letter) = (byte.wrapping_sub(b'0'), (byte | 0x20).wrapping_sub(b'a'));
    if number < 10 {
        Some(number as u32)
    } else if letter < 6 {
        Some(letter as u32 + 10)
    } else {
        None
    }
}

/// Reads on at `from`, where `chunk` was read of what stands before; at most `CHUNK_STEP_BYTES` and not beyond `end`.
/// Returns how many bytes were read, and what is known then.
#[inline(always)]
pub fn read_chunk<F: Frame>(frame: &mut F, (from, end): (u32, u32), chunk: Chunk) -> (u32, Chunk) {
    let [low, high] = [from, from + 8].map(|at| word_until(frame, at, end));
    let left = end.saturating_sub(from);
    let count = if left < CHUNK_STEP_BYTES { left } else { CHUNK_STEP_BYTES };
    let (mut chunk, mut read) = (chunk, 0);
    while read < count && chunk.phase.is_open() {
        let word = if read < 8 { low } else { high };
        let after = chunk.after((word >> (read % 8 * 8)) as u8);
        // Each way alone would be followed through all that comes.
        let phase = Phase::from_u32(frame.opaque(after.phase as u32));
        chunk = Chunk { phase, size: frame.opaque(after.size) };
        read += 1;
    }
    (frame.opaque(read), chunk)
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::SliceFrame;
    use super::*;
    use proptest::prelude::*;

    /// The twin: where a chunked body ends, told from all of it at once.
    fn naive(body: &[u8]) -> Option<usize> {
        let line = |from: usize| {
            let len = body.get(from..)?.iter().position(|byte| *byte == b'\n')?;
            Some((str::from_utf8(&body[from..from + len]).ok()?, from + len + 1))
        };
        let mut at = 0;
        loop {
            let (size, behind) = line(at)?;
            let digits = size.find([';', ' ', '\t', '\r']).map_or(size, |end| &size[..end]);
            let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(digits, 16).ok().filter(|size| is_hex && *size < 1 << 28)?;
            at = behind;
            if size == 0 {
                break;
            }
            at += size + 2;
            (body.get(at - 2..at)? == b"\r\n").then_some(())?;
        }
        loop {
            let (text, behind) = line(at)?;
            at = behind;
            if text.is_empty() || text == "\r" {
                return Some(at);
            }
        }
    }

    /// The same by steps, with the body cut into segments of `segment_bytes`.
    fn followed(body: &[u8], segment_bytes: usize) -> Option<usize> {
        let (mut chunk, mut expect) = (Chunk::FIRST, 0);
        for (nth, segment) in body.chunks(segment_bytes).enumerate() {
            let (begin, bytes) = (nth * segment_bytes, [&[b'\n'; 54], segment].concat());
            let mut frame = SliceFrame::new(&bytes, bytes.len() as u32);
            while expect < begin + segment.len() {
                let place = (54 + expect - begin) as u32;
                let (read, after) = read_chunk(&mut frame, (place, bytes.len() as u32), chunk);
                expect += read as usize;
                chunk = after;
                if after.phase == Phase::Over {
                    return Some(expect);
                } else if after.phase == Phase::Broken {
                    return None;
                } else if after.phase == Phase::Data {
                    expect += after.size as usize;
                    chunk = Chunk { phase: Phase::Cr, size: 0 };
                }
                assert!(read > 0, "a step reads on");
            }
        }
        None
    }

    fn body(sizes: &[usize], (extension, trailer): (&str, &str)) -> Vec<u8> {
        let mut body = Vec::new();
        for (nth, size) in sizes.iter().enumerate() {
            let line = if nth % 2 == 0 { format!("{size:x}") } else { format!("{size:05X}") };
            body.extend(format!("{line}{extension}\r\n").bytes());
            body.extend(vec![b'\n'; *size]);
            body.extend(b"\r\n");
        }
        body.extend(format!("0{extension}\r\n{trailer}\r\nHTTP/1.1 200 OK").bytes());
        body
    }

    #[test]
    fn a_body_ends_where_its_chunks_say_wherever_it_is_cut() {
        let long = format!(";{}=b", "a".repeat(60));
        for extension in ["", ";a=b", " ;a", &long] {
            for trailer in ["", "X-T: t\r\n", "a\n\r\rb\r\n", "0\r\n"] {
                for sizes in [&[][..], &[1], &[15, 16, 17], &[1, 300, 5_000], &[255; 9]] {
                    let body = body(sizes, (extension, trailer));
                    let end = body.len() - "HTTP/1.1 200 OK".len();
                    assert_eq!(naive(&body), Some(end));
                    for segment_bytes in (1..70).chain([1_460, 9_000]) {
                        assert_eq!(followed(&body, segment_bytes), Some(end), "{sizes:?} {segment_bytes}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_not_followed() {
        for bytes in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "\r\n0\r\n\r\n",
            "5x\r\nabcde\r\n0\r\n\r\n",
            "5\r\nabcdef\r\n0\r\n\r\n",
            "5\r\nabcde\n0\r\n\r\n",
            "5\r\nabcde\r\n;\r\n\r\n",
            "10000000\r\n",
            "-1\r\n",
        ] {
            for segment_bytes in 1..30 {
                assert_eq!(followed(bytes.as_bytes(), segment_bytes), None, "{bytes:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_its_twin(
            sizes in prop::collection::vec(1usize..600, 0..6),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            segment_bytes in 1usize..1500,
        ) {
            let mut body = body(&sizes, ("", ""));
            for (index, byte) in changes {
                let at = index.index(body.len());
                body[at] = byte;
            }
            // Of a line that is not UTF-8, which only an extension or a trailer may be, the twin says nothing.
            prop_assume!(body.is_ascii());
            prop_assert_eq!(followed(&body, segment_bytes), naive(&body));
        }
    }
}
