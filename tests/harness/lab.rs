//! The network lab of `scripts/lab` as a value: built when made, removed when dropped, one at a time.
//!
//! A lab is named after the process that made it, so that the labs of a killed test run are found and removed by the next.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, id},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{needs_root, run, tree};

/// Address of the server on the lab's wire.
pub const SERVER_IPV4: &str = "10.77.0.2";

/// Address of the server on the lab's wire, in brackets as a URL has it.
pub const SERVER_IPV6: &str = "[fd77::2]";

/// The mirror port, as the sensor names it.
pub const MIRROR_PORT: &str = "mirror0";

const NAME_PREFIX: &str = "hdrcap-t";

/// Labs load the whole machine: two at once would measure each other.
static MACHINE: Mutex<()> = Mutex::new(());

static LAB_COUNT: AtomicU32 = AtomicU32::new(0);

/// A client, a server and a sensor on the mirror port of the switch between them.
pub struct Lab {
    name: String,
    _machine: MutexGuard<'static, ()>,
}

/// A host of the lab.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// Where requests come from.
    Client,
    /// Where responses come from.
    Server,
    /// What joins the two, and mirrors them.
    Switch,
    /// Where the mirror port ends.
    Sensor,
}

impl Lab {
    /// Builds a lab, when no other test has one.
    ///
    /// # Panics
    /// Without root, or without the tools of `scripts/setup lab`.
    #[must_use]
    pub fn up() -> Self {
        needs_root();
        let machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        remove_orphans();
        let name = format!("{NAME_PREFIX}{}-{}", id(), LAB_COUNT.fetch_add(1, Ordering::Relaxed));
        run(Command::new(tree::script("lab")).args(["up", &name]));
        Self { name, _machine: machine }
    }

    /// A command on one of the hosts, to be given arguments and run.
    #[must_use]
    pub fn on(&self, host: Host, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(program);
        command
    }

    /// Waits until the mirror port has delivered every frame of the wire.
    pub fn settle(&self) {
        run(Command::new(tree::script("lab")).args(["settled", &self.name]));
    }

    /// Frames the mirror port has delivered, as the kernel counts them.
    #[must_use]
    pub fn mirrored_frames(&self) -> u64 {
        let link = self.mirror_port();
        link["stats64"]["rx"]["packets"].as_u64().expect("ip prints counters")
    }

    /// True where an XDP program is attached to the mirror port.
    #[must_use]
    pub fn has_xdp(&self) -> bool {
        self.mirror_port().get("xdp").is_some()
    }

    /// True where the mirror port is in promiscuous mode.
    #[must_use]
    pub fn is_promiscuous(&self) -> bool {
        self.mirror_port()["promiscuity"].as_u64().expect("ip prints the promiscuity") > 0
    }

    /// Fails where the mirror itself lost a frame: what is missing then says nothing about the capture.
    ///
    /// # Panics
    /// Where it did.
    pub fn assert_mirror_lossless(&self) {
        let lost = run(Command::new(tree::script("lab")).args(["lost", &self.name])).stdout;
        assert_eq!(
            String::from_utf8_lossy(&lost).trim(),
            "0",
            "the mirror port itself lost frames: the lab is overloaded"
        );
    }

    fn mirror_port(&self) -> serde_json::Value {
        let output =
            run(self.on(Host::Sensor, "ip").args(["-d", "-s", "-j", "link", "show", "dev", MIRROR_PORT]));
        let mut links: Vec<serde_json::Value> =
            serde_json::from_slice(&output.stdout).expect("ip prints JSON");
        links.swap_remove(0)
    }

    fn namespace(&self, host: Host) -> String {
        let host = match host {
            Host::Client => "client",
            Host::Server => "server",
            Host::Switch => "switch",
            Host::Sensor => "sensor",
        };
        format!("{}-{host}", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn remove_orphans() {
    let names = run(Command::new(tree::script("lab")).arg("list")).stdout;
    for name in String::from_utf8_lossy(&names).lines() {
        let maker = name.strip_prefix(NAME_PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(name);
        }
    }
}

fn remove(name: &str) {
    let output = crate::output(Command::new(tree::script("lab")).args(["down", name]));
    if !output.status.success() {
        eprintln!("lab {name} could not be removed: {}", crate::said(&output));
    }
}
