//! Field lines (RFC 9112 section 5): cuts the header section into lines and each line into name and value.
//!
//! Invariant: the lines lie end to end; name, raw form and line end of each line are the bytes of the wire, malformed or not.

use memchr::{memchr, memchr_iter};
use storage::{
    field::Field,
    flags::Flags,
    values::{FieldLine, LineNumber},
};

use super::{
    FIELD_LINE_BYTES_MAX, FIELD_LINE_COUNT_MAX,
    ahead::{Coming, LinesAhead},
    line_feeds::LineFeeds,
    line_hash::LineHash,
    lines::Lines,
    memory::{Kept, LineMemory},
    order::NameOrder,
    syntax::{has_control, is_blank, is_leading, is_token, is_token_char},
};

/// What is particular about a line, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape(u8);

impl Shape {
    /// Not exactly `name: value CRLF`: the raw form is kept.
    pub const RAW: Shape = Shape(1);
    /// Ended by LF alone.
    pub const BARE_LF: Shape = Shape(2);
    /// Continued on further lines (obs-fold, RFC 9112 section 5.2).
    pub const FOLDED: Shape = Shape(4);
    /// Without a name: no colon, nothing before it, or white space at the start of the header section.
    pub const NAMELESS: Shape = Shape(8);
    /// The name is no token.
    pub const NAME_BAD: Shape = Shape(16);
    /// Holds a bare CR or a NUL, which some readers take for an end.
    pub const CONTROL: Shape = Shape(32);
    /// The bytes ended before the line did.
    pub const CUT: Shape = Shape(64);

    /// True where any bit of `other` is set.
    pub const fn has(self, other: Shape) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Shape) -> Shape {
        Shape(self.0 | other.0)
    }

    fn insert_if(&mut self, condition: bool, other: Shape) {
        if condition {
            self.0 |= other.0;
        }
    }
}

/// One field line as offsets into the head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// First byte.
    pub start: u32,
    /// Behind the name; equal to `start` without one.
    pub name_end: u32,
    /// First byte of the value, white space left out.
    pub value_start: u32,
    /// Behind the value, white space left out.
    pub value_end: u32,
    /// Behind the content: where the line end begins.
    pub end: u32,
    /// The field, where the name is known by heart.
    pub field: Option<Field>,
    /// What is particular.
    pub shape: Shape,
    /// What a line of these bytes goes by, where it came before.
    pub number: Option<LineNumber>,
}

impl Line {
    /// The name, in original case.
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..self.name_end as usize]
    }

    /// The value as on the wire, folds included.
    pub fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.value_start as usize..self.value_end as usize]
    }

    /// Everything behind the name, with the LF where the line ended by LF alone; `None` for `name: value CRLF`.
    pub fn raw<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.shape.has(Shape::RAW).then(|| &bytes[self.name_end as usize..self.raw_end()])
    }

    /// The line with its parts as on the wire.
    #[inline]
    pub fn field_line<'a>(&self, bytes: &'a [u8]) -> FieldLine<'a> {
        let (name, value, raw) = (self.name(bytes), self.value(bytes), self.raw(bytes));
        FieldLine { name, field: self.field, value, raw, number: self.number }
    }

    /// Behind the raw form.
    pub fn raw_end(&self) -> usize {
        self.end as usize + usize::from(self.shape.has(Shape::BARE_LF))
    }
}

/// A line of bytes, whatever it says: where its content ends and where the next begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhysicalLine {
    start: u32,
    content_end: u32,
    next: u32,
    pub(super) ending: Ending,
}

impl PhysicalLine {
    /// Nothing.
    pub(super) const NONE: PhysicalLine =
        PhysicalLine { start: 0, content_end: 0, next: 0, ending: Ending::Cut };

    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    #[inline]
    pub(super) fn content_end(&self) -> usize {
        self.content_end as usize
    }

    /// Where the next line begins.
    #[inline]
    pub(super) fn next(&self) -> usize {
        self.next as usize
    }

    /// Bytes of the content.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.content_end() - self.start()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.content_end == self.start
    }

    #[inline]
    pub(super) fn content<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start()..self.content_end()]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Crlf,
    Lf,
    /// The bytes ended first; a last CR is taken for the begun CRLF.
    Cut,
}

/// The physical line that begins at `start`; the next line feed is at `lf`.
#[inline]
pub(super) fn physical_line(bytes: &[u8], start: usize, lf: Option<usize>) -> PhysicalLine {
    let end = lf.unwrap_or(bytes.len());
    let cr = end > start && bytes[end - 1] == b'\r';
    let ending = match (lf, cr) {
        (Some(_), true) => Ending::Crlf,
        (Some(_), false) => Ending::Lf,
        (None, _) => Ending::Cut,
    };
    let (content_end, next) = (end - usize::from(cr), end + usize::from(lf.is_some()));
    PhysicalLine { start: start as u32, content_end: content_end as u32, next: next as u32, ending }
}

/// The header section of one head, as scanned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Section {
    /// Behind the last byte of the head.
    pub(super) end: usize,
    /// The empty line was there.
    pub(super) ended: bool,
    /// Field lines on the wire.
    pub(super) count: u32,
    /// Lines ended by CRLF, or by a CR at the end of the bytes.
    pub(super) crlf_count: usize,
    /// A line holds NUL or a bare CR.
    pub(super) has_control: bool,
    pub(super) order: NameOrder,
    pub(super) flags: Flags,
}

/// Scans the header section that begins at `start`, where `feeds` stands, into `lines`.
pub(super) fn scan_section(
    bytes: &[u8],
    start: usize,
    feeds: LineFeeds<'_>,
    lines: &mut Lines,
    memory: &mut LineMemory,
) -> Section {
    let mut section = Section { end: start, ..Section::default() };
    lines.clear();
    let mut ahead = LinesAhead::new(bytes, start, feeds);
    while let Some(Coming { line: first, hash, place }) = ahead.next(memory) {
        section.end = first.next();
        if first.is_empty() {
            section.note_ending(bytes, first);
            section.ended = first.ending != Ending::Cut;
            if first.ending == Ending::Lf {
                section.flags.insert(Flags::BARE_LF_END);
            }
            return section;
        }
        let content = first.content(bytes);
        if let Some(kept) = hash.and_then(|hash| memory.find(hash, place))
            && lines.all().len() < FIELD_LINE_COUNT_MAX
        {
            section.add_kept(kept, first.start(), lines);
            continue;
        }
        let (last, folded) = section.unfold(bytes, first, (&mut ahead, memory));
        let extent = Extent { start: first.start(), name_limit: first.content_end(), last, folded };
        section.has_control |= has_control(content);
        let hash = hash.filter(|_| !section.has_control);
        section.add_line(bytes, lines, extent, (hash, memory));
        section.end = last.next();
    }
    section
}

/// Where one field line lies, folds included.
#[derive(Clone, Copy)]
struct Extent {
    start: usize,
    /// End of its first physical line: the colon must be before it.
    name_limit: usize,
    last: PhysicalLine,
    folded: bool,
}

impl Section {
    fn note_ending(&mut self, bytes: &[u8], line: PhysicalLine) {
        let cr = bytes.get(line.content_end()) == Some(&b'\r');
        self.crlf_count += usize::from(cr);
    }

    /// Adds a line that came before: it is short enough, ends with CRLF, and has nothing particular.
    #[inline]
    fn add_kept(&mut self, kept: &Kept, start: usize, lines: &mut Lines) {
        self.count += 1;
        self.crlf_count += 1;
        self.order.add_sum(kept.name_sum);
        lines.push(kept.line(start));
    }

    /// Follows the continuation lines of the line `first` (RFC 9112 section 5.2).
    #[inline]
    fn unfold(
        &mut self,
        bytes: &[u8],
        first: PhysicalLine,
        (ahead, memory): (&mut LinesAhead<'_>, &LineMemory),
    ) -> (PhysicalLine, bool) {
        let mut last = first;
        loop {
            self.note_ending(bytes, last);
            if last.ending == Ending::Lf {
                self.flags.insert(Flags::BARE_LF);
            }
            let next =
                bytes.get(last.next()).copied().is_some_and(is_blank).then(|| ahead.next(memory)).flatten();
            let Some(next) = next else {
                return (last, last.start > first.start);
            };
            last = next.line;
            self.has_control |= has_control(last.content(bytes));
        }
    }

    fn add_line(
        &mut self,
        bytes: &[u8],
        lines: &mut Lines,
        extent: Extent,
        (hash, memory): (Option<LineHash>, &mut LineMemory),
    ) {
        self.count += 1;
        if extent.last.content_end() - extent.start > FIELD_LINE_BYTES_MAX {
            self.flags.insert(Flags::HEADER_TOO_LONG);
        }
        if lines.all().len() == FIELD_LINE_COUNT_MAX {
            self.flags.insert(Flags::TOO_MANY_HEADERS);
            return;
        }
        let (mut line, flags) = field_line(bytes, extent);
        if !line.shape.has(Shape::CUT) {
            self.flags.insert(flags);
        }
        let name_sum = match line.field {
            Some(field) => memory.name_sum(field),
            None => NameOrder::sum(line.name(bytes)),
        };
        self.order.add_sum(name_sum);
        if let Some(hash) = hash
            && line.shape == Shape::default()
            && flags == Flags::NONE
        {
            line.number = memory.keep(hash, &line, name_sum);
        }
        lines.push(line);
    }

    /// Flags NUL and bare CR between `start` and the section's end, and marks the lines that hold one.
    pub(super) fn note_controls(&mut self, bytes: &[u8], start: usize, lines: &mut [Line]) {
        let head = &bytes[start..self.end];
        let nul = memchr(0, head).is_some();
        let bare_cr = memchr_iter(b'\r', head).count() > self.crlf_count;
        if !nul && !bare_cr {
            return;
        }
        self.flags.insert(if nul { Flags::NUL } else { Flags::NONE });
        self.flags.insert(if bare_cr { Flags::BARE_CR } else { Flags::NONE });
        for line in lines {
            let content = &bytes[line.start as usize..line.end as usize];
            let control = content.iter().any(|&byte| byte == 0 || byte == b'\r');
            line.shape.insert_if(control, Shape::CONTROL);
        }
    }
}

#[inline]
fn field_line(bytes: &[u8], extent: Extent) -> (Line, Flags) {
    let Extent { start, name_limit, last, folded } = extent;
    let end = last.content_end();
    let (name, field, mut shape, mut flags) = name_of(&bytes[start..name_limit]);
    shape.insert_if(last.ending == Ending::Lf, Shape::BARE_LF.with(Shape::RAW));
    shape.insert_if(last.ending == Ending::Cut, Shape::CUT);
    shape.insert_if(folded, Shape::FOLDED.with(Shape::RAW));
    let led = is_blank(bytes[start]);
    if folded || led {
        flags.insert(Flags::OBS_FOLD);
    }
    let (name_len, after_colon) = match name {
        Some(name) => (name.len, start + name.colon + 1),
        None => (0, start),
    };
    let (value_start, value_end) = trimmed(bytes, after_colon, end);
    let name_end = start + name_len;
    let plain = name.is_some_and(|name| name.colon == name.len)
        && value_start == name_end + 2
        && bytes[name_end + 1] == b' '
        && value_end == end;
    shape.insert_if(!plain, Shape::RAW);
    let offset = |at: usize| at as u32;
    let line = Line {
        start: offset(start),
        name_end: offset(name_end),
        value_start: offset(value_start),
        value_end: offset(value_end),
        end: offset(end),
        field,
        shape,
        number: None,
    };
    (line, flags)
}

/// A name's length and where its colon is, from the start of the line.
#[derive(Clone, Copy)]
struct Name {
    len: usize,
    colon: usize,
}

#[inline]
fn name_of(line: &[u8]) -> (Option<Name>, Option<Field>, Shape, Flags) {
    let colon = colon_at(line);
    let name = &line[..colon];
    let field = Field::from_name(name);
    if colon < line.len() && (field.is_some() || is_token(name)) {
        return (Some(Name { len: colon, colon }), field, Shape::default(), Flags::NONE);
    }
    let (name, shape, flags) = unusual_name(line);
    let field =
        name.filter(|_| shape == Shape::default()).and_then(|name| Field::from_name(&line[..name.len]));
    (name, field, shape, flags)
}

/// Where the first colon is, or the length; by words, because names are short.
#[inline]
fn colon_at(line: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = line.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let zero_at_colon = u64::from_le_bytes(*word) ^ (ONES * b':' as u64);
        let found = zero_at_colon.wrapping_sub(ONES) & !zero_at_colon & (ONES * 0x80);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let short = rest.iter().position(|&byte| byte == b':').unwrap_or(rest.len());
    words.len() * 8 + short
}

#[cold]
fn unusual_name(line: &[u8]) -> (Option<Name>, Shape, Flags) {
    let token_len = line.iter().position(|&byte| !is_token_char(byte)).unwrap_or(line.len());
    if line.first().copied().is_some_and(is_blank) {
        return (None, Shape::NAMELESS, Flags::NONE);
    }
    let Some(colon) = memchr(b':', line) else {
        return (None, Shape::NAMELESS, Flags::MISSING_COLON);
    };
    if colon == 0 {
        return (Some(Name { len: 0, colon }), Shape::NAMELESS, Flags::EMPTY_NAME);
    }
    let len = line[..colon].iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
    let mut flags = if len < colon { Flags::SPACE_BEFORE_COLON } else { Flags::NONE };
    let mut shape = Shape::default();
    if token_len < len {
        flags.insert(Flags::BAD_NAME_CHAR);
        shape = Shape::NAME_BAD;
    }
    (Some(Name { len, colon }), shape, flags)
}

/// `start..end` without blanks around it; line ends within a folded value's margins count as blanks.
#[inline]
fn trimmed(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let content = &bytes[start..end];
    if let [b' ', first, .., last] = content
        && *first > b' '
        && *last > b' '
    {
        return (start + 1, end);
    }
    let margin = |byte: u8, next: Option<&u8>| is_blank(byte) || is_fold_margin(byte, next);
    let mut first = 0;
    while first < content.len() && margin(content[first], content.get(first + 1)) {
        first += 1;
    }
    let mut last = content.len();
    while last > first && margin(content[last - 1], content.get(last)) {
        last -= 1;
    }
    (start + first, start + last)
}

/// True for the CR or LF of a fold: followed by what a fold is made of.
#[inline]
fn is_fold_margin(byte: u8, next: Option<&u8>) -> bool {
    match byte {
        b'\n' => true,
        b'\r' => next == Some(&b'\n'),
        _ => false,
    }
}

/// Copies a folded value with each fold and the blanks around it as one space (RFC 9112 section 5.2).
pub(crate) fn unfold_value(value: &[u8], unfolded: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(lf) = memchr(b'\n', rest) {
        let before = rest[..lf].strip_suffix(b"\r").unwrap_or(&rest[..lf]);
        let kept = before.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
        unfolded.extend_from_slice(&before[..kept]);
        unfolded.push(b' ');
        rest = &rest[lf + 1..];
        let skipped = rest.iter().position(|&byte| !is_leading(byte)).unwrap_or(rest.len());
        rest = &rest[skipped..];
    }
    unfolded.extend_from_slice(rest);
}
