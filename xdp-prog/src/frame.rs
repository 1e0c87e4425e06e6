//! Packet access: straight from the linear part of the XDP buffer, by helper from what lies beyond it.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_loop, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use common::decide::dissect::Dissection;
use common::decide::frame::{Frame, Memory, WIDE_BYTES};
use common::limits::LAYER_COUNT_MAX;
use core::ffi::c_void;

/// Offsets up to here are read in place; the verifier wants packet offsets to stay below 64 KiB.
const DIRECT_OFFSET_MAX: u32 = 0x7fff;

/// Bytes of a register.
const WORD_BYTES: usize = size_of::<u64>();

/// The frame in hand.
pub(crate) struct XdpFrame {
    pub(crate) ctx: *mut xdp_md,
    data: usize,
    data_end: usize,
    zero: &'static u32,
    block: &'static mut [u8; WIDE_BYTES],
}

impl XdpFrame {
    #[inline(always)]
    pub(crate) fn new(ctx: *mut xdp_md, zero: &'static u32, block: &'static mut [u8; WIDE_BYTES]) -> Self {
        // SAFETY: the kernel hands every run a valid context.
        let data = unsafe { (*ctx).data } as usize;
        // SAFETY: as above.
        let data_end = unsafe { (*ctx).data_end } as usize;
        Self { ctx, data, data_end, zero, block }
    }

    /// Where `N` bytes of the linear part begin, if they are all there.
    #[inline(always)]
    fn direct<const N: usize>(&self, offset: usize) -> Option<*const [u8; N]> {
        let offset = settled(offset);
        if offset > DIRECT_OFFSET_MAX as usize {
            return None;
        }
        let place = settled(self.data + offset);
        (place + N <= self.data_end).then_some(place as *const [u8; N])
    }

    /// Where `N` bytes can be read, and whether they are those of the frame: in place, or fetched to scratch from beyond
    /// the linear part. The place is valid either way, so that no way of the program reads what was never written.
    #[inline(always)]
    fn reach<const N: usize>(&mut self, offset: u32) -> (*const [u8; N], bool) {
        const { assert!(N <= WIDE_BYTES) };
        if let Some(place) = self.direct(offset as usize) {
            return (place, true);
        }
        let into = self.block.as_mut_ptr();
        // SAFETY: `into` has room for `WIDE_BYTES`.
        let status = unsafe { bpf_xdp_load_bytes(self.ctx, offset, into.cast(), N as u32) };
        (into.cast_const().cast(), status == 0)
    }

    /// Copies `len` bytes from an offset on to where there is room for `ROOM`, at least one and not more; false where the
    /// frame does not hold them.
    #[inline(always)]
    pub(crate) fn copy<const ROOM: usize>(&mut self, (offset, len): (u32, u32), into: *mut u8) -> bool {
        if self.copy_near::<ROOM>((offset as usize, len as usize), into) {
            return true;
        }
        // The verifier does not know what the room was chosen by; for it the mask bounds what is copied.
        let len = (len.wrapping_sub(1) & (ROOM as u32).wrapping_sub(1)) + 1;
        // SAFETY: `into` has room for `ROOM` bytes, which `len` does not exceed.
        unsafe { bpf_xdp_load_bytes(self.ctx, offset, into.cast(), len) == 0 }
    }

    /// The same in place, in blocks of which the last ends where the bytes end: the helper takes longer to begin with it than this
    /// does for 300 bytes. False where they are fewer than a block, or not all near.
    #[inline(always)]
    fn copy_near<const ROOM: usize>(&self, (offset, len): (usize, usize), into: *mut u8) -> bool {
        let block = const { copy_block_bytes(ROOM) };
        let last = len.wrapping_sub(block);
        if last > ROOM - block || offset > DIRECT_OFFSET_MAX as usize {
            return false;
        }
        let mut at = 0;
        for _ in 0..ROOM / block {
            let place = settled(if at < last { at } else { last });
            let from = settled(self.data + offset + place);
            if place > ROOM - block || from + block > self.data_end {
                return false;
            }
            for byte in (0..block).step_by(WORD_BYTES) {
                // SAFETY: `into` has `ROOM` bytes, of which a block is left behind `place`.
                let into = unsafe { into.add(place + byte) };
                // SAFETY: as above for what is written; a block of the frame begins at `from`.
                unsafe { into.copy_from_nonoverlapping((from + byte) as *const u8, WORD_BYTES) };
            }
            if at >= last {
                return true;
            }
            at += block;
        }
        false
    }
}

/// Bytes of a block of `copy_near`: few, so that few copies have less, and more where it is to be many times.
const fn copy_block_bytes(room: usize) -> usize {
    match room {
        0..=256 => 64,
        257..=1024 => 128,
        _ => 256,
    }
}

/// The same value, which the compiler must not compute a second time: what the verifier saw compared with the frame's end is
/// then what is read through.
#[inline(always)]
fn settled(place: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut place = place;
        // SAFETY: moves a register to itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) place, options(nomem, nostack, preserves_flags)) };
        place
    }
    #[cfg(not(target_arch = "bpf"))]
    place
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn near_len(&self) -> usize {
        self.data_end - self.data
    }

    #[inline(always)]
    fn near<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        // SAFETY: `direct` returns a place of `N` readable bytes, and the frame stays while it is borrowed.
        self.direct(offset).map(|place| unsafe { &*place })
    }

    #[inline(always)]
    fn captured_len(&mut self) -> u32 {
        self.wire_len()
    }

    #[inline(always)]
    fn wire_len(&mut self) -> u32 {
        // SAFETY: the kernel hands every run a valid context.
        unsafe { bpf_xdp_get_buff_len(self.ctx) as u32 }
    }

    /// Asks the kernel only where what is near does not answer: a call costs more than dissecting a header.
    #[inline(always)]
    fn wire_len_from(&mut self, reach: u32) -> u32 {
        let near = self.near_len();
        if reach != 0 && reach as usize <= near { near as u32 } else { self.wire_len() }
    }

    #[inline(always)]
    fn load<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        let (place, is_frame) = self.reach(offset);
        // SAFETY: `reach` returns a place of `N` readable bytes.
        let bytes = unsafe { place.read_unaligned() };
        is_frame.then_some(bytes)
    }

    #[inline(always)]
    fn block<const N: usize>(&mut self, offset: u32) -> Option<&[u8; N]> {
        let (place, is_frame) = self.reach(offset);
        // SAFETY: as in `load`; the bytes stay as long as this frame is borrowed.
        let bytes = unsafe { &*place };
        is_frame.then_some(bytes)
    }

    #[inline(always)]
    fn descend<M: Memory>(dissection: &mut Dissection<'_, Self, M>) {
        let dissection: *mut Dissection<'_, Self, M> = dissection;
        let step = on_layer::<M> as *mut c_void;
        // SAFETY: the callback takes what is passed here, and the dissection outlives the call.
        unsafe { bpf_loop(LAYER_COUNT_MAX as u32, step, dissection.cast(), 0) };
    }

    #[inline(always)]
    fn now_ns(&mut self, _known_ns: u64) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn both(a: u64, b: u64) -> u64 {
        let mut both = a;
        // SAFETY: combines two registers.
        #[cfg(target_arch = "bpf")]
        unsafe {
            core::arch::asm!("{0} &= {1}", inout(reg) both, in(reg) b, options(nostack, preserves_flags))
        };
        #[cfg(not(target_arch = "bpf"))]
        {
            both &= b;
        }
        both
    }

    #[inline(always)]
    fn opaque(&mut self, value: u32) -> u32 {
        // Not added: of a sum the verifier would know the least value, and compare it.
        // SAFETY: a reference to a live map value; volatile, so that the compiler does not know it either.
        value ^ unsafe { core::ptr::read_volatile(self.zero) }
    }
}

/// One layer of the way down; non-zero ends the loop.
extern "C" fn on_layer<M: Memory>(_index: u64, dissection: *mut Dissection<'_, XdpFrame, M>) -> i64 {
    // SAFETY: `descend` passes a dissection that nothing else refers to meanwhile.
    let dissection = unsafe { &mut *dissection };
    i64::from(!dissection.step())
}
