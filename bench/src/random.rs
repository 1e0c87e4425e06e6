//! Seeded random numbers (xoshiro256**) whose sequence no dependency can change, and the distributions made of them.
//!
//! Only exact integer and IEEE operations, no libm: the same numbers on every machine.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        let mut word = seed;
        let state = std::array::from_fn(|_| {
            // SplitMix64, as the authors of xoshiro recommend for seeding.
            word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// A stream of its own, so that what one part draws does not shift another's numbers.
    pub fn fork(&mut self) -> Self {
        Self::new(self.bits())
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// 32 random bits.
    pub fn bits32(&mut self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// A number from 0 to below `end`, which is above 0.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "no number is below zero");
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// A number from `start` to below `end`.
    pub fn range(&mut self, start: usize, end: usize) -> usize {
        start + self.below(end - start)
    }

    /// True with this probability.
    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number from 0 to below 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of the values, each as likely.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// How often something of this probability happens before it fails once.
    pub fn geometric(&mut self, probability: f64) -> usize {
        let mut count = 0;
        while self.chance(probability) {
            count += 1;
        }
        count
    }

    /// A length whose logarithm is normal, between `min` and `max`.
    pub fn log_normal(&mut self, mean: f64, deviation: f64, min: usize, max: usize) -> usize {
        // Twelve uniform numbers sum up to a normal one, near enough and without a logarithm.
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (exp(mean + deviation * normal) as usize).clamp(min, max)
    }

    /// Random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.bits().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Characters of an alphabet.
    pub fn text(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len).map(|_| char::from(self.pick(alphabet))).collect()
    }

    /// Lower-case hexadecimal digits.
    pub fn hex(&mut self, len: usize) -> String {
        self.text(b"0123456789abcdef", len)
    }

    /// Characters as base64url writes them.
    pub fn base64(&mut self, len: usize) -> String {
        self.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", len)
    }

    /// A random UUID.
    pub fn uuid(&mut self) -> String {
        format!("{}-{}-4{}-a{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }
}

/// Ranks of which the first comes up most: the n-th half, third, quarter as often.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulative: Vec<u64>,
}

impl Zipf {
    /// Ranks 0 to below `count`, which is above 0.
    pub fn new(count: usize) -> Self {
        let weights = (1..=count as u64).map(|rank| (1 << 40) / rank);
        let cumulative = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { cumulative: cumulative.collect() }
    }

    /// A rank.
    pub fn draw(&self, random: &mut Random) -> usize {
        let total = self.cumulative[self.cumulative.len() - 1];
        let point = random.below(total as usize) as u64;
        self.cumulative.partition_point(|sum| *sum <= point)
    }
}

/// e^x for moderate x: powers of two times a Taylor series, in operations that are exact by IEEE 754.
fn exp(x: f64) -> f64 {
    let halvings = (x / std::f64::consts::LN_2).floor();
    let rest = x - halvings * std::f64::consts::LN_2;
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..18 {
        term *= rest / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((1023 + halvings as i64) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_seed_is_fixed() {
        let mut random = Random::new(0);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a, 0x1a5f_849d_4933_e6e0]
        );
    }

    #[test]
    fn exp_agrees_with_libm() {
        for tenth in -100..=100 {
            let x = f64::from(tenth) / 10.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn distributions_have_their_shape() {
        let mut random = Random::new(7);
        let zipf = Zipf::new(10);
        let mut counts = [0u32; 10];
        for _ in 0..20_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        assert!(
            counts.is_sorted_by(|a, b| a >= b) && counts[0] > 2 * counts[3] && counts[9] > 0,
            "{counts:?}"
        );
        let mean = (0..20_000).map(|_| random.geometric(6.0 / 7.0)).sum::<usize>() as f64 / 20_000.0;
        assert!((5.7..6.3).contains(&mean), "{mean}");
        let mut lengths: Vec<_> = (0..20_001).map(|_| random.log_normal(6.0, 0.9, 0, 1 << 20)).collect();
        lengths.sort_unstable();
        assert!((380..430).contains(&lengths[10_000]), "median {}", lengths[10_000]);
    }
}
