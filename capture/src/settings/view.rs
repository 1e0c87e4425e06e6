//! The options about watching: the control socket of a capture, and what `hdrcap top` and `hdrcap tail` were asked for.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::error::ErrorKind;

use super::{
    ControlSettings, Environment, Source,
    resolve::{Result, refuse},
    values::parse_duration,
};
use crate::view::{
    filter::{ClientNet, Filter, Pattern, StatusSet},
    protocol::{EVERY_MS_MAX, EVERY_MS_MIN},
    tail::{ControlChoice, TailSettings},
    top::TopSettings,
};

/// Where sockets of captures that run as root are.
const SYSTEM_FOLDER: &str = "/run/hdrcap";

const EVERY_DEFAULT: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Watching")]
pub(super) struct ControlArgs {
    /// Socket that hdrcap top and hdrcap tail watch at, or off
    ///
    /// By default SENSOR.sock in $RUNTIME_DIRECTORY under systemd, in /run/hdrcap for root, else in
    /// $XDG_RUNTIME_DIR/hdrcap; none where capture files are read.
    #[arg(long, value_name = "PATH|off")]
    pub(super) control: Option<PathBuf>,

    /// Group whose members may watch, besides root and the user of the capture
    #[arg(long, value_name = "GROUP")]
    pub(super) control_group: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct AttachArgs {
    /// Socket of the capture [default: of the only one that is running]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,

    /// Only this host; * stands for any characters
    #[arg(long, value_name = "HOST")]
    host: Option<Pattern>,

    /// Only this path, without query; * stands for any characters
    #[arg(long, value_name = "PATH")]
    path: Option<Pattern>,

    /// Only this method
    #[arg(long, value_name = "METHOD")]
    method: Option<Pattern>,

    /// Only these status codes: 404, 5xx, 400-499, or several joined by commas
    #[arg(long, value_name = "CODES")]
    status: Option<StatusSet>,

    /// Only clients of this address or network
    #[arg(long, value_name = "CIDR")]
    client: Option<ClientNet>,

    /// Only where the response's first byte came later than this, such as 200ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    slower_than: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    attach: AttachArgs,

    /// Time between two refreshes, 100ms to 60s [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    every: Option<Duration>,

    /// Print one report and end
    #[arg(long)]
    once: bool,

    /// Print it as JSON
    #[arg(long, requires = "once")]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct TailArgs {
    #[command(flatten)]
    attach: AttachArgs,

    /// Print JSON lines, with the names of the columns of the files
    #[arg(long)]
    json: bool,

    /// End after so many rows
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after this time, such as 10s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
}

/// What a control socket was asked for; `sensor` names the default one.
pub(super) fn resolve_control(
    args: ControlArgs,
    sensor: &str,
    source: &Source,
    environment: &Environment,
) -> Result<ControlSettings> {
    let group = args.control_group;
    let path = match args.control {
        Some(path) if path == Path::new("off") => {
            if group.is_some() {
                let why = "--control-group is without effect where --control is off: leave one of them out";
                return Err(refuse(ErrorKind::ArgumentConflict, why));
            }
            return Ok(ControlSettings::Off);
        }
        Some(path) => return Ok(ControlSettings::At { path, group }),
        None => default_folder(environment).map(|folder| folder.join(format!("{sensor}.sock"))),
    };
    Ok(match (source, path) {
        (Source::Live(_), Some(path)) => ControlSettings::Usual { path, group },
        (Source::Live(_), None) | (Source::Pcap(_), _) => ControlSettings::Off,
    })
}

fn default_folder(environment: &Environment) -> Option<PathBuf> {
    if let Some(folder) = &environment.runtime_directory {
        return Some(folder.clone());
    }
    if environment.is_root {
        return Some(PathBuf::from(SYSTEM_FOLDER));
    }
    environment.user_runtime.as_ref().map(|folder| folder.join("hdrcap"))
}

fn attach(args: AttachArgs, environment: &Environment) -> (ControlChoice, Filter) {
    let control = match args.control {
        Some(path) => ControlChoice::At(path),
        None => {
            let own = environment.user_runtime.as_ref().map(|folder| folder.join("hdrcap"));
            ControlChoice::OnlyOne([Some(PathBuf::from(SYSTEM_FOLDER)), own].into_iter().flatten().collect())
        }
    };
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let filter = Filter {
        host: args.host,
        path: args.path,
        method: args.method,
        client: args.client,
        status: args.status,
        slower_than_us: args.slower_than.map(micros),
    };
    (control, filter)
}

pub(super) fn resolve_top(args: TopArgs, environment: &Environment) -> Result<TopSettings> {
    let (control, filter) = attach(args.attach, environment);
    let every = args.every.unwrap_or(EVERY_DEFAULT);
    let (shortest, longest) = (Duration::from_millis(EVERY_MS_MIN), Duration::from_millis(EVERY_MS_MAX));
    if !(shortest..=longest).contains(&every) {
        let why = format!("--every {every:?} is out of range: take {shortest:?} to {longest:?}");
        return Err(refuse(ErrorKind::ValueValidation, why));
    }
    Ok(TopSettings { control, filter, every, once: args.once, json: args.json })
}

pub(super) fn resolve_tail(args: TailArgs, environment: &Environment) -> TailSettings {
    let (control, filter) = attach(args.attach, environment);
    TailSettings {
        control,
        filter,
        json: args.json,
        count: args.count,
        duration: args.duration,
        color: !environment.no_color,
    }
}
