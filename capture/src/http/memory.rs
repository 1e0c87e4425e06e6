//! Field lines met before: what a line of these very bytes parses to, and the number it goes by in later stages.
//!
//! Requests of a connection repeat most of their lines, and so do those of all connections of a browser. A line known
//! costs one hash and one comparison, here and in all later stages. Invariant: a line kept is exactly `name: value CRLF` without control bytes, so
//! what it parses to depends on nothing around it; lines of one number are equal byte by byte.

use std::num::NonZeroU64;

use storage::{
    field::Field,
    prefetch::{prefetch, prefetch_all},
    values::{LINE_NUMBER_SLOTS, LineNumber},
};

use super::{FIELD_LINE_BYTES_MAX, line::Line, order::NameOrder};

/// Longest line that is kept: a head's limit of cookies, which are what is worth it.
const LINE_BYTES_MAX: usize = 4096;

/// Bytes of all lines kept; when they are full, all are forgotten.
const LINES_BYTES_MAX: usize = 12 << 20;

/// Bytes of a line of the cache.
const CACHE_LINE_BYTES: usize = 64;

/// Lines that may share a place.
const WAYS: usize = 4;

const SET_COUNT: usize = LINE_NUMBER_SLOTS / WAYS;

/// Hashes of lines seen once: only a line that comes again is kept, so that what never repeats costs no room.
const ONCE_COUNT: usize = 1 << 16;

const _: () = assert!(SET_COUNT.is_power_of_two() && ONCE_COUNT.is_power_of_two());
const _: () = assert!(LINE_BYTES_MAX <= FIELD_LINE_BYTES_MAX);
const _: () =
    assert!(LINES_BYTES_MAX > LINE_BYTES_MAX + CACHE_LINE_BYTES && LINES_BYTES_MAX <= u32::MAX as usize);

/// Bytes the memory of lines takes at the most.
pub const LINE_MEMORY_BYTES_MAX: usize = LINES_BYTES_MAX
    + SET_COUNT * WAYS * (size_of::<Kept>() + size_of::<u32>())
    + ONCE_COUNT * size_of::<u32>();

/// What a line is looked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineHash(NonZeroU64);

/// Set in every hash, so that no tag is zero, which is that of a free way.
const MARK: NonZeroU64 = NonZeroU64::new(1 << 63).expect("a bit is set");

impl LineHash {
    fn set(self) -> usize {
        self.0.get() as usize % SET_COUNT
    }

    /// What tells lines of a set apart.
    fn tag(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    fn once(self) -> usize {
        (self.0.get() >> 40) as usize % ONCE_COUNT
    }
}

/// At which of the ways of its set a line may be kept, if at any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way(u8);

impl Way {
    pub(super) const NONE: Way = Way(WAYS as u8);
}

/// A line kept: as parsed, and its name's share of the order hash.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    start: u32,
    len: u16,
    name_len: u16,
    number: Option<LineNumber>,
    pub(super) name_sum: u64,
    pub(super) field: Option<Field>,
}

impl Kept {
    /// The line as it is where it begins at `start`.
    #[inline]
    pub(super) fn line(&self, start: usize) -> Line {
        let start = start as u32;
        let (name_end, end) = (start + u32::from(self.name_len), start + u32::from(self.len));
        Line {
            start,
            name_end,
            value_start: name_end + 2,
            value_end: end,
            end,
            field: self.field,
            number: self.number,
            ..Line::default()
        }
    }
}

/// Lines that share a place, in two lines of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([Kept; WAYS]);

const _: () = assert!(size_of::<Set>() == 2 * CACHE_LINE_BYTES);

/// The lines kept.
#[derive(Debug)]
pub(super) struct LineMemory {
    /// Half of each hash, apart from the lines: small enough to stay in the cache. Empty until a line comes again.
    tags: Vec<[u32; WAYS]>,
    /// The lines of all sets.
    kept: Vec<Set>,
    once: Box<[u32]>,
    bytes: Vec<u8>,
    /// Lines kept so far: numbers are never given out twice.
    count: u64,
    /// What the names of fields add to the order hash, in any case.
    name_sums: [u64; Field::ALL.len()],
}

impl LineMemory {
    pub(super) fn new() -> LineMemory {
        LineMemory {
            tags: Vec::new(),
            kept: Vec::new(),
            once: vec![0; ONCE_COUNT].into_boxed_slice(),
            bytes: Vec::new(),
            count: 0,
            name_sums: std::array::from_fn(|at| NameOrder::sum(Field::ALL[at].name().as_bytes())),
        }
    }

    /// What the field's name adds to the order hash.
    #[inline]
    pub(super) fn name_sum(&self, field: Field) -> u64 {
        self.name_sums[field as usize]
    }

    /// Asks for what `way` and `find` with this hash will look at.
    #[inline]
    pub(super) fn expect(&self, hash: LineHash) {
        prefetch(&self.tags, hash.set());
        self.kept.get(hash.set()).into_iter().for_each(prefetch_all);
    }

    /// The way at which a line of this hash may be kept; asks for its bytes, or for what `keep` will look at.
    #[inline]
    pub(super) fn way(&self, hash: LineHash) -> Way {
        let (tags, tag) = (self.tags.get(hash.set()).unwrap_or(&[0; WAYS]), hash.tag());
        let Some(way) = tags.iter().position(|other| *other == tag) else {
            prefetch(&self.once, hash.once());
            return Way::NONE;
        };
        let Kept { start, len, .. } = self.kept[hash.set()].0[way];
        prefetch(&self.bytes, start as usize);
        if usize::from(len) > CACHE_LINE_BYTES {
            prefetch(&self.bytes, start as usize + CACHE_LINE_BYTES);
        }
        Way(way as u8)
    }

    /// The line of this content, if it is the one kept where `way` told.
    #[inline]
    pub(super) fn find(&self, hash: LineHash, way: Way, content: &[u8]) -> Option<&Kept> {
        let kept = self.kept.get(hash.set())?.0.get(usize::from(way.0))?;
        (&self.bytes[kept.start as usize..][..usize::from(kept.len)] == content).then_some(kept)
    }

    /// Keeps a line exactly `name: value CRLF`, without control bytes, where it comes for the second time, and gives it its number; one that is
    /// dear to redact and mostly comes again is kept at once.
    pub(super) fn keep(
        &mut self,
        bytes: &[u8],
        hash: LineHash,
        line: &Line,
        name_sum: u64,
    ) -> Option<LineNumber> {
        let once = &mut self.once[hash.once()];
        let content = &bytes[line.start as usize..line.end as usize];
        let is_dear = matches!(line.field, Some(Field::Cookie | Field::Authorization));
        if *once != hash.tag() && !is_dear {
            *once = hash.tag();
            return None;
        }
        if content.len() > LINE_BYTES_MAX {
            return None;
        }
        if self.tags.is_empty() || self.bytes.len() + CACHE_LINE_BYTES + content.len() > LINES_BYTES_MAX {
            self.tags.clear();
            self.tags.resize(SET_COUNT, [0; WAYS]);
            self.kept.clear();
            self.kept.resize(SET_COUNT, Set::default());
            self.bytes.clear();
            self.bytes.reserve(LINES_BYTES_MAX);
        }
        // A line that begins where one of the cache does touches fewer of them.
        let end = self.bytes.as_ptr().addr() + self.bytes.len();
        self.bytes.resize(self.bytes.len() + end.next_multiple_of(CACHE_LINE_BYTES) - end, 0);
        self.count += 1;
        let (set, way) = (hash.set(), self.count as usize % WAYS);
        let number = LineNumber::new(self.count * LINE_NUMBER_SLOTS as u64 + (set * WAYS + way) as u64);
        self.tags[set][way] = hash.tag();
        self.kept[set].0[way] = Kept {
            start: self.bytes.len() as u32,
            len: content.len() as u16,
            name_len: (line.name_end - line.start) as u16,
            number,
            name_sum,
            field: line.field,
        };
        self.bytes.extend_from_slice(content);
        number
    }
}

/// Spreads lines over places; what it overlooks in the middle of a long one, the comparison sees.
#[inline]
pub(super) fn hash(line: &[u8]) -> LineHash {
    const ENDS_BYTES: usize = 128;
    let seed = line.len() as u64;
    let hash = if line.len() <= 2 * ENDS_BYTES {
        hash_all(line, seed)
    } else {
        hash_all(&line[line.len() - ENDS_BYTES..], hash_all(&line[..ENDS_BYTES], seed))
    };
    LineHash(MARK | hash)
}

#[inline]
fn hash_all(bytes: &[u8], seed: u64) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<16>();
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let mut hash =
        pairs.iter().fold(seed ^ SEEDS[0], |hash, pair| fold(word(pair) ^ hash, word(&pair[8..]) ^ SEEDS[1]));
    if !rest.is_empty() {
        // The last sixteen bytes, some of them for the second time, need no loop.
        match bytes.last_chunk::<16>() {
            Some(last) => hash = fold(word(last) ^ hash, word(&last[8..]) ^ SEEDS[2]),
            None => hash = rest.iter().fold(hash, |hash, &byte| fold(hash ^ u64::from(byte), SEEDS[2])),
        }
    }
    fold(hash, SEEDS[3])
}

/// Digits of pi and e: any numbers with about as many ones as zeros do.
const SEEDS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xb7e1_5162_8aed_2a6a, 0xbf71_5880_9cf4_f3c7];

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Parser;

    fn numbers(parser: &mut Parser, head: &str) -> Vec<Option<LineNumber>> {
        let parsed = parser.request(head.as_bytes(), true).expect("a request");
        parsed.fields.lines().iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_line_that_comes_again_has_a_number_from_its_second_time_on() {
        let mut parser = Parser::new();
        let head = "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
        assert_eq!(numbers(&mut parser, head), [None, None]);
        let second = numbers(&mut parser, head);
        assert!(second.iter().all(Option::is_some) && second[0] != second[1]);
        assert_eq!(numbers(&mut parser, head), second);
        let other = numbers(&mut parser, "PUT /x HTTP/1.1\r\nAccept: */*\r\nHost: b\r\nX: y\r\n\r\n");
        assert_eq!(other, [second[1], None, None]);
    }

    #[test]
    fn a_line_dear_to_redact_has_a_number_at_once() {
        let mut parser = Parser::new();
        let head = "GET / HTTP/1.1\r\nCookie: a=b\r\nAuthorization: Basic b\r\nReferer: /\r\n\r\n";
        let first = numbers(&mut parser, head);
        assert!(first[0].is_some() && first[1].is_some() && first[2].is_none());
        assert_eq!(numbers(&mut parser, head)[..2], first[..2]);
    }

    #[test]
    fn lines_that_depend_on_what_is_around_them_are_never_kept() {
        let mut parser = Parser::new();
        for _ in 0..4 {
            for odd in
                ["A: b\n", "A:b\r\n", "A: b\r\n c\r\n", "A : b\r\n", "A: b\rc\r\n", "A: b\0\r\n", "A: b \r\n"]
            {
                let head = format!("GET / HTTP/1.1\r\n{odd}\r\n");
                assert_eq!(numbers(&mut parser, &head), [None], "{odd:?}");
            }
        }
        assert_eq!(numbers(&mut parser, "GET / HTTP/1.1\r\nA: b\r\n\r\n"), [None]);
        assert!(numbers(&mut parser, "GET / HTTP/1.1\r\nA: b\r\n\r\n")[0].is_some());
        assert_eq!(numbers(&mut parser, "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), [None]);
        let cut = parser.request(b"GET / HTTP/1.1\r\nA: b", false).expect("a request");
        assert_eq!(cut.fields.lines()[0].number, None);
    }

    #[test]
    fn a_full_memory_begins_anew_with_new_numbers() {
        let mut memory = LineMemory::new();
        let mut known = std::collections::BTreeSet::new();
        for nth in 0..3 * LINES_BYTES_MAX / LINE_BYTES_MAX {
            let content = format!("X: {nth:0width$}", width = LINE_BYTES_MAX - 3).into_bytes();
            let end = content.len() as u32;
            let line = Line { name_end: 1, value_start: 3, value_end: end, end, ..Line::default() };
            let hash = hash(&content);
            assert!(memory.find(hash, memory.way(hash), &content).is_none());
            assert_eq!(memory.keep(&content, hash, &line, 0), None);
            let number = memory.keep(&content, hash, &line, 0).expect("the second time");
            assert!(known.insert(number));
            let found = memory.find(hash, memory.way(hash), &content).expect("kept");
            assert_eq!(found.line(0), Line { number: Some(number), ..line });
        }
    }
}
