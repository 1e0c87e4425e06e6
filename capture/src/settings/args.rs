//! What was typed: the command line as clap reads it, and the help that teaches it.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use storage::retention::KeepFree;

use super::{
    ActionChoice, LogFormat, MetricsAddress, Net, PortSet, Sampling, SteerChoice, UploadTarget, VxlanPorts,
    XdpModeChoice,
    metrics::parse_portion,
    upload::parse_endpoint,
    values::{parse_bytes, parse_duration, parse_room, parse_sampling},
    view::{ControlArgs, TailArgs, TopArgs},
};

const EXAMPLES: &str = "\
Examples:
  hdrcap --iface eth1 --out /data                       capture from a mirror port until Ctrl-C
  hdrcap --iface eth1 --out /data --port 80,8080-8090   only these TCP ports
  hdrcap --iface eth1 --out /data --sample 1/10         one connection in ten, whole
  hdrcap --pcap monday.pcap.gz tuesday.pcapng --out d   read capture files, no root needed
  tcpdump -i any -U -w - | hdrcap --pcap - --out d      read a pipe
  duckdb -c \"SELECT host, count(*) FROM '/data/http/**/*.parquet' GROUP BY host\"";

/// Captures the heads of plaintext HTTP/1.1 messages into Parquet files.
///
/// Give it a mirror port (--iface) or capture files (--pcap) and a folder (--out). It prints a balance when it ends:
/// every frame, head and row it saw, and where each one went.
#[derive(Debug, Parser)]
#[command(name = "hdrcap", bin_name = "hdrcap", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) capture: CaptureArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the files of a dataset valid that a crash left unfinished
    ///
    /// Every start does the same for its own dataset; this is for one that nobody writes to any more.
    Recover {
        /// Folder that was given as --out
        dir: PathBuf,
        /// Key file, where the dataset is encrypted
        #[arg(long, value_name = "FILE")]
        encryption_keys: Option<PathBuf>,
    },
    /// Check that every file of a dataset is there and is what its manifest says
    ///
    /// Reads every byte of it, writes nothing, and may run beside a capture. The exit code is 0 only if all is well.
    Verify {
        /// Folder that was given as --out
        dir: PathBuf,
        /// Hash that an earlier verification printed: the lines up to there must be unchanged; repeat it for more
        #[arg(long = "head", value_name = "HASH")]
        heads: Vec<String>,
        /// Key file, to count the rows of encrypted files as well
        #[arg(long, value_name = "FILE")]
        encryption_keys: Option<PathBuf>,
    },
    /// Merge the small files of hours that are over into large ones, sorted by host and time
    ///
    /// May run beside captures; a capture with --compact does it by itself. Nothing is removed before every row of it was
    /// read back from its new file. Can be stopped or killed at any moment; the next one goes on.
    Compact {
        /// Folder that was given as --out
        dir: PathBuf,
        /// Compression level of the new files, 1 (fast) to 22 (small)
        #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(i32).range(1..=22))]
        zstd_level: i32,
        /// Key file, to merge encrypted files as well, which stay encrypted
        #[arg(long, value_name = "FILE")]
        encryption_keys: Option<PathBuf>,
    },
    /// Print the files that hold the rows of a dataset, each row once, as its manifests say
    ///
    /// For queries that must not meet a file of a compaction twice: see the README.
    Files {
        /// Folder that was given as --out
        dir: PathBuf,
        /// Only those that were not uploaded to this place yet, the one that was given as --upload
        #[arg(long, value_name = "URL")]
        waiting: Option<UploadTarget>,
    },
    /// Show what would be stored of a head, read from standard input
    ///
    /// Needs no privilege and writes nothing. Tokens are those of an example key where no key is given.
    Redact {
        /// Say for each part why it is stored as it is, or what it was replaced for
        #[arg(long)]
        explain: bool,
        /// Policy to try, as for --redact-policy
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Key to make tokens with; it must be there
        #[arg(long, value_name = "PATH")]
        key_file: Option<PathBuf>,
    },
    /// See to the key that tokens are made with, or make keys of encryption
    Key {
        #[command(subcommand)]
        what: KeyCommand,
    },
    /// Check what this machine needs for capturing, and say what to do
    Doctor {
        /// Interfaces to check besides
        #[arg(long = "iface", value_name = "IF", value_delimiter = ',')]
        ifaces: Vec<String>,

        /// Confine this process as a capture is, try from inside what an intruder would, and show what is refused
        #[arg(long)]
        security: bool,
    },
    /// Watch a running capture: rates, losses, fills, and what the traffic of the last seconds is about
    Top(TopArgs),
    /// Print the transactions of a running capture as they come
    Tail(TailArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Print the id that the key's tokens carry
    Id {
        /// File of the key
        #[arg(long, value_name = "PATH")]
        key_file: Option<PathBuf>,
    },
    /// Put a new key in the place of the old one, which is kept beside it as PATH.ID
    ///
    /// Tokens made from then on differ from those before and carry the new id. A running capture goes on with the old
    /// key until it is started again.
    Rotate {
        /// File of the key
        #[arg(long, value_name = "PATH")]
        key_file: Option<PathBuf>,
    },
    /// Make a file with new keys for --encryption-keys
    ///
    /// Made with mode 0600, and never written over. Whoever has it can read the dataset, whoever has lost it cannot.
    Encryption {
        /// Where
        file: PathBuf,
        /// Encrypt these columns with a key of their own, which DuckDB cannot read: names, or sensitive for all that may
        /// hold what a person sent or is
        #[arg(long, value_name = "COLUMNS", value_delimiter = ',', conflicts_with = "rotate")]
        columns: Vec<String>,
        /// Put new keys in the place of those in the file, which stays able to read what they encrypted
        #[arg(long)]
        rotate: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CaptureArgs {
    /// Interface to capture from; repeat it or separate by commas for several
    #[arg(long = "iface", short = 'i', value_name = "IF", value_delimiter = ',', help_heading = "Source")]
    pub(super) ifaces: Vec<String>,

    /// Capture files to read in this order (pcap, pcapng, gzip of either); - reads standard input
    #[arg(long, short = 'r', value_name = "FILE", num_args = 1.., help_heading = "Source")]
    pub(super) pcap: Vec<PathBuf>,

    /// Folder of the dataset; it is made where it is missing
    #[arg(long, short = 'o', value_name = "DIR", help_heading = "Storage")]
    pub(super) out: Option<PathBuf>,

    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) live: LiveArgs,
    #[command(flatten)]
    pub(super) storage: StorageArgs,
    #[command(flatten)]
    pub(super) redact: RedactArgs,
    #[command(flatten)]
    pub(super) identity: IdentityArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
    #[command(flatten)]
    pub(super) control: ControlArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filter")]
pub(super) struct FilterArgs {
    /// Keep only these TCP ports of either side, such as 80,8080-8090 [default: all]
    #[arg(long = "port", short = 'p', value_name = "PORTS")]
    pub(super) ports: Vec<PortSet>,

    /// Keep only packets from or to this network, such as 10.0.0.0/8; repeat it for more [default: all]
    #[arg(long = "net", value_name = "CIDR", value_delimiter = ',')]
    pub(super) nets: Vec<Net>,

    /// Take UDP to these ports for VXLAN, besides 4789, 4790 and 8472; "any" finds it on every port by its looks
    #[arg(long = "vxlan-port", value_name = "PORTS")]
    pub(super) vxlan_ports: Vec<VxlanPorts>,

    /// Keep one connection in N, whole, and write N into each row as sample_weight; auto: N follows the load [default: 1/1]
    ///
    /// auto keeps all while collectors keep up, doubles N while a ring is half full or rows are shed, and halves it again
    /// after five calm seconds. Each row holds the N in force when its transaction began.
    #[arg(long, value_name = "1/N|auto", value_parser = parse_sampling)]
    pub(super) sample: Option<Sampling>,

    /// Copy at most this much of one head; longer ones are kept, cut, and flagged [default: 16k]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(super) head_limit: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Live capture")]
pub(super) struct LiveArgs {
    /// What becomes of a frame after it was looked at [default: auto]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) action: Option<ActionChoice>,

    /// Where the XDP program is attached [default: auto]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) xdp_mode: Option<XdpModeChoice>,

    /// Do not ask the interface for frames that are not addressed to it
    #[arg(long)]
    pub(super) no_promisc: bool,

    /// Which ring the records of a connection go to [default: auto]
    #[arg(long, value_enum, value_name = "MODE")]
    pub(super) steer: Option<SteerChoice>,

    /// Size of each ring, a power of two from 64KiB to 512MiB [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(super) ring_bytes: Option<u64>,

    /// Stop after this time, such as 10s [default: at Ctrl-C or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) duration: Option<Duration>,

    /// Number of collectors, each with a thread of its own [default: one per CPU, one for files]
    ///
    /// Fewer or more than there are CPUs: connections are spread over them by their hash, as hash steering does.
    #[arg(long, value_name = "N")]
    pub(super) collectors: Option<u16>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Storage")]
pub(super) struct StorageArgs {
    /// A row is safe on disk after this time at the latest [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) flush_interval: Option<Duration>,

    /// Publish a file at this size [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(super) file_bytes: Option<u64>,

    /// Publish a file when its oldest row is this old [default: with every flush; 5m with --pcap]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) file_age: Option<Duration>,

    /// Compression level, 1 (fast) to 22 (small)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(super) zstd_level: i32,

    /// Remove files of hours that ended longer ago than this, such as 30d [default: keep]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) keep: Option<Duration>,

    /// Remove the oldest files when this sensor's are more than this, such as 2TB [default: keep]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(super) keep_bytes: Option<u64>,

    /// Remove the oldest files when the filesystem has less room than this, such as 10% or 50GB [default: keep]
    ///
    /// Looked at every second. The files of the newest hour stay, whoever fills the disk.
    #[arg(long, value_name = "SHARE", value_parser = parse_room)]
    pub(super) keep_free: Option<KeepFree>,

    /// Merge the small files of hours that are over into large ones, when the machine has nothing else to do
    #[arg(long)]
    pub(super) compact: bool,

    /// Encrypt every file with the keys of this file, which hdrcap key encryption makes [default: not encrypted]
    ///
    /// Parquet modular encryption, for DuckDB, Spark and pyarrow to read with the key; the README shows how. Keep the
    /// file, and a copy, apart from the dataset: without it nobody reads what was captured.
    #[arg(long, value_name = "FILE")]
    pub(super) encryption_keys: Option<PathBuf>,

    /// Upload published files to this place, such as s3://bucket/prefix; credentials from AWS_* variables
    ///
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION and the like. What cannot be sent is tried
    /// again, also after a restart. Nothing is removed here for having been sent.
    #[arg(long, value_name = "URL")]
    pub(super) upload: Option<UploadTarget>,

    /// Server to upload to, for stores other than that of AWS, such as https://minio.example:9000
    #[arg(long, value_name = "URL", requires = "upload", value_parser = parse_endpoint)]
    pub(super) upload_endpoint: Option<String>,

    /// Name of this capturing host in rows and file names [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(super) sensor: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Secrets")]
pub(super) struct RedactArgs {
    /// What becomes of credentials, cookies and the like
    #[arg(long, value_enum, value_name = "MODE", default_value = "default")]
    pub(super) redact: RedactChoice,

    /// Rules in TOML that come before the built-in ones: per field, parameter, cookie, path segment, client address
    ///
    /// Try them with hdrcap redact; the README describes them.
    #[arg(long, value_name = "FILE")]
    pub(super) redact_policy: Option<PathBuf>,

    /// File of the key that tokens are made with; made, readable for its owner alone, where it is missing
    ///
    /// Equal secrets become equal tokens as long as the key stays the same. It is kept apart from the dataset, which
    /// gets copied around: in $STATE_DIRECTORY under systemd, in /var/lib/hdrcap for root, else in
    /// $XDG_DATA_HOME/hdrcap or ~/.local/share/hdrcap.
    #[arg(long, value_name = "PATH")]
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RedactChoice {
    /// Replace each by a keyed token: still joinable, never readable
    Default,
    /// Store them as they are
    Off,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Privileges")]
pub(super) struct IdentityArgs {
    /// Become this user at the start [default: for root, the owner of the dataset's folder, else hdrcap]
    ///
    /// Only root can become another user. By default root becomes whoever owns the folder of the dataset; where the
    /// folder is still to be made in a folder of root's, the user hdrcap, if there is one. Else it stays and says so.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,

    /// Give what is written to this group, which may read it [default: the user's own]
    #[arg(long, value_name = "NAME")]
    pub(super) group: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(super) struct ReportArgs {
    /// Print the balance as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,

    /// Show no progress, and log warnings and errors only
    #[arg(long, short = 'q')]
    pub(super) quiet: bool,

    /// Time between two rows of the capture_stats table [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) stats_interval: Option<Duration>,

    /// Answer scrapers here, such as 127.0.0.1:9108 or unix:/run/hdrcap/metrics.sock; repeat it for more [default: nowhere]
    ///
    /// OpenMetrics at /metrics, the health as JSON at /healthz (status 503 where the capture is not well), the balance at
    /// /balance. A port alone is one of 127.0.0.1: there is no password.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(super) metrics: Vec<MetricsAddress>,

    /// Not well, where more of the frames, heads or rows of a minute are lost [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = parse_portion)]
    pub(super) health_loss: Option<f64>,

    /// Not well, where a record waits longer than this for its collector, or a row for the disk [default: 30s, or 3 flush intervals]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) health_lag: Option<Duration>,

    /// Form of log lines
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    pub(super) log_format: LogFormat,
}
