//! From what was sent to what the mirror delivers: late, doubled, changed, or not at all.

use super::{Knobs, script::Script, segments::Planned};
use crate::{
    random::Random,
    wire::{Side, flag},
};

/// Bytes of a retransmission at the most.
const RETRANSMIT_BYTES_MAX: usize = 1_400;

pub(super) fn disturb(
    sent: Vec<Planned>,
    script: &Script,
    isns: [u32; 2],
    knobs: &Knobs,
    random: &mut Random,
) -> Vec<Planned> {
    let streams = Streams { script, isns };
    let mut captured = Vec::with_capacity(sent.len() * 2);
    for segment in sent {
        if !segment.payload.is_empty() && random.chance(knobs.retransmit_lost) {
            resend(&segment, &mut captured, random);
        } else {
            captured.push(segment);
        }
    }
    reorder(&mut captured, knobs, random);
    captured.retain(|_| !random.chance(knobs.lose));
    see_in_part(&mut captured, knobs, random);
    echo(captured, &streams, knobs, random)
}

/// A segment that never reached the mirror comes again, in one piece or two.
fn resend(segment: &Planned, captured: &mut Vec<Planned>, random: &mut Random) {
    let at = random.below(segment.payload.len());
    let (first, second) = segment.payload.split_at(at);
    let piece = |from: usize, payload: &[u8]| Planned {
        seq: segment.seq.wrapping_add(from as u32),
        payload: payload.to_vec(),
        ip_id: segment.ip_id.wrapping_add(1_000),
        ..segment.clone()
    };
    if !first.is_empty() {
        captured.push(piece(0, first));
    }
    captured.push(piece(at, second));
}

/// Lets some frames come later; the first and the last of a connection stay where they are.
fn reorder(captured: &mut [Planned], knobs: &Knobs, random: &mut Random) {
    if knobs.reorder_distance_max == 0 || captured.len() < 4 {
        return;
    }
    for at in 1..captured.len() - 2 {
        if random.chance(knobs.reorder) {
            let distance = random.range(1, knobs.reorder_distance_max + 1);
            let until = (at + distance).min(captured.len() - 2);
            captured[at..=until].rotate_left(1);
        }
    }
}

fn see_in_part(captured: &mut Vec<Planned>, knobs: &Knobs, random: &mut Random) {
    if random.chance(knobs.mid_stream) {
        captured.drain(..random.below(captured.len() + 1));
    }
    if random.chance(knobs.cut_off) {
        captured.truncate(random.below(captured.len() + 1));
    }
    if random.chance(knobs.one_way) {
        let side = random.pick(&[Side::Client, Side::Server]);
        captured.retain(|segment| segment.from == side);
    }
}

/// Adds what comes again, up to a few frames after the first time.
///
/// Wrong bytes only ever repeat right ones that were delivered before, so that the first copy is the right one.
fn echo(captured: Vec<Planned>, streams: &Streams<'_>, knobs: &Knobs, random: &mut Random) -> Vec<Planned> {
    let mut echoed = Vec::with_capacity(captured.len() * 2);
    let mut waiting: Vec<(usize, Planned)> = Vec::new();
    for segment in captured {
        let echoes = streams.echoes(&segment, knobs, random);
        echoed.push(segment);
        for (wait, _) in &mut waiting {
            *wait = wait.saturating_sub(1);
        }
        waiting.extend(echoes.into_iter().map(|echo| (random.below(knobs.reorder_distance_max + 1), echo)));
        echoed.extend(waiting.extract_if(.., |(wait, _)| *wait == 0).map(|(_, echo)| echo));
    }
    echoed.extend(waiting.into_iter().map(|(_, echo)| echo));
    echoed
}

/// What the two sides sent, to repeat from.
struct Streams<'a> {
    script: &'a Script,
    isns: [u32; 2],
}

impl Streams<'_> {
    fn echoes(&self, segment: &Planned, knobs: &Knobs, random: &mut Random) -> Vec<Planned> {
        let mut echoes = Vec::new();
        if random.chance(knobs.duplicate) {
            echoes.push(segment.clone());
        }
        let has_payload = !segment.payload.is_empty();
        if has_payload && random.chance(knobs.retransmit) {
            echoes.push(self.retransmission(segment, random));
        }
        if has_payload && random.chance(knobs.conflict) {
            echoes.push(conflict(segment, random));
        }
        if segment.flags & (flag::SYN | flag::FIN | flag::RST) == 0 && random.chance(knobs.keep_alive) {
            echoes.extend(self.keep_alive(segment, random));
        }
        echoes
    }

    /// Bytes around the end of a segment, and before it.
    fn retransmission(&self, segment: &Planned, random: &mut Random) -> Planned {
        let side = segment.from as usize;
        let end = self.offset(segment) + random.range(1, segment.payload.len() + 1);
        let start = end - random.range(1, RETRANSMIT_BYTES_MAX.min(end) + 1);
        let payload = self.script.streams[side][start..end].to_vec();
        let seq = self.isns[side].wrapping_add(1).wrapping_add(start as u32);
        Planned { seq, payload, ip_id: segment.ip_id.wrapping_add(2_000), ..segment.clone() }
    }

    /// A probe behind a segment: a senseless byte in place of the last one, or nothing.
    fn keep_alive(&self, segment: &Planned, random: &mut Random) -> Option<Planned> {
        let next = self.offset(segment) + segment.payload.len();
        if !(1..=self.script.streams[segment.from as usize].len()).contains(&next) {
            return None;
        }
        let carries_byte = !segment.payload.is_empty() && random.chance(0.5);
        let payload = if carries_byte { vec![0] } else { Vec::new() };
        let seq = segment.seq.wrapping_add(segment.payload.len() as u32).wrapping_sub(1);
        let ip_id = segment.ip_id.wrapping_add(3_000);
        Some(Planned { seq, flags: flag::ACK, payload, ip_id, ..segment.clone() })
    }

    /// Where a segment begins in its sender's stream.
    fn offset(&self, segment: &Planned) -> usize {
        segment.seq.wrapping_sub(self.isns[segment.from as usize]).wrapping_sub(1) as usize
    }
}

/// Some of a segment's bytes, changed.
fn conflict(segment: &Planned, random: &mut Random) -> Planned {
    let start = random.below(segment.payload.len());
    let len = random.range(1, segment.payload.len() - start + 1);
    let payload = segment.payload[start..start + len].iter().map(|byte| byte ^ 0x15).collect();
    let seq = segment.seq.wrapping_add(start as u32);
    Planned { seq, payload, ip_id: segment.ip_id.wrapping_add(4_000), ..segment.clone() }
}
