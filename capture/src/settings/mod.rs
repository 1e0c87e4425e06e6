//! The command line in two steps: what was typed (`args`), and what it means (`Settings`).
//!
//! Stands before the flow. Invariant: nothing downstream sees a flag, a default, or a value that was not checked;
//! meaning depends on the words typed and on `Environment` alone.

mod args;
mod environment;
mod metrics;
mod ports;
mod resolve;
mod upload;
mod values;
mod view;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser as _;
use storage::retention::Keep;

pub use crate::confine::user::IdentitySettings;
pub use environment::Environment;
pub use metrics::MetricsAddress;
pub use ports::{PortRange, PortSet, VxlanPorts};
pub use upload::{UploadSettings, UploadTarget};
pub use values::Net;

use crate::view::{tail::TailSettings, top::TopSettings};

/// What the process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Capture heads, from interfaces or from files.
    Capture(Box<Settings>),
    /// Make the files valid that a crash left behind in this dataset.
    Recover {
        /// Folder of the dataset.
        dir: PathBuf,
        /// File of its keys, where it is encrypted.
        encryption_keys: Option<PathBuf>,
    },
    /// Check this dataset against its manifests, which must still have lines with these hashes.
    Verify {
        /// Folder of the dataset.
        dir: PathBuf,
        /// Hashes of lines.
        heads: Vec<String>,
        /// File of its keys, where it is encrypted.
        encryption_keys: Option<PathBuf>,
    },
    /// Merge the small files of hours that are over.
    Compact {
        /// Folder of the dataset.
        dir: PathBuf,
        /// Compression level.
        zstd_level: i32,
        /// File of the keys to read and write encrypted files with.
        encryption_keys: Option<PathBuf>,
    },
    /// Print the files that hold the rows of this dataset.
    Files {
        /// The dataset's folder.
        dir: PathBuf,
        /// Only those that are not at this place yet.
        waiting: Option<UploadTarget>,
    },
    /// Show what would be stored of a head.
    Redact(RedactJob),
    /// Print the id of the key in this file.
    KeyId(PathBuf),
    /// Put a new key in the place of the one in this file.
    KeyRotate(PathBuf),
    /// Make keys of encryption.
    KeyEncryption {
        /// The key file.
        file: PathBuf,
        /// What its keys are for.
        keys: NewKeys,
    },
    /// Check what this machine, and these interfaces, need for capturing.
    Doctor {
        /// Interfaces to check.
        ifaces: Vec<String>,
        /// Try what a confined capture is refused.
        security: bool,
    },
    /// Show a running capture.
    Top(TopSettings),
    /// Print the transactions of a running capture.
    Tail(TailSettings),
}

/// Which keys of encryption to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKeys {
    /// The first of a file: one for all, and another for these columns.
    First(Vec<String>),
    /// New ones besides those that the file has.
    Next,
}

/// How to show what would be stored of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactJob {
    /// Say why as well.
    pub explains: bool,
    /// The policy's file, if not the default is meant.
    pub policy_file: Option<PathBuf>,
    /// The key's file, if tokens of an example key will not do.
    pub key_file: Option<PathBuf>,
}

/// Everything a capture needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where frames come from.
    pub source: Source,
    /// Which frames are wanted.
    pub filter: FilterSettings,
    /// Bytes of one head that are copied at the most.
    pub head_bytes_max: u32,
    /// How many collectors work.
    pub collectors: CollectorCount,
    /// Where and how rows are written.
    pub storage: StorageSettings,
    /// What becomes of secrets.
    pub redact: RedactSettings,
    /// Who the process is.
    pub identity: IdentitySettings,
    /// What is told, and how.
    pub report: ReportSettings,
    /// Where viewers may watch.
    pub control: ControlSettings,
    /// Name of this capturing host in every row and file name.
    pub sensor: String,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From network interfaces.
    Live(LiveSettings),
    /// From capture files in this order; `-` is standard input.
    Pcap(Vec<PathBuf>),
}

/// How to capture from interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Interface names, each once.
    pub ifaces: Vec<String>,
    /// What becomes of a frame after it was looked at.
    pub action: ActionChoice,
    /// Where the program is attached.
    pub xdp_mode: XdpModeChoice,
    /// Whether interfaces take frames that are not addressed to them.
    pub promiscuous: bool,
    /// Which ring a connection's records go to.
    pub steer: SteerChoice,
    /// Bytes of each ring: a power of two.
    pub ring_bytes: u32,
    /// When to stop by itself.
    pub stop: StopChoice,
}

/// When a live capture stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopChoice {
    /// When told by a signal.
    Signal,
    /// After this time, or when told by a signal.
    After(Duration),
}

/// What becomes of a frame on the card (`--action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ActionChoice {
    /// Drop where the interface has no address and no route (a mirror port), else pass
    Auto,
    /// Hand every frame on to the kernel
    Pass,
    /// Let every frame end here; cuts off a machine that is reached through the interface
    Drop,
}

/// Where the program is attached (`--xdp-mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpModeChoice {
    /// In the driver, or, where it cannot, behind it; the log says which
    Auto,
    /// In the driver, or not at all
    Native,
    /// Behind the driver: slower, works on every interface
    Generic,
}

/// Which ring the records of a connection go to (`--steer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SteerChoice {
    /// By CPU where the card spreads symmetrically or has one queue, else by hash
    Auto,
    /// To the ring of the CPU that got the frame
    Cpu,
    /// To the ring that a hash of both addresses and ports names
    Hash,
}

/// How many collectors work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorCount {
    /// One per ring.
    Auto,
    /// This many.
    Exactly(u16),
}

/// Which frames are wanted. Empty lists want all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterSettings {
    /// TCP ports, either side.
    pub ports: PortSet,
    /// Networks, either side.
    pub nets: Vec<Net>,
    /// UDP ports on which VXLAN is looked for besides the usual ones.
    pub vxlan_ports: VxlanPorts,
    /// How many of the connections.
    pub sampling: Sampling,
}

/// How many of the connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// One in so many; 1 keeps all.
    Fixed(u32),
    /// All, and fewer while rings fill.
    Auto,
}

/// Where and how rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// Folder of the dataset.
    pub folder: PathBuf,
    /// A row is durable after this time at the latest.
    pub flush_interval: Duration,
    /// A file is published at this size.
    pub file_bytes_max: u64,
    /// A file is published when its oldest row is this old.
    pub file_age_max: Duration,
    /// Compression level, 1 to 22.
    pub zstd_level: i32,
    /// What is kept of the files written.
    pub keep: Keep,
    /// Small files of hours that are over are merged.
    pub compacts: bool,
    /// File of the keys that files are encrypted with; without one they are not.
    pub encryption_keys: Option<PathBuf>,
    /// Where published files are uploaded to, if they are.
    pub upload: Option<UploadSettings>,
}

/// What becomes of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedactSettings {
    /// They become tokens, keyed by the key in this file; it is made where it is missing.
    Tokens {
        /// Where the key is.
        key_file: PathBuf,
        /// Rules that come before the built-in ones.
        policy_file: Option<PathBuf>,
    },
    /// They are stored as they are.
    Off,
}

/// What is told, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The balance is printed as JSON.
    pub json: bool,
    /// Neither progress nor log lines below warnings.
    pub quiet: bool,
    /// Time between two rows of `capture_stats` and two log lines of counters.
    pub stats_interval: Duration,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// Where scrapers are answered.
    pub metrics: Vec<MetricsAddress>,
    /// What makes a capture ill.
    pub health: HealthSettings,
}

/// Thresholds of `/healthz`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthSettings {
    /// Share of frames, heads or rows that may be lost within a minute.
    pub loss_share_max: f64,
    /// Time the slowest stage may be behind.
    pub lag_max: Duration,
}

// A threshold is a number that was typed, never a result.
impl Eq for HealthSettings {}

/// Where viewers may watch (`--control`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSettings {
    /// Nowhere.
    Off,
    /// At this socket, as usual; a capture goes on without where there cannot be one.
    Usual {
        /// The socket.
        path: PathBuf,
        /// Whose members may watch besides root and the user of the capture.
        group: Option<String>,
    },
    /// At this socket, or the capture does not begin.
    At {
        /// The socket.
        path: PathBuf,
        /// See `Usual`.
        group: Option<String>,
    },
}

impl ControlSettings {
    /// The folder that the socket is removed from at the end.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            ControlSettings::Off => None,
            ControlSettings::Usual { path, .. } | ControlSettings::At { path, .. } => path.parent(),
        }
    }
}

/// Form of log lines (`--log-format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for log collectors
    Json,
}

/// Understands a command line, the program's name first.
///
/// The error prints itself (`clap::Error::exit`), also where it is the answer to `--help` or `--version`.
pub fn parse(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    environment: &Environment,
) -> Result<Job, clap::Error> {
    resolve::resolve(args::Args::try_parse_from(words)?, environment)
}

#[cfg(test)]
mod tests;
