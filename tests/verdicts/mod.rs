//! The kernel half under BPF_PROG_TEST_RUN: every verdict, the differential against user space, real attachment,
//! and what a frame costs.

mod attach;
mod bodies;
mod chunks;
mod cost;
mod differential;
mod disorder;
mod each;
mod frames;
pub(crate) mod kernel;
mod tunnels;
