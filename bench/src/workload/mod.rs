//! Realistic HTTP/1.1 traffic: thousands of interleaved keep-alive connections, as a mirror port would show them.
//!
//! Two profiles measure two things: `heads`, where nearly every frame carries a head, and `mix`, where most are
//! body. Invariant: options and seed fix every byte; the truth names every transaction, disturbed or not.

mod connection;
mod message;
mod population;
mod truth;

use std::{collections::VecDeque, io};

pub use truth::{Summary, Transaction};

use connection::{Account, Connection, PlannedFrame};
use population::Population;

use crate::{
    pcap::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, PcapWriter},
    random::Random,
};

/// Time of the first frame: 2026-08-21 10:00:00 UTC.
const START_NS: u64 = 1_787_306_400_000_000_000;

/// A gigabit link: time a byte takes.
const BYTE_NS: u64 = 8;

/// Preamble, check sequence and gap around a frame on the link.
const FRAME_GAP_BYTES: u64 = 24;

/// What the traffic is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Bodies up to 400 bytes, few bare acknowledgments: nearly every frame carries a head
    Heads,
    /// Bodies up to 60 KB and an acknowledgment for every other segment: most frames carry body
    Mix,
}

impl Profile {
    /// Its name on command lines and in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Mix => "mix",
        }
    }
}

/// When no further connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// When the capture file has this many bytes.
    PcapBytes(u64),
    /// When this many transactions have begun.
    Transactions(u64),
}

/// What a workload is made by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What the traffic is made of.
    pub profile: Profile,
    /// How much of it.
    pub size: Size,
    /// Fixes everything random.
    pub seed: u64,
    /// Connections open at once.
    pub concurrency: usize,
    /// Probability that a frame with payload goes behind the next one of its connection.
    pub reorder: f64,
    /// Probability that a frame with payload comes twice.
    pub duplicate: f64,
    /// Probability that a frame with payload is missing.
    pub lose: f64,
}

impl Options {
    /// Undisturbed traffic of a profile and size.
    pub fn new(profile: Profile, size: Size, seed: u64) -> Self {
        let concurrency = match (profile, size) {
            (_, Size::PcapBytes(..50_000_000) | Size::Transactions(..20_000)) => 60,
            (Profile::Heads, Size::PcapBytes(_) | Size::Transactions(_)) => 3_000,
            (Profile::Mix, Size::PcapBytes(_) | Size::Transactions(_)) => 2_000,
        };
        Self { profile, size, seed, concurrency, reorder: 0.0, duplicate: 0.0, lose: 0.0 }
    }
}

/// A frame and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFrame {
    /// Unix time in nanoseconds, whole microseconds.
    pub ts_ns: u64,
    /// From the MAC header on.
    pub bytes: Vec<u8>,
}

/// Traffic in the making: an iterator over its frames.
pub struct Workload {
    options: Options,
    population: Population,
    open: Vec<OpenConnection>,
    connection_count: u32,
    /// The connection that speaks, and how many frames it may still send.
    speaker: (usize, usize),
    due: VecDeque<Vec<u8>>,
    now_ns: u64,
    random: Random,
    summary: Summary,
    transactions: VecDeque<Transaction>,
}

struct OpenConnection {
    connection: Connection,
    /// A frame that waits until the next one has gone out.
    held: Option<Vec<u8>>,
}

impl Workload {
    /// Traffic by these options.
    pub fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let population = Population::new(options.profile, &mut random.fork());
        let summary = Summary {
            profile: options.profile.name().to_owned(),
            seed: options.seed,
            pcap_bytes: FILE_HEADER_BYTES,
            ..Summary::default()
        };
        let mut workload = Self {
            options,
            population,
            open: Vec::with_capacity(options.concurrency),
            connection_count: 0,
            speaker: (0, 0),
            due: VecDeque::new(),
            now_ns: START_NS,
            random,
            summary,
            transactions: VecDeque::new(),
        };
        for _ in 0..options.concurrency {
            let opened = workload.opened();
            workload.open.push(opened);
        }
        workload
    }

    /// The transactions begun since the last call, in the order of their first planned frame.
    pub fn take_transactions(&mut self) -> impl Iterator<Item = Transaction> + '_ {
        self.transactions.drain(..)
    }

    /// Sums over what has gone out so far; of transactions, over what has begun.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn opened(&mut self) -> OpenConnection {
        self.connection_count += 1;
        let random = self.random.fork();
        let number = self.connection_count;
        let connection = Connection::new(number, &self.population, self.options.profile, random);
        self.summary.connections += 1;
        self.summary.ipv6_connections += u64::from(connection.path().client.0.is_ipv6());
        self.summary.vlan_connections += u64::from(!connection.path().vlan_ids.is_empty());
        OpenConnection { connection, held: None }
    }

    fn is_full(&self) -> bool {
        match self.options.size {
            Size::PcapBytes(bytes) => self.summary.pcap_bytes >= bytes,
            Size::Transactions(count) => self.summary.transactions >= count,
        }
    }

    /// Lets one connection speak: puts its next frame, or frames, into `due`.
    fn advance(&mut self) {
        if self.speaker.1 == 0 {
            let burst_max = match self.options.profile {
                Profile::Heads => 2,
                Profile::Mix => 6,
            };
            self.speaker = (self.random.below(self.open.len()), self.random.range(1, burst_max + 1));
        }
        self.speaker.1 -= 1;
        let speaker = &mut self.open[self.speaker.0];
        let mut account = Account { summary: &mut self.summary, transactions: &mut self.transactions };
        match speaker.connection.next(&self.population, &mut account) {
            Some(frame) => self.disturb(frame),
            None => {
                self.due.extend(speaker.held.take());
                let (index, _) = std::mem::take(&mut self.speaker);
                if self.is_full() {
                    self.open.swap_remove(index);
                } else {
                    self.open[index] = self.opened();
                }
            }
        }
    }

    fn disturb(&mut self, frame: PlannedFrame) {
        let speaker = &mut self.open[self.speaker.0];
        if let Some(held) = speaker.held.take() {
            self.due.push_back(frame.bytes);
            self.due.push_back(held);
            return;
        }
        let Options { reorder, duplicate, lose, .. } = self.options;
        if frame.has_payload && reorder + duplicate + lose > 0.0 {
            if self.random.chance(lose) {
                self.summary.lost += 1;
                return;
            }
            if self.random.chance(reorder) {
                self.summary.reordered += 1;
                speaker.held = Some(frame.bytes);
                return;
            }
            if self.random.chance(duplicate) {
                self.summary.duplicated += 1;
                self.due.push_back(frame.bytes.clone());
            }
        }
        self.due.push_back(frame.bytes);
    }
}

impl Iterator for Workload {
    type Item = TimedFrame;

    fn next(&mut self) -> Option<TimedFrame> {
        while self.due.is_empty() {
            if self.open.is_empty() {
                return None;
            }
            self.advance();
        }
        let bytes = self.due.pop_front()?;
        let len = bytes.len() as u64;
        self.now_ns += (len + FRAME_GAP_BYTES) * BYTE_NS;
        self.summary.duration_ns = self.now_ns - START_NS;
        self.summary.frames += 1;
        self.summary.frame_bytes += len;
        self.summary.pcap_bytes += FRAME_HEADER_BYTES + len;
        Some(TimedFrame { ts_ns: self.now_ns / 1_000 * 1_000, bytes })
    }
}

/// Writes a workload: frames as a capture file, and, where asked for, its transactions as JSON lines.
pub fn write(
    options: Options,
    pcap: impl io::Write,
    mut truth: Option<impl io::Write>,
) -> io::Result<Summary> {
    let mut workload = Workload::new(options);
    let mut pcap = PcapWriter::new(pcap)?;
    while let Some(frame) = workload.next() {
        pcap.frame(frame.ts_ns, &frame.bytes)?;
        for transaction in workload.take_transactions() {
            if let Some(truth) = &mut truth {
                serde_json::to_writer(&mut *truth, &transaction)?;
                truth.write_all(b"\n")?;
            }
        }
    }
    pcap.finish()?;
    if let Some(truth) = &mut truth {
        truth.flush()?;
    }
    Ok(workload.summary().clone())
}

#[cfg(test)]
mod tests;
