//! Select: is this flow asked for? Ports, networks, then the flow-consistent sample.
//!
//! Leaves flow hash and direction in `Work`: select is the first to need them, and the last to let a frame go unhashed.

use super::Work;
use super::hash::flow_hash;
use crate::config::Config;
use crate::limits::NET_COUNT_MAX;
use crate::verdict::Verdict;

#[inline(always)]
pub(super) fn select(config: &Config, work: &mut Work) -> Result<(), Verdict> {
    let record = &mut work.record;
    let (src_port, dst_port) = (record.src_port, record.dst_port);
    if config.port_filter != 0 && !config.has_port(src_port) && !config.has_port(dst_port) {
        return Err(Verdict::FilteredPort);
    }
    if config.net_count != 0 && !in_nets(config, work) {
        return Err(Verdict::FilteredNet);
    }
    let record = &mut work.record;
    let flow = flow_hash((record.src_ip, src_port), (record.dst_ip, dst_port));
    record.flow_hash = flow.hash;
    work.direction = flow.direction;
    if (flow.hash >> 32) as u32 > config.sample_threshold {
        return Err(Verdict::SampledOut);
    }
    record.sample_weight = config.sample_weight;
    Ok(())
}

#[inline(always)]
fn in_nets(config: &Config, work: &Work) -> bool {
    let (src, dst) = (work.record.src_ip.words, work.record.dst_ip.words);
    let ip_version = u64::from(work.record.ip_version);
    for index in 0..NET_COUNT_MAX {
        if index as u32 >= config.net_count {
            return false;
        }
        let net = &config.nets[index];
        if net.ip_version == ip_version && (net.contains(src) || net.contains(dst)) {
            return true;
        }
    }
    false
}
