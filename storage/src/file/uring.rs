//! One file written through the ring, past the page cache.
//!
//! Under O_DIRECT a write begins and ends at a multiple of the alignment: `sync` writes the last block padded with
//! zeros and keeps its bytes, the next write begins with them again. A write that makes a file longer is none that the
//! kernel can start without waiting, so it would hand each to a worker thread: the file is given room ahead, which
//! reads as zeros. `finish` cuts off both, and recovery where there was no `finish`.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{FallocateFlags, OFlags, fallocate},
    io::retry_on_intr,
};

use super::ring::{ALIGNMENT, BufferId, RING_BUFFER_BYTES, Ring, Target};
use crate::disk::{self, Change, Folder};

/// Room that a file is given at a time: as much again as it has, within these.
const ROOM_BYTES_MIN: u64 = 1 << 20;
const ROOM_BYTES_MAX: u64 = 16 << 20;

const _: () = assert!(ROOM_BYTES_MIN as usize >= RING_BUFFER_BYTES, "room for the write that asks for it");

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
    /// Bytes of the file that room was made for; `None` where the filesystem gives none.
    room: Option<u64>,
    failed: Option<io::ErrorKind>,
}

impl UringFile {
    /// A file written through this ring, to which nothing was written yet.
    pub(super) fn new(file: File, ring: Arc<Mutex<Ring>>) -> UringFile {
        let target = Target { key: lock(&ring).add_file(), file: Arc::new(file) };
        UringFile { ring, target, buffer: None, filled: 0, offset: 0, room: Some(0), failed: None }
    }

    /// Remembers that the file's content is unknown from here on.
    fn check<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failed = Some(error.kind());
        }
        result
    }

    /// Makes room up to `end`, and some more; without, writes work as well, and cost more.
    fn make_room(&mut self, end: u64) {
        let Some(room) = self.room.filter(|room| *room < end) else { return };
        let more = room.clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX);
        let made = retry_on_intr(|| fallocate(&self.target.file, FallocateFlags::empty(), room, more));
        if let Err(error) = made {
            tracing::debug!(%error, "the filesystem gives a file no room ahead");
        }
        self.room = made.ok().map(|()| room + more);
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled + bytes.len() >= RING_BUFFER_BYTES {
            self.make_room(self.offset + RING_BUFFER_BYTES as u64);
        }
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
        let len = self.filled.next_multiple_of(ALIGNMENT);
        self.make_room(self.offset + len as u64);
        let mut ring = lock(&self.ring);
        // A write of no bytes would come back as one that wrote none, which is an error.
        let (Some(buffer), 1..) = (&self.buffer, self.filled) else { return ring.drain(self.target.key) };
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

/// Creates the file with O_DIRECT; within, `Err` holds one without, where the filesystem does not take it.
pub(super) fn create_direct(folder: &Folder, path: &Path) -> io::Result<Result<File, File>> {
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    disk::make(Change::CreateFile(path.to_owned()), || match folder.open_file(path, new | OFlags::DIRECT) {
        Ok(file) => Ok(Ok(file)),
        // The kernel may have made the file before it refused the flag, so the name may exist by now.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let again = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            Ok(Err(folder.open_file(path, again)?))
        }
        Err(error) => Err(error),
    })
}
