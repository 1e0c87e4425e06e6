//! Offline input: frames out of capture files and pipes, in file order, borrowed from one buffer.
//!
//! First stage of the flow for `--pcap`; what it yields goes through the same `decide` as a frame on the card.
//! Reads pcap and pcapng of either byte order, and gzip of both. Invariant: every whole frame before a damage
//! comes out, then exactly one error that names the place; memory does not depend on the input.

mod classic;
mod error;
mod input;
mod link;
mod pcapng;
mod ticks;
mod window;

use std::{
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use error::{PcapError, PcapFault};
pub use link::Link;
pub use pcapng::Interface;

use classic::Classic;
use input::Input;
use pcapng::Pcapng;
use window::Window;

/// Bytes one frame may have: a BIG TCP packet (512 KiB) and its link header. A longer one is damage.
pub const FRAME_BYTES_MAX: usize = 513 * 1024;

/// Bytes of options a packet block of pcapng may carry behind its frame.
pub const OPTION_BYTES_MAX: usize = 64 * 1024;

/// Interfaces the sections of one pcapng file may describe together.
pub const INTERFACE_COUNT_MAX: usize = 65_536;

/// Latest time a frame can have, in Unix nanoseconds (the year 2262): later ones saturate here, as rows hold an `i64`.
pub const TS_NS_MAX: u64 = i64::MAX as u64;

/// One captured frame, borrowed from the source until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Unix time in nanoseconds; that of the frame before where the file holds none (simple packet blocks).
    pub ts_ns: u64,
    /// What `bytes` begin with.
    pub link: Link,
    /// The bytes captured.
    pub bytes: &'a [u8],
    /// Length on the wire; greater than that of `bytes` where a snap length cut the frame.
    pub original_len: u32,
    /// Index into `PcapSource::interfaces`; 0 in a pcap file.
    pub interface: u32,
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of the file, compressed ones where it is compressed.
    pub bytes_read: u64,
    /// Bytes of the file; `None` for a pipe.
    pub bytes_total: Option<u64>,
}

/// A capture file or pipe, opened and recognised.
pub struct PcapSource {
    name: String,
    window: Window,
    format: Format,
    input: Input,
    ended: bool,
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
}

impl PcapSource {
    /// Opens a capture file, or standard input for `-`.
    ///
    /// A pipe that is silent ends cleanly once `stop` is set. Fails where the input cannot be opened or does not
    /// begin like a capture.
    pub fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Self, PcapError> {
        let name =
            if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        match Input::open(path, stop) {
            Ok((input, reader)) => Self::recognise(name, input, reader),
            Err(fault) => Err(PcapError { input: name, fault }),
        }
    }

    /// Reads a capture out of any byte stream; `name` stands in errors.
    pub fn from_reader(name: &str, reader: impl Read + Send + 'static) -> Result<Self, PcapError> {
        let (input, reader) = Input::stream(reader);
        Self::recognise(name.to_owned(), input, reader)
    }

    fn recognise(name: String, input: Input, reader: Box<dyn Read + Send>) -> Result<Self, PcapError> {
        let mut window = Window::new(input::decompressed(reader));
        match Format::recognise(&mut window) {
            Ok(format) => Ok(Self { name, window, format, input, ended: false }),
            Err(fault) => Err(PcapError { input: name, fault }),
        }
    }

    /// The next frame; `None` at the end of the input, and after an error.
    #[expect(clippy::should_implement_trait, reason = "lends from its buffer, which Iterator cannot express")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, PcapError> {
        if self.ended {
            return Ok(None);
        }
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.window),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.window),
        };
        match next {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(fault) => {
                self.ended = true;
                if self.input.stop.load(Ordering::Relaxed) && matches!(fault, PcapFault::Truncated { .. }) {
                    return Ok(None);
                }
                Err(PcapError { input: self.name.clone(), fault })
            }
        }
    }

    /// How far reading has come: for a progress bar.
    pub fn progress(&self) -> Progress {
        Progress {
            bytes_read: self.input.bytes_read.load(Ordering::Relaxed),
            bytes_total: self.input.bytes_total,
        }
    }

    /// Interfaces described so far, of all sections; one without a name for a pcap file.
    pub fn interfaces(&self) -> &[Interface] {
        match &self.format {
            Format::Classic(classic) => classic.interfaces(),
            Format::Pcapng(pcapng) => pcapng.interfaces(),
        }
    }
}

impl Format {
    fn recognise(window: &mut Window) -> Result<Self, PcapFault> {
        if !window.fill(4) {
            if window.bytes().is_empty() {
                window.ended(0)?;
            }
            return Err(PcapFault::not_a_capture(window.bytes()));
        }
        if window.bytes().starts_with(&pcapng::SECTION_MAGIC) {
            return Ok(Self::Pcapng(Pcapng::default()));
        }
        Classic::open(window).map(Self::Classic)
    }
}

#[cfg(test)]
mod tests;
