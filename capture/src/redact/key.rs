//! The redaction key of an installation: 32 random bytes in a file that only its owner can read.
//!
//! Loaded once at start, never logged. Invariant: a key file is created whole or not at all, and never overwritten.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use storage::secret::Secret;

use super::token::Tokenizer;
use crate::private;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The key of the tokens; its clones share one page of locked memory.
#[derive(Clone)]
pub struct Key(Arc<Secret<KEY_BYTES>>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there and cannot be read.
    #[error("cannot read the redaction key {}; let the user hdrcap runs as own it", path.display())]
    Unreadable {
        /// The key file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The key cannot be changed.
    #[error("cannot put a new redaction key in the place of {}; check that its folder is writable", path.display())]
    NotRotated {
        /// The key file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file could not be made.
    #[error("cannot create the redaction key {}; check that its folder exists and is writable", path.display())]
    NotCreated {
        /// The key file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Group or others may read or write it.
    #[error("the redaction key {} is open to others (mode {mode:04o}); run `chmod 600` on it, and remove it first if it may be known", path.display())]
    Permissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error("the redaction key {} is no regular file of {KEY_BYTES} bytes; restore it, or remove it to have a new one made (tokens then differ from those in older files)", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
}

impl Key {
    /// A key from its bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Key {
        let mut secret = Secret::zeros();
        secret.bytes_mut().copy_from_slice(&bytes);
        Key(Arc::new(secret))
    }

    /// Reads the key file, or makes one with mode 0600 where there is none.
    pub fn load_or_create(path: &Path) -> Result<Key, KeyError> {
        match load(path) {
            Err(KeyError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let created = Key::random().and_then(|key| private::create(path, key.bytes()));
                created.map_err(|source| KeyError::NotCreated { path: path.into(), source })?;
                load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the key file, which must be there.
    pub fn load(path: &Path) -> Result<Key, KeyError> {
        load(path)
    }

    /// The id that tokens of this key carry.
    pub fn id(&self) -> String {
        Tokenizer::new(self.clone()).key_id().to_owned()
    }

    /// Puts a new key in the place of the old one, which is kept beside it under its id: at every moment one of the two
    /// is whole in its place.
    pub fn rotate(path: &Path) -> Result<Rotated, KeyError> {
        let old = load(path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", old.id()));
        let old_path = PathBuf::from(name);
        let not_rotated = |source| KeyError::NotRotated { path: path.into(), source };
        match fs::hard_link(path, &old_path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(not_rotated(error)),
            // Kept by a rotation that was cut short.
            Err(_) if load(&old_path)?.bytes() != old.bytes() => {
                return Err(not_rotated(io::ErrorKind::AlreadyExists.into()));
            }
            Ok(()) | Err(_) => {}
        }
        let new = Key::random().map_err(not_rotated)?;
        private::replace(path, new.bytes()).map_err(not_rotated)?;
        Ok(Rotated { old_id: old.id(), new_id: new.id(), old_path })
    }

    fn random() -> io::Result<Key> {
        let mut secret = Secret::zeros();
        File::open("/dev/urandom")?.read_exact(secret.bytes_mut())?;
        Ok(Key(Arc::new(secret)))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }
}

/// What a change of key led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Id of the key before.
    pub old_id: String,
    /// Id of the key now.
    pub new_id: String,
    /// Where the key before is kept.
    pub old_path: PathBuf,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

fn load(path: &Path) -> Result<Key, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.into(), source };
    let mut file = private::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() != KEY_BYTES as u64 {
        return Err(KeyError::NoKey { path: path.into() });
    }
    if let Some(mode) = private::too_open(&metadata) {
        return Err(KeyError::Permissions { path: path.into(), mode });
    }
    let mut secret = Secret::zeros();
    file.read_exact(secret.bytes_mut()).map_err(unreadable)?;
    Ok(Key(Arc::new(secret)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_folder_is_made_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/hdrcap/redaction.key");
        Key::load_or_create(&path).unwrap();
        let mode = path.parent().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redact.key");
        let first = Key::load_or_create(&path).unwrap();
        let second = Key::load_or_create(&path).unwrap();
        assert_eq!(first.bytes(), second.bytes());
        assert_ne!(first.bytes(), &[0; KEY_BYTES]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(format!("{first:?}"), "Key(..)");
    }

    #[test]
    fn a_rotated_key_is_new_and_the_old_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redact.key");
        assert!(matches!(Key::rotate(&path).unwrap_err(), KeyError::Unreadable { .. }));
        let first = Key::load_or_create(&path).unwrap();
        let rotated = Key::rotate(&path).unwrap();
        let (second, kept) = (Key::load(&path).unwrap(), Key::load(&rotated.old_path).unwrap());
        assert_eq!((first.bytes(), first.id()), (kept.bytes(), rotated.old_id.clone()));
        assert_eq!(second.id(), rotated.new_id);
        assert_ne!(first.id(), second.id());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // Cut short after the old key was kept: the next one goes on.
        fs::hard_link(&path, folder.path().join(format!("redact.key.{}", second.id()))).unwrap();
        assert_eq!(Key::rotate(&path).unwrap().old_id, second.id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn two_installations_differ() {
        let folder = tempfile::tempdir().unwrap();
        let one = Key::load_or_create(&folder.path().join("a")).unwrap();
        let other = Key::load_or_create(&folder.path().join("b")).unwrap();
        assert_ne!(one.bytes(), other.bytes());
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        drop(Key::load_or_create(&path).unwrap());
        set_mode(&path, 0o640);
        let error = Key::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyError::Permissions { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"));
        fs::write(&path, b"short").unwrap();
        set_mode(&path, 0o600);
        assert!(matches!(Key::load_or_create(&path).unwrap_err(), KeyError::NoKey { .. }));
        assert_eq!(fs::read(&path).unwrap(), b"short");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(Key::load_or_create(&link).unwrap_err(), KeyError::Unreadable { .. }));
        let nowhere = Path::new("/proc/no/key");
        assert!(matches!(Key::load_or_create(nowhere).unwrap_err(), KeyError::NotCreated { .. }));
    }
}
