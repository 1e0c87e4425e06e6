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
use common::config::Action;
use common::decide::dissect::Link;
use common::decide::{State, decide};
use frame::XdpFrame;
use maps::Maps;
use ring::Rings;

/// Entry point, on every frame an interface receives; `frags` lets frames of several buffers through.
#[xdp(frags)]
pub fn hdrcap(ctx: XdpContext) -> u32 {
    match run(ctx.ctx) {
        Some(Action::Drop) => xdp_action::XDP_DROP,
        Some(Action::Pass) | None => xdp_action::XDP_PASS,
    }
}

/// `None` where a map is missing, which the loader rules out.
#[inline(always)]
fn run(ctx: *mut aya_ebpf::bindings::xdp_md) -> Option<Action> {
    let maps = Maps::of(ctx)?;
    let frame = XdpFrame::new(ctx, maps.parked, maps.block);
    let rings = Rings::new(ctx, maps.config);
    let state = State { config: maps.config, work: maps.work, counters: maps.counters };
    decide(frame, Link::Ethernet, maps.flows, rings, state);
    Some(if maps.config.action == Action::Drop as u32 { Action::Drop } else { Action::Pass })
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
