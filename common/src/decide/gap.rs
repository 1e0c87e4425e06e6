//! Gap: bytes of a conversation that never came by, told by the sequence numbers and acknowledgments that did.
//!
//! Follows segments with payload, and the last ones, on connections in the flow memory. A gap is counted where it is found - a segment begins
//! behind the last one, or the other end acknowledges more than was seen - and counted as closed by what comes late.
//! What stays open was lost before this host, or on it before XDP; an estimate, which needs no more than a slot has.

use super::flow::{Direction, Slot};
use crate::counters::Counters;
use crate::record::{Record, tcp_flag};

/// Bytes of a gap at the most; sequence numbers further apart are those of another conversation.
pub const GAP_BYTES_MAX: u32 = 1 << 20;

/// Notes a segment with payload, or one that ends its direction.
#[inline(always)]
pub(super) fn follow(slot: &mut Slot, direction: u32, record: &Record, counters: &mut Counters) {
    let other = slot.direction(direction ^ 1);
    // A FIN takes a sequence number of its own, so that one byte more than was seen is no gap.
    let unseen = record.ack.wrapping_sub(other.reached);
    if record.tcp_flags & tcp_flag::ACK != 0 && other.reached != 0 && unseen > 1 && unseen <= GAP_BYTES_MAX {
        other.break_order(record.ack);
        open(other, (other.reached, unseen), counters);
        other.reached = record.ack;
    }
    let way = slot.direction(direction);
    let (len, end) = (record.segment_len, record.segment_seq.wrapping_add(record.segment_len));
    let ahead = record.segment_seq.wrapping_sub(way.reached);
    let late = ahead.wrapping_neg();
    let new = if way.reached == 0 || ahead == 0 {
        len
    } else if late <= GAP_BYTES_MAX {
        let repeated = if late < len { late } else { len };
        close(way, (record.segment_seq, repeated), counters);
        len - repeated
    } else {
        if ahead <= GAP_BYTES_MAX {
            open(way, (way.reached, ahead), counters);
        }
        way.reached = end;
        len
    };
    if new != 0 {
        way.reached = end;
        counters.followed_bytes = counters.followed_bytes.wrapping_add(u64::from(new));
    }
}

#[inline(always)]
fn open(way: &mut Direction, (from, bytes): (u32, u32), counters: &mut Counters) {
    counters.gaps = counters.gaps.wrapping_add(1);
    counters.gap_bytes = counters.gap_bytes.wrapping_add(u64::from(bytes));
    way.gap_from = if way.owed == 0 { from } else { way.gap_from };
    let owed = u32::from(way.owed) + bytes;
    way.owed = if owed > u32::from(u16::MAX) { u16::MAX } else { owed as u16 };
}

#[inline(always)]
fn close(way: &mut Direction, (from, bytes): (u32, u32), counters: &mut Counters) {
    let owed = u32::from(way.owed);
    // What is before the first gap is a repetition.
    let skipped = way.gap_from.wrapping_sub(from);
    let skipped = if skipped <= GAP_BYTES_MAX { skipped } else { 0 };
    let late = bytes.saturating_sub(skipped);
    let closed = if late < owed { late } else { owed };
    let begins = owed != 0 && closed != 0 && from.wrapping_add(skipped) == way.gap_from;
    way.gap_from = if begins { from.wrapping_add(bytes) } else { way.gap_from };
    way.owed = (owed - closed) as u16;
    counters.gap_bytes_closed = counters.gap_bytes_closed.wrapping_add(u64::from(closed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Work;
    use proptest::prelude::*;

    fn segment(seq: u32, len: u32, ack: u32) -> Record {
        let tcp_flags = tcp_flag::ACK;
        Record { segment_seq: seq, segment_len: len, ack, tcp_flags, ..Work::new().record }
    }

    fn lost(counters: &Counters) -> u64 {
        counters.gap_bytes - counters.gap_bytes_closed
    }

    #[test]
    fn a_missing_segment_is_a_gap_until_it_comes() {
        let (mut slot, mut counters) = (Slot::default(), Counters::default());
        follow(&mut slot, 0, &segment(1000, 100, 0), &mut counters);
        follow(&mut slot, 0, &segment(1200, 100, 0), &mut counters);
        assert_eq!((counters.gaps, lost(&counters), counters.followed_bytes), (1, 100, 200));
        follow(&mut slot, 0, &segment(1000, 100, 0), &mut counters);
        follow(&mut slot, 0, &segment(900, 150, 0), &mut counters);
        assert_eq!(lost(&counters), 100, "what is before the gap closes nothing of it");
        follow(&mut slot, 0, &segment(1050, 80, 0), &mut counters);
        assert_eq!(lost(&counters), 70);
        follow(&mut slot, 0, &segment(1090, 40, 0), &mut counters);
        assert_eq!(lost(&counters), 70, "nor does what came late, again");
        follow(&mut slot, 0, &segment(1100, 100, 0), &mut counters);
        assert_eq!((counters.gaps, lost(&counters)), (1, 0), "late is not lost");
        follow(&mut slot, 0, &segment(1000, 300, 0), &mut counters);
        assert_eq!((counters.gap_bytes, lost(&counters)), (100, 0), "a repetition closes nothing");
    }

    #[test]
    fn an_acknowledgment_of_what_never_came_is_a_gap() {
        let (mut slot, mut counters) = (Slot::default(), Counters::default());
        follow(&mut slot, 1, &segment(500, 100, 1), &mut counters);
        follow(&mut slot, 0, &segment(1, 10, 600), &mut counters);
        follow(&mut slot, 0, &segment(11, 10, 601), &mut counters);
        assert_eq!(counters.gaps, 0, "all was seen, and a FIN is no gap");
        follow(&mut slot, 0, &segment(21, 10, 800), &mut counters);
        assert_eq!((counters.gaps, lost(&counters)), (1, 200));
        follow(&mut slot, 1, &segment(600, 200, 31), &mut counters);
        assert_eq!(lost(&counters), 0, "data that a mirror delivers behind its acknowledgment");
    }

    #[test]
    fn an_end_behind_what_was_seen_is_a_gap() {
        let (mut slot, mut counters) = (Slot::default(), Counters::default());
        follow(&mut slot, 0, &segment(1000, 100, 0), &mut counters);
        follow(&mut slot, 0, &segment(1300, 0, 0), &mut counters);
        follow(&mut slot, 0, &segment(1300, 0, 0), &mut counters);
        assert_eq!((counters.gaps, lost(&counters), counters.followed_bytes), (1, 200, 100));
    }

    #[test]
    fn a_direction_nobody_sees_is_no_gap_and_neither_is_another_conversation() {
        let (mut slot, mut counters) = (Slot::default(), Counters::default());
        follow(&mut slot, 0, &segment(1, 10, 77), &mut counters);
        follow(&mut slot, 0, &segment(11, 10, 99_999), &mut counters);
        follow(&mut slot, 0, &segment(2_000_000_000, 10, 5), &mut counters);
        assert_eq!((counters.gaps, lost(&counters)), (0, 0));
    }

    proptest! {
        #[test]
        fn bytes_followed_and_lost_are_the_bytes_sent(
            lens in prop::collection::vec(1u32..1460, 2..60),
            lost_mask: u64,
            begin: u32,
        ) {
            let (mut slot, mut counters) = (Slot::default(), Counters::default());
            let mut seq = begin;
            let (mut sent, mut dropped) = (0u64, 0u64);
            let last = lens.len() - 1;
            for (nth, &len) in lens.iter().enumerate() {
                // The first and the last segment come by: nothing tells of what is lost before and behind.
                let is_lost = nth != 0 && nth != last && lost_mask >> nth & 1 == 1;
                if is_lost { dropped += u64::from(len) } else {
                    follow(&mut slot, 0, &segment(seq, len, 0), &mut counters);
                }
                sent += u64::from(len);
                seq = seq.wrapping_add(len);
                // Zero stands for a direction of which nothing is known.
                prop_assume!(seq != 0);
            }
            prop_assert_eq!(lost(&counters), dropped);
            prop_assert_eq!(counters.followed_bytes, sent - dropped);
        }
    }
}
