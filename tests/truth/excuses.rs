//! What the decision is known not to see yet, each with a name: a message may be missing for these reasons only.
//!
//! An excuse holds only where the decision did not hand the message over; whatever it did hand over has to be a row. It is
//! needed only where no row tells of the message all the same.

use bench::{
    adversary::{MessageKind, SeenMessage},
    wire::Side,
    workload::TimedFrame,
};

/// Why a message whose bytes were all captured is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Excuse {
    /// It begins in the middle of a segment where nothing said that it would: a start line inside of a body, or a segment from
    /// before all that is known of its direction, led the decision astray.
    InMidSegment,
    /// Its first segment holds less than its first token, where nothing said that a head would begin.
    TokenCut,
    /// Its first segment came after a later one, where nothing said that a head would begin.
    FirstSegmentLate,
}

/// Why a start line that is none is taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lie {
    /// In a chunked body: of a response that was not measured, or behind a size that came late.
    ChunkedBody,
    /// In the body of a message that was not handed over whole.
    BodyOfUnseen,
    /// In the body of a response whose request is not proved, or was not when it came by, so that its length is a guess.
    BodyOfUnproved,
    /// Behind the end of HTTP on its connection.
    Tunnel,
}

/// The excuse of a message, where it has one.
pub(super) fn excuse(
    seen: &SeenMessage,
    frames: &[TimedFrame],
    is_ours: impl Fn(&TimedFrame) -> bool,
) -> Option<Excuse> {
    let start = seen.start?;
    if !start.begins_segment {
        return Some(Excuse::InMidSegment);
    }
    let token = match seen.message.kind {
        MessageKind::Request => seen.message.start_line.find(' ').map_or(0, |at| at + 1),
        MessageKind::Interim | MessageKind::Final => "HTTP/1.".len(),
    };
    if start.bytes < token {
        return Some(Excuse::TokenCut);
    }
    let mut earlier =
        frames.iter().take_while(|frame| frame.ts_ns < start.ts_ns).filter(|frame| is_ours(frame));
    let came_before = earlier.any(|frame| {
        let (seq, payload_bytes) = extent(frame);
        let from = seq.wrapping_sub(seen.seq).cast_signed();
        payload_bytes > 0 && from > 0 && from < seen.message.head.len() as i32
    });
    came_before.then_some(Excuse::FirstSegmentLate)
}

/// Sequence number and payload bytes of a frame that a generator made.
fn extent(frame: &TimedFrame) -> (u32, usize) {
    let mut at = 12;
    while frame.bytes[at..at + 2] == [0x81, 0] {
        at += 4;
    }
    let ip = &frame.bytes[at + 2..];
    let tcp = if ip[0] >> 4 == 4 { &ip[20..] } else { &ip[40..] };
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    (seq, tcp.len() - usize::from(tcp[12] >> 4) * 4)
}

/// Whether a frame was sent by this side between these ends.
pub(super) fn is_between(frame: &TimedFrame, path: &bench::wire::Path, side: Side) -> bool {
    let mut at = 12;
    while frame.bytes[at..at + 2] == [0x81, 0] {
        at += 4;
    }
    let ip = &frame.bytes[at + 2..];
    let (from, tcp) =
        if ip[0] >> 4 == 4 { (ip[12..20].to_vec(), &ip[20..]) } else { (ip[8..40].to_vec(), &ip[40..]) };
    let ends = match side {
        Side::Client => [path.client, path.server],
        Side::Server => [path.server, path.client],
    };
    let mut addresses = Vec::new();
    for (ip, _) in ends {
        match ip {
            std::net::IpAddr::V4(ip) => addresses.extend(ip.octets()),
            std::net::IpAddr::V6(ip) => addresses.extend(ip.octets()),
        }
    }
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    from == addresses && port(0) == ends[0].1 && port(2) == ends[1].1
}
