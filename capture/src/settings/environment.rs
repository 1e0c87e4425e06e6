//! What meaning depends on besides the words typed: read once, so that resolving stays pure.

use std::{env, fs, path::PathBuf};

/// The parts of a process's surroundings that defaults are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The process runs as root.
    pub is_root: bool,
    /// This machine's name.
    pub host_name: Option<String>,
    /// `STATE_DIRECTORY`: where a service manager lets the service keep its state.
    pub state_directory: Option<PathBuf>,
    /// `RUNTIME_DIRECTORY`: where a service manager lets the service keep its sockets.
    pub runtime_directory: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: where a user keeps sockets.
    pub user_runtime: Option<PathBuf>,
    /// `NO_COLOR`: output is not to be coloured.
    pub no_color: bool,
    /// `XDG_DATA_HOME`: where a user keeps the data of programs.
    pub data_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// Reads the surroundings of this process.
    pub fn of_process() -> Self {
        let folder = |name| {
            // A service manager separates several folders by colons; the first is the service's own.
            let value = env::var(name).ok()?;
            value.split(':').next().map(PathBuf::from).filter(|path| path.is_absolute())
        };
        // SAFETY: takes no argument, touches no memory of ours, and cannot fail.
        let user = unsafe { libc::geteuid() };
        Self {
            is_root: user == 0,
            host_name: fs::read_to_string("/proc/sys/kernel/hostname")
                .ok()
                .map(|name| name.trim().to_owned()),
            state_directory: folder("STATE_DIRECTORY"),
            runtime_directory: folder("RUNTIME_DIRECTORY"),
            user_runtime: folder("XDG_RUNTIME_DIR"),
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            data_home: folder("XDG_DATA_HOME"),
            home: folder("HOME"),
        }
    }
}
