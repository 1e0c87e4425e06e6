//! The balance: everything counted, summed up, and whether it closes.
//!
//! Read on demand and at every exit. Invariant: each line of `discrepancies` is one law of DESIGN.md section 7.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{
    counters::Counters,
    verdict::{VERDICT_COUNT, Verdict},
};
use serde::Serialize;

use crate::ledger::{COUNTER_COUNT, Counter, ENCODER_COUNTER_COUNT, EncoderCounter};

/// What the kernel half (or the same decision in user space) counted on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounts {
    /// Interface name, or the capture file's.
    pub name: String,
    /// Frames seen.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// Heads begun in them.
    pub heads: u64,
    /// Heads among these that found no room in the ring.
    pub heads_ring_full: u64,
    /// Heads in progress forgotten by the kernel half for a newer one in the same place.
    pub heads_displaced: u64,
    /// Frames by verdict, in the order of `Verdict::ALL`.
    pub verdicts: [u64; VERDICT_COUNT],
}

impl InterfaceCounts {
    /// The counts of one interface, by name.
    pub fn of(name: String, counters: &Counters) -> Self {
        InterfaceCounts {
            name,
            frames: counters.frames_total(),
            bytes: counters.bytes.iter().sum(),
            heads: counters.heads,
            heads_ring_full: counters.heads_ring_full,
            heads_displaced: counters.heads_evicted,
            verdicts: std::array::from_fn(|place| counters.frames_of(Verdict::ALL[place])),
        }
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
}

#[derive(Serialize)]
struct InterfaceReport {
    frames: u64,
    bytes: u64,
    heads: u64,
    heads_displaced: u64,
    #[serde(flatten)]
    verdicts: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Report {
    closed: bool,
    discrepancies: Vec<String>,
    frames: u64,
    bytes: u64,
    heads: u64,
    messages: u64,
    ring_full: u64,
    heads_displaced: u64,
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

    /// What was lost on the way: heads to full rings and tables, rows to a full queue or disk.
    pub fn lost(&self) -> u64 {
        let heads = self.heads_ring_full() + self.collector(Counter::Evicted);
        let rows = self.collector(Counter::Shed)
            + self.encoder(EncoderCounter::DiskFull)
            + self.encoder(EncoderCounter::DiskError);
        heads + rows
    }

    /// Every law that does not hold, in words; empty where the balance closes.
    pub fn discrepancies(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut law = |name: &str, left: u64, right: u64| {
            if left != right {
                found.push(format!("{name}: {left} is not {right}"));
            }
        };
        for interface in &self.interfaces {
            let verdicts: u64 = interface.verdicts.iter().sum();
            law(&format!("frames = sum of verdicts on {}", interface.name), interface.frames, verdicts);
        }
        let begun: u64 = self.interfaces.iter().map(|interface| interface.heads).sum();
        law("heads begun in frames = heads in collectors + ring_full", begun, self.heads());
        let c = |counter| self.collector(counter);
        let messages = c(Counter::MessagesWhole) + c(Counter::MessagesTruncated);
        let set_aside = c(Counter::Duplicate) + c(Counter::InMessage) + c(Counter::AfterEnd);
        let lost = c(Counter::Malformed) + c(Counter::Evicted);
        law(
            "heads = messages + malformed + duplicate + in_message + after_end + evicted",
            c(Counter::Heads),
            messages + set_aside + lost,
        );
        let kinds = c(Counter::Requests) + c(Counter::Responses) + c(Counter::Interim);
        law("messages = requests + responses + interim", messages, kinds);
        let paired = c(Counter::RowsAckVerified) + c(Counter::RowsPositional) + c(Counter::RowsAmbiguous);
        let alone = c(Counter::RowsRequestOnly) + c(Counter::RowsResponseOnly);
        law("rows = rows by pair_state", c(Counter::Rows), paired + alone);
        law(
            "requests + responses = sides of rows",
            c(Counter::Requests) + c(Counter::Responses),
            2 * paired + alone,
        );
        let e = |counter| self.encoder(counter);
        law(
            "rows = rows_written + shed + disk_full + disk_error",
            c(Counter::Rows),
            e(EncoderCounter::RowsWritten)
                + c(Counter::Shed)
                + e(EncoderCounter::DiskFull)
                + e(EncoderCounter::DiskError),
        );
        found
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
        }
        line("heads", self.heads());
        line("ring_full", self.heads_ring_full());
        for counter in Counter::ALL.iter().filter(|counter| **counter != Counter::Heads) {
            line(counter.name(), self.collector(*counter));
        }
        for counter in EncoderCounter::ALL {
            line(counter.name(), self.encoder(*counter));
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

    fn report(&self) -> Report {
        let discrepancies = self.discrepancies();
        let mut counters = BTreeMap::new();
        for verdict in Verdict::ALL {
            counters.insert(verdict.name(), self.verdict(*verdict));
        }
        for counter in Counter::ALL.iter().filter(|counter| **counter != Counter::Heads) {
            counters.insert(counter.name(), self.collector(*counter));
        }
        for counter in EncoderCounter::ALL {
            counters.insert(counter.name(), self.encoder(*counter));
        }
        let messages = self.collector(Counter::MessagesWhole) + self.collector(Counter::MessagesTruncated);
        Report {
            closed: discrepancies.is_empty(),
            discrepancies,
            frames: self.frames(),
            bytes: self.interfaces.iter().map(|interface| interface.bytes).sum(),
            heads: self.heads(),
            messages,
            ring_full: self.heads_ring_full(),
            heads_displaced: self.interfaces.iter().map(|interface| interface.heads_displaced).sum(),
            counters,
            interfaces: self
                .interfaces
                .iter()
                .map(|counts| (counts.name.clone(), report_of(counts)))
                .collect(),
        }
    }
}

fn report_of(counts: &InterfaceCounts) -> InterfaceReport {
    let verdicts = Verdict::ALL.iter().map(|verdict| (verdict.name(), counts.verdicts[*verdict as usize]));
    InterfaceReport {
        frames: counts.frames,
        bytes: counts.bytes,
        heads: counts.heads,
        heads_displaced: counts.heads_displaced,
        verdicts: verdicts.collect(),
    }
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
        let mut balance =
            Balance { interfaces: vec![interface], collectors: [0; COUNTER_COUNT], encoders: [0; 6] };
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

    #[test]
    fn a_stage_that_forgets_to_count_is_caught() {
        for counter in LAWFUL {
            let mut balance = closed();
            balance.collectors[*counter as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", counter.name());
        }
        for counter in [EncoderCounter::RowsWritten, EncoderCounter::DiskFull, EncoderCounter::DiskError] {
            let mut balance = closed();
            balance.encoders[counter as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", counter.name());
        }
        for verdict in Verdict::ALL {
            let mut balance = closed();
            balance.interfaces[0].verdicts[*verdict as usize] += 1;
            assert!(!balance.discrepancies().is_empty(), "{}", verdict.name());
        }
    }
}
