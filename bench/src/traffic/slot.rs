//! A frame as the XDP program takes it: its bytes, and where in them a lap changes what.
//!
//! Invariant: `Slot::frame` is what the program sends, byte by byte: the naive twin that it is tested against.

use anyhow::{Context as _, bail};

use crate::wire::flag;

/// Bytes of a frame at the most: an MTU of 1500, two VLAN tags.
pub const FRAME_BYTES_MAX: usize = 1522;

/// Bytes of a slot in front of its frame.
pub(super) const SLOT_BYTES_BEFORE_FRAME: i16 = 32;

/// Offsets of fields.
pub(super) const LEN: i16 = 0;
pub(super) const ADDRESS_AT: i16 = 4;
pub(super) const PORT_AT: i16 = 6;
pub(super) const SEQ_AT: i16 = 8;
pub(super) const TARGET_AT: i16 = 10;
pub(super) const ADDRESS: i16 = 12;
pub(super) const PORT: i16 = 16;
pub(super) const SEQ: i16 = 20;
pub(super) const ACK: i16 = 24;
pub(super) const ACK_STEP: i16 = 28;

/// What the verifier knows of an offset into a frame; there is room for it, and a number, in every slot.
pub(super) const OFFSET_MASK: i32 = 0x7ff;

/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = SLOT_BYTES_BEFORE_FRAME as usize + OFFSET_MASK as usize + 1 + 8;

/// By how much the sequence numbers of a lap differ from those of the one before.
pub(super) const SEQ_STEP: u32 = 0x1357_9bdf;

/// Letters of a target that a lap changes.
const LETTER_COUNT: usize = 4;

/// Where a frame that begins no request has its letters: behind what is sent.
const NOWHERE: usize = FRAME_BYTES_MAX;

const _: () = assert!(NOWHERE + LETTER_COUNT <= OFFSET_MASK as usize + 1);

/// Ports from here on are clients'.
const CLIENT_PORT_MIN: u16 = 32_768;

/// A frame and what a lap changes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    bytes: Vec<u8>,
    address_at: usize,
    port_at: usize,
    seq_at: usize,
    target_at: usize,
    is_ack: bool,
}

impl Slot {
    /// The slot of a frame as `wire` makes them.
    pub fn new(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if bytes.len() > FRAME_BYTES_MAX {
            bail!("a frame of {} bytes is longer than {FRAME_BYTES_MAX}", bytes.len());
        }
        let place = Place::of(&bytes).context("the frame is no TCP over IP over Ethernet")?;
        let is_from_client = word(&bytes, place.tcp) >= CLIENT_PORT_MIN;
        let payload = place.tcp + usize::from(bytes[place.tcp + 12] >> 4) * 4;
        let (address_at, port_at) = if is_from_client {
            (place.addresses + place.address_bytes - 4, place.tcp)
        } else {
            (place.addresses + 2 * place.address_bytes - 4, place.tcp + 2)
        };
        let target_at = letters(bytes.get(payload..).unwrap_or_default()).map_or(NOWHERE, |at| payload + at);
        let is_ack = bytes[place.tcp + 13] & flag::ACK != 0;
        Ok(Self { bytes, address_at, port_at, seq_at: place.tcp + 4, target_at, is_ack })
    }

    /// Bytes of the frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True of no frame at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The slot's place in the map.
    pub(super) fn as_value(&self) -> [u8; SLOT_BYTES] {
        let mut value = [0; SLOT_BYTES];
        let mut put =
            |at: i16, bytes: &[u8]| value[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        put(LEN, &(self.len() as u32).to_ne_bytes());
        for (at, offset) in [
            (ADDRESS_AT, self.address_at),
            (PORT_AT, self.port_at),
            (SEQ_AT, self.seq_at),
            (TARGET_AT, self.target_at),
        ] {
            put(at, &(offset as u16).to_ne_bytes());
        }
        put(ADDRESS, &long(&self.bytes, self.address_at).to_ne_bytes());
        put(PORT, &u32::from(word(&self.bytes, self.port_at)).to_ne_bytes());
        put(SEQ, &long(&self.bytes, self.seq_at).to_ne_bytes());
        put(ACK, &long(&self.bytes, self.seq_at + 4).to_ne_bytes());
        put(ACK_STEP, &if self.is_ack { SEQ_STEP } else { 0 }.to_ne_bytes());
        put(SLOT_BYTES_BEFORE_FRAME, &self.bytes);
        value
    }

    /// The frame of a lap.
    pub fn frame(&self, lap: u32, address_step: u32) -> Vec<u8> {
        let mut frame = self.bytes.clone();
        let mut add = |at: usize, step: u32| {
            let number = long(&self.bytes, at).wrapping_add(lap.wrapping_mul(step));
            frame[at..at + 4].copy_from_slice(&number.to_be_bytes());
        };
        add(self.address_at, address_step);
        add(self.seq_at, SEQ_STEP);
        if self.is_ack {
            add(self.seq_at + 4, SEQ_STEP);
        }
        let port = word(&self.bytes, self.port_at) ^ (lap as u16 & 0x1fff);
        frame[self.port_at..self.port_at + 2].copy_from_slice(&port.to_be_bytes());
        if self.target_at != NOWHERE {
            for digit in 0..LETTER_COUNT {
                frame[self.target_at + digit] = b'a' + (lap >> (4 * digit) & 0xf) as u8;
            }
        }
        frame
    }
}

/// Where the headers of a frame are.
struct Place {
    /// Source address, with the destination's behind it.
    addresses: usize,
    address_bytes: usize,
    tcp: usize,
}

impl Place {
    fn of(frame: &[u8]) -> Option<Self> {
        let mut at = 12;
        while frame.get(at..at + 2)? == [0x81, 0x00] {
            at += 4;
        }
        let ip = at + 2;
        let place = match frame.get(at..at + 2)? {
            [0x08, 0x00] => {
                let header_bytes = usize::from(frame.get(ip)? & 0xf) * 4;
                Self { addresses: ip + 12, address_bytes: 4, tcp: ip + header_bytes }
            }
            [0x86, 0xdd] => Self { addresses: ip + 8, address_bytes: 16, tcp: ip + 40 },
            _ => return None,
        };
        (frame.len() >= place.tcp + 20).then_some(place)
    }
}

/// Where in a payload that begins a request the letters of its target are.
fn letters(payload: &[u8]) -> Option<usize> {
    let target = payload.iter().position(|byte| *byte == b' ')? + 1;
    let is_method = (4..=8).contains(&target) && payload[..target - 1].iter().all(u8::is_ascii_uppercase);
    let at = target + target_letters(payload.get(target..)?)?;
    (is_method && at + LETTER_COUNT <= payload.len()).then_some(at)
}

/// Where in a target a lap has its letters: behind the first slash, where plain text is.
pub fn target_letters(target: &[u8]) -> Option<usize> {
    let letters = target.strip_prefix(b"/")?.get(..LETTER_COUNT)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    letters.iter().all(is_plain).then_some(1)
}

/// Two bytes in network order, as a number.
fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes in network order, as a number.
fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
