//! Where a dataset is: its folder, and the filesystem that this was on when it was opened.
//!
//! Invariant: where that filesystem is not mounted any more, nothing is put in its place.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Folder, create_folder, remove_folder_if_empty};

/// A dataset's folder.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    /// Of its filesystem; `None` where it may be on any.
    device: Option<u64>,
}

impl Home {
    /// The folder at `dir`, whatever is mounted there.
    pub(crate) fn anywhere(dir: &Path) -> Home {
        Home { dir: dir.to_owned(), device: None }
    }

    /// The folder at `dir` on the filesystem that is mounted there now.
    pub(crate) fn here(dir: &Path) -> Home {
        Home { dir: dir.to_owned(), device: device_of(dir) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens a folder of the dataset, made if it is missing.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<Folder> {
        let (made, opened) = match create_folder(&self.dir, path) {
            Ok(made) => (made, Folder::open(path)),
            Err(error) => (Vec::new(), Err(error)),
        };
        let Some(device) = self.device else { return opened };
        let found = match &opened {
            Ok(folder) => Some(folder.device()?),
            Err(_) => device_of(&self.dir),
        };
        if found == Some(device) {
            return opened;
        }
        for folder in made.into_iter().rev() {
            remove_folder_if_empty(&folder);
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the filesystem that was there is not mounted any more"))
    }
}

/// The device of the filesystem that `dir` is on, or would be made on.
fn device_of(dir: &Path) -> Option<u64> {
    let absolute = std::path::absolute(dir).ok()?;
    absolute.ancestors().find_map(|folder| fs::metadata(folder).ok()).map(|metadata| metadata.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_in_the_place_of_a_filesystem_that_went() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut home = Home::here(&dir.path().join("data"));
        let inner = home.dir().join("a/b");
        assert!(home.folder(&inner).is_ok() && inner.is_dir());
        // As if the folder had been on another filesystem.
        home.device = home.device.map(|device| device + 1);
        for path in [inner, home.dir().join("c/d")] {
            let error = home.folder(&path).expect_err("another filesystem");
            assert!(error.to_string().contains("not mounted any more"), "{error}");
        }
        assert!(home.dir().join("a/b").is_dir() && !home.dir().join("c").exists());
        fs::remove_dir_all(home.dir()).expect("removed");
        home.folder(&home.dir().join("c/d")).expect_err("another filesystem");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
        assert!(Home::anywhere(home.dir()).folder(&home.dir().join("c/d")).is_ok());
    }
}
