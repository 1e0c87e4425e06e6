//! A snapshot in the words of OpenMetrics.
//!
//! Every counter has the name it has in the balance and in `capture_stats`. Labels are bounded: interfaces, cores, methods
//! and classes of status that are named in the code.

use std::fmt;

use common::verdict::Verdict;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{
    health::Health,
    mirror::Sign,
    snapshot::{CoreView, Snapshot},
};
use crate::{
    balance::{INTERFACE_COUNTERS, INTERFACE_HELP},
    ledger::{
        Counter, EncoderCounter, ViewCounter, figures,
        latency::{BOUNDS_MICROS, Buckets},
    },
    source::live::losses::Softnet,
};

/// What a scrape is answered from.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Counts and gauges.
    pub snapshot: Snapshot,
    /// Whether the capture is well.
    pub health: Health,
    /// What seems wrong with the mirror.
    pub signs: Vec<Sign>,
}

/// The answer as OpenMetrics text.
pub fn to_text(answer: Answer) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("hdrcap");
    registry.register_collector(Box::new(answer));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// Name, help, and value of a gauge that every core has.
type CoreGauge = (&'static str, &'static str, fn(&CoreView) -> f64);

type Label<'a> = (&'static str, &'a str);

impl Collector for Answer {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        self.interfaces(encoder)?;
        self.cores(encoder)?;
        self.encoders(encoder)?;
        self.http(encoder)?;
        self.latencies(encoder)?;
        self.state(encoder)
    }
}

impl Answer {
    fn interfaces(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let interfaces = &self.snapshot.interfaces;
        for (nth, (name, help)) in INTERFACE_COUNTERS.iter().zip(INTERFACE_HELP).enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for counts in interfaces {
                counter(&mut family, &[("iface", &counts.name)], counts.values()[nth])?;
            }
        }
        for verdict in Verdict::ALL {
            let help = "Frames that ended with this verdict";
            let mut family = encoder.encode_descriptor(verdict.name(), help, None, MetricType::Counter)?;
            for counts in interfaces {
                counter(&mut family, &[("iface", &counts.name)], counts.verdicts[*verdict as usize])?;
            }
        }
        Ok(())
    }

    fn cores(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let cores = &self.snapshot.cores;
        // Heads are those of the interfaces: what a collector calls so is what the rings did not lose of them.
        for of in Counter::ALL.iter().filter(|of| **of != Counter::Heads) {
            let mut family =
                encoder.encode_descriptor(of.name(), sentence(of.help()), None, MetricType::Counter)?;
            for (nth, core) in cores.iter().enumerate() {
                counter(&mut family, &[("core", &nth.to_string())], core.counts[*of as usize])?;
            }
        }
        let helps =
            ["Frames the kernel's queue of this CPU dropped", "Times the kernel stopped with frames left"];
        for (place, (name, help)) in Softnet::NAMES.iter().zip(helps).enumerate() {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (nth, core) in cores.iter().enumerate() {
                counter(&mut family, &[("core", &nth.to_string())], core.softnet.named()[place].1)?;
            }
        }
        let mut idle = encoder.encode_descriptor(
            "core_idle_seconds",
            "Time a collector had nothing to do",
            None,
            MetricType::Counter,
        )?;
        for (nth, core) in cores.iter().enumerate() {
            let seconds = ConstCounter::new(core.idle_ns as f64 / 1e9);
            seconds.encode(idle.encode_family(&[("core", nth.to_string().as_str())])?)?;
        }
        let gauges: [CoreGauge; 3] = [
            ("ring_fill_bytes", "Bytes in the ring when its collector last looked", |core| {
                core.ring_bytes as f64
            }),
            (
                "ring_fill_bytes_max",
                "The most bytes in the ring since the last row of capture_stats",
                |core| core.ring_bytes_max as f64,
            ),
            ("core_lag_seconds", "Time the collector is behind the frames", |core| core.lag_ns as f64 / 1e9),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (nth, core) in cores.iter().enumerate() {
                gauge(&mut family, &[("core", &nth.to_string())], value(core))?;
            }
        }
        Ok(())
    }

    fn encoders(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for of in EncoderCounter::ALL {
            let mut family =
                encoder.encode_descriptor(of.name(), sentence(of.help()), None, MetricType::Counter)?;
            counter(&mut family, &[], self.snapshot.encoder.counts[*of as usize])?;
        }
        for of in ViewCounter::ALL {
            let mut family =
                encoder.encode_descriptor(of.name(), sentence(of.help()), None, MetricType::Counter)?;
            counter(&mut family, &[], self.snapshot.viewers[*of as usize])?;
        }
        Ok(())
    }

    fn http(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "transactions",
            "Transactions by method and class of status; none stands for a side nobody saw",
            None,
            MetricType::Counter,
        )?;
        for (method, status, place) in figures::labels() {
            let count = self.snapshot.cores.iter().map(|core| core.figures[place]).sum();
            if count > 0 {
                counter(&mut family, &[("method", method), ("status", status)], count)?;
            }
        }
        Ok(())
    }

    fn latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of = &self.snapshot.latencies;
        let histograms: [(&str, &str, &Buckets); 3] = [
            (
                "kernel_to_parsed_seconds",
                "Time from the kernel's stamp on a record until the burst it came in was parsed, as of its oldest record",
                &of.parsed,
            ),
            ("parsed_to_durable_seconds", "Time from there until a row was synced to disk", &of.durable),
            (
                "time_to_first_byte_seconds",
                "Time from the last byte of a request to the first of its response",
                &of.first_byte,
            ),
        ];
        for (name, help, buckets) in histograms {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            let bounds = BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
            let counts: Vec<(f64, u64)> = bounds.zip(buckets.counts).collect();
            metric.encode_histogram::<NoLabelSet>(buckets.seconds, buckets.count(), &counts, None)?;
        }
        Ok(())
    }

    fn state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of = &self.snapshot;
        let gauges = [
            ("ring_size_bytes", "Bytes of each ring", of.ring_size_bytes as f64),
            ("queue_batches", "Batches that wait for the encoder", of.encoder.queue as f64),
            (
                "queue_batches_max",
                "The most batches that waited since the last row of capture_stats",
                of.encoder.queue_max as f64,
            ),
            (
                "upload_waiting_files",
                "Published files that are to be uploaded and are not yet",
                of.encoder.upload_files_waiting as f64,
            ),
            ("upload_waiting_bytes", "Bytes of these files", of.encoder.upload_bytes_waiting as f64),
            ("lag_seconds", "Time the slowest stage is behind", self.health.lag_seconds),
            ("loss_share", "Largest share lost at a stage in the last minute", self.health.loss_share),
            ("healthy", "1 where nothing passes its threshold", f64::from(u8::from(self.health.healthy))),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder.encode_descriptor(name, help, None, MetricType::Gauge)?, &[], value)?;
        }
        if let Some(bytes) = of.disk_free_bytes {
            let help = "Bytes that are free where the dataset is";
            let mut family = encoder.encode_descriptor("disk_free_bytes", help, None, MetricType::Gauge)?;
            gauge(&mut family, &[], bytes as f64)?;
        }
        let help = "1 for each sign that the mirror shows less than there is";
        let mut family = encoder.encode_descriptor("mirror_sign", help, None, MetricType::Gauge)?;
        for sign in &self.signs {
            gauge(&mut family, &[("sign", sign.name()), ("iface", sign.iface())], 1.0)?;
        }
        let help = "What is between two stages";
        let mut family = encoder.encode_descriptor("under_way", help, None, MetricType::Gauge)?;
        for (name, count) in of.balance().under_way() {
            gauge(&mut family, &[("where", name)], count as f64)?;
        }
        Ok(())
    }
}

fn counter(family: &mut MetricEncoder<'_>, labels: &[Label<'_>], value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    if labels.is_empty() {
        return family.encode_counter::<NoLabelSet, u64, f64>(&value, None);
    }
    counter.encode(family.encode_family(&labels)?)
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &[Label<'_>], value: f64) -> fmt::Result {
    if labels.is_empty() {
        return family.encode_gauge(&value);
    }
    ConstGauge::new(value).encode(family.encode_family(&labels)?)
}

/// A help text without what the encoder adds itself: the space in front and the full stop behind.
fn sentence(help: &str) -> &str {
    help.trim().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{balance::InterfaceCounts, control::snapshot::CoreView, control::stats::counter_names};

    fn answer() -> Answer {
        let interface = InterfaceCounts { name: "eth1".into(), frames: 7, ..InterfaceCounts::default() };
        let mut core = CoreView::default();
        core.counts[Counter::Shed as usize] = 3;
        let mut snapshot = Snapshot { interfaces: vec![interface], cores: vec![core], ..Snapshot::default() };
        snapshot.encoder.upload_bytes_waiting = 7;
        snapshot.latencies.parsed.counts[2] = 5;
        snapshot.latencies.parsed.seconds = 0.5;
        Answer { snapshot, signs: vec![Sign::Duplicates], ..Answer::default() }
    }

    #[test]
    fn every_counter_has_its_name() {
        let text = to_text(answer()).unwrap();
        for name in counter_names() {
            assert!(text.contains(&format!("\nhdrcap_{name}_total")), "{name} is no metric");
        }
        for line in [
            "hdrcap_frames_total{iface=\"eth1\"} 7",
            "hdrcap_shed_total{core=\"0\"} 3",
            "hdrcap_rows_written_total 0",
            "hdrcap_upload_waiting_bytes 7.0",
            "hdrcap_mirror_sign{sign=\"duplicates\",iface=\"\"} 1.0",
            "hdrcap_kernel_to_parsed_seconds_bucket{le=\"0.0001\"} 0",
            "hdrcap_kernel_to_parsed_seconds_bucket{le=\"0.00025\"} 5",
            "hdrcap_kernel_to_parsed_seconds_bucket{le=\"+Inf\"} 5",
        ] {
            assert!(text.lines().any(|written| written == line), "no line {line} in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
