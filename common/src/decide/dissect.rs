//! Dissect: from the link layer down to the TCP payload, layer by layer, into `Work`.
//!
//! One loop, one arm per layer; an arm reads its header, moves the cursor behind it and names the next layer. What ends
//! the way is a verdict. Invariant: the payload it leaves lies inside the innermost IP packet.

use super::Work;
use super::frame::Frame;
use crate::limits::LAYER_COUNT_MAX;
use crate::verdict::Verdict;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// DLT_EN10MB.
    Ethernet,
    /// DLT_RAW: IPv4 or IPv6, told by its first nibble.
    RawIp,
    /// DLT_LINUX_SLL.
    Cooked1,
    /// DLT_LINUX_SLL2.
    Cooked2,
}

#[derive(Clone, Copy)]
enum Layer {
    Link(Link),
    Vlan,
    Ipv4,
    Ipv6,
    Extension,
    Authentication,
    Fragment,
    Tcp,
}

/// Where dissection stands: the next header begins at `offset`, the bytes that belong to the packet end at `end`. Until
/// the first IP header says where, that is the end of what is near, so that most frames never ask for their length.
struct Cursor {
    offset: u32,
    end: u32,
    inside_ip: bool,
}

/// Fills in tuple, TCP fields, tags and payload place of `work`.
#[inline(always)]
pub(super) fn dissect<F: Frame>(frame: &mut F, link: Link, work: &mut Work) -> Result<(), Verdict> {
    let mut cursor = Cursor { offset: 0, end: frame.near_len(), inside_ip: false };
    let mut layer = Layer::Link(link);
    for _ in 0..LAYER_COUNT_MAX {
        work.reach = if cursor.inside_ip { work.reach.max(cursor.end) } else { 0 };
        layer = match layer {
            Layer::Link(Link::Ethernet) => ethernet(frame, &mut cursor)?,
            Layer::Link(Link::RawIp) => raw_ip(frame, &cursor)?,
            Layer::Link(Link::Cooked1) => cooked(frame, &mut cursor, (14, 16))?,
            Layer::Link(Link::Cooked2) => cooked(frame, &mut cursor, (0, 20))?,
            Layer::Vlan => vlan(frame, &mut cursor, work)?,
            Layer::Ipv4 => ipv4(frame, &mut cursor, work)?,
            Layer::Ipv6 => ipv6(frame, &mut cursor, work)?,
            Layer::Extension => extension(frame, &mut cursor, 8)?,
            Layer::Authentication => extension(frame, &mut cursor, 4)?,
            Layer::Fragment => fragment(frame, &mut cursor)?,
            Layer::Tcp => return tcp(frame, &cursor, work),
        };
        cursor.offset = frame.opaque(cursor.offset);
    }
    Err(Verdict::SkippedDepth)
}

#[inline(always)]
fn by_ethertype(ethertype: [u8; 2]) -> Result<Layer, Verdict> {
    match u16::from_be_bytes(ethertype) {
        0x0800 => Ok(Layer::Ipv4),
        0x86dd => Ok(Layer::Ipv6),
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => Ok(Layer::Vlan),
        _ => Err(Verdict::SkippedEthertype),
    }
}

#[inline(always)]
fn by_protocol(protocol: u8) -> Result<Layer, Verdict> {
    match protocol {
        6 => Ok(Layer::Tcp),
        0 | 43 | 60 | 135 | 139 | 140 => Ok(Layer::Extension),
        44 => Ok(Layer::Fragment),
        51 => Ok(Layer::Authentication),
        _ => Err(Verdict::SkippedProtocol),
    }
}

#[inline(always)]
fn ethernet<F: Frame>(frame: &mut F, cursor: &mut Cursor) -> Result<Layer, Verdict> {
    let ethertype = frame.load(cursor.offset + 12).ok_or(Verdict::MalformedLink)?;
    cursor.offset += 14;
    by_ethertype(ethertype)
}

#[inline(always)]
fn raw_ip<F: Frame>(frame: &mut F, cursor: &Cursor) -> Result<Layer, Verdict> {
    let [first] = frame.load(cursor.offset).ok_or(Verdict::MalformedLink)?;
    match first >> 4 {
        4 => Ok(Layer::Ipv4),
        6 => Ok(Layer::Ipv6),
        _ => Err(Verdict::SkippedEthertype),
    }
}

/// Linux cooked headers: where the protocol stands, and how long they are.
#[inline(always)]
fn cooked<F: Frame>(frame: &mut F, cursor: &mut Cursor, (at, len): (u32, u32)) -> Result<Layer, Verdict> {
    let [_] = frame.load(cursor.offset + len - 1).ok_or(Verdict::MalformedLink)?;
    let protocol = frame.load(cursor.offset + at).ok_or(Verdict::MalformedLink)?;
    cursor.offset += len;
    by_ethertype(protocol)
}

#[inline(always)]
fn vlan<F: Frame>(frame: &mut F, cursor: &mut Cursor, work: &mut Work) -> Result<Layer, Verdict> {
    let [high, low, ethertype @ ..] = frame.load::<4>(cursor.offset).ok_or(Verdict::MalformedLink)?;
    let record = &mut work.record;
    let place = record.vlan_ids.get_mut(usize::from(record.vlan_count)).ok_or(Verdict::SkippedDepth)?;
    *place = u16::from_be_bytes([high, low]) & 0x0fff;
    record.vlan_count += 1;
    cursor.offset += 4;
    by_ethertype(ethertype)
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &mut F, cursor: &mut Cursor, work: &mut Work) -> Result<Layer, Verdict> {
    let at = cursor.offset;
    let [version_ihl, _, len_high, len_low, _, _, fragment_high, fragment_low] =
        frame.load(at).ok_or(Verdict::MalformedIp)?;
    let [_, protocol, _, _] = frame.load(at + 8).ok_or(Verdict::MalformedIp)?;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = frame.load(at + 12).ok_or(Verdict::MalformedIp)?;
    let header_len = u32::from(version_ihl & 0x0f) * 4;
    if version_ihl >> 4 != 4 || header_len < 20 {
        return Err(Verdict::MalformedIp);
    }
    bound(frame, cursor, u32::from(u16::from_be_bytes([len_high, len_low])), header_len)?;
    if u16::from_be_bytes([fragment_high, fragment_low]) & 0x1fff != 0 {
        return Err(Verdict::SkippedFragment);
    }
    let record = &mut work.record;
    record.ip_version = 4;
    record.src_ip = [s0, s1, s2, s3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    record.dst_ip = [d0, d1, d2, d3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    by_protocol(protocol)
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &mut F, cursor: &mut Cursor, work: &mut Work) -> Result<Layer, Verdict> {
    let at = cursor.offset;
    let [version, _, _, _, len_high, len_low, next, _] = frame.load(at).ok_or(Verdict::MalformedIp)?;
    let src_ip = frame.load(at + 8).ok_or(Verdict::MalformedIp)?;
    let dst_ip = frame.load(at + 24).ok_or(Verdict::MalformedIp)?;
    if version >> 4 != 6 {
        return Err(Verdict::MalformedIp);
    }
    let payload_len = u32::from(u16::from_be_bytes([len_high, len_low]));
    bound(frame, cursor, if payload_len == 0 { 0 } else { payload_len + 40 }, 40)?;
    let record = &mut work.record;
    record.ip_version = 6;
    record.src_ip = src_ip;
    record.dst_ip = dst_ip;
    by_protocol(next)
}

/// Moves the cursor behind an IP header and its end to the packet's; a length of zero (segmentation offload) means all
/// there is.
#[inline(always)]
fn bound<F: Frame>(
    frame: &mut F,
    cursor: &mut Cursor,
    packet_len: u32,
    header_len: u32,
) -> Result<(), Verdict> {
    let at_hand = cursor.end.saturating_sub(cursor.offset);
    if !cursor.inside_ip && (packet_len == 0 || packet_len > at_hand) {
        cursor.end = frame.wire_len();
    }
    let available = cursor.end.saturating_sub(cursor.offset);
    let packet_len = if packet_len == 0 { available } else { packet_len };
    if packet_len < header_len || packet_len > available {
        return Err(Verdict::MalformedIp);
    }
    cursor.end = cursor.offset + packet_len;
    cursor.offset += header_len;
    cursor.inside_ip = true;
    Ok(())
}

/// An IPv6 extension header whose length field counts units of so many bytes (RFC 8200 section 4, RFC 4302 section 2.2).
#[inline(always)]
fn extension<F: Frame>(frame: &mut F, cursor: &mut Cursor, unit: u32) -> Result<Layer, Verdict> {
    let [next, len] = frame.load(cursor.offset).ok_or(Verdict::MalformedIp)?;
    cursor.offset += u32::from(len) * unit + 8;
    if cursor.offset > cursor.end {
        return Err(Verdict::MalformedIp);
    }
    by_protocol(next)
}

#[inline(always)]
fn fragment<F: Frame>(frame: &mut F, cursor: &mut Cursor) -> Result<Layer, Verdict> {
    let [next, _, high, low] = frame.load(cursor.offset).ok_or(Verdict::MalformedIp)?;
    cursor.offset += 8;
    if cursor.offset > cursor.end {
        return Err(Verdict::MalformedIp);
    }
    if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
        return Err(Verdict::SkippedFragment);
    }
    by_protocol(next)
}

#[inline(always)]
fn tcp<F: Frame>(frame: &mut F, cursor: &Cursor, work: &mut Work) -> Result<(), Verdict> {
    let at = cursor.offset;
    let [p0, p1, p2, p3, s0, s1, s2, s3] = frame.load(at).ok_or(Verdict::MalformedTcp)?;
    let [a0, a1, a2, a3, data_offset, flags, _, _] = frame.load(at + 8).ok_or(Verdict::MalformedTcp)?;
    let header_len = u32::from(data_offset >> 4) * 4;
    let payload = at + header_len;
    if header_len < 20 || payload > cursor.end {
        return Err(Verdict::MalformedTcp);
    }
    let record = &mut work.record;
    record.src_port = u16::from_be_bytes([p0, p1]);
    record.dst_port = u16::from_be_bytes([p2, p3]);
    record.seq = u32::from_be_bytes([s0, s1, s2, s3]);
    record.ack = u32::from_be_bytes([a0, a1, a2, a3]);
    record.tcp_flags = flags;
    record.segment_len = cursor.end - payload;
    work.payload = payload;
    let near = frame.near_len();
    let captured = if cursor.end <= near { cursor.end } else { frame.captured_len().min(cursor.end) };
    work.captured = captured.saturating_sub(payload);
    Ok(())
}
