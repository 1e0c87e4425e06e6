//! How far one direction is known without a gap: from head to head, and along the chunks between them.
//!
//! Where that ends in pieces that came by, a head begins of which no record told. Invariant: the end only moves forward; a gap
//! that is never closed is left behind when `HEAD_AHEAD_COUNT_MAX` heads came behind it.

use common::decide::{
    frame::SliceFrame,
    search::{CHUNK_STEP_BYTES, Chunk, Phase, read_chunk},
};

use super::{assembler::Assembler, direction::Extent, seq};
use crate::limits::HEAD_AHEAD_COUNT_MAX;

/// Where something is due, and what: a head, or what is around a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: u32,
    chunk: Option<Chunk>,
    /// The half that decides says so: it may be either.
    is_told: bool,
}

impl Due {
    fn head(at: u32) -> Due {
        Due { at, chunk: None, is_told: false }
    }

    fn chunk(at: u32, chunk: Chunk) -> Due {
        Due { at, chunk: Some(chunk), is_told: false }
    }

    /// Behind a head; `None` where it does not say what is.
    fn behind(head_end: u32, extent: Extent) -> Option<Due> {
        if extent == Extent::Delimited {
            return Some(Due::chunk(head_end, Chunk::FIRST));
        }
        extent.end_seq(head_end).map(Due::head)
    }
}

/// A head that came behind a gap, and what is due behind it.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    seq: u32,
    behind: Option<Due>,
}

/// The end of what is known of a direction.
#[derive(Debug, Default)]
pub struct Trail {
    due: Option<Due>,
    /// What was due before the decision led on from it, or would be if the last message had no body: what is late may still lead
    /// from there. It lies before what is due.
    left: Option<Due>,
    /// Heads that came behind a gap, in the order of their sequence numbers: so many.
    ahead: [Ahead; HEAD_AHEAD_COUNT_MAX],
    ahead_count: u8,
}

impl Trail {
    /// Of a connection whose first byte has this sequence number.
    pub fn from(first: u32) -> Self {
        Trail { due: Some(Due::head(first)), ..Trail::default() }
    }

    /// Notes a head from `seq` to `head_end`, and how far its body reaches. Where `has_pieces` of what is between, or the decision
    /// told of a gap, what is due before it is not forgotten.
    pub fn pass(&mut self, (seq, head_end): (u32, u32), extent: Extent, has_pieces: bool) {
        let behind = Due::behind(head_end, extent);
        if self.left.is_some_and(|left| left.chunk.is_none() && left.at == seq) {
            self.left = self.before_due(behind);
        }
        match self.due {
            Some(due) if seq::after(seq, due.at) => {
                // Chunks that nobody had to hand over lead from there to here.
                let is_gap = due.chunk.is_none() || due.is_told || has_pieces || self.ahead_count > 0;
                if is_gap { self.put_ahead(Ahead { seq, behind }) } else { self.due = behind }
            }
            // Seen before.
            Some(due) if seq != due.at => return,
            Some(_) | None => {
                // Nothing is late that was left behind.
                self.left = self.left.filter(|_| has_pieces);
                self.due = behind;
            }
        }
        self.go_on();
    }

    /// Notes that the message whose head ended at `head_end` may have no body, whatever its head says: the answer to HEAD has none
    /// (RFC 9110 section 9.3.2).
    pub fn may_have_no_body(&mut self, head_end: u32) {
        if self.left.is_none() {
            self.left = self.before_due(Some(Due::head(head_end)));
        }
    }

    fn ahead(&self) -> &[Ahead] {
        &self.ahead[..usize::from(self.ahead_count)]
    }

    /// Puts a head among those that came behind a gap; where they are too many, the first gap is left behind.
    fn put_ahead(&mut self, head: Ahead) {
        if self.ahead().len() == HEAD_AHEAD_COUNT_MAX {
            let first = self.take_ahead();
            if seq::after(first.seq, head.seq) {
                self.due = head.behind;
                return self.put_ahead(first);
            }
            self.due = first.behind;
        }
        let at = self.ahead().partition_point(|known| seq::after(head.seq, known.seq));
        self.ahead[usize::from(self.ahead_count)] = head;
        self.ahead_count += 1;
        self.ahead[at..usize::from(self.ahead_count)].rotate_right(1);
    }

    fn take_ahead(&mut self) -> Ahead {
        self.ahead_count -= 1;
        self.ahead.rotate_left(1);
        self.ahead[HEAD_AHEAD_COUNT_MAX - 1]
    }

    /// Passes heads that came before what leads to them.
    fn go_on(&mut self) {
        while let Some(Ahead { seq, behind }) = self.ahead().first().copied() {
            match self.due {
                Some(due) if seq::after(seq, due.at) || due.chunk.is_some() && seq == due.at => break,
                Some(due) if seq != due.at => {}
                Some(_) | None => self.due = behind,
            }
            self.take_ahead();
        }
    }

    /// Notes where a head is due, or the end of a chunk, of the messages that came last; whether that is news.
    pub fn note_due(&mut self, at: u32) -> bool {
        let is_next = self.ahead().first().is_none_or(|head| seq::after(head.seq, at));
        let is_news = self.due.is_some_and(|due| due.chunk.is_some() && seq::after(at, due.at));
        let leads_on = at != 0 && is_next && is_news;
        if leads_on {
            self.left = self.due;
            self.due = Some(Due { at, chunk: Some(BEHIND_DATA), is_told: true });
        }
        leads_on
    }

    /// What is due that was left behind, where that is still before what is due now.
    fn before_due(&self, left: Option<Due>) -> Option<Due> {
        left.filter(|left| self.due.is_some_and(|due| seq::after(due.at, left.at)))
    }

    /// Goes on from where the decision led away, as far as pieces came: where a head is due there of which some did.
    fn left_head(&mut self, pieces: &Assembler) -> Option<u32> {
        self.left = self.before_due(self.left);
        while let Some(Due { at, chunk: Some(chunk), .. }) = self.left {
            let next = follow(pieces, at, chunk)?;
            self.left = self.before_due(next);
        }
        let at = self.left?.at;
        (!pieces.early_at(at, &mut [0; 1]).is_empty()).then_some(at)
    }

    /// What is due at `at` is no head: whether that was where the decision led away from, which is given up then.
    pub fn give_up_left(&mut self, at: u32) -> bool {
        self.left.take_if(|left| left.at == at).is_some()
    }

    /// Where a head is due, and its first bytes as far as they came and there is room; `None` where nothing of it did.
    pub fn due_head<'b>(&mut self, pieces: &Assembler, into: &'b mut [u8]) -> Option<(u32, &'b [u8])> {
        if let Some(at) = self.left_head(pieces) {
            return Some((at, pieces.early_at(at, into)));
        }
        while let Some(Due { at, chunk: Some(chunk), is_told }) = self.due {
            if is_told && !matches!(pieces.early_at(at, &mut [0; 1]), [] | [b'\r']) {
                self.due = Some(Due::head(at));
                break;
            }
            self.due = follow(pieces, at, chunk)?;
            self.go_on();
        }
        let at = self.due?.at;
        let bytes = pieces.early_at(at, into);
        (!bytes.is_empty()).then_some((at, bytes))
    }
}

/// What stands behind the data of a chunk.
const BEHIND_DATA: Chunk = Chunk { phase: Phase::Cr, size: 0 };

/// Reads what is around a chunk, as far as pieces of it came: what is due behind that, if anything; `None` where no more came.
fn follow(pieces: &Assembler, at: u32, chunk: Chunk) -> Option<Option<Due>> {
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
        Some(Due::chunk(behind.wrapping_add(chunk.size), BEHIND_DATA))
    } else {
        chunk.phase.is_open().then(|| Due::chunk(behind, chunk))
    };
    (read > 0).then_some(due)
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
        let mut bytes = [0; 16];
        let (at, bytes) = trail.due_head(&pieces(of), &mut bytes)?;
        Some((at, String::from_utf8_lossy(bytes).into_owned()))
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
        trail.pass((100, 150), Extent::Length(20), true);
        assert_eq!(due(&mut trail, &[(160, "0123456789GET")]), Some((170, "GET".into())));
        trail.pass((170, 200), Extent::Unknown, true);
        assert_eq!(due(&mut trail, &[(200, "GET")]), None);
    }

    #[test]
    fn chunks_are_followed_as_far_as_pieces_came() {
        let body = "5\r\nabcde\r\n3;x\r\nabc\r\n0\r\nt: u\r\n\r\nGET";
        for cut in 0..=body.len() - 3 {
            let mut trail = Trail::default();
            trail.pass((100, 150), Extent::Delimited, true);
            let (before, behind) = body.split_at(cut);
            assert_eq!(due(&mut trail, &[(150, before)]), None, "before {cut}");
            let found = due(&mut trail, &[(150 + cut as u32, behind), (150, before)]);
            assert_eq!(found.map(|(at, _)| at), Some(150 + body.len() as u32 - 3), "cut at {cut}");
        }
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, true);
        assert_eq!(due(&mut trail, &[(150, "no size")]), None);
        trail.pass((300, 350), Extent::None, true);
        assert_eq!(due(&mut trail, &[(350, "G")]), Some((350, "G".into())), "goes on behind the next head");
    }

    #[test]
    fn chunks_that_nobody_handed_over_lead_from_head_to_head() {
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, false);
        trail.pass((300, 350), Extent::Length(50), false);
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())));
        assert_eq!(trail.ahead_count, 0);
        trail.pass((500, 550), Extent::None, false);
        assert_eq!(due(&mut trail, &[(550, "GET")]), None, "a head is missing at 400");
    }

    #[test]
    fn heads_that_came_behind_a_gap_are_passed_once_it_is_closed() {
        let mut trail = Trail::from(100);
        trail.pass((300, 350), Extent::Length(50), true);
        trail.pass((200, 250), Extent::Length(50), true);
        assert_eq!(due(&mut trail, &[(400, "GET"), (99, "xP")]), Some((100, "P".into())));
        trail.pass((100, 150), Extent::Length(50), true);
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())));
        trail.pass((100, 150), Extent::Length(50), true);
        assert_eq!(due(&mut trail, &[(400, "GET")]), Some((400, "GET".into())), "seen before");
    }

    #[test]
    fn a_gap_is_left_behind_when_many_heads_came_behind_it() {
        let mut trail = Trail::from(100);
        for nth in 0..=HEAD_AHEAD_COUNT_MAX as u32 {
            assert_eq!(due(&mut trail, &[(100, "?")]), Some((100, "?".into())));
            trail.pass((1_000 + 100 * nth, 1_050 + 100 * nth), Extent::Length(50), true);
        }
        let behind = 1_100 + 100 * HEAD_AHEAD_COUNT_MAX as u32;
        assert_eq!(due(&mut trail, &[(behind, "GET")]), Some((behind, "GET".into())));
        assert_eq!(trail.ahead_count, 0);
    }

    #[test]
    fn a_late_segment_leads_on_from_where_the_decision_led_away() {
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, true);
        let (size, rest) = ("5\r\nab", "cde\r\n0\r\n\r\nGET /1");
        let behind = 150 + size.len() as u32;
        assert_eq!(due(&mut trail, &[(behind, rest)]), None);
        trail.note_due(500);
        let late = [(behind, rest), (150, size)];
        let next = behind + rest.len() as u32 - 6;
        assert_eq!(due(&mut trail, &late), Some((next, "GET /1".into())));
        assert!(!trail.give_up_left(next + 1));
        trail.pass((next, next + 20), Extent::None, true);
        let late = [(next + 20, "GET /2"), (500, "GET /3")];
        assert_eq!(due(&mut trail, &late), Some((next + 20, "GET /2".into())), "and on from there");
        trail.pass((next + 20, 500), Extent::None, true);
        assert_eq!(due(&mut trail, &late), Some((500, "GET /3".into())), "up to what is due now");
        assert!(!trail.give_up_left(500), "which is not left behind");
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, true);
        trail.note_due(500);
        assert_eq!(due(&mut trail, &[(500, "GET")]), Some((500, "GET".into())), "which does not wait");
    }

    #[test]
    fn a_head_may_come_where_a_body_would_be_that_an_answer_to_head_has_not() {
        let mut trail = Trail::from(100);
        trail.pass((100, 150), Extent::Length(300), false);
        trail.may_have_no_body(150);
        trail.pass((150, 180), Extent::Length(20), true);
        assert_eq!(due(&mut trail, &[(200, "HTTP/1.1 200")]), Some((200, "HTTP/1.1 200".into())));
        let mut trail = Trail::from(100);
        trail.pass((100, 150), Extent::Length(300), false);
        trail.may_have_no_body(150);
        assert_eq!(due(&mut trail, &[(450, "HTTP/1.1 200")]), Some((450, "HTTP/1.1 200".into())));
        trail.pass((450, 500), Extent::Length(20), false);
        assert_eq!(due(&mut trail, &[(150, "HTTP/1.1 200")]), None, "all is behind that");
    }

    #[test]
    fn what_the_decision_knows_leads_on() {
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, true);
        trail.note_due(0);
        trail.note_due(500);
        assert_eq!(
            due(&mut trail, &[(500, "\r\n0\r\n\r\nGET")]),
            Some((507, "GET".into())),
            "the end of a chunk"
        );
        let mut trail = Trail::default();
        trail.pass((100, 150), Extent::Delimited, true);
        trail.pass((400, 450), Extent::None, true);
        trail.note_due(500);
        assert_eq!(due(&mut trail, &[(500, "GET")]), None, "of a later message");
        trail.note_due(300);
        assert_eq!(due(&mut trail, &[(300, "GET")]), Some((300, "GET".into())), "a head");
    }
}
