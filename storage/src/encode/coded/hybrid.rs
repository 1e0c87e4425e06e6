//! The hybrid of run-length encoding and bit-packing that Parquet writes levels and dictionary indices in.
//!
//! A run of eight equal values or more is one value and a length; what lies between runs is packed, eight values a group.
//! Invariant: a reader gets back the values, followed by fewer than eight zeros.

/// Values of a packed group.
const GROUP: usize = 8;

/// Equal values of one bit that are written as a run: that takes three bytes or more, with what begins anew behind it.
const RUN_BYTES_MIN: usize = 4;

/// Bits that any of the numbers below `count` needs.
pub(super) fn width_of(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Appends `values`, each of `width` bits, to `out`.
pub(super) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while at < values.len() {
        let run = run_len(&values[at..]);
        if run < GROUP && at + run < values.len() {
            at = (at + GROUP).min(values.len());
            continue;
        }
        pack(&values[packed..at], width, out);
        encode_run(values[at], run, width, out);
        at += run;
        packed = at;
    }
    pack(&values[packed..], width, out);
}

/// Appends `count` values of one bit, which `packed` holds eight a byte, the first in the lowest bit.
pub(super) fn encode_bits(packed: &[u8], count: usize, out: &mut Vec<u8>) {
    let (mut begun, mut at) = (0, 0);
    while at < packed.len() {
        // Of a last byte that is not full the rest is no value.
        let run = equal_bytes(&packed[at..count / GROUP]);
        if run >= RUN_BYTES_MIN {
            literal(&packed[begun..at], out);
            encode_run(u32::from(packed[at] & 1), run * GROUP, 1, out);
            begun = at + run;
        }
        at += run.max(1);
    }
    literal(&packed[begun..], out);
}

/// How many bytes at the beginning are eight values alike, all the same.
fn equal_bytes(packed: &[u8]) -> usize {
    match packed {
        [first @ (0 | u8::MAX), ..] => packed.iter().take_while(|byte| *byte == first).count(),
        [..] => 0,
    }
}

/// Appends groups of values of one bit, a byte each, as they are.
fn literal(packed: &[u8], out: &mut Vec<u8>) {
    if !packed.is_empty() {
        varint(packed.len() << 1 | 1, out);
        out.extend_from_slice(packed);
    }
}

/// Appends one value `count` times.
pub(super) fn encode_run(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    if count > 0 {
        varint(count << 1, out);
        out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
    }
}

fn run_len(values: &[u32]) -> usize {
    values.iter().take_while(|value| **value == values[0]).count()
}

fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    varint(groups << 1 | 1, out);
    out.reserve(groups * width as usize + size_of::<u64>());
    let end = out.len() + groups * width as usize;
    let (mut bits, mut filled) = (0_u64, 0);
    for value in values {
        bits |= u64::from(*value) << filled;
        filled += width;
        if filled >= u32::BITS {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= u32::BITS;
            filled -= u32::BITS;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes());
    out.resize(end, 0);
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the format's text reads, a bit at a time.
    fn decode(mut bytes: &[u8], width: u32) -> Vec<u32> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let mut header = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= usize::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            let len = header >> 1;
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let value = value.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, len));
                bytes = rest;
            } else {
                let (packed, rest) = bytes.split_at(len * width as usize);
                let bit = |at: usize| u32::from(packed[at / 8] >> (at % 8) & 1);
                let value = |at: usize| {
                    (0..width).fold(0, |value, n| value | bit(at * width as usize + n as usize) << n)
                };
                values.extend((0..len * 8).map(value));
                bytes = rest;
            }
        }
        values
    }

    proptest! {
        #[test]
        fn a_reader_gets_the_values_back(
            runs in proptest::collection::vec((any::<u32>(), 1_usize..20, any::<bool>()), 0..30),
            width in 1_u32..=32,
        ) {
            let value = |seed: u32, nth: usize, equal: bool| {
                let seed = if equal { seed } else { seed.wrapping_mul(nth as u32 | 1) };
                seed & (u64::from(u32::MAX) >> (32 - width)) as u32
            };
            let values: Vec<u32> = runs
                .iter()
                .flat_map(|&(seed, len, equal)| (0..len).map(move |nth| value(seed, nth, equal)))
                .collect();
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            let read = decode(&bytes, width);
            prop_assert!(read.len() < values.len() + GROUP);
            prop_assert_eq!(&read[..values.len()], &values[..]);
            prop_assert!(read[values.len()..].iter().all(|value| *value == 0));
        }
    }

    proptest! {
        #[test]
        fn a_reader_gets_bits_back(
            runs in proptest::collection::vec((any::<bool>(), prop_oneof![1_usize..12, 20_usize..80]), 0..30),
        ) {
            let bits: Vec<bool> =
                runs.iter().flat_map(|&(bit, len)| std::iter::repeat_n(bit, len)).collect();
            let mut packed = vec![0; bits.len().div_ceil(GROUP)];
            bits.iter().enumerate().for_each(|(at, bit)| packed[at / GROUP] |= u8::from(*bit) << (at % GROUP));
            let mut bytes = Vec::new();
            encode_bits(&packed, bits.len(), &mut bytes);
            let read = decode(&bytes, 1);
            prop_assert!(read.len() < bits.len() + GROUP);
            prop_assert!(read.iter().map(|value| *value == 1).take(bits.len()).eq(bits.iter().copied()));
            prop_assert!(read[bits.len()..].iter().all(|value| *value == 0));
            prop_assert!(bytes.len() <= packed.len() + 4);
        }
    }

    #[test]
    fn one_value_needs_no_bits() {
        assert_eq!([0, 1, 2, 3, 4, 5, 256, 257].map(width_of), [0, 0, 1, 2, 2, 3, 8, 9]);
        let mut bytes = Vec::new();
        encode(&[0; 300], 0, &mut bytes);
        assert_eq!(bytes, [0xd8, 0x04]);
    }
}
