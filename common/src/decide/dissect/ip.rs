//! IPv4 and IPv6 down to the protocol they carry; fragments of a datagram go to `fragment`.

use super::fragment::Part;
use super::{Dissection, Layer};
use crate::decide::frame::{Frame, Memory};
use crate::record::{Address, TunnelType};
use crate::verdict::Verdict;

const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_IPV6: u8 = 41;
const PROTOCOL_GRE: u8 = 47;

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    #[inline(always)]
    pub(super) fn ipv4(&mut self) -> Result<Layer, Verdict> {
        let [version_ihl, _, len_high, len_low, id @ .., fragment_high, fragment_low] =
            self.load::<8>(0).ok_or(Verdict::MalformedIp)?;
        let [_, protocol, _, _] = self.load(8).ok_or(Verdict::MalformedIp)?;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = self.load(12).ok_or(Verdict::MalformedIp)?;
        let header_len = u32::from(version_ihl & 0x0f) * 4;
        if version_ihl >> 4 != 4 || header_len < 20 {
            return Err(Verdict::MalformedIp);
        }
        self.bound(u32::from(u16::from_be_bytes([len_high, len_low])), header_len)?;
        let record = &mut self.work.record;
        record.ip_version = 4;
        record.src_ip = Address::v4([s0, s1, s2, s3]);
        record.dst_ip = Address::v4([d0, d1, d2, d3]);
        let bits = u16::from_be_bytes([fragment_high, fragment_low]);
        let part = Part {
            id: u32::from(u16::from_be_bytes(id)),
            offset: u32::from(bits & 0x1fff) * 8,
            more: u32::from(bits & 0x2000),
        };
        self.part(part, protocol)
    }

    #[inline(always)]
    pub(super) fn ipv6(&mut self) -> Result<Layer, Verdict> {
        let [version, _, _, _, len_high, len_low, next, _] = self.load(0).ok_or(Verdict::MalformedIp)?;
        let src_ip = self.load(8).ok_or(Verdict::MalformedIp)?;
        let dst_ip = self.load(24).ok_or(Verdict::MalformedIp)?;
        if version >> 4 != 6 {
            return Err(Verdict::MalformedIp);
        }
        let payload_len = u32::from(u16::from_be_bytes([len_high, len_low]));
        self.bound(if payload_len == 0 { 0 } else { payload_len + 40 }, 40)?;
        let record = &mut self.work.record;
        record.ip_version = 6;
        record.src_ip = Address::v6(src_ip);
        record.dst_ip = Address::v6(dst_ip);
        self.by_protocol(next)
    }

    /// An IPv6 extension header whose length field counts units of so many bytes (RFC 8200 section 4, RFC 4302 section 2.2).
    #[inline(always)]
    pub(super) fn extension(&mut self, unit: u32) -> Result<Layer, Verdict> {
        let [next, len] = self.load(0).ok_or(Verdict::MalformedIp)?;
        if !self.pass(u32::from(len) * unit + 8) {
            return Err(Verdict::MalformedIp);
        }
        self.by_protocol(next)
    }

    #[inline(always)]
    pub(super) fn ipv6_fragment(&mut self) -> Result<Layer, Verdict> {
        let [next, _, high, low, id @ ..] = self.load::<8>(0).ok_or(Verdict::MalformedIp)?;
        if !self.pass(8) {
            return Err(Verdict::MalformedIp);
        }
        let bits = u16::from_be_bytes([high, low]);
        let part =
            Part { id: u32::from_be_bytes(id), offset: u32::from(bits & 0xfff8), more: u32::from(bits & 1) };
        self.part(part, next)
    }

    /// What a whole datagram, or the first fragment of one, goes on with; of a later fragment, where its bytes belong.
    #[inline(always)]
    fn part(&mut self, part: Part, protocol: u8) -> Result<Layer, Verdict> {
        if part.offset != 0 {
            return if self.later_fragment(&part, protocol) {
                Ok(Layer::End)
            } else {
                Err(if protocol == PROTOCOL_TCP {
                    Verdict::SkippedFragment
                } else {
                    Verdict::SkippedFragmentOuter
                })
            };
        }
        if part.more != 0 {
            if self.work.cursor.fragment != 0 {
                return Err(Verdict::SkippedFragmentOuter);
            }
            self.first_fragment(&part, protocol);
        }
        self.by_protocol(protocol)
    }

    #[inline(always)]
    fn by_protocol(&mut self, protocol: u8) -> Result<Layer, Verdict> {
        match protocol {
            PROTOCOL_TCP => Ok(Layer::Tcp),
            PROTOCOL_UDP => Ok(Layer::Udp),
            PROTOCOL_IPV4 => self.enter(TunnelType::Ipip, None, Layer::Ipv4),
            PROTOCOL_IPV6 => self.enter(TunnelType::Ipip, None, Layer::Ipv6),
            PROTOCOL_GRE => Ok(Layer::Gre),
            0 | 43 | 60 | 135 | 139 | 140 => Ok(Layer::Extension),
            44 => Ok(Layer::Fragment),
            51 => Ok(Layer::Authentication),
            _ => Err(Verdict::SkippedProtocol),
        }
    }

    /// Moves the cursor behind an IP header and its ends to the packet's; a length of zero (segmentation offload) means all
    /// there is.
    #[inline(always)]
    fn bound(&mut self, packet_len: u32, header_len: u32) -> Result<(), Verdict> {
        let at = self.work.cursor.offset;
        if self.work.cursor.hand == 0 {
            let near = self.frame.near_len() as u32;
            let is_near = packet_len != 0 && packet_len <= near.saturating_sub(at);
            self.work.cursor.hand = if is_near { near } else { self.frame.wire_len() };
        }
        let cursor = &mut self.work.cursor;
        let available = cursor.hand.saturating_sub(at);
        let packet_len = if packet_len == 0 { available } else { packet_len };
        let is_cut = packet_len > available;
        if packet_len < header_len || available < header_len || (is_cut && !cursor.may_be_cut()) {
            return Err(Verdict::MalformedIp);
        }
        cursor.end = at + packet_len;
        cursor.hand = cursor.hand.min(cursor.end);
        if self.work.reach == 0 {
            self.work.reach = cursor.hand;
        }
        self.pass(header_len);
        Ok(())
    }
}
