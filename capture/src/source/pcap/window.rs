//! A window over a byte stream: the reader's one buffer, filled on demand, drained from the front.
//!
//! Invariant: it never holds more than `WINDOW_BYTES`, and an input error is told only when the bytes before it
//! are used up.

use std::io::{self, Read};

use super::{FRAME_BYTES_MAX, OPTION_BYTES_MAX, PcapFault};

/// Bytes held at the most: the longest block that must be seen whole.
pub(super) const WINDOW_BYTES: usize = 768 * 1024;

/// Bytes asked of the input at once: they are still in the core's cache when the frames in them are looked at.
const READ_BYTES: usize = 128 * 1024;

const _: () = assert!(FRAME_BYTES_MAX + OPTION_BYTES_MAX + 64 <= WINDOW_BYTES);

pub(super) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    offset: u64,
    exhausted: bool,
    failure: Option<io::Error>,
}

impl Window {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; WINDOW_BYTES].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, offset: 0, exhausted: false, failure: None }
    }

    /// Makes at least `len` bytes available; false where the input ends before.
    #[inline]
    pub(super) fn fill(&mut self, len: usize) -> bool {
        self.end - self.start >= len || self.refill(len)
    }

    /// The bytes available.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Position of the first available byte in the (decompressed) input.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Position behind the last available byte.
    pub(super) fn end_offset(&self) -> u64 {
        self.offset + (self.end - self.start) as u64
    }

    /// Takes `len` available bytes off the front.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let start = self.start;
        self.start += len;
        self.offset += len as u64;
        &self.buffer[start..self.start]
    }

    /// Drops `len` bytes, however many; false where the input ends before.
    pub(super) fn skip(&mut self, len: u64) -> bool {
        let mut rest = len;
        while rest > 0 {
            if !self.fill(1) {
                return false;
            }
            let step = rest.min((self.end - self.start) as u64);
            self.start += step as usize;
            self.offset += step;
            rest -= step;
        }
        true
    }

    /// Says how the input ended, where it ended inside or before what begins at `begin`.
    pub(super) fn ended(&mut self, begin: u64) -> Result<(), PcapFault> {
        let end = self.end_offset();
        match self.failure.take() {
            // A compressed stream that stops short is a truncated file like any other.
            Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(PcapFault::Truncated { begin, end })
            }
            Some(source) => Err(PcapFault::Read { offset: end, source }),
            None if begin < end => Err(PcapFault::Truncated { begin, end }),
            None => Ok(()),
        }
    }

    #[cold]
    fn refill(&mut self, len: usize) -> bool {
        assert!(len <= WINDOW_BYTES, "callers check lengths against their limits first");
        if self.start + len.max(READ_BYTES) > WINDOW_BYTES {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        while self.end - self.start < len && !self.exhausted {
            let until = WINDOW_BYTES.min(self.end + READ_BYTES);
            match self.reader.read(&mut self.buffer[self.end..until]) {
                Ok(0) => self.exhausted = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.exhausted = true;
                    self.failure = Some(error);
                }
            }
        }
        self.end - self.start >= len
    }
}
