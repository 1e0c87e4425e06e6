//! Files that their owner alone may read: keys.
//!
//! Invariant: such a file is made whole or not at all, with mode 0600, and never written over by accident.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// Opens one to read; a link in its place is not followed, and nothing that is no file keeps waiting.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// The permission bits, where they let group or others read or write it.
pub(crate) fn too_open(metadata: &Metadata) -> Option<u32> {
    Some(metadata.permissions().mode() & 0o7777).filter(|mode| mode & 0o077 != 0)
}

/// Writes one beside `path` and links it there: whoever comes first wins, nobody sees half of it. False where there was
/// one. A folder that is missing is made for its owner alone.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let fresh = fresh_path(path);
    let linked = write_synced(&fresh, content).and_then(|()| match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        linked => linked.map(|()| true),
    });
    let removed = fs::remove_file(&fresh);
    let is_made = linked?;
    removed?;
    sync_folder(path)?;
    Ok(is_made)
}

/// Puts one in the place of another: at every moment one of the two is whole there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = fresh_path(path);
    write_synced(&fresh, content)?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

fn fresh_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    own_as_folder(&file, path)?;
    file.sync_all()
}

/// A key that root makes in the folder of another user, an installation's, is that user's: the service reads it later.
fn own_as_folder(file: &File, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (folder, own) = (folder.metadata()?, file.metadata()?);
    if own.uid() == 0 && folder.uid() != 0 {
        fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}
