//! Frames as a card would see them: Ethernet, VLAN tags, IPv4 or IPv6, TCP, with valid checksums.

use std::net::IpAddr;

/// TCP flag bits (RFC 9293 section 3.1).
pub mod flag {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push function.
    pub const PSH: u8 = 0x08;
    /// Acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Sends requests.
    Client,
    /// Sends responses.
    Server,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The two ends of a connection and what its frames carry in front of IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Address and port of the client.
    pub client: (IpAddr, u16),
    /// Address and port of the server, of the same IP version.
    pub server: (IpAddr, u16),
    /// 802.1Q tags, outermost first.
    pub vlan_ids: Vec<u16>,
}

impl Path {
    fn end(&self, side: Side) -> (IpAddr, u16) {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// Payload bytes of a full segment at an MTU of 1500.
    pub fn segment_bytes_max(&self) -> usize {
        if self.client.0.is_ipv4() { 1460 } else { 1440 }
    }
}

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its sender.
    pub from: Side,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; 0 goes out where the ACK flag is not set.
    pub ack: u32,
    /// TCP flags (`flag`).
    pub flags: u8,
    /// TCP options, padded to four bytes.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Identification of the IPv4 packet.
    pub ip_id: u16,
}

/// The frame that carries a segment.
pub fn frame(path: &Path, segment: &Segment<'_>) -> Vec<u8> {
    let tcp = tcp(path, segment);
    let mut frame = Vec::with_capacity(14 + 4 * path.vlan_ids.len() + 40 + tcp.len());
    let macs: [&[u8]; 2] = [&[2, 0, 0, 0, 0, 1], &[2, 0, 0, 0, 0, 2]];
    let (source, destination) = match segment.from {
        Side::Client => (macs[0], macs[1]),
        Side::Server => (macs[1], macs[0]),
    };
    frame.extend_from_slice(destination);
    frame.extend_from_slice(source);
    for vlan_id in &path.vlan_ids {
        frame.extend([0x81, 0x00]);
        frame.extend(vlan_id.to_be_bytes());
    }
    let (source, destination) = (path.end(segment.from).0, path.end(segment.from.other()).0);
    // The hops between mirror and end differ per direction, as they would.
    let hop_limit = match segment.from {
        Side::Client => 64,
        Side::Server => 57,
    };
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [0; 20];
            header[0] = 0x45;
            header[2..4].copy_from_slice(&((20 + tcp.len()) as u16).to_be_bytes());
            header[4..6].copy_from_slice(&segment.ip_id.to_be_bytes());
            header[6] = 0x40;
            header[8] = hop_limit;
            header[9] = 6;
            header[12..16].copy_from_slice(&source.octets());
            header[16..20].copy_from_slice(&destination.octets());
            let checksum = checksum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend([0x08, 0x00]);
            frame.extend(header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((tcp.len() as u16).to_be_bytes());
            frame.extend([6, hop_limit]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("both ends of a path are of one IP version")
        }
    }
    frame.extend_from_slice(&tcp);
    frame
}

fn tcp(path: &Path, segment: &Segment<'_>) -> Vec<u8> {
    let (source, destination) = (path.end(segment.from), path.end(segment.from.other()));
    let header_bytes = 20 + segment.options.len();
    let mut tcp = Vec::with_capacity(header_bytes + segment.payload.len());
    tcp.extend(source.1.to_be_bytes());
    tcp.extend(destination.1.to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    let ack = if segment.flags & flag::ACK != 0 { segment.ack } else { 0 };
    tcp.extend(ack.to_be_bytes());
    tcp.extend([(header_bytes as u8 / 4) << 4, segment.flags]);
    tcp.extend(64_240u16.to_be_bytes());
    tcp.extend([0; 4]);
    tcp.extend_from_slice(segment.options);
    tcp.extend_from_slice(segment.payload);
    let pseudo_header = sum_address(source.0) + sum_address(destination.0) + 6 + tcp.len() as u64;
    let checksum = !folded(pseudo_header + sum(&tcp));
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    tcp
}

/// The checksum of these bytes, in which its place is zero (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    !folded(sum(bytes))
}

fn sum_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// Sum of the big-endian 16-bit words (RFC 1071), four bytes at a time.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut sum = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum::<u64>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(bytes: &[u8]) -> u16 {
        let words =
            bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b)));
        folded(words.sum())
    }

    #[test]
    fn the_sum_agrees_with_its_naive_twin() {
        let bytes = crate::random::Random::new(1).bytes(300);
        for len in 0..bytes.len() {
            assert_eq!(folded(sum(&bytes[..len])), naive(&bytes[..len]), "{len} bytes");
        }
    }

    #[test]
    fn checksums_verify() {
        for (client, server) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
            let path = Path {
                client: (client.parse().unwrap(), 40_000),
                server: (server.parse().unwrap(), 80),
                vlan_ids: vec![7],
            };
            let segment = Segment {
                from: Side::Server,
                seq: 1,
                ack: 2,
                flags: flag::ACK,
                options: &[],
                payload: b"odd",
                ip_id: 9,
            };
            let frame = frame(&path, &segment);
            let (addresses, tcp) = match path.client.0 {
                IpAddr::V4(_) => {
                    assert_eq!(folded(sum(&frame[18..38])), 0xffff);
                    (&frame[30..38], &frame[38..])
                }
                IpAddr::V6(_) => (&frame[26..58], &frame[58..]),
            };
            assert_eq!(tcp.len(), 23);
            assert_eq!(folded(sum(addresses) + 6 + tcp.len() as u64 + sum(tcp)), 0xffff);
        }
    }
}
