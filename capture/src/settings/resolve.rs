//! From what was typed to what it means: defaults, limits, and what does not go together.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{CommandFactory as _, error::ErrorKind};
use common::limits::{HEAD_BYTES_DEFAULT, HEAD_BYTES_MAX, IFACE_COUNT_MAX, NET_COUNT_MAX};
use storage::retention::Keep;

use super::{
    ActionChoice, CollectorCount, Environment, FilterSettings, HealthSettings, IdentitySettings, Job,
    LiveSettings, NewKeys, PortSet, RedactJob, RedactSettings, ReportSettings, Sampling, Settings, Source,
    SteerChoice, StopChoice, StorageSettings, UploadSettings, VxlanPorts, XdpModeChoice,
    args::{
        Args, CaptureArgs, Command, FilterArgs, KeyCommand, LiveArgs, RedactArgs, RedactChoice, ReportArgs,
        StorageArgs,
    },
    view::{resolve_control, resolve_tail, resolve_top},
};
use crate::source::live::load::{RING_BYTES_DEFAULT, RING_BYTES_MAX, RING_BYTES_MIN};

/// Largest N of `--sample 1/N`: rarer connections would tell nothing.
pub(super) const SAMPLE_WEIGHT_MAX: u32 = 1_000_000;

/// Below this, `--head-limit` cuts ordinary heads.
const HEAD_BYTES_MIN: u64 = 1024;

const COLLECTOR_COUNT_MAX: u16 = 1024;

/// Smaller files are mostly footer.
const FILE_BYTES_MIN: u64 = 1 << 20;
const FILE_BYTES_MAX: u64 = 1 << 40;
const FILE_BYTES_DEFAULT: u64 = 256 << 20;
/// Nobody waits for the rows of capture files: theirs are collected. Those of a live capture go out with each flush.
const FILE_AGE_PCAP_DEFAULT: Duration = Duration::from_secs(300);
const FLUSH_INTERVAL_DEFAULT: Duration = Duration::from_secs(5);
const STATS_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const HEALTH_LOSS_SHARE_DEFAULT: f64 = 0.01;
/// What a row may wait for at least, and in flush intervals: it waits for one by design.
const HEALTH_LAG_DEFAULT: Duration = Duration::from_secs(30);
const HEALTH_LAG_FLUSH_INTERVALS: u32 = 3;

/// `--sensor` is part of every file name.
const SENSOR_BYTES_MAX: usize = 64;

const _: () = assert!(HEAD_BYTES_MIN <= HEAD_BYTES_DEFAULT as u64);

pub(super) type Result<T> = std::result::Result<T, clap::Error>;

pub(super) fn resolve(args: Args, environment: &Environment) -> Result<Job> {
    match args.command {
        Some(Command::Recover { dir, encryption_keys }) => Ok(Job::Recover { dir, encryption_keys }),
        Some(Command::Verify { dir, heads, encryption_keys }) => {
            Ok(Job::Verify { dir, heads, encryption_keys })
        }
        Some(Command::Compact { dir, zstd_level, encryption_keys }) => {
            Ok(Job::Compact { dir, zstd_level, encryption_keys })
        }
        Some(Command::Files { dir, waiting }) => Ok(Job::Files { dir, waiting }),
        Some(Command::Redact { explain, policy, key_file }) => {
            Ok(Job::Redact(RedactJob { explains: explain, policy_file: policy, key_file }))
        }
        Some(Command::Key { what: KeyCommand::Id { key_file } }) => {
            Ok(Job::KeyId(key_place(key_file, environment)?))
        }
        Some(Command::Key { what: KeyCommand::Rotate { key_file } }) => {
            Ok(Job::KeyRotate(key_place(key_file, environment)?))
        }
        Some(Command::Key { what: KeyCommand::Encryption { file, columns, rotate } }) => {
            let keys = if rotate { NewKeys::Next } else { NewKeys::First(columns) };
            Ok(Job::KeyEncryption { file, keys })
        }
        Some(Command::Doctor { ifaces, security }) => {
            Ok(Job::Doctor { ifaces: checked_ifaces(ifaces)?, security })
        }
        Some(Command::Top(args)) => Ok(Job::Top(resolve_top(args, environment)?)),
        Some(Command::Tail(args)) => Ok(Job::Tail(resolve_tail(args, environment))),
        None => Ok(Job::Capture(Box::new(resolve_capture(args.capture, environment)?))),
    }
}

fn resolve_capture(args: CaptureArgs, environment: &Environment) -> Result<Settings> {
    let head_limit = args.filter.head_limit.unwrap_or(u64::from(HEAD_BYTES_DEFAULT));
    within("--head-limit", head_limit, HEAD_BYTES_MIN, u64::from(HEAD_BYTES_MAX))?;
    let sensor = resolve_sensor(args.storage.sensor.as_deref(), environment)?;
    let collectors = match args.live.collectors {
        None => CollectorCount::Auto,
        Some(count) => {
            within("--collectors", u64::from(count), 1, u64::from(COLLECTOR_COUNT_MAX))?;
            CollectorCount::Exactly(count)
        }
    };
    let source = resolve_source(args.ifaces, args.pcap, args.live)?;
    if matches!(source, Source::Pcap(_)) && args.filter.sample == Some(Sampling::Auto) {
        let why = "--sample auto follows the rings of a live capture: give 1/N with --pcap";
        return Err(refuse(ErrorKind::ArgumentConflict, why));
    }
    let Some(out) = args.out else {
        return Err(refuse(ErrorKind::MissingRequiredArgument, "no folder to write to: give --out DIR"));
    };
    let storage = resolve_storage(out, &args.storage, &source)?;
    Ok(Settings {
        control: resolve_control(args.control, &sensor, &source, environment)?,
        source,
        filter: resolve_filter(args.filter)?,
        head_bytes_max: head_limit as u32,
        collectors,
        redact: resolve_redact(args.redact, environment)?,
        identity: IdentitySettings { user: args.identity.user, group: args.identity.group },
        report: resolve_report(&args.report, storage.flush_interval),
        storage,
        sensor,
    })
}

fn resolve_source(ifaces: Vec<String>, pcap: Vec<PathBuf>, live: LiveArgs) -> Result<Source> {
    match (ifaces.is_empty(), pcap.is_empty()) {
        (true, true) => {
            let why =
                "nothing to capture from: give --iface IF for an interface or --pcap FILE for capture files";
            Err(refuse(ErrorKind::MissingRequiredArgument, why))
        }
        (false, false) => {
            let why = "--iface and --pcap do not go together: start one process for each";
            Err(refuse(ErrorKind::ArgumentConflict, why))
        }
        (false, true) => resolve_live(ifaces, live).map(Source::Live),
        (true, false) => {
            refuse_live_options(&live)?;
            if pcap.iter().filter(|path| *path == Path::new("-")).count() > 1 {
                return Err(refuse(
                    ErrorKind::ValueValidation,
                    "--pcap - can be read once only: give - once",
                ));
            }
            Ok(Source::Pcap(pcap))
        }
    }
}

fn resolve_live(ifaces: Vec<String>, args: LiveArgs) -> Result<LiveSettings> {
    let ring_bytes = args.ring_bytes.unwrap_or(u64::from(RING_BYTES_DEFAULT));
    within("--ring-bytes", ring_bytes, u64::from(RING_BYTES_MIN), u64::from(RING_BYTES_MAX))?;
    if !ring_bytes.is_power_of_two() {
        let next = ring_bytes.next_power_of_two();
        let why = format!("--ring-bytes {ring_bytes} is not a power of two: take {} or {next}", next / 2);
        return Err(refuse(ErrorKind::ValueValidation, why));
    }
    Ok(LiveSettings {
        ifaces: checked_ifaces(ifaces)?,
        action: args.action.unwrap_or(ActionChoice::Auto),
        xdp_mode: args.xdp_mode.unwrap_or(XdpModeChoice::Auto),
        promiscuous: !args.no_promisc,
        steer: args.steer.unwrap_or(SteerChoice::Auto),
        ring_bytes: ring_bytes as u32,
        stop: args.duration.map_or(StopChoice::Signal, StopChoice::After),
    })
}

/// Refuses options that would be without effect on files.
fn refuse_live_options(live: &LiveArgs) -> Result<()> {
    let given = [
        ("--action", live.action.is_some()),
        ("--xdp-mode", live.xdp_mode.is_some()),
        ("--no-promisc", live.no_promisc),
        ("--steer", live.steer.is_some()),
        ("--ring-bytes", live.ring_bytes.is_some()),
        ("--duration", live.duration.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            let why = format!("{option} is for --iface only: leave it out with --pcap");
            Err(refuse(ErrorKind::ArgumentConflict, why))
        }
        None => Ok(()),
    }
}

fn checked_ifaces(ifaces: Vec<String>) -> Result<Vec<String>> {
    if ifaces.len() > IFACE_COUNT_MAX {
        let why = format!("{} interfaces, of which one process takes {IFACE_COUNT_MAX}", ifaces.len());
        return Err(refuse(ErrorKind::TooManyValues, why));
    }
    for (at, iface) in ifaces.iter().enumerate() {
        // What the kernel accepts as a name (dev_valid_name in net/core/dev.c).
        let odd = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace();
        if iface.is_empty()
            || iface.len() > 15
            || matches!(iface.as_str(), "." | "..")
            || iface.bytes().any(odd)
        {
            let why = format!("--iface '{iface}' cannot be the name of an interface: see ip -brief link");
            return Err(refuse(ErrorKind::ValueValidation, why));
        }
        if ifaces[..at].contains(iface) {
            return Err(refuse(ErrorKind::ValueValidation, format!("--iface {iface} is given twice")));
        }
    }
    Ok(ifaces)
}

fn resolve_filter(args: FilterArgs) -> Result<FilterSettings> {
    if args.nets.len() > NET_COUNT_MAX {
        let why =
            format!("{} networks, of which the filter holds {NET_COUNT_MAX}: join some", args.nets.len());
        return Err(refuse(ErrorKind::TooManyValues, why));
    }
    let ports = PortSet::union(args.ports);
    let vxlan_ports = VxlanPorts::union(args.vxlan_ports);
    Ok(FilterSettings {
        ports,
        vxlan_ports,
        nets: args.nets,
        sampling: args.sample.unwrap_or(Sampling::Fixed(1)),
    })
}

fn resolve_storage(folder: PathBuf, args: &StorageArgs, source: &Source) -> Result<StorageSettings> {
    let file_bytes_max = args.file_bytes.unwrap_or(FILE_BYTES_DEFAULT);
    within("--file-bytes", file_bytes_max, FILE_BYTES_MIN, FILE_BYTES_MAX)?;
    let flush_interval = args.flush_interval.unwrap_or(FLUSH_INTERVAL_DEFAULT);
    let file_age_default = match source {
        Source::Live(_) => flush_interval,
        Source::Pcap(_) => FILE_AGE_PCAP_DEFAULT.max(flush_interval),
    };
    let file_age_max = args.file_age.unwrap_or(file_age_default);
    if file_age_max < flush_interval {
        let why = "--file-age is shorter than --flush-interval: a file would end before its first flush";
        return Err(refuse(ErrorKind::ValueValidation, why));
    }
    if args.compact && args.encryption_keys.is_some() {
        let why = "--compact leaves encrypted files as they are: leave it out, or --encryption-keys";
        return Err(refuse(ErrorKind::ArgumentConflict, why));
    }
    let keep = Keep { age: args.keep, bytes: args.keep_bytes, free: args.keep_free };
    Ok(StorageSettings {
        folder,
        flush_interval,
        file_bytes_max,
        file_age_max,
        zstd_level: args.zstd_level,
        keep,
        compacts: args.compact,
        encryption_keys: args.encryption_keys.clone(),
        upload: args
            .upload
            .clone()
            .map(|target| UploadSettings { target, endpoint: args.upload_endpoint.clone() }),
    })
}

fn resolve_redact(args: RedactArgs, environment: &Environment) -> Result<RedactSettings> {
    let idle = [("--key-file", args.key_file.is_some()), ("--redact-policy", args.redact_policy.is_some())];
    match (args.redact, idle.iter().find(|(_, given)| *given)) {
        (RedactChoice::Off, None) => Ok(RedactSettings::Off),
        (RedactChoice::Off, Some((option, _))) => {
            let why = format!("{option} is without effect where --redact is off: leave one of them out");
            Err(refuse(ErrorKind::ArgumentConflict, why))
        }
        (RedactChoice::Default, _) => {
            let key_file = key_place(args.key_file, environment)?;
            Ok(RedactSettings::Tokens { key_file, policy_file: args.redact_policy })
        }
    }
}

fn key_place(typed: Option<PathBuf>, environment: &Environment) -> Result<PathBuf> {
    let place = typed.or_else(|| state_folder(environment).map(|folder| folder.join("redaction.key")));
    place.ok_or_else(|| {
        let why = "no place for the key of redaction, as HOME is not set: give --key-file PATH";
        refuse(ErrorKind::MissingRequiredArgument, why)
    })
}

/// Where an installation keeps what must not travel with its data.
fn state_folder(environment: &Environment) -> Option<PathBuf> {
    if let Some(folder) = &environment.state_directory {
        return Some(folder.clone());
    }
    if environment.is_root {
        return Some(PathBuf::from("/var/lib/hdrcap"));
    }
    let data_home = environment.data_home.clone();
    let data_home = data_home.or_else(|| environment.home.as_ref().map(|home| home.join(".local/share")));
    data_home.map(|folder| folder.join("hdrcap"))
}

fn resolve_report(args: &ReportArgs, flush_interval: Duration) -> ReportSettings {
    ReportSettings {
        json: args.json,
        quiet: args.quiet,
        stats_interval: args.stats_interval.unwrap_or(STATS_INTERVAL_DEFAULT),
        log_format: args.log_format,
        metrics: args.metrics.clone(),
        health: HealthSettings {
            loss_share_max: args.health_loss.unwrap_or(HEALTH_LOSS_SHARE_DEFAULT),
            lag_max: args
                .health_lag
                .unwrap_or(HEALTH_LAG_DEFAULT.max(flush_interval * HEALTH_LAG_FLUSH_INTERVALS)),
        },
    }
}

fn resolve_sensor(typed: Option<&str>, environment: &Environment) -> Result<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if let Some(name) = typed {
        let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if name.len() > SENSOR_BYTES_MAX || !starts_well || !name.bytes().all(fits) {
            let why = format!(
                "--sensor '{name}' cannot be part of a file name: take at most {SENSOR_BYTES_MAX} letters, digits, \
                 dots, dashes or underscores, a letter or digit first"
            );
            return Err(refuse(ErrorKind::ValueValidation, why));
        }
        return Ok(name.to_owned());
    }
    let name = environment.host_name.as_deref().unwrap_or_default();
    let name: String =
        name.chars().filter(|c| u8::try_from(*c).is_ok_and(fits)).take(SENSOR_BYTES_MAX).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    Ok(if name.is_empty() { "hdrcap".to_owned() } else { name.to_owned() })
}

fn within(option: &str, value: u64, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let why = format!("{option} {value} is out of range: take {min} to {max}");
    Err(refuse(ErrorKind::ValueValidation, why))
}

pub(super) fn refuse(kind: ErrorKind, why: impl Display) -> clap::Error {
    Args::command().error(kind, why)
}
