//! Bytes to text and back: what a STRING column holds for bytes that need not be UTF-8.
//!
//! A backslash is always doubled and a byte that is not UTF-8 becomes `\xNN`, so every stored value is UTF-8 and
//! every byte string has exactly one stored form. In field names a comma becomes `\x2C`, for names stand
//! comma-joined in one column.

use crate::search::holds_any_or_non_ascii;

/// True where the stored form of `bytes` is `bytes` itself and is found to be so cheaply: ASCII without backslash.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    !holds_any_or_non_ascii(bytes, [b'\\'])
}

/// Appends the stored form of `bytes` to `out`; true where a byte was not UTF-8.
pub(crate) fn escape_into(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let mut bad_utf8 = false;
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if byte == b'\\' {
                out.push(b'\\');
            }
            out.push(byte);
        }
        for &byte in chunk.invalid() {
            bad_utf8 = true;
            push_hex(byte, out);
        }
    }
    bad_utf8
}

/// Appends the stored form of a field name to `out`; true where a byte was not UTF-8.
pub(crate) fn escape_name_into(name: &[u8], out: &mut Vec<u8>) -> bool {
    let mut bad_utf8 = false;
    for (position, piece) in name.split(|&byte| byte == b',').enumerate() {
        if position > 0 {
            push_hex(b',', out);
        }
        bad_utf8 |= escape_into(piece, out);
    }
    bad_utf8
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'\\', b'x', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// The bytes whose stored form is `text`; a backslash that starts no escape stands for itself.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, used) = match (first, after) {
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => match hex_byte(*high, *low) {
                Some(byte) => (byte, 4),
                None => (first, 1),
            },
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(bytes: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let bad_utf8 = escape_into(bytes, &mut out);
        (String::from_utf8(out).expect("stored form is UTF-8"), bad_utf8)
    }

    #[test]
    fn known_forms() {
        assert_eq!(escaped(b"plain"), ("plain".to_owned(), false));
        assert_eq!(escaped(br"a\b"), (r"a\\b".to_owned(), false));
        assert_eq!(escaped("é".as_bytes()), ("é".to_owned(), false));
        assert_eq!(escaped(b"a\xffb"), (r"a\xFFb".to_owned(), true));
        assert_eq!(escaped(br"\xFF"), (r"\\xFF".to_owned(), false));
        let mut name = Vec::new();
        assert!(!escape_name_into(b"a,b,", &mut name));
        assert_eq!(name, br"a\x2Cb\x2C");
        assert_eq!(unescape(r"a\x2Cb\x2C"), b"a,b,");
    }

    proptest! {
        #[test]
        fn every_byte_string_comes_back(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'F')], 0..64)) {
            let (text, bad_utf8) = escaped(&bytes);
            prop_assert_eq!(unescape(&text), bytes.clone());
            prop_assert_eq!(bad_utf8, std::str::from_utf8(&bytes).is_err());
        }

        #[test]
        fn plain_is_what_the_naive_twin_says(
            mut bytes in proptest::collection::vec(0u8..0x80, 0..40),
            at in any::<proptest::sample::Index>(),
            special in prop_oneof![Just(None), Just(Some(b'\\')), Just(Some(0x80)), Just(Some(0xff)), Just(Some(b']'))],
        ) {
            if let (Some(special), false) = (special, bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = special;
            }
            let naive = bytes.iter().all(|&byte| byte < 0x80 && byte != b'\\');
            prop_assert_eq!(is_plain(&bytes), naive);
        }
    }
}
