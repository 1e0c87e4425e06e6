//! Tokens: what a secret becomes. Equal for equal secrets under one key, and no way back without it.
//!
//! `tok:` + key id (4) + `.` + 96 bits of keyed BLAKE3 in base64url (16). Invariant: nothing here keeps a secret.

use super::key::Key;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = PREFIX.len() + KEY_ID_CHARS + 1 + DIGEST_CHARS;

const PREFIX: &[u8] = b"tok:";
const KEY_ID_CHARS: usize = 4;
const DIGEST_CHARS: usize = 16;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Makes tokens under one key.
pub(super) struct Tokenizer {
    key: Key,
    /// `tok:`, the key id, and the dot.
    front: [u8; TOKEN_BYTES - DIGEST_CHARS],
}

impl Tokenizer {
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn new(key: Key) -> Tokenizer {
        let id = base64url(&blake3::derive_key("hdrcap 2026 redaction key id", key.bytes()));
        let mut front = [b'.'; TOKEN_BYTES - DIGEST_CHARS];
        front[..PREFIX.len()].copy_from_slice(PREFIX);
        front[PREFIX.len()..PREFIX.len() + KEY_ID_CHARS].copy_from_slice(&id[..KEY_ID_CHARS]);
        Tokenizer { key, front }
    }

    /// The id that every token of this key carries.
    pub(super) fn key_id(&self) -> &str {
        let id = &self.front[PREFIX.len()..PREFIX.len() + KEY_ID_CHARS];
        std::str::from_utf8(id).expect("base64url is ASCII")
    }

    /// Appends the token of `secret`.
    pub(super) fn write(&self, secret: &[u8], out: &mut Vec<u8>) {
        let digest = blake3::keyed_hash(self.key.bytes(), secret);
        out.extend_from_slice(&self.front);
        out.extend_from_slice(&base64url(digest.as_bytes()));
    }

    /// Stands for `number` where it may be guessed from what it was made of.
    pub(super) fn pseudonym(&self, number: u64) -> u64 {
        let mut message = *b"hdrcap 2026 pseudonym of        ";
        message[24..].copy_from_slice(&number.to_le_bytes());
        let digest = blake3::keyed_hash(self.key.bytes(), &message);
        digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Bytes of the token of this key that `bytes` begins with, or 0.
    pub(super) fn len_at(&self, bytes: &[u8]) -> usize {
        if bytes.len() >= TOKEN_BYTES && bytes.starts_with(&self.front) { TOKEN_BYTES } else { 0 }
    }
}

/// The first 12 bytes as base64url.
fn base64url(digest: &[u8; 32]) -> [u8; DIGEST_CHARS] {
    let mut text = [0; DIGEST_CHARS];
    for (bytes, chars) in digest.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let bits = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
        for (at, char) in chars.iter_mut().enumerate() {
            *char = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: u8, secret: &[u8]) -> String {
        let mut out = Vec::new();
        Tokenizer::new(Key::from_bytes([key; 32])).write(secret, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_secrets_have_equal_tokens_under_one_key_only() {
        assert_eq!(token(1, b"hunter2"), token(1, b"hunter2"));
        assert_ne!(token(1, b"hunter2"), token(1, b"hunter3"));
        assert_ne!(token(1, b"hunter2")[9..], token(2, b"hunter2")[9..]);
        assert_ne!(token(1, b"hunter2")[..9], token(2, b"hunter2")[..9]);
    }

    #[test]
    fn a_token_is_known_by_its_form() {
        let tokenizer = Tokenizer::new(Key::from_bytes([1; 32]));
        let token = token(1, b"x");
        assert_eq!(token.len(), TOKEN_BYTES);
        assert_eq!(&token[..9], format!("tok:{}.", tokenizer.key_id()));
        assert!(token[9..].bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(tokenizer.len_at(format!("{token}/x").as_bytes()), TOKEN_BYTES);
        assert_eq!(tokenizer.len_at(b"tok"), 0);
    }

    #[test]
    fn pseudonyms_are_equal_for_equal_numbers_under_one_key_only() {
        let of = |key: u8, number| Tokenizer::new(Key::from_bytes([key; 32])).pseudonym(number);
        assert_eq!(of(1, 7), of(1, 7));
        assert!(of(1, 7) != of(1, 8) && of(1, 7) != of(2, 7) && of(1, 7) != 7);
    }

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        let mut digest = [0; 32];
        digest[..12].copy_from_slice(&[0xfb, 0xef, 0xff, 0, 16, 131, 16, 81, 135, 32, 146, 139]);
        assert_eq!(&base64url(&digest), b"--__ABCDEFGHIJKL");
    }
}
