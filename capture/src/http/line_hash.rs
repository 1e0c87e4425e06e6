//! What a line is known by: a keyed hash that takes the place of its bytes.
//!
//! A sum of products of its blocks and of keys (`line_sum`), twice, the second time with keys one pair further on, as UMAC does (RFC 4418
//! section 5.2); either sum, which begins with the line's length, is then brought to 64 bits by multiply-shift (Dietzfelbinger, STACS 1996).
//! Blocks come in whole groups; those that begin too near to the line's end are its last sixteen bytes.
//! Invariant: two lines that differ have the same hash with a probability of 2^-120 at the most, whoever wrote them: each parser
//! draws keys of its own, and neither they nor any hash leave the process.

use std::num::NonZeroU64;

use ahash::RandomState;

use super::line_sum::{Arithmetic, BLOCK_BYTES};

/// Longest line that has a hash: a head's limit of cookies, which are what is worth it.
pub(super) const HASHED_BYTES_MAX: usize = 4096;

/// Blocks that are added together: most lines are one group. How many blocks a line has could not be foretold.
const GROUP_BLOCKS: usize = 4;

const GROUP_BYTES: usize = GROUP_BLOCKS * BLOCK_BYTES;

const _: () = assert!(HASHED_BYTES_MAX.is_multiple_of(GROUP_BYTES));

/// Keys of every block, and of the one behind it for the second sum.
const PAIR_COUNT: usize = HASHED_BYTES_MAX / BLOCK_BYTES + 1;

/// Bytes of all keys.
pub(super) const KEY_BYTES: usize = PAIR_COUNT * size_of::<[u64; 2]>() + 2 * size_of::<Mixer>();

/// Set in every hash, so that there is room to say that there is none.
const MARK: NonZeroU64 = NonZeroU64::new(1 << 63).expect("a bit is set");

/// What a line is looked for by, and told from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineHash {
    first: NonZeroU64,
    second: u64,
}

impl LineHash {
    /// Bits that place the line in a table.
    #[inline]
    pub(super) fn place(self) -> usize {
        self.first.get() as usize
    }

    /// Bits that tell lines of a place apart, most of the time; never zero.
    #[inline]
    pub(super) fn tag(self) -> u32 {
        (self.first.get() >> 32) as u32
    }

    /// Bits that place it in another table.
    #[inline]
    pub(super) fn other_place(self) -> usize {
        self.second as usize
    }
}

/// Factors of the low and the high half of a sum.
#[derive(Clone, Copy, Debug)]
struct Mixer([u128; 2]);

impl Mixer {
    #[inline]
    fn mix(self, sum: u128) -> u64 {
        let [low, high] = self.0;
        let product = |factor: u128, word: u64| factor.wrapping_mul(u128::from(word));
        (product(low, sum as u64).wrapping_add(product(high, (sum >> 64) as u64)) >> 64) as u64
    }
}

/// Hashes lines with keys of its own.
#[derive(Debug)]
pub(super) struct LineHasher {
    pairs: Box<[[u64; 2]; PAIR_COUNT]>,
    mixers: [Mixer; 2],
}

impl LineHasher {
    /// With keys drawn at random.
    pub(super) fn new() -> LineHasher {
        let random = RandomState::new();
        let mut seed = blake3::Hasher::new();
        for nth in 0_u64..4 {
            seed.update(&random.hash_one(nth).to_le_bytes());
        }
        let mut drawn = seed.finalize_xof();
        let mut word = || {
            let mut bytes = [0; 8];
            drawn.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        };
        let mut pairs = Box::new([[0; 2]; PAIR_COUNT]);
        pairs.iter_mut().for_each(|pair| *pair = [word(), word()]);
        let mut factor = || u128::from(word()) << 64 | u128::from(word());
        let mut mixer = || Mixer([factor(), factor()]);
        LineHasher { pairs, mixers: [mixer(), mixer()] }
    }

    /// The hash of the line that the first `len` of these bytes are, if that is not too long; one parser is to use one arithmetic.
    #[inline(always)]
    pub(super) fn hash(&self, bytes: &[u8], len: usize, arithmetic: impl Arithmetic) -> Option<LineHash> {
        if len > HASHED_BYTES_MAX {
            return None;
        }
        let padded;
        let line = if len < BLOCK_BYTES {
            padded = padded_block(bytes, len);
            padded.as_slice()
        } else {
            &bytes[..len]
        };
        let last = line.len() - BLOCK_BYTES;
        // Of lines of different lengths one may be the other and zeros.
        let mut sums = [arithmetic.begin(len); 2];
        for group in 0..len.div_ceil(GROUP_BYTES) {
            let keys: &[_; GROUP_BLOCKS + 1] = self.pairs[GROUP_BLOCKS * group..].first_chunk()?;
            for (nth, [first, second]) in keys.array_windows().enumerate() {
                let at = (group * GROUP_BYTES + nth * BLOCK_BYTES).min(last);
                let block = line[at..].first_chunk()?;
                sums = [arithmetic.add(sums[0], block, first), arithmetic.add(sums[1], block, second)];
            }
        }
        let [first, second] = [0, 1].map(|at: usize| self.mixers[at].mix(arithmetic.value(sums[at])));
        Some(LineHash { first: MARK | first, second })
    }
}

/// The first `len` of the bytes, less than a block, and zeros.
#[inline(always)]
fn padded_block(bytes: &[u8], len: usize) -> [u8; BLOCK_BYTES] {
    match bytes.first_chunk() {
        Some(block) => (u128::from_le_bytes(*block) & !(u128::MAX << (8 * len))).to_le_bytes(),
        None => {
            let mut block = [0; BLOCK_BYTES];
            block[..len].copy_from_slice(&bytes[..len]);
            block
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{super::line_sum::Integers, *};

    /// Hashes with either arithmetic.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Integers,
        #[cfg(target_arch = "x86_64")]
        Polynomials,
    }

    const KINDS: &[Kind] = &[
        Kind::Integers,
        #[cfg(target_arch = "x86_64")]
        Kind::Polynomials,
    ];

    impl Kind {
        fn hash(self, hasher: &LineHasher, line: &[u8]) -> Option<LineHash> {
            self.hash_of_first(line.len(), hasher, line)
        }

        fn hash_of_first(self, len: usize, hasher: &LineHasher, bytes: &[u8]) -> Option<LineHash> {
            match self {
                Kind::Integers => hasher.hash(bytes, len, Integers),
                #[cfg(target_arch = "x86_64")]
                Kind::Polynomials => {
                    let polynomials = super::super::line_sum::Polynomials::of_this_cpu();
                    hasher.hash(
                        bytes,
                        len,
                        polynomials.expect("the tests need a CPU with PCLMULQDQ, AVX2, BMI1 and BMI2"),
                    )
                }
            }
        }
    }

    /// Groups of four blocks of sixteen bytes one after the other, none of them behind the last sixteen bytes, which zeros fill up.
    fn naive(hasher: &LineHasher, line: &[u8]) -> LineHash {
        let padded = [line, &vec![0; BLOCK_BYTES.saturating_sub(line.len())]].concat();
        let starts = (0..line.len().div_ceil(64) * 4).map(|nth| (16 * nth).min(padded.len() - 16));
        let blocks: Vec<&[u8]> = starts.map(|start| &padded[start..start + 16]).collect();
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        let [first, second] = [0, 1].map(|pass| {
            let products = blocks.iter().enumerate().map(|(at, block)| {
                let factor = |half: usize| {
                    let key = u128::from(hasher.pairs[at + pass][half]);
                    (u128::from(word(&block[8 * half..][..8])) + key) % (1 << 64)
                };
                factor(0) * factor(1)
            });
            let sum = products.fold(line.len() as u128, u128::wrapping_add);
            let Mixer([low, high]) = hasher.mixers[pass];
            let mixed = low.wrapping_mul(sum % (1 << 64)).wrapping_add(high.wrapping_mul(sum >> 64));
            u64::try_from(mixed >> 64).unwrap()
        });
        LineHash { first: NonZeroU64::new(first | 1 << 63).unwrap(), second }
    }

    proptest! {
        #[test]
        fn a_hash_is_that_of_the_naive_twin(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let hasher = LineHasher::new();
            prop_assert_eq!(hasher.hash(&line, line.len(), Integers), Some(naive(&hasher, &line)));
        }

        #[test]
        fn what_lies_behind_a_line_is_not_in_its_hash(
            line in proptest::collection::vec(any::<u8>(), 0..40),
            behind in proptest::collection::vec(any::<u8>(), 0..40),
            kind in proptest::sample::select(KINDS),
        ) {
            let hasher = LineHasher::new();
            let bytes = [&line[..], &behind].concat();
            prop_assert_eq!(kind.hash_of_first(line.len(), &hasher, &bytes), kind.hash(&hasher, &line));
        }

        #[test]
        fn hashes_are_equal_where_lines_are(
            line in proptest::collection::vec(any::<u8>(), 1..100),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u32,
            kind in proptest::sample::select(KINDS),
        ) {
            let hasher = LineHasher::new();
            let hash = kind.hash(&hasher, &line);
            prop_assert!(hash.is_some());
            prop_assert_eq!(kind.hash(&hasher, &line.clone()), hash);
            prop_assert_ne!(kind.hash(&LineHasher::new(), &line), hash, "keys are drawn anew");
            let mut longer = line.clone();
            longer.push(0);
            prop_assert_ne!(kind.hash(&hasher, &longer), hash);
            let mut other = line.clone();
            other[at.index(line.len())] ^= 1 << bit;
            prop_assert_ne!(kind.hash(&hasher, &other), hash);
        }
    }

    #[test]
    fn every_byte_of_a_long_line_counts() {
        KINDS.iter().for_each(|kind| every_byte_counts(*kind));
    }

    fn every_byte_counts(kind: Kind) {
        let hasher = LineHasher::new();
        let mut line = vec![b'a'; HASHED_BYTES_MAX];
        let mut seen = HashMap::from([(kind.hash(&hasher, &line).unwrap().second, None)]);
        for at in 0..line.len() {
            line[at] ^= 1;
            assert_eq!(seen.insert(kind.hash(&hasher, &line).unwrap().second, Some(at)), None, "byte {at}");
            line[at] ^= 1;
        }
        line.push(b'a');
        assert_eq!(kind.hash(&hasher, &line), None);
    }

    /// Blocks that change places, and zeros at the end, are what a weaker sum would not see.
    #[test]
    fn order_and_zeros_count() {
        KINDS.iter().for_each(|kind| order_and_zeros_count_in(*kind));
    }

    fn order_and_zeros_count_in(kind: Kind) {
        let hasher = LineHasher::new();
        let mut seen = HashMap::new();
        for blocks in ["ab", "ba", "a", "b", "aa", "bb", "aba", "baa", "aab"] {
            let line: Vec<u8> = blocks.bytes().flat_map(|byte| [byte; BLOCK_BYTES]).collect();
            for zeros in 0..2 * BLOCK_BYTES {
                let line = [&line[..], &vec![0; zeros]].concat();
                assert_eq!(seen.insert(kind.hash(&hasher, &line).unwrap().second, (blocks, zeros)), None);
            }
        }
    }

    /// Two lines share a place as often as chance would have it over all keys; with some keys many do, with others fewer.
    #[test]
    fn places_and_tags_are_spread() {
        KINDS.iter().for_each(|kind| places_and_tags_are_spread_by(*kind));
    }

    fn places_and_tags_are_spread_by(kind: Kind) {
        const HASHERS: u64 = 256;
        const LINES: u64 = 256;
        const PLACES: usize = 16;
        let lines: Vec<String> = (0..LINES).map(|nth| format!("X: {nth}")).collect();
        let (mut shared, mut held) = ([0; 3], [[0; PLACES]; 3]);
        for _ in 0..HASHERS {
            let hasher = LineHasher::new();
            let hashes: Vec<LineHash> =
                lines.iter().map(|line| kind.hash(&hasher, line.as_bytes()).unwrap()).collect();
            assert!(hashes.iter().all(|hash| hash.tag() != 0));
            let bits = [LineHash::place, LineHash::other_place, |hash: LineHash| hash.tag() as usize];
            for ((shared, held), bits) in shared.iter_mut().zip(&mut held).zip(bits) {
                let mut filled = [0_u64; PLACES];
                hashes.iter().for_each(|hash| filled[bits(*hash) % PLACES] += 1);
                held.iter_mut().zip(filled).for_each(|(held, lines)| *held += lines);
                *shared += filled.iter().map(|lines| lines * lines.saturating_sub(1) / 2).sum::<u64>();
            }
        }
        let by_chance = HASHERS * LINES * (LINES - 1) / 2 / PLACES as u64;
        let shares = shared.map(|pairs| pairs as f64 / by_chance as f64);
        assert!(shares.iter().all(|share| (0.8..1.25).contains(share)), "{shares:?}");
        let line_count = HASHERS * LINES / 1024;
        let is_held = |lines: &u64| (24 * line_count..=120 * line_count).contains(lines);
        assert!(held.iter().flatten().all(is_held), "{held:?}");
    }
}
