//! Where a Parquet file's bytes go: a `std::io::Write` that keeps several writes in flight.
//!
//! io_uring with registered, aligned buffers and O_DIRECT where kernel and filesystem take both; plain buffered
//! writes where not, said aloud. Invariant: after `sync` every byte written is on disk, in both ways the same.

mod hashed;
mod plain;
mod ring;
mod space;
mod uring;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once},
};

pub(crate) use self::hashed::Hashed;
use self::{
    plain::PlainFile,
    ring::Ring,
    uring::{UringFile, create_direct},
};
use crate::disk::{self, Change, Folder};

pub use self::{
    ring::{RING_BUFFER_BYTES, RING_BUFFER_COUNT},
    space::{disk_room, free_bytes},
};

/// Whether it was said that a filesystem does not take O_DIRECT.
static SAID_PLAIN: Once = Once::new();

/// Permissions of files, less what the umask takes: their owner writes, their group reads.
pub const FILE_MODE: u32 = 0o640;

/// How files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// io_uring where it can be had, else plain writes.
    #[default]
    Auto,
    /// Plain writes.
    Plain,
}

/// Makes files that share one ring; belongs to one encoder.
#[derive(Clone, Debug)]
pub struct Files {
    ring: Option<Arc<Mutex<Ring>>>,
}

impl Files {
    /// Sets the ring up, or says why plain writes are used instead.
    pub fn new(mode: IoMode) -> Files {
        let ring = match mode {
            IoMode::Plain => None,
            IoMode::Auto => match Ring::new() {
                Ok(ring) => Some(Arc::new(Mutex::new(ring))),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "io_uring cannot be set up, using plain writes \
                         (see /proc/sys/kernel/io_uring_disabled, seccomp, and RLIMIT_MEMLOCK)"
                    );
                    None
                }
            },
        };
        Files { ring }
    }

    /// True where files are written through io_uring.
    pub fn uses_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// True where the kernel takes nothing from the ring but writes and syncs, or where there is no ring.
    pub fn is_ring_restricted(&self) -> bool {
        self.ring.as_ref().is_none_or(|ring| uring::lock(ring).is_restricted())
    }

    /// Creates a file that must not exist yet.
    pub fn create(&self, path: &Path) -> io::Result<OutputFile> {
        self.create_in(&Folder::of(path)?, path)
    }

    /// Creates a file that must not exist yet in the folder that `path` is in.
    pub(crate) fn create_in(&self, folder: &Folder, path: &Path) -> io::Result<OutputFile> {
        let way = match &self.ring {
            Some(ring) => match create_direct(folder, path)? {
                Ok(file) => Way::Uring(UringFile::new(file, Arc::clone(ring))),
                Err(file) => {
                    SAID_PLAIN.call_once(|| {
                        tracing::warn!(path = %path.display(),
                            "its filesystem does not take O_DIRECT, using plain writes, which cost less then");
                    });
                    Way::Plain(PlainFile::new(file))
                }
            },
            None => Way::Plain(PlainFile::new(folder.create_new(path)?)),
        };
        Ok(OutputFile { path: path.to_owned(), way })
    }
}

/// A file open for appending.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Through io_uring.
    Uring(UringFile),
    /// Through the page cache.
    Plain(PlainFile),
}

impl OutputFile {
    /// Waits until every byte written so far is on disk.
    pub fn sync(&mut self) -> io::Result<()> {
        let way = &mut self.way;
        disk::make(Change::SyncFile(self.path.clone()), || match way {
            Way::Uring(file) => file.sync(),
            Way::Plain(file) => file.sync(),
        })
    }

    /// Puts everything on disk and gives the file its exact length.
    pub fn finish(self) -> io::Result<()> {
        disk::make(Change::SyncFile(self.path), || match self.way {
            Way::Uring(file) => file.finish(),
            Way::Plain(mut file) => file.sync(),
        })
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Uring(file) => file.write(bytes),
            Way::Plain(file) => file.write(bytes),
        }
    }

    /// Does nothing: bytes leave when a buffer is full, or by `sync`.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
