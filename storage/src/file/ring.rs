//! An io_uring with registered, aligned buffers; one of the two files here with `unsafe`.
//!
//! A buffer is free, lent to a file that fills it, or in flight. Invariant: nobody but the kernel touches a buffer in
//! flight, and neither the buffer nor the descriptor is let go before the write has completed; `Ring` alone moves
//! buffers between these states and holds a share of each file it writes to.

use std::{collections::HashMap, fs::File, io, os::fd::AsRawFd, sync::Arc};

use io_uring::{IoUring, opcode, register::Restriction, squeue, types};

/// Alignment of buffers, offsets and lengths under O_DIRECT: the largest logical block of disks in use.
pub(super) const ALIGNMENT: usize = 4096;

/// Bytes of one buffer, and so of one write.
pub const RING_BUFFER_BYTES: usize = 256 << 10;

/// Buffers of one ring: one lent to each open file and several in flight; 3 MiB, within the default memlock limit.
pub const RING_BUFFER_COUNT: usize = 12;

const _: () = assert!(RING_BUFFER_BYTES.is_multiple_of(ALIGNMENT));

/// Completions of fdatasync carry this instead of a buffer's number.
const SYNC_TOKEN: u64 = u64::MAX;

/// Names a file in the ring, for its errors and for waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey(u64);

/// The file of a write, kept open until the write has completed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) key: FileKey,
    pub(super) file: Arc<File>,
}

/// A buffer lent to a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BufferId(usize);

/// A write the kernel has not completed.
#[derive(Clone, Debug)]
struct Flight {
    target: Target,
    /// Position in the file of the buffer's first byte.
    offset: u64,
    /// Bytes written already, by writes that came back short.
    done: usize,
    len: usize,
    /// The buffer goes back to the file that lent it, not to the free ones.
    keep: bool,
}

/// Shared by the files of one encoder.
pub(super) struct Ring {
    uring: IoUring,
    buffers: Vec<AlignedBuffer>,
    free: Vec<BufferId>,
    flights: Vec<Option<Flight>>,
    errors: HashMap<FileKey, io::Error>,
    sync_result: Option<i32>,
    next_key: u64,
    is_restricted: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ring").field("flights", &self.flights).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new() -> io::Result<Ring> {
        let entries = u32::try_from(RING_BUFFER_COUNT + 1).expect("a small constant");
        let uring = IoUring::builder().setup_r_disabled().build(entries)?;
        let mut buffers: Vec<AlignedBuffer> = (0..RING_BUFFER_COUNT).map(|_| AlignedBuffer::new()).collect();
        let vectors: Vec<libc::iovec> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec {
                iov_base: buffer.bytes().as_mut_ptr().cast(),
                iov_len: RING_BUFFER_BYTES,
            })
            .collect();
        // SAFETY: the buffers live in `self` as long as the ring does and never move or shrink.
        unsafe { uring.submitter().register_buffers(&vectors) }?;
        let is_restricted = restrict(&uring);
        uring.submitter().register_enable_rings()?;
        Ok(Ring {
            uring,
            buffers,
            free: (0..RING_BUFFER_COUNT).map(BufferId).collect(),
            flights: (0..RING_BUFFER_COUNT).map(|_| None).collect(),
            errors: HashMap::new(),
            sync_result: None,
            next_key: 0,
            is_restricted,
        })
    }

    /// True where the kernel takes nothing from this ring but what is done here: writes and syncs.
    pub(super) fn is_restricted(&self) -> bool {
        self.is_restricted
    }

    /// A key for a new file.
    pub(super) fn add_file(&mut self) -> FileKey {
        self.next_key += 1;
        FileKey(self.next_key)
    }

    /// Lends a free buffer, once one has come back where none is free.
    pub(super) fn lend(&mut self) -> io::Result<BufferId> {
        loop {
            if let Some(buffer) = self.free.pop() {
                return Ok(buffer);
            }
            self.wait()?;
        }
    }

    /// Takes back a lent buffer that holds nothing of interest.
    pub(super) fn give_back(&mut self, buffer: BufferId) {
        match &mut self.flights[buffer.0] {
            Some(flight) => flight.keep = false,
            None => self.free.push(buffer),
        }
    }

    /// The bytes of a lent buffer.
    pub(super) fn bytes(&mut self, buffer: &BufferId) -> &mut [u8] {
        debug_assert!(self.flights[buffer.0].is_none(), "a lent buffer is not in flight");
        self.buffers[buffer.0].bytes()
    }

    /// Starts a write of the buffer's first `len` bytes; the buffer is free once it has completed.
    pub(super) fn write(
        &mut self,
        target: &Target,
        buffer: BufferId,
        offset: u64,
        len: usize,
    ) -> io::Result<()> {
        self.start(target, &buffer, (offset, len), false)
    }

    /// Writes the buffer's first `len` bytes, waits for all writes of the file, and leaves the buffer lent.
    pub(super) fn write_through(
        &mut self,
        target: &Target,
        buffer: &BufferId,
        offset: u64,
        len: usize,
    ) -> io::Result<()> {
        self.start(target, buffer, (offset, len), true)?;
        self.drain(target.key)
    }

    fn start(
        &mut self,
        target: &Target,
        buffer: &BufferId,
        (offset, len): (u64, usize),
        keep: bool,
    ) -> io::Result<()> {
        let flight = Flight { target: target.clone(), offset, done: 0, len, keep };
        self.submit(buffer.0, flight)?;
        match self.errors.remove(&target.key) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn submit(&mut self, buffer: usize, flight: Flight) -> io::Result<()> {
        let number = u16::try_from(buffer).expect("few buffers");
        let rest = u32::try_from(flight.len - flight.done).expect("a buffer is small");
        let bytes = &self.buffers[buffer].shared()[flight.done..];
        let fd = types::Fd(flight.target.file.as_raw_fd());
        let write = opcode::WriteFixed::new(fd, bytes.as_ptr(), rest, number)
            .offset(flight.offset + flight.done as u64)
            .build()
            .user_data(buffer as u64);
        self.push(&write)?;
        self.flights[buffer] = Some(flight);
        // An entry the kernel does not take now it takes when somebody waits, and there an error is final.
        if let Err(error) = self.uring.submit() {
            tracing::debug!(%error, "a write waits in the ring");
        }
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        let mut queue = self.uring.submission();
        // SAFETY: the entry names a registered buffer and a descriptor that stay as they are until its completion is
        // seen (the invariant of this file), or, for fdatasync, a descriptor whose owner waits for the completion.
        unsafe { queue.push(entry) }.map_err(|full| io::Error::other(full.to_string()))
    }

    /// Waits for at least one completion and takes note of all that have come.
    fn wait(&mut self) -> io::Result<()> {
        loop {
            match self.uring.submit_and_wait(1) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let completed: Vec<(u64, i32)> =
            self.uring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (token, result) in completed {
            if token == SYNC_TOKEN {
                self.sync_result = Some(result);
            } else {
                let buffer = usize::try_from(token).expect("a buffer's number");
                self.complete(buffer, result)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, buffer: usize, result: i32) -> io::Result<()> {
        let mut flight = self.flights[buffer].take().expect("a completed write was in flight");
        let outcome = match usize::try_from(result) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => Ok(written),
            Err(_negative) => Err(io::Error::from_raw_os_error(-result)),
        };
        match outcome {
            Ok(written) if flight.done + written < flight.len => {
                flight.done += written;
                return self.submit(buffer, flight);
            }
            Ok(_whole) => {}
            Err(error) if is_retryable(&error) => return self.submit(buffer, flight),
            Err(error) => {
                self.errors.entry(flight.target.key).or_insert(error);
            }
        }
        if !flight.keep {
            self.free.push(BufferId(buffer));
        }
        Ok(())
    }

    /// Waits for every write of the file; the first error among them, if any.
    pub(super) fn drain(&mut self, file: FileKey) -> io::Result<()> {
        while self.flights.iter().flatten().any(|flight| flight.target.key == file) {
            self.wait()?;
        }
        match self.errors.remove(&file) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// fdatasync of a file that has been drained.
    pub(super) fn sync(&mut self, target: &Target) -> io::Result<()> {
        let sync = opcode::Fsync::new(types::Fd(target.file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build()
            .user_data(SYNC_TOKEN);
        self.sync_result = None;
        self.push(&sync)?;
        let result = loop {
            if let Some(result) = self.sync_result.take() {
                break result;
            }
            self.wait()?;
        };
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
    }
}

/// Requests of a ring pass by seccomp filters, so a ring that could open, connect or send would be a way around them.
/// From here on the kernel refuses all but the two kinds used, on descriptors that write(2) reaches as well.
fn restrict(uring: &IoUring) -> bool {
    let mut allowed = [opcode::WriteFixed::CODE, opcode::Fsync::CODE].map(Restriction::sqe_op);
    match uring.submitter().register_restrictions(&mut allowed) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "the ring cannot be restricted");
            false
        }
    }
}

fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

impl Drop for Ring {
    fn drop(&mut self) {
        while self.flights.iter().any(Option::is_some) {
            if let Err(error) = self.wait() {
                tracing::error!(%error, "cannot wait for writes in flight, their buffers are leaked");
                std::mem::take(&mut self.buffers).into_iter().for_each(std::mem::forget);
                return;
            }
        }
    }
}

/// A buffer at a multiple of `ALIGNMENT`.
struct AlignedBuffer {
    memory: Box<[u8]>,
    start: usize,
}

impl AlignedBuffer {
    fn new() -> AlignedBuffer {
        let memory = vec![0; RING_BUFFER_BYTES + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        AlignedBuffer { memory, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..RING_BUFFER_BYTES]
    }

    fn shared(&self) -> &[u8] {
        &self.memory[self.start..][..RING_BUFFER_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_nothing_else_from_the_ring() {
        let mut ring = Ring::new().expect("this kernel has io_uring");
        assert!(ring.is_restricted());
        let path = c"/etc/passwd";
        let open =
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).build().user_data(SYNC_TOKEN);
        ring.push(&open).expect("there is room for one");
        ring.wait().expect("the refusal is a completion");
        assert_eq!(ring.sync_result, Some(-libc::EACCES));
        let register =
            ring.uring.submitter().register_eventfd(0).expect_err("nothing is registered any more");
        assert_eq!(register.raw_os_error(), Some(libc::EACCES));
    }
}
