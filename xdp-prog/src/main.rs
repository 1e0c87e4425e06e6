//! The kernel half: an XDP program that decides on every frame and copies head regions into a ring.
//!
//! Binds packet access, maps and rings of the kernel to `common::decide`; what is decided is written there, once.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
mod maps;
mod ring;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use common::decide::dissect::Link;
use common::decide::{State, decide};
use frame::XdpFrame;
use maps::{Maps, Scratch};
use ring::Rings;

/// Entry point, on every frame an interface receives; `frags` lets frames of several buffers through.
#[xdp(frags)]
fn hdrcap(ctx: XdpContext) -> u32 {
    match run(ctx.ctx) {
        Outcome::Drop => xdp_action::XDP_DROP,
        Outcome::Pass | Outcome::Unbound => xdp_action::XDP_PASS,
    }
}

/// What becomes of the frame.
enum Outcome {
    /// It ends here.
    Drop,
    /// The kernel's own stack sees it too.
    Pass,
    /// A map is missing, which the loader rules out.
    Unbound,
}

#[inline(always)]
fn run(ctx: *mut aya_ebpf::bindings::xdp_md) -> Outcome {
    let Some(maps) = Maps::of(ctx) else {
        return Outcome::Unbound;
    };
    let Maps { config, slot, scratch, counters, flows } = maps;
    let Scratch { work, parked, block } = scratch;
    let mut frame = XdpFrame::new(ctx, parked, block);
    let rings = Rings::new(ctx, config);
    decide(&mut frame, Link::Ethernet, flows, rings, State { config, work, counters });
    if config.drops(slot) { Outcome::Drop } else { Outcome::Pass }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
