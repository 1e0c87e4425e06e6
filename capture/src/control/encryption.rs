//! Keys of encryption at rest: the ring that a dataset is written and read with, and making its file.

use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use storage::encrypt::{KEY_FILE_BYTES_MAX, KeyFileError, Keyring, wipe};

use crate::{private, settings::NewKeys};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("cannot read the encryption keys {}; hdrcap key encryption makes such a file", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the encryption keys {} are open to others (mode {mode:04o}); run `chmod 600` on the file", path.display())]
    Permissions { path: PathBuf, mode: u32 },
    #[error("{} is no file of encryption keys", path.display())]
    NoKeys { path: PathBuf, source: KeyFileError },
    #[error("{} is no regular file of at most {KEY_FILE_BYTES_MAX} bytes: give one that hdrcap key encryption made", path.display())]
    NoFile { path: PathBuf },
    #[error("{} is there already and may be all that a dataset can be read with: choose another name, or add --rotate", path.display())]
    Exists { path: PathBuf },
}

/// The keys of this file; none where there is no file.
pub(super) fn keyring(path: Option<&Path>) -> anyhow::Result<Keyring> {
    path.map_or_else(|| Ok(Keyring::default()), |path| Ok(load(path)?))
}

fn load(path: &Path) -> Result<Keyring, KeysError> {
    let unreadable = |source| KeysError::Unreadable { path: path.into(), source };
    let file = private::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
        return Err(KeysError::NoFile { path: path.into() });
    }
    if let Some(mode) = private::too_open(&metadata) {
        return Err(KeysError::Permissions { path: path.into(), mode });
    }
    // Of that size from the start: text that grows leaves copies behind.
    let mut text = String::with_capacity(KEY_FILE_BYTES_MAX as usize);
    let read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
    let parsed = read.map_err(unreadable).and_then(|_| {
        Keyring::parse(&text).map_err(|source| KeysError::NoKeys { path: path.into(), source })
    });
    wipe(&mut text.into_bytes());
    parsed
}

/// Makes a key file, or new keys in one.
pub fn make_keys(path: &Path, keys: &NewKeys) -> anyhow::Result<ExitCode> {
    let ring = match keys {
        NewKeys::First(columns) => Keyring::random(columns).context("--columns")?,
        NewKeys::Next => load(path)?.rotated(),
    };
    let mut text = ring.text().into_bytes();
    let written = match keys {
        NewKeys::First(_) => private::create(path, &text),
        NewKeys::Next => private::replace(path, &text).map(|()| true),
    };
    wipe(&mut text);
    let is_written = written.with_context(|| {
        format!("cannot write {}; check that its folder exists and is writable", path.display())
    })?;
    if !is_written {
        return Err(KeysError::Exists { path: path.into() }.into());
    }
    let id = ring.footer_id().expect("a new ring has a key");
    writeln!(
        io::stdout(),
        "files are encrypted with key {id} of {} now\n\
         keep a copy of it apart from the dataset: what it encrypted cannot be read without\n\
         a capture that is running goes on with what it began with until it is started again",
        path.display()
    )
    .context("the report could not be printed")?;
    Ok(ExitCode::SUCCESS)
}
