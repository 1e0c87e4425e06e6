//! The control plane: builds the pipeline from the sink back to the source, watches it, stops it in order.
//!
//! One thread (tokio) that never touches a record. It owns the clock of ticks and intervals, the signals, the progress
//! line, and the balance at every exit.

pub mod dataset;
pub mod doctor;
pub mod encryption;
mod endpoint;
pub mod health;
mod live;
pub mod logging;
pub mod metrics;
pub mod mirror;
pub mod progress;
mod replay;
mod sampling;
pub mod secrets;
mod service;
mod signals;
pub mod snapshot;
pub mod stats;
mod viewers;
mod watch;

use std::{
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread::JoinHandle,
};

use anyhow::{Context as _, bail};
use common::{
    config::{Config, Net},
    limits::NET_COUNT_MAX,
};
use storage::{
    dataset::{Writer, WriterSettings},
    encrypt::Keyring,
    schema::StatsSchema,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tracing::{info, warn};

use self::{
    endpoint::{Endpoint, QUESTION_COUNT_MAX, Question},
    progress::Progress,
    stats::GAUGES,
    watch::Watch,
};
use crate::{
    confine::{
        self, Needs, Purpose, Safeguard, State,
        user::{Identity, assume, intended},
    },
    encoder::Encoder,
    limits,
    settings::{MetricsAddress, Sampling, Settings, Source, VxlanPorts},
    upload::Uploader,
    view::hub::HubPlan,
};

/// Captures until the source ends or a signal comes; the exit code says whether the balance closed.
pub fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(&settings.report);
    logging::start(&settings.report, progress.bar());
    confine::forbid_core_dumps();
    let redactor = secrets::redactor(&settings.redact)?;
    // As whoever started it: the usual folder of sockets is nobody else's.
    let user = intended(&settings.identity, &settings.storage.folder)?;
    let viewers = viewers::bind(&settings.control, user)?;
    let keyring = encryption::keyring(settings.storage.encryption_keys.as_deref())?;
    let identity = assume(&settings.identity, &settings.storage.folder, purpose(&settings.source))?;
    let viewers_bytes = viewers.as_ref().map_or(0, |_| limits::viewers_bytes_max());
    info!(
        collector_bytes = limits::collector_bytes_max(settings.head_bytes_max),
        viewers_bytes, "memory that each collector, and all viewers together, may take at the most"
    );
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no control plane")?;
    let (asking, questions) = mpsc::channel(QUESTION_COUNT_MAX);
    for address in &settings.report.metrics {
        Endpoint::bind(address)?.serve(&runtime, asking.clone()).context("no metrics")?;
    }
    let mut plane = Plane { runtime, progress, questions, viewers, keyring };
    let ended = match &settings.source {
        Source::Pcap(files) => replay::run((settings, &identity), files, redactor, &mut plane),
        Source::Live(live) => live::run((settings, &identity), live, &redactor, &mut plane),
    };
    plane.progress.finish();
    report(settings, &mut ended?)
}

/// What a capture is steered and shown by.
struct Plane {
    runtime: Runtime,
    progress: Progress,
    /// From whoever wants to know how things stand.
    questions: mpsc::Receiver<Question>,
    /// What serves viewers, once there are collectors.
    viewers: Option<HubPlan>,
    /// What the dataset is encrypted with, if it is.
    keyring: Keyring,
}

/// What a capture came to.
struct Ended {
    watch: Watch,
    /// Something of the input could not be read; told already.
    is_input_damaged: bool,
}

/// What a thread returned; a panic in it goes on in this one, so that it is told once and ends the process.
fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn report(settings: &Settings, ended: &mut Ended) -> anyhow::Result<ExitCode> {
    let balance = ended.watch.balance();
    if settings.report.json {
        writeln!(io::stdout(), "{}", balance.to_json()).context("the balance could not be printed")?;
    }
    if !settings.report.quiet {
        // A closed standard error must not turn a capture that went well into one that failed.
        write!(io::stderr(), "{}", balance.to_text()).unwrap_or_default();
    }
    let is_closed = balance.discrepancies().is_empty();
    Ok(if is_closed && !ended.is_input_damaged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn purpose(source: &Source) -> Purpose {
    match source {
        Source::Live(live) => Purpose::Live { promiscuous: live.promiscuous },
        Source::Pcap(_) => Purpose::Files,
    }
}

/// Opens the dataset; nothing writes to it yet.
fn open_writer(
    (settings, identity): (&Settings, &Identity),
    redaction_policy: &str,
    keyring: &Keyring,
) -> anyhow::Result<Writer> {
    let storage = &settings.storage;
    let writer = Writer::open(WriterSettings {
        zstd_level: storage.zstd_level,
        file_bytes_max: storage.file_bytes_max,
        file_age_max: storage.file_age_max,
        flush_interval: storage.flush_interval,
        redaction_policy: redaction_policy.to_owned(),
        stats: Some(StatsSchema::new(&stats::counter_names(), &GAUGES)),
        group: identity.group,
        keyring: keyring.clone(),
        ..WriterSettings::new(&storage.folder, &settings.sensor)
    })
    .with_context(|| format!("as user {} ({})", identity.user, identity.reason))?;
    if let Some(key) = keyring.footer_id() {
        info!(key, "files are encrypted");
    }
    if !writer.uses_ring() {
        info!("io_uring is not available here: files are written by plain writes");
    }
    Ok(writer)
}

/// Gives up every privilege, with everything open and before the first thread; says what is in force.
fn confine(
    (settings, identity): (&Settings, &Identity),
    (writer, keyring): (Writer, &Keyring),
    (reads, collector_count): (&[PathBuf], usize),
) -> anyhow::Result<Encoder> {
    let sockets = settings.report.metrics.iter().filter_map(MetricsAddress::folder);
    let connects = settings.storage.upload.is_some();
    let tokens = if connects { Uploader::reads() } else { Vec::new() };
    let needs = Needs {
        folders: vec![settings.storage.folder.clone()],
        removals: sockets.chain(settings.control.folder()).map(Path::to_owned).collect(),
        reads: [reads, &tokens].concat(),
        is_live: matches!(settings.source, Source::Live(_)),
        connects,
    };
    let uploader = settings.storage.upload.as_ref();
    let uploader = uploader.map(|upload| Uploader::new(upload, &settings.storage.folder, &settings.sensor));
    let uploader = uploader.transpose()?;
    let mut safeguards = confine::confine(&needs);
    safeguards.push(Safeguard {
        name: "io_uring",
        state: match (writer.uses_ring(), writer.is_ring_restricted()) {
            (true, true) => State::InForce("writes and syncs only".to_owned()),
            (true, false) => {
                State::Missing("this kernel cannot restrict a ring to writes, which 5.10 can".to_owned())
            }
            (false, _) => State::InForce("unused".to_owned()),
        },
    });
    let held: Vec<String> =
        safeguards.iter().filter(|found| found.holds()).map(Safeguard::to_string).collect();
    info!(user = %identity.user, why = %identity.reason, "confined: {}", held.join("; "));
    for missing in safeguards.iter().filter(|found| !found.holds()) {
        warn!("{missing}");
    }
    let encoder = Encoder::start(writer, &settings.sensor, collector_count);
    let mut encoder = encoder.context("the encoder could not be started")?;
    let uploads = uploader.as_ref().map(Uploader::uploads);
    let kept = encoder.keep(&settings.sensor, settings.storage.keep, uploads);
    kept.context("retention could not be started")?;
    if let Some(uploader) = uploader {
        encoder.upload(uploader).context("the upload could not be started")?;
    }
    if settings.storage.compacts {
        encoder.compact(&settings.sensor, keyring.clone()).context("compaction could not be started")?;
    }
    Ok(encoder)
}

/// Puts filters, sampling and limits into the configuration of the frame path.
fn configure(config: &mut Config, settings: &Settings) -> anyhow::Result<()> {
    let filter = &settings.filter;
    config.head_limit = settings.head_bytes_max;
    config.set_sampling(match filter.sampling {
        Sampling::Fixed(weight) => weight,
        Sampling::Auto => 1,
    });
    if !filter.ports.is_all() {
        for range in filter.ports.ranges() {
            (range.first..=range.last).for_each(|port| config.add_port(port));
        }
    }
    match &filter.vxlan_ports {
        VxlanPorts::Any => config.vxlan_any = 1,
        VxlanPorts::These(ports) => {
            let ranges = ports.ranges().iter();
            ranges.flat_map(|range| range.first..=range.last).for_each(|port| config.add_vxlan_port(port));
        }
    }
    for net in &filter.nets {
        let prefix = match net.address() {
            IpAddr::V4(address) => Net::v4(address.octets(), net.prefix_len()),
            IpAddr::V6(address) => Net::v6(address.octets(), net.prefix_len()),
        };
        let prefix = prefix.expect("settings hold valid prefixes");
        if !config.add_net(prefix) {
            bail!("more than {NET_COUNT_MAX} networks: give fewer, wider ones to --net");
        }
    }
    Ok(())
}
