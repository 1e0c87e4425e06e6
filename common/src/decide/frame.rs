//! How `decide` reaches the bytes of a frame, and hands over what it found: the seam between the two halves.
//!
//! The kernel half implements these traits over the XDP buffer, per-CPU maps and rings, user space over slices.
//! Invariant: no implementation reads outside the frame; a refused read is `None`, never a wrong byte.

use super::dissect::Dissection;
use super::dissect::fragment::Datagram;
use super::flow::Set;
use super::walk::Walk;
use crate::limits::{LAYER_COUNT_MAX, STEP_COUNT_MAX};
use crate::record::Record;

/// Bytes the search for an empty line looks at in one go: 64 places where one may begin, and the two behind the last.
pub const BLOCK_BYTES: usize = 66;

/// Bytes it looks at in one go while as many are left: what a look costs besides is paid for four blocks.
pub const WIDE_BYTES: usize = 4 * (BLOCK_BYTES - 2) + 2;

/// Bytes of one frame, from its link layer on.
pub trait Frame: Sized {
    /// Bytes that lie at hand: all of them, or, in a frame of several buffers, those of the first.
    fn near_len(&self) -> usize;

    /// The `N` bytes at an offset in place, where they are all near.
    fn near<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;

    /// Bytes that can be loaded.
    fn captured_len(&mut self) -> u32;

    /// Bytes the frame had on the wire.
    fn wire_len(&mut self) -> u32;

    /// The same, for a frame known to reach so far (zero: nothing is known): what is near may answer it.
    #[inline(always)]
    fn wire_len_from(&mut self, reach: u32) -> u32 {
        let _ = reach;
        self.wire_len()
    }

    /// The `N` bytes at an offset, where the frame holds them all.
    fn load<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]>;

    /// The `N` bytes at an offset, at most `WIDE_BYTES`, in place where that is possible.
    fn block<const N: usize>(&mut self, offset: u32) -> Option<&[u8; N]>;

    /// Steps down the layers of the frame until its end, or until they are too many.
    #[inline(always)]
    fn descend<M: Memory>(dissection: &mut Dissection<'_, Self, M>) {
        for _ in 0..LAYER_COUNT_MAX {
            if !dissection.step() {
                return;
            }
        }
    }

    /// The time of the frame, `known_ns` being what its record says so far.
    #[inline(always)]
    fn now_ns(&mut self, known_ns: u64) -> u64 {
        known_ns
    }

    /// The bits that are set in both. A half whose machine has few registers reads what follows only then.
    #[inline(always)]
    fn both(a: u64, b: u64) -> u64 {
        a & b
    }

    /// The same value. A half whose code is verified makes the verifier forget what it knew about it here, so that
    /// ways that differ in nothing else are followed once.
    #[inline(always)]
    fn opaque(&mut self, value: u32) -> u32 {
        value
    }
}

/// What is remembered between frames.
pub trait Memory {
    /// The set of flows of an index below `FLOW_SET_COUNT`.
    fn set(&mut self, index: u32) -> Option<&mut Set>;

    /// The place of a fragmented datagram, of an index below `DATAGRAM_COUNT`.
    fn datagram(&mut self, index: u32) -> Option<&mut Datagram>;
}

/// The memory of user space; what is behind the end of its slices is never remembered.
#[derive(Debug)]
pub struct SliceMemory<'a> {
    /// `FLOW_SET_COUNT` sets.
    pub sets: &'a mut [Set],
    /// `DATAGRAM_COUNT` places.
    pub datagrams: &'a mut [Datagram],
}

impl Memory for SliceMemory<'_> {
    #[inline]
    fn set(&mut self, index: u32) -> Option<&mut Set> {
        self.sets.get_mut(index as usize)
    }

    #[inline]
    fn datagram(&mut self, index: u32) -> Option<&mut Datagram> {
        self.datagrams.get_mut(index as usize)
    }
}

/// Takes the records of a frame, in order.
pub trait Sink<F: Frame>: Sized {
    /// Hands over a record with `record.copied` bytes of the frame from `offset`; false where the ring is full.
    fn emit(&mut self, frame: &mut F, record: &mut Record, offset: u32) -> bool;

    /// Steps through the frame until nothing is left of it.
    #[inline(always)]
    fn drive(walk: &mut Walk<'_, F, Self>) {
        for _ in 0..STEP_COUNT_MAX {
            if !walk.step() {
                return;
            }
        }
    }
}

/// A frame in a slice, possibly cut by a snap length.
#[derive(Clone, Copy, Debug)]
pub struct SliceFrame<'a> {
    bytes: &'a [u8],
    wire_len: u32,
}

impl<'a> SliceFrame<'a> {
    /// A frame of `wire_len` bytes of which the first ones were captured.
    pub fn new(bytes: &'a [u8], wire_len: u32) -> Self {
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        Self { bytes, wire_len: wire_len.max(bytes.len() as u32) }
    }

    /// The captured bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Frame for SliceFrame<'_> {
    #[inline]
    fn near_len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn near<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.bytes.get(offset..)?.first_chunk()
    }

    #[inline]
    fn captured_len(&mut self) -> u32 {
        self.bytes.len() as u32
    }

    #[inline]
    fn wire_len(&mut self) -> u32 {
        self.wire_len
    }

    #[inline]
    fn load<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        self.bytes.get(offset as usize..)?.first_chunk().copied()
    }

    #[inline]
    fn block<const N: usize>(&mut self, offset: u32) -> Option<&[u8; N]> {
        self.bytes.get(offset as usize..)?.first_chunk()
    }
}
