//! A `Write` that hashes what passes through it, so that a file need not be read again for its hash.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// Passes bytes on and hashes those that were taken.
#[derive(Debug)]
pub(crate) struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(out: W) -> Hashed<W> {
        Hashed { out, hash: Sha256::new() }
    }

    /// The writer below, for what only it can do.
    pub(crate) fn inner_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// The writer, and the SHA-256 of everything written, in hexadecimal.
    pub(crate) fn finish(self) -> (W, String) {
        let hash = self.hash.finalize();
        (self.out, hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.out.write(bytes)?;
        hash(&mut self.hash, &bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

// A stage of its own in profiles (bench/instructions).
#[inline(never)]
fn hash(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes);
}
