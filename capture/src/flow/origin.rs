//! Where the frames of a connection come from: what a record says of the way to here, kept for the connection's rows.
//!
//! Invariant: it is what the record said that first named the connection, whatever others say.

use common::{
    limits::VLAN_COUNT_MAX,
    record::{Address, Record, TunnelType},
};

/// The innermost tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encapsulation {
    /// Its kind, which is not `None`.
    pub kind: TunnelType,
    /// VNI, GRE key or ERSPAN session id, where it has one.
    pub id: Option<u32>,
    /// 4 or 6, of the packets that carry it.
    pub outer_ip_version: u8,
    /// Their source.
    pub outer_src: Address,
    /// Their destination.
    pub outer_dst: Address,
}

impl Encapsulation {
    fn of(record: &Record) -> Option<Encapsulation> {
        let kind = TunnelType::from_byte(record.tunnel_type).filter(|kind| *kind != TunnelType::None)?;
        Some(Encapsulation {
            kind,
            id: (record.tunnel_has_id != 0).then_some(record.tunnel_id),
            outer_ip_version: record.outer_ip_version,
            outer_src: record.outer_src_ip,
            outer_dst: record.outer_dst_ip,
        })
    }
}

/// Where frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Symmetric hash of the 4-tuple.
    pub flow_hash: u64,
    /// Interface they came in on.
    pub ifindex: u32,
    /// Receive queue of the card.
    pub queue: u16,
    /// The tunnel they were in.
    pub tunnel: Option<Encapsulation>,
    vlan_ids: [u16; VLAN_COUNT_MAX],
    vlan_count: u8,
}

impl Origin {
    /// That of a record's frame.
    pub fn of(record: &Record) -> Origin {
        Origin {
            flow_hash: record.flow_hash,
            ifindex: record.ifindex,
            queue: record.queue,
            tunnel: Encapsulation::of(record),
            vlan_ids: record.vlan_ids,
            vlan_count: record.vlan_count,
        }
    }

    /// VLAN ids, outermost first.
    pub fn vlan_ids(&self) -> &[u16] {
        &self.vlan_ids[..usize::from(self.vlan_count).min(VLAN_COUNT_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::record;

    #[test]
    fn an_origin_is_what_the_record_says() {
        let plain = Record { ifindex: 3, queue: 5, flow_hash: 7, ..record(1, 0) };
        let origin = Origin::of(&plain);
        assert_eq!((origin.ifindex, origin.queue, origin.flow_hash), (3, 5, 7));
        assert_eq!((origin.tunnel, origin.vlan_ids()), (None, &[][..]));
        let outer_src_ip = Address::v4([192, 0, 2, 1]);
        let tunnel_type = TunnelType::Vxlan as u8;
        let tagged = Record { vlan_ids: [1, 2, 0, 0], vlan_count: 2, ..plain };
        let wrapped = Record {
            tunnel_type,
            tunnel_id: 9,
            tunnel_has_id: 1,
            outer_ip_version: 4,
            outer_src_ip,
            ..tagged
        };
        let origin = Origin::of(&wrapped);
        assert_eq!(origin.vlan_ids(), [1, 2]);
        let expected = Encapsulation {
            kind: TunnelType::Vxlan,
            id: Some(9),
            outer_ip_version: 4,
            outer_src: outer_src_ip,
            outer_dst: Address::ZERO,
        };
        assert_eq!(origin.tunnel, Some(expected));
        let without_id = Origin::of(&Record { tunnel_has_id: 0, ..wrapped });
        assert_eq!(without_id.tunnel.and_then(|tunnel| tunnel.id), None);
        let too_many = Origin::of(&Record { vlan_count: u8::MAX, ..tagged });
        assert_eq!(too_many.vlan_ids(), [1, 2, 0, 0]);
    }
}
