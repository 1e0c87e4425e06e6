//! The maps, by the names user space knows them, and the references one frame needs into them.
//!
//! Per-CPU values are only touched by the CPU that runs the program, which XDP does not interrupt with itself.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray, ProgramArray, RingBuf};
use aya_ebpf::macros::btf_map;
use common::config::Config;
use common::counters::Counters;
use common::decide::Work;
use common::decide::dissect::fragment::Datagram;
use common::decide::flow::Set;
use common::decide::frame::{Memory, WIDE_BYTES};
use common::limits::{DATAGRAM_COUNT, FLOW_SET_COUNT, IFACE_COUNT_MAX, RING_COUNT_MAX};

/// Configuration; user space may write it while frames come.
#[btf_map]
pub(crate) static CONFIG: Array<Config, 1> = Array::new();

/// Counters by interface slot.
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counters, IFACE_COUNT_MAX> = PerCpuArray::new();

/// The flow memory.
#[btf_map]
pub(crate) static FLOWS: PerCpuArray<Set, FLOW_SET_COUNT> = PerCpuArray::new();

/// Fragmented datagrams.
#[btf_map]
pub(crate) static DATAGRAMS: PerCpuArray<Datagram, DATAGRAM_COUNT> = PerCpuArray::new();

/// Scratch of the frame in hand.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Rings; user space creates each in the size it wants. The size here is that of the template only.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u8, 4096>, RING_COUNT_MAX> = ArrayOfMaps::new();

/// The programs that others go on with, by `program`.
#[btf_map]
pub(crate) static PROGRAMS: ProgramArray<2> = ProgramArray::new();

/// Places in `PROGRAMS`.
pub(crate) mod program {
    /// `hdrcap_copy`.
    pub(crate) const COPY: u32 = 0;
    /// `hdrcap_descend`.
    pub(crate) const DESCEND: u32 = 1;
}

/// Value of `SCRATCH`.
#[repr(C)]
pub(crate) struct Scratch {
    /// Of the decision.
    pub(crate) work: Work,
    /// Zero, which the verifier does not know: of a number that it is combined with it forgets what it knew.
    pub(crate) zero: u32,
    /// Bytes from beyond the linear part of the frame.
    pub(crate) block: [u8; WIDE_BYTES],
}

/// The scratch of this CPU.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: a per-CPU value lives as long as the program, and each program asks for it once.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// What one frame needs besides.
pub(crate) struct Maps {
    pub(crate) config: &'static Config,
    pub(crate) slot: u32,
    pub(crate) counters: &'static mut Counters,
    pub(crate) memory: CpuMemory,
}

impl Maps {
    #[inline(always)]
    pub(crate) fn of(ifindex: u32) -> Option<Self> {
        let config = CONFIG.get(0)?;
        let slot = config.iface_slot(ifindex);
        let counters = COUNTERS.get_ptr_mut(slot)?;
        // SAFETY: a per-CPU value lives as long as the program, and each program asks for it once.
        let counters = unsafe { &mut *counters };
        Some(Self { config, slot, counters, memory: CpuMemory })
    }
}

/// `FLOWS` and `DATAGRAMS` as the memory of the decision.
pub(crate) struct CpuMemory;

impl Memory for CpuMemory {
    #[inline(always)]
    fn set(&mut self, index: u32) -> Option<&mut Set> {
        // SAFETY: a per-CPU value lives as long as the program; each program asks for one set.
        FLOWS.get_ptr_mut(index).map(|set| unsafe { &mut *set })
    }

    #[inline(always)]
    fn datagram(&mut self, index: u32) -> Option<&mut Datagram> {
        // SAFETY: a per-CPU value lives as long as the program; a frame is part of one datagram.
        DATAGRAMS.get_ptr_mut(index).map(|datagram| unsafe { &mut *datagram })
    }
}
