//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks, each section with interfaces of its own.
//!
//! Packet, section and interface blocks are looked at whole; every other block is skipped, however long it is.
//! Walked by hand because the pcap-parser crate refuses clocks of powers of two, reads the clock offset of big-endian
//! sections in the wrong order, and stops at blocks nobody asked for; it is the witness of the tests.

use super::{
    FRAME_BYTES_MAX, Frame, INTERFACE_COUNT_MAX, OPTION_BYTES_MAX, PcapFault, classic::read_u32, link,
    link::Wrapping, ticks::Ticks, window::Window,
};

/// First bytes of a section header block, and so of a pcapng file: the same in either byte order.
pub(super) const SECTION_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Block type, length, and length again at the end.
const BLOCK_FRAME_BYTES: usize = 12;
const BLOCK_BYTES_MAX: usize = FRAME_BYTES_MAX + OPTION_BYTES_MAX + 32 + 4;

/// Characters kept of an interface's name.
const NAME_CHARS_MAX: usize = 64;

/// An interface that a capture file describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The name it had on the capturing host (option `if_name`), shortened to 64 characters.
    pub name: Option<String>,
}

/// The state of reading a pcapng file: the section one is in.
#[derive(Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    section: Vec<SectionInterface>,
    interfaces: Vec<Interface>,
    ts_ns: u64,
}

struct SectionInterface {
    link_type: u32,
    snap_len: u32,
    ticks: Ticks,
}

/// One whole block in front of the window.
#[derive(Clone, Copy)]
struct Block {
    kind: u32,
    begin: u64,
    len: usize,
}

/// Where a frame lies in its block, and what is known of it.
struct Packet {
    interface: usize,
    ticks: Option<u64>,
    at: usize,
    len: u32,
    original_len: u32,
}

impl Pcapng {
    pub(super) fn next<'w>(&mut self, window: &'w mut Window) -> Result<Option<Frame<'w>>, PcapFault> {
        let (block, packet) = loop {
            let Some(block) = self.next_block(window)? else { return Ok(None) };
            let bytes = &window.bytes()[..block.len];
            let packet = match block.kind {
                SECTION_HEADER => {
                    self.section.clear();
                    None
                }
                INTERFACE_DESCRIPTION => {
                    self.add_interface(block, bytes)?;
                    None
                }
                ENHANCED_PACKET => Some(self.enhanced_packet(block, bytes)?),
                SIMPLE_PACKET => Some(self.simple_packet(block, bytes)?),
                _ => Some(self.obsolete_packet(block, bytes)?),
            };
            match packet {
                Some(packet) => break (block, packet),
                None => window.take(block.len),
            };
        };
        let (wrapping, ts_ns) = self.resolve(&packet, block.begin)?;
        self.ts_ns = ts_ns;
        let (link, bytes, taken) =
            wrapping.unwrap(&window.take(block.len)[packet.at..][..packet.len as usize]);
        let interface = (self.interfaces.len() - self.section.len() + packet.interface) as u32;
        let original_len = packet.original_len.max(packet.len) - taken;
        Ok(Some(Frame { ts_ns, link, bytes, original_len, interface }))
    }

    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Brings the next block that matters into the window whole; `None` at the end of the input.
    fn next_block(&mut self, window: &mut Window) -> Result<Option<Block>, PcapFault> {
        loop {
            let begin = window.offset();
            if !window.fill(BLOCK_FRAME_BYTES) {
                window.ended(begin)?;
                return Ok(None);
            }
            if window.bytes().starts_with(&SECTION_MAGIC) {
                self.big_endian = section_byte_order(window.bytes(), begin)?;
            }
            let kind = read_u32(window.bytes(), self.big_endian);
            let declared = read_u32(&window.bytes()[4..], self.big_endian);
            if (declared as usize) < BLOCK_FRAME_BYTES {
                return Err(PcapFault::damaged(
                    begin,
                    format!("a block of {declared} bytes, less than its frame"),
                ));
            }
            // Blocks are padded to four bytes; some writers leave the padding out of the length.
            let len = (u64::from(declared)).next_multiple_of(4);
            let matters = matches!(
                kind,
                SECTION_HEADER | INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | ENHANCED_PACKET
            );
            if matters && len > BLOCK_BYTES_MAX as u64 {
                let why = format!("a block of {len} bytes, more than the {BLOCK_BYTES_MAX} it may have");
                return Err(PcapFault::damaged(begin, why));
            }
            let present = if matters { window.fill(len as usize) } else { window.skip(len) };
            if !present {
                window.ended(begin)?;
                return Ok(None);
            }
            if matters {
                let block = Block { kind, begin, len: len as usize };
                self.check_trailer(block, declared, window.bytes())?;
                return Ok(Some(block));
            }
        }
    }

    fn check_trailer(&self, block: Block, declared: u32, bytes: &[u8]) -> Result<(), PcapFault> {
        let trailer = read_u32(&bytes[block.len - 4..], self.big_endian);
        if trailer != declared {
            let why = format!("a block whose length is {declared} at its start and {trailer} at its end");
            return Err(PcapFault::damaged(block.begin, why));
        }
        Ok(())
    }

    fn add_interface(&mut self, block: Block, bytes: &[u8]) -> Result<(), PcapFault> {
        let body = self.body(block, bytes, 8)?;
        if self.interfaces.len() == INTERFACE_COUNT_MAX {
            return Err(PcapFault::damaged(
                block.begin,
                format!("more than {INTERFACE_COUNT_MAX} interfaces"),
            ));
        }
        let (mut tsresol, mut tsoffset, mut name) = (6, 0, None);
        let mut options = &body[8..];
        while let Some((code, value, rest)) = self.split_option(options) {
            options = rest;
            match (code, value) {
                (2, value) => {
                    name = Some(String::from_utf8_lossy(value).chars().take(NAME_CHARS_MAX).collect())
                }
                (9, &[resolution, ..]) => tsresol = resolution,
                (14, value) => tsoffset = self.read_i64(value).unwrap_or(0),
                _ => {}
            }
        }
        let link_type = u32::from(self.read_u16(body));
        let snap_len = read_u32(&body[4..], self.big_endian);
        self.section.push(SectionInterface { link_type, snap_len, ticks: Ticks::new(tsresol, tsoffset) });
        self.interfaces.push(Interface { name });
        Ok(())
    }

    fn enhanced_packet(&self, block: Block, bytes: &[u8]) -> Result<Packet, PcapFault> {
        let body = self.body(block, bytes, 20)?;
        let interface = read_u32(body, self.big_endian) as usize;
        self.timed_packet(block, body, interface)
    }

    /// The packet block that enhanced ones replaced: interface and drop count share a word.
    fn obsolete_packet(&self, block: Block, bytes: &[u8]) -> Result<Packet, PcapFault> {
        let body = self.body(block, bytes, 20)?;
        self.timed_packet(block, body, usize::from(self.read_u16(body)))
    }

    fn timed_packet(&self, block: Block, body: &[u8], interface: usize) -> Result<Packet, PcapFault> {
        let [high, low, len, original_len] = [4, 8, 12, 16].map(|at| read_u32(&body[at..], self.big_endian));
        if len as usize > body.len() - 20 || len as usize > FRAME_BYTES_MAX {
            let why = format!("a packet of {len} bytes in a block of {}", block.len);
            return Err(PcapFault::damaged(block.begin, why));
        }
        let ticks = Some(u64::from(high) << 32 | u64::from(low));
        Ok(Packet { interface, ticks, at: 28, len, original_len })
    }

    /// A packet without time and interface: it belongs to the section's first, and its snap length bounds it.
    fn simple_packet(&self, block: Block, bytes: &[u8]) -> Result<Packet, PcapFault> {
        let body = self.body(block, bytes, 4)?;
        let original_len = read_u32(body, self.big_endian);
        let snap_len = match self.section.first() {
            Some(interface) if interface.snap_len > 0 => interface.snap_len,
            Some(_) | None => u32::MAX,
        };
        let len = original_len.min(snap_len).min((body.len() - 4).min(FRAME_BYTES_MAX) as u32);
        Ok(Packet { interface: 0, ticks: None, at: 12, len, original_len })
    }

    /// What the packet's interface says about its frame and its time.
    fn resolve(&self, packet: &Packet, begin: u64) -> Result<(Wrapping, u64), PcapFault> {
        let Some(interface) = self.section.get(packet.interface) else {
            let why = format!("a packet of interface {}, which is not described before it", packet.interface);
            return Err(PcapFault::damaged(begin, why));
        };
        let wrapping = link::from_number(interface.link_type)?;
        Ok((wrapping, packet.ticks.map_or(self.ts_ns, |ticks| interface.ticks.to_unix_ns(ticks))))
    }

    /// The block without its frame, which must hold `fixed` bytes at least.
    fn body<'b>(&self, block: Block, bytes: &'b [u8], fixed: usize) -> Result<&'b [u8], PcapFault> {
        let body = &bytes[8..block.len - 4];
        if body.len() < fixed {
            let why =
                format!("a block of type {} in {} bytes, too short for its kind", block.kind, block.len);
            return Err(PcapFault::damaged(block.begin, why));
        }
        Ok(body)
    }

    /// Code and value of the first option, and the options behind it.
    fn split_option<'b>(&self, options: &'b [u8]) -> Option<(u16, &'b [u8], &'b [u8])> {
        if options.len() < 4 {
            return None;
        }
        let code = self.read_u16(options);
        let len = usize::from(self.read_u16(&options[2..]));
        let value = options.get(4..4 + len)?;
        let rest = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value, rest))
    }

    fn read_u16(&self, bytes: &[u8]) -> u16 {
        let word = [bytes[0], bytes[1]];
        if self.big_endian { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) }
    }

    fn read_i64(&self, bytes: &[u8]) -> Option<i64> {
        let word = *bytes.first_chunk::<8>()?;
        Some(if self.big_endian { i64::from_be_bytes(word) } else { i64::from_le_bytes(word) })
    }
}

/// Byte order of the section that a header block begins.
fn section_byte_order(bytes: &[u8], begin: u64) -> Result<bool, PcapFault> {
    [false, true]
        .into_iter()
        .find(|big_endian| read_u32(&bytes[8..], *big_endian) == BYTE_ORDER_MAGIC)
        .ok_or_else(|| PcapFault::damaged(begin, "a section header without byte-order magic"))
}
