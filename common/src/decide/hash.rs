//! The symmetric flow hash: one number for both directions of a connection, on every host and in every run.
//!
//! Used by select (sampling, upper half), steering (lower half from the top), and the flow memory (keyed, by `place`).

use crate::record::Address;

const MIX_A: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX_B: u64 = 0xBF58_476D_1CE4_E5B9;
const MIX_C: u64 = 0x94D0_49BB_1331_11EB;

/// A flow's hash, and which of its two directions a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash {
    /// Equal for both directions.
    pub hash: u64,
    /// 0 or 1, swapped where source and destination are.
    pub direction: u32,
}

/// Hashes a 4-tuple; addresses as in `Record`.
#[inline(always)]
pub fn flow_hash(src: (Address, u16), dst: (Address, u16)) -> FlowHash {
    let (a, b) = (endpoint(src.0.words, src.1), endpoint(dst.0.words, dst.1));
    let sum = a.wrapping_add(b);
    let hash = (sum ^ sum >> 32).wrapping_mul(MIX_B);
    let hash = (hash ^ hash >> 29).wrapping_mul(MIX_C);
    FlowHash { hash: hash ^ hash >> 32, direction: u32::from(a > b) }
}

/// The ring among `ring_count` that a hash names, with both directions of its connection.
#[inline(always)]
pub const fn ring_of(flow_hash: u64, ring_count: u32) -> u32 {
    (((flow_hash & 0xffff_ffff) * ring_count as u64) >> 32) as u32
}

/// The place of a hash among `count`, a power of two, by a key that nobody on the wire knows: whoever chooses hashes cannot
/// make many of them meet in one place (multiply-shift: of two hashes at most two in `count` keys do).
#[inline(always)]
pub const fn place(hash: u64, key: u64, count: usize) -> u32 {
    ((hash ^ hash >> 32).wrapping_mul(key | 1) >> (64 - count.trailing_zeros())) as u32
}

#[inline(always)]
fn endpoint(address: [u64; 2], port: u16) -> u64 {
    let low = address[0].wrapping_mul(MIX_A);
    let high = (address[1] ^ u64::from(port)).wrapping_mul(MIX_C);
    let both = (low ^ low >> 32).wrapping_add(high ^ high >> 29);
    both.wrapping_mul(MIX_B)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn v4(a: u32) -> Address {
        Address::v4(a.to_be_bytes())
    }

    #[test]
    fn is_the_same_in_every_run() {
        let hash = flow_hash((v4(0x0a00_0001), 40000), (v4(0x0a00_0002), 80)).hash;
        assert_eq!(hash, 0xB2A2_1D27_4595_ABCC, "stored flow_id values depend on it");
    }

    #[test]
    fn neighbouring_flows_spread() {
        let mut slots = HashSet::new();
        let mut hashes = HashSet::new();
        for host in 0..64 {
            for port in 32768..32768 + 256 {
                let hash = flow_hash((v4(0x0a00_0000 + host), port), (v4(0x0a00_0100), 80)).hash;
                hashes.insert(hash);
                slots.insert(hash & 0xffff);
            }
        }
        assert_eq!(hashes.len(), 64 * 256);
        let expected = 65536.0 * (1.0 - (-16384.0 / 65536.0f64).exp());
        assert!(slots.len() as f64 > expected * 0.97, "{} slots of about {expected}", slots.len());
    }

    #[test]
    fn hashes_that_meet_by_one_key_spread_by_another() {
        const COUNT: usize = 8 * 1024;
        let (known, secret) = (MIX_A, 0x1234_5678_9abc_def1);
        let met: Vec<u64> = (0..1u64 << 23)
            .map(|n| n.wrapping_mul(MIX_B))
            .filter(|hash| place(*hash, known, COUNT) == 7)
            .collect();
        let places: HashSet<u32> = met.iter().map(|hash| place(*hash, secret, COUNT)).collect();
        assert!(met.len() > 900, "about 1024 of them: {}", met.len());
        assert!(places.len() > met.len() * 3 / 4, "{} places of {}", places.len(), met.len());
        assert!(places.iter().all(|place| *place < COUNT as u32));
    }

    proptest! {
        #[test]
        fn is_symmetric(src: [u8; 16], dst: [u8; 16], a: u16, b: u16) {
            let (src, dst) = (Address::v6(src), Address::v6(dst));
            let (there, back) = (flow_hash((src, a), (dst, b)), flow_hash((dst, b), (src, a)));
            prop_assert_eq!(there.hash, back.hash);
            prop_assert!((src, a) == (dst, b) || there.direction != back.direction);
        }

        #[test]
        fn every_field_matters(src: [u8; 16], dst: [u8; 16], port: u16, bit in 0usize..128) {
            let mut other = src;
            other[bit / 8] ^= 1 << (bit % 8);
            let (src, dst, other) = (Address::v6(src), Address::v6(dst), Address::v6(other));
            let hash = flow_hash((src, port), (dst, 80)).hash;
            prop_assert_ne!(hash, flow_hash((other, port), (dst, 80)).hash);
            prop_assert_ne!(hash, flow_hash((src, port ^ 1 << (bit % 16)), (dst, 80)).hash);
        }
    }
}
