//! Traffic with known truth, and benchmarks over it.
//!
//! `workload` makes realistic traffic for measuring, `adversary` makes traffic that tries to break reassembly and
//! pairing. Invariant: a seed gives the same bytes on every machine, so that a record can be repeated by anyone.

pub mod adversary;
pub mod pcap;
pub mod random;
pub mod traffic;
pub mod wire;
pub mod workload;
pub mod wrap;
