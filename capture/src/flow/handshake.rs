//! Remembers SYNs until their connection speaks HTTP: the initial sequence numbers, and the time between them.
//!
//! A table of fixed size, apart from the connections, so that a flood of SYNs displaces nothing but other SYNs.

use std::ops::Range;

use common::record::{Record, tcp_flag};

use super::table::FlowKey;
use crate::limits::HANDSHAKE_COUNT_MAX;

/// Places of one set.
const SET_PLACES: usize = 4;

const _: () = assert!(HANDSHAKE_COUNT_MAX.is_multiple_of(SET_PLACES));

/// What is known of one handshake; times in nanoseconds, indexed by the sending end (0 low, 1 high).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    isn: [Option<u32>; 2],
    syn_ts: [u64; 2],
    client: Option<usize>,
}

impl Handshake {
    /// Initial sequence number of an end, where its SYN came by.
    pub fn isn(&self, side: usize) -> Option<u32> {
        self.isn[side]
    }

    /// The end that opened the connection.
    pub fn client(&self) -> Option<usize> {
        self.client
    }

    /// What both tell; where they differ, the earlier one is believed.
    pub fn joined(mut self, later: Handshake) -> Handshake {
        self.client = self.client.or(later.client);
        for side in 0..2 {
            if self.isn[side].is_none() {
                self.isn[side] = later.isn[side];
                self.syn_ts[side] = later.syn_ts[side];
            }
        }
        self
    }

    /// Nanoseconds from the SYN to the SYN that answered it.
    pub fn rtt_ns(&self) -> Option<u64> {
        let both = self.isn[0].is_some() && self.isn[1].is_some();
        both.then(|| self.syn_ts[0].abs_diff(self.syn_ts[1]))
    }
}

/// Recent handshakes in sets picked by the flow hash, which is the same in every run; the oldest of a set gives way.
#[derive(Debug)]
pub struct Handshakes {
    places: Vec<Option<(FlowKey, Handshake)>>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Handshakes { places: vec![None; HANDSHAKE_COUNT_MAX] }
    }
}

impl Handshakes {
    /// Notes a SYN of either end.
    pub fn note(&mut self, key: FlowKey, side: usize, record: &Record) {
        debug_assert!(record.tcp_flags & tcp_flag::SYN != 0);
        let place = self.place(&key, record.flow_hash);
        let known = self.places[place].filter(|(holder, _)| *holder == key).map(|(_, handshake)| handshake);
        let mut handshake = known.unwrap_or_default();
        let is_first = record.tcp_flags & tcp_flag::ACK == 0;
        if is_first && handshake.isn[side] != Some(record.seq) {
            handshake = Handshake::default();
        }
        // A repeated SYN keeps the first one's time, as the answer may be to either.
        if handshake.isn[side] != Some(record.seq) {
            handshake.isn[side] = Some(record.seq);
            handshake.syn_ts[side] = record.ts_ns;
        }
        handshake.client = Some(if is_first { side } else { 1 - side });
        self.places[place] = Some((key, handshake));
    }

    /// Takes out what is known of a connection's handshake.
    pub fn take(&mut self, key: &FlowKey, flow_hash: u64) -> Option<Handshake> {
        let place = self.known_place(key, flow_hash)?;
        self.places[place].take().map(|(_, handshake)| handshake)
    }

    /// Where a connection's handshake stands, or would: in its set the first free place, else the oldest.
    fn place(&self, key: &FlowKey, flow_hash: u64) -> usize {
        let age = |place: usize| {
            self.places[place].map(|(_, handshake)| handshake.syn_ts[0].max(handshake.syn_ts[1]))
        };
        let set = set_of(flow_hash);
        let free = || set.clone().min_by_key(|place| age(*place)).unwrap_or(set.start);
        self.known_place(key, flow_hash).unwrap_or_else(free)
    }

    fn known_place(&self, key: &FlowKey, flow_hash: u64) -> Option<usize> {
        set_of(flow_hash).find(|place| self.places[*place].is_some_and(|(holder, _)| holder == *key))
    }
}

/// The places that a connection's handshake may stand at.
fn set_of(flow_hash: u64) -> Range<usize> {
    let first = (flow_hash as usize).wrapping_mul(SET_PLACES) & (HANDSHAKE_COUNT_MAX - 1);
    first..first + SET_PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;

    #[test]
    fn both_ends_are_told_apart_and_timed() {
        let mut handshakes = Handshakes::default();
        let mut syn = testing::record(7, 0);
        syn.tcp_flags = tcp_flag::SYN;
        let (key, side) = FlowKey::of(&syn);
        handshakes.note(key, side, &syn);
        syn.ts_ns += 5;
        handshakes.note(key, side, &syn);
        let mut answer = syn;
        (answer.seq, answer.ts_ns, answer.tcp_flags) = (90, 1_300, tcp_flag::SYN | tcp_flag::ACK);
        handshakes.note(key, 1 - side, &answer);
        let known = handshakes.take(&key, syn.flow_hash).expect("noted");
        assert_eq!((known.isn(side), known.isn(1 - side)), (Some(7), Some(90)));
        assert_eq!(known.rtt_ns(), Some(300));
        assert_eq!(handshakes.take(&key, syn.flow_hash), None);
    }

    #[test]
    fn a_new_connection_of_the_same_ends_begins_anew() {
        let mut handshakes = Handshakes::default();
        let mut syn = testing::record(7, 0);
        syn.tcp_flags = tcp_flag::SYN;
        let (key, side) = FlowKey::of(&syn);
        handshakes.note(key, side, &syn);
        syn.tcp_flags |= tcp_flag::ACK;
        handshakes.note(key, 1 - side, &syn);
        (syn.seq, syn.tcp_flags) = (1_000, tcp_flag::SYN);
        handshakes.note(key, side, &syn);
        let known = handshakes.take(&key, syn.flow_hash).expect("noted");
        assert_eq!((known.isn(side), known.isn(1 - side), known.rtt_ns()), (Some(1_000), None, None));
    }
}
