//! The next lines of a head, seen before it is their turn: cut, hashed, and what is known of them asked for.
//!
//! What is known of a line lies wherever its hash placed it. Asked for a stretch of lines ahead, it is there when the line comes;
//! else each line would wait for it twice over.
//! Invariant: every line up to and with the empty one is given once, in order, and no line behind it.

use super::{
    line::{Ending, PhysicalLine, physical_line},
    line_feeds::LineFeeds,
    line_hash::LineHash,
    line_sum::{self, Arithmetic, Work},
    memory::{LineMemory, Place},
    syntax::is_blank,
};

/// Lines of a stretch, of which the line feeds fill all but three: most heads are one.
const STRETCH_LINES: usize = 20;

/// A line whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) line: PhysicalLine,
    /// Of its content, where it has any, but not too much, ends with CRLF, and is not continued.
    pub(super) hash: Option<LineHash>,
    /// Where a line of that hash may be kept.
    pub(super) place: Place,
}

/// The lines of a head, in order.
#[derive(Debug)]
pub(super) struct LinesAhead<'a> {
    bytes: &'a [u8],
    feeds: LineFeeds<'a>,
    /// Behind the last line of the stretch.
    end: usize,
    /// The empty line is in the stretch, or was in an earlier one.
    is_over: bool,
    stretch: [Coming; STRETCH_LINES],
    given: usize,
    cut: usize,
}

impl<'a> LinesAhead<'a> {
    /// The lines from `start` on, where `feeds` stands.
    pub(super) fn new(bytes: &'a [u8], start: usize, feeds: LineFeeds<'a>) -> LinesAhead<'a> {
        let none = Coming { line: PhysicalLine::NONE, hash: None, place: Place::NONE };
        LinesAhead {
            bytes,
            feeds,
            end: start,
            is_over: false,
            stretch: [none; STRETCH_LINES],
            given: 0,
            cut: 0,
        }
    }

    /// The next line, where there is one.
    // Inlined, so that of a line only what is looked at is copied.
    #[inline(always)]
    pub(super) fn next(&mut self, memory: &LineMemory) -> Option<Coming> {
        if self.given == self.cut {
            self.cut_stretch(memory);
        }
        let coming = self.stretch.get(self.given).filter(|_| self.given < self.cut).copied()?;
        self.given += 1;
        Some(coming)
    }

    #[inline(never)]
    fn cut_stretch(&mut self, memory: &LineMemory) {
        line_sum::with_best_arithmetic(StretchToCut { ahead: self, memory });
    }

    #[inline(always)]
    fn cut_stretch_by(&mut self, memory: &LineMemory, arithmetic: impl Arithmetic) {
        (self.given, self.cut) = (0, 0);
        let mut ends = [0; STRETCH_LINES];
        let found = self.feeds.fill(&mut ends);
        if found == 0 {
            return self.cut_end();
        }
        let bytes = self.bytes;
        for (coming, lf) in self.stretch.iter_mut().zip(&ends[..found]) {
            if self.is_over {
                break;
            }
            let line = physical_line(bytes, self.end, Some(*lf as usize));
            (self.end, self.is_over) = (line.next(), line.is_empty());
            let is_continued = bytes.get(line.next()).copied().is_some_and(is_blank);
            let is_plain = line.ending == Ending::Crlf && !is_continued && !line.is_empty();
            let hash =
                is_plain.then(|| memory.expect(&bytes[line.start()..], line.len(), arithmetic)).flatten();
            *coming = Coming { line, hash, place: Place::NONE };
            self.cut += 1;
        }
        for coming in &mut self.stretch[..self.cut] {
            coming.place = coming.hash.map_or(Place::NONE, |hash| memory.place(hash));
        }
    }

    /// Behind the last line feed there may be the beginning of a line.
    fn cut_end(&mut self) {
        if self.is_over || self.end >= self.bytes.len() {
            return;
        }
        let line = physical_line(self.bytes, self.end, None);
        (self.end, self.is_over) = (line.next(), line.is_empty());
        self.stretch[0] = Coming { line, hash: None, place: Place::NONE };
        self.cut = 1;
    }
}

/// Lines to hash, with what they are looked for in.
struct StretchToCut<'s, 'a> {
    ahead: &'s mut LinesAhead<'a>,
    memory: &'s LineMemory,
}

impl Work for StretchToCut<'_, '_> {
    #[inline(always)]
    fn run(self, arithmetic: impl Arithmetic) {
        self.ahead.cut_stretch_by(self.memory, arithmetic);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where lines begin and their contents end, up to and with the empty one, a line at a time.
    fn naive(bytes: &[u8]) -> Vec<(usize, usize)> {
        let (mut lines, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            let next = bytes[start..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(bytes.len(), |lf| start + lf + 1);
            let line = &bytes[start..next];
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            lines.push((start, start + content.len()));
            if content.is_empty() {
                break;
            }
            start = next;
        }
        lines
    }

    proptest! {
        #[test]
        fn every_line_is_given_once_up_to_the_empty_one(
            lines in proptest::collection::vec(
                prop_oneof![8 => Just("A: b\r\n"), 2 => Just("c\n"), 2 => Just(" d\r\n"), 1 => Just("\r\n"), 1 => Just("e")],
                0..60,
            ),
        ) {
            let head = lines.concat().into_bytes();
            let memory = LineMemory::new();
            let mut ahead = LinesAhead::new(&head, 0, LineFeeds::new(&head, 0));
            let given: Vec<Coming> = std::iter::from_fn(|| ahead.next(&memory)).collect();
            let places: Vec<(usize, usize)> =
                given.iter().map(|coming| (coming.line.start(), coming.line.content_end())).collect();
            prop_assert_eq!(places, naive(&head));
            for coming in given {
                let is_continued = head.get(coming.line.next()).is_some_and(|byte| is_blank(*byte));
                let is_empty = coming.line.is_empty();
                let is_plain = coming.line.ending == Ending::Crlf && !is_continued && !is_empty;
                prop_assert_eq!(coming.hash.is_some(), is_plain);
            }
        }
    }
}
