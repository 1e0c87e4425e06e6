//! What one direction of a connection has told: how far its data reached and when, where its next head should begin,
//! how it ended.
//!
//! Invariant: `data_end` only moves forward; a sequence number is a fact of the sender, seen here or acknowledged there.

use common::record::Record;

use super::assembler::{Assembler, HeadSpan};
use super::latest::Latest;
use super::seq;
use super::trail::Trail;
use super::transaction::Before;
use crate::limits::{CHUNK_RUN_COUNT_MAX, REPLY_COUNT_MAX};

/// How far a message's body reaches, as its head says (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// Self-delimiting in bytes that are not copied (chunked).
    Delimited,
    /// Until the sender closes.
    UntilClose,
    /// Not told: the end of the head, or the request that decides it, never came by.
    Unknown,
}

impl Extent {
    /// Sequence number behind the body of a head that ends at `head_end`, where the head alone tells.
    pub fn end_seq(self, head_end: u32) -> Option<u32> {
        match self {
            Extent::None => Some(head_end),
            // Beyond half the sequence space "behind" and "ahead" cannot be told apart.
            Extent::Length(bytes) if bytes < 1 << 31 => Some(head_end.wrapping_add(bytes as u32)),
            Extent::Length(_) | Extent::Delimited | Extent::UntilClose | Extent::Unknown => None,
        }
    }

    /// From where to where the body of a head that ends at `head_end` reaches, where that is declared.
    pub fn declared_body(self, head_end: u32) -> Option<(u32, u32)> {
        let end = self.end_seq(head_end).filter(|end| *end != head_end)?;
        Some((head_end, end))
    }
}

/// Half a megabyte: what a usual window lets be in flight, far less than what two initial sequence numbers differ by.
const NEAR_BYTES: u32 = 1 << 19;

/// The last whole head, and what it says of its body.
#[derive(Clone, Copy, Debug)]
struct Last {
    seq: u32,
    head_end: u32,
    extent: Extent,
    /// The declared body may never be sent.
    is_optional: bool,
    /// Whether a body comes depends on a request that is only likely.
    is_doubted: bool,
}

/// How far data reached.
#[derive(Clone, Copy, Debug)]
struct DataEnd {
    seq: u32,
    ts: u64,
    /// It may have done so before.
    is_repeat: bool,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Direction {
    /// Heads in progress.
    pub assembler: Assembler,
    data_end: Option<DataEnd>,
    acked: Option<u32>,
    last: Option<Last>,
    next_head: Option<u32>,
    /// How far all is known.
    pub trail: Trail,
    /// From one head to another, each of which began where the message before it said that it ends.
    told: Option<(u32, u32)>,
    /// From where to where chunks are proved to reach, the latest first.
    chunks: [(u32, u32); CHUNK_RUN_COUNT_MAX],
    fin_seq: Option<u32>,
    chunk_end: Option<(u32, u32)>,
    /// Where it stood when it first acknowledged more: sequence number and ACK, the newest of them.
    replies: Latest<(u32, u32), REPLY_COUNT_MAX>,
}

impl Direction {
    /// A direction whose SYN carried the initial sequence number `isn`.
    pub fn after_syn(isn: u32) -> Self {
        let first = isn.wrapping_add(1);
        Direction { next_head: Some(first), trail: Trail::from(first), ..Direction::default() }
    }

    /// Notes that data up to `end` came by at `ts`; where it `is_repeat`, not for the first time perhaps.
    pub fn observe(&mut self, end: u32, ts: u64, is_repeat: bool) {
        if !self.reached(end) {
            self.data_end = Some(DataEnd { seq: end, ts, is_repeat });
        }
    }

    /// Notes that the other direction acknowledged the data up to `end`.
    pub fn observe_ack(&mut self, end: u32) {
        self.acked = Some(self.acked.map_or(end, |known| seq::latest(known, end)));
    }

    /// Notes data from `begin` to `end` that was sent with `ack`.
    pub fn observe_reply(&mut self, (begin, end): (u32, u32), ack: u32) {
        match self.replies.newest_mut() {
            // What is right in front of it, sent with the same, changed places with it on the way.
            Some((known_begin, known)) if *known == ack && *known_begin == end => *known_begin = begin,
            Some((_, known)) if !seq::after(ack, *known) => {}
            Some(_) | None => self.replies.add((begin, ack)),
        }
    }

    /// Whether the other end, once it had read this one's data up to `read`, knew that its own byte at `at` had arrived:
    /// what it sends of that later is a repeat, whose ACK is not the one of the first time.
    pub fn has_replied_to(&self, at: u32, read: u32) -> bool {
        self.replies.all().iter().any(|(begin, ack)| seq::after(read, *begin) && seq::after(*ack, at))
    }

    /// Acknowledgment number that the byte at `at` was sent with, as far as others tell: `record` brought what was still missing
    /// before it, or of it.
    pub fn ack_at(&self, at: u32, record: &Record) -> u32 {
        let sent = self.replies.all().iter().filter(|(begin, _)| seq::at_or_after(at, *begin));
        let Some(sent) = sent.map(|(_, ack)| *ack).reduce(seq::latest) else { return record.ack };
        // Acknowledgments only grow along a direction.
        if seq::at_or_after(at, record.seq) { seq::latest(sent, record.ack) } else { sent }
    }

    /// Notes that the data up to `end`, sent with `ack`, closed with what ends a chunked body.
    pub fn observe_chunk_end(&mut self, end: u32, ack: u32) {
        self.chunk_end = Some((end, ack));
    }

    /// Where a chunked body ended, provided nothing came behind, and when: the same bytes may also stand inside a body.
    pub fn chunk_end(&self) -> Option<(u32, u64)> {
        let end = self.data_end.filter(|end| self.chunk_end.is_some_and(|(seq, _)| seq == end.seq))?;
        Some((end.seq, end.ts))
    }

    /// Whether the head that ends at `head_end` is the last one seen, be it in part: what ends a body then ends its.
    pub fn is_latest(&self, head_end: u32) -> bool {
        let is_before = |begun: u32| seq::after(head_end, begun);
        self.last.is_some_and(|last| last.head_end == head_end)
            && self.assembler.newest_start().is_none_or(is_before)
    }

    /// Whether what ends a chunked body was seen at `end`, with the ACK that its head had: the sender had read nothing
    /// in between, so it is the same message's.
    pub fn ended_chunks_at(&self, end: u32, ack: Option<u32>) -> bool {
        self.chunk_end.is_some_and(|(chunk_end, chunk_ack)| chunk_end == end && ack == Some(chunk_ack))
    }

    /// Notes the FIN's place: the sequence number behind the last data byte.
    pub fn finish(&mut self, fin_seq: u32) {
        self.fin_seq.get_or_insert(fin_seq);
    }

    /// Sequence number behind the last data byte, where a FIN told it.
    pub fn fin_seq(&self) -> Option<u32> {
        self.fin_seq
    }

    /// The time at which data first reached exactly `end`, where that was seen.
    pub fn ts_of(&self, end: u32) -> Option<u64> {
        self.data_end.filter(|known| known.seq == end && !known.is_repeat).map(|known| known.ts)
    }

    /// Sequence number behind the last byte that came by.
    pub fn data_end(&self) -> Option<u32> {
        self.data_end.map(|end| end.seq)
    }

    /// Whether data reached `end`.
    pub fn reached(&self, end: u32) -> bool {
        self.data_end().is_some_and(|known| seq::at_or_after(known, end))
    }

    /// Whether a head at `at` follows what came before without a byte missing between.
    pub fn continues_at(&self, at: u32) -> bool {
        // Behind a body whose length its head does not tell, a whole message may have passed unseen.
        self.next_head == Some(at)
    }

    /// Where the chunked body of the last head seems to end.
    fn end_of_chunks(&self) -> Option<u32> {
        let last = self.last.filter(|last| last.extent == Extent::Delimited)?;
        self.chunk_end.map(|(end, _)| end).filter(|end| seq::after(*end, last.head_end))
    }

    /// What stands before a head that is whole now.
    pub fn before(&self, span: &HeadSpan) -> Before {
        let begun = self.assembler.oldest_start().filter(|begun| seq::after(span.seq, *begun));
        let known = begun.or(self.next_head).or_else(|| self.end_of_chunks());
        let next = known.or_else(|| self.trail.head_due_before(span.seq));
        if span.is_continuous {
            Before::Continuous
        } else if span.is_behind_gap || next.is_some_and(|next| seq::after(span.seq, next)) {
            Before::Gap
        } else {
            Before::Unknown
        }
    }

    /// Follows chunks as far as pieces came; from where to where no head begins, as is proved now.
    pub fn follow_chunks(&mut self) -> Option<(u32, u32)> {
        let (from, to) = self.trail.follow_chunks(&self.assembler)?;
        self.remember_chunks(from, to);
        Some((from, to))
    }

    /// Notes that `at` lies in a chunk, as the decision saw: it may not when the same bytes come again.
    pub fn note_in_chunk(&mut self, at: u32) {
        if !self.is_in_chunks(at) {
            self.remember_chunks(at, at.wrapping_add(1));
        }
    }

    fn remember_chunks(&mut self, from: u32, to: u32) {
        if self.chunks[0].1 == from {
            self.chunks[0].1 = to;
        } else {
            self.chunks.rotate_right(1);
            self.chunks[0] = (from, to);
        }
    }

    /// Whether `at` is proved to lie within a chunked body, as far as that is remembered.
    pub fn is_in_chunks(&self, at: u32) -> bool {
        self.chunks.iter().any(|(from, to)| seq::is_within(at, *from, *to))
    }

    /// Where heads are due of which no record told, and some bytes came.
    pub fn untold_heads(&self) -> impl Iterator<Item = u32> + use<> {
        self.trail.due_heads(&self.assembler)
    }

    /// Notes where the decision awaits the next head, or the end of a chunk; whether that is news.
    pub fn note_due(&mut self, at: u32) -> bool {
        self.trail.note_due(at, &self.assembler)
    }

    /// Notes that the other end has read up to `ack` and spoke.
    pub fn note_read(&mut self, ack: u32) {
        self.trail.note_read(ack, &self.assembler);
    }

    /// Notes a head and how far its body reaches: as it says, which is enough to look for the next head there, and as far as
    /// that is proved, which hides start lines.
    pub fn pass(&mut self, span: &HeadSpan, said: Extent, proved: Extent) {
        self.trail.pass((span.seq, span.end_seq), said, &self.assembler);
        if said != proved {
            self.trail.may_have_no_body(span.end_seq, &self.assembler);
        }
        self.head_ended(span.seq, span.end_seq, proved);
    }

    /// Notes a whole head from `seq` to `head_end` whose body is proved to reach so far.
    pub fn head_ended(&mut self, seq: u32, head_end: u32, extent: Extent) {
        // A late or repeated head must not move the stream's expectation backwards.
        if self.last.is_some_and(|last| seq::after(last.head_end, head_end)) {
            return;
        }
        if let Some(last) = self.last.filter(|_| self.next_head == Some(seq)) {
            let joined = self.told.filter(|(_, to)| *to == last.seq).map_or(last.seq, |(from, _)| from);
            // Further apart than half the sequence space, "within" cannot be told.
            self.told = Some((if seq::after(seq, joined) { joined } else { last.seq }, seq));
        }
        self.last = Some(Last { seq, head_end, extent, is_optional: false, is_doubted: false });
        self.next_head = extent.end_seq(head_end);
    }

    /// Whether all around `at` is known, so that no head can begin there that was not seen.
    pub fn is_told(&self, at: u32) -> bool {
        self.told.is_some_and(|(from, to)| seq::is_within(at, from, to))
    }

    /// Notes that the body of the last head is sent only if the other end asks for it (100-continue).
    pub fn body_is_optional(&mut self) {
        if let Some(last) = &mut self.last {
            last.is_optional = true;
        }
    }

    /// Notes that the request which decides on the body of the last head is only likely.
    pub fn body_is_doubted(&mut self) {
        if let Some(last) = &mut self.last {
            last.is_doubted = true;
        }
    }

    /// Whether the body of the last head is declared on the word of a request that is only likely.
    pub fn is_body_doubted(&self) -> bool {
        self.last.is_some_and(|last| last.is_doubted)
    }

    /// Where the last head ended, if nothing told how far its body reaches.
    pub fn head_of_unknown_body(&self) -> Option<u32> {
        self.last.filter(|last| last.extent == Extent::Unknown).map(|last| last.head_end)
    }

    /// Whether `at` lies inside a body whose extent the last head declared: what looks like a start line there is none.
    pub fn is_in_body(&self, at: u32) -> bool {
        let Some(Last { head_end, extent, is_optional, .. }) = self.last else { return false };
        match extent {
            Extent::Length(bytes) => {
                let offset = seq::distance(head_end, at);
                let begins = i32::from(is_optional);
                offset >= begins && u64::from(offset.unsigned_abs()) < bytes
            }
            Extent::UntilClose => seq::after(at, head_end),
            Extent::None | Extent::Delimited | Extent::Unknown => false,
        }
    }

    /// Where the last whole head ended, if a body may follow it.
    pub fn open_body(&self) -> Option<u32> {
        self.last.filter(|last| last.extent != Extent::None).map(|last| last.head_end)
    }

    /// Whether nothing is known of it yet.
    pub fn is_untouched(&self) -> bool {
        self.data_end.is_none() && self.last.is_none() && self.next_head.is_none()
    }

    /// Whether `at` lies within a window of the data seen or acknowledged, so that it can be of the same connection.
    pub fn is_near(&self, at: u32) -> bool {
        let reached = self.data_end().or(self.acked);
        reached.is_some_and(|end| seq::distance(at, end).unsigned_abs() < NEAR_BYTES)
    }

    /// Forgets a last head that begins from `from` on and before `to`: it was none.
    pub fn forget_within(&mut self, from: u32, to: u32) {
        if self.last.is_some_and(|last| seq::is_within(last.seq, from, to)) {
            (self.last, self.next_head) = (None, None);
        }
        self.trail.forget_within((from, to));
    }

    /// Forgets the declared body: HTTP has ended here, or what was declared cannot be trusted.
    pub fn forget_body(&mut self) {
        self.last = None;
        self.next_head = None;
        self.trail = Trail::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_line_inside_a_declared_body_is_none() {
        let mut direction = Direction::default();
        direction.head_ended(60, 100, Extent::Length(50));
        assert!(
            direction.is_in_body(100)
                && direction.is_in_body(101)
                && direction.is_in_body(149)
                && !direction.is_in_body(150)
        );
        assert!(direction.continues_at(150) && !direction.continues_at(151));
        direction.body_is_optional();
        assert!(!direction.is_in_body(100), "a head may follow at once where the body was never asked for");
    }

    #[test]
    fn what_ends_a_body_ends_that_of_the_head_before_it_whole_or_not() {
        let mut direction = Direction::default();
        direction.head_ended(60, 100, Extent::Delimited);
        assert!(direction.is_latest(100));
        let begun = crate::flow::testing::record(150, 8);
        direction.assembler.begin(&begun, b"GET / HT", 1 << 14, false);
        assert!(!direction.is_latest(100), "the next one has begun");
    }

    #[test]
    fn between_messages_that_follow_each_other_nothing_else_begins() {
        let mut direction = Direction::default();
        direction.head_ended(u32::MAX - 99, u32::MAX - 49, Extent::Length(60));
        assert!(!direction.is_told(u32::MAX), "the next head may show that the body ended sooner");
        direction.head_ended(10, 40, Extent::Length(60));
        assert!(direction.is_told(u32::MAX - 99) && direction.is_told(9) && !direction.is_told(10));
        direction.head_ended(100, 140, Extent::Delimited);
        assert!(direction.is_told(u32::MAX - 99) && direction.is_told(99) && !direction.is_told(100));
        direction.head_ended(300, 340, Extent::None);
        assert!(direction.is_told(99) && !direction.is_told(200), "another message may have passed between");
    }

    #[test]
    fn times_are_told_only_for_the_exact_end() {
        let mut direction = Direction::default();
        direction.observe(u32::MAX, 5, false);
        direction.observe(10, 7, false);
        direction.observe(3, 9, false);
        assert_eq!(direction.ts_of(10), Some(7));
        assert_eq!(direction.ts_of(11), None);
        assert!(direction.reached(10) && direction.reached(u32::MAX) && !direction.reached(11));
    }

    #[test]
    fn a_request_that_was_replied_to_is_a_repeat() {
        let mut server = Direction::default();
        server.observe_reply((500, 600), 100);
        server.observe_reply((900, 950), 100);
        assert!(server.has_replied_to(60, 600), "the client had read the reply at 500");
        assert!(!server.has_replied_to(60, 500), "its answer begins there");
        assert!(!server.has_replied_to(100, 600), "the next request");
        let reply = |server: &mut Direction, nth: u32| {
            server.observe_reply((1_000 * nth, 1_000 * nth + 10), 100 + nth);
        };
        (1..=4).for_each(|nth| reply(&mut server, nth));
        assert!(!server.has_replied_to(60, 600) && server.has_replied_to(60, 1_001), "few are remembered");
        (5..=9).for_each(|nth| reply(&mut server, nth));
        assert!(!server.has_replied_to(60, 6_000) && server.has_replied_to(60, 6_001), "few are remembered");
    }

    #[test]
    fn behind_the_end_of_chunks_a_gap_is_told() {
        let mut direction = Direction::default();
        let head = |seq| crate::flow::assembler::span_in_place(&crate::flow::testing::record(seq, 10), false);
        direction.head_ended(60, 100, Extent::Delimited);
        assert_eq!(direction.before(&head(300)), Before::Unknown);
        direction.observe_chunk_end(90, 7);
        assert_eq!(direction.before(&head(300)), Before::Unknown, "of the message before");
        direction.observe_chunk_end(200, 7);
        assert_eq!(direction.before(&head(300)), Before::Gap);
        assert_eq!(
            direction.before(&head(200)),
            Before::Unknown,
            "the same bytes may stand inside of a body"
        );
    }

    #[test]
    fn a_late_head_does_not_move_the_stream_back() {
        let mut direction = Direction::after_syn(99);
        assert!(direction.continues_at(100));
        direction.head_ended(250, 300, Extent::None);
        direction.head_ended(150, 200, Extent::None);
        assert!(direction.continues_at(300));
    }

    #[test]
    fn a_request_behind_one_in_progress_is_behind_a_gap() {
        let mut direction = Direction::default();
        let span = crate::flow::assembler::span_in_place(&crate::flow::testing::record(500, 10), false);
        assert_eq!(direction.before(&span), Before::Unknown);
        let begun = crate::flow::testing::record(150, 8);
        direction.assembler.begin(&begun, b"GET / HT", 1 << 14, false);
        assert_eq!(direction.before(&span), Before::Gap);
        let mut direction = Direction::default();
        direction.pass(&HeadSpan { seq: 100, end_seq: 200, ..span }, Extent::None, Extent::None);
        direction.forget_within(50, 150);
        assert_eq!(direction.before(&span), Before::Gap, "one is due at 200, if that was one");
    }

    #[test]
    fn an_acknowledgement_is_known_from_data_before_and_behind() {
        let mut direction = Direction::default();
        let record = |seq, ack| Record { ack, ..crate::flow::testing::record(seq, 10) };
        assert_eq!(direction.ack_at(150, &record(140, 7)), 7, "nothing else is known");
        direction.observe_reply((100, 110), 5);
        direction.observe_reply((150, 160), 9);
        assert_eq!(direction.ack_at(150, &record(140, 5)), 9, "what came last is older");
        assert_eq!(direction.ack_at(149, &record(160, 9)), 5, "it was sent before");
        assert_eq!(direction.ack_at(149, &record(140, 6)), 6, "and behind this");
        direction.observe_reply((140, 150), 9);
        assert_eq!(direction.ack_at(145, &record(160, 9)), 9, "it was sent with what is behind it");
        direction.observe_reply((120, 130), 9);
        assert_eq!(direction.ack_at(125, &record(160, 9)), 5, "not right in front of it");
    }

    #[test]
    fn chunks_are_remembered_as_runs() {
        let mut direction = Direction::default();
        direction.note_in_chunk(50);
        for (from, to) in [(100, 200), (200, 300)] {
            direction.remember_chunks(from, to);
        }
        let known = [49, 50, 51, 99, 100, 299, 300].map(|at| direction.is_in_chunks(at));
        assert_eq!(known, [false, true, false, false, true, true, false]);
        direction.note_in_chunk(400);
        assert!(direction.is_in_chunks(150) && !direction.is_in_chunks(50), "of few runs");
    }
}
