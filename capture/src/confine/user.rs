//! Who the process is. As root it becomes an ordinary user at once, and keeps no capability but those that attaching
//! needs; everything it opens after that it opens as this user, so that what works at start works in a month.
//!
//! Invariant: the process never runs as somebody the operator did not name and who does not own the dataset.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::{
    process::{Gid, Resource, Rlimit, Uid, geteuid, setrlimit},
    thread::{set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::{
    capabilities::{self, Purpose},
    names::{User, group_by_name, groups_of, user_by_name, user_by_number},
};

/// The user an installation makes for it.
pub const SERVICE_USER: &str = "hdrcap";

/// Memory the kernel may lock for a user: the encoder's ring and the keys, several times over.
const LOCKED_BYTES_MAX: u64 = 64 << 20;

/// Stands for "leave it as it is" in the kernel's calls, so nobody has it.
const NO_ID: u32 = u32::MAX;

/// Who to become, as the operator says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentitySettings {
    /// `--user`.
    pub user: Option<String>,
    /// `--group`: who else may read the dataset.
    pub group: Option<String>,
}

/// Who the process is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the user, or its number.
    pub user: String,
    /// Why this one, where nobody named it.
    pub reason: String,
    /// Group of what it writes, where one was named.
    pub group: Option<u32>,
}

/// Why the process cannot be who it is to be.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such user.
    #[error("--user {0}: there is no such user; make one (useradd --system {0}), or name another")]
    NoUser(String),
    /// There is no such group.
    #[error("--group {0}: there is no such group; make one (groupadd --system {0}), or name another")]
    NoGroup(String),
    /// Only root becomes somebody else.
    #[error(
        "--user {wanted}: only root can become another user, and this is {now}; leave it out, or start as root"
    )]
    NotRoot {
        /// Asked for.
        wanted: String,
        /// Who we are.
        now: String,
    },
    /// The dataset's folder could not be made for the user.
    #[error("cannot make {} for user {user}; make it, and give it to that user (chown {user})", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The user.
        user: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses.
    #[error(
        "cannot become user {user}; if this is a container, let it have CAP_SETUID and CAP_SETGID, or start it as that user"
    )]
    Refused {
        /// The user.
        user: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The user that `assume` will become, by number.
pub fn intended(settings: &IdentitySettings, folder: &Path) -> Result<u32, IdentityError> {
    choose(settings, folder, geteuid()).map(|(user, _)| user.as_raw())
}

/// Becomes the user that is to own the dataset in `folder`, with the capabilities the purpose needs.
pub fn assume(
    settings: &IdentitySettings,
    folder: &Path,
    purpose: Purpose,
) -> Result<Identity, IdentityError> {
    let group = settings.group.as_deref().map(group_of).transpose()?;
    let now = geteuid();
    let (wanted, reason) = choose(settings, folder, now)?;
    let user = described(wanted);
    let refused = |source: io::Error| IdentityError::Refused { user: user.name.clone(), source };
    if now.is_root() {
        // Raised while it can be: root needed no limit.
        let limit = Rlimit { current: Some(LOCKED_BYTES_MAX), maximum: Some(LOCKED_BYTES_MAX) };
        if let Err(error) = setrlimit(Resource::Memlock, limit) {
            tracing::debug!(%error, "the limit of locked memory stays");
        }
        if !wanted.is_root() {
            own(folder, &user)?;
        }
        become_user(&user, group).map_err(|error| refused(error.into()))?;
    }
    capabilities::keep(purpose).map_err(|error| refused(error.into()))?;
    Ok(Identity { user: user.name, reason, group })
}

/// What is known of a user; one without a name has its number for it, and a group of the same number.
fn described(uid: Uid) -> User {
    let number = uid.as_raw();
    user_by_number(number).unwrap_or_else(|| User { uid: number, gid: number, name: number.to_string() })
}

/// The user to be, and why.
fn choose(settings: &IdentitySettings, folder: &Path, now: Uid) -> Result<(Uid, String), IdentityError> {
    if let Some(name) = &settings.user {
        let wanted = user_of(name)?;
        if !now.is_root() && wanted != now {
            return Err(IdentityError::NotRoot { wanted: name.clone(), now: described(now).name });
        }
        return Ok((wanted, "--user".to_owned()));
    }
    if !now.is_root() {
        return Ok((now, "it started so".to_owned()));
    }
    let Some((nearest, owner)) = nearest(folder) else {
        return Ok((now, format!("the owner of {} is unknown", folder.display())));
    };
    let place = nearest.display();
    if !owner.is_root() {
        return Ok((owner, format!("it owns {place}")));
    }
    match user_by_name(SERVICE_USER) {
        Some(user) if nearest != folder => {
            Ok((Uid::from_raw(user.uid), "an installation made it for this".to_owned()))
        }
        Some(_) => Ok((now, format!("it owns {place}; chown it to {SERVICE_USER} to run as that user"))),
        None => Ok((now, format!("it owns {place}, and there is no user {SERVICE_USER}"))),
    }
}

/// The folder, or the nearest above it that there is, and its owner.
fn nearest(folder: &Path) -> Option<(PathBuf, Uid)> {
    let absolute = std::path::absolute(folder).ok()?;
    let found = absolute.ancestors().find_map(|path| Some((path.to_owned(), fs::metadata(path).ok()?)));
    found.map(|(path, metadata)| {
        (if path == absolute { folder.to_owned() } else { path }, Uid::from_raw(metadata.uid()))
    })
}

fn user_of(name: &str) -> Result<Uid, IdentityError> {
    let known = user_by_name(name).map(|user| user.uid);
    let number = known.or_else(|| name.parse().ok()).filter(|number| *number != NO_ID);
    number.map(Uid::from_raw).ok_or_else(|| IdentityError::NoUser(name.to_owned()))
}

fn group_of(name: &str) -> Result<u32, IdentityError> {
    let number = group_by_name(name).or_else(|| name.parse().ok()).filter(|number| *number != NO_ID);
    number.ok_or_else(|| IdentityError::NoGroup(name.to_owned()))
}

/// Makes the dataset's folder, where it is missing, for the user.
fn own(folder: &Path, user: &User) -> Result<(), IdentityError> {
    if folder.exists() {
        return Ok(());
    }
    let made = || {
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above)?;
        }
        DirBuilder::new().mode(storage::dataset::FOLDER_MODE).create(folder)?;
        chown(folder, Some(user.uid), Some(user.gid))
    };
    made().map_err(|source| IdentityError::Folder {
        path: folder.to_owned(),
        user: user.name.clone(),
        source,
    })
}

/// For the only thread there is; those it starts are the same user.
fn become_user(user: &User, group: Option<u32>) -> rustix::io::Result<()> {
    let is_other = user.uid != 0;
    if is_other {
        let groups: Vec<Gid> = groups_of(user).into_iter().map(Gid::from_raw).collect();
        set_thread_groups(&groups)?;
    }
    if is_other || group.is_some() {
        let gid = Gid::from_raw(group.unwrap_or(user.gid));
        set_thread_res_gid(gid, gid, gid)?;
    }
    set_keep_capabilities(true)?;
    let uid = Uid::from_raw(user.uid);
    set_thread_res_uid(uid, uid, uid)?;
    set_keep_capabilities(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(user: Option<&str>, folder: &str, now: u32) -> Result<(Uid, String), IdentityError> {
        let settings = IdentitySettings { user: user.map(str::to_owned), group: None };
        choose(&settings, Path::new(folder), Uid::from_raw(now))
    }

    #[test]
    fn who_is_named_is_taken_from_root_only() {
        assert_eq!(chosen(Some("daemon"), "/", 0).unwrap().0, Uid::from_raw(1));
        assert_eq!(chosen(Some("4711"), "/", 0).unwrap().0, Uid::from_raw(4711));
        let error = chosen(Some("daemon"), "/", 4711).unwrap_err();
        assert!(error.to_string().contains("only root can become another user, and this is 4711"), "{error}");
        let error = chosen(Some("no-such-user"), "/", 0).unwrap_err();
        assert!(error.to_string().contains("useradd --system no-such-user"), "{error}");
        assert!(group_of("no-such-group").unwrap_err().to_string().contains("groupadd"));
    }

    #[test]
    fn nobody_named_means_the_owner_of_the_folder_or_of_what_is_above_it() {
        assert_eq!(
            chosen(None, "/proc/self", 4711).unwrap(),
            (Uid::from_raw(4711), "it started so".to_owned())
        );
        let mine = tempfile::tempdir().unwrap();
        let owner = Uid::from_raw(fs::metadata(mine.path()).unwrap().uid());
        let missing = mine.path().join("a/b");
        if owner.is_root() {
            chown(mine.path(), Some(4711), None).unwrap();
            assert_eq!(chosen(None, missing.to_str().unwrap(), 0).unwrap().0, Uid::from_raw(4711));
        } else {
            assert_eq!(chosen(None, missing.to_str().unwrap(), 0).unwrap().0, owner);
        }
        let (uid, reason) = chosen(None, "/", 0).unwrap();
        assert!(uid.is_root() && reason.contains("owns /"), "{reason}");
    }
}
