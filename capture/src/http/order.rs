//! A fingerprint of a client: the hash of its lower-cased field names in wire order (column `req_header_order_hash`).
//!
//! Stored in files, so the function never changes: from `h = 0`, for each name `h = mix(h ^ length)`, then for each
//! 8 bytes of the lower-cased name, read little-endian and padded with zeros, `h = mix(h ^ word)`, where
//! `mix(x) = y ^ (y >> 32)` with `y = x * 0x9e3779b97f4a7c15` modulo 2^64.

/// The hash over the names seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameOrder(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

impl NameOrder {
    #[inline]
    pub(super) fn add(&mut self, name: &[u8]) {
        let mut hash = mix(self.0 ^ name.len() as u64);
        let (words, rest) = name.as_chunks::<8>();
        for word in words {
            hash = mix(hash ^ lower(u64::from_le_bytes(*word)));
        }
        if !rest.is_empty() {
            let word = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
            hash = mix(hash ^ lower(word));
        }
        self.0 = hash;
    }

    pub(super) fn value(self) -> i64 {
        self.0 as i64
    }
}

fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(MULTIPLIER);
    product ^ product >> 32
}

/// Eight bytes at once: sets the case bit of those in `A..=Z` and of no other.
fn lower(word: u64) -> u64 {
    let seven_bits = word & !HIGH_BITS;
    let from_a = seven_bits + 0x3f3f_3f3f_3f3f_3f3f;
    let above_z = seven_bits + 0x2525_2525_2525_2525;
    let upper = (from_a ^ above_z) & !word & HIGH_BITS;
    word | upper >> 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(names: &[&str]) -> i64 {
        let mut order = NameOrder::default();
        names.iter().for_each(|name| order.add(name.as_bytes()));
        order.value()
    }

    #[test]
    fn the_function_is_the_one_in_the_files() {
        assert_eq!(hash(&[]), 0);
        assert_eq!(hash(&["Host"]), HOST);
        assert_eq!(hash(&["Host", "User-Agent", "Accept"]), HOST_AGENT_ACCEPT);
    }

    // Computed from the definition in the module's head by another program.
    const HOST: i64 = -1841137410496336502;
    const HOST_AGENT_ACCEPT: i64 = -8638369324677836183;

    #[test]
    fn order_and_number_count_and_case_does_not() {
        assert_eq!(hash(&["HOST", "accept"]), hash(&["host", "Accept"]));
        assert_ne!(hash(&["host", "accept"]), hash(&["accept", "host"]));
        assert_ne!(hash(&["host"]), hash(&["host", ""]));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }

    proptest! {
        #[test]
        fn lower_is_ascii_lower_case(bytes in any::<[u8; 8]>()) {
            let expected = bytes.map(|byte| byte.to_ascii_lowercase());
            prop_assert_eq!(lower(u64::from_le_bytes(bytes)).to_le_bytes(), expected);
        }
    }
}
