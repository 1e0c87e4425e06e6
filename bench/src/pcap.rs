//! Writes capture files: classic pcap, microseconds, Ethernet, which every peer reads.

use std::io::{self, Write};

/// Bytes of the file header.
pub const FILE_HEADER_BYTES: u64 = 24;

/// Bytes of the header in front of each frame.
pub const FRAME_HEADER_BYTES: u64 = 16;

const SNAP_BYTES: u32 = 262_144;

/// Writes frames behind one another.
#[derive(Debug)]
pub struct PcapWriter<W> {
    writer: W,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    pub fn new(mut writer: W) -> io::Result<Self> {
        let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, SNAP_BYTES, 1];
        for word in words {
            writer.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { writer })
    }

    /// Writes a frame with its time, of which a pcap keeps microseconds.
    pub fn frame(&mut self, ts_ns: u64, bytes: &[u8]) -> io::Result<()> {
        let micros = ts_ns / 1_000;
        let len = bytes.len() as u32;
        for word in [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, len, len] {
            self.writer.write_all(&word.to_le_bytes())?;
        }
        self.writer.write_all(bytes)
    }

    /// Flushes and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}
