//! Reading encrypted metadata with a ring: which key a file wants, and being clear about the one that is not there.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::{
    encryption::decrypt::{FileDecryptionProperties, KeyRetriever},
    errors::{ParquetError, Result},
};

use super::{file::key_id, keyring::Keyring};

/// A file wants a key that is not among those given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is encrypted with key {id}, and {have}: give the key file that has it with --encryption-keys FILE",
    have = said(have)
)]
pub(crate) struct KeyMissing {
    id: String,
    have: Vec<String>,
}

fn said(ids: &[String]) -> String {
    match ids {
        [] => "no key was given".to_owned(),
        ids => format!("the keys given are {}", ids.join(", ")),
    }
}

/// Whether an error of reading says that a key is missing.
pub(crate) fn is_key_missing(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<KeyMissing>())
}

/// One read of a file's metadata.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Wanted>);

#[derive(Debug)]
struct Wanted {
    keyring: Keyring,
    missing: Mutex<Option<String>>,
}

impl Reading {
    pub(crate) fn new(keyring: &Keyring) -> Reading {
        Reading(Arc::new(Wanted { keyring: keyring.clone(), missing: Mutex::default() }))
    }

    /// What the parquet crate asks for keys.
    pub(crate) fn properties(&self) -> Result<Arc<FileDecryptionProperties>> {
        FileDecryptionProperties::with_key_retriever(Arc::clone(&self.0) as Arc<dyn KeyRetriever>).build()
    }

    /// What came of the read: the first key that was not there explains any error, and a success without it too.
    pub(crate) fn result<T>(self, result: Result<T>) -> Result<T> {
        match self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(id) => {
                let have = self.0.keyring.ids().map(str::to_owned).collect();
                Err(ParquetError::External(Box::new(io::Error::other(KeyMissing { id, have }))))
            }
            None => result,
        }
    }
}

impl KeyRetriever for Wanted {
    fn retrieve_key(&self, key_metadata: &[u8]) -> Result<Vec<u8>> {
        let id = key_id(key_metadata);
        if let Some(key) = id.as_deref().and_then(|id| self.keyring.key(id)) {
            return Ok(key.to_vec());
        }
        let id = id.unwrap_or_else(|| "of another program".to_owned());
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get_or_insert_with(|| id.clone());
        Err(ParquetError::General(format!("there is no key {id}")))
    }
}
