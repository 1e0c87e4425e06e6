//! The same as the loop, without it: Ethernet, tags, an IPv4 header without options or an IPv6 header, TCP or UDP, all of it
//! near. Nothing is refused here: what is unusual in any way is left to the loop, and both agree (a property test).

use super::tunnel::GENEVE_PORT;
use crate::config::Config;
use crate::decide::Work;
use crate::decide::frame::Frame;
use crate::limits::VLAN_COUNT_MAX;
use crate::record::{Address, TunnelType};

/// What a look at a frame's first bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decide) enum Near {
    /// A TCP segment, told in `Work`.
    Tcp,
    /// UDP that is no tunnel.
    Udp,
    /// Anything else: nothing is told.
    Other,
}

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const TCP_BYTES_MIN: usize = 20;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// Looks at a frame that begins with an Ethernet header.
#[inline(always)]
pub(in crate::decide) fn near<F: Frame>(frame: &mut F, config: &Config, work: &mut Work) -> Near {
    let Some(&[high, low]) = frame.near(12) else {
        return Near::Other;
    };
    work.record.vlan_count = 0;
    work.record.vlan_ids = [0; VLAN_COUNT_MAX];
    let (at, ethertype) = match u16::from_be_bytes([high, low]) {
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
            let Some(behind) = tags(frame, work) else {
                return Near::Other;
            };
            behind
        }
        ethertype => (ETHERNET_BYTES, ethertype),
    };
    match ethertype {
        0x0800 => ipv4(frame, config, work, at),
        0x86dd => ipv6(frame, config, work, at),
        _ => Near::Other,
    }
}

/// Passes the tags of a frame; where the next header begins, and its type.
#[inline(always)]
fn tags<F: Frame>(frame: &mut F, work: &mut Work) -> Option<(usize, u16)> {
    let mut at = ETHERNET_BYTES;
    for place in 0..VLAN_COUNT_MAX {
        let &[id_high, id_low, high, low] = frame.near(at)?;
        work.record.vlan_ids[place] = u16::from_be_bytes([id_high, id_low]) & 0x0fff;
        work.record.vlan_count = place as u8 + 1;
        at += 4;
        match u16::from_be_bytes([high, low]) {
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {}
            ethertype => return Some((frame.opaque(at as u32) as usize, ethertype)),
        }
    }
    None
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &mut F, config: &Config, work: &mut Work, at: usize) -> Near {
    const HEADER_BYTES: usize = IPV4_BYTES + TCP_BYTES_MIN;
    let near_len = frame.near_len();
    let Some(header) = frame.near::<HEADER_BYTES>(at) else {
        return Near::Other;
    };
    let packet_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_part = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    if header[0] != 0x45 || is_part || packet_len < IPV4_BYTES || at + packet_len > near_len {
        return Near::Other;
    }
    if header[9] != PROTOCOL_TCP {
        return other(config, header[9], [header[22], header[23]]);
    }
    let record = &mut work.record;
    record.ip_version = 4;
    record.src_ip = Address::v4(part(header, 12));
    record.dst_ip = Address::v4(part(header, 16));
    tcp(part(header, 20), work, at + IPV4_BYTES, at + packet_len)
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &mut F, config: &Config, work: &mut Work, at: usize) -> Near {
    const HEADER_BYTES: usize = IPV6_BYTES + TCP_BYTES_MIN;
    let near_len = frame.near_len();
    let Some(header) = frame.near::<HEADER_BYTES>(at) else {
        return Near::Other;
    };
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let end = at + IPV6_BYTES + payload_len;
    if header[0] >> 4 != 6 || payload_len == 0 || end > near_len {
        return Near::Other;
    }
    if header[6] != PROTOCOL_TCP {
        return other(config, header[6], [header[42], header[43]]);
    }
    let record = &mut work.record;
    record.ip_version = 6;
    record.src_ip = Address::v6(part(header, 8));
    record.dst_ip = Address::v6(part(header, 24));
    tcp(part(header, 40), work, at + IPV6_BYTES, end)
}

/// What carries no TCP: most of it is UDP of no tunnel.
#[inline(always)]
fn other(config: &Config, protocol: u8, port: [u8; 2]) -> Near {
    let port = u16::from_be_bytes(port);
    let may_be_tunnel = port == GENEVE_PORT || config.vxlan_any != 0 || config.has_vxlan_port(port);
    if protocol == PROTOCOL_UDP && !may_be_tunnel { Near::Udp } else { Near::Other }
}

#[inline(always)]
fn tcp(header: [u8; TCP_BYTES_MIN], work: &mut Work, at: usize, end: usize) -> Near {
    let header_len = usize::from(header[12] >> 4) * 4;
    let payload = at + header_len;
    if header_len < TCP_BYTES_MIN || payload > end {
        return Near::Other;
    }
    let record = &mut work.record;
    record.src_port = u16::from_be_bytes(part(&header, 0));
    record.dst_port = u16::from_be_bytes(part(&header, 2));
    record.seq = u32::from_be_bytes(part(&header, 4));
    record.ack = u32::from_be_bytes(part(&header, 8));
    record.tcp_flags = header[13];
    record.segment_len = (end - payload) as u32;
    record.tunnel_type = TunnelType::None as u8;
    work.payload = payload as u32;
    work.captured = (end - payload) as u32;
    work.reach = end as u32;
    Near::Tcp
}

/// Bytes of a header, whose places are constants.
#[inline(always)]
fn part<const N: usize, const P: usize>(header: &[u8; N], at: usize) -> [u8; P] {
    header[at..].first_chunk().copied().unwrap_or([0; P])
}

#[cfg(test)]
mod tests {
    use super::super::{Dissection, Link};
    use super::*;
    use crate::decide::frame::{SliceFrame, SliceMemory};
    use crate::record::Record;
    use crate::verdict::Verdict;
    use proptest::prelude::*;

    fn frame(tags: usize, is_v6: bool, protocol: u8, options: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x81, 0x00, 0x00, 0x07].repeat(tags));
        let mut inner =
            vec![0x9c, 0x40, 0x00, 0x50, 0, 0, 0, 9, 0, 0, 0, 8, (5 + options) << 4, 0x18, 0, 1, 0, 0, 0, 0];
        inner.extend(vec![1; usize::from(options) * 4]);
        inner.extend(payload);
        let len = inner.len() as u16;
        if is_v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend([0x20; 32]);
        } else {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((len + 20).to_be_bytes());
            frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        }
        frame.extend(inner);
        frame
    }

    type Told = (Record, u32, u32, u32);

    fn told(work: &Work) -> Told {
        (work.record, work.payload, work.captured, work.reach)
    }

    fn by_loop(bytes: &[u8], config: &Config) -> Result<Told, Verdict> {
        let mut work = Work::new();
        let mut memory = SliceMemory { sets: &mut [], datagrams: &mut [] };
        let mut frame = SliceFrame::new(bytes, bytes.len() as u32);
        let dissection = Dissection { frame: &mut frame, memory: &mut memory, config, work: &mut work };
        dissection.run(Link::Ethernet)?;
        Ok(told(&work))
    }

    fn by_near(bytes: &[u8], config: &Config) -> (Near, Told) {
        let mut work = Work::new();
        let near = near(&mut SliceFrame::new(bytes, bytes.len() as u32), config, &mut work);
        (near, told(&work))
    }

    #[test]
    fn what_is_usual_is_told_by_a_look() {
        let config = Config::default();
        for (tags, is_v6) in [(0, false), (0, true), (1, false), (4, true)] {
            let bytes = frame(tags, is_v6, PROTOCOL_TCP, 3, b"GET / HTTP/1.1\r\n");
            assert_eq!(by_near(&bytes, &config).0, Near::Tcp);
            assert_eq!(by_near(&frame(tags, is_v6, PROTOCOL_UDP, 3, b"x"), &config).0, Near::Udp);
        }
        assert_eq!(by_near(&frame(5, false, PROTOCOL_TCP, 3, b"x"), &config).0, Near::Other);
        let mut any = config;
        any.vxlan_any = 1;
        assert_eq!(by_near(&frame(0, false, PROTOCOL_UDP, 3, b"x"), &any).0, Near::Other);
    }

    proptest! {
        #[test]
        fn a_look_agrees_with_the_loop(
            tags in 0usize..6,
            is_v6: bool,
            protocol in prop_oneof![8 => Just(PROTOCOL_TCP), 2 => Just(PROTOCOL_UDP), 1 => any::<u8>()],
            options in 0u8..=10,
            payload in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((0usize..80, any::<u8>()), 0..3),
            cut in prop_oneof![3 => Just(0usize), 1 => 0usize..80],
        ) {
            let mut bytes = frame(tags, is_v6, protocol, options, &payload);
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let config = Config::default();
            let (near, told) = by_near(&bytes, &config);
            match near {
                Near::Tcp => prop_assert_eq!(Ok(told), by_loop(&bytes, &config)),
                Near::Udp => prop_assert_eq!(Err(Verdict::SkippedProtocol), by_loop(&bytes, &config)),
                Near::Other => {}
            }
        }
    }
}
