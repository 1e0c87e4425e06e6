//! The consumer's side of one BPF ring buffer: maps it, and hands over its records without copying them.
//!
//! First stage of a collector. The kernel writes positions and records, we write the consumer position: once per burst,
//! behind the last record handed over. Invariant: a record that does not validate is counted, never handed over.

use crate::source::RecordSink;
use common::limits::RECORD_COPY_BYTES_MAX;
use common::record::{RECORD_BYTES, Record, RecordKind};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use storage::prefetch::prefetch_bytes;

const ENTRY_HEADER_BYTES: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

/// Bytes of an entry that are asked for ahead: its header, the record's, and as much of the payload as the CPU does not
/// guess by itself.
const PREFETCHED_BYTES: usize = 320;

/// Bytes of the longest entry that a kernel half of this version writes.
const ENTRY_BYTES_MAX: usize =
    (ENTRY_HEADER_BYTES as usize + RECORD_BYTES + RECORD_COPY_BYTES_MAX).next_multiple_of(8);

const _: () = assert!(PREFETCHED_BYTES <= ENTRY_BYTES_MAX);

/// An entry the kernel has finished.
struct Entry<'a> {
    occupied_bytes: u64,
    content: Content<'a>,
}

/// What is in an entry.
enum Content<'a> {
    /// A record and its payload.
    Record(&'a Record, &'a [u8]),
    /// Nothing: it was given back.
    Nothing,
    /// What no kernel half of this version writes.
    Invalid,
}

/// One ring, read by one thread.
#[derive(Debug)]
pub struct Ring {
    index: u32,
    capacity: u64,
    /// Bytes in front of the data: a page.
    data_start: usize,
    consumer: Mapping,
    producer: Mapping,
    position: u64,
    invalid: u64,
}

impl Ring {
    /// Maps the ring buffer map behind `fd`, whose data area has `capacity` bytes (a power of two).
    pub(crate) fn map(fd: BorrowedFd<'_>, index: u32, capacity: u32) -> io::Result<Self> {
        let page = page_bytes();
        let consumer = Mapping::new(fd, 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        // The kernel has the data a second time behind its end, so that no entry is in two pieces. Of that as much as an entry
        // may take is enough; each page mapped counts as memory of the process, also where it is mapped already.
        let again = ENTRY_BYTES_MAX.next_multiple_of(page);
        let producer = Mapping::new(fd, page, page + capacity as usize + again, libc::PROT_READ)?;
        let capacity = u64::from(capacity);
        let mut ring =
            Self { index, capacity, data_start: page, consumer, producer, position: 0, invalid: 0 };
        ring.position = ring.consumed().load(Ordering::Acquire);
        Ok(ring)
    }

    /// Which of the rings this is: the CPU whose frames it holds, or the share of the flow hash.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Bytes the ring can hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity
    }

    /// Bytes written and not yet read.
    pub fn fill_bytes(&self) -> u64 {
        self.produced().load(Ordering::Acquire).wrapping_sub(self.position)
    }

    /// Records that did not validate so far.
    pub fn invalid_records(&self) -> u64 {
        self.invalid
    }

    /// Hands at most `burst_records_max` records to the sink, in order, and returns how many entries it read: zero
    /// means that nothing finished was there. The sink is told of each record while it takes the one before.
    pub fn drain(&mut self, burst_records_max: usize, sink: &mut impl RecordSink) -> usize {
        let produced = self.produced().load(Ordering::Acquire);
        let (mut entries, mut invalid) = (0, 0);
        let mut position = self.position;
        while entries < burst_records_max
            && let Some(entry) = self.entry(position, produced)
        {
            position = position.wrapping_add(entry.occupied_bytes);
            self.announce(position, produced, sink);
            match entry.content {
                Content::Record(record, payload) => sink.record(record, payload),
                Content::Nothing => {}
                Content::Invalid => invalid += 1,
            }
            entries += 1;
        }
        self.invalid += invalid;
        if entries > 0 {
            self.position = position;
            // Release: the kernel may overwrite the entries only after they were read.
            self.consumed().store(position, Ordering::Release);
        }
        entries
    }

    /// Tells the sink of the record at `position`, and asks for the beginning of the one behind it.
    #[inline]
    fn announce(&self, position: u64, produced: u64, sink: &mut impl RecordSink) {
        let Some(next) = self.entry(position, produced) else { return };
        if let Content::Record(record, _) = next.content {
            sink.expect(record);
        }
        let behind = self.offset(position.wrapping_add(next.occupied_bytes));
        prefetch_bytes(self.producer.place(behind, PREFETCHED_BYTES), PREFETCHED_BYTES);
    }

    /// The entry at `position`; `None` where there is none, or it is being written.
    #[inline]
    fn entry(&self, position: u64, produced: u64) -> Option<Entry<'_>> {
        let left = produced.wrapping_sub(position);
        if left == 0 {
            return None;
        }
        let offset = self.offset(position);
        // Acquire: pairs with the exchange that ends the kernel's writing.
        let header = self.producer.at::<AtomicU32>(offset).load(Ordering::Acquire);
        if header & BUSY != 0 {
            return None;
        }
        let length = u64::from(header & !(BUSY | DISCARDED));
        let occupied_bytes = (length + ENTRY_HEADER_BYTES).next_multiple_of(8);
        if occupied_bytes > left || occupied_bytes > ENTRY_BYTES_MAX as u64 {
            // Lengths can no longer be trusted, so neither can the next entry's place: go on where the writer is.
            return Some(Entry { occupied_bytes: left, content: Content::Invalid });
        }
        let content = if header & DISCARDED != 0 {
            Content::Nothing
        } else {
            let bytes = self.producer.bytes(offset + ENTRY_HEADER_BYTES as usize, length as usize);
            validate(bytes).map_or(Content::Invalid, |(record, payload)| Content::Record(record, payload))
        };
        Some(Entry { occupied_bytes, content })
    }

    /// Where a position lies in the producer's mapping.
    fn offset(&self, position: u64) -> usize {
        self.data_start + (position & (self.capacity - 1)) as usize
    }

    fn consumed(&self) -> &AtomicU64 {
        self.consumer.at(0)
    }

    fn produced(&self) -> &AtomicU64 {
        self.producer.at(0)
    }
}

/// The record an entry holds and its payload, if it is one that this version writes.
fn validate(entry: &[u8]) -> Option<(&Record, &[u8])> {
    let (header, payload) = entry.split_at_checked(RECORD_BYTES)?;
    let header = header.as_ptr().cast::<Record>();
    if !header.is_aligned() {
        return None;
    }
    // SAFETY: the slice has the bytes of a record at an aligned place, and a record is valid whatever its bits.
    let record = unsafe { &*header };
    RecordKind::from_byte(record.kind)?;
    let copied = usize::from(record.copied);
    let payload = payload.get(..copied)?;
    (copied <= RECORD_COPY_BYTES_MAX).then_some((record, payload))
}

/// A shared mapping of a part of the ring buffer map.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; what is shared with the kernel is read atomically.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, len: usize, protection: i32) -> io::Result<Self> {
        let offset = offset as libc::off_t;
        let place = std::ptr::null_mut();
        // SAFETY: a new shared mapping at a place of the kernel's choice aliases no memory of ours.
        let base = unsafe { libc::mmap(place, len, protection, libc::MAP_SHARED, fd.as_raw_fd(), offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("mmap returns MAP_FAILED, not null");
        Ok(Self { base, len })
    }

    fn place(&self, offset: usize, len: usize) -> *const u8 {
        let end = offset.checked_add(len).expect("an offset into the mapping");
        assert!(end <= self.len, "offset {offset} and {len} bytes exceed the mapping");
        // SAFETY: the sum was compared with the length of the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    /// An atomic at an offset.
    fn at<A>(&self, offset: usize) -> &A {
        let place = self.place(offset, size_of::<A>()).cast::<A>();
        assert!(place.is_aligned(), "entries are aligned to eight bytes");
        // SAFETY: mapped, aligned, and only ever used as an atomic while the kernel may write to it.
        unsafe { &*place }
    }

    /// Bytes of an entry the kernel has finished and will not touch before the consumer position moves.
    fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        // SAFETY: mapped; the borrow of the ring ends before the consumer position is stored.
        unsafe { std::slice::from_raw_parts(self.place(offset, len), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` returned, unmapped once.
        let status = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(status == 0, "munmap of our own mapping");
    }
}

pub(crate) fn page_bytes() -> usize {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).expect("the page size is known")
}
