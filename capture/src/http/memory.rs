//! Field lines met before: what a line of these very bytes parses to, and the number it goes by in later stages.
//!
//! Requests of a connection repeat most of their lines, and so do those of all connections of a browser. A line known
//! costs one hash, here and in all later stages; its bytes are not kept (`line_hash` tells why that is enough).
//! Invariant: a line kept is exactly `name: value CRLF` without control bytes, so what it parses to depends on nothing around it.

use storage::{
    field::Field,
    prefetch::prefetch,
    values::{LINE_NUMBER_SLOTS, LineNumber},
};

use super::{
    FIELD_LINE_BYTES_MAX,
    line::Line,
    line_hash::{HASHED_BYTES_MAX, KEY_BYTES, LineHash, LineHasher},
    line_sum::Arithmetic,
    order::NameOrder,
};

/// Lines that may share a set.
const WAYS: usize = 4;

const SET_COUNT: usize = LINE_NUMBER_SLOTS / WAYS;

/// Hashes of lines seen once: only a line that comes again is kept, so that what never repeats costs no room.
const ONCE_COUNT: usize = 1 << 16;

const _: () = assert!(SET_COUNT.is_power_of_two() && ONCE_COUNT.is_power_of_two());
const _: () = assert!(LINE_NUMBER_SLOTS.is_power_of_two() && LINE_NUMBER_SLOTS <= u16::MAX as usize);
const _: () = assert!(HASHED_BYTES_MAX <= FIELD_LINE_BYTES_MAX && HASHED_BYTES_MAX <= u16::MAX as usize);

/// Bytes the memory of lines takes at the most.
pub const LINE_MEMORY_BYTES_MAX: usize =
    LINE_NUMBER_SLOTS * (size_of::<Kept>() + size_of::<Tag>()) + ONCE_COUNT * size_of::<u32>() + KEY_BYTES;

/// The slot that a line may be kept at, if at any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u16);

impl Place {
    pub(super) const NONE: Place = Place(LINE_NUMBER_SLOTS as u16);
}

/// Where a line is kept, and what of its hash is compared before one looks there. Zero is of no line: a hash's highest bit is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tag(u32);

impl Tag {
    const SLOT: u32 = LINE_NUMBER_SLOTS as u32 - 1;

    fn new(hash: LineHash, slot: usize) -> Tag {
        Tag(hash.tag() & !Tag::SLOT | slot as u32)
    }

    #[inline]
    fn slot(self) -> usize {
        (self.0 & Tag::SLOT) as usize
    }

    #[inline]
    fn may_be_of(self, hash: LineHash) -> bool {
        (self.0 ^ hash.tag()) & !Tag::SLOT == 0
    }
}

/// A line kept: as parsed, and its name's share of the order hash; in one line of the cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(super) struct Kept {
    hash: Option<LineHash>,
    number: Option<LineNumber>,
    pub(super) name_sum: u64,
    len: u16,
    name_len: u16,
    pub(super) field: Option<Field>,
}

const _: () = assert!(size_of::<Kept>() == 64);

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

/// The lines kept.
#[derive(Debug)]
pub(super) struct LineMemory {
    hasher: LineHasher,
    /// Of each set, apart from the lines: small enough to stay in the cache. Empty until a line comes again.
    tags: Vec<[Tag; WAYS]>,
    /// The lines by slot. Slots are given out in order, so that what is known of lines lies close together, here and in later stages.
    kept: Vec<Kept>,
    once: Box<[u32]>,
    /// Lines kept so far: numbers are never given out twice.
    count: u64,
    /// Slots given out so far, of all rounds.
    given: usize,
    /// What the names of fields add to the order hash, in any case.
    name_sums: [u64; Field::ALL.len()],
}

impl LineMemory {
    pub(super) fn new() -> LineMemory {
        LineMemory {
            hasher: LineHasher::new(),
            tags: Vec::new(),
            kept: Vec::new(),
            once: vec![0; ONCE_COUNT].into_boxed_slice(),
            count: 0,
            given: 0,
            name_sums: std::array::from_fn(|at| NameOrder::sum(Field::ALL[at].name().as_bytes())),
        }
    }

    /// What the field's name adds to the order hash.
    #[inline]
    pub(super) fn name_sum(&self, field: Field) -> u64 {
        self.name_sums[field as usize]
    }

    /// The hash that a line is looked for by whose content the first `len` of these bytes are, where it may be kept at all; asks for what
    /// `place` will look at.
    #[inline(always)]
    pub(super) fn expect(&self, bytes: &[u8], len: usize, arithmetic: impl Arithmetic) -> Option<LineHash> {
        let hash = self.hasher.hash(bytes, len, arithmetic)?;
        prefetch(&self.tags, set_of(hash));
        Some(hash)
    }

    /// Where a line of this hash may be kept; asks for it, or for what `keep` will look at.
    #[inline]
    pub(super) fn place(&self, hash: LineHash) -> Place {
        let tags = self.tags.get(set_of(hash)).unwrap_or(&[Tag(0); WAYS]);
        // No branch a way: which one it is cannot be foretold.
        let slot = tags
            .iter()
            .rev()
            .fold(LINE_NUMBER_SLOTS, |found, tag| if tag.may_be_of(hash) { tag.slot() } else { found });
        if slot == LINE_NUMBER_SLOTS {
            prefetch(&self.once, once_of(hash));
            return Place::NONE;
        }
        prefetch(&self.kept, slot);
        Place(slot as u16)
    }

    /// The line of this hash, if it is the one kept where `place` told.
    #[inline]
    pub(super) fn find(&self, hash: LineHash, place: Place) -> Option<&Kept> {
        let kept = self.kept.get(usize::from(place.0))?;
        (kept.hash == Some(hash)).then_some(kept)
    }

    /// Keeps a line exactly `name: value CRLF`, without control bytes, where it comes for the second time, and gives it its number; one that is
    /// dear to redact and mostly comes again is kept at once.
    pub(super) fn keep(&mut self, hash: LineHash, line: &Line, name_sum: u64) -> Option<LineNumber> {
        let once = &mut self.once[once_of(hash)];
        let is_dear = matches!(line.field, Some(Field::Cookie | Field::Authorization));
        if *once != hash.tag() && !is_dear {
            *once = hash.tag();
            return None;
        }
        if self.tags.is_empty() {
            self.tags.resize(SET_COUNT, [Tag::default(); WAYS]);
            self.kept.resize(LINE_NUMBER_SLOTS, Kept::default());
        }
        self.count += 1;
        let slot = self.make_room(hash);
        let number = LineNumber::new(self.count * LINE_NUMBER_SLOTS as u64 + slot as u64);
        self.kept[slot] = Kept {
            hash: Some(hash),
            number,
            name_sum,
            len: (line.end - line.start) as u16,
            name_len: (line.name_end - line.start) as u16,
            field: line.field,
        };
        number
    }

    /// A slot for a line of this hash, and its place in the set. One line gives way where another could not be told from it by its tag, or
    /// the set is full, or all slots are given out: then the one that was given its slot first.
    fn make_room(&mut self, hash: LineHash) -> usize {
        let (set, turn) = (set_of(hash), self.count as usize % WAYS);
        let tags = &self.tags[set];
        let alike = tags.iter().position(|tag| tag.may_be_of(hash));
        let free = tags.iter().position(|tag| *tag == Tag::default());
        let (way, slot) = match (alike, free) {
            (None, Some(free)) => (free, self.next_slot()),
            (alike, _) => {
                let way = alike.unwrap_or(turn);
                (way, tags[way].slot())
            }
        };
        self.tags[set][way] = Tag::new(hash, slot);
        slot
    }

    /// The next slot in order; the line that had it is forgotten.
    fn next_slot(&mut self) -> usize {
        let slot = self.given % LINE_NUMBER_SLOTS;
        self.given += 1;
        if let Some(before) = self.kept[slot].hash {
            let tags = &mut self.tags[set_of(before)];
            tags.iter_mut()
                .filter(|tag| **tag == Tag::new(before, slot))
                .for_each(|tag| *tag = Tag::default());
        }
        slot
    }
}

fn set_of(hash: LineHash) -> usize {
    hash.place() % SET_COUNT
}

fn once_of(hash: LineHash) -> usize {
    hash.other_place() % ONCE_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Parser, line_sum::Integers};

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
    fn what_had_to_make_room_comes_back_with_a_new_number() {
        let mut memory = LineMemory::new();
        let mut known = std::collections::BTreeSet::new();
        let lines = 2 * LINE_NUMBER_SLOTS;
        for round in 0..2 {
            for nth in 0..lines {
                let content = format!("X: {nth:09}").into_bytes();
                let end = content.len() as u32;
                let line = Line { name_end: 1, value_start: 3, value_end: end, end, ..Line::default() };
                let hash = memory.expect(&content, content.len(), Integers).expect("it is short");
                if memory.find(hash, memory.place(hash)).is_some() {
                    continue;
                }
                let kept = memory.keep(hash, &line, 0).or_else(|| memory.keep(hash, &line, 0));
                let number = kept.expect("the second time at the latest");
                assert!(known.insert(number), "in round {round}");
                let found = memory.find(hash, memory.place(hash)).expect("kept");
                assert_eq!(found.line(0), Line { number: Some(number), ..line });
            }
        }
        assert!(known.len() > lines, "more of them came than there is room for");
    }

    fn line_of(content: &str) -> Line {
        let end = content.len() as u32;
        Line { name_end: 1, value_start: 3, value_end: end, end, ..Line::default() }
    }

    /// Keeps the line as if it came for the second time; its slot.
    fn kept(memory: &mut LineMemory, hash: LineHash, content: &str) -> usize {
        let line = line_of(content);
        let number =
            memory.keep(hash, &line, 0).or_else(|| memory.keep(hash, &line, 0)).expect("the second time");
        number.get() as usize % LINE_NUMBER_SLOTS
    }

    #[test]
    fn slots_are_given_out_in_order_and_lines_of_one_tag_share_theirs() {
        let (mut memory, mut met) = (LineMemory::new(), std::collections::HashMap::new());
        let content = |nth: u32| format!("X: {nth}");
        let hash_of = |memory: &LineMemory, content: &str| {
            memory.expect(content.as_bytes(), content.len(), Integers).expect("it is short")
        };
        // Of 2^29 tags of all sets; that so many lines have none in common happens once in 10^16 runs.
        let alike = (0..200_000).find_map(|nth| {
            let hash = hash_of(&memory, &content(nth));
            met.insert((set_of(hash), hash.tag() & !Tag::SLOT), nth).map(|before| [before, nth])
        });
        let [one, other] = alike.expect("two lines of one set and tag").map(content);
        let [hash, alike] = [&one, &other].map(|content| hash_of(&memory, content));
        for nth in 0..3 {
            let content = format!("Y: {nth}");
            let hash = hash_of(&memory, &content);
            assert_eq!(kept(&mut memory, hash, &content), nth);
        }
        for _ in 0..2 {
            assert_eq!(kept(&mut memory, hash, &one), 3);
            assert!(memory.find(hash, memory.place(hash)).is_some());
            assert_eq!(kept(&mut memory, alike, &other), 3, "it could not be told from the other");
            assert!(memory.find(alike, memory.place(alike)).is_some());
            assert!(memory.find(hash, memory.place(hash)).is_none());
        }
    }

    #[test]
    fn a_line_is_known_by_all_of_its_hash() {
        let mut memory = LineMemory::new();
        let line = Line { name_end: 1, value_start: 3, value_end: 4, end: 4, ..Line::default() };
        let [one, other] = [b"X: a", b"X: b"]
            .map(|content| memory.expect(content, content.len(), Integers).expect("it is short"));
        assert_eq!(memory.keep(one, &line, 0), None);
        assert!(memory.keep(one, &line, 0).is_some());
        let place = memory.place(one);
        assert!(memory.find(one, place).is_some() && memory.find(other, place).is_none());
        assert!(memory.expect(&[b'X'; HASHED_BYTES_MAX + 1], HASHED_BYTES_MAX + 1, Integers).is_none());
    }
}
