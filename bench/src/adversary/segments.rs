//! A script cut into segments, in the order in which they were sent.

use super::{
    Knobs,
    script::{End, Script},
};
use crate::{
    random::Random,
    wire::{Path, Segment, Side, flag},
};

/// Payload bytes of a super-frame at the most.
const HUGE_BYTES_MAX: usize = 60_000;

/// A segment that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) from: Side,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
    pub(super) ip_id: u16,
}

impl Planned {
    pub(super) fn borrowed(&self) -> Segment<'_> {
        let Self { from, seq, ack, flags, ref payload, ip_id } = *self;
        Segment { from, seq, ack, flags, options: &[], payload, ip_id }
    }
}

/// How a direction is cut.
#[derive(Clone, Copy, Debug)]
enum Cutting {
    Full,
    Tiny,
    Random,
    Huge,
}

pub(super) fn cut(
    script: &Script,
    path: &Path,
    isns: [u32; 2],
    knobs: &Knobs,
    random: &mut Random,
) -> Vec<Planned> {
    let cuttings = [0, 1].map(|_| cutting(knobs, random));
    let mut sender = Sender {
        isns,
        sent: [0; 2],
        ip_ids: [random.bits32() as u16; 2],
        planned: Vec::new(),
        phantom: [0; 2],
    };
    sender.send(Side::Client, flag::SYN, &[]);
    sender.send(Side::Server, flag::SYN | flag::ACK, &[]);
    sender.send(Side::Client, flag::ACK, &[]);
    for turn in &script.turns {
        let side = turn.side as usize;
        while sender.sent[side] < turn.end {
            let at = sender.sent[side];
            let longest = match cuttings[side] {
                Cutting::Full => path.segment_bytes_max(),
                Cutting::Tiny if script.is_near_head(turn.side, at) => random.range(1, 9),
                Cutting::Tiny | Cutting::Random => random.range(1, path.segment_bytes_max() + 1),
                Cutting::Huge => random.range(1, HUGE_BYTES_MAX),
            };
            let next_cut =
                script.cuts[side].iter().copied().filter(|cut| *cut > at).min().unwrap_or(turn.end);
            let end = (at + longest).min(turn.end).min(next_cut);
            let start = if random.chance(knobs.overlap) { at - random.below(at.min(64) + 1) } else { at };
            let push = if end == turn.end { flag::PSH } else { 0 };
            sender.send_at(turn.side, flag::ACK | push, start, &script.streams[side][start..end]);
            if random.chance(knobs.bare_ack) {
                sender.send(turn.side.other(), flag::ACK, &[]);
            }
        }
    }
    match script.end {
        End::Reset => {
            let side = random.pick(&[Side::Client, Side::Server]);
            sender.send(side, flag::RST | flag::ACK, &[]);
        }
        End::Fin => {
            let first = random.pick(&[Side::Client, Side::Server]);
            sender.send(first, flag::FIN | flag::ACK, &[]);
            sender.send(first.other(), flag::FIN | flag::ACK, &[]);
            sender.send(first, flag::ACK, &[]);
        }
    }
    sender.planned
}

fn cutting(knobs: &Knobs, random: &mut Random) -> Cutting {
    let point = random.unit();
    let tiny = knobs.tiny_segments;
    let huge = tiny + knobs.huge_segments;
    let any = huge + knobs.random_segments;
    if point < tiny {
        Cutting::Tiny
    } else if point < huge {
        Cutting::Huge
    } else if point < any {
        Cutting::Random
    } else {
        Cutting::Full
    }
}

struct Sender {
    isns: [u32; 2],
    /// Bytes of each stream that have been sent.
    sent: [usize; 2],
    /// Sequence numbers that SYN and FIN took.
    phantom: [u32; 2],
    ip_ids: [u16; 2],
    planned: Vec<Planned>,
}

impl Sender {
    fn send(&mut self, from: Side, flags: u8, payload: &[u8]) {
        self.send_at(from, flags, self.sent[from as usize], payload);
    }

    fn send_at(&mut self, from: Side, flags: u8, start: usize, payload: &[u8]) {
        let (mine, theirs) = (from as usize, from.other() as usize);
        self.ip_ids[mine] = self.ip_ids[mine].wrapping_add(1);
        let seq = self.isns[mine].wrapping_add(self.phantom[mine]).wrapping_add(start as u32);
        let ack = self.isns[theirs].wrapping_add(self.phantom[theirs]).wrapping_add(self.sent[theirs] as u32);
        let (payload, ip_id) = (payload.to_vec(), self.ip_ids[mine]);
        self.sent[mine] = self.sent[mine].max(start + payload.len());
        self.phantom[mine] += u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.planned.push(Planned { from, seq, ack, flags, payload, ip_id });
    }
}
