//! What a mirror loses before this host is estimated from what it delivers.

use bench::workload::{Profile, TimedFrame};
use capture::source::{RecordSink, decider::Decider};
use common::{config::Config, counters::Counters, record::Record};

use super::{frame_ref, frames};

/// Transactions of the traffic.
const TRANSACTION_COUNT: u64 = 3_000;

/// Frames longer than this carry payload.
const FRAME_BYTES_BARE_MAX: usize = 100;

struct Nowhere;

impl RecordSink for Nowhere {
    fn record(&mut self, _: &Record, _: &[u8]) {}
}

fn counted<'a>(frames: impl IntoIterator<Item = &'a TimedFrame>) -> Counters {
    let mut decider = Decider::new(&Config::default());
    for frame in frames {
        decider.decide(frame_ref(frame), &mut Nowhere);
    }
    decider.counters()[0]
}

fn lost(counters: &Counters) -> u64 {
    counters.gap_bytes - counters.gap_bytes_closed
}

#[test]
fn a_mirror_that_loses_nothing_has_lost_nothing() {
    for profile in [Profile::Heads, Profile::Mix] {
        let counters = counted(&frames(profile, TRANSACTION_COUNT));
        assert_eq!((counters.gaps, lost(&counters)), (0, 0), "{profile:?}");
        assert!(counters.followed_bytes > 1_000_000, "{profile:?}: {counters:?}");
    }
}

#[test]
fn what_a_mirror_loses_is_estimated() {
    for profile in [Profile::Heads, Profile::Mix] {
        let sent = frames(profile, TRANSACTION_COUNT);
        let whole = counted(&sent);
        // One frame with payload in fifty is lost; nothing is repeated, as the receiver got it.
        let mut payloads = 0;
        let delivered = sent.iter().filter(|frame| {
            payloads += usize::from(frame.bytes.len() > FRAME_BYTES_BARE_MAX);
            frame.bytes.len() <= FRAME_BYTES_BARE_MAX || payloads % 50 != 0
        });
        let part = counted(delivered);
        let (truth, estimate) = (whole.followed_bytes - part.followed_bytes, lost(&part));
        // What is lost before a connection's first head, or behind its last segment, nothing tells of.
        let is_near = estimate <= truth && estimate * 4 >= truth * 3;
        assert!(is_near, "{profile:?}: {truth} bytes were lost, the estimate is {estimate}");
    }
}

#[test]
fn order_and_repetition_are_no_loss() {
    let mut sent = frames(Profile::Mix, TRANSACTION_COUNT);
    // Pairs of neighbours in the wrong order, and every tenth frame twice, as a port mirrored in two places delivers it.
    sent.chunks_mut(7).for_each(|frames| frames.reverse());
    let delivered = sent
        .iter()
        .enumerate()
        .flat_map(|(nth, frame)| std::iter::repeat_n(frame, 1 + usize::from(nth % 10 == 0)));
    let counters = counted(delivered);
    let share = lost(&counters) as f64 / counters.followed_bytes as f64;
    assert!(share < 0.002, "a lossless mirror: {share} of the bytes are said to be lost");
}
