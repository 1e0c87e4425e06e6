//! Time stamps of pcapng: ticks of an interface's own resolution, made nanoseconds of Unix time.

use super::TS_NS_MAX;

const NANOS: u64 = 1_000_000_000;

/// Resolution and offset of one interface (options `if_tsresol` and `if_tsoffset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    resolution: Resolution,
    offset_ns: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// A tick is this many nanoseconds.
    Coarse(u64),
    /// A nanosecond is this many ticks.
    Fine(u128),
    /// A tick is one second shifted right by this.
    Binary(u32),
}

impl Ticks {
    /// Understands `if_tsresol` (a power of ten, or of two with the top bit set) and `if_tsoffset` (seconds).
    pub(super) fn new(tsresol: u8, tsoffset: i64) -> Self {
        let exponent = u32::from(tsresol & 0x7f);
        let resolution = match (tsresol & 0x80 != 0, exponent) {
            (true, _) => Resolution::Binary(exponent),
            (false, 0..=9) => Resolution::Coarse(10u64.pow(9 - exponent)),
            // Beyond 10^-38 s a whole counter of ticks is less than a nanosecond.
            (false, _) => Resolution::Fine(10u128.checked_pow(exponent - 9).unwrap_or(u128::MAX)),
        };
        Self { resolution, offset_ns: i128::from(tsoffset) * i128::from(NANOS) }
    }

    /// Unix nanoseconds of a tick count, held between 0 and `TS_NS_MAX`.
    #[inline]
    pub(super) fn to_unix_ns(self, ticks: u64) -> u64 {
        let since_offset = match self.resolution {
            Resolution::Coarse(ns) => u128::from(ticks) * u128::from(ns),
            Resolution::Fine(per_ns) => u128::from(ticks) / per_ns,
            Resolution::Binary(shift) => (u128::from(ticks) * u128::from(NANOS)) >> shift,
        };
        // Below 2^94 in every arm, so the sum with an offset below 2^94 fits.
        (since_offset as i128 + self.offset_ns).clamp(0, i128::from(TS_NS_MAX)) as u64
    }
}

impl Default for Ticks {
    /// Microseconds since 1970, which holds where an interface says nothing.
    fn default() -> Self {
        Self::new(6, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_of_ten_and_two() {
        let second = NANOS;
        for (tsresol, ticks, expected) in [
            (0, 7, 7 * second),
            (3, 1_500, second + second / 2),
            (6, 1_000_001, second + 1_000),
            (9, 1_000_000_001, second + 1),
            (12, 1_000_000_001_999, second + 1),
            (127, u64::MAX, 0),
            (0x80, 3, 3 * second),
            (0x80 | 10, 1024 + 512, second + second / 2),
            (0x80 | 32, 5 << 32, 5 * second),
            (0x80 | 127, u64::MAX, 0),
        ] {
            assert_eq!(Ticks::new(tsresol, 0).to_unix_ns(ticks), expected, "if_tsresol {tsresol}");
        }
    }

    #[test]
    fn offsets_shift_and_the_range_saturates() {
        assert_eq!(Ticks::new(6, 100).to_unix_ns(1), 100 * NANOS + 1_000);
        assert_eq!(Ticks::new(6, -100).to_unix_ns(200_000_000), 100 * NANOS);
        assert_eq!(Ticks::new(6, -100).to_unix_ns(1), 0);
        assert_eq!(Ticks::new(6, i64::MIN).to_unix_ns(u64::MAX), 0);
        for tsresol in 0..=255 {
            assert!(Ticks::new(tsresol, i64::MAX).to_unix_ns(u64::MAX) == TS_NS_MAX);
        }
    }
}
