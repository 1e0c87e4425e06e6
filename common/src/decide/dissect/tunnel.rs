//! Tunnels: what a mirror wraps frames in to send them through a network.
//!
//! The tunnel entered last is the one the record names, with the addresses of the packet that carries it.

use super::link::is_plausible;
use super::{Dissection, Layer};
use crate::decide::frame::{Frame, Memory};
use crate::limits::TUNNEL_DEPTH_MAX;
use crate::record::TunnelType;
use crate::verdict::Verdict;

/// The port of GENEVE (RFC 8926 section 3.3).
pub(super) const GENEVE_PORT: u16 = 6081;

const ETHERNET_IN_GRE: u16 = 0x6558;

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    /// Notes a tunnel whose carrier is the IP packet passed last, and goes on inside of it.
    #[inline(always)]
    pub(super) fn enter(
        &mut self,
        kind: TunnelType,
        id: Option<u32>,
        inside: Layer,
    ) -> Result<Layer, Verdict> {
        let depth = self.work.cursor.depth;
        if depth >= TUNNEL_DEPTH_MAX as u32 {
            return Err(Verdict::SkippedDepth);
        }
        self.work.cursor.depth = depth + 1;
        let record = &mut self.work.record;
        record.tunnel_type = kind as u8;
        record.tunnel_has_id = id.is_some() as u8;
        record.tunnel_id = id.unwrap_or(0);
        record.outer_ip_version = record.ip_version;
        record.outer_src_ip = record.src_ip;
        record.outer_dst_ip = record.dst_ip;
        Ok(inside)
    }

    #[inline(always)]
    pub(super) fn udp(&mut self) -> Result<Layer, Verdict> {
        let Some([_, _, port_high, port_low, len_high, len_low, _, _]) = self.load(0) else {
            return Err(Verdict::SkippedProtocol);
        };
        let port = u16::from_be_bytes([port_high, port_low]);
        let layer = if port == GENEVE_PORT {
            Layer::Geneve
        } else if self.config.has_vxlan_port(port) || (self.config.vxlan_any != 0 && self.is_like_vxlan(8)) {
            Layer::Vxlan
        } else {
            return Err(Verdict::SkippedProtocol);
        };
        let len = u32::from(u16::from_be_bytes([len_high, len_low]));
        let at = self.work.cursor.offset;
        let cursor = &mut self.work.cursor;
        let is_cut = at + len > cursor.hand;
        if (len != 0 && len < 8) || (is_cut && !cursor.may_be_cut()) {
            return Err(Verdict::MalformedTunnel);
        }
        if len != 0 && !is_cut {
            cursor.hand = at + len;
        }
        if self.pass(8) { Ok(layer) } else { Err(Verdict::MalformedTunnel) }
    }

    /// Whether at an offset stands a VXLAN header exactly as RFC 7348 wants it sent, and behind it an Ethernet header: 48
    /// bits that must be so, and a type that is one of few.
    #[inline(always)]
    fn is_like_vxlan(&mut self, at: u32) -> bool {
        let Some([0x08, 0, 0, 0, _, _, _, 0]) = self.load(at) else {
            return false;
        };
        self.load(at + 8 + 12).is_some_and(is_plausible)
    }

    /// VXLAN (RFC 7348 section 5), with a group policy or a next protocol where its sender uses those extensions.
    #[inline(always)]
    pub(super) fn vxlan(&mut self) -> Result<Layer, Verdict> {
        const VERSION: u8 = 0x30;
        const HAS_VNI: u8 = 0x08;
        const HAS_PROTOCOL: u8 = 0x04;
        const IS_OAM: u8 = 0x01;
        let [flags, _, _, protocol, v0, v1, v2, _] = self.load(0).ok_or(Verdict::MalformedTunnel)?;
        if !self.pass(8) {
            return Err(Verdict::MalformedTunnel);
        }
        if flags & HAS_VNI == 0 {
            return Err(Verdict::SkippedVxlan);
        }
        let has_protocol = flags & HAS_PROTOCOL != 0;
        if has_protocol && flags & (VERSION | IS_OAM) != 0 {
            return Err(Verdict::SkippedVxlan);
        }
        let inside = match (has_protocol, protocol) {
            (false, _) | (true, 3) => Layer::Ethernet,
            (true, 1) => Layer::Ipv4,
            (true, 2) => Layer::Ipv6,
            (true, 5) => Layer::Mpls,
            (true, _) => return Err(Verdict::SkippedVxlan),
        };
        self.enter(TunnelType::Vxlan, Some(u32::from_be_bytes([0, v0, v1, v2])), inside)
    }

    /// GENEVE (RFC 8926 section 3.4); its options are passed over, none of them changes what is inside.
    #[inline(always)]
    pub(super) fn geneve(&mut self) -> Result<Layer, Verdict> {
        const IS_CONTROL: u8 = 0x80;
        let [version_len, flags, p0, p1, v0, v1, v2, _] = self.load(0).ok_or(Verdict::MalformedTunnel)?;
        if version_len >> 6 != 0 || flags & IS_CONTROL != 0 {
            return Err(Verdict::SkippedGeneve);
        }
        if !self.pass(8 + u32::from(version_len & 0x3f) * 4) {
            return Err(Verdict::MalformedTunnel);
        }
        let inside = by_gre_type(u16::from_be_bytes([p0, p1])).ok_or(Verdict::SkippedGeneve)?;
        self.enter(TunnelType::Geneve, Some(u32::from_be_bytes([0, v0, v1, v2])), inside)
    }

    /// GRE (RFC 2784, RFC 2890), and what ERSPAN makes of it.
    #[inline(always)]
    pub(super) fn gre(&mut self) -> Result<Layer, Verdict> {
        const HAS_CHECKSUM: u16 = 0x8000;
        const HAS_ROUTING: u16 = 0x4000;
        const HAS_KEY: u16 = 0x2000;
        const HAS_SEQUENCE: u16 = 0x1000;
        let [flags_high, flags_low, p0, p1] = self.load(0).ok_or(Verdict::MalformedTunnel)?;
        let flags = u16::from_be_bytes([flags_high, flags_low]);
        match flags & 7 {
            0 => {}
            1 => return Err(Verdict::SkippedGrePptp),
            _ => return Err(Verdict::SkippedGre),
        }
        if flags & HAS_ROUTING != 0 {
            return Err(Verdict::SkippedGreRouting);
        }
        let words = |bit: u16| u32::from(flags & bit != 0) * 4;
        let key_at = 4 + words(HAS_CHECKSUM);
        let key = if flags & HAS_KEY != 0 {
            Some(u32::from_be_bytes(self.load(key_at).ok_or(Verdict::MalformedTunnel)?))
        } else {
            None
        };
        if !self.pass(key_at + words(HAS_KEY) + words(HAS_SEQUENCE)) {
            return Err(Verdict::MalformedTunnel);
        }
        match u16::from_be_bytes([p0, p1]) {
            0x88be if flags & HAS_SEQUENCE != 0 => Ok(Layer::Erspan2),
            0x88be => self.enter(TunnelType::Erspan1, None, Layer::Ethernet),
            0x22eb => Ok(Layer::Erspan3),
            other => {
                let inside = by_gre_type(other).ok_or(Verdict::SkippedGre)?;
                self.enter(TunnelType::Gre, key, inside)
            }
        }
    }

    /// ERSPAN type II: eight bytes, version 1.
    #[inline(always)]
    pub(super) fn erspan2(&mut self) -> Result<Layer, Verdict> {
        let [version, _, high, low, _, _, _, _] = self.load(0).ok_or(Verdict::MalformedTunnel)?;
        if version >> 4 != 1 {
            return Err(Verdict::SkippedErspan);
        }
        if !self.pass(8) {
            return Err(Verdict::MalformedTunnel);
        }
        self.enter(TunnelType::Erspan2, session(high, low), Layer::Ethernet)
    }

    /// ERSPAN type III: twelve bytes, version 2, and eight more where the last bit says so.
    #[inline(always)]
    pub(super) fn erspan3(&mut self) -> Result<Layer, Verdict> {
        let [version, _, high, low] = self.load(0).ok_or(Verdict::MalformedTunnel)?;
        let [frame_type, has_more] = self.load(10).ok_or(Verdict::MalformedTunnel)?;
        if version >> 4 != 2 {
            return Err(Verdict::SkippedErspan);
        }
        if !self.pass(12 + u32::from(has_more & 1) * 8) {
            return Err(Verdict::MalformedTunnel);
        }
        let inside = match frame_type >> 2 & 0x1f {
            0 => Layer::Ethernet,
            2 => self.raw_ip(Verdict::SkippedErspan)?,
            _ => return Err(Verdict::SkippedErspan),
        };
        self.enter(TunnelType::Erspan3, session(high, low), inside)
    }
}

/// The session in the low ten bits.
#[inline(always)]
const fn session(high: u8, low: u8) -> Option<u32> {
    Some(u16::from_be_bytes([high, low]) as u32 & 0x3ff)
}

#[inline(always)]
const fn by_gre_type(ethertype: u16) -> Option<Layer> {
    match ethertype {
        ETHERNET_IN_GRE => Some(Layer::Ethernet),
        0x0800 => Some(Layer::Ipv4),
        0x86dd => Some(Layer::Ipv6),
        0x8847 | 0x8848 => Some(Layer::Mpls),
        _ => None,
    }
}
