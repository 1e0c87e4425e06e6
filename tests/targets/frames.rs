//! Frames: any bytes on the wire get one verdict, copies within the frame and the head limit, and the same twice.

use capture::source::{
    RecordSink,
    decider::{Decider, FrameRef},
};
use common::{config::Config, decide::dissect::Link, record::Record};

/// Frames of one input at the most.
const FRAME_COUNT_MAX: usize = 64;

/// A flow memory, cleared for every input, takes longer to make than a frame to decide.
const HEAD_LIMIT: u32 = 2048;

#[derive(Default, PartialEq, Eq, Debug)]
struct Copied(Vec<(u8, u32, Vec<u8>)>);

impl RecordSink for Copied {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        assert_eq!(usize::from(record.copied), bytes.len());
        assert!(bytes.len() <= HEAD_LIMIT as usize);
        self.0.push((record.kind, record.seq, bytes.to_vec()));
    }
}

/// Each frame is a length of two bytes, and so many bytes; the first byte of the input chooses the link layer.
pub(crate) fn run(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let once = decided(choice, rest);
    assert_eq!(once, decided(choice, rest), "the same frames, other records");
}

fn decided(choice: u8, mut rest: &[u8]) -> Copied {
    let link = match choice % 4 {
        0 => Link::Ethernet,
        1 => Link::Cooked1,
        2 => Link::RawIp,
        _ => Link::Cooked2,
    };
    let mut config = Box::<Config>::default();
    config.head_limit = HEAD_LIMIT;
    let mut decider = Decider::new(&config);
    let mut copied = Copied::default();
    let mut count = 0;
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(behind.len());
        let (bytes, behind) = behind.split_at(len);
        rest = behind;
        count += 1;
        let original_len = bytes.len() as u32 + u32::from(choice >> 4);
        let frame = FrameRef { ts_ns: count * 1000, link, bytes, original_len, ifindex: 0 };
        decider.decide(frame, &mut copied);
        if count as usize == FRAME_COUNT_MAX {
            break;
        }
    }
    let decided: u64 = decider.counters().iter().map(|counters| counters.frames.iter().sum::<u64>()).sum();
    assert_eq!(decided, count, "every frame has one verdict");
    copied
}
