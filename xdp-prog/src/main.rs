//! The kernel half: decides on every frame in XDP and copies head regions into a ring.
//!
//! Binds packet access, maps and rings of the kernel to `common::decide`; what is decided is written there, once. Two
//! programs, one for each half of it: most frames end in the first, and the second has a stack of its own.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod maps;
mod ring;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use common::decide::dissect::Link;
use common::decide::{State, begin, finish};
use frame::XdpFrame;
use maps::{Maps, PROGRAMS, Scratch};
use ring::Rings;

/// What becomes of a frame.
enum Outcome {
    /// It ends here.
    Drop,
    /// The kernel's own stack sees it too.
    Pass,
    /// It yields records: the second program goes on with it.
    Copy,
    /// A map or program is missing, which the loader rules out.
    Unbound,
}

/// Entry point, on every frame an interface receives; `frags` lets frames of several buffers through.
#[xdp(frags)]
fn hdrcap(ctx: XdpContext) -> u32 {
    match first(&ctx) {
        Outcome::Drop => xdp_action::XDP_DROP,
        Outcome::Pass | Outcome::Unbound => xdp_action::XDP_PASS,
        Outcome::Copy => {
            // SAFETY: the loader puts `hdrcap_copy` there, which takes the same context.
            unsafe { PROGRAMS.tail_call(&ctx, 0) };
            xdp_action::XDP_PASS
        }
    }
}

/// Goes on where the first program ended, with what it left in the scratch of this CPU.
#[xdp(frags)]
fn hdrcap_copy(ctx: XdpContext) -> u32 {
    match second(&ctx) {
        Outcome::Drop => xdp_action::XDP_DROP,
        Outcome::Pass | Outcome::Copy | Outcome::Unbound => xdp_action::XDP_PASS,
    }
}

#[inline(always)]
fn first(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = maps::scratch() else {
        return Outcome::Unbound;
    };
    scratch.work.record.ifindex = ctx.ingress_ifindex() as u32;
    scratch.work.record.ts_ns = 0;
    let Some(Maps { config, slot, counters, mut flows }) = Maps::of(scratch.work.record.ifindex) else {
        return Outcome::Unbound;
    };
    let Scratch { work, parked, block } = scratch;
    let mut frame = XdpFrame::new(ctx.ctx, parked, block);
    match begin(&mut frame, Link::Ethernet, &mut flows, State { config, work, counters }) {
        None => Outcome::Copy,
        Some(_) if config.drops(slot) => Outcome::Drop,
        Some(_) => Outcome::Pass,
    }
}

#[inline(always)]
fn second(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = maps::scratch() else {
        return Outcome::Unbound;
    };
    let Some(Maps { config, slot, counters, mut flows }) = Maps::of(scratch.work.record.ifindex) else {
        return Outcome::Unbound;
    };
    let Scratch { work, parked, block } = scratch;
    let mut frame = XdpFrame::new(ctx.ctx, parked, block);
    let rings = Rings::new(ctx.ctx, config);
    finish(&mut frame, &mut flows, rings, State { config, work, counters });
    if config.drops(slot) { Outcome::Drop } else { Outcome::Pass }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
