//! The footer beside a file in progress: what makes the file whole up to its last synced row group.
//!
//! Written beside and renamed over the one before, both made durable, so a crash finds the old one or the new one.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use rustix::fs::OFlags;

use super::staging::with_suffix;
use crate::disk::{self, Folder};

const MAGIC: &[u8; 8] = b"HDRCAPF1";
/// Behind the name of a snapshot that has not replaced the one before yet.
pub(crate) const UNFINISHED_SUFFIX: &str = ".new";
const HEADER_BYTES: usize = 32;

/// A footer and the length of the data it belongs behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) data_len: u64,
    pub(crate) tail: Vec<u8>,
}

impl Snapshot {
    /// Replaces the snapshot at `path`, durably.
    pub(crate) fn write(&self, folder: &Folder, path: &Path) -> io::Result<()> {
        let beside = with_suffix(path, UNFINISHED_SUFFIX);
        if let Err(error) = self.write_new(folder, &beside) {
            folder.remove_if_there(&beside)?;
            return Err(error);
        }
        folder.rename(&beside, folder, path)?;
        folder.sync()
    }

    fn write_new(&self, folder: &Folder, path: &Path) -> io::Result<()> {
        let mut file = folder.create(path)?;
        file.write_all(&self.header())?;
        file.write_all(&self.tail)?;
        disk::sync_file(path, &file)
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&self.data_len.to_le_bytes());
        header[16..24].copy_from_slice(&(self.tail.len() as u64).to_le_bytes());
        let checksum = checksum(header[..24].iter().chain(&self.tail));
        header[24..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Reads a snapshot; `None` where there is none, or none that is whole.
    pub(crate) fn read(folder: &Folder, path: &Path) -> io::Result<Option<Snapshot>> {
        let mut file = match folder.open_file(path, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Snapshot::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Option<Snapshot> {
        let (header, tail) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let data_len = u64::from_le_bytes(header[8..16].try_into().ok()?);
        let snapshot = Snapshot { data_len, tail: tail.to_vec() };
        (snapshot.header() == *header).then_some(snapshot)
    }
}

/// FNV-1a: finds a snapshot that a disk tore or rotted, no more.
fn checksum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn any_cut_and_any_changed_byte_is_found() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("x.footer");
        let folder = Folder::open(dir.path()).expect("a folder");
        let snapshot = Snapshot { data_len: 1234, tail: b"the end of the file PAR1".to_vec() };
        assert_eq!(Snapshot::read(&folder, &path).expect("readable"), None);
        snapshot.write(&folder, &path).expect("written");
        assert_eq!(Snapshot::read(&folder, &path).expect("readable"), Some(snapshot));
        let whole = fs::read(&path).expect("readable");
        for at in 0..whole.len() {
            assert_eq!(Snapshot::parse(&whole[..at]), None, "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert_eq!(Snapshot::parse(&changed), None, "changed at {at}");
        }
    }
}
