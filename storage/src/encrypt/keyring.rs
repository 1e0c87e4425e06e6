//! The keys of a dataset: which one encrypts what, and those that older files need to be read.
//!
//! A key's id is part of its hash, so a file says which key it wants and a key that was mangled is found out before it
//! encrypts anything. Invariant: key bytes live in locked pages, and are in no message.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    schema::{SENSITIVE_COLUMNS, http_schema},
    secret::Secret,
};

/// Bytes of a key: AES-256.
pub const KEY_BYTES: usize = 32;

/// Longest key file: thousands of keys.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// Keys of one file at the most: each takes a page of locked memory.
pub const KEYS_MAX: usize = 256;

/// Goes before a key when its id is made.
const ID_CONTEXT: &[u8] = b"hdrcap encryption key\0";

/// Stands for `SENSITIVE_COLUMNS` where columns are named.
const SENSITIVE: &str = "sensitive";

/// Why a key file is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It is not TOML of this form.
    #[error("line {line}: {what}")]
    Form {
        /// Where.
        line: usize,
        /// What is wrong with it; never the line itself.
        what: String,
    },
    /// A key is no base64 of 32 bytes.
    #[error("key {0} is not {KEY_BYTES} bytes in base64: restore the file from where you keep a copy")]
    Key(String),
    /// A key is another one than its name says.
    #[error(
        "key {named} is not what its name says, it would be {is}: restore the file from where you keep a copy"
    )]
    OtherKey {
        /// Its name.
        named: String,
        /// The name it would have.
        is: String,
    },
    /// A key is named and not there.
    #[error("key {0} is named, but [keys] does not have it")]
    NoKey(String),
    /// No table has such a column.
    #[error("table http has no column {0:?}")]
    NoColumn(String),
    /// More keys than are ever needed.
    #[error(
        "there are {0} keys, of which {KEYS_MAX} are taken: move those that no file needs any more elsewhere"
    )]
    TooMany(usize),
}

/// The keys; clones share them. Without any, nothing is encrypted.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Keys>);

#[derive(Default)]
struct Keys {
    footer: Option<String>,
    /// Ids of keys by the name of the column.
    columns: BTreeMap<String, String>,
    keys: BTreeMap<String, Secret<KEY_BYTES>>,
}

/// A key file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    footer: String,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
}

impl Keyring {
    /// The keys of a key file with this text.
    pub fn parse(text: &str) -> Result<Keyring, KeyFileError> {
        let file: KeyFile = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            KeyFileError::Form { line: before.matches('\n').count() + 1, what: error.message().to_owned() }
        })?;
        if file.keys.len() > KEYS_MAX {
            return Err(KeyFileError::TooMany(file.keys.len()));
        }
        let mut keys = BTreeMap::new();
        for (named, encoded) in file.keys {
            let key = decode(encoded).ok_or_else(|| KeyFileError::Key(named.clone()))?;
            let is = id_of(&key);
            if is != named {
                return Err(KeyFileError::OtherKey { named, is });
            }
            keys.insert(named, key);
        }
        let columns = column_names();
        if let Some(name) = file.columns.keys().find(|name| !columns.contains(*name)) {
            return Err(KeyFileError::NoColumn(name.clone()));
        }
        let missing = file.columns.values().chain([&file.footer]).find(|id| !keys.contains_key(*id));
        if let Some(id) = missing {
            return Err(KeyFileError::NoKey(id.clone()));
        }
        Ok(Keyring(Arc::new(Keys { footer: Some(file.footer), columns: file.columns, keys })))
    }

    /// A ring with new keys: one for footers and columns, one for the `columns` that are to have another, if any.
    ///
    /// `sensitive` among them stands for those that may hold what a person sent or is.
    pub fn random(columns: &[String]) -> Result<Keyring, KeyFileError> {
        let known = column_names();
        let mut named = BTreeSet::new();
        for name in columns {
            if name == SENSITIVE {
                named.extend(SENSITIVE_COLUMNS.map(str::to_owned));
            } else if known.contains(name) {
                named.insert(name.clone());
            } else {
                return Err(KeyFileError::NoColumn(name.clone()));
            }
        }
        let mut keys = BTreeMap::new();
        let footer = add_random(&mut keys);
        let columns = match named.is_empty() {
            true => BTreeMap::new(),
            false => {
                let id = add_random(&mut keys);
                named.into_iter().map(|name| (name, id.clone())).collect()
            }
        };
        Ok(Keyring(Arc::new(Keys { footer: Some(footer), columns, keys })))
    }

    /// The same ring with new keys in the place of those in use, which stay for the files they encrypted.
    pub fn rotated(&self) -> Keyring {
        let mut keys: BTreeMap<String, Secret<KEY_BYTES>> =
            self.0.keys.iter().map(|(id, key)| (id.clone(), copy(key))).collect();
        let footer = Some(add_random(&mut keys));
        let mut columns = self.0.columns.clone();
        let mut renewed: BTreeMap<String, String> = BTreeMap::new();
        for id in columns.values_mut() {
            *id = renewed.entry(id.clone()).or_insert_with(|| add_random(&mut keys)).clone();
        }
        Keyring(Arc::new(Keys { footer, columns, keys }))
    }

    /// The text of a key file with these keys.
    pub fn text(&self) -> String {
        let mut text = "# Keys of hdrcap's encryption at rest. Whoever has this file can read the dataset; without it \
                        nobody can:\n# keep a copy elsewhere, apart from the dataset. Keys that older files need stay \
                        in [keys].\n\n"
            .to_owned();
        let mut line = |line: fmt::Arguments<'_>| {
            text.write_fmt(line).expect("a string takes all");
            text.push('\n');
        };
        if let Some(footer) = &self.0.footer {
            line(format_args!("footer = \"{footer}\""));
        }
        if !self.0.columns.is_empty() {
            line(format_args!("\n[columns]"));
        }
        for (name, id) in &self.0.columns {
            line(format_args!("{name} = \"{id}\""));
        }
        line(format_args!("\n[keys]"));
        for (id, key) in &self.0.keys {
            line(format_args!("{id} = \"{}\"", STANDARD.encode(key.bytes())));
        }
        text
    }

    /// Id of the key of footers, and of columns without one of their own; `None` where nothing is encrypted.
    pub fn footer_id(&self) -> Option<&str> {
        self.0.footer.as_deref()
    }

    /// Id of the key of a column of this name.
    pub(super) fn column_id(&self, name: &str) -> Option<&str> {
        self.0.columns.get(name).map(String::as_str)
    }

    /// The key with this id.
    pub(super) fn key(&self, id: &str) -> Option<&[u8; KEY_BYTES]> {
        self.0.keys.get(id).map(Secret::bytes)
    }

    /// Ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys.keys().map(String::as_str)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.ids()).finish()
    }
}

/// The id of a key: the beginning of its hash, which tells nothing of a key drawn at random.
fn id_of(key: &Secret<KEY_BYTES>) -> String {
    let hash = Sha256::new().chain_update(ID_CONTEXT).chain_update(key.bytes()).finalize();
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(encoded: String) -> Option<Secret<KEY_BYTES>> {
    let mut key = Secret::zeros();
    let mut encoded = encoded.into_bytes();
    let decoded = STANDARD.decode(&encoded);
    wipe(&mut encoded);
    let mut decoded = decoded.ok()?;
    let fits = decoded.len() == KEY_BYTES;
    if fits {
        key.bytes_mut().copy_from_slice(&decoded);
    }
    wipe(&mut decoded);
    fits.then_some(key)
}

/// Overwrites what was a key.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

fn add_random(keys: &mut BTreeMap<String, Secret<KEY_BYTES>>) -> String {
    let mut key = Secret::zeros();
    SystemRandom::new().fill(key.bytes_mut()).expect("the kernel has random bytes for every process");
    let id = id_of(&key);
    keys.insert(id.clone(), key);
    id
}

fn copy(key: &Secret<KEY_BYTES>) -> Secret<KEY_BYTES> {
    let mut copy = Secret::zeros();
    copy.bytes_mut().copy_from_slice(key.bytes());
    copy
}

fn column_names() -> BTreeSet<String> {
    http_schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(columns: &[&str]) -> Keyring {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        Keyring::random(&columns).expect("columns of the table")
    }

    #[test]
    fn what_is_written_is_read() {
        for ring in [named(&[]), named(&["host", "path"]), named(&["sensitive", "host"]).rotated()] {
            let again = Keyring::parse(&ring.text()).expect("a key file");
            assert_eq!(again.text(), ring.text());
            assert!(ring.footer_id().is_some_and(|id| again.key(id) == ring.key(id)));
        }
        assert!(named(&["sensitive"]).column_id("cookie").is_some());
        assert_eq!(named(&["host"]).column_id("cookie"), None);
        assert_eq!(Keyring::default().footer_id(), None);
    }

    #[test]
    fn a_rotated_ring_encrypts_with_new_keys_and_keeps_the_old_ones() {
        let old = named(&["host"]);
        let new = old.rotated();
        assert_ne!((old.footer_id(), old.column_id("host")), (new.footer_id(), new.column_id("host")));
        assert!(old.ids().all(|id| new.key(id) == old.key(id)));
        assert_eq!((old.ids().count(), new.ids().count()), (2, 4));
    }

    #[test]
    fn a_file_that_is_none_is_told_without_its_keys() {
        let text = named(&["host"]).text();
        let encoded: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(1)).collect();
        let key = encoded.iter().find(|word| word.len() > 40).expect("a key");
        let cases = [
            ("", "line 1: missing field `footer`"),
            (&text.replace("footer", "foot"), "line 4: unknown field `foot`"),
            (&text.replace("[keys]", "[keys"), "line 9: "),
            (&text.replace("host", "hosts"), "table http has no column \"hosts\""),
            (&text.replace("footer = \"", "footer = \"x"), "is named, but [keys] does not have it"),
            (&text.replace(key, "AAAA"), "is not 32 bytes in base64"),
            (&text.replace(key, &STANDARD.encode([0; 32])), "is not what its name says"),
        ];
        for (text, expected) in cases {
            let error = Keyring::parse(text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} for {expected}");
            assert!(!error.contains(&key[..10]), "{error}");
        }
        assert!(!format!("{:?}", named(&[])).contains('='), "ids only");
    }
}
