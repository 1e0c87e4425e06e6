//! What a service manager is told (`sd_notify(3)`): that the capture is up, so that `systemctl start` says so or fails.
//!
//! Invariant: the socket is connected before the process is confined, and not being heard stops nothing.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use tracing::debug;

/// Where systemd says that it listens.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// The manager that started this process, if one did and wants to be told.
pub(super) struct Manager(Option<UnixDatagram>);

impl Manager {
    /// The one of this process's surroundings.
    pub(super) fn of_process() -> Manager {
        let name = env::var_os(SOCKET_VARIABLE);
        Manager(name.and_then(|name| match connected(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                debug!(?name, %error, "the service manager cannot be told anything");
                None
            }
        }))
    }

    /// Says that everything is attached and that frames are looked at.
    pub(super) fn ready(&self) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(b"READY=1")) {
            debug!(%error, "the service manager was not told that the capture is up");
        }
    }
}

/// A name that begins with `@` is none of the filesystem.
fn connected(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold a capture.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_that_it_is_ready_under_either_kind_of_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let hidden = format!("@hdrcap-test-{}", std::process::id());
        let listeners = [
            (path.as_os_str(), SocketAddr::from_pathname(&path).unwrap()),
            (OsStr::new(&hidden), SocketAddr::from_abstract_name(&hidden[1..]).unwrap()),
        ];
        for (name, address) in listeners {
            let listener = UnixDatagram::bind_addr(&address).unwrap();
            Manager(Some(connected(name).unwrap())).ready();
            let mut heard = [0; 16];
            let len = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..len], b"READY=1");
        }
        assert!(connected(OsStr::new("/no/such/socket")).is_err());
        Manager(None).ready();
    }
}
