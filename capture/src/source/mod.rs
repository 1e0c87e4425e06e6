//! Where frames and records come from: the first stage of the flow, and the only one that reads the stop flag.

pub mod pcap;
