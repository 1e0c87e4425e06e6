//! Who may reach a dataset: modes of what is made, its group, and whether its folder can be trusted.
//!
//! Files are 0640 and folders 0750, less what the umask takes. Invariant: nothing is written below a folder that anybody
//! else could exchange, and no symbolic link inside the dataset is followed.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{
    error::OpenError,
    staging::{QUARANTINE_FOLDER, STAGING_FOLDER, sensor_folder},
};
use crate::{
    file::FILE_MODE,
    manifest::MANIFEST_FOLDER,
    schema::{HTTP_TABLE, STATS_TABLE},
};

/// Permissions of folders, less what the umask takes: their owner writes, their group looks in.
pub const FOLDER_MODE: u32 = 0o750;

const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The group looks in, and what is made below is the group's.
const GROUP_READS_AND_PASSES_ON: u32 = 0o2050;

/// Makes a folder and those above it that are missing.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Makes a file, or empties one that is there; a link in its place is not followed.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

/// Makes the dataset's folder where it is missing, checks that nobody can play tricks with it, and gives it to `group`.
pub(super) fn prepare(dir: &Path, sensor: &str, group: Option<u32>) -> Result<(), OpenError> {
    let unwritable = |source| OpenError::unwritable(dir, source);
    check_way(dir).map_err(unwritable)??;
    create_folders(dir).map_err(unwritable)?;
    let metadata = fs::symlink_metadata(dir).map_err(unwritable)?;
    let us = rustix::process::geteuid().as_raw();
    let is_open = metadata.mode() & OTHERS_WRITE != 0;
    if is_open && metadata.mode() & STICKY == 0 {
        return Err(refuse(dir, "anybody may write into it: chmod o-w".to_owned()));
    }
    let staging = dir.join(STAGING_FOLDER);
    let inner = [
        dir.join(HTTP_TABLE),
        dir.join(STATS_TABLE),
        dir.join(QUARANTINE_FOLDER),
        sensor_folder(dir, sensor),
        staging,
        dir.join(MANIFEST_FOLDER),
    ];
    for folder in inner {
        match fs::symlink_metadata(&folder) {
            Ok(found) if !found.is_dir() => {
                return Err(refuse(
                    &folder,
                    "it is a symbolic link or a file, where only hdrcap makes folders: remove it".to_owned(),
                ));
            }
            // In a folder like /tmp others may have been here first.
            Ok(found) if is_open && ![0, us].contains(&found.uid()) => {
                return Err(refuse(&folder, format!("it is of user {}: remove it", found.uid())));
            }
            Ok(_) | Err(_) => {}
        }
    }
    match group {
        Some(group) => give(dir, &metadata, group),
        None => Ok(()),
    }
}

/// Looks at what leads to the folder, from the root down.
fn check_way(dir: &Path) -> io::Result<Result<(), OpenError>> {
    let absolute = std::path::absolute(dir)?;
    let us = rustix::process::geteuid().as_raw();
    let mut steps: Vec<&Path> = absolute.ancestors().collect();
    steps.reverse();
    for step in steps {
        let found = match fs::symlink_metadata(step) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let is_last = step == absolute;
        if found.is_symlink() {
            let leads = fs::read_link(step).unwrap_or_default();
            if is_last {
                return Ok(Err(refuse(
                    dir,
                    format!("it is a symbolic link: name the folder itself, {}", leads.display()),
                )));
            }
            if ![0, us].contains(&found.uid()) {
                let why = format!(
                    "{} is a symbolic link of user {}, who can turn it elsewhere",
                    step.display(),
                    found.uid()
                );
                return Ok(Err(refuse(dir, why)));
            }
        } else if !is_last && found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0 {
            let why =
                format!("anybody may put another folder in its place: chmod o-w (or +t) {}", step.display());
            return Ok(Err(refuse(dir, why)));
        }
    }
    Ok(Ok(()))
}

fn give(dir: &Path, metadata: &Metadata, group: u32) -> Result<(), OpenError> {
    let mode = metadata.mode() & 0o7777 | GROUP_READS_AND_PASSES_ON;
    let given =
        chown(dir, None, Some(group)).and_then(|()| fs::set_permissions(dir, Permissions::from_mode(mode)));
    given.map_err(|source| OpenError::Group { path: dir.to_owned(), group, source })
}

fn refuse(path: &Path, why: String) -> OpenError {
    OpenError::Untrusted { path: PathBuf::from(path), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn refusal(dir: &Path) -> String {
        prepare(dir, "s", None).expect_err("a trick").to_string()
    }

    #[test]
    fn a_folder_that_others_could_exchange_is_refused() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let open = above.path().join("open");
        fs::create_dir(&open).expect("made");
        fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("changed");
        assert!(refusal(&open).contains("anybody may write into it"), "{}", refusal(&open));
        assert!(refusal(&open.join("data")).contains("another folder in its place"));
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).expect("changed");
        prepare(&open.join("data"), "s", None).expect("a sticky folder keeps what is ours");
        let mode = fs::metadata(open.join("data")).expect("made").mode();
        assert_eq!(mode & 0o7777 & !FOLDER_MODE, 0, "mode {mode:o}");
    }

    #[test]
    fn links_are_not_followed() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let (real, link) = (above.path().join("real"), above.path().join("link"));
        prepare(&real, "s", None).expect("a folder of our own");
        symlink(&real, &link).expect("linked");
        assert!(refusal(&link).contains("name the folder itself"));
        prepare(&link.join("inner"), "s", None).expect("our own link on the way is followed");
        for name in [".staging", "http", "capture_stats", "quarantine"] {
            let place = real.join(name);
            symlink("/var", &place).expect("linked");
            assert!(refusal(&real).contains("only hdrcap makes folders"), "{name}");
            fs::remove_file(&place).expect("removed");
        }
        let file = real.join("lock");
        symlink(above.path().join("elsewhere"), &file).expect("linked");
        create_file(&file).expect_err("a link in a file's place");
        assert!(!above.path().join("elsewhere").exists());
    }

    #[test]
    fn a_link_of_somebody_else_on_the_way_is_refused() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let link = above.path().join("link");
        symlink("/", &link).expect("linked");
        if std::os::unix::fs::lchown(&link, Some(4711), None).is_err() {
            assert_ne!(rustix::process::geteuid().as_raw(), 0, "root gives links away");
            return;
        }
        assert!(refusal(&link.join("data")).contains("symbolic link of user 4711"));
    }
}
