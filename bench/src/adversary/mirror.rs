//! What the mirror does to frames on their way to the capture: it wraps them, and what became too long is cut into fragments.
//!
//! Draws from numbers of its own, so that a seed means the same traffic with and without.

use std::collections::HashMap;

use super::Knobs;
use crate::{
    random::Random,
    wrap::{Wrap, fragment, wrap},
};

/// Layers around a frame at the most; those that are tunnels are as many as are followed.
const WRAP_COUNT_MAX: usize = 4;

/// Payload bytes of a fragment; the first one holds all headers.
const FRAGMENT_BYTES: [usize; 3] = [512, 1_000, 1_480];
const FRAGMENT_BYTES_WRAPPED: usize = 1_480;
const FRAGMENT_BYTES_OF_SHORT: usize = 64;

/// Bytes of a frame that still fits a packet when it is wrapped.
const WRAPPED_BYTES_MAX: usize = 62_000;

/// The mirror.
pub(super) struct Mirror<'k> {
    knobs: &'k Knobs,
    random: Random,
    /// By connection: each wrap, innermost first, and whether its packet is IPv6.
    wraps: HashMap<usize, Vec<(Wrap, bool)>>,
    id: u16,
}

impl<'k> Mirror<'k> {
    pub(super) fn new(seed: u64, knobs: &'k Knobs) -> Self {
        let random = Random::new(seed ^ 0x6d69_7272_6f72);
        Self { knobs, random, wraps: HashMap::new(), id: 0 }
    }

    /// What arrives of a frame of a connection.
    pub(super) fn send(&mut self, connection: usize, frame: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<> {
        let mut sent = frame.to_vec();
        if !self.wraps.contains_key(&connection) {
            let wraps = self.choose();
            self.wraps.insert(connection, wraps);
        }
        for (layer, is_v6) in &self.wraps[&connection] {
            if layer.fits(&sent) && sent.len() <= WRAPPED_BYTES_MAX {
                sent = wrap(&sent, *layer, *is_v6);
            }
        }
        let mut parts = Vec::new();
        if self.random.chance(self.knobs.fragment) {
            self.id = self.id.wrapping_add(1);
            let longest = if sent.len() != frame.len() {
                FRAGMENT_BYTES_WRAPPED
            } else if sent.len() < 800 {
                FRAGMENT_BYTES_OF_SHORT
            } else {
                self.random.pick(&FRAGMENT_BYTES)
            };
            parts = fragment(&sent, self.id, longest);
        } else {
            parts.push(sent);
        }
        parts.into_iter()
    }

    fn choose(&mut self) -> Vec<(Wrap, bool)> {
        if !self.random.chance(self.knobs.wrap_frames) {
            return Vec::new();
        }
        let layers = self.random.range(1, WRAP_COUNT_MAX + 1);
        (0..layers).map(|_| (Wrap::random(&mut self.random), self.random.chance(0.3))).collect()
    }
}
