//! One head in progress: its bytes so far, with the gaps still open in them.
//!
//! Bytes live at their offset from the head's first sequence number; `filled` lists what has come, sorted.
//! Invariant: the empty line is searched once per byte, in the contiguous prefix only.

use common::record::Record;
use memchr::memchr_iter;
use storage::flags::Flags;

use super::assembler::{HeadSpan, led};
use super::piece::{Early, Piece};
use super::seq;
use crate::limits::{FILLED_RANGE_COUNT_MAX, PIECE_EARLY_COUNT_MAX};

/// Bytes of a head in progress, or of the pieces that wait for one, beside their own.
pub const PARTIAL_BYTES: usize = larger(
    4 * size_of::<Partial>() + 2 * FILLED_RANGE_COUNT_MAX * size_of::<Range>(),
    2 * PIECE_EARLY_COUNT_MAX * size_of::<Early>(),
);

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// A half-open range of offsets from the head's first byte, and when its last byte came by.
///
/// Neighbours stay apart where an empty line may lie between them: so the time of a head's last byte is always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    to: u32,
    ts: u64,
}

/// A head whose end has not come by.
#[derive(Debug)]
pub struct Partial {
    span: HeadSpan,
    bytes: Vec<u8>,
    filled: Vec<Range>,
    scanned: usize,
    head_end: Option<usize>,
    is_done: bool,
    cut_at: Option<usize>,
    bytes_max: usize,
    ts_touched: u64,
}

impl Partial {
    /// An empty head beginning where the record does; the record's bytes are still to be filled in.
    pub fn new(record: &Record, bytes_max: usize, is_continuous: bool) -> Self {
        let span = HeadSpan {
            seq: record.seq,
            end_seq: record.seq,
            segment_end: record.seq,
            ack: record.ack,
            sample_weight: record.sample_weight,
            tcp_flags: 0,
            ts_first: record.ts_ns,
            ts_last: record.ts_ns,
            is_repeat: false,
            complete: false,
            is_continuous,
            flags: led(record),
        };
        Partial {
            span,
            bytes: Vec::new(),
            filled: Vec::new(),
            scanned: 0,
            head_end: None,
            is_done: false,
            cut_at: None,
            bytes_max,
            ts_touched: record.ts_ns,
        }
    }

    /// Sequence number of the first byte.
    pub fn start(&self) -> u32 {
        self.span.seq
    }

    /// Sequence number behind the last byte that has come, gaps or not.
    pub fn known_end(&self) -> u32 {
        let to = self.filled.last().map_or(0, |range| range.to);
        self.span.seq.wrapping_add(to)
    }

    /// Time of the last record that belonged here.
    pub fn ts_last(&self) -> u64 {
        self.ts_touched
    }

    /// Whether the known bytes from the start on, without a gap, hold sequence number `at`.
    pub fn covers(&self, at: u32) -> bool {
        let offset = seq::distance(self.span.seq, at);
        offset >= 0 && (offset as usize) < self.prefix()
    }

    /// Whether any of `len` bytes at `at` can belong to this head.
    pub fn reaches(&self, at: u32, len: usize) -> bool {
        let offset = i64::from(seq::distance(self.span.seq, at));
        offset < self.bytes_max as i64 && offset + len as i64 > 0
    }

    /// Whether a piece is a keep-alive probe (RFC 9293 section 3.8.4): the byte before the next one, which may be any.
    fn is_probe(&self, piece: &Piece<'_>) -> bool {
        piece.is_single && piece.seq.wrapping_add(1) == self.known_end() && piece.seq != self.span.seq
    }

    /// Whether nothing more of it is to come.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Puts a piece's bytes in their place.
    pub fn fill(&mut self, piece: Piece<'_>) {
        if self.is_done || self.is_probe(&piece) {
            return;
        }
        let offset = i64::from(seq::distance(self.span.seq, piece.seq));
        let skipped = usize::try_from(-offset).unwrap_or(0).min(piece.bytes.len());
        let from = usize::try_from(offset).unwrap_or(0);
        let room = self.bytes_max.saturating_sub(from);
        let kept = &piece.bytes[skipped..];
        let kept = &kept[..kept.len().min(room)];
        if skipped > 0 {
            self.span.flags.insert(Flags::RETRANSMITTED);
        }
        let reached = self.prefix();
        self.place(from, kept, piece.ts_ns);
        if reached == 0 && self.prefix() > 0 {
            self.span.is_repeat = piece.is_repeat;
        }
        self.note(&piece, from + kept.len());
        self.search();
    }

    /// Takes out what came from sequence number `at` on, as that is another head's, or nobody's yet.
    pub fn split_off(&mut self, at: u32) -> Vec<Early> {
        let Ok(at) = u32::try_from(seq::distance(self.span.seq, at)) else { return Vec::new() };
        let behind = self.filled.iter().filter(|range| range.to > at);
        let pieces = behind.map(|range| {
            let from = range.from.max(at);
            let bytes = self.bytes[from as usize..range.to as usize].to_vec();
            Early::rest(self.span.seq.wrapping_add(from), range.ts, bytes)
        });
        let pieces = pieces.collect();
        self.filled.retain(|range| range.from < at);
        if let Some(last) = self.filled.last_mut() {
            last.to = last.to.min(at);
        }
        self.bytes.truncate(at as usize);
        self.cut_at = self.cut_at.filter(|cut| *cut <= at as usize);
        pieces
    }

    /// The span and bytes of a head that is done, and the pieces that came of what is behind it.
    pub fn finish(mut self) -> (HeadSpan, Vec<u8>, Vec<Early>) {
        let end = self.head_end.or(self.cut_at).unwrap_or_else(|| self.prefix());
        self.span.complete = self.head_end.is_some();
        if !self.span.complete {
            self.span.flags.insert(Flags::HEAD_TRUNCATED);
        }
        self.span.end_seq = self.span.seq.wrapping_add(end as u32);
        let last = self.filled.iter().find(|range| range.to as usize >= end);
        self.span.ts_last = last.map_or(self.ts_touched, |range| range.ts);
        let rest = self.split_off(self.span.end_seq);
        (self.span, self.bytes, rest)
    }

    /// The span and bytes of a head whose missing bytes are not waited for any longer.
    ///
    /// Behind a gap only whole field lines are kept, and only where the empty line ends them: what is left of a cut line
    /// has lost its field name, and with it the knowledge whether it is secret.
    pub fn give_up(mut self) -> (HeadSpan, Vec<u8>) {
        self.filled.dedup_by(|next, range| {
            let follows = range.to == next.from;
            if follows {
                (range.to, range.ts) = (next.to, next.ts);
            }
            follows
        });
        let prefix = self.prefix();
        self.span.complete = false;
        self.span.end_seq = self.known_end();
        self.span.ts_last = self.filled.last().map_or(self.ts_touched, |range| range.ts);
        if self.filled.len() < 2 {
            self.span.flags.insert(Flags::HEAD_TRUNCATED);
            self.bytes.truncate(prefix);
            return (self.span, self.bytes);
        }
        self.span.flags.insert(Flags::GAP_IN_HEAD);
        let mut bytes = self.bytes[..prefix].to_vec();
        for range in &self.filled[1..] {
            let piece = &self.bytes[range.from as usize..range.to as usize];
            let Some(line_end) = memchr::memchr(b'\n', piece) else { continue };
            // Nothing goes behind a start line that was cut.
            let Some(last_end) = memchr::memrchr(b'\n', &bytes) else { break };
            bytes.truncate(last_end + 1);
            bytes.extend_from_slice(field_section(&piece[line_end + 1..]));
        }
        if let Some(end) = empty_line_end(&bytes, 0) {
            bytes.truncate(end);
        }
        (self.span, bytes)
    }

    fn prefix(&self) -> usize {
        self.filled.first().filter(|range| range.from == 0).map_or(0, |range| range.to as usize)
    }

    /// Copies what is new of `bytes` to offset `from`; compares the rest with what came first.
    fn place(&mut self, from: usize, bytes: &[u8], ts: u64) {
        let to = from + bytes.len();
        let reached = self.filled.last().map_or(0, |range| range.to as usize);
        if self.bytes.len() < to {
            // Doubled like any vector, but never beyond what a head may take.
            let room = to.next_power_of_two().min(self.bytes_max.max(to));
            self.bytes.reserve_exact(room - self.bytes.len());
            self.bytes.resize(to, 0);
        }
        let mut at = from;
        let mut index = self.filled.partition_point(|range| range.to as usize <= from);
        while at < to {
            let next = self.filled.get(index).map(|range| (range.from as usize, range.to as usize));
            match next {
                Some((range_from, range_to)) if range_from <= at => {
                    let end = range_to.min(to);
                    self.span.flags.insert(Flags::RETRANSMITTED);
                    if self.bytes[at..end] != bytes[at - from..end - from] {
                        self.span.flags.insert(Flags::DATA_CONFLICT);
                    }
                    (at, index) = (end, index + 1);
                }
                Some(_) | None => {
                    let end = next.map_or(to, |(range_from, _)| range_from.min(to));
                    if at < reached {
                        self.span.flags.insert(Flags::OUT_OF_ORDER);
                    }
                    self.bytes[at..end].copy_from_slice(&bytes[at - from..end - from]);
                    index = self.add(index, Range { from: at as u32, to: end as u32, ts });
                    at = end;
                }
            }
        }
    }

    /// Adds a range in front of the one at `index`; returns the index of what lies behind it, which it may be one with.
    fn add(&mut self, index: usize, new: Range) -> usize {
        if new.from == 0 {
            self.span.ts_first = new.ts;
        }
        let is_full = self.filled.len() == FILLED_RANGE_COUNT_MAX;
        // At the limit the time of a last byte is rather told late than the bytes forgotten.
        let joins = |at: u32| is_full || !matches!(self.bytes[at as usize - 1], b'\r' | b'\n');
        let left = index.checked_sub(1).filter(|left| {
            let left = self.filled[*left];
            left.to == new.from && left.from != 0 && joins(new.from)
        });
        let right = self.filled.get(index).is_some_and(|right| right.from == new.to && joins(new.to));
        match (left, right) {
            (Some(left), true) => {
                let behind = self.filled.remove(index);
                (self.filled[left].to, self.filled[left].ts) = (behind.to, behind.ts);
                left
            }
            (Some(left), false) => {
                (self.filled[left].to, self.filled[left].ts) = (new.to, new.ts);
                index
            }
            (None, true) => {
                self.filled[index].from = new.from;
                index
            }
            // A head in this many pieces is hostile; the piece is forgotten and its bytes count as never seen.
            (None, false) if is_full && !self.follows_prefix(new) => index,
            (None, false) => {
                self.filled.insert(index, new);
                index + 1
            }
        }
    }

    /// Whether a range carries on the bytes known from the start on: it becomes one with them at once.
    fn follows_prefix(&self, new: Range) -> bool {
        new.from as usize == self.prefix()
    }

    fn note(&mut self, piece: &Piece<'_>, end: usize) {
        self.span.tcp_flags |= piece.tcp_flags;
        if let Some(ack) = piece.ack.filter(|_| piece.seq == self.span.seq)
            && seq::distance(self.span.ack, ack) < 0
        {
            self.span.ack = ack;
        }
        self.ts_touched = self.ts_touched.max(piece.ts_ns);
        self.span.segment_end = seq::latest(self.span.segment_end, piece.segment_end);
        if piece.is_cut {
            self.cut_at = Some(self.cut_at.map_or(end, |known| known.min(end)));
        }
    }

    /// Looks for the empty line in what is known without a gap; that is one range then, unless it was found.
    fn search(&mut self) {
        let follows = |pair: &[Range]| pair[0].to == pair[1].from;
        let last = self.filled.windows(2).take_while(|pair| follows(pair)).count();
        let reach = match self.filled.get(last) {
            Some(range) if self.filled[0].from == 0 => range.to as usize,
            Some(_) | None => return,
        };
        self.head_end = empty_line_end(&self.bytes[..reach], self.scanned);
        let cut = self.cut_at.is_some_and(|cut| cut <= reach);
        self.is_done = self.head_end.is_some() || cut || reach >= self.bytes_max;
        if self.is_done {
            return;
        }
        self.scanned = reach.saturating_sub(2);
        self.filled[last].from = 0;
        self.filled.drain(..last);
    }
}

/// The lines up to the empty line, where all of them are field lines; else none.
///
/// The head's own empty line may have been lost in the gap: then these are bytes of a body, which nobody keeps.
fn field_section(lines: &[u8]) -> &[u8] {
    let is_field_line = |line: &[u8]| {
        let name = memchr::memchr(b':', line).map_or(&[][..], |colon| &line[..colon]);
        !name.is_empty()
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let Some(end) = empty_line_end(lines, 0) else { return &[] };
    let section = &lines[..end];
    let mut fields = section.split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
    if fields.all(is_field_line) { section } else { &[] }
}

/// The index behind the first empty line (LF CRLF or LF LF, RFC 9112 section 2.2) that ends at or behind `from`.
///
/// To carry on, pass the length searched so far less two: an empty line may straddle it.
fn empty_line_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr_iter(b'\n', &bytes[from.min(bytes.len())..]).find_map(|found| {
        let behind = from + found + 1;
        match bytes[behind..] {
            [b'\n', ..] => Some(behind + 1),
            [b'\r', b'\n', ..] => Some(behind + 2),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u32, copied: usize) -> Record {
        crate::flow::testing::record(seq, copied)
    }

    fn split(head: &[u8], cuts: &[usize], order: &[usize]) -> (HeadSpan, Vec<u8>) {
        let first = record(u32::MAX - 3, cuts.first().copied().unwrap_or(head.len()));
        let mut partial = Partial::new(&first, 1 << 16, true);
        let edges: Vec<usize> =
            std::iter::once(0).chain(cuts.iter().copied()).chain(std::iter::once(head.len())).collect();
        for &index in order {
            let (from, to) = (edges[index], edges[index + 1]);
            let piece = record(first.seq.wrapping_add(from as u32), to - from);
            partial.fill(Piece::of(&piece, &head[from..to]));
        }
        assert!(partial.is_done());
        let (span, bytes, rest) = partial.finish();
        assert!(rest.is_empty());
        (span, bytes)
    }

    #[test]
    fn a_head_split_at_every_byte_is_whole_in_either_order() {
        let head = b"GET /a HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\n";
        for cut in 1..head.len() {
            for order in [[0, 1], [1, 0]] {
                let (span, bytes) = split(head, &[cut], &order);
                assert_eq!(bytes, head, "cut at {cut}, order {order:?}");
                assert!(span.complete);
                assert_eq!(span.flags.contains(Flags::OUT_OF_ORDER), order == [1, 0]);
            }
        }
    }

    #[test]
    fn bare_line_feeds_end_a_head_wherever_they_are_cut() {
        for head in [&b"GET / HTTP/1.0\n\n"[..], b"GET / HTTP/1.0\r\n\n", b"GET / HTTP/1.0\n\r\n"] {
            for cut in 1..head.len() {
                assert_eq!(split(head, &[cut], &[0, 1]).1, head);
            }
        }
    }

    #[test]
    fn the_first_copy_wins_and_a_conflict_is_told() {
        let mut partial = Partial::new(&record(100, 10), 1 << 16, true);
        partial.fill(Piece::of(&record(100, 10), b"GET / HTTP"));
        partial.fill(Piece::of(&record(105, 8), b"XHTTP/1."));
        partial.fill(Piece::of(&record(113, 5), b"1\n\n__"));
        assert!(partial.is_done());
        let (span, bytes, rest) = partial.finish();
        assert_eq!(rest.iter().map(|early| early.piece().bytes).collect::<Vec<_>>(), [b"__"]);
        assert_eq!(bytes, b"GET / HTTP/1.1\n\n".as_slice().get(..bytes.len()).unwrap());
        assert!(span.flags.contains(Flags::DATA_CONFLICT));
        assert!(span.flags.contains(Flags::RETRANSMITTED));
    }

    #[test]
    fn behind_a_gap_only_whole_lines_are_kept() {
        let mut partial = Partial::new(&record(0, 20), 1 << 16, true);
        partial.fill(Piece::of(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook"));
        partial.fill(Piece::of(&record(40, 21), b"secret\r\nB: 2\r\nC: 3\r\n\r\n"));
        let (span, bytes) = partial.give_up();
        assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
        assert!(span.flags.contains(Flags::GAP_IN_HEAD) && !span.complete);
    }

    #[test]
    fn a_cut_line_is_joined_with_none_behind_any_gap() {
        let mut partial = Partial::new(&record(0, 27), 1 << 16, true);
        partial.fill(Piece::of(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook"));
        partial.fill(Piece::of(&record(30, 4), b"a=se"));
        partial.fill(Piece::of(&record(40, 14), b"cret\r\nB: 2\r\n\r\n"));
        assert_eq!(partial.give_up().1, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n");
        let mut partial = Partial::new(&record(0, 3), 1 << 16, true);
        partial.fill(Piece::of(&record(0, 3), b"GET"));
        partial.fill(Piece::of(&record(10, 11), b"x\r\nB: 2\r\n\r\n"));
        assert_eq!(partial.give_up().1, b"GET");
    }

    #[test]
    fn behind_a_gap_no_byte_of_a_body_is_kept() {
        for rest in
            [&b"x\r\n{\"key\": 1}\r\n\r\n"[..], b"x\r\nName: value\r\nplain text", b"x\r\na b: c\r\n\r\n"]
        {
            let mut partial = Partial::new(&record(0, 22), 1 << 16, true);
            partial.fill(Piece::of(&record(0, 22), b"GET / HTTP/1.1\r\nA: 1\r\n"));
            partial.fill(Piece::of(&record(40, rest.len()), rest));
            let (span, bytes) = partial.give_up();
            assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\n");
            assert!(span.flags.contains(Flags::GAP_IN_HEAD));
        }
    }

    #[test]
    fn times_are_those_of_the_first_and_of_the_last_byte() {
        let head = b"GET / HTTP/1.1\r\nA: 1\r\n\r\nGET";
        let mut partial = Partial::new(&record(100, 5), 1 << 16, true);
        for (ts_ns, from, to) in [(7, 20, 24), (8, 24, 27), (9, 0, 5), (10, 18, 20), (11, 0, 18)] {
            let piece = &head[from..to];
            let record = Record { ts_ns, ..record(100 + from as u32, piece.len()) };
            partial.fill(Piece::of(&record, piece));
        }
        let (span, bytes, rest) = partial.finish();
        assert_eq!((&bytes[..], span.ts_first, span.ts_last), (&head[..24], 9, 7));
        let rest: Vec<_> = rest.iter().map(|early| (early.piece().seq, early.piece().ts_ns)).collect();
        assert_eq!(rest, [(124, 8)], "of the next head");
    }

    #[test]
    fn pieces_beyond_the_limit_are_forgotten() {
        let mut partial = Partial::new(&record(0, 1), 1 << 16, true);
        partial.fill(Piece::of(&record(0, 1), b"G"));
        for piece in 0..2 * FILLED_RANGE_COUNT_MAX {
            partial.fill(Piece::of(&record(10 + 2 * piece as u32, 1), b"x"));
        }
        assert_eq!(partial.filled.len(), FILLED_RANGE_COUNT_MAX);
    }
}
