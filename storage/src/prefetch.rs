//! Memory asked for ahead of its use: what a table holds at a place drawn by a hash is far away more often than not.
//!
//! Asking costs an instruction, waiting some hundred; so a head's look-ups are told of all at once, before the first is made.

/// Asks for the entry at `index`, if there is one; changes nothing that a program could see.
#[inline(always)]
pub fn prefetch<T>(table: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(entry) = table.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: every x86-64 CPU has the instruction, and it takes any address; this one is of a live entry.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(entry).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (table, index);
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
        assert_eq!(table.iter().sum::<u64>(), 36);
    }
}
