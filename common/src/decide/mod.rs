//! The one decision about a frame: dissect, select, detect, and the records it yields.
//!
//! Compiled into the kernel half (XDP buffer, per-CPU maps, rings) and into user space (pcap): same input, same verdict,
//! same records. Invariant: every frame is booked under exactly one verdict, here and nowhere else.

pub mod detect;
pub mod dissect;
pub mod flow;
pub mod frame;
pub mod gap;
pub mod hash;
pub mod plan;
pub mod search;
mod select;
pub mod walk;

use crate::config::Config;
use crate::counters::Counters;
use crate::record::{Address, Record, TunnelType};
use crate::verdict::Verdict;
use dissect::near::{Near, near};
use dissect::{Cursor, Dissection, Link};
use flow::Set;
use frame::{Frame, Memory, Sink};
use plan::Planner;
use walk::Walk;

/// Scratch of one decision: what dissection found, and where the walk through the payload stands. All zero is valid; the
/// caller sets `record.ifindex` and `record.queue` and, where its sink does not, `record.ts_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Where dissection stands.
    pub cursor: Cursor,
    /// What every record of the frame has in common.
    pub record: Record,
    /// Offset of the TCP payload in the frame.
    pub payload: u32,
    /// Payload bytes that were captured.
    pub captured: u32,
    /// Where the outermost IP packet ends in the frame; zero where none was found.
    pub reach: u32,
    /// Bits of `plan`.
    pub plan: u32,
    /// Direction of the flow the segment belongs to.
    pub direction: u32,
    /// Offset in the payload of the next byte to copy.
    pub at: u32,
    /// Offset in the frame of the bytes the record in hand copies.
    pub offset: u32,
    /// Bytes from there on that were searched when they came first.
    pub skip: u32,
    /// Line ends before the start line of the head that begins there.
    pub lead: u32,
    /// Way of the flow in its set, or `flow::NO_WAY`.
    pub way: u32,
    /// Bytes of the head that may still be copied.
    pub left: u32,
    /// What the searched bytes ended with.
    pub line: u32,
    /// A `RecordKind`, of the next slice.
    pub kind: u32,
    /// A `walk::Mode`.
    pub mode: u32,
    /// Non-zero: the beginning of this head found the ring full.
    pub lost: u32,
    /// The highest `walk::Rank` so far.
    pub rank: u32,
    /// Non-zero: whether a head begins at `at` is still to be looked at.
    pub look: u32,
    /// Bytes of the slice in hand, behind those to skip, that were searched for the empty line.
    pub sought: u32,
    /// Offset in the frame from which the head in hand is still to be searched for its Content-Length.
    pub scan: u32,
    /// Offset in the frame behind the last byte of that search.
    pub scan_end: u32,
    /// Bytes from the segment's first one on that came by before, as long as none is missing before them.
    pub seen: u32,
    /// Offset in the frame from which a line of the head in hand that segments cut is still to be read.
    pub field: u32,
    /// Offset in the frame behind the last byte to be read so.
    pub field_end: u32,
    /// Non-zero: offset in the frame of what is to be read so next, up to the end of the slice.
    pub field_tail: u32,
    /// Non-zero: offset in the frame of a field that may tell of chunks.
    pub coding: u32,
    /// A `walk::Next`, of the record made last.
    pub next: u32,
    /// Non-zero: what is around chunks is to be read at `at`.
    pub chunks: u32,
    /// Steps that may still be taken along chunks in this frame.
    pub chunk_steps: u32,
    /// Non-zero: the segment ends where a chunked body does.
    pub is_over: u32,
    /// Non-zero: the segment ends where, or before, others did: its last byte may have come by before.
    pub passed: u32,
    /// Non-zero: the segment begins with a start line, inside of a chunk.
    pub inside: u32,
    /// Offset in the payload behind the last byte that a record was made of.
    pub told: u32,
    /// Bytes before the first one, until they are handed over.
    pub before: u32,
    /// `Record::due` of the next head.
    pub due: u32,
}

impl Work {
    /// Scratch as a zeroed map holds it.
    pub const fn new() -> Self {
        Self {
            cursor: Cursor::START,
            record: Record {
                ts_ns: 0,
                flow_hash: 0,
                src_ip: Address::ZERO,
                dst_ip: Address::ZERO,
                src_port: 0,
                dst_port: 0,
                seq: 0,
                ack: 0,
                segment_seq: 0,
                segment_len: 0,
                sample_weight: 0,
                ifindex: 0,
                tunnel_id: 0,
                queue: 0,
                copied: 0,
                kind: 0,
                tcp_flags: 0,
                ip_version: 0,
                tunnel_type: 0,
                outer_ip_version: 0,
                vlan_count: 0,
                flags: 0,
                tunnel_has_id: 0,
                due: 0,
                vlan_ids: [0; crate::limits::VLAN_COUNT_MAX],
                outer_src_ip: Address::ZERO,
                outer_dst_ip: Address::ZERO,
            },
            payload: 0,
            captured: 0,
            reach: 0,
            plan: 0,
            direction: 0,
            at: 0,
            offset: 0,
            skip: 0,
            lead: 0,
            way: flow::NO_WAY,
            left: 0,
            line: 0,
            kind: 0,
            mode: 0,
            lost: 0,
            rank: 0,
            look: 0,
            sought: 0,
            scan: 0,
            scan_end: 0,
            seen: 0,
            field: 0,
            field_end: 0,
            field_tail: 0,
            coding: 0,
            next: 0,
            chunks: 0,
            chunk_steps: 0,
            is_over: 0,
            passed: 0,
            inside: 0,
            told: 0,
            before: 0,
            due: 0,
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}

/// What a decision reads and writes besides the frame.
pub struct State<'a> {
    /// Filters, sampling and limits.
    pub config: &'a Config,
    /// Scratch; its contents between calls mean nothing.
    pub work: &'a mut Work,
    /// Where the frame is booked.
    pub counters: &'a mut Counters,
}

/// What is to follow on a stage of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the frame is booked.
    Booked(Verdict),
    /// `descend`: it is not one of those that are told by a look at their first bytes.
    Descend,
    /// `finish`: what was planned takes more than the first step.
    Finish,
}

/// Decides on one frame: hands its records to the sink and returns the verdict it was booked under.
///
/// The kernel half calls `begin`, `descend` and `finish` in programs of their own: most frames end in the first and never
/// pay for more, and each has a stack and a verifier's patience to itself.
#[inline(always)]
pub fn decide<F, M, S>(frame: &mut F, link: Link, memory: M, mut sink: S, state: State<'_>) -> Verdict
where
    F: Frame,
    M: Memory,
    S: Sink<F>,
{
    let State { config, work, counters } = state;
    let mut memory = memory;
    let mut next = if link == Link::Ethernet {
        begin(frame, &mut memory, &mut sink, State { config, work: &mut *work, counters: &mut *counters })
    } else {
        Next::Descend
    };
    if next == Next::Descend {
        next = descend(
            frame,
            link,
            &mut memory,
            &mut sink,
            State { config, work: &mut *work, counters: &mut *counters },
        );
    }
    match next {
        Next::Booked(verdict) => verdict,
        Next::Descend | Next::Finish => {
            finish(frame, &mut memory, &mut sink, State { config, work, counters })
        }
    }
}

/// Dissects a plain Ethernet frame, selects, plans and takes the first step; never what is not plain.
#[inline(always)]
pub fn begin<F, M, S>(frame: &mut F, memory: &mut M, sink: &mut S, state: State<'_>) -> Next
where
    F: Frame,
    M: Memory,
    S: Sink<F>,
{
    let State { config, work, counters } = state;
    let verdict = match near(frame, config, work) {
        Near::Tcp => {
            match first_step(
                frame,
                memory,
                sink,
                State { config, work: &mut *work, counters: &mut *counters },
            ) {
                Some(verdict) => verdict,
                None => return Next::Finish,
            }
        }
        Near::Udp => {
            work.reach = frame.near_len() as u32;
            Verdict::SkippedProtocol
        }
        Near::Other => return Next::Descend,
    };
    counters.book(verdict, frame.wire_len_from(work.reach));
    Next::Booked(verdict)
}

/// Dissects any frame, down to what is inside of tunnels, selects, plans and takes the first step.
#[inline(always)]
pub fn descend<F, M, S>(frame: &mut F, link: Link, memory: &mut M, sink: &mut S, state: State<'_>) -> Next
where
    F: Frame,
    M: Memory,
    S: Sink<F>,
{
    let State { config, work, counters } = state;
    work.reach = 0;
    work.record.vlan_count = 0;
    work.record.vlan_ids = [0; crate::limits::VLAN_COUNT_MAX];
    work.record.tunnel_type = TunnelType::None as u8;
    let dissection = Dissection { frame: &mut *frame, memory: &mut *memory, config, work: &mut *work };
    let verdict = match dissection.run(link) {
        Err(verdict) => verdict,
        Ok(()) => {
            match first_step(
                frame,
                memory,
                sink,
                State { config, work: &mut *work, counters: &mut *counters },
            ) {
                Some(verdict) => verdict,
                None => return Next::Finish,
            }
        }
    };
    counters.book(verdict, frame.wire_len_from(work.reach));
    Next::Booked(verdict)
}

/// Selects, plans and takes the first step: the verdict where it is the last, or nothing is to be handed over.
#[inline(always)]
fn first_step<F, M, S>(frame: &mut F, memory: &mut M, sink: &mut S, state: State<'_>) -> Option<Verdict>
where
    F: Frame,
    M: Memory,
    S: Sink<F>,
{
    let State { config, work, counters } = state;
    if let Err(verdict) = select::select(config, work) {
        return Some(verdict);
    }
    let Some(set) = memory.set(Set::index(work.record.flow_hash, config.memory_key)) else {
        return Some(Verdict::Body);
    };
    // Each way alone would be followed through all that comes.
    work.way = frame.opaque(set.find(Set::tag_of(work.record.flow_hash)));
    let slot = set.slot(work.way);
    let planner = Planner { frame: &mut *frame, config, work: &mut *work, slot, counters: &mut *counters };
    match planner.plan() {
        Some(verdict) => Some(verdict),
        None => Walk { frame, sink, config, work, set, counters }.begin(),
    }
}

/// Carries out the rest of what was planned, which is left in `state.work`.
#[inline(always)]
pub fn finish<F, M, S>(frame: &mut F, memory: &mut M, sink: &mut S, state: State<'_>) -> Verdict
where
    F: Frame,
    M: Memory,
    S: Sink<F>,
{
    let State { config, work, counters } = state;
    let frame_bytes = frame.wire_len_from(work.reach);
    let verdict = match memory.set(Set::index(work.record.flow_hash, config.memory_key)) {
        None => Verdict::Body,
        Some(set) => Walk { frame, sink, config, work, set, counters: &mut *counters }.run(),
    };
    counters.book(verdict, frame_bytes);
    verdict
}
