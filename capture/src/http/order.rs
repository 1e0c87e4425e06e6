//! A fingerprint of a client: the hash of its lower-cased field names in wire order (column `req_header_order_hash`).
//!
//! Stored in files, so the function never changes: from `h = 0`, for each name `h = mix(h ^ n)`, where `n` is the name's
//! length plus, for each 8 bytes of the lower-cased name (little-endian, padded with zeros), that word times the
//! constant of its place, all modulo 2^64. The places have four constants, in turn; `mix(x) = y ^ (y >> 32)` with
//! `y = x * 0x9e3779b97f4a7c15`.

/// The hash over the names seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameOrder(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const PLACES: [u64; 4] =
    [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

impl NameOrder {
    /// Adds a name by its `sum`.
    #[inline]
    pub(super) fn add_sum(&mut self, sum: u64) {
        self.0 = mix(self.0 ^ sum);
    }

    /// What a name adds.
    #[inline]
    pub(super) fn sum(name: &[u8]) -> u64 {
        let (words, rest) = name.as_chunks::<8>();
        let mut sum = name.len() as u64;
        let mut places = PLACES.iter().cycle();
        let mut add_word = |word: u64| {
            let place = places.next().copied().unwrap_or(0);
            sum = sum.wrapping_add(lower(word).wrapping_mul(place));
        };
        words.iter().for_each(|word| add_word(u64::from_le_bytes(*word)));
        add_word(short_word(rest));
        sum
    }

    pub(super) fn value(self) -> i64 {
        self.0 as i64
    }
}

/// Fewer than eight bytes, without a loop over bytes where there are four.
#[inline]
fn short_word(rest: &[u8]) -> u64 {
    let low = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(head), Some(tail)) => low(head) | low(tail) << ((rest.len() - 4) * 8),
        _ => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[inline]
fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(MULTIPLIER);
    product ^ product >> 32
}

/// Eight bytes at once: sets the case bit of those in `A..=Z` and of no other.
#[inline]
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
        names.iter().for_each(|name| order.add_sum(NameOrder::sum(name.as_bytes())));
        order.value()
    }

    #[test]
    fn the_function_is_the_one_in_the_files() {
        assert_eq!(hash(&[]), 0);
        assert_eq!(hash(&["Host"]), HOST);
        let long = "X-A-Name-Longer-Than-Four-Words-Of-Eight-Bytes";
        assert_eq!(hash(&["Host", "User-Agent", long]), HOST_AGENT_LONG);
    }

    // Computed from the definition in the module's head by another program.
    const HOST: i64 = 342436367202988083;
    const HOST_AGENT_LONG: i64 = -1476424342095880288;

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
