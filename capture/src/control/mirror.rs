//! Whether the mirror delivers what it should: signs that a port is silent, or shows less than there is.
//!
//! Pure: compares two snapshots some intervals apart. Each sign comes with the remedy; it is told when it appears and when
//! it is gone, and shown in the metrics meanwhile.

use std::collections::VecDeque;

use tracing::{info, warn};

use super::snapshot::Snapshot;
use crate::ledger::Counter;

/// Intervals of `capture_stats` that are compared: with the default, half a minute.
const INTERVAL_COUNT: usize = 3;

/// Heads below which nothing is concluded from how many of them are what.
const HEADS_COUNT_MIN: u64 = 50;

/// One in so many records may be misdirected without a word: a card that was told to spread otherwise moves connections.
const RECORDS_PER_MISDIRECTED_MIN: u64 = 1_000;

/// Frames below which nothing is concluded from where they arrive.
const FRAMES_COUNT_MIN: u64 = 10_000;

/// What is known of a port that is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The interface.
    pub name: String,
    /// Receive queues of its card.
    pub rx_queue_count: u32,
    /// Its card takes VLAN tags out of frames.
    pub strips_vlan: bool,
}

/// A sign that something is wrong with the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Nothing arrives at an interface.
    NoTraffic {
        /// The interface.
        iface: String,
    },
    /// Requests without responses, or the other way round.
    OneDirection {
        /// What is missing: `requests` or `responses`.
        missing: &'static str,
    },
    /// Every head comes twice.
    Duplicates,
    /// The card takes VLAN tags out of frames.
    VlanStripped {
        /// The interface.
        iface: String,
    },
    /// One core gets all frames of a card with several queues.
    OneQueue {
        /// The interface.
        iface: String,
    },
    /// The directions of connections come to different collectors.
    Misdirected,
}

impl Sign {
    /// Its name in the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Sign::NoTraffic { .. } => "no_traffic",
            Sign::OneDirection { .. } => "one_direction",
            Sign::Duplicates => "duplicates",
            Sign::VlanStripped { .. } => "vlan_stripped",
            Sign::OneQueue { .. } => "one_queue",
            Sign::Misdirected => "misdirected",
        }
    }

    /// The interface it is about; empty where it is about all of them.
    pub fn iface(&self) -> &str {
        match self {
            Sign::NoTraffic { iface } | Sign::VlanStripped { iface } | Sign::OneQueue { iface } => iface,
            Sign::OneDirection { .. } | Sign::Duplicates | Sign::Misdirected => "",
        }
    }

    /// What it means, and what to do.
    pub fn advice(&self) -> String {
        match self {
            Sign::NoTraffic { iface } => format!(
                "no frame has come in on {iface} of late: look at the switch's mirror session (its source ports and \
                 direction), the cable, and whether the link is up (ip -s link show dev {iface})"
            ),
            Sign::OneDirection { missing } => format!(
                "the mirror shows no {missing}: mirror both directions of the port (both, or rx and tx), or capture from \
                 the second port of a TAP as well (--iface A,B)"
            ),
            Sign::Duplicates => {
                "the mirror delivers heads twice: mirror a port or its VLAN, not both, and traffic between \
                                 two mirrored ports in one direction only (rx)"
                    .to_owned()
            }
            Sign::VlanStripped { iface } => {
                format!("{iface} strips VLAN tags, so vlan_ids stay empty: ethtool -K {iface} rxvlan off")
            }
            Sign::OneQueue { iface } => format!(
                "all frames of {iface} arrive at one core, though its card has several queues: spread them (ethtool -X \
                 {iface} equal N; ethtool -N {iface} rx-flow-hash tcp4 sdfn) and their interrupts; a card cannot spread \
                 what a tunnel hides unless it hashes inner headers"
            ),
            Sign::Misdirected => "the two directions of connections come to different collectors, so their requests and \
                 responses are not paired: steer by hash (--steer hash), or make the card's hash symmetric (ethtool -X \
                 IFACE xfrm symmetric-xor), which does not help with what a tunnel hides"
                .to_owned(),
        }
    }
}

/// Looks at snapshots as they come, and tells of signs that appear and of those that are gone.
#[derive(Debug, Default)]
pub struct MirrorWatch {
    seen: VecDeque<Snapshot>,
    signs: Vec<Sign>,
}

impl MirrorWatch {
    /// Signs of now.
    pub fn signs(&self) -> &[Sign] {
        &self.signs
    }

    /// Looks at the snapshot of another interval.
    pub fn look(&mut self, ports: &[Port], snapshot: Snapshot) {
        if self.seen.len() == INTERVAL_COUNT
            && let Some(before) = self.seen.pop_front()
        {
            let found = signs(ports, &before, &snapshot);
            // What a card strips was said at the start.
            let is_news = |sign: &&Sign| !matches!(sign, Sign::VlanStripped { .. });
            for sign in found.iter().filter(is_news).filter(|sign| !self.signs.contains(sign)) {
                warn!("{}", sign.advice());
            }
            for gone in self.signs.iter().filter(|sign| !found.contains(sign)) {
                info!(iface = gone.iface(), "the mirror no longer shows: {}", gone.name());
            }
            self.signs = found;
        }
        self.seen.push_back(snapshot);
    }
}

/// Looks for signs between two snapshots.
pub fn signs(ports: &[Port], before: &Snapshot, now: &Snapshot) -> Vec<Sign> {
    let mut found = Vec::new();
    for (port, (now, before)) in ports.iter().zip(now.interfaces.iter().zip(&before.interfaces)) {
        let iface = || port.name.clone();
        if now.frames == before.frames {
            found.push(Sign::NoTraffic { iface: iface() });
        }
        if port.strips_vlan {
            found.push(Sign::VlanStripped { iface: iface() });
        }
        let spread = now.frames_by_core.iter().zip(&before.frames_by_core).map(|(now, before)| now - before);
        let (sum, most) = spread.fold((0, 0), |(sum, most), frames| (sum + frames, frames.max(most)));
        let can_spread = port.rx_queue_count > 1 && now.frames_by_core.len() > 1;
        if can_spread && sum >= FRAMES_COUNT_MIN && (sum - most) * 1000 < sum {
            found.push(Sign::OneQueue { iface: iface() });
        }
    }
    let (now, before) = (now.balance(), before.balance());
    let grown = |counter| now.collector(counter) - before.collector(counter);
    let (requests, responses) = (grown(Counter::Requests), grown(Counter::Responses));
    if requests.max(responses) >= HEADS_COUNT_MIN && requests.min(responses) * 50 < requests.max(responses) {
        let missing = if requests < responses { "requests" } else { "responses" };
        found.push(Sign::OneDirection { missing });
    }
    let (heads, duplicates) = (grown(Counter::Heads), grown(Counter::Duplicate));
    if heads >= HEADS_COUNT_MIN && duplicates * 10 >= heads * 4 {
        found.push(Sign::Duplicates);
    }
    let (records, astray) = (grown(Counter::Records), grown(Counter::RecordsMisdirected));
    if records >= HEADS_COUNT_MIN && astray * RECORDS_PER_MISDIRECTED_MIN > records {
        found.push(Sign::Misdirected);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{balance::InterfaceCounts, control::snapshot::CoreView};

    fn port() -> Port {
        Port { name: "eth1".into(), rx_queue_count: 8, strips_vlan: false }
    }

    fn snapshot(frames_by_core: [u64; 2], counts: &[(Counter, u64)]) -> Snapshot {
        let frames = frames_by_core.iter().sum();
        let frames_by_core = frames_by_core.to_vec();
        let interface =
            InterfaceCounts { name: "eth1".into(), frames, frames_by_core, ..InterfaceCounts::default() };
        let mut core = CoreView::default();
        counts.iter().for_each(|(counter, count)| core.counts[*counter as usize] = *count);
        Snapshot { interfaces: vec![interface], cores: vec![core], ..Snapshot::default() }
    }

    fn names(port: Port, now: &Snapshot) -> Vec<&'static str> {
        let found = signs(&[port], &snapshot([0, 0], &[]), now);
        assert!(found.iter().all(|sign| sign.advice().len() > 60), "a sign comes with its remedy");
        found.iter().map(Sign::name).collect()
    }

    #[test]
    fn a_good_mirror_shows_no_sign() {
        let counts = [
            (Counter::Heads, 2000),
            (Counter::Requests, 1000),
            (Counter::Responses, 990),
            (Counter::Duplicate, 20),
        ];
        assert_eq!(names(port(), &snapshot([90_000, 10_000], &counts)), [""; 0]);
    }

    #[test]
    fn silence_is_a_sign() {
        assert_eq!(names(port(), &snapshot([0, 0], &[])), ["no_traffic"]);
    }

    #[test]
    fn one_direction_is_a_sign_whichever_it_is() {
        for (there, missing) in [(Counter::Requests, "responses"), (Counter::Responses, "requests")] {
            let now = snapshot([500, 500], &[(there, 100), (Counter::Heads, 100)]);
            let found = signs(&[port()], &snapshot([0, 0], &[]), &now);
            assert_eq!(found, [Sign::OneDirection { missing }]);
            assert!(found[0].advice().contains(missing));
        }
        let few = snapshot([500, 500], &[(Counter::Requests, HEADS_COUNT_MIN - 1)]);
        assert_eq!(names(port(), &few), [""; 0], "too few to conclude anything");
    }

    #[test]
    fn heads_that_come_twice_are_a_sign() {
        let counts = [
            (Counter::Heads, 400),
            (Counter::Requests, 100),
            (Counter::Responses, 100),
            (Counter::Duplicate, 200),
        ];
        assert_eq!(names(port(), &snapshot([500, 500], &counts)), ["duplicates"]);
    }

    #[test]
    fn directions_at_different_collectors_are_a_sign() {
        let counts = |astray| [(Counter::Records, 2000), (Counter::RecordsMisdirected, astray)];
        assert_eq!(names(port(), &snapshot([500, 500], &counts(3))), ["misdirected"]);
        assert_eq!(names(port(), &snapshot([500, 500], &counts(2))), [""; 0], "a few may move");
    }

    #[test]
    fn stripped_tags_are_a_sign() {
        assert_eq!(names(Port { strips_vlan: true, ..port() }, &snapshot([5, 5], &[])), ["vlan_stripped"]);
    }

    #[test]
    fn frames_on_one_core_of_many_are_a_sign() {
        let now = snapshot([50_000, 3], &[]);
        assert_eq!(names(port(), &now), ["one_queue"]);
        assert_eq!(
            names(Port { rx_queue_count: 1, ..port() }, &now),
            [""; 0],
            "a card with one queue cannot do better"
        );
    }
}
