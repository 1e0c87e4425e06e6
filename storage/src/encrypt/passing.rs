//! A key for files that go with the process: what passes through the disk in between is as unreadable as what stays.

use std::sync::Arc;

use parquet::{
    encryption::{decrypt::FileDecryptionProperties, encrypt::FileEncryptionProperties},
    errors::Result,
};
use ring::rand::{SecureRandom, SystemRandom};

use super::keyring::{KEY_BYTES, wipe};

/// A key that is written nowhere.
#[derive(Clone)]
pub(crate) struct PassingKey {
    encryption: Arc<FileEncryptionProperties>,
    decryption: Arc<FileDecryptionProperties>,
}

impl PassingKey {
    /// Draws a key.
    pub(crate) fn random() -> Result<PassingKey> {
        let mut key = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).expect("the kernel has random bytes for every process");
        let encryption = FileEncryptionProperties::builder(key.to_vec()).build();
        let decryption = FileDecryptionProperties::builder(key.to_vec()).build();
        wipe(&mut key);
        Ok(PassingKey { encryption: encryption?, decryption: decryption? })
    }

    /// What the parquet crate writes with.
    pub(crate) fn encryption(&self) -> Arc<FileEncryptionProperties> {
        Arc::clone(&self.encryption)
    }

    /// What it reads with.
    pub(crate) fn decryption(&self) -> Arc<FileDecryptionProperties> {
        Arc::clone(&self.decryption)
    }
}
