//! Where what is known of one direction ends, so that something is due: a head behind a message, or the next chunk of its body.
//!
//! Where a head is due and pieces of one came by, it begins there, though no record told of it. Invariant: an end goes away only
//! when something begins there or is proved to lie around it, and the lowest where there are too many.

use common::decide::{
    frame::SliceFrame,
    search::{CHUNK_STEP_BYTES, Chunk, Phase, read_chunk},
};

use super::{assembler::Assembler, direction::Extent, seq};
use crate::limits::TRAIL_END_COUNT_MAX;

/// What lies so far before a head is given up: before long it would count as behind.
const PASSED_BYTES: i32 = 1 << 30;

/// Where something is due, and what: a head, or what is around a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Due {
    at: u32,
    chunk: Option<Chunk>,
    /// From here on it is the data of a body or chunk, if what stands at its end bears that out.
    data_from: u32,
    /// The half that decides says so: it may be either.
    is_told: bool,
}

impl Due {
    fn head(at: u32) -> Due {
        Due { at, chunk: None, data_from: at, is_told: false }
    }

    fn chunk(at: u32, chunk: Chunk) -> Due {
        Due { at, chunk: Some(chunk), data_from: at, is_told: false }
    }

    /// Behind a head; `None` where it does not say what is.
    fn behind(head_end: u32, extent: Extent) -> Option<Due> {
        if extent == Extent::Delimited {
            return Some(Due::chunk(head_end, Chunk::FIRST));
        }
        extent.end_seq(head_end).map(|end| Due { data_from: head_end, ..Due::head(end) })
    }

    /// Whether a head at `seq` tells whether the data before this is some: it begins at its end, or where it would.
    fn is_decided_by(&self, seq: u32) -> bool {
        self.at == seq || self.data_from == seq
    }
}

/// The ends of what is known of a direction, in the order of their sequence numbers.
#[derive(Debug, Default)]
pub struct Trail {
    ends: [Due; TRAIL_END_COUNT_MAX],
    count: u8,
}

impl Trail {
    /// Of a connection whose first byte has this sequence number.
    pub fn from(first: u32) -> Self {
        let mut trail = Trail::default();
        trail.add(Due::head(first));
        trail
    }

    /// Notes a head from `seq` to `head_end`, and how far its body reaches.
    pub fn pass(&mut self, (seq, head_end): (u32, u32), extent: Extent, pieces: &Assembler) {
        let behind = Due::behind(head_end, extent).filter(|behind| !pieces.has_begun(behind.at));
        if let [Due { at, chunk: None, .. }] = self.ends()
            && *at == seq
        {
            // It came in order.
            self.count = 0;
            behind.into_iter().for_each(|behind| self.add(behind));
            return;
        }
        let last = self.ends().iter().rfind(|end| seq::after(seq, end.at)).map(|end| end.at);
        let before = self.ends().iter().find(|end| end.at == seq).copied();
        let from = before.map_or(seq, |before| before.data_from);
        let to = behind.filter(|_| before.is_some()).map_or(seq, |behind| behind.at);
        self.retain(|end| {
            // Chunks before the last message that nobody had to hand over are over.
            let is_over =
                end.chunk.is_some() && !pieces.has_early() && last.is_some_and(|last| last != end.at);
            let is_passed = seq::after(seq, end.at) && is_over || seq::distance(end.at, seq) > PASSED_BYTES;
            !end.is_decided_by(seq) && !seq::is_within(end.at, from, to) && !is_passed
        });
        behind.into_iter().for_each(|behind| self.add(behind));
    }

    /// Notes that the message whose head ended at `head_end` may have no body, whatever its head says: the answer to HEAD has none
    /// (RFC 9110 section 9.3.2).
    pub fn may_have_no_body(&mut self, head_end: u32, pieces: &Assembler) {
        if !pieces.has_begun(head_end) {
            self.add(Due::head(head_end));
        }
    }

    /// Notes where the decision awaits a head, or the end of a chunk, of the messages that came last; whether that is news.
    pub fn note_due(&mut self, at: u32, pieces: &Assembler) -> bool {
        if at == 0 {
            return false;
        }
        let before = self.ends().partition_point(|end| !seq::after(end.at, at));
        let &[.., last] = &self.ends()[..before] else { return false };
        if last.at == at || last.chunk.is_none() || pieces.has_begun(at) {
            return false;
        }
        // Of what it told along these chunks, the last but one leads on no longer.
        if let Some(older) = before.checked_sub(2).map(|older| self.ends[older])
            && older.is_told
            && last.is_told
        {
            self.give_up(older.at);
        }
        self.add(Due { is_told: true, ..Due::chunk(at, BEHIND_DATA) });
        true
    }

    /// Notes that the other end has read up to `at` and spoke: a head begins there, if bytes of one came.
    pub fn note_read(&mut self, at: u32, pieces: &Assembler) {
        if !pieces.early_at(at, &mut [0; 1]).is_empty() {
            self.add(Due::head(at));
        }
    }

    /// Where a head is due that did not come, with nothing known between there and `seq`.
    pub fn head_due_before(&self, seq: u32) -> Option<u32> {
        let before = self.ends().iter().rfind(|end| seq::after(seq, end.at))?;
        before.chunk.is_none().then_some(before.at)
    }

    /// No message ends behind `from` and before `to`.
    pub fn forget_within(&mut self, (from, to): (u32, u32)) {
        self.retain(|end| end.at == from || !seq::is_within(end.at, from, to));
    }

    /// What is due at `at` is no head: the message before it does not end there.
    pub fn give_up(&mut self, at: u32) {
        self.retain(|end| end.at != at);
    }

    /// Follows chunks as far as pieces came: from where to where they are proved to reach, so that no head begins there; `None`
    /// where none leads on. To be called until then.
    pub fn follow_chunks(&mut self, pieces: &Assembler) -> Option<(u32, u32)> {
        if !pieces.has_early() {
            return None;
        }
        // From behind, as one that leads on takes along what it passes.
        (0..self.ends().len()).rev().find_map(|index| self.go_on(index, pieces))
    }

    /// Where heads are due of which some bytes came.
    pub fn due_heads(&self, pieces: &Assembler) -> impl Iterator<Item = u32> + use<> {
        let is_due = |end: &Due| end.chunk.is_none() && !pieces.early_at(end.at, &mut [0; 1]).is_empty();
        let mut heads = [None; TRAIL_END_COUNT_MAX];
        for (head, end) in heads.iter_mut().zip(self.ends()) {
            *head = is_due(end).then_some(end.at);
        }
        heads.into_iter().flatten()
    }

    /// Leads the end at `index` along its chunks; from where to where they are proved to reach.
    fn go_on(&mut self, index: usize, pieces: &Assembler) -> Option<(u32, u32)> {
        let from = self.ends[index];
        let mut proved_to = from.data_from;
        let mut due = Some(from);
        while let Some(Due { at, chunk: Some(chunk), is_told, .. }) = due {
            if is_told && !matches!(pieces.early_at(at, &mut [0; 1]), [] | [b'\r']) {
                due = Some(Due::head(at));
            } else if let Some((behind, next)) = follow(pieces, at, chunk) {
                due = next;
                proved_to = if due.is_some() { behind } else { proved_to };
            } else {
                break;
            }
        }
        if due == Some(from) {
            return None;
        }
        let is_within = |at| at != from.data_from && seq::is_within(at, from.data_from, proved_to);
        let is_there = |at| due.is_some_and(|due| due.at == at);
        self.retain(|end| *end != from && !is_within(end.at) && !is_there(end.at));
        if let Some(due) = due.filter(|due| due.chunk.is_some() || !pieces.has_begun(due.at)) {
            self.add(due);
        }
        (proved_to != from.data_from).then_some((from.data_from, proved_to))
    }

    fn ends(&self) -> &[Due] {
        &self.ends[..usize::from(self.count)]
    }

    fn retain(&mut self, is_kept: impl Fn(&Due) -> bool) {
        let mut count = 0;
        for index in 0..self.ends().len() {
            let end = self.ends[index];
            if is_kept(&end) {
                self.ends[count] = end;
                count += 1;
            }
        }
        self.count = count as u8;
    }

    /// Adds an end where none is.
    fn add(&mut self, due: Due) {
        if self.ends().iter().any(|end| end.at == due.at) {
            return;
        }
        let mut at = self.ends().partition_point(|end| seq::after(due.at, end.at));
        if self.ends().len() == TRAIL_END_COUNT_MAX {
            if at == 0 {
                return;
            }
            self.ends.rotate_left(1);
            self.count -= 1;
            at -= 1;
        }
        self.ends[usize::from(self.count)] = due;
        self.count += 1;
        self.ends[at..usize::from(self.count)].rotate_right(1);
    }
}

/// What stands behind the data of a chunk.
const BEHIND_DATA: Chunk = Chunk { phase: Phase::Cr, size: 0 };

/// Reads what is around a chunk, as far as pieces of it came: to where, and what is due behind that, if anything; `None` where no
/// more came.
fn follow(pieces: &Assembler, at: u32, chunk: Chunk) -> Option<(u32, Option<Due>)> {
    // The reader looks at whole words.
    const FRONT_BYTES: usize = 8;
    let mut bytes = [0; FRONT_BYTES + CHUNK_STEP_BYTES as usize];
    let count = pieces.early_at(at, &mut bytes[FRONT_BYTES..]).len();
    let end = FRONT_BYTES + count;
    let mut frame = SliceFrame::new(&bytes[..end], end as u32);
    let (read, chunk) = read_chunk(&mut frame, (FRONT_BYTES as u32, end as u32), chunk);
    let behind = at.wrapping_add(read);
    let due = if chunk.phase == Phase::Over {
        Some(Due::head(behind))
    } else if chunk.phase == Phase::Data {
        Some(Due { data_from: behind, ..Due::chunk(behind.wrapping_add(chunk.size), BEHIND_DATA) })
    } else {
        chunk.phase.is_open().then(|| Due::chunk(behind, chunk))
    };
    (read > 0).then_some((behind, due))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;
    use common::record::RecordKind;

    /// Pieces of a stream, each at its place.
    fn pieces(of: &[(u32, &str)]) -> Assembler {
        let mut assembler = Assembler::default();
        for (at, piece) in of {
            let mut record = testing::record(*at, piece.len());
            record.kind = RecordKind::Continuation as u8;
            assembler.carry_on(&record, piece.as_bytes(), 1 << 14);
        }
        assembler
    }

    fn due(trail: &mut Trail, of: &[(u32, &str)]) -> Option<(u32, String)> {
        let pieces = pieces(of);
        while trail.follow_chunks(&pieces).is_some() {}
        let at = trail.due_heads(&pieces).next()?;
        let mut bytes = [0; 16];
        Some((at, String::from_utf8_lossy(pieces.early_at(at, &mut bytes)).into_owned()))
    }

    fn pass(trail: &mut Trail, head: (u32, u32), extent: Extent) {
        trail.pass(head, extent, &Assembler::default());
    }

    #[test]
    fn a_head_is_due_behind_a_body() {
        let mut trail = Trail::from(100);
        assert_eq!(due(&mut trail, &[(101, "ET /")]), None, "its first byte is missing");
        assert_eq!(
            due(&mut trail, &[(101, "ET /"), (100, "G")]),
            Some((100, "GET /".into())),
            "in any order"
        );
        pass(&mut trail, (100, 150), Extent::Length(20));
        assert_eq!(due(&mut trail, &[(160, "0123456789GET")]), Some((170, "GET".into())));
        pass(&mut trail, (170, 200), Extent::Unknown);
        assert_eq!(due(&mut trail, &[(200, "GET")]), None);
    }

    #[test]
    fn chunks_are_followed_as_far_as_pieces_came() {
        let body = "5\r\nabcde\r\n3;x\r\nabc\r\n0\r\nt: u\r\n\r\nGET";
        for cut in 0..=body.len() - 3 {
            let mut trail = Trail::default();
            pass(&mut trail, (100, 150), Extent::Delimited);
            let (before, behind) = body.split_at(cut);
            assert_eq!(due(&mut trail, &[(150, before)]), None, "before {cut}");
            let found = due(&mut trail, &[(150 + cut as u32, behind), (150, before)]);
            assert_eq!(found.map(|(at, _)| at), Some(150 + body.len() as u32 - 3), "cut at {cut}");
        }
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        assert_eq!(due(&mut trail, &[(150, "no size")]), None);
        pass(&mut trail, (300, 350), Extent::None);
        assert_eq!(due(&mut trail, &[(350, "G")]), Some((350, "G".into())), "goes on behind the next head");
    }

    #[test]
    fn chunks_that_nobody_handed_over_hold_nothing_up() {
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        pass(&mut trail, (300, 350), Extent::Length(50));
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())));
        pass(&mut trail, (500, 550), Extent::None);
        assert_eq!(due(&mut trail, &[(550, "GET")]), Some((550, "GET".into())));
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())), "one is missing there");
        assert_eq!((trail.head_due_before(550), trail.head_due_before(400)), (Some(400), None));
        pass(&mut trail, (400, 500), Extent::None);
        assert_eq!(due(&mut trail, &[(500, "GET")]), Some((500, "GET".into())), "it may be any that came");
    }

    #[test]
    fn a_head_is_due_on_both_sides_of_a_gap() {
        let mut trail = Trail::from(100);
        pass(&mut trail, (300, 350), Extent::Length(50));
        pass(&mut trail, (200, 250), Extent::Length(50));
        assert_eq!(due(&mut trail, &[(400, "GET"), (99, "xP")]), Some((100, "P".into())));
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())));
        pass(&mut trail, (100, 130), Extent::Length(50));
        assert_eq!(due(&mut trail, &[(180, "GET"), (400, "GET")]), Some((180, "GET".into())));
        trail.give_up(180);
        assert_eq!(due(&mut trail, &[(180, "GET"), (400, "GET")]), Some((400, "GET".into())));
    }

    #[test]
    fn where_a_head_has_begun_none_is_due() {
        let mut begun = pieces(&[]);
        let head = testing::record(200, 3);
        begun.begin(&head, b"GET", 1 << 14, false);
        let mut trail = Trail::from(100);
        trail.pass((100, 150), Extent::Length(50), &begun);
        assert_eq!(trail.count, 0);
        trail.pass((100, 150), Extent::Delimited, &begun);
        assert!(!trail.note_due(200, &begun) && trail.note_due(201, &begun));
    }

    #[test]
    fn a_gap_is_left_behind_when_many_heads_came_behind_it() {
        let mut trail = Trail::from(100);
        for nth in 0..TRAIL_END_COUNT_MAX as u32 {
            assert_eq!(due(&mut trail, &[(100, "?")]), Some((100, "?".into())));
            pass(&mut trail, (1_000 + 200 * nth, 1_050 + 200 * nth), Extent::Length(50));
        }
        assert_eq!(due(&mut trail, &[(100, "?"), (1_100, "GET")]), Some((1_100, "GET".into())));
        pass(&mut trail, (500, 550), Extent::Length(50));
        assert_eq!(due(&mut trail, &[(600, "GET")]), None, "nor is one that lies before all that are kept");
        pass(&mut trail, (1 << 31, 50 + (1 << 31)), Extent::Length(50));
        assert_eq!(trail.count, 1, "half the sequence space behind, all others are");
    }

    #[test]
    fn a_late_segment_leads_on_from_where_the_decision_led_away() {
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        let (size, rest) = ("5\r\nab", "cde\r\n0\r\n\r\nGET /1");
        let behind = 150 + size.len() as u32;
        assert_eq!(due(&mut trail, &[(behind, rest)]), None);
        trail.note_due(500, &Assembler::default());
        let late = [(behind, rest), (150, size)];
        let next = behind + rest.len() as u32 - 6;
        assert_eq!(due(&mut trail, &late), Some((next, "GET /1".into())));
        pass(&mut trail, (next, next + 20), Extent::None);
        let late = [(next + 20, "GET /2"), (500, "GET /3")];
        assert_eq!(due(&mut trail, &late), Some((next + 20, "GET /2".into())), "and on from there");
        pass(&mut trail, (next + 20, 500), Extent::None);
        assert_eq!(due(&mut trail, &late), Some((500, "GET /3".into())), "up to what is due now");
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        trail.note_due(500, &Assembler::default());
        assert_eq!(due(&mut trail, &[(500, "GET")]), Some((500, "GET".into())), "which does not wait");
    }

    #[test]
    fn what_lies_in_chunks_is_no_end_and_told_where_that_is_proved() {
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        let size = [(150, "64\r\n")];
        assert_eq!(trail.follow_chunks(&pieces(&size)), Some((150, 154)));
        assert_eq!(trail.follow_chunks(&pieces(&size)), None);
        pass(&mut trail, (160, 200), Extent::None);
        assert_eq!(due(&mut trail, &[(200, "GET")]), Some((200, "GET".into())), "for all that is known");
        let behind = [(254, "\r\n0\r\n\r\nGET")];
        assert_eq!(trail.follow_chunks(&pieces(&behind)), Some((154, 261)));
        assert_eq!(due(&mut trail, &[(200, "GET")]), None);
        assert_eq!(due(&mut trail, &behind), Some((261, "GET".into())));
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        assert_eq!(trail.follow_chunks(&pieces(&[(150, "64\r\n")])), Some((150, 154)));
        assert_eq!(trail.follow_chunks(&pieces(&[(254, "no end")])), None, "so it was no chunk");
        assert_eq!(trail.count, 0);
    }

    #[test]
    fn a_head_may_come_where_a_body_would_be_that_an_answer_to_head_has_not() {
        let mut trail = Trail::from(100);
        pass(&mut trail, (100, 150), Extent::Length(300));
        trail.may_have_no_body(150, &Assembler::default());
        pass(&mut trail, (150, 180), Extent::Length(20));
        assert_eq!(due(&mut trail, &[(200, "HTTP/1.1 200")]), Some((200, "HTTP/1.1 200".into())));
        let mut trail = Trail::from(100);
        pass(&mut trail, (100, 150), Extent::Length(300));
        trail.may_have_no_body(150, &Assembler::default());
        assert_eq!(due(&mut trail, &[(450, "HTTP/1.1 200")]), Some((450, "HTTP/1.1 200".into())));
        pass(&mut trail, (450, 500), Extent::Length(20));
        assert_eq!(due(&mut trail, &[(150, "HTTP/1.1 200")]), None, "all is behind that");
    }

    #[test]
    fn what_the_decision_knows_leads_on() {
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        trail.note_due(0, &Assembler::default());
        trail.note_due(500, &Assembler::default());
        assert_eq!(
            due(&mut trail, &[(500, "\r\n0\r\n\r\nGET")]),
            Some((507, "GET".into())),
            "the end of a chunk"
        );
        let mut trail = Trail::default();
        pass(&mut trail, (100, 150), Extent::Delimited);
        pass(&mut trail, (400, 450), Extent::None);
        trail.note_due(500, &Assembler::default());
        assert_eq!(due(&mut trail, &[(500, "GET")]), None, "of a later message");
        trail.note_due(300, &Assembler::default());
        assert_eq!(due(&mut trail, &[(300, "GET")]), Some((300, "GET".into())), "a head");
    }
}
