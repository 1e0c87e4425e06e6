//! What is true about a capture: every message, and for each of its bytes whether some frame carries it.

use std::ops::Range;

use super::{
    Message,
    script::{Placed, Script},
    segments::Planned,
};
use crate::wire::{Path, Side, flag};

/// What is true about a whole capture.
#[derive(Clone, Debug)]
pub struct Truth {
    /// What the capture was made from: print it when a test fails.
    pub seed: u64,
    /// Connections; those on the same tuple follow each other.
    pub connections: Vec<Connection>,
}

/// What is true about a connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Addresses, ports and tags.
    pub path: Path,
    /// Messages in the order in which they were said.
    pub messages: Vec<SeenMessage>,
    /// Whether the SYN of client and server was captured.
    pub syn_seen: [bool; 2],
    /// Sequence numbers of client and server behind which no HTTP is spoken, where a tunnel was opened.
    pub tunnel_seqs: Option<[u32; 2]>,
    /// Frames captured of this connection.
    pub frames: usize,
}

/// A message and what was captured of it.
#[derive(Clone, Debug)]
pub struct SeenMessage {
    /// Its sender.
    pub side: Side,
    /// What was said; cut where the connection was reset in its middle.
    pub message: Message,
    /// Sequence number of its first byte.
    pub seq: u32,
    /// Sequence number behind its head.
    pub head_end_seq: u32,
    /// Sequence number behind its body.
    pub end_seq: u32,
    /// Offsets from its first byte that no frame carries, in order.
    pub lost: Vec<Range<usize>>,
    /// How its first byte was first captured; `None` where it was lost.
    pub start: Option<Start>,
    /// When the last byte of its head was first captured, in Unix nanoseconds.
    pub head_ts_ns: Option<u64>,
    /// When its last byte was.
    pub end_ts_ns: Option<u64>,
}

/// The frame that first carried the first byte of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its time in Unix nanoseconds.
    pub ts_ns: u64,
    /// The message begins where the segment begins.
    pub begins_segment: bool,
    /// Bytes of the message in the segment.
    pub bytes: usize,
    /// Acknowledgment number of the segment.
    pub ack: u32,
}

impl SeenMessage {
    /// Every byte of the head was captured, and it was sent to its end.
    pub fn head_is_whole(&self) -> bool {
        let head_bytes = self.message.head.len();
        self.message.head.ends_with(b"\r\n\r\n") && self.lost.iter().all(|lost| lost.start >= head_bytes)
    }

    /// No byte of it is missing.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty()
    }
}

/// A connection while its frames are counted.
pub(super) struct Observed {
    path: Path,
    script: Script,
    isns: [u32; 2],
    carried: [Vec<bool>; 2],
    starts: Vec<Option<Start>>,
    /// Times of the last bytes of head and message.
    ends: Vec<[Option<u64>; 2]>,
    syn_seen: [bool; 2],
    frames: usize,
}

impl Observed {
    pub(super) fn new(path: Path, script: Script, isns: [u32; 2]) -> Self {
        let carried = [0, 1].map(|side: usize| vec![false; script.streams[side].len()]);
        let starts = vec![None; script.messages.len()];
        let ends = vec![[None; 2]; script.messages.len()];
        Self { path, script, isns, carried, starts, ends, syn_seen: [false; 2], frames: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn observe(&mut self, ts_ns: u64, segment: &Planned) {
        self.frames += 1;
        let side = segment.from as usize;
        if segment.flags & flag::SYN != 0 {
            self.syn_seen[side] = true;
            return;
        }
        let begin = segment.seq.wrapping_sub(self.isns[side]).wrapping_sub(1) as usize;
        let end = begin + segment.payload.len();
        for (placed, start) in self.script.messages.iter().zip(&mut self.starts) {
            let holds_start = placed.side == segment.from && (begin..end).contains(&placed.offset);
            if holds_start && start.is_none() {
                let bytes = (end - placed.offset).min(placed.len());
                let begins_segment = begin == placed.offset;
                *start = Some(Start { ts_ns, begins_segment, bytes, ack: segment.ack });
            }
        }
        for (placed, ends) in self.script.messages.iter().zip(&mut self.ends) {
            for (len, ts) in [placed.message.head.len(), placed.len()].into_iter().zip(ends) {
                let holds_last =
                    placed.side == segment.from && (begin..end).contains(&(placed.offset + len - 1));
                *ts = ts.or(holds_last.then_some(ts_ns));
            }
        }
        if !segment.payload.is_empty() {
            self.carried[side][begin..end].fill(true);
        }
    }

    pub(super) fn conclude(self) -> Connection {
        let Self { path, script, isns, carried, starts, ends, syn_seen, frames } = self;
        let seq = |side: Side, offset: usize| isns[side as usize].wrapping_add(1).wrapping_add(offset as u32);
        let seen = starts.into_iter().zip(ends);
        let messages =
            script.messages.into_iter().zip(seen).map(|(placed, (start, [head_ts_ns, end_ts_ns]))| {
                let Placed { side, offset, .. } = placed;
                let end = offset + placed.len();
                SeenMessage {
                    side,
                    seq: seq(side, offset),
                    head_end_seq: seq(side, offset + placed.message.head.len()),
                    end_seq: seq(side, end),
                    lost: gaps(&carried[side as usize][offset..end]),
                    start,
                    head_ts_ns,
                    end_ts_ns,
                    message: placed.message,
                }
            });
        Connection {
            path,
            messages: messages.collect(),
            syn_seen,
            tunnel_seqs: script
                .tunnel
                .map(|[client, server]| [seq(Side::Client, client), seq(Side::Server, server)]),
            frames,
        }
    }
}

/// Ranges of bytes that were not carried.
fn gaps(carried: &[bool]) -> Vec<Range<usize>> {
    let mut gaps: Vec<Range<usize>> = Vec::new();
    for (at, _) in carried.iter().enumerate().filter(|(_, carried)| !**carried) {
        match gaps.last_mut() {
            Some(gap) if gap.end == at => gap.end = at + 1,
            Some(_) | None => gaps.push(at..at + 1),
        }
    }
    gaps
}
