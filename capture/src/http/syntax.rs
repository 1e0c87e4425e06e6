//! Character classes of RFC 9110 and RFC 3986, and the few byte helpers every file here shares.
//!
//! Invariant: pure, and right for any byte.

use storage::search::holds_any;

/// `tchar` of RFC 9110 section 5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// True for a character of a token (RFC 9110 section 5.6.2).
#[inline]
pub(crate) fn is_token_char(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// True where any byte is NUL or CR.
#[inline]
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    holds_any(bytes, [0, b'\r'])
}

/// True for a non-empty token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_char(byte))
}

/// True for SP and HTAB (RFC 9110 section 5.6.3).
#[inline]
pub(crate) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// True for what a lenient reader takes as white space in a start line (RFC 9112 section 3).
#[inline]
pub(crate) fn is_lenient_space(byte: u8) -> bool {
    LENIENT_SPACES.contains(&byte)
}

/// Each of them.
pub(crate) const LENIENT_SPACES: [u8; 5] = [b' ', b'\t', 0x0b, 0x0c, b'\r'];

/// True for a byte that may stand before a start line: empty lines (RFC 9112 section 2.2) and white space.
#[inline]
pub(crate) fn is_leading(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Bytes before the start line.
pub(crate) fn leading_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_leading(byte)).unwrap_or(bytes.len())
}

/// The bytes without blanks and line ends around them.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let start = leading_len(bytes);
    let end = bytes.iter().rposition(|&byte| !is_leading(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The members of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty ones included.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Parts `bytes` at the first `delimiter`, which belongs to neither side.
pub(crate) fn split_once(bytes: &[u8], delimiter: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(delimiter, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The byte that two hex digits stand for.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn controls_are_those_of_the_naive_twin(bytes in proptest::collection::vec(prop_oneof![0_u8..2, 12_u8..15, any::<u8>()], 0..50)) {
            prop_assert_eq!(has_control(&bytes), bytes.iter().any(|byte| matches!(byte, 0 | b'\r')));
        }
    }
}
