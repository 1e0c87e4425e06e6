//! Runs the pipeline over capture files.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use common::config::Config;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::{
    Ended, Plane, configure, confine, joined, open_writer,
    progress::Progress,
    signals::Signals,
    viewers::Teller,
    watch::{Origin, Stop, Watch},
};
use crate::{
    collector::{Collector, CollectorSettings},
    confine::user::Identity,
    ledger::CollectorLedger,
    redact::Redactor,
    settings::{Settings, StopChoice},
    source::{
        decider::Decider,
        live::losses::LossReader,
        replay::{Replay, ReplayEnd, ReplayProgress},
    },
    view::hub::{Hub, HubPlan},
};

/// Reads the files in order and returns what came of it.
pub(super) fn run(
    (settings, identity): (&Settings, &Identity),
    files: &[PathBuf],
    redactor: Redactor,
    plane: &mut Plane,
) -> anyhow::Result<Ended> {
    let mut config = Box::<Config>::default();
    configure(&mut config, settings)?;
    let mut viewers = plane.viewers.take();
    let writer = open_writer((settings, identity), &redactor.policy_name(), &plane.keyring)?;
    let mut signals = Signals::catch(&plane.runtime).context("the signals could not be listened to")?;
    let encoder = confine((settings, identity), (writer, &plane.keyring), (files, 1))?;
    let ledger = Arc::new(CollectorLedger::default());
    let collector_settings = CollectorSettings::of_files(settings.head_bytes_max as usize);
    let mut collector =
        Collector::new(&collector_settings, redactor, encoder.queue.clone(), Arc::clone(&ledger));
    if let Some(viewers) = &mut viewers {
        collector.set_feed(viewers.feed(&ledger));
    }
    let hub = viewers.map(HubPlan::start).transpose().context("no thread for viewers")?;
    let seen = Arc::new(ReplayProgress::default());
    let stop = Arc::new(AtomicBool::new(false));
    let replay = Replay::new(Decider::new(&config), collector, Arc::clone(&seen), Arc::clone(&stop));
    let (done, ended) = oneshot::channel();
    let (thread_files, bytes_total) = (files.to_vec(), bytes_of(files));
    let thread = std::thread::Builder::new().name("hdrcap-replay".into()).spawn(move || -> ReplayEnd {
        let end = replay.run(&thread_files);
        // The receiver is gone where a signal came first.
        done.send(()).unwrap_or_default();
        end
    })?;
    let counts = Arc::clone(&seen);
    let origin = Origin {
        interfaces: Box::new(move || counts.read()),
        losses: LossReader::default(),
        ring_size_bytes: 0,
        ports: Vec::new(),
    };
    let mut watch = Watch::new(origin, vec![ledger], &encoder, &settings.report);
    watch.tell_viewers(hub.as_ref().map(|hub| Teller::new(hub, &settings.sensor)));
    let refresh =
        |line: &mut Progress| line.set_position(seen.bytes_read.load(Ordering::Relaxed), bytes_total);
    let until = watch.until_stop(
        &settings.report,
        (StopChoice::Signal, ended),
        (&mut plane.progress, &mut plane.questions, &mut signals),
        &encoder,
        refresh,
    );
    let stopped = plane.runtime.block_on(until);
    stop.store(true, Ordering::Relaxed);
    if stopped != Stop::SourceEnded {
        warn!("stopped before the end of the input");
    }
    let end = joined(thread);
    for damage in &end.errors {
        error!("{damage}");
    }
    hub.into_iter().for_each(Hub::finish);
    encoder.finish(|| watch.last_interval());
    Ok(Ended { watch, is_input_damaged: !end.errors.is_empty() })
}

/// Bytes of all files together; `None` where one is a pipe.
fn bytes_of(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len())).sum()
}
