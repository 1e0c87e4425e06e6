//! Long values as if drawn at random: bearer tokens, keys and session ids at places whose name promises nothing.
//!
//! A run of token characters of a length that words do not reach, with digits, and with letters and digits (or lower and
//! upper case) taking turns more often than in words, or of hex digits of both kinds. Invariant: few bytes are looked at,
//! and those a fixed number of times.

use super::{
    policy::Action,
    spans::{Spans, Why},
};

/// Shortest run taken for a secret: 128 bits in hex; shorter ones are mostly numbers of records.
const LONG_BYTES_MIN: usize = 32;

/// The same where the run's end is missing.
const CUT_BYTES_MIN: usize = 16;

/// One turn between kinds of characters in so many at the least: words written together have fewer.
const TURN_DISTANCE_MAX: usize = 5;

/// Shortest piece of a run, between dashes, that makes all of it a secret.
const PIECE_BYTES_MIN: usize = 20;

/// What runs are made of: base64 of either alphabet, and hex.
static RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/');
        byte += 1;
    }
    table
};

/// True where `bytes` has a run long enough for a secret.
pub(super) fn has_run(bytes: &[u8]) -> bool {
    next_run(bytes, 0, LONG_BYTES_MIN).is_some()
}

/// Calls `found` with start and end of each run of at least `min` bytes, in order.
fn runs(bytes: &[u8], min: usize, mut found: impl FnMut(usize, usize)) {
    let mut from = 0;
    while let Some((start, end)) = next_run(bytes, from, min) {
        found(start, end);
        from = end + 1;
    }
}

/// Start and end of the first run of at least `min` bytes, `from` being where one may begin.
fn next_run(bytes: &[u8], from: usize, min: usize) -> Option<(usize, usize)> {
    let is_run = |byte: &u8| RUN[*byte as usize];
    let mut start = from;
    while let Some(window) = bytes.get(start..start + min) {
        // No run of that length begins at or before the last byte that ends one.
        if let Some(last) = window.iter().rposition(|byte| !is_run(byte)) {
            start += last + 1;
            continue;
        }
        let rest = &bytes[start + min..];
        let more = rest.iter().position(|byte| !is_run(byte)).unwrap_or(rest.len());
        return Some((start, start + min + more));
    }
    None
}

/// Adds the secrets among the runs of a value. `path_len` bytes of it are a path, in which a slash ends a value.
pub(super) fn search(value: &[u8], path_len: usize, cut: bool, spans: &mut Spans) {
    let min = if cut { CUT_BYTES_MIN } else { LONG_BYTES_MIN };
    runs(value, min, |start, end| {
        let min = if cut && end == value.len() { CUT_BYTES_MIN } else { LONG_BYTES_MIN };
        if start >= path_len && is_random(&value[start..end], min) {
            let padding = value[end..].iter().take_while(|&&byte| byte == b'=').count();
            return spans.add(start, end + padding, Action::Token, Why::LongValue);
        }
        let mut at = start;
        for piece in value[start..end].split(|&byte| byte == b'/') {
            if is_random(piece, min) {
                spans.add(at, at + piece.len(), Action::Token, Why::LongValue);
            }
            at += piece.len() + 1;
        }
    });
}

/// True where any run of `value` is a secret.
pub(super) fn holds(value: &[u8]) -> bool {
    let mut found = false;
    runs(value, LONG_BYTES_MIN, |start, end| {
        let run = &value[start..end];
        found |= is_random(run, LONG_BYTES_MIN)
            || run.split(|&byte| byte == b'/').any(|piece| is_random(piece, LONG_BYTES_MIN));
    });
    found
}

fn is_random(run: &[u8], min: usize) -> bool {
    if run.len() < min || is_uuid(run) {
        return false;
    }
    let mut pieces = run.split(|&byte| byte == b'-' || byte == b'_');
    is_drawn(run) || pieces.any(|piece| piece.len() >= PIECE_BYTES_MIN && is_drawn(piece))
}

/// Of what was drawn at random, one of 700 in base64 (43 characters) has fewer turns; hex is told by its alphabet.
fn is_drawn(run: &[u8]) -> bool {
    turns_often(run) || is_hex(run)
}

/// Hex digits, with letters among them: no word is that long, and a number has none.
fn is_hex(run: &[u8]) -> bool {
    run.iter().all(u8::is_ascii_hexdigit)
        && run.iter().any(u8::is_ascii_digit)
        && run.iter().any(u8::is_ascii_alphabetic)
}

fn turns_often(run: &[u8]) -> bool {
    let mut digits = 0;
    let mut turns = 0;
    for pair in run.windows(2) {
        digits += usize::from(pair[1].is_ascii_digit());
        turns += usize::from(is_turn(pair[0], pair[1]));
    }
    (digits > 0 || run[0].is_ascii_digit()) && turns * TURN_DISTANCE_MAX >= run.len()
}

/// Between a digit and a letter, and from lower to upper case; a capital begins a word.
fn is_turn(one: u8, other: u8) -> bool {
    let letter_and_digit = |a: u8, b: u8| a.is_ascii_alphabetic() && b.is_ascii_digit();
    letter_and_digit(one, other)
        || letter_and_digit(other, one)
        || one.is_ascii_lowercase() && other.is_ascii_uppercase()
}

/// A UUID (RFC 9562 section 4): the name of a thing.
fn is_uuid(run: &[u8]) -> bool {
    run.len() == 36
        && run.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn naive_runs(bytes: &[u8], min: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut start = 0;
        for at in 0..=bytes.len() {
            if at == bytes.len() || !RUN[bytes[at] as usize] {
                if at - start >= min {
                    found.push((start, at));
                }
                start = at + 1;
            }
        }
        found
    }

    #[test]
    fn secrets_of_the_wild() {
        for secret in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc4242",
            "hf_jKx82LmQ9sTnVrPw3ZdYbGc7HaEu5FoN",
            "BQDxk3PbZ9mYt2Lr7WqNc5Vh8Kj4Gs6F",
        ] {
            assert!(is_random(secret.as_bytes(), LONG_BYTES_MIN), "{secret}");
            assert!(holds(format!("a {secret} b").as_bytes()), "{secret}");
        }
    }

    #[test]
    fn words_and_names_of_things() {
        for name in [
            "how-to-build-a-rest-api-in-2024-with-rust-and-axum",
            "550e8400-e29b-41d4-a716-446655440000",
            "internationalizationAndLocalizationSettings",
            "application/x-www-form-urlencoded",
            "getUserProfileInformationByIdentifierV2",
            "20241124164500123456789012345678901234",
            "api/v1/organizations/12345/projects/67890/issues/42",
            "the_quick_brown_fox_jumps_over_the_lazy_dog_1234567890",
        ] {
            assert!(!holds(name.as_bytes()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_agree_with_the_naive_twin(bytes in "[a-z0-9/ .]{0,200}", min in 1_usize..40) {
            let mut found = Vec::new();
            runs(bytes.as_bytes(), min, |start, end| found.push((start, end)));
            prop_assert_eq!(found, naive_runs(bytes.as_bytes(), min));
        }

        #[test]
        fn random_bytes_are_found_in_hex(secret in proptest::array::uniform16(any::<u8>())) {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let is_number = hex.bytes().all(|byte| byte.is_ascii_digit());
            let is_word = hex.bytes().all(|byte| byte.is_ascii_alphabetic());
            prop_assert_eq!(holds(hex.as_bytes()), !is_number && !is_word, "{}", hex);
        }
    }

    #[test]
    fn random_bytes_are_mostly_found_in_base64() {
        const DRAWN: u32 = 10_000;
        let missed = (0..DRAWN).filter(|number| {
            let secret = blake3::hash(&number.to_le_bytes());
            let mut text = [0; 43];
            URL_SAFE_NO_PAD.encode_slice(secret.as_bytes(), &mut text).expect("43 characters hold 32 bytes");
            !holds(&text)
        });
        let missed = missed.count();
        assert!(missed < 25, "{missed} of {DRAWN}");
    }
}
