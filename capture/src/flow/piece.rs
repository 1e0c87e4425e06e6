//! Pieces of heads: what a record brings, and what came before the head that it belongs to had begun.
//!
//! Invariant: early pieces do not overlap, so that each byte position is decided by the record that brought it first.

use common::record::{Record, record_flag};

use super::{seq, times::Times};
use crate::limits::PIECE_EARLY_COUNT_MAX;

/// What a record brings of a head.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Sequence number of its first byte.
    pub seq: u32,
    /// Acknowledgment number, where it is known.
    pub ack: Option<u32>,
    /// Sequence number behind the last payload byte of its segment.
    pub segment_end: u32,
    /// TCP flags of its segment.
    pub tcp_flags: u8,
    /// Bytes of the head were left uncopied behind it.
    pub is_cut: bool,
    /// Its segment holds one byte.
    pub is_single: bool,
    /// Its first byte had come by before, and was not handed over then.
    pub is_repeat: bool,
    /// When it came by.
    pub times: Times,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// The bytes that a record copied.
    pub fn of(record: &Record, bytes: &'a [u8]) -> Self {
        let cut = record.flags & (record_flag::HEAD_LIMIT | record_flag::SNAPPED) != 0;
        Piece {
            seq: record.seq,
            ack: Some(record.ack),
            segment_end: record.segment_seq.wrapping_add(record.segment_len),
            tcp_flags: record.tcp_flags,
            is_cut: cut && record.flags & record_flag::HEAD_END == 0,
            is_single: record.segment_len == 1,
            is_repeat: record.flags & record_flag::REPEAT != 0,
            times: Times::at(record.ts_ns, bytes),
            bytes,
        }
    }

    /// Sequence number behind its last byte.
    pub fn end(&self) -> u32 {
        self.seq.wrapping_add(self.bytes.len() as u32)
    }

    /// What of it lies from `from` on and before `to`; `None` where nothing does.
    pub fn within(self, from: u32, to: u32) -> Option<Self> {
        let skipped = usize::try_from(seq::distance(self.seq, from)).unwrap_or(0);
        let kept = usize::try_from(seq::distance(self.seq, to)).unwrap_or(0).min(self.bytes.len());
        let bytes = self.bytes.get(skipped..kept).filter(|bytes| !bytes.is_empty())?;
        Some(Piece {
            seq: self.seq.wrapping_add(skipped as u32),
            ack: self.ack.filter(|_| skipped == 0),
            is_cut: self.is_cut && kept == self.bytes.len(),
            times: self.times.behind(skipped),
            bytes,
            ..self
        })
    }
}

/// Bytes that came before the head they belong to had begun.
#[derive(Debug)]
pub struct Early {
    seq: u32,
    ack: Option<u32>,
    segment_end: u32,
    tcp_flags: u8,
    is_cut: bool,
    is_repeat: bool,
    /// Records that brought it and were not counted for anything else.
    records: u32,
    times: Times,
    bytes: Vec<u8>,
}

impl Early {
    /// What came behind a head, with its records, in segments of which all had these TCP flags.
    pub fn rest(seq: u32, tcp_flags: u8, times: Times, bytes: Vec<u8>) -> Self {
        let segment_end = seq.wrapping_add(bytes.len() as u32);
        Early {
            seq,
            ack: None,
            segment_end,
            tcp_flags,
            is_cut: false,
            is_repeat: false,
            records: 0,
            times,
            bytes,
        }
    }

    /// What of it lies before `at`; its records are counted already.
    pub fn before(&self, at: u32) -> Option<Self> {
        let before = self.piece().within(self.seq, at)?;
        Some(Early::rest(before.seq, before.tcp_flags, before.times, before.bytes.to_vec()))
    }

    /// The piece that it is.
    pub fn piece(&self) -> Piece<'_> {
        Piece {
            seq: self.seq,
            ack: self.ack,
            segment_end: self.segment_end,
            tcp_flags: self.tcp_flags,
            is_cut: self.is_cut,
            is_single: false,
            is_repeat: self.is_repeat,
            times: self.times,
            bytes: &self.bytes,
        }
    }
}

/// The early pieces of one direction, in the order of their sequence numbers.
#[derive(Debug, Default)]
pub struct EarlyPieces(Vec<Early>);

impl EarlyPieces {
    /// Keeps what is new of a piece; returns the records forgotten for it, and whether anything was new.
    pub fn keep(&mut self, piece: Piece<'_>, bytes_max: usize) -> (u64, bool) {
        let (mut from, end) = (piece.seq, piece.end());
        let mut index = self.0.partition_point(|early| !seq::after(early.piece().end(), from));
        let mut is_counted = false;
        let mut is_new = false;
        while seq::after(end, from) {
            let next = self.0.get(index).map(|early| (early.seq, early.piece().end()));
            match next {
                Some((next_from, next_end)) if !seq::after(next_from, from) => {
                    (from, index) = (next_end, index + 1);
                }
                Some(_) | None => {
                    let to = next.map_or(
                        end,
                        |(next_from, _)| {
                            if seq::after(end, next_from) { next_from } else { end }
                        },
                    );
                    if let Some(new) = piece.within(from, to) {
                        index = self.add(index, new, u32::from(!is_counted));
                        (is_counted, is_new) = (true, true);
                    }
                    from = to;
                }
            }
        }
        (self.make_room(bytes_max), is_new)
    }

    /// Adds a piece in front of the one at `index`, or to the one before, unless a head may end in that. Returns the index
    /// behind it.
    fn add(&mut self, index: usize, new: Piece<'_>, records: u32) -> usize {
        let before = index.checked_sub(1).and_then(|before| self.0.get_mut(before));
        if let Some(before) = before
            && before.piece().end() == new.seq
            && let Some(times) = before.times.joined(new.times)
        {
            before.bytes.extend_from_slice(new.bytes);
            before.segment_end = new.segment_end;
            before.tcp_flags |= new.tcp_flags;
            before.is_cut = new.is_cut;
            before.records += records;
            before.times = times;
            return index;
        }
        let Piece { seq, ack, segment_end, tcp_flags, is_cut, is_repeat, times, .. } = new;
        let bytes = new.bytes.to_vec();
        let early = Early { seq, ack, segment_end, tcp_flags, is_cut, is_repeat, records, times, bytes };
        self.0.insert(index, early);
        index + 1
    }

    /// Forgets the oldest pieces where there are too many; returns their records.
    fn make_room(&mut self, bytes_max: usize) -> u64 {
        let mut records = 0;
        let bytes = |all: &[Early]| all.iter().map(|early| early.bytes.len()).sum::<usize>();
        while self.0.len() > PIECE_EARLY_COUNT_MAX || bytes(&self.0) > bytes_max {
            let oldest = (0..self.0.len()).min_by_key(|at| self.0[*at].times.last);
            records += oldest.map_or(0, |oldest| u64::from(self.0.remove(oldest).records));
        }
        records
    }

    /// Takes back what turned out to be of no head in progress; returns the records forgotten for it.
    pub fn keep_rest(&mut self, rest: impl IntoIterator<Item = Early>, bytes_max: usize) -> u64 {
        let mut forgotten = 0;
        for early in rest {
            let index = self.0.partition_point(|known| seq::after(early.seq, known.seq));
            self.0.insert(index, early);
            forgotten += self.make_room(bytes_max);
        }
        forgotten
    }

    /// Takes out the pieces that lie in part between `from` and `to`, in the order in which they came.
    pub fn take(&mut self, from: u32, to: Option<u32>) -> Vec<Early> {
        let is_it = |early: &mut Early| {
            seq::after(early.piece().end(), from) && to.is_none_or(|to| seq::after(to, early.seq))
        };
        let mut taken: Vec<Early> = self.0.extract_if(.., is_it).collect();
        taken.sort_by_key(|early| early.times.last);
        taken
    }

    /// Whether any lies in part between `from` and `to`.
    pub fn touch(&self, from: u32, to: u32) -> bool {
        self.0.iter().any(|early| seq::after(early.piece().end(), from) && seq::after(to, early.seq))
    }

    /// Forgets pieces that came at `ts_max` or before; returns how many records that were.
    pub fn forget(&mut self, ts_max: u64) -> u64 {
        let forgotten = self.0.extract_if(.., |early| early.times.last <= ts_max);
        forgotten.map(|early| u64::from(early.records)).sum()
    }

    /// Copies the bytes from `at` on, as far as none is missing and there is room; returns them.
    pub fn copy_at<'b>(&self, at: u32, into: &'b mut [u8]) -> &'b [u8] {
        let mut count = 0;
        for early in &self.0 {
            let from = at.wrapping_add(count as u32);
            let piece = early.piece();
            let Some(rest) = piece.within(from, piece.end()).filter(|rest| rest.seq == from) else {
                continue;
            };
            let copied = rest.bytes.len().min(into.len() - count);
            into[count..count + copied].copy_from_slice(&rest.bytes[..copied]);
            count += copied;
        }
        &into[..count]
    }

    /// Acknowledgment number of the segment that brought the byte at `at`, where that is known.
    pub fn ack_at(&self, at: u32) -> Option<u32> {
        self.0.iter().find(|early| early.seq == at)?.ack
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back the memory of pieces that are no longer kept.
    pub fn let_go(&mut self) {
        if self.0.is_empty() && self.0.capacity() > 0 {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(early: &mut EarlyPieces, seq: u32, bytes: &[u8], ts_ns: u64) -> (u64, bool) {
        let record = Record { ts_ns, ..crate::flow::testing::record(seq, bytes.len()) };
        early.keep(Piece::of(&record, bytes), 1 << 16)
    }

    fn taken(early: &mut EarlyPieces) -> Vec<(u32, Vec<u8>, u64)> {
        early.take(0, None).into_iter().map(|early| (early.seq, early.bytes, early.times.last)).collect()
    }

    #[test]
    fn the_first_copy_of_a_byte_is_kept() {
        let mut early = EarlyPieces::default();
        keep(&mut early, 10, b"aaaa", 1);
        assert_eq!(keep(&mut early, 8, b"bbbbbbbb", 2), (0, true));
        assert_eq!(keep(&mut early, 9, b"cccc", 3), (0, false), "nothing of it is new");
        assert_eq!(taken(&mut early), [(8, b"bb".to_vec(), 2), (10, b"aaaabb".to_vec(), 2)]);
    }

    #[test]
    fn pieces_join_unless_a_head_may_end_in_the_first() {
        let mut early = EarlyPieces::default();
        for (seq, bytes, ts) in [(10, &b"ab"[..], 1), (12, b"c\r", 2), (14, b"\n\r", 3), (16, b"\nGET", 4)] {
            keep(&mut early, seq, bytes, ts);
        }
        let pieces = [(10, b"abc\r\n\r".to_vec(), 3), (16, b"\nGET".to_vec(), 4)];
        assert_eq!(taken(&mut early), pieces);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut early = EarlyPieces::default();
        for nth in 0..PIECE_EARLY_COUNT_MAX as u32 {
            assert_eq!(keep(&mut early, 1_000 - 10 * nth, b"x", u64::from(nth) + 1), (0, true));
        }
        assert_eq!(keep(&mut early, 5, b"x", 99), (1, true), "one record, which is told");
        assert!(!early.touch(1_000, 1_001) && early.touch(990, 991) && early.touch(5, 6));
    }
}
