//! The ring record: what the kernel half tells user space about one segment (or a slice of one).
//!
//! Layout is the ABI between the halves: `#[repr(C)]`, native endianness, fixed offsets, checked at compile time.
//! A record is one `Record` header followed by `copied` payload bytes.

use crate::limits::{RECORD_COPY_BYTES_MAX, VLAN_COUNT_MAX};

/// Why a record was emitted.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The bytes begin with a start line (RFC 9112 section 2.1): a head begins at `seq`.
    Head = 1,
    /// The bytes continue a head begun earlier in this direction, in whatever order segments came.
    Continuation = 2,
    /// No bytes: a point in the connection worth a time and a sequence number (SYN, FIN, RST, or the
    /// pushed end of a body on a direction known to speak HTTP).
    Mark = 3,
}

impl RecordKind {
    /// The kind a ring byte names; `None` for a byte no kernel half of this version writes.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Head),
            2 => Some(Self::Continuation),
            3 => Some(Self::Mark),
            _ => None,
        }
    }
}

/// What wrapped the frame on its way from the mirror (schema column `tunnel_type`).
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelType {
    /// Not encapsulated.
    None = 0,
    /// RFC 7348.
    Vxlan = 1,
    /// RFC 8926.
    Geneve = 2,
    /// RFC 2784, RFC 2890.
    Gre = 3,
    /// ERSPAN type I (GRE without sequence number).
    Erspan1 = 4,
    /// ERSPAN type II.
    Erspan2 = 5,
    /// ERSPAN type III.
    Erspan3 = 6,
    /// IP in IP, any combination of versions (RFC 2003, RFC 2473, RFC 4213).
    Ipip = 7,
}

impl TunnelType {
    /// The type a ring byte names; `None` for a byte no kernel half of this version writes.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::None),
            1 => Some(Self::Vxlan),
            2 => Some(Self::Geneve),
            3 => Some(Self::Gre),
            4 => Some(Self::Erspan1),
            5 => Some(Self::Erspan2),
            6 => Some(Self::Erspan3),
            7 => Some(Self::Ipip),
            _ => None,
        }
    }

    /// The name in column `tunnel_type`; `None` for a frame that was not encapsulated.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Vxlan => Some("vxlan"),
            Self::Geneve => Some("geneve"),
            Self::Gre => Some("gre"),
            Self::Erspan1 => Some("erspan1"),
            Self::Erspan2 => Some("erspan2"),
            Self::Erspan3 => Some("erspan3"),
            Self::Ipip => Some("ipip"),
        }
    }
}

/// TCP flag bits of `Record::tcp_flags` (RFC 9293 section 3.1).
pub mod tcp_flag {
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
    /// Urgent pointer field is significant.
    pub const URG: u8 = 0x20;
}

/// An IP address as two little-endian words, which the kernel half writes in two steps where bytes take sixteen: the same
/// numbers on every host. IPv4 is in the first four bytes, the rest zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Bytes 0 to 7 and 8 to 15.
    pub words: [u64; 2],
}

impl Address {
    /// None.
    pub const ZERO: Self = Self { words: [0; 2] };

    /// An IPv4 address.
    #[inline(always)]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Self { words: [u32::from_le_bytes(bytes) as u64, 0] }
    }

    /// An IPv6 address, or an IPv4 address with zeros behind it.
    #[inline(always)]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            words: [
                u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                u64::from_le_bytes([i, j, k, l, m, n, o, p]),
            ],
        }
    }

    /// The bytes as on the wire, behind those of IPv4 zeros.
    pub const fn bytes(self) -> [u8; 16] {
        let [low, high] = self.words;
        let [a, b, c, d, e, f, g, h] = low.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = high.to_le_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// Header of a ring record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds of the frame: kernel monotonic clock live (user space adds the wall-clock offset), Unix time in a pcap.
    pub ts_ns: u64,
    /// Symmetric hash of the inner 4-tuple, equal for both directions, the same on every host and in every run.
    pub flow_hash: u64,
    /// Inner source address.
    pub src_ip: Address,
    /// Inner destination address.
    pub dst_ip: Address,
    /// Inner TCP source port, host order.
    pub src_port: u16,
    /// Inner TCP destination port, host order.
    pub dst_port: u16,
    /// Sequence number of the first copied byte; for a mark, of the segment.
    pub seq: u32,
    /// Acknowledgment number of the segment (meaningful with the ACK flag).
    pub ack: u32,
    /// Sequence number of the segment's first payload byte.
    pub segment_seq: u32,
    /// TCP payload bytes of the whole segment, copied or not.
    pub segment_len: u32,
    /// 1/N sampling in force for this flow.
    pub sample_weight: u32,
    /// Interface index the frame came in on; in a pcap the interface number of the file.
    pub ifindex: u32,
    /// VNI, GRE key or ERSPAN session id of the innermost tunnel; meaningful where `tunnel_has_id` says so.
    pub tunnel_id: u32,
    /// Receive queue of the card.
    pub queue: u16,
    /// Payload bytes that follow this header.
    pub copied: u16,
    /// A `RecordKind`.
    pub kind: u8,
    /// TCP flags of the segment (`tcp_flag`).
    pub tcp_flags: u8,
    /// 4 or 6, of the inner packet.
    pub ip_version: u8,
    /// A `TunnelType`, of the innermost tunnel.
    pub tunnel_type: u8,
    /// 4 or 6, of the packet that carries the tunnel; 0 without one.
    pub outer_ip_version: u8,
    /// Entries of `vlan_ids` that are set.
    pub vlan_count: u8,
    /// Quality bits (`record_flag`).
    pub flags: u8,
    /// 1 where the tunnel has a `tunnel_id`: not every kind has, and a GRE key may be left out.
    pub tunnel_has_id: u8,
    /// Of a head that begins behind a gap, and of bytes handed over as the order is broken: where a head was due, or the end of a
    /// chunk; zero where nothing is known of that.
    pub due: u32,
    /// VLAN ids, outermost first, as found before the inner IP header at any depth.
    pub vlan_ids: [u16; VLAN_COUNT_MAX],
    /// Outer source address of the innermost tunnel; zero without one.
    pub outer_src_ip: Address,
    /// Outer destination address of the innermost tunnel; zero without one.
    pub outer_dst_ip: Address,
}

/// Bits of `Record::flags`.
pub mod record_flag {
    /// The copied bytes end the head region: the empty line is in them.
    pub const HEAD_END: u8 = 0x01;
    /// The head reached `--head-limit`: bytes of it were left uncopied.
    pub const HEAD_LIMIT: u8 = 0x02;
    /// The frame was cut by the capture (pcap snap length): bytes of the head are missing behind the copied ones.
    pub const SNAPPED: u8 = 0x04;
    /// The record's segment ends with the last chunk of a chunked body, `0 CRLF CRLF` (RFC 9112 section 7.1), or where
    /// chunks that were followed end.
    pub const CHUNK_END: u8 = 0x08;
    /// Line ends stood before the start line; they are not part of the head.
    pub const LED: u8 = 0x10;
    /// The bytes came before those of the head they may belong to, which should begin in front of them.
    pub const EARLY: u8 = 0x20;
    /// The start line stands inside of a chunk of a body: it begins no head, and nothing of it was copied.
    pub const IN_CHUNK: u8 = 0x40;
    /// The first of the bytes had come by before, or, of a mark and of bytes handed over unasked, the segment's last one may have:
    /// when, nobody knows who has not seen it.
    pub const REPEAT: u8 = 0x80;
}

/// Classes of reservations in a ring, by payload bytes: the verifier wants constant sizes.
pub const COPY_CLASS_BYTES: [usize; COPY_CLASS_COUNT] = [0, 256, 512, 1024, RECORD_COPY_BYTES_MAX];

/// Number of classes.
pub const COPY_CLASS_COUNT: usize = 5;

/// Places of an array by class: `COPY_CLASS_COUNT` rounded up to a power of two, so that a mask bounds the index.
pub const COPY_CLASS_PLACES: usize = 8;

/// The class of a record with so many payload bytes.
#[inline(always)]
pub const fn copy_class(copied: u16) -> usize {
    match copied {
        0 => 0,
        1..=256 => 1,
        257..=512 => 2,
        513..=1024 => 3,
        _ => 4,
    }
}

/// Bytes of a record header in the ring.
pub const RECORD_BYTES: usize = size_of::<Record>();

const _: () = assert!(RECORD_BYTES == 136, "the ring ABI changed: bump it on both halves");
const _: () = assert!(RECORD_BYTES.is_multiple_of(8), "ring reservations are 8-byte aligned");
const _: () = assert!(align_of::<Record>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_bytes() {
        let bytes = *b"0123456789abcdef";
        assert_eq!(Address::v6(bytes).bytes(), bytes);
        assert_eq!(Address::v4([10, 0, 0, 1]).bytes(), [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Address::v4([10, 0, 0, 1]), Address::v6(Address::v4([10, 0, 0, 1]).bytes()));
    }
}
