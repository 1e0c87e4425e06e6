//! The laws of conservation (DESIGN.md section 7, promise 1), each as two sums that must be equal.
//!
//! While a capture runs, the left side of some is ahead: something is on its way between two stages, under a name.
//! Invariant: a right side is never ahead of its left, since what is counted out was counted in before, and is read first.

use super::Balance;
use crate::ledger::{Counter, EncoderCounter};

/// Whether anything can still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It can: frames come in.
    Running,
    /// It cannot: every stage has ended.
    Ended,
}

/// Two sums, and where what the left one has more than the right one is while a capture runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Law {
    pub(super) name: String,
    pub(super) left: u64,
    pub(super) right: u64,
    pub(super) between: Option<&'static str>,
}

impl Law {
    /// The law holds at this moment.
    pub(super) fn holds(&self, moment: Moment) -> bool {
        match (moment, self.between) {
            (Moment::Running, Some(_)) => self.left >= self.right,
            (Moment::Running, None) | (Moment::Ended, _) => self.left == self.right,
        }
    }
}

impl Balance {
    /// Every law, with the numbers of now.
    pub(super) fn laws(&self) -> Vec<Law> {
        let law = |name: &str, left: u64, right: u64, between: Option<&'static str>| Law {
            name: name.to_owned(),
            left,
            right,
            between,
        };
        let mut laws = Vec::new();
        for interface in &self.interfaces {
            let verdicts: u64 = interface.verdicts.iter().sum();
            let name = format!("frames = sum of verdicts on {}", interface.name);
            laws.push(law(&name, interface.frames, verdicts, None));
        }
        let begun: u64 = self.interfaces.iter().map(|interface| interface.heads).sum();
        let name = "heads begun in frames = heads in collectors + ring_full";
        laws.push(law(name, begun, self.heads(), Some("heads_in_rings")));
        let c = |counter| self.collector(counter);
        let messages = c(Counter::MessagesWhole) + c(Counter::MessagesTruncated);
        let set_aside = c(Counter::Duplicate) + c(Counter::InMessage) + c(Counter::AfterEnd);
        let lost = c(Counter::Malformed) + c(Counter::Evicted);
        let found = c(Counter::Heads) + c(Counter::HeadsUntold);
        let name =
            "heads + heads_untold = messages + malformed + duplicate + in_message + after_end + evicted";
        laws.push(law(name, found, messages + set_aside + lost, Some("heads_in_progress")));
        let kinds = c(Counter::Requests) + c(Counter::Responses) + c(Counter::Interim);
        laws.push(law("messages = requests + responses + interim", messages, kinds, Some("messages_early")));
        let paired = c(Counter::RowsAckVerified) + c(Counter::RowsPositional) + c(Counter::RowsAmbiguous);
        let alone = c(Counter::RowsRequestOnly) + c(Counter::RowsResponseOnly);
        laws.push(law("rows = rows by pair_state", c(Counter::Rows), paired + alone, None));
        let sides = c(Counter::Requests) + c(Counter::Responses);
        let name = "requests + responses = sides of rows + retracted";
        let placed = 2 * paired + alone + c(Counter::Retracted);
        laws.push(law(name, sides, placed, Some("messages_waiting")));
        let e = |counter| self.encoder(counter);
        let written = e(EncoderCounter::RowsWritten);
        let rows_lost = c(Counter::Shed) + e(EncoderCounter::DiskFull) + e(EncoderCounter::DiskError);
        let name = "rows = rows_written + shed + disk_full + disk_error";
        laws.push(law(name, c(Counter::Rows), written + rows_lost, Some("rows_in_batches")));
        let in_files = e(EncoderCounter::RowsPublished) + e(EncoderCounter::RowsStaged);
        let name = "rows_written = rows_published + rows_staged + staging_lost";
        let ended = in_files + e(EncoderCounter::StagingLost);
        laws.push(law(name, written, ended, Some("rows_in_staging")));
        let told = "rows of capture_stats that were lost = 0";
        laws.push(law(told, e(EncoderCounter::StatsLost), 0, None));
        laws
    }

    /// Every law that does not hold, in words; empty where the balance closes.
    pub fn discrepancies(&self) -> Vec<String> {
        let broken = self.laws().into_iter().filter(|law| !law.holds(self.moment));
        broken.map(|law| format!("{}: {} is not {}", law.name, law.left, law.right)).collect()
    }

    /// What is on its way between two stages, by name; nothing where every stage has ended.
    pub fn under_way(&self) -> Vec<(&'static str, u64)> {
        let laws = self.laws().into_iter().filter(|_| self.moment == Moment::Running);
        laws.filter_map(|law| Some((law.between?, law.left.saturating_sub(law.right)))).collect()
    }
}
