//! A folder held open: what is done in it is done there, wherever its path leads by then.
//!
//! Between two steps by path a filesystem may be unmounted, or come back. Invariant: a name is looked for, made and moved
//! in the folder that was opened, or not at all.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use super::{Change, make};
use crate::file::FILE_MODE;

/// A folder, and the path it was opened by, which all paths given here are directly below.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file: Arc<File>,
}

impl Folder {
    /// Opens the folder; a link in its place is not followed.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        Ok(Folder { path: path.to_owned(), file: Arc::new(options.open(path)?) })
    }

    /// Opens the folder that `path` is in.
    pub(crate) fn of(path: &Path) -> io::Result<Folder> {
        Folder::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    /// The device of the filesystem it is on.
    pub(crate) fn device(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.dev())
    }

    /// Makes a file that was not there.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<File> {
        make(Change::CreateFile(path.to_owned()), || {
            self.open_file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
        })
    }

    /// Makes a file, or empties one that is there.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        make(Change::CreateFile(path.to_owned()), || {
            self.open_file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)
        })
    }

    /// Opens a file; a link in its place is not followed.
    pub(crate) fn open_file(&self, path: &Path, how: OFlags) -> io::Result<File> {
        let how = how | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let name = self.name(path);
        let opened =
            retry_on_intr(|| rustix::fs::openat(&self.file, name, how, Mode::from_raw_mode(FILE_MODE)))?;
        Ok(File::from(opened))
    }

    /// Whether the name is there; an error where that cannot be told.
    pub(crate) fn has(&self, path: &Path) -> io::Result<bool> {
        match rustix::fs::statat(&self.file, self.name(path), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves a name of this folder into `folder`, over whatever had the new name.
    pub(crate) fn rename(&self, from: &Path, folder: &Folder, to: &Path) -> io::Result<()> {
        make(Change::Rename(from.to_owned(), to.to_owned()), || {
            let (old, new) = (self.name(from), folder.name(to));
            Ok(rustix::fs::renameat(&self.file, old, &folder.file, new)?)
        })
    }

    /// Removes a file's name; who has the file open goes on reading it.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        make(Change::RemoveFile(path.to_owned()), || {
            Ok(rustix::fs::unlinkat(&self.file, self.name(path), AtFlags::empty())?)
        })
    }

    /// Removes a file's name, if it is there.
    pub(crate) fn remove_if_there(&self, path: &Path) -> io::Result<()> {
        match self.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes its entries durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        make(Change::SyncFolder(self.path.clone()), || self.file.sync_all())
    }

    fn name<'a>(&self, path: &'a Path) -> &'a OsStr {
        debug_assert!(path.parent().is_some_and(|parent| parent == self.path || parent == Path::new("")));
        path.file_name().expect("a path with a name")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_done_in_a_folder_is_done_wherever_it_has_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (path, elsewhere) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&path).expect("made");
        let folder = Folder::open(&path).expect("a folder");
        fs::rename(&path, &elsewhere).expect("moved");
        fs::create_dir(&path).expect("another in its place");
        folder.create_new(&path.join("file")).expect("made");
        folder.create_new(&path.join("file")).expect_err("it is there");
        assert!(folder.has(&path.join("file")).expect("readable") && elsewhere.join("file").exists());
        folder.rename(&path.join("file"), &folder, &path.join("name")).expect("moved");
        folder.sync().expect("synced");
        fs::remove_file(elsewhere.join("name")).expect("there");
        assert!(!folder.has(&path.join("name")).expect("readable"));
        assert_eq!(fs::read_dir(&path).expect("readable").count(), 0, "nothing is put in its place");
    }
}
