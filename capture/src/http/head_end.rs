//! The end of a head: behind the empty line, CRLF or bare LF (RFC 9112 section 2.2).
//!
//! Reassembly asks once per piece, so that a head in many segments is scanned once per byte.
//! Invariant: the answer does not depend on how the bytes were cut into pieces.

use memchr::memchr;

use super::syntax::leading_len;

/// How far the search for one head's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadEnd {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing yet but what may stand before a start line.
    #[default]
    Leading,
    /// Within a line that is not empty.
    Line,
    /// Behind a line end.
    LineStart,
    /// Behind a line end and a CR.
    LineStartCr,
}

impl HeadEnd {
    /// A search at the first byte of a head.
    pub const fn new() -> HeadEnd {
        HeadEnd { state: State::Leading }
    }

    /// Takes the next piece; the number of its bytes that belong to the head, once the empty line came.
    ///
    /// After `Some` the search is over: the next head needs a new one.
    pub fn advance(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            match (self.state, piece.get(at)) {
                (_, None) => return None,
                (State::Leading, Some(_)) => {
                    at += leading_len(&piece[at..]);
                    if at < piece.len() {
                        self.state = State::Line;
                    }
                }
                (State::Line, Some(_)) => {
                    at += memchr(b'\n', &piece[at..])? + 1;
                    self.state = State::LineStart;
                }
                (State::LineStart | State::LineStartCr, Some(b'\n')) => return Some(at + 1),
                (State::LineStart, Some(b'\r')) => {
                    at += 1;
                    self.state = State::LineStartCr;
                }
                (State::LineStart | State::LineStartCr, Some(_)) => self.state = State::Line,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(bytes: &[u8]) -> Option<usize> {
        let lead = bytes.iter().take_while(|&&byte| b" \t\r\n".contains(&byte)).count();
        (lead + 1..=bytes.len())
            .find(|&end| bytes[lead..end].ends_with(b"\n\n") || bytes[lead..end].ends_with(b"\n\r\n"))
    }

    fn whole(bytes: &[u8]) -> Option<usize> {
        HeadEnd::new().advance(bytes)
    }

    const SEEDS: &[&[u8]] = &[
        b"",
        b"\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
        b"GET / HTTP/1.1\nHost: a\n\nbody",
        b"GET / HTTP/1.1\r\nHost: a\n\r\nbody",
        b"GET / HTTP/1.1\r\n\rX: a\r\n\r\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n \r\n\r\n",
        b"x\n\r",
    ];

    #[test]
    fn a_head_split_at_every_byte() {
        for seed in SEEDS {
            assert_eq!(whole(seed), naive(seed), "{seed:?}");
            for cut in 0..=seed.len() {
                let mut search = HeadEnd::new();
                let found =
                    search.advance(&seed[..cut]).or_else(|| Some(cut + search.advance(&seed[cut..])?));
                assert_eq!(found, naive(seed), "{seed:?} cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cuts_agree_with_the_naive_twin(
            bytes in proptest::collection::vec(proptest::sample::select(b"\r\n a:".to_vec()), 0..40),
            piece in 1_usize..7,
        ) {
            let mut search = HeadEnd::new();
            let found = bytes
                .chunks(piece)
                .enumerate()
                .find_map(|(index, chunk)| Some(index * piece + search.advance(chunk)?));
            prop_assert_eq!(found, naive(&bytes));
        }
    }
}
