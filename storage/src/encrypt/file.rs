//! One encrypted file: who it is, and the parts of it that the parquet crate leaves to its caller.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use parquet::{
    encryption::encrypt::FileEncryptionProperties,
    errors::{ParquetError, Result},
    file::{
        column_crypto_metadata::{ColumnCryptoMetaData, EncryptionWithColumnKey},
        metadata::ColumnChunkMetaData,
    },
    schema::types::SchemaDescriptor,
};
use serde::{Deserialize, Serialize};

use super::{
    keyring::Keyring,
    module::{Module, Place, Sealer, additional_data},
    thrift::{Kind, Walk},
};

/// Begins and ends a file with an encrypted footer.
pub(crate) const MAGIC: &[u8; 4] = b"PARE";

/// Bytes behind a footer: its length and the magic.
const END_BYTES: usize = 8;

/// What stands in a file to find a key by, as readers with a key management client (parquet-mr, Arrow) want it: they ask
/// their client to unwrap `wrapped`, which is the key's id here, and use what it returns.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyMaterial {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID", skip_serializing_if = "Option::is_none", default)]
    kms_instance_id: Option<String>,
    #[serde(rename = "kmsInstanceURL", skip_serializing_if = "Option::is_none", default)]
    kms_instance_url: Option<String>,
    #[serde(rename = "masterKeyID")]
    master_key_id: String,
    #[serde(rename = "wrappedDEK")]
    wrapped: String,
    double_wrapping: bool,
}

fn key_material(id: &str, is_footer_key: bool) -> Vec<u8> {
    let instance = is_footer_key.then(|| "DEFAULT".to_owned());
    let material = KeyMaterial {
        key_material_type: "PKMT1".to_owned(),
        internal_storage: true,
        is_footer_key,
        kms_instance_id: instance.clone(),
        kms_instance_url: instance,
        master_key_id: id.to_owned(),
        wrapped: id.to_owned(),
        double_wrapping: false,
    };
    serde_json::to_vec(&material).expect("strings and truth values serialise")
}

/// The id of the key that this material stands for.
pub(super) fn key_id(material: &[u8]) -> Option<String> {
    serde_json::from_slice(material).ok().map(|material: KeyMaterial| material.master_key_id)
}

/// What the parquet crate needs to encrypt the pages of files with this schema; nothing where the ring is empty.
pub(crate) fn properties(
    keyring: &Keyring,
    schema: &SchemaDescriptor,
) -> Result<Option<Arc<FileEncryptionProperties>>> {
    let Some(footer_id) = keyring.footer_id() else { return Ok(None) };
    let key = |id: &str| keyring.key(id).expect("a ring has the keys it names").to_vec();
    let mut builder = FileEncryptionProperties::builder(key(footer_id))
        .with_footer_key_metadata(key_material(footer_id, true));
    let own_id = |path: &[String]| path.first().and_then(|name| keyring.column_id(name));
    if schema.columns().iter().any(|column| own_id(column.path().parts()).is_some()) {
        // Columns that are not named would stay in clear then.
        for column in schema.columns() {
            let id = own_id(column.path().parts()).unwrap_or(footer_id);
            builder = builder.with_column_key(&column.path().string(), key(id));
        }
    }
    builder.build().map(Some)
}

/// What stands in clear before a footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// As it is in the file.
    clear: Vec<u8>,
    /// Begins the additional data of each module.
    unique: Vec<u8>,
    /// Of the footer's key.
    pub(super) key_id: String,
}

impl Identity {
    /// That of a file which ends in these bytes; `None` where they are no end of an encrypted file of ours.
    pub(super) fn of(tail: &[u8]) -> Option<Identity> {
        let (before, end) = tail.split_last_chunk::<END_BYTES>()?;
        let (length, magic) = end.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let footer = before.get(before.len().checked_sub(length)?..)?;
        if magic != MAGIC {
            return None;
        }
        let mut walk = Walk::new(footer);
        // FileCryptoMetaData: 1 algorithm { 1 AES_GCM_V1 { 1 prefix, 2 unique } }, 2 key metadata
        let mut inner = walk.clone();
        inner.enter(1, Kind::STRUCT)?;
        inner.enter(1, Kind::STRUCT)?;
        inner.enter(2, Kind::BINARY)?;
        let unique = inner.binary()?.to_vec();
        walk.enter(2, Kind::BINARY)?;
        let key_id = key_id(walk.binary()?)?;
        walk.leave(2)?;
        Some(Identity { clear: footer[..walk.at()].to_vec(), unique, key_id })
    }
}

/// Encrypts what of a file is not pages.
pub(crate) struct FileCipher {
    identity: Identity,
    keyring: Keyring,
    sealers: BTreeMap<String, Sealer>,
}

impl std::fmt::Debug for FileCipher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FileCipher").field("key_id", &self.identity.key_id).finish_non_exhaustive()
    }
}

impl FileCipher {
    /// The cipher of the file which ends in these bytes.
    pub(crate) fn of(tail: &[u8], keyring: &Keyring) -> Result<FileCipher> {
        let identity = Identity::of(tail)
            .ok_or_else(|| ParquetError::General("this is no end of an encrypted file".to_owned()))?;
        let mut sealers = BTreeMap::new();
        for id in keyring.ids() {
            let key = keyring.key(id).expect("a ring has the keys it lists");
            sealers.insert(id.to_owned(), Sealer::new(key)?);
        }
        Ok(FileCipher { identity, keyring: keyring.clone(), sealers })
    }

    /// The end of a file from its footer in clear on: encrypted footer, length, magic.
    pub(crate) fn seal_footer(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let data = additional_data(&self.identity.unique, Module::Footer, None);
        let sealed = self.sealer(&self.identity.key_id)?.seal(plain, &data)?;
        let mut end = self.identity.clear.clone();
        end.extend(sealed);
        let length = u32::try_from(end.len())
            .map_err(|error| ParquetError::General(format!("a footer is too long: {error}")))?;
        end.extend(length.to_le_bytes());
        end.extend(MAGIC);
        Ok(end)
    }

    /// What encrypts the parts of a column chunk: with the key it has already, or the one that the ring names.
    pub(crate) fn column<'a>(
        &'a self,
        column: &ColumnChunkMetaData,
        (row_group, ordinal): (usize, usize),
    ) -> Result<ColumnSealer<'a>> {
        let path = column.column_path().parts();
        let own_id = match column.crypto_metadata() {
            Some(ColumnCryptoMetaData::ENCRYPTION_WITH_FOOTER_KEY) => None,
            Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(with)) => {
                with.key_metadata.as_deref().and_then(key_id)
            }
            None => path.first().and_then(|name| self.keyring.column_id(name)).map(str::to_owned),
        };
        let crypto_metadata = match &own_id {
            None => ColumnCryptoMetaData::ENCRYPTION_WITH_FOOTER_KEY,
            Some(id) => ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(EncryptionWithColumnKey {
                path_in_schema: path.to_vec(),
                key_metadata: Some(key_material(id, false)),
            }),
        };
        Ok(ColumnSealer {
            unique: &self.identity.unique,
            sealer: self.sealer(own_id.as_deref().unwrap_or(&self.identity.key_id))?,
            place: Place::new(row_group, ordinal)?,
            crypto_metadata,
        })
    }

    fn sealer(&self, id: &str) -> Result<&Sealer> {
        let missing = || ParquetError::General(format!("there is no key {id}"));
        self.sealers.get(id).ok_or_else(missing)
    }
}

/// Encrypts the parts of one column chunk.
pub(crate) struct ColumnSealer<'a> {
    unique: &'a [u8],
    sealer: &'a Sealer,
    place: Place,
    /// What the footer says of the column's key.
    pub(crate) crypto_metadata: ColumnCryptoMetaData,
}

impl ColumnSealer<'_> {
    /// A serialised column index.
    pub(crate) fn column_index(&self, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal(Module::ColumnIndex, plain)
    }

    /// A serialised offset index.
    pub(crate) fn offset_index(&self, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal(Module::OffsetIndex, plain)
    }

    /// A column's metadata, which has to be encrypted by itself where the column's key is not the footer's.
    pub(crate) fn column_metadata(&self, plain: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.crypto_metadata {
            ColumnCryptoMetaData::ENCRYPTION_WITH_FOOTER_KEY => Ok(None),
            ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(_) => {
                self.seal(Module::ColumnMetadata, plain).map(Some)
            }
        }
    }

    fn seal(&self, module: Module, plain: &[u8]) -> Result<Vec<u8>> {
        self.sealer.seal(plain, &additional_data(self.unique, module, Some(self.place)))
    }
}

/// Where the metadata of each column of the first row group stands in a footer in clear.
pub(crate) fn column_metadata_ranges(footer: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut walk = Walk::new(footer);
    // FileMetaData: 4 row groups [ RowGroup: 1 columns [ ColumnChunk: 3 metadata ] ]
    walk.enter(4, Kind::LIST)?;
    walk.structs().filter(|count| *count > 0)?;
    walk.enter(1, Kind::LIST)?;
    let columns = walk.structs()?;
    let mut ranges = Vec::new();
    for _ in 0..columns {
        walk.enter(3, Kind::STRUCT)?;
        ranges.push(walk.whole_struct()?);
        walk.leave(3)?;
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_what_key_management_clients_read() {
        let material = key_material("0a1b2c3d", true);
        assert_eq!(
            String::from_utf8(material.clone()).expect("JSON"),
            r#"{"keyMaterialType":"PKMT1","internalStorage":true,"isFooterKey":true,"kmsInstanceID":"DEFAULT","kmsInstanceURL":"DEFAULT","masterKeyID":"0a1b2c3d","wrappedDEK":"0a1b2c3d","doubleWrapping":false}"#
        );
        assert_eq!(key_id(&material).as_deref(), Some("0a1b2c3d"));
        assert_eq!(key_id(&key_material("x", false)).as_deref(), Some("x"));
        assert_eq!(key_id(b"kf"), None);
    }

    #[test]
    fn what_is_no_end_of_an_encrypted_file_has_no_identity() {
        for tail in [
            &b""[..],
            b"PARE",
            b"\0\0\0\0PARE",
            b"\xff\xff\xff\xffPARE",
            b"\x01\0\0\0PARE",
            b"x\x01\0\0\0PARE",
        ] {
            assert_eq!(Identity::of(tail), None, "{tail:?}");
        }
    }
}
