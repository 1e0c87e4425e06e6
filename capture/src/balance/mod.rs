//! The balance: everything counted, summed up, and whether it closes.
//!
//! Read on demand and at every exit, by a person (`to_text`) or a program (`to_json`); `laws` says what must add up.

mod laws;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{
    counters::Counters,
    record::COPY_CLASS_COUNT,
    verdict::{VERDICT_COUNT, Verdict},
};
use serde::Serialize;

pub use self::laws::Moment;

use crate::{
    ledger::{
        COUNTER_COUNT, Counter, ENCODER_COUNTER_COUNT, EncoderCounter, VIEW_COUNTER_COUNT, ViewCounter,
    },
    source::live::losses::{CardLosses, Softnet},
};

/// Counters of an interface beside its verdicts, by name.
pub const INTERFACE_COUNTERS: [&str; 19] = [
    "frames",
    "bytes",
    "heads",
    "ring_full",
    "heads_displaced",
    "records_ring_full_0",
    "records_ring_full_256",
    "records_ring_full_512",
    "records_ring_full_1024",
    "records_ring_full_2048",
    "upstream_followed_bytes",
    "upstream_gaps",
    "upstream_gap_bytes",
    "upstream_gap_bytes_closed",
    "disorder_bytes",
    "nic_missed",
    "nic_no_buffer",
    "nic_crc",
    "nic_other",
];

/// What each of them counts, in words.
pub const INTERFACE_HELP: [&str; INTERFACE_COUNTERS.len()] = [
    "Frames seen",
    "Bytes of these frames",
    "Heads begun in them",
    "Heads that found no room in a ring",
    "Heads in progress forgotten by the kernel half for a newer one",
    "Records without bytes that found no room in a ring",
    "Records of up to 256 bytes that found no room in a ring",
    "Records of up to 512 bytes that found no room in a ring",
    "Records of up to 1024 bytes that found no room in a ring",
    "Records of up to 2048 bytes that found no room in a ring",
    "Payload bytes that came by on connections that are followed",
    "Gaps in the sequence numbers of these connections",
    "Payload bytes of these gaps",
    "Payload bytes of these gaps that came late",
    "Payload bytes handed over unasked as their order was broken",
    "Frames the card missed",
    "Frames the driver had no memory for",
    "Frames that came damaged",
    "Frames the driver dropped for another reason",
];

/// What the kernel half (or the same decision in user space) counted on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounts {
    /// Interface name, or the capture file's.
    pub name: String,
    /// Frames seen.
    pub frames: u64,
    /// These frames by the CPU that saw them; empty for files.
    pub frames_by_core: Vec<u64>,
    /// Bytes of these frames.
    pub bytes: u64,
    /// Heads begun in them.
    pub heads: u64,
    /// Heads among these that found no room in the ring.
    pub heads_ring_full: u64,
    /// Heads in progress forgotten by the kernel half for a newer one in the same place.
    pub heads_displaced: u64,
    /// Records that found no room in the ring, by the size they asked for.
    pub records_ring_full: [u64; COPY_CLASS_COUNT],
    /// Payload bytes of connections that speak HTTP, as far as they were followed.
    pub upstream_followed_bytes: u64,
    /// Gaps found in these connections: later bytes came, or the other end acknowledged what was never seen.
    pub upstream_gaps: u64,
    /// Payload bytes of these gaps.
    pub upstream_gap_bytes: u64,
    /// Payload bytes of these gaps that came late, and so were not lost.
    pub upstream_gap_bytes_closed: u64,
    /// Payload bytes handed over unasked as the order of their direction was broken.
    pub disorder_bytes: u64,
    /// What the card says it lost before any program saw it, since the capture began.
    pub card: CardLosses,
    /// Frames by verdict, in the order of `Verdict::ALL`.
    pub verdicts: [u64; VERDICT_COUNT],
}

impl InterfaceCounts {
    /// The counts of one interface, by name.
    pub fn of(name: String, counters: &Counters) -> Self {
        InterfaceCounts {
            name,
            frames: counters.frames_total(),
            frames_by_core: Vec::new(),
            bytes: counters.bytes.iter().sum(),
            heads: counters.heads,
            heads_ring_full: counters.heads_ring_full,
            heads_displaced: counters.heads_evicted,
            records_ring_full: counters.records_ring_full_by_class(),
            upstream_followed_bytes: counters.followed_bytes,
            upstream_gaps: counters.gaps,
            upstream_gap_bytes: counters.gap_bytes,
            upstream_gap_bytes_closed: counters.gap_bytes_closed,
            disorder_bytes: counters.disorder_bytes,
            card: CardLosses::default(),
            verdicts: std::array::from_fn(|place| counters.frames_of(Verdict::ALL[place])),
        }
    }

    /// Its counters beside the verdicts, in the order of `INTERFACE_COUNTERS`.
    pub fn values(&self) -> [u64; INTERFACE_COUNTERS.len()] {
        let [empty, small, half, segment, jumbo] = self.records_ring_full;
        [
            self.frames,
            self.bytes,
            self.heads,
            self.heads_ring_full,
            self.heads_displaced,
            empty,
            small,
            half,
            segment,
            jumbo,
            self.upstream_followed_bytes,
            self.upstream_gaps,
            self.upstream_gap_bytes,
            self.upstream_gap_bytes_closed,
            self.disorder_bytes,
            self.card.missed,
            self.card.no_buffer,
            self.card.crc,
            self.card.other,
        ]
    }
}

/// Sums of all stages.
#[derive(Clone, Debug)]
pub struct Balance {
    /// Per interface, in the order given on the command line.
    pub interfaces: Vec<InterfaceCounts>,
    /// Summed over collectors, in the order of `Counter::ALL`.
    pub collectors: [u64; COUNTER_COUNT],
    /// Summed over encoders, in the order of `EncoderCounter::ALL`.
    pub encoders: [u64; ENCODER_COUNTER_COUNT],
    /// What the kernel's own queues lost on this host, since the capture began.
    pub softnet: Softnet,
    /// What the hub counts that serves viewers, in the order of `ViewCounter::ALL`.
    pub viewers: [u64; VIEW_COUNTER_COUNT],
    /// Whether anything can still be on its way.
    pub moment: Moment,
}

#[derive(Serialize)]
struct InterfaceReport {
    #[serde(flatten)]
    counters: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Report {
    closed: bool,
    discrepancies: Vec<String>,
    messages: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    under_way: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    counters: BTreeMap<&'static str, u64>,
    interfaces: BTreeMap<String, InterfaceReport>,
}

impl Balance {
    /// Frames of all interfaces.
    pub fn frames(&self) -> u64 {
        self.interfaces.iter().map(|interface| interface.frames).sum()
    }

    /// One collector counter, summed.
    pub fn collector(&self, counter: Counter) -> u64 {
        self.collectors[counter as usize]
    }

    /// One encoder counter, summed.
    pub fn encoder(&self, counter: EncoderCounter) -> u64 {
        self.encoders[counter as usize]
    }

    /// One verdict, summed over interfaces.
    pub fn verdict(&self, verdict: Verdict) -> u64 {
        self.interfaces.iter().map(|interface| interface.verdicts[verdict as usize]).sum()
    }

    /// Heads begun, whether they reached a collector or not.
    pub fn heads(&self) -> u64 {
        self.collector(Counter::Heads) + self.heads_ring_full()
    }

    /// Heads that found no room in a ring.
    pub fn heads_ring_full(&self) -> u64 {
        self.interfaces.iter().map(|interface| interface.heads_ring_full).sum()
    }

    /// What was lost on the way: heads to full rings and tables, rows to a full queue or the disk.
    pub fn lost(&self) -> u64 {
        let heads = self.heads_ring_full() + self.collector(Counter::Evicted);
        let rows = self.collector(Counter::Shed)
            + self.encoder(EncoderCounter::DiskFull)
            + self.encoder(EncoderCounter::DiskError)
            + self.encoder(EncoderCounter::StagingLost);
        heads + rows
    }

    /// The balance as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.report()).expect("names and numbers serialise")
    }

    /// The balance for a person.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: u64| {
            if value > 0 {
                writeln!(text, "  {name:<26}{value:>16}").expect("writing to a string succeeds");
            }
        };
        for interface in &self.interfaces {
            line(&format!("frames on {}", interface.name), interface.frames);
            for verdict in Verdict::ALL {
                line(&format!("  {}", verdict.name()), interface.verdicts[*verdict as usize]);
            }
            for (name, value) in INTERFACE_COUNTERS.into_iter().zip(interface.values()).skip(4) {
                line(&format!("  {name}"), value);
            }
        }
        for (name, value) in self.softnet.named() {
            line(name, value);
        }
        line("heads", self.heads());
        line("ring_full", self.heads_ring_full());
        for counter in Counter::ALL.iter().filter(|counter| **counter != Counter::Heads) {
            line(counter.name(), self.collector(*counter));
        }
        for counter in EncoderCounter::ALL {
            line(counter.name(), self.encoder(*counter));
        }
        for (name, value) in self.under_way() {
            line(name, value);
        }
        let discrepancies = self.discrepancies();
        if discrepancies.is_empty() {
            text.push_str("  the balance closes: every frame, head and row is accounted for\n");
        }
        for discrepancy in discrepancies {
            writeln!(text, "  THE BALANCE DOES NOT CLOSE: {discrepancy}")
                .expect("writing to a string succeeds");
        }
        text
    }

    /// Every counter by its name, summed over its sources.
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut counters = BTreeMap::new();
        for interface in &self.interfaces {
            for (name, value) in INTERFACE_COUNTERS.into_iter().zip(interface.values()) {
                *counters.entry(name).or_default() += value;
            }
        }
        counters.extend(Verdict::ALL.iter().map(|verdict| (verdict.name(), self.verdict(*verdict))));
        counters.extend(self.softnet.named());
        counters.extend(Counter::ALL.iter().map(|counter| (counter.name(), self.collector(*counter))));
        counters.extend(EncoderCounter::ALL.iter().map(|counter| (counter.name(), self.encoder(*counter))));
        counters
            .extend(ViewCounter::ALL.iter().map(|counter| (counter.name(), self.viewers[*counter as usize])));
        // What the collectors call heads is what the rings did not lose of them.
        counters.insert(Counter::Heads.name(), self.heads());
        counters
    }

    fn report(&self) -> Report {
        let discrepancies = self.discrepancies();
        let interfaces = self.interfaces.iter().map(|counts| (counts.name.clone(), report_of(counts)));
        Report {
            closed: discrepancies.is_empty(),
            discrepancies,
            messages: self.collector(Counter::MessagesWhole) + self.collector(Counter::MessagesTruncated),
            under_way: self.under_way().into_iter().collect(),
            counters: self.counters(),
            interfaces: interfaces.collect(),
        }
    }
}

fn report_of(counts: &InterfaceCounts) -> InterfaceReport {
    let verdicts = Verdict::ALL.iter().map(|verdict| (verdict.name(), counts.verdicts[*verdict as usize]));
    let own = INTERFACE_COUNTERS.into_iter().zip(counts.values());
    InterfaceReport { counters: own.chain(verdicts).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed() -> Balance {
        let mut interface =
            InterfaceCounts { name: "eth1".into(), frames: 10, heads: 3, ..Default::default() };
        interface.heads_ring_full = 1;
        interface.verdicts[Verdict::Head as usize] = 2;
        interface.verdicts[Verdict::RingFullHead as usize] = 1;
        interface.verdicts[Verdict::Empty as usize] = 7;
        let mut balance = Balance {
            interfaces: vec![interface],
            collectors: [0; COUNTER_COUNT],
            encoders: [0; ENCODER_COUNTER_COUNT],
            softnet: Softnet::default(),
            viewers: [0; VIEW_COUNTER_COUNT],
            moment: Moment::Ended,
        };
        for (counter, count) in [
            (Counter::Heads, 2),
            (Counter::MessagesWhole, 2),
            (Counter::Requests, 1),
            (Counter::Responses, 1),
            (Counter::Rows, 1),
            (Counter::RowsAckVerified, 1),
        ] {
            balance.collectors[counter as usize] = count;
        }
        balance.encoders[EncoderCounter::RowsWritten as usize] = 1;
        balance.encoders[EncoderCounter::RowsPublished as usize] = 1;
        balance
    }

    #[test]
    fn a_closed_balance_says_so() {
        let balance = closed();
        assert_eq!(balance.discrepancies(), Vec::<String>::new());
        assert!(balance.to_json().starts_with("{\"closed\":true"));
        assert!(balance.to_text().contains("the balance closes"));
    }

    /// Counters whose every change must break a law; the rest tell, but are part of no sum.
    const LAWFUL: &[Counter] = &[
        Counter::Heads,
        Counter::MessagesWhole,
        Counter::MessagesTruncated,
        Counter::Malformed,
        Counter::Duplicate,
        Counter::InMessage,
        Counter::AfterEnd,
        Counter::Evicted,
        Counter::Requests,
        Counter::Responses,
        Counter::Interim,
        Counter::Rows,
        Counter::RowsAckVerified,
        Counter::RowsPositional,
        Counter::RowsRequestOnly,
        Counter::RowsResponseOnly,
        Counter::RowsAmbiguous,
        Counter::Shed,
    ];

    const LAWFUL_IN_ENCODERS: &[EncoderCounter] = &[
        EncoderCounter::RowsWritten,
        EncoderCounter::DiskFull,
        EncoderCounter::DiskError,
        EncoderCounter::RowsPublished,
        EncoderCounter::RowsStaged,
        EncoderCounter::StagingLost,
        EncoderCounter::StatsLost,
    ];

    #[test]
    fn what_is_on_its_way_has_a_name_and_what_came_from_nowhere_is_caught() {
        let mut balance = closed();
        balance.moment = Moment::Running;
        balance.interfaces[0].heads += 5;
        balance.collectors[Counter::Heads as usize] += 2;
        balance.encoders[EncoderCounter::RowsPublished as usize] -= 1;
        assert_eq!(balance.discrepancies(), Vec::<String>::new());
        let on_its_way: BTreeMap<_, _> =
            balance.under_way().into_iter().filter(|(_, count)| *count > 0).collect();
        let expected = [("heads_in_progress", 2), ("heads_in_rings", 3), ("rows_in_staging", 1)];
        assert_eq!(on_its_way, BTreeMap::from(expected));
        balance.encoders[EncoderCounter::RowsWritten as usize] += 1;
        assert_eq!(balance.discrepancies().len(), 1, "a row was written that nobody made");
        balance.moment = Moment::Ended;
        assert!(balance.under_way().is_empty());
    }

    #[test]
    fn a_stage_that_forgets_to_count_is_caught() {
        for counter in LAWFUL {
            let mut balance = closed();
            balance.collectors[*counter as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", counter.name());
        }
        for counter in LAWFUL_IN_ENCODERS {
            let mut balance = closed();
            balance.encoders[*counter as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", counter.name());
        }
        for verdict in Verdict::ALL {
            let mut balance = closed();
            balance.interfaces[0].verdicts[*verdict as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", verdict.name());
        }
    }
}
