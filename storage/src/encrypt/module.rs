//! Modules: the parts of an encrypted Parquet file that are encrypted each by itself, with AES in Galois/counter mode.
//!
//! As the Parquet modular encryption specification has it: a length, a nonce, the ciphertext, a tag. The additional
//! data names the file and the module's place in it, so that no module can stand in for another.

use parquet::errors::{ParquetError, Result};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};

/// Row groups of an encrypted file at the most: their number is 16 bits of the additional data.
pub(crate) const ROW_GROUPS_MAX: usize = i16::MAX as usize;

const LENGTH_BYTES: usize = 4;

/// What a module is, by the numbers of the specification; pages are the parquet
/// crate's, and bloom filters are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    Footer = 0,
    ColumnMetadata = 1,
    ColumnIndex = 6,
    OffsetIndex = 7,
}

/// A column chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    row_group: i16,
    column: i16,
}

impl Place {
    pub(super) fn new(row_group: usize, column: usize) -> Result<Place> {
        let ordinal = |at: usize| {
            i16::try_from(at).map_err(|error| ParquetError::General(format!("ordinal {at}: {error}")))
        };
        Ok(Place { row_group: ordinal(row_group)?, column: ordinal(column)? })
    }
}

/// The additional data of a module; the footer has no place.
pub(super) fn additional_data(file: &[u8], module: Module, place: Option<Place>) -> Vec<u8> {
    let mut data = file.to_vec();
    data.push(module as u8);
    if let Some(Place { row_group, column }) = place {
        data.extend(row_group.to_le_bytes());
        data.extend(column.to_le_bytes());
    }
    data
}

/// Encrypts modules under one key.
pub(super) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// A sealer with a key of 16 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Sealer> {
        let algorithm = if key.len() == AES_128_GCM.key_len() { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(failed)?;
        Ok(Sealer { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// The module that holds `plain`.
    pub(super) fn seal(&self, plain: &[u8], additional_data: &[u8]) -> Result<Vec<u8>> {
        // Nonces are drawn at random: 2^32 modules of one key meet by less than one in 2^32.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let tag_bytes = self.key.algorithm().tag_len();
        let length = u32::try_from(NONCE_LEN + plain.len() + tag_bytes)
            .map_err(|error| ParquetError::General(format!("a module is too long: {error}")))?;
        let mut sealed = Vec::with_capacity(LENGTH_BYTES + NONCE_LEN + plain.len() + tag_bytes);
        sealed.extend(length.to_le_bytes());
        sealed.extend(nonce);
        sealed.extend(plain);
        let body = &mut sealed[LENGTH_BYTES + NONCE_LEN..];
        let (nonce, data) = (Nonce::assume_unique_for_key(nonce), Aad::from(additional_data));
        let tag = self.key.seal_in_place_separate_tag(nonce, data, body).map_err(failed)?;
        sealed.extend(tag.as_ref());
        Ok(sealed)
    }
}

fn failed(error: ring::error::Unspecified) -> ParquetError {
    ParquetError::General(format!("cannot encrypt: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_the_additional_datas_own() {
        let sealer = Sealer::new(&[7; 32]).expect("32 bytes are a key");
        let data = additional_data(b"file-id.", Module::ColumnIndex, Place::new(258, 3).ok());
        assert_eq!(data, b"file-id.\x06\x02\x01\x03\x00");
        let sealed = sealer.seal(b"words", &data).expect("sealed");
        assert_eq!(sealed.len(), 4 + 12 + 5 + 16);
        assert_eq!(sealed[..4], 33u32.to_le_bytes());
        let open = |data: &[u8]| {
            let nonce = Nonce::try_assume_unique_for_key(&sealed[4..16]).expect("12 bytes");
            let mut body = sealed[16..].to_vec();
            sealer.key.open_in_place(nonce, Aad::from(data), &mut body).map(|plain| plain.to_vec()).ok()
        };
        assert_eq!(open(&data).as_deref(), Some(&b"words"[..]));
        let elsewhere = additional_data(b"file-id.", Module::ColumnIndex, Place::new(258, 4).ok());
        assert_eq!(open(&elsewhere), None);
        assert_ne!(sealer.seal(b"words", &data).expect("sealed"), sealed, "a nonce is used once");
        assert!(Place::new(ROW_GROUPS_MAX + 1, 0).is_err());
    }

    #[test]
    fn a_key_has_16_or_32_bytes() {
        for (len, is_key) in [(16, true), (32, true), (0, false), (24, false), (33, false)] {
            assert_eq!(Sealer::new(&vec![1; len]).is_ok(), is_key, "{len}");
        }
    }
}
