//! Runs the pipeline on network interfaces: attach last, detach first.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::Context as _;
use common::config::Config;
use storage::values::TimeSource;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{
    Ended, Plane, configure, confine, joined,
    mirror::Port,
    open_writer, sampling,
    service::Manager,
    signals::Signals,
    viewers::Teller,
    watch::{Origin, Stop, Watch},
};
use crate::{
    backlog::Backlog,
    balance::InterfaceCounts,
    collector::{Collector, CollectorSettings, FullQueue},
    confine::user::Identity,
    encoder::Encoder,
    ledger::CollectorLedger,
    redact::Redactor,
    settings::{ActionChoice, CollectorCount, LiveSettings, Sampling, Settings, SteerChoice, XdpModeChoice},
    source::live::{
        self, LiveSource, affinity::Affinity, attach, counters::Counted, losses::LossReader, nic::Nic,
        pump::pump, ring::Ring, steering::Post,
    },
    view::hub::{Hub, HubPlan},
};

/// Captures until a signal comes or the duration is over, and returns what came of it.
pub(super) fn run(
    (settings, identity): (&Settings, &Identity),
    live: &LiveSettings,
    redactor: &Redactor,
    plane: &mut Plane,
) -> anyhow::Result<Ended> {
    let source_settings = source_settings(settings, live)?;
    let mut viewers = plane.viewers.take();
    let writer = open_writer((settings, identity), &redactor.policy_name(), &plane.keyring)?;
    let mut signals = Signals::catch(&plane.runtime).context("the signals could not be listened to")?;
    let mut source = LiveSource::open(&source_settings)?;
    tell(&source);
    let losses = LossReader::begin(source.nics());
    let ports = source.nics().iter().map(port).collect();
    let manager = Manager::of_process();
    let collector_count = source.posts().len();
    let encoder = confine((settings, identity), (writer, &plane.keyring), (&[], collector_count))?;
    let interfaces: Vec<(u32, String)> =
        source.nics().iter().map(|nic| (nic.link.ifindex, nic.link.name.clone())).collect();
    let closed = Arc::new(AtomicBool::new(false));
    let Collectors { ledgers, threads } =
        start_collectors(settings, &mut source, (&encoder, redactor, &interfaces, &mut viewers), &closed)?;
    manager.ready();
    let hub = viewers.map(HubPlan::start).transpose().context("no thread for viewers")?;
    let source = Arc::new(Mutex::new(source));
    if settings.filter.sampling == Sampling::Auto {
        plane.runtime.spawn(sampling::follow_load(
            Arc::clone(&source),
            sampling::Gauge::new(&ledgers, u64::from(live.ring_bytes)),
        ));
    }
    let origin = Origin {
        interfaces: Box::new(counts_of(&source, interfaces)),
        losses,
        ring_size_bytes: u64::from(live.ring_bytes),
        ports,
    };
    let mut watch = Watch::new(origin, ledgers, &encoder, &settings.report);
    watch.tell_viewers(hub.as_ref().map(|hub| Teller::new(hub, &settings.sensor)));
    // Interfaces do not end by themselves; the sender only has to live as long as the wait.
    let (_never_ends, ended) = oneshot::channel();
    let until = watch.until_stop(
        &settings.report,
        (live.stop, ended),
        (&mut plane.progress, &mut plane.questions, &mut signals),
        &encoder,
        |_| (),
    );
    let stopped = plane.runtime.block_on(until);
    info!("{}", if stopped == Stop::Duration { "the duration is over" } else { "stopping" });
    source.lock().unwrap_or_else(PoisonError::into_inner).detach();
    closed.store(true, Ordering::Release);
    for thread in threads {
        joined(thread);
    }
    hub.into_iter().for_each(Hub::finish);
    encoder.finish(|| watch.last_interval());
    Ok(Ended { watch, is_input_damaged: false })
}

/// Collectors at work, and what they count.
#[derive(Default)]
struct Collectors {
    ledgers: Vec<Arc<CollectorLedger>>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a collector for each ring, on the core whose frames it holds where each core has one.
fn start_collectors(
    settings: &Settings,
    source: &mut LiveSource,
    (encoder, redactor, interfaces, viewers): (&Encoder, &Redactor, &[(u32, String)], &mut Option<HubPlan>),
    closed: &Arc<AtomicBool>,
) -> anyhow::Result<Collectors> {
    let collector_settings = CollectorSettings {
        head_bytes_max: settings.head_bytes_max as usize,
        ts_source: TimeSource::Xdp,
        flush_interval_ns: u64::try_from(settings.storage.flush_interval.as_nanos()).ok(),
        full_queue: FullQueue::Shed(Backlog::default()),
    };
    let mut collectors = Collectors::default();
    let posts = source.posts();
    for (ring, post) in source.take_rings().into_iter().zip(posts) {
        let ledger = Arc::new(CollectorLedger::default());
        let (queue, own) = (encoder.queue.clone(), Arc::clone(&ledger));
        let mut collector = Collector::new(&collector_settings, redactor.twin(), queue, own);
        collector.set_interfaces(interfaces.to_vec());
        if let Some(viewers) = viewers {
            collector.set_feed(viewers.feed(&ledger));
        }
        collectors.threads.push(start_collector((ring, post), collector, Arc::clone(closed))?);
        collectors.ledgers.push(ledger);
    }
    Ok(collectors)
}

fn start_collector(
    (ring, post): (Ring, Post),
    collector: Collector,
    closed: Arc<AtomicBool>,
) -> io::Result<JoinHandle<()>> {
    let index = ring.index();
    // More collectors than cores share them.
    let core = index % std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    std::thread::Builder::new().name(format!("hdrcap-core{index}")).spawn(move || {
        let affinity = Affinity::pin(core)
            .inspect_err(|error| warn!("the collector of core {core} could not be pinned there: {error}"));
        pump((ring, &post), collector, affinity.ok(), &closed);
    })
}

/// A reader of the kernel half's counts; where they cannot be read, the last ones known.
fn counts_of(
    source: &Arc<Mutex<LiveSource>>,
    interfaces: Vec<(u32, String)>,
) -> impl Fn() -> Vec<InterfaceCounts> + 'static {
    let source = Arc::clone(source);
    let last = Mutex::new(vec![Counted::default(); interfaces.len()]);
    move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match source.lock().unwrap_or_else(PoisonError::into_inner).counted() {
            Ok(counters) => *last = counters,
            Err(error) => warn!("the kernel half's counts could not be read: {error}"),
        }
        let named = interfaces.iter().zip(last.iter());
        let counts = |((_, name), counted): (&(u32, String), &Counted)| InterfaceCounts {
            frames_by_core: counted.frames_by_cpu.clone(),
            ..InterfaceCounts::of(name.clone(), &counted.sum)
        };
        named.map(counts).collect()
    }
}

fn port(nic: &Nic) -> Port {
    Port {
        name: nic.link.name.clone(),
        rx_queue_count: nic.link.rx_queue_count,
        strips_vlan: nic.offloads.is_some_and(|offloads| offloads.vlan_stripping),
    }
}

/// Says how each interface is captured from, and what is wrong with it.
fn tell(source: &LiveSource) {
    for attachment in source.attachments() {
        if let Some(refusal) = &attachment.fallback {
            warn!("{refusal}; capturing in generic mode, which is slower");
        }
        let steering = source.steering().name();
        info!(iface = %attachment.iface, mode = ?attachment.mode, steering, "capturing");
    }
    for warning in source.warnings() {
        warn!("{warning}");
    }
}

fn source_settings(settings: &Settings, live: &LiveSettings) -> anyhow::Result<live::LiveSettings> {
    let mut config = Box::<Config>::default();
    configure(&mut config, settings)?;
    Ok(live::LiveSettings {
        ifaces: live.ifaces.clone(),
        config,
        action: match live.action {
            ActionChoice::Auto => live::ActionChoice::Auto,
            ActionChoice::Pass => live::ActionChoice::Pass,
            ActionChoice::Drop => live::ActionChoice::Drop,
        },
        steering: match live.steer {
            SteerChoice::Auto => live::SteeringChoice::Auto,
            SteerChoice::Cpu => live::SteeringChoice::Cpu,
            SteerChoice::Hash => live::SteeringChoice::Hash,
        },
        mode: match live.xdp_mode {
            XdpModeChoice::Auto => attach::ModeChoice::Auto,
            XdpModeChoice::Native => attach::ModeChoice::Native,
            XdpModeChoice::Generic => attach::ModeChoice::Generic,
        },
        ring_count: match settings.collectors {
            CollectorCount::Auto => None,
            CollectorCount::Exactly(count) => Some(u32::from(count)),
        },
        ring_bytes: live.ring_bytes,
        promiscuous: live.promiscuous,
    })
}
