//! The control socket: bound before the process gives up its rights, readable for its owner and one group.
//!
//! A socket that nobody listens on is replaced, one that somebody does is left alone. Who connects must be root, the user
//! of the capture, or of the configured group. Invariant: from its first moment nobody else can connect; owner and mode
//! are given to the socket that was bound, whatever its path leads to by then.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{DirBuilderExt as _, MetadataExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, Uid, chmod, chownat, fchmod, flock, fstat, open,
    },
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
        sockopt::socket_peercred,
    },
    process::geteuid,
};
use thiserror::Error;

/// Permissions of the socket: its owner and its group.
const MODE: u32 = 0o660;

/// Permissions of a folder made for it: whoever may use a socket gets there, and sees which there are.
const FOLDER_MODE: u32 = 0o755;

/// Viewers that may wait to be taken in.
const BACKLOG: i32 = 8;

/// Groups of a process at the most (`NGROUPS_MAX` of Linux).
const PEER_GROUP_COUNT_MAX: usize = 65_536;

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another capture listens on it.
    #[error(
        "the control socket {} belongs to a running capture: give this one another (--control PATH), or none (--control off)",
        path.display()
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something else than a socket is in its place.
    #[error("{} is there and is no socket: give another path to --control", path.display())]
    NoSocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// No such group.
    #[error("there is no group '{name}': see /etc/group, or give its number to --control-group")]
    NoGroup {
        /// The name given.
        name: String,
    },
    /// The kernel refused.
    #[error("the control socket {} could not be made ({what}): give another path to --control, or off", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A bound control socket; taken away when dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: only what was bound here is taken away.
    identity: (u64, u64),
    gid: Option<u32>,
}

/// Whose a socket is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owners<'a> {
    /// The user that the capture will be; `None` where it stays who it is.
    pub user: Option<u32>,
    /// Name or number of a group whose members may watch as well.
    pub group: Option<&'a str>,
}

impl Socket {
    /// Binds `path`, for these owners.
    pub fn bind(path: &Path, owners: Owners<'_>) -> Result<Socket, SocketError> {
        let refused = |what: &'static str| {
            move |source: io::Error| SocketError::Refused { path: path.to_owned(), what, source }
        };
        let gid = owners.group.map(group_id).transpose()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(FOLDER_MODE)
                .create(folder)
                .map_err(refused("making its folder"))?;
        }
        // Two captures that start at once must not take each other's socket for a stale one.
        let lock = fs::File::open(folder).map_err(refused("opening its folder"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            refused("locking its folder: is another capture just starting?")(error.into())
        })?;
        remove_stale(path)?;
        let listener = bound(path).map_err(|error| refused("binding it")(error.into()))?;
        let identity = given(path, owners.user, gid)
            .map_err(|error| refused("giving it to its user and group")(error.into()))?;
        listen(&listener, BACKLOG).map_err(|error| refused("listening on it")(error.into()))?;
        let listener = UnixListener::from(listener);
        Ok(Socket { listener, path: path.to_owned(), identity, gid })
    }

    /// The listening end; it does not block.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks who is at the other end; the error says why it is refused.
    pub fn admit(&self, viewer: &UnixStream) -> Result<(), String> {
        let peer = socket_peercred(viewer).map_err(|error| format!("who you are is not known: {error}"))?;
        let uid = peer.uid.as_raw();
        if uid == 0 || uid == geteuid().as_raw() {
            return Ok(());
        }
        let is_of_group = |gid: u32| peer.gid.as_raw() == gid || peer_groups(viewer).contains(&gid);
        if self.gid.is_some_and(is_of_group) {
            return Ok(());
        }
        Err(format!(
            "user {uid} may not watch this capture: only its own user, root and the group of --control-group may"
        ))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if is_ours {
            // Where it may not be taken away any more the next start finds it stale.
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

/// Takes away a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    use std::os::unix::fs::FileTypeExt as _;
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(SocketError::NoSocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| SocketError::Refused {
                path: path.to_owned(),
                what: "removing a stale one",
                source,
            })
        }
        Ok(_) | Err(_) => Err(SocketError::Taken { path: path.to_owned() }),
    }
}

/// A socket at `path` that is not listened on yet: until it is, connecting is refused.
fn bound(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The mode of the socket is that of its file, less the umask: no moment with more.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Gives the socket at `path` its owners and its mode; its device and inode.
fn given(path: &Path, uid: Option<u32>, gid: Option<u32>) -> rustix::io::Result<(u64, u64)> {
    // By descriptor: a link that somebody puts in its place meanwhile is not followed.
    let socket = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&socket)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(rustix::io::Errno::NOTSOCK);
    }
    chownat(&socket, "", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::EMPTY_PATH)?;
    chmod(format!("/proc/self/fd/{}", socket.as_raw_fd()), Mode::from_raw_mode(MODE))?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A group by name or number, as this machine's own list has it.
fn group_id(name: &str) -> Result<u32, SocketError> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let gid_of = |line: &str| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)?.parse().ok()).flatten()
    };
    groups.lines().find_map(gid_of).ok_or_else(|| SocketError::NoGroup { name: name.to_owned() })
}

/// Supplementary groups of the process at the other end, as of its connecting; none where the kernel does not say.
fn peer_groups(viewer: &UnixStream) -> Vec<u32> {
    let mut groups = vec![0u32; 64];
    loop {
        let mut bytes = size_of_val(groups.as_slice()) as libc::socklen_t;
        // SAFETY: the buffer is `bytes` long and lives through the call; the kernel writes that much at the most.
        let result = unsafe {
            libc::getsockopt(
                viewer.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return groups;
        }
        // Too short: the kernel says how long it is to be (ERANGE).
        if count <= groups.len() || count > PEER_GROUP_COUNT_MAX {
            return Vec::new();
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/hdrcap.sock");
        drop(Socket::bind(&path, Owners::default()).unwrap());
        assert!(!path.exists(), "it is taken away at the end");
        // A listener that ends without taking its socket away, as a killed process does.
        drop(UnixListener::bind(&path).unwrap());
        let live = Socket::bind(&path, Owners::default()).unwrap();
        let error = Socket::bind(&path, Owners::default()).unwrap_err();
        assert!(matches!(&error, SocketError::Taken { .. }), "{error}");
        assert!(error.to_string().contains("belongs to a running capture"), "{error}");
        UnixStream::connect(&path).expect("the live one goes on");
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path, Owners::default()).unwrap();
        drop(live);
        assert!(path.exists(), "another one's socket is not taken away");
        drop(second);
    }

    #[test]
    fn only_its_owner_and_group_may_connect() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hdrcap.sock");
        let gid = rustix::process::getegid().as_raw();
        let socket = Socket::bind(&path, Owners { user: None, group: Some(&gid.to_string()) }).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, gid));
        let viewer = UnixStream::connect(&path).unwrap();
        let (end, _) = socket.listener().accept().unwrap();
        assert_eq!(socket.admit(&end), Ok(()));
        assert!(peer_groups(&end).len() < PEER_GROUP_COUNT_MAX);
        drop(viewer);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Socket::bind(&path, Owners::default()), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let error =
            Socket::bind(&folder.path().join("s"), Owners { user: None, group: Some("no-such-group") })
                .unwrap_err();
        assert!(matches!(error, SocketError::NoGroup { .. }), "{error}");
    }
}
