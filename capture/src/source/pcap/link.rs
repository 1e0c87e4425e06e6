//! Link-layer header types: the number a file gives, what its frames begin with, and what frames need unwrapped.

use super::PcapFault;

/// What the bytes of a frame begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// A MAC header (IEEE 802.3).
    Ethernet,
    /// An IPv4 or IPv6 header.
    RawIp,
    /// The 16-byte header of Linux cooked capture v1.
    LinuxCooked1,
    /// The 20-byte header of Linux cooked capture v2.
    LinuxCooked2,
    /// A 4-byte address family, in the byte order of the machine that captured, or in network order.
    Loopback,
}

/// How the frames of an interface are to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// As they are.
    Bare(Link),
    /// Linux netfilter log messages: an IP packet among attributes.
    Nflog,
}

/// Understands a link type of the registry of link-layer header types.
pub(super) fn from_number(number: u32) -> Result<Wrapping, PcapFault> {
    match number {
        1 => Ok(Wrapping::Bare(Link::Ethernet)),
        // 12 and 14 are what BSD systems wrote for raw IP before it had a number in files.
        12 | 14 | 101 | 228 | 229 => Ok(Wrapping::Bare(Link::RawIp)),
        0 | 108 => Ok(Wrapping::Bare(Link::Loopback)),
        113 => Ok(Wrapping::Bare(Link::LinuxCooked1)),
        239 => Ok(Wrapping::Nflog),
        276 => Ok(Wrapping::Bare(Link::LinuxCooked2)),
        number => Err(PcapFault::LinkType { number }),
    }
}

impl Wrapping {
    /// The link layer of a frame, its bytes, and how many bytes in front of them were taken off.
    #[inline]
    pub(super) fn unwrap(self, bytes: &[u8]) -> (Link, &[u8], u32) {
        match self {
            Self::Bare(link) => (link, bytes, 0),
            Self::Nflog => {
                let packet = nflog_payload(bytes).unwrap_or_default();
                (Link::RawIp, packet, (bytes.len() - packet.len()) as u32)
            }
        }
    }
}

/// The packet inside a netfilter log message: attributes of length, type and value, padded to four bytes.
fn nflog_payload(message: &[u8]) -> Option<&[u8]> {
    const NFULA_PAYLOAD: u16 = 9;
    let mut rest = message.get(4..)?;
    while let Some((header, _)) = rest.split_first_chunk::<4>() {
        // Length and type are in the byte order of the capturing host, which in practice is little-endian.
        let len = usize::from(u16::from_le_bytes([header[0], header[1]]));
        let kind = u16::from_le_bytes([header[2], header[3]]) & 0x7fff;
        if len < 4 {
            return None;
        }
        if kind == NFULA_PAYLOAD {
            return Some(&rest[4..len.min(rest.len())]);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// Registry names of link types that hdrcap does not read but people capture.
pub(super) fn name(number: u32) -> Option<&'static str> {
    let name = match number {
        6 => "IEEE802_5",
        9 => "PPP",
        10 => "FDDI",
        50 => "PPP_HDLC",
        51 => "PPP_ETHER",
        104 => "C_HDLC",
        105 => "IEEE802_11",
        107 => "FRELAY",
        117 => "PFLOG",
        119 => "IEEE802_11_PRISM",
        127 => "IEEE802_11_RADIOTAP",
        143 => "DOCSIS",
        163 => "IEEE802_11_AVS",
        187 => "BLUETOOTH_HCI_H4",
        189 => "USB_LINUX",
        195 => "IEEE802_15_4_WITHFCS",
        197 => "ERF",
        201 => "BLUETOOTH_HCI_H4_WITH_PHDR",
        220 => "USB_LINUX_MMAPPED",
        227 => "CAN_SOCKETCAN",
        249 => "USBPCAP",
        252 => "WIRESHARK_UPPER_PDU",
        253 => "NETLINK",
        258 => "PKTAP",
        274 => "ETHERNET_MPACKET",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nflog_yields_the_packet_among_the_attributes() {
        let mut message = vec![2, 0, 0, 0];
        message.extend([5, 0, 1, 0, 0xaa, 0, 0, 0]);
        message.extend([7, 0, 9, 0, 0x45, 1, 2, 0]);
        let (link, bytes, taken) = Wrapping::Nflog.unwrap(&message);
        assert_eq!((link, bytes, taken), (Link::RawIp, &[0x45, 1, 2][..], 17));
    }

    #[test]
    fn nflog_without_packet_is_empty_and_ends() {
        for message in [&[][..], &[2, 0, 0, 0], &[2, 0, 0, 0, 0, 0, 9, 0], &[2, 0, 0, 0, 9, 0, 1, 0, 1]] {
            assert_eq!(Wrapping::Nflog.unwrap(message).1, b"");
        }
    }
}
