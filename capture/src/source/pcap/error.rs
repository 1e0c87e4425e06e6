//! What can be wrong with a capture, told so that its owner knows what to do.

use std::{fmt, io};

use super::link;

/// A capture that could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[error("{input}: {fault}")]
pub struct PcapError {
    /// Path, or `standard input`.
    pub input: String,
    /// What is wrong with it.
    pub fault: PcapFault,
}

/// What is wrong with a capture. Byte positions count the decompressed input.
#[derive(Debug)]
pub enum PcapFault {
    /// The input cannot be opened.
    Open(io::Error),
    /// The input cannot be read on, or not decompressed.
    Read {
        /// Position behind the last byte that could be read.
        offset: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// The first bytes are those of no capture format.
    NotACapture {
        /// The first bytes, at most eight.
        magic: Vec<u8>,
    },
    /// The input ends inside a packet or block.
    Truncated {
        /// Position where the packet or block begins.
        begin: u64,
        /// Position where the input ends.
        end: u64,
    },
    /// The input contradicts its format, or goes beyond a limit.
    Damaged {
        /// Position where the packet or block begins.
        begin: u64,
        /// The contradiction.
        why: String,
    },
    /// The frames are of a link layer that is not dissected.
    LinkType {
        /// Number in the registry of link-layer header types.
        number: u32,
    },
}

impl PcapFault {
    pub(super) fn not_a_capture(bytes: &[u8]) -> Self {
        Self::NotACapture { magic: bytes[..bytes.len().min(8)].to_vec() }
    }

    pub(super) fn damaged(begin: u64, why: impl Into<String>) -> Self {
        Self::Damaged { begin, why: why.into() }
    }
}

impl std::error::Error for PcapFault {}

impl fmt::Display for PcapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(source) => write!(f, "cannot be opened: {source}"),
            Self::Read { offset, source } => {
                write!(f, "cannot be read behind byte {offset}: {source}; every frame before it was read")
            }
            Self::NotACapture { magic } => write_not_a_capture(f, magic),
            Self::Truncated { begin, end } => {
                write!(f, "truncated at byte {end}: what begins at byte {begin} is incomplete; ")?;
                f.write_str("every frame before it was read")
            }
            Self::Damaged { begin, why } => {
                write!(f, "damaged at byte {begin}: {why}; every frame before it was read")
            }
            Self::LinkType { number } => {
                write!(
                    f,
                    "link type {number}{} is not supported, expected ",
                    Parenthesised(link::name(*number))
                )?;
                f.write_str("Ethernet, raw IP, Linux cooked, BSD loopback or NFLOG")
            }
        }
    }
}

struct Parenthesised(Option<&'static str>);

impl fmt::Display for Parenthesised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

fn write_not_a_capture(f: &mut fmt::Formatter<'_>, magic: &[u8]) -> fmt::Result {
    if magic.is_empty() {
        return f.write_str("not a capture file: it is empty, expected pcap, pcapng or gzip of one");
    }
    f.write_str("not a capture file: magic ")?;
    for byte in magic.iter().take(4) {
        write!(f, "{byte:02x}")?;
    }
    f.write_str(", expected pcap, pcapng or gzip of one")?;
    match advice(magic) {
        Some(advice) => write!(f, "; {advice}"),
        None => Ok(()),
    }
}

/// What to do with a file of a kind people do hand over.
fn advice(magic: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"\x28\xb5\x2f\xfd", "this is zstd: zstd -dc FILE | hdrcap --pcap - ..."),
        (b"\xfd7zXZ\0", "this is xz: xz -dc FILE | hdrcap --pcap - ..."),
        (b"BZh", "this is bzip2: bzip2 -dc FILE | hdrcap --pcap - ..."),
        (b"\x04\x22\x4d\x18", "this is lz4: lz4 -dc FILE | hdrcap --pcap - ..."),
        (b"PK\x03\x04", "this is zip: unzip -p FILE | hdrcap --pcap - ..."),
        (b"snoop\0", "this is snoop: editcap -F pcap FILE - | hdrcap --pcap - ..."),
        (b"GMBU", "this is Network Monitor: editcap -F pcap FILE - | hdrcap --pcap - ..."),
        (b"PAR1", "this is Parquet already"),
    ];
    KNOWN.iter().find(|(start, _)| magic.starts_with(start)).map(|(_, advice)| *advice)
}
