//! What the hash of a line adds up: products of its blocks and of keys, as integers or, where the CPU multiplies those, as polynomials.
//!
//! Integers: NH of UMAC (Black et al., CRYPTO 1999; RFC 4418 section 5.2) over words of 64 bits, modulo 2^128. Polynomials over GF(2):
//! CLNH (Lemire and Kaser, Journal of Cryptographic Engineering 2016), for a third of the instructions.
//! Invariant: of two different lines, the sums differ by any given value with a probability of 2^-63 at the most, over all keys.

/// Bytes that one multiplication takes in.
pub(super) const BLOCK_BYTES: usize = 16;

/// Sums of products, of one kind.
pub(super) trait Arithmetic: Copy {
    /// A sum so far.
    type Sum: Copy;

    /// The sum of nothing but the length of a line.
    fn begin(self, len: usize) -> Self::Sum;

    /// The sum with a block's product.
    fn add(self, sum: Self::Sum, block: &[u8; BLOCK_BYTES], keys: &[u64; 2]) -> Self::Sum;

    /// The sum as a number.
    fn value(self, sum: Self::Sum) -> u128;
}

/// What is to be done with sums.
pub(super) trait Work {
    /// Does it; inlined, so that it is compiled for a CPU that has the arithmetic.
    fn run(self, arithmetic: impl Arithmetic);
}

/// Does the work with the arithmetic that takes this CPU the fewest instructions: always the same one.
#[inline]
pub(super) fn with_best_arithmetic(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if let Some(polynomials) = Polynomials::of_this_cpu() {
        return polynomials.run(work);
    }
    work.run(Integers);
}

/// Integers, on every CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers;

impl Arithmetic for Integers {
    type Sum = u128;

    #[inline(always)]
    fn begin(self, len: usize) -> u128 {
        len as u128
    }

    #[inline(always)]
    fn add(self, sum: u128, block: &[u8; BLOCK_BYTES], keys: &[u64; 2]) -> u128 {
        let block = u128::from_le_bytes(*block);
        let [first, second] =
            [(block as u64).wrapping_add(keys[0]), ((block >> 64) as u64).wrapping_add(keys[1])];
        sum.wrapping_add(u128::from(first) * u128::from(second))
    }

    #[inline(always)]
    fn value(self, sum: u128) -> u128 {
        sum
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86_64::Polynomials;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi64, _mm_xor_si128,
    };

    use super::{Arithmetic, BLOCK_BYTES, Work};

    /// Polynomials over GF(2), on a CPU that multiplies them. There is one only where the CPU has PCLMULQDQ, AVX2, BMI1 and BMI2.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Polynomials(());

    impl Polynomials {
        /// Those of this CPU.
        pub(in super::super) fn of_this_cpu() -> Option<Polynomials> {
            let has_all = is_x86_feature_detected!("pclmulqdq")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            has_all.then_some(Polynomials(()))
        }

        #[inline]
        pub(super) fn run(self, work: impl Work) {
            // SAFETY: the CPU has what is asked for, or there were no `self`.
            unsafe { run(work, self) }
        }
    }

    impl Arithmetic for Polynomials {
        type Sum = __m128i;

        #[inline(always)]
        fn begin(self, len: usize) -> __m128i {
            words([len as u64, 0])
        }

        #[inline(always)]
        fn add(self, sum: __m128i, block: &[u8; BLOCK_BYTES], keys: &[u64; 2]) -> __m128i {
            let block = u128::from_le_bytes(*block);
            // SAFETY: the CPU has PCLMULQDQ, or there were no `self`.
            unsafe { with_product(sum, words([block as u64, (block >> 64) as u64]), words(*keys)) }
        }

        #[inline(always)]
        fn value(self, sum: __m128i) -> u128 {
            // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
            unsafe { number(sum) }
        }
    }

    #[target_feature(enable = "pclmulqdq,avx2,bmi1,bmi2")]
    #[inline]
    fn run(work: impl Work, polynomials: Polynomials) {
        work.run(polynomials);
    }

    #[inline(always)]
    fn words([low, high]: [u64; 2]) -> __m128i {
        // SAFETY: every x86-64 CPU has SSE2, the architecture says so.
        unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) }
    }

    #[target_feature(enable = "pclmulqdq")]
    #[inline]
    fn with_product(sum: __m128i, block: __m128i, keys: __m128i) -> __m128i {
        const LOW_BY_HIGH: i32 = 0x01;
        let factors = _mm_xor_si128(block, keys);
        _mm_xor_si128(sum, _mm_clmulepi64_si128::<LOW_BY_HIGH>(factors, factors))
    }

    #[target_feature(enable = "sse2")]
    #[inline]
    fn number(sum: __m128i) -> u128 {
        let word = |low: __m128i| u128::from(_mm_cvtsi128_si64(low).cast_unsigned());
        word(_mm_unpackhi_epi64(sum, sum)) << 64 | word(sum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_are_added_as_their_naive_twin_adds_them(
            len in any::<u16>(), words in any::<[u64; 2]>(), keys in any::<[u64; 2]>(),
        ) {
            let factor = |at: usize| (u128::from(words[at]) + u128::from(keys[at])) % (1 << 64);
            let naive = (factor(0) * factor(1)).wrapping_add(len.into());
            prop_assert_eq!(sum(Integers, len, words, keys), naive);
        }

        #[cfg(target_arch = "x86_64")]
        #[test]
        fn polynomials_are_added_as_their_naive_twin_adds_them(
            len in any::<u16>(), words in any::<[u64; 2]>(), keys in any::<[u64; 2]>(),
        ) {
            let (first, second) = (words[0] ^ keys[0], words[1] ^ keys[1]);
            let product = (0..64).filter(|at| first >> at & 1 == 1).fold(0, |sum, at| sum ^ u128::from(second) << at);
            let arithmetic = Polynomials::of_this_cpu();
            prop_assert!(arithmetic.is_some(), "the tests need a CPU with PCLMULQDQ, AVX2, BMI1 and BMI2");
            prop_assert_eq!(arithmetic.map(|arithmetic| sum(arithmetic, len, words, keys)), Some(product ^ u128::from(len)));
        }
    }

    fn sum(arithmetic: impl Arithmetic, len: u16, [low, high]: [u64; 2], keys: [u64; 2]) -> u128 {
        let block = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
        arithmetic.value(arithmetic.add(arithmetic.begin(len.into()), &block, &keys))
    }
}
