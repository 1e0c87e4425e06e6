//! Encryption at rest: Parquet modular encryption of everything a file holds, by the keys of a key file.
//!
//! The parquet crate encrypts pages. Page indexes and the footer are encrypted here, as they stand behind row groups that
//! are written one by one and must be whole at every sync. There are no bloom filters: DuckDB cannot read a column then. Invariant: of an encrypted file
//! nothing is in clear but its lengths, the ids of its keys, and the random number that tells it from others.

mod file;
mod keyring;
mod module;
mod passing;
mod reading;
mod thrift;

pub use self::keyring::{KEY_BYTES, KEY_FILE_BYTES_MAX, KEYS_MAX, KeyFileError, Keyring, wipe};
pub(crate) use self::{
    file::{FileCipher, MAGIC, column_metadata_ranges, properties},
    module::ROW_GROUPS_MAX,
    passing::PassingKey,
    reading::{Reading, is_key_missing},
};
