//! Memory asked for ahead of its use: what a table holds at a place drawn by a hash is far away more often than not.
//!
//! Asking costs an instruction, waiting some hundred; so a head's look-ups are told of all at once, before the first is made.

/// Bytes of a line of the cache.
const LINE_BYTES: usize = 64;

/// Asks for the beginning of the entry at `index`, if there is one; changes nothing that a program could see.
#[inline(always)]
pub fn prefetch<T>(table: &[T], index: usize) {
    if let Some(entry) = table.get(index) {
        ask(std::ptr::from_ref(entry).cast());
    }
}

/// Asks for all of a value.
#[inline(always)]
pub fn prefetch_all<T>(value: &T) {
    prefetch_bytes(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Asks for so many bytes from `start` on, which need not be anybody's.
#[inline(always)]
pub fn prefetch_bytes(start: *const u8, bytes: usize) {
    for offset in (0..bytes).step_by(LINE_BYTES) {
        ask(start.wrapping_add(offset));
    }
}

#[inline(always)]
fn ask(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: every x86-64 CPU has the instruction, and it takes any address: it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_may_be_asked_for() {
        let table: Vec<u64> = (0..9).collect();
        for index in [0, 8, 9, usize::MAX] {
            prefetch(&table, index);
        }
        prefetch::<u8>(&[], 0);
        prefetch_all(&[0_u64; 20]);
        prefetch_all(&());
        prefetch_bytes(std::ptr::null(), 100);
        assert_eq!(table.iter().sum::<u64>(), 36);
    }
}
