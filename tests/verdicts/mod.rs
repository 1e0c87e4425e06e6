//! The kernel half under BPF_PROG_TEST_RUN: every verdict, the differential against user space, and real attachment.

mod attach;
mod differential;
mod each;
mod frames;
mod kernel;
