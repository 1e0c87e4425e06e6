//! The whole pipeline in this process: frames → decide → collector → batches → rows, with every count kept.
//!
//! Beside the rows it notes what the decision handed over, so that a missing row can be laid to the half that lost it.

use std::{collections::HashMap, sync::Arc};

use bench::{random::Random, workload::TimedFrame};
use capture::{
    balance::{Balance, InterfaceCounts, Moment},
    collector::{Collector, CollectorSettings},
    ledger::{CollectorLedger, ENCODER_COUNTER_COUNT, EncoderCounter},
    redact::{Key, Policy, Redactor},
    source::{
        RecordSink,
        decider::{Decider, FrameRef},
        live::losses::Softnet,
    },
};
use common::{
    config::Config,
    decide::dissect::Link,
    limits::HEAD_BYTES_MAX,
    record::{Record, RecordKind},
};

use super::rows::{Row, rows_of};

/// Frames that one ring may be read ahead of the other.
const SKEW_FRAMES_MAX: usize = 6;

/// Address bytes and port of an end.
pub(crate) type End = ([u8; 16], u16);

/// What came out of the pipeline.
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) balance: Balance,
    pub(crate) handed_over: HandedOver,
}

/// What the decision copied, by sender and receiver.
#[derive(Default)]
pub(crate) struct HandedOver {
    ways: HashMap<(End, End), Way>,
}

#[derive(Default)]
struct Way {
    /// Sequence number of each beginning of a head.
    heads: Vec<u32>,
    /// Sequence number and length of each copied piece.
    pieces: Vec<(u32, u32)>,
}

impl HandedOver {
    fn note(&mut self, record: &Record) {
        let ends = ((record.src_ip.bytes(), record.src_port), (record.dst_ip.bytes(), record.dst_port));
        let way = self.ways.entry(ends).or_default();
        if record.kind == RecordKind::Head as u8 {
            way.heads.push(record.seq);
        }
        way.pieces.push((record.seq, u32::from(record.copied)));
    }

    /// Whether a head that begins at `seq` was told of.
    pub(crate) fn begins(&self, ends: (End, End), seq: u32) -> bool {
        self.ways.get(&ends).is_some_and(|way| way.heads.contains(&seq))
    }

    /// Whether all bytes from `seq` on were copied, a head's beginning told.
    pub(crate) fn is_whole(&self, ends: (End, End), seq: u32, len: u32) -> bool {
        let Some(way) = self.ways.get(&ends).filter(|_| self.begins(ends, seq)) else { return false };
        let mut pieces: Vec<(i32, i32)> = way
            .pieces
            .iter()
            .map(|(at, len)| (at.wrapping_sub(seq).cast_signed(), len.cast_signed()))
            .filter(|(from, piece)| from.saturating_add(*piece) > 0 && *from < len.cast_signed())
            .collect();
        pieces.sort_unstable();
        let reached = pieces.iter().fold(0, |reached, (from, piece)| {
            if *from <= reached { reached.max(from.saturating_add(*piece)) } else { reached }
        });
        reached >= len.cast_signed()
    }
}

/// A collector that is watched.
struct Tap {
    collector: Collector,
    handed_over: HandedOver,
}

impl RecordSink for Tap {
    fn record(&mut self, record: &Record, bytes: &[u8]) {
        self.handed_over.note(record);
        self.collector.record(record, bytes);
    }
}

/// How the mirror's frames reach the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rings {
    /// One interface, in order.
    One,
    /// The two directions come in on interfaces of their own, read in bursts in an order that the seed picks.
    PerDirection(u64),
}

/// What is done with frames.
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) rings: Rings,
    /// Of frames in one ring; those of two are on Ethernet.
    pub(crate) link: Link,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { policy: Policy::off(), rings: Rings::One, link: Link::Ethernet }
    }
}

/// Runs Ethernet frames through the pipeline, secrets as they are.
pub(crate) fn run(frames: impl Iterator<Item = TimedFrame>, rings: Rings) -> Outcome {
    run_as(Setup { rings, ..Setup::default() }, frames)
}

/// Runs frames through the pipeline.
pub(crate) fn run_as(setup: Setup, frames: impl Iterator<Item = TimedFrame>) -> Outcome {
    let (outlet, inlet) = crossbeam_channel::unbounded();
    let ledger = Arc::new(CollectorLedger::default());
    let settings = CollectorSettings::of_files(HEAD_BYTES_MAX as usize);
    let redactor = Redactor::new(setup.policy, Key::from_bytes([7; 32]));
    let collector = Collector::new(&settings, redactor, outlet, Arc::clone(&ledger));
    let mut tap = Tap { collector, handed_over: HandedOver::default() };
    let mut config = Box::<Config>::default();
    config.head_limit = HEAD_BYTES_MAX;
    let interfaces = match setup.rings {
        Rings::One => vec![feed((&config, setup.link), frames, &mut tap)],
        Rings::PerDirection(seed) => feed_both(&config, &frames.collect::<Vec<_>>(), seed, &mut tap),
    };
    tap.collector.finish();
    let mut rows = Vec::new();
    for sealed in inlet {
        rows.extend(rows_of(&storage::table(*sealed.batch, "here").unwrap()));
    }
    let mut encoders = [0; ENCODER_COUNTER_COUNT];
    encoders[EncoderCounter::RowsWritten as usize] = rows.len() as u64;
    encoders[EncoderCounter::RowsPublished as usize] = rows.len() as u64;
    let (collectors, softnet) = (ledger.counts.read(), Softnet::default());
    let balance = Balance {
        interfaces,
        collectors,
        encoders,
        softnet,
        viewers: Default::default(),
        moment: Moment::Ended,
    };
    Outcome { rows, balance, handed_over: tap.handed_over }
}

fn feed(
    (config, link): (&Config, Link),
    frames: impl Iterator<Item = TimedFrame>,
    tap: &mut Tap,
) -> InterfaceCounts {
    let mut decider = Decider::new(config);
    for frame in frames {
        decider.decide(FrameRef { link, ..frame_ref(&frame) }, tap);
    }
    counts_of("mirror", &decider)
}

fn feed_both(config: &Config, frames: &[TimedFrame], seed: u64, tap: &mut Tap) -> Vec<InterfaceCounts> {
    let mut random = Random::new(seed);
    let mut deciders = [Decider::new(config), Decider::new(config)];
    let ways = [false, true].map(|from_client| {
        let of_way = (0..frames.len()).filter(|at| is_from_client(&frames[*at]) == from_client);
        of_way.collect::<Vec<usize>>()
    });
    let mut read = [0, 0];
    loop {
        let next = [0, 1].map(|way: usize| ways[way].get(read[way]).copied());
        let way = match next {
            [None, None] => break,
            [Some(_), None] => 0,
            [None, Some(_)] => 1,
            [Some(up), Some(down)] if up > down + SKEW_FRAMES_MAX => 1,
            [Some(up), Some(down)] if down > up + SKEW_FRAMES_MAX => 0,
            [Some(_), Some(_)] => random.below(2),
        };
        let Some(at) = next[way] else { break };
        deciders[way].decide(frame_ref(&frames[at]), tap);
        read[way] += 1;
    }
    deciders.iter().zip(["down", "up"]).map(|(decider, name)| counts_of(name, decider)).collect()
}

/// The generators give client and server a MAC address each.
fn is_from_client(frame: &TimedFrame) -> bool {
    frame.bytes[11] == 1
}

fn counts_of(name: &str, decider: &Decider) -> InterfaceCounts {
    InterfaceCounts::of(name.to_owned(), decider.counters().first().unwrap_or(&Default::default()))
}

fn frame_ref(frame: &TimedFrame) -> FrameRef<'_> {
    let original_len = frame.bytes.len() as u32;
    FrameRef { ts_ns: frame.ts_ns, link: Link::Ethernet, bytes: &frame.bytes, original_len, ifindex: 0 }
}
