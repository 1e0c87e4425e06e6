//! Frames as a mirror sends them on: wrapped in tunnels and labels, and cut into IP fragments.
//!
//! Takes a frame of `wire` and gives another; the MAC addresses stay, so that the direction can still be told. Invariant:
//! what was wrapped is inside, byte for byte.

use crate::{random::Random, wire::checksum};

const MAC_BYTES: usize = 12;
const VLAN: [u8; 2] = [0x81, 0x00];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const MPLS: [u8; 2] = [0x88, 0x47];
const PPPOE: [u8; 2] = [0x88, 0x64];
const ETHERNET: [u8; 2] = [0x65, 0x58];

/// One layer around a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrap {
    /// Labels in front of the packet.
    Mpls {
        /// How many.
        labels: usize,
    },
    /// Labels in front of the frame (RFC 4448).
    PseudoWire {
        /// Whether the control word is there.
        control_word: bool,
    },
    /// A PPPoE session around the packet.
    Pppoe,
    /// VXLAN to this port.
    Vxlan {
        /// UDP port.
        port: u16,
        /// Network identifier.
        vni: u32,
    },
    /// VXLAN-GPE around the packet.
    VxlanGpe {
        /// Network identifier.
        vni: u32,
    },
    /// GENEVE.
    Geneve {
        /// Network identifier.
        vni: u32,
        /// Options, in words of four bytes, at most 63.
        option_words: u8,
        /// Around the frame, or around the packet only.
        ethernet: bool,
    },
    /// GRE.
    Gre {
        /// Key.
        key: Option<u32>,
        /// Whether a checksum is there.
        checksum: bool,
        /// Whether a sequence number is there.
        sequence: bool,
        /// Around the frame, or around the packet only.
        ethernet: bool,
    },
    /// ERSPAN without a header of its own.
    Erspan1,
    /// ERSPAN of this session.
    Erspan2 {
        /// Session, at most 1023.
        session: u16,
    },
    /// ERSPAN of this session.
    Erspan3 {
        /// Session, at most 1023.
        session: u16,
        /// Whether the optional header follows.
        subheader: bool,
    },
    /// IP in IP.
    Ipip,
}

impl Wrap {
    /// Whether it enters a tunnel, of which there is a limit, with addresses of its own.
    pub fn is_tunnel(self) -> bool {
        !matches!(self, Self::Mpls { .. } | Self::PseudoWire { .. } | Self::Pppoe)
    }

    /// Whether it goes around packets, without the link layer they came in.
    pub fn wraps_packets(self) -> bool {
        match self {
            Self::Mpls { .. } | Self::Pppoe | Self::VxlanGpe { .. } | Self::Ipip => true,
            Self::Geneve { ethernet, .. } | Self::Gre { ethernet, .. } => !ethernet,
            Self::PseudoWire { .. } | Self::Vxlan { .. } => false,
            Self::Erspan1 | Self::Erspan2 { .. } | Self::Erspan3 { .. } => false,
        }
    }

    /// Whether it can go around this frame: some go around IP only.
    pub fn fits(self, frame: &[u8]) -> bool {
        !self.wraps_packets() || [IPV4, IPV6].contains(&packet(frame).0)
    }

    /// Any of them.
    pub fn random(random: &mut Random) -> Self {
        let id = random.bits32() & 0x00ff_ffff;
        let session = (id & 0x3ff) as u16;
        match random.below(11) {
            0 => Self::Mpls { labels: random.range(1, 5) },
            1 => Self::PseudoWire { control_word: random.chance(0.7) },
            2 => Self::Pppoe,
            3 => Self::Vxlan { port: random.pick(&[4789, 8472]), vni: id },
            4 => Self::VxlanGpe { vni: id },
            5 => {
                let option_words = random.pick(&[0, 0, 1, 2, 8, 63]);
                Self::Geneve { vni: id, option_words, ethernet: random.chance(0.7) }
            }
            6 => Self::Gre {
                key: random.chance(0.5).then_some(id),
                checksum: random.chance(0.5),
                sequence: random.chance(0.5),
                ethernet: random.chance(0.5),
            },
            7 => Self::Erspan1,
            8 => Self::Erspan2 { session },
            9 => Self::Erspan3 { session, subheader: random.chance(0.5) },
            _ => Self::Ipip,
        }
    }
}

/// Puts a frame into another one, whose IP packet, where it has one, is of this version.
///
/// # Panics
/// Where the wrap does not fit the frame.
pub fn wrap(frame: &[u8], wrap: Wrap, is_v6: bool) -> Vec<u8> {
    assert!(wrap.fits(frame), "{wrap:?} goes around IP only");
    let macs = &frame[..MAC_BYTES];
    let (ethertype, packet) = packet(frame);
    let udp = |port: u16, content: Vec<u8>| tunnel(macs, is_v6, 17, &datagram(port, &content));
    let gre = |flags: u16, protocol: [u8; 2], content: &[&[u8]]| {
        let header = [&flags.to_be_bytes()[..], &protocol].concat();
        tunnel(macs, is_v6, 47, &[&header[..], &content.concat()].concat())
    };
    match wrap {
        Wrap::Mpls { labels } => [macs, &MPLS, &label_stack(labels), packet].concat(),
        Wrap::PseudoWire { control_word } => {
            let word: &[u8] = if control_word { &[0, 0, 0, 9] } else { &[] };
            [macs, &MPLS, &label_stack(2), word, frame].concat()
        }
        Wrap::Pppoe => {
            let protocol = if ethertype == IPV4 { [0x00, 0x21] } else { [0x00, 0x57] };
            let len = (packet.len() as u16).wrapping_add(2).to_be_bytes();
            [macs, &PPPOE, &[0x11, 0, 0, 7], &len, &protocol, packet].concat()
        }
        Wrap::Vxlan { port, vni } => {
            udp(port, [&[0x08, 0, 0, 0][..], &(vni << 8).to_be_bytes(), frame].concat())
        }
        Wrap::VxlanGpe { vni } => {
            let protocol = if ethertype == IPV4 { 1 } else { 2 };
            udp(4790, [&[0x0c, 0, 0, protocol][..], &(vni << 8).to_be_bytes(), packet].concat())
        }
        Wrap::Geneve { vni, option_words, ethernet } => {
            let (protocol, content) = if ethernet { (ETHERNET, frame) } else { (ethertype, packet) };
            let options = vec![0x5a; usize::from(option_words) * 4];
            let header = [&[option_words, 0][..], &protocol, &(vni << 8).to_be_bytes(), &options].concat();
            udp(6081, [&header[..], content].concat())
        }
        Wrap::Gre { key, checksum, sequence, ethernet } => {
            let (protocol, content) = if ethernet { (ETHERNET, frame) } else { (ethertype, packet) };
            let bit = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
            let flags = bit(checksum, 0x8000) | bit(key.is_some(), 0x2000) | bit(sequence, 0x1000);
            let key = key.map(u32::to_be_bytes);
            let word = |is_set: bool| if is_set { &[0, 0, 0, 7][..] } else { &[] };
            gre(
                flags,
                protocol,
                &[word(checksum), key.as_ref().map_or(&[][..], |key| key), word(sequence), content],
            )
        }
        Wrap::Erspan1 => gre(0, [0x88, 0xbe], &[frame]),
        Wrap::Erspan2 { session } => {
            let [high, low] = session.to_be_bytes();
            gre(0x1000, [0x88, 0xbe], &[&[0, 0, 0, 1], &[0x10, 0, high, low, 0, 0, 0, 3], frame])
        }
        Wrap::Erspan3 { session, subheader } => {
            let [high, low] = session.to_be_bytes();
            let header = [0x20, 0, high, low, 1, 2, 3, 4, 0, 0, 0, u8::from(subheader)];
            let more: &[u8] = if subheader { &[0x28, 0, 0, 0, 0, 0, 0, 0] } else { &[] };
            gre(0x1000, [0x22, 0xeb], &[&[0, 0, 0, 1], &header, more, frame])
        }
        Wrap::Ipip => tunnel(macs, is_v6, if ethertype == IPV4 { 4 } else { 41 }, packet),
    }
}

/// What is behind link layer and tags: its type, and its bytes.
fn packet(frame: &[u8]) -> ([u8; 2], &[u8]) {
    let mut at = MAC_BYTES;
    while frame[at..at + 2] == VLAN {
        at += 4;
    }
    ([frame[at], frame[at + 1]], &frame[at + 2..])
}

fn label_stack(labels: usize) -> Vec<u8> {
    (1..=labels).flat_map(|at| [0, 0x10, u8::from(at == labels) | 0x40, 64]).collect()
}

fn datagram(port: u16, content: &[u8]) -> Vec<u8> {
    let len = (content.len() + 8) as u16;
    // Without checksum, as tunnels mostly are (RFC 6935).
    [&[0xc0, 0x01][..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], content].concat()
}

fn tunnel(macs: &[u8], is_v6: bool, protocol: u8, content: &[u8]) -> Vec<u8> {
    if is_v6 {
        let len = (content.len() as u16).to_be_bytes();
        let host = |last: u8| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let header = [&[0x60, 0, 0, 0][..], &len, &[protocol, 64], &host(1), &host(2)].concat();
        return [macs, &IPV6, &header, content].concat();
    }
    let mut header = vec![0x45, 0];
    header.extend(((content.len() + 20) as u16).to_be_bytes());
    header.extend([0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [macs, &IPV4, &header, content].concat()
}

/// Cuts the packet of a frame into fragments with this much payload at the most (a multiple of eight).
pub fn fragment(frame: &[u8], id: u16, payload_bytes_max: usize) -> Vec<Vec<u8>> {
    let (ethertype, packet) = packet(frame);
    let link = &frame[..frame.len() - packet.len()];
    let header_bytes = match ethertype {
        IPV4 => 20,
        IPV6 => 40,
        _ => return vec![frame.to_vec()],
    };
    let (header, payload) = packet.split_at(header_bytes);
    let pieces = payload.chunks(payload_bytes_max / 8 * 8);
    let last = pieces.len().saturating_sub(1);
    let piece = |(at, piece): (usize, &[u8])| {
        let (offset, more) = ((at * (payload_bytes_max / 8)) as u16, u16::from(at != last));
        let header = if ethertype == IPV4 {
            fragment_header(header, id, offset | more << 13, piece.len())
        } else {
            let id = u32::from(id).to_be_bytes();
            let len = ((piece.len() + 8) as u16).to_be_bytes();
            let fragment = [&[header[6], 0][..], &(offset << 3 | more).to_be_bytes(), &id].concat();
            [&header[..4], &len, &[44], &header[7..], &fragment].concat()
        };
        [link, &header, piece].concat()
    };
    pieces.enumerate().map(piece).collect()
}

fn fragment_header(header: &[u8], id: u16, bits: u16, payload_bytes: usize) -> Vec<u8> {
    let mut header = header.to_vec();
    header[2..4].copy_from_slice(&((payload_bytes + 20) as u16).to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[6..8].copy_from_slice(&bits.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}
