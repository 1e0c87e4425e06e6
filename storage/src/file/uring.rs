//! One file written through the ring, past the page cache where the filesystem takes O_DIRECT.
//!
//! Under O_DIRECT a write begins and ends at a multiple of the alignment: `sync` writes the last block padded with
//! zeros and keeps its bytes, the next write begins with them again, and `finish` cuts the padding off.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::OFlags;

use super::ring::{ALIGNMENT, BufferId, RING_BUFFER_BYTES, Ring, Target};
use crate::disk::{self, Change, Folder};

/// A file written by io_uring.
#[derive(Debug)]
pub(crate) struct UringFile {
    ring: Arc<Mutex<Ring>>,
    target: Target,
    buffer: Option<BufferId>,
    /// Bytes of the buffer that belong to the file.
    filled: usize,
    /// Position in the file of the buffer's first byte; a multiple of the alignment.
    offset: u64,
    direct: bool,
    failed: Option<io::ErrorKind>,
}

impl UringFile {
    pub(super) fn create(folder: &Folder, path: &Path, ring: Arc<Mutex<Ring>>) -> io::Result<UringFile> {
        let (file, direct) = disk::make(Change::CreateFile(path.to_owned()), || create_direct(folder, path))?;
        let target = Target { key: lock(&ring).add_file(), file: Arc::new(file) };
        Ok(UringFile { ring, target, buffer: None, filled: 0, offset: 0, direct, failed: None })
    }

    /// Remembers that the file's content is unknown from here on.
    fn check<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failed = Some(error.kind());
        }
        result
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ring = lock(&self.ring);
        let buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => ring.lend()?,
        };
        let taken = bytes.len().min(RING_BUFFER_BYTES - self.filled);
        ring.bytes(&buffer)[self.filled..][..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        if self.filled < RING_BUFFER_BYTES {
            self.buffer = Some(buffer);
            return Ok(taken);
        }
        ring.write(&self.target, buffer, self.offset, RING_BUFFER_BYTES)?;
        self.offset += RING_BUFFER_BYTES as u64;
        self.filled = 0;
        Ok(taken)
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let mut ring = lock(&self.ring);
        // A write of no bytes would come back as one that wrote none, which is an error.
        let (Some(buffer), 1..) = (&self.buffer, self.filled) else { return ring.drain(self.target.key) };
        let len = if self.direct { self.filled.next_multiple_of(ALIGNMENT) } else { self.filled };
        ring.bytes(buffer)[self.filled..len].fill(0);
        ring.write_through(&self.target, buffer, self.offset, len)?;
        let whole = self.filled - self.filled % ALIGNMENT;
        ring.bytes(buffer).copy_within(whole..self.filled, 0);
        self.offset += whole as u64;
        self.filled -= whole;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let written = self.write_rest();
        self.check(written)?;
        let synced = lock(&self.ring).sync(&self.target);
        self.check(synced)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        let written = self.write_rest();
        self.check(written)?;
        self.target.file.set_len(self.offset + self.filled as u64)?;
        let synced = lock(&self.ring).sync(&self.target);
        self.check(synced)
    }
}

impl Write for UringFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.failed {
            return Err(kind.into());
        }
        let written = self.write_some(bytes);
        self.check(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for UringFile {
    fn drop(&mut self) {
        let mut ring = lock(&self.ring);
        if let Err(error) = ring.drain(self.target.key) {
            tracing::debug!(%error, "a write failed after its file was given up");
        }
        if let Some(buffer) = self.buffer.take() {
            ring.give_back(buffer);
        }
    }
}

pub(super) fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates the file with O_DIRECT, or without where the filesystem does not take it.
fn create_direct(folder: &Folder, path: &Path) -> io::Result<(File, bool)> {
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    match folder.open_file(path, new | OFlags::DIRECT) {
        Ok(file) => Ok((file, true)),
        // The kernel may have made the file before it refused the flag, so the name may exist by now.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let again = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            Ok((folder.open_file(path, again)?, false))
        }
        Err(error) => Err(error),
    }
}
