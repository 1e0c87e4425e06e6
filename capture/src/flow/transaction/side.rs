//! One side of a transaction: where its message stood in its direction, and where it ends once that is known.
//!
//! Invariant: an end, a size and a time are told only where TCP or the head says them.

use common::record::tcp_flag;

use super::Before;
use crate::flow::{
    assembler::HeadSpan,
    direction::{Direction, Extent},
};

/// A request or response of a transaction: where it stood, when it came by, what its head declared.
#[derive(Clone, Copy, Debug)]
pub struct Side<Id> {
    /// Its values in the current batch.
    pub id: Id,
    /// Sequence number of the head's first byte.
    pub seq: u32,
    /// Sequence number behind the head.
    pub head_end: u32,
    /// Acknowledgment number of the segment that began the head; `None` without the ACK flag.
    pub ack: Option<u32>,
    /// N of the sampling in force when the head began.
    pub sample_weight: u32,
    /// Time of the head's first byte.
    pub ts_first: u64,
    /// That byte had come by before, unseen.
    pub is_repeat: bool,
    /// Time of the head's last byte.
    pub ts_last: u64,
    /// Body declared by the head.
    pub extent: Extent,
    /// Sequence number behind the body, once known.
    pub end_seq: Option<u32>,
    /// Time of the message's last byte, where it was seen.
    pub ts_end: Option<u64>,
    /// Minor version, of HTTP/1.0 and 1.1.
    pub version_minor: Option<u8>,
    /// A message is missing before it, or part of one.
    pub is_behind_gap: bool,
}

impl<Id> Side<Id> {
    /// A message whose head stood at `span` and declared `extent`.
    pub fn new(id: Id, span: &HeadSpan, extent: Extent) -> Self {
        let has_ack = span.tcp_flags & tcp_flag::ACK != 0;
        let has_no_body = extent == Extent::None;
        Side {
            id,
            seq: span.seq,
            head_end: span.end_seq,
            ack: has_ack.then_some(span.ack),
            sample_weight: span.sample_weight,
            ts_first: span.ts_first,
            is_repeat: span.is_repeat,
            ts_last: span.ts_last,
            extent,
            end_seq: has_no_body.then_some(span.end_seq),
            ts_end: has_no_body.then_some(span.ts_last),
            version_minor: None,
            is_behind_gap: false,
        }
    }

    /// The message, with the version its start line names.
    #[must_use]
    pub fn of_version(self, version: &[u8]) -> Self {
        let version_minor = match version {
            b"1.0" => Some(0),
            b"1.1" => Some(1),
            _ => None,
        };
        Side { version_minor, ..self }
    }

    /// The message, with what stands before it.
    #[must_use]
    pub fn behind(self, before: Before) -> Self {
        Side { is_behind_gap: before == Before::Gap, ..self }
    }

    /// The message, now that it is known to have no body.
    #[must_use]
    pub fn without_body(self) -> Self {
        let (end_seq, ts_end) = (Some(self.head_end), Some(self.ts_last));
        Side { extent: Extent::None, end_seq, ts_end, ..self }
    }

    /// From where to where its body reaches, once that is known and it has one.
    pub fn body(&self) -> Option<(u32, u32)> {
        let end = self.end_seq.filter(|end| *end != self.head_end)?;
        Some((self.head_end, end))
    }

    /// Time of the head's first byte, where it was seen when it came first.
    pub fn ts_begin(&self) -> Option<u64> {
        (!self.is_repeat).then_some(self.ts_first)
    }

    /// Body bytes on the wire, framing included, once known.
    pub fn body_bytes(&self) -> Option<i64> {
        let reached = self.end_seq?.wrapping_sub(self.head_end);
        match self.extent {
            // Sequence numbers tell so many bytes modulo the sequence space.
            Extent::Length(declared) if declared as u32 == reached => i64::try_from(declared).ok(),
            Extent::Length(_) | Extent::None | Extent::Delimited | Extent::UntilClose | Extent::Unknown => {
                Some(i64::from(reached))
            }
        }
    }

    /// Notes that the message ends at `end` of its direction.
    pub fn end_at(&mut self, end: u32, way: &Direction) {
        self.end_seq = Some(end);
        self.ts_end = if end == self.head_end { Some(self.ts_last) } else { way.ts_of(end) };
    }
}
