//! What the process gives up, in two steps: its user and most capabilities before it opens anything (`user`); then, with
//! everything open and before the first thread starts, all else it will not need again (`confine`).
//!
//! Links, maps, rings, sockets and locks stay by descriptor, so nothing behind `confine` takes a privilege. Invariant:
//! what a kernel cannot do is told as missing, never passed over; no step can be undone from inside.

pub mod attempts;
mod capabilities;
mod names;
mod reach;
mod syscalls;
pub mod user;

use std::{fmt, path::PathBuf};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::{no_new_privs, set_no_new_privs};

pub use capabilities::Purpose;

/// What the process still does once it is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Folders below which it makes, reads, renames and removes files.
    pub folders: Vec<PathBuf>,
    /// Folders in which it removes names it made before: sockets.
    pub removals: Vec<PathBuf>,
    /// Files and folders it reads.
    pub reads: Vec<PathBuf>,
    /// It reads counters of the kernel half and of the cards.
    pub is_live: bool,
    /// It connects to other machines.
    pub connects: bool,
}

/// One thing that stands between a taken-over process and the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safeguard {
    /// Its name.
    pub name: &'static str,
    /// Whether it holds.
    pub state: State,
}

/// Whether a safeguard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does, as far as this says.
    InForce(String),
    /// It does not, for this reason.
    Missing(String),
}

impl Safeguard {
    /// True where it is in force.
    pub fn holds(&self) -> bool {
        matches!(self.state, State::InForce(_))
    }
}

impl fmt::Display for Safeguard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::InForce(how) => write!(f, "{}: {how}", self.name),
            State::Missing(why) => write!(f, "{} is not in force: {why}", self.name),
        }
    }
}

/// Keeps what is in memory, keys and heads of others, out of core files; called before a key is read.
pub fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!(%error, "the limit of core files stays");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "the process stays dumpable");
    }
}

/// Gives up all that is not among the needs; no thread but the caller's may have been started. Tells what is in force.
pub fn confine(needs: &Needs) -> Vec<Safeguard> {
    // Changing the user made the process dumpable again.
    forbid_core_dumps();
    let mut safeguards = Vec::new();
    let mut note = |name, state| safeguards.push(Safeguard { name, state });
    note("one thread until here", threads());
    note("capabilities", capabilities::drop_all(needs.is_live));
    note("no_new_privs", no_new_privileges());
    note("no core dumps", core_dumps());
    note("key memory", key_memory());
    note("landlock", reach::restrict(needs));
    // Last: it refuses what the others are made of.
    note("seccomp", syscalls::restrict(needs));
    safeguards
}

/// What a thread started earlier can do stays as it was.
fn threads() -> State {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => State::InForce("every thread inherits what follows".to_owned()),
        Ok(count) => {
            State::Missing(format!("{count} threads run already, which is a defect: please report it"))
        }
        Err(error) => State::Missing(format!("/proc/self/task cannot be read ({error})")),
    }
}

fn key_memory() -> State {
    if storage::secret::are_locked() {
        State::InForce("locked".to_owned())
    } else {
        let why = "the limit of locked memory is too low: raise it (ulimit -l, LimitMEMLOCK=)";
        State::Missing(why.to_owned())
    }
}

fn no_new_privileges() -> State {
    match set_no_new_privs(true).and_then(|()| no_new_privs()) {
        Ok(true) => State::InForce("no program gains anything".to_owned()),
        Ok(false) => State::Missing("the kernel took it and does not show it".to_owned()),
        Err(error) => State::Missing(format!("the kernel refuses it ({error})")),
    }
}

fn core_dumps() -> State {
    let is_limited = getrlimit(Resource::Core).current == Some(0);
    match dumpable_behavior() {
        Ok(DumpableBehavior::NotDumpable) if is_limited => State::InForce("limit 0, not dumpable".to_owned()),
        found => State::Missing(format!("limit 0: {is_limited}, dumpable: {found:?}")),
    }
}
