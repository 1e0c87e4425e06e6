//! Traffic that tries to break reassembly and pairing, with everything known that is true about it.
//!
//! Seeded random connections are cut, reordered, doubled, overlapped and lost as a bad mirror and a hostile sender
//! would. Invariant: the truth names every byte of every message that no frame carries; all other bytes are there,
//! and their first copy in capture order is the right one.

mod disturb;
mod knobs;
mod message;
mod mirror;
mod script;
mod segments;
mod truth;

pub use knobs::Knobs;
pub use message::{Message, MessageKind};
pub use truth::{Connection, SeenMessage, Start, Truth};

use mirror::Mirror;

use crate::{
    random::Random,
    wire::{self, Path},
    workload::TimedFrame,
};

/// Time of the first frame: 2026-08-21 10:00:00 UTC.
const START_NS: u64 = 1_787_306_400_000_000_000;

/// Frames and what is true about them.
#[derive(Clone, Debug)]
pub struct Capture {
    /// In capture order.
    pub frames: Vec<TimedFrame>,
    /// What a perfect reader of these frames could know, and what nobody could.
    pub truth: Truth,
}

/// The capture that belongs to a seed.
pub fn generate(seed: u64, knobs: &Knobs) -> Capture {
    let mut random = Random::new(seed);
    let mut lanes = Vec::new();
    let mut connections = Vec::new();
    for number in 0..random.range(1, knobs.connection_count_max + 1) {
        let path = path(number, knobs, &mut random);
        // Connections of one tuple follow each other; those of different tuples interleave.
        let successions = 1 + usize::from(random.chance(knobs.reuse_tuple));
        let mut lane = Vec::new();
        for _ in 0..successions {
            let index = connections.len();
            let (connection, frames) = connection(index, path.clone(), knobs, &mut random.fork());
            connections.push(connection);
            lane.extend(frames.into_iter().map(|segment| (index, segment)));
        }
        lane.reverse();
        lanes.push(lane);
    }
    let mut frames = Vec::new();
    let mut mirror = Mirror::new(seed, knobs);
    let mut now_ns = START_NS;
    while !lanes.is_empty() {
        let lane = random.below(lanes.len());
        match lanes[lane].pop() {
            Some((index, segment)) => {
                now_ns += random.range(1, 50) as u64 * 1_000;
                connections[index].observe(now_ns, &segment);
                let bytes = wire::frame(connections[index].path(), &segment.borrowed());
                frames.extend(mirror.send(index, &bytes).map(|bytes| TimedFrame { ts_ns: now_ns, bytes }));
            }
            None => drop(lanes.swap_remove(lane)),
        }
    }
    let connections = connections.into_iter().map(truth::Observed::conclude).collect();
    Capture { frames, truth: Truth { seed, connections } }
}

fn connection(
    index: usize,
    path: Path,
    knobs: &Knobs,
    random: &mut Random,
) -> (truth::Observed, Vec<segments::Planned>) {
    let script = script::write(index, knobs, random);
    let isns = [0, 1].map(|_| {
        let isn = random.bits32();
        if random.chance(knobs.wrap) { u32::MAX - (isn % 4_000) } else { isn }
    });
    let sent = segments::cut(&script, &path, isns, knobs, random);
    let captured = disturb::disturb(sent, &script, isns, knobs, random);
    (truth::Observed::new(path, script, isns), captured)
}

fn path(number: usize, knobs: &Knobs, random: &mut Random) -> Path {
    let client_port = random.range(1_024, 65_536) as u16;
    let server_port = random.pick(&[80, 8080, 3000, 31_337]);
    // Numbered in their low bytes: no two paths are equal.
    let (client, server) = if random.chance(knobs.ipv6) {
        let host = |side: u8| {
            [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, side, 0, (number >> 8) as u8, number as u8]
        };
        (std::net::IpAddr::from(host(1)), std::net::IpAddr::from(host(2)))
    } else {
        let host = |side: u8| [10, side, (number >> 8) as u8, number as u8];
        (std::net::IpAddr::from(host(1)), std::net::IpAddr::from(host(2)))
    };
    let vlan_count = if random.chance(knobs.vlan) { random.range(1, 5) } else { 0 };
    let vlan_ids = (0..vlan_count).map(|_| random.range(1, 4_095) as u16).collect();
    Path { client: (client, client_port), server: (server, server_port), vlan_ids }
}

#[cfg(test)]
mod tests;
