//! The kernel half: decides on every frame in XDP and copies head regions into a ring.
//!
//! Binds packet access, maps and rings of the kernel to `common::decide`; what is decided is written there, once. Three
//! programs: most frames end in the first, those with more layers than usual in the second, and those that take more than
//! one step in the third. Each has a stack, and the verifier's patience, to itself.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

mod frame;
mod maps;
mod ring;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use common::decide::dissect::Link;
use common::decide::{Next, State, begin, descend, finish};
use frame::XdpFrame;
use maps::{Maps, PROGRAMS, Scratch, program};
use ring::Rings;

/// What becomes of a frame.
enum Outcome {
    /// It ends here.
    Drop,
    /// The kernel's own stack sees it too.
    Pass,
    /// It has more layers than usual: the second program goes on with it.
    Descend,
    /// It takes more than one step: the third program goes on with it.
    Copy,
    /// A map or program is missing, which the loader rules out.
    Unbound,
}

/// Entry point, on every frame an interface receives; `frags` lets frames of several buffers through.
#[xdp(frags)]
#[inline(always)]
fn hdrcap(ctx: XdpContext) -> u32 {
    act(&ctx, first(&ctx))
}

/// Goes on with a frame that the first program knows nothing of yet.
#[xdp(frags)]
#[inline(always)]
fn hdrcap_descend(ctx: XdpContext) -> u32 {
    act(&ctx, second(&ctx))
}

/// Goes on with what the others left in the scratch of this CPU.
#[xdp(frags)]
#[inline(always)]
fn hdrcap_copy(ctx: XdpContext) -> u32 {
    act(&ctx, third(&ctx))
}

#[inline(always)]
fn act(ctx: &XdpContext, outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Drop => return xdp_action::XDP_DROP,
        Outcome::Pass | Outcome::Unbound => {}
        Outcome::Descend => go_on::<{ program::DESCEND }>(ctx),
        Outcome::Copy => go_on::<{ program::COPY }>(ctx),
    }
    xdp_action::XDP_PASS
}

/// Goes on with another program; returns where there is none. Written out, so that the compiler does not join the calls: the
/// kernel makes a jump of one whose place it knows, and a slow way through the table of one that it does not.
#[inline(always)]
fn go_on<const INDEX: u32>(ctx: &XdpContext) {
    let programs = core::ptr::from_ref(&PROGRAMS);
    #[cfg(target_arch = "bpf")]
    // SAFETY: a tail call by its number (12), as the helper's convention wants it; the programs there take the same context.
    unsafe {
        core::arch::asm!(
            "r3 = {index}",
            "call 12",
            index = const INDEX,
            inout("r1") ctx.ctx => _,
            inout("r2") programs => _,
            out("r0") _, out("r3") _, out("r4") _, out("r5") _,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    let _ = (programs, ctx);
}

#[inline(always)]
fn first(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = maps::scratch() else {
        return Outcome::Unbound;
    };
    scratch.work.record.ifindex = ctx.ingress_ifindex() as u32;
    scratch.work.record.ts_ns = 0;
    let Some(Maps { config, slot, counters, mut memory }) = Maps::of(scratch.work.record.ifindex) else {
        return Outcome::Unbound;
    };
    let Scratch { work, zero, block } = scratch;
    let mut frame = XdpFrame::new(ctx.ctx, zero, block);
    let mut rings = Rings::new(ctx.ctx, config);
    let next = begin(&mut frame, &mut memory, &mut rings, State { config, work, counters });
    outcome_of(next, config.drops(slot))
}

#[inline(always)]
fn second(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = maps::scratch() else {
        return Outcome::Unbound;
    };
    let Some(Maps { config, slot, counters, mut memory }) = Maps::of(scratch.work.record.ifindex) else {
        return Outcome::Unbound;
    };
    let Scratch { work, zero, block } = scratch;
    let mut frame = XdpFrame::new(ctx.ctx, zero, block);
    let mut rings = Rings::new(ctx.ctx, config);
    let next = descend(&mut frame, Link::Ethernet, &mut memory, &mut rings, State { config, work, counters });
    outcome_of(next, config.drops(slot))
}

#[inline(always)]
fn third(ctx: &XdpContext) -> Outcome {
    let Some(scratch) = maps::scratch() else {
        return Outcome::Unbound;
    };
    let Some(Maps { config, slot, counters, mut memory }) = Maps::of(scratch.work.record.ifindex) else {
        return Outcome::Unbound;
    };
    let Scratch { work, zero, block } = scratch;
    let mut frame = XdpFrame::new(ctx.ctx, zero, block);
    let mut rings = Rings::new(ctx.ctx, config);
    let verdict = finish(&mut frame, &mut memory, &mut rings, State { config, work, counters });
    outcome_of(Next::Booked(verdict), config.drops(slot))
}

#[inline(always)]
const fn outcome_of(next: Next, drops: bool) -> Outcome {
    match next {
        Next::Booked(_) if drops => Outcome::Drop,
        Next::Booked(_) => Outcome::Pass,
        Next::Descend => Outcome::Descend,
        Next::Finish => Outcome::Copy,
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
