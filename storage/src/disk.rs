//! Every change that publishing, recovery, the manifest and retention make to the filesystem, one function each.
//!
//! What they do is what their namesakes in `std::fs` do, and a trace line. Tests record the operations of a protocol
//! here, replay every crash between two of them, and let any of them fail.

mod folder;
mod home;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fmt,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::dataset::FOLDER_MODE;

pub(crate) use self::{folder::Folder, home::Home};

/// One change, or the sync that makes earlier ones durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file that was not there, empty.
    CreateFile(PathBuf),
    /// A folder that was not there.
    CreateFolder(PathBuf),
    /// The content of a file becomes durable.
    SyncFile(PathBuf),
    /// The entries of a folder become durable.
    SyncFolder(PathBuf),
    /// A file gets another length.
    SetLen(PathBuf, u64),
    /// A name moves, over whatever had the new name.
    Rename(PathBuf, PathBuf),
    /// A file's name goes.
    RemoveFile(PathBuf),
    /// An empty folder goes.
    RemoveFolder(PathBuf),
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::CreateFile(path) => write!(out, "create {}", path.display()),
            Change::CreateFolder(path) => write!(out, "create folder {}", path.display()),
            Change::SyncFile(path) => write!(out, "sync {}", path.display()),
            Change::SyncFolder(path) => write!(out, "sync folder {}", path.display()),
            Change::SetLen(path, len) => write!(out, "cut {} to {len}", path.display()),
            Change::Rename(from, to) => write!(out, "rename {} to {}", from.display(), to.display()),
            Change::RemoveFile(path) => write!(out, "remove {}", path.display()),
            Change::RemoveFolder(path) => write!(out, "remove folder {}", path.display()),
        }
    }
}

/// Makes one change by `act`.
pub(crate) fn make<T>(change: Change, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    tracing::trace!(%change, "filesystem");
    #[cfg(test)]
    tests::before(&change)?;
    let done = act()?;
    #[cfg(test)]
    tests::after(change);
    Ok(done)
}

/// Makes the content of a file durable.
pub(crate) fn sync_file(path: &Path, file: &File) -> io::Result<()> {
    make(Change::SyncFile(path.to_owned()), || file.sync_data())
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    make(Change::SyncFolder(folder.to_owned()), || File::open(folder)?.sync_all())
}

/// Cuts a file, or lets it grow by zeros.
pub(crate) fn set_len(path: &Path, file: &File, len: u64) -> io::Result<()> {
    make(Change::SetLen(path.to_owned(), len), || file.set_len(len))
}

/// Moves a name.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    make(Change::Rename(from.to_owned(), to.to_owned()), || fs::rename(from, to))
}

/// Removes a file's name; who has the file open goes on reading it.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    make(Change::RemoveFile(path.to_owned()), || fs::remove_file(path))
}

/// Removes a file's name, if it is there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a folder if it is empty; true where it is gone.
pub(crate) fn remove_folder_if_empty(folder: &Path) -> bool {
    make(Change::RemoveFolder(folder.to_owned()), || fs::remove_dir(folder)).is_ok()
}

/// Makes `folder` and what is missing between it and `base`, durably; those that it made, from the outermost in.
pub(crate) fn create_folder(base: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    if folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    let missing: Vec<&Path> = folder.ancestors().take_while(|ancestor| !ancestor.is_dir()).collect();
    for made in missing.into_iter().rev() {
        let created =
            make(Change::CreateFolder(made.to_owned()), || DirBuilder::new().mode(FOLDER_MODE).create(made));
        match created {
            Ok(()) => all.push(made.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(parent) = made.parent().filter(|parent| parent.starts_with(base)) {
            sync_folder(parent)?;
        }
    }
    Ok(all)
}
