//! One head in progress: its bytes so far, with the gaps still open in them.
//!
//! Bytes live at their offset from the head's first sequence number; `filled` lists what has come, sorted and merged.
//! Invariant: the empty line is searched once per byte, in the contiguous prefix only.

use common::record::{Record, record_flag};
use memchr::memchr_iter;
use storage::flags::Flags;

use super::assembler::{HeadSpan, led};
use super::seq;
use crate::limits::FILLED_RANGE_COUNT_MAX;

/// Whether a head still waits for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The end has not come by yet.
    Open,
    /// Nothing more is to come.
    Done,
}

/// Bytes of a head in progress beside its own.
pub const PARTIAL_BYTES: usize = 4 * size_of::<Partial>() + 2 * FILLED_RANGE_COUNT_MAX * size_of::<Range>();

/// A half-open range of offsets from the head's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: usize,
    to: usize,
}

/// A head whose end has not come by.
#[derive(Debug)]
pub struct Partial {
    span: HeadSpan,
    bytes: Vec<u8>,
    filled: Vec<Range>,
    scanned: usize,
    head_end: Option<usize>,
    cut_at: Option<usize>,
    bytes_max: usize,
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
            cut_at: None,
            bytes_max,
        }
    }

    /// Sequence number of the first byte.
    pub fn start(&self) -> u32 {
        self.span.seq
    }

    /// Sequence number behind the last byte that has come, gaps or not.
    pub fn known_end(&self) -> u32 {
        let to = self.filled.last().map_or(0, |range| range.to);
        self.span.seq.wrapping_add(to as u32)
    }

    /// Time of the last record that belonged here.
    pub fn ts_last(&self) -> u64 {
        self.span.ts_last
    }

    /// Whether the known bytes from the start on, without a gap, hold sequence number `at`.
    pub fn covers(&self, at: u32) -> bool {
        let offset = seq::distance(self.span.seq, at);
        offset >= 0 && (offset as usize) < self.prefix()
    }

    /// Whether `len` bytes at `at` can belong to this head.
    pub fn reaches(&self, at: u32, len: u16) -> bool {
        let offset = i64::from(seq::distance(self.span.seq, at));
        offset < self.bytes_max as i64 && offset + i64::from(len) > 0
    }

    /// Notes that a later piece came first.
    pub fn came_late(&mut self) {
        self.span.flags.insert(Flags::OUT_OF_ORDER);
    }

    /// Whether a record is a keep-alive probe (RFC 9293 section 3.8.4): the byte before the next one, which may be any.
    fn is_probe(&self, record: &Record) -> bool {
        record.segment_len == 1
            && record.seq.wrapping_add(1) == self.known_end()
            && record.seq != self.span.seq
    }

    /// Puts a record's bytes in their place.
    pub fn fill(&mut self, record: &Record, bytes: &[u8]) -> Fill {
        if self.is_probe(record) {
            return Fill::Open;
        }
        let offset = i64::from(seq::distance(self.span.seq, record.seq));
        let skipped = usize::try_from(-offset).unwrap_or(0).min(bytes.len());
        let from = usize::try_from(offset).unwrap_or(0);
        let room = self.bytes_max.saturating_sub(from);
        let kept = &bytes[skipped..];
        let kept = &kept[..kept.len().min(room)];
        if skipped > 0 {
            self.span.flags.insert(Flags::RETRANSMITTED);
        }
        self.place(from, kept);
        self.note(record, from + kept.len());
        self.search()
    }

    /// Takes out what came from sequence number `at` on, as that is another head's: pieces and where they stand.
    pub fn split_off(&mut self, at: u32) -> Vec<(u32, Vec<u8>)> {
        let Ok(at) = usize::try_from(seq::distance(self.span.seq, at)) else { return Vec::new() };
        let mut pieces = Vec::new();
        for range in self.filled.iter_mut().filter(|range| range.to > at) {
            let from = range.from.max(at);
            let start = self.span.seq.wrapping_add(from as u32);
            pieces.push((start, self.bytes[from..range.to].to_vec()));
            range.to = from.max(range.from).min(range.to);
        }
        self.filled.retain(|range| range.from < range.to && range.from < at);
        self.bytes.truncate(at);
        self.cut_at = self.cut_at.filter(|cut| *cut <= at);
        pieces
    }

    /// The span and bytes of a head that is done.
    pub fn finish(mut self) -> (HeadSpan, Vec<u8>) {
        let end = self.head_end.or(self.cut_at).unwrap_or_else(|| self.prefix());
        self.span.complete = self.head_end.is_some();
        if !self.span.complete {
            self.span.flags.insert(Flags::HEAD_TRUNCATED);
        }
        self.bytes.truncate(end);
        self.span.end_seq = self.span.seq.wrapping_add(end as u32);
        (self.span, self.bytes)
    }

    /// The span and bytes of a head whose missing bytes are not waited for any longer.
    ///
    /// Behind a gap only whole field lines are kept, and only where the empty line ends them: what is left of a cut line
    /// has lost its field name, and with it the knowledge whether it is secret.
    pub fn give_up(mut self) -> (HeadSpan, Vec<u8>) {
        let prefix = self.prefix();
        self.span.complete = false;
        self.span.end_seq = self.known_end();
        if self.filled.len() < 2 {
            self.span.flags.insert(Flags::HEAD_TRUNCATED);
            self.bytes.truncate(prefix);
            return (self.span, self.bytes);
        }
        self.span.flags.insert(Flags::GAP_IN_HEAD);
        let mut bytes = self.bytes[..prefix].to_vec();
        for range in &self.filled[1..] {
            let piece = &self.bytes[range.from..range.to];
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
        self.filled.first().filter(|range| range.from == 0).map_or(0, |range| range.to)
    }

    /// Copies what is new of `bytes` to offset `from`; compares the rest with what came first.
    fn place(&mut self, from: usize, bytes: &[u8]) {
        let to = from + bytes.len();
        let reached = self.filled.last().map_or(0, |range| range.to);
        if self.bytes.len() < to {
            // Doubled like any vector, but never beyond what a head may take.
            let room = to.next_power_of_two().min(self.bytes_max.max(to));
            self.bytes.reserve_exact(room - self.bytes.len());
            self.bytes.resize(to, 0);
        }
        let mut at = from;
        for index in 0..self.filled.len() {
            let range = self.filled[index];
            let (overlap_from, overlap_to) = (range.from.max(from), range.to.min(to));
            if overlap_from >= overlap_to {
                continue;
            }
            self.span.flags.insert(Flags::RETRANSMITTED);
            if self.bytes[overlap_from..overlap_to] != bytes[overlap_from - from..overlap_to - from] {
                self.span.flags.insert(Flags::DATA_CONFLICT);
            }
            if at < overlap_from {
                self.span.flags.insert(Flags::OUT_OF_ORDER);
                self.bytes[at..overlap_from].copy_from_slice(&bytes[at - from..overlap_from - from]);
            }
            at = overlap_to;
        }
        if at < to {
            if at < reached {
                self.span.flags.insert(Flags::OUT_OF_ORDER);
            }
            self.bytes[at..to].copy_from_slice(&bytes[at - from..]);
        }
        self.merge(Range { from, to });
    }

    fn merge(&mut self, new: Range) {
        if new.from == new.to {
            return;
        }
        let first = self.filled.partition_point(|range| range.to < new.from);
        let last = self.filled.partition_point(|range| range.from <= new.to);
        let merged = self.filled[first..last]
            .iter()
            .fold(new, |all, range| Range { from: all.from.min(range.from), to: all.to.max(range.to) });
        if first == last && self.filled.len() == FILLED_RANGE_COUNT_MAX {
            // A head in this many pieces is hostile; the piece is forgotten and its bytes count as never seen.
            return;
        }
        self.filled.splice(first..last, [merged]);
    }

    fn note(&mut self, record: &Record, end: usize) {
        self.span.tcp_flags |= record.tcp_flags;
        // A second copy of what is known brings no news of when the head's last byte came by.
        if end > (self.span.end_seq.wrapping_sub(self.span.seq)) as usize {
            self.span.end_seq = self.span.seq.wrapping_add(end as u32);
        }
        if record.seq == self.span.seq && seq::distance(self.span.ack, record.ack) < 0 {
            self.span.ack = record.ack;
        }
        self.span.ts_first = self.span.ts_first.min(record.ts_ns);
        self.span.ts_last = self.span.ts_last.max(record.ts_ns);
        let segment_end = record.segment_seq.wrapping_add(record.segment_len);
        self.span.segment_end = seq::latest(self.span.segment_end, segment_end);
        let cut = record.flags & (record_flag::HEAD_LIMIT | record_flag::SNAPPED) != 0;
        if cut && record.flags & record_flag::HEAD_END == 0 {
            self.cut_at = Some(self.cut_at.map_or(end, |known| known.min(end)));
        }
    }

    fn search(&mut self) -> Fill {
        let prefix = self.prefix();
        self.head_end = empty_line_end(&self.bytes[..prefix], self.scanned);
        self.scanned = prefix.saturating_sub(2);
        let cut = self.cut_at.is_some_and(|cut| cut <= prefix);
        if self.head_end.is_some() || cut || prefix >= self.bytes_max { Fill::Done } else { Fill::Open }
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
        let mut fill = Fill::Open;
        for &index in order {
            let (from, to) = (edges[index], edges[index + 1]);
            let piece = record(first.seq.wrapping_add(from as u32), to - from);
            fill = partial.fill(&piece, &head[from..to]);
        }
        assert_eq!(fill, Fill::Done);
        partial.finish()
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
        partial.fill(&record(100, 10), b"GET / HTTP");
        partial.fill(&record(105, 8), b"XHTTP/1.");
        assert_eq!(partial.fill(&record(113, 5), b"1\n\n__"), Fill::Done);
        let (span, bytes) = partial.finish();
        assert_eq!(bytes, b"GET / HTTP/1.1\n\n".as_slice().get(..bytes.len()).unwrap());
        assert!(span.flags.contains(Flags::DATA_CONFLICT));
        assert!(span.flags.contains(Flags::RETRANSMITTED));
    }

    #[test]
    fn behind_a_gap_only_whole_lines_are_kept() {
        let mut partial = Partial::new(&record(0, 20), 1 << 16, true);
        partial.fill(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook");
        partial.fill(&record(40, 21), b"secret\r\nB: 2\r\nC: 3\r\n\r\n");
        let (span, bytes) = partial.give_up();
        assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n");
        assert!(span.flags.contains(Flags::GAP_IN_HEAD) && !span.complete);
    }

    #[test]
    fn a_cut_line_is_joined_with_none_behind_any_gap() {
        let mut partial = Partial::new(&record(0, 27), 1 << 16, true);
        partial.fill(&record(0, 27), b"GET / HTTP/1.1\r\nA: 1\r\nCook");
        partial.fill(&record(30, 4), b"a=se");
        partial.fill(&record(40, 14), b"cret\r\nB: 2\r\n\r\n");
        assert_eq!(partial.give_up().1, b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n");
        let mut partial = Partial::new(&record(0, 3), 1 << 16, true);
        partial.fill(&record(0, 3), b"GET");
        partial.fill(&record(10, 11), b"x\r\nB: 2\r\n\r\n");
        assert_eq!(partial.give_up().1, b"GET");
    }

    #[test]
    fn behind_a_gap_no_byte_of_a_body_is_kept() {
        for rest in
            [&b"x\r\n{\"key\": 1}\r\n\r\n"[..], b"x\r\nName: value\r\nplain text", b"x\r\na b: c\r\n\r\n"]
        {
            let mut partial = Partial::new(&record(0, 22), 1 << 16, true);
            partial.fill(&record(0, 22), b"GET / HTTP/1.1\r\nA: 1\r\n");
            partial.fill(&record(40, rest.len()), rest);
            let (span, bytes) = partial.give_up();
            assert_eq!(bytes, b"GET / HTTP/1.1\r\nA: 1\r\n");
            assert!(span.flags.contains(Flags::GAP_IN_HEAD));
        }
    }

    #[test]
    fn pieces_beyond_the_limit_are_forgotten() {
        let mut partial = Partial::new(&record(0, 1), 1 << 16, true);
        partial.fill(&record(0, 1), b"G");
        for piece in 0..2 * FILLED_RANGE_COUNT_MAX {
            partial.fill(&record(10 + 2 * piece as u32, 1), b"x");
        }
        assert_eq!(partial.filled.len(), FILLED_RANGE_COUNT_MAX);
    }
}
