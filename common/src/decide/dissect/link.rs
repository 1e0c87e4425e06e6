//! Link layers, and what stands between one and IP: VLAN tags, MPLS labels, PPPoE.

use super::{Dissection, Layer};
use crate::decide::frame::{Frame, Memory};
use crate::verdict::Verdict;

#[inline(always)]
pub(super) fn by_ethertype(ethertype: [u8; 2]) -> Result<Layer, Verdict> {
    match u16::from_be_bytes(ethertype) {
        0x0800 => Ok(Layer::Ipv4),
        0x86dd => Ok(Layer::Ipv6),
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => Ok(Layer::Vlan),
        0x8847 | 0x8848 => Ok(Layer::Mpls),
        0x8864 => Ok(Layer::Pppoe),
        _ => Err(Verdict::SkippedEthertype),
    }
}

/// Whether a header with this type in it is that of an Ethernet frame with something to follow inside.
#[inline(always)]
pub(super) const fn is_plausible(ethertype: [u8; 2]) -> bool {
    matches!(u16::from_be_bytes(ethertype), 0x0800 | 0x86dd | 0x8100 | 0x88a8 | 0x8847 | 0x8864)
}

impl<F: Frame, M: Memory> Dissection<'_, F, M> {
    #[inline(always)]
    pub(super) fn ethernet(&mut self) -> Result<Layer, Verdict> {
        let ethertype = self.load(12).ok_or(Verdict::MalformedLink)?;
        if !self.pass(14) {
            return Err(Verdict::MalformedLink);
        }
        by_ethertype(ethertype)
    }

    /// A packet that says itself which version it is; `other` where it is none.
    #[inline(always)]
    pub(super) fn raw_ip(&mut self, other: Verdict) -> Result<Layer, Verdict> {
        let [first] = self.load(0).ok_or(Verdict::MalformedLink)?;
        match first >> 4 {
            4 => Ok(Layer::Ipv4),
            6 => Ok(Layer::Ipv6),
            _ => Err(other),
        }
    }

    /// Linux cooked headers: where the protocol stands, and how long they are.
    #[inline(always)]
    pub(super) fn cooked(&mut self, (at, len): (u32, u32)) -> Result<Layer, Verdict> {
        let [_] = self.load(len - 1).ok_or(Verdict::MalformedLink)?;
        let protocol = self.load(at).ok_or(Verdict::MalformedLink)?;
        self.pass(len);
        by_ethertype(protocol)
    }

    #[inline(always)]
    pub(super) fn vlan(&mut self) -> Result<Layer, Verdict> {
        let [high, low, ethertype @ ..] = self.load::<4>(0).ok_or(Verdict::MalformedLink)?;
        let record = &mut self.work.record;
        let place = record.vlan_ids.get_mut(usize::from(record.vlan_count)).ok_or(Verdict::SkippedDepth)?;
        *place = u16::from_be_bytes([high, low]) & 0x0fff;
        record.vlan_count += 1;
        self.pass(4);
        by_ethertype(ethertype)
    }

    /// One label; what follows the last one says by its first nibble what it is (RFC 4928 section 3). A pseudo-wire carries
    /// Ethernet, behind a control word (RFC 4448 section 4.6) or without.
    #[inline(always)]
    pub(super) fn mpls(&mut self) -> Result<Layer, Verdict> {
        let [_, _, bottom, _] = self.load(0).ok_or(Verdict::MalformedLink)?;
        if !self.pass(4) {
            return Err(Verdict::MalformedLink);
        }
        if bottom & 1 == 0 {
            return Ok(Layer::Mpls);
        }
        let [first] = self.load(0).ok_or(Verdict::MalformedLink)?;
        match first >> 4 {
            4 => return Ok(Layer::Ipv4),
            6 => return Ok(Layer::Ipv6),
            _ => {}
        }
        const CONTROL_WORD_BYTES: u32 = 4;
        if first >> 4 == 0 && self.load(CONTROL_WORD_BYTES + 12).is_some_and(is_plausible) {
            self.pass(CONTROL_WORD_BYTES);
            return Ok(Layer::Ethernet);
        }
        if self.load(12).is_some_and(is_plausible) {
            return Ok(Layer::Ethernet);
        }
        Err(Verdict::SkippedMpls)
    }

    /// PPPoE session (RFC 2516 section 5.3): IPv4 and IPv6 in PPP.
    #[inline(always)]
    pub(super) fn pppoe(&mut self) -> Result<Layer, Verdict> {
        let [version_type, code, _, _, _, _, high, low] = self.load(0).ok_or(Verdict::MalformedLink)?;
        if !self.pass(8) {
            return Err(Verdict::MalformedLink);
        }
        match (version_type, code, u16::from_be_bytes([high, low])) {
            (0x11, 0, 0x0021) => Ok(Layer::Ipv4),
            (0x11, 0, 0x0057) => Ok(Layer::Ipv6),
            _ => Err(Verdict::SkippedPppoe),
        }
    }
}
