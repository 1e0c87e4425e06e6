//! One head in progress: its bytes so far, with the gaps still open in them.
//!
//! Bytes live at their offset from the head's first sequence number; `filled` lists what has come, sorted.
//! Invariant: the empty line is searched once per byte, in the contiguous prefix only.

use common::record::{Record, tcp_flag};
use memchr::memchr_iter;
use storage::flags::Flags;

use super::assembler::{HeadSpan, led};
use super::piece::{Early, Piece};
use super::{seq, times::Times};
use crate::limits::{FILLED_RANGE_COUNT_MAX, PIECE_EARLY_COUNT_MAX};

/// Bytes of a head in progress, or of the pieces that wait for one, beside their own.
pub const PARTIAL_BYTES: usize = larger(
    4 * size_of::<Partial>() + 2 * FILLED_RANGE_COUNT_MAX * size_of::<Range>(),
    2 * PIECE_EARLY_COUNT_MAX * size_of::<Early>(),
);

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// A half-open range of offsets from the head's first byte, and when its bytes came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u32,
    to: u32,
    times: Times,
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
            is_behind_gap: record.due != 0,
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
        self.place(from, kept, piece.times.behind(skipped));
        if reached == 0 && self.prefix() > 0 {
            self.span.is_repeat |= piece.is_repeat;
        }
        self.note(&piece, from + kept.len());
        self.search();
    }

    /// Takes out what came from sequence number `at` on, as that is another head's, or nobody's yet.
    pub fn split_off(&mut self, at: u32) -> Vec<Early> {
        let Ok(at) = u32::try_from(seq::distance(self.span.seq, at)) else { return Vec::new() };
        let behind = self.filled.iter().filter(|range| range.to > at);
        // Which segment had the others is not kept.
        let tcp_flags = self.span.tcp_flags & tcp_flag::ACK;
        let pieces = behind.map(|range| {
            let from = range.from.max(at);
            let bytes = self.bytes[from as usize..range.to as usize].to_vec();
            let times = range.times.behind((from - range.from) as usize);
            Early::rest(self.span.seq.wrapping_add(from), tcp_flags, times, bytes)
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
        self.span.ts_last = last.map_or(self.ts_touched, |range| range.times.last);
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
                (range.to, range.times) = (next.to, range.times.merged(next.times));
            }
            follows
        });
        let prefix = self.prefix();
        self.span.complete = false;
        self.span.end_seq = self.known_end();
        self.span.ts_last = self.filled.last().map_or(self.ts_touched, |range| range.times.last);
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
    fn place(&mut self, from: usize, bytes: &[u8], times: Times) {
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
                    let times = times.behind(at - from);
                    index = self.add(index, Range { from: at as u32, to: end as u32, times });
                    at = end;
                }
            }
        }
    }

    /// Adds a range in front of the one at `index`; returns the index of what lies behind it, which it may be one with.
    fn add(&mut self, index: usize, new: Range) -> usize {
        if new.from == 0 {
            self.span.ts_first = new.times.first.unwrap_or(new.times.last);
            self.span.is_repeat = new.times.first.is_none();
        }
        // At the limit the time of a last byte is rather told late than the bytes forgotten.
        let is_full = self.filled.len() == FILLED_RANGE_COUNT_MAX;
        let join = |a: Range, b: Range| {
            let times = a.times.joined(b.times).or_else(|| is_full.then(|| a.times.merged(b.times)))?;
            (a.to == b.from).then_some(Range { from: a.from, to: b.to, times })
        };
        let left = index.checked_sub(1).filter(|left| self.filled[*left].from != 0);
        let right = self.filled.get(index).and_then(|right| join(new, *right));
        let new = right.unwrap_or(new);
        match left.and_then(|left| Some((left, join(self.filled[left], new)?))) {
            Some((left, all)) => {
                self.filled[left] = all;
                if right.is_some() {
                    self.filled.remove(index);
                }
                left + usize::from(right.is_none())
            }
            None if right.is_some() => {
                self.filled[index] = new;
                index
            }
            // A head in this many pieces is hostile; the piece is forgotten and its bytes count as never seen.
            None if is_full && !self.follows_prefix(new) => index,
            None => {
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
        self.ts_touched = self.ts_touched.max(piece.times.last);
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
        self.filled[last].times = self.filled[0].times.merged(self.filled[last].times);
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
mod tests;
