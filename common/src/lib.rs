//! The contract of both halves of hdrcap: what a record looks like, how a frame is decided on, what is counted.
//!
//! Compiled twice: `no_std` into the kernel half, and into user space, where a pcap frame takes the same way.
//! Invariant: everything here is a pure function of bytes, configuration and an explicit flow memory.
#![cfg_attr(not(test), no_std)]

pub mod config;
pub mod counters;
pub mod decide;
pub mod limits;
pub mod record;
pub mod verdict;
