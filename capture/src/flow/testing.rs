//! Records made by hand, for the tests of this folder.

use common::record::{Address, Record, RecordKind, tcp_flag};

/// A head record of `copied` bytes at `seq`, its segment being just these bytes.
pub(crate) fn record(seq: u32, copied: usize) -> Record {
    Record {
        ts_ns: 1_000,
        flow_hash: 1,
        src_ip: Address::v4([10, 0, 0, 1]),
        dst_ip: Address::v4([10, 0, 0, 2]),
        src_port: 40_000,
        dst_port: 80,
        seq,
        ack: 5_000,
        segment_seq: seq,
        segment_len: copied as u32,
        sample_weight: 1,
        ifindex: 1,
        tunnel_id: 0,
        queue: 0,
        copied: copied as u16,
        kind: RecordKind::Head as u8,
        tcp_flags: tcp_flag::ACK | tcp_flag::PSH,
        ip_version: 4,
        tunnel_type: 0,
        outer_ip_version: 0,
        vlan_count: 0,
        flags: 0,
        tunnel_has_id: 0,
        due: 0,
        vlan_ids: [0; 4],
        outer_src_ip: Address::ZERO,
        outer_dst_ip: Address::ZERO,
    }
}
