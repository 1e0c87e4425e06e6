//! Memory for keys: a page of its own, locked so that it never reaches a swap device, left out of core files, and
//! overwritten when it goes.
//!
//! Invariant: the bytes live in this page alone; who needs them borrows them. What a hash function keeps on its stack
//! while it runs is out of reach here.

use std::{
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering, compiler_fence},
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};

/// A page on every architecture there is; the kernel rounds up.
const PAGE_BYTES: usize = 4096;

/// Some key's page could not be locked.
static IS_UNLOCKED: AtomicBool = AtomicBool::new(false);

/// `N` bytes that nobody but this process sees.
pub struct Secret<const N: usize> {
    page: NonNull<[u8; N]>,
}

// SAFETY: the page belongs to the process; it is written while exclusively borrowed and only read while shared.
unsafe impl<const N: usize> Send for Secret<N> {}
// SAFETY: as above: a shared secret is only read.
unsafe impl<const N: usize> Sync for Secret<N> {}

impl<const N: usize> Secret<N> {
    /// Zeros, to be filled in.
    ///
    /// # Panics
    /// Where the kernel has no page left.
    pub fn zeros() -> Secret<N> {
        const { assert!(N <= PAGE_BYTES && N > 0) };
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at a place of the kernel's choice aliases no memory of ours.
        let place =
            unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE_BYTES, protection, MapFlags::PRIVATE) };
        let place = place.expect("one page of memory");
        // SAFETY: exactly the page just mapped.
        if let Err(error) = unsafe { mlock(place, PAGE_BYTES) } {
            IS_UNLOCKED.store(true, Ordering::Relaxed);
            tracing::debug!(%error, "the page of a key cannot be locked");
        }
        // SAFETY: exactly the page just mapped; the advice changes none of its bytes.
        if let Err(error) = unsafe { madvise(place, PAGE_BYTES, Advice::LinuxDontDump) } {
            tracing::debug!(%error, "the page of a key is not left out of core files");
        }
        Secret { page: NonNull::new(place.cast()).expect("a mapping is not null") }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; N] {
        // SAFETY: mapped, of that size, and zeroed by the kernel; nobody writes while it is shared.
        unsafe { self.page.as_ref() }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8; N] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { self.page.as_mut() }
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.bytes_mut().fill(0);
        std::hint::black_box(self.bytes_mut());
        compiler_fence(Ordering::SeqCst);
        // SAFETY: exactly what was mapped, unmapped once; no borrow outlives the owner.
        let unmapped = unsafe { munmap(self.page.as_ptr().cast(), PAGE_BYTES) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping");
    }
}

/// True where every key so far is in a page that the kernel keeps from swap devices.
pub fn are_locked() -> bool {
    !IS_UNLOCKED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the mapping that holds an address.
    fn flags_of(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("there is /proc");
        let mut is_inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bound = |hex| usize::from_str_radix(hex, 16).ok();
            if let Some((Some(start), Some(end))) = range.map(|(start, end)| (bound(start), bound(end))) {
                is_inside = (start..end).contains(&address);
            } else if is_inside && line.starts_with("VmFlags:") {
                return line.to_owned();
            }
        }
        panic!("no mapping at {address:#x}");
    }

    #[test]
    fn the_page_is_locked_and_in_no_core_file() {
        let mut secret = Secret::<32>::zeros();
        secret.bytes_mut().copy_from_slice(&[7; 32]);
        assert_eq!(secret.bytes(), &[7; 32]);
        let flags = flags_of(secret.bytes().as_ptr().addr());
        assert!(flags.contains(" lo") && flags.contains(" dd"), "locked and not dumped: {flags}");
    }
}
