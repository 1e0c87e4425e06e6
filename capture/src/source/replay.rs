//! Capture files through the same decision and the same collector as live frames, on one thread.
//!
//! A pure function of the files: the clock is the frames' own, and a full queue is waited for.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{counters::Counters, decide::dissect::Link};

use super::{
    decider::{Decider, FrameRef},
    pcap::{self, Frame, Interface, PcapError, PcapSource},
};
use crate::{balance::InterfaceCounts, collector::Collector};

/// Frames between two looks at the stop flag and two publications of the counts.
const FRAMES_PER_BURST: u32 = 4096;

/// How far the reading has come, for others to see.
#[derive(Debug, Default)]
pub struct ReplayProgress {
    /// Bytes read of all files so far.
    pub bytes_read: AtomicU64,
    /// Counts by file.
    pub counts: Mutex<Vec<InterfaceCounts>>,
}

impl ReplayProgress {
    /// Counts by file, as last published.
    pub fn read(&self) -> Vec<InterfaceCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct ReplayEnd {
    /// Damage met, one entry a file at the most; what came before it was taken.
    pub errors: Vec<PcapError>,
}

/// A replay about to run.
pub struct Replay {
    decider: Decider,
    collector: Collector,
    interfaces: Vec<(u32, String)>,
    finished: Vec<InterfaceCounts>,
    progress: Arc<ReplayProgress>,
    stop: Arc<AtomicBool>,
}

impl Replay {
    /// A replay into `collector` that ends early where `stop` is set.
    pub fn new(
        decider: Decider,
        collector: Collector,
        progress: Arc<ReplayProgress>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Replay { decider, collector, interfaces: Vec::new(), finished: Vec::new(), progress, stop }
    }

    /// Reads the files in order, to the end or to the first damage of each.
    pub fn run(mut self, files: &[PathBuf]) -> ReplayEnd {
        let mut end = ReplayEnd::default();
        let mut bytes_before = 0;
        for file in files {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.read(file, bytes_before) {
                Ok(bytes) => bytes_before += bytes,
                Err(error) => end.errors.push(error),
            }
        }
        self.collector.finish();
        end
    }

    /// Reads one file; returns the bytes it had.
    fn read(&mut self, file: &Path, bytes_before: u64) -> Result<u64, PcapError> {
        let opened = PcapSource::open(file, &self.stop);
        self.decider.reset_counters();
        let name = file.display().to_string();
        let result = match opened {
            Ok(mut source) => {
                let damage = self.frames(&mut source, file, bytes_before);
                let bytes = source.progress().bytes_read;
                damage.map_or(Ok(bytes), Err)
            }
            Err(error) => Err(error),
        };
        let counts = self.counts_of(name);
        self.finished.push(counts);
        self.publish(None);
        result
    }

    fn frames(&mut self, source: &mut PcapSource, file: &Path, bytes_before: u64) -> Option<PcapError> {
        let first = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        let mut known = 0;
        let mut burst = 0;
        loop {
            if source.interfaces().len() > known {
                known = self.name_interfaces(source.interfaces(), known, file);
            }
            let frame = match source.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error) => return Some(error),
            };
            self.decider.decide(frame_ref(&frame, first), &mut self.collector);
            burst += 1;
            if burst == FRAMES_PER_BURST {
                burst = 0;
                self.progress
                    .bytes_read
                    .store(bytes_before + source.progress().bytes_read, Ordering::Relaxed);
                self.publish(Some(file));
                if self.stop.load(Ordering::Relaxed) {
                    return None;
                }
            }
        }
    }

    /// Gives new interfaces of a file their numbers and tells the collector their names.
    fn name_interfaces(&mut self, interfaces: &[Interface], known: usize, file: &Path) -> usize {
        let file_name = file
            .file_name()
            .map_or_else(|| file.display().to_string(), |name| name.to_string_lossy().into_owned());
        for interface in &interfaces[known..] {
            let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
            let name = interface.name.clone().unwrap_or_else(|| file_name.clone());
            self.interfaces.push((number, name));
        }
        self.collector.set_interfaces(self.interfaces.clone());
        interfaces.len()
    }

    fn publish(&mut self, current: Option<&Path>) {
        self.collector.publish();
        let mut counts = self.finished.clone();
        counts.extend(current.map(|file| self.counts_of(file.display().to_string())));
        *self.progress.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    fn counts_of(&self, name: String) -> InterfaceCounts {
        let none = Counters::default();
        InterfaceCounts::of(name, self.decider.counters().first().unwrap_or(&none))
    }
}

/// The frame as `decide` takes it; a loopback header is four bytes in front of a packet that says itself what it is.
fn frame_ref<'a>(frame: &Frame<'a>, first_interface: u32) -> FrameRef<'a> {
    const LOOPBACK_BYTES: usize = 4;
    let (link, skipped) = match frame.link {
        pcap::Link::Ethernet => (Link::Ethernet, 0),
        pcap::Link::RawIp => (Link::RawIp, 0),
        pcap::Link::LinuxCooked1 => (Link::Cooked1, 0),
        pcap::Link::LinuxCooked2 => (Link::Cooked2, 0),
        pcap::Link::Loopback => (Link::RawIp, LOOPBACK_BYTES.min(frame.bytes.len())),
    };
    FrameRef {
        ts_ns: frame.ts_ns,
        link,
        bytes: &frame.bytes[skipped..],
        original_len: frame.original_len.saturating_sub(skipped as u32),
        ifindex: first_interface.saturating_add(frame.interface),
    }
}
