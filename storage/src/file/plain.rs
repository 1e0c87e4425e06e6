//! Plain buffered writes through the page cache.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use super::ring::RING_BUFFER_BYTES;

/// A file written by write(2).
#[derive(Debug)]
pub(crate) struct PlainFile {
    out: BufWriter<File>,
}

impl PlainFile {
    pub(super) fn new(file: File) -> PlainFile {
        PlainFile { out: BufWriter::with_capacity(RING_BUFFER_BYTES, file) }
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}

impl Write for PlainFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
