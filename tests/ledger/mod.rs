//! The account of what was seen: whether it notices a stage that forgets to count, and what it says of losses before us.

mod estimate;
mod laws;
mod monitoring;
mod overload;
mod stats;
mod upstream;

use bench::workload::{Options, Profile, Size, TimedFrame, Workload};
use capture::source::decider::FrameRef;
use common::decide::dissect::Link;

/// Undisturbed traffic.
fn frames(profile: Profile, transactions: u64) -> Vec<TimedFrame> {
    let mut workload = Workload::new(Options::new(profile, Size::Transactions(transactions), 11));
    std::iter::from_fn(|| workload.next()).collect()
}

fn frame_ref(frame: &TimedFrame) -> FrameRef<'_> {
    let original_len = frame.bytes.len() as u32;
    FrameRef { ts_ns: frame.ts_ns, link: Link::Ethernet, bytes: &frame.bytes, original_len, ifindex: 0 }
}
