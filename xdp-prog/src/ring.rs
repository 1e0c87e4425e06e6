//! Where records go: the ring of this CPU or of the flow, in the smallest reservation class that holds the copy.
//!
//! The verifier wants constant reservation sizes, so there are classes. No record wakes its reader: collectors look at
//! their ring often enough by themselves, and a wake-up per record would cost more than the record.

use crate::frame::XdpFrame;
use crate::maps::RINGS;
use aya_ebpf::bindings::{BPF_RB_NO_WAKEUP, xdp_md};
use aya_ebpf::btf_maps::RingBuf;
use aya_ebpf::helpers::{
    bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_loop, bpf_ringbuf_discard, bpf_ringbuf_reserve,
    bpf_ringbuf_submit,
};
use common::config::{Config, Steering};
use common::decide::frame::{Frame as _, Sink};
use common::decide::hash::ring_of;
use common::decide::walk::{Task, Walk};
use common::limits::{RECORD_COPY_BYTES_MAX, STEP_COUNT_MAX};
use common::record::{COPY_CLASS_BYTES, RECORD_BYTES, Record, copy_class};
use core::ffi::c_void;

type Ring = RingBuf<u8, 4096>;

/// The rings, as the decision's sink.
pub(crate) struct Rings {
    ctx: *mut xdp_md,
    config: &'static Config,
}

impl Rings {
    #[inline(always)]
    pub(crate) fn new(ctx: *mut xdp_md, config: &'static Config) -> Self {
        Self { ctx, config }
    }

    #[inline(always)]
    fn index(&self, flow_hash: u64) -> u32 {
        // SAFETY: the helper has no preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if self.config.steering == Steering::Cpu as u32 && cpu < self.config.ring_count {
            cpu
        } else {
            ring_of(flow_hash, self.config.ring_count)
        }
    }

    /// Fills in what only the kernel knows.
    #[inline(always)]
    fn stamp(&self, record: &mut Record) {
        if record.ts_ns == 0 {
            // SAFETY: the helper has no preconditions.
            record.ts_ns = unsafe { bpf_ktime_get_ns() };
            // SAFETY: the kernel hands every run a valid context.
            record.queue = unsafe { (*self.ctx).rx_queue_index } as u16;
        }
    }

    #[inline(always)]
    fn put<const COPY_BYTES: usize>(
        &self,
        ring: &Ring,
        (record, frame): (&mut Record, &mut XdpFrame),
        what: (u32, u32),
    ) -> bool {
        let ring = core::ptr::from_ref(ring).cast_mut().cast();
        // SAFETY: `ring` is the ring buffer map the lookup returned.
        let entry =
            unsafe { bpf_ringbuf_reserve(ring, (RECORD_BYTES + COPY_BYTES) as u64, 0) }.cast::<Record>();
        if entry.is_null() {
            return false;
        }
        if COPY_BYTES > 0 {
            // SAFETY: the entry is larger than a record header.
            let into = unsafe { entry.add(1) };
            if !frame.copy::<COPY_BYTES>(what, into.cast()) {
                // SAFETY: the entry is reserved and not yet handed over.
                unsafe { bpf_ringbuf_discard(entry.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
                return false;
            }
        }
        self.stamp(record);
        // SAFETY: the entry has room for a record header and is aligned to eight bytes.
        unsafe { entry.write(*record) };
        // SAFETY: the entry is reserved and not yet handed over.
        unsafe { bpf_ringbuf_submit(entry.cast(), u64::from(BPF_RB_NO_WAKEUP)) };
        true
    }
}

impl Sink<XdpFrame> for Rings {
    #[inline(always)]
    fn emit(&mut self, frame: &mut XdpFrame, record: &mut Record, offset: u32) -> bool {
        let Some(ring) = RINGS.get(self.index(record.flow_hash)) else {
            return false;
        };
        let what = (offset, frame.opaque(u32::from(record.copied)));
        match copy_class(record.copied) {
            0 => self.put::<{ COPY_CLASS_BYTES[0] }>(ring, (record, frame), what),
            1 => self.put::<{ COPY_CLASS_BYTES[1] }>(ring, (record, frame), what),
            2 => self.put::<{ COPY_CLASS_BYTES[2] }>(ring, (record, frame), what),
            3 => self.put::<{ COPY_CLASS_BYTES[3] }>(ring, (record, frame), what),
            _ => self.put::<RECORD_COPY_BYTES_MAX>(ring, (record, frame), what),
        }
    }

    #[inline(always)]
    fn drive(walk: &mut Walk<'_, XdpFrame, Self>) {
        // What is left of most segments that come here is the search for a length: in place it costs no call.
        if walk.task() == Task::Measure && walk.measure() && !walk.go_on() && !walk.go_beyond() {
            return;
        }
        let walk: *mut Walk<'_, XdpFrame, Self> = walk;
        // SAFETY: the callback takes what is passed here, and the walk outlives the call.
        unsafe { bpf_loop(STEP_COUNT_MAX, on_step as *mut c_void, walk.cast(), 0) };
    }
}

/// One step of the walk; non-zero ends the loop.
extern "C" fn on_step(_index: u64, walk: *mut Walk<'_, XdpFrame, Rings>) -> i64 {
    // SAFETY: `drive` passes a walk that nothing else refers to meanwhile.
    let walk = unsafe { &mut *walk };
    let goes_on = match walk.task() {
        Task::Mark => {
            mark(walk);
            hand_over(walk);
            walk.is_copying()
        }
        Task::Slice if !slice(walk) => true,
        Task::Slice => {
            hand_over(walk);
            walk.is_measuring() || go_on(walk)
        }
        Task::Measure => !measure(walk) || go_on(walk),
        Task::Coding => !coding(walk) || go_on(walk),
        Task::Field => !field(walk) || go_on(walk),
        Task::Look => look(walk),
        Task::Chunk => chunk(walk),
    };
    i64::from(!goes_on && !walk.go_beyond())
}

/// Each task has a stack of its own: together they would need more than there is.
#[inline(never)]
fn mark(walk: &mut Walk<'_, XdpFrame, Rings>) {
    walk.mark();
}

#[inline(never)]
fn slice(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.slice()
}

#[inline(never)]
fn hand_over(walk: &mut Walk<'_, XdpFrame, Rings>) {
    walk.hand_over();
}

#[inline(never)]
fn measure(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.measure()
}

#[inline(never)]
fn coding(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.coding()
}

#[inline(never)]
fn field(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.field()
}

#[inline(never)]
fn look(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.look()
}

#[inline(never)]
fn chunk(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.chunk()
}

#[inline(never)]
fn go_on(walk: &mut Walk<'_, XdpFrame, Rings>) -> bool {
    walk.go_on()
}
