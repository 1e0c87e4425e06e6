//! The classic pcap format: a file header, then packets, in either byte order, of micro- or nanoseconds.

use super::{FRAME_BYTES_MAX, Frame, Interface, PcapFault, link, link::Wrapping, window::Window};

const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;

/// Bits of the header's last word that number the link type; the rest tells of a frame check sequence.
const LINK_TYPE_MASK: u32 = 0x03ff_ffff;

/// What the header of a pcap file settles for all its packets.
pub(super) struct Classic {
    big_endian: bool,
    fraction_ns: u64,
    packet_header_bytes: usize,
    wrapping: Wrapping,
    interface: [Interface; 1],
}

impl Classic {
    pub(super) fn open(window: &mut Window) -> Result<Self, PcapFault> {
        let Some((big_endian, magic)) = byte_order(window.bytes()) else {
            return Err(PcapFault::not_a_capture(window.bytes()));
        };
        let (fraction_ns, packet_header_bytes) = match magic {
            MAGIC_MICROSECONDS => (1_000, PACKET_HEADER_BYTES),
            MAGIC_NANOSECONDS => (1, PACKET_HEADER_BYTES),
            // Kuznetzov's variant adds interface index, protocol and packet type to each packet's header.
            _ => (1_000, PACKET_HEADER_BYTES + 8),
        };
        if !window.fill(FILE_HEADER_BYTES) {
            window.ended(0)?;
            return Err(PcapFault::not_a_capture(window.bytes()));
        }
        let network = read_u32(&window.take(FILE_HEADER_BYTES)[20..], big_endian) & LINK_TYPE_MASK;
        let wrapping = link::from_number(network)?;
        let interface = [Interface { name: None }];
        Ok(Self { big_endian, fraction_ns, packet_header_bytes, wrapping, interface })
    }

    #[inline]
    pub(super) fn next<'w>(&mut self, window: &'w mut Window) -> Result<Option<Frame<'w>>, PcapFault> {
        let begin = window.offset();
        if !window.fill(self.packet_header_bytes) {
            window.ended(begin)?;
            return Ok(None);
        }
        let header = window.take(self.packet_header_bytes);
        let [seconds, fraction, len, original_len] =
            [0, 4, 8, 12].map(|at| read_u32(&header[at..], self.big_endian));
        if len as usize > FRAME_BYTES_MAX {
            let why = format!("a packet of {len} bytes, more than the {FRAME_BYTES_MAX} a frame may have");
            return Err(PcapFault::damaged(begin, why));
        }
        if !window.fill(len as usize) {
            window.ended(begin)?;
            return Ok(None);
        }
        let (link, bytes, taken) = self.wrapping.unwrap(window.take(len as usize));
        // Ends in the year 2106, well within `TS_NS_MAX`.
        let ts_ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.fraction_ns;
        Ok(Some(Frame { ts_ns, link, bytes, original_len: original_len.max(len) - taken, interface: 0 }))
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interface
    }
}

const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const MAGIC_KUZNETZOV: u32 = 0xa1b2_cd34;

/// Byte order of the file, and the magic number read in it; `None` for a foreign file.
fn byte_order(bytes: &[u8]) -> Option<(bool, u32)> {
    [false, true].into_iter().find_map(|big_endian| match read_u32(bytes, big_endian) {
        magic @ (MAGIC_MICROSECONDS | MAGIC_NANOSECONDS | MAGIC_KUZNETZOV) => Some((big_endian, magic)),
        _ => None,
    })
}

/// The word `bytes` begin with, which hold four at least.
#[inline]
pub(super) fn read_u32(bytes: &[u8], big_endian: bool) -> u32 {
    let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}
